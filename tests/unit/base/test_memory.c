/* Arena, buf and vec keep what they are given and stop at their maximum. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/rng.h"
#include "base/vec.h"

#include <errno.h>

#include "../lib/cmocka_all.h"

static void note_order(void *arg)
{
	char **at = arg;
	(*at)++;
}

static void arena_memory_is_zeroed_aligned_and_apart(void **state)
{
	(void)state;
	struct arena a;
	struct rng r;
	struct {
		unsigned char *p;
		size_t len;
	} got[500];

	arena_init(&a, 1 << 20);
	rng_init(&r, 3);
	for (size_t i = 0; i < ARRAY_LEN(got); i++) {
		got[i].len = rng_below(&r, i % 50 == 0 ? 9000 : 100);
		got[i].p = arena_alloc(&a, got[i].len);
		assert_non_null(got[i].p);
		assert_int_equal((uintptr_t)got[i].p % _Alignof(max_align_t), 0);
		for (size_t k = 0; k < got[i].len; k++)
			assert_int_equal(got[i].p[k], 0);
		memset(got[i].p, (int)(i & 0xff), got[i].len);
	}
	for (size_t i = 0; i < ARRAY_LEN(got); i++)
		for (size_t k = 0; k < got[i].len; k++)
			assert_int_equal(got[i].p[k], i & 0xff);
	arena_done(&a);
}

static void arena_refuses_past_its_maximum_and_runs_hooks(void **state)
{
	(void)state;
	struct arena a;
	char text[] = "abc", *at = text;

	arena_init(&a, 1000);
	assert_int_equal(arena_on_done(&a, note_order, &at), 0);
	assert_int_equal(arena_on_done(&a, note_order, &at), 0);
	assert_null(arena_alloc(&a, 1001));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_non_null(arena_alloc(&a, 500));
	assert_null(arena_alloc(&a, 500));
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 7), "x-7");
	arena_done(&a);
	assert_ptr_equal(at, text + 2);
	assert_non_null(arena_alloc(&a, 900));
	arena_done(&a);
}

static void buf_appends_whole_or_not_at_all(void **state)
{
	(void)state;
	struct buf b;

	buf_init(&b, 10);
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_add_str(&b, "12345678"), 0);
	assert_int_equal(buf_add_str(&b, "abc"), -ENOBUFS);
	assert_true(b.failed);
	assert_string_equal(buf_str(&b), "12345678");
	assert_int_equal(buf_printf(&b, "%s", "90x"), -ENOBUFS);
	assert_int_equal(buf_printf(&b, "%d", 90), 0);
	assert_string_equal(buf_str(&b), "1234567890");
	buf_consume(&b, 4);
	assert_string_equal(buf_str(&b), "567890");
	buf_reset(&b);
	assert_false(b.failed);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOBUFS);
	buf_done(&b);
}

static void vec_keeps_order_when_one_is_removed(void **state)
{
	(void)state;
	VEC(int) v = {0};

	for (int i = 0; i < 100; i++)
		assert_int_equal(vec_push(&v, i), 0);
	vec_remove(&v, 0);
	vec_remove(&v, 50);
	vec_remove(&v, v.len - 1);
	assert_int_equal(v.len, 97);
	assert_int_equal(v.v[0], 1);
	assert_int_equal(v.v[49], 50);
	assert_int_equal(v.v[50], 52);
	assert_int_equal(v.v[96], 98);
	vec_done(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_memory_is_zeroed_aligned_and_apart),
		cmocka_unit_test(arena_refuses_past_its_maximum_and_runs_hooks),
		cmocka_unit_test(buf_appends_whole_or_not_at_all),
		cmocka_unit_test(vec_keeps_order_when_one_is_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
