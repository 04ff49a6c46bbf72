/* objects.c - objects that name a model and an engine, and no container: KubeAI's Model (kubeai.org), the production stack's VLLMRuntime,
 * Ray Serve's LLM configurations, alone or in a RayService. Their fields are those of their own definitions: manifests/crds of
 * kubeai-project/kubeai, operator/api/v1alpha1 of vllm-project/production-stack, python/ray/llm/_internal/serve of ray-project/ray. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const struct yaml_node *map_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = map && map->type == YAML_MAP ? yaml_find(map, key) : NULL;
	return n && n->type == YAML_MAP ? n : NULL;
}

static const struct yaml_node *scalar_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = map && map->type == YAML_MAP ? yaml_find(map, key) : NULL;
	return n && n->type == YAML_SCALAR ? n : NULL;
}

static const char *text_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = scalar_in(map, key);
	return n ? n->text : NULL;
}

static void take_replicas(struct form_service *s, const struct yaml_node *n)
{
	char *end;
	unsigned long count = n ? strtoul(n->text, &end, 10) : 0;

	if (!n || *end || count > 100000)
		return;
	s->replicas = (uint32_t)count;
	s->replicas_pos = n->pos;
}

static void take_model(struct form_service *s, const struct yaml_node *n, const char *text)
{
	s->model = text;
	s->model_pos = n->pos;
}

/* {NAME: value} or [{name: NAME, value: value}] */
static int take_env(struct form_set *f, struct form_service *s, const struct yaml_node *env)
{
	int code = 0;

	for (const struct yaml_node *n = env ? env->first : NULL; n && code == 0; n = n->next) {
		if (n->type == YAML_SCALAR && n->key)
			code = form_arg_add(f, &s->envs, n->key, n->text, &n->pos);
		else if (n->type == YAML_MAP && text_in(n, "name") && text_in(n, "value"))
			code = form_arg_add(f, &s->envs, text_in(n, "name"), text_in(n, "value"), &n->pos);
	}
	return code;
}

static int read_args(struct form_set *f, struct form_service *s, const struct yaml_node *list)
{
	struct form_words words = {0};
	const char *program, *foreign = NULL;
	int code = 0;

	for (const struct yaml_node *n = list && list->type == YAML_SEQ ? list->first : NULL; n && code == 0;
		n = n->next) {
		const struct form_word w = {.text = n->text ? n->text : "", .pos = n->pos};
		code = form_push(&f->arena, &words, w);
	}
	if (code == 0)
		code = form_command_read(f, s, words.v, words.len, s->engine, &program, &foreign);
	return MIN(code, 0);
}

/* "maxModelLen" -> "max-model-len" */
static const char *kebab(struct arena *arena, const char *camel)
{
	char *ret = arena_alloc(arena, 2 * strlen(camel) + 1), *p = ret;

	for (; ret && *camel; camel++) {
		if (isupper((unsigned char)*camel) && p > ret && !isupper((unsigned char)p[-1]))
			*p++ = '-';
		*p++ = *camel;
	}
	for (p = ret; p && *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return ret;
}

/* Members of a map that are flags of vLLM under their own names, or in camel case; others are the object's own. */
static int put_flags(struct form_set *f, struct form_service *s, const struct yaml_node *map)
{
	static const struct {
		const char *name, *flag;
	} others[] = {{"enableLoRA", "enable-lora"}, {"maxLoras", "max-loras"}, {"maxLoraRank", "max-lora-rank"}};
	struct engine_flag flag;
	struct buf json;
	int code = 0;

	for (const struct yaml_node *n = map ? map->first : NULL; n && code == 0; n = n->next) {
		const char *name = kebab(&f->arena, n->key), *value = n->text;
		for (size_t i = 0; i < ARRAY_LEN(others); i++)
			name = strcmp(n->key, others[i].name) ? name : others[i].flag;
		const char *spelling = name ? arena_printf(&f->arena, "--%s", name) : NULL;
		if (!spelling)
			return -ENOMEM;
		if (n->type == YAML_NULL || !strcmp(name, "model") || !strcmp(name, "port") ||
			engine_flag_find(&flag, s->program, spelling, s->version, NULL) == ENGINE_FLAG_UNKNOWN)
			continue;
		if (n->type == YAML_MAP || n->type == YAML_SEQ) {
			buf_init(&json, YAML_BYTES_MAX);
			yaml_print_json(n, &json);
			value = json.failed ? NULL : arena_strdup(&f->arena, buf_str(&json));
			buf_done(&json);
		}
		code = value ? form_flag_put(f, s, name, value, &n->pos) : -ENOMEM;
	}
	return code;
}

/* ---- KubeAI ---- */

/* "nvidia-gpu-h100:2": how many of a profile; profiles of CPUs and TPUs have no GPU. */
static void take_profile(struct form_service *s, const struct yaml_node *n)
{
	const char *colon = n ? strrchr(n->text, ':') : NULL;

	if (!n || strcasestr(n->text, "cpu") || strcasestr(n->text, "tpu"))
		return;
	s->gpus = colon ? (double)strtoul(colon + 1, NULL, 10) : 1;
	s->gpus_pos = n->pos;
}

/* A Model's spec, or an entry of the chart's catalog, which has the same fields. */
static int read_kubeai(struct form_set *f, const struct yaml_node *spec, const char *name, const char **foreign)
{
	const struct yaml_node *url = scalar_in(spec, "url"), *adapters = spec ? yaml_find(spec, "adapters") : NULL;
	const char *engine = text_in(spec, "engine");
	struct form_service s = {.name = name ? name : "", .pos = spec->pos, .replicas = 1};
	int code = 0;

	if (!url || !engine)
		return 0;
	bool vllm = !strcasecmp(engine, "VLLM"), ollama = !strcasecmp(engine, "OLlama");
	if (!vllm && !ollama) {
		*foreign = engine;
		return 0;
	}
	s.engine = vllm ? GRAPH_ENGINE_VLLM : GRAPH_ENGINE_LLAMA;
	s.program = vllm ? ENGINE_VLLM_SERVE : ENGINE_LLAMA_SERVER;
	if (text_in(spec, "image"))
		form_image_version(f, &s, text_in(spec, "image"));
	if (vllm)
		code = read_args(f, &s, yaml_find(spec, "args"));
	const char *at = strstr(url->text, "://"), *model = at ? at + 3 : url->text;
	take_model(&s, url,
		!at || !strncmp(url->text, "hf://", 5) || ollama ? arena_strndup(&f->arena, model, strcspn(model, "?"))
								 : url->text);
	s.pos = spec->pos;
	take_profile(&s, scalar_in(spec, "resourceProfile"));
	take_replicas(&s, scalar_in(spec, "replicas") ? scalar_in(spec, "replicas") : scalar_in(spec, "minReplicas"));
	s.replicas = MAX(s.replicas, 1u); /* scaled from nothing, one is there when it is asked */
	if (code == 0)
		code = take_env(f, &s, yaml_find(spec, "env"));
	if (code == 0 && adapters && adapters->first)
		code = form_remark(f, FORM_UNCHECKED, "field-elsewhere", &adapters->key_pos,
			"the model's adapters take memory that is not in the arithmetic of this plan", NULL);
	if (code == 0 && ollama) {
		s.by_itself = true;
		s.gpus = MAX(s.gpus, 1.0);
		code = form_library_file(f, &s);
	}
	return code < 0 ? code : form_add(f, &s);
}

static int read_catalog(struct form_set *f, const struct yaml_node *catalog, const char **foreign)
{
	int code = 0;

	for (const struct yaml_node *n = catalog->first; n && code == 0; n = n->next) {
		const char *enabled = text_in(n, "enabled");
		if (n->type == YAML_MAP && enabled && !strcasecmp(enabled, "true"))
			code = read_kubeai(f, n, n->key, foreign);
	}
	return code;
}

/* ---- the production stack's operator ---- */

static int read_vllm_runtime(struct form_set *f, const struct yaml_node *root)
{
	const struct yaml_node *spec = map_in(root, "spec"), *model = map_in(spec, "model"),
			       *config = map_in(spec, "vllmConfig"), *deploy = map_in(spec, "deploymentConfig"),
			       *url = scalar_in(model, "modelURL");
	const char *name = text_in(map_in(root, "metadata"), "name"), *image = text_in(map_in(deploy, "image"), "name");
	const struct yaml_node *gpus = scalar_in(map_in(deploy, "resources"), "gpu");
	struct form_service s = {.name = name ? name : "",
		.pos = root->pos,
		.engine = GRAPH_ENGINE_VLLM,
		.program = ENGINE_VLLM_SERVE,
		.replicas = 1};

	if (!url)
		return 0;
	if (image)
		form_image_version(f, &s, image);
	int code = read_args(f, &s, config ? yaml_find(config, "extraArgs") : NULL);
	s.pos = root->pos;
	take_model(&s, url, url->text);
	if (code == 0)
		code = put_flags(f, &s, model);
	if (code == 0)
		code = put_flags(f, &s, config);
	if (code == 0)
		code = take_env(f, &s, config ? yaml_find(config, "env") : NULL);
	if (gpus) {
		s.gpus = strtod(gpus->text, NULL);
		s.gpus_pos = gpus->pos;
	}
	take_replicas(&s, scalar_in(deploy, "replicas"));
	return code < 0 ? code : form_add(f, &s);
}

/* ---- Ray Serve LLM ---- */

static int read_llm_config(struct form_set *f, const struct yaml_node *config)
{
	const struct yaml_node *loading = map_in(config, "model_loading_config"),
			       *source = scalar_in(loading, "model_source"), *id = scalar_in(loading, "model_id"),
			       *deploy = map_in(config, "deployment_config"), *kwargs = map_in(config, "engine_kwargs"),
			       *runtime = map_in(config, "runtime_env"), *lora = map_in(config, "lora_config");
	struct form_service s = {.name = "",
		.pos = config->pos,
		.engine = GRAPH_ENGINE_VLLM,
		.program = ENGINE_VLLM_SERVE,
		.replicas = 1};
	const struct yaml_node *model = source ? source : id;
	int code = 0;

	if (!model)
		return 0;
	take_model(&s, model, model->text);
	code = put_flags(f, &s, kwargs);
	take_replicas(&s, scalar_in(deploy, "num_replicas"));
	take_replicas(&s, scalar_in(map_in(deploy, "autoscaling_config"), "min_replicas"));
	s.replicas = MAX(s.replicas, 1u);
	if (code == 0)
		code = take_env(f, &s, runtime ? yaml_find(runtime, "env_vars") : NULL);
	if (code == 0 && lora)
		code = form_remark(f, FORM_UNCHECKED, "field-elsewhere", &lora->key_pos,
			"adapters that are loaded when they are asked for take memory that is not in the arithmetic of this plan",
			NULL);
	return code < 0 ? code : form_add(f, &s);
}

/* "llm_configs" wherever it stands: below applications, or in a file of its own. */
static int read_llm_configs(struct form_set *f, const struct yaml_node *n, uint32_t depth)
{
	int code = 0;

	if (depth > YAML_DEPTH_MAX)
		return 0;
	if (n->type == YAML_MAP && map_in(n, "model_loading_config"))
		return read_llm_config(f, n);
	for (const struct yaml_node *c = n->first; c && code == 0; c = c->next)
		if (c->type == YAML_MAP || c->type == YAML_SEQ)
			code = read_llm_configs(f, c, depth + 1);
	return code;
}

/* RayService: the configuration is a text in the object. */
static int read_serve_config(struct form_set *f, const struct yaml_node *root, const char **foreign)
{
	const struct yaml_node *spec = map_in(root, "spec"), *config = scalar_in(spec, "serveConfigV2");
	struct yaml_node *tree = NULL;
	struct diags quiet;
	int code = 0;

	if (!config || !strstr(config->text, "llm_configs")) {
		*foreign = "a program of its own in Ray Serve";
		return 0;
	}
	diags_init(&quiet);
	/* On the lines it stands on: blocks keep theirs. */
	size_t len = strlen(config->text);
	char *placed = arena_alloc(&f->arena, config->pos.line + len + 1);
	if (!placed)
		return -ENOMEM;
	memset(placed, '\n', config->pos.line - 1);
	memcpy(placed + config->pos.line - 1, config->text, len);
	code = yaml_parse(&tree, &f->arena, config->pos.file, placed, config->pos.line - 1 + len, &quiet);
	diags_done(&quiet);
	return code == 0 ? read_llm_configs(f, tree, 0) : code == -ENOMEM ? code : 0;
}

/* ---- values of other charts ---- */

/* The image of an engine, wherever the chart keeps it: {repository, tag}, or one text. */
static const struct yaml_node *engine_image(const struct yaml_node *n, uint32_t depth)
{
	const struct yaml_node *found = NULL;

	if (n->type != YAML_MAP || depth > 4)
		return NULL;
	const struct yaml_node *repository = scalar_in(n, "repository"), *image = scalar_in(n, "image");
	if (repository && form_engine_of_image(repository->text))
		return n;
	if (image && form_engine_of_image(image->text))
		return n;
	for (const struct yaml_node *c = n->first; c && !found; c = c->next)
		found = engine_image(c, depth + 1);
	return found;
}

/* The model's name: of these keys, at the top or in one of the maps that charts divide their values into. */
static const struct yaml_node *chart_model(const struct yaml_node *root)
{
	static const char *const keys[] = {"model", "modelName", "modelId", "modelID", "model_id", "modelURL",
		"modelUri", "modelRepo", "huggingfaceId", "hfModel", "LLM_MODEL_ID", "MODEL_ID", "MODEL_NAME"},
				 *const maps[] = {"model", "vllm", "sglang", "engine", "server", "inference", "llm",
					 "config", "modelServer"};
	static const char *const inner[] = {"name", "id", "repo", "repository", "path", "uri"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (scalar_in(root, keys[i]))
			return scalar_in(root, keys[i]);
	for (size_t k = 0; k < ARRAY_LEN(maps); k++)
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if (scalar_in(map_in(root, maps[k]), keys[i]))
				return scalar_in(map_in(root, maps[k]), keys[i]);
	for (size_t i = 0; i < ARRAY_LEN(inner); i++)
		if (scalar_in(map_in(root, "model"), inner[i]))
			return scalar_in(map_in(root, "model"), inner[i]);
	return NULL;
}

bool form_is_chart(const struct yaml_node *root)
{
	return root->type == YAML_MAP && !yaml_find(root, "services") && !yaml_find(root, "containers") &&
	       engine_image(root, 0) && chart_model(root);
}

/* "nvidia.com/gpu" below limits or requests, wherever that stands. */
static const struct yaml_node *chart_gpus(const struct yaml_node *n, uint32_t depth)
{
	const struct yaml_node *found = NULL;

	if (n->type != YAML_MAP || depth > 8)
		return NULL;
	for (const struct yaml_node *c = n->first; c && !found; c = c->next)
		found = c->type == YAML_SCALAR && (!strcmp(c->key, "nvidia.com/gpu") || !strcmp(c->key, "amd.com/gpu"))
				? c
				: chart_gpus(c, depth + 1);
	return found;
}

/* Flags by name, in maps that are for them; lists of words. */
static int chart_flags(struct form_set *f, struct form_service *s, const struct yaml_node *n, uint32_t depth)
{
	static const char *const maps[] = {"modelParameters", "vllmConfig", "engineArgs", "engineConfig", "vllmArgs",
		"serverArgs"},
				 *const lists[] = {"extraArgs", "args", "vllmArgs", "additionalArgs", "vllmExtraArgs",
					 "extra_args", "extraCmdArgs"};
	int code = 0;

	if (depth > 4)
		return 0;
	for (const struct yaml_node *c = n->first; c && code == 0; c = c->next) {
		bool map = false, list = false;
		for (size_t i = 0; i < ARRAY_LEN(maps) && c->type == YAML_MAP; i++)
			map |= !strcmp(c->key, maps[i]);
		for (size_t i = 0; i < ARRAY_LEN(lists) && c->type == YAML_SEQ; i++)
			list |= !strcmp(c->key, lists[i]);
		if (list)
			code = read_args(f, s, c);
		else if (map)
			code = put_flags(f, s, c);
		else if (c->type == YAML_MAP)
			code = chart_flags(f, s, c, depth + 1);
	}
	return code;
}

int form_chart_read(struct form_set *f, const struct yaml_node *root)
{
	const struct yaml_node *image = engine_image(root, 0), *model = chart_model(root), *gpus = chart_gpus(root, 0);
	const char *repository = text_in(image, "repository"), *tag = text_in(image, "tag"),
		   *framework = text_in(map_in(root, "inference"), "framework");
	struct form_service s = {.name = "", .pos = root->pos, .replicas = 1};

	repository = repository ? repository : text_in(image, "image");
	s.engine = form_engine_of_image(repository);
	s.program = s.engine == GRAPH_ENGINE_VLLM     ? ENGINE_VLLM_SERVE
		    : s.engine == GRAPH_ENGINE_SGLANG ? ENGINE_SGLANG_SERVER
						      : ENGINE_LLAMA_SERVER;
	const char *whole = tag ? arena_printf(&f->arena, "%s:%s", repository, tag) : repository;
	if (!whole)
		return -ENOMEM;
	form_image_version(f, &s, whole);
	int code = chart_flags(f, &s, root, 0);
	s.pos = root->pos;
	take_model(&s, model, !strncmp(model->text, "hf://", 5) ? model->text + 5 : model->text);
	take_replicas(
		&s, scalar_in(root, "replicaCount") ? scalar_in(root, "replicaCount") : scalar_in(root, "replicas"));
	if (gpus) {
		/* In a chart for groups of pods (LeaderWorkerSet) each pod has so many. */
		bool groups = framework && strstr(framework, "lws");
		s.gpus = groups ? MAX(strtod(gpus->text, NULL), form_flags_gpus(&s)) : strtod(gpus->text, NULL);
		s.gpus_pos = gpus->pos;
	}
	if (code == 0)
		code = take_env(f, &s, yaml_find(root, "env"));
	return code < 0 ? code : form_add(f, &s);
}

int form_objects_read(struct form_set *f, const struct yaml_node *root, const char **ret_foreign)
{
	const char *kind = text_in(root, "kind"), *version = text_in(root, "apiVersion");
	const struct yaml_node *catalog = map_in(root, "catalog");
	uint32_t before = f->services.len;
	int code = 0;

	if (kind && version && !strcmp(kind, "Model") && !strncmp(version, "kubeai.org/", 11) && map_in(root, "spec"))
		code = read_kubeai(f, map_in(root, "spec"), text_in(map_in(root, "metadata"), "name"), ret_foreign);
	else if (kind && !strcmp(kind, "VLLMRuntime"))
		code = read_vllm_runtime(f, root);
	else if (kind && !strcmp(kind, "RayService"))
		code = read_serve_config(f, root, ret_foreign);
	else if (!kind && catalog)
		code = read_catalog(f, catalog, ret_foreign);
	else if (!kind && (yaml_find(root, "applications") || yaml_find(root, "llm_configs") ||
				  map_in(root, "model_loading_config")))
		code = read_llm_configs(f, root, 0);
	return code < 0 ? code : f->services.len > before;
}
