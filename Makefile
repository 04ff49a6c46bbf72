# make        build build/stator          make serve   set up, build, fetch the demo model, serve it
# make test   set up, build, run all tests (unit, scenario, end to end)      make help   all targets
# V=1 shows commands. CC, CXX, CFLAGS, BUILD (default build) and CUDA=1 are honoured.
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

BUILD ?= build
PREFIX ?= /usr/local
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
OPT ?= -O2
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)')

include mk/deps.mk

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef
CXXWARN := -Wall -Wextra -Werror
INCLUDES := -Isrc -I$(BUILD)/gen $(DEPS_CFLAGS)
DEFINES := -D_GNU_SOURCE -DSTATOR_VERSION='"$(shell cat VERSION)"' $(if $(CUDA),-DSTATOR_CUDA=1)
ALL_CFLAGS = -std=c17 $(OPT) -g -fno-omit-frame-pointer $(WARN) $(DEFINES) $(INCLUDES) $(SAN) $(CFLAGS)
ALL_CXXFLAGS = -std=c++17 $(OPT) -g -fno-omit-frame-pointer $(CXXWARN) $(DEFINES) $(INCLUDES) $(LLAMA_CFLAGS) $(SAN) $(CXXFLAGS)
ALL_LDFLAGS = $(SAN) $(LDFLAGS)

SRC_C := $(sort $(wildcard src/*/*.c src/*/*/*.c))
SRC_CXX := $(sort $(wildcard src/llama/*.cpp))
OBJ_ALL := $(SRC_C:%.c=$(BUILD)/%.o) $(SRC_CXX:%.cpp=$(BUILD)/%.o) $(DEPS_OBJ)
OBJ_MAIN := $(BUILD)/src/cli/main.o
OBJ_LIB := $(filter-out $(OBJ_MAIN),$(OBJ_ALL))

include $(sort $(wildcard mk/[!d]*.mk))

all: $(BUILD)/stator ## build build/stator

$(BUILD)/stator: $(OBJ_MAIN) $(BUILD)/libstator.a $(LLAMA_LIBS_DEP)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $(OBJ_MAIN) $(BUILD)/libstator.a $(LLAMA_LDLIBS) $(DEPS_LDLIBS)

$(BUILD)/libstator.a: $(OBJ_LIB)
	$(call say,AR,$@)
	$(Q)rm -f $@; ar rcs $@ $^

$(BUILD)/%.o: %.c | deps-check
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D); $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.cpp $(LLAMA_LIBS_DEP) | deps-check
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D); $(CXX) $(ALL_CXXFLAGS) -MMD -MP -c -o $@ $<

-include $(OBJ_ALL:.o=.d)

clean: ## remove build/
	rm -rf $(BUILD)
help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile mk/*.mk | sed 's/:.*##/\t/' | sort | expand -t 12
.PHONY: all clean help
