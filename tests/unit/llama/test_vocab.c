/* What the splitters ask of characters, beside llama.cpp's own table. */
#include "../lib/cmocka_all.h"
#include "base/compiler.h"
#include "llama/vocab.h"
#include "oracle.h"

static void classes_are_llama_cpps_of_every_character(void **state)
{
	static uint8_t all[0x110200];

	(void)state;
	ll_char_classes(0, ARRAY_LEN(all), all);
	for (uint32_t c = 0; c < ARRAY_LEN(all); c++)
		if (all[c] != oracle_char_class(c))
			fail_msg("U+%04X has class %u, llama.cpp says %u", c, all[c], oracle_char_class(c));
}

static void any_piece_of_the_table_is_the_same(void **state)
{
	static uint8_t all[0x110200], one[256];

	(void)state;
	ll_char_classes(0, ARRAY_LEN(all), all);
	for (uint32_t at = 0; at + 256 <= ARRAY_LEN(all); at += 256) {
		ll_char_classes(at, 256, one);
		assert_memory_equal(one, all + at, 256);
	}
	ll_char_classes('z' + 1, 1, one);
	assert_int_equal(one[0], all['z' + 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes_are_llama_cpps_of_every_character),
		cmocka_unit_test(any_piece_of_the_table_is_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
