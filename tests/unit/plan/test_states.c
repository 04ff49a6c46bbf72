/* Recurrent states of llama workers in the plan's memory. */
#include "plan/need.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>

#define MIB (1024ull * 1024)

static struct model_facts facts;
static struct plan_model model = {.facts = &facts, .why = ""};

static struct plan_service service(uint64_t state_mib)
{
	facts = (struct model_facts){.layers = 8,
		.hidden = 64,
		.heads = 4,
		.kv_heads = 2,
		.head_dim = 16,
		.head_dim_v = 16,
		.kv_layers = 2,
		.vocab = 1000,
		.weight_bytes = 512 * MIB,
		.file_bytes = 512 * MIB,
		.state_bytes = state_mib * MIB,
		.from = MODEL_FROM_GGUF};
	return (struct plan_service){.engine = GRAPH_ENGINE_LLAMA,
		.model = &model,
		.workers = 1,
		.share = 1,
		.kv = "f16",
		.context = 4096,
		.batch = 2048,
		.seqs = 64,
		.ubatch = 512};
}

static void as_many_sequences_as_a_quarter_of_the_room_holds(void **state)
{
	(void)state;
	struct plan_service s = service(100);

	assert_int_equal(plan_llama_seqs(&s, 8192 * MIB), 20);
	assert_int_equal(plan_llama_seqs(&s, 1000000 * MIB), 64);
	assert_int_equal(plan_llama_seqs(&s, 1), 8);
	assert_int_equal(plan_llama_seqs(&s, 0), 64);
	s.seqs = 50;
	s.set[PLAN_SEQS] = true;
	assert_int_equal(plan_llama_seqs(&s, 1), 50);
	s = service(0);
	assert_int_equal(plan_llama_seqs(&s, 1), 64);
}

static void a_host_worker_needs_them_and_half_of_its_sequences_run(void **state)
{
	(void)state;
	struct plan_service with = service(100), without = service(100);
	const struct gpu_device none = {0};
	struct plan_host_need n, bare;

	with.room = plan_host_room(&with, (512 + 256 + 8192) * MIB, 1);
	assert_int_equal(with.room, 8192 * MIB);
	assert_int_equal(plan_host_room(&with, (512 + 256 + 8192) * MIB, 2), 4096 * MIB);
	plan_host_need(&n, &with);
	assert_int_equal(n.states, 20 * 100 * MIB);
	assert_int_equal(plan_seqs_on(&with, &none), 10);
	facts.state_bytes = 0;
	plan_host_need(&bare, &without);
	assert_int_equal(n.rest - bare.rest, n.states);
	assert_int_equal(plan_seqs_on(&without, &none), 64);
}

static void on_cards_they_are_a_term_of_what_is_fixed(void **state)
{
	(void)state;
	struct plan_service s = service(100);
	const struct gpu_device card = {.memory_total = 16384 * MIB, .memory_free = 16000 * MIB, .capability = 75};
	struct plan_terms with, without;

	s.gpus = 1;
	plan_need(&with, &s, &card);
	/* A quarter of the card beside the weights: 16 GiB - 0.5 GiB, by 4, by 100 MiB. */
	assert_int_equal(with.states, 39 * 100 * MIB);
	facts.state_bytes = 0;
	plan_need(&without, &s, &card);
	assert_int_equal(plan_terms_fixed(&with) - plan_terms_fixed(&without), with.states);
}

static void a_model_without_attention_is_no_division_by_its_heads(void **state)
{
	(void)state;
	char why[128];

	facts = (struct model_facts){.layers = 8, .hidden = 64, .vocab = 1000};
	assert_true(model_tp_valid(&facts, 1));
	assert_true(model_tp_valid(&facts, 2));
	assert_string_equal(model_tp_reason(&facts, 2, why, sizeof why), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_sequences_as_a_quarter_of_the_room_holds),
		cmocka_unit_test(a_host_worker_needs_them_and_half_of_its_sequences_run),
		cmocka_unit_test(on_cards_they_are_a_term_of_what_is_fixed),
		cmocka_unit_test(a_model_without_attention_is_no_division_by_its_heads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
