/* api.c - the table of endpoints, and the small ones. */
#include "base/json_out.h"
#include "base/limits.h"
#include "base/log.h"
#include "config/suggest.h"
#include "frontend/alias.h"
#include "frontend/cors.h"
#include "frontend/demands.h"
#include "frontend/guard.h"
#include "frontend/index_check.h"
#include "frontend/keys.h"

#include <stdio.h>
#include <strings.h>

enum { REPLY_BYTES_MAX = 16 * 1024 * 1024, FULL_TOLD_US = 60 * 1000 * 1000 };

struct endpoint {
	const char *method, *path;
	bool open; /* asks for no key: probes and scrapers have none */
	void (*serve)(struct frontend *fe, struct http_exchange *x);
};

void api_request_id(struct frontend *fe, struct http_exchange *x, char *ret, size_t cap)
{
	const char *given = http_header(x, "x-request-id");
	size_t len = given ? strlen(given) : 0;
	bool is_printable = len > 0 && len < cap;

	for (size_t i = 0; is_printable && i < len; i++)
		is_printable = given[i] > ' ' && given[i] < 0x7f;
	if (is_printable)
		memcpy(ret, given, len + 1);
	else
		snprintf(ret, cap, "req-%016llx", (unsigned long long)env_rand(fe->env));
	http_add_header(x, "x-request-id", ret);
}

static void reply(struct http_exchange *x, int status, const char *type, struct buf *body)
{
	struct api_error e = {0};

	if (body->failed) {
		api_error_set(&e, 500, NULL, NULL, "out of memory");
		api_error_reply(x, &e);
	} else {
		http_reply(x, status, type, buf_str(body), body->len);
	}
	buf_done(body);
}

static void reply_json(struct http_exchange *x, int status, struct buf *body)
{
	reply(x, status, "application/json", body);
}

static void serve_chat(struct frontend *fe, struct http_exchange *x)
{
	completion_start(fe, x, API_CHAT);
}

static void serve_completions(struct frontend *fe, struct http_exchange *x)
{
	completion_start(fe, x, API_COMPLETION);
}

/* models */

/* id is its name, or an alias. */
static void out_model(struct buf *b, const struct model *m, const char *id)
{
	buf_add_str(b, "{\"id\":");
	json_out_cstr(b, id);
	buf_add_str(b, ",\"root\":");
	json_out_cstr(b, m->name);
	buf_printf(b,
		",\"parent\":null,\"object\":\"model\",\"created\":%llu,\"owned_by\":\"stator\",\"max_model_len\":%u}",
		(unsigned long long)m->created_s, m->context_max);
}

static void out_aliases(struct frontend *fe, struct buf *b, const char *comma)
{
	char alias[ALIAS_NAME_BYTES], name[ALIAS_NAME_BYTES];

	for (const char *at = fe->config.model_aliases; at && alias_next(&at, alias, name);) {
		const struct model *m = model_known(fe, name);
		if (!m || m->state != MODEL_READY || model_known(fe, alias))
			continue;
		buf_add_str(b, comma);
		out_model(b, m, alias);
		comma = ",";
	}
}

static void serve_models(struct frontend *fe, struct http_exchange *x)
{
	struct buf b;
	const char *comma = "";

	buf_init(&b, REPLY_BYTES_MAX);
	buf_add_str(&b, "{\"object\":\"list\",\"data\":[");
	list_foreach(it, &fe->models)
	{
		const struct model *m = list_entry(it, struct model, link);
		if (m->state != MODEL_READY)
			continue;
		buf_add_str(&b, comma);
		out_model(&b, m, m->name);
		comma = ",";
	}
	out_aliases(fe, &b, comma);
	buf_add_str(&b, "]}");
	reply_json(x, 200, &b);
}

static void serve_model(struct frontend *fe, struct http_exchange *x)
{
	struct api_error e = {0};
	struct buf b;
	const struct model *m = model_find(fe, http_path(x) + strlen("/v1/models/"), &e);

	if (!m) {
		api_error_reply(x, &e);
		return;
	}
	buf_init(&b, REPLY_BYTES_MAX);
	out_model(&b, m, http_path(x) + strlen("/v1/models/"));
	reply_json(x, 200, &b);
}

/* operations */

static void serve_live(struct frontend *fe, struct http_exchange *x)
{
	(void)fe;
	http_reply(x, 200, "application/json", "{\"status\":\"ok\"}", 15);
}

static void serve_version(struct frontend *fe, struct http_exchange *x)
{
	static const char text[] = "{\"version\":\"" STATOR_VERSION "\"}";

	(void)fe;
	http_reply(x, 200, "application/json", text, sizeof text - 1);
}

static void out_health(struct frontend *fe, struct buf *b, const char *name, const struct model *m)
{
	static const char *const states[] = {"loading", "ready", "failed"};
	const struct expected *expected = expect_find(&fe->expect, name);

	buf_add_str(b, "{\"id\":");
	json_out_cstr(b, name);
	buf_printf(b, ",\"state\":\"%s\",\"workers\":%u,", m ? states[m->state] : "expected",
		frontend_workers_of(fe, name));
	if (expected)
		buf_printf(b, "\"expected\":%u,", expected->workers);
	buf_printf(
		b, "\"running\":%u,\"waiting\":%u}", m ? pool_outstanding(m->pool) : 0, m ? pool_waiting(m->pool) : 0);
}

/* Expected models that lack workers; their names alone, for scripts and people in a hurry. */
static void out_missing(struct frontend *fe, struct buf *b)
{
	const char *comma = "";

	for (uint32_t i = 0; i < fe->expect.len; i++) {
		const struct expected *e = &fe->expect.v[i];
		if (frontend_workers_of(fe, e->name) >= e->workers)
			continue;
		buf_add_str(b, comma);
		json_out_cstr(b, e->name);
		comma = ",";
	}
}

/* Healthy is: a request would be served now, whichever model it names. What is missing stands beside it. */
static void serve_health(struct frontend *fe, struct http_exchange *x)
{
	bool ready = frontend_is_ready(fe);
	const char *comma = "";
	struct buf b;

	buf_init(&b, REPLY_BYTES_MAX);
	buf_printf(&b, "{\"status\":\"%s\",\"requests\":%u,\"missing\":[",
		ready          ? "ok"
		: fe->draining ? "draining"
			       : "waiting for workers",
		fe->requests);
	out_missing(fe, &b);
	buf_add_str(&b, "],\"models\":[");
	list_foreach(it, &fe->models)
	{
		const struct model *m = list_entry(it, struct model, link);
		buf_add_str(&b, comma);
		out_health(fe, &b, m->name, m);
		comma = ",";
	}
	for (uint32_t i = 0; i < fe->expect.len; i++) {
		if (model_known(fe, fe->expect.v[i].name))
			continue;
		buf_add_str(&b, comma);
		out_health(fe, &b, fe->expect.v[i].name, NULL);
		comma = ",";
	}
	buf_add_str(&b, "]}");
	if (!ready && !fe->draining)
		http_add_header(x, "retry-after", "1");
	reply_json(x, ready ? 200 : 503, &b);
}

static void text_metrics_refresh(struct frontend *fe)
{
	struct text_counts counts;

	text_work_count(fe, &counts);
	metric_set(metrics_get(fe->metrics, FM_TEXT_WAITING, NULL), counts.waiting);
	metric_set(metrics_get(fe->metrics, FM_TEXT_RUNNING, NULL), counts.running);
	metric_set(metrics_get(fe->metrics, FM_TEXT_OLDEST, NULL), (int64_t)counts.oldest_us);
	metric_set(metrics_get(fe->metrics, FM_TEXT_AHEAD, NULL), (int64_t)counts.ahead_us);
}

static void serve_metrics(struct frontend *fe, struct http_exchange *x)
{
	struct buf b;

	list_foreach(it, &fe->models)
	{
		struct model *m = list_entry(it, struct model, link);
		const char *labels[] = {m->name};
		metric_set(metrics_get(fe->metrics, FM_REQUESTS_WAITING, labels), pool_waiting(m->pool));
		route_metrics_refresh(m);
	}
	text_metrics_refresh(fe);
	metric_set(fe->m_running, fe->requests);
	metric_set(fe->m_conns, http_server_conns(fe->http));
	metric_set(metrics_get(fe->metrics, FM_HTTP_BODY_BYTES, NULL), http_server_bodies(fe->http));
	metric_set(metrics_get(fe->metrics, FM_HTTP_UNREAD_BYTES, NULL), http_server_unread(fe->http));
	buf_init(&b, REPLY_BYTES_MAX);
	metrics_print(fe->metrics, &b);
	reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}

/* A path that ends with "/" takes what follows it; one slash more at the end of any other is forgiven. */
static const struct endpoint endpoints[] = {
	{"POST", "/v1/chat/completions", false, serve_chat},
	{"POST", "/v1/completions", false, serve_completions},
	{"GET", "/v1/models", false, serve_models},
	{"GET", "/v1/models/", false, serve_model},
	{"POST", "/tokenize", false, text_api_tokenize},
	{"POST", "/detokenize", false, text_api_detokenize},
	{"GET", "/version", false, serve_version},
	{"GET", "/stator/index-check", false, index_check_start},
	{"GET", "/stator/requests", false, decisions_serve},
	{"GET", "/stator/requests/", false, decision_serve},
	{"GET", "/health", true, serve_health},
	{"GET", "/ready", true, serve_health},
	{"GET", "/ping", true, serve_health}, /* as hosting platforms call it, by either method */
	{"POST", "/ping", true, serve_health},
	{"GET", "/live", true, serve_live},
	{"GET", "/metrics", true, serve_metrics},
};

static bool is_prefix(const struct endpoint *e)
{
	return e->path[strlen(e->path) - 1] == '/';
}

static bool path_fits(const struct endpoint *e, const char *path)
{
	size_t len = strlen(e->path);

	if (strncmp(e->path, path, len))
		return false;
	if (is_prefix(e))
		return path[len];
	return !path[len] || !strcmp(path + len, "/");
}

/* HEAD is answered as GET; the server leaves the body out. */
static bool method_fits(const struct endpoint *e, const char *method)
{
	return !strcmp(e->method, method) || (!strcmp(e->method, "GET") && !strcmp(method, "HEAD"));
}

static const char *nearest_path(const char *path)
{
	struct suggest s;

	/* The most usual mistake is a base URL without /v1, or with it twice. */
	for (uint32_t i = 0; i < ARRAY_LEN(endpoints); i++) {
		const char *p = endpoints[i].path;
		if (!strncmp(p, "/v1", 3) &&
			(!strcmp(p + 3, path) || (!strncmp(path, "/v1", 3) && !strcmp(p, path + 3))))
			return p;
	}
	suggest_init(&s, path);
	for (uint32_t i = 0; i < ARRAY_LEN(endpoints); i++)
		if (!is_prefix(&endpoints[i]))
			suggest_offer(&s, endpoints[i].path);
	return suggest_best(&s);
}

static void refuse_path(struct http_exchange *x)
{
	struct api_error e = {0};
	const char *near = nearest_path(http_path(x));

	if (near)
		api_error_set(&e, 404, "unknown_url", NULL, "there is nothing at %s %.200s; did you mean %s?",
			http_method(x), http_path(x), near);
	else
		api_error_set(&e, 404, "unknown_url", NULL,
			"there is nothing at %s %.200s; the API is at /v1/chat/completions, /v1/completions and "
			"/v1/models",
			http_method(x), http_path(x));
	api_error_reply(x, &e);
}

static void refuse_method(struct http_exchange *x, const struct endpoint *e)
{
	struct api_error error = {0};

	api_error_set(
		&error, 405, "method_not_allowed", NULL, "%s takes %s, not %s", e->path, e->method, http_method(x));
	http_add_header(x, "allow", e->method);
	api_error_reply(x, &error);
}

/* Once a minute, not once a client. */
static void tell_full(struct frontend *fe)
{
	uint64_t now_us = env_now_us(fe->env);

	if (fe->full_told_us && now_us - fe->full_told_us < FULL_TOLD_US)
		return;
	fe->full_told_us = now_us;
	log_warn("too many connections: new ones are refused", LOG_F("open", log_u64(http_server_conns(fe->http))),
		LOG_F("limit", log_str(fe->config.http.conns_by_fds ? "open files" : "max-conns")),
		LOG_F("remedy",
			log_str(fe->config.http.conns_by_fds
					? "raise the hard limit of open files: ulimit -Hn, or LimitNOFILE= of a unit"
					: "raise max-conns, or look who holds them")));
}

static void on_count(void *ctx, const char *name)
{
	struct frontend *fe = ctx;
	const char *labels[] = {name};

	metric_add(metrics_get(fe->metrics, FM_HTTP_EVENTS, labels), 1);
	if (!strcmp(name, "http_conn_refused"))
		tell_full(fe);
}

static int check_key(struct frontend *fe, struct http_exchange *x, struct api_error *e)
{
	bool given = http_header(x, "authorization") || http_header(x, "x-api-key");

	if (!fe->config.keys || demands_caller(fe, x, NULL))
		return 0;
	http_add_header(x, "www-authenticate", "Bearer");
	return api_error_set(e, 401, "invalid_api_key", NULL,
		given ? "the API key is not known here"
		      : "this server asks for an API key: send \"Authorization: Bearer KEY\"");
}

/* A compressed body would be told to be broken JSON. */
static int check_coding(struct http_exchange *x, struct api_error *e)
{
	const char *coding = http_header(x, "content-encoding");

	if (!coding || !*coding || !strcasecmp(coding, "identity"))
		return 0;
	http_add_header(x, "accept-encoding", "identity");
	return api_error_set(e, 415, "unsupported_encoding", NULL,
		"bodies with content-encoding \"%.32s\" are not read here; send it as it is", coding);
}

/* NULL: none; *ret_other is one at that path that takes another method. */
static const struct endpoint *endpoint_find(const struct http_exchange *x, const struct endpoint **ret_other)
{
	for (uint32_t i = 0; i < ARRAY_LEN(endpoints); i++) {
		const struct endpoint *e = &endpoints[i];
		if (!path_fits(e, http_path(x)))
			continue;
		if (method_fits(e, http_method(x)))
			return e;
		*ret_other = e;
	}
	return NULL;
}

/* May the client use the endpoint, with a body of that kind? */
static int check_use(struct frontend *fe, const struct endpoint *endpoint, struct http_exchange *x, struct api_error *e)
{
	int r = endpoint->open ? 0 : check_key(fe, x, e);

	if (r == 0)
		r = check_coding(x, e);
	if (r == 0 && !strcmp(endpoint->method, "POST"))
		r = guard_content_type(x, e);
	return r == 0 && !endpoint->open ? frontend_check_stopping(fe, e) : r;
}

/* Whose mistake it is only the operator can know: it stands in the log as well. */
static void refuse_stranger(struct frontend *fe, struct http_exchange *x, const char *count, const struct api_error *e)
{
	const char *origin = http_header(x, "origin"), *host = http_authority(x);
	char short_origin[256], short_host[256]; /* a line of the log has an end */

	snprintf(short_origin, sizeof short_origin, "%s", origin ? origin : "");
	snprintf(short_host, sizeof short_host, "%s", host ? host : "");
	log_warn("request refused", LOG_F("why", log_str(e->message)), LOG_F("host", log_str(short_host)),
		LOG_F("origin", log_str(short_origin)), LOG_F("peer", log_str(http_peer(x))));
	on_count(fe, count);
	api_error_reply(x, e);
}

static void refuse_use(struct frontend *fe, struct http_exchange *x, const struct api_error *e)
{
	if (e->status == 401)
		on_count(fe, "http_key_refused");
	api_error_reply(x, e);
}

/* Everything that the headers alone decide, before a byte of the body is read. */
static bool on_headers(void *ctx, struct http_exchange *x)
{
	struct frontend *fe = ctx;
	const struct guard guard = frontend_guard(fe);
	const struct endpoint *other = NULL, *endpoint;
	struct api_error e = {0};

	if (guard_host(&guard, http_authority(x), &e) < 0) {
		refuse_stranger(fe, x, "http_host_refused", &e);
		return false;
	}
	enum cors cors = cors_serve(fe->config.allow_origin, x);
	if (cors == CORS_ANSWERED)
		return false;
	if (cors == CORS_NONE && guard_origin(&guard, x, &e) < 0) {
		refuse_stranger(fe, x, "http_origin_refused", &e);
		return false;
	}
	endpoint = endpoint_find(x, &other);
	if (!endpoint && other)
		refuse_method(x, other);
	else if (!endpoint)
		refuse_path(x);
	else if (check_use(fe, endpoint, x, &e) == 0)
		return true;
	else
		refuse_use(fe, x, &e);
	return false;
}

static void on_request(void *ctx, struct http_exchange *x)
{
	const struct endpoint *other = NULL, *endpoint = endpoint_find(x, &other);

	ASSERT(endpoint); /* by on_headers */
	endpoint->serve(ctx, x);
}

const struct http_handler api_handler = {.on_headers = on_headers, .on_request = on_request, .on_count = on_count};
