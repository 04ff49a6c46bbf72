/* Any bytes as a catalogue: each record is whole, and each mistake has a place. */
#include "config/records.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct thing {
	const char *text;
	uint32_t number, tenths, word;
	uint64_t bytes;
	double f;
	bool flag;
};

static const char *const words[] = {"red", "green", NULL};
static const struct record_field fields[] = {
	{"hf", RECORD_TEXT, offsetof(struct thing, text), false, NULL, NULL},
	{"layers", RECORD_U32, offsetof(struct thing, number), true, NULL, NULL},
	{"capability", RECORD_TENTHS, offsetof(struct thing, tenths), false, NULL, NULL},
	{"bias", RECORD_WORD, offsetof(struct thing, word), false, words, NULL},
	{"memory", RECORD_BYTES, offsetof(struct thing, bytes), false, NULL, NULL},
	{"bandwidth", RECORD_F64, offsetof(struct thing, f), false, NULL, NULL},
	{"tied", RECORD_BOOL, offsetof(struct thing, flag), false, NULL, NULL},
};

static int each(void *ctx, const struct record *r)
{
	struct thing t = {0};

	ASSERT(r->name[0] && r->pos.line > 0 && r->len <= RECORD_PAIRS_MAX);
	for (uint32_t i = 0; i < r->len; i++)
		ASSERT(r->pairs[i].key[0] && r->pairs[i].value && r->pairs[i].pos.line >= r->pos.line);
	record_fill(r, fields, ARRAY_LEN(fields), &t, ctx);
	ASSERT(t.word < 2 && t.f >= 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct diags d;

	arena_init(&a, 1 << 24);
	diags_init(&d);
	int code = records_parse("fuzz.txt", (const char *)data, size, &a, &d, each, &d);
	ASSERT(code == 0 || code == -EINVAL || code == -ENOMEM);
	ASSERT(code != -EINVAL || d.errors > 0);
	for (uint32_t i = 0; i < d.len; i++)
		ASSERT(!strncmp(d.items[i].pos, "fuzz.txt:", 9));
	diags_done(&d);
	arena_done(&a);
	return 0;
}
