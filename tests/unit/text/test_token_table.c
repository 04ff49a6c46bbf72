/* The flat arrays against the kind's own functions, and what lies outside the vocabulary. */
#include "../lib/cmocka_all.h"
#include "text/tokenizer_impl.h"

static void the_table_says_what_the_kind_says(void **state)
{
	struct tokenizer *t;
	struct err err;
	struct buf want;

	(void)state;
	assert_int_equal(tokenizer_load(&t, "byte", &err), 0);
	buf_init(&want, 64);
	for (uint32_t id = 0; id < tokenizer_vocab(t); id++) {
		uint32_t len;
		const char *bytes = token_table_piece(&t->table, id, &len);
		buf_reset(&want);
		assert_int_equal(t->ops->piece(t, id, false, &want), 0);
		assert_int_equal(len, want.len);
		assert_memory_equal(bytes, buf_str(&want), len);
		assert_int_equal(tokenizer_is_eog(t, id), t->ops->is_eog(t, id));
		assert_int_equal(tokenizer_is_control(t, id), t->ops->is_control(t, id));
	}
	buf_done(&want);
	tokenizer_destroy(t);
}

static void ids_outside_the_vocabulary_are_empty_and_nothing_special(void **state)
{
	const uint32_t ids[] = {BYTE_VOCAB, BYTE_VOCAB + 1, TOKEN_NONE - 1, TOKEN_NONE};
	struct tokenizer *t;
	struct err err;

	(void)state;
	assert_int_equal(tokenizer_load(&t, "byte", &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		uint32_t len = 1;
		assert_non_null(token_table_piece(&t->table, ids[i], &len));
		assert_int_equal(len, 0);
		assert_false(tokenizer_is_eog(t, ids[i]) || tokenizer_is_control(t, ids[i]));
	}
	tokenizer_destroy(t);
}

static void control_tokens_have_a_text_only_when_it_is_asked_for(void **state)
{
	struct tokenizer *t;
	struct err err;
	struct buf text;

	(void)state;
	assert_int_equal(tokenizer_load(&t, "byte", &err), 0);
	buf_init(&text, 64);
	assert_int_equal(tokenizer_piece(t, BYTE_EOS, false, &text), 0);
	assert_int_equal(text.len, 0);
	assert_int_equal(tokenizer_piece(t, BYTE_EOS, true, &text), 0);
	assert_string_equal(buf_str(&text), "<|eos|>");
	buf_done(&text);
	tokenizer_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_says_what_the_kind_says),
		cmocka_unit_test(ids_outside_the_vocabulary_are_empty_and_nothing_special),
		cmocka_unit_test(control_tokens_have_a_text_only_when_it_is_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
