# Long random runs: load and faults against a mock deployment for SOAK_MINUTES, from a seed that is printed (SOAK_SEED).
SOAK_MINUTES ?= 10
soak: $(BUILD)/stator ## random load with faults for SOAK_MINUTES (default 10); SOAK_SEED repeats one
	@python=$$(scripts/venv) && STATOR_BIN='$(abspath $(BUILD)/stator)' SOAK_MINUTES='$(SOAK_MINUTES)' SOAK_SEED='$(SOAK_SEED)' \
		"$$python" -m pytest -q -s --timeout=0 $(PYTEST_FLAGS) tests/soak
.PHONY: soak
