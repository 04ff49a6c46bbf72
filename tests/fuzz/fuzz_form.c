/* Any bytes as a deployment in a foreign form, and the tree that comes of it as a graph; the same as a command line's words. */
#include "forms/form.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_text(const char *text, size_t size)
{
	struct graph *graph = NULL;
	struct form_set f;
	struct diags diags;
	struct err err;

	form_set_init(&f);
	diags_init(&diags);
	if (form_read(&f, "fuzz", text, size, &diags, &err) == 0 && f.form) {
		ASSERT(f.root);
		(void)!graph_of_tree(&graph, "fuzz", f.root, NULL, &diags, &err);
		graph_destroy(graph);
	}
	diags_done(&diags);
	form_set_done(&f);
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
	as_text((const char *)data, size);
	as_words(text);
	free(text);
	return 0;
}
