/* env.h - a struct env on a virtual clock: timers, streams and pools of one simulated host, in one thread, from a seed.
 *
 * The same seed and the same calls give the same run, byte for byte. One turn is one event (a timer, a segment that
 * arrives, a job that is done); the clock jumps from event to event. Streams have a delay, split what is written at
 * random borders and join it again, have a kernel buffer of a size (so a reader that does not read makes its writer's
 * queue grow), and can be cut. Jobs really do their work, at the moment they are done.
 *
 * Thread: one. Memory: what is in flight. Addresses are names: anything env_listen took, env_connect finds. */
#ifndef STATOR_SIM_ENV_H
#define STATOR_SIM_ENV_H

#include "base/env.h"

struct sim;

struct sim_config {
	uint64_t seed;
	uint32_t delay_us_min, delay_us_max; /* of a segment on its way; order in one direction is kept */
	uint32_t segment_bytes_max; /* what one on_data brings at most; borders are random below it. 0: never split */
	uint32_t socket_bytes; /* what the kernel takes from a writer before its peer has read */
	uint32_t job_us_min, job_us_max; /* how long a job takes, beside what it says it costs */
	uint32_t
		text_threads; /* of ENV_POOL_TEXT, for short jobs and as many for long ones; 0: offload to it refuses */
	/* Told before and after each call of an owner (a timer, a stream's event, a job): what happens between the two is
	 * the code under test, the rest is this simulation. NULL: nobody is told. */
	void (*owner)(bool begins);
};
/* 20 to 200 us delays, segments up to 1,400 bytes, 64 KiB sockets, jobs of 50 to 500 us, 2 text threads. */
void sim_config_default(struct sim_config *ret, uint64_t seed);

int sim_create(struct sim **ret, const struct sim_config *config, struct err *err) MUST_USE;
struct env *sim_env(struct sim *s);
/* Free everything, call nobody. Owners of jobs and timers are on their own. */
void sim_destroy(struct sim *s);

/* Do the next event, moving the clock to it. False: nothing is left to do. */
bool sim_step(struct sim *s);
/* Do every event up to and at at_us, then set the clock to it. */
void sim_run_until(struct sim *s, uint64_t at_us);
void sim_run_for(struct sim *s, uint64_t us);
/* Set the clock us ahead and do nothing: the whole process was stopped (SIGSTOP, a paused container), and all that was due
 * meanwhile comes late, in its order. */
void sim_jump(struct sim *s, uint64_t us);
/* Step until cond(ctx) is true, at most until the clock shows at_us. Returns cond(ctx). */
bool sim_run_cond(struct sim *s, bool (*cond)(void *ctx), void *ctx, uint64_t at_us);

/* Faults. */
/* Cut one stream as a broken network does: what is on its way is lost, both ends are told -ECONNRESET (in later turns).
 */
void sim_cut(struct sim *s, struct env_conn *c);
/* Cut every stream that was connected to addr. Returns how many. */
uint32_t sim_cut_addr(struct sim *s, const char *addr);
/* From now on env_connect to addr is refused (or works again). */
void sim_refuse(struct sim *s, const char *addr, bool refuse);
/* Make env_offload refuse with -EAGAIN, as an env that stops does. */
void sim_stop_jobs(struct sim *s, bool stop);

/* What is alive, to find leaks: streams that have an owner, listeners, timers set by owners, jobs not done. */
struct sim_counts {
	uint32_t conns, listeners, timers, jobs;
};
struct sim_counts sim_counts(const struct sim *s);

#endif
