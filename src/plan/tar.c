/* tar.c - see tar.h. */
#include "plan/tar.h"
#include "base/compiler.h"

#include <string.h>

/* Where things stand in a header block (POSIX.1-2017, pax). */
enum {
	NAME_AT = 0,
	NAME_BYTES = 100,
	SIZE_AT = 124,
	SIZE_BYTES = 12,
	SUM_AT = 148,
	SUM_BYTES = 8,
	TYPE_AT = 156,
	MAGIC_AT = 257,
	PREFIX_AT = 345,
	PREFIX_BYTES = 155
};

/* An octal number, or GNU's binary one. */
static uint64_t number(const char *field, size_t len)
{
	uint64_t value = 0;

	if ((unsigned char)field[0] == 0x80) {
		for (size_t i = len > 8 ? len - 8 : 1; i < len; i++)
			value = value << 8 | (unsigned char)field[i];
		return value;
	}
	for (size_t i = 0; i < len && value < UINT64_MAX >> 3; i++) {
		if (field[i] >= '0' && field[i] <= '7')
			value = value * 8 + (uint64_t)(field[i] - '0');
		else if (field[i] != ' ' || value > 0)
			break;
	}
	return value;
}

static bool sum_is_right(const char *block)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : (unsigned char)block[i];
	return sum == number(block + SUM_AT, SUM_BYTES);
}

bool tar_is(const char *head, size_t len)
{
	return len >= TAR_BLOCK_BYTES && head[NAME_AT] != '\0' && sum_is_right(head);
}

void tar_init(struct tar *t, const struct tar_ops *ops, void *ctx)
{
	*t = (struct tar){.ops = ops, .ctx = ctx};
}

static void name_of(struct tar *t, const char *block, char *ret)
{
	size_t len = strnlen(block + NAME_AT, NAME_BYTES), prefix = 0;

	if (t->name_len > 0) {
		memcpy(ret, t->name, t->name_len);
		ret[t->name_len] = '\0';
		t->name_len = 0;
		return;
	}
	if (memcmp(block + MAGIC_AT, "ustar", 6) == 0)
		prefix = strnlen(block + PREFIX_AT, PREFIX_BYTES);
	memcpy(ret, block + PREFIX_AT, prefix);
	if (prefix > 0)
		ret[prefix++] = '/';
	memcpy(ret + prefix, block + NAME_AT, len);
	ret[prefix + len] = '\0';
}

static void member_end(struct tar *t, bool whole);

static void header_read(struct tar *t, const char *block)
{
	char name[TAR_NAME_BYTES], type = block[TYPE_AT];
	bool empty = true;

	for (size_t i = 0; i < TAR_BLOCK_BYTES && empty; i++)
		empty = block[i] == '\0';
	if (empty) {
		t->ended = ++t->zeros == 2;
		return;
	}
	t->zeros = 0;
	if (!sum_is_right(block)) {
		t->damaged = true;
		return;
	}
	t->left = number(block + SIZE_AT, SIZE_BYTES);
	t->padding = (TAR_BLOCK_BYTES - t->left % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES;
	if (type == 'L') {
		t->member = TAR_LONG_NAME;
		t->name_len = 0;
	} else if (type == 'x') {
		t->member = TAR_PAX;
		t->pax_len = 0;
	} else {
		bool file = type == '0' || type == '\0' || type == '7';

		/* Links have a size in some archives and never data. */
		if (type >= '1' && type <= '6')
			t->left = t->padding = 0;
		t->member = TAR_SKIPPED;
		if (type != 'g' && type != 'K')
			name_of(t, block, name);
		if (file && t->ops->begin(t->ctx, name, t->left))
			t->member = TAR_FILE;
	}
	if (t->left == 0)
		member_end(t, true);
}

/* "30 path=pods/web-0/logs.txt\n" */
static void pax_read(struct tar *t)
{
	for (size_t at = 0; at < t->pax_len;) {
		size_t len = 0, digits = at;

		while (digits < t->pax_len && t->pax[digits] >= '0' && t->pax[digits] <= '9' && len < sizeof t->pax)
			len = len * 10 + (size_t)(t->pax[digits++] - '0');
		if (len == 0 || len > t->pax_len - at || digits + 1 >= at + len)
			return;
		const char *record = t->pax + digits + 1;
		size_t record_len = at + len - digits - 2;
		if (record_len > 5 && memcmp(record, "path=", 5) == 0) {
			t->name_len = MIN(record_len - 5, (size_t)TAR_NAME_BYTES - 1);
			memcpy(t->name, record + 5, t->name_len);
		}
		at += len;
	}
}

static void member_end(struct tar *t, bool whole)
{
	enum tar_member member = t->member;

	t->member = TAR_NONE;
	if (member == TAR_FILE)
		t->ops->end(t->ctx, whole);
	else if (member == TAR_PAX)
		pax_read(t);
	else if (member == TAR_LONG_NAME)
		t->name_len = strnlen(t->name, t->name_len);
}

static void keep(char *to, size_t *len, size_t cap, const char *data, size_t n)
{
	n = MIN(n, cap - *len);
	memcpy(to + *len, data, n);
	*len += n;
}

static void member_data(struct tar *t, const char *data, size_t len)
{
	if (t->member == TAR_FILE)
		t->ops->data(t->ctx, data, len);
	else if (t->member == TAR_LONG_NAME)
		keep(t->name, &t->name_len, TAR_NAME_BYTES - 1, data, len);
	else if (t->member == TAR_PAX)
		keep(t->pax, &t->pax_len, sizeof t->pax, data, len);
	t->left -= len;
	if (t->left == 0)
		member_end(t, true);
}

void tar_feed(struct tar *t, const char *data, size_t len)
{
	while (len > 0 && !t->ended && !t->damaged) {
		size_t n;

		if (t->left > 0) {
			n = (size_t)MIN((uint64_t)len, t->left);
			member_data(t, data, n);
		} else if (t->padding > 0) {
			n = (size_t)MIN((uint64_t)len, t->padding);
			t->padding -= n;
		} else {
			n = MIN(len, TAR_BLOCK_BYTES - t->block_len);
			memcpy(t->block + t->block_len, data, n);
			t->block_len += n;
			if (t->block_len == TAR_BLOCK_BYTES) {
				t->block_len = 0;
				header_read(t, t->block);
			}
		}
		data += n;
		len -= n;
	}
}

bool tar_end(struct tar *t)
{
	bool whole = !t->damaged && t->left == 0 && t->block_len == 0;

	if (t->left > 0)
		member_end(t, false);
	return whole;
}
