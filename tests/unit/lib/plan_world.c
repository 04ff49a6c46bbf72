#include "plan_world.h"
#include "base/rng.h"

#include "cmocka_all.h"

static const char *pick(struct rng *r, const char *const *list, uint32_t len)
{
	return list[rng_below(r, len)];
}

static void model(struct plan_world *w, struct rng *r, uint32_t i, bool small)
{
	static const char *const large[] = {"Qwen2.5-0.5B", "Qwen2.5-7B", "DeepSeek-R1-Distill-Qwen-14B",
		"Llama-3.1-8B", "Llama-3.1-70B", "Qwen3-30B-A3B", "Gemma-2-9B", "Mixtral-8x7B", "DeepSeek-V3",
		"gpt-oss-20b", "SmolLM2-135M", "Mistral-7B-v0.1"};
	static const char *const few[] = {"Qwen2.5-7B", "DeepSeek-R1-Distill-Qwen-14B", "Llama-3.1-8B"};
	struct err err;

	const char *name = small ? pick(r, few, ARRAY_LEN(few)) : pick(r, large, ARRAY_LEN(large));
	if (model_facts_by_name(&w->facts[i], name, &err) < 0)
		fail_msg("%s", err.msg);
}

static void cards(struct plan_world *w, struct rng *r, bool small)
{
	static const char *const names[] = {
		"T4", "L4", "A100-80GB", "H100", "V100", "A10", "RTX-4090", "P40", "A100-40GB"};
	struct buf text;
	struct err err;
	uint32_t groups = small ? 1 + (uint32_t)rng_below(r, 8) / 7 : 1 + (uint32_t)rng_below(r, 3);

	buf_init(&text, 1024);
	if (!small && rng_below(r, 20) == 0)
		buf_add_str(&text, "0");
	for (uint32_t g = 0; g < groups && !(text.len && text.data[0] == '0'); g++)
		buf_printf(&text, "%s%ux%s", g ? (rng_below(r, 3) ? "," : ";") : "",
			1 + (unsigned)rng_below(r, small ? 3 : 9), pick(r, names, small ? 4 : ARRAY_LEN(names)));
	if (gpu_inventory_from_spec(&w->inventory, text.data ? text.data : "0", &err) < 0)
		fail_msg("%s: %s", text.data, err.msg);
	buf_done(&text);
	for (uint32_t i = 0; i < w->inventory.count; i++) {
		struct gpu_device *d = &w->inventory.devices[i];
		if (rng_below(r, small ? 20 : 12) == 0)
			d->memory_free = d->memory_total / 10 * rng_below(r, 10);
	}
}

static void maybe_number(struct buf *b, struct rng *r, const char *key, const uint32_t *list, uint32_t len)
{
	if (rng_below(r, 2))
		buf_printf(b, "  %s: %u\n", key, list[rng_below(r, len)]);
}

/* ServiceArgs: mostly GPUs as the worker takes, now and then others, and those that it is bound to. */
static void service_args(struct buf *b, struct rng *r, uint32_t workers, uint32_t tp, bool small)
{
	uint32_t gpus = !small && rng_below(r, 8) == 0 ? 1 + (uint32_t)rng_below(r, 8) : tp;

	if (rng_below(r, 6) == 0) {
		buf_printf(b, "  ServiceArgs: {workers: %u, resources: {gpu: %u}}\n", workers, gpus);
		return;
	}
	if (rng_below(r, 8) == 0)
		return;
	buf_printf(b, "  ServiceArgs:\n    workers: %u\n    resources:\n      gpu: %u\n", workers, gpus);
	if (small || rng_below(r, 8))
		return;
	uint32_t first = (uint32_t)rng_below(r, 4), count = 1 + (uint32_t)rng_below(r, 4);
	buf_add_str(b, "    envs: {CUDA_VISIBLE_DEVICES: \"");
	for (uint32_t i = 0; i < count; i++)
		buf_printf(b, "%s%u", i ? "," : "", first + i);
	buf_add_str(b, "\"}\n");
}

static void worker(struct buf *b, struct rng *r, const char *name, bool small, bool prefill)
{
	static const char *const releases[] = {"0.6.3", "0.8.5", "0.9.1", "0.11.0", "0.17.0", "0.19.0", "0.33.0"};

	static const uint32_t contexts[] = {2048, 4096, 8192, 16384, 32768}, batches[] = {512, 2048, 8192, 16384},
			      seqs[] = {1, 8, 64, 256, 512};
	static const char *const dtypes[] = {"auto", "float16", "bfloat16", "half", "float32"};
	uint32_t tp = 1u << rng_below(r, small ? 2 : 4), workers = (uint32_t)rng_below(r, small ? 3 : 6);

	if (!small && rng_below(r, 10) == 0)
		tp = 3;
	buf_printf(b, "%s:\n  model: m\n  tensor-parallel-size: %u\n  block-size: 16\n", name, tp);
	maybe_number(b, r, "max-model-len", contexts, ARRAY_LEN(contexts));
	maybe_number(b, r, "max-num-batched-tokens", batches, ARRAY_LEN(batches));
	maybe_number(b, r, "max-num-seqs", seqs, ARRAY_LEN(seqs));
	if (rng_below(r, 3) == 0)
		buf_printf(b, "  dtype: %s # as it was\n", pick(r, dtypes, ARRAY_LEN(dtypes)));
	if (rng_below(r, 4) == 0)
		buf_printf(b, "  gpu-memory-utilization: 0.%u\n", 5 + (unsigned)rng_below(r, 5));
	if (rng_below(r, 4) == 0)
		buf_add_str(b, "  enforce-eager: true\n");
	if (!prefill && rng_below(r, 2))
		buf_add_str(b, "  remote-prefill: true\n");
	if (rng_below(r, 8))
		buf_add_str(b, "  kv-transfer-config: '{\"kv_connector\": \"NixlConnector\"}'\n");
	if (!small && rng_below(r, 3) == 0)
		buf_printf(b, "  engine-version: %s\n", pick(r, releases, ARRAY_LEN(releases)));
	service_args(b, r, workers, tp, small);
}

static void text(struct plan_world *w, struct rng *r, bool small)
{
	buf_add_str(&w->yaml, "# a random graph\nFrontend:\n  port: 0\n\n");
	worker(&w->yaml, r, "VllmWorker", small, false);
	if (rng_below(r, 2))
		worker(&w->yaml, r, "PrefillWorker", small, true);
	if (small)
		return;
	if (rng_below(r, 6) == 0)
		buf_add_str(&w->yaml, "MockWorker:\n  ServiceArgs: {workers: 2}\n");
	if (rng_below(r, 6) == 0)
		buf_printf(&w->yaml, "LlamaWorker:\n  model: m\n  ServiceArgs: {workers: 1, resources: {gpu: %u}}\n",
			(unsigned)rng_below(r, 2));
	if (rng_below(r, 6) == 0)
		buf_printf(&w->yaml, "Other:\n  engine: vllm\n  model: n\n  ServiceArgs: {workers: %u}\n",
			1 + (unsigned)rng_below(r, 2));
	if (rng_below(r, 10) == 0)
		buf_printf(&w->yaml,
			"Pinned:\n  engine: vllm\n  model: n\n  ServiceArgs:\n    envs: {CUDA_VISIBLE_DEVICES: "
			"\"%u\"}\n",
			(unsigned)rng_below(r, 6));
}

void plan_world_read(struct plan_world *w, const char *yaml, size_t len, const char *file)
{
	struct diags diags;
	struct err err;

	diags_init(&diags);
	graph_destroy(w->graph);
	w->graph = NULL;
	if (graph_parse(&w->graph, file, yaml, len, &(struct graph_options){.planned = true}, &diags, &err) < 0)
		fail_msg("%s: %s\n%s", err.msg, diags.len ? diags.items[0].text : "", yaml);
	diags_done(&diags);
	assert_true(w->graph->len <= PLAN_WORLD_SERVICES_MAX);
	for (uint32_t i = 0; i < w->graph->len; i++) {
		bool other = !strcmp(w->graph->services[i].model, "n");
		w->models[i] = (struct plan_model){.facts = &w->facts[other], .why = ""};
	}
	w->input = (struct plan_input){.graph = w->graph, .inventory = &w->inventory, .models = w->models};
}

void plan_world_make(struct plan_world *w, uint64_t seed, bool small)
{
	struct rng r;

	rng_init(&r, seed);
	*w = (struct plan_world){0};
	buf_init(&w->yaml, 64 * 1024);
	gpu_inventory_init(&w->inventory);
	model(w, &r, 0, small);
	model(w, &r, 1, small);
	cards(w, &r, small);
	text(w, &r, small);
	plan_world_read(w, buf_str(&w->yaml), w->yaml.len, "world.yaml");
}

void plan_world_of(struct plan_world *w, const char *yaml, const char *list)
{
	struct err err;

	*w = (struct plan_world){0};
	buf_init(&w->yaml, 64 * 1024);
	gpu_inventory_init(&w->inventory);
	buf_add_str(&w->yaml, yaml);
	if (gpu_inventory_from_spec(&w->inventory, list, &err) < 0)
		fail_msg("%s", err.msg);
	plan_world_read(w, buf_str(&w->yaml), w->yaml.len, "graph.yaml");
	for (uint32_t i = 0; i < w->graph->len; i++) {
		const char *name = w->graph->services[i].model;
		/* A maker called acme: a model that nobody knows. */
		if (*name && !strncmp(name, "acme/", 5)) {
			assert_int_equal(model_facts_by_name(&w->facts[0], name, &err), -ENOENT);
			w->models[i] = (struct plan_model){.why = "it is not in the catalogue"};
			continue;
		}
		if (*name && model_facts_by_name(&w->facts[0], name, &err) < 0)
			fail_msg("%s", err.msg);
		w->models[i].facts = &w->facts[0];
	}
}

void plan_world_done(struct plan_world *w)
{
	graph_destroy(w->graph);
	gpu_inventory_done(&w->inventory);
	buf_done(&w->yaml);
}
