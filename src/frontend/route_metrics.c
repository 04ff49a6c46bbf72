/* route_metrics.c - what the router knows, as metrics: its index, whether its predictions come true, and the ladder of hit
 * rates: of all prompt blocks, how many the workload repeats, how many this much cache could still hold (kv/reuse.h, an
 * estimate), how many lay on the worker that had most of each prompt, how many a worker found cached. */
#include "frontend/completion.h"
#include "kv/index.h"
#include "route/calibration.h"

#include <math.h>
#include <stdio.h>

void route_metrics_note(struct model *m, const struct run *r)
{
	struct kv_overlap best;

	kv_reuse_note(m->reuse, r->hashes, r->hashes_len);
	if (kv_index_match(pool_index(m->pool), KV_TIER_DEVICE, r->hashes, r->hashes_len, &best, 1))
		m->reuse_best += best.blocks;
}

static void set_rung(struct model *m, const char *rung, double blocks)
{
	const char *labels[] = {m->name, rung};
	metric_set(metrics_get(m->fe->metrics, FM_REUSE, labels), (int64_t)(blocks * m->block_size));
}

static void refresh_ladder(struct model *m)
{
	struct kv_reuse_counts c;

	kv_reuse_counts(m->reuse, &c);
	set_rung(m, "asked", c.asked);
	set_rung(m, "workload", c.seen);
	set_rung(m, "cache", c.resident);
	set_rung(m, "routing", m->reuse_best);
	set_rung(m, "got", (double)metric_value(m->cached_tokens) / m->block_size);
}

static void refresh_index(struct model *m)
{
	struct metrics *all = m->fe->metrics;
	const char *labels[] = {m->name};
	struct kv_index_stats s;

	kv_index_stats(pool_index(m->pool), &s);
	metric_set(metrics_get(all, FM_INDEX_BLOCKS, labels), (int64_t)s.blocks);
	metric_set(metrics_get(all, FM_INDEX_BYTES, labels), (int64_t)s.bytes);
	metric_set(metrics_get(all, FM_INDEX_KEEP, labels), (int64_t)(1ull << s.keep_log2));
	metric_set(metrics_get(all, FM_INDEX_FORGOTTEN, labels), (int64_t)s.forgotten);
}

static void refresh_calibration(struct backend *b)
{
	const struct calibration *c = pool_worker_calibration(b->worker);
	struct metrics *all = b->fe->metrics;
	const char *labels[] = {b->model->name, b->name, NULL};
	char text[24];

	for (uint32_t i = 0; i < CALIBRATION_BINS; i++) {
		double edge = calibration_edge(i);
		if (isinf(edge))
			snprintf(text, sizeof text, "more");
		else
			snprintf(text, sizeof text, "%.3g", edge);
		labels[2] = text;
		metric_set(metrics_get(all, FM_PREDICTIONS, labels), (int64_t)c->bins[i]);
	}
	metric_set(metrics_get(all, FM_PREDICTIONS_WITHIN, labels), (int64_t)c->within);
	metric_set(metrics_get(all, FM_CACHED_PREDICTED, labels), (int64_t)c->cached_predicted);
	metric_set(metrics_get(all, FM_CACHED_ACTUAL, labels), (int64_t)c->cached_actual);
}

void route_metrics_refresh(struct model *m)
{
	refresh_ladder(m);
	refresh_index(m);
	list_foreach(it, &m->fe->backends)
	{
		struct backend *b = list_entry(it, struct backend, link);
		if (b->model == m && b->worker)
			refresh_calibration(b);
	}
}
