/* world.h - clients, a frontend and mock workers in one thread, on a fake clock, from a seed. */
#ifndef STATOR_TESTS_WORLD_H
#define STATOR_TESTS_WORLD_H

#include "base/buf.h"
#include "engine/mock.h"
#include "frontend/frontend.h"
#include "sim/env.h"
#include "text/tokenizer.h"
#include "worker/worker.h"

enum { WORLD_WORKERS_MAX = 4 };

struct world {
	struct sim *sim;
	struct env *env;
	struct frontend *fe;
	struct tokenizer *tokenizer; /* "byte", for references */
	struct {
		struct engine *engine;
		struct worker *worker; /* NULL: dead */
		bool failed; /* it said that its engine failed for good: its process would end now */
		char name[16], addr[64];
	} workers[WORLD_WORKERS_MAX];
	uint32_t workers_len;
	struct mock_config mock;
	struct sched_config sched;
	const char *model; /* of workers started from now on */
};

struct world_config {
	uint64_t seed;
	uint32_t workers;
	struct mock_config mock;
	struct sched_config sched;
	struct sim_config sim; /* seed 0: the default */
	struct frontend_config frontend; /* listen NULL: the default */
	bool fail_nth; /* what happens in frontend and workers is between fail_nth_begin and fail_nth_end */
};
/* A small deployment: 2 workers of 4,096 cells, answers of 4 to 40 tokens, steps of 1 ms. */
void world_config_default(struct world_config *ret, uint64_t seed);
void world_init(struct world *w, const struct world_config *config);
/* The same, where it may fail: 0 or a negative code, and then there is nothing to be done with w. */
int world_try_init(struct world *w, const struct world_config *config, struct err *err);
/* Run until the frontend has so many workers up; fails the test when that takes longer than ten seconds. */
void world_wait_workers(struct world *w, uint32_t count);
void world_worker_start(struct world *w, uint32_t i);
int world_worker_try_start(struct world *w, uint32_t i, struct err *err);
void world_worker_kill(struct world *w, uint32_t i);
/* Nothing runs, waits or is held anywhere; fails the test when that is not so after ten seconds. */
void world_wait_idle(struct world *w);
void world_done(struct world *w);

/* What the mock answers: the text, without its end token. Returns "stop" or "length". */
const char *world_reference(const struct world *w, const uint32_t *prompt, uint32_t prompt_len, bool sampled,
	uint64_t seed, uint32_t max_tokens, bool ignore_eos, struct buf *ret);
/* The same for a text prompt of /v1/completions. */
const char *world_reference_text(
	const struct world *w, const char *prompt, bool sampled, uint64_t seed, uint32_t max_tokens, struct buf *ret);

/* One HTTP request on a connection of its own. Zero it before first use. */
struct world_client {
	struct world *world;
	struct env_conn *conn; /* NULL: closed by either side */
	struct buf raw, body; /* all that came; the decoded body, once parsed */
	int status;
	char *headers;
	bool ended; /* the server closed */
	bool whole; /* parsed, and the body is complete */
};
extern const struct env_conn_ops world_client_ops; /* a client's, for one that connects by itself */
/* headers ("name: value\r\n"..., or NULL) replace the usual host, content-type and content-length, where they have them. */
void world_send(struct world *w, struct world_client *c, const char *method, const char *path, const char *headers,
	const char *body);
void world_post(struct world *w, struct world_client *c, const char *path, const char *body);
/* Run until the answer has ended, then parse it. Fails the test when it does not end in a minute. */
void world_finish(struct world_client *c);
/* Close from our side. */
void world_leave(struct world_client *c);
void world_client_done(struct world_client *c);
/* Value of an answer's header (copied into a static buffer), NULL when absent. */
const char *world_header(const struct world_client *c, const char *name);

/* What a stream said, choice by choice. */
struct world_stream {
	struct buf text[16];
	char finish[16][16];
	uint32_t comments, events, finishes[16], errors, dones, usages;
	char error[512];
	uint64_t prompt_tokens, completion_tokens, cached_tokens;
};
void world_stream_read(struct world_stream *s, const struct world_client *c);
void world_stream_done(struct world_stream *s);

#endif
