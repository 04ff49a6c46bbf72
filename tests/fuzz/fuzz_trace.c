/* Traces: any bytes give rows that keep the promises of sim/trace.h, or an error that names the line. The first byte
 * chooses the block size. */
#include "sim/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct trace t;
	struct err err = {0};

	if (len < 1)
		return 0;
	if (trace_parse(&t, "fuzz", (const char *)data + 1, len - 1, 1u << (data[0] % 12), &err) < 0) {
		ASSERT(err.code < 0 && !strncmp(err.msg, "fuzz:", 5));
		return 0;
	}
	ASSERT(t.len);
	for (uint32_t i = 0; i < t.len; i++) {
		const struct trace_row *r = &t.rows[i];
		ASSERT(r->prompt_tokens && r->answer_tokens);
		ASSERT(r->hashes_count == r->prompt_tokens / t.block_size);
		ASSERT((uint64_t)r->hashes + r->hashes_count <= t.hashes_len);
		ASSERT(!i || t.rows[i - 1].at_us <= r->at_us);
	}
	trace_done(&t);
	return 0;
}
