# Installing, and what is generated for it: build facts, man page, completion scripts, docs/reference/cli.md.
pc_version = $(shell pkg-config --modversion $(1) 2>/dev/null)
LLHTTP_VERSION := $(shell awk '/define LLHTTP_VERSION_(MAJOR|MINOR|PATCH)/ { printf "%s%s", sep, $$3; sep = "." }' /usr/share/include/llhttp/llhttp.h /usr/share/llhttp/llhttp.h 2>/dev/null | cut -d. -f1-3)

# What "stator version" prints. Rewritten only when a fact changes, so that a commit recompiles one file and a plain
# "make" none. A tree without git (a source archive) has no commit to name.
$(BUILD)/gen/build_facts.h: FORCE
	$(Q)mkdir -p $(@D); { \
	echo '#define BUILD_COMMIT "$(shell git describe --always --dirty --abbrev=12 2>/dev/null)"'; \
	echo '#define BUILD_LLAMA_CPP "$(shell sed -n 's/^VERSION=//p' scripts/llama)"'; \
	echo '#define BUILD_LIBEVENT "$(call pc_version,libevent_core)"'; \
	echo '#define BUILD_LLHTTP "$(LLHTTP_VERSION)"'; \
	echo '#define BUILD_JANSSON "$(call pc_version,jansson)"'; \
	echo '#define BUILD_LIBFYAML "$(call pc_version,libfyaml)"'; \
	echo '#define BUILD_XXHASH "$(call pc_version,libxxhash)"'; \
	echo '#define BUILD_OPENSSL "$(call pc_version,libcrypto)"'; \
	echo '#define BUILD_LIBEDIT "$(call pc_version,libedit)"'; \
	} >$@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(BUILD)/src/cli/version.o: $(BUILD)/gen/build_facts.h

docs: $(BUILD)/stator ## print docs/reference/cli.md from the command tables
	$(Q)$< man --format markdown >$(BUILD)/cli.md && mv $(BUILD)/cli.md docs/reference/cli.md

install: $(BUILD)/stator ## install program, man page, completion and systemd unit (PREFIX=/usr/local, DESTDIR=)
	$(Q)install -D -m 755 $< $(DESTDIR)$(PREFIX)/bin/stator
	$(Q)$< man >$(BUILD)/stator.1
	$(Q)$< completion bash >$(BUILD)/stator.bash
	$(Q)$< completion zsh >$(BUILD)/stator.zsh
	$(Q)$< completion fish >$(BUILD)/stator.fish
	$(Q)install -D -m 644 $(BUILD)/stator.1 $(DESTDIR)$(PREFIX)/share/man/man1/stator.1
	$(Q)install -D -m 644 $(BUILD)/stator.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/stator
	$(Q)install -D -m 644 $(BUILD)/stator.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_stator
	$(Q)install -D -m 644 $(BUILD)/stator.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/stator.fish
	$(Q)sed 's|@PREFIX@|$(PREFIX)|' deploy/systemd/stator.service >$(BUILD)/stator.service
	$(Q)install -D -m 644 $(BUILD)/stator.service $(DESTDIR)$(PREFIX)/lib/systemd/system/stator.service
	@echo "installed in $(DESTDIR)$(PREFIX)"

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/stator $(DESTDIR)$(PREFIX)/share/man/man1/stator.1 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/stator \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_stator \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/stator.fish \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/stator.service

FORCE:
.PHONY: FORCE docs install uninstall
