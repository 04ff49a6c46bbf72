#include "net/loop_priv.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

/* A name on its way to an address, in the loop's own pool: getaddrinfo blocks. It outlives a stream that is closed
 * meanwhile (conn is NULL then). */
struct resolve {
	struct env_job job; /* first */
	struct env_conn *conn;
	struct net_target target;
	struct net_addr addr;
	int result;
};

void tcp_set_up(int fd)
{
	int on = 1, idle_s = 60, interval_s = 10, probes = 6, unsent = UNSENT_BYTES_MAX;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	/* A machine that lost power says nothing: notice it after two minutes. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
	/* Else the system takes up to 4 MiB for a reader that does not read: memory that nobody counts. */
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

/* Else it grows to what the system allows (6 MiB, often 32): whoever sends bodies and leaves fills all of it, and what all
 * sockets hold together has a bound of the system's (tcp_mem) past which it drops the bytes of everybody. 256 KiB are 25
 * MB/s from a client 10 ms away. */
void tcp_set_up_listener(int fd)
{
	int unread = UNREAD_BYTES_MAX;

	tcp_set_up(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &unread, sizeof unread);
}

int socket_open(int family, struct err *err)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_set_errno(err, -errno, "could not open a socket");
	if (family != AF_UNIX)
		tcp_set_up(fd);
	return fd;
}

static int connect_to(struct env_conn *c, const struct sockaddr *sa, socklen_t len, struct err *err)
{
	int fd = socket_open(sa->sa_family, err);

	if (fd < 0)
		return fd;
	c->fd = fd;
	int r = connect(fd, sa, len);
	int code = r < 0 ? -errno : 0;
	if (conn_watch(c) < 0) {
		close(fd);
		c->fd = -1;
		return err_set(err, -ENOMEM, "could not watch a socket: out of memory");
	}
	/* A Unix socket answers at once, also with a refusal; the owner hears of either from the loop. */
	if (code < 0 && code != -EINPROGRESS)
		conn_fail_later(c, code);
	return 0;
}

static int connect_unix(struct env_conn *c, const char *path, struct err *err)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memcpy(un.sun_path, path, strlen(path) + 1);
	return connect_to(c, (const struct sockaddr *)&un, sizeof un, err);
}

static void resolve_work(struct env_job *job)
{
	struct resolve *r = (struct resolve *)(void *)job;

	r->result = net_addr_resolve(&r->target, &r->addr, NULL);
}

static void resolve_done(struct env_job *job)
{
	struct resolve *r = (struct resolve *)(void *)job;
	struct env_conn *c = r->conn;

	if (c) {
		c->resolve = NULL;
		if (r->result == 0) {
			c->addr = r->addr;
			r->result = connect_to(c, &r->addr.sa, r->addr.len, NULL);
		}
		if (r->result < 0)
			conn_fail_later(c, r->result);
	}
	free(r);
}

static int connect_name(struct env_conn *c, const struct net_target *t, struct err *err)
{
	struct loop *l = c->loop;
	struct pool *p = &l->pools[POOL_RESOLVER];
	int started = p->count ? 0 : pool_start(p, l, 1, false, RESOLVER_STACK_BYTES, "resolver", err);

	if (started < 0)
		return started;
	struct resolve *r = calloc(1, sizeof *r);
	if (!r)
		return err_set(err, -ENOMEM, "could not look up host \"%s\": out of memory", t->host);
	*r = (struct resolve){.job = {.work = resolve_work, .done = resolve_done}, .conn = c, .target = *t};
	c->resolve = r;
	return pool_add(p, &r->job);
}

void connect_jobs_free(struct job_queue *q)
{
	for (struct env_job *job; (job = job_queue_take(q));)
		if (job->done == resolve_done)
			free(job);
}

void connect_forget(struct env_conn *c)
{
	c->resolve->conn = NULL;
	c->resolve = NULL;
}

int connect_begin(struct env_conn *c, const char *addr, struct err *err)
{
	struct net_target t;
	int r = net_target_parse(addr, &t, err);

	if (r < 0)
		return r;
	if (t.kind == NET_ADDR_FD || t.shared || (t.kind == NET_ADDR_TCP && (!t.host[0] || !t.port)))
		return err_set(err, -EINVAL, "cannot connect to \"%s\": it is an address to listen on", addr);
	if (t.kind == NET_ADDR_UNIX)
		r = connect_unix(c, t.path, err);
	else if (net_addr_numeric(&t, &c->addr) == 0)
		r = connect_to(c, &c->addr.sa, c->addr.len, err);
	else
		r = connect_name(c, &t, err);
	return r < 0 ? err_wrap(err, "could not connect to \"%s\"", addr) : 0;
}

int connect_result(const struct env_conn *c)
{
	int code = 0;
	socklen_t len = sizeof code;

	if (c->fail)
		return -EINPROGRESS; /* its end is on its way already */
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		return -errno;
	if (code)
		return -code;
	/* An event without an error may be the one of adding the socket: connected is who has a peer. */
	struct sockaddr_storage peer;
	len = sizeof peer;
	if (getpeername(c->fd, (struct sockaddr *)&peer, &len) < 0)
		return errno == ENOTCONN ? -EINPROGRESS : -errno;
	return 0;
}
