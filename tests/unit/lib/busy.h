/* busy.h - cancel what the calling thread computes, in its middle: once that thread has computed for so long by its own clock of CPU
 * time, however busy the machine is, and not after so much time has gone by. */
#ifndef STATOR_TESTS_BUSY_H
#define STATOR_TESTS_BUSY_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct busy {
	pthread_t thread;
	clockid_t clock; /* of who computes */
	uint64_t at_us;
	atomic_bool *cancelled, over;
};

static inline uint64_t busy_us(clockid_t clock)
{
	struct timespec t;

	assert_int_equal(clock_gettime(clock, &t), 0);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void *busy_wait(void *arg)
{
	struct busy *b = arg;

	while (!atomic_load(&b->over) && busy_us(b->clock) < b->at_us)
		sched_yield();
	atomic_store(b->cancelled, true);
	return NULL;
}

/* From the thread that is about to compute. */
static inline void busy_cancel_begin(struct busy *b, atomic_bool *cancelled, uint64_t after_us)
{
	assert_int_equal(pthread_getcpuclockid(pthread_self(), &b->clock), 0);
	b->at_us = busy_us(b->clock) + after_us;
	b->cancelled = cancelled;
	atomic_store(cancelled, false);
	atomic_init(&b->over, false);
	assert_int_equal(pthread_create(&b->thread, NULL, busy_wait, b), 0);
}

/* It has computed. */
static inline void busy_cancel_end(struct busy *b)
{
	atomic_store(&b->over, true);
	pthread_join(b->thread, NULL);
}

#endif
