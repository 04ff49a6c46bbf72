/* bench_plan.c - what a plan costs: the check alone, and with the whole search, by number of cards. */
#include "bench.h"
#include "plan/search.h"
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *cards, *name;
	uint32_t workers;
} hosts[] = {
	{"4xT4", "4 cards", 4},
	{"8xA100-80GB;8xT4;8xL4;8xH100", "32 cards of 4 kinds", 16},
	{NULL, "1024 cards in 128 hosts", 512},
};

static const char graph_text[] = "Common:\n  model: DeepSeek-R1-Distill-Qwen-14B\n  block-size: 64\n"
				 "  kv-transfer-config: '{}'\n"
				 "VllmWorker:\n  remote-prefill: true\n  tensor-parallel-size: 4\n"
				 "  ServiceArgs: {workers: %u, resources: {gpu: 4}}\n"
				 "  common-configs: [model, block-size, kv-transfer-config]\n"
				 "PrefillWorker:\n  tensor-parallel-size: 4\n"
				 "  ServiceArgs: {workers: %u, resources: {gpu: 4}}\n"
				 "  common-configs: [model, block-size, kv-transfer-config]\n";

static void one(const char *cards, const char *name, uint32_t workers)
{
	const struct plan_wish wish = {.quants = {{"awq", NULL}, {"fp8", NULL}}, .quants_len = 2};
	struct plan_model models[8];
	struct gpu_inventory inventory;
	struct model_facts facts;
	struct graph *graph;
	struct diags diags;
	struct err err = {0};
	char text[1024], label[128];

	diags_init(&diags);
	snprintf(text, sizeof text, graph_text, workers, workers);
	if (graph_parse(&graph, "bench.yaml", text, strlen(text), NULL, &diags, &err) < 0 ||
		gpu_inventory_from_spec(&inventory, cards, &err) < 0 ||
		model_facts_by_name(&facts, "DeepSeek-R1-Distill-Qwen-14B", &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	for (uint32_t i = 0; i < ARRAY_LEN(models); i++)
		models[i] = (struct plan_model){.facts = &facts, .why = ""};
	const struct plan_input input = {.graph = graph, .inventory = &inventory, .models = models};
	snprintf(label, sizeof label, "plan, check only, %s", name);
	BENCH(label, 1, {
		struct plan p;
		if (plan_make(&p, &input, &err) < 0)
			abort();
		bench_use(&p);
		plan_done(&p);
	});
	snprintf(label, sizeof label, "plan, check and search, %s", name);
	BENCH(label, 1, {
		struct plan p;
		struct plan_options o;
		if (plan_make(&p, &input, &err) < 0 || plan_search(&o, &p, &wish, &err) < 0)
			abort();
		bench_use(&o);
		plan_options_done(&o);
		plan_done(&p);
	});
	graph_destroy(graph);
	gpu_inventory_done(&inventory);
	diags_done(&diags);
}

int main(void)
{
	char many[128 * 16] = "";

	for (int i = 0; i < 128; i++)
		strcat(many, i ? ";8xH100" : "8xH100");
	printf("plan\n");
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		one(hosts[i].cards ? hosts[i].cards : many, hosts[i].name, hosts[i].workers);
	return 0;
}
