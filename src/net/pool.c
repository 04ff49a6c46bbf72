#include "base/log.h"
#include "net/loop_priv.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

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

static uint64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
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

static struct env_job *wait_for_job(struct pool *p, enum fair_lane lane)
{
	struct pool_lane *l = &p->lanes[lane];

	while (!p->stopping) {
		struct env_job *job = fair_queue_take(&p->queue, lane);
		if (job)
			return job;
		l->idle++;
		pthread_cond_wait(&l->more, &p->lock);
		l->idle--;
	}
	return NULL;
}

/* A thread that was woken counts as idle until it runs: whoever takes a job looks here again, so that what a second wake did
 * not reach is not forgotten. */
static bool wants_thread(const struct pool *p, enum fair_lane lane)
{
	return p->queue.lanes[lane].waiting && p->lanes[lane].idle;
}

/* The thread's CPU time is a system call. A job that was short by the clock has not used more, so that is taken for it, and the
 * call is made for long ones alone; jobs in between count with what the clock said. */
struct cpu_clock {
	uint64_t seen_us, since_us; /* the thread's CPU time when last looked at; what jobs took since then */
};

static uint64_t job_took_us(struct cpu_clock *c, uint64_t wall_us)
{
	if (wall_us < POOL_EXACT_US) {
		c->since_us += wall_us;
		return wall_us;
	}
	uint64_t now_us = clock_us(CLOCK_THREAD_CPUTIME_ID), used_us = now_us - c->seen_us;
	uint64_t ret = MIN(wall_us, used_us - MIN(used_us, c->since_us));
	*c = (struct cpu_clock){.seen_us = now_us};
	return ret;
}

static void work_on(struct env_job *job, struct cpu_clock *cpu)
{
	uint64_t from_us = clock_us(CLOCK_MONOTONIC);

	atomic_store_explicit(&job->begun_us, from_us, memory_order_relaxed);
	job->worked = true;
	job->work(job);
	job->took_us = job_took_us(cpu, clock_us(CLOCK_MONOTONIC) - from_us);
}

static void *pool_thread(void *arg)
{
	struct pool_lane *l = arg;
	struct pool *p = l->pool;
	enum fair_lane lane = (enum fair_lane)(l - p->lanes);
	struct cpu_clock cpu = {.seen_us = clock_us(CLOCK_THREAD_CPUTIME_ID)};

	/* For this thread alone. It cannot be taken back, which is why no thread serves both lanes. */
	if (lane == FAIR_LONG && nice(POOL_LONG_NICE) < 0)
		log_debug("threads for long texts keep their priority");
	pthread_mutex_lock(&p->lock);
	for (struct env_job *job; (job = wait_for_job(p, lane));) {
		job->waits = false;
		bool wake = wants_thread(p, lane);
		pthread_mutex_unlock(&p->lock);
		if (wake)
			pthread_cond_signal(&l->more);
		work_on(job, &cpu);
		pthread_mutex_lock(&p->lock);
		/* Counted before it is handed back: then it is its owner's again, and the loop, which that wakes, finds the lock
		 * free. */
		struct fair_cost cost = fair_queue_cost(&p->queue, job);
		fair_queue_ended(&p->queue, &cost);
		pthread_mutex_unlock(&p->lock);
		hand_back(p->loop, job);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int thread_start(struct pool *p, enum fair_lane lane, size_t stack_bytes, const char *name)
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
		r = pthread_create(t, &attr, pool_thread, &p->lanes[lane]);
	pthread_attr_destroy(&attr);
	if (r)
		return -r;
	p->count++;
	pthread_setname_np(*t, name);
	return 0;
}

int pool_start(struct pool *p, struct loop *l, uint32_t count, bool with_long, size_t stack_bytes, const char *name,
	struct err *err)
{
	uint32_t all = with_long ? 2 * count : count;

	p->loop = l;
	pthread_mutex_init(&p->lock, NULL);
	fair_queue_init(&p->queue);
	for (uint32_t i = 0; i < FAIR_LANES; i++) {
		p->lanes[i].pool = p;
		pthread_cond_init(&p->lanes[i].more, NULL);
	}
	p->threads = calloc(all, sizeof *p->threads);
	if (!p->threads)
		return err_set(err, -ENOMEM, "could not start %u %s threads: out of memory", all, name);
	while (p->count < all) {
		int r = thread_start(p, p->count < count ? FAIR_SHORT : FAIR_LONG, stack_bytes, name);
		if (r < 0)
			return err_set_errno(
				err, r, "could not start thread %u of %u for the %s pool", p->count + 1, all, name);
	}
	return 0;
}

int pool_add(struct pool *p, struct env_job *job)
{
	enum fair_lane lane = fair_queue_lane(job);

	if (!p->count)
		return -EAGAIN;
	pthread_mutex_lock(&p->lock);
	job->waits = true;
	fair_queue_add(&p->queue, job);
	bool wake = wants_thread(p, lane);
	pthread_mutex_unlock(&p->lock);
	if (wake) /* outside, where it finds the lock free */
		pthread_cond_signal(&p->lanes[lane].more);
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
	for (uint32_t i = 0; i < FAIR_LANES; i++)
		pthread_cond_broadcast(&p->lanes[i].more);
	for (uint32_t i = 0; i < p->count; i++)
		pthread_join(p->threads[i], NULL);
	for (enum fair_lane i = 0; i < FAIR_LANES; i++) {
		for (struct env_job *job; (job = fair_queue_take(&p->queue, i));)
			job_queue_add(&p->loop->done, job);
		pthread_cond_destroy(&p->lanes[i].more);
	}
	free(p->threads);
	pthread_mutex_destroy(&p->lock);
	*p = (struct pool){0};
}
