docs-config: $(BUILD)/tests/unit/config/test_reference ## print docs/reference/config.md from the key tables
	$(Q)mkdir -p docs/reference && $< --print >docs/reference/config.md.new && mv docs/reference/config.md.new docs/reference/config.md
.PHONY: docs-config
