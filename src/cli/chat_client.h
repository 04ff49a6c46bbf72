/* chat_client.h - a conversation with an OpenAI-compatible server, one request at a time, each call until it is over.
 * Thread: one; chat_client_interrupt also from a signal handler. Memory: one event of the stream and one error body. */
#ifndef STATOR_CLI_CHAT_CLIENT_H
#define STATOR_CLI_CHAT_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

struct chat_client;

/* url: "http://127.0.0.1:8000", with or without "/v1" at its end. api_key NULL: none is sent. Connects when asked. */
int chat_client_create(struct chat_client **ret, const char *url, const char *api_key, struct err *err);
void chat_client_destroy(struct chat_client *c);
/* Names of the models there are, a line each, into ret. */
int chat_client_models(struct chat_client *c, struct buf *ret, struct err *err);
/* The body of GET path (as it is, "/stator/requests") into ret, or what the server says of its refusal. */
int chat_client_get(struct chat_client *c, const char *path, struct buf *ret, struct err *err);
struct chat_client_ops {
	/* More of the answer. Borrows. */
	void (*on_text)(void *ctx, const char *text, size_t len);
	/* Each second until the first of it; may be NULL. */
	void (*on_wait)(void *ctx, uint32_t seconds);
};
/* Send body (a chat request with "stream": true); ops get the answer as it comes. 0; -ECANCELED after an interrupt;
 * else negative with a sentence: the server's own when it refused, or what happened to the connection. */
int chat_client_ask(
	struct chat_client *c, const struct buf *body, const struct chat_client_ops *ops, void *ctx, struct err *err);
/* Why the last answer ended, in the server's word ("stop", "length"); "" when it did not say. */
const char *chat_client_finish(const struct chat_client *c);
/* Stop the request under way; harmless when there is none. */
void chat_client_interrupt(struct chat_client *c);

/* Does arg name a server, and not a model or a file, which people try? 0 or -EINVAL. */
int chat_server_check(const char *arg, struct err *err);

#endif
