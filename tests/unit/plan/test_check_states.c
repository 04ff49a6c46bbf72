/* Recurrent states of hybrids on vLLM: from the KV pool, a block a sequence; before, beside it. */
#include "plan/check_states.h"
#include "plan/search.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"
#include <stdio.h>
#include <string.h>

static struct plan_world world;
static struct plan plan;

static void make(const char *settings, const char *cards)
{
	char yaml[1024];
	struct err err;

	snprintf(yaml, sizeof yaml, "VllmWorker:\n%s  ServiceArgs: {resources: {gpu: 1}}\n", settings);
	plan_world_of(&world, yaml, cards);
	assert_int_equal(plan_make(&plan, &world.input, &err), 0);
}

static void done(void)
{
	plan_done(&plan);
	plan_world_done(&world);
}

static void wants(const char *settings, const char *cards, bool found, enum plan_verdict verdict)
{
	make(settings, cards);
	if (findings_has(&plan.findings, "memory-states") != found || plan_verdict(&plan) != verdict)
		fail_msg("%s on %s: %s", settings, cards, plan_verdict_name(plan_verdict(&plan)));
	done();
}

#define HYBRID "  model: Qwen/Qwen3.6-27B-FP8\n  gpu-memory-utilization: 0.95\n"

static void vllm_counts_as_many_blocks_as_a_real_start(void **state)
{
	const struct plan_service *s;
	const struct plan_terms *t;

	(void)state;
	/* vLLM 0.23 on an H100: "max_num_seqs (1024) exceeds available Mamba cache blocks (856)" (vllm-project/recipes#551) */
	make(HYBRID "  engine-version: 0.23.0\n", "1xH100");
	s = &plan.deployment.services[0];
	t = plan_terms_of(&plan.placement, 0, 0);
	assert_in_range(plan_state_blocks(s, t), 856 - 30, 856 + 30);
	assert_int_equal(plan_verdict(&plan), PLAN_CANNOT);
	done();
}

static void more_sequences_than_blocks_end_the_start_since_0_20(void **state)
{
	(void)state;
	wants(HYBRID "  max-num-seqs: 2048\n  engine-version: 0.20.0\n", "1xH100", true, PLAN_CANNOT);
	wants(HYBRID "  max-num-seqs: 2048\n", "1xH100", true, PLAN_NOT_CHECKED);
	wants(HYBRID "  max-num-seqs: 2048\n  engine-version: 0.17.0\n", "1xH100", true, PLAN_NOT_CHECKED);
	wants(HYBRID "  max-num-seqs: 850\n  engine-version: 0.24.0\n", "1xH100", true, PLAN_NOT_CHECKED);
	wants(HYBRID "  max-num-seqs: 256\n  engine-version: 0.24.0\n", "1xH100", false, PLAN_FITS);
}

static void graphs_alone_ask_for_them(void **state)
{
	(void)state;
	wants(HYBRID "  max-num-seqs: 2048\n  engine-version: 0.24.0\n  enforce-eager: true\n", "1xH100", false,
		PLAN_FITS);
	make(HYBRID
		"  max-num-seqs: 2048\n  engine-version: 0.24.0\n  compilation-config: '{\"cudagraph_mode\": \"PIECEWISE\"}'\n",
		"1xH100");
	assert_false(findings_has(&plan.findings, "memory-states"));
	done();
	make(HYBRID "  max-num-seqs: 2048\n  engine-version: 0.19.0\n", "1xH100"); /* captures fewer */
	assert_false(findings_has(&plan.findings, "memory-states"));
	done();
}

static void a_plan_is_offered_with_fewer_sequences(void **state)
{
	struct plan_wish wish = {0};
	struct plan_options o;
	struct err err;

	(void)state;
	make(HYBRID "  engine-version: 0.24.0\n", "1xH100");
	assert_int_equal(plan_verdict(&plan), PLAN_CANNOT);
	assert_int_equal(plan_search(&o, &plan, &wish, &err), 0);
	assert_true(o.len > 0);
	assert_in_range(o.items[0].shape.seqs, 8, 688);
	plan_options_done(&o);
	done();
}

static void before_0_10_2_they_lie_beside_the_pool(void **state)
{
	const struct plan_terms *t;

	(void)state;
	make("  model: nvidia/NVIDIA-Nemotron-Nano-9B-v2\n  engine-version: 0.10.1\n", "1xL40S");
	t = plan_terms_of(&plan.placement, 0, 0);
	assert_int_equal(t->states, 256 * plan.deployment.services[0].model->facts->state_bytes);
	assert_int_equal(plan_verdict(&plan), PLAN_CANNOT); /* vllm#23230 */
	done();
	make("  model: nvidia/NVIDIA-Nemotron-Nano-9B-v2\n  engine-version: 0.11.0\n", "1xL40S");
	assert_int_equal(plan_terms_of(&plan.placement, 0, 0)->states, 0);
	done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vllm_counts_as_many_blocks_as_a_real_start),
		cmocka_unit_test(more_sequences_than_blocks_end_the_start_since_0_20),
		cmocka_unit_test(graphs_alone_ask_for_them),
		cmocka_unit_test(a_plan_is_offered_with_fewer_sequences),
		cmocka_unit_test(before_0_10_2_they_lie_beside_the_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
