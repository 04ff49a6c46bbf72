/* budget.h - what one piece of long work may cost, looked at while it runs: its thread's CPU time, and whether anybody still
 * wants the result.
 *
 * For work on pool threads whose length a stranger decides (a chat template over his messages, a text to be tokenized). The
 * work says budget_spend at every step; now and then (BUDGET_LOOK_STEPS) that looks at the flag and the clock.
 * Why a clock here, below the seam of base/env.h: env belongs to the loop and its threads must not touch it; how long code
 * runs is no input that a simulation could replay; and it decides only whether an answer is refused, which in a simulation,
 * where renders take microseconds, it never is. It is the thread's CPU time, not the wall's: a busy neighbour must not make
 * an honest prompt fail. Deadlines of the wall clock are the loop's: it sets the flag (env_job_cancel).
 * Thread: one budget belongs to the thread that calls budget_begin; the flag is set by any. */
#ifndef STATOR_BASE_BUDGET_H
#define STATOR_BASE_BUDGET_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
typedef bool budget_flag; /* C++ only hands it on */
#else
#include <stdatomic.h>
typedef atomic_bool budget_flag;
#endif

/* A step is some 50 ns of work, or 64 bytes moved: so a look every half millisecond. */
enum { BUDGET_LOOK_STEPS = 8192 };

struct budget {
	const budget_flag *cancelled; /* the result is wanted no more; may be NULL: it always is. Set before begin */
	uint64_t cpu_end_ns; /* private, as the rest; 0: no bound */
	uint64_t steps_left; /* to the next look */
	int code; /* what ended it; stays */
};

/* Start to count, on the thread that works. cpu_ms_max 0: no bound but the flag. Again for another part of the work. */
void budget_begin(struct budget *b, uint32_t cpu_ms_max);
/* For budget_spend. */
int budget_look(struct budget *b);
/* 0: go on. -ECANCELED: nobody wants the result; -ETIME: the CPU time is used up. From then on always that. */
static inline int budget_spend(struct budget *b, uint64_t steps)
{
	if (steps < b->steps_left) {
		b->steps_left -= steps;
		return 0;
	}
	return budget_look(b);
}

#ifdef __cplusplus
}
#endif
#endif
