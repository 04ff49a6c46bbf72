/* The planner's memory against what engines said at their start on real cards: bench/memory/starts, one file a start, from public
 * logs. Each is planned from its command line, the names of its cards and its release alone. bench/memory/starts.py makes the table
 * of docs/memory.md of the same files. */
#include "config/graph.h"
#include "config/records.h"
#include "forms/form.h"
#include "plan/plan.h"

#include "../lib/cmocka_all.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "bench/memory/starts"
enum { STARTS_MAX = 512, WORDS_MAX = 64, FILE_BYTES_MAX = 8192 };

struct start {
	const char *name, *engine, *version, *cards, *starts, *command, *room_text, *note, *from;
	double total, weights, activation, nontorch, graphs, room, needed;
	uint64_t tokens;
	bool rebuilt, odd;
	bool has_room;
	double room_got; /* GiB; predicted */
	enum plan_verdict verdict;
};

struct starts {
	struct start v[STARTS_MAX];
	uint32_t len;
	struct arena arena;
};

#define FIELD(key, kind, member, required)                                                                             \
	{                                                                                                              \
		key, kind, offsetof(struct start, member), required, NULL, NULL                                        \
	}
static const struct record_field fields[] = {
	FIELD("engine", RECORD_TEXT, engine, true),
	FIELD("version", RECORD_TEXT, version, true),
	FIELD("cards", RECORD_TEXT, cards, true),
	FIELD("starts", RECORD_TEXT, starts, true),
	FIELD("command", RECORD_TEXT, command, true),
	FIELD("total", RECORD_F64, total, false),
	FIELD("weights", RECORD_F64, weights, false),
	FIELD("activation", RECORD_F64, activation, false),
	FIELD("nontorch", RECORD_F64, nontorch, false),
	FIELD("graphs", RECORD_F64, graphs, false),
	FIELD("room", RECORD_TEXT, room_text, false),
	FIELD("needed", RECORD_F64, needed, false),
	FIELD("tokens", RECORD_U64, tokens, false),
	FIELD("rebuilt", RECORD_BOOL, rebuilt, false),
	FIELD("odd", RECORD_BOOL, odd, false),
	FIELD("note", RECORD_TEXT, note, false),
	FIELD("from", RECORD_TEXT, from, true),
};

static double gib(double bytes)
{
	return bytes / (1024.0 * 1024 * 1024);
}

static int one(void *ctx, const struct record *r)
{
	struct starts *all = ctx;
	struct start *s = &all->v[all->len++];
	struct diags d;

	assert_true(all->len < STARTS_MAX);
	*s = (struct start){.name = r->name};
	diags_init(&d);
	if (!record_fill(r, fields, ARRAY_LEN(fields), s, &d))
		fail_msg("%s: %s", r->name, d.len ? d.items[0].text : "");
	diags_done(&d);
	s->has_room = s->room_text != NULL;
	s->room = s->has_room ? strtod(s->room_text, NULL) : 0;
	return 0;
}

static void read_file(struct starts *all, const char *file)
{
	char *text = arena_alloc(&all->arena, FILE_BYTES_MAX);
	struct diags d;
	FILE *f = fopen(file, "re");

	assert_non_null(f);
	size_t len = fread(text, 1, FILE_BYTES_MAX - 1, f);
	fclose(f);
	text[len] = '\0';
	diags_init(&d);
	if (records_parse(file, text, len, &all->arena, &d, one, all) < 0)
		fail_msg("%s: %s", file, d.len ? d.items[0].text : "cannot be read");
	diags_done(&d);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_start(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');

	return dot && !strcmp(dot, ".txt");
}

static void read_all(struct starts *ret)
{
	struct dirent **names;
	char file[512];
	int n = scandir(FOLDER, &names, is_start, by_name);

	ret->len = 0;
	arena_init(&ret->arena, 16 << 20);
	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof file, "%s/%s", FOLDER, names[i]->d_name);
		read_file(ret, file);
		free(names[i]);
	}
	free(names);
}

static uint32_t words_of(struct arena *arena, const char *command, const char **ret)
{
	char *text = arena_strdup(arena, command), *save = NULL;
	uint32_t len = 0;

	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_true(len < WORDS_MAX);
		ret[len++] = w;
	}
	return len;
}

struct planned {
	struct form_set form;
	struct graph *graph;
	struct gpu_inventory inventory;
	struct model_facts facts[2];
	struct plan_model models[8];
	struct plan plan;
};

static void models_of(struct planned *x, const char *name)
{
	struct err err;

	assert_true(x->graph->len <= ARRAY_LEN(x->models));
	for (uint32_t i = 0; i < x->graph->len; i++) {
		const char *model = x->graph->services[i].model;
		x->models[i] = (struct plan_model){.why = ""};
		if (!*model)
			continue;
		if (model_facts_by_name(&x->facts[0], model, &err) < 0)
			fail_msg("%s: %s", name, err.msg);
		x->models[i].facts = &x->facts[0];
	}
}

static void plan_start(struct planned *x, struct starts *all, const struct start *s)
{
	const char *words[WORDS_MAX];
	struct diags d;
	struct err err;
	struct plan_input input = {0};

	form_set_init(&x->form);
	diags_init(&d);
	gpu_inventory_init(&x->inventory);
	if (form_read_words(&x->form, words, words_of(&all->arena, s->command, words), &err) < 0 ||
		graph_of_tree(&x->graph, "command line", x->form.root, NULL, &d, &err) < 0 ||
		gpu_inventory_from_spec(&x->inventory, s->cards, &err) < 0)
		fail_msg("%s: %s", s->name, err.msg);
	diags_done(&d);
	models_of(x, s->name);
	input.versions[strcmp(s->engine, "vllm") ? GRAPH_ENGINE_SGLANG : GRAPH_ENGINE_VLLM] =
		engine_version_parse(s->version);
	input.graph = x->graph;
	input.models = x->models;
	input.inventory = &x->inventory;
	if (plan_make(&x->plan, &input, &err) < 0)
		fail_msg("%s: %s", s->name, err.msg);
}

static void planned_done(struct planned *x)
{
	plan_done(&x->plan);
	graph_destroy(x->graph);
	gpu_inventory_done(&x->inventory);
	form_set_done(&x->form);
}

/* Weights are told by the shapes. Loaders hold a little more; some matrices are not packed; LoRA adds its own. */
static void check_weights(const struct start *s, const struct plan_terms *t)
{
	double got = gib((double)t->weights);

	if (s->weights && !s->rebuilt && !s->odd && fabs(got - s->weights) > 0.02 * s->weights + 0.6)
		fail_msg("%s: weights %.3f GiB, the log says %.3f", s->name, got, s->weights);
}

/* A token's KV is exact where all layers keep all of it: the log's room over its tokens, to what its two digits can tell. */
static void check_token(const struct start *s, const struct plan_terms *t, const struct model_facts *m)
{
	if (!s->tokens || !s->has_room || s->room <= 0 || s->odd || m->sliding_layers || m->state_bytes ||
		strstr(s->command, "--pipe"))
		return;
	double log_token = s->room * 1024 * 1024 * 1024 / (double)s->tokens,
	       token = (double)t->kv_least / (double)t->context;
	if (fabs(token - log_token) > log_token * (0.006 / s->room + 0.001))
		fail_msg("%s: %.0f bytes a token, the log has %.0f", s->name, token, log_token);
}

/* What a start that failed or went well says of the verdict. What is not checked is neither. */
static void check_sign(const struct start *s)
{
	bool yes = !strcmp(s->starts, "yes");

	if (!yes && strcmp(s->starts, "no"))
		fail_msg("%s: starts is yes or no", s->name);
	if (yes && s->verdict == PLAN_CANNOT)
		fail_msg("%s: it runs, and the plan says that it cannot", s->name);
	if (!yes && s->verdict == PLAN_FITS)
		fail_msg("%s: it does not start, and the plan says that it fits", s->name);
}

/* Room for KV: never much more than there is, which is the error that hurts; nor much less. */
static void check_room(const struct start *s)
{
	double apart = s->room_got - s->room;

	if (!s->has_room || s->rebuilt || s->odd)
		return;
	if (apart > 0.5 + 0.03 * fabs(s->room))
		fail_msg("%s: %.2f GiB for KV, the log has only %.2f", s->name, s->room_got, s->room);
	if (apart < -(1.0 + 0.08 * fabs(s->room)))
		fail_msg("%s: %.2f GiB for KV, the log has %.2f", s->name, s->room_got, s->room);
}

static void check(struct starts *all, struct start *s)
{
	struct planned x;

	plan_start(&x, all, s);
	s->verdict = plan_verdict(&x.plan);
	uint32_t class = plan_class_for(&x.plan.placement, 0);
	if (class == UINT32_MAX) {
		assert_string_equal(s->starts, "no");
	} else {
		const struct plan_terms *t = plan_terms_of(&x.plan.placement, 0, class);
		assert_true(t->known);
		s->room_got = gib((double)t->kv_room);
		check_weights(s, t);
		check_token(s, t, &x.facts[0]);
		check_room(s);
	}
	check_sign(s);
	planned_done(&x);
}

static void each_start_is_predicted_and_its_verdict_has_the_right_sign(void **state)
{
	struct starts *all = *state;

	for (uint32_t i = 0; i < all->len; i++)
		check(all, &all->v[i]);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void half_of_all_rooms_are_within_5_percent(void **state)
{
	struct starts *all = *state;
	double errors[STARTS_MAX];
	uint32_t len = 0;

	for (uint32_t i = 0; i < all->len; i++) {
		struct start *s = &all->v[i];
		if (s->has_room && !s->rebuilt && s->room > 0)
			errors[len++] = fabs(s->room_got - s->room) / s->room;
	}
	assert_true(len >= 70);
	qsort(errors, len, sizeof *errors, by_size);
	if (errors[len / 2] > 0.05)
		fail_msg("the median error of the room for KV is %.1f %%", errors[len / 2] * 100);
}

/* "Not checked" is no way around an answer. */
static void most_starts_get_an_answer(void **state)
{
	struct starts *all = *state;
	uint32_t open = 0;

	for (uint32_t i = 0; i < all->len; i++)
		open += all->v[i].verdict == PLAN_NOT_CHECKED;
	if (open * 6 > all->len)
		fail_msg("%u of %u starts are not checked", open, all->len);
}

static int setup(void **state)
{
	static struct starts all;

	read_all(&all);
	*state = &all;
	return 0;
}

static int teardown(void **state)
{
	arena_done(&((struct starts *)*state)->arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_start_is_predicted_and_its_verdict_has_the_right_sign),
		cmocka_unit_test(half_of_all_rooms_are_within_5_percent),
		cmocka_unit_test(most_starts_get_an_answer),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
