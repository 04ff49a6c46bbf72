# Tests in which each allocation of our code fails in turn (tests/unit/lib/fail_nth.h): the linker leads it there.
FAIL_NTH := malloc calloc realloc strdup strndup fopen opendir arena_alloc arena_strdup arena_strndup
$(filter %_alloc,$(UNIT_BIN)): ALL_LDFLAGS += $(FAIL_NTH:%=-Wl,--wrap=%)
