# Unit tests: each tests/unit/ROOM/test_X.c is one cmocka program, linked with libstator.a.
# tests/unit/lib/*.c is linked into each (stand-ins shared by rooms).
UNIT_SRC := $(sort $(wildcard tests/unit/*/test_*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(BUILD)/%)
UNIT_LIB_SRC := $(sort $(wildcard tests/unit/lib/*.c))
UNIT_LIB_OBJ := $(UNIT_LIB_SRC:%.c=$(BUILD)/%.o)

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(UNIT_LIB_OBJ) $(BUILD)/libstator.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $< $(UNIT_LIB_OBJ) $(BUILD)/libstator.a $(LLAMA_LDLIBS) $(DEPS_LDLIBS) -lcmocka

unit: $(UNIT_BIN) ## build and run the unit tests only (T=glob picks some)
	@scripts/run-units $(filter $(if $(T),%$(T)%,%),$(UNIT_BIN))

-include $(UNIT_SRC:%.c=$(BUILD)/%.d) $(UNIT_LIB_SRC:%.c=$(BUILD)/%.d)
.SECONDARY: $(UNIT_SRC:%.c=$(BUILD)/%.o)
.PHONY: unit
