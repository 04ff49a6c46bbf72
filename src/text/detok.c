/* detok.c - join token bytes into whole characters. */
#include "text/detok.h"

#include "base/utf8.h"
#include "text/tokenizer_impl.h"

#include <string.h>

enum { PIECE_BYTES_MAX = 64 * 1024 };
static const char REPLACEMENT[] = "\xef\xbf\xbd";

void detok_init(struct detok *d, const struct tokenizer *t, bool at_start)
{
	*d = (struct detok){.tokenizer = t, .strip_space = at_start && tokenizer_adds_space(t)};
	buf_init(&d->piece, PIECE_BYTES_MAX);
}

void detok_done(struct detok *d)
{
	buf_done(&d->piece);
}

/* Bytes of s that make one maximal part of a broken character: the longest beginning that some character has, or 1. */
static size_t broken_len(const char *s, size_t len)
{
	size_t n = 1;
	while (n < len && n < 4 && utf8_step(s, n + 1) < 0)
		n++;
	return utf8_step(s, n) < 0 ? n : 1;
}

/* Append what is whole of s, keep a beginning that the next token may complete. */
static int pass(struct detok *d, const char *s, size_t len, struct buf *ret)
{
	size_t good = 0, i = 0;
	int code = 0;
	while (i < len && code == 0) {
		int n = utf8_step(s + i, len - i);
		if (n > 0) {
			i += (size_t)n;
			continue;
		}
		code = buf_add(ret, s + good, i - good);
		good = i;
		if (n < 0)
			break;
		size_t broken = broken_len(s + i, len - i);
		code = code < 0 ? code : buf_add(ret, REPLACEMENT, sizeof REPLACEMENT - 1);
		i = good = i + broken;
	}
	if (code == 0 && i == len && i > good) {
		code = buf_add(ret, s + good, i - good);
		good = i;
	}
	d->wait_len = (uint8_t)(len - good > sizeof d->wait ? 0 : len - good);
	memcpy(d->wait, s + good, d->wait_len);
	return code;
}

/* The token's bytes, behind those that wait when there are any. */
static int joined(struct detok *d, uint32_t token, const char **ret, size_t *ret_len)
{
	uint32_t len;
	const char *bytes = token_table_piece(&d->tokenizer->table, token, &len);

	*ret = bytes;
	*ret_len = len;
	if (!d->wait_len)
		return 0;
	buf_reset(&d->piece);
	int code = buf_add(&d->piece, d->wait, d->wait_len);
	code = code < 0 ? code : buf_add(&d->piece, bytes, len);
	*ret = buf_str(&d->piece);
	*ret_len = d->piece.len;
	return code;
}

int detok_push(struct detok *d, uint32_t token, struct buf *ret)
{
	const char *s;
	size_t len;
	int code = joined(d, token, &s, &len);
	if (code < 0)
		return code;
	if (d->strip_space && len > 0) {
		d->strip_space = false;
		size_t skip = s[0] == ' ' ? 1 : 0;
		s += skip;
		len -= skip;
	}
	return pass(d, s, len, ret);
}

int detok_finish(struct detok *d, struct buf *ret)
{
	if (d->wait_len == 0)
		return 0;
	d->wait_len = 0;
	return buf_add(ret, REPLACEMENT, sizeof REPLACEMENT - 1);
}
