#include "base/limits.h"
#include "wire/msg.h"

enum { LENGTH_BYTES = 4 };

int64_t frame_next_within(const uint8_t *data, size_t len, uint32_t bytes_max, struct frame *ret, struct err *err)
{
	uint32_t length;

	if (len < LENGTH_BYTES)
		return 0;
	memcpy(&length, data, LENGTH_BYTES);
	/* Looked at before the body is there: nobody makes us collect what we will refuse. */
	if (length == 0)
		return err_set(err, -EPROTO, "cannot read a frame: its length is 0");
	if (length > bytes_max)
		return err_set(
			err, -EPROTO, "cannot read a frame: its length %u is more than %u bytes", length, bytes_max);
	if (len - LENGTH_BYTES < length)
		return 0;
	*ret = (struct frame){.type = data[4], .body = data + 5, .len = length - 1};
	return LENGTH_BYTES + (int64_t)length;
}

int64_t frame_next(const uint8_t *data, size_t len, struct frame *ret, struct err *err)
{
	return frame_next_within(data, len, FRAME_BYTES_MAX, ret, err);
}
