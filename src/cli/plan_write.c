/* plan_write.c - stator plan --write: a plan as a graph, in the file's own form, or as command lines; read and planned again before it
 * is written. */
#include "cli/plan_priv.h"
#include "base/file.h"
#include "config/yaml.h"
#include "plan/host_graph.h"
#include "plan/write_form.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int planner_write_file(const char *file, const struct buf *text, struct err *err)
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
	ret->form.beside = x->form.beside;
	ret->form.beside_ctx = x->form.beside_ctx;
	diags_init(&diags);
	if (foreign)
		r = form_read(&ret->form, file, buf_str(text), text->len, &diags, err);
	if (r == 0 && foreign && !ret->form.root)
		r = err_set(err, -EINVAL, "what was written is no form that can be read");
	if (r == 0)
		r = planner_graph_read(x, false, file, buf_str(text), text->len, ret->form.root, &ret->graph, err);
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
	int r = own.failed ? err_set(err, -ENOMEM, "out of memory")
			   : planner_graph_read(
				     x, false, flags_str(x->flags, "write"), buf_str(&own), own.len, NULL, &graph, err);
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

int planner_write(struct planner *x, const struct plan_report *report, struct err *err)
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
		r = planner_write_file(file, &text, err);
	if (r == 0 && o)
		fprintf(stderr,
			plan_option_converts(&x->plan, &x->options, o) ? "wrote %s: %s (a graph of its own)\n"
								       : "wrote %s: %s (%u settings changed)\n",
			strcmp(file, "-") ? file : "standard output", title, made);
	buf_done(&text);
	free(edits);
	return r;
}
