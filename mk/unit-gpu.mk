# Stand-ins for the driver's NVML library, opened by the tests of src/gpu/: one whole, one of an old driver.
NVML_STANDINS := $(BUILD)/tests/unit/gpu/nvml.so $(BUILD)/tests/unit/gpu/nvml_old.so
$(BUILD)/tests/unit/gpu/nvml.so: tests/unit/gpu/nvml_standin.c | deps-check
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D); $(CC) -std=c17 $(OPT) -g $(WARN) -fPIC -shared -o $@ $<
$(BUILD)/tests/unit/gpu/nvml_old.so: tests/unit/gpu/nvml_standin.c | deps-check
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D); $(CC) -std=c17 $(OPT) -g $(WARN) -DOLD_DRIVER -fPIC -shared -o $@ $<
$(BUILD)/tests/unit/gpu/test_nvml: $(NVML_STANDINS)
