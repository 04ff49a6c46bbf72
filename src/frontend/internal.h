/* internal.h - what the files of this room share: the frontend's tables. Nothing outside src/frontend/ includes it.
 *
 *   frontend -- models: tokenizer, template, pool --.
 *       |                                           | pool_worker
 *       |----- backends: link, flights by id -------'
 *       '----- completions: one a request -- runs: one a prompt -- flights: one a choice, at a backend */
#ifndef STATOR_FRONTEND_INTERNAL_H
#define STATOR_FRONTEND_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "frontend/error.h"
#include "frontend/expect.h"
#include "frontend/explain.h"
#include "frontend/frontend.h"
#include "frontend/link.h"
#include "frontend/metrics.h"
#include "frontend/report.h"
#include "frontend/request.h"
#include "frontend/text_work.h"
#include "kv/reuse.h"
#include "route/pool.h"
#include "text/template.h"
#include "text/tokenizer.h"

enum {
	COMPLETION_TEXT_BYTES_MAX = 64 * 1024 * 1024, /* of a whole answer's JSON */
	PIECE_BYTES_MAX = 64 * 1024, /* of one token */
	SCRATCH_BYTES_KEPT = 64 * 1024, /* a larger answer's memory is given back at once */
	TEXT_LOAD_US = 200 * 1000, /* to read a vocabulary, about */
	TEXT_FREE_US = 10 * 1000, /* to free a large tree, or give memory back, about */
};

enum model_state { MODEL_LOADING, MODEL_READY, MODEL_FAILED };

/* What a text thread loads for a model. tokenizer NULL: load_err says why; template NULL: template_err does. */
struct loaded_text {
	struct tokenizer *tokenizer;
	struct chat_template *template;
	struct err load_err, template_err;
};

struct model {
	struct list link; /* in frontend.models */
	struct frontend *fe;
	char *name, *spec;
	uint64_t tokenizer_hash; /* by the cards */
	enum model_state state;
	struct loaded_text loaded;
	struct pool *pool;
	struct kv_reuse *reuse;
	double reuse_best; /* blocks that the best worker for each prompt held */
	uint32_t context_max; /* the least of the workers' */
	uint32_t block_size; /* of prefix hashes: the first worker's */
	uint64_t created_s;
	struct env_job job; /* of loading */
	uint32_t users; /* requests and backends that point here */
	bool doubted; /* a worker of it owes us an answer; while the watch looks */
	struct text_rates rates; /* what its text costs */
	struct metric *ttft, *inter_token, *e2e, *queue, *text, *text_work;
	struct metric *prompt_tokens, *cached_tokens, *generated_tokens, *retried;
};

/* A worker's address. It has a model while its link is up. */
struct backend {
	struct list link; /* in frontend.backends */
	struct frontend *fe;
	struct link *conn;
	struct model *model;
	struct pool_worker *worker; /* NULL until the model is loaded */
	char name[64];
	uint64_t served_hash; /* route_name_hash of the model it had when it was up last; 0: it never was */
	struct map flights; /* request id -> struct flight */
	uint64_t busy_us; /* since when there is one */
	uint64_t silent_us, idle_us; /* it owes us a word: nothing heard; no work heard of. Counted by the watch */
	uint64_t
		asked_us; /* without requests of ours it was asked whether it is there, and has not answered; 0: it was not */
	uint64_t given_up_us; /* for its silence, and it has not been up since; 0: no */
	size_t queued; /* for it, when the watch looked last */
	bool draining;
	bool gone; /* discovery has lost it; forgotten when its link goes down */
	bool kv_known; /* its prefix hashes mean the same as ours: one secret, one block size */
	bool kv_missed; /* it told of its cache before it was in the pool */
	bool mismatch_told, bad_report_told;
	bool resync_due; /* it was asked for a snapshot a moment ago: the watch asks again */
	uint64_t resynced_us;
	struct report_check report;
	bool hung; /* it is given up for doing nothing with its requests */
	bool starved; /* it is up and not used because memory was gone when it came */
	struct kv_check *check; /* its cache is being compared with the index */
	struct metric *up, *known, *lost, *dispatched, *running, *waiting, *step, *preemptions;
	struct metric *cells, *cells_used, *blocks, *mismatches, *bad_reports;
};

/* Where answers are put together. */
struct answer_scratch {
	struct buf out, piece, clean;
	const struct choice *last; /* out ends with an event of its text; NULL: it does not */
	size_t last_end; /* where that event's end begins */
};

struct frontend {
	struct env *env;
	struct frontend_config config;
	const struct route_policy *policy;
	struct route_knobs knobs;
	uint64_t kv_seed;
	struct explain *explain;
	struct index_check *check; /* under way; NULL: none */
	struct http_server *http;
	struct discovery *discovery;
	struct metrics *metrics;
	struct list models, backends, completions, text_calls, dirty, preloads;
	struct text_work text;
	uint32_t requests, flights, jobs;
	uint64_t accepted, ended, next_id;
	uint64_t full_told_us; /* when the log was told last that there are too many connections; 0: never */
	struct metric *m_running, *m_conns;
	bool draining;
	struct env_timer drain_timer;
	uint64_t drain_at_us, last_words_us;
	void (*on_drained)(void *ctx);
	void *drain_ctx;
	struct env_timer watch_timer; /* looks for workers that have gone silent */
	uint64_t watched_us; /* when it did so last */
	/* Streams without headers; streams with headers, the one that was looked at first in front. */
	struct list unbegun, begun;
	struct env_timer ping_timer;
	struct expect expect;
	struct env_timer ready_timer;
	uint32_t ready_workers; /* needed before the first time */
	bool was_ready; /* everything needed has been there at once */
	void (*on_ready)(void *ctx);
	void (*on_hopeless)(void *ctx, const char *why);
	void *ready_ctx, *hopeless_ctx;
	struct err hopeless; /* why; code 0 while there is hope */
	struct list lost; /* runs that are to be dispatched again */
	struct env_timer retry_timer;
	size_t kept_bytes; /* of prompts that may be sent again */
	uint64_t body_bytes; /* taken in since memory was last given back */
	struct env_job trim_job;
	bool trimming;
	struct answer_scratch
		scratch; /* empty between two calls of a completion; shared by all, so that it stays in the cache */
};

/* model.c */
/* The ready model of a name; "" is the only one there is. NULL with the error filled: 404 lists those there are. */
struct model *model_find(struct frontend *fe, const char *name, struct api_error *e);
/* The model of a card, loading it when it is new. NULL: the card does not fit the model of its name (err says why). */
struct model *model_of_card(struct frontend *fe, const struct msg_card *card, struct err *err);
void model_destroy(struct model *m);
/* A worker came or went: the context is the least of those that are there, or the last known. */
void model_fit_context(struct model *m);
/* Nothing uses it any more; forget it when its tokenizer could not be loaded, so that the next worker tries anew. */
void model_unuse(struct model *m);
/* What was loaded early for m has come; taken when it is what m's card says, else m loads for itself. */
void model_take(struct model *m, struct loaded_text *early);
/* On a text thread: the tokenizer that spec names and its chat template. A model without a usable template still serves
 * completions. */
void text_load(const struct frontend *fe, const char *spec, const char *model, struct loaded_text *ret);
void loaded_text_done(struct loaded_text *t);

/* preload.c */
/* Begin to load the vocabularies of a list (comma between). Failures show when a card names one. */
void preload_start(struct frontend *fe, const char *list);
/* Is m's vocabulary loaded early? Then model_take is called, in a later turn. */
bool preload_claim(struct model *m);
void preload_destroy_all(struct frontend *fe);

/* Memory was gone when its tokenizer was loaded. */
bool model_is_starved(const struct model *m);

/* backend.c */
extern const struct link_handler backend_link_handler;
int backend_create(struct frontend *fe, const char *addr, struct err *err);
void backend_destroy(struct backend *b);
/* Give up a worker that has requests of ours and has been silent for too long, and one that could not be used for want of
 * memory: it is connected anew. To be called every so often; passed_us: time since the last call, as far as this process
 * itself was awake.
 *
 * Silence counts while there are requests of ours and nothing comes: from the later of the last bytes and the moment when
 * the first of those requests was sent. A worker without work has nothing to say, for hours. After WORKER_ASK_MS it is
 * asked whether it is there, which its loop answers also while a step of its engine is out; a worker that does not answer is
 * stopped or cut off, and given up after WORKER_STOPPED_MS, however long its steps are. One that does answer may compute as
 * long as it likes: a step that does not end is its own to report (WORKER_STEP_MS_MAX). One that reports neither work
 * nor trouble goes after WORKER_IDLE_MS all the same, and one that cannot be asked (a card without pongs) after
 * WORKER_SILENT_MS. */
void backend_watch(struct backend *b, uint64_t passed_us);
/* After all were watched. Where a worker of a model does not answer, those without work are asked too, for they would get
 * its requests next; and nothing waits for the workers of a model (pool_desert) when each was given up for its silence
 * and gave no sign of life within WORKER_RETURN_MS. */
void backends_watched(struct frontend *fe);
/* The model of b is loaded (or failed): take requests. */
void backend_model_ready(struct backend *b);

/* completion.c */
struct completion;
void completion_start(struct frontend *fe, struct http_exchange *x, enum api_kind kind);
/* Write what came for the dirty ones. */
void completions_flush(struct frontend *fe);
void completion_destroy_all(struct frontend *fe);
/* End each with e. */
void completion_fail_all(struct frontend *fe, const struct api_error *e);

/* ping.c */
/* The timer's turn; ctx is the frontend. */
void ping_look(void *ctx);

/* flight.c */
struct flight;
struct run;
void flight_tokens(struct flight *f, const struct msg_token_item *item);
void flight_done(struct flight *f, const struct msg_done *done);
/* Its worker was lost; hung: another would hang as well. */
void flight_lost(struct flight *f, const char *why, bool hung);

/* retry.c */
void retry_on_timer(void *ctx);

/* route_metrics.c */
/* A prompt is about to be sent: count what of it could have been cached. */
void route_metrics_note(struct model *m, const struct run *r);
/* Bring what is kept elsewhere up to date: the index, the calibration table, the ladder of hit rates. */
void route_metrics_refresh(struct model *m);

/* prompt.c */
/* How the text of a raw prompt becomes tokens. asked NULL: as the operator set it. -EINVAL: a request may not ask for that
 * here. */
int raw_prompt_flags(
	const struct frontend *fe, bool edges, const bool *asked, unsigned *ret_flags, struct api_error *e);

/* text_api.c */
void text_api_tokenize(struct frontend *fe, struct http_exchange *x);
void text_api_detokenize(struct frontend *fe, struct http_exchange *x);
void text_api_fail_all(struct frontend *fe, const struct api_error *e);

/* decisions.c */
void decision_serve(struct frontend *fe, struct http_exchange *x);
void decisions_serve(struct frontend *fe, struct http_exchange *x);

/* api.c */
extern const struct http_handler api_handler;
/* Put x-request-id (the client's, or a new one) on the answer; ret is it. */
void api_request_id(struct frontend *fe, struct http_exchange *x, char *ret, size_t cap);

/* The model of a name, loaded or not; NULL: no worker has brought it yet. */
struct model *model_known(struct frontend *fe, const char *name);

/* frontend.c */
/* Whose requests it looks at (guard.h). Borrows fe's. */
struct guard frontend_guard(const struct frontend *fe);
/* -EINVAL with e filled when nothing new is taken. */
int frontend_check_stopping(const struct frontend *fe, struct api_error *e);
/* A worker takes requests now. */
void frontend_worker_up(struct frontend *fe);
/* A worker of the model is there that can never be used (worker NULL: none can): when it is needed, nobody need wait. */
void frontend_note_hopeless(struct frontend *fe, const char *model, const char *worker, const struct err *why);
/* Has it all that it needs: once all that was asked for, then one worker for each model? Not while draining. */
bool frontend_is_ready(struct frontend *fe);
/* Workers of a model that are up. */
uint32_t frontend_workers_of(struct frontend *fe, const char *name);
void frontend_request_begun(struct frontend *fe);
void frontend_request_ended(struct frontend *fe, const char *model, const char *endpoint, int status);

#endif
