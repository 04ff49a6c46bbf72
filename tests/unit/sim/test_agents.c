/* The made-up load of agents: the same from a seed, and of the shape it says. */
#include "sim/agents.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>
#include <string.h>

static void one_seed_one_load(void **state)
{
	(void)state;
	struct agents_config config;
	struct buf a, b, c;

	agents_config_default(&config, 7);
	config.seconds = 60;
	buf_init(&a, 64 << 20);
	buf_init(&b, 64 << 20);
	buf_init(&c, 64 << 20);
	assert_int_equal(agents_generate(&a, &config, NULL), 0);
	assert_int_equal(agents_generate(&b, &config, NULL), 0);
	config.seed = 8;
	assert_int_equal(agents_generate(&c, &config, NULL), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	assert_true(c.len != a.len || memcmp(a.data, c.data, a.len));
	buf_done(&a);
	buf_done(&b);
	buf_done(&c);
}

static void prompts_are_long_and_shared_answers_short_and_times_in_order(void **state)
{
	(void)state;
	struct agents_config config;
	struct buf out;
	double turns = 0, shared = 0;
	long last = -1;

	agents_config_default(&config, 3);
	buf_init(&out, 64 << 20);
	assert_int_equal(agents_generate(&out, &config, NULL), 0);
	for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n")) {
		long at;
		unsigned prompt, answer;
		unsigned long long id = 0;
		assert_true(
			sscanf(line,
				"{\"timestamp\": %ld, \"input_length\": %u, \"output_length\": %u, \"hash_ids\": [%llu",
				&at, &prompt, &answer, &id) == 4);
		assert_true(at >= last);
		assert_true(prompt > config.kind_tokens_min && answer >= config.answer_tokens_min - 1);
		assert_true(answer <= config.answer_tokens_max);
		unsigned ids = 1;
		for (char *p = line; (p = strchr(p, ',')); p++)
			ids++;
		assert_int_equal(ids - 3, (prompt + 511) / 512); /* three commas stand before the ids */
		last = at;
		turns++;
		shared += id < (1ull << 40);
	}
	assert_true(
		turns > 0.8 * config.seconds * config.turns_mean && turns < 1.25 * config.seconds * config.turns_mean);
	assert_true(shared == turns);
	buf_done(&out);
}

static void a_full_buffer_is_an_error(void **state)
{
	(void)state;
	struct agents_config config;
	struct buf out;
	struct err err;

	agents_config_default(&config, 7);
	buf_init(&out, 1000);
	assert_true(agents_generate(&out, &config, &err) < 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_seed_one_load),
		cmocka_unit_test(prompts_are_long_and_shared_answers_short_and_times_in_order),
		cmocka_unit_test(a_full_buffer_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
