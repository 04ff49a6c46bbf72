#include "base/limits.h"
#include "net/http_priv.h"

#include <stdio.h>

/* The states of a connection and what ends each wait:
 *
 *     IDLE     first byte                          idle_timeout: close
 *     HEAD     headers whole                       header_timeout from the first byte: 408
 *     BODY     body whole                          body_timeout from the end of the headers: 408
 *              room for it (waits)                 body_wait_ms: 503; in HEAD likewise
 *     DISCARD  its body is dropped                 body_timeout: close
 *     ANSWER   http_reply, http_end, http_abort    the handler's own deadlines; stall_timeout while bytes are unsent
 *     CLOSING  the stream says closed              stall_timeout while bytes are unsent
 *
 * While a request is being answered, what the client sends behind it waits in pending, one read at most; then reading
 * stops. The next request is begun from the timer and never inside the handler's call that ended the one before. */

static void set_timer(struct http_conn *c, uint32_t ms)
{
	env_timer_set_in(c->s->env, &c->timer, (uint64_t)ms * 1000);
}

void http_conn_kick(struct http_conn *c)
{
	c->kick = true;
	set_timer(c, 0);
}

static size_t unsent(const struct http_conn *c)
{
	return env_conn_queued(c->s->env, c->stream);
}

static void conn_free(struct http_conn *c)
{
	struct http_server *s = c->s;

	env_timer_cancel(s->env, &c->timer);
	http_room_wait_end(c);
	list_del(&c->link);
	if (c->refused)
		s->refused_count--;
	else
		s->conn_count--;
	http_exchange_free(s, c->x);
	c->x = NULL;
	c->reserved = 0;
	buf_done(&c->pending);
	http_room_count(c);
	http_unread_count(c);
	free(c);
}

void http_conn_leave(struct http_conn *c)
{
	if (--c->busy == 0 && c->dead)
		conn_free(c);
}

void http_conn_pause(struct http_conn *c)
{
	if (c->stream)
		env_conn_pause(c->s->env, c->stream, c->paused || c->paced);
}

/* The stream is gone already, or goes now. */
static void conn_end(struct http_conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	http_pace_end(c);
	if (c->stream)
		env_conn_close(c->s->env, c->stream);
	c->stream = NULL;
	http_unread_count(c);
	if (c->state == CONN_ANSWER)
		http_exchange_gone(c);
}

void http_conn_close(struct http_conn *c)
{
	c->busy++;
	conn_end(c);
	http_conn_leave(c);
}

void http_conn_broken(struct http_conn *c)
{
	c->broken = true;
	c->kick = false;
	set_timer(c, 0);
}

void http_conn_finish(struct http_conn *c)
{
	c->state = CONN_CLOSING;
	c->kick = false;
	http_room_wait_end(c);
	if (c->paced) {
		http_pace_end(c);
		http_conn_pause(c);
	}
	buf_done(&c->pending);
	/* A request that was not answered holds nothing while its client reads why. */
	if (c->x) {
		buf_done(&c->x->head);
		buf_done(&c->x->body);
		c->reserved = 0;
	}
	http_room_count(c);
	env_conn_finish(c->s->env, c->stream);
	c->quiet_ticks = 0;
	set_timer(c, c->s->limits.stall_timeout_ms / HTTP_STALL_TICKS);
}

/* Who meets a limit wants to know how far to go, and what would move it. */
static void refuse_large(struct http_conn *c, int status, const char *why)
{
	const struct http_limits *l = &c->s->limits;
	char text[256];

	snprintf(text, sizeof text, "%s: at most %zu bytes are taken (%s)", why,
		status == 413 ? (size_t)l->body_bytes_max : (size_t)l->header_bytes_max,
		status == 413 ? "max-body-bytes" : "max-header-bytes");
	http_count(c->s, "http_too_large");
	http_answer_error(c, status, text);
}

static void refuse(struct http_conn *c, int status, const char *why)
{
	if (status == 413 || status == 431) {
		refuse_large(c, status, why);
	} else {
		http_count(c->s, status >= 500 ? "http_refused" : "http_bad_request");
		http_answer_error(c, status, why);
	}
	http_conn_finish(c);
}

void http_conn_no_room(struct http_conn *c)
{
	http_count(c->s, "http_body_refused");
	http_answer_error(c, 503, "the server has no room for another request body now; try again soon");
	http_conn_finish(c);
}

/* The request is the handler's now; what is unsent of answers before it has to leave meanwhile. */
static void give(struct http_conn *c)
{
	struct http_server *s = c->s;

	c->state = CONN_ANSWER;
	c->quiet_ticks = 0;
	if (unsent(c))
		set_timer(c, s->limits.stall_timeout_ms / HTTP_STALL_TICKS);
	else
		env_timer_cancel(s->env, &c->timer);
}

static void hand_over(struct http_conn *c)
{
	c->reserved = 0;
	http_room_count(c);
	give(c);
	c->s->handler->on_request(c->s->ctx, c->x);
}

static void discarded(struct http_conn *c)
{
	http_exchange_free(c->s, c->x);
	c->x = NULL;
	c->state = CONN_IDLE;
	http_room_count(c);
	set_timer(c, c->s->limits.idle_timeout_ms);
}

/* The headers are whole: the handler may refuse the request now. */
static void look_at_head(struct http_conn *c)
{
	struct http_server *s = c->s;

	c->head_done = false;
	c->message_done = c->framing.state == FRAMING_NONE;
	http_count(s, "http_requests");
	c->x->early = true;
	if (s->handler->on_headers) {
		c->state = CONN_ANSWER;
		c->quiet_ticks = 0;
		if (!s->handler->on_headers(s->ctx, c->x))
			return;
	}
	c->x->early = false;
	c->state = CONN_BODY;
	c->body_us = c->body_byte_us = env_now_us(s->env);
	set_timer(c, s->limits.body_timeout_ms);
}

/* May the body take len bytes more? If not the connection waits, or has been told that there is no room. */
static bool has_room(struct http_conn *c, size_t len)
{
	if (c->state == CONN_BODY && len)
		c->body_byte_us = env_now_us(c->s->env);
	if (!http_room_ask(c, len)) {
		if (!http_room_wait(c))
			http_conn_no_room(c);
		return false;
	}
	if (c->state != CONN_BODY)
		return true;
	if (c->x->expects)
		http_answer_continue(c);
	c->x->expects = false;
	return true;
}

/* A request's first byte. */
static bool begin_request(struct http_conn *c)
{
	c->x = http_exchange_new(c->s);
	if (!c->x) {
		http_count(c->s, "http_out_of_memory");
		conn_end(c);
		return false;
	}
	c->x->conn = c;
	c->state = CONN_HEAD;
	http_request_init(c);
	set_timer(c, c->s->limits.header_timeout_ms);
	return true;
}

static bool is_reading(const struct http_conn *c)
{
	return !c->dead && c->state <= CONN_DISCARD;
}

/* Parse until a request is whole, is answered by its headers, has to wait, or data ends. Returns how many bytes were used.
 * data may be pending's: when the connection ends it is gone. */
static size_t take(struct http_conn *c, const uint8_t *data, size_t len)
{
	size_t used = 0;

	if (c->state == CONN_IDLE && !begin_request(c))
		return len;
	while (used < len && !c->bad_status && !c->message_done && has_room(c, len - used)) {
		bool was_head = c->state == CONN_HEAD;
		used += http_request_feed(c, data + used, len - used);
		if (was_head && c->head_done && !c->bad_status) {
			look_at_head(c);
			if (c->state != CONN_BODY)
				break;
			/* Also when nothing of the body is here: it may have to be asked for. */
			if (used == len && !c->message_done)
				(void)has_room(c, 0);
		}
	}
	if (!c->dead && c->state <= CONN_BODY)
		http_room_count(c);
	return used;
}

/* What take() found. Behind it, because the handler may end the connection and all its buffers. */
static void settle(struct http_conn *c)
{
	if (!is_reading(c) || c->waits)
		return;
	if (c->bad_status) {
		refuse(c, c->bad_status, c->bad_why);
	} else if (c->x && c->message_done && c->state == CONN_BODY) {
		hand_over(c);
	} else {
		if (c->x && c->message_done && c->state == CONN_DISCARD)
			discarded(c);
		/* It was answered by its headers; what came behind them has its own turn. */
		if (c->pending.len)
			http_conn_kick(c);
	}
}

/* Keep what cannot be parsed yet, and stop the rest from coming. */
static void keep(struct http_conn *c, const uint8_t *data, size_t len)
{
	if (c->dead || c->state == CONN_CLOSING || !len)
		return;
	if (buf_add(&c->pending, data, len) < 0) {
		http_conn_broken(c);
		return;
	}
	http_room_count(c);
	if (!c->paused) {
		c->paused = true;
		http_conn_pause(c);
	}
}

/* No more can be held for the rate of large bodies. */
static void too_many_wait(struct http_conn *c)
{
	if (c->state == CONN_BODY)
		http_conn_no_room(c);
	else
		http_conn_finish(c); /* it has its answer */
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
	struct http_conn *c = ctx;
	size_t used = 0;

	c->busy++;
	/* At most one whole request: the next waits in pending even when the answer is given at once, so that the work of
	 * a callback is bounded. */
	bool parses = is_reading(c) && !c->pending.len && !c->waits;
	if (parses)
		used = take(c, data, len);
	if ((c->state == CONN_BODY || c->state == CONN_DISCARD) && !http_pace_read(c, len))
		too_many_wait(c);
	if (used < len && !c->bad_status)
		keep(c, data + used, len - used);
	if (parses)
		settle(c);
	http_conn_leave(c);
}

/* The body's own deadline again, when something else had the timer. */
static void timer_restore(struct http_conn *c)
{
	uint64_t now = env_now_us(c->s->env), end_us = c->body_us + (uint64_t)c->s->limits.body_timeout_ms * 1000;

	if (c->waits || env_timer_is_set(&c->timer))
		return;
	if (c->state == CONN_IDLE)
		set_timer(c, c->s->limits.idle_timeout_ms);
	else if (c->state == CONN_HEAD)
		set_timer(c, c->s->limits.header_timeout_ms);
	else if (c->state == CONN_BODY || c->state == CONN_DISCARD)
		env_timer_set(c->s->env, &c->timer, MAX(end_us, c->paced ? now + 1000000 : now));
}

/* Parse what came behind the answer that is through, or while there was no room. */
static void go_on(struct http_conn *c)
{
	c->kick = false;
	if (!is_reading(c))
		return;
	if (c->state == CONN_IDLE && unsent(c) > HTTP_BACKLOG_BYTES_MAX) {
		/* on_drain comes back here; the timer sees to it that the reader takes something. */
		set_timer(c, c->s->limits.stall_timeout_ms / HTTP_STALL_TICKS);
		return;
	}
	size_t used = c->pending.len          ? take(c, (const uint8_t *)c->pending.data, c->pending.len)
		      : c->state == CONN_BODY ? (has_room(c, 0), (size_t)0)
					      : 0;
	if (c->dead || c->state == CONN_CLOSING)
		return;
	buf_consume(&c->pending, used);
	if (!c->pending.len && !c->waits) {
		buf_done(&c->pending);
		if (c->paused) {
			c->paused = false;
			http_conn_pause(c);
		}
	}
	http_room_count(c);
	settle(c);
	/* It had said that it sends no more: a request that is cut will never be whole. */
	if (c->eof && is_reading(c) && !c->pending.len && !c->waits)
		http_conn_finish(c);
	else
		timer_restore(c);
}

void http_conn_answered(struct http_conn *c)
{
	struct http_server *s = c->s;
	bool keep_alive = c->x->keep_alive && !s->draining && !(c->eof && !c->pending.len);

	c->busy++;
	if (c->x->early && keep_alive && !c->broken && !c->message_done) {
		c->state = CONN_DISCARD;
		c->body_us = env_now_us(s->env);
		set_timer(c, s->limits.body_timeout_ms);
		http_conn_leave(c);
		return;
	}
	http_exchange_free(s, c->x);
	c->x = NULL;
	c->kept = 0;
	http_room_count(c);
	http_unread_count(c);
	if (c->broken) {
		c->state = CONN_CLOSING;
	} else if (keep_alive) {
		c->state = CONN_IDLE;
		set_timer(c, s->limits.idle_timeout_ms);
		if (c->pending.len)
			http_conn_kick(c);
	} else {
		http_conn_finish(c);
	}
	http_conn_leave(c);
}

void http_conn_wrote(struct http_conn *c, size_t len)
{
	c->written += len;
	http_unread_count(c);
	if (c->state == CONN_ANSWER && !env_timer_is_set(&c->timer)) {
		c->quiet_ticks = 0;
		c->taken = c->written - unsent(c);
		set_timer(c, c->s->limits.stall_timeout_ms / HTTP_STALL_TICKS);
	}
}

/* Of a body's time the server took some for itself. */
static bool is_in_time(const struct http_conn *c)
{
	uint64_t now = env_now_us(c->s->env), end_us = c->body_us + (uint64_t)c->s->limits.body_timeout_ms * 1000;

	return (c->state == CONN_BODY || c->state == CONN_DISCARD) && (c->paced || end_us > now);
}

/* Does the reader take enough? A timer that looks now and then costs the token path nothing. A byte now and then is not
 * reading: since it last took enough, or had taken all, there is one stall_timeout for as much as a slow line carries. */
static void look_at_reader(struct http_conn *c)
{
	size_t queued = unsent(c);
	uint64_t taken = c->written - queued,
		 enough = MAX((uint64_t)c->s->limits.stall_timeout_ms * HTTP_STALL_RATE_MIN / 1000, (uint64_t)1);

	http_unread_count(c);
	if (!queued || taken - c->taken >= enough) {
		c->quiet_ticks = 0;
		c->taken = taken;
	} else {
		c->quiet_ticks++;
	}
	if (c->quiet_ticks >= HTTP_STALL_TICKS) {
		http_count(c->s, "http_stalled");
		conn_end(c);
		return;
	}
	if (queued || c->state == CONN_CLOSING)
		set_timer(c, c->s->limits.stall_timeout_ms / HTTP_STALL_TICKS);
	else if (c->state == CONN_IDLE)
		set_timer(c, c->s->limits.idle_timeout_ms);
}

static void on_timer(void *ctx)
{
	struct http_conn *c = ctx;

	c->busy++;
	if (c->broken) {
		conn_end(c);
	} else if (c->kick) {
		go_on(c);
	} else if (c->waits) {
		http_conn_no_room(c);
	} else if (is_in_time(c)) {
		timer_restore(c);
	} else if (c->state == CONN_DISCARD) {
		http_count(c->s, "http_body_timeout");
		http_conn_finish(c);
	} else if (c->state == CONN_HEAD) {
		http_count(c->s, "http_header_timeout");
		http_answer_error(c, 408, "the request's headers did not arrive in time");
		http_conn_finish(c);
	} else if (c->state == CONN_BODY) {
		http_count(c->s, "http_body_timeout");
		http_answer_error(c, 408, "the request's body did not arrive in time");
		http_conn_finish(c);
	} else if (c->state == CONN_IDLE && !unsent(c)) {
		http_count(c->s, "http_idle_timeout");
		http_conn_finish(c);
	} else {
		look_at_reader(c);
	}
	http_conn_leave(c);
}

static void on_drain(void *ctx)
{
	struct http_conn *c = ctx;

	c->busy++;
	http_unread_count(c);
	if (c->state == CONN_ANSWER && c->x->begun && c->x->ops && c->x->ops->on_drain)
		c->x->ops->on_drain(c->x->user);
	else if (c->state == CONN_IDLE && c->pending.len)
		http_conn_kick(c);
	http_conn_leave(c);
}

/* No more requests come. An answer under way still goes out: half-closed clients are alive (printf | nc). Whether there
 * is anybody behind it shows only when something is sent. */
static void on_eof(void *ctx)
{
	struct http_conn *c = ctx;

	c->busy++;
	c->eof = true;
	if (c->state == CONN_ANSWER)
		http_answer_probe(c);
	else if (c->state != CONN_CLOSING && !c->pending.len && !c->waits)
		http_conn_finish(c);
	http_conn_leave(c);
}

static void on_closed(void *ctx, int code)
{
	struct http_conn *c = ctx;

	(void)code;
	c->busy++;
	c->stream = NULL;
	if (c->state == CONN_ANSWER)
		http_count(c->s, "http_client_gone");
	conn_end(c);
	http_conn_leave(c);
}

static const struct env_conn_ops stream_ops = {
	.on_data = on_data,
	.on_drain = on_drain,
	.on_eof = on_eof,
	.on_closed = on_closed,
};

static struct http_conn *conn_new(struct http_server *s, struct env_conn *stream)
{
	struct http_conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->s = s;
	c->stream = stream;
	c->timer = (struct env_timer){.fn = on_timer, .ctx = c};
	buf_init(&c->pending, SIZE_MAX / 4); /* bounded by pausing: one read of the env */
	list_add_tail(&s->conns, &c->link);
	env_conn_attach(s->env, stream, &stream_ops, c);
	return c;
}

/* One too many: say so and leave. */
static void turn_away(struct http_conn *c)
{
	struct http_server *s = c->s;

	c->refused = true;
	s->refused_count++;
	c->busy++;
	http_answer_error(c, 503,
		s->limits.conns_by_fds ? "too many connections: the server has as many as its limit of open files "
					 "allows; its operator "
					 "can raise that (ulimit -n, or LimitNOFILE= of a unit)"
				       : "too many connections; try again soon");
	http_conn_finish(c);
	http_conn_leave(c);
}

void http_conn_accepted(struct http_server *s, struct env_conn *stream)
{
	bool is_full = s->conn_count >= s->limits.conns_max;

	http_count(s, is_full ? "http_conn_refused" : "http_conn_accepted");
	struct http_conn *c = is_full && s->refused_count >= HTTP_REFUSED_MAX ? NULL : conn_new(s, stream);
	if (!c) {
		env_conn_close(s->env, stream);
		return;
	}
	if (is_full) {
		turn_away(c);
		return;
	}
	s->conn_count++;
	set_timer(c, s->limits.idle_timeout_ms);
}
