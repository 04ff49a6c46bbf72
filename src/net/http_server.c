#include "base/limits.h"
#include "net/http_priv.h"

#include <sys/resource.h>

enum { SCRATCH_BYTES_MAX = HTTP_EXTRA_BYTES_MAX + 1024 };

void http_limits_default(struct http_limits *ret)
{
	struct rlimit fds = {.rlim_cur = RLIM_INFINITY};
	uint64_t conns = HTTP_CONNS_MAX;

	getrlimit(RLIMIT_NOFILE, &fds);
	/* With very few fds half of them are for clients: the server must still be there for a few. */
	uint64_t spare = fds.rlim_cur > 2 * FDS_RESERVED ? fds.rlim_cur - FDS_RESERVED : fds.rlim_cur / 2;
	*ret = (struct http_limits){
		.conns_max = (uint32_t)MIN(conns, spare),
		.conns_by_fds = spare < conns,
		.header_bytes_max = HTTP_HEADER_BYTES_MAX,
		.header_count_max = HTTP_HEADER_COUNT_MAX,
		.body_bytes_max = HTTP_BODY_BYTES_MAX,
		.bodies_bytes_max = HTTP_BODIES_BYTES_MAX,
		.header_timeout_ms = HTTP_HEADER_TIMEOUT_MS,
		.body_timeout_ms = HTTP_BODY_TIMEOUT_MS,
		.body_wait_ms = HTTP_BODY_WAIT_MS,
		.large_rate = HTTP_LARGE_RATE,
		.idle_timeout_ms = HTTP_IDLE_TIMEOUT_MS,
		.stall_timeout_ms = HTTP_STALL_TIMEOUT_MS,
		.unread_bytes_max = HTTP_UNREAD_BYTES_MAX,
		.unread_total_max = HTTP_UNREAD_TOTAL_MAX,
	};
}

void http_count(const struct http_server *s, const char *name)
{
	if (s->handler->on_count)
		s->handler->on_count(s->ctx, name);
}

static void on_accept(void *ctx, struct env_conn *stream)
{
	http_conn_accepted(ctx, stream);
}

static const struct env_listener_ops listener_ops = {.on_accept = on_accept};

int http_server_create(struct http_server **ret, struct env *env, const char *addr, const struct http_limits *limits,
	const struct http_handler *handler, void *ctx, struct err *err)
{
	struct http_server *s = calloc(1, sizeof *s);

	ASSERT(handler->on_request);
	if (!s)
		return err_set(err, -ENOMEM, "could not start the HTTP server: out of memory");
	s->env = env;
	s->limits = *limits;
	s->handler = handler;
	s->ctx = ctx;
	list_init(&s->conns);
	http_room_init(s);
	http_pace_init(s);
	http_unread_init(s);
	buf_init(&s->scratch, SCRATCH_BYTES_MAX);
	s->date_s = UINT64_MAX;
	int r = env_listen(env, addr, &listener_ops, s, &s->listener, err);
	if (r == 0 && !(s->addr = strdup(env_listener_addr(env, s->listener))))
		r = err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		http_server_destroy(s);
		(void)err_wrap(err, "could not start the HTTP server");
		return r;
	}
	*ret = s;
	return 0;
}

const char *http_server_addr(const struct http_server *s)
{
	return s->addr;
}

static bool is_idle(const struct http_conn *c)
{
	return c->state == CONN_IDLE && !c->pending.len && !env_conn_queued(c->s->env, c->stream);
}

void http_server_drain(struct http_server *s)
{
	s->draining = true;
}

void http_server_close(struct http_server *s)
{
	s->draining = true;
	if (!s->listener)
		return;
	env_listener_close(s->env, s->listener);
	s->listener = NULL;
	list_foreach_safe(it, &s->conns)
	{
		struct http_conn *c = list_entry(it, struct http_conn, link);
		if (!is_idle(c))
			continue;
		c->was_idle = true;
		http_conn_finish(c);
	}
}

uint32_t http_server_closing(const struct http_server *s)
{
	uint32_t n = 0;

	list_foreach(it, &s->conns)
	{
		const struct http_conn *c = list_entry(it, struct http_conn, link);
		n += !c->refused && !c->was_idle && c->stream &&
		     (c->state == CONN_CLOSING || env_conn_queued(s->env, c->stream));
	}
	return n;
}

uint32_t http_server_conns(const struct http_server *s)
{
	return s->conn_count;
}

void http_server_destroy(struct http_server *s)
{
	if (!s)
		return;
	s->draining = true; /* exchanges are freed, not kept */
	if (s->listener)
		env_listener_close(s->env, s->listener);
	while (!list_empty(&s->conns))
		http_conn_close(list_first(&s->conns, struct http_conn, link));
	env_timer_cancel(s->env, &s->room_timer);
	env_timer_cancel(s->env, &s->pace_timer);
	env_timer_cancel(s->env, &s->unread_timer);
	while (s->spares) {
		struct http_exchange *x = s->spares;
		s->spares = x->next_spare;
		http_exchange_free(s, x);
	}
	buf_done(&s->scratch);
	free(s->addr);
	free(s);
}
