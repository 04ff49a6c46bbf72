/* Models that a file of another machine names by a path. */
#include "cli/gather.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>
#include <string.h>

/* Gather for one worker of that engine and model; the facts' name in ret, "" without facts. */
static struct plan_model gathered(struct gather *g, const char *engine, const char *model, bool elsewhere)
{
	struct graph *graph = NULL;
	struct diags diags;
	struct err err = {0};
	char yaml[512];

	snprintf(yaml, sizeof yaml, "W:\n  engine: %s\n  model: %s\n", engine, model);
	diags_init(&diags);
	gather_init(g);
	g->elsewhere = elsewhere;
	assert_int_equal(graph_parse(&graph, "g.yaml", yaml, strlen(yaml), NULL, &diags, &err), 0);
	uint32_t at = 0;
	while (strcmp(graph->services[at].name, "W") != 0)
		at++;
	assert_int_equal(gather_models(g, graph, NULL, &err), 0);
	struct plan_model ret = g->models[at];
	graph_destroy(graph);
	diags_done(&diags);
	return ret;
}

static void names_model(const char *engine, const char *path, const char *name)
{
	struct gather g;
	struct plan_model m = gathered(&g, engine, path, true);

	if (!m.facts || !strstr(m.facts->name, name))
		fail_msg("%s: \"%s\", not \"%s\" (%s)", path, m.facts ? m.facts->name : "", name, m.why);
	gather_done(&g);
}

static void a_path_of_another_machine_names_its_model(void **state)
{
	(void)state;
	names_model("vllm", "/data/hub/models--mistralai--Mistral-7B-Instruct-v0.3/snapshots/0f1e2d", "Mistral-7B");
	names_model("sglang", "/srv/weights/Qwen2.5-14B-Instruct/", "Qwen2.5-14B");
	names_model("llama", "/models/Qwen2.5-7B-Instruct-Q5_K_M.gguf", "Qwen2.5-7B");
}

static void one_that_says_nothing_is_not_known_and_not_missing(void **state)
{
	static const char *const paths[] = {"/models/checkpoint-4000", "/models--only", "/m/models--nobody--thing/x"};
	struct gather g;

	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		struct plan_model m = gathered(&g, "vllm", paths[i], true);
		assert_null(m.facts);
		assert_false(m.missing || m.refused || m.damaged);
		assert_non_null(strstr(m.why, "not on this machine"));
		gather_done(&g);
	}
	/* A file's name that does not say what its weights are. */
	struct plan_model m = gathered(&g, "llama", "/models/Qwen2.5-7B-Instruct.gguf", true);
	assert_true(!m.facts && !m.missing);
	gather_done(&g);
}

static void what_would_start_here_must_be_here(void **state)
{
	struct gather g;

	(void)state;
	assert_true(gathered(&g, "vllm", "/srv/weights/checkpoint-4000", false).missing);
	gather_done(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_of_another_machine_names_its_model),
		cmocka_unit_test(one_that_says_nothing_is_not_known_and_not_missing),
		cmocka_unit_test(what_would_start_here_must_be_here),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
