# Some tests of src/llama/ compare with llama.cpp's own C++ entries.
LLAMA_ORACLE_OBJ := $(BUILD)/tests/unit/llama/oracle.o
$(BUILD)/tests/unit/llama/test_model $(BUILD)/tests/unit/llama/test_template $(BUILD)/tests/unit/llama/test_sampler $(BUILD)/tests/unit/llama/test_vocab: $(BUILD)/tests/unit/llama/%: \
		$(BUILD)/tests/unit/llama/%.o $(LLAMA_ORACLE_OBJ) $(UNIT_LIB_OBJ) $(BUILD)/libstator.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $< $(LLAMA_ORACLE_OBJ) $(UNIT_LIB_OBJ) $(BUILD)/libstator.a $(LLAMA_LDLIBS) $(DEPS_LDLIBS) -lcmocka
-include $(LLAMA_ORACLE_OBJ:.o=.d)

# This one calls ggml itself, in C.
$(BUILD)/tests/unit/llama/test_patches.o: private CFLAGS += $(LLAMA_CFLAGS)
