#include "net/loop_priv.h"

#include <signal.h>

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

static void *pool_thread(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->queue.head && !p->stopping)
			pthread_cond_wait(&p->more, &p->lock);
		if (p->stopping)
			break;
		struct env_job *job = job_queue_take(&p->queue);
		pthread_mutex_unlock(&p->lock);
		job->work(job);
		hand_back(p->loop, job);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int thread_start(struct pool *p, size_t stack_bytes, const char *name)
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
		r = pthread_create(t, &attr, pool_thread, p);
	pthread_attr_destroy(&attr);
	if (r)
		return -r;
	p->count++;
	pthread_setname_np(*t, name);
	return 0;
}

int pool_start(struct pool *p, struct loop *l, uint32_t count, size_t stack_bytes, const char *name, struct err *err)
{
	p->loop = l;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	job_queue_init(&p->queue);
	p->threads = calloc(count, sizeof *p->threads);
	if (!p->threads)
		return err_set(err, -ENOMEM, "could not start %u %s threads: out of memory", count, name);
	while (p->count < count) {
		int r = thread_start(p, stack_bytes, name);
		if (r < 0)
			return err_set_errno(
				err, r, "could not start thread %u of %u for the %s pool", p->count + 1, count, name);
	}
	return 0;
}

int pool_add(struct pool *p, struct env_job *job)
{
	if (!p->count)
		return -EAGAIN;
	pthread_mutex_lock(&p->lock);
	job_queue_add(&p->queue, job);
	pthread_mutex_unlock(&p->lock);
	pthread_cond_signal(&p->more);
	return 0;
}

void pool_stop(struct pool *p)
{
	if (!p->loop)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_mutex_unlock(&p->lock);
	pthread_cond_broadcast(&p->more);
	for (uint32_t i = 0; i < p->count; i++)
		pthread_join(p->threads[i], NULL);
	for (struct env_job *job; (job = job_queue_take(&p->queue));)
		job_queue_add(&p->loop->done, job);
	free(p->threads);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	*p = (struct pool){0};
}
