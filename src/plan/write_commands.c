/* write_commands.c - a graph's workers as command lines of their engines; see write_form.h. */
#include "plan/write_form.h"

#include "config/engine_flags.h"
#include "config/yaml.h"
#include "plan/check.h"

#include <stdio.h>
#include <string.h>

enum { FIRST_PORT = 8000 };

void plan_shell_word(struct buf *out, const char *word)
{
	if (*word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%") ==
			     strlen(word)) {
		buf_add_str(out, word);
		return;
	}
	buf_add_byte(out, '\'');
	for (; *word; word++)
		buf_add_str(out, *word == '\'' ? "'\\''" : (char[]){*word, '\0'});
	buf_add_byte(out, '\'');
}

static void add_flag(struct buf *out, const char *flag, const char *value)
{
	buf_printf(out, " \\\n  %s", flag);
	if (value) {
		buf_add_byte(out, ' ');
		plan_shell_word(out, value);
	}
}

static bool is_no(const char *value)
{
	return !strcmp(value, "false") || !strcmp(value, "no") || !strcmp(value, "off") || !strcmp(value, "0");
}

/* ["a", "b"] as words of their own; false: it is no list. */
static bool add_list(struct buf *out, const char *flag, const char *value)
{
	struct yaml_node *root = NULL;
	struct arena arena;
	struct diags diags;

	if (*value != '[')
		return false;
	arena_init(&arena, YAML_ARENA_BYTES_MAX);
	diags_init(&diags);
	bool list = yaml_parse(&root, &arena, "list", value, strlen(value), &diags) == 0 && root->type == YAML_SEQ;
	if (list)
		buf_printf(out, " \\\n  %s", flag);
	for (const struct yaml_node *n = list ? root->first : NULL; n; n = n->next) {
		buf_add_byte(out, ' ');
		plan_shell_word(out, n->text ? n->text : "");
	}
	diags_done(&diags);
	arena_done(&arena);
	return list;
}

/* A setting as the engine's flag. Common's spellings are not all the engine's own. */
static void add_arg(
	struct buf *out, enum engine_program program, const char *name, const char *value, const char *version)
{
	static const struct {
		const char *key, *flag;
	} common[] = {{"max-model-len", "context-length"}, {"block-size", "page-size"}, {"tp", "tp-size"}};
	char spelling[ENGINE_FLAG_BYTES];
	struct engine_flag flag = {.values = '1'};

	for (size_t i = 0; i < ARRAY_LEN(common) && program == ENGINE_SGLANG_SERVER; i++)
		if (!strcmp(common[i].key, name))
			name = common[i].flag;
	snprintf(spelling, sizeof spelling, "--%s", name);
	if (engine_flag_find(&flag, program, spelling, version, NULL) != ENGINE_FLAG_KNOWN || flag.values != '0') {
		if (!(flag.values == '+' || flag.values == '*') || !add_list(out, spelling, value))
			add_flag(out, spelling, value);
		return;
	}
	if (!is_no(value)) {
		add_flag(out, spelling, NULL);
	} else if (flag.kind == ENGINE_FLAG_BOOL) {
		snprintf(spelling, sizeof spelling, "--no-%s", name);
		add_flag(out, spelling, NULL);
	}
}

static void add_llama(struct buf *out, const struct plan_service *s)
{
	static const struct {
		const char *key, *flag;
	} flags[] = {{"context-length", "--ctx-size"}, {"max-seqs", "--parallel"}, {"batch-size", "--batch-size"},
		{"ubatch-size", "--ubatch-size"}, {"threads", "--threads"}, {"gpu-layers", "--n-gpu-layers"},
		{"served-model-name", "--alias"}, {"chat-template-file", "--chat-template-file"}};
	const struct config_section *settings = &s->graph->settings;

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (config_is_set(settings, flags[i].key))
			add_flag(out, flags[i].flag, config_section_find(settings, flags[i].key)->value.text);
	if (s->gpus && !config_is_set(settings, "gpu-layers"))
		add_flag(out, "--n-gpu-layers", "999");
	if (!strcmp(s->kv, "q8_0")) {
		add_flag(out, "--cache-type-k", "q8_0");
		add_flag(out, "--cache-type-v", "q8_0");
	}
}

static void add_cards(struct buf *out, const struct plan *p, const struct plan_slot *slot)
{
	for (uint32_t i = 0; i < slot->count; i++)
		buf_printf(out, "%s%u", i ? "," : "CUDA_VISIBLE_DEVICES=",
			p->input.inventory->devices[p->placement.cards[slot->first + i]].index);
	if (slot->count)
		buf_add_byte(out, ' ');
}

static uint32_t host_of(const struct plan *p, const struct plan_slot *slot, uint32_t i)
{
	return p->input.inventory->devices[p->placement.cards[slot->first + i]].host;
}

static void add_worker(struct buf *out, const struct plan *p, const struct plan_service *s,
	const struct plan_slot *slot, uint32_t port)
{
	const struct graph_service *g = s->graph;
	const char *version = s->version ? ENGINE_VERSION(s->version) : NULL;
	bool vllm = s->engine == GRAPH_ENGINE_VLLM, llama = s->engine == GRAPH_ENGINE_LLAMA;
	enum engine_program program = vllm ? ENGINE_VLLM_SERVE : ENGINE_SGLANG_SERVER;

	for (uint32_t i = 0; i < g->envs_len; i++) {
		if (slot && slot->count && !strcmp(g->envs[i].name, "CUDA_VISIBLE_DEVICES"))
			continue;
		buf_printf(out, "%s=", g->envs[i].name);
		plan_shell_word(out, g->envs[i].value ? g->envs[i].value : "");
		buf_add_byte(out, ' ');
	}
	if (slot)
		add_cards(out, p, slot);
	buf_add_str(out, vllm    ? "vllm serve "
			 : llama ? "llama-server --model "
				 : "python3 -m sglang.launch_server --model-path ");
	plan_shell_word(out, g->model);
	for (uint32_t i = 0; i < g->args_len && !llama; i++)
		if (strcmp(g->args[i].name, "model") && strcmp(g->args[i].name, "model-path"))
			add_arg(out, program, g->args[i].name, g->args[i].value, version);
	if (llama)
		add_llama(out, s);
	char text[16];
	snprintf(text, sizeof text, "%u", port);
	add_flag(out, "--port", text);
}

static int check_service(const struct plan_service *s, enum graph_engine engine, struct err *err)
{
	if (s->engine != engine)
		return err_set(err, -EINVAL, "%s runs on %s, which has a command line of its own: --write-as %s",
			s->name, graph_engine_name(s->engine),
			s->engine == GRAPH_ENGINE_VLLM     ? "vllm"
			: s->engine == GRAPH_ENGINE_SGLANG ? "sglang"
							   : "llama-server");
	if (s->role != GRAPH_ROLE_BOTH || s->remote_prefill)
		return err_set(err, -EINVAL,
			"%s is one of workers that divide prefill and decode: they need a router between them, which no command "
			"line starts",
			s->name);
	if (!*s->graph->model)
		return err_set(err, -EINVAL, "%s has no model", s->name);
	return 0;
}

static int add_service(struct buf *out, const struct plan *p, uint32_t index, uint32_t *port, uint32_t *host, bool last,
	struct err *err)
{
	const struct plan_service *s = &p->deployment.services[index];
	const struct plan_placement *pl = &p->placement;
	uint32_t at = 0;

	for (uint32_t n = 0; n < s->workers; n++) {
		const struct plan_slot *slot = NULL;
		for (; at < pl->slots_len && !slot; at++)
			slot = pl->slots[at].service == index ? &pl->slots[at] : NULL;
		for (uint32_t i = 0; slot && i < slot->count; i++)
			if (host_of(p, slot, i) != host_of(p, slot, 0))
				return err_set(err, -EINVAL,
					"a worker of %s takes cards of several hosts: one command line a worker is not enough",
					s->name);
		if (slot && slot->count && host_of(p, slot, 0) != *host) {
			*host = host_of(p, slot, 0);
			buf_printf(out, "\n# On host %u:\n", *host + 1);
		}
		buf_printf(out, "# %s, worker %u of %u\n", s->name, n + 1, s->workers);
		add_worker(out, p, s, slot, (*port)++);
		buf_add_str(out, last && n + 1 == s->workers ? "\n" : " &\n");
	}
	return 0;
}

int plan_write_commands(
	const struct plan *p, enum graph_engine engine, const char *title, struct buf *out, struct err *err)
{
	uint32_t port = FIRST_PORT, host = 0, workers = 0, last = 0;
	int r = 0;

	for (uint32_t i = 0; i < p->deployment.len && r == 0; i++) {
		if (!p->deployment.services[i].workers)
			continue;
		r = check_service(&p->deployment.services[i], engine, err);
		workers += p->deployment.services[i].workers;
		last = i;
	}
	if (r < 0)
		return r;
	if (!workers)
		return err_set(err, -EINVAL, "no service has a worker");
	buf_printf(out, "#!/bin/sh\n# %s. Written by stator plan from %s.\n", title, p->deployment.graph->file);
	for (uint32_t i = 0; i < p->deployment.len && r == 0; i++)
		r = add_service(out, p, i, &port, &host, i == last, err);
	if (r == 0 && workers > 1)
		buf_add_str(out, "wait\n");
	return r < 0 ? r : out->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}
