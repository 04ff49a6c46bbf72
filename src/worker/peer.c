/* peer.c - one frontend's connection to a worker. */
#include "base/log.h"
#include "worker/worker_priv.h"

enum {
	SNAPSHOT_CHUNK = 4096, /* hashes in a frame: 32 KiB, so that tokens never wait long behind one */
	SNAPSHOT_QUEUE_BYTES = 256 * 1024, /* of a snapshot under way to one frontend */
	HELD_BYTES_MAX = 32 * 1024, /* what waits for the send interval's end; past it, it leaves at once */
};

/* ---- the end ---- */

static void peer_free(struct peer *p)
{
	map_done(&p->requests);
	kv_snapshot_done(&p->snapshot);
	vec_done(&p->items);
	buf_done(&p->in);
	buf_done(&p->out);
	arena_done(&p->arena);
	free(p);
}

/* It gets nothing any more and its requests end. */
static void peer_forget(struct peer *p)
{
	uint32_t pos = 0;
	uint64_t value;

	p->up = false;
	p->snapshot_open = false;
	p->items.len = 0;
	while (map_next(&p->requests, &pos, NULL, &value)) {
		struct wreq *r = (struct wreq *)(uintptr_t)value;
		r->peer = NULL;
		worker_cancel(p->w, r);
	}
	map_clear(&p->requests);
}

/* The connection is no more. */
static void peer_bury(struct peer *p)
{
	p->conn = NULL;
	env_timer_cancel(p->w->env, &p->hello_timer);
	env_timer_cancel(p->w->env, &p->send_timer);
	peer_forget(p);
	list_del(&p->link);
	p->w->peers_count--;
	p->w->strangers_count -= !p->known;
	worker_kick(p->w); /* a worker that drains waits for the last to go */
	if (!p->reading)
		peer_free(p);
}

void peer_close(struct peer *p)
{
	if (!p->conn)
		return;
	env_conn_close(p->w->env, p->conn);
	peer_bury(p);
}

void peer_finish(struct peer *p)
{
	peer_forget(p);
	p->closing = true;
	if (p->out.len)
		env_conn_write(p->w->env, p->conn, p->out.data, p->out.len);
	buf_reset(&p->out);
	env_timer_cancel(p->w->env, &p->send_timer);
	env_conn_finish(p->w->env, p->conn);
	/* One that does not read is not waited for longer than for a hand-shake. */
	env_timer_set_in(p->w->env, &p->hello_timer, (uint64_t)HELLO_TIMEOUT_MS * 1000);
}

static void log_refused(const struct peer *p, const char *why)
{
	log_warn("frontend refused", LOG_F("worker", log_str(p->w->name)),
		LOG_F("peer", log_str(env_conn_peer(p->w->env, p->conn))), LOG_F("error", log_str(why)));
}

void peer_refuse(struct peer *p, int code, const char *why)
{
	const struct msg_refuse refuse = {code, msg_str(why)};

	if (!p->conn || p->closing)
		return;
	log_refused(p, why);
	peer_send(p, MSG_REFUSE, &refuse);
	peer_finish(p);
}

/* ---- sending ---- */

/* Nobody waits for these but streams that have just had some, and a router that hears of the next ones. */
static bool may_wait(enum msg_type type)
{
	return type == MSG_TOKENS || type == MSG_STEP || type == MSG_KV;
}

void peer_send(struct peer *p, enum msg_type type, const void *msg)
{
	/* A failed encode is seen at peer_flush. */
	if (!p->conn || p->closing)
		return;
	msg_encode(&p->out, type, msg);
	p->urgent |= !may_wait(type);
}

static void peer_write(struct peer *p)
{
	struct worker *w = p->w;
	bool failed = p->out.failed || env_conn_write(w->env, p->conn, p->out.data, p->out.len) < 0;
	size_t queued = env_conn_queued(w->env, p->conn);

	buf_reset(&p->out);
	p->urgent = false;
	p->sent_us = env_now_us(w->env);
	env_timer_cancel(w->env, &p->send_timer);
	if (!failed && queued <= w->config.queue_bytes_max)
		return;
	log_warn("frontend cut off", LOG_F("worker", log_str(w->name)),
		LOG_F("peer", log_str(env_conn_peer(w->env, p->conn))), LOG_F("queued_bytes", log_u64(queued)),
		LOG_F("error", log_str(failed ? "out of memory" : "it takes nothing")));
	w->frontends_cut++;
	peer_close(p);
}

static void on_send_timer(void *ctx)
{
	peer_write(ctx);
}

void peer_flush(struct peer *p)
{
	struct env *e = p->w->env;
	uint64_t at_us = p->sent_us + p->w->config.send_interval_us;

	if (!p->conn || p->closing || (!p->out.len && !p->out.failed))
		return;
	if (p->urgent || p->out.failed || p->out.len >= HELD_BYTES_MAX || env_now_us(e) >= at_us)
		peer_write(p);
	else if (!env_timer_is_set(&p->send_timer))
		env_timer_set(e, &p->send_timer, at_us);
}

void peer_snapshot_begin(struct peer *p)
{
	/* The snapshot is of what was reported, so that no change is told twice or never. */
	worker_tell_changes(p->w);
	kv_snapshot_done(&p->snapshot);
	if (kv_snapshot_begin(&p->snapshot, sched_blocks(p->w->sched)) < 0) {
		peer_refuse(p, -ENOMEM, "the worker is out of memory");
		return;
	}
	p->snapshot_open = p->snapshot_first = true;
	peer_snapshot_pump(p);
}

static void send_chunk(struct peer *p)
{
	struct worker *w = p->w;
	uint64_t hashes[SNAPSHOT_CHUNK];
	bool end;
	uint32_t n = kv_snapshot_next(&p->snapshot, sched_blocks(w->sched), hashes, SNAPSHOT_CHUNK, &end);
	const struct msg_kv kv = {.stored = {hashes, n},
		.snapshot = true,
		.cleared = p->snapshot_first,
		.snapshot_end = end,
		.digest = end ? w->told_digest : 0,
		.blocks_held = end ? w->told_held : 0};

	peer_send(p, MSG_KV, &kv);
	p->snapshot_first = false;
	if (end) {
		p->snapshot_open = false;
		kv_snapshot_done(&p->snapshot);
	}
}

void peer_snapshot_pump(struct peer *p)
{
	while (p->snapshot_open && env_conn_queued(p->w->env, p->conn) + p->out.len < SNAPSHOT_QUEUE_BYTES)
		send_chunk(p);
}

/* ---- receiving ---- */

static int take_hello(struct peer *p, const struct frame *f, struct err *err)
{
	struct worker *w = p->w;
	int r = hello_frame(&p->hello, f, &p->out, err);

	if (r <= 0)
		return r;
	p->known = true;
	w->strangers_count--;
	if (w->peers_count - w->strangers_count > FRONTENDS_MAX)
		return err_set(err, -EMFILE, "the worker has as many frontends as it can");
	struct msg_card card;
	worker_fill_card(w, &card);
	env_timer_cancel(w->env, &p->hello_timer);
	p->up = true;
	peer_send(p, MSG_CARD, &card);
	if (w->draining || w->stuck)
		peer_send(p, MSG_DRAIN, &(struct msg_drain){0});
	peer_snapshot_begin(p);
	log_info("frontend connected", LOG_F("worker", log_str(w->name)),
		LOG_F("peer", log_str(env_conn_peer(w->env, p->conn))),
		LOG_F("software", log_str(p->hello.peer_software)));
	return 0;
}

static int take_message(struct peer *p, const struct frame *f, struct err *err)
{
	union msg m;

	arena_done(&p->arena);
	int r = msg_decode(f, &p->arena, &m, err);
	if (r == -ENOTSUP)
		return 0; /* of a newer release: skipped */
	if (r < 0)
		return r;
	switch (f->type) {
	case MSG_REQUEST:
		return worker_request(p->w, p, &m.request, err);
	case MSG_CANCEL: {
		/* One that has ended on its way here is nothing to speak of. */
		struct wreq *q = map_get_ptr(&p->requests, m.cancel.id);
		if (q)
			worker_cancel(p->w, q);
		return 0;
	}
	case MSG_RESYNC:
		peer_snapshot_begin(p);
		return 0;
	case MSG_PING:
		peer_send(p, MSG_PONG, &(struct msg_pong){m.ping.id});
		return 0;
	case MSG_REFUSE:
		return err_set(err, -ECONNREFUSED, "it refused us: %.*s", (int)m.refuse.why.len, m.refuse.why.data);
	default:
		return err_set(err, -EPROTO, "it sent %s, which frontends do not send", msg_type_name(f->type));
	}
}

/* Take whole frames from data. Returns how many bytes were used; negative: the connection must go. */
static int64_t take_frames(struct peer *p, const uint8_t *data, size_t len, struct err *err)
{
	size_t used = 0;

	while (used < len && p->conn && !p->closing) {
		struct frame f;
		uint32_t most = p->known ? (uint32_t)FRAME_BYTES_MAX : (uint32_t)STRANGER_FRAME_BYTES_MAX;
		int64_t n = frame_next_within(data + used, len - used, most, &f, err);
		if (n <= 0)
			return n < 0 ? n : (int64_t)used;
		int r = p->up ? take_message(p, &f, err) : take_hello(p, &f, err);
		if (r < 0)
			return r;
		used += (size_t)n;
	}
	return (int64_t)used;
}

/* Mostly whole frames arrive: they are read where they lie, and only a cut one is kept. */
static int take_bytes(struct peer *p, const uint8_t *data, size_t len, struct err *err)
{
	int64_t used;

	if (p->in.len) {
		if (buf_add(&p->in, data, len) < 0)
			return err_set(err, -ENOMEM, "out of memory");
		used = take_frames(p, (const uint8_t *)p->in.data, p->in.len, err);
		if (used > 0)
			buf_consume(&p->in, (size_t)used);
		return used < 0 ? (int)used : 0;
	}
	used = take_frames(p, data, len, err);
	if (used < 0)
		return (int)used;
	if ((size_t)used < len && buf_add(&p->in, data + used, len - (size_t)used) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
	struct peer *p = ctx;
	struct err err = {0};

	if (p->closing)
		return;
	p->reading = true;
	if (take_bytes(p, data, len, &err) < 0) {
		/* A hand-shake that fails has its own last words. */
		if (p->hello.state == HELLO_REFUSED && p->conn && !p->closing) {
			log_refused(p, err.msg);
			peer_finish(p);
		} else {
			peer_refuse(p, err.code, err.msg);
		}
	}
	arena_done(&p->arena);
	peer_flush(p);
	p->reading = false;
	if (!p->conn)
		peer_free(p);
}

static void on_drain(void *ctx)
{
	struct peer *p = ctx;

	if (p->closing)
		return;
	peer_snapshot_pump(p);
	peer_flush(p);
}

static void on_closed(void *ctx, int code)
{
	struct peer *p = ctx;

	if (p->up)
		log_info("frontend gone", LOG_F("worker", log_str(p->w->name)),
			LOG_F("requests_cancelled", log_u64(p->requests.len)), LOG_F("code", log_i64(code)));
	peer_bury(p);
}

static const struct env_conn_ops peer_ops = {.on_data = on_data, .on_drain = on_drain, .on_closed = on_closed};

/* ---- the beginning ---- */

static void on_hello_timeout(void *ctx)
{
	struct peer *p = ctx;

	if (p->closing)
		peer_close(p);
	else
		peer_refuse(p, -ETIMEDOUT, "the hand-shake took longer than 10 seconds");
}
_Static_assert(HELLO_TIMEOUT_MS == 10000, "as the sentence says");

static size_t host_len(const char *peer)
{
	const char *colon = strrchr(peer, ':');
	return colon ? (size_t)(colon - peer) : strlen(peer);
}

static uint32_t strangers_from(const struct worker *w, const char *peer)
{
	size_t len = host_len(peer);
	uint32_t n = 0;

	list_foreach(it, &w->peers)
	{
		const struct peer *p = list_entry(it, struct peer, link);
		if (p->known)
			continue;
		const char *other = env_conn_peer(w->env, p->conn);
		n += host_len(other) == len && !strncmp(other, peer, len);
	}
	return n;
}

/* There are too many who have not shown that they know the secret. One who opens many must not keep out one who opens one: the
 * oldest of the host that has most goes. It is not told, which would cost it its time and us the place. */
static void stranger_drop(struct worker *w, const struct peer *newest)
{
	struct peer *victim = NULL;
	uint32_t most = 0;

	list_foreach(it, &w->peers)
	{
		struct peer *p = list_entry(it, struct peer, link);
		uint32_t n = p->known || p == newest ? 0 : strangers_from(w, env_conn_peer(w->env, p->conn));
		if (n > most) {
			victim = p;
			most = n;
		}
	}
	if (!victim)
		return;
	log_warn("connection let go before its hand-shake: too many of them", LOG_F("worker", log_str(w->name)),
		LOG_F("peer", log_str(env_conn_peer(w->env, victim->conn))));
	peer_close(victim);
}

void peer_accept(struct worker *w, struct env_conn *conn)
{
	struct peer *p = calloc(1, sizeof *p);
	struct err err = {0};

	if (!p) {
		env_conn_close(w->env, conn);
		return;
	}
	p->w = w;
	p->conn = conn;
	list_init(&p->link);
	list_add_tail(&w->peers, &p->link);
	w->peers_count++;
	w->strangers_count++;
	buf_init(&p->in, FRAME_BYTES_MAX + 16);
	buf_init(&p->out, FRAME_QUEUE_BYTES_MAX);
	arena_init(&p->arena, 2 * (size_t)FRAME_BYTES_MAX);
	p->hello_timer = (struct env_timer){.fn = on_hello_timeout, .ctx = p};
	p->send_timer = (struct env_timer){.fn = on_send_timer, .ctx = p};
	env_conn_attach(w->env, conn, &peer_ops, p);
	const struct hello_config config = {.role = "worker",
		.peer_role = "frontend",
		.software = "stator " STATOR_VERSION,
		.secret = w->config.secret,
		.secret_len = w->config.secret_len};
	env_timer_set_in(w->env, &p->hello_timer, (uint64_t)HELLO_TIMEOUT_MS * 1000);
	if (hello_begin(&p->hello, &config, &p->out, &err) < 0)
		peer_refuse(p, err.code, err.msg);
	else
		peer_flush(p);
	if (w->strangers_count > STRANGERS_MAX)
		stranger_drop(w, p);
}
