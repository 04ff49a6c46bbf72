# Files of data/ inside the program: data/a-b.yaml is const char data_a_b_yaml[], of const uint64_t data_a_b_yaml_len bytes and a NUL.
DATA_FILES := $(sort $(wildcard data/*.yaml))
DATA_OBJ := $(DATA_FILES:%=$(BUILD)/%.o)
OBJ_LIB += $(DATA_OBJ)

$(BUILD)/data/%.o: data/% mk/embed.mk
	$(call say,EMBED,$<)
	$(Q)mkdir -p $(@D); name=data_$$(printf %s '$*' | tr -c 'a-zA-Z0-9' _); \
	printf '.section .rodata\n.global %s, %s_len\n.balign 8\n%s_len:\n.quad %s_end - %s\n%s:\n.incbin "%s"\n%s_end:\n.byte 0\n.section .note.GNU-stack,"",%%progbits\n' \
		$$name $$name $$name $$name $$name $$name '$<' $$name | $(CC) -x assembler -c -o $@ -
