/* backoff.c - waits between restarts; see backoff.h. */
#include "launch/backoff.h"
#include "base/compiler.h"

uint32_t backoff_next_ms(struct backoff *b, uint64_t up_ms)
{
	if (up_ms >= BACKOFF_RESET_AFTER_MS)
		*b = (struct backoff){0};
	b->deaths++;
	b->last_ms = b->last_ms == 0 ? BACKOFF_FIRST_MS : MIN(b->last_ms * 2, (uint32_t)BACKOFF_MAX_MS);
	return b->last_ms;
}
