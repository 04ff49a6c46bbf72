/* error.h - what a client is told when its request does not succeed, in OpenAI's form:
 *   {"error":{"message":"...","type":"invalid_request_error","param":"messages","code":null}}
 * Thread: the loop or a text thread, one owner a struct. Memory: fixed size, works when memory is gone. */
#ifndef STATOR_FRONTEND_ERROR_H
#define STATOR_FRONTEND_ERROR_H

#include "base/buf.h"
#include "net/http_server.h"

enum { API_PARAM_BYTES_MAX = 96, API_MESSAGE_BYTES_MAX = 1024 };

struct api_error {
	int status; /* 0: none */
	const char *code; /* literal, or NULL */
	uint32_t retry_after_s; /* 0: no such header */
	char param[API_PARAM_BYTES_MAX]; /* "": null */
	char message[API_MESSAGE_BYTES_MAX];
};

/* Returns -EINVAL, so that "return api_error_set(...)" reads well. code and param may be NULL; param is copied.
 * Whatever of a stranger's words the message quotes (a worker's error, a name in a request) is made fit to be shown here:
 * clients print it on terminals and in logs. A character that may not be shown (base/utf8.h) becomes a '?'. */
int api_error_set(struct api_error *e, int status, const char *code, const char *param, const char *fmt, ...)
	PRINTF_LIKE(5, 6);
/* OpenAI's type for a status: "invalid_request_error", "rate_limit_error", "server_error", ... */
const char *api_error_type(int status);
/* Append {"error":{...}}. When out has failed, this is what can be said without memory. */
#define API_ERROR_NO_MEMORY                                                                                            \
	"{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,\"code\":null}}"
void api_error_json(struct buf *out, const struct api_error *e);
/* Answer with it; x is gone after it. */
void api_error_reply(struct http_exchange *x, const struct api_error *e);

#endif
