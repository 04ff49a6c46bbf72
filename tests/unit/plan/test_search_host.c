/* Plans for hosts without GPUs: random hosts and models, and the graph that is written in place of one for GPUs. */
#include "base/rng.h"
#include "plan/host_graph.h"
#include "plan/report.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"
#include <stdio.h>

#define GIB ((uint64_t)1 << 30)

static const struct plan_wish wish = {
	.quants = {{"awq", NULL}, {"fp8", NULL}, {"q4_k_m", "/models/x.gguf"}}, .quants_len = 3};

static void host_make(struct host_facts *ret, struct rng *r)
{
	*ret = (struct host_facts){.cores = 1 + (uint32_t)rng_below(r, 96),
		.avx = true,
		.avx2 = true,
		.avx512 = rng_below(r, 2) == 0,
		.ram_total = (2 + rng_below(r, 500)) * GIB,
		.numa_nodes = 1 + (uint32_t)rng_below(r, 4),
		.memory_mb_s = rng_below(r, 2) ? 5000 + (uint32_t)rng_below(r, 300000) : 0};
	ret->ram_available = ret->ram_total / 100 * (20 + rng_below(r, 81));
}

static const char *const graphs[] = {
	"VllmWorker:\n  model: %s\n  max-model-len: 8192\n  tensor-parallel-size: 2\n  ServiceArgs: {workers: 2}\n",
	"VllmWorker:\n  model: %s\n  remote-prefill: true\nPrefillWorker:\n  model: %s\n",
	"LlamaWorker:\n  model: %s\n  context-length: 4096\n  max-seqs: 8\n",
	"LlamaWorker:\n  model: %s\n  threads: 2\n  context-length: 16384\n  ServiceArgs: {workers: 3}\n",
};

static void world(struct plan_world *w, struct rng *r)
{
	static const char *const models[] = {"Qwen2.5-0.5B", "Qwen2.5-7B", "DeepSeek-R1-Distill-Qwen-14B",
		"Llama-3.1-70B", "Qwen3-30B-A3B", "Gemma-2-9B"};
	const char *model = models[rng_below(r, ARRAY_LEN(models))];
	char yaml[512];

	snprintf(yaml, sizeof yaml, graphs[rng_below(r, ARRAY_LEN(graphs))], model, model);
	plan_world_of(w, yaml, "0");
	host_make(&w->inventory.host_facts, r);
}

static void check_option(
	const struct plan *asked, const struct plan_options *o, const struct plan_option *x, uint64_t seed)
{
	const struct host_facts *h = &asked->input.inventory->host_facts;
	const struct plan_service *s = &x->plan.deployment.services[o->main];
	struct plan_host_need n;

	plan_host_need(&n, s);
	if (n.weights + s->workers * (n.kv + n.rest) > h->ram_available)
		fail_msg("seed %llu: more RAM than there is", (unsigned long long)seed);
	if (x->shape.workers * x->shape.threads > h->cores || x->shape.workers == 0)
		fail_msg("seed %llu: %u workers of %u threads on %u cores", (unsigned long long)seed, x->shape.workers,
			x->shape.threads, h->cores);
	if (!plan_fits(&x->plan) || !x->predicted.known || x->predicted.tokens_s <= 0)
		fail_msg("seed %llu: an option that does not fit, or is not predicted", (unsigned long long)seed);
	if (s->engine != GRAPH_ENGINE_LLAMA || s->gpus)
		fail_msg("seed %llu: not a llama worker on the CPU", (unsigned long long)seed);
}

/* The option as a graph, read and planned again. */
static void check_written(struct plan_world *w, const struct plan *asked, const struct plan_options *o,
	const struct plan_option *x, uint64_t seed)
{
	struct plan_world again = *w;
	struct plan_edits edits;
	struct buf text;
	struct plan p;
	struct err err = {0};

	buf_init(&text, 1 << 20);
	again.graph = NULL;
	if (plan_option_converts(asked, o, x)) {
		plan_host_graph(asked, o, x, "a title", &text);
	} else {
		plan_edits(&edits, &asked->deployment, &x->plan.deployment, NULL);
		assert_int_equal(plan_edit_text(&edits, "host.yaml", buf_str(&w->yaml), w->yaml.len, &text, &err), 0);
	}
	plan_world_read(&again, buf_str(&text), text.len, "again.yaml");
	again.input.models = again.models;
	assert_int_equal(plan_make(&p, &again.input, &err), 0);
	/* The facts are those of the unquantized model: what fits in fewer bits need not fit as it is. */
	if (!x->shape.quant && !plan_fits(&p))
		fail_msg("seed %llu: written, it does not fit: %s\n%s", (unsigned long long)seed,
			p.findings.items[0].what, buf_str(&text));
	const struct plan_service *s = &p.deployment.services[0];
	if (s->engine != GRAPH_ENGINE_LLAMA || s->workers != x->shape.workers || s->context != x->shape.context ||
		s->seqs != x->shape.seqs || plan_kv_type(s) != kv_dtype_parse(x->shape.kv))
		fail_msg("seed %llu: what was written is not the plan\n%s", (unsigned long long)seed, buf_str(&text));
	plan_done(&p);
	graph_destroy(again.graph);
	buf_done(&text);
}

static void report(const struct plan *p, const struct plan_options *o)
{
	const struct plan_report r = {
		.asked = p, .options = o, .command = "stator plan x", .explain = true, .look = {.least = FINDING_INFO}};
	struct buf out;

	buf_init(&out, 1 << 22);
	plan_report_text(&r, &out);
	plan_report_json(&r, &out);
	assert_false(out.failed);
	buf_done(&out);
}

static void plans_for_a_host_use_what_it_has(void **state)
{
	uint32_t found = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct plan_world w;
		struct plan_options o;
		struct plan p;
		struct rng r;
		struct err err = {0};

		rng_init(&r, seed);
		world(&w, &r);
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		assert_int_equal(plan_search(&o, &p, &wish, &err), 0);
		assert_true(o.on_host && (o.len > 0 || *o.why));
		found += o.len > 0;
		for (uint32_t i = 0; i < o.len; i++) {
			check_option(&p, &o, &o.items[i], seed);
			check_written(&w, &p, &o, &o.items[i], seed);
		}
		report(&p, &o);
		plan_options_done(&o);
		plan_done(&p);
		plan_world_done(&w);
	}
	assert_true(found > 200);
}

/* Twice the rate of memory, and tokens come nearly twice as fast to a request that is alone. */
static void the_rate_of_memory_decides(void **state)
{
	struct host_facts h = {.cores = 16, .avx2 = true, .ram_total = 64 * GIB, .memory_mb_s = 50000};
	struct model_facts m;
	struct gpu_spec slow, fast;
	struct roofline a, b;
	struct err err;

	(void)state;
	assert_int_equal(model_facts_by_name(&m, "Qwen2.5-7B", &err), 0);
	roofline_host(&slow, &h, 1);
	h.memory_mb_s *= 2;
	roofline_host(&fast, &h, 1);
	assert_int_equal(roofline_init(&a, &(struct roofline_ask){.gpu = &slow, .model = &m, .host = true}, &err), 0);
	assert_int_equal(roofline_init(&b, &(struct roofline_ask){.gpu = &fast, .model = &m, .host = true}, &err), 0);
	double ratio = roofline_decode_us(&a, 1, 512) / roofline_decode_us(&b, 1, 512);
	assert_true(ratio > 1.8 && ratio <= 2);
}

static void memory_is_measured(void **state)
{
	(void)state;
	assert_true(host_memory_measure(2) > 100); /* MB/s: a host of this century */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_for_a_host_use_what_it_has),
		cmocka_unit_test(the_rate_of_memory_decides),
		cmocka_unit_test(memory_is_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
