#include "base/buf.h"

#include <errno.h>
#include <stdio.h>

void buf_init(struct buf *b, size_t len_max)
{
	*b = (struct buf){.len_max = len_max};
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){.len_max = b->len_max};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

int buf_reserve(struct buf *b, size_t extra)
{
	if (extra > b->len_max || b->len > b->len_max - extra) {
		b->failed = true;
		return -ENOBUFS;
	}
	size_t need = b->len + extra;
	if (b->data && need <= b->cap)
		return 0;
	size_t cap = MIN(MAX(MAX(need, b->cap * 2), (size_t)64), b->len_max);
	char *p = realloc(b->data, cap + 1);
	if (!p) {
		b->failed = true;
		return -ENOMEM;
	}
	if (!b->data)
		p[0] = '\0';
	b->data = p;
	b->cap = cap;
	return 0;
}

int buf_add_slow(struct buf *b, const void *data, size_t len)
{
	int r = buf_reserve(b, len);
	if (r < 0)
		return r;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int buf_add_byte(struct buf *b, uint8_t c)
{
	return buf_add(b, &c, 1);
}

/* Into the room there is, or else into room made for it. */
int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->data ? b->cap - b->len + 1 : 0;
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(room > 0 ? b->data + b->len : NULL, room, fmt, again);
	va_end(again);
	if (n >= 0 && (size_t)n < room) {
		b->len += (size_t)n;
		return 0;
	}
	if (room > 0)
		b->data[b->len] = '\0';
	if (n < 0) {
		b->failed = true;
		return -EINVAL;
	}
	int r = buf_reserve(b, (size_t)n);
	if (r < 0)
		return r;
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
	return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int r = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

void buf_consume(struct buf *b, size_t n)
{
	ASSERT(n <= b->len);
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}
