/* budget.c - see budget.h. */
#include "base/budget.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void budget_begin(struct budget *b, uint32_t cpu_ms_max)
{
	b->cpu_end_ns = cpu_ms_max ? cpu_ns() + (uint64_t)cpu_ms_max * 1000000 : 0;
	b->steps_left = BUDGET_LOOK_STEPS;
}

int budget_look(struct budget *b)
{
	b->steps_left = 0; /* an ended budget looks at every step */
	if (!b->code && b->cancelled && atomic_load_explicit(b->cancelled, memory_order_relaxed))
		b->code = -ECANCELED;
	if (!b->code && b->cpu_end_ns && cpu_ns() >= b->cpu_end_ns)
		b->code = -ETIME;
	if (!b->code)
		b->steps_left = BUDGET_LOOK_STEPS;
	return b->code;
}
