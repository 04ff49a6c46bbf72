/* Engine models of the simulator that are predicted from the catalogues. */
#include "../lib/cmocka_all.h"
#include "sim/model.h"

#include <string.h>

static struct sim_model find(const char *name)
{
	struct sim_model m;
	struct err err;

	err_clear(&err);
	if (sim_model_find(&m, name, &err) < 0)
		fail_msg("%s", err.msg);
	return m;
}

static void a_card_and_a_model_are_an_engine(void **state)
{
	struct sim_model m = find("4xt4:R1-Distill-Qwen-14B");
	struct sim_load load = {.prefill_tokens = 1024, .prefilling = 1, .capacity = 1};

	(void)state;
	/* 4 x T4 in float16: 98 to 113 thousand tokens of KV by reports; these reserve 1.5 GiB a card */
	assert_true(m.blocks * m.block_size > 90000 && m.blocks * m.block_size < 115000);
	double prefill = sim_model_ms(&m, &load);
	assert_true(prefill > 250 && prefill < 900);
	load = (struct sim_load){.decoding = 1, .decode_context = 1000, .capacity = 1};
	double one = sim_model_ms(&m, &load);
	load = (struct sim_load){.decoding = 8, .decode_context = 8000, .capacity = 1};
	double eight = sim_model_ms(&m, &load);
	assert_true(one > 25 && one < 60 && eight > one && eight < 2 * one); /* weights are read once for all */
}

static void what_does_not_fit_or_is_not_known_is_refused(void **state)
{
	static const char *const table[][2] = {{"t4:R1-Distill-Qwen-14B", "does not fit"},
		{"2xt4:R1-Distill-Qwen-14B", "does not fit"}, {"3xt4:R1-Distill-Qwen-14B", "do not divide by 3"},
		{"t4:Qwen2.6-7B", "did you mean"}, {"t9:x", "unknown engine model"}};
	struct sim_model m;
	struct err err;

	(void)state;
	for (uint32_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		assert_true(sim_model_find(&m, table[i][0], &err) < 0);
		if (!strstr(err.msg, table[i][1]))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, table[i][1]);
	}
	find("t4:R1-Distill-Qwen-14B:q4_k_m");
	find("dynamo-mocker");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_card_and_a_model_are_an_engine),
		cmocka_unit_test(what_does_not_fit_or_is_not_known_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
