/* gate.c - the plan in front of a start; see gate.h. */
#include "cli/gate.h"
#include "cli/gather.h"
#include "plan/write_form.h"

#include <stdio.h>
#include <unistd.h>

enum { GATE_BYTES_MAX = 4 * 1024 * 1024 };

static bool has_external(const struct graph *g)
{
	for (uint32_t i = 0; i < g->len; i++)
		if ((g->services[i].engine == GRAPH_ENGINE_VLLM || g->services[i].engine == GRAPH_ENGINE_SGLANG) &&
			g->services[i].workers)
			return true;
	return false;
}

static bool has_llama(const struct graph *g)
{
	for (uint32_t i = 0; i < g->len; i++)
		if (g->services[i].engine == GRAPH_ENGINE_LLAMA && g->services[i].workers)
			return true;
	return false;
}

static void print(const struct plan *p, enum finding_severity least)
{
	const struct findings_look look = {.least = least, .color = isatty(STDERR_FILENO) && !getenv("NO_COLOR")};
	struct buf out;

	buf_init(&out, GATE_BYTES_MAX);
	findings_print(&p->findings, &look, &out);
	fputs(buf_str(&out), stderr);
	buf_done(&out);
}

static int judge(const struct plan *p, const char *name, bool force, struct err *err)
{
	uint32_t fatals = p->findings.fatals;
	struct buf word;

	print(p, has_external(p->input.graph) ? FINDING_WARNING : FINDING_FATAL);
	if (!fatals)
		return 0;
	if (force) {
		fprintf(stderr, "stator serve: --force: %u fatal finding%s of the plan overridden: %s%s\n", fatals,
			fatals == 1 ? "" : "s", p->findings.items[0].what, fatals > 1 ? ", and what stands above" : "");
		return 0;
	}
	err_set(err, -ERANGE, "%s cannot run here: %s", name, p->findings.items[0].what);
	if (has_external(p->input.graph))
		err_hint(err, "--engine mock runs the same graph without GPUs, and --engine llama when its model is a "
			      "GGUF file");
	buf_init(&word, GATE_BYTES_MAX);
	plan_shell_word(&word, name);
	err_hint(err, "\"stator plan %s\" offers deployments that fit; --force starts it all the same", buf_str(&word));
	buf_done(&word);
	return -ERANGE;
}

int gate_check(const struct graph *graph, const char *name, bool force, struct err *err)
{
	struct plan_input input = {.graph = graph};
	struct gather gather;
	struct plan plan;

	if (!has_external(graph) && !has_llama(graph))
		return 0;
	gather_init(&gather);
	int r = gather_models(&gather, graph, NULL, err);
	if (r == 0)
		r = gather_inventory(&gather, graph, NULL, NULL, err);
	if (r == 0) {
		/* A file that is not there, or no model, is the launcher's to say, and a port that is taken the listener's. */
		for (uint32_t i = 0; i < graph->len; i++)
			gather.models[i].missing = gather.models[i].refused = gather.models[i].damaged = false;
		input.models = gather.models;
		input.inventory = &gather.inventory;
		r = plan_make(&plan, &input, err);
	}
	if (r == 0) {
		r = judge(&plan, name, force, err);
		plan_done(&plan);
	}
	gather_done(&gather);
	return r;
}
