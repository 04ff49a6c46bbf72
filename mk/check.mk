# Static checks. The same flags as the build, without those only one compiler knows.
check: $(BUILD)/libstator.a layers headers ## format, clang-tidy, cppcheck, order of rooms, headers alone (CHECK=part of a path)
	@CHECK='$(CHECK)' scripts/check $(ALL_CFLAGS)
.PHONY: check
