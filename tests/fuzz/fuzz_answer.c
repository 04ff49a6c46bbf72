/* A streamed answer of any bytes, cut at any place: never a crash, and what was counted does not depend on the cut. */
#include "load/answer.h"

static int read_answer(struct answer *a, const char *text, size_t len, size_t cut, int status)
{
	answer_begin(a, true, NULL);
	answer_head(a, status, "text/event-stream");
	answer_body(a, 1, text, cut);
	answer_body(a, 2, text + cut, len - cut);
	return answer_judge(a, 0, "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct answer whole, cut;

	if (len < 2)
		return 0;
	const char *text = (const char *)data + 2;
	int status = data[0] & 1 ? 200 : 500;
	size_t at = len > 2 ? data[1] % (len - 2) : 0;
	answer_init(&whole);
	answer_init(&cut);
	int r = read_answer(&whole, text, len - 2, 0, status), s = read_answer(&cut, text, len - 2, at, status);
	ASSERT((r < 0) == (s < 0));
	ASSERT(whole.pieces == cut.pieces && answer_tokens(&whole) == answer_tokens(&cut));
	ASSERT(whole.text.len == cut.text.len);
	answer_done(&whole);
	answer_done(&cut);
	return 0;
}
