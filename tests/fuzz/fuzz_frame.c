/* Any bytes as a stream of frames: split, decode, and what was decoded must encode again. */
#include "base/limits.h"
#include "wire/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void message_try(const struct frame *frame)
{
	struct arena a;
	struct buf again;
	union msg m;

	arena_init(&a, 1 << 24);
	buf_init(&again, FRAME_BYTES_MAX + 8);
	if (msg_decode(frame, &a, &m, NULL) == 0) {
		ASSERT(msg_encode(&again, frame->type, &m) == 0);
		struct frame second;
		union msg m2;
		ASSERT(frame_next((const uint8_t *)again.data, again.len, &second, NULL) == (int64_t)again.len);
		ASSERT(msg_decode(&second, &a, &m2, NULL) != -EPROTO);
		buf_reset(&again);
		msg_print(&again, frame->type, &m);
	}
	buf_done(&again);
	arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame frame;
	int64_t n;

	while ((n = frame_next(data, size, &frame, NULL)) > 0) {
		message_try(&frame);
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
