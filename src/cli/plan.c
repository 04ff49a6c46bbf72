/* plan.c - stator plan: does a deployment fit, and what would. */
#include "base/json_out.h"
#include "base/file.h"
#include "cli/catalogues.h"
#include "cli/command.h"
#include "cli/demo.h"
#include "cli/gather.h"
#include "cli/plan_model.h"
#include "cli/plan_priv.h"
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

enum { PLAN_OUT_BYTES_MAX = 64 * 1024 * 1024 };

static const struct flag flags_table[] = {
	{.key = {.name = "gpus",
		 .type = CONFIG_STRING,
		 .help = "plan for these instead of this machine's: 4xT4, 2xT4,1xL4, 8xA100-80GB, H100 MIG 1g.10gb, g5.12xlarge; several hosts as "
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
		 .help = "releases of engines where services have no engine-version: 0.19.0, or vllm=0.11.0,sglang=0.5.3,llama.cpp=8000"},
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

/* What the file names (--config settings.yaml) and lies beside it. */
static int beside_read(void *ctx, const char *name, struct buf *ret)
{
	const struct planner *x = ctx;
	const char *slash = strrchr(x->file, '/');
	struct err ignored;
	char path[4096];

	int n = snprintf(
		path, sizeof path, "%.*s%s", slash && !x->words_count ? (int)(slash - x->file) + 1 : 0, x->file, name);
	return n < 0 || (size_t)n >= sizeof path ? -ENAMETOOLONG
						 : file_read_text(ret, "settings", path, FILE_PLAIN, &ignored);
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
int planner_graph_read(struct planner *x, bool overridden, const char *file, const char *text, size_t len,
	struct yaml_node *root, struct graph **ret, struct err *err)
{
	struct graph_options options = {0};
	struct diags diags;
	struct buf said;

	options.planned = true; /* its own findings tell of those */
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
	return name ? planner_graph_read(x, true, name, buf_str(&x->text), x->text.len, NULL, &x->graph, err)
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
	int r = planner_graph_read(x, true, x->file, buf_str(&x->text), x->text.len, NULL, &x->graph, err);
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
	/* How many are asked for decides which are kept apart as different: another count numbers them anew. */
	if (flags_is_set(x->flags, "plans"))
		buf_printf(&out, " --plans %llu", (unsigned long long)flags_uint(x->flags, "plans"));
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

static void report_of(struct planner *x, struct plan_report *ret)
{
	if (x->model ||
		(!x->words_count && arg_is_model(x->file))) /* the lines would be those of a graph nobody wrote */
		places_drop(&x->plan);
	*ret = (struct plan_report){.asked = &x->plan,
		.options = &x->options,
		.command = command_text(x),
		.command_tail = command_tail(x),
		.form = x->form.form,
		.explain = flags_bool(x->flags, "explain")};
	look_of(&ret->look);
}

/* The files that were asked for beside the report. */
static int files_write(struct planner *x, const struct plan_report *report, struct err *err)
{
	struct buf out;
	int r = 0;

	buf_init(&out, PLAN_OUT_BYTES_MAX);
	if (flags_is_set(x->flags, "svg")) {
		plan_report_svg(report, &out);
		r = planner_write_file(flags_str(x->flags, "svg"), &out, err);
	}
	buf_done(&out);
	return r == 0 && flags_is_set(x->flags, "write") ? planner_write(x, report, err) : r;
}

static enum exit_status report_print(struct planner *x, const struct plan_report *report)
{
	enum exit_status ret;
	struct buf out;

	buf_init(&out, PLAN_OUT_BYTES_MAX);
	if (flags_bool(x->flags, "json"))
		plan_report_json(report, &out);
	else if (x->model && x->gather.inventory.count)
		plan_report_model(report, x->file, &out);
	else
		plan_report_text(report, &out);
	ret = command_print("plan", &out);
	buf_done(&out);
	return ret;
}

/* One JSON object whatever happens, so the files come before it and their error stands in it; for people the files come behind. */
static int outputs(struct planner *x, enum exit_status *ret, struct err *err)
{
	bool instead = flags_is_set(x->flags, "write") && !strcmp(flags_str(x->flags, "write"), "-");
	bool json = flags_bool(x->flags, "json");
	struct plan_report report;
	int r = 0;

	report_of(x, &report);
	*ret = EXIT_OK;
	if (json)
		r = files_write(x, &report, err);
	report.error = r < 0 ? err->msg : x->restored ? x->why : NULL;
	if (!instead || (json && r < 0))
		*ret = report_print(x, &report);
	x->told = json;
	if (*ret == EXIT_OK)
		*ret = (const enum exit_status[]){EXIT_OK, EXIT_FAILED, EXIT_NOT_CHECKED}[plan_verdict(&x->plan)];
	return json ? r : files_write(x, &report, err);
}

/* The object of an input that has no plan. */
static void error_json(const char *file, const char *verdict, const char *error)
{
	struct buf out;

	buf_init(&out, PLAN_OUT_BYTES_MAX);
	plan_error_json(file, verdict, error, &out);
	command_print("plan", &out);
	buf_done(&out);
}

/* All steps in their order; the first that fails says why. */
static int run_steps(struct planner *x, const char *const *args, uint32_t count, enum exit_status *ret, struct err *err)
{
	int r = catalogues_add(x->flags, err);

	if (r == 0 && flags_is_set(x->flags, "engine-version"))
		r = versions_of(x, flags_str(x->flags, "engine-version"), err);
	if (r == 0)
		r = form_get(x, args, count, err);
	if (r == 0) {
		r = planner_graph_read(x, true, x->file, buf_str(&x->text), x->text.len, x->form.root, &x->graph, err);
		if (r < 0 && x->meant) {
			snprintf(x->why, sizeof x->why, "%s", err->msg);
			r = graph_restore(x, err);
		}
	}
	if (r == 0)
		r = plan_all(x, err);
	if (r == 0 && x->model)
		r = model_best(x, err);
	return r == 0 ? outputs(x, ret, err) : r;
}

static enum exit_status plan_run(const struct flags *flags)
{
	uint32_t count;
	const char *const *args = flags_args(flags, &count);
	struct planner x = {.flags = flags, .file = count == 1 ? args[0] : "command line"};
	enum exit_status status = EXIT_USAGE;
	struct err err = {0};
	int r;

	gather_init(&x.gather);
	form_set_init(&x.form);
	x.form.beside = beside_read;
	x.form.beside_ctx = &x;
	buf_init(&x.text, YAML_BYTES_MAX);
	r = count ? run_steps(&x, args, count, &status, &err)
		  : err_set(&err, -EINVAL,
			    "which graph or model? stator plan GRAPH.yaml, stator plan MODEL --gpus 4xT4, or stator plan MODEL.gguf");
	if (r < 0) {
		command_complain("plan", "%s", err.msg);
		status = r == -ENOTSUP ? EXIT_NOT_CHECKED : EXIT_USAGE; /* an engine that is not planned */
	}
	if (r < 0 && flags_bool(flags, "json") && !x.told)
		error_json(x.file, r == -ENOTSUP ? plan_verdict_name(PLAN_NOT_CHECKED) : "not-read", err.msg);
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
