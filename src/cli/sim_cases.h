/* sim_cases.h - stator sim: what is to be simulated, case by case, and how the outcome is shown.
 * Thread: main's. Memory: the results of all cases, about 60 bytes a request each. */
#ifndef STATOR_CLI_SIM_CASES_H
#define STATOR_CLI_SIM_CASES_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/flags.h"
#include "sim/replay.h"

enum { SIM_CASES_MAX = 256, SIM_LABEL_BYTES = 96 };

/* What --what-if varies. */
enum sim_vary { SIM_VARY_NONE, SIM_VARY_WORKERS, SIM_VARY_BLOCKS, SIM_VARY_SPEED, SIM_VARY_FRONTENDS };

/* One run. */
struct sim_case {
	const char *policy_text; /* as asked for, settings and all */
	const struct route_policy *policy;
	struct route_knobs knobs;
	uint32_t workers, blocks, frontends;
	double speed;
	double value; /* of what varies */
	struct replay_result result;
	bool done;
};

struct sim_cases {
	struct arena arena;
	struct sim_case *v;
	uint32_t len, policies; /* cases stand policy by policy, len / policies values each */
	enum sim_vary vary;
	struct replay_config base; /* trace, policy, workers, ... are filled for each case */
	struct sim_model model;
	uint32_t block_size, jitter_ms, requests_max;
	const char *trace_file; /* NULL: text is there */
	struct buf trace_text; /* made by --generate */
	double goal_ms; /* p99 of the time to first token that --what-if looks for */
	double speeds[REPLAY_WORKERS_MAX];
	uint32_t speeds_len;
};

/* Read the flags (and the graph that is the argument, if any). 0 or negative; err says which flag is wrong. */
int sim_cases_read(struct sim_cases *ret, const struct flags *flags, struct err *err);
void sim_cases_done(struct sim_cases *c);
/* "16 workers": the value that varies, in words. Returns ret. */
const char *sim_vary_text(const struct sim_cases *c, double value, char *ret, size_t cap);
/* The trace of one case, as fast as it asks for. */
int sim_cases_trace(const struct sim_cases *c, const struct sim_case *k, struct trace *ret, struct err *err);

/* One JSON object a case and line, with exactly the documented keys. */
void sim_print_json(const struct sim_cases *c, struct buf *out);
/* A table, and for --what-if the answer and a plot. */
void sim_print_table(const struct sim_cases *c, struct buf *out);
/* One JSON object a request. */
void sim_print_requests(const struct sim_case *k, const struct trace *t, struct buf *out);
/* A page of its own: distributions, workers over time, cases side by side. */
void sim_print_page(const struct sim_cases *c, struct buf *out);

#endif
