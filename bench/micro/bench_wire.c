/* bench_wire.c - frames of tokens, and events to the client. */
#include "bench.h"
#include "base/arena.h"
#include "base/json_out.h"
#include "wire/msg.h"
#include <stdlib.h>

enum { ITEMS = 64 };

static void tokens_message(struct msg_tokens *m, uint32_t items)
{
	static const uint32_t token = 12345;
	static struct msg_token_item v[ITEMS];
	for (uint32_t i = 0; i < items; i++)
		v[i] = (struct msg_token_item){.id = 1000 + i, .tokens = {&token, 1}};
	*m = (struct msg_tokens){v, items};
}

static void decode(const struct buf *bytes, struct arena *a)
{
	struct frame frame;
	struct msg_tokens got;
	struct err err;
	arena_reset(a);
	if (frame_next((const uint8_t *)bytes->data, bytes->len, &frame, &err) <= 0 ||
		msg_decode(&frame, a, &got, &err) < 0)
		abort();
	bench_use(&got);
}

static void bench_tokens(uint32_t items)
{
	struct msg_tokens m;
	struct buf out;
	struct arena a;
	char name[80];
	tokens_message(&m, items);
	buf_init(&out, 1 << 20);
	arena_init(&a, 1 << 20);
	snprintf(name, sizeof name, "TOKENS frame of %u, encode, a token", items);
	BENCH(name, items, {
		out.len = 0;
		if (msg_encode(&out, MSG_TOKENS, &m) < 0)
			abort();
	});
	snprintf(name, sizeof name, "TOKENS frame of %u, decode, a token", items);
	BENCH(name, items, decode(&out, &a));
	arena_done(&a);
	buf_done(&out);
}

int main(void)
{
	printf("wire\n");
	bench_tokens(1);
	bench_tokens(ITEMS);
	return 0;
}
