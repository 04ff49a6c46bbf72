/* bare_write.c - the least a streaming server can do, as a yardstick: it answers every request with the same bytes.
 *
 *     bare_write [-b BYTES] [-j JOIN] [-p US] [-g GROUPS]      prints "port N", serves until it is killed
 *
 * A request's "max_tokens" says how many SSE chunks of BYTES bytes (default 220) go out, JOIN of them (default 1) in one
 * write. With -p each stream gets a write every US microseconds, as tokens of an engine come: GROUPS (default 1) of the
 * streams take turns within it, as those of so many workers do, and the process sleeps in between. Streams take turns, one write each, as tokens of a batch do. No text, no JSON, no worker: what is left is the
 * kernel's part, so the CPU time of this process is the floor of any gateway that writes as often. */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { CONNS_MAX = 4096, REQUEST_MAX = 1 << 20, CHUNK_MAX = 4096, JOIN_MAX = 256, EVENTS = 256 };
/* While streams run, new requests are looked for once in so many turns: a poll a token would be work of its own. */
enum { TURNS_PER_POLL = 16 };

struct conn {
	int fd;
	size_t have, need; /* request bytes; need is known once the headers are whole */
	uint32_t left; /* chunks still to be written; 0: waits for a request */
	uint32_t slot; /* in streaming[] */
	size_t out_len, out_off; /* a write the kernel took in part */
	bool blocked;
	char *out; /* one write: headers, JOIN chunks, the end */
	char *in;
};

static struct {
	int epoll_fd, listen_fd;
	struct conn *streaming[CONNS_MAX];
	uint32_t streaming_count;
	size_t chunk_len;
	uint32_t join;
	int timer_fd; /* -1: as fast as it goes */
	long pace_us;
	uint32_t groups_armed, groups, group; /* of the streams, that which is next */
	char chunk[CHUNK_MAX + 16];
} g;

static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char END[] = "0\r\n\r\n";

static void die(const char *what)
{
	fprintf(stderr, "bare_write: could not %s: %s\n", what, strerror(errno));
	exit(1);
}

/* An HTTP chunk that holds one SSE event of bytes bytes. */
static void make_chunk(uint32_t bytes)
{
	size_t head = (size_t)sprintf(g.chunk, "%x\r\n", bytes);
	memset(g.chunk + head, 'x', bytes);
	memcpy(g.chunk + head, "data: ", 6);
	memcpy(g.chunk + head + bytes - 2, "\n\n\r\n", 4);
	g.chunk_len = head + bytes + 2;
}

static void listen_any(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof addr;
	g.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (g.listen_fd < 0 || bind(g.listen_fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
		listen(g.listen_fd, 512) < 0)
		die("listen on 127.0.0.1");
	if (getsockname(g.listen_fd, (struct sockaddr *)&addr, &len) < 0)
		die("read the port");
	g.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN};
	if (g.epoll_fd < 0 || epoll_ctl(g.epoll_fd, EPOLL_CTL_ADD, g.listen_fd, &ev) < 0)
		die("watch the listener");
	printf("port %d\n", ntohs(addr.sin_port));
	fflush(stdout);
}

static void watch(struct conn *c, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};
	if (epoll_ctl(g.epoll_fd, op, c->fd, &ev) < 0)
		die("watch a connection");
}

static void accept_one(void)
{
	int one = 1, fd = accept4(g.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *c = fd < 0 ? NULL : calloc(1, sizeof *c);
	if (!c)
		return;
	c->fd = fd;
	c->in = malloc(REQUEST_MAX);
	c->out = malloc(sizeof HEAD + sizeof END + (size_t)g.join * g.chunk_len);
	if (!c->in || !c->out)
		die("get memory");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void streaming_remove(struct conn *c)
{
	struct conn *last = g.streaming[--g.streaming_count];
	g.streaming[c->slot] = last;
	last->slot = c->slot;
	c->left = 0;
}

static void conn_close(struct conn *c)
{
	if (c->left || c->out_len)
		streaming_remove(c);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* The next write of a stream, put together. */
static void fill(struct conn *c, bool first)
{
	size_t len = 0;
	if (first) {
		memcpy(c->out, HEAD, sizeof HEAD - 1);
		len = sizeof HEAD - 1;
	}
	for (uint32_t i = 0; i < g.join && c->left; i++, c->left--) {
		memcpy(c->out + len, g.chunk, g.chunk_len);
		len += g.chunk_len;
	}
	if (!c->left) {
		memcpy(c->out + len, END, sizeof END - 1);
		len += sizeof END - 1;
	}
	c->out_len = len;
	c->out_off = 0;
}

/* One write. False when the connection is gone. */
static bool write_some(struct conn *c)
{
	ssize_t n = write(c->fd, c->out + c->out_off, c->out_len - c->out_off);
	if (n < 0 && errno != EAGAIN)
		return conn_close(c), false;
	c->out_off += n > 0 ? (size_t)n : 0;
	bool blocked = c->out_off < c->out_len;
	if (blocked != c->blocked)
		watch(c, EPOLL_CTL_MOD, blocked ? EPOLLOUT : EPOLLIN);
	c->blocked = blocked;
	if (!blocked) {
		c->out_len = 0;
		if (!c->left)
			streaming_remove(c);
	}
	return true;
}

/* Begin to answer the request in c->in. */
static void answer(struct conn *c)
{
	const char *key = memmem(c->in, c->have, "\"max_tokens\":", 13);
	long tokens = key ? strtol(key + 13, NULL, 10) : 1;
	c->have = c->need = 0;
	c->left = tokens > 0 ? (uint32_t)tokens : 1;
	c->slot = g.streaming_count;
	g.streaming[g.streaming_count++] = c;
	fill(c, true);
	write_some(c);
}

/* How long the request in c->in is in all; 0: its headers are not whole. */
static size_t request_len(struct conn *c)
{
	char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
	if (!end)
		return 0;
	*end = 0;
	const char *length = strcasestr(c->in, "\ncontent-length:");
	return (size_t)(end - c->in) + 4 + (length ? strtoul(length + 16, NULL, 10) : 0);
}

static void read_some(struct conn *c)
{
	ssize_t n = read(c->fd, c->in + c->have, REQUEST_MAX - 1 - c->have);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		return conn_close(c);
	c->have += (size_t)n;
	c->in[c->have] = 0;
	if (!c->need)
		c->need = request_len(c);
	if (c->need && c->have >= c->need && g.streaming_count < CONNS_MAX)
		answer(c);
}

static bool turn(void);

/* No group is empty: a wake-up without a write would be work that nobody asked for. */
static uint32_t groups_now(void)
{
	uint32_t most = g.streaming_count ? g.streaming_count : 1;
	return g.groups < most ? g.groups : most;
}

static void tick_every(uint32_t groups)
{
	long us = g.pace_us / groups > 0 ? g.pace_us / groups : 1;
	struct itimerspec when = {.it_interval = {us / 1000000, us % 1000000 * 1000}};
	when.it_value = when.it_interval;
	if (timerfd_settime(g.timer_fd, 0, &when, NULL) < 0)
		die("set a timer");
	g.groups_armed = groups;
}

static void on_tick(void)
{
	uint64_t ticks;
	if (read(g.timer_fd, &ticks, sizeof ticks) == sizeof ticks)
		turn();
	if (groups_now() != g.groups_armed)
		tick_every(groups_now());
}

static void tick_open(void)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &g.timer_fd};
	g.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (g.timer_fd < 0 || epoll_ctl(g.epoll_fd, EPOLL_CTL_ADD, g.timer_fd, &ev) < 0)
		die("make a timer");
	tick_every(1);
}

static void poll_once(int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(g.epoll_fd, events, EVENTS, timeout_ms);
	bool tick = false;
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;
		if (c == (void *)&g.timer_fd)
			tick = true; /* later: it may close connections that have events here */
		else if (!c)
			accept_one();
		else if (c->blocked)
			write_some(c);
		else if (!c->left && !c->out_len)
			read_some(c);
		else if (events[i].events & (EPOLLHUP | EPOLLERR))
			conn_close(c);
	}
	if (tick)
		on_tick();
}

/* One write for each stream of the group that can take one. True when any could. */
static bool turn(void)
{
	bool any = false;
	uint32_t groups = groups_now();
	g.group = (g.group + 1) % groups;
	for (uint32_t i = g.streaming_count; i-- > 0;) {
		struct conn *c = g.streaming[i];
		if (c->blocked || c->slot % groups != g.group)
			continue;
		fill(c, false);
		write_some(c);
		any = true;
	}
	return any;
}

int main(int argc, char **argv)
{
	long bytes = 220;
	int opt;
	g.join = g.groups = 1;
	g.timer_fd = -1;
	while ((opt = getopt(argc, argv, "b:j:p:g:")) != -1) {
		if (opt == 'b')
			bytes = strtol(optarg, NULL, 10);
		else if (opt == 'j')
			g.join = (uint32_t)strtoul(optarg, NULL, 10);
		else if (opt == 'p')
			g.pace_us = strtol(optarg, NULL, 10);
		else if (opt == 'g')
			g.groups = (uint32_t)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (bytes < 16 || bytes > CHUNK_MAX || g.join < 1 || g.join > JOIN_MAX || g.pace_us < 0 ||
		g.pace_us > 10000000 || g.groups < 1 || g.groups > CONNS_MAX) {
		fprintf(stderr, "bare_write: -b takes 16 to %d, -j takes 1 to %d\n", CHUNK_MAX, JOIN_MAX);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	make_chunk((uint32_t)bytes);
	listen_any();
	if (g.pace_us)
		tick_open();
	while (g.pace_us)
		poll_once(-1);
	for (bool busy = false;;) {
		poll_once(busy ? 0 : -1);
		busy = g.streaming_count > 0;
		for (int i = 0; i < TURNS_PER_POLL && busy; i++)
			busy = turn();
	}
}
