# What the build takes from outside: Debian packages (named in scripts/packages) and the llama.cpp build in the cache.
DEPS_PC := libevent_core libevent_pthreads jansson libfyaml libxxhash libssl libcrypto libedit zlib liblzma libzstd
DEPS_CFLAGS = $(shell pkg-config --cflags $(DEPS_PC) 2>/dev/null)
DEPS_LDLIBS = $(shell pkg-config --libs $(DEPS_PC) 2>/dev/null) -lbz2 -lpthread -ldl -lm

# llhttp comes as C sources in Debian's node-llhttp; they are compiled where they lie.
LLHTTP_SRC := $(wildcard /usr/share/llhttp/*.c)
DEPS_OBJ := $(LLHTTP_SRC:/usr/share/llhttp/%.c=$(BUILD)/llhttp/%.o)
$(BUILD)/llhttp/%.o: /usr/share/llhttp/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D); $(CC) -std=gnu11 -O2 -g $(SAN) -I/usr/share/include/llhttp -I/usr/share/llhttp -c -o $@ $<
DEPS_CFLAGS += -isystem /usr/share/include/llhttp

# The static llama.cpp build lives outside the tree; scripts/llama prints where, and builds it when asked.
LLAMA_DIR := $(shell scripts/llama dir $(if $(CUDA),--cuda))
LLAMA_LIBS_DEP := $(LLAMA_DIR)/.complete
# Read when first used: the files may be made by this very make.
LLAMA_CFLAGS = $(eval LLAMA_CFLAGS := $(shell cat $(LLAMA_DIR)/cflags))$(LLAMA_CFLAGS)
LLAMA_LDLIBS = $(eval LLAMA_LDLIBS := $(shell cat $(LLAMA_DIR)/ldlibs))$(LLAMA_LDLIBS)
$(LLAMA_DIR)/.complete: | deps-check
	$(Q)scripts/llama build $(if $(CUDA),--cuda)

deps-check: ## check that the needed packages are there (scripts/setup installs them)
	@scripts/setup --check
model: ## fetch the demo model into the cache and print its path
	@scripts/model
.PHONY: deps-check model
