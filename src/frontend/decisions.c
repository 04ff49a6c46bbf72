/* decisions.c - GET /stator/requests: why requests went where they went. All of them are a megabyte of JSON, which takes some
 * 15 ms to print: a copy of the records is printed on a text thread. */
#include "base/json_out.h"
#include "frontend/demands.h"

enum { REPLY_BYTES_MAX = 16 * 1024 * 1024, PRINT_US = 20 * 1000 /* about */ };

/* Whose decisions the client may see: with keys its own, unless its key is an admin's. */
static void read_viewer(struct demands *ret, struct frontend *fe, struct http_exchange *x)
{
	*ret = (struct demands){0};
	demands_read_key(ret, fe, x);
}

static uint64_t viewer_of(const struct demands *d)
{
	return d->admin ? EXPLAIN_ALL : d->key_id;
}

void decision_serve(struct frontend *fe, struct http_exchange *x)
{
	struct api_error e = {0};
	const char *id = http_path(x) + strlen("/stator/requests/");
	struct demands d;
	struct buf b;

	buf_init(&b, REPLY_BYTES_MAX);
	read_viewer(&d, fe, x);
	bool found = explain_print(fe->explain, viewer_of(&d), id, env_now_us(fe->env), &b);
	if (b.failed)
		api_error_set(&e, 500, NULL, NULL, "out of memory");
	else if (!found)
		api_error_set(&e, 404, "unknown_request", NULL,
			"no decision is known for the request \"%.128s\"; the last %d are kept, by x-request-id", id,
			EXPLAIN_RECORDS);
	if (e.status)
		api_error_reply(x, &e);
	else
		http_reply(x, 200, "application/json", buf_str(&b), b.len);
	buf_done(&b);
}

struct decisions_call {
	struct env_job job;
	struct frontend *fe;
	struct http_exchange *x; /* NULL: the client left */
	struct explain *copy;
	uint64_t viewer, now_us;
	struct buf out;
};

static void on_work(struct env_job *job)
{
	struct decisions_call *d = CONTAINER_OF(job, struct decisions_call, job);

	buf_add_str(&d->out, "{\"requests\":");
	explain_print_all(d->copy, d->viewer, d->now_us, &d->out);
	buf_add_str(&d->out, "}");
}

static void call_free(struct decisions_call *d)
{
	explain_destroy(d->copy);
	buf_done(&d->out);
	free(d);
}

static void call_fail(struct http_exchange *x, int status, const char *why)
{
	struct api_error e = {.retry_after_s = status == 503 ? 1 : 0};

	api_error_set(&e, status, NULL, NULL, "%s", why);
	api_error_reply(x, &e);
}

static void on_done(struct env_job *job)
{
	struct decisions_call *d = CONTAINER_OF(job, struct decisions_call, job);

	d->fe->jobs--;
	if (d->x && d->out.failed)
		call_fail(d->x, 500, "out of memory");
	else if (d->x)
		http_reply(d->x, 200, "application/json", buf_str(&d->out), d->out.len);
	call_free(d);
}

static void on_gone(void *user)
{
	struct decisions_call *d = user;

	d->x = NULL;
	env_job_cancel(d->fe->env, &d->job);
}

static const struct http_exchange_ops ops = {.on_gone = on_gone};

void decisions_serve(struct frontend *fe, struct http_exchange *x)
{
	struct decisions_call *call = calloc(1, sizeof *call);
	struct demands d;

	if (!call || explain_copy(&call->copy, fe->explain) < 0) {
		free(call);
		call_fail(x, 500, "out of memory");
		return;
	}
	read_viewer(&d, fe, x);
	call->fe = fe;
	call->x = x;
	call->viewer = viewer_of(&d);
	call->now_us = env_now_us(fe->env);
	call->job = (struct env_job){.work = on_work, .done = on_done, .is_long = true, .cost_us = PRINT_US};
	/* Who asks over and over takes from his own part. */
	call->job.owner = call->viewer;
	buf_init(&call->out, REPLY_BYTES_MAX);
	if (env_offload(fe->env, ENV_POOL_TEXT, &call->job) < 0) {
		call_free(call);
		call_fail(x, 503, "the server is stopping");
		return;
	}
	fe->jobs++;
	http_set_ops(x, &ops, call);
}
