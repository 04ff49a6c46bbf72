/* http_unread.c - one bound for what clients have not read: bytes of answers that have not left, and what handlers keep
 * because of that (http_hold). A stream that passes its own bound ends, and when all together pass theirs the one that holds
 * most ends first, again and again until an eighth is free: who reads keeps what is his.
 *
 * Counts are brought up to date when something is written and when everything has left; between, they are too high, so
 * before anybody is ended all are looked at. That happens in a turn of its own and never inside a handler's call. */
#include "net/http_priv.h"

/* Answers in pieces: the others are kept because they are not whole, and leave as one. */
static bool is_over_its_own(const struct http_conn *c)
{
	return c->x && c->x->begun && c->kept && c->unread > c->s->limits.unread_bytes_max;
}

void http_unread_count(struct http_conn *c)
{
	struct http_server *s = c->s;
	size_t now = c->stream ? env_conn_queued(s->env, c->stream) + c->kept : 0;

	s->unread_bytes = s->unread_bytes - c->unread + now;
	c->unread = now;
	if ((s->unread_bytes > s->limits.unread_total_max || is_over_its_own(c)) && !env_timer_is_set(&s->unread_timer))
		env_timer_set_in(s->env, &s->unread_timer, 0);
}

void http_hold(struct http_exchange *x, size_t bytes)
{
	x->conn->kept = bytes;
	http_unread_count(x->conn);
}

size_t http_server_unread(const struct http_server *s)
{
	return s->unread_bytes;
}

/* Its answer ends as the handler sees fit, or breaks. */
static void end_one(struct http_conn *c)
{
	http_count(c->s, "http_unread_ended");
	c->kept = 0;
	if (c->state == CONN_ANSWER && c->x->ops && c->x->ops->on_unread) {
		c->busy++;
		c->x->ops->on_unread(c->x->user);
		ASSERT(c->state != CONN_ANSWER || c->dead);
		http_unread_count(c);
		http_conn_leave(c);
	} else {
		http_conn_close(c);
	}
}

/* Ends who is over his own bound; returns who holds most of the others. */
static struct http_conn *look_at_all(struct http_server *s)
{
	struct http_conn *most = NULL;

	list_foreach_safe(it, &s->conns)
	{
		struct http_conn *c = list_entry(it, struct http_conn, link);
		http_unread_count(c);
		if (is_over_its_own(c))
			end_one(c);
		else if (c->unread && (!most || c->unread > most->unread))
			most = c;
	}
	return most;
}

static void on_unread(void *ctx)
{
	struct http_server *s = ctx;
	size_t most = s->limits.unread_total_max;
	struct http_conn *c = look_at_all(s);

	/* A few a turn: each is a walk over all. */
	for (int i = 0; i < HTTP_UNREAD_ENDS_A_TURN && c && s->unread_bytes > (i ? most - most / 8 : most); i++) {
		end_one(c);
		c = look_at_all(s);
	}
	if (c && s->unread_bytes > most)
		env_timer_set_in(s->env, &s->unread_timer, 0);
	else
		env_timer_cancel(s->env, &s->unread_timer);
}

void http_unread_init(struct http_server *s)
{
	s->unread_timer = (struct env_timer){.fn = on_unread, .ctx = s};
}
