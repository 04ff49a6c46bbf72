plan-golden: $(BUILD)/stator ## write anew what stator plan says of the examples (tests/golden/plan)
	@STATOR_BIN='$(abspath $(BUILD)/stator)' scripts/plan-golden
.PHONY: plan-golden
