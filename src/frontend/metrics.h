/* metrics.h - which numbers the frontend gives to Prometheus. The table in metrics.c is also printed as
 * docs/reference/metrics.md. */
#ifndef STATOR_FRONTEND_METRICS_H
#define STATOR_FRONTEND_METRICS_H

#include "base/metrics.h"

enum frontend_metric {
	FM_REQUESTS,
	FM_REQUESTS_RUNNING,
	FM_REQUESTS_WAITING,
	FM_TTFT,
	FM_INTER_TOKEN,
	FM_E2E,
	FM_QUEUE,
	FM_TEXT,
	FM_TEXT_WORK,
	FM_TEXT_WAITING,
	FM_TEXT_RUNNING,
	FM_TEXT_OLDEST,
	FM_TEXT_AHEAD,
	FM_TEXT_CANCELLED,
	FM_PROMPT_TOKENS,
	FM_CACHED_TOKENS,
	FM_GENERATED_TOKENS,
	FM_RETRIED,
	FM_WORKER_UP,
	FM_WORKER_KV_KNOWN,
	FM_WORKER_LOST,
	FM_WORKER_DISPATCHED,
	FM_WORKER_RUNNING,
	FM_WORKER_WAITING,
	FM_WORKER_STEP,
	FM_WORKER_PREEMPTIONS,
	FM_KV_CELLS,
	FM_KV_CELLS_USED,
	FM_KV_BLOCKS,
	FM_KV_MISMATCHES,
	FM_WORKER_BAD_REPORTS,
	FM_INDEX_BLOCKS,
	FM_INDEX_BYTES,
	FM_INDEX_KEEP,
	FM_INDEX_FORGOTTEN,
	FM_REUSE,
	FM_PREDICTIONS,
	FM_PREDICTIONS_WITHIN,
	FM_CACHED_PREDICTED,
	FM_CACHED_ACTUAL,
	FM_HTTP_CONNS,
	FM_HTTP_EVENTS,
	FM_COUNT,
};

extern const struct metric_def frontend_metric_defs[FM_COUNT];
/* The whole page, as it stands in docs/reference/metrics.md. */
void frontend_metrics_reference(struct buf *out);

#endif
