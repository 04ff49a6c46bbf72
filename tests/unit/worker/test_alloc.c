/* Each allocation of the scheduler and of a decoded message fails in turn: an error or an end comes of it, never a crash or
 * a request without an end. */
#include "base/buf.h"
#include "engine/mock.h"
#include "worker/sched.h"

#include "../lib/cmocka_all.h"
#include "../lib/fail_nth.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS = 6, PROMPT = 24, ATTEMPTS_MAX = 5000 };

struct world {
	struct engine *engine;
	struct sched *sched;
	uint32_t admitted, ended;
};

static void collect(struct world *w)
{
	w->ended += sched_outbox(w->sched).dones_count;
	sched_outbox_clear(w->sched);
}

/* Admit, compute, let it evict and pre-empt; memory may fail anywhere. */
static void run(struct world *w)
{
	static const uint8_t uses[] = {3, 2, 1, 1, 1, 1};
	uint32_t tokens[PROMPT];
	struct err err = {0};
	uint64_t now_us = 0;

	for (uint32_t i = 0; i < REQUESTS; i++) {
		for (uint32_t k = 0; k < PROMPT; k++)
			tokens[k] = (i / 2 * 50 + k) % 256;
		const struct sched_request q = {.id = i + 1,
			.tokens = tokens,
			.tokens_count = PROMPT,
			.prompt_len = PROMPT,
			.max_tokens = 12,
			.ignore_eos = true,
			.deadline_us = 1000000000,
			.uses = uses,
			.uses_count = sizeof uses};
		w->admitted += sched_admit(w->sched, now_us, &q) == 0;
		collect(w);
	}
	for (uint32_t i = 0; i < 1000 && sched_requests(w->sched); i++) {
		const struct engine_batch *b = sched_compose(w->sched, now_us);
		collect(w);
		if (!b)
			break;
		uint32_t depth = fail_nth_suspend(); /* the mock is not what is tested */
		int r = engine_step(w->engine, b, sched_result(w->sched), &err);
		fail_nth_resume(depth);
		assert_int_equal(r, 0);
		now_us += 1000;
		(void)sched_apply(w->sched, now_us, r, &err);
		collect(w);
	}
}

static void fail_each_allocation(bool whole_copy)
{
	const struct engine_info *info;
	const struct mock_config mock = {.cells = 96,
		.seqs = 6,
		.batch_tokens_max = 32,
		.context_max = 64,
		.vocab = 256,
		.whole_copy = whole_copy,
		.verify = true};
	uint64_t n = 1;

	for (; n < ATTEMPTS_MAX; n++) {
		struct world w = {0};
		struct err err = {0};
		const struct sched_config config = {.block_size = 4};
		assert_int_equal(mock_engine_create(&w.engine, &mock, &err), 0);
		info = engine_info(w.engine);
		fail_nth_arm(n, 0);
		fail_nth_begin();
		int r = sched_create(&w.sched, info, &config, &err);
		if (r == 0)
			run(&w);
		fail_nth_end();
		bool failed = fail_nth_disarm();
		if (r < 0) {
			assert_int_equal(r, -ENOMEM);
		} else {
			assert_int_equal(w.ended, w.admitted);
			assert_int_equal(sched_requests(w.sched), 0);
			assert_true(failed || w.admitted == REQUESTS);
			sched_destroy(w.sched);
		}
		engine_destroy(w.engine);
		if (!failed)
			break;
	}
	assert_true(n < ATTEMPTS_MAX && n > 20);
}

static void a_failed_allocation_ends_requests_and_never_loses_one(void **state)
{
	(void)state;
	fail_each_allocation(false);
}

static void nor_where_checkpoints_are_kept(void **state)
{
	(void)state;
	fail_each_allocation(true);
}

static void a_message_is_decoded_or_refused_for_want_of_memory(void **state)
{
	(void)state;
	uint32_t tokens[500] = {1, 2, 3};
	struct buf out;
	struct err err = {0};
	struct frame f;
	const struct msg_request q = {.id = 1,
		.request_id = msg_str("r"),
		.model = msg_str("m"),
		.tokens = {tokens, 500},
		.prompt_len = 500,
		.uses = {"\1\1\1", 3}};
	bool whole = false;

	buf_init(&out, 1 << 20);
	assert_int_equal(msg_encode(&out, MSG_REQUEST, &q), 0);
	assert_true(frame_next((const uint8_t *)out.data, out.len, &f, &err) > 0);
	for (uint64_t n = 1; !whole && n < 100; n++) {
		struct arena a;
		union msg m;
		arena_init(&a, 1 << 20);
		fail_nth_arm(n, 0);
		fail_nth_begin();
		int r = msg_decode(&f, &a, &m, &err);
		fail_nth_end();
		whole = !fail_nth_disarm();
		assert_int_equal(r, whole ? 0 : -ENOMEM);
		if (whole) {
			assert_int_equal(m.request.tokens.len, 500);
			assert_int_equal(m.request.uses.len, 3);
		}
		arena_done(&a);
	}
	assert_true(whole);
	buf_done(&out);
}

int main(void)
{
	fail_nth_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_allocation_ends_requests_and_never_loses_one),
		cmocka_unit_test(nor_where_checkpoints_are_kept),
		cmocka_unit_test(a_message_is_decoded_or_refused_for_want_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
