/* What a file's form says of cards that no graph can: slices of them, and programs that choose by themselves what they hold. */
#include "plan/plan.h"

#include "../lib/cmocka_all.h"

/* The verdict of a file on cards; code: a finding that must be there, NULL: none. */
static enum plan_verdict verdict_of(const char *text, const char *cards, const char *code)
{
	struct model_facts facts = {0};
	struct plan_model model = {.facts = &facts, .why = ""};
	struct gpu_inventory inventory;
	struct graph *graph = NULL;
	struct form_set form;
	struct diags diags;
	struct err err = {0};
	struct plan p;

	form_set_init(&form);
	diags_init(&diags);
	gpu_inventory_init(&inventory);
	if (form_read(&form, "file", text, strlen(text), &diags, &err) < 0 || !form.root ||
		graph_of_tree(&graph, "file", form.root, NULL, &diags, &err) < 0 ||
		gpu_inventory_from_spec(&inventory, cards, &err) < 0 ||
		model_facts_by_name(&facts, form.services.v[0].model, &err) < 0)
		fail_msg("%s", err.msg);
	struct plan_model models[8] = {model, model, model, model, model, model, model, model};
	assert_true(graph->len <= ARRAY_LEN(models)); /* the frontend and its kin, too */
	const struct plan_input input = {.graph = graph, .form = &form, .inventory = &inventory, .models = models};
	assert_int_equal(plan_make(&p, &input, &err), 0);
	enum plan_verdict ret = plan_verdict(&p);
	if (code && !findings_has(&p.findings, code))
		fail_msg("no \"%s\" of %s", code, text);
	plan_done(&p);
	graph_destroy(graph);
	gpu_inventory_done(&inventory);
	diags_done(&diags);
	form_set_done(&form);
	return ret;
}

#define POD(resource)                                                                                                  \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, command: [vllm, serve, "        \
	"Qwen/Qwen3-4B, --max-model-len, '4096'], resources: {limits: {" resource ": 1}}}]}\n"

static void a_slice_is_not_a_card(void **state)
{
	(void)state;
	assert_int_equal(verdict_of(POD("nvidia.com/gpu"), "2xA100-80GB", NULL), PLAN_FITS);
	assert_int_equal(verdict_of(POD("nvidia.com/mig-1g.5gb"), "2xA100-40GB", "memory-slice"), PLAN_CANNOT);
	assert_int_equal(verdict_of(POD("nvidia.com/mig-2g.20gb"), "2xA100-80GB", "gpu-slice"), PLAN_NOT_CHECKED);
	assert_int_equal(verdict_of(POD("nvidia.com/gpu.shared"), "2xA100-80GB", "gpu-slice"), PLAN_NOT_CHECKED);
}

static void ollama_fits_when_all_of_it_is_on_the_card(void **state)
{
	(void)state;
	assert_int_equal(verdict_of("FROM qwen2.5-coder:3b\n", "1xRTX-3060", NULL), PLAN_FITS);
	assert_int_equal(verdict_of("FROM llama3.1:70b\n", "1xRTX-4090", "memory-host"), PLAN_NOT_CHECKED);
	/* Layers that are said are on the card, or nothing starts. */
	assert_int_equal(
		verdict_of("FROM llama3.1:70b\nPARAMETER num_gpu 99\n", "1xRTX-4090", "memory-weights"), PLAN_CANNOT);
	assert_int_equal(verdict_of("FROM llama3.1:70b\nPARAMETER num_gpu 99\n", "1xA100-80GB", NULL), PLAN_FITS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slice_is_not_a_card),
		cmocka_unit_test(ollama_fits_when_all_of_it_is_on_the_card),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
