# Tests. Each suite ends with one line "NAME: N passed, N failed"; `make test` adds them up (scripts/run-tests).
# T= picks some: a part of a program's path for unit, pytest's -k expression for scenario and e2e.
test: ## set up, build, run all tests (unit, fuzz corpus, scenario, end to end)
	@+MAKE='$(MAKE)' scripts/run-tests

# Unit tests: each tests/unit/ROOM/test_X.c is one cmocka program, linked with libstator.a.
# tests/unit/lib/*.c is linked into each (stand-ins shared by rooms).
UNIT_SRC := $(sort $(wildcard tests/unit/*/test_*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(BUILD)/%)
UNIT_LIB_SRC := $(sort $(wildcard tests/unit/lib/*.c))
UNIT_LIB_OBJ := $(UNIT_LIB_SRC:%.c=$(BUILD)/%.o)

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(UNIT_LIB_OBJ) $(BUILD)/libstator.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $< $(UNIT_LIB_OBJ) $(BUILD)/libstator.a $(LLAMA_LDLIBS) $(DEPS_LDLIBS) -lcmocka

unit-programs: $(UNIT_BIN)
# UNIT_LEAVE="parts of paths" leaves some out.
UNIT_PICKED = $(foreach program,$(UNIT_CHOSEN),$(if $(strip $(foreach part,$(UNIT_LEAVE),$(findstring $(part),$(program)))),,$(program)))
UNIT_CHOSEN = $(if $(T),$(foreach program,$(UNIT_BIN),$(if $(findstring $(T),$(program)),$(program))),$(UNIT_BIN))
unit: $(UNIT_PICKED) ## build and run the unit tests only (T=part of a path picks some)
	@scripts/run-units $(UNIT_PICKED)

# Real processes: raw sockets and the mock engine in tests/scenario, the openai client and a real model in tests/e2e.
scenario e2e: $(BUILD)/stator
	@python=$$(scripts/venv) && model=$$(scripts/model) && STATOR_MODEL="$$model" STATOR_BIN='$(abspath $(BUILD)/stator)' "$$python" -m pytest -q \
		$(if $(T),-k '$(T)') $(PYTEST_FLAGS) tests/$@
scenario: ## real processes, mock engine: bad input and faults (T=expression picks some)
e2e: ## the real openai client against the demo model (T=expression picks some)

layers: ## do the rooms of src/ keep to their order?
	@scripts/check-layers
headers: ## does each header compile alone?
	@scripts/check-headers $(CC) $(ALL_CFLAGS)

-include $(UNIT_SRC:%.c=$(BUILD)/%.d) $(UNIT_LIB_SRC:%.c=$(BUILD)/%.d)
.SECONDARY: $(UNIT_SRC:%.c=$(BUILD)/%.o) $(UNIT_LIB_OBJ)
.PHONY: test unit unit-programs scenario e2e layers headers
