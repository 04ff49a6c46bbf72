/* containers.c - any tree that holds containers: Kubernetes' workloads, LeaderWorkerSet, KServe, llm-d's values, Dynamo's
 * custom resources, docker-compose. What decides is structure: a map with a command, arguments or an image of an engine is a
 * container, and the maps around it say how many there are, on which GPUs, in which role and under which name. */
#include "forms/shell.h"

#include <stdio.h>
#include <strings.h>

enum { DEPTH_MAX = YAML_DEPTH_MAX };

/* Parallelism that stands beside a container and not in its command. */
enum parallel { PAR_TENSOR, PAR_PIPELINE, PAR_DATA, PAR_LOCAL, PAR_WORKERS, PAR_EXPERT, PARALLELS };
struct said {
	const char *text; /* NULL: not said */
	struct config_pos pos;
};

/* What the maps around a container say. */
struct around {
	const char *name;
	struct config_pos name_pos;
	uint32_t replicas;
	struct config_pos replicas_pos;
	double gpus;
	bool gpus_all; /* whatever the host has: how many follows from the flags */
	const char *slice; /* the resource that gives parts of cards, "nvidia.com/mig-1g.10gb"; NULL: whole cards */
	struct config_pos gpus_pos;
	uint32_t nodes; /* pods that make one worker */
	double more_gpus; /* of a Ray cluster's workers, beside those of its head */
	enum graph_role role;
	enum graph_engine hint;
	const char *model;
	struct config_pos model_pos;
	struct said parallel[PARALLELS];
	const struct form_env *env;
	bool llm_service; /* KServe starts vLLM, with what is in VLLM_ADDITIONAL_ARGS */
	bool hf_runtime; /* KServe's huggingface runtime: flags of vLLM, and its own */
	bool moves_kv; /* who deploys it gives its engines a KV connector when roles are divided */
};

enum host { HOST_UNKNOWN, HOST_KUBERNETES, HOST_COMPOSE };

struct walk {
	struct form_set *f;
	const char *foreign;
	uint32_t depth;
	enum host host; /* who gives containers their GPUs */
	bool in_list; /* the map that is walked next is an item of "containers": one even without image and command */
};

static const char *scalar(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = map ? yaml_find(map, key) : NULL;
	return n && n->type == YAML_SCALAR ? n->text : NULL;
}

static const struct yaml_node *map_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = map && map->type == YAML_MAP ? yaml_find(map, key) : NULL;
	return n && n->type == YAML_MAP ? n : NULL;
}

/* ---- what stands around ---- */

static bool is_container(const struct yaml_node *map)
{
	const struct yaml_node *image = yaml_find(map, "image");
	const struct yaml_node *args = yaml_find(map, "args");
	return yaml_find(map, "command") || (args && args->type != YAML_MAP) || yaml_find(map, "entrypoint") ||
	       (image && image->type == YAML_SCALAR);
}

static void take_count(const struct yaml_node *map, const char *key, uint32_t *ret, struct config_pos *pos)
{
	const char *text = scalar(map, key);
	char *end;
	unsigned long n = text ? strtoul(text, &end, 10) : 0;

	if (!text || *end || n > 100000)
		return;
	*ret = (uint32_t)n;
	*pos = yaml_find(map, key)->pos;
}

static bool ends_with(const char *s, const char *tail)
{
	size_t a = strlen(s), b = strlen(tail);
	return a >= b && !strcmp(s + a - b, tail);
}

/* "nvidia.com/mig-3g.40gb", "nvidia.com/gpu.shared": parts of cards, or turns on them. */
static bool is_slice(const char *resource)
{
	return strstr(resource, "/mig-") || (strstr(resource, "/gpu") && ends_with(resource, ".shared"));
}

/* Does a resource of a cluster stand for an accelerator, though not for a whole GPU that is counted here? */
static bool is_other_card(const char *resource)
{
	static const char *const parts[] = {
		"gpu", "vcuda", "gaudi", "tpu", "neuron", "npu", "ascend", "mlu", "dcu", "xpu", "ga1", "gh1", "ad1"};
	const char *name = strchr(resource, '/');

	for (size_t i = 0; name && i < ARRAY_LEN(parts); i++)
		if (strcasestr(strncmp(resource, "gpu.", 4) ? name : resource, parts[i]))
			return true;
	return false;
}

/* {"nvidia.com/gpu": "2"}, {"gpu": 2}; Dynamo keeps what it has no name for under "custom". */
static int take_gpu_resource(struct walk *w, const struct yaml_node *map, struct around *a)
{
	int code = 0;

	for (const struct yaml_node *n = map ? map->first : NULL; n && code == 0; n = n->next) {
		bool slice = n->key && is_slice(n->key);
		if (n->type == YAML_MAP && n->key && !strcmp(n->key, "custom"))
			code = take_gpu_resource(w, n, a);
		if (n->type != YAML_SCALAR || !n->key)
			continue;
		if (!strcmp(n->key, "gpu") || ends_with(n->key, "/gpu") || slice) {
			a->gpus = strtod(n->text, NULL);
			a->gpus_pos = n->pos;
			a->slice = slice ? n->key : NULL;
		} else if (is_other_card(n->key)) {
			a->gpus_all = true;
			code = form_remark(w->f, FORM_UNCHECKED, "gpu-resource", &n->pos,
				arena_printf(&w->f->arena,
					"the container asks for %.80s: what that is of a card is not known here",
					n->key),
				NULL);
		}
	}
	return code;
}

/* "all", "0", "0,1,2": how many; 0: all. */
static uint32_t devices_of(const char *id)
{
	uint32_t n = 0;

	if (!strcasecmp(id, "all"))
		return 0;
	for (; *id; id += strcspn(id, ","), id += *id == ',')
		n += *id != ',';
	return n;
}

/* Compose: deploy.resources.reservations.devices, and the newer "gpus". */
static void take_devices(const struct yaml_node *list, struct around *a)
{
	double sum = 0;

	for (const struct yaml_node *d = list && list->type == YAML_SEQ ? list->first : NULL; d; d = d->next) {
		const struct yaml_node *ids = d->type == YAML_MAP ? yaml_find(d, "device_ids") : NULL;
		const char *count = d->type == YAML_MAP ? scalar(d, "count") : NULL;
		a->gpus_all |= !ids && (!count || !strcasecmp(count, "all") || !strcmp(count, "-1"));
		for (const struct yaml_node *id = ids && ids->type == YAML_SEQ ? ids->first : NULL; id; id = id->next) {
			uint32_t n = id->type == YAML_SCALAR ? devices_of(id->text) : 1;
			a->gpus_all |= !n;
			sum += n;
		}
		sum += ids || !count ? 0 : MAX(strtod(count, NULL), 0);
		a->gpus_pos = ids ? ids->pos : count ? yaml_find(d, "count")->pos : d->pos;
	}
	if (sum > 0 || a->gpus_all)
		a->gpus = a->gpus_all ? 0 : sum;
}

/* Compose: what else shows a container the host's GPUs. */
static bool sees_all(const struct yaml_node *map)
{
	const char *runtime = scalar(map, "runtime");
	const struct yaml_node *devices = yaml_find(map, "devices");

	return (runtime && !strcmp(runtime, "nvidia")) || (devices && devices->first);
}

static int take_resources(struct walk *w, const struct yaml_node *map, struct around *a)
{
	const struct yaml_node *r = map_in(map, "resources"), *reserved = map_in(r, "reservations");
	int code = take_gpu_resource(w, map_in(r, "requests"), a);

	if (code == 0)
		code = take_gpu_resource(w, map_in(r, "limits"), a);
	if (reserved)
		take_devices(yaml_find(reserved, "devices"), a);
	const struct yaml_node *claims = r ? yaml_find(r, "claims") : NULL;
	a->gpus_all |= (claims && claims->first) ||
		       yaml_find(map, "resourceClaims"); /* devices that a claim describes elsewhere */
	const struct yaml_node *gpus = yaml_find(map, "gpus");
	if (gpus && gpus->type == YAML_SEQ)
		take_devices(gpus, a);
	else if (gpus && gpus->type == YAML_SCALAR) {
		a->gpus = (double)strtoul(gpus->text, NULL, 10);
		a->gpus_all |= !strcasecmp(gpus->text, "all");
	}
	a->gpus_all |= w->host == HOST_COMPOSE && sees_all(map);
	return code;
}

static int add_env(struct walk *w, struct around *a, const char *name, const char *value)
{
	struct form_env *e = arena_alloc(&w->f->arena, sizeof *e);

	if (!e)
		return -ENOMEM;
	/* Compose puts in what its own surroundings have: here nothing but defaults. */
	if (w->host == HOST_COMPOSE && strstr(value, "${") &&
		!(value = form_expand(&w->f->arena, value, strlen(value), NULL)))
		return -ENOMEM;
	*e = (struct form_env){.name = name, .value = value, .next = a->env};
	a->env = e;
	return 0;
}

static int take_env_item(struct walk *w, const struct yaml_node *n, struct around *a)
{
	if (n->type == YAML_SCALAR && n->key)
		return add_env(w, a, n->key, n->text);
	if (n->type == YAML_SCALAR && strchr(n->text, '=')) { /* compose: "NAME=value" */
		const char *equals = strchr(n->text, '=');
		const char *name = arena_strndup(&w->f->arena, n->text, (size_t)(equals - n->text));
		return name ? add_env(w, a, name, equals + 1) : -ENOMEM;
	}
	if (n->type == YAML_MAP && scalar(n, "name") && scalar(n, "value"))
		return add_env(w, a, scalar(n, "name"), scalar(n, "value"));
	return 0;
}

static int take_env(struct walk *w, const struct yaml_node *map, struct around *a)
{
	static const char *const keys[] = {"env", "envs", "environment"};
	int code = 0;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct yaml_node *list = yaml_find(map, keys[i]);
		for (const struct yaml_node *n = list ? list->first : NULL; n && code == 0; n = n->next)
			code = take_env_item(w, n, a);
	}
	return code;
}

static enum graph_role role_of(const char *text, enum graph_role otherwise)
{
	if (!text)
		return otherwise;
	return !strcmp(text, "prefill") ? GRAPH_ROLE_PREFILL : !strcmp(text, "decode") ? GRAPH_ROLE_DECODE : otherwise;
}

static enum graph_engine engine_named(const char *text)
{
	return !text ? GRAPH_ENGINE_NONE : form_engine_of_image(text);
}

static void set_hint(struct around *a, enum graph_engine e)
{
	a->hint = e ? e : a->hint;
}

/* "hf://owner/name" of KServe and llm-d; "pvc://..." and the like name no model that can be looked up. */
static void take_model(const struct yaml_node *map, const char *key, struct around *a)
{
	const char *uri = scalar(map, key);

	if (!uri)
		return;
	a->model = !strncmp(uri, "hf://", 5) ? uri + 5 : uri;
	a->model_pos = yaml_find(map, key)->pos;
}

/* Fields of a map whose all fields are known: another one has an effect that nobody here knows. */
static int check_fields(struct walk *w, const struct yaml_node *map, const char *const *known, const char *of)
{
	int code = 0;

	for (const struct yaml_node *n = map ? map->first : NULL; n && code == 0; n = n->next) {
		bool found = false;
		for (size_t i = 0; known[i] && !found; i++)
			found = !strcmp(known[i], n->key);
		if (!found)
			code = form_remark(w->f, FORM_UNCHECKED, "field-unknown", &n->key_pos,
				arena_printf(
					&w->f->arena, "\"%.64s\" is no field of %s that is known here", n->key, of),
				"is it a misspelling? the API server refuses those, or drops them");
	}
	return code;
}

/* "parallelism" of KServe's LLMInferenceService and of llm-d; only: further names belong to others. */
static int take_parallelism(struct walk *w, const struct yaml_node *p, bool all, struct around *a)
{
	static const struct {
		const char *name;
		enum parallel what;
	} names[] = {{"tensor", PAR_TENSOR}, {"tensorParallelSize", PAR_TENSOR}, {"tp", PAR_TENSOR},
		{"pipeline", PAR_PIPELINE}, {"pipelineParallelSize", PAR_PIPELINE}, {"pp", PAR_PIPELINE},
		{"data", PAR_DATA}, {"dataParallelSize", PAR_DATA}, {"dp", PAR_DATA}, {"dataLocal", PAR_LOCAL},
		{"dataParallelSizeLocal", PAR_LOCAL}, {"workers", PAR_WORKERS}, {"expert", PAR_EXPERT}};
	static const char *const known[] = {"tensor", "tensorParallelSize", "tp", "pipeline", "pipelineParallelSize",
		"pp", "data", "dataParallelSize", "dp", "dataLocal", "dataParallelSizeLocal", "workers", "expert",
		"dataRPCPort", NULL};

	for (size_t i = 0; p && i < ARRAY_LEN(names); i++)
		if (scalar(p, names[i].name) && (all || strstr(names[i].name, "ParallelSize")))
			a->parallel[names[i].what] =
				(struct said){scalar(p, names[i].name), yaml_find(p, names[i].name)->pos};
	return all ? check_fields(w, p, known, "\"parallelism\"") : 0;
}

static uint32_t count_said(const struct around *a, enum parallel what)
{
	unsigned long n = a->parallel[what].text ? strtoul(a->parallel[what].text, NULL, 10) : 0;

	return n && n <= 4096 ? (uint32_t)n : 1;
}

/* KServe's workload: one of an LLMInferenceService (its prompts may have one of their own), or a predictor with a workerSpec.
 * Several pods make one worker only where there are followers. */
static int take_workload(struct walk *w, const struct yaml_node *map, struct around *a)
{
	const struct yaml_node *p = map_in(map, "parallelism"), *followers = map_in(map, "workerSpec");
	int code = take_parallelism(w, p, true, a);

	if (code == 0)
		code = take_parallelism(w, followers, false, a);
	if (followers)
		a->nodes = count_said(a, PAR_PIPELINE);
	else if (p && map_in(map, "worker"))
		a->nodes = a->parallel[PAR_LOCAL].text ? MAX(count_said(a, PAR_DATA) / count_said(a, PAR_LOCAL), 1u)
						       : count_said(a, PAR_PIPELINE);
	else if (p && a->parallel[PAR_WORKERS].text)
		a->nodes = count_said(a, PAR_WORKERS);
	return code;
}

static int check_llm_service(struct walk *w, const struct yaml_node *map)
{
	static const char *const spec_fields[] = {"model", "replicas", "parallelism", "router", "template", "worker",
		"prefill", "baseRefs", "scaling", "autoscaling", "storageInitializer", "tracing", "labels",
		"annotations", NULL};
	static const char *const model_fields[] = {"uri", "name", "criticality", "lora", "storage", NULL};
	static const char *const work_fields[] = {"replicas", "parallelism", "template", "worker", "scaling",
		"autoscaling", "labels", "annotations", NULL};
	const struct yaml_node *spec = map_in(map, "spec"), *model = map_in(spec, "model"),
			       *bases = spec ? yaml_find(spec, "baseRefs") : NULL,
			       *lora = model ? yaml_find(model, "lora") : NULL;
	int code = check_fields(w, spec, spec_fields, "an LLMInferenceService's spec");

	if (code == 0)
		code = check_fields(w, model, model_fields, "an LLMInferenceService's model");
	if (code == 0)
		code = check_fields(
			w, map_in(spec, "prefill"), work_fields, "an LLMInferenceService's prefill workload");
	if (code == 0 && bases && bases->first)
		code = form_remark(w->f, FORM_UNCHECKED, "field-elsewhere", &bases->key_pos,
			"baseRefs takes settings from configurations of the cluster, which are not in this file",
			"put the fields that they set in here");
	if (code == 0 && lora)
		code = form_remark(w->f, FORM_UNCHECKED, "field-elsewhere", &lora->key_pos,
			"the model's adapters (lora) take memory that is not in the arithmetic of this plan", NULL);
	return code;
}

/* GPUs that a pod's template asks for, over its containers. */
static double pod_gpus(struct walk *w, const struct yaml_node *group)
{
	const struct yaml_node *template = map_in(group, "template"),
			       *spec = map_in(template ? template : group, "spec"),
			       *list = spec ? yaml_find(spec, "containers") : NULL;
	double sum = 0;

	for (const struct yaml_node *c = list && list->type == YAML_SEQ ? list->first : NULL; c; c = c->next) {
		struct around inner = {0};
		if (c->type == YAML_MAP && take_resources(w, c, &inner) == 0)
			sum += inner.gpus;
	}
	return sum;
}

/* A Ray cluster: one engine computes on the GPUs of its head and of all its workers. */
static void take_ray_groups(struct walk *w, const struct yaml_node *map, struct around *a)
{
	const struct yaml_node *groups = yaml_find(map, "workerGroupSpecs");
	struct config_pos pos;

	for (const struct yaml_node *g = groups && groups->type == YAML_SEQ ? groups->first : NULL; g; g = g->next) {
		uint32_t replicas = 1, hosts = 1;
		if (g->type != YAML_MAP)
			continue;
		take_count(g, "replicas", &replicas, &pos);
		take_count(g, "numOfHosts", &hosts, &pos);
		a->more_gpus += pod_gpus(w, g) * replicas * hosts;
	}
}

/* A LeaderWorkerSet's pods behind the leader have what their own template asks for. */
static void take_worker_pods(struct walk *w, const struct yaml_node *lws, struct around *a)
{
	const struct yaml_node *leader = map_in(lws, "leaderTemplate"), *worker = map_in(lws, "workerTemplate");
	double gpus = leader && worker ? pod_gpus(w, worker) : 0;

	if (gpus <= 0 || a->nodes < 2 || gpus == pod_gpus(w, leader))
		return; /* all are alike */
	a->more_gpus = gpus * (a->nodes - 1);
	a->nodes = 1;
}

static int take_around(struct walk *w, const struct yaml_node *map, struct around *a)
{
	const struct yaml_node *meta = map_in(map, "metadata"), *lws = map_in(map, "leaderWorkerTemplate"),
			       *nodes = map_in(map, "multinode");
	const char *name = scalar(map, "name") ? scalar(map, "name") : scalar(meta, "name");
	struct config_pos pos;

	/* A container's own name ("main") says less than its pod's. */
	if (name && !(a->name && (w->in_list || is_container(map)))) {
		a->name = name;
		a->name_pos = yaml_find(scalar(map, "name") ? map : meta, "name")->pos;
	}
	take_count(map, "replicas", &a->replicas, &a->replicas_pos);
	take_count(map, "replicaCount", &a->replicas, &a->replicas_pos);
	if (map_in(map, "deploy"))
		take_count(map_in(map, "deploy"), "replicas", &a->replicas, &a->replicas_pos);
	const struct yaml_node *notes = map_in(meta, "annotations");
	for (const struct yaml_node *n = notes ? notes->first : NULL; n; n = n->next)
		a->gpus_all |= strstr(n->key, "dra-device-class") != NULL;
	take_count(lws, "size", &a->nodes, &pos);
	take_worker_pods(w, lws, a);
	take_count(nodes, "nodeCount", &a->nodes, &pos);
	take_count(map, "podGroupSize", &a->nodes, &pos);
	take_count(map_in(map, "workloadTemplate"), "size", &a->nodes, &pos);
	take_ray_groups(w, map, a);
	if ((map_in(map, "deploy") && take_resources(w, map_in(map, "deploy"), a) < 0) ||
		take_resources(w, map, a) < 0 || take_workload(w, map, a) < 0)
		return -ENOMEM;
	a->role = role_of(
		scalar(map, "subComponentType"), role_of(scalar(map, "type"), role_of(scalar(map, "role"), a->role)));
	set_hint(a, engine_named(scalar(map, "backendFramework")));
	set_hint(a, engine_named(scalar(map, "modelCommand")));
	const char *format = scalar(map_in(map, "modelFormat"), "name");
	set_hint(a, engine_named(format));
	if (format && !strcmp(format, "huggingface")) {
		a->hf_runtime = true;
		a->hint = GRAPH_ENGINE_VLLM;
	}
	if (scalar(map, "kind") && !strcmp(scalar(map, "kind"), "LLMInferenceService")) {
		a->hint = GRAPH_ENGINE_VLLM; /* KServe's runtime for these is vLLM */
		a->llm_service = true;
		if (check_llm_service(w, map) < 0)
			return -ENOMEM;
	}
	a->moves_kv |= (scalar(map, "kind") && !strcmp(scalar(map, "kind"), "LLMInferenceService")) ||
		       map_in(map, "modelArtifacts");
	take_model(map_in(map, "model"), "uri", a);
	take_model(map_in(map, "modelArtifacts"), "uri", a);
	take_model(map, "storageUri", a);
	return take_env(w, map, a);
}

/* ---- a container ---- */

/* Compose puts its variables in, and "$$" is a dollar of the text. expands false: only that. */
static const char *composed(struct arena *arena, const char *text, bool expands, const struct form_env *env)
{
	char *copy = strstr(text, "$$") ? arena_strdup(arena, text) : NULL;

	if (!strstr(text, "$$"))
		return expands ? form_expand(arena, text, strlen(text), env) : text;
	if (!copy)
		return NULL;
	char *out = copy;
	for (const char *p = text; *p; p++) {
		bool twice = p[0] == '$' && p[1] == '$';
		*out++ = twice ? (expands ? '\1' : '$') : *p;
		p += twice;
	}
	*out = '\0';
	char *ret = expands ? (char *)form_expand(arena, copy, strlen(copy), env) : copy;
	for (char *p = ret; p && *p; p++)
		*p = *p == '\1' ? '$' : *p;
	return ret;
}

/* Lines that went on behind a backslash and were folded into one: Compose drops the backslash, in quotes too. */
static const char *folded(struct arena *arena, const char *text)
{
	char *ret = text && strstr(text, "\\ ") ? arena_strdup(arena, text) : NULL;

	for (char *p = ret; p && (p = strstr(p, "\\ "));)
		*p = ' ';
	return ret ? ret : text;
}

/* Words of a key: a list as it is, a single text cut as a shell would. */
static int add_words(struct walk *w, struct form_words *ret, const struct yaml_node *n, const struct form_env *env)
{
	struct arena *arena = &w->f->arena;

	if (!n)
		return 0;
	if (n->type == YAML_SCALAR) {
		uint32_t kept = ret->len;
		const char *line =
			w->host == HOST_COMPOSE ? folded(arena, composed(arena, n->text, false, NULL)) : n->text;
		int code = line ? form_words_cut(ret, arena, n->pos.file, line, strlen(line), &n->pos, env) : -ENOMEM;
		for (uint32_t i = kept; i < ret->len; i++) /* one command: its lines end nothing */
			if (ret->v[i].quoted || strcmp(ret->v[i].text, "\n"))
				ret->v[kept++] = ret->v[i];
		ret->len = kept;
		return code;
	}
	for (const struct yaml_node *c = n->type == YAML_SEQ ? n->first : NULL; c; c = c->next) {
		const char *text = c->type != YAML_SCALAR    ? ""
				   : w->host == HOST_COMPOSE ? composed(arena, c->text, true, env)
							     : form_expand(arena, c->text, strlen(c->text), env);
		const struct form_word word = {.text = text, .pos = c->pos, .quoted = true};
		if (!text || form_push(arena, ret, word) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* "sh -c": the word behind it is a script. */
static const struct form_word *script_of(const struct form_words *words)
{
	for (uint32_t i = 0; i + 1 < words->len; i++) {
		const char *t = words->v[i].text;
		if (t[0] == '-' && t[1] != '-' && strchr(t, 'c') && strlen(t) <= 4 && i > 0 &&
			ends_with(words->v[i - 1].text, "sh")) {
			bool ended = !strcmp(words->v[i + 1].text, "--") && i + 2 < words->len;
			return &words->v[i + 1 + ended];
		}
		if (i > 4)
			break;
	}
	return NULL;
}

static void fill(struct form_service *s, const struct around *a)
{
	*s = (struct form_service){.name = a->name ? a->name : "",
		.pos = a->name_pos,
		.replicas = a->replicas,
		.replicas_pos = a->replicas_pos,
		.gpus = a->gpus * MAX(a->nodes, 1u) + a->more_gpus,
		.gpus_pos = a->gpus_pos,
		.slice = a->slice,
		.role = a->role,
		.model = NULL};
}

static int complete_parallel(struct walk *w, struct form_service *s, const struct around *a)
{
	static const char *const vllm[] = {[PAR_TENSOR] = "tensor-parallel-size",
		[PAR_PIPELINE] = "pipeline-parallel-size",
		[PAR_DATA] = "data-parallel-size",
		[PAR_LOCAL] = NULL,
		[PAR_WORKERS] = NULL,
		[PAR_EXPERT] = "enable-expert-parallel"};
	static const char *const sglang[] = {
		[PAR_TENSOR] = "tp-size", [PAR_PIPELINE] = "pp-size", [PAR_DATA] = "dp-size", [PAR_EXPERT] = NULL};
	int code = 0;

	for (int i = 0; i < PARALLELS && code == 0 && s->engine != GRAPH_ENGINE_LLAMA; i++) {
		const char *name = s->engine == GRAPH_ENGINE_SGLANG ? sglang[i] : vllm[i];
		bool given = name && (form_arg_find(&s->args, name) ||
					     (i == PAR_TENSOR && (form_arg_find(&s->args, "tensor-parallel-size") ||
									 form_arg_find(&s->args, "tp"))));
		if (name && a->parallel[i].text && !given)
			code = form_arg_add(w->f, &s->args, name, a->parallel[i].text, &a->parallel[i].pos);
	}
	return code;
}

/* A container that asks for no GPU sees none, unless the host shows them to all. */
static int check_gpus(struct walk *w, const struct form_service *s, const struct around *a)
{
	const struct form_arg *layers = form_arg_find(&s->args, "gpu-layers");
	const char *what = NULL, *remedy = NULL;

	if (a->gpus > 0 || a->more_gpus > 0 || a->gpus_all ||
		(s->engine == GRAPH_ENGINE_LLAMA && (!layers || !layers->value || !strcmp(layers->value, "0"))))
		return 0;
	if (w->host == HOST_KUBERNETES) {
		what = "the container asks for no GPU, and Kubernetes gives it none; the plan counts those its flags take";
		remedy = "resources: {limits: {nvidia.com/gpu: N}} in the container";
	} else if (w->host == HOST_COMPOSE) {
		what = "the service asks for no GPU, and Docker gives it none unless all containers get them; the plan counts those its flags take";
		remedy = "deploy.resources.reservations.devices, or \"gpus: all\"";
	}
	return what ? form_remark(w->f, FORM_UNCHECKED, "gpus-unasked", &s->pos, what, remedy) : 0;
}

/* Behind the flags: what only the maps around say. */
static int complete(struct walk *w, struct form_service *s, const struct around *a)
{
	static const char nixl[] = "{\"kv_connector\": \"NixlConnector\", \"kv_role\": \"kv_both\"}";
	int code = 0;

	if (!s->model && a->model) {
		s->model = a->model;
		s->model_pos = a->model_pos;
	}
	if (s->role == GRAPH_ROLE_BOTH)
		s->role = a->role;
	code = complete_parallel(w, s, a);
	if (code == 0 && a->moves_kv && s->role != GRAPH_ROLE_BOTH && !form_arg_find(&s->args, "kv-transfer-config"))
		code = form_arg_add(w->f, &s->args, "kv-transfer-config", nixl, &s->pos);
	for (const struct form_env *e = a->env; e && code == 0; e = e->next)
		code = form_arg_add(w->f, &s->envs, e->name, e->value, &a->name_pos);
	return code < 0 ? code : check_gpus(w, s, a);
}

static int read_script(
	struct walk *w, const struct form_words *words, const char *image, const struct around *a, struct err *err)
{
	uint32_t before = w->f->services.len;
	const struct form_word *script = script_of(words);
	uint32_t behind = words->len - (uint32_t)(script - words->v) - 1;
	const struct form_env *env = a->env;
	struct form_service s;

	if (form_args_env(w->f, script + 1, behind, &env) < 0)
		return err_set(err, -ENOMEM, "out of memory");

	fill(&s, a);
	if (image) {
		s.engine = engine_named(image);
		form_image_version(w->f, &s, image);
	}
	const struct form_script lines = {
		.file = script->pos.file, .start = &script->pos, .env = env, .around = &s, .foreign = &w->foreign};
	int r = form_script_read(w->f, &lines, script->text, strlen(script->text), err);
	for (uint32_t i = before; i < w->f->services.len && r >= 0; i++)
		r = complete(w, &w->f->services.v[i], a) < 0 || form_flags_env(w->f, &w->f->services.v[i]) < 0 ? -ENOMEM
													       : r;
	return r == -EINVAL || r == -ENOTSUP ? 0 : MIN(r, 0);
}

/* The huggingface runtime (python/huggingfaceserver of KServe): its own names of what are vLLM's flags, and those that are none. */
static void take_hf_words(struct walk *w, struct form_words *words)
{
	static const char *const own[] = {"--model_name", "--model-name", "--model_dir", "--model-dir", "--task",
		"--max_length", "--disable_lower_case", "--return_probabilities", "--return_token_type_ids",
		"--tensor_input_names", "--backend", "--disable_special_tokens", "--return_raw_logits",
		"--enable_docs_url", "--http_port", "--grpc_port", "--workers"};
	uint32_t kept = 0;

	for (uint32_t i = 0; i < words->len; i++) {
		struct form_word word = words->v[i];
		size_t n = strcspn(word.text, "=");
		bool drops = false, alone = !word.text[n];
		for (size_t k = 0; k < ARRAY_LEN(own); k++)
			drops |= strlen(own[k]) == n && !strncmp(own[k], word.text, n);
		const char *value = alone && i + 1 < words->len ? words->v[i + 1].text : alone ? "" : word.text + n + 1;
		if (drops && !strncmp(word.text, "--backend", n) && !strcmp(value, "huggingface"))
			w->foreign = "Hugging Face Transformers";
		if (drops) {
			i += alone && *value && *value != '-';
			continue;
		}
		if (!strncmp(word.text, "--model_id", 10) || !strncmp(word.text, "--model-id", 10)) {
			const char *text = arena_printf(&w->f->arena, "--model%s", word.text + 10);
			word.text = text ? text : word.text;
		}
		words->v[kept++] = word;
	}
	words->len = kept;
}

static bool has_vllm_flags(const struct form_words *words)
{
	static const char *const flags[] = {"--max-model-len", "--max_model_len", "--tensor-parallel-size",
		"--tensor_parallel_size", "--gpu-memory-utilization", "--gpu_memory_utilization", "--max-num-seqs"};

	for (uint32_t i = 0; i < words->len; i++)
		for (size_t k = 0; k < ARRAY_LEN(flags); k++)
			if (!strncmp(words->v[i].text, flags[k], strlen(flags[k])))
				return true;
	return false;
}

/* What KServe's own command line puts behind its flags. */
static int add_additional(struct walk *w, struct form_words *words, const struct around *a)
{
	const struct form_env *e = form_env_find(a->env, "VLLM_ADDITIONAL_ARGS", 20);
	const struct config_pos pos = a->name_pos;

	return e && e->value ? form_words_cut(words, &w->f->arena, pos.file, e->value, strlen(e->value), &pos, a->env)
			     : 0;
}

static int read_container(struct walk *w, const struct yaml_node *map, const struct around *a, struct err *err)
{
	const struct yaml_node *command = yaml_find(map, "command"), *entry = yaml_find(map, "entrypoint");
	const char *image = scalar(map, "image"), *program = NULL;
	enum graph_engine hint = a->hint;
	struct form_words words = {0};
	struct form_service s;
	int code = add_words(w, &words, entry, a->env);

	code = code < 0 ? code : add_words(w, &words, command, a->env);
	code = code < 0 ? code : add_words(w, &words, yaml_find(map, "args"), a->env);
	if (code == 0 && a->llm_service && !command && !entry)
		code = add_additional(w, &words, a);
	if (code < 0)
		return err_set(err, code, "out of memory");
	if (a->hf_runtime && !command) {
		take_hf_words(w, &words);
		if (w->foreign)
			return 0;
	}
	if (script_of(&words))
		return read_script(w, &words, image, a, err);
	/* Compose's command stands for the arguments of the image's entry point; Kubernetes' replaces it. */
	bool replaces = entry || (command && command->type == YAML_SEQ && yaml_find(map, "args"));
	if (!replaces && image && engine_named(image))
		hint = engine_named(image);
	if (!hint && !image && !command && map->key && !strcmp(map->key, "model") && has_vllm_flags(&words)) {
		hint = GRAPH_ENGINE_VLLM;
		if (form_remark(w->f, FORM_INFO, "runtime-assumed", &map->key_pos,
			    "which runtime serves the model is not said; its arguments are flags of vLLM", NULL) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	fill(&s, a);
	if (image) {
		s.engine = engine_named(image);
		form_image_version(w->f, &s, image);
	}
	uint32_t remarks = w->f->remarks.len;
	int r = form_command_read(
		w->f, &s, words.v, words.len, words.len || a->model ? hint : GRAPH_ENGINE_NONE, &program, &w->foreign);
	if (r == FORM_COMMAND_NONE && image && !hint && form_foreign_image(image))
		w->foreign = form_foreign_image(image);
	if (r != FORM_COMMAND_ENGINE)
		return r < 0 ? err_set(err, r, "out of memory") : 0;
	if (complete(w, &s, a) < 0 || form_flags_env(w->f, &s) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	/* Told by its image alone, it may be a front end in the engine's image; and followers of a leader serve nothing. */
	if (!s.model || form_arg_find(&s.args, "headless")) {
		w->f->remarks.len = remarks;
		return 0;
	}
	return form_add(w->f, &s) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* ---- the walk ---- */

static bool is_passed_over(const char *key)
{
	static const char *const keys[] = {"initContainers", "status", "annotations", "labels", "volumes",
		"workerTemplate", "workerSpec", "workerGroupSpecs"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

/* KServe: the pods that follow those of "template". */
static bool is_follower(const struct yaml_node *map, const char *key)
{
	return !strcmp(key, "worker") && map->type == YAML_MAP &&
	       (map_in(map, "template") || map_in(map, "parallelism"));
}

static int walk(struct walk *w, const struct yaml_node *node, const struct around *outer, struct err *err)
{
	struct around a = *outer;
	int code = 0;

	if (node->type == YAML_MAP) {
		if (take_around(w, node, &a) < 0)
			return err_set(err, -ENOMEM, "out of memory");
		if (is_container(node) || w->in_list)
			return read_container(w, node, &a, err);
	}
	if (w->depth++ > DEPTH_MAX)
		return 0;
	for (const struct yaml_node *c = node->first; c && code == 0; c = c->next) {
		struct around inner = a;
		bool named = node->key && (!strcmp(node->key, "services") || !strcmp(node->key, "components"));
		bool leads = c->key && !strcmp(c->key, "workerTemplate") &&
			     !map_in(node, "leaderTemplate"); /* then it is the leader's, too */
		if (c->key && ((is_passed_over(c->key) && !leads) || is_follower(node, c->key)))
			continue;
		if (c->key && c->type == YAML_MAP && (named || role_of(c->key, GRAPH_ROLE_BOTH))) {
			inner.name = named || !a.name ? c->key : arena_printf(&w->f->arena, "%s-%s", a.name, c->key);
			inner.name_pos = c->key_pos;
			inner.role = role_of(c->key, a.role);
			if (role_of(c->key, GRAPH_ROLE_BOTH)) /* a workload of its own, not divided as the other */
				memset(inner.parallel, 0, sizeof inner.parallel);
		}
		w->in_list = node->type == YAML_SEQ && node->key && !strcmp(node->key, "containers");
		if (c->type == YAML_MAP || c->type == YAML_SEQ)
			code = walk(w, c, &inner, err);
		w->in_list = false;
	}
	w->depth--;
	return code;
}

int form_containers_read(struct form_set *f, const struct yaml_node *root, const char **ret_foreign, struct err *err)
{
	struct walk w = {.f = f};
	const struct around none = {.replicas = 1, .nodes = 1};

	/* llm-d's chart asks for the GPUs itself. */
	if (yaml_find(root, "apiVersion") || yaml_find(root, "spec") || yaml_find(root, "containers"))
		w.host = HOST_KUBERNETES;
	else if (yaml_find(root, "services"))
		w.host = HOST_COMPOSE;
	int code = walk(&w, root, &none, err);

	if (w.foreign)
		*ret_foreign = w.foreign;
	return code;
}
