#include "frontend/metrics.h"

enum { US = 1000 * 1000 };

/* In microseconds: 1 ms to 60 s, and finer where tokens follow each other. */
static const uint64_t long_borders[] = {1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000,
	5000000, 10000000, 30000000, 60000000, 0};
static const uint64_t short_borders[] = {
	100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 5000000, 0};

#define COUNTER(metric, text, ...)                                                                                     \
	{                                                                                                              \
		.name = metric, .help = text, .kind = METRIC_COUNTER, .labels = { __VA_ARGS__ }                        \
	}
#define GAUGE(metric, text, ...)                                                                                       \
	{                                                                                                              \
		.name = metric, .help = text, .kind = METRIC_GAUGE, .labels = { __VA_ARGS__ }                          \
	}
#define GAUGE_TIME(metric, text, ...)                                                                                  \
	{                                                                                                              \
		.name = metric, .help = text, .kind = METRIC_GAUGE, .scale = US, .labels = { __VA_ARGS__ }             \
	}
#define TIME(metric, text, edges, ...)                                                                                 \
	{                                                                                                              \
		.name = metric, .help = text, .kind = METRIC_HISTOGRAM, .scale = US, .borders = edges, .labels = {     \
			__VA_ARGS__                                                                                    \
		}                                                                                                      \
	}

const struct metric_def frontend_metric_defs[FM_COUNT] = {
	[FM_REQUESTS] = COUNTER("stator_requests_total",
		"Requests that ended; status is the HTTP status, or 499 for a client that left and 599 for a stream "
		"that broke",
		"model", "endpoint", "status"),
	[FM_REQUESTS_RUNNING] = GAUGE("stator_requests_running", "Requests accepted that have not ended", NULL),
	[FM_REQUESTS_WAITING] =
		GAUGE("stator_requests_waiting", "Prompts that wait at the router for a worker", "model"),
	[FM_TTFT] = TIME("stator_ttft_seconds", "From the request to its first token", long_borders, "model"),
	[FM_INTER_TOKEN] = TIME("stator_inter_token_seconds",
		"Between two arrivals of tokens of one choice, divided by the tokens that came", short_borders,
		"model"),
	[FM_E2E] = TIME("stator_request_seconds", "From the request to the end of its answer", long_borders, "model"),
	[FM_QUEUE] =
		TIME("stator_queue_seconds", "What a prompt waited at the router for a worker", long_borders, "model"),
	[FM_TEXT] = TIME(
		"stator_text_seconds", "Rendering and tokenizing a request, waiting included", short_borders, "model"),
	[FM_TEXT_WORK] = TIME("stator_text_work_seconds", "Rendering and tokenizing a request on a text thread",
		short_borders, "model"),
	[FM_TEXT_WAITING] = GAUGE("stator_text_waiting", "Requests whose text waits for a thread", NULL),
	[FM_TEXT_RUNNING] = GAUGE("stator_text_running", "Requests whose text is being worked on", NULL),
	[FM_TEXT_OLDEST] = GAUGE_TIME("stator_text_oldest_seconds",
		"Age of the oldest request whose text waits for a thread; 0: none waits", NULL),
	[FM_TEXT_AHEAD] = GAUGE_TIME("stator_text_ahead_seconds",
		"What a long text would wait for those before it, by the times learned; past text-timeout: 429", NULL),
	[FM_TEXT_CANCELLED] = COUNTER("stator_text_cancelled_total",
		"Requests whose text was given up: the client left, its deadline passed, or it waited or took too long",
		"why"),
	[FM_PROMPT_TOKENS] = COUNTER("stator_prompt_tokens_total", "Prompt tokens of requests that ended", "model"),
	[FM_CACHED_TOKENS] =
		COUNTER("stator_cached_tokens_total", "Prompt tokens whose KV a worker had already", "model"),
	[FM_GENERATED_TOKENS] = COUNTER("stator_generated_tokens_total", "Tokens that came from workers", "model"),
	[FM_RETRIED] = COUNTER("stator_retried_total",
		"Sequences sent again, to another worker where there is one, because theirs was lost before anything "
		"was sent",
		"model"),
	[FM_WORKER_UP] =
		GAUGE("stator_worker_up", "1 while the worker is connected and takes requests", "model", "worker"),
	[FM_WORKER_KV_KNOWN] = GAUGE("stator_worker_kv_known",
		"1 when the worker's cached prefixes can be known here; 0: it has another KV secret or block size, and "
		"gets requests by load alone",
		"model", "worker"),
	[FM_WORKER_LOST] =
		COUNTER("stator_worker_lost_total", "Connections to the worker that broke", "model", "worker"),
	[FM_WORKER_DISPATCHED] =
		COUNTER("stator_worker_dispatched_total", "Sequences sent to the worker", "model", "worker"),
	[FM_WORKER_RUNNING] =
		GAUGE("stator_worker_running", "Sequences it runs, by its last report", "model", "worker"),
	[FM_WORKER_WAITING] =
		GAUGE("stator_worker_waiting", "Sequences that wait there, by its last report", "model", "worker"),
	[FM_WORKER_STEP] =
		TIME("stator_worker_step_seconds", "What its engine's steps took", short_borders, "model", "worker"),
	[FM_WORKER_PREEMPTIONS] = GAUGE("stator_worker_preemptions",
		"Sequences it put back and computed again since its start, because KV ran out", "model", "worker"),
	[FM_KV_CELLS] = GAUGE("stator_kv_cells", "KV cells (tokens) the worker has", "model", "worker"),
	[FM_KV_CELLS_USED] =
		GAUGE("stator_kv_cells_used", "KV cells in use, retained prefixes included", "model", "worker"),
	[FM_KV_BLOCKS] = GAUGE("stator_kv_blocks", "Prefix blocks the worker says it holds", "model", "worker"),
	[FM_KV_MISMATCHES] = COUNTER("stator_kv_mismatches_total",
		"Times the record of a worker's prefixes differed from its report and was asked for again", "model",
		"worker"),
	[FM_WORKER_BAD_REPORTS] = COUNTER("stator_worker_bad_reports_total",
		"Reports with figures that cannot be, by the worker's registration or by the clock; they are not used",
		"model", "worker"),
	[FM_INDEX_BLOCKS] = GAUGE("stator_index_blocks", "Prefix blocks in the router's index", "model"),
	[FM_INDEX_BYTES] = GAUGE("stator_index_bytes", "Memory of the router's index in use", "model"),
	[FM_INDEX_KEEP] = GAUGE("stator_index_keeps_every",
		"1: the index keeps every block; n: its memory is full, it keeps every nth and rounds overlaps down",
		"model"),
	[FM_INDEX_FORGOTTEN] =
		COUNTER("stator_index_forgotten_total", "Blocks that the index did not keep for want of room", "model"),
	[FM_REUSE] = COUNTER("stator_reuse_tokens_total",
		"The ladder of hit rates, in prompt tokens (whole blocks): rung asked; workload, what earlier prompts "
		"had; "
		"cache, what one cache as large as all workers' would still hold (both estimated from a sample); "
		"routing, "
		"what lay on the worker that had most of each prompt; got, what workers found cached",
		"model", "rung"),
	[FM_PREDICTIONS] = COUNTER("stator_route_predictions_total",
		"Times to the first token against their predictions, by worker: ratio is the upper edge of actual / "
		"predicted",
		"model", "worker", "ratio"),
	[FM_PREDICTIONS_WITHIN] = COUNTER("stator_route_predictions_within_total",
		"Of these, off by at most a quarter, or 5 ms", "model", "worker"),
	[FM_CACHED_PREDICTED] = COUNTER("stator_route_cached_tokens_predicted_total",
		"Prompt tokens that the router took for cached where it sent them", "model", "worker"),
	[FM_CACHED_ACTUAL] = COUNTER("stator_route_cached_tokens_actual_total",
		"Prompt tokens of the same requests that the worker found cached", "model", "worker"),
	[FM_HTTP_CONNS] = GAUGE("stator_http_connections", "Open client connections", NULL),
	[FM_HTTP_BODY_BYTES] = GAUGE("stator_http_body_bytes",
		"Memory of requests that are being read or parsed, of max-total-body-bytes", NULL),
	[FM_HTTP_UNREAD_BYTES] = GAUGE("stator_http_unread_bytes",
		"Memory of answers that clients have not read, of max-total-unread-bytes", NULL),
	[FM_HTTP_EVENTS] = COUNTER("stator_http_events_total", "Odd events on client connections", "event"),
};

void frontend_metrics_reference(struct buf *out)
{
	buf_add_str(out,
		"# Metrics\n\n`GET /metrics` of the frontend, in Prometheus' text format. Times are in seconds. "
		"This page is printed from the table\nin `src/frontend/metrics.c`; a test compares them.\n\n");
	metrics_reference(frontend_metric_defs, FM_COUNT, out);
}
