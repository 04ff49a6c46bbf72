/* frontend/explain.h: the ring of decisions. */
#include "frontend/explain.h"

#include "../lib/cmocka_all.h"
#include <jansson.h>
#include <stdio.h>

static const struct pool_ticket ticket = {
	.submitted_us = 1000,
	.ready_us = 3500,
	.request = {.prompt_tokens = 100},
	.choice = {.policy = "finish-time",
		.reason = "least \"cost\"",
		.candidates = 2,
		.overlap_blocks = 3,
		.predicted_us = 12345},
};

static uint64_t note(struct explain *e, const char *id, uint32_t prompt)
{
	const struct explain_decision d = {.request_id = id,
		.model = "m",
		.endpoint = "chat",
		.worker = "w-0",
		.prompt = prompt,
		.block_size = 16,
		.blocks = 6,
		.now_us = 5000,
		.ticket = &ticket};
	return explain_note(e, &d);
}

static json_t *read_one(const struct explain *e, const char *id)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	json_t *root = explain_print(e, EXPLAIN_ALL, id, 1005000, &b) ? json_loads(buf_str(&b), 0, NULL) : NULL;
	assert_true(root || !b.len);
	buf_done(&b);
	return root;
}

static void a_decision_is_told_and_later_what_came_of_it(void **state)
{
	(void)state;
	struct explain *e;

	assert_int_equal(explain_create(&e), 0);
	uint64_t first = note(e, "a", 0), second = note(e, "a", 1);
	assert_true(first && second > first);
	explain_first_token(e, first, 9000);
	explain_first_token(e, first, 1); /* the first counts */
	explain_done(e, first, 48, 7);
	json_t *r = read_one(e, "a");
	assert_non_null(r);
	assert_int_equal(json_integer_value(json_object_get(r, "prompt")), 0);
	assert_string_equal(json_string_value(json_object_get(r, "state")), "done");
	assert_string_equal(json_string_value(json_object_get(r, "reason")), "least \"cost\"");
	assert_true(json_number_value(json_object_get(r, "queued_ms")) == 2.5);
	assert_true(json_number_value(json_object_get(r, "age_s")) == 1);
	const json_t *predicted = json_object_get(r, "predicted"), *actual = json_object_get(r, "actual");
	assert_true(json_number_value(json_object_get(predicted, "ttft_ms")) == 12.345);
	assert_int_equal(json_integer_value(json_object_get(predicted, "cached_tokens")), 48);
	assert_true(json_number_value(json_object_get(actual, "ttft_ms")) == 9);
	assert_int_equal(json_integer_value(json_object_get(actual, "generated_tokens")), 7);
	json_decref(r);
	assert_null(read_one(e, "b"));
	explain_destroy(e);
}

static void the_oldest_go_and_their_ends_change_nobody_else(void **state)
{
	(void)state;
	struct explain *e;
	struct buf b;
	char id[16];

	assert_int_equal(explain_create(&e), 0);
	uint64_t old = note(e, "old", 0);
	for (int i = 0; i < EXPLAIN_RECORDS; i++) {
		snprintf(id, sizeof id, "r%d", i);
		note(e, id, 0);
	}
	assert_null(read_one(e, "old"));
	explain_done(e, old, 1, 1); /* its place is another's now */
	buf_init(&b, 16 << 20);
	explain_print_all(e, EXPLAIN_ALL, 1005000, &b);
	json_t *all = json_loads(buf_str(&b), 0, NULL);
	assert_int_equal(json_array_size(all), EXPLAIN_RECORDS);
	assert_string_equal(json_string_value(json_object_get(json_array_get(all, 0), "id")), id);
	for (size_t i = 0; i < EXPLAIN_RECORDS; i++)
		assert_string_equal(json_string_value(json_object_get(json_array_get(all, i), "state")), "running");
	json_decref(all);
	buf_done(&b);
	explain_destroy(e);
}

static void a_caller_sees_its_own_decisions_only(void **state)
{
	(void)state;
	struct explain *e;
	struct buf b;
	const uint64_t owners[] = {7, 8, 7};
	const uint64_t viewers[] = {7, 8, 9, EXPLAIN_ALL};
	const size_t counts[] = {2, 1, 0, 3};

	assert_int_equal(explain_create(&e), 0);
	for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
		const struct explain_decision d = {
			.request_id = "same", .model = "m", .endpoint = "chat", .owner = owners[i], .ticket = &ticket};
		explain_note(e, &d);
	}
	for (size_t i = 0; i < ARRAY_LEN(viewers); i++) {
		buf_init(&b, 1 << 20);
		assert_int_equal(explain_print(e, viewers[i], "same", 1005000, &b), counts[i] > 0);
		buf_reset(&b);
		explain_print_all(e, viewers[i], 1005000, &b);
		json_t *all = json_loads(buf_str(&b), 0, NULL);
		assert_int_equal(json_array_size(all), counts[i]);
		json_decref(all);
		buf_done(&b);
	}
	explain_destroy(e);
}

static void the_header_is_one_short_line(void **state)
{
	(void)state;
	char header[256];
	const struct explain_decision d = {.worker = "w-0", .blocks = 6, .ticket = &ticket};

	explain_header(header, sizeof header, &d);
	assert_string_equal(header, "finish-time; worker=w-0; overlap=3/6; of=2; predicted_ms=12.3");
	explain_header(header, 20, &d);
	assert_int_equal(strlen(header), 19);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_decision_is_told_and_later_what_came_of_it),
		cmocka_unit_test(the_oldest_go_and_their_ends_change_nobody_else),
		cmocka_unit_test(a_caller_sees_its_own_decisions_only),
		cmocka_unit_test(the_header_is_one_short_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
