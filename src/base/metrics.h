/* metrics.h - numbers for Prometheus: a static table says which metrics there are, series come with their labels.
 *
 * Values are whole numbers in the table's raw unit (microseconds, tokens); scale divides them when they are printed, so
 * that a *_seconds metric is fed microseconds. Keep the struct metric pointer of a series one feeds often.
 *
 * Thread: one owner. Memory: series_max series of about 200 bytes (a histogram: and 8 bytes a border); past it every
 * new series of all metrics is dropped into one that is not printed, and counted as stator_metrics_series_dropped. */
#ifndef STATOR_BASE_METRICS_H
#define STATOR_BASE_METRICS_H

#include "base/buf.h"
#include "base/err.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum { METRIC_LABELS_MAX = 4, METRIC_BORDERS_MAX = 24 };

struct metric_def {
	const char *name, *help;
	enum metric_kind kind;
	uint64_t scale; /* raw units in one printed unit; 0 is 1 */
	const char *labels[METRIC_LABELS_MAX]; /* NULL: no more */
	const uint64_t *borders; /* of a histogram, raw, rising, 0 ends */
};

struct metric; /* one series */
struct metrics;

/* Borrows defs for its life. */
int metrics_create(
	struct metrics **ret, const struct metric_def *defs, uint32_t count, uint32_t series_max, struct err *err);
void metrics_destroy(struct metrics *m);
/* The series of defs[def] with these label values (as many as the table names; copied). Made when it is new. Never
 * NULL: past series_max it is one that nobody sees. O(series of def). Valid until metrics_destroy or metrics_drop. */
struct metric *metrics_get(struct metrics *m, uint32_t def, const char *const *values);
/* Take a series away (a worker that left). NULL is harmless. */
void metrics_drop(struct metrics *m, struct metric *series);

void metric_add(struct metric *s, uint64_t n);
void metric_set(struct metric *s, int64_t value);
void metric_observe(struct metric *s, uint64_t value);
/* What a counter or gauge holds; of a histogram the count of observations. */
int64_t metric_value(const struct metric *s);

/* Prometheus text format 0.0.4. Metrics without series print nothing. */
void metrics_print(const struct metrics *m, struct buf *out);
/* The table as a Markdown reference page's body. */
void metrics_reference(const struct metric_def *defs, uint32_t count, struct buf *out);

#endif
