/* Any bytes, cut in two at a place the first byte names: never a crash, and the same events as in one piece. */
#include "wire/sse.h"

static void note(void *ctx, const char *event, const char *data, size_t len)
{
	buf_add_str(ctx, event);
	buf_add(ctx, data, len);
	buf_add_byte(ctx, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sse_parser whole, cut;
	struct buf a, b;

	if (len < 1)
		return 0;
	size_t at = data[0] % len;
	const char *text = (const char *)data + 1;
	len--;
	at = MIN(at, len);
	sse_parser_init(&whole, 256);
	sse_parser_init(&cut, 256);
	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	int r = sse_parser_push(&whole, text, len, note, &a, NULL);
	int s = sse_parser_push(&cut, text, at, note, &b, NULL);
	if (s == 0)
		s = sse_parser_push(&cut, text + at, len - at, note, &b, NULL);
	ASSERT(r == s);
	ASSERT(r < 0 || (a.len == b.len && memcmp(buf_str(&a), buf_str(&b), a.len) == 0));
	sse_parser_done(&whole);
	sse_parser_done(&cut);
	buf_done(&a);
	buf_done(&b);
	return 0;
}
