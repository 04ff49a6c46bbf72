# Benchmarks: never part of make test. Each is a program of its own under bench/ with a full form; this is the quick set.
BENCH_SRC := $(sort $(wildcard bench/micro/bench_*.c))
BENCH_BIN := $(BENCH_SRC:%.c=$(BUILD)/%)
BENCH_STEP := $(BUILD)/bench/engine/step

$(BENCH_BIN) $(BENCH_STEP): %: %.o $(BUILD)/libstator.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $< $(BUILD)/libstator.a $(LLAMA_LDLIBS) $(DEPS_LDLIBS)

bench: all bench-micro ## the quick benchmarks (docs/benchmarks.md has the full ones and their figures)
	@STATOR_BIN='$(abspath $(BUILD)/stator)' bench/start/run.py --quick
	@STATOR_BIN='$(abspath $(BUILD)/stator)' CC='$(CC)' bench/stream/run.py --quick
	@STATOR_BIN='$(abspath $(BUILD)/stator)' bench/engine/run.py --quick
bench-micro: $(BENCH_BIN) ## nanoseconds of single operations
	@for bench in $(filter-out %/bench_text,$(BENCH_BIN)); do $$bench || exit 1; done
	@$(BUILD)/bench/micro/bench_text "$$(scripts/model)"
bench-step: $(BENCH_STEP) ## what a step of the llama engine takes, by streams and cells kept
	@$(BENCH_STEP) "$$(scripts/model)"

-include $(BENCH_SRC:%.c=$(BUILD)/%.d) $(BENCH_STEP).d
.PRECIOUS: $(BUILD)/bench/micro/%.o $(BENCH_STEP).o
.PHONY: bench bench-micro bench-step
