/* list.h - an intrusive doubly linked list: the head and each item hold a struct list. O(1) insert and unlink, no
 * allocation. An item unlinked (or initialised) points at itself, so list_del twice is harmless. */
#ifndef STATOR_BASE_LIST_H
#define STATOR_BASE_LIST_H

#include "base/compiler.h"
#include <stdbool.h>

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_add_tail(struct list *head, struct list *item)
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}
static inline void list_add_head(struct list *head, struct list *item)
{
	list_add_tail(head->next, item);
}
static inline void list_del(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}
#define list_entry(ptr, type, member) CONTAINER_OF(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_foreach(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The current item may be unlinked or freed inside the loop. */
#define list_foreach_safe(it, head)                                                                                    \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)

#endif
