#include "wire_random.h"

#include <string.h>

struct span {
	const void *v;
	uint32_t len;
};

/* Many zeros, many small numbers, some of every width: what varints and left-out fields have to survive. */
static uint64_t number(struct rng *r, uint64_t max)
{
	uint64_t v = rng_u64(r) >> rng_below(r, 64);
	if (rng_below(r, 4) == 0)
		v = 0;
	return max == UINT64_MAX ? v : v % (max + 1);
}

static void array_fill(struct rng *r, struct arena *a, struct span *s, uint32_t len, uint32_t element)
{
	uint8_t *v = arena_alloc(a, (size_t)len * element + 1);
	ASSERT(v);
	for (uint32_t i = 0; i < len * element; i++)
		v[i] = (uint8_t)rng_u64(r);
	/* Bytes 3 and 7 of every word stay small, so that as a float it is finite. */
	for (uint32_t i = 3; element > 1 && i < len * element; i += 4)
		v[i] &= 0x3f;
	*s = (struct span){len ? v : NULL, len};
}

static void struct_fill(struct rng *r, const struct wire_table *t, struct arena *a, uint8_t *msg);

static void field_fill(struct rng *r, const struct wire_field *f, struct arena *a, void *member)
{
	static const uint8_t element[] = {
		[WIRE_STR] = 1, [WIRE_BYTES] = 1, [WIRE_U32S] = 4, [WIRE_U64S] = 8, [WIRE_F32S] = 4, [WIRE_ITEMS] = 0};
	switch (f->type) {
	case WIRE_BOOL:
		*(bool *)member = rng_below(r, 2);
		break;
	case WIRE_U32:
		*(uint32_t *)member = (uint32_t)number(r, f->max ? f->max : UINT32_MAX);
		break;
	case WIRE_I32:
		*(int32_t *)member = (int32_t)(uint32_t)number(r, UINT32_MAX) * (rng_below(r, 2) ? 1 : -1);
		break;
	case WIRE_U64:
	case WIRE_HASH:
		*(uint64_t *)member = number(r, UINT64_MAX);
		break;
	case WIRE_F32:
		*(float *)member = rng_below(r, 3) ? (float)rng_unit(r) * 3 - 1 : 0;
		break;
	case WIRE_SUB:
		struct_fill(r, f->sub, a, member);
		break;
	case WIRE_ITEMS: {
		struct msg_tokens *items = member;
		items->len = (uint32_t)rng_below(r, 6);
		items->items = arena_alloc(a, (size_t)items->len * f->sub->size + 1);
		ASSERT(items->items);
		for (uint32_t i = 0; i < items->len; i++)
			struct_fill(r, f->sub, a, (uint8_t *)items->items + (size_t)i * f->sub->size);
		break;
	}
	default:
		array_fill(r, a, member, (uint32_t)number(r, f->max ? MIN(f->max, 40u) : 40), element[f->type]);
	}
}

/* Members that must go together are made to. */
static void struct_agree(struct rng *r, const struct wire_table *t, struct arena *a, void *msg)
{
	if (strcmp(t->name, "REQUEST") == 0) {
		struct msg_request *m = msg;
		m->prompt_len = (uint32_t)rng_below(r, m->tokens.len + 1);
	} else if (strcmp(t->name, "DONE") == 0) {
		((struct msg_done *)msg)->reason = 1 + (uint32_t)rng_below(r, MSG_REASON_DEADLINE);
	} else if (strcmp(t->name, "sampling") == 0) {
		struct msg_sampling *m = msg;
		array_fill(r, a, (struct span *)&m->bias_values, m->bias_tokens.len, 4);
	} else if (strcmp(t->name, "item") == 0) {
		struct msg_token_item *m = msg;
		uint32_t top = (uint32_t)rng_below(r, 4) * m->tokens.len;
		array_fill(r, a, (struct span *)&m->logprobs, rng_below(r, 2) ? m->tokens.len : 0, 4);
		array_fill(r, a, (struct span *)&m->top_tokens, top, 4);
		array_fill(r, a, (struct span *)&m->top_logprobs, top, 4);
	}
}

static void struct_fill(struct rng *r, const struct wire_table *t, struct arena *a, uint8_t *msg)
{
	for (uint32_t i = 0; i < t->count; i++)
		field_fill(r, &t->fields[i], a, msg + t->fields[i].offset);
	struct_agree(r, t, a, msg);
}

void wire_random_msg(struct rng *r, enum msg_type type, struct arena *a, void *ret_msg)
{
	const struct wire_table *t = msg_table(type);

	ASSERT(t);
	memset(ret_msg, 0, t->size);
	struct_fill(r, t, a, ret_msg);
}

static bool items_equal(const struct wire_field *f, const struct msg_tokens *a, const struct msg_tokens *b)
{
	for (uint32_t i = 0; a->len == b->len && i < a->len; i++)
		if (!wire_equal(f->sub, (const uint8_t *)a->items + (size_t)i * f->sub->size,
			    (const uint8_t *)b->items + (size_t)i * f->sub->size))
			return false;
	return a->len == b->len;
}

static bool field_equal(const struct wire_field *f, const void *a, const void *b)
{
	static const uint8_t bytes[] = {[WIRE_BOOL] = sizeof(bool),
		[WIRE_U32] = 4,
		[WIRE_I32] = 4,
		[WIRE_U64] = 8,
		[WIRE_HASH] = 8,
		[WIRE_F32] = 4,
		[WIRE_STR] = 1,
		[WIRE_BYTES] = 1,
		[WIRE_U32S] = 4,
		[WIRE_U64S] = 8,
		[WIRE_F32S] = 4,
		[WIRE_ITEMS] = 0};
	const struct span *sa = a, *sb = b;

	if (f->type == WIRE_SUB)
		return wire_equal(f->sub, a, b);
	if (f->type == WIRE_ITEMS)
		return items_equal(f, a, b);
	if (f->type < WIRE_STR)
		return memcmp(a, b, bytes[f->type]) == 0;
	return sa->len == sb->len && (!sa->len || memcmp(sa->v, sb->v, (size_t)sa->len * bytes[f->type]) == 0);
}

bool wire_equal(const struct wire_table *t, const void *a, const void *b)
{
	for (uint32_t i = 0; i < t->count; i++) {
		uint32_t at = t->fields[i].offset;
		if (!field_equal(&t->fields[i], (const uint8_t *)a + at, (const uint8_t *)b + at))
			return false;
	}
	return true;
}
