/* Server-sent events read the same however the stream is cut, and what we write reads back. */
#include "base/rng.h"
#include "wire/sse.h"

#include <errno.h>

#include "../lib/cmocka_all.h"

static void note(void *ctx, const char *event, const char *data, size_t len)
{
	struct buf *b = ctx;
	buf_printf(b, "[%s|%.*s]", event, (int)len, data);
}

static const struct {
	const char *stream, *events;
} cases[] = {
	{"data: a\n\n", "[|a]"},
	{"data:a\r\n\r\ndata: b\r\rdata: c\n\n", "[|a][|b][|c]"},
	{"data: two\ndata: lines\n\n", "[|two\nlines]"},
	{": comment\n\nevent: error\ndata: x\n\n", "[error|x]"},
	{"event: nothing\n\ndata: y\n\n", "[|y]"},
	{"data\n\n", "[|]"},
	{"data:  two spaces\n\n", "[| two spaces]"},
	{"id: 1\nretry: 3\nfoo: bar\ndata: z\n\n", "[|z]"},
	{"\xef\xbb\xbf"
	 "data: bom\n\n",
		"[|bom]"},
	{"data: not ended\n", ""},
	{"data: [DONE]\n\n", "[|[DONE]]"},
};

static void a_stream_reads_the_same_however_it_is_cut(void **state)
{
	(void)state;
	struct rng r;

	rng_init(&r, 1);
	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		size_t len = strlen(cases[c].stream);
		for (int round = 0; round < 50; round++) {
			struct sse_parser p;
			struct buf got;
			sse_parser_init(&p, 1000);
			buf_init(&got, 1000);
			for (size_t at = 0, n; at < len; at += n) {
				n = round == 0 ? 1 : 1 + rng_below(&r, len - at);
				assert_int_equal(sse_parser_push(&p, cases[c].stream + at, n, note, &got, NULL), 0);
			}
			assert_string_equal(buf_str(&got), cases[c].events);
			sse_parser_done(&p);
			buf_done(&got);
		}
	}
}

static void an_event_past_the_maximum_is_refused(void **state)
{
	(void)state;
	struct sse_parser p;
	struct err err;
	struct buf got;

	sse_parser_init(&p, 20);
	buf_init(&got, 1000);
	const char *stream = "data: 0123456789\ndata: 0123456789\n\n";
	assert_int_equal(sse_parser_push(&p, stream, strlen(stream), note, &got, &err), -ENOBUFS);
	assert_string_equal(err.msg, "an event of the stream is larger than 20 bytes");
	sse_parser_done(&p);
	buf_done(&got);
}

static void what_is_written_reads_back(void **state)
{
	(void)state;
	struct sse_parser p;
	struct buf stream, got;

	buf_init(&stream, 1000);
	buf_init(&got, 1000);
	sse_data(&stream, "{\"a\":1}", 7);
	sse_done(&stream);
	assert_string_equal(buf_str(&stream), "data: {\"a\":1}\n\ndata: [DONE]\n\n");
	sse_parser_init(&p, 100);
	assert_int_equal(sse_parser_push(&p, stream.data, stream.len, note, &got, NULL), 0);
	assert_string_equal(buf_str(&got), "[|{\"a\":1}][|[DONE]]");
	assert_true(sse_is_done("[DONE]", 6));
	sse_parser_done(&p);
	buf_done(&stream);
	buf_done(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_reads_the_same_however_it_is_cut),
		cmocka_unit_test(an_event_past_the_maximum_is_refused),
		cmocka_unit_test(what_is_written_reads_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
