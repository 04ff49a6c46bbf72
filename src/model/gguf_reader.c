#include "model/gguf_reader.h"

#include <endian.h>
#include <string.h>

enum { ARRAY_DEPTH_MAX = 3 };

static const uint8_t number_bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

uint32_t gguf_number_bytes(uint32_t type)
{
	return type < GGUF_TYPES ? number_bytes[type] : 0;
}

const uint8_t *gguf_take(struct gguf_reader *r, uint64_t n)
{
	if (r->cut || n > r->len - r->pos) {
		r->cut = true;
		return NULL;
	}
	r->pos += n;
	return r->data + r->pos - n;
}

uint64_t gguf_number(struct gguf_reader *r, uint32_t bytes)
{
	const uint8_t *p = gguf_take(r, bytes);
	uint64_t n = 0;

	for (uint32_t i = 0; p && i < bytes; i++)
		n |= (uint64_t)p[i] << 8 * i;
	return n;
}

struct gguf_text gguf_string(struct gguf_reader *r)
{
	const uint8_t *length = gguf_take(r, 8);
	uint64_t n = 0;

	if (length)
		memcpy(&n, length, sizeof n);
	n = le64toh(n);
	const uint8_t *p = gguf_take(r, n);

	return (struct gguf_text){p ? (const char *)p : "", p ? n : 0};
}

static bool skip_items(struct gguf_reader *r, uint32_t type, uint64_t count, int depth)
{
	if (type >= GGUF_TYPES || depth > ARRAY_DEPTH_MAX)
		return false;
	if (number_bytes[type]) {
		if (count > r->len)
			r->cut = true;
		else
			gguf_take(r, count * number_bytes[type]);
		return true;
	}
	for (uint64_t i = 0; i < count && !r->cut; i++) {
		if (type == GGUF_STRING) {
			gguf_string(r);
			continue;
		}
		uint32_t item = (uint32_t)gguf_number(r, 4);
		uint64_t inner = gguf_number(r, 8);
		if (!r->cut && !skip_items(r, item, inner, depth + 1))
			return false;
	}
	return true;
}

bool gguf_value_read(struct gguf_reader *r, struct gguf_value *ret)
{
	*ret = (struct gguf_value){.type = (uint32_t)gguf_number(r, 4)};
	if (ret->type == GGUF_STRING) {
		ret->text = gguf_string(r);
		return true;
	}
	if (ret->type != GGUF_ARRAY) {
		if (ret->type >= GGUF_TYPES)
			return false;
		ret->number = gguf_number(r, number_bytes[ret->type]);
		return true;
	}
	ret->item = (uint32_t)gguf_number(r, 4);
	ret->count = gguf_number(r, 8);
	ret->begin = r->pos;
	return r->cut || skip_items(r, ret->item, ret->count, 0);
}

uint64_t gguf_item(const struct gguf_reader *r, const struct gguf_value *v, uint64_t i)
{
	uint32_t bytes = gguf_number_bytes(v->item);
	struct gguf_reader at = {r->data, r->len, v->begin + i * bytes, false};

	return gguf_number(&at, bytes);
}

bool gguf_text_is(const struct gguf_text *t, const char *word)
{
	return t->len == strlen(word) && !memcmp(t->data, word, t->len);
}
