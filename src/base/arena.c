#include "base/arena.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ARENA_BLOCK_BYTES = 4096, ARENA_ALIGN = _Alignof(max_align_t) };

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(max_align_t) unsigned char data[];
};

struct arena_hook {
	struct arena_hook *next;
	void (*fn)(void *arg);
	void *arg;
};

void arena_init(struct arena *a, size_t bytes_max)
{
	*a = (struct arena){.bytes_max = bytes_max};
}

void arena_done(struct arena *a)
{
	for (struct arena_hook *h = a->hooks; h; h = h->next)
		h->fn(h->arg);
	for (struct arena_block *b = a->head, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	*a = (struct arena){.bytes_max = a->bytes_max};
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->head;

	if (a->hooks || !keep || keep->next || keep->size != ARENA_BLOCK_BYTES) {
		arena_done(a);
		return;
	}
	keep->used = 0;
	a->bytes_used = 0;
}

static struct arena_block *block_add(struct arena *a, size_t size)
{
	struct arena_block *b = malloc(sizeof *b + size);
	if (!b)
		return NULL;
	*b = (struct arena_block){.next = a->head, .size = size};
	a->head = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
	if (size > a->bytes_max || a->bytes_used + size > a->bytes_max)
		return NULL;
	size = (size + ARENA_ALIGN - 1) & ~((size_t)ARENA_ALIGN - 1);
	struct arena_block *b = a->head;
	if (!b || b->size - b->used < size)
		b = block_add(a, MAX(size, (size_t)ARENA_BLOCK_BYTES));
	if (!b)
		return NULL;
	void *p = b->data + b->used;
	b->used += size;
	a->bytes_used += size;
	return memset(p, 0, size);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *p = arena_alloc(a, len + 1);
	if (p && len)
		memcpy(p, s, len);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (!p)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

int arena_on_done(struct arena *a, void (*fn)(void *arg), void *arg)
{
	struct arena_hook *h = arena_alloc(a, sizeof *h);
	if (!h)
		return -ENOMEM;
	*h = (struct arena_hook){.next = a->hooks, .fn = fn, .arg = arg};
	a->hooks = h;
	return 0;
}
