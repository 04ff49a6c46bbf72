#include "net/loop_priv.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Life of a stream:
 *
 *     connecting -> open -> finishing (flush) -> lingering (our end is shut, the peer's bytes are dropped) -> dead
 *
 * or from anywhere straight to dead: by conn_op_close, or by fail (told at the end of the turn). A dead stream lies in
 * loop->graves until the turn ends, so that every frame on the stack may still look at it.
 *
 * Events are edge-triggered and all kinds are watched from the start. readable says that an edge came whose bytes were
 * not all read; blocked says that the kernel took less than all. Pausing is a flag. */

#define OUT_BYTES_MAX (SIZE_MAX / 4) /* its owner bounds it: env_conn_queued */

static void unlink_all(struct env_conn *c)
{
	list_del(&c->link);
	list_del(&c->dirty);
	list_del(&c->ready);
}

/* To the grave; the fd is closed at once, so that the peer sees it now. */
static void conn_kill(struct env_conn *c)
{
	struct loop *l = c->loop;

	if (c->dead)
		return;
	c->dead = true;
	unlink_all(c);
	list_add_tail(&l->graves, &c->link);
	if (c->resolve)
		connect_forget(c);
	if (c->fd < 0)
		return;
	event_del(&c->ev);
	close(c->fd);
	c->fd = -1;
	listeners_fd_freed(l);
}

static void conn_tell_closed(struct env_conn *c, int code)
{
	const struct env_conn_ops *ops = c->ops;
	void *ctx = c->ctx;

	if (c->dead)
		return;
	conn_kill(c);
	if (ops)
		ops->on_closed(ctx, code);
}

void conn_fail_later(struct env_conn *c, int code)
{
	if (c->dead)
		return;
	if (!c->fail)
		c->fail = code;
	list_del(&c->dirty);
	list_add_tail(&c->loop->failed, &c->dirty);
}

static void ready_later(struct env_conn *c)
{
	if (list_empty(&c->ready))
		list_add_tail(&c->loop->ready, &c->ready);
}

static void flush_later(struct env_conn *c)
{
	if (list_empty(&c->dirty))
		list_add_tail(&c->loop->dirty, &c->dirty);
}

static int socket_error(const struct env_conn *c)
{
	int code = 0;
	socklen_t len = sizeof code;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &len);
	return -code;
}

/* Both directions are down: the peer cannot even read any more. */
static bool is_hung_up(const struct env_conn *c)
{
	struct pollfd p = {.fd = c->fd};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

static bool has_unread(const struct env_conn *c)
{
	int bytes = 0;

	return ioctl(c->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* The peer sends no more. */
static void conn_eof(struct env_conn *c)
{
	c->eof = true;
	c->readable = false;
	if (c->lingering || c->broken || !c->ops || !c->ops->on_eof || is_hung_up(c))
		conn_tell_closed(c, c->fail ? c->fail : socket_error(c));
	else
		c->ops->on_eof(c->ctx);
}

/* One read. False: no more now. */
static bool conn_read_once(struct env_conn *c)
{
	struct loop *l = c->loop;
	/* What nobody will look at is dropped by the system, without a copy where it can (TCP). */
	ssize_t n = recv(c->fd, l->read_buf, READ_BYTES, c->finishing ? MSG_TRUNC : 0);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN) {
		c->readable = false;
		if (c->broken)
			conn_tell_closed(c, c->fail);
		return false;
	}
	if (n < 0) {
		conn_tell_closed(c, c->fail ? c->fail : -errno);
		return false;
	}
	if (n == 0) {
		conn_eof(c);
		return false;
	}
	/* A short read does not tell that the socket is empty: a peer that left with our bytes unread comes as one edge,
	 * data and error together, which libevent does not tell from data alone. So the read that says EAGAIN is made. */
	if (c->ops && c->ops->on_data && !c->finishing)
		c->ops->on_data(c->ctx, l->read_buf, (size_t)n);
	return !c->dead && c->readable && !c->paused;
}

/* Reading is paused: is there news that cannot wait? Bytes in front of the end keep their order and wait with it. */
static void conn_look(struct env_conn *c)
{
	int code = socket_error(c);

	if (code < 0)
		conn_tell_closed(c, code);
	else if (c->hung_up && !c->eof && !has_unread(c))
		conn_eof(c);
}

static void conn_read(struct env_conn *c)
{
	int reads = 0;

	while (reads < READS_A_TURN && conn_read_once(c))
		reads++;
	if (reads == READS_A_TURN)
		ready_later(c);
	else if (!c->dead && c->paused && c->readable)
		conn_look(c); /* paused by the bytes in front of an end or error, whose edge has come already */
}

static void conn_opened(struct env_conn *c)
{
	int code = connect_result(c);

	if (code == -EINPROGRESS)
		return;
	if (code < 0) {
		conn_tell_closed(c, code);
		return;
	}
	c->connecting = false;
	if (c->out.len || c->finishing)
		flush_later(c);
	if (c->ops->on_open)
		c->ops->on_open(c->ctx);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct env_conn *c = arg;

	(void)fd;
	if (c->connecting)
		conn_opened(c);
	if (c->dead || c->connecting)
		return;
	if (what & (EV_READ | EV_CLOSED))
		c->readable = true;
	if (what & EV_CLOSED)
		c->hung_up = true;
	if (what & EV_WRITE && c->blocked) {
		c->blocked = false;
		flush_later(c);
	}
	if (c->eof) {
		/* It said it sends no more; what comes now is an error or its leaving for good. */
		if (is_hung_up(c))
			conn_tell_closed(c, socket_error(c));
	} else if (c->paused && !c->lingering) {
		conn_look(c);
	} else if (c->readable) {
		conn_read(c);
	}
}

int conn_watch(struct env_conn *c)
{
	event_assign(&c->ev, c->loop->base, c->fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, c);
	return event_add(&c->ev, NULL) < 0 ? -ENOMEM : 0;
}

static struct env_conn *conn_new(struct loop *l, int fd)
{
	struct env_conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->loop = l;
	c->fd = fd;
	buf_init(&c->out, OUT_BYTES_MAX);
	list_init(&c->dirty);
	list_init(&c->ready);
	list_add_tail(&l->conns, &c->link);
	return c;
}

static void conn_free(struct env_conn *c)
{
	list_del(&c->link);
	buf_done(&c->out);
	free(c->peer);
	free(c);
}

struct env_conn *conn_accepted(struct loop *l, int fd, const struct net_addr *peer)
{
	struct env_conn *c = conn_new(l, fd);

	if (!c) {
		close(fd);
		return NULL;
	}
	c->addr = *peer;
	if (conn_watch(c) < 0) {
		conn_kill(c);
		return NULL;
	}
	return c;
}

int conn_op_connect(struct env *e, const char *addr, const struct env_conn_ops *ops, void *ctx, struct env_conn **ret,
	struct err *err)
{
	struct env_conn *c = conn_new(loop_of(e), -1);

	ASSERT(ops->on_closed);
	if (!c)
		return err_set(err, -ENOMEM, "could not connect to %s: out of memory", addr);
	c->ops = ops;
	c->ctx = ctx;
	c->connecting = true;
	int r = connect_begin(c, addr, err);
	if (r < 0) {
		conn_kill(c);
		return r;
	}
	*ret = c;
	return 0;
}

void conn_op_attach(struct env *e, struct env_conn *c, const struct env_conn_ops *ops, void *ctx)
{
	(void)e;
	ASSERT(ops->on_closed && !c->dead);
	c->ops = ops;
	c->ctx = ctx;
}

/* What is sent already is given back when it is the larger part, so that a slow reader does not make the queue creep. */
static void out_compact(struct env_conn *c)
{
	if (c->out_sent < READ_BYTES || c->out_sent < c->out.len / 2)
		return;
	buf_consume(&c->out, c->out_sent);
	c->out_sent = 0;
}

/* An idle stream holds no buffer; small ones go round among the streams that write, so that nothing is allocated. */
static void out_borrow(struct env_conn *c)
{
	struct loop *l = c->loop;

	if (l->spare_outs_count)
		c->out = l->spare_outs[--l->spare_outs_count];
}

static void out_return(struct env_conn *c)
{
	struct loop *l = c->loop;

	if (!c->out.data || c->out.cap > SPARE_OUT_BYTES_MAX || l->spare_outs_count == SPARE_OUTS_MAX) {
		buf_done(&c->out);
		return;
	}
	buf_reset(&c->out);
	l->spare_outs[l->spare_outs_count++] = c->out;
	buf_init(&c->out, OUT_BYTES_MAX);
}

int conn_op_write(struct env *e, struct env_conn *c, const void *data, size_t len)
{
	(void)e;
	ASSERT(!c->dead);
	if (len == 0 || c->finishing || c->fail || c->broken)
		return 0;
	if (!c->out.data)
		out_borrow(c);
	out_compact(c);
	if (buf_add(&c->out, data, len) < 0)
		return -ENOMEM;
	c->undrained = true;
	if (!c->blocked && !c->connecting)
		flush_later(c);
	return 0;
}

size_t conn_op_queued(struct env *e, const struct env_conn *c)
{
	(void)e;
	return c->out.len - c->out_sent;
}

const char *conn_op_peer(struct env *e, const struct env_conn *c)
{
	struct env_conn *mine = (struct env_conn *)c; /* the text is made on first use; nothing else changes */
	char text[NET_ADDR_TEXT_BYTES];

	(void)e;
	if (!mine->peer) {
		net_addr_format(&c->addr, text);
		mine->peer = strdup(text);
	}
	return mine->peer ? mine->peer : "unknown";
}

void conn_op_pause(struct env *e, struct env_conn *c, bool paused)
{
	(void)e;
	ASSERT(!c->dead);
	c->paused = paused;
	/* The edge came while nobody wanted it. */
	if (!paused && c->readable && !c->eof)
		ready_later(c);
}

void conn_op_finish(struct env *e, struct env_conn *c)
{
	(void)e;
	ASSERT(!c->dead);
	c->finishing = true;
	if (!c->connecting)
		flush_later(c);
}

void conn_op_close(struct env *e, struct env_conn *c)
{
	(void)e;
	conn_kill(c);
}

/* The kernel takes no more for this peer. What the peer still said before it left is worth reading (why it refused), so
 * an unpaused stream is read to its end first. */
static void conn_write_failed(struct env_conn *c, int code)
{
	buf_done(&c->out);
	c->out_sent = 0;
	if (c->paused || c->eof || c->lingering) {
		conn_tell_closed(c, code);
		return;
	}
	c->broken = true;
	if (!c->fail)
		c->fail = code;
	c->readable = true;
	ready_later(c);
}

/* Everything has left. Shut our direction and wait for the peer's end: closing now would make the kernel send a reset
 * if any of his bytes are unread, and a reset overtakes our answer. */
static void conn_linger(struct env_conn *c)
{
	struct loop *l = c->loop;

	if (c->eof || shutdown(c->fd, SHUT_WR) < 0) {
		conn_tell_closed(c, 0);
		return;
	}
	c->lingering = true;
	c->paused = false;
	c->linger_until_us = loop_now_us(l) + LINGER_US;
	list_del(&c->dirty);
	list_add_tail(&l->lingering, &c->dirty);
	if (!env_timer_is_set(&l->linger_timer))
		env_timer_set(&l->env, &l->linger_timer, c->linger_until_us);
	if (c->readable)
		ready_later(c);
}

static void conn_drained(struct env_conn *c)
{
	out_return(c);
	c->out_sent = 0;
	if (c->finishing) {
		conn_linger(c);
		return;
	}
	if (!c->undrained)
		return;
	c->undrained = false;
	if (c->ops && c->ops->on_drain)
		c->ops->on_drain(c->ctx);
}

static void conn_flush(struct env_conn *c)
{
	while (c->out_sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.data + c->out_sent, c->out.len - c->out_sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->blocked = true;
			return;
		}
		if (n < 0) {
			conn_write_failed(c, -errno);
			return;
		}
		c->out_sent += (size_t)n;
	}
	conn_drained(c);
}

/* Move a list aside: what is added while it is worked on waits for the next turn. */
static void list_move(struct list *from, struct list *to)
{
	list_init(to);
	if (list_empty(from))
		return;
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	list_init(from);
}

void conns_read_ready(struct loop *l)
{
	struct list todo;

	list_move(&l->ready, &todo);
	while (!list_empty(&todo)) {
		struct env_conn *c = list_first(&todo, struct env_conn, ready);
		list_del(&c->ready);
		if (c->eof || !c->readable)
			continue;
		if (!c->paused)
			conn_read(c);
		else
			conn_look(c);
	}
}

void conns_tell_failed(struct loop *l)
{
	struct list todo;

	list_move(&l->failed, &todo);
	while (!list_empty(&todo)) {
		struct env_conn *c = list_first(&todo, struct env_conn, dirty);
		list_del(&c->dirty);
		conn_tell_closed(c, c->fail);
	}
}

void conns_flush(struct loop *l)
{
	struct list todo;

	list_move(&l->dirty, &todo);
	while (!list_empty(&todo)) {
		struct env_conn *c = list_first(&todo, struct env_conn, dirty);
		list_del(&c->dirty);
		conn_flush(c);
	}
}

/* The oldest come first: all wait equally long. */
void conns_linger_expire(void *ctx)
{
	struct loop *l = ctx;

	while (!list_empty(&l->lingering)) {
		struct env_conn *c = list_first(&l->lingering, struct env_conn, dirty);
		if (c->linger_until_us > loop_now_us(l)) {
			env_timer_set(&l->env, &l->linger_timer, c->linger_until_us);
			return;
		}
		conn_tell_closed(c, 0);
	}
}

void conns_bury(struct loop *l)
{
	while (!list_empty(&l->graves))
		conn_free(list_first(&l->graves, struct env_conn, link));
}

void conns_destroy(struct loop *l)
{
	while (!list_empty(&l->conns))
		conn_kill(list_first(&l->conns, struct env_conn, link));
	conns_bury(l);
}
