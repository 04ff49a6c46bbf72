/* fail_nth.h - memory that ends: the n-th allocation fails, for n = 1, 2, 3, ... until a run succeeds.
 *
 * Programs named test_*_alloc or test_alloc are linked so that malloc, calloc, realloc, strdup, strndup, fopen, opendir and
 * arena_*() of our own code come here (mk/test_alloc.mk), and what jansson asks of it; libevent's too, after fail_nth_init. It works in the
 * usual build and with sanitizers alike, so that a leak on the way out of an error is seen as well.
 *
 * Only what runs between begin and end, on the thread that armed, can fail: a test brackets the code it tries. A simulation
 * given fail_nth_owner brackets each call of an owner, so that its own memory and the test's never fail; fail_env makes the
 * calls into an env that may be refused points of failure as well.
 * Thread: the one that arms. */
#ifndef STATOR_TESTS_FAIL_NTH_H
#define STATOR_TESTS_FAIL_NTH_H

#include "base/env.h"

/* Once, before anything is allocated. */
void fail_nth_init(void);
/* From now on, between begin and end: the n-th allocation fails, and the `more` behind it. n 0: none does. */
void fail_nth_arm(uint64_t n, uint64_t more);
/* Back to a memory that does not end. True: one has failed since arm. */
bool fail_nth_disarm(void);
void fail_nth_begin(void);
void fail_nth_end(void);
/* Around what is the test's own within begin and end: nothing fails. resume takes what suspend gave. */
uint32_t fail_nth_suspend(void);
void fail_nth_resume(uint32_t depth);
/* A point of failure that is not malloc. True: fail now. */
bool fail_nth_here(void);
/* How many points were met since arm. */
uint64_t fail_nth_met(void);
/* Call run(ctx, err) with each point of failure in turn, between begin and end, until one run meets none: it must succeed (0
 * or more), and those with a failure must succeed too or return -ENOMEM with a sentence. Returns how many were refused. */
uint32_t fail_nth_each(int (*run)(void *ctx, struct err *err), void *ctx);
/* struct sim_config.owner */
void fail_nth_owner(bool begins);

/* env's calls as owners see them: connect, listen and conn_write can fail too, and nothing inside does. Returns a static
 * object; one at a time. */
struct env *fail_env(struct env *inner);

#endif
