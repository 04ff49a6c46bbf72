/* draws.h - draw the tokens of one step's rows on several threads.
 *
 * The rows of a step do not depend on each other, so the result is that of one ll_sampler_draw after another, to the bit. The
 * threads sleep between steps; a step too small to repay waking them is drawn by the caller alone.
 * Thread: ll_draws_run is called by one at a time. Memory: a sampler (20 bytes a vocabulary entry) a thread, allocated at
 * create; pages that no draw has touched cost nothing. */
#ifndef STATOR_LLAMA_DRAWS_H
#define STATOR_LLAMA_DRAWS_H

#include "llama/sampler.h"

enum { LL_DRAWS_THREADS_MAX = 8 };

struct ll_draws;
/* threads: the calling one included; at least 1, more than LL_DRAWS_THREADS_MAX are not made. cpus: the CPUs they may run on
 * (true: may), NULL: those of the caller. -ENOMEM, or -EAGAIN when a thread cannot be started. */
int ll_draws_create(struct ll_draws **ret, uint32_t vocab, uint32_t threads, const bool *cpus, uint32_t cpus_count,
	struct err *err) MUST_USE;
void ll_draws_destroy(struct ll_draws *d);
/* in[i] into ret[i], for all i below count, each with logits of its own. Borrows in. Cannot fail. */
void ll_draws_run(struct ll_draws *d, const struct ll_draw_in *in, struct ll_draw *ret, uint32_t count);
/* How many threads ll_draws_run takes for this, the caller included. */
uint32_t ll_draws_threads(const struct ll_draws *d, const struct ll_draw_in *in, uint32_t count);

#endif
