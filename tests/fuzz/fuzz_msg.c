/* One message body; its first byte is the type. Reaches the tables without having to guess a frame's length. */
#include "wire/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct err err;
	union msg m;

	if (size == 0 || size > 1 << 20)
		return 0;
	arena_init(&a, 1 << 24);
	struct frame frame = {.type = data[0] % 16, .body = data + 1, .len = (uint32_t)size - 1};
	int bad = msg_decode(&frame, &a, &m, &err);
	ASSERT(bad == 0 || bad == -EPROTO || bad == -ENOMEM || bad == -ENOTSUP);
	ASSERT(bad == 0 || err.msg[0]);
	arena_done(&a);
	return 0;
}
