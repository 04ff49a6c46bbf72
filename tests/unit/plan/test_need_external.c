/* The rules by which vLLM's and SGLang's memory depends on release, card and division; their sizes are held by test_startup. */
#include "plan/need_external.h"

#include "../lib/cmocka_all.h"
#include <math.h>
#include <string.h>

static const uint64_t MIB = 1024 * 1024, GIB = 1024 * 1024 * 1024;

struct scene {
	struct gpu_inventory inventory;
	struct model_facts facts;
	struct plan_model model;
	struct graph_service graph;
	struct plan_service service;
	const struct gpu_device *card;
};

static void scene_of(struct scene *x, enum graph_engine engine, const char *model, const char *card)
{
	struct err err;

	*x = (struct scene){0};
	gpu_inventory_init(&x->inventory);
	if (gpu_inventory_from_spec(&x->inventory, card, &err) < 0 || model_facts_by_name(&x->facts, model, &err) < 0)
		fail_msg("%s", err.msg);
	x->card = &x->inventory.devices[0];
	x->model = (struct plan_model){.facts = &x->facts, .why = ""};
	x->service = (struct plan_service){.graph = &x->graph,
		.engine = engine,
		.model = &x->model,
		.workers = 1,
		.gpus = 1,
		.share = 1,
		.tp = 1,
		.pp = 1,
		.dp = 1,
		.dtype = "auto",
		.kv = "auto",
		.utilization = PLAN_UTILIZATION_DEFAULT,
		.context = 8192,
		.batch = engine == GRAPH_ENGINE_SGLANG ? PLAN_SGLANG_BATCH : 0,
		.seqs = PLAN_SEQS_DEFAULT,
		.block = 16,
		.chunked = true};
}

static struct plan_terms need_at(struct scene *x, uint32_t release)
{
	struct plan_terms t;

	x->service.release = release;
	plan_need(&t, &x->service, x->card);
	return t;
}

static void scene_done(struct scene *x)
{
	gpu_inventory_done(&x->inventory);
}

/* The newest range's terms; and it surely fits where it does with each release, and not narrowly with the newest. */
static void an_unknown_release_fits_where_each_does(void **state)
{
	static const char *const models[] = {
		"Llama-3.1-8B", "Qwen3-30B-A3B", "gpt-oss-20b", "DeepSeek-V2-Lite", "Gemma-3-12B"};
	static const uint32_t releases[] = {
		VLLM_V1, 805, 900, 902, 1002, 1102, 1600, 1700, 1900, 2000, 2100, RELEASE_NEWEST};
	static const char *const cards[] = {"1xT4", "1xRTX-4090", "1xA100-80GB", "1xH100", "1xB200"};
	struct scene x;
	uint32_t open = 0, fits = 0, none = 0;

	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(models); m++)
		for (size_t c = 0; c < ARRAY_LEN(cards); c++) {
			scene_of(&x, GRAPH_ENGINE_VLLM, models[m], cards[c]);
			for (x.service.context = 4096; x.service.context <= x.facts.context_max;
				x.service.context *= 2) {
				bool all = true;
				for (size_t r = 0; r < ARRAY_LEN(releases); r++) {
					struct plan_terms then = need_at(&x, releases[r]);
					all &= plan_terms_fit(&then);
				}
				struct plan_terms newest = need_at(&x, RELEASE_NEWEST), t = need_at(&x, 0);
				assert_true(t.kv_room == newest.kv_room && t.weights == newest.weights);
				assert_int_equal(plan_terms_surely_fit(&t), all && !t.close);
				assert_true((t.fitting & 1) == plan_terms_fit(&newest));
				assert_int_equal(t.fitting & t.missing, 0);
				assert_true(t.context_fits <= newest.context_fits);
				open += t.missing && t.fitting;
				fits += plan_terms_surely_fit(&t);
				none += !t.fitting;
			}
			scene_done(&x);
		}
	assert_true(open > 0 && fits > 0 && none > 0);
}

static void a_narrow_answer_of_the_newest_is_no_answer(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "Qwen2.5-32B-Instruct", "1xA100-80GB");
	x.service.context = 32768;
	struct plan_terms t = need_at(&x, 0);
	assert_true(plan_terms_fit(&t) && !t.missing && t.close && !plan_terms_surely_fit(&t));
	x.service.context = t.context_fits;
	t = need_at(&x, 0);
	assert_true(plan_terms_surely_fit(&t));
	x.service.context = 32768;
	t = need_at(&x, 2100); /* stated: what is counted decides */
	assert_true(plan_terms_surely_fit(&t));
	scene_done(&x);
}

static void check_ranges(bool sglang, uint32_t since, uint32_t until, uint32_t mask, const char *want)
{
	struct release_ranges r;
	char text[RELEASE_RANGES_TEXT];

	release_ranges(&r, sglang, since, until);
	assert_string_equal(release_ranges_text(&r, mask, text, sizeof text), want);
}

/* Bits from the newest range on: 0.21, 0.18, 0.17, 0.11, 0.10.2, 0.9.1, 0.9.0, 0.8. */
static void ranges_of_releases_are_named_as_people_do(void **state)
{
	(void)state;
	check_ranges(false, 0, 0, 0x01, "0.21 and later");
	check_ranges(false, 0, 0, 0xff, "0.8 and later");
	check_ranges(false, 0, 0, 0x06, "0.17 to 0.20");
	check_ranges(false, 0, 0, 0xf9, "0.8 to 0.16, 0.21 and later");
	check_ranges(false, 0, 0, 0x04, "0.17");
	check_ranges(false, 0, 0, 0x30, "0.9.1 to 0.10");
	check_ranges(false, 0, 0, 0x20, "0.9.1 to 0.10.1");
	check_ranges(false, 0, 0, 0x10, "0.10.2 to 0.10.x");
	check_ranges(false, 0, 0, 0x40, "0.9.0");
	check_ranges(false, 0, 0, 0xc0, "0.8 to 0.9.0");
	check_ranges(false, 0, 0, 0, "");
	/* A model that came with 0.8.4, and one that came with 0.11.1: its older ranges are none. */
	check_ranges(false, 804, 0, 0xf8, "0.8.4 to 0.16");
	check_ranges(false, 1101, 0, 0x0f, "0.11.1 and later");
	check_ranges(false, 1101, 0, 0x08, "0.11.1 to 0.16");
	check_ranges(false, 2300, 0, 0x01, "0.23 and later");
	/* One that is gone: the newest range ends there. */
	check_ranges(false, 0, 1102, 0x01, "0.11 to 0.11.2");
	check_ranges(false, 0, 1000, 0x07, "0.8 to 0.10.0");
	check_ranges(false, 500, 605, 0x01, "0.8 and later");
	check_ranges(true, 0, 0, 0x01, "0.4.10 and later");
	check_ranges(true, 0, 0, 0x02, "0.3 to 0.4.9");
}

static void sampling_without_sorting_takes_two_fifths(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "Qwen2.5-7B", "1xH100");
	double sorted = (double)need_at(&x, 1600).activations, unsorted = (double)need_at(&x, 1700).activations;
	assert_true(fabs(sorted / unsorted - 39.0 / 16) < 0.01);
	assert_true(fabs(sorted - 1024.0 * x.facts.vocab * 39) < 1);
	scene_done(&x);
}

static void v0_has_256_sequences_on_large_cards_too(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "Qwen2.5-7B", "1xH100");
	need_at(&x, 705);
	assert_int_equal(plan_seqs_on(&x.service, x.card), 256);
	need_at(&x, 805);
	assert_int_equal(plan_seqs_on(&x.service, x.card), 1024);
	x.service.context = 131072;
	need_at(&x, 705);
	assert_true(plan_chunked_on(&x.service));
	x.service.context = 32768;
	assert_false(plan_chunked_on(&x.service));
	assert_int_equal(plan_batch_on(&x.service, x.card), 32768);
	scene_done(&x);
}

static void graphs_are_inside_the_budget_since_0_21(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "Llama-3.1-8B", "1xA100-80GB");
	assert_int_equal(need_at(&x, 2000).graphs, 0);
	assert_true(plan_outside_on(&x.service, x.card) > 512 * MIB);
	assert_int_equal(need_at(&x, 2100).graphs, 32 * 16 * MIB);
	assert_int_equal(plan_outside_on(&x.service, x.card), 0);
	assert_int_equal(need_at(&x, 0).graphs, 32 * 16 * MIB);
	x.service.eager = true;
	assert_int_equal(need_at(&x, 2100).graphs, 0);
	scene_done(&x);
}

static void an_end_of_a_pipeline_holds_the_vocabulary_and_its_layers_rounded_up(void **state)
{
	struct scene x;
	uint64_t whole, half, quarter;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "Llama-3.1-8B", "4xH100");
	whole = need_at(&x, 1900).weights;
	x.service.pp = 2;
	half = need_at(&x, 1900).weights;
	x.service.pp = 4;
	quarter = need_at(&x, 1900).weights;
	uint64_t embed = x.facts.params_embed * 2;
	assert_true(llabs((long long)(whole - 2 * half)) < (long long)MIB);
	assert_true(llabs((long long)(quarter - ((whole - 2 * embed) / 4 + embed))) < (long long)MIB);
	/* 36 layers among 5: 8 on the first, 7 of 36 would be an even share. */
	scene_done(&x);
	scene_of(&x, GRAPH_ENGINE_VLLM, "Qwen3-8B", "5xH100");
	double token = (double)need_at(&x, 1900).kv_least;
	x.service.pp = 5;
	assert_true(fabs((double)need_at(&x, 1900).kv_least / token - 8.0 / 36) < 0.001);
	scene_done(&x);
}

static void cards_with_nvlink_keep_two_gib_for_fused_all_reduce_since_0_18(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "Llama-3.1-8B", "2xH100");
	assert_int_equal(need_at(&x, 1900).links, 0);
	x.service.tp = 2;
	assert_true(need_at(&x, 1900).links > 1700 * MIB);
	assert_true(need_at(&x, 1700).links < 600 * MIB);
	assert_int_equal(need_at(&x, 0).links, need_at(&x, 1900).links);
	scene_done(&x);
	scene_of(&x, GRAPH_ENGINE_VLLM, "Llama-3.1-8B", "2xRTX-4090");
	x.service.tp = 2;
	assert_true(need_at(&x, 1900).links < 400 * MIB);
	scene_done(&x);
}

static void sglang_counts_its_share_from_the_card(void **state)
{
	/* (total - 512 - 1.5 x chunk - 2 x graphs - 128 x cards) / total, at least 10 GiB kept of large cards, to three digits */
	static const struct {
		const char *card;
		uint32_t tp;
		double kept_mib;
	} rows[] = {{"1xT4", 1, 512 + 3072 + 16 + 128}, {"1xRTX-4090", 1, 512 + 3072 + 48 + 128},
		{"4xRTX-4090", 4, 512 + 3072 + 160 + 512}, {"1xA100-40GB", 1, 512 + 6144 + 64 + 128},
		{"1xH100", 1, 512 + 12288 + 512 + 128}, {"8xB200", 8, 512 + 24576 + 1024 + 1024}};
	struct scene x;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		scene_of(&x, GRAPH_ENGINE_SGLANG, "Qwen3-0.6B", rows[i].card);
		x.service.tp = rows[i].tp;
		double total = (double)x.card->spec->memory_bytes / (double)MIB,
		       share = plan_share_on(&x.service, x.card);
		if (fabs(share - (total - rows[i].kept_mib) / total) > 0.0006)
			fail_msg("%s: %.3f", rows[i].card, share);
		scene_done(&x);
	}
	/* As server_args of a public start show it (sgl-project/sglang#13023). */
	scene_of(&x, GRAPH_ENGINE_SGLANG, "Llama-3.1-8B", "1xL40S");
	assert_true(plan_share_on(&x.service, x.card) == 0.851);
	scene_done(&x);
	scene_of(&x, GRAPH_ENGINE_SGLANG, "Qwen2.5-VL-7B", "1xL40S");
	assert_true(fabs(plan_share_on(&x.service, x.card) - 0.851 * 0.85) < 0.001);
	scene_done(&x);
	scene_of(&x, GRAPH_ENGINE_SGLANG, "Qwen3-0.6B", "8xH100");
	x.service.release = 402;
	assert_true(plan_share_on(&x.service, x.card) == 0.88);
	x.service.tp = 8;
	assert_true(plan_share_on(&x.service, x.card) == 0.81);
	x.service.set[PLAN_UTILIZATION] = true;
	x.service.utilization = 0.7;
	assert_true(plan_share_on(&x.service, x.card) == 0.7);
	scene_done(&x);
}

static void sglangs_share_is_of_what_is_free_before_the_weights(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_SGLANG, "Qwen3-8B", "1xH100");
	x.service.set[PLAN_UTILIZATION] = true;
	x.service.utilization = 0.8;
	struct plan_terms t = need_at(&x, 503);
	double room = 0.8 * (double)(t.total - t.runtime) - (double)t.weights;
	assert_true(fabs((double)t.kv_room - room) < 2);
	/* Nothing is left for activations: then they come out of the room. */
	x.service.utilization = 0.99;
	t = need_at(&x, 503);
	assert_int_equal(t.budget, t.total);
	assert_true((double)t.kv_room < 0.99 * (double)(t.total - t.runtime) - (double)t.weights);
	scene_done(&x);
}

static void kv_is_kept_in_what_is_computed_in(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "Llama-3.1-8B", "1xH100");
	uint64_t half = need_at(&x, 1900).kv_least;
	x.service.dtype = "float32";
	assert_int_equal(need_at(&x, 1900).kv_least, 2 * half);
	x.service.kv = "fp8";
	assert_int_equal(need_at(&x, 1900).kv_least, half / 2);
	scene_done(&x);
}

static void what_no_start_was_seen_for_is_a_guess(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "Llama-3.1-8B", "8xH100");
	assert_int_equal(need_at(&x, 1900).guessed, 0);
	x.service.tp = 8;
	assert_int_equal(need_at(&x, 1900).guessed, PLAN_GUESS_LINKS);
	scene_done(&x);
	scene_of(&x, GRAPH_ENGINE_SGLANG, "Llama-3.1-8B", "1xH100");
	assert_int_equal(need_at(&x, 503).guessed, PLAN_GUESS_ACTIVATIONS | PLAN_GUESS_GRAPHS);
	scene_done(&x);
	scene_of(&x, GRAPH_ENGINE_VLLM, "Qwen2.5-VL-7B", "1xA100-80GB");
	assert_true(need_at(&x, 1900).guessed & PLAN_GUESS_ACTIVATIONS);
	assert_false(plan_encoder_unknown(&x.service));
	need_at(&x, 900);
	assert_true(plan_encoder_unknown(&x.service));
	scene_done(&x);
}

static void mla_holds_its_absorbed_matrices_beside_the_files(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "DeepSeek-V2-Lite", "1xH100");
	uint64_t before = need_at(&x, 606).weights, since = need_at(&x, 1900).weights;
	/* 27 layers x rank 512 x 16 heads x (128 + 128) x 2 bytes */
	assert_int_equal(since - before, 27ull * 512 * 16 * 256 * 2);
	assert_true(since < 30 * GIB);
	scene_done(&x);
}

static void sglang_keeps_a_place_for_each_token_of_each_request(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_SGLANG, "Llama-4-Scout-17B-16E", "8xH200");
	x.service.tp = 8;
	/* sglang#5755: "Tried to allocate 80.04 GiB" */
	x.service.context = 10485760;
	assert_int_equal(plan_request_table(&x.service) * 100 / GIB, 8000);
	struct plan_terms t = need_at(&x, 406);
	assert_true(t.activations > 80 * GIB);
	/* sglang#6817: 7.63 GiB of it, and yet it failed */
	x.service.context = 1000000;
	t = need_at(&x, 406);
	assert_true(plan_terms_fit(&t) && plan_unrecorded(&x.service, &t));
	x.service.set[PLAN_SEQS] = true;
	x.service.seqs = 16;
	t = need_at(&x, 406);
	assert_null(plan_unrecorded(&x.service, &t));
	scene_done(&x);
}

static void sglang_starts_with_less_than_the_models_context(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_SGLANG, "Llama-3.1-8B", "1xL4");
	x.service.context = 131072;
	struct plan_terms t = need_at(&x, 503);
	assert_true(plan_terms_fit(&t) && t.context < 131072 && t.context > 2048);
	scene_done(&x);
}

static void windows_save_memory_since_0_9_1(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "gemma-3-27b-it", "1xA100-80GB");
	x.service.context = 65536;
	uint64_t before = need_at(&x, 900).kv_least, since = need_at(&x, 901).kv_least;
	assert_int_equal(before, model_kv_bytes_per_token(&x.facts, KV_F16) * 65536);
	assert_true(since < before / 4);
	assert_int_equal(need_at(&x, 0).kv_least, since);
	scene_done(&x);
}

static void what_failed_against_the_sum_is_not_said_to_fit(void **state)
{
	struct scene x;

	(void)state;
	scene_of(&x, GRAPH_ENGINE_VLLM, "DeepSeek-V2-Lite", "1xL40S");
	struct plan_terms t = need_at(&x, 703);
	assert_non_null(plan_unrecorded(&x.service, &t));
	x.service.eager = true;
	assert_null(plan_unrecorded(&x.service, &t));
	x.service.eager = false;
	t = need_at(&x, 800);
	assert_null(plan_unrecorded(&x.service, &t));
	scene_done(&x);
	scene_of(&x, GRAPH_ENGINE_VLLM, "Llama-3.1-8B", "1xL4");
	x.service.context = 16000;
	t = need_at(&x, 503);
	assert_true(plan_terms_fit(&t));
	assert_non_null(plan_unrecorded(&x.service, &t));
	t = need_at(&x, 600);
	assert_null(plan_unrecorded(&x.service, &t));
	x.service.context = 256;
	t = need_at(&x, 503);
	assert_null(plan_unrecorded(&x.service, &t));
	scene_done(&x);
	scene_of(&x, GRAPH_ENGINE_VLLM, "Llama-3.2-11B-Vision", "2xA10");
	need_at(&x, 602);
	assert_true(plan_encoder_unknown(&x.service));
	scene_done(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unknown_release_fits_where_each_does),
		cmocka_unit_test(a_narrow_answer_of_the_newest_is_no_answer),
		cmocka_unit_test(ranges_of_releases_are_named_as_people_do),
		cmocka_unit_test(sampling_without_sorting_takes_two_fifths),
		cmocka_unit_test(v0_has_256_sequences_on_large_cards_too),
		cmocka_unit_test(graphs_are_inside_the_budget_since_0_21),
		cmocka_unit_test(an_end_of_a_pipeline_holds_the_vocabulary_and_its_layers_rounded_up),
		cmocka_unit_test(cards_with_nvlink_keep_two_gib_for_fused_all_reduce_since_0_18),
		cmocka_unit_test(sglang_counts_its_share_from_the_card),
		cmocka_unit_test(sglangs_share_is_of_what_is_free_before_the_weights),
		cmocka_unit_test(kv_is_kept_in_what_is_computed_in),
		cmocka_unit_test(what_no_start_was_seen_for_is_a_guess),
		cmocka_unit_test(mla_holds_its_absorbed_matrices_beside_the_files),
		cmocka_unit_test(sglang_keeps_a_place_for_each_token_of_each_request),
		cmocka_unit_test(sglang_starts_with_less_than_the_models_context),
		cmocka_unit_test(windows_save_memory_since_0_9_1),
		cmocka_unit_test(what_failed_against_the_sum_is_not_said_to_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
