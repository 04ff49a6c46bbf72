/* The mock engine: its tokens depend on (prompt, seed, position) alone, and it refuses every break of a rule. */
#include "engine/mock.h"
#include "text/tokenizer.h"

#include "../lib/cmocka_all.h"
#include <ctype.h>
#include <string.h>

static const struct mock_config small = {.cells = 32,
	.seqs = 4,
	.batch_tokens_max = 8,
	.context_max = 16,
	.answer_min = 3,
	.answer_max = 9,
	.verify = true,
	.timing = {.base_us = 100, .prefill_token_us = 10, .decode_seq_us = 7}};
static const uint32_t text[16] = {72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100, 33, 10, 10, 10, 10};
static const struct engine_sampling greedy;

static struct engine *create(const struct mock_config *c)
{
	struct engine *e = NULL;
	struct err err = {0};

	assert_int_equal(mock_engine_create(&e, c, &err), 0);
	return e;
}

static struct engine_item item(uint32_t seq, uint32_t pos, uint32_t count)
{
	return (struct engine_item){.seq = seq,
		.pos = pos,
		.count = count,
		.tokens = text + pos,
		.history = text,
		.history_len = pos + count,
		.prompt_len = 1,
		.sampling = &greedy};
}

static int run(struct engine *e, struct engine_op *ops, uint32_t nops, struct engine_item *items, uint32_t n,
	struct engine_result *res, struct err *err)
{
	struct engine_batch b = {ops, nops, items, n};
	return engine_step(e, &b, res, err);
}

/* Run a batch that must be refused, and look for words in the sentence. */
static void refused(
	struct engine *e, struct engine_op *op, struct engine_item *it, uint32_t n, int code, const char *words)
{
	struct engine_out outs[4];
	struct engine_result res = {.outs = outs};
	struct err err = {0};

	assert_int_equal(run(e, op, op != NULL, it, n, &res, &err), code);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

static void a_broken_rule_is_refused_with_a_sentence(void **state)
{
	(void)state;
	struct engine *e = create(&small);
	struct engine_out outs[4];
	struct engine_result res = {.outs = outs};
	struct err err = {0};
	struct engine_item first = item(0, 0, 6);

	assert_int_equal(run(e, NULL, 0, &first, 1, &res, &err), 0);
	struct engine_item bad[] = {item(9, 0, 1), item(0, 5, 1), item(1, 0, 0), item(1, 0, 9), item(0, 6, 11)};
	const char *says[] = {"out of range", "holds 6 cells", "no tokens", "larger than 8", "past the context"};
	for (int i = 0; i < 5; i++)
		refused(e, NULL, &bad[i], 1, -EINVAL, says[i]);
	struct engine_item twice[] = {item(1, 0, 1), item(1, 0, 1)};
	refused(e, NULL, twice, 2, -EINVAL, "twice");
	struct engine_op ops[] = {{ENGINE_SEQ_COPY, 0, 1, 7}, {ENGINE_SEQ_COPY, 1, 0, 0}, {ENGINE_SEQ_TRIM, 0, 0, 7},
		{ENGINE_SEQ_TRIM, 0, 9, 0}};
	const char *op_says[] = {"it holds 6", "not empty", "it holds 6", "out of range"};
	for (int i = 0; i < 4; i++)
		refused(e, &ops[i], NULL, 0, -EINVAL, op_says[i]);
	uint32_t outside = 100000;
	struct engine_item token = item(1, 0, 1), other = item(0, 6, 1);
	token.tokens = &outside;
	refused(e, NULL, &token, 1, -EINVAL, "token 100000");
	uint32_t changed[16];
	memcpy(changed, text, sizeof changed);
	changed[3] = 1;
	other.want = true;
	other.history = changed;
	refused(e, NULL, &other, 1, -EINVAL, "another token at position 3");
	engine_destroy(e);
}

static void cells_run_out_and_come_back(void **state)
{
	(void)state;
	struct engine *e = create(&small);
	struct engine_out outs[4];
	struct engine_result res = {.outs = outs};
	struct err err = {0};

	for (uint32_t s = 0; s < 4; s++) {
		struct engine_item it = item(s, 0, 8);
		assert_int_equal(run(e, NULL, 0, &it, 1, &res, &err), 0);
	}
	struct engine_item more = item(0, 8, 4);
	refused(e, NULL, &more, 1, -ENOSPC, "4 cells wanted, 0 free");
	struct engine_op ops[] = {{ENGINE_SEQ_TRIM, 0, 1, 0}, {ENGINE_SEQ_COPY, 0, 1, 8}, {ENGINE_SEQ_TRIM, 0, 2, 4}};
	assert_int_equal(run(e, ops, 3, &more, 1, &res, &err), 0);
	/* 8 freed by the first trim, 4 by the last; the copy took none: 12 less 4 computed. */
	struct engine_item nine = item(2, 4, 8);
	assert_int_equal(run(e, NULL, 0, &nine, 1, &res, &err), 0);
	struct engine_item one = item(1, 8, 1);
	refused(e, NULL, &one, 1, -ENOSPC, "0 free");
	engine_destroy(e);
}

/* Compute the answer to text[0..prompt_len) in pieces of so many tokens, in the sequence. */
static void answer(struct engine *e, uint32_t seq, uint32_t prompt_len, uint32_t piece, const struct engine_sampling *s,
	uint32_t *ret, uint32_t n)
{
	uint32_t history[16], len = prompt_len;
	struct engine_out out;
	struct engine_result res = {.outs = &out};
	struct err err = {0};

	memcpy(history, text, sizeof history);
	for (uint32_t pos = 0, got = 0; got < n;) {
		struct engine_item it = item(seq, pos, MIN(piece, len - pos));
		it.tokens = history + pos;
		it.history = history;
		it.prompt_len = prompt_len;
		it.sampling = s;
		it.want = pos + it.count == len;
		assert_int_equal(run(e, NULL, 0, &it, 1, &res, &err), 0);
		pos += it.count;
		if (it.want)
			history[len++] = ret[got++] = out.token;
	}
}

static void tokens_do_not_depend_on_the_path(void **state)
{
	(void)state;
	struct mock_config c = small;
	c.cells = 64;
	struct engine *e = create(&c);
	struct engine_sampling a = {.temperature = 1, .seed = 1}, b = {.temperature = 1, .seed = 2},
			       seeded = {.seed = 5};
	uint32_t one[6], two[6], three[6];

	answer(e, 0, 6, 8, &greedy, one, 6);
	answer(e, 1, 6, 1, &seeded, two, 6);
	assert_memory_equal(one, two, sizeof one);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(one[i], mock_token(&small, text, 6, 6 + i, false, 99, false));
	answer(e, 2, 6, 3, &a, two, 6);
	answer(e, 3, 6, 3, &b, three, 6);
	assert_memory_not_equal(one, two, sizeof one);
	assert_memory_not_equal(two, three, sizeof two);
	assert_int_equal(two[5], mock_token(&small, text, 6, 11, true, 1, false));
	engine_destroy(e);
}

static void answers_read_as_words_and_end(void **state)
{
	(void)state;
	uint32_t token = 0, n = 0;

	for (; n < 10; n++) {
		token = mock_token(&small, text, 5, 5 + n, false, 0, false);
		if (token == BYTE_EOS)
			break;
		assert_true(islower((int)token) || token == ' ' || token == ',');
	}
	assert_true(n >= 3 && n <= 9);
	assert_int_not_equal(mock_token(&small, text, 5, 5 + n, false, 0, true), BYTE_EOS);
}

static void a_given_vocabulary_is_kept_to(void **state)
{
	(void)state;
	struct mock_config c = small;
	c.vocab = 10;
	c.eog_token = 4;

	for (uint32_t i = 0; i < 200; i++) {
		uint32_t token = mock_token(&c, text, 5, 5 + i, false, 0, true);
		assert_true(token < 10 && token != 4);
	}
	assert_int_equal(mock_token(&c, text, 5, 25, false, 0, false), 4);
}

static void durations_follow_the_model(void **state)
{
	(void)state;
	struct engine_item items[] = {item(0, 0, 6), item(1, 9, 1)};
	struct engine_batch b = {.items = items, .items_count = 2};
	struct timing_model m = {.base_us = 100, .prefill_token_us = 10, .decode_seq_us = 7, .context_token_us = 2};

	assert_int_equal(timing_model_us(&m, &b, 1), 100 + 60 + 7 + 2 * (15 + 9));
	m.speedup = 10;
	assert_int_equal(timing_model_us(&m, &b, 1), 21);
	m = (struct timing_model){.base_us = 1000, .jitter = 0.5};
	for (uint64_t step = 0; step < 100; step++) {
		uint64_t us = timing_model_us(&m, &b, step);
		assert_true(us >= 500 && us <= 1500);
	}
}

static void nonsense_sizes_are_refused(void **state)
{
	(void)state;
	struct mock_config c = small;
	struct engine *e = NULL;
	struct err err = {0};

	c.seqs = 5000;
	assert_int_equal(mock_engine_create(&e, &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "5000 sequences; at most 4096"));
	assert_null(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broken_rule_is_refused_with_a_sentence),
		cmocka_unit_test(cells_run_out_and_come_back),
		cmocka_unit_test(tokens_do_not_depend_on_the_path),
		cmocka_unit_test(answers_read_as_words_and_end),
		cmocka_unit_test(a_given_vocabulary_is_kept_to),
		cmocka_unit_test(durations_follow_the_model),
		cmocka_unit_test(nonsense_sizes_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
