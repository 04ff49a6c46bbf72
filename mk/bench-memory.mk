# Predicted against real memory of a llama worker.
$(BUILD)/bench/memory/predict: $(BUILD)/bench/memory/predict.o $(BUILD)/libstator.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $< $(BUILD)/libstator.a $(LLAMA_LDLIBS) $(DEPS_LDLIBS)
bench-memory: $(BUILD)/stator $(BUILD)/bench/memory/predict ## predicted against real memory of a worker, 5 % at most
	@STATOR_BIN='$(abspath $(BUILD)/stator)' STATOR_PREDICT='$(abspath $(BUILD)/bench/memory/predict)' bench/memory/run.py
memory-table: $(BUILD)/stator ## docs/memory.md: the planner's memory against the start-up logs of bench/memory/starts
	@STATOR_BIN='$(abspath $(BUILD)/stator)' bench/memory/starts.py --write docs/memory.md
-include $(BUILD)/bench/memory/predict.d
.PHONY: bench-memory memory-table
