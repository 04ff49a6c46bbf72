/* explain.h - why each request went where it went: the last EXPLAIN_RECORDS decisions, what was predicted and what came.
 *
 * One record a prompt (a request may have several). A record is named by a number that is never used again, so that a
 * request that outlives its record finds nothing instead of another's.
 * Thread: one owner. Memory: about 1 MiB, allocated at create; nothing later. */
#ifndef STATOR_FRONTEND_EXPLAIN_H
#define STATOR_FRONTEND_EXPLAIN_H

#include "base/buf.h"
#include "base/limits.h"
#include "route/pool.h"

enum { EXPLAIN_RECORDS = 1024, EXPLAIN_NAME_BYTES = 64 };

struct explain;

struct explain_decision {
	const char *request_id, *model, *endpoint, *worker;
	uint64_t owner; /* whose key it came with; 0: no keys are asked for */
	uint32_t prompt; /* which one of the request's */
	uint32_t block_size, blocks; /* of the model's KV domain; whole blocks of the prompt */
	uint64_t now_us;
	const struct pool *pool;
	const struct pool_ticket *ticket; /* dispatched */
};

int explain_create(struct explain **ret) MUST_USE;
void explain_destroy(struct explain *e);
/* As it is now, for another thread to print. Returns owned. */
int explain_copy(struct explain **ret, const struct explain *e) MUST_USE;
/* Note a decision. Returns its number, for the calls below; never 0. Copies. */
uint64_t explain_note(struct explain *e, const struct explain_decision *d);
/* The first token came so long after dispatch. */
void explain_first_token(struct explain *e, uint64_t number, uint64_t ttft_us);
/* The prompt's first choice has ended. */
void explain_done(struct explain *e, uint64_t number, uint32_t cached_tokens, uint32_t generated);

/* Value of the x-stator-route header: "finish-time; worker=mock-0; overlap=3/5; predicted_ms=12; of=2". */
void explain_header(char *ret, size_t cap, const struct explain_decision *d);
enum { EXPLAIN_ALL = 0 }; /* viewer: sees every decision; another number sees those of that owner */
/* Append the JSON object of the newest request with this id (its first prompt). False: not known (any more), or not shown. */
bool explain_print(const struct explain *e, uint64_t viewer, const char *request_id, uint64_t now_us, struct buf *out);
/* Append an array of all, newest first. */
void explain_print_all(const struct explain *e, uint64_t viewer, uint64_t now_us, struct buf *out);

#endif
