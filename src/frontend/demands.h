/* demands.h - what a request asks of the router, by its headers:
 *
 *     x-session-id          whose conversation it is, for the session policy (else prompt_cache_key or user of the body)
 *     x-stator-deadline-ms  it is worth nothing after so long: 504 when it still waits then
 *     x-stator-worker       the worker it must go to                  with allow-direct
 *     x-stator-tenant       whose it is (else its API key)            with allow-tenant
 *     x-stator-priority     -100 to 100, higher goes first            with allow-tenant
 *
 * Thread: the loop's. Memory: the request's arena. */
#ifndef STATOR_FRONTEND_DEMANDS_H
#define STATOR_FRONTEND_DEMANDS_H

#include "base/arena.h"
#include "frontend/internal.h"

struct demands {
	uint64_t session, tenant; /* hashes; 0: none */
	uint64_t key_id; /* whose API key it came with: a keyed hash of it; 0: none is asked for */
	uint64_t owner; /* the tenant, else the host the request came from: who shares text threads with whom */
	uint64_t deadline_us; /* by the env's clock; 0: none */
	int32_t priority;
	bool admin; /* the key of key_id may see what others ask */
	const char *direct; /* in the arena; NULL: none */
};

struct api_caller;
/* With API keys: is the request's one of them? As "Authorization: Bearer KEY", or without that as "x-api-key: KEY", which
 * Anthropic's clients send. ret may be NULL. */
bool demands_caller(struct frontend *fe, struct http_exchange *x, struct api_caller *ret);
/* Only key_id and admin. */
void demands_read_key(struct demands *d, struct frontend *fe, struct http_exchange *x);
/* 0, or negative with e filled: a value out of range, or a header that is not allowed here. */
int demands_read(
	struct demands *ret, struct frontend *fe, struct http_exchange *x, struct arena *arena, struct api_error *e);
/* Is the named worker one of the model's that takes requests? Negative: e lists those that are. */
int demands_check_direct(const struct model *m, const char *name, struct api_error *e);

#endif
