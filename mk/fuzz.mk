# Fuzzing: tests/fuzz/fuzz_NAME.c defines LLVMFuzzerTestOneInput, tests/fuzz/corpus/NAME/ holds its inputs.
# `fuzz` compiles the sources it needs again, with clang and instrumented; `fuzz-replay` runs the corpus in the usual build.
FUZZ_SECONDS ?= 30
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_NAMES := $(FUZZ_SRC:tests/fuzz/fuzz_%.c=%)
FUZZ_FLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FUZZ_BUILD := $(BUILD)/fuzz

fuzz: ## fuzz every parser for FUZZ_SECONDS each (default 30; T=name picks one)
	@+$(MAKE) --no-print-directory BUILD=$(FUZZ_BUILD) CC=clang CXX=clang++ OPT=-O1 SAN='$(FUZZ_FLAGS)' fuzz-programs
	@scripts/fuzz '$(FUZZ_BUILD)' '$(FUZZ_SECONDS)' $(if $(T),$(filter $(T),$(FUZZ_NAMES)),$(FUZZ_NAMES))

fuzz-programs: $(FUZZ_NAMES:%=$(BUILD)/fuzz_%)
$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/libstator.a
	$(call say,LINK,$@)
	$(Q)clang++ -fsanitize=fuzzer,address,undefined -o $@ $< $(BUILD)/libstator.a $(LLAMA_LDLIBS) $(DEPS_LDLIBS)

fuzz-replay: $(FUZZ_NAMES:%=$(BUILD)/tests/fuzz/replay_%) ## run the corpus of every fuzz target once
	@scripts/fuzz-replay '$(BUILD)/tests/fuzz' $(FUZZ_NAMES)
$(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay_main.o $(BUILD)/libstator.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $< $(BUILD)/tests/fuzz/replay_main.o $(BUILD)/libstator.a $(LLAMA_LDLIBS) $(DEPS_LDLIBS)

-include $(FUZZ_SRC:%.c=$(BUILD)/%.d)
.SECONDARY: $(FUZZ_SRC:%.c=$(BUILD)/%.o) $(BUILD)/tests/fuzz/replay_main.o
.PHONY: fuzz fuzz-programs fuzz-replay
