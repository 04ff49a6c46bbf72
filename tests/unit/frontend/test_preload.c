/* Vocabularies that are read before a worker names them, on a fake clock. */
#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "../lib/world.h"
#include "llama/model.h"

#include <stdio.h>
#include <string.h>

enum { SEEDS = 20 };

/* A deployment whose frontend reads these early answers, and nothing stays behind. */
static void serves(const struct world_config *config)
{
	struct world w;
	struct world_client c = {0};
	struct frontend_counts counts;

	world_init(&w, config);
	world_wait_workers(&w, config->workers);
	frontend_counts(w.fe, &counts);
	assert_int_equal(counts.models, 1);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"hello\",\"max_tokens\":4}");
	world_finish(&c);
	assert_int_equal(c.status, 200);
	world_client_done(&c);
	world_wait_idle(&w);
	world_done(&w);
}

static void what_a_card_names_is_taken_whenever_it_is_done(void **state)
{
	struct world_config config;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		world_config_default(&config, seed);
		config.frontend.preload = "byte";
		serves(&config);
	}
}

static void a_wrong_guess_does_no_harm(void **state)
{
	static const char *const guesses[] = {"/no/such.gguf", "/no/such.gguf,byte", "byte,byte", ",,", "/dev/null"};
	struct world_config config;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
		world_config_default(&config, i + 1);
		config.frontend.preload = guesses[i];
		serves(&config);
	}
}

static void a_file_that_is_not_the_workers_is_read_anew(void **state)
{
	struct world_config config;
	struct ll_file_facts f;
	struct err err;

	(void)state;
	assert_int_equal(ll_file_check(demo_model(), false, &f, &err), 0);
	for (int same = 0; same < 2; same++) {
		world_config_default(&config, 3);
		snprintf(config.mock.tokenizer, sizeof config.mock.tokenizer, "%s", demo_model());
		config.mock.tokenizer_hash = same ? f.vocab_hash : f.vocab_hash + 1;
		config.mock.vocab = f.vocab_tokens;
		config.mock.eog_token = f.eos_token;
		config.frontend.preload = config.mock.tokenizer;
		serves(&config);
	}
}

static void nothing_needs_to_come_of_it(void **state)
{
	struct world_config config;
	struct world w;

	(void)state;
	world_config_default(&config, 5);
	config.workers = 0;
	config.frontend.preload = "byte,/no/such.gguf";
	world_init(&w, &config);
	world_wait_idle(&w);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_card_names_is_taken_whenever_it_is_done),
		cmocka_unit_test(a_wrong_guess_does_no_harm),
		cmocka_unit_test(a_file_that_is_not_the_workers_is_read_anew),
		cmocka_unit_test(nothing_needs_to_come_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
