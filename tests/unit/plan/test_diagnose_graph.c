/* The line to change, in the file that was run, whatever its form; and that what the diagnoser says to do is nothing that the planner
 * refuses. */
#include "plan/diagnose.h"
#include "plan/diagnose_graph.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/diagnose_catalogue.h"
#include "../lib/plan_world.h"

/* What is said to be done about a log, with this file. */
static void remedy_of(const char *file, const char *text, const char *log_text, char *ret, size_t cap)
{
	CLEANUP(diagnosis_destroy_p) struct diagnosis *d = NULL;
	CLEANUP(diagnose_graph_destroy_p) struct diagnose_graph *graph = NULL;
	struct diags diags;
	struct findings f;

	diags_init(&diags);
	assert_int_equal(diagnose_graph_parse(&graph, file, text, strlen(text), 0, &diags, NULL), 0);
	assert_true(diagnose_graph_has_workers(graph));
	assert_int_equal(diagnosis_create(&d, catalogue, NULL), 0);
	struct diagnosed_log *log = diagnosis_log(d, "x.log");
	diagnosed_log_feed(log, log_text, strlen(log_text));
	diagnosed_log_end(log);
	findings_init(&f);
	diagnosis_conclude(d, NULL, graph, &f);
	assert_true(findings_have_cause(&f));
	snprintf(ret, cap, "%s", f.items[0].remedy ? f.items[0].remedy : "");
	findings_done(&f);
	diags_done(&diags);
}

/* What vLLM says when the longest request has no room: so many tokens have. */
static const char *no_room(uint64_t asked, uint64_t fits)
{
	static char text[600];

	snprintf(text, sizeof text,
		"ValueError: To serve at least one request with the models's max seq len (%llu), (9.00 GiB KV cache is needed, "
		"which is larger than the available KV cache memory (2.50 GiB). Based on the available memory, the estimated "
		"maximum model length is %llu. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when "
		"initializing the engine.\n",
		(unsigned long long)asked, (unsigned long long)fits);
	return text;
}

static void every_form_has_the_line_to_change_named_as_it_stands_there(void **state)
{
	static const struct {
		const char *file, *text, *says;
	} forms[] = {
		{"g.yaml", "VllmWorker:\n  model: Qwen/Qwen2.5-7B-Instruct\n  max-model-len: 30000\n",
			"g.yaml:3: max-model-len is 30000; make it 11000"},
		{"run.sh",
			"#!/bin/sh\nset -e\n\nvllm serve Qwen/Qwen2.5-7B-Instruct \\\n  --port 80 \\\n  --max-model-len 30000\n",
			"run.sh:6: --max-model-len is 30000; make it 11000"},
		{"c.yaml",
			"services:\n  a:\n    image: vllm/vllm-openai:v0.11.0\n    command:\n"
			"      - --model\n      - Qwen/Qwen2.5-7B-Instruct\n      - --max-model-len\n      - \"30000\"\n",
			"c.yaml:7: --max-model-len is 30000; make it 11000"},
		{"k.yaml",
			"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: m\n"
			"    image: vllm/vllm-openai:v0.11.0\n    args:\n    - --model=Qwen/Qwen2.5-7B-Instruct\n"
			"    - --max-model-len=30000\n",
			"k.yaml:10: --max-model-len is 30000; make it 11000"},
		{"cfg.yaml", "model: Qwen/Qwen2.5-7B-Instruct\nmax-model-len: 30000\ngpu-memory-utilization: 0.9\n",
			"cfg.yaml:2: --max-model-len is 30000; make it 11000"},
		{"none.sh", "vllm serve Qwen/Qwen2.5-7B-Instruct\n", "none.sh:1: add --max-model-len 11000"},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		char remedy[4096];

		remedy_of(forms[i].file, forms[i].text, no_room(30000, 11000), remedy, sizeof remedy);
		if (!strstr(remedy, forms[i].says))
			fail_msg("wanted \"%s\", got \"%s\"", forms[i].says, remedy);
	}
}

/* A log of another run: what the file says is below what would fit. */
static void a_file_that_obeys_already_is_not_told_to_take_more(void **state)
{
	char remedy[4096];
	(void)state;

	remedy_of("g.yaml", "VllmWorker:\n  model: Qwen/Qwen2.5-7B-Instruct\n  max-model-len: 8192\n",
		no_room(30000, 11000), remedy, sizeof remedy);
	assert_non_null(strstr(remedy, "g.yaml:3: max-model-len is 8192, and so much is there"));
	assert_null(strstr(remedy, "make it"));
}

/* What the diagnoser says to write, the planner takes: for each model the longest context of the log, of the file and of the
 * model are in every order. */
static void what_is_to_be_written_is_nothing_that_the_planner_refuses(void **state)
{
	static const char *const models[] = {"Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen3-8B",
		"meta-llama/Llama-3.1-8B-Instruct", "mistralai/Mistral-7B-Instruct-v0.3"};
	static const double shares[] = {0.25, 0.9, 1.5, 4};
	uint32_t seen = 0;
	(void)state;

	for (size_t m = 0; m < ARRAY_LEN(models); m++)
		for (size_t asked = 0; asked < ARRAY_LEN(shares); asked++)
			for (size_t fits = 0; fits < asked; fits++) {
				struct model_facts facts;
				char yaml[512], remedy[4096];

				assert_int_equal(model_facts_by_name(&facts, models[m], NULL), 0);
				uint64_t length = (uint64_t)(facts.context_max * shares[asked]);
				snprintf(yaml, sizeof yaml,
					"VllmWorker:\n  model: %s\n  max-model-len: %llu\n  ServiceArgs: {workers: 1}\n",
					models[m], (unsigned long long)length);
				remedy_of("g.yaml", yaml, no_room(length, (uint64_t)(facts.context_max * shares[fits])),
					remedy, sizeof remedy);
				const char *made = strstr(remedy, "make it ");
				assert_non_null(made);
				snprintf(yaml, sizeof yaml,
					"VllmWorker:\n  model: %s\n  max-model-len: %llu\n  ServiceArgs: {workers: 1}\n",
					models[m], strtoull(made + 8, NULL, 10));
				struct plan_world w;
				struct plan p;
				plan_world_of(&w, yaml, "1xH100");
				assert_int_equal(plan_make(&p, &w.input, NULL), 0);
				assert_false(findings_has(&p.findings, "context-max"));
				seen++;
				plan_done(&p);
				plan_world_done(&w);
			}
	assert_int_equal(seen, ARRAY_LEN(models) * 6);
}

static void a_file_without_an_engine_is_known_to_have_none(void **state)
{
	static const char *const texts[] = {"a: b\n", "- 1\n", "Frontend:\n  port: 80\n"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct diagnose_graph *graph = NULL;
		struct diags diags;

		diags_init(&diags);
		assert_int_equal(diagnose_graph_parse(&graph, "x", texts[i], strlen(texts[i]), 0, &diags, NULL), 0);
		assert_false(diagnose_graph_has_workers(graph));
		diagnose_graph_destroy(graph);
		diags_done(&diags);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_has_the_line_to_change_named_as_it_stands_there),
		cmocka_unit_test(a_file_that_obeys_already_is_not_told_to_take_more),
		cmocka_unit_test(what_is_to_be_written_is_nothing_that_the_planner_refuses),
		cmocka_unit_test(a_file_without_an_engine_is_known_to_have_none),
	};
	return cmocka_run_group_tests(tests, catalogue_open, catalogue_close);
}
