#include "net/loop_priv.h"
#include "net/unix_socket.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Out of fds. The kernel keeps an unaccepted peer in the backlog and reports it for ever, so the listener is starved: not
 * watched until an fd is freed or 100 ms have passed. When the retry meets the same wall, the loop's spare fd makes room
 * to take one waiting peer and turn it away: it learns that it will not be served, instead of waiting for nothing. */

static void watch_if_wanted(struct env_listener *l)
{
	if (l->paused || l->starved)
		event_del(&l->ev);
	else
		event_add(&l->ev, NULL);
}

int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void turn_one_away(struct env_listener *l)
{
	struct loop *loop = l->loop;

	if (loop->spare_fd < 0)
		loop->spare_fd = spare_open();
	if (loop->spare_fd < 0)
		return;
	close(loop->spare_fd);
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	loop->spare_fd = spare_open();
}

static void starve(struct env_listener *l, bool again)
{
	struct loop *loop = l->loop;

	if (again)
		turn_one_away(l);
	l->starved = true;
	watch_if_wanted(l);
	if (!env_timer_is_set(&loop->starved_timer))
		env_timer_set(&loop->env, &loop->starved_timer, loop_now_us(loop) + STARVED_RETRY_US);
}

/* Errors of one peer: it left before we came, or the network has news about it (accept(2)). All others are ours. */
static bool is_peers(int code)
{
	static const int codes[] = {EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH,
		ENONET, ENOPROTOOPT, EOPNOTSUPP, ETIMEDOUT};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (code == codes[i])
			return true;
	return false;
}

/* Take who waits. was_starved: this is the retry. */
static void accept_all(struct env_listener *l, bool was_starved)
{
	for (int i = 0; i < ACCEPTS_A_TURN && !l->dead && !l->paused; i++) {
		struct net_addr peer = {.len = 0};
		socklen_t len = sizeof peer.in6;
		int fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && is_peers(errno))
			continue;
		if (fd < 0 && errno != EAGAIN)
			starve(l, was_starved);
		if (fd < 0)
			return;
		was_starved = false;
		peer.len = MIN(len, (socklen_t)sizeof peer.in6);
		struct env_conn *c = conn_accepted(l->loop, fd, &peer);
		if (c)
			l->ops->on_accept(l->ctx, c);
	}
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	accept_all(arg, false);
}

void listeners_retry(void *ctx)
{
	struct loop *loop = ctx;

	list_foreach_safe(it, &loop->listeners)
	{
		struct env_listener *l = list_entry(it, struct env_listener, link);
		if (!l->starved)
			continue;
		l->starved = false;
		watch_if_wanted(l);
		accept_all(l, true);
	}
}

void listeners_fd_freed(struct loop *loop)
{
	list_foreach(it, &loop->listeners)
	{
		struct env_listener *l = list_entry(it, struct env_listener, link);
		if (!l->starved)
			continue;
		l->starved = false;
		watch_if_wanted(l);
	}
}

static int listen_unix(struct env_listener *l, const char *path, struct err *err)
{
	snprintf(l->name, sizeof l->name, "unix:%s", path);
	l->path = strdup(path);
	if (!l->path)
		return err_set(err, -ENOMEM, "out of memory");
	l->fd = unix_socket_bind(path, &l->inode, err);
	return MIN(l->fd, 0);
}

/* A socket file that somebody removed (a cleaner of /tmp, by age) is made again: a peer that has to connect anew would not
 * find us. A file that another process has put there is left to it. */

static void path_watch(struct env_listener *l);

static int unix_again(struct env_listener *l, struct err *err)
{
	int fd = unix_socket_bind(l->path, &l->inode, err);

	if (fd < 0)
		return fd;
	if (listen(fd, LISTEN_BACKLOG) < 0) {
		close(fd);
		return -errno;
	}
	accept_all(l, false); /* those who found the old file */
	if (l->dead) {
		close(fd);
		return 0;
	}
	event_del(&l->ev);
	close(l->fd);
	l->fd = fd;
	event_assign(&l->ev, l->loop->base, l->fd, EV_READ | EV_PERSIST, on_event, l);
	watch_if_wanted(l);
	return 0;
}

static void on_path_timer(void *ctx)
{
	struct env_listener *l = ctx;
	struct stat st;
	struct err err;

	if (lstat(l->path, &st) < 0 && errno == ENOENT)
		(void)unix_again(l, &err); /* its folder may be gone as well: the next look tries again */
	if (!l->dead)
		path_watch(l);
}

static void path_watch(struct env_listener *l)
{
	l->path_timer.fn = on_path_timer;
	l->path_timer.ctx = l;
	env_timer_set(&l->loop->env, &l->path_timer, loop_now_us(l->loop) + SOCKET_LOOK_US);
}

static void name_from_socket(struct env_listener *l)
{
	union {
		struct net_addr net;
		struct sockaddr_un un;
		struct sockaddr sa;
	} a = {.net = {.len = 0}};
	socklen_t len = sizeof a;

	if (getsockname(l->fd, &a.sa, &len) == 0 && a.sa.sa_family == AF_UNIX)
		snprintf(l->name, sizeof l->name, "unix:%.*s", (int)sizeof a.un.sun_path, a.un.sun_path);
	else if (len)
		net_addr_format(&a.net, l->name);
}

/* Several processes of one user may then bind the same address, all with this option, and the system shares new streams
 * out among them. Whoever binds without it has the address alone. */
static int share(int fd, struct err *err)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
		return err_set_errno(err, -errno, "could not share the port");
	return 0;
}

static int bind_failed(const struct net_target *t, int code, struct err *err)
{
	(void)err_set_errno(err, code, "could not bind");
	if (code == -EADDRINUSE)
		(void)err_hint(err, t->shared
					    ? "another process has the port and does not share it, or is another user's"
					    : "another process has the port");
	return code;
}

static int listen_tcp(struct env_listener *l, const struct net_target *t, struct err *err)
{
	struct net_addr a;
	int on = 1;
	/* A name of this machine; listening happens at the start, where waiting for an answer is no harm. */
	int r = net_addr_numeric(t, &a) < 0 ? net_addr_resolve(t, &a, err) : 0;

	if (r < 0)
		return r;
	l->fd = socket_open(a.sa.sa_family, err);
	if (l->fd < 0)
		return l->fd;
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	tcp_set_up_listener(l->fd);
	r = t->shared ? share(l->fd, err) : 0;
	if (r < 0)
		return r;
	if (bind(l->fd, &a.sa, a.len) < 0)
		return bind_failed(t, -errno, err);
	name_from_socket(l);
	return 0;
}

static int listen_inherited(struct env_listener *l, int fd, struct err *err)
{
	int is_listening = 0;
	socklen_t len = sizeof is_listening;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) < 0)
		return err_set_errno(err, -errno, "descriptor %d cannot be used", fd);
	if (!is_listening)
		return err_set(err, -EINVAL, "descriptor %d is a socket that does not listen", fd);
	l->fd = fd;
	tcp_set_up_listener(fd); /* whoever made it need not have */
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	name_from_socket(l);
	return 0;
}

static int listener_open(struct env_listener *l, const char *addr, struct err *err)
{
	struct net_target t;
	int r = net_target_parse(addr, &t, err);

	if (r < 0)
		return r;
	if (t.kind == NET_ADDR_FD)
		return listen_inherited(l, t.fd, err);
	r = t.kind == NET_ADDR_UNIX ? listen_unix(l, t.path, err) : listen_tcp(l, &t, err);
	if (r == 0 && listen(l->fd, LISTEN_BACKLOG) < 0)
		r = err_set_errno(err, -errno, "could not listen");
	return r;
}

static void listener_free(struct env_listener *l)
{
	list_del(&l->link);
	free(l->path);
	free(l);
}

void listener_op_close(struct env *e, struct env_listener *l)
{
	if (l->dead)
		return;
	l->dead = true;
	env_timer_cancel(e, &l->path_timer);
	list_del(&l->link);
	list_add_tail(&l->loop->dead_listeners, &l->link);
	if (event_initialized(&l->ev))
		event_del(&l->ev);
	if (l->path && l->inode)
		unix_socket_remove(l->path, l->inode);
	if (l->fd >= 0)
		close(l->fd);
}

int listener_op_listen(struct env *e, const char *addr, const struct env_listener_ops *ops, void *ctx,
	struct env_listener **ret, struct err *err)
{
	struct loop *loop = loop_of(e);
	struct env_listener *l = calloc(1, sizeof *l);

	if (!l)
		return err_set(err, -ENOMEM, "could not listen on \"%s\": out of memory", addr);
	*l = (struct env_listener){.loop = loop, .fd = -1, .ops = ops, .ctx = ctx};
	list_add_tail(&loop->listeners, &l->link);
	int r = listener_open(l, addr, err);
	if (r == 0) {
		event_assign(&l->ev, loop->base, l->fd, EV_READ | EV_PERSIST, on_event, l);
		r = event_add(&l->ev, NULL) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
	}
	if (r < 0) {
		listener_op_close(e, l);
		(void)err_wrap(err, "could not listen on \"%s\"", addr);
		return r;
	}
	if (l->path)
		path_watch(l);
	*ret = l;
	return 0;
}

const char *listener_op_addr(struct env *e, const struct env_listener *l)
{
	(void)e;
	return l->name;
}

void listener_op_pause(struct env *e, struct env_listener *l, bool paused)
{
	(void)e;
	ASSERT(!l->dead);
	l->paused = paused;
	watch_if_wanted(l);
}

void listeners_bury(struct loop *loop)
{
	while (!list_empty(&loop->dead_listeners))
		listener_free(list_first(&loop->dead_listeners, struct env_listener, link));
}
