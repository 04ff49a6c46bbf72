/* docs/reference/config.md is what the tables print. "test_reference --print" writes it anew (make docs-config). */
#include "config/reference.h"

#include "../lib/cmocka_all.h"
#include "config/keys.h"
#include <stdio.h>
#include <string.h>

static void the_committed_reference_is_what_the_tables_print(void **state UNUSED)
{
	struct buf b;
	FILE *f = fopen("docs/reference/config.md", "re");
	static char committed[1 << 18];

	assert_non_null(f);
	size_t len = fread(committed, 1, sizeof committed - 1, f);
	fclose(f);
	buf_init(&b, sizeof committed);
	config_reference_print(&b);
	assert_false(b.failed);
	if (len != b.len || memcmp(committed, buf_str(&b), len))
		fail_msg("docs/reference/config.md differs from the tables: run \"make docs-config\"");
	buf_done(&b);
}

static void every_key_has_a_help_line_and_a_default_its_type_accepts(void **state UNUSED)
{
	uint32_t pos = 0;

	for (const struct config_table *t; (t = config_table_next(NULL, &pos));) {
		struct config_section s;
		struct arena a;
		arena_init(&a, 1 << 20);
		assert_int_equal(config_section_init(&s, t->section, &a), 0);
		for (size_t i = 0; i < t->count; i++) {
			const struct config_key *k = &t->keys[i];
			if (!k->help || !*k->help || k->help[strlen(k->help) - 1] == '.' || strchr(k->name, '_'))
				fail_msg("%s.%s: a name has no underscore, a help line has text and no full stop",
					t->section, k->name);
			if (k->type == CONFIG_ENUM)
				assert_non_null(k->choices);
			assert_ptr_equal(config_key_find(t->section, k->name), k); /* no other table has it before */
		}
		arena_done(&a);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_committed_reference_is_what_the_tables_print),
		cmocka_unit_test(every_key_has_a_help_line_and_a_default_its_type_accepts),
	};

	if (argc == 2 && !strcmp(argv[1], "--print")) {
		struct buf b;
		buf_init(&b, 1 << 18);
		config_reference_print(&b);
		fputs(buf_str(&b), stdout);
		buf_done(&b);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
