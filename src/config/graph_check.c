/* graph_check.c - what no single service can tell. */
#include "config/graph_parts.h"
#include "base/file.h"
#include "base/plural.h"

#include "config/suggest.h"
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool takes(const struct yaml_node *service, const struct yaml_node *from)
{
	const struct yaml_node *list = yaml_find(service, "common-configs");

	/* "<<: *common" copies the key with its place, and "model: *name" shares the text. */
	for (const struct yaml_node *c = service->first; c; c = c->next)
		if (config_name_equal(c->key, from->key) &&
			((c->key_pos.line == from->key_pos.line && c->key_pos.column == from->key_pos.column) ||
				(c->text && c->text == from->text)))
			return true;
	for (const struct yaml_node *i = list && list->type == YAML_SEQ ? list->first : NULL; i; i = i->next)
		if (config_name_equal(i->text, from->key))
			return true;
	return false;
}

static void unknown_in_common(struct graph_reader *r, const struct yaml_node *c)
{
	struct suggest s;
	uint32_t pos = 0;

	diags_add(r->diags, DIAG_ERROR, &c->key_pos, "unknown key \"%s\" in Common", c->key);
	suggest_init(&s, c->key);
	for (const struct config_table *t; !diags_full(r->diags) && (t = config_table_next(NULL, &pos));)
		for (size_t i = 0; i < t->count; i++)
			suggest_offer(&s, t->keys[i].name);
	if (suggest_best(&s))
		diags_hint(r->diags, "did you mean \"%s\"?", suggest_best(&s));
}

void graph_check_common(struct graph_reader *r, const struct yaml_node *root)
{
	for (const struct yaml_node *c = r->common ? r->common->first : NULL; c; c = c->next) {
		bool taken = false;
		for (const struct yaml_node *s = root->first; s && !taken; s = s->next)
			taken = s != r->common && takes(s, c);
		if (taken)
			continue;
		if (!graph_key_known_anywhere(c->key)) {
			unknown_in_common(r, c);
			continue;
		}
		diags_add(r->diags, DIAG_WARNING, &c->key_pos, "no service takes \"%s\" from Common", c->key);
		diags_hint(r->diags, "list it in the common-configs of those that should");
	}
}

static void check_model(struct graph_reader *r, const struct graph_service *s)
{
	if (*s->model || s->engine == GRAPH_ENGINE_NONE || s->engine == GRAPH_ENGINE_MOCK || (r->lost && !r->common) ||
		s->workers == 0)
		return;
	diags_add(r->diags, DIAG_ERROR, &s->pos, "%s has no model", s->name);
	if (r->common && yaml_find(r->common, "model"))
		diags_hint(r->diags, "Common has one: add \"common-configs: [model]\"");
	else if (s->engine == GRAPH_ENGINE_LLAMA)
		diags_hint(r->diags, "write \"model: PATH.gguf\", or \"model: demo\"");
	else
		diags_hint(r->diags, "write \"model: ID-OR-PATH\"");
}

/* SGLang's dp-size divides the GPUs of tp then, and adds none. */
static bool divides_attention(const struct graph_service *s)
{
	for (uint32_t i = 0; i < s->args_len; i++)
		if (!strcmp(s->args[i].name, "enable-dp-attention"))
			return !s->args[i].value || strcasecmp(s->args[i].value, "false") != 0;
	return false;
}

/* How many GPUs an external engine takes for one worker; 1 when it does not say. */
static uint64_t gpus_taken(const struct graph_service *s, const struct config_item **ret_why)
{
	static const char *const names[] = {
		"tensor-parallel-size", "tp", "tp-size", "pipeline-parallel-size", "data-parallel-size", "dp-size"};
	uint64_t n = 1;

	*ret_why = NULL;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct config_item *item = config_section_find(&s->settings, names[i]);
		if (!item || !item->value.set || (!strcmp(names[i], "dp-size") && divides_attention(s)))
			continue;
		n *= item->value.u;
		*ret_why = *ret_why ? *ret_why : item;
	}
	return n;
}

static void check_gpus(struct graph_reader *r, const struct graph_service *s)
{
	const struct config_item *why;

	if (!graph_engine_external(s->engine) || !s->gpus_set || (r->options && r->options->planned))
		return;
	uint64_t taken = gpus_taken(s, &why);
	if (why && (double)taken > s->gpus) {
		diags_add(r->diags, DIAG_ERROR, &why->value.pos,
			"%s: each worker computes on %llu GPU%s at once, but ServiceArgs.resources.gpu gives it %g",
			s->name, (unsigned long long)taken, plural_s(taken), s->gpus);
		uint64_t given = (uint64_t)s->gpus; /* of a host, as people count who start one worker on several */
		if (given >= 4 && (double)given == s->gpus && taken % given == 0)
			diags_hint(r->diags, "a worker over %llu hosts of %g is given all its GPUs: \"gpu: %llu\"",
				(unsigned long long)(taken / given), s->gpus, (unsigned long long)taken);
	} else if ((double)taken < s->gpus && s->gpus > 1) {
		diags_add(r->diags, DIAG_WARNING, &s->pos,
			"%s: ServiceArgs.resources.gpu gives each worker %g GPUs, but it uses %llu; set "
			"tensor-parallel-size",
			s->name, s->gpus, (unsigned long long)taken);
	}
}

static void check_block_size(struct graph_reader *r, const struct graph_service *front)
{
	const struct config_item *mine = config_section_find(&front->settings, "block-size");

	if (!mine || !mine->value.set)
		return;
	for (uint32_t i = 0; i < r->graph->len; i++) {
		const struct graph_service *s = &r->graph->services[i];
		const struct config_item *theirs =
			s->kind == GRAPH_WORKER ? config_section_find(&s->settings, "block-size") : NULL;
		if (theirs && theirs->value.set && theirs->value.u != mine->value.u)
			diags_add(r->diags, DIAG_WARNING, &mine->value.pos,
				"%s.block-size is %s, but %s's is %s; the worker's counts", front->name,
				mine->value.text, s->name, theirs->value.text);
	}
}

/* Asked for, read, and without effect: that must be said. */
static void check_disagg(struct graph_reader *r, const struct graph_service *s)
{
	static const char *const names[] = {"remote-prefill", "conditional-disagg"};

	if (s->engine != GRAPH_ENGINE_LLAMA && s->engine != GRAPH_ENGINE_MOCK)
		return;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct config_item *item = config_section_find(&s->settings, names[i]);
		if (item && item->value.set && item->value.b)
			diags_add(r->diags, DIAG_WARNING, &item->value.pos,
				"%s.%s has no effect: a worker on %s computes its prompts itself in this version",
				s->name, names[i], graph_engine_name(s->engine));
	}
}

/* Two workers of different models cannot both be what Frontend.served-model-name names. */
static bool one_model(const struct graph *g)
{
	const char *model = NULL;

	for (uint32_t i = 0; i < g->len; i++) {
		if (g->services[i].kind != GRAPH_WORKER)
			continue;
		if (model && strcmp(model, g->services[i].model))
			return false;
		model = g->services[i].model;
	}
	return true;
}

/* What llama.cpp runs is a file, however it is called ("ggml-model.bin", a blob of Ollama's); others have names of a hub too. */
static const char *name_of_file(struct arena *arena, const struct graph_service *s)
{
	const char *model = s->model;
	size_t len = strlen(model);

	if (s->engine != GRAPH_ENGINE_LLAMA && (len <= 5 || strcasecmp(model + len - 5, ".gguf")))
		return model;
	const char *slash = strrchr(model, '/'), *base = slash ? slash + 1 : model;
	return *base ? arena_strndup(arena, base, file_gguf_stem(base)) : model;
}

static int name_models(struct graph_reader *r)
{
	const char *front = config_str(&graph_find(r->graph, GRAPH_FRONTEND)->settings, "served-model-name");
	bool one = one_model(r->graph);

	for (uint32_t i = 0; i < r->graph->len; i++) {
		struct graph_service *s = &r->graph->services[i];
		if (s->kind != GRAPH_WORKER)
			continue;
		const char *own = config_str(&s->settings, "served-model-name");
		if (*own)
			s->served_name = own;
		else if (*front && one)
			s->served_name = front;
		else
			s->served_name = *s->model ? name_of_file(&r->graph->arena, s) : "mock";
		if (!s->served_name)
			return -ENOMEM;
	}
	return 0;
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static const struct config_pos *pos_of_name(const struct graph_service *s)
{
	const struct config_item *item = config_section_find(&s->settings, "served-model-name");

	if (!item || !item->value.set)
		item = config_section_find(&s->settings, "model");
	return item && item->value.set ? &item->value.pos : &s->pos;
}

/* Workers of one name answer the same requests, so they must be of one model: one of another vocabulary would not be used, and
 * the deployment would wait for it. */
static void check_names(struct graph_reader *r, const struct graph_service *s)
{
	for (const struct graph_service *other = r->graph->services; other < s; other++) {
		if (other->kind != GRAPH_WORKER || !other->workers || strcmp(other->served_name, s->served_name) ||
			!strcmp(other->model, s->model) || is_same_file(other->model, s->model))
			continue;
		diags_add(r->diags, DIAG_ERROR, pos_of_name(s),
			"%s and %s both serve \"%s\", but their models differ: \"%s\" and \"%s\"", s->name, other->name,
			s->served_name, s->model, other->model);
		diags_hint(r->diags, "give each a served-model-name of its own");
		return;
	}
}

int graph_check_whole(struct graph_reader *r)
{
	struct config_pos start = {.file = r->graph->file, .line = 1, .column = 1};
	uint32_t workers = 0;

	for (uint32_t i = 0; i < r->graph->len; i++) {
		const struct graph_service *s = &r->graph->services[i];
		if (s->kind == GRAPH_WORKER) {
			workers++;
			check_model(r, s);
			check_gpus(r, s);
			check_disagg(r, s);
		} else {
			check_block_size(r, s);
		}
	}
	if (!workers && !r->diags->errors)
		diags_add(r->diags, DIAG_ERROR, &start,
			"there is no worker; add a section such as \"LlamaWorker:\" with \"model: PATH.gguf\"");
	int code = name_models(r);
	for (uint32_t i = 0; i < r->graph->len && code == 0; i++)
		if (r->graph->services[i].kind == GRAPH_WORKER && r->graph->services[i].workers)
			check_names(r, &r->graph->services[i]);
	return code;
}
