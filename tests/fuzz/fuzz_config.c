/* A graph file of any bytes, with lines after a NUL byte as overrides: it is read, or every mistake is told. */
#include "config/graph.h"

#include <stdint.h>
#include <string.h>

enum { OVERRIDES_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfyaml 0.7 forgets 4 KiB when it refuses a text in the middle of a long quoted scalar. A graph is read once, so it is
 * not worth a copy of the library; our own leaks still show. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so";
}

static void check_graph(const struct graph *g)
{
	for (uint32_t i = 0; i < g->len; i++) {
		const struct graph_service *s = &g->services[i];
		ASSERT(s->name && s->model && s->served_name && s->cpus && s->ns);
		ASSERT(s->workers <= 1024 && s->gpus >= 0 && s->gpus <= 64);
		for (uint32_t k = 0; k < s->args_len; k++)
			ASSERT(s->args[k].name && s->args[k].value);
	}
	ASSERT(graph_find(g, GRAPH_FRONTEND) && *graph_router_mode(g));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, 0, size);
	size_t len = end ? (size_t)(end - data) : size;
	char *rest = end ? strndup((const char *)end + 1, size - len - 1) : NULL, *p = rest;
	const char *overrides[OVERRIDES_MAX];
	struct graph_options o = {.overrides = overrides, .engine = size % 3 ? NULL : size % 2 ? "mock" : "llama"};
	struct graph *g = NULL;
	struct diags d;
	struct buf said;
	struct err err;

	for (char *line; p && o.overrides_len < OVERRIDES_MAX && (line = strsep(&p, "\n"));)
		overrides[o.overrides_len++] = line;
	diags_init(&d);
	buf_init(&said, 1 << 22);
	int code = graph_parse(&g, "fuzz.yaml", (const char *)data, len, &o, &d, &err);
	diags_print(&d, DIAG_NOTICE, &said);
	ASSERT((code == 0) == (g != NULL));
	ASSERT(code != -EINVAL || d.errors);
	if (g)
		check_graph(g);
	graph_destroy(g);
	diags_done(&d);
	buf_done(&said);
	free(rest);
	return 0;
}
