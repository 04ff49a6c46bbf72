# Long random runs: load and faults against a mock deployment for SOAK_MINUTES, from a seed that is printed (SOAK_SEED).
SOAK_MINUTES ?= 10
# Before it, so many simulated worlds from seeds: the router on modelled workers, and clients, frontend and workers as they are.
SOAK_WORLDS ?= 10000
soak: soak-index soak-worlds plan-soak $(BUILD)/stator ## random load with faults for SOAK_MINUTES (default 10); SOAK_SEED repeats one
	@python=$$(scripts/venv) && STATOR_BIN='$(abspath $(BUILD)/stator)' SOAK_MINUTES='$(SOAK_MINUTES)' SOAK_SEED='$(SOAK_SEED)' \
		"$$python" -m pytest -q -s --timeout=0 $(PYTEST_FLAGS) tests/soak
soak-worlds: $(BUILD)/tests/unit/sim/test_replay $(BUILD)/tests/unit/frontend/test_one_thread ## SOAK_WORLDS simulated worlds with faults (default 10000)
	@for program in $^; do STATOR_WORLDS='$(SOAK_WORLDS)' $$program || exit 1; done
.PHONY: soak soak-worlds

# A million random deployments on small hosts; PLAN_SEED repeats from one.
plan-soak: $(BUILD)/tests/unit/plan/test_search ## a million random deployments planned, small hosts (some ten minutes)
	@PLAN_WORLDS=1000000 PLAN_REFERENCES=200 $<
.PHONY: plan-soak

soak-index: $(BUILD)/tests/unit/kv/test_index ## random operations on the prefix index against the naive reference, a quarter of SOAK_MINUTES
	@STATOR_INDEX_SECONDS=$$(($(SOAK_MINUTES) * 3)) $<
.PHONY: soak-index
