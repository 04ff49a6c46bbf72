/* draws.c - a few threads that sleep on one semaphore.
 *
 *     caller                             helper
 *     job, busy = 1 + helpers woken
 *     post work, once a helper     ->    wait for work
 *     take rows                          take rows
 *     take back work nobody took         busy - 1; the last one posts done
 *     busy - 1 - taken back
 *     unless last: wait for done   <-
 *
 * A helper that the kernel has not run yet when the rows are gone is not waited for: the caller takes its work back. */
#include "llama/draws.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A greedy draw takes 17 us per 150,000 entries, any other 2.5 to 14 times as long (docs/benchmarks.md). A thread is worth waking,
 * which takes 5 to 20 us, for some 35 us of work. */
enum { ENTRIES_A_THREAD = 300000, GREEDY_COST = 1, OTHER_COST = 4 };

struct helper {
	struct ll_draws *draws;
	struct ll_sampler *sampler;
	pthread_t thread;
};

struct ll_draws {
	uint32_t vocab, helpers_count; /* helpers that run */
	struct ll_sampler *own; /* the caller's */
	struct helper helpers[LL_DRAWS_THREADS_MAX - 1];
	sem_t work, done;
	bool stopping;
	/* The job: written by the caller before it posts work. */
	const struct ll_draw_in *in;
	struct ll_draw *ret;
	uint32_t count;
	atomic_uint next; /* row */
	atomic_uint busy; /* threads that may still look at the job */
};

static void wait_for(sem_t *s)
{
	while (sem_wait(s) < 0 && errno == EINTR)
		;
}

static void take_rows(struct ll_draws *d, struct ll_sampler *s)
{
	for (uint32_t i; (i = atomic_fetch_add_explicit(&d->next, 1, memory_order_relaxed)) < d->count;)
		ll_sampler_draw(s, &d->in[i], &d->ret[i]);
}

static void *help(void *arg)
{
	struct helper *h = arg;
	struct ll_draws *d = h->draws;

	for (;;) {
		wait_for(&d->work);
		if (d->stopping)
			return NULL;
		take_rows(d, h->sampler);
		if (atomic_fetch_sub(&d->busy, 1) == 1)
			sem_post(&d->done);
	}
}

/* ---- life ---- */

/* As with compute threads, CPUs that are not there are no error: the threads then run where the process may. */
static void bind_to(pthread_t thread, const bool *cpus, uint32_t count)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (uint32_t i = 0; i < count && i < CPU_SETSIZE; i++)
		if (cpus[i])
			CPU_SET(i, &set);
	pthread_setaffinity_np(thread, sizeof set, &set);
}

static int helper_start(struct ll_draws *d, const bool *cpus, uint32_t cpus_count, struct err *err)
{
	struct helper *h = &d->helpers[d->helpers_count];
	sigset_t all, before;
	int r = ll_sampler_create(&h->sampler, d->vocab, err);

	if (r < 0)
		return r;
	h->draws = d;
	/* Signals are others'. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&h->thread, NULL, help, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r) {
		ll_sampler_destroy(h->sampler);
		return err_set_errno(err, -r, "could not start thread %u that draws tokens", d->helpers_count + 2);
	}
	d->helpers_count++;
	pthread_setname_np(h->thread, "draw");
	if (cpus)
		bind_to(h->thread, cpus, cpus_count);
	return 0;
}

DEFINE_CLEANUP(ll_draws_destroy, struct ll_draws)

int ll_draws_create(
	struct ll_draws **ret, uint32_t vocab, uint32_t threads, const bool *cpus, uint32_t cpus_count, struct err *err)
{
	CLEANUP(ll_draws_destroy_p) struct ll_draws *d = calloc(1, sizeof *d);
	if (!d)
		return err_set(err, -ENOMEM, "could not make room to draw tokens: out of memory");
	d->vocab = vocab;
	sem_init(&d->work, 0, 0);
	sem_init(&d->done, 0, 0);
	int r = ll_sampler_create(&d->own, vocab, err);
	while (r == 0 && d->helpers_count + 1 < MIN(threads, (uint32_t)LL_DRAWS_THREADS_MAX))
		r = helper_start(d, cpus, cpus_count, err);
	if (r < 0)
		return err_wrap(err, "could not make room to draw tokens");
	*ret = TAKE(d);
	return 0;
}

void ll_draws_destroy(struct ll_draws *d)
{
	if (!d)
		return;
	d->stopping = true;
	for (uint32_t i = 0; i < d->helpers_count; i++)
		sem_post(&d->work);
	for (uint32_t i = 0; i < d->helpers_count; i++) {
		pthread_join(d->helpers[i].thread, NULL);
		ll_sampler_destroy(d->helpers[i].sampler);
	}
	ll_sampler_destroy(d->own);
	sem_destroy(&d->work);
	sem_destroy(&d->done);
	free(d);
}

/* ---- a step ---- */

static uint64_t cost(const struct ll_draw_in *in)
{
	return in->sampling->temperature <= 0 && !in->logprobs ? GREEDY_COST : OTHER_COST;
}

uint32_t ll_draws_threads(const struct ll_draws *d, const struct ll_draw_in *in, uint32_t count)
{
	uint64_t work = 0, most = MIN(d->helpers_count + 1, count);
	for (uint32_t i = 0; i < count; i++)
		work += cost(&in[i]) * d->vocab;
	return (uint32_t)MAX(MIN(work / ENTRIES_A_THREAD, most), 1u);
}

void ll_draws_run(struct ll_draws *d, const struct ll_draw_in *in, struct ll_draw *ret, uint32_t count)
{
	uint32_t helpers = ll_draws_threads(d, in, count) - 1, left = 1;

	d->in = in;
	d->ret = ret;
	d->count = count;
	atomic_store_explicit(&d->next, 0, memory_order_relaxed);
	atomic_store_explicit(&d->busy, 1 + helpers, memory_order_relaxed);
	for (uint32_t i = 0; i < helpers; i++)
		sem_post(&d->work);
	take_rows(d, d->own);
	while (left <= helpers && sem_trywait(&d->work) == 0)
		left++;
	if (atomic_fetch_sub(&d->busy, left) != left)
		wait_for(&d->done);
}
