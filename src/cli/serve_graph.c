/* serve_graph.c - what is to be served, and the flags that change it. */
#include "cli/serve_graph.h"
#include "base/vec.h"
#include "cli/demo.h"
#include "config/nearby.h"
#include "config/yaml.h"
#include "forms/form.h"
#include "base/file.h"
#include "model/facts.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

struct reader {
	const struct flags *flags;
	struct arena *arena;
	VEC(const char *) overrides;
	struct serve_gpus *gpus;
	struct graph *graph;
	struct buf text; /* of its file, read once: a pipe gives it only once */
	bool has_text;
};

/* Overrides. */

static int override(struct reader *s, const char *service, const char *key, const char *value)
{
	char *text = arena_printf(s->arena, "--%s.%s=%s", service, key, value);

	return text ? vec_push(&s->overrides, text) : -ENOMEM;
}

/* A flag of ours as the key it stands for, when it was given. */
static int override_flag(struct reader *s, const char *flag, const char *service, const char *key)
{
	char number[32];

	if (!flags_is_set(s->flags, flag))
		return 0;
	snprintf(number, sizeof number, "%llu", (unsigned long long)flags_uint(s->flags, flag));
	return override(s, service, key, number);
}

/* The value as it is: overrides are read as YAML, where "[::1]" is a list and "a #b" ends before its comment. */
static int override_quoted(struct reader *s, const char *service, const char *key, const char *value)
{
	struct buf quoted;

	buf_init(&quoted, PATH_MAX * 2);
	buf_add_byte(&quoted, '\'');
	for (const char *p = value; *p; p++)
		buf_add(&quoted, *p == '\'' ? "''" : p, *p == '\'' ? 2 : 1);
	buf_add_byte(&quoted, '\'');
	int r = quoted.failed ? -ENOMEM : override(s, service, key, buf_str(&quoted));
	buf_done(&quoted);
	return r;
}

static int override_text(struct reader *s, const char *flag, const char *service, const char *key)
{
	return flags_is_set(s->flags, flag) ? override_quoted(s, service, key, flags_str(s->flags, flag)) : 0;
}

static int overrides_front(struct reader *s)
{
	int r = override_flag(s, "port", "Frontend", "port");

	if (r == 0)
		r = override_text(s, "host", "Frontend", "host");
	if (r == 0)
		r = override_text(s, "api-keys", "Frontend", "api-keys-file");
	if (r == 0)
		r = override_text(s, "policy", "Router", "mode");
	if (r == 0)
		r = override_text(s, "router", "Router", "mode");
	if (r == 0 && flags_is_set(s->flags, "log-json"))
		r = override(s, "Frontend", "log-json", flags_bool(s->flags, "log-json") ? "true" : "false");
	if (r == 0 && flags_is_set(s->flags, "drain-seconds")) {
		char text[32];
		snprintf(text, sizeof text, "%llus", (unsigned long long)flags_uint(s->flags, "drain-seconds"));
		r = override(s, "Frontend", "drain-timeout", text);
	}
	return r;
}

static int overrides_worker(struct reader *s, const char *service)
{
	int r = override_flag(s, "workers", service, "ServiceArgs.workers");

	if (r == 0)
		r = override_flag(s, "context-length", service, "context-length");
	if (r == 0)
		r = override_text(s, "chat-template-file", service, "chat-template-file");
	return r == 0 ? override_flag(s, "threads", service, "threads") : r;
}

static bool worker_flags_given(const struct reader *s)
{
	return flags_is_set(s->flags, "workers") || flags_is_set(s->flags, "context-length") ||
	       flags_is_set(s->flags, "threads") || flags_is_set(s->flags, "chat-template-file");
}

static int overrides_user(struct reader *s)
{
	uint32_t count;
	const char *const *list = flags_overrides(s->flags, &count);
	int r = 0;

	for (uint32_t i = 0; i < count && r == 0; i++)
		r = vec_push(&s->overrides, list[i]);
	return r;
}

/* The graph. */

static int graph_text(struct reader *s, const char *file, struct err *err)
{
	int r = s->has_text ? 0 : file_read_text(&s->text, "graph", file, FILE_OR_PIPE, err);

	s->has_text = r == 0;
	if (r == -ENOENT && strpbrk(file, "/."))
		return nearby_hint(err, file, NULL, "stator serve takes a graph, a GGUF file, or demo");
	/* A bare word is a model's name, as other servers take it. */
	if (r == -ENOENT)
		return nearby_hint(err, file, NULL,
			demo_hint(file,
				"stator serve takes a graph, a GGUF file, or demo; it fetches no models by their names"));
	return r == -EISDIR ? nearby_hint(err, file, ".gguf", "stator serve takes a graph, a GGUF file, or demo") : r;
}

/* What is no graph may be a file of another form, or a text: its name helps where the mistakes of a graph would not. */
static bool is_other_form(const struct reader *s, const char *file, struct err *err)
{
	struct form_set forms;
	struct diags diags;
	struct err why = {0};

	form_set_init(&forms);
	diags_init(&diags);
	int r = form_read(&forms, file, buf_str(&s->text), s->text.len, &diags, &why);
	if (r == 0 && forms.form)
		err_set(err, -EINVAL,
			"\"%s\" is %s, which stator serve does not start as it stands; \"stator plan %s --write FILE\" writes it as a "
			"graph, which it does",
			file, forms.form, file);
	else if (r == -EINVAL || r == -ENOTSUP)
		*err = why;
	diags_done(&diags);
	bool other = (r == 0 && forms.form) || r == -EINVAL || r == -ENOTSUP;
	form_set_done(&forms);
	return other;
}

static int graph_read(struct reader *s, const char *file, bool show, struct err *err)
{
	const struct graph_options options = {.overrides = s->overrides.v,
		.overrides_len = s->overrides.len,
		.engine = flags_str(s->flags, "engine")};
	struct diags diags;
	struct buf text;
	int r;

	graph_destroy(TAKE(s->graph));
	diags_init(&diags);
	r = file ? graph_text(s, file, err) : 0;
	if (r == 0)
		r = file ? graph_parse(&s->graph, file, buf_str(&s->text), s->text.len, &options, &diags, err)
			 : graph_parse(&s->graph, "command line", "", 0, &options, &diags, err);
	buf_init(&text, 2 * DIAG_BYTES_MAX);
	diags_print(&diags, DIAG_NOTICE, &text);
	bool other = r == -EINVAL && err && file && s->has_text && is_other_form(s, file, err);
	if ((show || r < 0) && !other)
		fputs(buf_str(&text), stderr);
	buf_done(&text);
	diags_done(&diags);
	return r;
}

int serve_gpus_look(struct serve_gpus *gpus, struct err *err)
{
	if (gpus->looked)
		return 0;
	gpus->looked = true;
	return gpu_inventory_from_nvml(&gpus->inventory, NULL, getenv("CUDA_VISIBLE_DEVICES"), err);
}

/* How many GPUs hold the weights and some room for KV. */
static uint64_t gpus_for(const struct reader *s, const char *model)
{
	struct model_facts facts;
	uint64_t memory = s->gpus->inventory.devices[0].memory_total;
	const char *path = strcmp(model, "demo") == 0 ? demo_model_path(s->arena) : model;

	/* A file that cannot be read is reported where it is checked. */
	if (memory == 0 || !path || model_facts_from_gguf(&facts, path, NULL) < 0)
		return 1;
	return (facts.weight_bytes + facts.weight_bytes / 4) / memory + 1;
}

/* In a build for GPUs the workers of a model alone divide those there are: one each, more when the weights need more; with
 * more workers than GPUs they share. */
static int overrides_gpus(struct reader *s, const char *service, const char *model, uint32_t workers, struct err *err)
{
	const struct gpu_inventory *there = &s->gpus->inventory;
	char text[32];

	if (!BUILD_CUDA)
		return 0;
	int r = serve_gpus_look(s->gpus, err);
	if (r < 0 || there->count == 0)
		return r;
	uint32_t beside = (workers + there->count - 1) / there->count; /* on one GPU */
	if (beside > 1)
		snprintf(text, sizeof text, "%.4f", 1.0 / beside - 0.00005);
	else
		snprintf(
			text, sizeof text, "%llu", (unsigned long long)MIN(gpus_for(s, model), there->count / workers));
	return override(s, service, "ServiceArgs.resources.gpu", text);
}

/* A model alone: a graph of one service. */
static int graph_of_model(struct reader *s, const char *model, uint32_t workers, struct err *err)
{
	bool mock = flags_is_set(s->flags, "engine") && strcmp(flags_str(s->flags, "engine"), "mock") == 0;
	const char *service = mock ? "MockWorker" : "LlamaWorker";
	char number[16];
	int r = 0;

	snprintf(number, sizeof number, "%u", workers);
	/* The mock engine needs no model; one that is named lends it its tokenizer. */
	if (!mock || strcmp(model, "demo") != 0)
		r = override_quoted(s, service, "model", model);
	if (r == 0)
		r = override(s, service, "ServiceArgs.workers", number);
	if (r == 0)
		r = overrides_front(s);
	if (r == 0)
		r = overrides_worker(s, service);
	if (r == 0 && flags_is_set(s->flags, "workers"))
		workers = (uint32_t)flags_uint(s->flags, "workers");
	if (r == 0 && !mock)
		r = overrides_gpus(s, service, model, workers, err);
	if (r == 0)
		r = overrides_user(s);
	return r < 0 ? err_set(err, r, "out of memory") : graph_read(s, NULL, true, err);
}

static const char *only_worker(const struct graph *g)
{
	const char *name = NULL;

	for (uint32_t i = 0; i < g->len; i++) {
		if (g->services[i].kind != GRAPH_WORKER)
			continue;
		if (name)
			return NULL;
		name = g->services[i].name;
	}
	return name;
}

/* A graph file. Which service --workers means is only known when it has been read once. */
static int graph_of_file(struct reader *s, const char *file, struct err *err)
{
	int r = overrides_front(s);

	if (r == 0)
		r = overrides_user(s);
	if (r < 0)
		return err_set(err, r, "out of memory");
	r = graph_read(s, file, !worker_flags_given(s), err);
	if (r < 0 || !worker_flags_given(s))
		return r;
	const char *service = only_worker(s->graph);
	if (!service)
		return err_set(err, -EINVAL,
			"--workers, --context-length, --threads and --chat-template-file need a graph with one kind of worker, \"%s\" has "
			"several; "
			"say which: --LlamaWorker.ServiceArgs.workers=2",
			file);
	service = arena_strdup(s->arena, service); /* the graph it is from is read anew */
	if (!service || overrides_worker(s, service) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return graph_read(s, file, true, err);
}

static int graph_get(struct reader *s, struct err *err)
{
	uint32_t count;
	const char *const *args = flags_args(s->flags, &count);

	if (count == 0)
		return graph_of_model(s, "demo", DEMO_WORKERS, err);
	if (arg_is_model(args[0]))
		return graph_of_model(s, args[0], 1, err);
	return graph_of_file(s, args[0], err);
}

int serve_graph_read(
	struct graph **ret, const struct flags *flags, struct arena *arena, struct serve_gpus *gpus, struct err *err)
{
	struct reader s = {.flags = flags, .arena = arena, .gpus = gpus};

	buf_init(&s.text, YAML_BYTES_MAX);
	int r = graph_get(&s, err);
	buf_done(&s.text);

	if (r < 0)
		graph_destroy(s.graph);
	else
		*ret = s.graph;
	vec_done(&s.overrides);
	return r;
}
