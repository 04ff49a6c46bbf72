#include "frontend/error.h"
#include "base/json_out.h"
#include "base/utf8.h"

#include <stdio.h>

int api_error_set(struct api_error *e, int status, const char *code, const char *param, const char *fmt, ...)
{
	va_list ap;

	e->status = status;
	e->code = code;
	utf8_plain_copy(e->param, sizeof e->param, param ? param : "", param ? strlen(param) : 0);
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof e->message, fmt, ap);
	va_end(ap);
	e->message[utf8_plain_text(e->message, strlen(e->message))] = '\0';
	return -EINVAL;
}

const char *api_error_type(int status)
{
	switch (status) {
	case 401:
		return "authentication_error";
	case 429:
		return "rate_limit_error";
	default:
		return status >= 500 ? "server_error" : "invalid_request_error";
	}
}

void api_error_json(struct buf *out, const struct api_error *e)
{
	buf_add_str(out, "{\"error\":{\"message\":");
	json_out_cstr(out, e->message);
	buf_printf(out, ",\"type\":\"%s\",\"param\":", api_error_type(e->status));
	if (*e->param)
		json_out_cstr(out, e->param);
	else
		buf_add_str(out, "null");
	buf_add_str(out, ",\"code\":");
	if (e->code)
		json_out_cstr(out, e->code);
	else
		buf_add_str(out, "null");
	buf_add_str(out, "}}");
}

void api_error_reply(struct http_exchange *x, const struct api_error *e)
{
	struct buf body;
	char seconds[16];

	buf_init(&body, 16 * 1024);
	api_error_json(&body, e);
	if (e->retry_after_s) {
		snprintf(seconds, sizeof seconds, "%u", e->retry_after_s);
		http_add_header(x, "retry-after", seconds);
	}
	if (body.failed)
		http_reply(x, 500, "application/json", API_ERROR_NO_MEMORY, sizeof API_ERROR_NO_MEMORY - 1);
	else
		http_reply(x, e->status, "application/json", buf_str(&body), body.len);
	buf_done(&body);
}
