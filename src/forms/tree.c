/* tree.c - the services that were found as a graph's tree. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- the tree ---- */

struct writer {
	struct form_set *f;
	bool failed;
};

static struct yaml_node *put(
	struct writer *w, struct yaml_node *map, const char *key, enum yaml_type type, const struct config_pos *pos)
{
	struct yaml_node *n = key ? yaml_node_create(&w->f->arena, type, pos) : NULL;

	if (!n) {
		w->failed = true;
		return map;
	}
	n->key = key;
	yaml_append(map, n);
	return n;
}

static void put_text(
	struct writer *w, struct yaml_node *map, const char *key, const char *text, const struct config_pos *pos)
{
	struct yaml_node *n = put(w, map, key, YAML_SCALAR, pos);

	if (n != map)
		n->text = text ? text : "";
	if (n != map)
		n->quoted = true;
}

static uint32_t number_of(const struct form_service *s, const char *const *names)
{
	for (; *names; names++) {
		const struct form_arg *a = form_arg_find(&s->args, *names);
		unsigned long n = a && a->value ? strtoul(a->value, NULL, 10) : 0;
		if (n > 0 && n <= 4096)
			return (uint32_t)n;
	}
	return 1;
}

double form_flags_gpus(const struct form_service *s)
{
	static const char *const tp[] = {"tensor-parallel-size", "tp-size", "tp", NULL};
	static const char *const pp[] = {"pipeline-parallel-size", "pp-size", NULL};
	static const char *const vllm_dp[] = {"data-parallel-size", NULL}, *const sglang_dp[] = {"dp-size", "dp", NULL};
	const struct form_arg *inside = form_arg_find(&s->args, "enable-dp-attention");
	bool divides = s->engine == GRAPH_ENGINE_SGLANG && inside && inside->value && strcmp(inside->value, "false");

	return (double)number_of(s, tp) * number_of(s, pp) *
	       (divides ? 1 : number_of(s, s->engine == GRAPH_ENGINE_SGLANG ? sglang_dp : vllm_dp));
}

/* What it is given is fewer than that: then it ends at its start, and the plan is that of the cards its flags take. */
static int check_given(struct form_set *f, const struct form_service *s)
{
	double flags = form_flags_gpus(s);

	if (s->engine == GRAPH_ENGINE_LLAMA || s->gpus <= 0 || s->gpus >= flags)
		return 0;
	return form_remark(f, FORM_FATAL, "gpus-few", s->gpus_pos.line ? &s->gpus_pos : &s->pos,
		arena_printf(&f->arena, "%s%seach worker computes on %g GPUs at once by its flags, and is given %g",
			s->name, *s->name ? ": " : "", flags, s->gpus),
		arena_printf(&f->arena, "give it %g, or lower its parallel sizes, if the model still fits", flags));
}

/* GPUs that its flags need, when nothing around it says how many it gets. */
static double gpus_of(const struct form_service *s)
{
	const struct form_arg *layers = form_arg_find(&s->args, "gpu-layers"),
			      *split = form_arg_find(&s->args, "tensor-split");

	if (s->engine == GRAPH_ENGINE_LLAMA) {
		double n = s->gpus > 0 ? s->gpus : layers && layers->value && strcmp(layers->value, "0") ? 1 : 0;
		uint32_t cards = split && split->value ? 1 : 0;
		for (const char *p = split ? split->value : NULL; p && *p; p++)
			cards += *p == ',';
		return cards > n ? cards : n;
	}
	double flags = form_flags_gpus(s);
	return s->gpus > flags ? s->gpus : flags;
}

static bool same_model(const struct form_service *a, const struct form_service *b)
{
	return a->engine == b->engine && a->model && b->model && !strcmp(a->model, b->model);
}

static bool is_fed(const struct form_set *f, const struct form_service *s)
{
	for (uint32_t i = 0; i < f->services.len; i++)
		if (f->services.v[i].role == GRAPH_ROLE_PREFILL && same_model(&f->services.v[i], s))
			return true;
	return false;
}

/* A label alone ("subComponentType: decode") makes no half of a deployment: without prefill workers the engine does both. */
static void settle_roles(struct form_set *f)
{
	bool prefills = false;

	for (uint32_t i = 0; i < f->services.len; i++)
		prefills = prefills || f->services.v[i].role == GRAPH_ROLE_PREFILL;
	for (uint32_t i = 0; i < f->services.len && !prefills; i++)
		if (f->services.v[i].role == GRAPH_ROLE_DECODE && !f->services.v[i].role_said)
			f->services.v[i].role = GRAPH_ROLE_BOTH;
}

/* Flags of the wrapper, or of a server we replace: they are no settings of a worker. */
static bool is_dropped(const struct form_service *s, const char *name)
{
	static const char *const ours[] = {"context-length", "gpu-layers", "max-seqs", "threads", "kv-type",
		"served-model-name", "batch-size", "ubatch-size", "chat-template-file"};
	static const char *const server[] = {"host", "port", "api-key", "config", "headless"};
	/* Not the engine's, and said already: in a graph they would be keys of the service. */
	static const char *const keys[] = {"env", "envs", "workers", "resources", "engine", "role", "service-args",
		"common-configs", "gpus", "gpu"};
	char spelling[ENGINE_FLAG_BYTES];
	struct engine_flag flag;

	if (s->engine == GRAPH_ENGINE_LLAMA) { /* what a LlamaWorker has, too, and means the same */
		for (size_t i = 0; i < ARRAY_LEN(ours); i++)
			if (!strcmp(name, ours[i]))
				return false;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(server); i++)
		if (!strcmp(name, server[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!strcmp(name, keys[i]))
			return true;
	snprintf(spelling, sizeof spelling, "--%s", name);
	const char *engine = s->engine == GRAPH_ENGINE_VLLM ? "vllm" : "sglang";
	const char *wrapper = s->engine == GRAPH_ENGINE_VLLM ? "dynamo.vllm" : "dynamo.sglang";
	return engine_flag_find_in(&flag, wrapper, spelling, NULL) != ENGINE_FLAG_UNKNOWN &&
	       engine_flag_find_in(&flag, engine, spelling, NULL) == ENGINE_FLAG_UNKNOWN &&
	       !config_key_find(s->engine == GRAPH_ENGINE_VLLM ? "VllmWorker" : "SglangWorker", name);
}

static void put_flags(struct writer *w, struct yaml_node *map, const struct form_service *s)
{
	for (uint32_t i = 0; i < s->args.len; i++) {
		const struct form_arg *a = &s->args.v[i];
		if (is_dropped(s, a->name) || form_arg_find(&s->args, a->name) != a)
			continue; /* of a flag given twice the last counts */
		/* llama-server counts cells in all as we do; its "-1" and "all" layers are "every layer". */
		put_text(w, map, a->name, a->value, &a->pos);
	}
}

static void put_service_args(struct writer *w, struct yaml_node *map, const struct form_service *s)
{
	struct yaml_node *args = put(w, map, "ServiceArgs", YAML_MAP, &s->pos);
	double gpus = gpus_of(s);

	put_text(w, args, "workers", arena_printf(&w->f->arena, "%u", s->replicas),
		s->replicas_pos.line ? &s->replicas_pos : &s->pos);
	if (gpus > 0) {
		struct yaml_node *resources = put(w, args, "resources", YAML_MAP, &s->pos);
		put_text(w, resources, "gpu", arena_printf(&w->f->arena, "%g", gpus),
			s->gpus_pos.line ? &s->gpus_pos : &s->pos);
	}
	if (!s->envs.len)
		return;
	struct yaml_node *envs = put(w, args, "envs", YAML_MAP, &s->pos);
	for (uint32_t i = 0; i < s->envs.len; i++) {
		const struct form_arg *e = &s->envs.v[i];
		bool again = false;
		for (uint32_t k = 0; k < i; k++)
			again |= !strcmp(s->envs.v[k].name, e->name);
		if (!again && *e->name && !strchr(e->name, '='))
			put_text(w, envs, e->name, e->value, &e->pos);
	}
}

/* A name that no section has and no service before it: "vllm-disagg", "llama3-2". */
static const char *name_of(struct writer *w, const struct yaml_node *root, const struct form_service *s)
{
	static const char *const usual[] = {[GRAPH_ENGINE_LLAMA] = "LlamaWorker",
		[GRAPH_ENGINE_VLLM] = "VllmWorker",
		[GRAPH_ENGINE_SGLANG] = "SglangWorker"};
	const char *base = *s->name                                                          ? s->name
			   : s->role == GRAPH_ROLE_PREFILL && s->engine == GRAPH_ENGINE_VLLM ? "PrefillWorker"
											     : usual[s->engine];
	char *name = arena_strdup(&w->f->arena, base);

	for (char *p = name; p && *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_", *p))
			*p = '-'; /* dots part the names of overrides */
	for (uint32_t n = 2; name && yaml_find(root, name); n++)
		name = arena_printf(&w->f->arena, "%s-%u", base, n);
	return name;
}

static const char *engine_text(enum graph_engine e)
{
	return graph_engine_name(e);
}

/* ---- one deployment from several machines' commands ---- */

static const struct form_arg *rank_of(const struct form_service *s)
{
	static const char *const names[] = {"node-rank", "data-parallel-start-rank", "data-parallel-rank", "headless"};
	const struct form_arg *a = NULL;

	for (size_t i = 0; i < ARRAY_LEN(names) && !a; i++)
		a = form_arg_find(&s->args, names[i]);
	return a;
}

static bool is_follower(const struct form_service *s)
{
	const struct form_arg *a = rank_of(s);
	char *end;

	if (!a || !a->value)
		return false;
	if (!strcmp(a->name, "headless"))
		return strcmp(a->value, "false") != 0;
	return strtoul(a->value, &end, 10) > 0 && !*end;
}

/* How many machines' commands make one worker; 0: it does not say. */
static uint32_t nodes_of(const struct form_service *s)
{
	static const char *const names[] = {"nnodes", "data-parallel-size", NULL};

	return number_of(s, names);
}

/* Commands of the ranks behind the first are no deployments of their own: what they are given counts for the first's. */
static void join_ranks(struct form_set *f)
{
	struct form_services *all = &f->services;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < all->len; i++) {
		const struct form_service s = all->v[i];
		struct form_service *leader = NULL;
		for (uint32_t k = 0; k < all->len && is_follower(&s) && !leader; k++) {
			struct form_service *l = &all->v[k];
			bool there = k < kept || k > i; /* what lies between was moved or joined */
			if (there && !is_follower(l) && same_model(l, &s) && l->role == s.role && nodes_of(l) > 1 &&
				form_flags_gpus(l) == form_flags_gpus(&s) && l->joined + 1 < nodes_of(l))
				leader = l;
		}
		if (leader) {
			leader->joined++;
			leader->gpus += leader->gpus > 0 ? s.gpus : 0;
			continue;
		}
		all->v[kept++] = s;
	}
	all->len = kept;
}

/* Who runs the container, or the script, names it. */
static int say_no_model(struct form_set *f, struct form_service *s)
{
	s->model = "$MODEL";
	s->model_pos = s->pos;
	return form_remark(f, FORM_INFO, "model-unsaid", &s->pos,
		"no model is named: it is given by who starts this, or the engine takes one of its own",
		"--model MODEL plans it with that one");
}

int form_tree_make(struct form_set *f, const char *file, struct err *err)
{
	const struct config_pos start = {.file = file, .line = 1, .column = 1};
	struct writer w = {.f = f};

	join_ranks(f);
	settle_roles(f);
	f->root = yaml_node_create(&f->arena, YAML_MAP, &start);
	for (uint32_t i = 0; f->root && i < f->services.len && !w.failed; i++) {
		struct form_service *s = &f->services.v[i];
		struct yaml_node *map = put(&w, f->root, name_of(&w, f->root, s), YAML_MAP, &s->pos);
		map->pos = map->key_pos = s->pos;
		w.failed |= check_given(f, s) < 0 || form_envs_check(f, s) < 0;
		put_text(&w, map, "engine", engine_text(s->engine), &s->pos);
		if (s->role != GRAPH_ROLE_BOTH)
			put_text(&w, map, "role", graph_role_name(s->role), &s->pos);
		if (!s->model)
			w.failed |= say_no_model(f, s) < 0;
		if (s->model)
			put_text(&w, map, s->engine == GRAPH_ENGINE_SGLANG ? "model-path" : "model", s->model,
				&s->model_pos);
		if (s->version && s->engine != GRAPH_ENGINE_LLAMA)
			put_text(&w, map, "engine-version", s->version, &s->pos);
		put_flags(&w, map, s);
		if (s->role != GRAPH_ROLE_PREFILL && is_fed(f, s) && !form_arg_find(&s->args, "remote-prefill"))
			put_text(&w, map, "remote-prefill", "true", &s->pos);
		put_service_args(&w, map, s);
	}
	if (!f->root || w.failed) {
		f->root = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}
