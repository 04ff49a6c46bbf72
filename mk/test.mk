# Unit tests: each tests/unit/ROOM/test_X.c is one cmocka program, linked with libstator.a.
# tests/unit/lib/*.c is linked into each (stand-ins shared by rooms).
UNIT_SRC := $(sort $(wildcard tests/unit/*/test_*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(BUILD)/%)
UNIT_LIB_SRC := $(sort $(wildcard tests/unit/lib/*.c))
UNIT_LIB_OBJ := $(UNIT_LIB_SRC:%.c=$(BUILD)/%.o)

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(UNIT_LIB_OBJ) $(BUILD)/libstator.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $< $(UNIT_LIB_OBJ) $(BUILD)/libstator.a $(LLAMA_LDLIBS) $(DEPS_LDLIBS) -lcmocka

# T=text picks the programs whose path holds the text (a pattern of make's filter has one wildcard only).
UNIT_PICK := $(if $(T),$(foreach bin,$(UNIT_BIN),$(if $(findstring $(T),$(bin)),$(bin))),$(UNIT_BIN))
unit: $(UNIT_PICK) ## build and run the unit tests only (T=text picks those with it in their path)
	@scripts/run-units $(UNIT_PICK)

-include $(UNIT_SRC:%.c=$(BUILD)/%.d) $(UNIT_LIB_SRC:%.c=$(BUILD)/%.d)
.SECONDARY: $(UNIT_SRC:%.c=$(BUILD)/%.o)
.PHONY: unit
