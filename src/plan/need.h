/* need.h - the memory of one worker on one card, term by term.
 *
 *   budget      = total x gpu-memory-utilization     (llama: total; SGLang: free before the weights x fraction + overheads)
 *   KV room     = budget - weights/TP - run time - links - activations - CUDA graphs
 *   it fits     iff KV room >= KV of one request of the asked context, and budget <= what is free on the card
 *
 * Where the release of vLLM or SGLang is not known, the terms are those of the newest range of releases (release.h), and the older ones
 * are asked whether it fits with them as well.
 *
 * Terms and constants: docs/design/planning.md. Pure; any thread; no allocation. */
#ifndef STATOR_PLAN_NEED_H
#define STATOR_PLAN_NEED_H

#include "gpu/inventory.h"
#include "plan/deployment.h"

/* Terms that no start of a like deployment was seen for, or that depend on what is not read. */
enum plan_guess {
	PLAN_GUESS_WEIGHTS = 1,
	PLAN_GUESS_RUNTIME = 2,
	PLAN_GUESS_LINKS = 4,
	PLAN_GUESS_ACTIVATIONS = 8,
	PLAN_GUESS_GRAPHS = 16,
};

struct plan_terms {
	bool known; /* the model and the card's memory are; else only total, free and budget mean something */
	uint64_t total, free; /* of the card, bytes */
	uint64_t budget; /* what the engine may take */
	/* Of what was free, gone when the engine looks whether its budget is: at the least, and perhaps. 0: it does not look. */
	uint64_t started, starting;
	uint64_t weights, runtime, links, activations, graphs; /* per card */
	uint64_t states; /* llama, vLLM before 0.11: recurrent states of all its sequences, per card */
	uint64_t
		context; /* tokens of the request that must fit; of a llama worker without context-length what it takes by itself */
	uint64_t kv_least; /* one request of that context */
	int64_t kv_room; /* negative: the rest alone is too much */
	uint64_t kv_tokens; /* context tokens that the worker holds in all */
	uint32_t guessed; /* of enum plan_guess */
	uint64_t more, less; /* of a llama-server: how much higher and lower the sum may be; else 0 */
	uint64_t context_fits; /* longest request that would fit, with every range of releases; whole blocks; 0: none */
	/* The release is not known: ranges of plan_releases_of with which it fits, and with which it does not; else 0. */
	uint32_t fitting, missing;
	bool close; /* nor is it known how near the newest is to what was logged: it fits, or does not, by less than PLAN_CLOSE of the card */
};
enum { PLAN_CLOSE = 128 }; /* 0.6 GiB of an H100: what the one start of a release since 0.21 that was logged is apart */

/* Fill ret for one of the cards of a worker of s. s must run on GPUs. */
void plan_need(struct plan_terms *ret, const struct plan_service *s, const struct gpu_device *card);
/* The same of a server of llama.cpp that takes these cards in this order: the terms of one of them. */
void plan_need_server(struct plan_terms *ret, const struct plan_service *s, const struct gpu_device *const *cards,
	uint32_t len, const struct gpu_device *of);
/* All terms but KV. */
static inline uint64_t plan_terms_fixed(const struct plan_terms *t)
{
	return t->weights + t->runtime + t->links + t->activations + t->graphs + t->states;
}
/* Do weights and one request fit into the budget? True when nothing is known. */
static inline bool plan_terms_fit(const struct plan_terms *t)
{
	return !t->known || t->kv_room >= (int64_t)t->kv_least;
}
/* With every release that may be meant, and whatever a server of llama.cpp's sum is unsure by? Of SGLang the newest ones alone are asked: before 0.4.10 the share was a guess in a table. */
static inline bool plan_terms_surely_fit(const struct plan_terms *t)
{
	bool open = t->more && plan_terms_fixed(t) + t->kv_least + t->more > t->free;

	return plan_terms_fit(t) && !t->missing && !t->close && !open;
}
/* The ranges of releases that a service may run on, where its own is not known: those that have its model. */
void plan_releases_of(struct release_ranges *ret, const struct plan_service *s);
/* Is so much free on the card when the engine looks? */
static inline bool plan_terms_free(const struct plan_terms *t)
{
	return t->total == 0 || t->free >= t->budget + t->started;
}
/* Whatever its context and the links between cards hold by then? */
static inline bool plan_terms_surely_free(const struct plan_terms *t)
{
	return plan_terms_free(t) && (t->total == 0 || t->free >= t->budget + t->starting);
}
/* A llama worker that was not told a context takes its model's, or what fits, down to this many tokens. SGLang starts with fewer
 * tokens than its context, and refuses longer requests (scheduler.py, max_req_len). */
enum { PLAN_CONTEXT_LEAST = 2048 };
static inline bool plan_context_yields(const struct plan_service *s)
{
	return (s->engine == GRAPH_ENGINE_LLAMA && !s->set[PLAN_CONTEXT] && !s->llama.server) ||
	       s->engine == GRAPH_ENGINE_SGLANG;
}
/* Tokens of a step, and sequences, on that card: what the user said, else the engine's default, which vLLM makes larger on
 * cards of 70 GiB and more, the A100 excepted. */
uint64_t plan_batch_on(const struct plan_service *s, const struct gpu_device *card);
uint64_t plan_seqs_on(const struct plan_service *s, const struct gpu_device *card);
/* The share of a card that is the engine's: what the user said, else its default, which SGLang counts from the card. */
double plan_share_on(const struct plan_service *s, const struct gpu_device *card);
/* Are prompts computed in parts? vLLM's default depends on the release. */
bool plan_chunked_on(const struct plan_service *s);
/* CUDA graphs, whether they are inside the budget or on top of it. */
uint64_t plan_graphs_on(const struct plan_service *s, const struct gpu_device *card);
/* What vLLM before 0.21 takes of a card beside its budget once it has given the KV cache away: context, graphs, warming up
 * sampling. 0: nothing is known to be. */
uint64_t plan_outside_on(const struct plan_service *s, const struct gpu_device *card);
/* Does vLLM's profile run hold an image encoder's results whose size is not known here, in any release that may be meant? Up to so much was seen. */
bool plan_encoder_unknown(const struct plan_service *s);
/* What the context of CUDA and the links between cards may hold of a card before vLLM shares it out. 0: not vLLM. */
uint64_t plan_start_on(const struct plan_service *s, const struct gpu_device *card);
enum { PLAN_ENCODER_SEEN_GIB = 16 };
/* SGLang's table of where each token of each request is: four bytes a place, of all it may run, beside its budget. */
uint64_t plan_request_table(const struct plan_service *s);
/* A start that fits by the sum, of a kind that was seen to fail: what of it is in no record. NULL: none. */
const char *plan_unrecorded(const struct plan_service *s, const struct plan_terms *t);
/* Sequences of a llama worker that has room for its KV cache: what max-seqs says or, where a model has recurrent states, as many
 * of 64 as a quarter of room holds states for, 8 at least. room 0: not known. */
uint64_t plan_llama_seqs(const struct plan_service *s, uint64_t room);
/* CUDA context, kernels, work space of llama.cpp on a card, at their largest. */
uint64_t plan_llama_runtime(const struct gpu_device *card);
/* What each of so many workers on a host's CPUs may count on for KV cache and states. 0: ram is not known. */
uint64_t plan_host_room(const struct plan_service *s, uint64_t ram, uint32_t workers);

/* A llama worker without GPU. */
struct plan_host_need {
	bool known;
	uint64_t weights; /* mapped once a host, shared by all workers of the same file */
	uint64_t kv, rest; /* of each worker */
	uint64_t states; /* of rest: recurrent states */
};
void plan_host_need(struct plan_host_need *ret, const struct plan_service *s);

/* The share of a card that is free when the engine looks, in whole hundredths, rounded down: what gpu-memory-utilization could be. */
double plan_share_free(const struct plan_service *s, const struct gpu_device *card);

/* "a guess" of a term that is one, else what it is made of. */
static inline const char *plan_guess_text(const struct plan_terms *t, enum plan_guess term, const char *how)
{
	return t->guessed & (uint32_t)term ? "a guess" : how;
}

/* "27.5 GiB", "620 MiB": two to three digits. Returns ret. */
const char *plan_bytes_text(uint64_t bytes, char *ret, size_t cap);
enum { PLAN_BYTES_TEXT = 24 };
#define PLAN_BYTES(n) plan_bytes_text((n), (char[PLAN_BYTES_TEXT]){0}, PLAN_BYTES_TEXT)

#endif
