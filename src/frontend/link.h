/* link.h - one framed connection to one worker: hand-shake, card, its reports, requests out, tokens in; made
 * again with back-off whenever it breaks; the back-off grows until a connection served for LINK_PROVEN_MS.
 *
 * Thread: the env's loop. Handlers are called from turns of the env, never from inside a call. A link may be destroyed in
 * any handler but on_tokens and on_done. Memory: one frame. */
#ifndef STATOR_FRONTEND_LINK_H
#define STATOR_FRONTEND_LINK_H

#include "base/env.h"
#include "wire/msg.h"

struct link;

struct link_config {
	const char *software; /* "stator 0.1.0"; outlives the link */
	const void *secret; /* for TCP; outlives the link; NULL: none */
	size_t secret_len;
};

struct link_handler {
	/* The worker is ready for requests; its card is link_card(). */
	void (*on_up)(void *ctx, struct link *l);
	/* It was up and is not any more: its requests are lost. why is a sentence. The link tries again by itself. */
	void (*on_down)(void *ctx, struct link *l, const char *why);
	/* It could not be reached, or was refused; called once a row of failures of one kind. */
	void (*on_trouble)(void *ctx, struct link *l, const char *why);
	void (*on_tokens)(void *ctx, struct link *l, const struct msg_token_item *item);
	void (*on_done)(void *ctx, struct link *l, const struct msg_done *done);
	/* Everything that arrived together has been handed over. */
	void (*on_turn)(void *ctx, struct link *l);
	void (*on_step)(void *ctx, struct link *l, const struct msg_step *step);
	/* Cached prefixes came or went. */
	void (*on_kv)(void *ctx, struct link *l, const struct msg_kv *kv);
	void (*on_drain)(void *ctx, struct link *l);
};

int link_create(struct link **ret, struct env *env, const char *addr, const struct link_config *config,
	const struct link_handler *handler, void *ctx, struct err *err) MUST_USE;
/* Close; no handler is called. NULL is fine. */
void link_destroy(struct link *l);

const char *link_addr(const struct link *l);
bool link_is_up(const struct link *l);
/* Valid while it is up, and until the next on_up. */
const struct msg_card *link_card(const struct link *l);
/* When bytes came last. */
uint64_t link_heard_us(const struct link *l);
/* When there was a sign last that its process is there, or comes again: bytes, or a connection refused or closed. A process that is
 * stopped, or cut off, gives none: the system takes connections for it, or nobody answers. */
uint64_t link_sign_us(const struct link *l);
/* When anything came last but an answer to link_ping. */
uint64_t link_worked_us(const struct link *l);
/* Bytes that wait for the worker to take them. */
size_t link_queued(const struct link *l);
/* Give the connection up as if it had broken: on_down follows in this call. It must be up. */
void link_drop(struct link *l, const char *why);
/* Keep a pointer of the owner's. */
void link_set_user(struct link *l, void *user);
void *link_user(const struct link *l);

/* Send. The link must be up. 0 or -ENOBUFS (the worker does not read), -ENOMEM. */
int link_request(struct link *l, const struct msg_request *request) MUST_USE;
/* Ask for a new snapshot of its cached prefixes. Harmless when it is not up. */
void link_resync(struct link *l);
/* Ask whether it is there. Harmless when it is not up, or has not taken what was sent before. */
void link_ping(struct link *l);
/* Harmless when it is not up any more. */
void link_cancel(struct link *l, uint64_t id);

#endif
