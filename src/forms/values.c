/* values.c - forms that are neither commands nor containers: values of vLLM's production stack (helm/values.yaml of
 * vllm-project/production-stack), vLLM's own --config files, Ollama's Modelfile. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *text_of(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = yaml_find(map, key);
	return n && n->type == YAML_SCALAR ? n->text : NULL;
}

/* "maxModelLen" -> "max-model-len" */
static const char *kebab(struct arena *arena, const char *camel)
{
	char *ret = arena_alloc(arena, 2 * strlen(camel) + 1), *p = ret;

	if (!ret)
		return NULL;
	for (; *camel; camel++) {
		if (isupper((unsigned char)*camel) && p > ret)
			*p++ = '-';
		*p++ = (char)tolower((unsigned char)*camel);
	}
	return ret;
}

static int add_words(struct form_set *f, struct form_words *words, const struct yaml_node *list)
{
	int code = 0;

	for (const struct yaml_node *n = list && list->type == YAML_SEQ ? list->first : NULL; n && code == 0;
		n = n->next) {
		const struct form_word w = {.text = n->text ? n->text : "", .pos = n->pos};
		code = form_push(&f->arena, words, w);
	}
	return code;
}

/* The chart's own names of what it makes flags of (helm/templates/deployment-vllm-multi.yaml): "v1" is an environment variable, "extraArgs" are
 * read before, and "enablePrefixCaching: false" leaves the flag out. */
static int put_value(struct form_set *f, struct form_service *s, const char *name, const struct yaml_node *n)
{
	struct engine_flag flag;
	const char *spelling = arena_printf(&f->arena, "--%s", name);

	if (!spelling)
		return -ENOMEM;
	if (engine_flag_find(&flag, ENGINE_VLLM_SERVE, spelling, s->version, NULL) == ENGINE_FLAG_UNKNOWN)
		return form_arg_add(f, &s->args, name, n->text, &n->pos);
	return form_flag_put(f, s, name, n->text, &n->pos);
}

/* The release that repository and tag of its image say. */
static int take_image(struct form_set *f, struct form_service *s, const struct yaml_node *spec)
{
	const char *repository = text_of(spec, "repository"), *tag = text_of(spec, "tag");
	const char *image =
		tag ? arena_printf(&f->arena, "%s:%s", repository ? repository : "vllm/vllm-openai", tag) : "";

	if (image && *image)
		form_image_version(f, s, image);
	return image ? 0 : -ENOMEM;
}

/* With raySpec one engine computes on the GPUs of a head and of all replicas. */
static void take_ray(struct form_service *s, const struct yaml_node *spec)
{
	const struct yaml_node *ray = yaml_find(spec, "raySpec"),
			       *head = ray && ray->type == YAML_MAP ? yaml_find(ray, "headNode") : NULL;
	const char *enabled = ray && ray->type == YAML_MAP ? text_of(ray, "enabled") : NULL,
		   *gpus = head && head->type == YAML_MAP ? text_of(head, "requestGPU") : NULL;

	if (!head || (enabled && !strcasecmp(enabled, "false")))
		return;
	s->gpus = s->gpus * s->replicas + (gpus ? MAX(strtod(gpus, NULL), 0) : 0);
	s->replicas = 1;
}

/* One entry of servingEngineSpec.modelSpec. */
static int read_model_spec(struct form_set *f, const struct yaml_node *spec)
{
	const struct yaml_node *model = yaml_find(spec, "modelURL"), *config = yaml_find(spec, "vllmConfig"),
			       *replicas = yaml_find(spec, "replicaCount"), *gpus = yaml_find(spec, "requestGPU");
	struct form_service s = {
		.name = text_of(spec, "name"), .pos = spec->pos, .engine = GRAPH_ENGINE_VLLM, .replicas = 1};
	struct form_words words = {0};
	const char *program, *foreign;
	int code = 0;

	if (!model || model->type != YAML_SCALAR)
		return 0;
	s.name = s.name ? s.name : "";
	code = take_image(f, &s, spec);
	if (code == 0)
		code = add_words(f, &words, config ? yaml_find(config, "extraArgs") : NULL);
	if (code == 0)
		code = form_command_read(f, &s, words.v, words.len, GRAPH_ENGINE_VLLM, &program, &foreign);
	if (code < 0)
		return code;
	s.pos = spec->pos;
	s.model = model->text;
	s.model_pos = model->pos;
	if (replicas && replicas->type == YAML_SCALAR) {
		s.replicas = (uint32_t)strtoul(replicas->text, NULL, 10);
		s.replicas_pos = replicas->pos;
	}
	if (gpus && gpus->type == YAML_SCALAR) {
		s.gpus = strtod(gpus->text, NULL);
		s.gpus_pos = gpus->pos;
	}
	take_ray(&s, spec);
	const struct yaml_node *lora = yaml_find(spec, "enableLoRA");
	code = lora && lora->type == YAML_SCALAR ? form_flag_put(f, &s, "enable-lora", lora->text, &lora->pos) : 0;
	for (const struct yaml_node *n = config && config->type == YAML_MAP ? config->first : NULL; n && code == 0;
		n = n->next) {
		const char *name = kebab(&f->arena, n->key);
		if (n->type == YAML_SCALAR)
			code = name ? put_value(f, &s, name, n) : -ENOMEM;
	}
	return code < 0 ? code : form_add(f, &s);
}

int form_values_read(struct form_set *f, const struct yaml_node *root)
{
	const struct yaml_node *spec = yaml_find(root, "servingEngineSpec"),
			       *list = spec ? yaml_find(spec, "modelSpec") : NULL;
	int code = 0;

	for (const struct yaml_node *n = list && list->type == YAML_SEQ ? list->first : NULL; n && code == 0;
		n = n->next)
		code = read_model_spec(f, n);
	return code < 0 ? code : f->services.len > 0;
}

int form_values_list_read(struct form_set *f, const struct yaml_node *list)
{
	uint32_t before = f->services.len;
	int code = 0;

	for (const struct yaml_node *n = list->first; n && code == 0; n = n->next)
		if (n->type == YAML_MAP && yaml_find(n, "modelURL") && yaml_find(n, "name"))
			code = read_model_spec(f, n);
	return code < 0 ? code : f->services.len > before;
}

int form_vllm_config_read(struct form_set *f, const struct yaml_node *root)
{
	struct form_service s = {.name = "", .pos = root->pos, .engine = GRAPH_ENGINE_VLLM, .replicas = 1};
	struct buf json;
	int code = 0;

	for (const struct yaml_node *n = root->first; n && code == 0; n = n->next) {
		const char *value = n->text;
		if (!strcmp(n->key, "model") || !strcmp(n->key, "model-tag") || !strcmp(n->key, "model_tag")) {
			s.model = n->text;
			s.model_pos = n->pos;
			continue;
		}
		if (n->type == YAML_MAP || n->type == YAML_SEQ) {
			buf_init(&json, YAML_BYTES_MAX);
			yaml_print_json(n, &json);
			value = json.failed ? NULL : arena_strdup(&f->arena, buf_str(&json));
			buf_done(&json);
		}
		code = value ? form_flag_put(f, &s, n->key, value, &n->pos) : -ENOMEM;
	}
	return code < 0 ? code : form_add(f, &s) < 0 ? -ENOMEM : 1;
}

/* The quantization that a part of a tag of Ollama's library names, as llama.cpp calls it; NULL: none. */
static const char *quant_of_part(struct arena *arena, const char *part, size_t len)
{
	static const char *const others[][2] = {{"fp16", "F16"}, {"f16", "F16"}, {"bf16", "BF16"}, {"fp32", "F32"},
		{"f32", "F32"}, {"qat", "Q4_0"}, {"mxfp4", "MXFP4"}};
	char *ret;

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strlen(others[i][0]) == len && !strncasecmp(part, others[i][0], len))
			return others[i][1];
	size_t q = len > 2 && (part[0] == 'i' || part[0] == 'I');
	if (len - q < 2 || (part[q] != 'q' && part[q] != 'Q') || !isdigit((unsigned char)part[q + 1]))
		return NULL;
	ret = arena_strndup(arena, part, len);
	for (char *c = ret; c && *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return ret;
}

static bool is_library_name(const char *from)
{
	size_t len = strlen(from);

	return *from && !strchr("./~", *from) && !strchr(from, '\\') && !strchr(from, '$') &&
	       !(len > 5 && !strcasecmp(from + len - 5, ".gguf")) &&
	       (!strchr(from, '/') || !strncmp(from, "library/", 8));
}

/* "llama3.3:70b" of Ollama's library is a file of Q4_K_M, "llama3.1:8b-instruct-q8_0" says its own: into "NAME:SIZE:QUANT". What is
 * made in four-bit floats keeps them. */
int form_library_file(struct form_set *f, struct form_service *s)
{
	const char *name = s->model + (strncmp(s->model, "library/", 8) ? 0 : 8), *tag = strchr(name, ':'),
		   *quant = NULL;
	size_t len = strlen(name);

	if (!is_library_name(s->model) || !strncasecmp(name, "gpt-oss", 7))
		return 0;
	const char *dash = tag ? strrchr(tag, '-') : NULL;
	if (dash && (quant = quant_of_part(&f->arena, dash + 1, strlen(dash + 1))))
		len = (size_t)(dash - name);
	else if (tag && (quant = quant_of_part(&f->arena, tag + 1, strlen(tag + 1))))
		len = (size_t)(tag - name);
	if (tag && !strcmp(tag, ":latest"))
		len = (size_t)(tag - name);
	static const char *const tuned[] = {"-instruct", "-it", "-chat", "-text"};
	for (size_t i = 0; tag && i < ARRAY_LEN(tuned); i++) {
		size_t n = strlen(tuned[i]);
		if (len > n && !strncmp(name + len - n, tuned[i], n))
			len -= n;
	}
	const char *whole = s->model;
	s->model = arena_printf(&f->arena, "%.*s:%s", (int)len, name, quant ? quant : "Q4_K_M");
	if (!s->model)
		return -ENOMEM;
	return quant ? 0
		     : form_remark(f, FORM_INFO, "library-file", &s->model_pos,
			       arena_printf(&f->arena,
				       "\"%.80s\" is counted as Q4_K_M, which is what a tag of Ollama's library is that does not say another",
				       whole),
			       NULL);
}

/* "FROM ./model.gguf", "PARAMETER num_ctx 8192"; other instructions say nothing of memory. */
int form_modelfile_read(struct form_set *f, const char *file, const char *text, size_t len)
{
	struct form_service s = {.name = "", .engine = GRAPH_ENGINE_LLAMA, .replicas = 1};
	struct form_words words = {0};
	int code = form_words_cut(&words, &f->arena, file, text, len, NULL, NULL);
	bool begins = true;

	for (uint32_t i = 0; i + 1 < words.len && code == 0; i++) {
		const struct form_word *w = &words.v[i];
		bool end = !w->quoted && !strcmp(w->text, "\n");
		if (begins && !strcasecmp(w->text, "FROM") && !s.model) {
			s.model = words.v[i + 1].text;
			s.model_pos = words.v[i + 1].pos;
			s.pos = w->pos;
		} else if (begins && (!strcasecmp(w->text, "RUN") || !strcasecmp(w->text, "COPY"))) {
			return 0; /* a Dockerfile */
		} else if (begins && i + 2 < words.len && !strcasecmp(w->text, "PARAMETER")) {
			const char *name = words.v[i + 1].text;
			const char *key = !strcmp(name, "num_ctx")   ? "context-length"
					  : !strcmp(name, "num_gpu") ? "gpu-layers"
								     : NULL;
			if (key)
				code = form_arg_add(f, &s.args, key, words.v[i + 2].text, &words.v[i + 2].pos);
		}
		begins = end || (begins && end);
	}
	if (code < 0 || !s.model)
		return code;
	/* Without num_gpu Ollama puts on the GPUs what they have room for, and the rest into RAM. */
	s.by_itself = !form_arg_find(&s.args, "gpu-layers");
	s.gpus = s.by_itself;
	if (form_library_file(f, &s) < 0)
		return -ENOMEM;
	return form_add(f, &s) < 0 ? -ENOMEM : 1;
}
