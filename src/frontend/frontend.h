/* frontend.h - HTTP API, text processing and router in one object: clients on one side, workers on the other.
 *
 * Workers name their model in their card, so models come with their first worker and there is nothing to configure for
 * them: a model is its tokenizer and chat template (loaded from where the card says), its pool of workers, its queue.
 *
 * Thread: the env's loop. Rendering and tokenizing go to ENV_POOL_TEXT. Memory: a vocabulary for each model, a few KiB
 * for each request besides its text and tokens; everything from clients is bounded by base/limits.h. */
#ifndef STATOR_FRONTEND_FRONTEND_H
#define STATOR_FRONTEND_FRONTEND_H

#include "base/env.h"
#include "net/http_server.h"

struct frontend;
struct api_keys;

struct frontend_template {
	const char *model, *source; /* borrowed */
};

struct frontend_config {
	const char *listen; /* as env_listen */
	bool shares_port; /* other frontends listen there too: draining gives it up at once */
	struct http_limits http;
	const char *discovery, *discovery_arg; /* "static" and a list, or "directory" and its path */
	const char *policy; /* a name of route/policy.h */
	const void *secret; /* for workers on TCP; NULL: none */
	size_t secret_len;
	const void *kv_secret; /* of the KV domain, as the workers have it; NULL: their prefixes are not known here */
	size_t kv_secret_len;
	uint64_t index_bytes_max; /* of each model's index of cached prefixes; 0: kv/index.h's default */
	uint64_t index_secret
		[2]; /* where blocks lie in it, which workers must not know; zeros: nobody is to be feared */
	bool allow_direct; /* clients may name a worker (x-stator-worker) */
	bool allow_tenant; /* and their tenant and priority (x-stator-tenant, x-stator-priority): a gateway asks for them */
	const char *model_aliases; /* other names of models (alias.h), checked; NULL: none */
	const char *allow_host; /* names it goes by besides its address (guard.h): a list, or "*"; NULL: none */
	const char *listen_name; /* a name of the address that listen is, when listen does not say it; NULL: none */
	const char *allow_origin; /* whose pages may read answers in a browser: "*", or a list; NULL: none */
	const struct api_keys *keys; /* NULL: everybody may ask. Borrowed */
	bool share_prefixes; /* prompts of different keys share cached prefixes */
	uint32_t waiting_max; /* prompts that wait for a worker, each model; past it: 429 or 503 */
	uint32_t wait_ms_max; /* of one; past it: 503 */
	uint32_t ping_ms; /* a stream with nothing to say says so after so long at most; 0: never */
	uint32_t
		text_ms_max; /* that a request waits for a text thread (503), and its text then takes (400); more ahead: 429 */
	uint32_t text_threads; /* that the env has; 0: taken as 1 */
	bool user_specials; /* text of users may become control tokens, in chats too */
	bool raw_specials; /* that of raw prompts may */
	uint64_t text_cache_bytes_max; /* of each model: tokenized pieces of chat prompts; 0: TEXT_CACHE_BYTES_MAX */
	const char *preload; /* vocabularies that workers are going to name, comma between: read at once; NULL: none */
	const char *chat_template; /* source to use instead of the models'; NULL: theirs */
	const struct frontend_template *templates; /* the same for one model each; these come first */
	uint32_t templates_len;
	const char *software; /* "stator 0.1.0" */
	/* Models that are to come: "NAME=COUNT" each, how many workers it needs (expect.h). NULL: whatever comes. */
	const char *const *expect;
	uint32_t expect_len;
};
/* Everything but addresses. */
void frontend_config_default(struct frontend_config *ret);

/* Listens at once; answers 503 until a worker is there. Copies no strings: config's must live as long. */
int frontend_create(
	struct frontend **ret, struct env *env, const struct frontend_config *config, struct err *err) MUST_USE;
/* "127.0.0.1:8000" as bound. */
const char *frontend_addr(const struct frontend *f);
/* Call on_ready(ctx) once, in a turn of the loop, when so many workers are up with their models loaded (0: at once) and each
 * expected model has what it needs. Before that /ready says no. */
void frontend_when_ready(struct frontend *f, uint32_t workers, void (*on_ready)(void *ctx), void *ctx);
/* Before it is ready: call on_hopeless(ctx, why) once, in a turn of the loop, when a worker that an expected model needs has come
 * and can never be used: waiting longer would not help. */
void frontend_when_hopeless(struct frontend *f, void (*on_hopeless)(void *ctx, const char *why), void *ctx);
/* Answer new requests with 503 (probes and metrics as ever) and let what runs end; what still runs after deadline_us ends
 * with an error. Where the port is shared it is given up at once, else when nothing runs any more. on_drained(ctx) is called
 * once, when nothing runs any more, in the text pool neither. Calling again moves the deadline. */
void frontend_drain(struct frontend *f, uint64_t deadline_us, void (*on_drained)(void *ctx), void *ctx);
/* Ends what runs: clients see their connections closed. No job of it may be in the text pool: drain first, or look at
 * frontend_counts. */
void frontend_destroy(struct frontend *f);

/* What is alive; all zero when nothing runs. */
struct frontend_counts {
	uint32_t requests; /* accepted, not ended */
	uint32_t flights; /* sequences at workers that have not said done */
	uint32_t waiting; /* prompts in queues */
	uint32_t jobs; /* in the text pool */
	uint32_t workers_up, models;
	uint64_t accepted, ended; /* since start; equal when requests is 0 */
};
void frontend_counts(const struct frontend *f, struct frontend_counts *ret);

#endif
