/* load.h - sends a load to an OpenAI-compatible server and measures what comes back.
 *
 * Closed loop: a number of clients, each asks, waits for the answer, thinks, asks again. Open loop: sessions begin at
 * random moments of a given rate (Poisson), or requests at the times of a trace, whether or not answers have come; one
 * that finds every connection busy waits, and its times count from when it was due.
 *
 * Thread: the env's loop; on_done is called in a turn of its own. Memory: a connection, a conversation and an answer a
 * client; rows of a trace belong to the caller. */
#ifndef STATOR_LOAD_LOAD_H
#define STATOR_LOAD_LOAD_H

#include "base/env.h"
#include "load/stats.h"
#include "load/workload.h"
#include "net/http_client.h"

enum { LOAD_CLIENTS_MAX = 16384 };

struct load_config {
	struct workload workload;
	struct http_url url;
	const char *headers; /* more header lines, each ended by "\r\n"; NULL: none */
	/* One of three: a closed loop of clients; else rate; else rows. */
	uint32_t clients; /* closed: how many; open: connections at most */
	double rate; /* sessions begun a second; 0: none */
	const struct workload_row *rows; /* of a trace; workload.block_tokens must be set */
	uint32_t rows_count;
	double speed; /* of the trace's clock; 0: 1 */
	uint64_t think_us; /* mean of an exponential pause between an answer and the next question of a client */
	uint64_t duration_us; /* nothing begins after it; 0: no end */
	uint64_t warmup_us; /* what is due before is not counted */
	uint64_t requests_max; /* 0: no end. A trace ends with its last row */
	uint32_t timeout_ms; /* of an answer between two pieces */
};

struct load;
/* Copies config but what it points to. */
int load_create(struct load **ret, struct env *env, const struct load_config *config, void (*on_done)(void *ctx),
	void *ctx, struct err *err) MUST_USE;
void load_start(struct load *l);
/* Begin nothing more; on_done follows when the answers under way are in. */
void load_stop(struct load *l);
/* Give up the answers under way; on_done follows. */
void load_abort(struct load *l);
void load_destroy(struct load *l);

const struct stats *load_stats(const struct load *l);
uint32_t load_running(const struct load *l);
/* Due, but every connection was busy. */
uint32_t load_backlog(const struct load *l);

#endif
