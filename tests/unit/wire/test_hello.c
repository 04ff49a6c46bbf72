/* The hand-shake of two sides that never meet a socket. */
#include "wire/hello.h"

#include "../lib/cmocka_all.h"

#include <string.h>

struct side {
	struct hello h;
	struct buf out;
	struct err err;
	int r; /* of its last step */
};

static void side_begin(struct side *s, const char *role, const char *secret)
{
	struct hello_config config = {
		.role = role,
		.peer_role = strcmp(role, "worker") ? "worker" : "frontend",
		.software = "stator test",
		.secret = secret,
		.secret_len = secret ? strlen(secret) : 0,
	};
	memset(s, 0, sizeof *s);
	buf_init(&s->out, 1 << 16);
	assert_int_equal(hello_begin(&s->h, &config, &s->out, &s->err), 0);
}

/* Hand the next frame that from wrote to to. False: none is there, or to is finished. */
static bool pass_one(struct side *from, struct side *to)
{
	struct frame frame;
	int64_t n = frame_next((const uint8_t *)from->out.data, from->out.len, &frame, NULL);

	if (n <= 0 || to->h.state == HELLO_DONE || to->h.state == HELLO_REFUSED)
		return false;
	to->r = hello_frame(&to->h, &frame, &to->out, &to->err);
	buf_consume(&from->out, (size_t)n);
	return true;
}

static void shake(struct side *a, struct side *b)
{
	for (bool more = true; more;) {
		more = pass_one(a, b);
		more = pass_one(b, a) || more;
	}
}

static void sides_done(struct side *a, struct side *b)
{
	buf_done(&a->out);
	buf_done(&b->out);
}

static void both_sides_agree_without_a_secret(void **state)
{
	(void)state;
	struct side f, w;
	side_begin(&f, "frontend", NULL);
	side_begin(&w, "worker", NULL);
	shake(&f, &w);
	assert_int_equal(f.r, 1);
	assert_int_equal(w.r, 1);
	assert_string_equal(w.h.peer_software, "stator test");
	assert_int_equal(w.h.minor, WIRE_MINOR);
	sides_done(&f, &w);
}

static void both_sides_prove_the_same_secret(void **state)
{
	(void)state;
	struct side f, w;
	side_begin(&f, "frontend", "sesame");
	side_begin(&w, "worker", "sesame");
	shake(&f, &w);
	assert_int_equal(f.r, 1);
	assert_int_equal(w.r, 1);
	assert_null(f.h.config.secret);
	sides_done(&f, &w);
}

static void another_secret_is_refused_with_a_sentence(void **state)
{
	(void)state;
	struct side f, w;
	side_begin(&f, "frontend", "sesame");
	side_begin(&w, "worker", "sesam");
	shake(&f, &w);
	assert_int_equal(f.h.state, HELLO_REFUSED);
	assert_int_equal(w.h.state, HELLO_REFUSED);
	assert_int_equal(w.r, -EACCES);
	assert_string_equal(w.err.msg, "the frontend's shared secret is not the one this worker has");
	sides_done(&f, &w);
}

static void a_secret_on_one_side_only_is_refused(void **state)
{
	(void)state;
	struct side f, w;
	side_begin(&f, "frontend", "sesame");
	side_begin(&w, "worker", NULL);
	assert_true(pass_one(&f, &w));
	assert_int_equal(w.r, -EACCES);
	assert_string_equal(w.err.msg, "the frontend asks for the shared secret, this worker has none");
	assert_true(pass_one(&w, &f));
	assert_string_equal(f.err.msg, "this frontend asks for the shared secret, the worker has none");
	sides_done(&f, &w);
}

static void a_refusal_carries_the_peers_words(void **state)
{
	(void)state;
	struct side f, w;
	side_begin(&f, "frontend", NULL);
	side_begin(&w, "worker", NULL);
	buf_reset(&w.out);
	assert_int_equal(msg_encode(&w.out, MSG_REFUSE, &(struct msg_refuse){-1, msg_str("too many\nfrontends")}), 0);
	assert_true(pass_one(&w, &f));
	assert_int_equal(f.r, -ECONNREFUSED);
	assert_string_equal(f.err.msg, "the worker refused: too many?frontends");
	sides_done(&f, &w);
}

static int first_answer(const struct msg_hello *hello, struct side *w)
{
	struct side f;
	side_begin(&f, "frontend", NULL);
	side_begin(w, "worker", NULL);
	buf_reset(&f.out);
	buf_reset(&w->out);
	assert_int_equal(msg_encode(&f.out, MSG_HELLO, hello), 0);
	assert_true(pass_one(&f, w));
	buf_done(&f.out);
	return w->r;
}

static void another_major_version_is_refused_naming_both(void **state)
{
	(void)state;
	struct side w;
	struct msg_hello m = {
		.major = 2, .minor = 5, .software = msg_str("stator 9\x1b[1m"), .role = msg_str("frontend")};
	assert_int_equal(first_answer(&m, &w), -EPROTONOSUPPORT);
	assert_string_equal(w.err.msg,
		"this worker (stator test) speaks wire version 1.0, its peer (stator 9?[1m) speaks "
		"2.5: run releases with the same major version");
	struct frame frame;
	union msg refusal;
	struct arena a;
	arena_init(&a, 4096);
	assert_true(frame_next((const uint8_t *)w.out.data, w.out.len, &frame, NULL) > 0);
	assert_int_equal(frame.type, MSG_REFUSE);
	assert_int_equal(msg_decode(&frame, &a, &refusal, NULL), 0);
	assert_string_equal(refusal.refuse.why.data, w.err.msg);
	arena_done(&a);
	buf_done(&w.out);
}

static void a_later_minor_version_falls_back_to_ours(void **state)
{
	(void)state;
	struct side w;
	struct msg_hello m = {.major = WIRE_MAJOR, .minor = WIRE_MINOR + 7, .role = msg_str("frontend")};
	assert_int_equal(first_answer(&m, &w), 1);
	assert_int_equal(w.h.minor, WIRE_MINOR);
	buf_done(&w.out);
}

static void the_wrong_role_is_refused(void **state)
{
	(void)state;
	struct side w;
	struct msg_hello m = {.major = WIRE_MAJOR, .role = msg_str("worker")};
	assert_int_equal(first_answer(&m, &w), -EPROTO);
	assert_string_equal(w.err.msg, "a worker expects a frontend here, the peer is not one");
	buf_done(&w.out);
}

static void a_proof_cannot_be_reflected(void **state)
{
	(void)state;
	/* The peer sends our own bytes back, role changed: first the same nonce, then a nonce of its own and our proof. */
	struct side f;
	struct buf in;
	side_begin(&f, "frontend", "sesame");
	buf_init(&in, 4096);
	uint8_t nonce[WIRE_NONCE_BYTES] = {1};
	struct msg_hello m = {.major = WIRE_MAJOR, .role = msg_str("worker"), .nonce = {(char *)nonce, sizeof nonce}};
	struct frame frame;
	assert_int_equal(msg_encode(&in, MSG_HELLO, &m), 0);
	assert_true(frame_next((const uint8_t *)in.data, in.len, &frame, NULL) > 0);
	buf_reset(&f.out);
	assert_int_equal(hello_frame(&f.h, &frame, &f.out, &f.err), 0);
	assert_true(frame_next((const uint8_t *)f.out.data, f.out.len, &frame, NULL) > 0);
	struct buf sink;
	buf_init(&sink, 4096);
	assert_int_equal(hello_frame(&f.h, &frame, &sink, &f.err), -EACCES);
	buf_done(&sink);
	buf_done(&in);
	buf_done(&f.out);

	side_begin(&f, "frontend", "sesame");
	m.nonce.data = (const char *)f.h.nonce;
	buf_reset(&in);
	assert_int_equal(msg_encode(&in, MSG_HELLO, &m), 0);
	assert_true(frame_next((const uint8_t *)in.data, in.len, &frame, NULL) > 0);
	assert_int_equal(hello_frame(&f.h, &frame, &f.out, &f.err), -EACCES);
	assert_string_equal(f.err.msg, "the worker repeats our own greeting");
	buf_done(&in);
	buf_done(&f.out);
}

static void other_messages_before_the_greeting_are_refused(void **state)
{
	(void)state;
	struct side f, w;
	side_begin(&f, "frontend", NULL);
	side_begin(&w, "worker", NULL);
	buf_reset(&w.out);
	assert_int_equal(msg_encode(&w.out, MSG_CARD, &(struct msg_card){0}), 0);
	assert_true(pass_one(&w, &f));
	assert_int_equal(f.r, -EPROTO);
	assert_string_equal(f.err.msg, "the worker must greet first, it sent a CARD message");
	sides_done(&f, &w);
}

static void an_empty_secret_is_an_error_at_the_start(void **state)
{
	(void)state;
	struct hello h;
	struct buf out;
	buf_init(&out, 4096);
	struct hello_config c = {.role = "worker", .peer_role = "frontend", .software = "s", .secret = ""};
	assert_int_equal(hello_begin(&h, &c, &out, NULL), -EINVAL);
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_agree_without_a_secret),
		cmocka_unit_test(both_sides_prove_the_same_secret),
		cmocka_unit_test(another_secret_is_refused_with_a_sentence),
		cmocka_unit_test(a_secret_on_one_side_only_is_refused),
		cmocka_unit_test(a_refusal_carries_the_peers_words),
		cmocka_unit_test(another_major_version_is_refused_naming_both),
		cmocka_unit_test(a_later_minor_version_falls_back_to_ours),
		cmocka_unit_test(the_wrong_role_is_refused),
		cmocka_unit_test(a_proof_cannot_be_reflected),
		cmocka_unit_test(other_messages_before_the_greeting_are_refused),
		cmocka_unit_test(an_empty_secret_is_an_error_at_the_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
