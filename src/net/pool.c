#include "net/loop_priv.h"

#include <signal.h>
#include <time.h>

void job_queue_init(struct job_queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

void job_queue_add(struct job_queue *q, struct env_job *job)
{
	job->next = NULL;
	*q->tail = job;
	q->tail = &job->next;
}

struct env_job *job_queue_take(struct job_queue *q)
{
	struct env_job *job = q->head;

	if (!job)
		return NULL;
	q->head = job->next;
	if (!q->head)
		q->tail = &q->head;
	job->next = NULL;
	return job;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Back to the loop; it is woken for the first of a batch only. */
static void hand_back(struct loop *l, struct env_job *job)
{
	pthread_mutex_lock(&l->lock);
	bool is_first = l->done.head == NULL;
	job_queue_add(&l->done, job);
	pthread_mutex_unlock(&l->lock);
	if (is_first)
		loop_wake(l);
}

/* Somebody who may do what waits. A thread that was woken counts as idle until it runs: whoever takes a job looks here again,
 * so that what a second wake did not reach is not forgotten. */
static void wake_for(struct pool *p, enum fair_lane lane)
{
	if (p->idle)
		pthread_cond_signal(&p->more);
	else if (lane == FAIR_SMALL && p->idle_small)
		pthread_cond_signal(&p->more_small);
}

static void wake_for_the_rest(struct pool *p)
{
	if (p->queue.waiting[FAIR_SMALL])
		wake_for(p, FAIR_SMALL);
	else if (p->queue.waiting[FAIR_LONG])
		wake_for(p, FAIR_LONG);
}

static struct env_job *wait_for_job(struct pool *p, bool small_only)
{
	pthread_cond_t *more = small_only ? &p->more_small : &p->more;
	uint32_t *idle = small_only ? &p->idle_small : &p->idle;

	while (!p->stopping) {
		struct env_job *job = fair_queue_take(&p->queue, small_only);
		if (job)
			return job;
		++*idle;
		pthread_cond_wait(more, &p->lock);
		--*idle;
	}
	return NULL;
}

static void work_on(struct env_job *job)
{
	uint64_t from_us = now_us();

	atomic_store_explicit(&job->begun_us, from_us, memory_order_relaxed);
	job->worked = true;
	job->work(job);
	job->took_us = now_us() - from_us;
}

static void serve(struct pool *p, bool small_only)
{
	pthread_mutex_lock(&p->lock);
	for (struct env_job *job; (job = wait_for_job(p, small_only));) {
		job->waits = false;
		wake_for_the_rest(p);
		pthread_mutex_unlock(&p->lock);
		work_on(job);
		/* Handed back it is its owner's again. */
		const struct fair_cost cost = fair_queue_cost(&p->queue, job);
		hand_back(p->loop, job);
		pthread_mutex_lock(&p->lock);
		fair_queue_ended(&p->queue, &cost);
	}
	pthread_mutex_unlock(&p->lock);
}

static void *pool_thread(void *arg)
{
	serve(arg, false);
	return NULL;
}

static void *pool_lane_thread(void *arg)
{
	serve(arg, true);
	return NULL;
}

static int thread_start(struct pool *p, void *(*run)(void *arg), size_t stack_bytes, const char *name)
{
	pthread_attr_t attr;
	pthread_t *t = &p->threads[p->count];
	sigset_t all;
	int r = pthread_attr_init(&attr);

	/* Signals are the loop's: a handler must not run on a small stack in the middle of a job. */
	sigfillset(&all);
	if (r == 0)
		r = pthread_attr_setsigmask_np(&attr, &all);
	if (r == 0 && stack_bytes)
		r = pthread_attr_setstacksize(&attr, stack_bytes);
	if (r == 0)
		r = pthread_create(t, &attr, run, p);
	pthread_attr_destroy(&attr);
	if (r)
		return -r;
	p->count++;
	pthread_setname_np(*t, name);
	return 0;
}

int pool_start(struct pool *p, struct loop *l, uint32_t count, bool has_lane, size_t stack_bytes, const char *name,
	struct err *err)
{
	uint32_t all = count + has_lane;

	p->loop = l;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	pthread_cond_init(&p->more_small, NULL);
	fair_queue_init(&p->queue);
	p->threads = calloc(all, sizeof *p->threads);
	if (!p->threads)
		return err_set(err, -ENOMEM, "could not start %u %s threads: out of memory", all, name);
	while (p->count < all) {
		bool is_lane = p->count == count;
		int r = thread_start(p, is_lane ? pool_lane_thread : pool_thread, stack_bytes, name);
		if (r < 0)
			return err_set_errno(
				err, r, "could not start thread %u of %u for the %s pool", p->count + 1, all, name);
	}
	return 0;
}

int pool_add(struct pool *p, struct env_job *job)
{
	if (!p->count)
		return -EAGAIN;
	pthread_mutex_lock(&p->lock);
	job->waits = true;
	fair_queue_add(&p->queue, job);
	wake_for(p, fair_queue_lane(job));
	pthread_mutex_unlock(&p->lock);
	return 0;
}

void pool_job_cancel(struct pool *p, struct env_job *job)
{
	atomic_store_explicit(&job->cancelled, true, memory_order_relaxed);
	pthread_mutex_lock(&p->lock);
	bool waits = job->waits;
	if (waits)
		fair_queue_remove(&p->queue, job);
	job->waits = false;
	pthread_mutex_unlock(&p->lock);
	if (waits)
		hand_back(p->loop, job);
}

void pool_stop(struct pool *p)
{
	if (!p->loop)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_mutex_unlock(&p->lock);
	pthread_cond_broadcast(&p->more);
	pthread_cond_broadcast(&p->more_small);
	for (uint32_t i = 0; i < p->count; i++)
		pthread_join(p->threads[i], NULL);
	for (struct env_job *job; (job = fair_queue_take(&p->queue, false));)
		job_queue_add(&p->loop->done, job);
	free(p->threads);
	pthread_cond_destroy(&p->more);
	pthread_cond_destroy(&p->more_small);
	pthread_mutex_destroy(&p->lock);
	*p = (struct pool){0};
}
