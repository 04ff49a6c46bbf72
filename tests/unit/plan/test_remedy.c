/* What the planner proposes where memory is too small: each remedy, applied as it is said, lets the plan pass, and one step more
 * does not. */
#include "plan/plan.h"
#include "plan/search.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"

#include <stdio.h>

struct given {
	const char *cards, *card; /* what there is; its name */
	uint32_t tp;
	const char *model;
};

static const struct given table[] = {
	{"1xA100-80GB", "A100-80GB", 1, "Qwen/Qwen2.5-32B-Instruct"},
	{"1xH100", "H100", 1, "openai/gpt-oss-120b"},
	{"2xH100", "H100", 2, "meta-llama/Llama-3.3-70B-Instruct"},
	{"1xL4", "L4", 1, "meta-llama/Llama-3.1-8B-Instruct"},
	{"4xT4", "T4", 4, "DeepSeek-R1-Distill-Qwen-14B"},
	{"1xT4", "T4", 1, "Qwen/Qwen2.5-14B-Instruct"},
	{"4xA100-40GB", "A100-40GB", 4, "meta-llama/Llama-3.1-70B-Instruct"},
	{"1xRTX-4080", "RTX-4080", 1, "openai/gpt-oss-20b"},
};

static void text_of(char *ret, size_t cap, const struct given *g, uint32_t tp, const char *more)
{
	snprintf(ret, cap,
		"VllmWorker:\n  model: %s\n  tensor-parallel-size: %u\n%s  ServiceArgs: {workers: 1, resources: {gpu: %u}}\n",
		g->model, tp, more, tp);
}

/* Fatal findings, and those that leave it open (which depend on the engine's release). */
static uint32_t fatals(const char *yaml, const char *cards, char *ret_remedy, size_t cap)
{
	struct plan_world w;
	struct plan p;
	struct err err;

	plan_world_of(&w, yaml, cards);
	assert_int_equal(plan_make(&p, &w.input, &err), 0);
	uint32_t n = p.findings.fatals + p.findings.unchecked;
	for (uint32_t i = 0; i < p.findings.len && ret_remedy; i++)
		if (!strncmp(p.findings.items[i].code, "memory-", 7))
			snprintf(ret_remedy, cap, "%s", p.findings.items[i].remedy ? p.findings.items[i].remedy : "");
	plan_done(&p);
	plan_world_done(&w);
	return n;
}

/* "max-num-seqs: 64 with max-num-batched-tokens: 2048 fits": the lines of the graph; the first value plus more. */
static uint32_t settings(const char *line, double more, char *ret, size_t cap)
{
	static const char *const keys[] = {
		"max-num-seqs", "max-num-batched-tokens", "max-model-len", "gpu-memory-utilization"};
	uint32_t n = 0;
	size_t len = 0;

	*ret = '\0';
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *at = strstr(line, keys[i]);
		if (!at || at[strlen(keys[i])] != ':')
			continue;
		len += (size_t)snprintf(
			ret + len, cap - len, "  %s: %g\n", keys[i], strtod(at + strlen(keys[i]) + 1, NULL) + more);
		n++;
	}
	return n;
}

static void check_line(const struct given *g, const char *line)
{
	char more[512], yaml[1024], cards[64];
	unsigned count;

	if (sscanf(line, "%u such cards", &count) == 1) {
		snprintf(cards, sizeof cards, "%ux%s", count, g->card);
		text_of(yaml, sizeof yaml, g, count, "");
		assert_int_equal(fatals(yaml, cards, NULL, 0), 0);
		return;
	}
	if (!strncmp(line, "a model of", 10) || !strncmp(line, "--engine-version", 16) || !strncmp(line, "vLLM ", 5))
		return;
	uint32_t n = settings(line, 0, more, sizeof more);
	assert_true(n > 0);
	text_of(yaml, sizeof yaml, g, g->tp, more);
	if (fatals(yaml, g->cards, NULL, 0))
		fail_msg("\"%s\" does not help:\n%s", line, yaml);
	if (n > 1)
		return;
	double step = strstr(line, "smallest") ? -0.01 : strstr(line, "-seqs") ? 8 : strstr(line, "-len") ? 16 : 256;
	settings(line, step, more, sizeof more);
	text_of(yaml, sizeof yaml, g, g->tp, more);
	if (!fatals(yaml, g->cards, NULL, 0))
		fail_msg("\"%s\" is not the limit:\n%s", line, yaml);
}

static void each_remedy_passes_when_applied_and_is_the_limit(void **state)
{
	uint32_t lines = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char yaml[1024], remedy[2048] = "";
		text_of(yaml, sizeof yaml, &table[i], table[i].tp, "");
		assert_true(fatals(yaml, table[i].cards, remedy, sizeof remedy) > 0);
		assert_true(*remedy != '\0');
		for (char *line = strtok(remedy, "\n"); line; line = strtok(NULL, "\n"), lines++)
			check_line(&table[i], line);
	}
	assert_true(lines > 2 * ARRAY_LEN(table));
}

/* What costs nothing comes before what costs quality, and that before what costs money. */
static void remedies_are_cheapest_first(void **state)
{
	static const char *const order[] = {
		"max-num-seqs", "max-model-len", "gpu-memory-utilization", "8-bit", "such cards"};
	char yaml[1024], remedy[2048] = "";
	const char *last = remedy;

	(void)state;
	text_of(yaml, sizeof yaml, &table[0], 1, "");
	assert_int_equal(fatals(yaml, table[0].cards, remedy, sizeof remedy), 1);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		const char *at = strstr(remedy, order[i]);
		if (!at || at < last)
			fail_msg("%s is not in its place:\n%s", order[i], remedy);
		last = at;
	}
}

/* A card may be one of many too few: only what no number of them holds is said to be so. */
static void no_number_of_cards_is_said_only_when_true(void **state)
{
	static const struct {
		const char *model, *cards, *why;
	} cases[] = {
		{"meta-llama/Llama-3.1-70B-Instruct", "2xT4", "one worker takes 16 T4 in one host"},
		{"meta-llama/Llama-3.1-70B-Instruct", "1xH100;1xH100", "one worker takes 2 H100 in one host"},
		{"meta-llama/Llama-3.1-8B-Instruct", "2xH100:4GiB", "no number of these cards"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct given g = {cases[i].cards, "", 1, cases[i].model};
		struct plan_wish wish = {0};
		struct plan_options o;
		struct plan_world w;
		struct plan p;
		struct err err;
		char yaml[1024];
		text_of(yaml, sizeof yaml, &g, 1, "");
		plan_world_of(&w, yaml, g.cards);
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		assert_int_equal(plan_search(&o, &p, &wish, &err), 0);
		assert_int_equal(o.len, 0);
		if (!strstr(o.why, cases[i].why))
			fail_msg("%s on %s: %s", g.model, g.cards, o.why);
		plan_options_done(&o);
		plan_done(&p);
		plan_world_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_remedy_passes_when_applied_and_is_the_limit),
		cmocka_unit_test(remedies_are_cheapest_first),
		cmocka_unit_test(no_number_of_cards_is_said_only_when_true),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
