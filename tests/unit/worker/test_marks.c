/* Where prompts pause so that a state can be kept. */
#include "worker/marks.h"

#include "../lib/cmocka_all.h"

enum { B = 16 };

static struct marks marks_of(uint32_t prompt_len, uint32_t from, uint32_t common)
{
	struct marks m;

	marks_init(&m, B, prompt_len, (struct seqs_match){.len = from, .common = common});
	return m;
}

/* Every mark of a prompt, in order; checks that next and at agree. */
static uint32_t all_marks(const struct marks *m, uint32_t prompt_len, uint32_t *ret)
{
	uint32_t count = 0;

	for (uint32_t len = m->start, next; (next = marks_next(m, len)) < prompt_len; len = next) {
		for (uint32_t between = len + 1; between < next; between++) {
			assert_int_equal(marks_at(m, between), MARK_NONE);
			assert_int_equal(marks_next(m, between), next);
		}
		assert_int_not_equal(marks_at(m, next), MARK_NONE);
		ret[count++] = next;
	}
	return count;
}

static void the_end_is_the_last_block_before_what_the_template_puts_last(void **state)
{
	(void)state;
	for (uint32_t len = 1; len < 200; len++) {
		struct marks m = marks_of(len, 0, 0);
		uint32_t end = len > MARKS_TAIL ? (len - MARKS_TAIL) / B * B : 0;
		assert_int_equal(m.end, end);
		assert_int_equal(marks_next(&m, 0), end ? end : UINT32_MAX);
		assert_true(end + MARKS_TAIL <= len || !end);
	}
}

static void what_saves_less_than_a_block_gets_no_mark(void **state)
{
	(void)state;
	/* The end would be 96: it must be a block ahead of the start. */
	assert_int_equal(marks_of(110, 80, 80).end, 96);
	assert_int_equal(marks_of(110, 81, 81).end, 0);
	assert_int_equal(marks_of(110, 100, 100).end, 0);
	assert_int_equal(marks_of(110, 64, 79).forks_count, 0);
	assert_int_equal(marks_of(110, 64, 80).forks_count, 1);
	/* Beyond the end there is the end. */
	assert_int_equal(marks_of(110, 0, 105).forks_count, 0);
}

static void a_fork_is_marked_at_the_block_before_it(void **state)
{
	(void)state;
	struct marks m = marks_of(300, 40, 139);
	uint32_t at[8];

	assert_int_equal(all_marks(&m, 300, at), 2);
	assert_int_equal(at[0], 128);
	assert_int_equal(at[1], 288);
	assert_int_equal(marks_at(&m, 128), MARK_KEEP);
	assert_int_equal(marks_at(&m, 288), MARK_KEEP);
}

static void long_prompts_get_a_bounded_number_of_strides_and_sparing_ones(void **state)
{
	(void)state;
	uint32_t at[32];

	for (uint32_t len = 16; len < 200000; len += len / 3 + 7) {
		uint32_t start = len % 5 ? 0 : len / 4;
		struct marks m = marks_of(len, start, start);
		uint32_t count = all_marks(&m, len, at), before = start;
		assert_true(count <= MARKS_STRIDES + 2);
		for (uint32_t i = 0; i < count; i++) {
			assert_true(at[i] % B == 0 && at[i] > start);
			assert_true(marks_at(&m, at[i]) == (at[i] == m.end ? MARK_KEEP : MARK_SPARE));
			if (i && at[i] != m.end)
				assert_true(at[i] - before >= MARKS_STRIDE_MIN);
			before = at[i];
		}
		/* No gap is much larger than the others. */
		if (len - start > 2 * MARKS_STRIDE_MIN + 64)
			assert_true(count >= 2);
	}
}

static void others_add_marks_until_there_is_no_room(void **state)
{
	(void)state;
	struct marks m = marks_of(1000, 0, 0);

	for (uint32_t i = 0; i < MARKS_FORKS_MAX; i++)
		assert_true(marks_add(&m, 10 + 20 * i, MARK_PAUSE));
	assert_false(marks_add(&m, 999, MARK_PAUSE));
	/* One that is there is no new one, and the stronger wish stays. */
	assert_true(marks_add(&m, 30, MARK_KEEP));
	assert_true(marks_add(&m, 30, MARK_PAUSE));
	assert_int_equal(marks_at(&m, 30), MARK_KEEP);
	assert_int_equal(marks_at(&m, 10), MARK_PAUSE);
	assert_int_equal(marks_next(&m, 0), 10);
	assert_int_equal(marks_next(&m, 10), 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_is_the_last_block_before_what_the_template_puts_last),
		cmocka_unit_test(what_saves_less_than_a_block_gets_no_mark),
		cmocka_unit_test(a_fork_is_marked_at_the_block_before_it),
		cmocka_unit_test(long_prompts_get_a_bounded_number_of_strides_and_sparing_ones),
		cmocka_unit_test(others_add_marks_until_there_is_no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
