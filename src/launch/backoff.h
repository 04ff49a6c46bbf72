/* backoff.h - how long to wait before a process that died is started again.
 *
 * 100 ms, doubled at each death up to 10 s; a process that was up for a minute starts over at 100 ms. No jitter: one
 * supervisor restarts a handful of local processes, there is no herd to spread.
 * Thread: one owner. Zero it before first use. */
#ifndef STATOR_LAUNCH_BACKOFF_H
#define STATOR_LAUNCH_BACKOFF_H

#include <stdint.h>

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 10 * 1000, BACKOFF_RESET_AFTER_MS = 60 * 1000 };

struct backoff {
	uint32_t last_ms; /* the wait given last; 0: none yet */
	uint32_t deaths; /* in a row, since it was last up long enough */
};

/* The process died after up_ms of life: how long to wait, in milliseconds. */
uint32_t backoff_next_ms(struct backoff *b, uint64_t up_ms);

#endif
