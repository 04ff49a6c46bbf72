/* llama-server as people start it: which cards it takes, how layers and KV are divided, what stays in RAM, and what its release does. */
#include "plan/llama_split.h"
#include "plan/plan.h"
#include "plan/search.h"

#include "../lib/cmocka_all.h"

#include <stdio.h>

static struct {
	struct form_set form;
	struct graph *graph;
	struct gpu_inventory inventory;
	struct model_facts facts;
	struct plan_model models[8];
	struct plan plan;
} x;

/* Plan a file (or a line) on cards; ram: of the machine, 0: not known. */
static void plan_it(const char *text, const char *version, const char *cards, uint64_t ram_gib)
{
	struct diags diags;
	struct err err = {0};

	memset(&x, 0, sizeof x);
	form_set_init(&x.form);
	diags_init(&diags);
	gpu_inventory_init(&x.inventory);
	x.form.versions[GRAPH_ENGINE_LLAMA] = version;
	if (form_read(&x.form, "file", text, strlen(text), &diags, &err) < 0 || !x.form.root ||
		graph_of_tree(&x.graph, "file", x.form.root, NULL, &diags, &err) < 0 ||
		gpu_inventory_from_spec(&x.inventory, cards, &err) < 0 ||
		model_facts_by_name(&x.facts, x.form.services.v[0].model, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	x.inventory.host_facts.ram_total = ram_gib << 30;
	for (size_t i = 0; i < ARRAY_LEN(x.models); i++)
		x.models[i] = (struct plan_model){.facts = &x.facts, .why = ""};
	assert_true(x.graph->len <= ARRAY_LEN(x.models));
	const struct plan_input input = {
		.graph = x.graph, .form = &x.form, .inventory = &x.inventory, .models = x.models};
	assert_int_equal(plan_make(&x.plan, &input, &err), 0);
	diags_done(&diags);
}

static void forget(void)
{
	plan_done(&x.plan);
	graph_destroy(x.graph);
	gpu_inventory_done(&x.inventory);
	form_set_done(&x.form);
}

static void wants_of(const char *flags, const char *version, const char *cards, uint64_t ram, enum plan_verdict verdict,
	const char *code, uint32_t gpus)
{
	char line[512];

	snprintf(line, sizeof line, "llama-server %s", flags);
	plan_it(line, version, cards, ram);
	if (plan_verdict(&x.plan) != verdict)
		fail_msg("%s on %s is %s: %s", line, cards, plan_verdict_name(plan_verdict(&x.plan)),
			x.plan.findings.len ? x.plan.findings.items[0].what : "");
	if (code && !findings_has(&x.plan.findings, code))
		fail_msg("%s on %s has no \"%s\"", line, cards, code);
	if (x.plan.deployment.services[0].gpus != gpus)
		fail_msg("%s on %s takes %u cards, not %u", line, cards, x.plan.deployment.services[0].gpus, gpus);
	forget();
}

#define M32 "-hf bartowski/Qwen2.5-32B-Instruct-GGUF:Q4_K_M "
#define M14 "-hf bartowski/Qwen2.5-14B-Instruct-GGUF:Q4_K_M "
#define M8 "-hf bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M "
#define MOE "-hf unsloth/Qwen3-30B-A3B-GGUF:Q4_K_M "

static void it_takes_every_card_that_it_sees(void **state)
{
	(void)state;
	wants_of(M32 "-ngl 99 -c 8192", NULL, "2xRTX-5060-Ti-16GB", 0, PLAN_FITS, NULL, 2);
	wants_of(M32 "-ngl 99 -c 8192", NULL, "1xRTX-5060-Ti-16GB", 0, PLAN_CANNOT, "memory-weights", 1);
	wants_of(M32 "-ngl 99 -c 8192 -sm none", NULL, "2xRTX-5060-Ti-16GB", 0, PLAN_CANNOT, "memory-weights", 1);
	wants_of(M32 "-ngl 99 -c 8192 -sm none -mg 1", NULL, "1xRTX-3060,1xRTX-3090", 0, PLAN_FITS, NULL, 1);
	wants_of(M32 "-ngl 99 -c 8192 -sm none -mg 0", NULL, "1xRTX-3060,1xRTX-3090", 0, PLAN_CANNOT, "memory-weights",
		1);
	wants_of(M32 "-ngl 99 -c 8192 -dev CUDA1", NULL, "1xRTX-3060,1xRTX-3090", 0, PLAN_FITS, NULL, 1);
	wants_of(M32 "-ngl 99 -c 8192 -sm tensor", NULL, "2xRTX-5060-Ti-16GB", 0, PLAN_FITS, NULL, 2);
	wants_of(M32 "-ngl 99 -c 8192 -sm row", NULL, "2xRTX-5060-Ti-16GB", 0, PLAN_FITS, NULL, 2);
}

static void the_shell_and_the_container_hide_cards(void **state)
{
	(void)state;
	plan_it("CUDA_VISIBLE_DEVICES=1 llama-server " M32 "-ngl 99 -c 8192\n", NULL, "2xRTX-5060-Ti-16GB", 0);
	assert_int_equal(plan_verdict(&x.plan), PLAN_CANNOT);
	assert_int_equal(x.plan.placement.users[0], 0);
	forget();
	plan_it("CUDA_VISIBLE_DEVICES=0,1 llama-server " M32 "-ngl 99 -c 8192\n", NULL, "3xRTX-5060-Ti-16GB", 0);
	assert_int_equal(plan_verdict(&x.plan), PLAN_FITS);
	assert_int_equal(x.plan.placement.users[2], 0);
	forget();
	plan_it("docker run --gpus all ghcr.io/ggml-org/llama.cpp:server-cuda " M32 "-ngl 99 -c 8192\n", NULL,
		"2xRTX-5060-Ti-16GB", 0);
	assert_int_equal(plan_verdict(&x.plan), PLAN_FITS);
	forget();
	plan_it("docker run --gpus 1 ghcr.io/ggml-org/llama.cpp:server-cuda " M32 "-ngl 99 -c 8192\n", NULL,
		"2xRTX-5060-Ti-16GB", 0);
	assert_int_equal(plan_verdict(&x.plan), PLAN_CANNOT);
	forget();
	plan_it("CUDA_VISIBLE_DEVICES= llama-server " M8 "-ngl 99 -c 4096\n", NULL, "2xRTX-5060-Ti-16GB", 64);
	assert_int_equal(x.plan.deployment.services[0].gpus, 0);
	forget();
}

/* Bytes of each card, by the cards' places. */
static struct plan_llama_layout divided(const char *flags, const char *version, const char *cards)
{
	const struct gpu_device *list[LLAMA_CARDS_MAX];
	struct plan_llama_layout l;
	char line[512];

	snprintf(line, sizeof line, "llama-server %s", flags);
	plan_it(line, version, cards, 0);
	for (uint32_t i = 0; i < x.inventory.count; i++)
		list[i] = &x.inventory.devices[i];
	plan_llama_divide(&l, &x.plan.deployment.services[0], list, x.inventory.count, 0);
	forget();
	return l;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

#define assert_near(value, want, percent)                                                                              \
	do {                                                                                                           \
		double v_ = (value), w_ = (want);                                                                      \
		if (v_ < w_ * (1 - (percent) / 100.0) || v_ > w_ * (1 + (percent) / 100.0))                            \
			fail_msg("%s is %.1f, not %.1f", #value, v_, w_);                                              \
	} while (0)

/* The buffers that llama.cpp logs: "load_tensors: CUDA0 model buffer size = 8148.38 MiB" of Qwen2.5-14B in Q4_K_M. */
static void parts_are_what_llama_cpp_says_of_itself(void **state)
{
	(void)state;
	struct plan_llama_layout l = divided(M14 "-ngl 99 -c 4096 -np 1", NULL, "1xRTX-3090");
	assert_near(mib(l.cards[0].weights), 8148.38, 0.1);
	assert_near(mib(l.cards[0].kv), 768, 0.1);
	assert_near(mib(l.host_embedding), 417.66, 0.1);
	assert_int_equal(l.host_weights, 0);
	assert_int_equal(l.cards[0].layers, 48);
	/* Llama 3.1 8B in Q4_K_M with 8192 tokens, before flash attention was on by itself: 4403.49, 1024 and 560 MiB. */
	l = divided(M8 "-ngl 99 -c 8192", "b4800", "1xRTX-3090");
	assert_near(mib(l.cards[0].weights), 4403.49, 0.1);
	assert_near(mib(l.cards[0].kv), 1024, 0.1);
	assert_near(mib(l.cards[0].activations), 560, 2);
	assert_near(mib(l.host_embedding), 281.81, 0.1);
	/* Llama 2 7B: 3820.94, 1024 of 2048 tokens, 164; in F16 12603.02 and 250. */
	l = divided("-hf TheBloke/Llama-2-7B-GGUF:Q4_K_M -ngl 99 -c 2048", "b4800", "1xRTX-3090");
	assert_near(mib(l.cards[0].weights), 3820.94, 0.1);
	assert_near(mib(l.host_embedding), 70.31, 0.1);
	assert_near(mib(l.cards[0].activations), 164, 8);
	l = divided("-hf TheBloke/Llama-2-7B-GGUF:F16 -ngl 99 -c 2048", "b4800", "1xV100-16GB");
	assert_near(mib(l.cards[0].weights), 12603.02, 0.1);
	assert_near(mib(l.host_embedding), 250, 0.1);
	/* Four cards: "CUDA0 model buffer size = 4844.72 MiB" and the next, of R1-Distill-Qwen-32B in Q4_K_M with -ngl 65. */
	static const double four[] = {4844.72, 4366.53, 4366.53, 4930.57};
	l = divided(M32 "-ngl 65 -c 8192", "b4800", "4xRTX-3090");
	for (int i = 0; i < 4; i++)
		assert_near(mib(l.cards[i].weights), four[i], 0.1);
	assert_near(mib(l.host_embedding), 417.66, 0.1);
	/* Half a precision of keys, four bits of values. */
	l = divided(M14 "-ngl 99 -c 4096 -np 1 -ctk q8_0 -ctv q4_0", NULL, "1xRTX-3090");
	assert_near(mib(l.cards[0].kv), 384 * (8.5 + 4.5) / 16, 0.1);
}

static void layers_are_divided_as_said_or_by_free_memory(void **state)
{
	(void)state;
	struct plan_llama_layout l = divided(M32 "-ngl 99 -c 8192 -ts 3,1", NULL, "2xRTX-3090");
	assert_int_equal(l.cards[0].layers, 49); /* 65 places with the output: those below 48.75 */
	assert_int_equal(l.cards[1].layers, 15);
	assert_true(l.cards[1].output && !l.cards[0].output);
	l = divided(M32 "-ngl 99 -c 8192", NULL, "1xRTX-3090,1xRTX-3060");
	assert_true(l.cards[0].layers > 40 && l.cards[0].layers < 47);
	assert_int_equal(l.cards[0].layers + l.cards[1].layers, 64);
	l = divided(M32 "-ngl 99 -c 8192 -ts 0,1", NULL, "2xRTX-3090");
	assert_int_equal(l.cards[0].layers, 0);
	/* Rows: keys and values are all on the main card. */
	l = divided(M32 "-ngl 99 -c 8192 -sm row -mg 1", NULL, "2xRTX-3090");
	assert_int_equal(l.cards[0].kv, 0);
	assert_near(mib(l.cards[1].kv), 2048, 0.1);
}

static void layers_and_experts_that_stay_in_ram_are_not_on_cards(void **state)
{
	(void)state;
	struct plan_llama_layout all = divided(M14 "-ngl 99 -c 4096 -np 1", NULL, "1xRTX-3090");
	struct plan_llama_layout some = divided(M14 "-ngl 25 -c 4096 -np 1", NULL, "1xRTX-3090");
	assert_int_equal(some.cards[0].layers, 24); /* the output is one of the 25 */
	assert_near(mib(some.cards[0].kv), 384, 0.1);
	assert_near(mib(some.host_kv), 384, 0.1);
	assert_near(mib(some.cards[0].weights + some.host_weights), mib(all.cards[0].weights), 0.1);
	struct plan_llama_layout moe = divided(MOE "-ngl 99 -c 4096", NULL, "1xRTX-3090");
	struct plan_llama_layout none = divided(MOE "-ngl 99 -c 4096 --cpu-moe", NULL, "1xRTX-3090");
	struct plan_llama_layout half = divided(MOE "-ngl 99 -c 4096 --n-cpu-moe 24", NULL, "1xRTX-3090");
	assert_true(mib(none.cards[0].weights) < 1600 && mib(none.host_weights) > 15000);
	assert_near(mib(half.host_weights), mib(none.host_weights) / 2, 0.1);
	assert_near(mib(none.cards[0].weights + none.host_weights), mib(moe.cards[0].weights), 0.1);
	/* The same by patterns of names, as they are written. */
	static const char *const same[] = {"-ot '.ffn_.*_exps.=CPU'", "-ot exps=CPU",
		"-ot '\\.ffn_(up|down|gate)_exps\\.=CPU'", "-ot 'blk\\.\\d+\\.ffn_(?:up|down|gate)_exps.=CPU'",
		"-ot '([0-9]+).ffn_.*_exps.=CPU'"};
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		char flags[256];
		snprintf(flags, sizeof flags, MOE "-ngl 99 -c 4096 %s", same[i]);
		struct plan_llama_layout l = divided(flags, NULL, "1xRTX-3090");
		if (l.cards[0].weights != none.cards[0].weights)
			fail_msg("%s: %.0f MiB on the card", same[i], mib(l.cards[0].weights));
	}
	struct plan_llama_layout ten =
		divided(MOE "-ngl 99 -c 4096 -ot 'blk\\.(1[0-9])\\.ffn_.*_exps\\.=CPU'", NULL, "1xRTX-3090");
	assert_near(mib(ten.host_weights), mib(none.host_weights) * 10 / 48, 4); /* the middle ones have fewer bits */
	struct plan_llama_layout host = divided(M14 "-ngl 99 -c 4096 -np 1 --no-kv-offload", NULL, "1xRTX-3090");
	assert_int_equal(host.cards[0].kv, 0);
	assert_near(mib(host.host_kv), 768, 0.1);
}

static void what_the_release_does_where_the_line_is_silent(void **state)
{
	(void)state;
	/* No layer on a GPU, all of them, and as many as fit. */
	wants_of(M8 "-c 4096", "b5000", "1xRTX-3060", 64, PLAN_FITS, "gpu-layers", 0);
	wants_of(M32 "-c 4096", "b7000", "1xRTX-3060", 64, PLAN_CANNOT, "memory-weights", 1);
	wants_of(M32 "-c 4096", "b8000", "1xRTX-3060", 64, PLAN_FITS, "memory-host", 1);
	wants_of(M32 "-c 4096", NULL, "1xRTX-3060", 64, PLAN_FITS, "memory-host", 1);
	wants_of(M32 "-c 4096 -fit off", NULL, "1xRTX-3060", 64, PLAN_CANNOT, "memory-weights", 1);
	wants_of(M32 "-c 4096 -ngl 99", NULL, "1xRTX-3060", 64, PLAN_CANNOT, "memory-weights", 1);
	wants_of(M32 "-c 4096 -ngl auto", NULL, "1xRTX-3060", 64, PLAN_FITS, "memory-host", 1);
	wants_of(M32 "-c 4096 -ngl all", NULL, "1xRTX-3060", 64, PLAN_CANNOT, "memory-weights", 1);
	wants_of(M8 "-c 4096 -ngl 0", NULL, "1xRTX-3060", 64, PLAN_FITS, "gpu-layers", 0);
	/* The context: 4096 once, then the model's, which --fit makes shorter. */
	wants_of(M8 "-ngl 99", "b7000", "1xRTX-3060", 0, PLAN_FITS, NULL, 1);
	wants_of(M8 "-ngl 99", NULL, "1xRTX-3060", 0, PLAN_FITS, "context-reduced", 1);
	wants_of(M8 "-ngl 99 -c 131072", NULL, "1xRTX-3060", 0, PLAN_CANNOT, "memory-context", 1);
	wants_of(M8 "-ngl 99 -c 0", NULL, "1xRTX-3060", 0, PLAN_CANNOT, "memory-context", 1);
	/* In RAM alone, of which nobody said how much there is. */
	wants_of(M32 "-ngl 99 -c 4096", NULL, "0", 0, PLAN_NOT_CHECKED, "memory-host", 0);
	wants_of(M32 "-c 4096", "b5000", "1xRTX-3090", 0, PLAN_NOT_CHECKED, "gpu-layers", 0);
	/* Without a GPU -ngl does nothing. */
	wants_of(M8 "-ngl 99 -c 4096", NULL, "0", 64, PLAN_FITS, "gpu-layers", 0);
}

static void ram_decides_where_much_of_the_model_is_in_it(void **state)
{
	(void)state;
	wants_of(MOE "-ngl 99 --cpu-moe -c 8192", NULL, "1xRTX-3060", 64, PLAN_FITS, "memory-host", 1);
	wants_of(MOE "-ngl 99 --cpu-moe -c 8192", NULL, "1xRTX-3060", 0, PLAN_NOT_CHECKED, "memory-host", 1);
	wants_of(MOE "-ngl 99 --cpu-moe -c 8192", NULL, "1xRTX-3060", 8, PLAN_NOT_CHECKED, "memory-host", 1);
	wants_of(MOE "-ngl 99 --cpu-moe -c 8192 --no-mmap", "b7000", "1xRTX-3060", 8, PLAN_CANNOT, "ram", 1);
	wants_of(M14 "-ngl 42 -c 4096 -np 1", NULL, "1xRTX-3080", 0, PLAN_FITS, "memory-host", 1);
}

static void what_is_of_unknown_size_makes_no_verdict_sure(void **state)
{
	(void)state;
	/* Other machines' memory may be enough; nobody knows. */
	wants_of(
		M32 "-ngl 99 -c 4096 --rpc 10.0.0.2:50052", NULL, "1xRTX-3060", 64, PLAN_NOT_CHECKED, "memory-open", 1);
	wants_of(M32 "-ngl 99 -c 8192 -md /models/own-draft.gguf", NULL, "1xRTX-3090", 0, PLAN_NOT_CHECKED,
		"memory-close", 1);
	wants_of(M32 "-ngl 99 -c 8192 -hfd bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q8_0", NULL, "1xRTX-3090", 0, PLAN_FITS,
		NULL, 1);
	wants_of(M32 "-ngl 99 -c 8192 -ot 'blk\\.1(?=2)=CPU'", NULL, "1xRTX-3060", 64, PLAN_NOT_CHECKED, "memory-open",
		1);
}

static void two_servers_may_share_all_cards(void **state)
{
	static const char both[] =
		"llama-server -hf bartowski/Qwen2.5-7B-Instruct-GGUF:Q4_K_M -ngl 99 -c 8192 --port 8001 &\n"
		"llama-server -hf bartowski/Qwen2.5-7B-Instruct-GGUF:Q4_K_M -ngl 99 -c 8192 --port 8002\n";

	(void)state;
	plan_it(both, NULL, "2xRTX-3060", 0);
	assert_int_equal(plan_verdict(&x.plan), PLAN_FITS);
	assert_int_equal(x.plan.placement.users[0], 2);
	assert_int_equal(x.plan.placement.users[1], 2);
	forget();
	plan_it(both, NULL, "1xRTX-3060:8GiB", 0);
	assert_int_equal(plan_verdict(&x.plan), PLAN_CANNOT);
	forget();
}

static void cards_alike_have_parts_of_their_own(void **state)
{
	struct plan_terms t[3];

	(void)state;
	plan_it("llama-server " M32 "-ngl 99 -c 8192 -ts 1,1,0", NULL, "3xRTX-3060", 0);
	assert_int_equal(plan_verdict(&x.plan), PLAN_FITS);
	for (uint32_t k = 0; k < 3; k++)
		plan_terms_at(&t[k], &x.plan.placement, &x.plan.deployment, &x.plan.placement.slots[0], k);
	assert_true(t[0].weights > 0 && t[1].weights > t[0].weights); /* the output is on it */
	assert_int_equal(t[2].weights + t[2].kv_least + t[2].runtime, 0);
	forget();
}

static void plans_are_offered_that_are_sure_to_fit(void **state)
{
	static const uint64_t asked[] = {32768, 65536, 131072};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		const struct plan_wish wish = {.options = 3};
		struct plan_options o;
		struct err err = {0};
		char line[256];
		snprintf(line, sizeof line, "llama-server " M14 "-ngl 99 -c %llu", (unsigned long long)asked[i]);
		plan_it(line, NULL, "1xRTX-3060", 0);
		assert_int_equal(plan_verdict(&x.plan), PLAN_CANNOT);
		assert_int_equal(plan_search(&o, &x.plan, &wish, &err), 0);
		assert_true(o.len > 0);
		for (uint32_t k = 0; k < o.len; k++)
			assert_int_equal(plan_verdict(&o.items[k].plan), PLAN_FITS);
		plan_options_done(&o);
		forget();
	}
}

static void a_context_that_slots_divide_is_said(void **state)
{
	(void)state;
	wants_of(M8 "-ngl 99 -c 16384 -np 4", NULL, "1xRTX-3060", 0, PLAN_FITS, "context-divided", 1);
	plan_it("llama-server " M8 "-ngl 99 -c 16384 -np 4 --kv-unified", NULL, "1xRTX-3060", 0);
	assert_false(findings_has(&x.plan.findings, "context-divided"));
	forget();
}

/* Whatever the flags: parts add up to the model, and no card that is not there gets one. */
static void parts_add_up_whatever_is_said(void **state)
{
	static const char *const models[] = {M32, M14, M8, MOE};
	static const char *const cards[] = {"1xRTX-3090", "2xRTX-3060", "1xRTX-3090,1xRTX-3060", "4xRTX-3090"};
	uint32_t seed = 12345;

	(void)state;
	for (int i = 0; i < 300; i++) {
		char flags[256];
		seed = seed * 1664525 + 1013904223;
		uint32_t r = seed >> 8;
		const char *model = models[r % 4], *on = cards[r / 4 % 4];
		snprintf(flags, sizeof flags, "%s-fit off -c 4096 -ngl %u -sm %s -ts %u,%u,%u,%u --n-cpu-moe %u", model,
			r / 16 % 70, r / 1120 % 2 ? "layer" : "row", r % 7, r % 5 + 1, r % 3, r % 11, r % 50);
		char whole[256];
		snprintf(whole, sizeof whole, "%s-fit off -c 4096 -ngl 99", model);
		struct plan_llama_layout l = divided(flags, "b8000", on), w = divided(whole, "b8000", "1xRTX-3090");
		uint64_t weights = l.host_weights, kv = l.host_kv;
		for (uint32_t c = 0; c < l.len; c++) {
			weights += l.cards[c].weights;
			kv += l.cards[c].kv;
		}
		if (mib(weights) < mib(w.cards[0].weights) - 2 || mib(weights) > mib(w.cards[0].weights) + 2)
			fail_msg("%s on %s: %.1f MiB of %.1f", flags, on, mib(weights), mib(w.cards[0].weights));
		if (mib(kv) < mib(w.cards[0].kv) - 2 || mib(kv) > mib(w.cards[0].kv) + 2)
			fail_msg("%s on %s: KV %.1f MiB of %.1f", flags, on, mib(kv), mib(w.cards[0].kv));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_takes_every_card_that_it_sees),
		cmocka_unit_test(the_shell_and_the_container_hide_cards),
		cmocka_unit_test(parts_are_what_llama_cpp_says_of_itself),
		cmocka_unit_test(layers_are_divided_as_said_or_by_free_memory),
		cmocka_unit_test(layers_and_experts_that_stay_in_ram_are_not_on_cards),
		cmocka_unit_test(what_the_release_does_where_the_line_is_silent),
		cmocka_unit_test(ram_decides_where_much_of_the_model_is_in_it),
		cmocka_unit_test(what_is_of_unknown_size_makes_no_verdict_sure),
		cmocka_unit_test(two_servers_may_share_all_cards),
		cmocka_unit_test(cards_alike_have_parts_of_their_own),
		cmocka_unit_test(plans_are_offered_that_are_sure_to_fit),
		cmocka_unit_test(a_context_that_slots_divide_is_said),
		cmocka_unit_test(parts_add_up_whatever_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
