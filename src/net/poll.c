/* poll.c - epoll. What it says is passed on whole: data that came together with an end or an error must be told apart
 * from data alone, or every read would have to be made twice to be sure (conn.c). */
#include "net/loop_priv.h"

#include <unistd.h>

int poll_open(struct loop *l)
{
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return l->epoll_fd < 0 ? -errno : 0;
}

int poll_add(struct loop *l, struct pollee *p, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = p};

	ASSERT(p->fn && !p->added);
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	p->fd = fd;
	p->added = true;
	return 0;
}

void poll_del(struct loop *l, struct pollee *p)
{
	struct epoll_event ev = {0};

	if (!p->added)
		return;
	p->added = false;
	/* A child between fork and exec holds copies of our descriptors, so closing alone might not take it out. */
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, p->fd, &ev);
	/* What was told of it in this turn and waits to be passed on is not. */
	for (int i = 0; i < l->polled_count; i++)
		if (l->polled[i].data.ptr == p)
			l->polled[i].data.ptr = NULL;
}

void poll_wait(struct loop *l, bool block)
{
	int n = epoll_wait(l->epoll_fd, l->polled, POLLED_MAX, block ? -1 : 0);

	ASSERT(n >= 0 || errno == EINTR);
	l->polled_count = MAX(n, 0);
	for (int i = 0; i < l->polled_count; i++) {
		struct pollee *p = l->polled[i].data.ptr;
		if (p)
			p->fn(p, l->polled[i].events);
	}
	l->polled_count = 0;
}
