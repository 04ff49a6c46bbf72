/* The proof of a worker, when there is none to prove: it ends once, with a reason. (Real workers: tests/scenario.) */
#include "launch/proof.h"
#include "net/loop.h"

#include <stdio.h>
#include <unistd.h>
#include <string.h>

#include "../lib/cmocka_all.h"

struct fixture {
	struct loop *loop;
	struct proof *proof;
	int calls;
	char why[128];
};

static void on_done(void *ctx, const char *why)
{
	struct fixture *f = ctx;

	f->calls++;
	snprintf(f->why, sizeof f->why, "%s", why ? why : "proven");
	proof_destroy(f->proof);
	f->proof = NULL;
	loop_stop(f->loop);
}

static void a_worker_that_is_not_there_fails_at_the_deadline(void **state)
{
	const struct loop_config config = {0};
	struct fixture f = {0};
	(void)state;

	assert_int_equal(loop_create(&f.loop, &config, NULL), 0);
	assert_int_equal(proof_start(&f.proof, loop_env(f.loop), "unix:/nowhere/w.sock", 50, on_done, &f, NULL), 0);
	alarm(60);
	loop_run(f.loop);
	alarm(0);
	assert_int_equal(f.calls, 1);
	assert_string_equal(f.why, "no token came in time");
	loop_destroy(f.loop);
}

static void a_proof_given_up_says_nothing(void **state)
{
	const struct loop_config config = {0};
	struct fixture f = {0};
	(void)state;

	assert_int_equal(loop_create(&f.loop, &config, NULL), 0);
	assert_int_equal(proof_start(&f.proof, loop_env(f.loop), "unix:/nowhere/w.sock", 1, on_done, &f, NULL), 0);
	proof_destroy(f.proof);
	proof_destroy(NULL);
	loop_stop(f.loop);
	loop_run(f.loop);
	assert_int_equal(f.calls, 0);
	loop_destroy(f.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_that_is_not_there_fails_at_the_deadline),
		cmocka_unit_test(a_proof_given_up_says_nothing),
	};

	return cmocka_run_group_tests_name("launch/proof", tests, NULL, NULL);
}
