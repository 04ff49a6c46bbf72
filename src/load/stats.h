/* stats.h - what came of a load: one record a request, gaps between tokens, failures by what was said.
 *
 * Times are in microseconds. TTFT and end-to-end time count from the moment a request was due, which in an open loop may
 * lie before it could be sent: a server that stalls must not look better because the load waited for it.
 * TPOT = (last token - first token) / (tokens - 1), of answers of two tokens and more.
 * Thread: one owner. Memory: 40 bytes a request, at most STATS_RECORDS_MAX of them (later ones are counted only). */
#ifndef STATOR_LOAD_STATS_H
#define STATOR_LOAD_STATS_H

#include "base/buf.h"
#include "base/hist.h"
#include "base/vec.h"

enum { STATS_RECORDS_MAX = 4 * 1024 * 1024, STATS_ERRORS_MAX = 8, STATS_ERROR_BYTES_MAX = 256 };

struct stats_record {
	uint64_t due_us;
	uint32_t late_us; /* sent so much after it was due */
	uint32_t ttft_us, e2e_us, tpot_us; /* tpot 0: fewer than two tokens */
	uint32_t prompt_tokens, cached_tokens, tokens;
};
struct stats_error {
	char text[STATS_ERROR_BYTES_MAX];
	uint64_t count;
};
struct stats {
	VEC(struct stats_record) records; /* of whole answers */
	struct hist gaps; /* between pieces of text of one answer */
	struct hist ttft; /* for a look while it runs */
	uint64_t sent, completed, failed;
	uint64_t prompt_tokens, cached_tokens, tokens;
	uint64_t pieces; /* events that brought text */
	uint64_t first_due_us, last_done_us;
	struct stats_error errors[STATS_ERRORS_MAX]; /* the first kinds seen; the last one is "others" */
	uint32_t errors_count;
};

/* A zeroed struct stats is an empty one. */
void stats_done(struct stats *s);
void stats_complete(struct stats *s, uint64_t now_us, const struct stats_record *r);
/* Text is what the server or the connection said; sentences that differ only in their numbers are one kind. */
void stats_fail(struct stats *s, uint64_t now_us, const char *text);

/* A figure of all records: mean, quantiles by nearest rank, largest; all 0 when there are none. */
struct stats_figure {
	double mean, p50, p90, p99, max;
	uint32_t count;
};
enum stats_what { STATS_TTFT, STATS_TPOT, STATS_E2E, STATS_LATE };
uint32_t stats_value(const struct stats_record *r, enum stats_what what);
/* Values in milliseconds. Sorts a copy; -ENOMEM. */
int stats_figure(const struct stats *s, enum stats_what what, struct stats_figure *ret) MUST_USE;
/* Gaps between pieces, in milliseconds, from the histogram (at most 6.25 % too high). */
struct stats_figure stats_gaps(const struct stats *s);
/* Requests that met both limits (0: none). A request of fewer than two tokens meets any TPOT. */
uint64_t stats_good(const struct stats *s, uint64_t ttft_us_max, uint64_t tpot_us_max);
/* From the first due to the last done, in seconds. */
double stats_seconds(const struct stats *s);

#endif
