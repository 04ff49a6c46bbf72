/* plan.c - stator plan: does a deployment fit, and what would. */
#include "base/json_out.h"
#include "base/file.h"
#include "cli/catalogues.h"
#include "cli/command.h"
#include "cli/demo.h"
#include "cli/gather.h"
#include "cli/plan_model.h"
#include "config/graph.h"
#include "config/yaml.h"
#include "config/nearby.h"
#include "forms/form.h"
#include "plan/host_graph.h"
#include "plan/report.h"
#include "plan/write_form.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WRITE_FORMS                                                                                                    \
	"same|graph|vllm|sglang|llama-server|script|compose|kubernetes|kserve|dynamo|values|vllm-config|modelfile"

enum { ENGINES = GRAPH_ENGINE_SGLANG + 1 };
enum { PLAN_OUT_BYTES_MAX = 64 * 1024 * 1024 };

static const struct flag flags_table[] = {
	{.key = {.name = "gpus",
		 .type = CONFIG_STRING,
		 .help = "plan for these instead of this machine's: 4xT4, 2xT4,1xL4, 8xA100-80GB; several hosts as "
			 "2x8xH100, or apart by ';'"},
		.letter = 'g',
		.arg = "LIST"},
	{.key = {.name = "inventory",
		 .type = CONFIG_STRING,
		 .help = "plan for the machine that this file describes (stator doctor --json writes one)"},
		.arg = "FILE"},
	{.key = {.name = "model",
		 .type = CONFIG_STRING,
		 .help = "take the facts of this model for all workers: a name, a folder, a config.json, a GGUF file"},
		.letter = 'm',
		.arg = "MODEL"},
	CATALOGUE_FLAGS,
	{.key = {.name = "engine-version",
		 .type = CONFIG_STRING,
		 .help = "releases of engines where services have no engine-version: 0.19.0, or vllm=0.11.0,sglang=0.5.3"},
		.arg = "ENGINE=VERSION"},
	{.key = {.name = "explain",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "show the memory of every worker, term by term, and the cards of every plan"},
		.letter = 'e'},
	{.key = {.name = "allow-quantization",
		 .type = CONFIG_STRING,
		 .def = "awq,fp8",
		 .help = "other weights a plan may use: methods, METHOD=MODEL to say where they are, or none"},
		.arg = "METHODS"},
	{.key = {.name = "pick",
		 .type = CONFIG_UINT,
		 .max = PLAN_OPTIONS_MAX,
		 .help = "which of the plans to write; by default the first that needs no other weights"},
		.arg = "N"},
	{.key = {.name = "write",
		 .type = CONFIG_STRING,
		 .help = "write the graph of a plan that fits: only what changes is touched; \"-\" is standard output"},
		.letter = 'w',
		.arg = "FILE"},
	{.key = {.name = "write-as",
		 .type = CONFIG_ENUM,
		 .choices = WRITE_FORMS,
		 .help = "what --write writes: same patches the file in its own form; vllm, sglang and llama-server also make "
			 "command lines of a graph"},
		.arg = "FORM",
		.bare = "same"},
	{.key = {.name = "svg", .type = CONFIG_STRING, .help = "write the cards as bars to an SVG picture"},
		.arg = "FILE"},
	{.key = {.name = "prompt-tokens",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .def = "1024",
		 .min = 1,
		 .max = 1048576,
		 .help = "prompt of the requests that speed is predicted for"},
		.arg = "N"},
	{.key = {.name = "answer-tokens",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .def = "256",
		 .min = 1,
		 .max = 1048576,
		 .help = "answer of the requests that speed is predicted for"},
		.arg = "N"},
	{.key = {.name = "plans",
		 .type = CONFIG_UINT,
		 .def = "5",
		 .min = 1,
		 .max = PLAN_OPTIONS_MAX,
		 .help = "at most so many plans"},
		.arg = "N"},
	{.key = {.name = "json", .type = CONFIG_BOOL, .def = "false", .help = "print one JSON object"}},
};

struct planner {
	const struct flags *flags;
	char versions[ENGINES][ENGINE_VERSION_TEXT]; /* of --engine-version */
	const char *file;
	struct buf text; /* of the file */
	const char *const *words; /* a command line behind "--"; words_count 0: a file */
	uint32_t words_count;
	struct form_set form; /* what it is when it is no graph; its tree is the graph's then */
	struct graph *graph;
	struct gather gather;
	struct plan plan;
	struct plan_options options;
	bool planned;
	char *meant; /* the graph as it was probably meant, when its indentation was lost; owned */
	bool restored; /* text is that, and not the file's */
	bool model; /* file names a model, for which the best deployment is looked for */
};

/* A model alone, as stator serve takes it: a graph of one service. A JSON string is a YAML one. */
static int graph_of_model(struct buf *ret, const char *model, bool on_gpu, struct err *err)
{
	buf_add_str(ret, "LlamaWorker:\n  model: ");
	json_out_cstr(ret, model);
	buf_printf(ret, "\n  ServiceArgs:\n    workers: %d\n", strcmp(model, "demo") ? 1 : DEMO_WORKERS);
	if (on_gpu)
		buf_add_str(ret, "    resources:\n      gpu: 1\n");
	return ret->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* The GPUs that were given, looked at before there is a graph. */
static int model_text_get(struct planner *x, struct err *err)
{
	const char *list = flags_str(x->flags, "gpus"), *file = flags_str(x->flags, "inventory");
	struct gpu_inventory cards;
	int r;

	gpu_inventory_init(&cards);
	r = list   ? gpu_inventory_from_spec(&cards, list, err)
	    : file ? gpu_inventory_from_file(&cards, file, err)
		   : gpu_inventory_from_nvml(&cards, NULL, getenv("CUDA_VISIBLE_DEVICES"), err);
	if (r == 0)
		r = plan_model_graph(&x->text, x->file, &cards, err);
	gpu_inventory_done(&cards);
	return r;
}

static int text_get(struct planner *x, struct err *err)
{
	struct model_facts facts;
	struct err why = {0};

	if (arg_is_model(x->file)) {
		/* On GPUs that are named it is planned as other models are. */
		x->model = flags_is_set(x->flags, "gpus") || flags_is_set(x->flags, "inventory");
		return graph_of_model(&x->text, x->file, x->model, err);
	}
	x->model = plan_model_is(x->file);
	if (x->model)
		return model_text_get(x, err);
	int r = file_read_text(&x->text, "graph", x->file, FILE_OR_PIPE, err);
	if (r == -ENOENT && !strpbrk(x->file, "/.") && model_facts_by_name(&facts, x->file, &why) < 0)
		err_hint(err, "and as a model: %s", why.msg);
	else if (r == -ENOENT)
		nearby_hint(err, x->file, NULL, NULL);
	return r;
}

/* What was given: a command line behind "--", or one word that names a file or model. */
static int form_get(struct planner *x, const char *const *args, uint32_t count, struct err *err)
{
	struct diags diags;
	int r;

	if (count > 1) {
		x->words = args;
		x->words_count = count;
		return form_read_words(&x->form, args, count, err);
	}
	if ((r = text_get(x, err)) < 0)
		return r;
	diags_init(&diags);
	r = form_read(&x->form, x->file, buf_str(&x->text), x->text.len, &diags, err);
	diags_done(&diags);
	return r;
}

/* The graph of text, or of root when that is not NULL. */
static int graph_read(struct planner *x, bool overridden, const char *file, const char *text, size_t len,
	struct yaml_node *root, struct graph **ret, struct err *err)
{
	struct graph_options options = {0};
	struct diags diags;
	struct buf said;

	options.flags_checked = true; /* the plan's own findings tell of them */
	if (overridden)
		options.overrides = flags_overrides(x->flags, &options.overrides_len);
	diags_init(&diags);
	buf_init(&said, 2 * DIAG_BYTES_MAX);
	int r = root ? graph_of_tree(ret, file, root, &options, &diags, err)
		     : graph_parse(ret, file, text, len, &options, &diags, err);
	diags_print(&diags, DIAG_NOTICE, &said);
	fputs(buf_str(&said), stderr);
	for (uint32_t i = 0; i < diags.len && r < 0 && diags.errors == 1 && !x->meant; i++)
		if (diags.items[i].severity == DIAG_ERROR && diags.items[i].detail)
			x->meant = strdup(diags.items[i].detail);
	buf_done(&said);
	diags_done(&diags);
	return r;
}

/* A graph that lost its indentation is also a part of one: its workers have no model. */
static void add_models(struct buf *out, const char *text, const char *model)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		buf_add(out, text, len);
		buf_add_byte(out, '\n');
		if (*text != ' ' && len > 7 && !memcmp(text + len - 7, "Worker:", 7))
			buf_printf(out, "  model: \"%s\"\n", model ? model : "unknown");
		text += len + (text[len] == '\n');
	}
}

/* Go on with what was probably meant, so that its other mistakes are told as well. */
static int graph_restore(struct planner *x, struct err *err)
{
	buf_reset(&x->text);
	add_models(&x->text, x->meant, flags_str(x->flags, "model"));
	x->restored = true;
	fputs("stator plan: the rest is said of that, with its own line numbers; correct the file first\n", stderr);
	const char *name = arena_printf(&x->gather.arena, "%s (as meant)", x->file);
	return name ? graph_read(x, true, name, buf_str(&x->text), x->text.len, NULL, &x->graph, err)
		    : err_set(err, -ENOMEM, "out of memory");
}

/* One method, "awq" or "awq=MODEL". */
static int wish_add(struct planner *x, struct plan_wish *wish, const char *text, size_t len, struct err *err)
{
	char *method = arena_strndup(&x->gather.arena, text, len), *model = method ? strchr(method, '=') : NULL;

	if (!method)
		return err_set(err, -ENOMEM, "out of memory");
	if (model)
		*model++ = '\0';
	if (!*method || !strcmp(method, "none"))
		return 0;
	if (!model_quant_known(method))
		return err_set(err, -EINVAL,
			"--allow-quantization: unknown method \"%s\"; known are awq, gptq, fp8, int8", method);
	if (wish->quants_len == PLAN_QUANTS_MAX)
		return err_set(err, -E2BIG, "--allow-quantization: more than %d methods", PLAN_QUANTS_MAX);
	wish->quants[wish->quants_len].method = method;
	wish->quants[wish->quants_len++].model = model;
	return 0;
}

static int wish_of(struct planner *x, struct plan_wish *ret, struct err *err)
{
	const struct plan_load load = {
		(uint32_t)flags_uint(x->flags, "prompt-tokens"), (uint32_t)flags_uint(x->flags, "answer-tokens")};
	int r = 0;

	*ret = (struct plan_wish){.options = (uint32_t)flags_uint(x->flags, "plans"), .load = load};
	for (const char *p = flags_str(x->flags, "allow-quantization"); *p && r == 0;) {
		size_t len = strcspn(p, ",");
		r = wish_add(x, ret, p, len, err);
		p += len + (p[len] == ',');
	}
	return r;
}

/* llama.cpp has builds, "b8000", which are also written "8000"; what wraps it for Python has releases. */
static bool is_build(const char *version)
{
	const char *digits = version + (*version == 'b');

	return isdigit((unsigned char)*digits) && !digits[strspn(digits, "0123456789")] &&
	       (digits > version || strlen(digits) > 2);
}

static bool is_engine(const char *name, size_t len, enum graph_engine e)
{
	static const char *const llama[] = {
		"llama.cpp", "llama-cpp", "llamacpp", "llama-server", "llama_cpp", "llama-cpp-python"};
	const char *own = graph_engine_name(e);

	for (size_t i = 0; i < ARRAY_LEN(llama) && e == GRAPH_ENGINE_LLAMA; i++)
		if (strlen(llama[i]) == len && !strncasecmp(llama[i], name, len))
			return true;
	return strlen(own) == len && !strncmp(own, name, len);
}

/* "vllm=0.19.0,sglang=0.5.3" into the places of those engines, "0.19.0" into both, a build of llama.cpp ("b6000", "llama.cpp=6000") into
 * its own. */
static int versions_of(struct planner *x, const char *text, struct err *err)
{
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, ","), name = strcspn(p, "=,");
		bool named = name < len, known = !named;
		char version[ENGINE_VERSION_TEXT];
		snprintf(
			version, sizeof version, "%.*s", (int)(named ? len - name - 1 : len), named ? p + name + 1 : p);
		bool build = is_build(version);
		for (int e = GRAPH_ENGINE_LLAMA; e < ENGINES; e++) {
			bool meant = !named || is_engine(p, name, (enum graph_engine)e),
			     llama = e == GRAPH_ENGINE_LLAMA;
			known |= meant;
			if (meant && llama && build)
				snprintf(x->versions[e], sizeof x->versions[e], "b%.20s", version + (*version == 'b'));
			else if (meant && (llama ? named : !build))
				memcpy(x->versions[e], version, sizeof version);
		}
		if (!known || (!engine_version_parse(version) && !build))
			return err_set(err, -EINVAL,
				"--engine-version: \"%.*s\" is no release of vllm, sglang or llama.cpp, as in vllm=0.19.0 or llama.cpp=b8000",
				(int)MIN(len, 60u), p);
		p += len + (p[len] == ',');
	}
	for (int e = 0; e < ENGINES; e++)
		x->form.versions[e] = *x->versions[e] ? x->versions[e] : NULL;
	return 0;
}

static int plan_all(struct planner *x, struct err *err)
{
	struct plan_input input = {.graph = x->graph, .form = x->form.form ? &x->form : NULL};
	const char *list = flags_str(x->flags, "gpus"), *file = flags_str(x->flags, "inventory");
	struct plan_wish wish;
	int r;

	if (flags_is_set(x->flags, "write-as") && !flags_is_set(x->flags, "write"))
		return err_set(
			err, -EINVAL, "--write-as says how, and --write FILE where; \"--write -\" is standard output");
	if (list && file)
		return err_set(err, -EINVAL, "--gpus and --inventory say both what there is; give one");
	/* Other forms are started elsewhere, and so is what is planned for other cards. */
	x->gather.elsewhere = list || file || x->form.form;
	x->gather.whole_files = true;
	x->gather.described = x->model;
	if ((r = gather_models(&x->gather, x->graph, flags_str(x->flags, "model"), err)) < 0 ||
		(r = gather_inventory(&x->gather, x->graph, list, file, err)) < 0 || (r = wish_of(x, &wish, err)) < 0)
		return r;
	if (!list && !file) {
		struct host_facts *h = &x->gather.inventory.host_facts;
		gather_environment(&x->gather, x->graph);
		if (!x->gather.inventory.count)
			h->memory_mb_s = host_memory_measure(h->cores);
	}
	input.models = x->gather.models;
	input.inventory = &x->gather.inventory;
	input.environment = &x->gather.environment;
	for (int e = 0; e < ENGINES; e++)
		input.versions[e] = engine_version_parse(x->versions[e]);
	r = plan_make(&x->plan, &input, err);
	if (r < 0)
		return r;
	r = plan_search(&x->options, &x->plan, &wish, err);
	if (r < 0)
		plan_done(&x->plan);
	x->planned = r == 0;
	return r;
}

/* ---- a model without a file ---- */

/* The text is another graph now: read and plan that one instead. */
static int plan_again(struct planner *x, struct buf *text, struct err *err)
{
	struct buf old = x->text;

	if (x->planned) {
		plan_options_done(&x->options);
		plan_done(&x->plan);
		x->planned = false;
	}
	graph_destroy(x->graph);
	x->graph = NULL;
	x->text = *text;
	*text = (struct buf){0};
	buf_done(&old);
	gather_done(&x->gather);
	gather_init(&x->gather);
	int r = graph_read(x, true, x->file, buf_str(&x->text), x->text.len, NULL, &x->graph, err);
	return r == 0 ? plan_all(x, err) : r;
}

/* The best of the plans that takes the weights as they are, as the graph. */
static int model_take_option(struct planner *x, const struct plan_option *o, struct err *err)
{
	struct plan_edits *edits = calloc(1, sizeof *edits);
	struct buf text;

	buf_init(&text, YAML_BYTES_MAX);
	int r = edits ? 0 : err_set(err, -ENOMEM, "out of memory");
	if (edits) {
		plan_edits(edits, &x->plan.deployment, &o->plan.deployment, o->shape.quant_model);
		r = plan_edit_text(edits, x->file, buf_str(&x->text), x->text.len, &text, err);
	}
	if (r == 0)
		r = plan_again(x, &text, err);
	buf_done(&text);
	free(edits);
	return r;
}

/* On the GPUs of several hosts, of as few as will do, with the longest context that fits. */
static int model_take_hosts(struct planner *x, struct err *err)
{
	uint32_t gpus, hosts = plan_model_hosts(&x->gather.inventory, &gpus);
	static const uint64_t contexts[] = {0, 131072, 65536, 32768, 16384, 8192};
	int r = 0;

	for (uint32_t n = 2; n <= hosts && r == 0; n++)
		for (size_t i = 0; i < ARRAY_LEN(contexts) && r == 0 && plan_verdict(&x->plan) == PLAN_CANNOT; i++) {
			struct buf text;

			buf_init(&text, YAML_BYTES_MAX);
			r = plan_model_graph_hosts(&text, x->file, &x->gather.inventory, n, contexts[i], err);
			if (r == 0)
				r = plan_again(x, &text, err);
			buf_done(&text);
		}
	return r;
}

/* There is no file whose lines could be named. */
static void places_drop(struct plan *p)
{
	for (uint32_t i = 0; i < p->findings.len; i++) {
		p->findings.items[i].file = "";
		p->findings.items[i].line = p->findings.items[i].column = 0;
	}
}

static int model_best(struct planner *x, struct err *err)
{
	const struct plan_options *o = &x->options;
	uint32_t gpus;

	if (!x->model || !x->gather.inventory.count || plan_verdict(&x->plan) == PLAN_NOT_CHECKED)
		return 0;
	for (uint32_t i = 0; i < o->len; i++)
		if (!o->items[i].shape.quant || o->items[i].shape.quant_model)
			return model_take_option(x, &o->items[i], err);
	if (plan_verdict(&x->plan) == PLAN_CANNOT && !arg_is_model(x->file) &&
		plan_model_hosts(&x->gather.inventory, &gpus) > 1)
		return model_take_hosts(x, err);
	return 0;
}

/* "stator plan deploy.yaml --gpus 4xT4": what was asked, to be asked again. */
static const char *command_text(struct planner *x)
{
	static const char *const repeated[] = {"gpus", "inventory", "model", "engine-version"};
	struct buf out;

	buf_init(&out, 64 * 1024);
	buf_add_str(&out, "stator plan");
	if (!x->words_count) {
		buf_add_byte(&out, ' ');
		plan_shell_word(&out, x->file);
	}
	for (size_t i = 0; i < ARRAY_LEN(repeated); i++)
		if (flags_is_set(x->flags, repeated[i])) {
			buf_printf(&out, " --%s ", repeated[i]);
			plan_shell_word(&out, flags_str(x->flags, repeated[i]));
		}
	const char *text = out.failed ? NULL : arena_strdup(&x->gather.arena, buf_str(&out));
	buf_done(&out);
	return text ? text : "stator plan";
}

/* " -- vllm serve ...", NULL when a file was given. */
static const char *command_tail(struct planner *x)
{
	struct buf out;

	if (!x->words_count)
		return NULL;
	buf_init(&out, 1024 * 1024);
	buf_add_str(&out, " --");
	for (uint32_t i = 0; i < x->words_count; i++) {
		buf_add_byte(&out, ' ');
		plan_shell_word(&out, x->words[i]);
	}
	const char *text = out.failed ? NULL : arena_strdup(&x->gather.arena, buf_str(&out));
	buf_done(&out);
	return text;
}

static void look_of(struct findings_look *ret)
{
	const char *term = getenv("TERM");
	struct winsize size;

	*ret = (struct findings_look){.least = FINDING_INFO};
	if (!isatty(STDOUT_FILENO) || !term || !strcmp(term, "dumb"))
		return;
	ret->color = !getenv("NO_COLOR");
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		ret->columns = size.ws_col;
}

static int write_file(const char *file, const struct buf *text, struct err *err)
{
	if (text->failed)
		return err_set(err, -ENOMEM, "out of memory");
	int fd = strcmp(file, "-") ? file_open_output("the plan", file, err) : dup(STDOUT_FILENO);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f) {
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : err_set_errno(err, -errno, "could not write \"%s\"", file);
	}
	size_t n = fwrite(buf_str(text), 1, text->len, f);
	if (fclose(f) != 0 || n != text->len)
		return err_set_errno(err, -EIO, "could not write \"%s\"", file);
	return 0;
}

/* Writing a plan. */

static int pick(const struct planner *x, const struct plan_option **ret, struct err *err)
{
	const struct plan_options *o = &x->options;
	uint64_t n = flags_is_set(x->flags, "pick") ? flags_uint(x->flags, "pick") : 0;

	*ret = NULL;
	if (n > o->len)
		return err_set(err, -EINVAL, "--pick %llu: there are %u plans", (unsigned long long)n, o->len);
	for (uint32_t i = 0; i < o->len && !n && !*ret; i++)
		if (!o->items[i].shape.quant || o->items[i].shape.quant_model)
			*ret = &o->items[i];
	if (n)
		*ret = &o->items[n - 1];
	if (*ret && (*ret)->shape.quant && !(*ret)->shape.quant_model)
		return err_set(err, -EINVAL,
			"this plan needs %s weights of the model; say where they are: "
			"--allow-quantization %s=MODEL",
			(*ret)->shape.quant, (*ret)->shape.quant);
	if (!*ret)
		return err_set(err, -EINVAL,
			o->len ? "every plan that fits needs other weights; say where they are, such as "
				 "--allow-quantization awq=MODEL"
			       : "there is no plan to write");
	return 0;
}

/* A text that was made, read again and planned again. */
struct written {
	struct form_set form;
	struct graph *graph;
	struct gather gather;
	struct plan plan;
	bool planned;
};

static void written_done(struct written *w)
{
	if (w->planned)
		plan_done(&w->plan);
	graph_destroy(w->graph);
	form_set_done(&w->form);
	gather_done(&w->gather);
}

/* foreign: the text is of another form, and none of our graphs. */
static int written_read(struct planner *x, struct written *ret, const char *file, const struct buf *text, bool foreign,
	const struct plan_option *o, struct err *err)
{
	struct plan_input input = x->plan.input;
	struct diags diags;
	int r = 0;

	*ret = (struct written){0};
	gather_init(&ret->gather);
	ret->gather.elsewhere = x->gather.elsewhere && !o->shape.quant_model; /* weights that are named must be there */
	ret->gather.described = x->gather.described;
	form_set_init(&ret->form);
	memcpy(ret->form.versions, x->form.versions, sizeof ret->form.versions);
	diags_init(&diags);
	if (foreign)
		r = form_read(&ret->form, file, buf_str(text), text->len, &diags, err);
	if (r == 0 && foreign && !ret->form.root)
		r = err_set(err, -EINVAL, "what was written is no form that can be read");
	if (r == 0)
		r = graph_read(x, false, file, buf_str(text), text->len, ret->form.root, &ret->graph, err);
	if (r == 0)
		r = gather_models(
			&ret->gather, ret->graph, o->shape.quant_model ? NULL : flags_str(x->flags, "model"), err);
	if (r == 0) {
		input.graph = ret->graph;
		input.models = ret->gather.models;
		input.form = foreign ? &ret->form : NULL;
		r = plan_make(&ret->plan, &input, err);
		ret->planned = r == 0;
	}
	diags_done(&diags);
	return r;
}

/* It must fit, or nothing is written. */
static int check_written(
	struct planner *x, const struct buf *text, bool foreign, const struct plan_option *o, struct err *err)
{
	struct written w;
	uint32_t overrides = 0;
	int r = written_read(x, &w, flags_str(x->flags, "write"), text, foreign, o, err);

	if (r == 0 && plan_verdict(&w.plan) == PLAN_CANNOT)
		r = err_set(err, -EINVAL, "the written %s would not %s%s: %s", foreign ? "file" : "graph",
			strncmp(w.plan.findings.items[0].code, "flag", 4) ? "fit" : "start",
			flags_overrides(x->flags, &overrides) && overrides
				? " without this command line's overrides, which are not in it"
				: "",
			w.plan.findings.items[0].what);
	written_done(&w);
	return r;
}

/* A file of another form stays as it is: what is written is the same deployment as a graph of ours. */
static int edit_form(
	struct planner *x, struct plan_edits *edits, const struct plan_option *o, struct buf *ret, struct err *err)
{
	struct plan_deployment d;
	struct graph *graph = NULL;
	struct buf own;

	buf_init(&own, YAML_BYTES_MAX);
	buf_printf(&own, "# The deployment of %s (%s) as a graph.\n", x->file, x->form.form);
	yaml_print(x->form.root, 0, &own);
	int r = own.failed
			? err_set(err, -ENOMEM, "out of memory")
			: graph_read(x, false, flags_str(x->flags, "write"), buf_str(&own), own.len, NULL, &graph, err);
	if (r == 0 && (r = plan_deployment_init(&d, graph, x->gather.models)) == 0) {
		plan_edits(edits, &d, &o->plan.deployment, o->shape.quant_model);
		r = plan_edit_text(edits, x->file, buf_str(&own), own.len, ret, err);
		plan_deployment_done(&d);
	}
	graph_destroy(graph);
	buf_done(&own);
	return r;
}

/* ---- other forms than our graph ---- */

static enum graph_engine engine_of_form(const char *form)
{
	return !strcmp(form, "vllm")           ? GRAPH_ENGINE_VLLM
	       : !strcmp(form, "sglang")       ? GRAPH_ENGINE_SGLANG
	       : !strcmp(form, "llama-server") ? GRAPH_ENGINE_LLAMA
					       : GRAPH_ENGINE_NONE;
}

/* How it is written: as our graph, in the file's own form, or as command lines of an engine. */
enum way { AS_GRAPH, AS_IT_WAS, AS_COMMANDS };

static int way_of(const struct planner *x, const struct plan_option *o, enum way *ret, enum graph_engine *ret_engine,
	struct err *err)
{
	const char *want = flags_is_set(x->flags, "write-as") ? flags_str(x->flags, "write-as") : "graph";
	const char *own = form_family(&x->form);
	enum graph_engine engine = engine_of_form(want);

	*ret_engine = engine;
	if (!strcmp(want, "graph") || (!strcmp(want, "same") && !strcmp(own, "graph"))) {
		*ret = AS_GRAPH;
	} else if (!strcmp(want, "same") || !strcmp(want, own) ||
		   (engine && !strcmp(own, "script") && form_engine(&x->form) == engine)) {
		*ret = AS_IT_WAS;
	} else if (engine) {
		*ret = AS_COMMANDS;
	} else {
		return err_set(err, -EINVAL,
			"--write-as %s: %s is %s; it can be written as %s%s, or as command lines (vllm, sglang, llama-server)",
			want, x->file, x->form.form ? x->form.form : "a graph", own,
			x->form.form ? " (its own form, also \"same\"), as graph" : "");
	}
	if (*ret != AS_GRAPH && plan_option_converts(&x->plan, &x->options, o))
		return err_set(err, -EINVAL,
			"plan %u runs on another engine (llama.cpp on the CPU), which %s cannot say; leave --write-as out",
			(unsigned)(o - x->options.items) + 1, *ret == AS_IT_WAS ? "the file's own form" : want);
	return 0;
}

/* A command line behind "--", as a line of a script. */
static void words_text(const struct planner *x, struct buf *out)
{
	for (uint32_t i = 0; i < x->words_count; i++) {
		if (i)
			buf_add_byte(out, ' ');
		plan_shell_word(out, x->words[i]);
	}
	buf_add_byte(out, '\n');
}

static const char *why_left(const struct plan_edit *e, const char *family)
{
	if (!strcmp(e->key, "ServiceArgs.workers") && (!strcmp(family, "script") || !strcmp(family, "vllm-config")))
		return ": a command line starts one worker; start it so many times, each with cards and a port of its own";
	if (!strcmp(e->key, "ServiceArgs.resources.gpu"))
		return ": which cards it gets is said elsewhere";
	return "";
}

static int write_as_it_was(struct planner *x, const struct plan_option *o, struct plan_edits *left, struct buf *text,
	uint32_t *ret_made, struct err *err)
{
	struct buf words;

	buf_init(&words, YAML_BYTES_MAX);
	if (x->words_count)
		words_text(x, &words);
	const struct buf *from = x->words_count ? &words : &x->text;
	const struct plan_write w = {.file = x->file,
		.text = buf_str(from),
		.len = from->len,
		.target = &o->plan.deployment,
		.models = x->gather.models,
		.quant_model = o->shape.quant_model,
		.versions = x->form.versions};
	int r = words.failed ? err_set(err, -ENOMEM, "out of memory") : plan_write_form(&w, text, left, ret_made, err);
	for (uint32_t i = 0; i < left->len && r == 0; i++) {
		const struct plan_edit *e = &left->items[i];
		fprintf(stderr, "stator plan: %s has no place for %s.%s (%s%s%s)%s\n", x->form.form, e->service, e->key,
			*e->before ? e->before : "", *e->before ? " -> " : "", e->after,
			why_left(e, form_family(&x->form)));
	}
	buf_done(&words);
	return r;
}

/* The graph that --write would write, as command lines. */
static int write_commands(struct planner *x, const struct plan_option *o, enum graph_engine engine, const char *title,
	struct buf *text, struct err *err)
{
	struct written w;
	struct buf graph = *text;

	buf_init(text, 2 * YAML_BYTES_MAX);
	int r = written_read(x, &w, x->file, &graph, false, o, err);
	if (r == 0)
		r = plan_write_commands(&w.plan, engine, title, text, err);
	written_done(&w);
	buf_done(&graph);
	return r;
}

static int graph_text(struct planner *x, const struct plan_option *o, struct plan_edits *edits, const char *title,
	struct buf *ret, struct err *err)
{
	plan_edits(edits, &x->plan.deployment, &o->plan.deployment, o->shape.quant_model);
	if (plan_option_converts(&x->plan, &x->options, o)) {
		plan_host_graph(&x->plan, &x->options, o, title, ret);
		return 0;
	}
	return x->form.form ? edit_form(x, edits, o, ret, err)
			    : plan_edit_text(edits, x->file, buf_str(&x->text), x->text.len, ret, err);
}

static int write_plan(struct planner *x, const struct plan_report *report, struct err *err)
{
	const char *file = flags_str(x->flags, "write");
	const struct plan_option *o = NULL;
	struct plan_edits *edits = calloc(1, sizeof *edits);
	enum graph_engine engine = GRAPH_ENGINE_NONE;
	enum way way = AS_GRAPH;
	char title[256] = "";
	uint32_t made = 0;
	struct buf text;

	buf_init(&text, 2 * YAML_BYTES_MAX);
	int r = edits ? pick(x, &o, err) : err_set(err, -ENOMEM, "out of memory");
	if (r == 0 && o && (r = way_of(x, o, &way, &engine, err)) == 0) {
		plan_option_title(report, o, title, sizeof title);
		r = way == AS_IT_WAS ? write_as_it_was(x, o, edits, &text, &made, err)
				     : graph_text(x, o, edits, title, &text, err);
		made = way == AS_IT_WAS ? made : edits ? edits->len : 0;
	}
	if (r == 0 && o && way == AS_COMMANDS)
		r = write_commands(x, o, engine, title, &text, err);
	if (r == 0 && o)
		r = check_written(x, &text, way != AS_GRAPH, o, err);
	if (r == 0)
		r = write_file(file, &text, err);
	if (r == 0 && o)
		fprintf(stderr,
			plan_option_converts(&x->plan, &x->options, o) ? "wrote %s: %s (a graph of its own)\n"
								       : "wrote %s: %s (%u settings changed)\n",
			strcmp(file, "-") ? file : "standard output", title, made);
	buf_done(&text);
	free(edits);
	return r;
}

static int outputs(struct planner *x, enum exit_status *ret, struct err *err)
{
	if (x->model ||
		(!x->words_count && arg_is_model(x->file))) /* the lines would be those of a graph nobody wrote */
		places_drop(&x->plan);
	struct plan_report report = {.asked = &x->plan,
		.options = &x->options,
		.command = command_text(x),
		.command_tail = command_tail(x),
		.form = x->form.form,
		.explain = flags_bool(x->flags, "explain")};
	struct buf out;
	int r = 0;

	look_of(&report.look);
	buf_init(&out, PLAN_OUT_BYTES_MAX);
	bool instead = flags_is_set(x->flags, "write") && !strcmp(flags_str(x->flags, "write"), "-");
	if (flags_bool(x->flags, "json") && !instead)
		plan_report_json(&report, &out);
	else if (!instead && x->model && x->gather.inventory.count)
		plan_report_model(&report, x->file, &out);
	else if (!instead)
		plan_report_text(&report, &out);
	*ret = command_print("plan", &out);
	if (*ret == EXIT_OK)
		*ret = (const enum exit_status[]){EXIT_OK, EXIT_FAILED, EXIT_NOT_CHECKED}[plan_verdict(&x->plan)];
	if (flags_is_set(x->flags, "svg")) {
		buf_reset(&out);
		plan_report_svg(&report, &out);
		r = write_file(flags_str(x->flags, "svg"), &out, err);
	}
	if (r == 0 && flags_is_set(x->flags, "write"))
		r = write_plan(x, &report, err);
	buf_done(&out);
	return r;
}

static enum exit_status plan_run(const struct flags *flags)
{
	uint32_t count;
	const char *const *args = flags_args(flags, &count);
	struct planner x = {.flags = flags, .file = count == 1 ? args[0] : "command line"};
	enum exit_status status = EXIT_USAGE;
	struct err err = {0};
	int r;

	if (count == 0) {
		command_complain("plan",
			"which graph or model? stator plan GRAPH.yaml, stator plan MODEL --gpus 4xT4, or stator plan MODEL.gguf");
		return EXIT_USAGE;
	}
	gather_init(&x.gather);
	form_set_init(&x.form);
	buf_init(&x.text, YAML_BYTES_MAX);
	if ((r = catalogues_add(flags, &err)) == 0 &&
		(!flags_is_set(flags, "engine-version") ||
			(r = versions_of(&x, flags_str(flags, "engine-version"), &err)) == 0) &&
		(r = form_get(&x, args, count, &err)) == 0 &&
		((r = graph_read(&x, true, x.file, buf_str(&x.text), x.text.len, x.form.root, &x.graph, &err)) == 0 ||
			(x.meant && (r = graph_restore(&x, &err)) == 0)) &&
		(r = plan_all(&x, &err)) == 0 && (!x.model || (r = model_best(&x, &err)) == 0))
		r = outputs(&x, &status, &err);
	if (r < 0) {
		command_complain("plan", "%s", err.msg);
		status = r == -ENOTSUP ? EXIT_NOT_CHECKED : EXIT_USAGE; /* an engine that is not planned */
	}
	if (x.restored)
		status = EXIT_USAGE; /* the file itself cannot be read */
	if (x.planned) {
		plan_options_done(&x.options);
		plan_done(&x.plan);
	}
	graph_destroy(x.graph);
	form_set_done(&x.form);
	buf_done(&x.text);
	free(x.meant);
	gather_done(&x.gather);
	return status;
}

const struct command command_plan = {
	.spec = {.name = "plan",
		.args = "FILE|MODEL|-- COMMAND",
		.summary = "say whether a deployment fits the hardware, why not, and what would",
		.text = "Counts GPUs, memory and what the cards can compute against what the graph asks for, and "
			"reports every "
			"reason why it cannot run, in one pass, with the arithmetic. Then it looks for deployments "
			"near it "
			"that fit, best first by predicted speed. Nothing is started. A model's "
			"name or folder "
			"alone is planned for vLLM: its best deployments, as a table. A GGUF file, or demo, is planned "
			"as stator serve would run it.\n\n"
			"--write FILE writes the graph of one of them: values are changed where they stand, and "
			"comments and "
			"order stay. With --write-as the file is written in its own form instead (a script, a compose "
			"file, an object of "
			"Kubernetes), everything else in it byte for byte as it was; what that form has no place for is named.\n\n"
			"Exit status: 0 it fits, 1 it cannot run, 2 something could not be read or written, 3 not "
			"checked: something needed for an answer is not known.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table),
		.args_max = 1024,
		.overrides = true},
	.run = plan_run,
};
