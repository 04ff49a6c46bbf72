/* command.c - a command line that starts an engine, in whatever stands before it: sudo, env, docker run, python3 -m. Its flags are read in
 * flags.c.
 *
 * Programs follow the engines' own command lines: vLLM's `vllm serve` (vllm/entrypoints/cli/serve.py, 0.8 and
 * later), its module vllm.entrypoints.openai.api_server, SGLang's sglang.launch_server, llama-server, and Dynamo's wrappers
 * dynamo.vllm and dynamo.sglang (components/src/dynamo of ai-dynamo/dynamo). */
#include "forms/form_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* ---- programs ---- */

struct program {
	const char *name, *next; /* the word's last part, and the word behind it that must follow; NULL: none */
	const char *called;
	enum graph_engine engine; /* NONE: not planned here */
	enum engine_program flags;
};
static const struct program programs[] = {
	{"vllm", "serve", "vllm serve", GRAPH_ENGINE_VLLM, ENGINE_VLLM_SERVE},
	{"-m", "vllm.entrypoints.openai.api_server", "vllm.entrypoints.openai.api_server", GRAPH_ENGINE_VLLM,
		ENGINE_VLLM_SERVE},
	{"-m", "vllm.entrypoints.api_server", "vllm.entrypoints.api_server", GRAPH_ENGINE_VLLM, ENGINE_VLLM_SERVE},
	{"-m", "vllm.entrypoints.cli.main", "vllm serve", GRAPH_ENGINE_VLLM, ENGINE_VLLM_SERVE},
	{"-m", "dynamo.vllm", "dynamo.vllm", GRAPH_ENGINE_VLLM, ENGINE_DYNAMO_VLLM},
	{"-m", "sglang.launch_server", "sglang.launch_server", GRAPH_ENGINE_SGLANG, ENGINE_SGLANG_SERVER},
	{"-m", "dynamo.sglang", "dynamo.sglang", GRAPH_ENGINE_SGLANG, ENGINE_DYNAMO_SGLANG},
	{"sglang", "serve", "sglang serve", GRAPH_ENGINE_SGLANG, ENGINE_SGLANG_SERVER},
	{"llama-server", NULL, "llama-server", GRAPH_ENGINE_LLAMA, ENGINE_LLAMA_SERVER},
	{"llama-server.exe", NULL, "llama-server", GRAPH_ENGINE_LLAMA, ENGINE_LLAMA_SERVER},
	{"-m", "llama_cpp.server", "llama_cpp.server", GRAPH_ENGINE_LLAMA, ENGINE_LLAMA_CPP_PYTHON},
	{"-m", "dynamo.trtllm", "TensorRT-LLM", GRAPH_ENGINE_NONE, 0},
	{"trtllm-serve", NULL, "TensorRT-LLM", GRAPH_ENGINE_NONE, 0},
	{"trtllm-llmapi-launch", NULL, "TensorRT-LLM", GRAPH_ENGINE_NONE, 0},
	{"tritonserver", NULL, "Triton Inference Server", GRAPH_ENGINE_NONE, 0},
	{"text-generation-launcher", NULL, "Text Generation Inference", GRAPH_ENGINE_NONE, 0},
	{"ollama", "serve", "Ollama (which loads a model when one is asked for)", GRAPH_ENGINE_NONE, 0},
	{"ollama", "run", "Ollama", GRAPH_ENGINE_NONE, 0},
	{"vllm", "bench", "vllm bench (which measures, and serves nothing)", GRAPH_ENGINE_NONE, 0},
	{"-m", "tabbyapi", "TabbyAPI", GRAPH_ENGINE_NONE, 0},
	{"-m", "huggingfaceserver", "KServe's huggingface server", GRAPH_ENGINE_NONE, 0},
	{"openllm", "serve", "OpenLLM (which chooses the engine's flags itself)", GRAPH_ENGINE_NONE, 0},
	{"bentoml", "serve", "BentoML (whose service starts its engine itself)", GRAPH_ENGINE_NONE, 0},
	{"lms", "server", "LM Studio", GRAPH_ENGINE_NONE, 0},
	{"local-ai", NULL, "LocalAI", GRAPH_ENGINE_NONE, 0},
	{"llama-swap", NULL, "llama-swap", GRAPH_ENGINE_NONE, 0},
	{"koboldcpp", NULL, "KoboldCpp", GRAPH_ENGINE_NONE, 0},
	{"lmdeploy", "serve", "LMDeploy", GRAPH_ENGINE_NONE, 0},
	{"aphrodite", "run", "Aphrodite", GRAPH_ENGINE_NONE, 0},
	{"-m", "mlc_llm", "MLC LLM", GRAPH_ENGINE_NONE, 0},
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

const char *form_foreign_image(const char *image)
{
	static const char *const images[][2] = {{"text-generation-inference", "Text Generation Inference"},
		{"tensorrt-llm", "TensorRT-LLM"}, {"tensorrt_llm", "TensorRT-LLM"}, {"tensorrtllm", "TensorRT-LLM"},
		{"trtllm", "TensorRT-LLM"}, {"tritonserver", "Triton Inference Server"}, {"lmdeploy", "LMDeploy"},
		{"mlc-llm", "MLC LLM"}, {"aphrodite-engine", "Aphrodite"}, {"tabbyapi", "TabbyAPI"}};

	for (size_t i = 0; i < ARRAY_LEN(images); i++)
		if (strcasestr(image, images[i][0]))
			return images[i][1];
	return NULL;
}

static const char *base_name(const char *word)
{
	const char *slash = strrchr(word, '/');
	return slash ? slash + 1 : word;
}

/* Is the engine itself what the image is called? Those that others build around it count their own releases: "llm-d/llm-d-cuda",
 * "lmcache/vllm-openai". A mirror keeps the name. */
static bool is_engines_own(const struct form_service *s, const char *image, const char *name)
{
	size_t len = strcspn(name, ":");

	if (s->engine == GRAPH_ENGINE_LLAMA)
		return true;
	if (s->engine == GRAPH_ENGINE_SGLANG)
		return len == 6 && !memcmp(name, "sglang", 6);
	return !strcasestr(image, "lmcache") &&
	       ((len == 4 && !memcmp(name, "vllm", 4)) || (len >= 11 && !memcmp(name, "vllm-openai", 11)));
}

/* "vllm/vllm-openai:v0.9.1", "lmsysorg/sglang:v0.5.2-cu126", "ghcr.io/ggml-org/llama.cpp:server-cuda-b4719"; NVIDIA's own images of the
 * engines are numbered by month, and Dynamo's by Dynamo's releases. */
void form_image_version(struct form_set *f, struct form_service *s, const char *image)
{
	const char *name = base_name(image), *tag = strrchr(name, ':');

	if (!tag || strstr(image, "@sha256"))
		return;
	tag++;
	for (const char *p = tag; s->engine == GRAPH_ENGINE_LLAMA && (p = strstr(p, "-b")); p++)
		if (isdigit((unsigned char)p[2]))
			tag = p + 1; /* the build's number stands at the end */
	if (!engine_version_valid(tag) || (s->engine == GRAPH_ENGINE_LLAMA && *tag != 'b'))
		return;
	const char *version = arena_strndup(&f->arena, tag + (*tag == 'v'), strcspn(tag + (*tag == 'v'), "-+_"));
	if (strstr(image, "ai-dynamo") || strstr(name, "-runtime:"))
		s->wrapper = version;
	else if (is_engines_own(s, image, name) &&
		 (s->engine == GRAPH_ENGINE_LLAMA || (version && version[0] == '0' && version[1] == '.')))
		s->version = version;
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

bool form_has_program(const struct form_word *words, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (program_at(words, count, i))
			return true;
	return false;
}

bool form_names_module(const char *word)
{
	for (size_t k = 0; k < ARRAY_LEN(programs); k++)
		if (programs[k].name[0] == '-' && !strcmp(programs[k].next, word))
			return true;
	return false;
}

bool form_names_program(const char *word, size_t len)
{
	for (size_t k = 0; k < ARRAY_LEN(programs); k++)
		if (programs[k].name[0] != '-' && strlen(programs[k].name) == len &&
			!memcmp(programs[k].name, word, len))
			return true;
	return false;
}

/* What only the wrapped line says of roles, in Dynamo's and SGLang's words. */
static void take_role(struct form_service *s)
{
	const struct form_arg *mode = form_arg_find(&s->args, "disaggregation-mode");

	if (mode && mode->value && !strcmp(mode->value, "prefill"))
		s->role = GRAPH_ROLE_PREFILL;
	else if (mode && mode->value && !strcmp(mode->value, "decode"))
		s->role = GRAPH_ROLE_DECODE;
	s->role_said = s->role_said || (mode && mode->value);
	if (form_arg_find(&s->args, "is-prefill-worker"))
		s->role = GRAPH_ROLE_PREFILL;
	else if (form_arg_find(&s->args, "is-decode-worker"))
		s->role = GRAPH_ROLE_DECODE;
	s->role_said = s->role_said || form_arg_find(&s->args, "is-decode-worker") ||
		       form_arg_find(&s->args, "is-prefill-worker");
}

/* Dynamo's wrapper of vLLM moves KV over NIXL unless its --connector says otherwise (components/src/dynamo/vllm/args.py). */
static int take_connector(struct form_set *f, struct form_service *s)
{
	static const char nixl[] = "{\"kv_connector\": \"NixlConnector\", \"kv_role\": \"kv_both\"}";
	const struct form_arg *connector = form_arg_find(&s->args, "connector");

	if (form_arg_find(&s->args, "kv-transfer-config") ||
		(connector && connector->value && !strcmp(connector->value, "none")))
		return 0;
	return form_arg_add(f, &s->args, "kv-transfer-config", nixl, &s->pos);
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
static int take_docker_gpus(struct form_set *f, struct form_service *s, const struct form_word *w, const char *value)
{
	const char *device = strstr(value, "device=");
	uint32_t n = device ? 1 : (uint32_t)strtoul(value, NULL, 10);

	for (const char *p = device; p && *p; p++)
		n += *p == ',';
	s->gpus = n;
	s->gpus_pos = w->pos;
	if (!device)
		return 0;
	char *list = arena_strdup(&f->arena, device + 7), *out = list;
	for (const char *p = list; p && *p; p++)
		if (!strchr("\"' ", *p))
			*out++ = *p;
	if (!list)
		return -ENOMEM;
	*out = '\0';
	return form_arg_add(f, &s->envs, "NVIDIA_VISIBLE_DEVICES", list, &w->pos);
}

/* "docker run" without any of what shows a container the GPUs; NULL: with one, or no such command. */
static const struct form_word *run_without_gpus(const struct form_word *words, uint32_t count)
{
	static const char *const engines[] = {"docker", "podman", "nerdctl"}, *const shows[] = {"--gpus", "--runtime",
										      "--device", "--privileged",
										      "--gpus=", "--runtime=",
										      "--device="};
	const struct form_word *run = NULL;

	for (uint32_t i = 0; i < count; i++) {
		for (size_t k = 0; k < ARRAY_LEN(engines) && !run && i + 1 < count; k++)
			if (!strcmp(base_name(words[i].text), engines[k]) && !strcmp(words[i + 1].text, "run"))
				run = &words[i];
		for (size_t k = 0; k < ARRAY_LEN(shows); k++) {
			size_t len = strlen(shows[k]);
			if (shows[k][len - 1] == '=' ? !strncmp(words[i].text, shows[k], len)
						     : !strcmp(words[i].text, shows[k]))
				return NULL;
		}
		if (words[i].text[0] == '$')
			return NULL; /* it may hold any option */
	}
	return run;
}

static int check_run(struct form_set *f, const struct form_service *s, const struct form_word *words, uint32_t count)
{
	const struct form_word *run = s->engine == GRAPH_ENGINE_LLAMA ? NULL : run_without_gpus(words, count);

	return run ? form_remark(f, FORM_UNCHECKED, "gpus-unasked", &run->pos,
			     "the container is run without GPUs, and has none unless its engine gives them to all; the plan counts those its flags take",
			     "--gpus all")
		   : 0;
}

static int read_before(struct form_set *f, struct form_service *s, const struct form_word *words, uint32_t count)
{
	int code = check_run(f, s, words, count);

	for (uint32_t i = 0; i < count && code == 0; i++) {
		const char *t = words[i].text, *next = i + 1 < count ? words[i + 1].text : "";
		if (is_assignment(t))
			code = add_env(f, s, &words[i]);
		else if ((!strcmp(t, "-e") || !strcmp(t, "--env")) && is_assignment(next))
			code = add_env(f, s, &words[++i]);
		else if (!strncmp(t, "--env=", 6) && is_assignment(t + 6))
			code = add_env(f, s, &(struct form_word){.text = t + 6, .pos = words[i].pos});
		else if (!strcmp(t, "--gpus"))
			code = take_docker_gpus(f, s, &words[i], next);
		else if (!strncmp(t, "--gpus=", 7))
			code = take_docker_gpus(f, s, &words[i], t + 7);
	}
	return code;
}

/* Does the image at that word start its engine with what stands behind it? Not with another entry point, nor when that is a program; and
 * SGLang's own image has no entry point. */
static bool starts_engine(const struct form_word *words, uint32_t count, uint32_t at, enum graph_engine engine)
{
	static const char *const plain[] = {
		"bash", "sh", "zsh", "python", "python3", "sleep", "nvidia-smi", "ls", "env", "tail", "pip"};
	const char *next = at + 1 < count ? words[at + 1].text : "";

	for (uint32_t i = 0; i < at; i++)
		if (!strncmp(words[i].text, "--entrypoint", 12))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (!strcmp(base_name(next), plain[i]))
			return false;
	return engine != GRAPH_ENGINE_SGLANG || *next == '-' || *next == '$';
}

/* "docker run ... vllm/vllm-openai:latest --model x": the image's entry point is the program. */
static uint32_t image_at(
	const struct form_word *words, uint32_t count, enum graph_engine *ret, const char **ret_foreign)
{
	bool run = false;

	for (uint32_t i = 0; i < count; i++) {
		run |= !strcmp(words[i].text, "run") || !strcmp(words[i].text, "create");
		bool image = run && words[i].text[0] != '-' && words[i].text[0] != '/' &&
			     strpbrk(words[i].text, "/:") && !strchr(words[i].text, '=') &&
			     !(i && (!strcmp(words[i - 1].text, "-v") || !strcmp(words[i - 1].text, "--volume") ||
					    !strcmp(words[i - 1].text, "-p")));
		const char *foreign = image ? form_foreign_image(words[i].text) : NULL;
		if (image && !foreign && (*ret = form_engine_of_image(words[i].text)))
			return starts_engine(words, count, i, *ret) ? i : count;
		if (foreign)
			*ret_foreign = foreign;
	}
	return count;
}

/* Behind an image alone stand the flags of its entry point. */
static enum engine_program program_of(enum graph_engine engine)
{
	return engine == GRAPH_ENGINE_VLLM     ? ENGINE_VLLM_SERVE
	       : engine == GRAPH_ENGINE_SGLANG ? ENGINE_SGLANG_SERVER
					       : ENGINE_LLAMA_SERVER;
}

/* The release that an image in front of the program, or a requirement of the script, says. */
static void take_version(struct form_set *f, struct form_service *s, const struct form_word *words, uint32_t begin)
{
	for (uint32_t i = 0; i < begin; i++)
		if (words[i].text[0] != '-' && strpbrk(words[i].text, "/:") && form_engine_of_image(words[i].text))
			form_image_version(f, s, words[i].text);
	if (!s->version && s->program != ENGINE_LLAMA_CPP_PYTHON)
		s->version = f->pinned[s->engine == GRAPH_ENGINE_VLLM ? 0 : s->engine == GRAPH_ENGINE_SGLANG ? 1 : 2];
}

/* An image of somebody's own that is given the flags of TGI's launcher. */
static bool is_tgi(const struct form_word *words, uint32_t count)
{
	static const char *const flags[] = {"--num-shard", "--max-batch-prefill-tokens", "--max-input-length",
		"--max-input-tokens", "--max-total-tokens", "--sharded"};
	bool model = false, own = false;

	for (uint32_t i = 0; i < count; i++) {
		model |= !strncmp(words[i].text, "--model-id", 10);
		for (size_t k = 0; k < ARRAY_LEN(flags); k++)
			own |= !strncmp(words[i].text, flags[k], strlen(flags[k]));
	}
	return model && own;
}

int form_command_read(struct form_set *f, struct form_service *s, const struct form_word *words, uint32_t count,
	enum graph_engine hint, const char **ret_program, const char **ret_foreign)
{
	uint32_t begin = count, at;
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
		s->program = p->flags;
		s->pos = words[begin + (p->name[0] == '-' && begin + 1 < count)].pos; /* "-m" is Python's own */
		*ret_program = p->called;
		at = begin + (p->next ? 2 : 1);
		if (!strcmp(p->called, "vllm serve") && !strcmp(p->name, "-m"))
			at++; /* python3 -m vllm.entrypoints.cli.main serve */
		at = MIN(at, count);
	} else {
		begin = image_at(words, count, &s->engine, ret_foreign);
		if (begin == count && !hint && !*ret_foreign && is_tgi(words, count))
			*ret_foreign = "Text Generation Inference";
		if (begin == count && !hint)
			return *ret_foreign ? FORM_COMMAND_FOREIGN : FORM_COMMAND_NONE;
		s->pos = count ? words[begin < count ? begin : 0].pos : s->pos;
		at = begin < count ? begin + 1 : 0;
		s->engine = begin < count ? s->engine : hint;
		s->program = program_of(s->engine);
		if (begin < count)
			form_image_version(f, s, words[begin].text);
		begin = begin < count ? begin : 0;
		*ret_program = s->engine == GRAPH_ENGINE_VLLM     ? "vllm"
			       : s->engine == GRAPH_ENGINE_SGLANG ? "sglang"
								  : "llama-server";
	}
	take_version(f, s, words, begin);
	int code = read_before(f, s, words, begin);
	if (code == 0)
		code = form_flags_read(f, s, count ? words + at : words, count - at);
	if (code == 0)
		code = form_flags_env(f, s);
	if (code < 0)
		return code;
	take_role(s);
	if (p && !strcmp(p->called, "dynamo.vllm") && take_connector(f, s) < 0)
		return -ENOMEM;
	return FORM_COMMAND_ENGINE;
}
