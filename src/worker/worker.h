/* worker.h - one engine, served over frames to any number of frontends.
 *
 * Listens, shakes hands, sends its card and a snapshot of its cached prefixes, then serves: requests and cancels come in,
 * tokens, ends, cache changes and step reports go out, all frames of one step in one write; steps shorter than
 * send_interval_us share one, but first tokens and ends never wait. A request belongs to the connection it came on: when
 * that breaks, it is cancelled. A frontend that takes nothing is cut off when FRAME_QUEUE_BYTES_MAX wait for it; nobody
 * else notices.
 *
 * A step that takes longer than WORKER_STEP_MS_MAX (a GPU that has hung; a model far too large for its cores) ends all
 * requests with that sentence, and frontends are told to send no more. When it ends after all, they connect anew and all is
 * well; after WORKER_HANG_MS on_failed is called.
 *
 * An engine with virtual_time is stepped on the loop and its modelled duration passes on env's clock (so a whole
 * deployment runs on a fake one); any other is stepped on ENV_POOL_ENGINE.
 * Thread: env's loop. Memory: sched.h's, and per frontend what waits for it and one frame that is coming in. */
#ifndef STATOR_WORKER_WORKER_H
#define STATOR_WORKER_WORKER_H

#include "base/env.h"
#include "worker/sched.h"

struct worker_config {
	const char *name; /* unique in the deployment */
	const char *model; /* served name */
	const char *role; /* "both" */
	const char *listen; /* an address of env.h; TCP needs a secret */
	const void *secret; /* shared with frontends on TCP; NULL: none. Borrowed for the worker's life */
	size_t secret_len;
	const void *kv_secret; /* of the KV domain; borrowed until create returns */
	size_t kv_secret_len;
	struct sched_config sched;
	size_t queue_bytes_max; /* waiting for one frontend; 0: FRAME_QUEUE_BYTES_MAX */
	uint32_t send_interval_us; /* a frontend gets tokens at most so often; 0: after every step */
	uint64_t instance; /* 0: random */
	uint32_t pid; /* for the card */
	/* The engine failed for good: every request was ended and told. The owner ends the process. */
	void (*on_failed)(void *ctx, const struct err *err);
	/* After worker_drain: nothing runs, nothing waits, all is sent. */
	void (*on_drained)(void *ctx);
	/* May be NULL. A step has ended that began at began_us (env's clock); step is what the frontends are told. */
	void (*on_step)(void *ctx, const struct msg_step *step, uint64_t began_us);
	void *ctx;
};

struct worker;
/* Begin to serve. Borrows env and engine; copies the strings of config. */
int worker_create(struct worker **ret, struct env *env, struct engine *engine, const struct worker_config *config,
	struct err *err) MUST_USE;
/* Where it listens, as bound. */
const char *worker_addr(const struct worker *w);
/* Refuse new requests and tell the frontends; end what still runs after time_left_ms (0: now). on_drained follows. */
void worker_drain(struct worker *w, uint64_t time_left_ms);
/* True while the engine's thread may be using the batch: destroy must wait. */
bool worker_is_stepping(const struct worker *w);
/* Closes everything; frontends see the connection end. Not while stepping. NULL is fine. */
void worker_destroy(struct worker *w);

struct worker_counts {
	uint32_t frontends, requests;
	uint64_t steps, frontends_cut; /* cut: because they took nothing */
};
struct worker_counts worker_counts(const struct worker *w);

#endif
