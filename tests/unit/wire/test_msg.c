/* Messages: what goes in comes out, whatever comes in is survived, and the bytes do not drift. */
#include "../lib/cmocka_all.h"
#include "../lib/wire_random.h"
#include "base/limits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 300 };

static const enum msg_type types[] = {MSG_HELLO, MSG_CARD, MSG_REQUEST, MSG_CANCEL, MSG_TOKENS, MSG_DONE, MSG_STEP,
	MSG_KV, MSG_RESYNC, MSG_DRAIN, MSG_REFUSE, MSG_PING, MSG_PONG};

struct fixture {
	struct arena in, out;
	struct buf buf;
	struct err err;
};

static void fixture_init(struct fixture *f)
{
	arena_init(&f->in, 1 << 26);
	arena_init(&f->out, 1 << 26);
	buf_init(&f->buf, 1 << 25);
	err_clear(&f->err);
}

static void fixture_done(struct fixture *f)
{
	arena_done(&f->in);
	arena_done(&f->out);
	buf_done(&f->buf);
}

static const uint8_t *bytes(const struct buf *b)
{
	return (const uint8_t *)b->data;
}

static int decode(struct fixture *f, enum msg_type type, const uint8_t *body, size_t len, union msg *ret)
{
	return msg_decode(&(struct frame){type, body, (uint32_t)len}, &f->out, ret, &f->err);
}

static void every_message_comes_out_as_it_went_in(void **state)
{
	(void)state;
	struct rng r;
	rng_init(&r, 11);

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < ARRAY_LEN(types); i++) {
			struct fixture f;
			union msg in, out;
			struct frame frame;
			fixture_init(&f);
			wire_random_msg(&r, types[i], &f.in, &in);
			assert_int_equal(msg_encode(&f.buf, types[i], &in), 0);
			assert_true(frame_next(bytes(&f.buf), f.buf.len, &frame, &f.err) == (int64_t)f.buf.len);
			assert_int_equal(frame.type, types[i]);
			if (msg_decode(&frame, &f.out, &out, &f.err) < 0)
				fail_msg("%s", f.err.msg);
			assert_true(wire_equal(msg_table(types[i]), &in, &out));
			fixture_done(&f);
		}
	}
}

static void a_stream_fed_one_byte_at_a_time_gives_the_same_frames(void **state)
{
	(void)state;
	struct rng r;
	struct fixture f;
	struct buf fed;
	size_t seen = 0;
	rng_init(&r, 12);
	fixture_init(&f);
	buf_init(&fed, 1 << 20);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		union msg in;
		wire_random_msg(&r, types[i], &f.in, &in);
		assert_int_equal(msg_encode(&f.buf, types[i], &in), 0);
	}
	for (size_t i = 0; i < f.buf.len; i++) {
		struct frame frame;
		assert_int_equal(buf_add(&fed, f.buf.data + i, 1), 0);
		int64_t n = frame_next(bytes(&fed), fed.len, &frame, &f.err);
		assert_true(n == 0 || n == (int64_t)fed.len);
		if (n == 0)
			continue;
		union msg out;
		assert_int_equal(frame.type, types[seen++]);
		assert_int_equal(msg_decode(&frame, &f.out, &out, &f.err), 0);
		buf_reset(&fed);
	}
	assert_int_equal(seen, ARRAY_LEN(types));
	buf_done(&fed);
	fixture_done(&f);
}

static void fields_of_a_later_release_are_skipped(void **state)
{
	(void)state;
	/* CANCEL id=5 between fields 9 (varint), 10 (8 bytes), 11 (bytes) and 12 (4 bytes). */
	static const uint8_t body[] = {9 << 3, 0xff, 0x01, 10 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 1 << 3, 5, 11 << 3 | 2,
		2, 0, 0, 0, 'a', 'b', 12 << 3 | 3, 1, 2, 3, 4};
	struct fixture f;
	union msg m;
	fixture_init(&f);
	assert_int_equal(decode(&f, MSG_CANCEL, body, sizeof body, &m), 0);
	assert_int_equal(m.cancel.id, 5);
	fixture_done(&f);
}

static void types_of_a_later_release_are_told_apart(void **state)
{
	(void)state;
	struct fixture f;
	union msg m;
	fixture_init(&f);
	assert_int_equal(decode(&f, (enum msg_type)200, (const uint8_t *)"x", 1, &m), -ENOTSUP);
	assert_int_equal(decode(&f, (enum msg_type)0, (const uint8_t *)"x", 1, &m), -ENOTSUP);
	assert_string_equal(msg_type_name((enum msg_type)200), "UNKNOWN");
	fixture_done(&f);
}

/* A message cut anywhere is refused or is a shorter valid one; no byte behind the cut is read (ASan watches: the copy
 * has exactly the cut size). */
static void a_message_cut_at_any_byte_is_survived(void **state)
{
	(void)state;
	struct rng r;
	uint32_t refused = 0;
	rng_init(&r, 13);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct fixture f;
		union msg in, out;
		fixture_init(&f);
		wire_random_msg(&r, types[i], &f.in, &in);
		assert_int_equal(msg_encode(&f.buf, types[i], &in), 0);
		for (size_t cut = 0; cut + 5 < f.buf.len; cut++) {
			uint8_t *copy = malloc(cut + !cut);
			assert_non_null(copy);
			memcpy(copy, f.buf.data + 5, cut);
			int bad = decode(&f, types[i], copy, cut, &out);
			assert_true(bad == 0 || (bad == -EPROTO && f.err.msg[0]));
			refused += bad < 0;
			free(copy);
		}
		fixture_done(&f);
	}
	assert_true(refused > 100);
}

static void random_bytes_never_crash_the_decoder(void **state)
{
	(void)state;
	struct rng r;
	rng_init(&r, 14);

	for (int round = 0; round < 10000; round++) {
		struct fixture f;
		union msg in, out;
		enum msg_type type = types[rng_below(&r, ARRAY_LEN(types))];
		fixture_init(&f);
		wire_random_msg(&r, type, &f.in, &in);
		assert_int_equal(msg_encode(&f.buf, type, &in), 0);
		/* A valid body with a few bytes changed reaches deeper than noise does. */
		for (uint64_t n = rng_below(&r, 4) + 1; n && f.buf.len > 5; n--)
			f.buf.data[5 + rng_below(&r, f.buf.len - 5)] = (char)rng_u64(&r);
		int bad = decode(&f, type, bytes(&f.buf) + 5, f.buf.len - 5, &out);
		assert_true(bad == 0 || bad == -EPROTO || bad == -ENOMEM);
		if (bad == 0) {
			struct buf again;
			buf_init(&again, 1 << 20);
			assert_int_equal(msg_encode(&again, type, &out), 0);
			msg_print(&again, type, &out);
			buf_done(&again);
		}
		fixture_done(&f);
	}
}

static void expect_refused(enum msg_type type, const void *msg, const char *because)
{
	struct fixture f;
	union msg out;
	fixture_init(&f);
	assert_int_equal(msg_encode(&f.buf, type, msg), 0);
	assert_int_equal(decode(&f, type, bytes(&f.buf) + 5, f.buf.len - 5, &out), -EPROTO);
	if (!strstr(f.err.msg, because))
		fail_msg("\"%s\" does not say \"%s\"", f.err.msg, because);
	fixture_done(&f);
}

static void what_does_not_go_together_is_refused(void **state)
{
	(void)state;
	static const uint32_t u[4] = {1, 2, 3, 4};
	static const float fl[4] = {1, 2, 3, 4};
	struct msg_request req = {.tokens = {u, 4}, .prompt_len = 5};
	expect_refused(MSG_REQUEST, &req, "cannot read a REQUEST message: prompt_len 5 is more than the 4 tokens");
	req = (struct msg_request){.sampling = {.bias_tokens = {u, 4}, .bias_values = {fl, 3}}};
	expect_refused(MSG_REQUEST, &req, "field \"sampling\": 4 bias_tokens do not go with 3 bias_values");
	req = (struct msg_request){.sampling = {.temperature = NAN}};
	expect_refused(MSG_REQUEST, &req, "not a finite number");
	req = (struct msg_request){.logprobs = TOP_LOGPROBS_MAX + 2};
	expect_refused(MSG_REQUEST, &req, "field \"logprobs\": value 22 is more than 21");
	struct msg_done done = {.id = 1};
	expect_refused(MSG_DONE, &done, "reason");
	done.reason = MSG_REASON_DEADLINE + 1;
	expect_refused(MSG_DONE, &done, "field \"reason\": value 7 is more than 6");
	struct msg_kv kv = {.tier = 3};
	expect_refused(MSG_KV, &kv, "tier");
	struct msg_card card = {.reuse = 3};
	expect_refused(MSG_CARD, &card, "reuse");
	struct msg_token_item item = {.tokens = {u, 3}, .logprobs = {fl, 2}};
	expect_refused(MSG_TOKENS, &(struct msg_tokens){&item, 1}, "field \"items\": item 0: 2 logprobs");
	item = (struct msg_token_item){.tokens = {u, 3}, .top_tokens = {u, 4}, .top_logprobs = {fl, 4}};
	expect_refused(MSG_TOKENS, &(struct msg_tokens){&item, 1}, "same number for each");
	item = (struct msg_token_item){.tokens = {u, 2}, .top_tokens = {u, 4}, .top_logprobs = {fl, 3}};
	expect_refused(MSG_TOKENS, &(struct msg_tokens){&item, 1}, "do not go with 3 top_logprobs");
	char nonce[WIRE_NONCE_BYTES + 1] = {0};
	expect_refused(MSG_HELLO, &(struct msg_hello){.nonce = {nonce, sizeof nonce}}, "17 bytes are more than 16");
}

static void expect_body_refused(enum msg_type type, const char *body, size_t len, const char *because)
{
	struct fixture f;
	union msg out;
	fixture_init(&f);
	assert_int_equal(decode(&f, type, (const uint8_t *)body, len, &out), -EPROTO);
	if (!strstr(f.err.msg, because))
		fail_msg("\"%s\" does not say \"%s\"", f.err.msg, because);
	fixture_done(&f);
}

static void malformed_fields_are_refused_with_a_reason(void **state)
{
	(void)state;
#define BODY(text) text, sizeof(text) - 1
	expect_body_refused(MSG_CANCEL, BODY("\x08"), "a number is cut");
	expect_body_refused(MSG_CANCEL, BODY("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), "longer than 64 bits");
	expect_body_refused(MSG_CANCEL, BODY("\x08\x01\x08\x01"), "field \"id\": it is there twice");
	expect_body_refused(MSG_CANCEL, BODY("\x00\x01"), "number 0");
	expect_body_refused(MSG_CANCEL, BODY("\x0c\x01"), "unknown kind 4");
	expect_body_refused(MSG_CANCEL, BODY("\x0b\x01\x02\x03\x04"), "kind 3 came where 0 belongs");
	expect_body_refused(MSG_REQUEST,
		BODY("\x42\x05\x00\x00\x00"
		     "abcde"),
		"not a whole number of 4-byte");
	expect_body_refused(MSG_REQUEST,
		BODY("\x42\xff\xff\xff\xff"
		     "ab"),
		"4294967295 bytes are announced, 2 are there");
	expect_body_refused(MSG_REQUEST, BODY("\x60\x02"), "field \"ignore_eos\": value 2 is more than 1");
	expect_body_refused(MSG_STEP, BODY("\x18\x80\x80\x80\x80\x10"), "more than 4294967295");
#undef BODY
}

static void frames_of_bad_length_break_the_stream_at_once(void **state)
{
	(void)state;
	struct frame frame;
	struct err err;
	assert_int_equal(frame_next((const uint8_t *)"\0\0\0\0", 4, &frame, &err), -EPROTO);
	/* Only the header is there, and it is enough. */
	uint32_t length = FRAME_BYTES_MAX + 1;
	assert_int_equal(frame_next((const uint8_t *)&length, 4, &frame, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "16777217 is more than 16777216"));
	length = FRAME_BYTES_MAX;
	assert_int_equal(frame_next((const uint8_t *)&length, 4, &frame, &err), 0);
	assert_int_equal(frame_next((const uint8_t *)&length, 3, &frame, &err), 0);
}

static void too_large_a_message_leaves_the_buffer_as_it_was(void **state)
{
	(void)state;
	struct fixture f;
	uint64_t *hashes = calloc(FRAME_BYTES_MAX / 8 + 1, 8);
	assert_non_null(hashes);
	fixture_init(&f);
	assert_int_equal(msg_encode(&f.buf, MSG_CANCEL, &(struct msg_cancel){.id = 7}), 0);
	size_t before = f.buf.len;
	struct msg_kv kv = {.stored = {hashes, FRAME_BYTES_MAX / 8 + 1}};
	assert_int_equal(msg_encode(&f.buf, MSG_KV, &kv), -ENOBUFS);
	assert_int_equal(f.buf.len, before);
	f.buf.len_max = before + 3;
	assert_int_equal(msg_encode(&f.buf, MSG_CANCEL, &(struct msg_cancel){.id = 7}), -ENOBUFS);
	assert_int_equal(f.buf.len, before);
	free(hashes);
	fixture_done(&f);
}

static void a_message_larger_than_its_arena_is_refused(void **state)
{
	(void)state;
	struct fixture f;
	uint32_t tokens[1000] = {0};
	union msg out;
	fixture_init(&f);
	assert_int_equal(msg_encode(&f.buf, MSG_REQUEST, &(struct msg_request){.tokens = {tokens, 1000}}), 0);
	f.out.bytes_max = 2000;
	assert_int_equal(decode(&f, MSG_REQUEST, bytes(&f.buf) + 5, f.buf.len - 5, &out), -ENOMEM);
	fixture_done(&f);
}

/* One message of each kind, byte for byte. A release that changes these no longer talks to its neighbours. */
static void expect_bytes(enum msg_type type, const void *msg, const char *hex)
{
	struct fixture f;
	char got[1024] = "";
	fixture_init(&f);
	assert_int_equal(msg_encode(&f.buf, type, msg), 0);
	assert_true(f.buf.len * 2 < sizeof got);
	for (size_t i = 0; i < f.buf.len; i++)
		snprintf(got + 2 * i, 3, "%02x", bytes(&f.buf)[i]);
	assert_string_equal(got, hex);
	fixture_done(&f);
}

static const uint32_t gold_u32[3] = {1, 258, 0x01020304};
static const float gold_f32[3] = {-0.5f, 1, 2};
static const uint64_t gold_u64[2] = {0x1122334455667788, 3};

static void the_bytes_of_set_up_messages_do_not_drift(void **state)
{
	(void)state;
	struct msg_hello hello = {1, 300, msg_str("s"), msg_str("worker"), {"nn", 2}, {"pp", 2}};
	expect_bytes(MSG_HELLO, &hello,
		"25000000"
		"01"
		"0801"
		"10ac02"
		"1a0100000073"
		"2206000000776f726b6572"
		"2a020000006e6e"
		"32020000007070");
	struct msg_card card = {msg_str("w"), 0x0807060504030201, msg_str("e"), msg_str("r"), msg_str("m"),
		msg_str("t"), 2, 3, 4, 5, 6, 7, 8, 9, MSG_REUSE_CHECKPOINT, true, true, 10, true};
	expect_bytes(MSG_CARD, &card,
		"57000000"
		"02"
		"0a0100000077"
		"110102030405060708"
		"1a0100000065"
		"220100000072"
		"2a010000006d"
		"320100000074"
		"390200000000000000"
		"410300000000000000"
		"490400000000000000"
		"5005"
		"5806"
		"6007"
		"6808"
		"7009"
		"7802"
		"8001"
		"8801"
		"900a"
		"9801");
	expect_bytes(MSG_REFUSE, &(struct msg_refuse){-71, msg_str("no")},
		"0b000000"
		"0b"
		"088d01"
		"12020000006e6f");
}

static void the_bytes_of_request_messages_do_not_drift(void **state)
{
	(void)state;
	struct msg_request req = {1, msg_str("i"), msg_str("t"), msg_str("m"), msg_str("a"), msg_str("s"), msg_str("g"),
		{gold_u32, 3}, 2, 100, 4, true, 5, 6, -1,
		{0.5f, 1, 2, 3, 40, 1, 2, 3, 64, 7, {gold_u32, 1}, {gold_f32, 1}}, {"\1\2", 2}, true, true};
	expect_bytes(MSG_REQUEST, &req,
		"98000000"
		"03"
		"0801"
		"120100000069"
		"1a0100000074"
		"22010000006d"
		"2a0100000061"
		"320100000073"
		"3a0100000067"
		"420c000000010000000201000004030201"
		"4802"
		"5064"
		"5804"
		"6001"
		"6805"
		"7006"
		"7801"
		"8242000000"
		"0b0000003f"
		"130000803f"
		"1b00000040"
		"2300004040"
		"2828"
		"330000803f"
		"3b00000040"
		"4300004040"
		"4840"
		"510700000000000000"
		"5a0400000001000000"
		"6204000000000000bf"
		"8a020000000102"
		"9001"
		"9801");
	expect_bytes(MSG_CANCEL, &(struct msg_cancel){300},
		"04000000"
		"04"
		"08ac02");
	struct msg_token_item items[2] = {{1, {gold_u32, 1}, {gold_f32, 1}, {gold_u32, 2}, {gold_f32, 2}}, {.id = 2}};
	expect_bytes(MSG_TOKENS, &(struct msg_tokens){items, 2},
		"3b000000"
		"05"
		"0a2e000000"
		"0801"
		"120400000001000000"
		"1a04000000000000bf"
		"22080000000100000002010000"
		"2a08000000000000bf0000803f"
		"0a020000000802");
	struct msg_done done = {1, MSG_REASON_FAILED, -5, msg_str("e"), 2, 3, 4, 5, 6, 7};
	expect_bytes(MSG_DONE, &done,
		"19000000"
		"06"
		"0801"
		"1005"
		"1809"
		"220100000065"
		"2802"
		"3003"
		"3804"
		"4005"
		"4806"
		"5007");
}

static void the_bytes_of_report_messages_do_not_drift(void **state)
{
	(void)state;
	struct msg_step step = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
	expect_bytes(MSG_STEP, &step,
		"2a000000"
		"07"
		"08011002180320042805300638074008480950"
		"0a590b00000000000000600c680d"
		"700e780f80108811");
	struct msg_kv kv = {{gold_u64, 1}, {gold_u64, 2}, MSG_TIER_HOST, true, true, true, 5, 6};
	expect_bytes(MSG_KV, &kv,
		"36000000"
		"08"
		"0a080000008877665544332211"
		"121000000088776655443322110300000000000000"
		"1801"
		"2001"
		"2801"
		"3001"
		"390500000000000000"
		"4006");
	expect_bytes(MSG_RESYNC, &(struct msg_resync){0}, "0100000009");
	expect_bytes(MSG_DRAIN, &(struct msg_drain){1000},
		"04000000"
		"0a"
		"08e807");
	expect_bytes(MSG_PING, &(struct msg_ping){1000},
		"04000000"
		"0c"
		"08e807");
	expect_bytes(MSG_PONG, &(struct msg_pong){1000},
		"04000000"
		"0d"
		"08e807");
}

static void printed_messages_are_short_and_keep_secrets(void **state)
{
	(void)state;
	struct buf b;
	uint32_t tokens[100] = {5, 6};
	struct msg_request req = {.id = 9,
		.model = msg_str("m\n"),
		.salt = msg_str("hush"),
		.tokens = {tokens, 100},
		.priority = -2,
		.sampling = {.temperature = 0.5f}};
	buf_init(&b, 4096);
	msg_print(&b, MSG_REQUEST, &req);
	assert_string_equal(buf_str(&b), "REQUEST id=9 model=\"m\\n\" salt=<4 bytes> tokens[100]=5,6,0,0,0,0,0,0,... "
					 "priority=-2 sampling={ temperature=0.5 }");
	buf_reset(&b);
	struct msg_token_item items[6] = {{.id = 1, .tokens = {tokens, 1}}, {.id = 2}};
	msg_print(&b, MSG_TOKENS, &(struct msg_tokens){items, 6});
	assert_string_equal(buf_str(&b), "TOKENS items=6 { id=1 tokens[1]=5 } { id=2 } { } { } ...");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_comes_out_as_it_went_in),
		cmocka_unit_test(a_stream_fed_one_byte_at_a_time_gives_the_same_frames),
		cmocka_unit_test(fields_of_a_later_release_are_skipped),
		cmocka_unit_test(types_of_a_later_release_are_told_apart),
		cmocka_unit_test(a_message_cut_at_any_byte_is_survived),
		cmocka_unit_test(random_bytes_never_crash_the_decoder),
		cmocka_unit_test(what_does_not_go_together_is_refused),
		cmocka_unit_test(malformed_fields_are_refused_with_a_reason),
		cmocka_unit_test(frames_of_bad_length_break_the_stream_at_once),
		cmocka_unit_test(too_large_a_message_leaves_the_buffer_as_it_was),
		cmocka_unit_test(a_message_larger_than_its_arena_is_refused),
		cmocka_unit_test(the_bytes_of_set_up_messages_do_not_drift),
		cmocka_unit_test(the_bytes_of_request_messages_do_not_drift),
		cmocka_unit_test(the_bytes_of_report_messages_do_not_drift),
		cmocka_unit_test(printed_messages_are_short_and_keep_secrets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
