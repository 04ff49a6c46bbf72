/* command.c - a command line that starts an engine, in whatever stands before it: sudo, env, docker run, python3 -m.
 *
 * Programs and their flags follow the engines' own command lines: vLLM's `vllm serve` (vllm/entrypoints/cli/serve.py, 0.8 and
 * later), its module vllm.entrypoints.openai.api_server, SGLang's sglang.launch_server, llama-server, and Dynamo's wrappers
 * dynamo.vllm and dynamo.sglang (components/src/dynamo of ai-dynamo/dynamo). */
#include "forms/form_priv.h"
#include "gpu/versions.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

/* ---- programs ---- */

struct program {
	const char *name, *next; /* the word's last part, and the word behind it that must follow; NULL: none */
	enum graph_engine engine; /* NONE: not planned here */
	const char *called;
};
static const struct program programs[] = {
	{"vllm", "serve", GRAPH_ENGINE_VLLM, "vllm serve"},
	{"-m", "vllm.entrypoints.openai.api_server", GRAPH_ENGINE_VLLM, "vllm.entrypoints.openai.api_server"},
	{"-m", "vllm.entrypoints.api_server", GRAPH_ENGINE_VLLM, "vllm.entrypoints.api_server"},
	{"-m", "vllm.entrypoints.cli.main", GRAPH_ENGINE_VLLM, "vllm serve"},
	{"-m", "dynamo.vllm", GRAPH_ENGINE_VLLM, "dynamo.vllm"},
	{"-m", "sglang.launch_server", GRAPH_ENGINE_SGLANG, "sglang.launch_server"},
	{"-m", "dynamo.sglang", GRAPH_ENGINE_SGLANG, "dynamo.sglang"},
	{"sglang", "serve", GRAPH_ENGINE_SGLANG, "sglang serve"},
	{"llama-server", NULL, GRAPH_ENGINE_LLAMA, "llama-server"},
	{"llama-server.exe", NULL, GRAPH_ENGINE_LLAMA, "llama-server"},
	{"-m", "llama_cpp.server", GRAPH_ENGINE_LLAMA, "llama_cpp.server"},
	{"-m", "dynamo.trtllm", GRAPH_ENGINE_NONE, "TensorRT-LLM"},
	{"trtllm-serve", NULL, GRAPH_ENGINE_NONE, "TensorRT-LLM"},
	{"trtllm-llmapi-launch", NULL, GRAPH_ENGINE_NONE, "TensorRT-LLM"},
	{"tritonserver", NULL, GRAPH_ENGINE_NONE, "Triton Inference Server"},
	{"text-generation-launcher", NULL, GRAPH_ENGINE_NONE, "Text Generation Inference"},
	{"lmdeploy", "serve", GRAPH_ENGINE_NONE, "LMDeploy"},
	{"-m", "mlc_llm", GRAPH_ENGINE_NONE, "MLC LLM"},
};

enum graph_engine form_engine_of_image(const char *image)
{
	static const struct {
		const char *part;
		enum graph_engine engine;
	} images[] = {{"sglang", GRAPH_ENGINE_SGLANG}, {"vllm", GRAPH_ENGINE_VLLM}, {"llama.cpp", GRAPH_ENGINE_LLAMA},
		{"llama-cpp", GRAPH_ENGINE_LLAMA}};

	for (size_t i = 0; i < ARRAY_LEN(images); i++)
		if (strcasestr(image, images[i].part))
			return images[i].engine;
	return GRAPH_ENGINE_NONE;
}

void form_note_version(struct form_set *f, enum graph_engine engine, const char *image)
{
	const char *slash = strrchr(image, '/'), *tag = strchr(slash ? slash : image, ':');
	uint64_t version = tag && form_engine_of_image(image) == engine ? engine_version_parse(tag + 1) : 0;

	/* Dynamo's images are numbered as Dynamo is. */
	if (!version || strcasestr(image, "dynamo"))
		return;
	f->versions_differ[engine] |= f->versions[engine] && f->versions[engine] != version;
	f->versions[engine] = f->versions_differ[engine] ? 0 : version;
}

static const char *base_name(const char *word)
{
	const char *slash = strrchr(word, '/');
	return slash ? slash + 1 : word;
}

static const struct program *program_at(const struct form_word *words, uint32_t count, uint32_t i)
{
	for (size_t k = 0; k < ARRAY_LEN(programs); k++) {
		const struct program *p = &programs[k];
		if (strcmp(base_name(words[i].text), p->name))
			continue;
		if (!p->next || (i + 1 < count && !strcmp(words[i + 1].text, p->next)))
			return p;
	}
	return NULL;
}

/* ---- flags ---- */

/* Short and old spellings, to what the tables of config/ call them. */
static const struct {
	enum graph_engine engine;
	const char *from, *to;
} aliases[] = {
	{GRAPH_ENGINE_VLLM, "tp", "tensor-parallel-size"},
	{GRAPH_ENGINE_VLLM, "pp", "pipeline-parallel-size"},
	{GRAPH_ENGINE_VLLM, "dp", "data-parallel-size"},
	{GRAPH_ENGINE_VLLM, "q", "quantization"},
	{GRAPH_ENGINE_SGLANG, "model", "model-path"},
	{GRAPH_ENGINE_SGLANG, "dp", "dp-size"},
	{GRAPH_ENGINE_SGLANG, "ep", "ep-size"},
	{GRAPH_ENGINE_SGLANG, "pp", "pp-size"},
	{GRAPH_ENGINE_LLAMA, "m", "model"},
	{GRAPH_ENGINE_LLAMA, "c", "context-length"},
	{GRAPH_ENGINE_LLAMA, "ctx-size", "context-length"},
	{GRAPH_ENGINE_LLAMA, "n_ctx", "context-length"},
	{GRAPH_ENGINE_LLAMA, "ngl", "gpu-layers"},
	{GRAPH_ENGINE_LLAMA, "n-gpu-layers", "gpu-layers"},
	{GRAPH_ENGINE_LLAMA, "n_gpu_layers", "gpu-layers"},
	{GRAPH_ENGINE_LLAMA, "np", "max-seqs"},
	{GRAPH_ENGINE_LLAMA, "parallel", "max-seqs"},
	{GRAPH_ENGINE_LLAMA, "ts", "tensor-split"},
	{GRAPH_ENGINE_LLAMA, "t", "threads"},
	{GRAPH_ENGINE_LLAMA, "ctk", "kv-type"},
	{GRAPH_ENGINE_LLAMA, "cache-type-k", "kv-type"},
	{GRAPH_ENGINE_LLAMA, "a", "served-model-name"},
	{GRAPH_ENGINE_LLAMA, "alias", "served-model-name"},
	{GRAPH_ENGINE_LLAMA, "hf", "hf-repo"},
	{GRAPH_ENGINE_LLAMA, "hfr", "hf-repo"},
};

static const char *section_of(enum graph_engine e)
{
	return e == GRAPH_ENGINE_VLLM ? "VllmWorker" : e == GRAPH_ENGINE_SGLANG ? "SglangWorker" : "LlamaWorker";
}

static const char *canonical(enum graph_engine engine, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (aliases[i].engine == engine && !strcmp(aliases[i].from, name))
			return aliases[i].to;
	return name;
}

static bool is_truth(const char *s)
{
	return !strcasecmp(s, "true") || !strcasecmp(s, "false");
}

/* "-1" is a value, "-tp" and "--x" are flags. */
static bool is_flag(const struct form_word *w)
{
	return w->text[0] == '-' && w->text[1] && !isdigit((unsigned char)w->text[1]) && w->text[1] != '.' &&
	       !(w->quoted && strchr(w->text, ' '));
}

/* vLLM takes "32k" (thousands) and "32K" (times 1,024) for whole numbers (human_readable_int of vllm/engine/arg_utils.py). */
static const char *whole_number(struct arena *arena, const char *text)
{
	static const char suffixes[] = "kmgtKMGT";
	char *end;
	double n = strtod(text, &end);
	const char *s = *end ? strchr(suffixes, *end) : NULL;

	if (end == text || !s || end[1] || n < 0 || n > 1e6)
		return text;
	for (int power = (int)((s - suffixes) % 4); power >= 0; power--)
		n *= s - suffixes < 4 ? 1000 : 1024;
	return arena_printf(arena, "%.0f", floor(n));
}

struct line {
	struct form_set *f;
	struct form_service *s;
	const struct form_word *words;
	uint32_t count, at;
};

/* The value of a flag whose name ended: behind "=", or the next word, or none for a switch. */
static const char *take_value(struct line *l, const struct config_key *key, const char *after)
{
	const struct form_word *next = l->at < l->count ? &l->words[l->at] : NULL;

	if (after)
		return after;
	if (!next || (is_flag(next) && !(key && key->type == CONFIG_JSON)))
		return NULL;
	if (key && key->type == CONFIG_BOOL && !is_truth(next->text))
		return NULL;
	l->at++;
	return next->text;
}

static int put_flag(
	struct line *l, const char *name, const char *value, const struct config_key *key, const struct config_pos *pos)
{
	struct form_service *s = l->s;

	if (key && key->type == CONFIG_UINT && value)
		value = whole_number(&l->f->arena, value);
	if (!strcmp(name, s->engine == GRAPH_ENGINE_SGLANG ? "model-path" : "model") && value) {
		s->model = value;
		s->model_pos = *pos;
		return 0;
	}
	return form_arg_add(l->f, &s->args, name, value, pos);
}

/* One flag; l->at is behind its word. */
static int read_flag(struct line *l, const struct form_word *w)
{
	const char *text = w->text + strspn(w->text, "-"), *equals = strchr(text, '=');
	char *name = arena_strndup(&l->f->arena, text, equals ? (size_t)(equals - text) : strlen(text));
	const char *section = section_of(l->s->engine);

	if (!name)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		*p = *p == '_' ? '-' : *p;
	const char *real = canonical(l->s->engine, name);
	const struct config_key *key = config_key_find(section, real);
	if (!key && !strncmp(real, "no-", 3) && (key = config_key_find(section, real + 3)) && key->type == CONFIG_BOOL)
		return put_flag(l, real + 3, "false", key, &w->pos);
	const char *value = take_value(l, key, equals ? equals + 1 : NULL);
	return put_flag(l, real, value ? value : "true", key, &w->pos);
}

static int read_flags(struct line *l)
{
	int code = 0;

	while (l->at < l->count && code == 0) {
		const struct form_word *w = &l->words[l->at++];
		if (is_flag(w)) {
			code = read_flag(l, w);
		} else if (!l->s->model) { /* "vllm serve MODEL" */
			l->s->model = w->text;
			l->s->model_pos = w->pos;
		}
	}
	return code;
}

/* What only the wrapped line says of roles, in Dynamo's and SGLang's words. */
static void take_role(struct form_service *s)
{
	const struct form_arg *mode = form_arg_find(&s->args, "disaggregation-mode");

	if (mode && mode->value && !strcmp(mode->value, "prefill"))
		s->role = GRAPH_ROLE_PREFILL;
	else if (mode && mode->value && !strcmp(mode->value, "decode"))
		s->role = GRAPH_ROLE_DECODE;
	if (form_arg_find(&s->args, "is-prefill-worker"))
		s->role = GRAPH_ROLE_PREFILL;
	else if (form_arg_find(&s->args, "is-decode-worker"))
		s->role = GRAPH_ROLE_DECODE;
}

/* Dynamo's wrapper of vLLM moves KV over NIXL unless its --connector says otherwise (components/src/dynamo/vllm/args.py). */
static int take_connector(struct line *l)
{
	static const char nixl[] = "{\"kv_connector\": \"NixlConnector\", \"kv_role\": \"kv_both\"}";
	const struct form_arg *connector = form_arg_find(&l->s->args, "connector");

	if (form_arg_find(&l->s->args, "kv-transfer-config") ||
		(connector && connector->value && !strcmp(connector->value, "none")))
		return 0;
	return form_arg_add(l->f, &l->s->args, "kv-transfer-config", nixl, &l->s->pos);
}

/* ---- what stands before the program ---- */

static bool is_assignment(const char *text)
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]) || text[n] == '_')
		n++;
	return n && text[n] == '=' && !isdigit((unsigned char)text[0]);
}

static int add_env(struct form_set *f, struct form_service *s, const struct form_word *w)
{
	const char *equals = strchr(w->text, '=');
	char *name = arena_strndup(&f->arena, w->text, (size_t)(equals - w->text));

	return name ? form_arg_add(f, &s->envs, name, equals + 1, &w->pos) : -ENOMEM;
}

/* docker run --gpus all | 2 | '"device=0,1"' */
static void take_docker_gpus(struct form_service *s, const struct form_word *w, const char *value)
{
	const char *device = strstr(value, "device=");
	uint32_t n = device ? 1 : (uint32_t)strtoul(value, NULL, 10);

	for (const char *p = device; p && *p; p++)
		n += *p == ',';
	s->gpus = n;
	s->gpus_pos = w->pos;
}

static int read_before(struct form_set *f, struct form_service *s, const struct form_word *words, uint32_t count)
{
	int code = 0;

	for (uint32_t i = 0; i < count && code == 0; i++) {
		const char *t = words[i].text, *next = i + 1 < count ? words[i + 1].text : "";
		if (is_assignment(t))
			code = add_env(f, s, &words[i]);
		else if ((!strcmp(t, "-e") || !strcmp(t, "--env")) && is_assignment(next))
			code = add_env(f, s, &words[++i]);
		else if (!strncmp(t, "--env=", 6) && is_assignment(t + 6))
			code = add_env(f, s, &(struct form_word){t + 6, words[i].pos, false});
		else if (!strcmp(t, "--gpus"))
			take_docker_gpus(s, &words[i], next);
		else if (!strncmp(t, "--gpus=", 7))
			take_docker_gpus(s, &words[i], t + 7);
	}
	return code;
}

/* "docker run ... vllm/vllm-openai:latest --model x": the image's entry point is the program. */
static uint32_t image_at(const struct form_word *words, uint32_t count, enum graph_engine *ret)
{
	bool run = false;

	for (uint32_t i = 0; i < count; i++) {
		run |= !strcmp(words[i].text, "run") || !strcmp(words[i].text, "create");
		if (run && words[i].text[0] != '-' && strpbrk(words[i].text, "/:") && !strchr(words[i].text, '=') &&
			!(i && (!strcmp(words[i - 1].text, "-v") || !strcmp(words[i - 1].text, "--volume") ||
				       !strcmp(words[i - 1].text, "-p"))) &&
			words[i].text[0] != '/' && (*ret = form_engine_of_image(words[i].text)))
			return i;
	}
	return count;
}

int form_command_read(struct form_set *f, struct form_service *s, const struct form_word *words, uint32_t count,
	enum graph_engine hint, const char **ret_program, const char **ret_foreign)
{
	struct line l = {.f = f, .s = s, .words = words, .count = count};
	uint32_t begin = count;
	const struct program *p = NULL;

	for (uint32_t i = 0; i < count && !p; i++)
		if ((p = program_at(words, count, i)))
			begin = i;
	if (p && p->engine == GRAPH_ENGINE_NONE) {
		*ret_foreign = p->called;
		return FORM_COMMAND_FOREIGN;
	}
	if (p) {
		s->engine = p->engine;
		s->pos = words[begin].pos;
		*ret_program = p->called;
		l.at = begin + (p->next ? 2 : 1);
		if (!strcmp(p->called, "vllm serve") && !strcmp(p->name, "-m"))
			l.at++; /* python3 -m vllm.entrypoints.cli.main serve */
	} else {
		begin = image_at(words, count, &s->engine);
		if (begin < count)
			form_note_version(f, s->engine, words[begin].text);
		if (begin == count && !hint)
			return FORM_COMMAND_NONE;
		s->pos = count ? words[begin < count ? begin : 0].pos : s->pos;
		l.at = begin < count ? begin + 1 : 0;
		s->engine = begin < count ? s->engine : hint;
		begin = begin < count ? begin : 0;
		*ret_program = s->engine == GRAPH_ENGINE_VLLM     ? "vllm"
			       : s->engine == GRAPH_ENGINE_SGLANG ? "sglang"
								  : "llama-server";
	}
	int code = read_before(f, s, words, begin);
	if (code == 0)
		code = read_flags(&l);
	if (code < 0)
		return code;
	take_role(s);
	if (p && !strcmp(p->called, "dynamo.vllm") && take_connector(&l) < 0)
		return -ENOMEM;
	return FORM_COMMAND_ENGINE;
}
