# The tests again, built with sanitizers in folders of their own. llama.cpp itself stays as it is: its code is not ours to
# instrument, and a model would take minutes. What the tests mark as smoke is run end to end, with leaks checked at exit.
ASAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
TSAN_FLAGS := -fsanitize=thread

asan: ## unit, scenario and end-to-end smoke tests under AddressSanitizer, UBSan and LeakSanitizer
	@+$(MAKE) --no-print-directory BUILD=build-asan OPT=-O1 SAN='$(ASAN_FLAGS)' all unit-programs
	@+scripts/run-sanitized asan \
		"$(MAKE) --no-print-directory BUILD=build-asan OPT=-O1 SAN='$(ASAN_FLAGS)' unit" \
		"$(MAKE) --no-print-directory BUILD=build-asan OPT=-O1 SAN='$(ASAN_FLAGS)' PYTEST_FLAGS='-m smoke' scenario" \
		"$(MAKE) --no-print-directory BUILD=build-asan OPT=-O1 SAN='$(ASAN_FLAGS)' PYTEST_FLAGS='-m smoke' e2e"

# The mock path only: llama.cpp's own thread pool synchronises by means that ThreadSanitizer cannot see without being built
# with it, and its tokenizers take minutes there. setarch -R: the sanitizer's fixed layout of memory does not fit every random one of newer kernels.
tsan: ## unit and scenario smoke tests of the mock path under ThreadSanitizer
	@+$(MAKE) --no-print-directory BUILD=build-tsan OPT=-O1 SAN='$(TSAN_FLAGS)' all unit-programs
	@+scripts/run-sanitized tsan \
		"setarch -R $(MAKE) --no-print-directory BUILD=build-tsan OPT=-O1 SAN='$(TSAN_FLAGS)' UNIT_LEAVE='llama text/' unit" \
		"setarch -R $(MAKE) --no-print-directory BUILD=build-tsan OPT=-O1 SAN='$(TSAN_FLAGS)' PYTEST_FLAGS='-m smoke' scenario"
.PHONY: asan tsan
