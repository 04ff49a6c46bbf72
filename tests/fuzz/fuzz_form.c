/* Any bytes as a deployment in a foreign form (a script, a program, a manifest, a makefile), and the tree that comes of it as a graph; the
 * same as a command line's words. */
#include "forms/form.h"
#include "plan/write_form.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WRITTEN_BYTES_MAX = 600 }; /* it is read again and again */
static void as_written(const char *text, size_t size, struct graph *graph);

/* A file that the text names is the text again. */
static int beside(void *ctx, const char *name, struct buf *ret)
{
	(void)name;
	buf_add_str(ret, ctx);
	return 0;
}

static void as_text(const char *name, char *text, size_t size)
{
	struct graph *graph = NULL;
	struct form_set f;
	struct diags diags;
	struct err err;

	form_set_init(&f);
	diags_init(&diags);
	f.beside = beside;
	f.beside_ctx = text;
	if (form_read(&f, name, text, size, &diags, &err) == 0 && f.form) {
		ASSERT(f.root);
		if (graph_of_tree(&graph, "fuzz", f.root, NULL, &diags, &err) == 0 && size <= WRITTEN_BYTES_MAX && size % 4 == 0)
			as_written(text, size, graph);
		graph_destroy(graph);
	}
	diags_done(&diags);
	form_set_done(&f);
}

/* What is written in the same form reads as the same services, whatever could be changed. */
static void as_written(const char *text, size_t size, struct graph *graph)
{
	static const struct model_facts facts = {.name = "m",
		.architecture = "x",
		.dtype = "bfloat16",
		.quant = "none",
		.context_max = 4096,
		.layers = 2,
		.heads = 4,
		.kv_heads = 4,
		.hidden = 64};
	struct plan_edits *left = malloc(sizeof *left);
	struct plan_model *models = calloc(graph->len, sizeof *models);
	struct plan_deployment target;
	struct form_set f;
	struct diags diags;
	struct err err;
	struct buf out;
	uint32_t made;

	ASSERT(left && models);
	for (uint32_t i = 0; i < graph->len; i++)
		models[i] = (struct plan_model){.facts = &facts, .why = ""};
	buf_init(&out, 4 * YAML_BYTES_MAX);
	ASSERT(plan_deployment_init(&target, graph, models) == 0);
	for (uint32_t i = 0; i < target.len; i++) {
		target.services[i].tp = 2;
		target.services[i].context = 512;
	}
	const struct plan_write w = {.file = "fuzz", .text = text, .len = size, .target = &target, .models = models};
	if (plan_write_form(&w, &out, left, &made, &err) == 0) {
		form_set_init(&f);
		diags_init(&diags);
		ASSERT(form_read(&f, "fuzz", buf_str(&out), out.len, &diags, &err) == 0 && f.form);
		diags_done(&diags);
		form_set_done(&f);
	}
	plan_deployment_done(&target);
	buf_done(&out);
	free(models);
	free(left);
}

static void as_words(char *text)
{
	const char *words[64];
	uint32_t count = 0;
	struct form_set f;
	struct err err;

	for (char *save = NULL, *w = strtok_r(text, " \n", &save); w && count < ARRAY_LEN(words);
		w = strtok_r(NULL, " \n", &save))
		words[count++] = w;
	form_set_init(&f);
	if (form_read_words(&f, words, count, &err) == 0)
		ASSERT(f.form && f.root);
	form_set_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);

	ASSERT(text);
	as_text(size % 8 ? "fuzz" : "justfile", text, size);
	as_words(text);
	free(text);
	return 0;
}
