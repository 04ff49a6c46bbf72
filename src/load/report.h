/* report.h - what came of a load, for people, for programs, and as a page.
 * Thread: pure functions. Errors show as out->failed. */
#ifndef STATOR_LOAD_REPORT_H
#define STATOR_LOAD_REPORT_H

#include "load/stats.h"

struct report {
	const char *url, *model;
	char load[256]; /* the load in words: "8 clients, prompts of 200 words, answers of 64 tokens" */
	uint64_t slo_ttft_us, slo_tpot_us; /* 0: none */
	double cpu_user_us, cpu_sys_us; /* our own, over the run */
	bool stopped; /* by the user, before its end */
};

void report_table(const struct report *r, const struct stats *s, struct buf *out);
/* One JSON object and a line feed. */
void report_json(const struct report *r, const struct stats *s, struct buf *out);
/* A page of its own: figures, distributions, and the course over time. */
void report_html(const struct report *r, const struct stats *s, struct buf *out);

#endif
