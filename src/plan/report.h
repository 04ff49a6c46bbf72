/* report.h - a plan and its options for people: sentences, the memory table, cards as bars; and for programs, JSON.
 * Pure; any thread. Each appends to out, whose failed flag tells when it did not fit. */
#ifndef STATOR_PLAN_REPORT_H
#define STATOR_PLAN_REPORT_H

#include "plan/edit.h"
#include "plan/search.h"

struct plan_report {
	const struct plan *asked;
	const struct plan_options *options; /* NULL: none were looked for */
	const char *command; /* "stator plan deploy.yaml --gpus 4xT4": how to ask again */
	const char *command_tail; /* what must stand last: " -- vllm serve ..."; NULL: nothing */
	const char *form; /* what the file is when it is no graph: "a docker-compose file"; NULL: a graph */
	const char *error; /* JSON: something beside the verdict failed; NULL: nothing */
	bool explain; /* the memory of every worker, and why each option is predicted as it is */
	struct findings_look look;
};

void plan_report_text(const struct plan_report *r, struct buf *out);
/* Of a model that was given without a file: its best deployments as a table, the picture of the first, and the line that runs it.
 * asked is that deployment. */
void plan_report_model(const struct plan_report *r, const char *model, struct buf *out);
void plan_report_json(const struct plan_report *r, struct buf *out);
/* The object of an input that has no plan: it could not be read ("not-read"), or is of an engine that is not planned ("not-checked"). */
void plan_error_json(const char *file, const char *verdict, const char *error, struct buf *out);
/* One picture: the cards as asked, and of the best option when that does not fit. A whole SVG document. */
void plan_report_svg(const struct plan_report *r, struct buf *out);

/* "4 workers of 1 T4 each, 4-bit weights (awq)". Returns ret. */
const char *plan_option_title(const struct plan_report *r, const struct plan_option *o, char *ret, size_t cap);
/* "vLLM 0.21 and later; 0.17 to 0.20 starts it", where all that is fatal holds for the same releases alone; else NULL. */
const char *plan_report_releases(const struct plan *p);
/* Append "it cannot run with vLLM 0.21 and later; 0.17 to 0.20 starts it, for 1 reason", "not checked: the model is not known". */
void plan_verdict_text(const struct plan *p, bool color, struct buf *out);
/* Append the memory table of every service of a plan. */
void plan_memory_text(const struct plan *p, struct buf *out);
/* Append what one worker of every service would do at some numbers of streams, from the roofline; nothing where the card or
 * the model is not known. */
void plan_speed_text(const struct plan *p, const struct plan_load *load, struct buf *out);
void plan_speed_json(const struct plan *p, const struct plan_load *load, struct buf *out);
/* Append the cards as bars of characters. */
void plan_bars_text(const struct plan *p, bool color, uint32_t columns, struct buf *out);

/* What fills one card: for the two kinds of bars. Bytes. */
struct plan_bar {
	uint64_t total, others, weights, kv, overhead, free;
	uint64_t over; /* needed beyond what the engine may take, or what is free */
	char label[64]; /* "GPU 0 T4"; of several hosts "host 2, GPU 0 T4" */
	char who[96]; /* "VllmWorker 0 (1 of 4)", "idle" */
	uint32_t alike; /* so many cards after it look the same and do the same; those are left out */
};
/* Bars of all cards, equal neighbours joined when there are more than joined_from. Returns the number written. */
uint32_t plan_bars(const struct plan *p, uint32_t joined_from, struct plan_bar *ret, uint32_t cap);
enum { PLAN_BARS_MAX = 64 };

#endif
