/* Reports are believed as far as they can be true. */
#include "base/limits.h"
#include "frontend/report.h"

#include <string.h>

#include "../lib/cmocka_all.h"

static const struct msg_card card = {.block_size = 16, .blocks = 100, .seqs_max = 8, .context_max = 1000};
static const struct msg_step honest = {.step = 3,
	.duration_us = 20000,
	.prefill_tokens = 512,
	.decode_tokens = 8,
	.running = 8,
	.waiting = 40,
	.waiting_tokens = 30000,
	.cells = 1607,
	.cells_used = 1607,
	.cells_active = 1607,
	.preemptions = 7,
	.context_tokens = 8000,
	.next_prefill_tokens = 1600,
	.next_decode_tokens = 8,
	.next_context_tokens = 8000};

static const char *check(struct msg_step *s, bool *usable)
{
	struct report_check c;

	report_check_init(&c, 1000);
	return report_check(&c, &card, 2000, s, usable);
}

static void an_honest_report_is_used_as_it_is(void **state)
{
	(void)state;
	struct msg_step s = honest;
	bool usable = false;

	assert_null(check(&s, &usable));
	assert_true(usable);
	assert_memory_equal(&s, &honest, sizeof s);
}

static void a_figure_beyond_the_registration_is_not_used(void **state)
{
	(void)state;
	bool usable;

#define LIE(field, value)                                                                                              \
	do {                                                                                                           \
		struct msg_step s = honest;                                                                            \
		s.field = (value);                                                                                     \
		assert_string_equal(check(&s, &usable), #field);                                                       \
		assert_false(usable);                                                                                  \
	} while (0)
	LIE(running, 9);
	LIE(running, UINT32_MAX);
	LIE(waiting, WORKER_SEQS_MAX + 1);
	LIE(waiting, UINT32_MAX);
	LIE(waiting_tokens, 48001);
	LIE(waiting_tokens, UINT64_MAX);
	LIE(cells, 1617);
	LIE(cells, UINT32_MAX);
	LIE(cells_used, 1608);
	LIE(cells_active, 1608);
	LIE(prefill_tokens, 1617);
	LIE(decode_tokens, UINT32_MAX);
	LIE(next_prefill_tokens, UINT32_MAX);
	LIE(next_decode_tokens, 1617);
	LIE(context_tokens, 8001);
	LIE(next_context_tokens, UINT64_MAX);
	LIE(preemptions, UINT64_MAX);
}

/* What a registration leaves open is bounded all the same. */
static void an_open_registration_has_bounds_too(void **state)
{
	(void)state;
	const struct msg_card open = {.block_size = 65536, .context_max = UINT32_MAX};
	struct msg_step s = {.running = WORKER_SEQS_MAX + 1};
	struct report_check c;
	bool usable;

	report_check_init(&c, 0);
	assert_string_equal(report_check(&c, &open, 0, &s, &usable), "running");
	s = (struct msg_step){.running = 5, .waiting_tokens = 5ull * TOKENS_MAX, .cells = UINT32_MAX, .cells_used = 7};
	assert_null(report_check(&c, &open, 0, &s, &usable));
	s.waiting_tokens++;
	assert_string_equal(report_check(&c, &open, 0, &s, &usable), "waiting_tokens");
	s = (struct msg_step){.prefill_tokens = UINT32_MAX};
	assert_string_equal(report_check(&c, &open, 0, &s, &usable), "prefill_tokens");
	/* The largest there can be does not wrap. */
	const struct msg_card wide = {
		.block_size = 65536, .blocks = UINT32_MAX, .seqs_max = 65536, .context_max = UINT32_MAX};
	s = (struct msg_step){
		.running = 65536, .waiting = 65536, .waiting_tokens = 131072ull * TOKENS_MAX, .cells = UINT32_MAX};
	assert_null(report_check(&c, &wide, 0, &s, &usable));
}

static void steps_take_no_more_time_than_goes_by(void **state)
{
	(void)state;
	uint64_t now_us = 5000000;
	struct report_check c;
	struct msg_step s;
	bool usable;

	report_check_init(&c, now_us);
	/* One that began long before we came. */
	s = (struct msg_step){.duration_us = 9 * 60 * 1000000ull};
	assert_null(report_check(&c, &card, now_us, &s, &usable));
	/* Read in one go, made over a minute. */
	now_us += 60 * 1000000ull;
	for (int i = 0; i < 60; i++) {
		s = (struct msg_step){.duration_us = 1000000};
		assert_null(report_check(&c, &card, now_us, &s, &usable));
	}
	/* And from here on it makes time. */
	uint32_t lies = 0;
	for (int i = 0; i < 1000; i++) {
		now_us += 1000;
		s = (struct msg_step){.duration_us = 3 * 60 * 1000000ull, .running = 1};
		const char *bad = report_check(&c, &card, now_us, &s, &usable);
		assert_true(usable);
		assert_int_equal(s.running, 1);
		lies += bad != NULL;
		assert_true(!bad || (!strcmp(bad, "duration_us") && s.duration_us == 0));
	}
	assert_int_equal(lies, 1000);
	s = (struct msg_step){.duration_us = UINT64_MAX};
	assert_string_equal(report_check(&c, &card, now_us, &s, &usable), "duration_us");
	/* It is forgiven as soon as it is honest. */
	now_us += 40000;
	s = (struct msg_step){.duration_us = 40000};
	assert_null(report_check(&c, &card, now_us, &s, &usable));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_honest_report_is_used_as_it_is),
		cmocka_unit_test(a_figure_beyond_the_registration_is_not_used),
		cmocka_unit_test(an_open_registration_has_bounds_too),
		cmocka_unit_test(steps_take_no_more_time_than_goes_by),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
