#include "config/graph_parts.h"
#include "base/file.h"

#include "config/suggest.h"
#include <stdio.h>
#include <string.h>

const struct graph_known graph_known_all[] = {
	{"Common", GRAPH_COMMON, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, NULL},
	{"Frontend", GRAPH_FRONTEND, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, "Frontend"},
	{"Processor", GRAPH_PROCESSOR, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, "Processor"},
	{"Router", GRAPH_ROUTER, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, "Router"},
	{"Planner", GRAPH_PLANNER, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, "Planner"},
	{"LlamaWorker", GRAPH_WORKER, GRAPH_ENGINE_LLAMA, GRAPH_ROLE_BOTH, "LlamaWorker"},
	{"MockWorker", GRAPH_WORKER, GRAPH_ENGINE_MOCK, GRAPH_ROLE_BOTH, "MockWorker"},
	{"VllmWorker", GRAPH_WORKER, GRAPH_ENGINE_VLLM, GRAPH_ROLE_BOTH, "VllmWorker"},
	{"PrefillWorker", GRAPH_WORKER, GRAPH_ENGINE_VLLM, GRAPH_ROLE_PREFILL, "VllmWorker"},
	{"SglangWorker", GRAPH_WORKER, GRAPH_ENGINE_SGLANG, GRAPH_ROLE_BOTH, "SglangWorker"},
	/* As NVIDIA's own files of 2025 spell them (examples/llm, examples/vllm_v1, examples/sglang of ai-dynamo/dynamo). */
	{"VllmDecodeWorker", GRAPH_WORKER, GRAPH_ENGINE_VLLM, GRAPH_ROLE_DECODE, "VllmWorker"},
	{"VllmPrefillWorker", GRAPH_WORKER, GRAPH_ENGINE_VLLM, GRAPH_ROLE_PREFILL, "VllmWorker"},
	{"VllmDpWorker", GRAPH_WORKER, GRAPH_ENGINE_VLLM, GRAPH_ROLE_BOTH, "VllmWorker"},
	{"VllmEncodeWorker", GRAPH_WORKER, GRAPH_ENGINE_VLLM, GRAPH_ROLE_PREFILL, "VllmWorker"},
	{"DecodeWorker", GRAPH_WORKER, GRAPH_ENGINE_VLLM, GRAPH_ROLE_DECODE, "VllmWorker"},
	{"MockVllmWorker", GRAPH_WORKER, GRAPH_ENGINE_VLLM, GRAPH_ROLE_BOTH, "VllmWorker"},
	{"SGLangWorker", GRAPH_WORKER, GRAPH_ENGINE_SGLANG, GRAPH_ROLE_BOTH, "SglangWorker"},
	{"SGLangDecodeWorker", GRAPH_WORKER, GRAPH_ENGINE_SGLANG, GRAPH_ROLE_DECODE, "SglangWorker"},
	{"SGLangPrefillWorker", GRAPH_WORKER, GRAPH_ENGINE_SGLANG, GRAPH_ROLE_PREFILL, "SglangWorker"},
	{"SimpleLoadBalancer", GRAPH_BESIDE, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, NULL},
	{"Prometheus", GRAPH_BESIDE, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, NULL},
	{"KvMetricsAggregator", GRAPH_BESIDE, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, NULL},
	{"Metrics", GRAPH_BESIDE, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, NULL},
	{NULL, GRAPH_COMMON, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, NULL},
};
/* A worker of another name, told by its key "engine". */
static const struct graph_known named_worker = {"", GRAPH_WORKER, GRAPH_ENGINE_NONE, GRAPH_ROLE_BOTH, NULL};

static const char *const engine_names[] = {"none", "llama", "mock", "vllm", "sglang"};
static const char *const engine_sections[] = {NULL, "LlamaWorker", "MockWorker", "VllmWorker", "SglangWorker"};
static const char *const role_names[] = {"both", "prefill", "decode"};

const struct graph_known *graph_known_find(const char *name)
{
	for (const struct graph_known *k = graph_known_all; k->name; k++)
		if (!strcmp(k->name, name))
			return k;
	return NULL;
}

bool graph_section_known(const char *name)
{
	return graph_known_find(name) != NULL;
}

const char *graph_engine_section(enum graph_engine engine)
{
	return engine_sections[engine];
}

const char *graph_engine_name(enum graph_engine engine)
{
	return engine_names[engine];
}

const char *graph_role_name(enum graph_role role)
{
	return role_names[role];
}

bool graph_key_known_anywhere(const char *name)
{
	uint32_t pos = 0;

	for (const struct config_table *t; (t = config_table_next(NULL, &pos));)
		if (strcmp(t->section, "ServiceArgs") && config_key_find(t->section, name))
			return true;
	return false;
}

static void unknown_service(struct graph_reader *r, const struct yaml_node *node)
{
	struct suggest s;

	suggest_init(&s, node->key);
	for (const struct graph_known *k = graph_known_all; k->name; k++)
		suggest_offer(&s, k->name);
	if (!strncmp(node->key, "TensorRTLLM", 11)) {
		diags_add(r->diags, DIAG_ERROR, &node->key_pos, "%s: TensorRT-LLM is not planned here", node->key);
		diags_hint(r->diags, "vLLM, SGLang and llama.cpp are");
		return;
	}
	diags_add(r->diags, DIAG_ERROR, &node->key_pos, "unknown service \"%s\"", node->key);
	if (suggest_best(&s))
		diags_hint(r->diags, "did you mean \"%s\"?", suggest_best(&s));
	else if (graph_key_known_anywhere(node->key))
		diags_hint(r->diags, "it is a key of a service and must be indented below one");
	else
		diags_hint(r->diags, "a worker of a name of your own needs \"engine: llama\" (or mock, vllm, sglang)");
}

static int read_services(struct graph_reader *r, const struct yaml_node *root)
{
	for (const struct yaml_node *n = root->first; n; n = n->next) {
		const struct graph_known *known = graph_known_find(n->key);
		if (!known && yaml_find(n, "engine"))
			known = &named_worker;
		if (!known) {
			unknown_service(r, n);
			continue;
		}
		if (known->kind == GRAPH_BESIDE)
			diags_add(r->diags, DIAG_NOTICE, &n->key_pos, "%s is not needed here and passed over", n->key);
		if (known->kind == GRAPH_COMMON || known->kind == GRAPH_BESIDE || n->shadowed)
			continue;
		struct graph_service *s = &r->graph->services[r->graph->len];
		s->name = n->key;
		int code = graph_read_service(r, s, known, n);
		if (code < 0)
			return code;
		r->graph->len++;
	}
	return 0;
}

/* "VllmDecodeWorker" alone is NVIDIA's name of a worker that does both (examples/backends/vllm/deploy/agg_router.yaml): only beside
 * a prefill worker does the name mean a half. A role that is written stays. */
static void settle_roles(struct graph *g)
{
	bool fed = false;

	for (uint32_t i = 0; i < g->len; i++)
		fed = fed || g->services[i].role == GRAPH_ROLE_PREFILL;
	for (uint32_t i = 0; i < g->len && !fed; i++)
		if (g->services[i].role == GRAPH_ROLE_DECODE && !config_is_set(&g->services[i].settings, "role"))
			g->services[i].role = GRAPH_ROLE_BOTH;
}

/* Frontend, Processor and Router are always there. */
static int add_implicit(struct graph_reader *r)
{
	static const char *const always[] = {"Frontend", "Processor", "Router"};
	struct config_pos pos = {.file = r->graph->file};

	for (size_t i = 0; i < ARRAY_LEN(always); i++) {
		const struct graph_known *known = graph_known_find(always[i]);
		if (graph_find(r->graph, known->kind))
			continue;
		struct yaml_node *empty = yaml_node_create(&r->graph->arena, YAML_NULL, &pos);
		if (!empty)
			return -ENOMEM;
		struct graph_service *s = &r->graph->services[r->graph->len];
		s->name = known->name;
		s->implicit = true;
		int code = graph_read_service(r, s, known, empty);
		if (code < 0)
			return code;
		r->graph->len++;
	}
	return 0;
}

static int apply_overrides(struct graph_reader *r, struct yaml_node *root)
{
	uint32_t count = r->options ? r->options->overrides_len : 0;

	if (root->type == YAML_NULL)
		root->type = YAML_MAP;
	for (uint32_t i = 0; i < count; i++) {
		int code = graph_apply_override(root, r->options->overrides[i], &r->graph->arena, r->diags);
		if (code < 0)
			return code;
	}
	return 0;
}

static int read_tree(struct graph_reader *r, struct yaml_node *root)
{
	root = graph_restore_indentation(root, &r->graph->arena, r->diags, &r->lost);
	if (!root)
		return -ENOMEM;
	yaml_check_duplicates(root, r->diags);
	int code = apply_overrides(r, root);
	if (code < 0)
		return code;
	r->common = yaml_find(root, "Common");
	if (r->common && r->common->type != YAML_MAP) {
		if (r->common->type != YAML_NULL)
			diags_add(r->diags, DIAG_ERROR, &r->common->pos, "Common must be a map of settings");
		r->common = NULL;
	}
	r->graph->services = arena_alloc(&r->graph->arena, (root->count + 3) * sizeof *r->graph->services);
	if (!r->graph->services)
		return -ENOMEM;
	code = read_services(r, root);
	settle_roles(r->graph);
	if (code == 0)
		code = add_implicit(r);
	if (code < 0)
		return code;
	graph_check_common(r, root);
	return graph_check_whole(r);
}

/* A graph from one of two: text, or a tree at hand. */
struct source {
	const char *text;
	size_t len;
	struct yaml_node *root;
};

static int read_source(struct graph_reader *r, const struct source *from)
{
	struct yaml_node *root = from->root;
	int code = root ? 0 : yaml_parse(&root, &r->graph->arena, r->graph->file, from->text, from->len, r->diags);

	if (code == -EINVAL)
		return 0; /* noted in diags */
	if (code < 0)
		return code;
	if (root->type == YAML_MAP || root->type == YAML_NULL)
		return read_tree(r, root);
	diags_add(r->diags, DIAG_ERROR, &root->pos,
		"a graph is a map of services, such as \"LlamaWorker:\" with its settings indented below; this is a %s",
		root->type == YAML_SEQ ? "list" : "single value");
	return 0;
}

static int graph_make(struct graph **ret, const char *file, const struct source *from,
	const struct graph_options *options, struct diags *diags, struct err *err)
{
	struct graph *g = calloc(1, sizeof *g);
	struct graph_reader r = {.graph = g, .options = options, .diags = diags};
	uint32_t errors = diags->errors;
	int code = -ENOMEM;

	if (g) {
		arena_init(&g->arena, YAML_ARENA_BYTES_MAX);
		g->file = arena_strdup(&g->arena, file);
		code = g->file ? read_source(&r, from) : -ENOMEM;
	}
	diags_sort(diags);
	errors = diags->errors - errors;
	if (code < 0 || errors) {
		graph_destroy(g);
		if (code < 0)
			return err_set(err, code, "could not read \"%s\": out of memory", file);
		return err_set(err, -EINVAL, "%s has %u mistake%s", file, errors, errors == 1 ? "" : "s");
	}
	*ret = g;
	return 0;
}

int graph_parse(struct graph **ret, const char *file, const char *text, size_t len, const struct graph_options *options,
	struct diags *diags, struct err *err)
{
	return graph_make(ret, file, &(struct source){.text = text, .len = len}, options, diags, err);
}

int graph_of_tree(struct graph **ret, const char *file, struct yaml_node *root, const struct graph_options *options,
	struct diags *diags, struct err *err)
{
	return graph_make(ret, file, &(struct source){.root = root}, options, diags, err);
}

int graph_load(
	struct graph **ret, const char *file, const struct graph_options *options, struct diags *diags, struct err *err)
{
	struct buf text;

	buf_init(&text, YAML_BYTES_MAX);
	int code = file_read_text(&text, "graph", file, FILE_OR_PIPE, err);
	if (code == 0)
		code = graph_parse(ret, file, buf_str(&text), text.len, options, diags, err);
	buf_done(&text);
	return code;
}

void graph_destroy(struct graph *g)
{
	if (!g)
		return;
	arena_done(&g->arena);
	free(g);
}

const struct graph_service *graph_find(const struct graph *g, enum graph_kind kind)
{
	for (uint32_t i = 0; i < g->len; i++)
		if (g->services[i].kind == kind)
			return &g->services[i];
	return NULL;
}

const char *graph_router_mode(const struct graph *g)
{
	const struct config_section *router = &graph_find(g, GRAPH_ROUTER)->settings;
	const struct config_section *processor = &graph_find(g, GRAPH_PROCESSOR)->settings;

	if (config_is_set(router, "mode"))
		return config_str(router, "mode");
	if (config_is_set(router, "router"))
		return config_str(router, "router");
	return config_is_set(processor, "router") ? config_str(processor, "router") : "kv";
}
