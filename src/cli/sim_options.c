/* sim_options.c - the flags of stator sim, made into cases. */
#include "cli/catalogues.h"
#include "cli/sim_cases.h"
#include "config/graph.h"
#include "config/suggest.h"
#include "config/nearby.h"
#include "sim/generate.h"

#include <stdio.h>
#include <string.h>

static int number(const char *what, const char *word, double min, double max, double *ret, struct err *err)
{
	char *end;
	double v = strtod(word, &end);

	if (*end || end == word || !(v >= min && v <= max))
		return err_set(err, -EINVAL, "%s \"%s\" is not a number from %g to %g", what, word, min, max);
	*ret = v;
	return 0;
}

static int copy(struct sim_cases *c, const char *text, char **ret, struct err *err)
{
	*ret = arena_strdup(&c->arena, text);
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int speeds_read(struct sim_cases *c, const char *text, struct err *err)
{
	char *words, *save;

	if (!text)
		return 0;
	if (copy(c, text, &words, err) < 0)
		return -ENOMEM;
	for (char *w = strtok_r(words, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		if (c->speeds_len == REPLAY_WORKERS_MAX)
			return err_set(err, -E2BIG, "more than %d worker speeds", REPLAY_WORKERS_MAX);
		if (number("worker speed", w, 0.001, 1000, &c->speeds[c->speeds_len++], err) < 0)
			return -EINVAL;
	}
	return 0;
}

/* "lie=W*F", "join=W@SECONDS", "die=W@SECONDS". */
static int fault_read(struct replay_fault *ret, char *word, struct err *err)
{
	char *value = strchr(word, '='), *mark = value ? strpbrk(value, "*@") : NULL;
	double worker, amount;

	if (!mark)
		return err_set(err, -EINVAL,
			"fault \"%s\" is not understood; there are lie=WORKER*FACTOR, join=WORKER@SECONDS and "
			"die=WORKER@SECONDS",
			word);
	char kind = *mark;
	*mark++ = *value++ = '\0';
	if (number("the worker of a fault", value, 0, REPLAY_WORKERS_MAX - 1, &worker, err) < 0)
		return -EINVAL;
	if (number("the amount of a fault", mark, 0.001, 1e9, &amount, err) < 0)
		return -EINVAL;
	*ret = (struct replay_fault){.worker = (uint32_t)worker};
	if (!strcmp(word, "lie") && kind == '*') {
		ret->kind = REPLAY_LIE;
		ret->factor = amount;
		return 0;
	}
	ret->at_us = (uint64_t)(amount * 1e6);
	if (kind == '@' && (!strcmp(word, "join") || !strcmp(word, "die"))) {
		ret->kind = *word == 'j' ? REPLAY_JOIN : REPLAY_DIE;
		return 0;
	}
	return err_set(err, -EINVAL,
		"unknown fault \"%s\"; there are lie=WORKER*FACTOR, join=WORKER@SECONDS and die=WORKER@SECONDS", word);
}

static int faults_read(struct sim_cases *c, const struct flags *flags, struct err *err)
{
	uint32_t len;
	const char *const *list = flags_list(flags, "fault", &len);

	for (uint32_t i = 0; i < len; i++) {
		char *words, *save;
		if (copy(c, list[i], &words, err) < 0)
			return -ENOMEM;
		for (char *w = strtok_r(words, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
			if (c->base.faults_count == REPLAY_FAULTS_MAX)
				return err_set(err, -E2BIG, "more than %d faults", REPLAY_FAULTS_MAX);
			if (fault_read(&c->base.faults[c->base.faults_count++], w, err) < 0)
				return -EINVAL;
		}
	}
	return 0;
}

/* policies */

static bool begins_policy(const char *word)
{
	char name[64];

	snprintf(name, sizeof name, "%.*s", (int)strcspn(word, ":"), word);
	return route_policy_find(name) != NULL;
}

/* "a,b:x=1,y=2,c": commas part policies, and the settings of one; what is no policy's name after a colon was opened is a
 * setting. */
static uint32_t policies_split(char *text, char **ret, uint32_t cap)
{
	uint32_t n = 0;
	char *at = text;

	while (at && n < cap) {
		char *next = strchr(at, ',');
		ret[n++] = at;
		while (next && strchr(at, ':') && strchr(at, ':') < next && !begins_policy(next + 1))
			next = strchr(next + 1, ',');
		if (next)
			*next++ = '\0';
		at = next;
	}
	return n;
}

static const char *const vary_words[] = {
	[SIM_VARY_WORKERS] = "workers",
	[SIM_VARY_BLOCKS] = "blocks",
	[SIM_VARY_SPEED] = "speed",
	[SIM_VARY_FRONTENDS] = "frontends",
};

const char *sim_vary_text(const struct sim_cases *c, double value, char *ret, size_t cap)
{
	if (c->vary == SIM_VARY_NONE)
		*ret = '\0';
	else if (c->vary == SIM_VARY_SPEED)
		snprintf(ret, cap, "speed %g", value);
	else
		snprintf(ret, cap, "%g %s", value, vary_words[c->vary]);
	return ret;
}

/* "A..B": at most 32 values, evenly spread. */
static int range_read(const char *text, double *ret, uint32_t *ret_len, bool whole, struct err *err)
{
	char first[32];
	const char *dots = strstr(text, "..");
	double from, to;

	snprintf(first, sizeof first, "%.*s", (int)(dots - text), text);
	if (number("the first value of --what-if", first, 0.001, 1e7, &from, err) < 0 ||
		number("the last value of --what-if", dots + 2, 0.001, 1e7, &to, err) < 0)
		return -EINVAL;
	if (to < from)
		return err_set(
			err, -EINVAL, "--what-if goes from %g to %g; the first must not be the larger one", from, to);
	double step = 1;
	while ((to - from) / step >= 32)
		step *= 2;
	if (!whole && to - from < 4)
		step = (to - from) / 8;
	for (double v = from; v <= to + step / 1000 && *ret_len < 64; v += step) {
		ret[(*ret_len)++] = v;
		if (step <= 0)
			break;
	}
	return 0;
}

static int what_if_read(struct sim_cases *c, const char *text, double *ret, uint32_t *ret_len, struct err *err)
{
	char *words, *save;
	struct suggest s;

	if (copy(c, text, &words, err) < 0)
		return -ENOMEM;
	char *value = strchr(words, '=');
	if (value)
		*value++ = '\0';
	suggest_init(&s, words);
	for (uint32_t i = 1; i < ARRAY_LEN(vary_words); i++) {
		suggest_offer(&s, vary_words[i]);
		if (!strcmp(vary_words[i], words))
			c->vary = (enum sim_vary)i;
	}
	if (c->vary == SIM_VARY_NONE || !value || !*value) {
		err_set(err, -EINVAL,
			"--what-if \"%s\" is not understood; it takes workers, blocks, speed or frontends, as in "
			"workers=4..16 or speed=1,2,4",
			text);
		return suggest_best(&s) && c->vary == SIM_VARY_NONE
			       ? err_hint(err, "did you mean \"%s\"?", suggest_best(&s))
			       : -EINVAL;
	}
	if (strstr(value, ".."))
		return range_read(value, ret, ret_len, c->vary != SIM_VARY_SPEED, err);
	for (char *w = strtok_r(value, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		if (*ret_len == 64)
			return err_set(err, -E2BIG, "--what-if takes at most 64 values");
		if (number("a value of --what-if", w, 0.001, 1e7, &ret[(*ret_len)++], err) < 0)
			return -EINVAL;
	}
	return 0;
}

static int value_apply(const struct sim_cases *c, struct sim_case *k, double value, struct err *err)
{
	uint32_t *at = c->vary == SIM_VARY_WORKERS  ? &k->workers
		       : c->vary == SIM_VARY_BLOCKS ? &k->blocks
						    : &k->frontends;
	uint32_t max = c->vary == SIM_VARY_WORKERS  ? REPLAY_WORKERS_MAX
		       : c->vary == SIM_VARY_BLOCKS ? 16777216
						    : REPLAY_FRONTENDS_MAX;

	k->value = value;
	if (c->vary == SIM_VARY_NONE)
		return 0;
	if (c->vary == SIM_VARY_SPEED)
		return k->speed = value, 0;
	if (value < 1 || value > max || value != (double)(uint32_t)value)
		return err_set(err, -EINVAL, "--what-if: %g %s cannot be; a whole number from 1 to %u is wanted", value,
			vary_words[c->vary], max);
	*at = (uint32_t)value;
	return 0;
}

/* cases */

static int policy_suggest(const char *text, struct err *err)
{
	char name[64];
	struct suggest s;
	const struct route_policy *p;

	snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ":"), text);
	suggest_init(&s, name);
	for (uint32_t i = 0; (p = route_policy_at(i)); i++)
		suggest_offer(&s, p->name);
	const char *best = suggest_best(&s);
	err_set(err, -EINVAL, "unknown policy \"%s\"", name);
	if (best)
		return err_hint(err, "did you mean \"%s\"?", best);
	char names[256] = "";
	for (uint32_t i = 0; (p = route_policy_at(i)); i++)
		snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", p->name);
	return err_hint(err, "there are %s", names);
}

static int policy_read(struct sim_case *k, const char *text, struct err *err)
{
	k->policy_text = text;
	k->policy = route_policy_parse(text, &k->knobs, err);
	if (k->policy)
		return 0;
	return begins_policy(text) ? err->code : policy_suggest(text, err);
}

static int cases_make(struct sim_cases *c, const struct flags *flags, const struct sim_case *usual, struct err *err)
{
	char *text, *policies[SIM_CASES_MAX];
	double values[64] = {0};
	uint32_t values_len = 0;
	const char *compare = flags_str(flags, "compare"), *what_if = flags_str(flags, "what-if");

	if (copy(c, compare ? compare : usual->policy_text, &text, err) < 0)
		return -ENOMEM;
	c->policies = 1;
	policies[0] = text;
	if (compare)
		c->policies = policies_split(text, policies, SIM_CASES_MAX);
	if (what_if && what_if_read(c, what_if, values, &values_len, err) < 0)
		return -EINVAL;
	values_len = MAX(values_len, 1u);
	if (c->policies * values_len > SIM_CASES_MAX)
		return err_set(err, -E2BIG, "that makes %u runs; at most %d are done at once", c->policies * values_len,
			SIM_CASES_MAX);
	c->v = arena_alloc(&c->arena, c->policies * values_len * sizeof *c->v);
	if (!c->v)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t p = 0; p < c->policies; p++)
		for (uint32_t i = 0; i < values_len; i++) {
			struct sim_case *k = &c->v[c->len++];
			*k = *usual;
			if (policy_read(k, policies[p], err) < 0 || value_apply(c, k, values[i], err) < 0)
				return -EINVAL;
		}
	return 0;
}

/* Workers and policy of a graph, where no flag says otherwise. */
static int graph_apply(struct sim_case *usual, struct sim_cases *c, const struct flags *flags, struct err *err)
{
	uint32_t args_len, workers = 0;
	const char *const *args = flags_args(flags, &args_len);
	struct diags diags;
	struct graph *g = NULL;

	if (!args_len)
		return 0;
	diags_init(&diags);
	int code = graph_load(&g, args[0], NULL, &diags, err);
	if (code < 0 && diags.len) {
		struct buf out;
		buf_init(&out, 64 * 1024);
		diags_print(&diags, DIAG_ERROR, &out);
		err_set(err, code, "%.*s", (int)out.len - 1, buf_str(&out));
		buf_done(&out);
	}
	diags_done(&diags);
	if (code < 0)
		return code;
	for (uint32_t i = 0; i < g->len; i++)
		if (g->services[i].kind == GRAPH_WORKER && g->services[i].role != GRAPH_ROLE_PREFILL)
			workers += g->services[i].workers;
	if (!flags_is_set(flags, "workers") && workers)
		usual->workers = workers;
	if (!flags_is_set(flags, "policy") && route_policy_find(graph_router_mode(g)))
		usual->policy_text = arena_strdup(&c->arena, graph_router_mode(g));
	graph_destroy(g);
	return usual->policy_text ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int trace_source(struct sim_cases *c, const struct flags *flags, struct err *err)
{
	c->trace_file = flags_str(flags, "trace");
	if (!c->trace_file == !flags_str(flags, "generate"))
		return err_set(err, -EINVAL,
			c->trace_file ? "--trace and --generate exclude each other"
				      : "which load? --trace FILE, or --generate agent, chat or shared");
	if (c->trace_file)
		return 0;
	return trace_generate(&c->trace_text, flags_str(flags, "generate"), c->base.seed, err);
}

static int base_read(struct sim_cases *c, const struct flags *flags, struct sim_case *usual, struct err *err)
{
	replay_config_default(&c->base);
	if (catalogues_add(flags, err) < 0 || sim_model_find(&c->model, flags_str(flags, "engine-model"), err) < 0)
		return err->code;
	c->base.model = &c->model;
	c->base.evict = kv_evict_find(flags_str(flags, "evict"));
	if (!c->base.evict)
		return err_set(err, -EINVAL, "unknown eviction policy \"%s\"; there are lru and age-uses",
			flags_str(flags, "evict"));
	c->base.seed = flags_uint(flags, "seed");
	c->base.events_late_us = flags_uint(flags, "events-late-ms") * 1000;
	c->base.events_lost = flags_float(flags, "events-lost");
	c->block_size = (uint32_t)flags_uint(flags, "block-size");
	c->block_size = c->block_size ? c->block_size : c->model.block_size;
	c->jitter_ms = (uint32_t)flags_uint(flags, "jitter-ms");
	c->requests_max = (uint32_t)flags_uint(flags, "requests");
	c->goal_ms = flags_float(flags, "goal-ttft-ms");
	*usual = (struct sim_case){.policy_text = flags_str(flags, "policy"),
		.workers = (uint32_t)flags_uint(flags, "workers"),
		.blocks = (uint32_t)flags_uint(flags, "blocks"),
		.frontends = (uint32_t)flags_uint(flags, "frontends"),
		.speed = flags_float(flags, "speed")};
	usual->blocks = usual->blocks ? usual->blocks : c->model.blocks;
	return speeds_read(c, flags_str(flags, "worker-speed"), err);
}

int sim_cases_read(struct sim_cases *ret, const struct flags *flags, struct err *err)
{
	struct sim_case usual;

	*ret = (struct sim_cases){0};
	arena_init(&ret->arena, 16 * 1024 * 1024);
	buf_init(&ret->trace_text, TRACE_BYTES_MAX);
	if (base_read(ret, flags, &usual, err) < 0 || faults_read(ret, flags, err) < 0 ||
		graph_apply(&usual, ret, flags, err) < 0 || cases_make(ret, flags, &usual, err) < 0 ||
		trace_source(ret, flags, err) < 0)
		return err->code ? err->code : -EINVAL;
	for (uint32_t i = 0; i < ret->base.faults_count; i++)
		for (uint32_t k = 0; k < ret->len; k++)
			if (ret->base.faults[i].worker >= ret->v[k].workers)
				return err_set(err, -EINVAL, "a fault names worker %u; %u workers are numbered from 0",
					ret->base.faults[i].worker, ret->v[k].workers);
	return 0;
}

void sim_cases_done(struct sim_cases *c)
{
	for (uint32_t i = 0; i < c->len; i++)
		replay_result_done(&c->v[i].result);
	buf_done(&c->trace_text);
	arena_done(&c->arena);
}

int sim_cases_trace(const struct sim_cases *c, const struct sim_case *k, struct trace *ret, struct err *err)
{
	int code = c->trace_file ? trace_read(ret, c->trace_file, c->block_size, err)
				 : trace_parse(ret, "the made-up load", c->trace_text.data, c->trace_text.len,
					   c->block_size, err);
	if (code < 0)
		return c->trace_file ? nearby_hint(err, c->trace_file, NULL, NULL) : code;
	if (c->requests_max)
		trace_cut(ret, c->requests_max);
	if (c->jitter_ms)
		trace_jitter(ret, c->jitter_ms, c->base.seed);
	trace_speed_up(ret, k->speed);
	return 0;
}
