/* Streams event by event: how they end, and what each says of its usage. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/world.h"

static struct world_config config;
static struct world w;
static struct world_client c;

static void start(uint32_t socket_bytes)
{
	world_config_default(&config, 21);
	config.workers = 1;
	if (socket_bytes)
		config.sim.socket_bytes = socket_bytes;
	world_init(&w, &config);
	world_wait_workers(&w, 1);
}

static int setup(void **state)
{
	(void)state;
	start(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_wait_idle(&w);
	world_client_done(&c);
	world_done(&w);
	return 0;
}

/* The events of a stream as JSON; the caller drops them. */
static json_t *events_of(const char *path, const char *body)
{
	json_t *events = json_array();

	world_client_done(&c);
	world_post(&w, &c, path, body);
	world_finish(&c);
	assert_int_equal(c.status, 200);
	const char *at = buf_str(&c.body);
	for (const char *end; (end = strstr(at, "\n\n")); at = end + 2) {
		assert_memory_equal(at, "data: ", 6);
		if (memcmp(at + 6, "[DONE]", 6))
			assert_int_equal(
				json_array_append_new(events, json_loadb(at + 6, (size_t)(end - at - 6), 0, NULL)), 0);
	}
	return events;
}

/* Of an event's choice; NULL: it has none. */
static const char *finish_of(const json_t *event)
{
	const json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
	return json_string_value(json_object_get(choice, "finish_reason"));
}

static const char *text_of(const json_t *event)
{
	const json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
	const json_t *delta = json_object_get(choice, "delta");
	return json_string_value(delta ? json_object_get(delta, "content") : json_object_get(choice, "text"));
}

#define CHAT "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true,\"ignore_eos\":true,"
#define PROMPT "{\"prompt\":\"Hi\",\"stream\":true,\"ignore_eos\":true,"

static void the_last_text_of_a_length_brings_the_reason(void **state)
{
	(void)state;
	static const struct {
		const char *path, *body;
		size_t events;
	} tries[] = {
		{"/v1/completions", PROMPT "\"max_tokens\":7}", 7},
		{"/v1/completions", PROMPT "\"max_tokens\":1}", 1},
		{"/v1/completions", PROMPT "\"max_tokens\":7,\"logprobs\":1}", 7},
		{"/v1/completions", PROMPT "\"max_tokens\":7,\"echo\":true}", 8},
		{"/v1/completions", PROMPT "\"max_tokens\":7,\"stop\":\"\\u0001\"}", 7},
		{"/v1/chat/completions", CHAT "\"max_tokens\":7}", 8},
		{"/v1/chat/completions", CHAT "\"max_tokens\":7,\"logprobs\":true}", 8},
	};

	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++) {
		json_t *events = events_of(tries[i].path, tries[i].body);
		assert_int_equal(json_array_size(events), tries[i].events);
		for (size_t k = 0; k < tries[i].events; k++) {
			const json_t *event = json_array_get(events, k);
			bool last = k + 1 == tries[i].events;
			assert_true(last ? strlen(text_of(event)) == 1 : finish_of(event) == NULL);
			if (last)
				assert_string_equal(finish_of(event), "length");
		}
		json_decref(events);
	}
}

static void it_does_so_for_every_choice_however_the_bytes_come(void **state)
{
	(void)state;
	for (uint32_t bytes = 64; bytes < 400; bytes += 37) {
		start(bytes);
		json_t *events =
			events_of("/v1/completions", PROMPT "\"max_tokens\":9,\"n\":3,\"stream_options\":{\"include_"
							    "usage\":true}}");
		uint32_t finishes = 0;
		assert_int_equal(json_array_size(events), 3 * 9 + 1);
		for (size_t i = 0; i < 3 * 9; i++) {
			assert_int_equal(strlen(text_of(json_array_get(events, i))), 1);
			finishes += finish_of(json_array_get(events, i)) != NULL;
		}
		assert_int_equal(finishes, 3);
		json_decref(events);
		teardown(NULL);
	}
	start(0);
}

static void an_end_without_text_is_an_event_of_its_own(void **state)
{
	(void)state;
	/* The end token comes a step after the last text. */
	json_t *events = events_of("/v1/completions", "{\"prompt\":\"Hi\",\"stream\":true,\"max_tokens\":100}");
	size_t n = json_array_size(events);
	assert_string_equal(finish_of(json_array_get(events, n - 1)), "stop");
	assert_string_equal(text_of(json_array_get(events, n - 1)), "");
	for (size_t i = 0; i + 1 < n; i++)
		assert_int_equal(strlen(text_of(json_array_get(events, i))), 1);
	json_decref(events);
}

static json_int_t usage_of(const json_t *event, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(event, "usage"), name));
}

static void usage_is_told_in_every_event_when_that_is_asked_for(void **state)
{
	(void)state;
	static const char *const options[] = {
		"{\"include_usage\":true,\"continuous_usage_stats\":true}", "{\"continuous_usage_stats\":true}"};
	char body[256];

	for (uint32_t i = 0; i < 2; i++) {
		snprintf(body, sizeof body, PROMPT "\"max_tokens\":5,\"n\":2,\"stream_options\":%s}", options[i]);
		json_t *events = events_of("/v1/completions", body);
		json_int_t told[2] = {0, 0};
		assert_int_equal(json_array_size(events), 10 + (i == 0));
		for (size_t k = 0; k < 10; k++) {
			const json_t *event = json_array_get(events, k);
			json_int_t index = json_integer_value(
				json_object_get(json_array_get(json_object_get(event, "choices"), 0), "index"));
			assert_int_equal(usage_of(event, "completion_tokens"), ++told[index]);
			assert_int_equal(usage_of(event, "prompt_tokens"), 2);
			assert_int_equal(usage_of(event, "total_tokens"), 2 + told[index]);
		}
		if (i == 0)
			assert_int_equal(usage_of(json_array_get(events, 10), "completion_tokens"), 10);
		json_decref(events);
	}
	json_t *events = events_of(
		"/v1/completions", PROMPT "\"max_tokens\":2,\"stream_options\":{\"continuous_usage_stats\":false}}");
	assert_null(json_object_get(json_array_get(events, 0), "usage"));
	json_decref(events);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_last_text_of_a_length_brings_the_reason),
		cmocka_unit_test_teardown(it_does_so_for_every_choice_however_the_bytes_come, teardown),
		TEST(an_end_without_text_is_an_event_of_its_own),
		TEST(usage_is_told_in_every_event_when_that_is_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
