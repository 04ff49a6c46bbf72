/* proof.h - does a worker that says it is ready really generate? Two tokens, each a step, asked for over its own frames.
 *
 * Thread: the loop's. Memory: one link (a frame). */
#ifndef STATOR_LAUNCH_PROOF_H
#define STATOR_LAUNCH_PROOF_H

#include "base/env.h"

/* The tokens of a cold worker: a large model on a CPU, kernels that are compiled. */
enum { PROOF_TIMEOUT_MS = 180 * 1000 };

struct proof;
/* Connect to the worker at addr ("unix:/run/x/w0.sock") and ask for two tokens. done is called once, in a later turn, with NULL
 * or with why it failed; proof_destroy may be called in it. timeout_ms 0: PROOF_TIMEOUT_MS. */
int proof_start(struct proof **ret, struct env *env, const char *addr, uint32_t timeout_ms,
	void (*done)(void *ctx, const char *why), void *ctx, struct err *err);
/* Give it up; done is not called any more. NULL is fine. */
void proof_destroy(struct proof *p);

#endif
