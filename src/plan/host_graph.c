#include "plan/host_graph.h"

#include <string.h>

bool plan_option_converts(const struct plan *asked, const struct plan_options *o, const struct plan_option *option)
{
	return option->shape.threads && asked->deployment.services[o->main].engine != GRAPH_ENGINE_LLAMA;
}

/* A scalar that needs no thought about YAML's rules. */
static void quoted(struct buf *out, const char *key, const char *text)
{
	buf_printf(out, "  %s: \"", key);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_add_byte(out, '\\');
		buf_add_byte(out, *text);
	}
	buf_add_str(out, "\"\n");
}

static void frontend(const struct graph *g, struct buf *out)
{
	const struct graph_service *f = graph_find(g, GRAPH_FRONTEND);
	const struct config_item *port = config_section_find(&f->settings, "port");
	const struct config_item *host = config_section_find(&f->settings, "host");

	buf_add_str(out, "Frontend:\n");
	buf_printf(out, "  port: %llu\n", (unsigned long long)(port ? port->value.u : 8000));
	if (host && host->value.set && host->value.text)
		quoted(out, "host", host->value.text);
	buf_printf(out, "\nRouter:\n  mode: %s\n", graph_router_mode(g));
}

void plan_host_graph(const struct plan *asked, const struct plan_options *o, const struct plan_option *option,
	const char *title, struct buf *out)
{
	const struct plan_service *was = &asked->deployment.services[o->main];
	const struct plan_shape *s = &option->shape;

	buf_printf(out, "# %s. Written by stator plan in place of %s, which computes on GPUs.\n", title,
		asked->deployment.graph->file);
	frontend(asked->deployment.graph, out);
	buf_add_str(out, "\nLlamaWorker:\n");
	quoted(out, "model", s->quant_model ? s->quant_model : was->graph->model);
	if (*was->graph->served_name)
		quoted(out, "served-model-name", was->graph->served_name);
	buf_printf(out, "  context-length: %llu # KV cells that a worker's streams share\n",
		(unsigned long long)s->context);
	buf_printf(out, "  max-seqs: %llu\n", (unsigned long long)s->seqs);
	if (!strcmp(s->kv, "q8_0"))
		buf_add_str(out, "  kv-type: q8_0\n");
	buf_printf(out, "  ServiceArgs:\n    workers: %u # %u threads each\n", s->workers, s->threads);
}
