/* Memory or threads that end while the threads that draw are made: each allocation and each start of a thread fails in turn.
 * The sources are compiled into this program with calls that fail when told to. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static uint32_t calls, fail_at; /* fail_at 0: never */

static bool fails(void)
{
	return ++calls == fail_at;
}
static void *failing_malloc(size_t n)
{
	return fails() ? NULL : malloc(n);
}
static void *failing_calloc(size_t n, size_t size)
{
	return fails() ? NULL : calloc(n, size);
}
static int failing_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return fails() ? EAGAIN : pthread_create(t, attr, run, arg);
}
#define malloc failing_malloc
#define calloc failing_calloc
#define pthread_create failing_pthread_create
#include "../../../src/llama/draws.c"
#include "../../../src/llama/sampler.c"
#undef malloc
#undef calloc
#undef pthread_create

#include "../lib/cmocka_all.h"

static void all_is_made_or_nothing(void **state)
{
	(void)state;
	enum { THREADS = 4 };
	uint32_t no_memory = 0, no_thread = 0;
	int code;
	do {
		struct ll_draws *d = NULL;
		struct err err;
		calls = 0;
		fail_at++;
		code = ll_draws_create(&d, 1000, THREADS, NULL, 0, &err);
		assert_true((code == 0) == (d != NULL));
		if (code < 0)
			assert_non_null(strstr(err.msg, "could not make room to draw tokens: "));
		no_memory += code == -ENOMEM;
		no_thread += code == -EAGAIN;
		ll_draws_destroy(d);
	} while (calls >= fail_at);
	assert_int_equal(code, 0);
	assert_int_equal(no_memory, 1 + 4 * THREADS);
	assert_int_equal(no_thread, THREADS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(all_is_made_or_nothing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
