#include "wire/codec.h"
#include "base/json_out.h"

#include <inttypes.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are copied as they lie; the wire is little endian");

/* The three array types and both string types share this shape: a pointer and an element count. */
struct span {
	const void *v;
	uint32_t len;
};
_Static_assert(sizeof(struct span) == sizeof(struct msg_str) && sizeof(struct span) == sizeof(struct msg_u64s) &&
		       offsetof(struct span, len) == offsetof(struct msg_f32s, len),
	"struct span must overlay every array");
/* WIRE_ITEMS members have it too, with a pointer that decode fills. */
struct items {
	uint8_t *v;
	uint32_t len;
};
_Static_assert(offsetof(struct items, len) == offsetof(struct msg_tokens, len), "struct items must overlay its users");

static const uint8_t kind_of[] = {
	[WIRE_BOOL] = WIRE_KIND_VARINT,
	[WIRE_U32] = WIRE_KIND_VARINT,
	[WIRE_I32] = WIRE_KIND_VARINT,
	[WIRE_U64] = WIRE_KIND_VARINT,
	[WIRE_HASH] = WIRE_KIND_8,
	[WIRE_F32] = WIRE_KIND_4,
	[WIRE_STR] = WIRE_KIND_BYTES,
	[WIRE_BYTES] = WIRE_KIND_BYTES,
	[WIRE_U32S] = WIRE_KIND_BYTES,
	[WIRE_U64S] = WIRE_KIND_BYTES,
	[WIRE_F32S] = WIRE_KIND_BYTES,
	[WIRE_SUB] = WIRE_KIND_BYTES,
	[WIRE_ITEMS] = WIRE_KIND_BYTES,
};
/* Bytes of one element on the wire and in memory; 0 for what is not an array. */
static const uint8_t element_bytes[] = {
	[WIRE_STR] = 1, [WIRE_BYTES] = 1, [WIRE_U32S] = 4, [WIRE_U64S] = 8, [WIRE_F32S] = 4, [WIRE_ITEMS] = 0};

static uint64_t load(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;
	memcpy(&v, p, bytes);
	return v;
}

/* The value of an integer or float member as the number that is written; 0 means the field is left out. */
static uint64_t scalar_load(const struct wire_field *f, const uint8_t *member)
{
	switch (f->type) {
	case WIRE_BOOL:
		return *member != 0;
	case WIRE_U32:
	case WIRE_F32:
		return load(member, 4);
	case WIRE_I32: {
		uint32_t v = (uint32_t)load(member, 4);
		return (uint32_t)(v << 1) ^ (v >> 31 ? UINT32_MAX : 0);
	}
	default:
		return load(member, 8);
	}
}

static uint32_t varint_size(uint64_t v)
{
	return (uint32_t)(63 - __builtin_clzll(v | 1)) / 7 + 1;
}

static uint8_t *varint_put(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static size_t scalar_size(const struct wire_field *f, uint64_t v)
{
	if (v == 0)
		return 0;
	if (kind_of[f->type] == WIRE_KIND_VARINT)
		return 1 + varint_size(v);
	return kind_of[f->type] == WIRE_KIND_8 ? 9 : 5;
}

static size_t items_size(const struct wire_field *f, const struct items *items)
{
	size_t size = (size_t)items->len * 5;
	for (uint32_t i = 0; i < items->len; i++)
		size += wire_size(f->sub, items->v + (size_t)i * f->sub->size);
	return size;
}

size_t wire_size(const struct wire_table *t, const void *msg)
{
	size_t size = 0;

	for (uint32_t i = 0; i < t->count; i++) {
		const struct wire_field *f = &t->fields[i];
		const uint8_t *member = (const uint8_t *)msg + f->offset;
		if (kind_of[f->type] != WIRE_KIND_BYTES) {
			size += scalar_size(f, scalar_load(f, member));
		} else if (f->type == WIRE_ITEMS) {
			size += items_size(f, (const struct items *)(const void *)member);
		} else if (f->type == WIRE_SUB) {
			size_t sub = wire_size(f->sub, member);
			size += sub ? 5 + sub : 0;
		} else {
			uint32_t len = ((const struct span *)(const void *)member)->len;
			size += len ? 5 + (size_t)len * element_bytes[f->type] : 0;
		}
	}
	return size;
}

static uint8_t *scalar_put(const struct wire_field *f, uint64_t v, uint8_t *p)
{
	if (v == 0)
		return p;
	uint8_t kind = kind_of[f->type];
	*p++ = (uint8_t)(f->number << 3 | kind);
	if (kind == WIRE_KIND_VARINT)
		return varint_put(p, v);
	size_t bytes = kind == WIRE_KIND_8 ? 8 : 4;
	memcpy(p, &v, bytes);
	return p + bytes;
}

static uint8_t *span_put(const struct wire_field *f, const struct span *s, uint8_t *p)
{
	if (s->len == 0)
		return p;
	uint32_t bytes = s->len * element_bytes[f->type];
	*p++ = (uint8_t)(f->number << 3 | WIRE_KIND_BYTES);
	memcpy(p, &bytes, 4);
	memcpy(p + 4, s->v, bytes);
	return p + 4 + bytes;
}

/* Write the sub-message first, its length when that is known; an empty one is kept only where it counts (an item). */
static uint8_t *sub_put(const struct wire_field *f, const void *msg, bool keep_empty, uint8_t *p)
{
	uint8_t *end = wire_put(f->sub, msg, p + 5);
	uint32_t bytes = (uint32_t)(end - (p + 5));

	if (bytes == 0 && !keep_empty)
		return p;
	*p = (uint8_t)(f->number << 3 | WIRE_KIND_BYTES);
	memcpy(p + 1, &bytes, 4);
	return end;
}

uint8_t *wire_put(const struct wire_table *t, const void *msg, uint8_t *p)
{
	for (uint32_t i = 0; i < t->count; i++) {
		const struct wire_field *f = &t->fields[i];
		const uint8_t *member = (const uint8_t *)msg + f->offset;
		if (kind_of[f->type] != WIRE_KIND_BYTES) {
			p = scalar_put(f, scalar_load(f, member), p);
		} else if (f->type == WIRE_ITEMS) {
			const struct items *items = (const void *)member;
			for (uint32_t k = 0; k < items->len; k++)
				p = sub_put(f, items->v + (size_t)k * f->sub->size, true, p);
		} else if (f->type == WIRE_SUB) {
			p = sub_put(f, member, false, p);
		} else {
			p = span_put(f, (const struct span *)(const void *)member, p);
		}
	}
	return p;
}

/* Decoding. */

struct reader {
	const uint8_t *p, *end;
};
/* One field as it lies in the input. */
struct raw {
	uint8_t number, kind;
	uint64_t value; /* varint, 8 and 4 bytes */
	const uint8_t *data; /* bytes */
	uint32_t len;
};

static int varint_get(struct reader *r, uint64_t *ret, struct err *err)
{
	uint64_t v = 0;

	for (unsigned shift = 0; r->p < r->end && shift < 64; shift += 7) {
		uint8_t c = *r->p++;
		/* The tenth byte holds one bit; a longer number would be two values with one meaning. */
		if (shift == 63 && c > 1)
			return err_set(err, -EPROTO, "a number is longer than 64 bits");
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return 0;
		}
	}
	return err_set(err, -EPROTO, "a number is cut");
}

static int bytes_get(struct reader *r, struct raw *ret, struct err *err)
{
	size_t left = (size_t)(r->end - r->p);

	if (left < 4)
		return err_set(err, -EPROTO, "a length is cut");
	ret->len = (uint32_t)load(r->p, 4);
	if (ret->len > left - 4)
		return err_set(err, -EPROTO, "%u bytes are announced, %zu are there", ret->len, left - 4);
	ret->data = r->p + 4;
	r->p += 4 + ret->len;
	return 0;
}

static int fixed_get(struct reader *r, struct raw *ret, size_t bytes, struct err *err)
{
	if ((size_t)(r->end - r->p) < bytes)
		return err_set(err, -EPROTO, "a value of %zu bytes is cut", bytes);
	ret->value = load(r->p, bytes);
	r->p += bytes;
	return 0;
}

static int raw_get(struct reader *r, struct raw *ret, struct err *err)
{
	uint8_t head = *r->p++;

	ret->number = head >> 3;
	ret->kind = head & 7;
	if (ret->number == 0)
		return err_set(err, -EPROTO, "a field has number 0");
	switch (ret->kind) {
	case WIRE_KIND_VARINT:
		return varint_get(r, &ret->value, err);
	case WIRE_KIND_8:
		return fixed_get(r, ret, 8, err);
	case WIRE_KIND_BYTES:
		return bytes_get(r, ret, err);
	case WIRE_KIND_4:
		return fixed_get(r, ret, 4, err);
	default:
		return err_set(err, -EPROTO, "field %u has the unknown kind %u", ret->number, ret->kind);
	}
}

static int scalar_get(const struct wire_field *f, const struct raw *raw, uint8_t *member, struct err *err)
{
	uint64_t v = raw->value;
	uint64_t max = f->max ? f->max : f->type == WIRE_BOOL ? 1 : f->type == WIRE_U32 ? UINT32_MAX : UINT64_MAX;

	if (f->type == WIRE_F32) {
		memcpy(member, &v, 4);
		return 0;
	}
	if (f->type == WIRE_I32 && v > UINT32_MAX)
		return err_set(err, -EPROTO, "the value does not fit 32 bits");
	if (v > max)
		return err_set(err, -EPROTO, "value %" PRIu64 " is more than %" PRIu64, v, max);
	if (f->type == WIRE_I32)
		v = (uint32_t)(v >> 1) ^ (v & 1 ? UINT32_MAX : 0);
	if (f->type == WIRE_BOOL)
		*(bool *)member = v != 0;
	else
		memcpy(member, &v, f->type == WIRE_U64 || f->type == WIRE_HASH ? 8 : 4);
	return 0;
}

static int span_get(const struct wire_field *f, const struct raw *raw, struct arena *a, void *member, struct err *err)
{
	uint32_t element = element_bytes[f->type];
	struct span *s = member;

	if (raw->len % element)
		return err_set(err, -EPROTO, "%u bytes are not a whole number of %u-byte elements", raw->len, element);
	if (f->max && raw->len / element > f->max)
		return err_set(err, -EPROTO, "%u %s are more than %u", raw->len / element,
			element == 1 ? "bytes" : "elements", f->max);
	/* The NUL behind strings costs arrays one byte, too little to tell them apart. */
	char *copy = arena_strndup(a, (const char *)raw->data, raw->len);
	if (!copy)
		return err_set(err, -ENOMEM, "%u bytes are more than the memory left for it", raw->len);
	*s = (struct span){copy, raw->len / element};
	return 0;
}

static int item_get(const struct wire_field *f, const struct raw *raw, struct arena *a, void *member, struct err *err)
{
	struct items *items = member;
	uint8_t *item = items->v + (size_t)items->len * f->sub->size;
	int r = wire_get(f->sub, raw->data, raw->len, a, item, err);

	if (r < 0)
		(void)err_wrap(err, "item %u", items->len);
	else
		items->len++;
	return r;
}

static int field_get(
	const struct wire_field *f, const struct raw *raw, struct arena *a, uint8_t *member, struct err *err)
{
	if (raw->kind != kind_of[f->type])
		return err_set(err, -EPROTO, "kind %u came where %u belongs", raw->kind, kind_of[f->type]);
	switch (f->type) {
	case WIRE_SUB:
		return wire_get(f->sub, raw->data, raw->len, a, member, err);
	case WIRE_ITEMS:
		return item_get(f, raw, a, member, err);
	case WIRE_STR:
	case WIRE_BYTES:
	case WIRE_U32S:
	case WIRE_U64S:
	case WIRE_F32S:
		return span_get(f, raw, a, member, err);
	default:
		return scalar_get(f, raw, member, err);
	}
}

static const struct wire_field *field_find(const struct wire_table *t, uint8_t number)
{
	/* Numbers run from 1 without gaps in most tables: look at the likely place first. */
	if (number <= t->count && t->fields[number - 1].number == number)
		return &t->fields[number - 1];
	for (uint32_t i = 0; i < t->count; i++)
		if (t->fields[i].number == number)
			return &t->fields[i];
	return NULL;
}

/* Make room for a message's items: count them, then allocate once. */
static int items_reserve(const struct wire_field *f, struct reader r, struct arena *a, void *member, struct err *err)
{
	struct items *items = member;
	uint32_t count = 0;

	for (struct raw raw; r.p < r.end; count += raw.number == f->number) {
		int bad = raw_get(&r, &raw, err);
		if (bad < 0)
			return bad;
	}
	if (f->max && count > f->max)
		return err_set(err, -EPROTO, "%u items are more than %u", count, f->max);
	items->v = count ? arena_alloc(a, (size_t)count * f->sub->size) : NULL;
	if (count && !items->v)
		return err_set(err, -ENOMEM, "%u items are more than the memory left for them", count);
	return 0;
}

static int prepare(const struct wire_table *t, struct reader r, struct arena *a, uint8_t *msg, struct err *err)
{
	memset(msg, 0, t->size);
	for (uint32_t i = 0; i < t->count; i++) {
		const struct wire_field *f = &t->fields[i];
		if (f->type == WIRE_STR || f->type == WIRE_BYTES)
			((struct msg_str *)(void *)(msg + f->offset))->data = "";
		if (f->type != WIRE_ITEMS)
			continue;
		int bad = items_reserve(f, r, a, msg + f->offset, err);
		if (bad < 0)
			return bad;
	}
	return 0;
}

int wire_get(
	const struct wire_table *t, const uint8_t *data, size_t len, struct arena *a, void *ret_msg, struct err *err)
{
	struct reader r = {data, data + len};
	uint32_t seen = 0;
	int bad = prepare(t, r, a, ret_msg, err);

	while (bad == 0 && r.p < r.end) {
		struct raw raw;
		bad = raw_get(&r, &raw, err);
		const struct wire_field *f = bad < 0 ? NULL : field_find(t, raw.number);
		if (!f)
			continue; /* a later release's field */
		if (f->type != WIRE_ITEMS && seen & 1u << f->number)
			bad = err_set(err, -EPROTO, "it is there twice");
		seen |= 1u << f->number;
		if (bad == 0)
			bad = field_get(f, &raw, a, (uint8_t *)ret_msg + f->offset, err);
		if (bad < 0)
			(void)err_wrap(err, "field \"%s\"", f->name);
	}
	return bad < 0 || !t->check ? bad : t->check(ret_msg, err);
}

/* Printing. */

enum { PRINT_ELEMENTS_MAX = 8, PRINT_ITEMS_MAX = 4, PRINT_STR_BYTES_MAX = 64 };

static void print_elements(struct buf *out, const struct wire_field *f, const struct span *s)
{
	buf_printf(out, " %s[%u]=", f->name, s->len);
	for (uint32_t i = 0; i < s->len && i < PRINT_ELEMENTS_MAX; i++) {
		const char *comma = i ? "," : "";
		if (f->type == WIRE_U32S)
			buf_printf(out, "%s%" PRIu32, comma, ((const uint32_t *)s->v)[i]);
		else if (f->type == WIRE_U64S)
			buf_printf(out, "%s%016" PRIx64, comma, ((const uint64_t *)s->v)[i]);
		else
			buf_printf(out, "%s%g", comma, (double)((const float *)s->v)[i]);
	}
	if (s->len > PRINT_ELEMENTS_MAX)
		buf_add_str(out, ",...");
}

static void print_items(struct buf *out, const struct wire_field *f, const struct items *items)
{
	buf_printf(out, " %s=%u", f->name, items->len);
	for (uint32_t i = 0; i < items->len && i < PRINT_ITEMS_MAX; i++) {
		buf_add_str(out, " {");
		wire_print(out, f->sub, items->v + (size_t)i * f->sub->size);
		buf_add_str(out, " }");
	}
	if (items->len > PRINT_ITEMS_MAX)
		buf_add_str(out, " ...");
}

static void print_str(struct buf *out, const struct wire_field *f, const struct msg_str *s)
{
	if (f->type == WIRE_BYTES) {
		buf_printf(out, " %s=<%u bytes>", f->name, s->len);
		return;
	}
	buf_printf(out, " %s=", f->name);
	json_out_str(out, s->data, MIN(s->len, (uint32_t)PRINT_STR_BYTES_MAX));
	if (s->len > PRINT_STR_BYTES_MAX)
		buf_add_str(out, "...");
}

static void print_scalar(struct buf *out, const struct wire_field *f, const uint8_t *member)
{
	if (f->type == WIRE_HASH)
		buf_printf(out, " %s=%016" PRIx64, f->name, load(member, 8));
	else if (f->type == WIRE_I32)
		buf_printf(out, " %s=%" PRId32, f->name, *(const int32_t *)(const void *)member);
	else if (f->type == WIRE_F32)
		buf_printf(out, " %s=%g", f->name, (double)*(const float *)(const void *)member);
	else
		buf_printf(out, " %s=%" PRIu64, f->name, scalar_load(f, member));
}

void wire_print(struct buf *out, const struct wire_table *t, const void *msg)
{
	for (uint32_t i = 0; i < t->count; i++) {
		const struct wire_field *f = &t->fields[i];
		const void *member = (const uint8_t *)msg + f->offset;
		if (kind_of[f->type] != WIRE_KIND_BYTES) {
			if (scalar_load(f, member))
				print_scalar(out, f, member);
		} else if (f->type == WIRE_ITEMS) {
			print_items(out, f, member);
		} else if (f->type == WIRE_SUB) {
			buf_printf(out, " %s={", f->name);
			wire_print(out, f->sub, member);
			buf_add_str(out, " }");
		} else if (((const struct span *)member)->len) {
			if (element_bytes[f->type] == 1)
				print_str(out, f, member);
			else
				print_elements(out, f, member);
		}
	}
}
