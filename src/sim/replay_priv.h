/* replay_priv.h - what the files of the replay share. */
#ifndef STATOR_SIM_REPLAY_PRIV_H
#define STATOR_SIM_REPLAY_PRIV_H

#include "base/map.h"
#include "base/rng.h"
#include "sim/env.h"
#include "sim/replay.h"

struct replay;

/* A worker. */
struct site {
	struct replay *replay;
	struct sim_engine *engine;
	struct pool_worker *seats[REPLAY_FRONTENDS_MAX]; /* it in each frontend's pool */
	uint32_t number;
	bool up, running; /* a pass is out */
	double lie;
	struct env_timer start, pass_end, fault;
	struct list flights;
	uint64_t pass_us, busy_us, busy_sampled_us;
	struct msg_step last;
	uint32_t here; /* requests */
	char name[16];
	struct map told; /* with lost events: hashes the frontends were told of */
	uint64_t told_digest;
};

struct flight {
	struct pool_ticket ticket;
	struct replay *replay;
	struct list link; /* in its site's */
	struct site *site; /* NULL: it waits, or has ended */
	uint32_t row, frontend, restarts;
	uint32_t generated_before; /* on workers that died */
	uint64_t arrived_us, first_us, done_us;
	uint32_t cached;
	bool started_before, ended, first_said;
};

/* A report or event on its way to every frontend. */
struct notice {
	struct list link;
	struct site *site;
	uint64_t at_us;
	bool is_kv;
	struct msg_step step;
	struct msg_kv kv; /* arrays behind the struct */
	uint64_t hashes[];
};

struct replay {
	const struct replay_config *config;
	struct sim *sim;
	struct env *env;
	struct pool *pools[REPLAY_FRONTENDS_MAX];
	struct site *sites;
	struct flight *flights;
	uint8_t *uses;
	struct rng faults_rng;
	struct list notices;
	struct env_timer arrival, notice, sample, resync;
	uint32_t next_row, ended, shed, samples;
	uint64_t begin_us, sample_us;
	uint64_t passes, preemptions, resyncs;
	struct replay_result *result;
	bool stopped;
};

/* replay_site.c: workers. */
int site_up(struct site *s, struct err *err);
void site_down(struct site *s);
void site_take(struct site *s, struct flight *f);
void site_on_start(void *ctx);
void site_on_pass_end(void *ctx);
/* replay_notice.c: what workers tell. */
void notice_kv(struct site *s, const struct sim_pass *pass);
void notice_step(struct site *s, const struct sim_pass *pass);
void notice_snapshot(struct site *s, uint32_t frontend);
void notice_on_timer(void *ctx);
void notice_drop(struct replay *r, struct site *s); /* NULL: all */
/* replay.c */
void flight_submit(struct flight *f);
void flight_end(struct flight *f);

#endif
