#include "net_wait.h"

#include "net/addr.h"

#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

struct waiter {
	struct loop *l;
	bool (*cond)(void *ctx);
	void *ctx;
	uint64_t until_us;
	bool is_met;
	struct env_timer timer;
};

static void look(void *arg)
{
	struct waiter *w = arg;
	struct env *e = loop_env(w->l);

	w->is_met = w->cond && w->cond(w->ctx);
	if (w->is_met || env_now_us(e) >= w->until_us)
		loop_stop(w->l);
	else
		env_timer_set_in(e, &w->timer, 1000);
}

bool net_run_until(struct loop *l, bool (*cond)(void *ctx), void *ctx, uint32_t ms)
{
	struct waiter w = {.l = l, .cond = cond, .ctx = ctx};

	w.until_us = env_now_us(loop_env(l)) + (uint64_t)ms * 1000;
	w.timer = (struct env_timer){.fn = look, .ctx = &w};
	env_timer_set_in(loop_env(l), &w.timer, 0);
	loop_run(l);
	env_timer_cancel(loop_env(l), &w.timer);
	return w.is_met;
}

void net_run_for(struct loop *l, uint32_t ms)
{
	(void)net_run_until(l, NULL, NULL, ms);
}

int net_dial(const char *addr)
{
	struct net_target t;
	struct net_addr a;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = NET_WAIT_MS / 1000};

	if (net_target_parse(addr, &t, NULL) < 0)
		return -1;
	bool is_unix = t.kind == NET_ADDR_UNIX;
	if (!is_unix && net_addr_numeric(&t, &a) < 0)
		return -1;
	memcpy(un.sun_path, t.path, sizeof un.sun_path);
	int fd = socket(is_unix ? AF_UNIX : a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(fd, is_unix ? (struct sockaddr *)&un : &a.sa, is_unix ? sizeof un : a.len) == 0)
		return fd;
	close(fd);
	return -1;
}

char *net_temp_dir(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = NULL;

	if (asprintf(&dir, "%s/stator-test-XXXXXX", base && *base ? base : "/tmp") < 0 || !mkdtemp(dir))
		abort();
	return dir;
}

void net_temp_done(char *dir)
{
	rmdir(dir);
	free(dir);
}
