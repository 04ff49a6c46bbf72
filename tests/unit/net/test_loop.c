/* The real env: streams, listeners, timers, pools, posts, signals. Both ends of a stream live in one loop unless a test
 * needs a peer that misbehaves. */
#include "../lib/cmocka_all.h"
#include "../lib/net_wait.h"
#include "base/buf.h"
#include "base/rng.h"
#include "net/addr.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One end of a stream, and what it was told. */
struct end {
	struct env *env;
	struct env_conn *conn;
	struct buf in;
	uint32_t opens, eofs, drains, closes;
	int code;
	bool echo, close_on_data, pause_on_data;
};

static void end_data(void *ctx, const uint8_t *data, size_t len)
{
	struct end *e = ctx;
	assert_int_equal(e->closes, 0);
	assert_int_equal(buf_add(&e->in, data, len), 0);
	if (e->echo)
		assert_int_equal(env_conn_write(e->env, e->conn, data, len), 0);
	if (e->pause_on_data)
		env_conn_pause(e->env, e->conn, true);
	if (e->close_on_data) {
		env_conn_close(e->env, e->conn);
		e->conn = NULL;
	}
}
static void end_open(void *ctx)
{
	((struct end *)ctx)->opens++;
}
static void end_drain(void *ctx)
{
	((struct end *)ctx)->drains++;
}
static void end_eof(void *ctx)
{
	((struct end *)ctx)->eofs++;
}
static void end_closed(void *ctx, int code)
{
	struct end *e = ctx;
	e->closes++;
	e->code = code;
	e->conn = NULL;
}
static const struct env_conn_ops end_ops = {end_open, end_data, end_drain, end_eof, end_closed};
static const struct env_conn_ops end_ops_no_eof = {end_open, end_data, end_drain, NULL, end_closed};

struct fixture {
	struct loop *l;
	struct env *env;
	struct env_listener *listener;
	struct end server, client;
	uint32_t accepted;
	struct err err;
};

static void on_accept(void *ctx, struct env_conn *conn)
{
	struct fixture *f = ctx;
	f->accepted++;
	f->server.conn = conn;
	env_conn_attach(f->env, conn, &end_ops, &f->server);
}
static const struct env_listener_ops listener_ops = {on_accept};

static void set_up(struct fixture *f, const char *addr)
{
	struct loop_config config = {.text_threads = 2, .engine_threads = 1, .text_stack_bytes = 4 << 20};
	memset(f, 0, sizeof *f);
	if (loop_create(&f->l, &config, &f->err) < 0)
		fail_msg("%s", f->err.msg);
	f->env = loop_env(f->l);
	f->server.env = f->client.env = f->env;
	buf_init(&f->server.in, 1 << 28);
	buf_init(&f->client.in, 1 << 28);
	if (addr && env_listen(f->env, addr, &listener_ops, f, &f->listener, &f->err) < 0)
		fail_msg("%s", f->err.msg);
}

static void tear_down(struct fixture *f)
{
	loop_destroy(f->l);
	buf_done(&f->server.in);
	buf_done(&f->client.in);
}

static void dial(struct fixture *f, const char *addr)
{
	if (env_connect(f->env, addr, &end_ops, &f->client, &f->client.conn, &f->err) < 0)
		fail_msg("%s", f->err.msg);
	assert_int_equal(f->client.opens, 0);
	assert_int_equal(f->client.closes, 0);
}

static bool is_connected(void *ctx)
{
	struct fixture *f = ctx;
	return f->accepted && f->client.opens;
}
static bool is_accepted(void *ctx)
{
	return ((struct fixture *)ctx)->accepted > 0;
}
static bool client_closed(void *ctx)
{
	return ((struct fixture *)ctx)->client.closes > 0;
}
static bool server_closed(void *ctx)
{
	return ((struct fixture *)ctx)->server.closes > 0;
}
static bool server_eof(void *ctx)
{
	return ((struct fixture *)ctx)->server.eofs > 0;
}
static bool server_has_data(void *ctx)
{
	return ((struct fixture *)ctx)->server.in.len > 0;
}

static void connect_both(struct fixture *f, const char *addr)
{
	set_up(f, addr);
	dial(f, env_listener_addr(f->env, f->listener));
	assert_true(net_run_until(f->l, is_connected, f, NET_WAIT_MS));
}

static void run_until(struct fixture *f, bool (*cond)(void *ctx))
{
	assert_true(net_run_until(f->l, cond, f, NET_WAIT_MS));
}

static size_t want_bytes;
static bool client_has_all(void *ctx)
{
	return ((struct fixture *)ctx)->client.in.len >= want_bytes;
}

static bool server_has_all(void *ctx)
{
	return ((struct fixture *)ctx)->server.in.len >= want_bytes;
}

static void echo_large(const char *addr)
{
	struct fixture f;
	struct rng r;
	connect_both(&f, addr);
	f.server.echo = true;
	want_bytes = 6 << 20;
	uint8_t *data = malloc(want_bytes);
	assert_non_null(data);
	rng_init(&r, 3);
	for (size_t i = 0; i < want_bytes; i += 8)
		memcpy(data + i, &(uint64_t){rng_u64(&r)}, 8);
	for (size_t at = 0, n; at < want_bytes; at += n) {
		n = rng_below(&r, 100000) + 1;
		n = MIN(want_bytes - at, n);
		assert_int_equal(env_conn_write(f.env, f.client.conn, data + at, n), 0);
	}
	/* Nothing left during our turn, and nobody was called back. */
	assert_int_equal(env_conn_queued(f.env, f.client.conn), want_bytes);
	assert_int_equal(f.client.drains, 0);
	run_until(&f, client_has_all);
	assert_int_equal(f.client.in.len, want_bytes);
	assert_memory_equal(f.client.in.data, data, want_bytes);
	assert_int_equal(f.client.drains, 1);
	assert_int_equal(env_conn_queued(f.env, f.client.conn), 0);
	free(data);
	tear_down(&f);
}

static void bytes_cross_tcp_both_ways_in_order(void **state)
{
	(void)state;
	echo_large("127.0.0.1:0");
}

static void bytes_cross_ipv6_both_ways_in_order(void **state)
{
	(void)state;
	echo_large("[::1]:0");
}

static char *unix_addr(const char *dir)
{
	char *addr = NULL;
	assert_true(asprintf(&addr, "unix:%s/s", dir) > 0);
	return addr;
}

static void bytes_cross_a_unix_socket_both_ways_in_order(void **state)
{
	(void)state;
	char *dir = net_temp_dir(), *addr = unix_addr(dir);
	echo_large(addr);
	free(addr);
	net_temp_done(dir);
}

static bool is_made_again(void *ctx)
{
	const struct fixture *f = ctx;
	return access(env_listener_addr(f->env, f->listener) + strlen("unix:"), F_OK) == 0;
}

static void a_socket_file_that_somebody_removed_is_made_again(void **state)
{
	(void)state;
	char *dir = net_temp_dir(), *addr = unix_addr(dir);
	const char *path = addr + strlen("unix:");
	struct fixture f;
	struct stat st;
	set_up(&f, addr);
	/* The file, and then the folder with it, which another makes again. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(unlink(path), 0);
		if (i == 1) {
			assert_int_equal(rmdir(dir), 0);
			assert_int_equal(mkdir(dir, 0700), 0);
		}
		run_until(&f, is_made_again);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	dial(&f, addr);
	run_until(&f, is_connected);
	tear_down(&f);
	assert_int_equal(access(path, F_OK), -1); /* and removed at the end, for it is ours */
	free(addr);
	net_temp_done(dir);
}

static void a_name_is_looked_up_off_the_loop(void **state)
{
	(void)state;
	struct fixture f;
	char addr[64];
	set_up(&f, "127.0.0.1:0");
	snprintf(addr, sizeof addr, "localhost%s", strrchr(env_listener_addr(f.env, f.listener), ':'));
	dial(&f, addr);
	run_until(&f, is_connected);
	assert_string_equal(env_conn_peer(f.env, f.client.conn), env_listener_addr(f.env, f.listener));
	tear_down(&f);
}

static void a_stream_closed_while_its_name_is_looked_up_is_forgotten(void **state)
{
	(void)state;
	struct fixture f;
	set_up(&f, NULL);
	dial(&f, "localhost:9");
	env_conn_close(f.env, f.client.conn);
	dial(&f, "localhost:9"); /* destroyed with the loop */
	net_run_for(f.l, 1);
	tear_down(&f);
}

static void a_refused_connect_is_told_from_the_loop(void **state)
{
	(void)state;
	char *dir = net_temp_dir(), *addr = unix_addr(dir);
	const char *addrs[] = {"127.0.0.1:1", addr};
	const int codes[] = {-ECONNREFUSED, -ENOENT};
	for (int i = 0; i < 2; i++) {
		struct fixture f;
		set_up(&f, NULL);
		dial(&f, addrs[i]);
		/* Writing and finishing before the outcome is known is harmless. */
		assert_int_equal(env_conn_write(f.env, f.client.conn, "x", 1), 0);
		run_until(&f, client_closed);
		assert_int_equal(f.client.code, codes[i]);
		assert_int_equal(f.client.opens, 0);
		tear_down(&f);
	}
	free(addr);
	net_temp_done(dir);
}

static void bad_addresses_are_refused_with_a_sentence(void **state)
{
	(void)state;
	static const struct {
		const char *addr, *says;
	} cases[] = {
		{"nonsense", "could not listen on \"nonsense\": cannot use address \"nonsense\"; write HOST:PORT"},
		{"127.0.0.1:99999", "port \"99999\" is not a number from 0 to 65535"},
		{"127.0.0.1:", "port \"\" is not a number"},
		{"::1:80", "write HOST:PORT, [IPv6]:PORT"},
		{"unix:", "the path is empty"},
		{"fd:x", "\"x\" is not a descriptor number"},
		{"fd:9999", "descriptor 9999 cannot be used: Bad file descriptor"},
		{"203.0.113.1:0", "could not bind: Cannot assign requested address"},
	};
	struct fixture f;
	set_up(&f, NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(env_listen(f.env, cases[i].addr, &listener_ops, &f, &f.listener, &f.err) < 0);
		if (!strstr(f.err.msg, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", f.err.msg, cases[i].says);
	}
	char path[200];
	snprintf(path, sizeof path, "unix:/%0150d", 1);
	assert_int_equal(env_listen(f.env, path, &listener_ops, &f, &f.listener, &f.err), -EINVAL);
	assert_int_equal(env_connect(f.env, "fd:0", &end_ops, &f.client, &f.client.conn, &f.err), -EINVAL);
	assert_int_equal(env_connect(f.env, "127.0.0.1:0", &end_ops, &f.client, &f.client.conn, &f.err), -EINVAL);
	tear_down(&f);
}

static void a_unix_socket_is_for_its_owner_alone(void **state)
{
	(void)state;
	char *dir = net_temp_dir(), *addr = unix_addr(dir);
	struct stat st;
	struct fixture f;
	mode_t before = umask(0);
	set_up(&f, addr);
	umask(before);
	assert_int_equal(stat(addr + 5, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	tear_down(&f);
	assert_int_equal(stat(addr + 5, &st), -1);
	free(addr);
	net_temp_done(dir);
}

static void a_dead_socket_file_is_replaced_a_live_one_is_not(void **state)
{
	(void)state;
	char *dir = net_temp_dir(), *addr = unix_addr(dir);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct fixture f, g;
	memcpy(un.sun_path, addr + 5, strlen(addr + 5) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	close(fd);
	set_up(&f, addr);
	set_up(&g, NULL);
	assert_int_equal(env_listen(g.env, addr, &listener_ops, &g, &g.listener, &g.err), -EADDRINUSE);
	assert_non_null(strstr(g.err.msg, "another process listens on"));
	tear_down(&g);
	tear_down(&f);
	fd = open(addr + 5, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	set_up(&f, NULL);
	assert_int_equal(env_listen(f.env, addr, &listener_ops, &f, &f.listener, &f.err), -EEXIST);
	tear_down(&f);
	assert_int_equal(unlink(addr + 5), 0);
	free(addr);
	net_temp_done(dir);
}

static void a_port_is_shared_only_among_those_who_all_say_so(void **state)
{
	(void)state;
	struct fixture a, b, c;
	char shared[64];
	const char *alone;

	set_up(&a, "shared:127.0.0.1:0");
	set_up(&b, NULL);
	set_up(&c, NULL);
	alone = env_listener_addr(a.env, a.listener);
	snprintf(shared, sizeof shared, "shared:%s", alone);
	assert_int_equal(env_listen(b.env, shared, &listener_ops, &b, &b.listener, &b.err), 0);
	assert_string_equal(env_listener_addr(b.env, b.listener), alone);
	assert_int_equal(env_listen(c.env, alone, &listener_ops, &c, &c.listener, &c.err), -EADDRINUSE);
	assert_non_null(strstr(c.err.msg, "another process has the port"));
	tear_down(&b);
	tear_down(&c);
	tear_down(&a);
}

static void a_port_that_is_not_shared_cannot_be_joined(void **state)
{
	(void)state;
	struct fixture a, b;
	struct env_conn *conn;
	char shared[64];

	set_up(&a, "127.0.0.1:0");
	set_up(&b, NULL);
	snprintf(shared, sizeof shared, "shared:%s", env_listener_addr(a.env, a.listener));
	assert_int_equal(env_listen(b.env, shared, &listener_ops, &b, &b.listener, &b.err), -EADDRINUSE);
	assert_non_null(strstr(b.err.msg, "does not share it"));
	assert_int_equal(env_connect(b.env, shared, &end_ops, &b, &conn, &b.err), -EINVAL);
	tear_down(&b);
	tear_down(&a);
}

static void an_inherited_socket_is_listened_on(void **state)
{
	(void)state;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct fixture f;
	char addr[32];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
	snprintf(addr, sizeof addr, "fd:%d", fd);
	set_up(&f, NULL);
	assert_int_equal(env_listen(f.env, addr, &listener_ops, &f, &f.listener, &f.err), -EINVAL);
	assert_int_equal(listen(fd, 5), 0);
	tear_down(&f);
	set_up(&f, addr);
	dial(&f, env_listener_addr(f.env, f.listener));
	run_until(&f, is_connected);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	int no_delay = 0;
	socklen_t len = sizeof no_delay;
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
	assert_int_equal(no_delay, 1);
	tear_down(&f);
}

static void half_closed_peers_can_still_read(void **state)
{
	(void)state;
	struct fixture f;
	char got[8] = "";
	set_up(&f, "127.0.0.1:0");
	int fd = net_dial(env_listener_addr(f.env, f.listener));
	assert_int_equal(send(fd, "ask", 3, 0), 3);
	shutdown(fd, SHUT_WR);
	run_until(&f, server_eof);
	assert_string_equal(buf_str(&f.server.in), "ask");
	assert_int_equal(f.server.closes, 0);
	assert_int_equal(env_conn_write(f.env, f.server.conn, "answer", 6), 0);
	env_conn_finish(f.env, f.server.conn);
	run_until(&f, server_closed);
	assert_int_equal(f.server.code, 0);
	assert_int_equal(recv(fd, got, sizeof got, MSG_WAITALL), 6);
	assert_string_equal(got, "answer");
	close(fd);
	tear_down(&f);
}

static void without_on_eof_the_end_is_the_close(void **state)
{
	(void)state;
	struct fixture f;
	set_up(&f, "127.0.0.1:0");
	int fd = net_dial(env_listener_addr(f.env, f.listener));
	run_until(&f, is_accepted);
	env_conn_attach(f.env, f.server.conn, &end_ops_no_eof, &f.server);
	close(fd);
	run_until(&f, server_closed);
	assert_int_equal(f.server.code, 0);
	tear_down(&f);
}

static void a_peer_that_vanishes_is_noticed_while_paused(void **state)
{
	(void)state;
	struct fixture f;
	struct linger hard = {1, 0};
	set_up(&f, "127.0.0.1:0");
	int fd = net_dial(env_listener_addr(f.env, f.listener));
	run_until(&f, is_accepted);
	env_conn_pause(f.env, f.server.conn, true);
	assert_int_equal(send(fd, "unread", 6, 0), 6);
	net_run_for(f.l, 20);
	assert_int_equal(f.server.in.len, 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	run_until(&f, server_closed);
	assert_int_equal(f.server.code, -ECONNRESET);
	tear_down(&f);
}

static void a_unix_peer_that_leaves_is_gone_not_half_closed(void **state)
{
	(void)state;
	char *dir = net_temp_dir(), *addr = unix_addr(dir);
	for (int paused = 0; paused < 2; paused++) {
		struct fixture f;
		set_up(&f, addr);
		int fd = net_dial(addr);
		run_until(&f, is_accepted);
		env_conn_pause(f.env, f.server.conn, paused);
		close(fd);
		run_until(&f, server_closed);
		assert_int_equal(f.server.eofs, 0);
		tear_down(&f);
	}
	free(addr);
	net_temp_done(dir);
}

/* Its bytes and its error come as one event. */
static void a_peer_that_leaves_with_our_bytes_unread_is_noticed(void **state)
{
	(void)state;
	char *dir = net_temp_dir(), *path = unix_addr(dir);
	const char *const addrs[] = {path, "127.0.0.1:0"};
	for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
		struct fixture f;
		set_up(&f, addrs[i]);
		int fd = net_dial(env_listener_addr(f.env, f.listener));
		char byte;
		run_until(&f, is_accepted);
		assert_int_equal(env_conn_write(f.env, f.server.conn, "unread", 6), 0);
		net_run_for(f.l, 5);
		assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), 1);
		assert_int_equal(send(fd, "last", 4, 0), 4);
		close(fd);
		run_until(&f, server_closed);
		tear_down(&f);
	}
	free(path);
	net_temp_done(dir);
}

enum { MUCH = 8 * 1024 * 1024, KERNEL_MAX = 1024 * 1024 };
static bool client_got_all(void *ctx)
{
	return ((struct fixture *)ctx)->client.in.len == MUCH;
}

/* What it has not read waits here, where it is counted, not in the system's buffers. */
static void a_reader_that_does_not_read_leaves_it_all_with_the_writer(void **state)
{
	(void)state;
	char *much = calloc(1, MUCH);
	struct fixture f;

	set_up(&f, NULL);
	connect_both(&f, "127.0.0.1:0");
	env_conn_pause(f.env, f.client.conn, true);
	for (int i = 0; i < 32; i++) {
		assert_int_equal(env_conn_write(f.env, f.server.conn, much, MUCH / 32), 0);
		net_run_for(f.l, 1);
	}
	assert_true(env_conn_queued(f.env, f.server.conn) > MUCH - KERNEL_MAX);
	env_conn_pause(f.env, f.client.conn, false);
	run_until(&f, client_got_all);
	assert_int_equal(env_conn_queued(f.env, f.server.conn), 0);
	free(much);
	tear_down(&f);
}

/* A sender outside the loop: what the system keeps of its bytes on our side. */
struct pusher {
	struct fixture *f;
	int fd;
	size_t sent;
};

static size_t kept_of(const struct pusher *p)
{
	int unsent = 0;
	assert_int_equal(ioctl(p->fd, TIOCOUTQ, &unsent), 0); /* the sender's own share */
	return p->sent - (size_t)unsent - p->f->server.in.len;
}

static bool push(struct pusher *p)
{
	static char piece[4 << 20];
	ssize_t n = send(p->fd, piece, sizeof piece, MSG_DONTWAIT);
	p->sent += n > 0 ? (size_t)n : 0;
	return n > 0;
}

static bool some_is_kept(void *ctx)
{
	return kept_of(ctx) >= 32 << 10;
}

/* How much the system keeps for a stream that nobody reads, when its bytes were read as fast as they came before: then it
 * would let that grow. */
static void what_the_system_keeps_of_an_accepted_stream_is_bounded(void **state)
{
	(void)state;
	struct fixture f;
	struct pusher p = {.f = &f};
	set_up(&f, "127.0.0.1:0");
	p.fd = net_dial(env_listener_addr(f.env, f.listener));
	run_until(&f, is_accepted);
	while (f.server.in.len < 64 << 20) {
		push(&p);
		net_run_for(f.l, 1);
	}
	env_conn_pause(f.env, f.server.conn, true);
	for (int quiet = 0; quiet < 20;) {
		quiet = push(&p) ? 0 : quiet + 1;
		net_run_for(f.l, 1);
	}
	assert_true(net_run_until(f.l, some_is_kept, &p, NET_WAIT_MS));
	net_run_for(f.l, 20);
	assert_in_range(kept_of(&p), 32 << 10, 512 << 10);
	want_bytes = p.sent;
	env_conn_pause(f.env, f.server.conn, false);
	run_until(&f, server_has_all);
	close(p.fd);
	tear_down(&f);
}

static void what_was_sent_before_leaving_is_read_after_a_pause(void **state)
{
	(void)state;
	char *dir = net_temp_dir(), *addr = unix_addr(dir);
	struct fixture f;
	set_up(&f, addr);
	int fd = net_dial(addr);
	run_until(&f, is_accepted);
	env_conn_pause(f.env, f.server.conn, true);
	assert_int_equal(send(fd, "last", 4, 0), 4);
	close(fd);
	net_run_for(f.l, 20);
	assert_int_equal(f.server.closes + f.server.in.len, 0);
	env_conn_pause(f.env, f.server.conn, false);
	run_until(&f, server_closed);
	assert_string_equal(buf_str(&f.server.in), "last");
	tear_down(&f);
	free(addr);
	net_temp_done(dir);
}

static void pausing_inside_on_data_holds_the_rest_back(void **state)
{
	(void)state;
	struct fixture f;
	connect_both(&f, "127.0.0.1:0");
	f.server.pause_on_data = true;
	static char big[1 << 20];
	assert_int_equal(env_conn_write(f.env, f.client.conn, big, sizeof big), 0);
	run_until(&f, server_has_data);
	size_t first = f.server.in.len;
	net_run_for(f.l, 20);
	assert_int_equal(f.server.in.len, first);
	assert_true(first < sizeof big);
	f.server.pause_on_data = false;
	f.server.echo = true;
	env_conn_pause(f.env, f.server.conn, false);
	want_bytes = sizeof big - first;
	run_until(&f, client_has_all);
	tear_down(&f);
}

static void the_last_words_of_a_peer_that_left_are_read_when_writing_fails(void **state)
{
	(void)state;
	char *dir = net_temp_dir(), *addr = unix_addr(dir);
	struct fixture f;
	set_up(&f, addr);
	int fd = net_dial(addr);
	run_until(&f, is_accepted);
	assert_int_equal(send(fd, "refused", 7, 0), 7);
	close(fd);
	/* Written before the loop had a chance to read. */
	assert_int_equal(env_conn_write(f.env, f.server.conn, "x", 1), 0);
	run_until(&f, server_closed);
	assert_string_equal(buf_str(&f.server.in), "refused");
	tear_down(&f);
	free(addr);
	net_temp_done(dir);
}

static void finish_sends_all_though_the_peer_still_talks(void **state)
{
	(void)state;
	struct fixture f;
	set_up(&f, "127.0.0.1:0");
	int fd = net_dial(env_listener_addr(f.env, f.listener));
	run_until(&f, is_accepted);
	/* Unread bytes at close would make the kernel send a reset, which can destroy the answer on its way. */
	env_conn_pause(f.env, f.server.conn, true);
	assert_int_equal(send(fd, "unread", 6, 0), 6);
	static char big[1 << 16];
	assert_int_equal(env_conn_write(f.env, f.server.conn, big, sizeof big), 0);
	env_conn_finish(f.env, f.server.conn);
	net_run_for(f.l, 20);
	assert_int_equal(f.server.closes, 0);
	static char got[sizeof big + 1];
	assert_int_equal(recv(fd, got, sizeof got, MSG_WAITALL), sizeof big);
	close(fd);
	run_until(&f, server_closed);
	assert_int_equal(f.server.code, 0);
	tear_down(&f);
}

static void a_stream_may_close_itself_in_its_own_callback(void **state)
{
	(void)state;
	struct fixture f;
	connect_both(&f, "127.0.0.1:0");
	f.server.close_on_data = true;
	assert_int_equal(env_conn_write(f.env, f.client.conn, "x", 1), 0);
	run_until(&f, server_has_data);
	net_run_for(f.l, 5);
	assert_int_equal(f.server.closes, 0);
	tear_down(&f);
}

/* Timers. */

struct tick {
	struct env_timer timer;
	struct fixture *f;
	struct tick *cancels;
	uint32_t count, again;
	uint64_t at_us;
};
static uint32_t tick_order[8], tick_orders;

static void on_tick(void *ctx)
{
	struct tick *t = ctx;
	t->count++;
	t->at_us = env_now_us(t->f->env);
	if (tick_orders < ARRAY_LEN(tick_order))
		tick_order[tick_orders++] = t->again;
	if (t->cancels)
		env_timer_cancel(t->f->env, &t->cancels->timer);
}

static bool last_ticked(void *ctx)
{
	return ((struct tick *)ctx)->count > 0;
}

static void timers_fire_in_order_and_not_before_their_time(void **state)
{
	(void)state;
	struct fixture f;
	struct tick t[4];
	static const uint64_t delays[] = {9000, 1500, 5000, 5000};
	set_up(&f, NULL);
	tick_orders = 0;
	uint64_t start = env_now_us(f.env);
	for (uint32_t i = 0; i < ARRAY_LEN(t); i++) {
		t[i] = (struct tick){.timer = {.fn = on_tick, .ctx = &t[i]}, .f = &f, .again = i};
		env_timer_set(f.env, &t[i].timer, start + delays[i]);
	}
	t[1].cancels = &t[3];
	assert_true(net_run_until(f.l, last_ticked, &t[0], NET_WAIT_MS));
	for (uint32_t i = 0; i < 3; i++)
		assert_true(t[i].at_us >= start + delays[i]);
	assert_int_equal(t[3].count, 0);
	assert_int_equal(tick_orders, 3);
	assert_int_equal(tick_order[0], 1);
	assert_int_equal(tick_order[1], 2);
	assert_int_equal(tick_order[2], 0);
	tear_down(&f);
}

struct again {
	struct env_timer timer;
	struct env *env;
	uint32_t count;
	uint64_t at_us;
};

/* For ever due. */
static void on_again(void *ctx)
{
	struct again *a = ctx;

	assert_true(env_now_us(a->env) >= a->at_us);
	a->at_us = env_now_us(a->env);
	a->count++;
	env_timer_set_in(a->env, &a->timer, 0);
}

static bool came_again(void *ctx)
{
	return ((struct again *)ctx)->count >= 3;
}

static void a_timer_that_is_always_due_starves_nobody(void **state)
{
	(void)state;
	struct fixture f;
	struct again a;

	set_up(&f, NULL);
	connect_both(&f, "127.0.0.1:0");
	a = (struct again){.timer = {.fn = on_again, .ctx = &a}, .env = f.env};
	env_timer_set_in(f.env, &a.timer, 0);
	assert_true(net_run_until(f.l, came_again, &a, NET_WAIT_MS));
	assert_int_equal(env_conn_write(f.env, f.client.conn, "x", 1), 0);
	run_until(&f, server_has_data);
	env_timer_cancel(f.env, &a.timer);
	uint32_t count = a.count;
	net_run_for(f.l, 5);
	assert_int_equal(a.count, count);
	tear_down(&f);
}

/* Pools. */

struct work {
	struct env_job job; /* first */
	pthread_t thread, *loop_thread;
	bool is_done;
	uint32_t nth, *counter;
};

static void do_work(struct env_job *job)
{
	struct work *w = (struct work *)job;
	char big[512 * 1024];
	memset(big, 1, sizeof big);
	__asm__ volatile("" : : "r"(big) : "memory");
	w->thread = pthread_self();
}
static void work_done(struct env_job *job)
{
	struct work *w = (struct work *)job;
	w->is_done = true;
	w->nth = (*w->counter)++;
	assert_true(pthread_equal(pthread_self(), *w->loop_thread));
}

enum { WORKS = 200 };
static bool all_done(void *ctx)
{
	return *(uint32_t *)ctx == WORKS;
}

static void jobs_of_the_engine_pool_run_on_one_thread_in_order(void **state)
{
	(void)state;
	static struct work w[WORKS];
	uint32_t counter = 0;
	pthread_t me = pthread_self();
	struct fixture f;
	set_up(&f, NULL);
	for (uint32_t i = 0; i < WORKS; i++) {
		w[i] = (struct work){
			.job = {.work = do_work, .done = work_done}, .loop_thread = &me, .counter = &counter};
		assert_int_equal(env_offload(f.env, ENV_POOL_ENGINE, &w[i].job), 0);
	}
	assert_true(net_run_until(f.l, all_done, &counter, NET_WAIT_MS));
	for (uint32_t i = 0; i < WORKS; i++) {
		assert_int_equal(w[i].nth, i);
		assert_true(pthread_equal(w[i].thread, w[0].thread));
	}
	assert_false(pthread_equal(w[0].thread, me));
	tear_down(&f);
}

static void jobs_of_the_text_pool_all_come_back(void **state)
{
	(void)state;
	static struct work w[WORKS];
	uint32_t counter = 0;
	pthread_t me = pthread_self();
	struct fixture f;
	set_up(&f, NULL);
	for (uint32_t i = 0; i < WORKS; i++) {
		w[i] = (struct work){
			.job = {.work = do_work, .done = work_done}, .loop_thread = &me, .counter = &counter};
		assert_int_equal(env_offload(f.env, ENV_POOL_TEXT, &w[i].job), 0);
	}
	assert_true(net_run_until(f.l, all_done, &counter, NET_WAIT_MS));
	tear_down(&f);
}

/* Long jobs that end when the test says so, or when they are cancelled. */
struct held {
	struct env_job job; /* first */
	atomic_bool *go;
	atomic_bool saw_cancel;
	uint32_t dones;
	bool worked;
};

static void held_work(struct env_job *job)
{
	struct held *h = (struct held *)job;
	const struct timespec tick = {.tv_nsec = 100000};

	while (!atomic_load(h->go) && !atomic_load(&job->cancelled))
		nanosleep(&tick, NULL);
	atomic_store(&h->saw_cancel, atomic_load(&job->cancelled));
}
static void held_done(struct env_job *job)
{
	((struct held *)job)->dones++;
	((struct held *)job)->worked = job->worked;
}
static bool held_begun(void *ctx)
{
	return atomic_load(&((struct held *)ctx)->job.begun_us) != 0;
}
static bool held_is_done(void *ctx)
{
	return ((struct held *)ctx)->dones;
}
static void hold(struct fixture *f, struct held *h, atomic_bool *go, uint64_t cost_us)
{
	*h = (struct held){
		.job = {.work = held_work, .done = held_done, .cost_us = cost_us, .is_long = cost_us > 0}, .go = go};
	assert_int_equal(env_offload(f->env, ENV_POOL_TEXT, &h->job), 0);
}

static void small_jobs_do_not_wait_for_long_ones(void **state)
{
	(void)state;
	static struct held giants[20];
	static struct work w[WORKS];
	atomic_bool go = false;
	uint32_t counter = 0;
	pthread_t me = pthread_self();
	struct fixture f;

	set_up(&f, NULL);
	for (uint32_t i = 0; i < 20; i++)
		hold(&f, &giants[i], &go, 1000000);
	assert_true(net_run_until(f.l, held_begun, &giants[0], NET_WAIT_MS));
	for (uint32_t i = 0; i < WORKS; i++) {
		w[i] = (struct work){
			.job = {.work = do_work, .done = work_done}, .loop_thread = &me, .counter = &counter};
		assert_int_equal(env_offload(f.env, ENV_POOL_TEXT, &w[i].job), 0);
	}
	assert_true(net_run_until(f.l, all_done, &counter, NET_WAIT_MS));
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(giants[i].dones, 0);
	atomic_store(&go, true);
	for (uint32_t i = 0; i < 20; i++)
		assert_true(net_run_until(f.l, held_is_done, &giants[i], NET_WAIT_MS));
	tear_down(&f);
}

static void a_cancelled_job_leaves_the_queue_or_sees_it(void **state)
{
	(void)state;
	static struct held giants[20];
	atomic_bool go = false;
	struct fixture f;
	uint32_t begun = 0;

	set_up(&f, NULL);
	for (uint32_t i = 0; i < 20; i++)
		hold(&f, &giants[i], &go, 1000000);
	assert_true(net_run_until(f.l, held_begun, &giants[0], NET_WAIT_MS));
	/* From the last: those that wait are gone before a thread is free. */
	for (uint32_t i = 20; i-- > 0;) {
		env_job_cancel(f.env, &giants[i].job);
		assert_int_equal(giants[i].dones, 0);
	}
	for (uint32_t i = 0; i < 20; i++) {
		assert_true(net_run_until(f.l, held_is_done, &giants[i], NET_WAIT_MS));
		assert_int_equal(giants[i].dones, 1);
		assert_int_equal(giants[i].worked, atomic_load(&giants[i].saw_cancel));
		begun += giants[i].worked;
	}
	assert_in_range(begun, 1, 2); /* as many as there are threads for long ones */
	assert_false(atomic_load(&go));
	tear_down(&f);
}

static void without_threads_offload_refuses(void **state)
{
	(void)state;
	struct loop *l;
	struct work w = {.job = {.work = do_work, .done = work_done}};
	assert_int_equal(loop_create(&l, &(struct loop_config){0}, NULL), 0);
	assert_int_equal(env_offload(loop_env(l), ENV_POOL_TEXT, &w.job), -EAGAIN);
	loop_destroy(l);
}

/* Posts. */

enum { POSTERS = 4, POSTS_EACH = 500 };
struct poster {
	struct loop *l;
	uint32_t posted, seen, *total;
};
static void on_post(void *arg)
{
	struct poster *p = arg;
	p->seen++;
	(*p->total)++;
}
static void *poster_main(void *arg)
{
	struct poster *p = arg;
	while (p->posted < POSTS_EACH)
		p->posted += loop_post(p->l, on_post, p) == 0;
	return NULL;
}
static bool all_posted(void *ctx)
{
	return *(uint32_t *)ctx == POSTERS * POSTS_EACH;
}

static void posts_of_many_threads_all_arrive(void **state)
{
	(void)state;
	struct fixture f;
	struct poster p[POSTERS];
	pthread_t t[POSTERS];
	uint32_t total = 0;
	set_up(&f, NULL);
	for (int i = 0; i < POSTERS; i++) {
		p[i] = (struct poster){.l = f.l, .total = &total};
		assert_int_equal(pthread_create(&t[i], NULL, poster_main, &p[i]), 0);
	}
	assert_true(net_run_until(f.l, all_posted, &total, NET_WAIT_MS));
	for (int i = 0; i < POSTERS; i++)
		pthread_join(t[i], NULL);
	tear_down(&f);
}

static void *stop_main(void *arg)
{
	loop_stop(arg);
	return NULL;
}

static void stop_from_another_thread_ends_the_run(void **state)
{
	(void)state;
	struct fixture f;
	pthread_t t;
	set_up(&f, NULL);
	assert_int_equal(pthread_create(&t, NULL, stop_main, f.l), 0);
	loop_run(f.l);
	pthread_join(t, NULL);
	tear_down(&f);
}

static int signal_seen;
static void on_signal(void *ctx, int signo)
{
	signal_seen = signo;
	loop_stop(ctx);
}

static void signals_are_calls_on_the_loop(void **state)
{
	(void)state;
	struct fixture f;
	set_up(&f, NULL);
	signal_seen = 0;
	assert_int_equal(loop_on_signal(f.l, SIGUSR1, on_signal, f.l, &f.err), 0);
	kill(getpid(), SIGUSR1);
	loop_run(f.l);
	assert_int_equal(signal_seen, SIGUSR1);
	tear_down(&f);
}

static void on_pipe(void *ctx, int fd)
{
	char c;
	assert_int_equal(read(fd, &c, 1), 1);
	loop_unwatch_fd(ctx, fd);
	loop_stop(ctx);
}

static void signals_of_other_servers_end_nobody(void **state)
{
	(void)state;
	struct fixture f;
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
	set_up(&f, NULL);
	assert_int_equal(raise(SIGUSR1) + raise(SIGUSR2) + raise(SIGPIPE), 0);
	tear_down(&f);
}

static void a_watched_pipe_calls_until_unwatched(void **state)
{
	(void)state;
	struct fixture f;
	int p[2];
	set_up(&f, NULL);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(loop_watch_fd(f.l, p[0], on_pipe, f.l, &f.err), 0);
	assert_int_equal(write(p[1], "ab", 2), 2);
	loop_run(f.l);
	net_run_for(f.l, 5); /* on_pipe would block here on a third byte, or read the second */
	char c;
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(c, 'b');
	close(p[0]);
	close(p[1]);
	tear_down(&f);
}

/* Out of fds: run in a child, whose limit is its own. */

struct many {
	struct fixture f;
	struct env_conn *conns[256];
	uint32_t count;
};
static void many_data(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx, (void)data, (void)len;
}
static void many_closed(void *ctx, int code)
{
	(void)code;
	((struct many *)ctx)->count--;
}
static const struct env_conn_ops many_ops = {.on_data = many_data, .on_closed = many_closed};
static void many_accept(void *ctx, struct env_conn *c)
{
	struct many *m = ctx;
	env_conn_attach(m->f.env, c, &many_ops, m);
	m->count++;
}
static const struct env_listener_ops many_listener_ops = {many_accept};
static bool many_none(void *ctx)
{
	return ((struct many *)ctx)->count == 0;
}
static bool many_some(void *ctx)
{
	return ((struct many *)ctx)->count > 0;
}

static int starved_child(int addr_fd, int go_fd)
{
	static struct many m;
	struct rusage before, after;
	struct rlimit limit = {64, 64};
	char c;
	struct loop_config config = {0};
	setrlimit(RLIMIT_NOFILE, &limit);
	if (loop_create(&m.f.l, &config, NULL) < 0)
		return 1;
	m.f.env = loop_env(m.f.l);
	if (env_listen(m.f.env, "127.0.0.1:0", &many_listener_ops, &m, &m.f.listener, NULL) < 0)
		return 2;
	const char *addr = env_listener_addr(m.f.env, m.f.listener);
	if (write(addr_fd, addr, strlen(addr) + 1) < 0 || read(go_fd, &c, 1) != 1)
		return 3;
	/* The parent has dialled 100 times: more than fit. */
	net_run_for(m.f.l, 50);
	if (m.count < 20 || m.count > 63)
		return 4;
	getrusage(RUSAGE_SELF, &before);
	net_run_for(m.f.l, 400);
	getrusage(RUSAGE_SELF, &after);
	uint64_t cpu_us = (uint64_t)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
			  (uint64_t)(after.ru_stime.tv_usec - before.ru_stime.tv_usec);
	if (cpu_us > 150000)
		return 5;
	if (write(addr_fd, "", 1) != 1 || read(go_fd, &c, 1) != 1)
		return 6;
	/* Now the parent has closed all and dialled once more: it must be served. */
	if (!net_run_until(m.f.l, many_none, &m, NET_WAIT_MS) && m.count != 1)
		return 7;
	if (!net_run_until(m.f.l, many_some, &m, NET_WAIT_MS))
		return 8;
	loop_destroy(m.f.l);
	return 0;
}

static void running_out_of_fds_neither_spins_nor_lasts(void **state)
{
	(void)state;
	int up[2], down[2], fds[100], status;
	char addr[64] = "", c;
	assert_int_equal(pipe(up), 0);
	assert_int_equal(pipe(down), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(starved_child(up[1], down[0]));
	assert_true(read(up[0], addr, sizeof addr) > 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		assert_true((fds[i] = net_dial(addr)) >= 0);
	assert_int_equal(write(down[1], "g", 1), 1);
	assert_int_equal(read(up[0], &c, 1), 1);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	int last = net_dial(addr);
	assert_true(last >= 0);
	assert_int_equal(write(down[1], "g", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(last);
	close(up[0]), close(up[1]), close(down[0]), close(down[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_cross_tcp_both_ways_in_order),
		cmocka_unit_test(bytes_cross_ipv6_both_ways_in_order),
		cmocka_unit_test(bytes_cross_a_unix_socket_both_ways_in_order),
		cmocka_unit_test(a_socket_file_that_somebody_removed_is_made_again),
		cmocka_unit_test(a_name_is_looked_up_off_the_loop),
		cmocka_unit_test(a_stream_closed_while_its_name_is_looked_up_is_forgotten),
		cmocka_unit_test(a_refused_connect_is_told_from_the_loop),
		cmocka_unit_test(bad_addresses_are_refused_with_a_sentence),
		cmocka_unit_test(a_unix_socket_is_for_its_owner_alone),
		cmocka_unit_test(a_dead_socket_file_is_replaced_a_live_one_is_not),
		cmocka_unit_test(a_port_is_shared_only_among_those_who_all_say_so),
		cmocka_unit_test(a_port_that_is_not_shared_cannot_be_joined),
		cmocka_unit_test(an_inherited_socket_is_listened_on),
		cmocka_unit_test(half_closed_peers_can_still_read),
		cmocka_unit_test(without_on_eof_the_end_is_the_close),
		cmocka_unit_test(a_peer_that_vanishes_is_noticed_while_paused),
		cmocka_unit_test(a_unix_peer_that_leaves_is_gone_not_half_closed),
		cmocka_unit_test(a_peer_that_leaves_with_our_bytes_unread_is_noticed),
		cmocka_unit_test(a_reader_that_does_not_read_leaves_it_all_with_the_writer),
		cmocka_unit_test(what_the_system_keeps_of_an_accepted_stream_is_bounded),
		cmocka_unit_test(what_was_sent_before_leaving_is_read_after_a_pause),
		cmocka_unit_test(pausing_inside_on_data_holds_the_rest_back),
		cmocka_unit_test(the_last_words_of_a_peer_that_left_are_read_when_writing_fails),
		cmocka_unit_test(finish_sends_all_though_the_peer_still_talks),
		cmocka_unit_test(a_stream_may_close_itself_in_its_own_callback),
		cmocka_unit_test(timers_fire_in_order_and_not_before_their_time),
		cmocka_unit_test(a_timer_that_is_always_due_starves_nobody),
		cmocka_unit_test(jobs_of_the_engine_pool_run_on_one_thread_in_order),
		cmocka_unit_test(jobs_of_the_text_pool_all_come_back),
		cmocka_unit_test(small_jobs_do_not_wait_for_long_ones),
		cmocka_unit_test(a_cancelled_job_leaves_the_queue_or_sees_it),
		cmocka_unit_test(without_threads_offload_refuses),
		cmocka_unit_test(posts_of_many_threads_all_arrive),
		cmocka_unit_test(stop_from_another_thread_ends_the_run),
		cmocka_unit_test(signals_are_calls_on_the_loop),
		cmocka_unit_test(signals_of_other_servers_end_nobody),
		cmocka_unit_test(a_watched_pipe_calls_until_unwatched),
		cmocka_unit_test(running_out_of_fds_neither_spins_nor_lasts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
