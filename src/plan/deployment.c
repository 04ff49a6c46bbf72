/* deployment.c - from a graph to the planner's few settings; see deployment.h. */
#include "plan/deployment.h"

#include <math.h>
#include <string.h>

/* Which key of an engine's section is which setting; the first that is set counts. */
static const struct {
	enum plan_key key;
	const char *vllm[2], *sglang[3], *llama;
} names[] = {
	{PLAN_TP, {"tensor-parallel-size"}, {"tp", "tp-size", "tensor-parallel-size"}, NULL},
	{PLAN_PP, {"pipeline-parallel-size"}, {NULL}, NULL},
	{PLAN_DP, {"data-parallel-size"}, {"dp-size"}, NULL},
	{PLAN_MODEL, {"model"}, {"model", "model-path"}, "model"},
	{PLAN_DTYPE, {"dtype"}, {"dtype"}, NULL},
	{PLAN_QUANT, {"quantization"}, {"quantization"}, NULL},
	{PLAN_KV, {"kv-cache-dtype"}, {"kv-cache-dtype"}, "kv-type"},
	{PLAN_UTILIZATION, {"gpu-memory-utilization"}, {"mem-fraction-static"}, NULL},
	{PLAN_CONTEXT, {"max-model-len"}, {"context-length", "max-model-len"}, "context-length"},
	{PLAN_BATCH, {"max-num-batched-tokens"}, {"chunked-prefill-size"}, "batch-size"},
	{PLAN_SEQS, {"max-num-seqs"}, {"max-running-requests"}, "max-seqs"},
	{PLAN_BLOCK, {"block-size"}, {"page-size", "block-size"}, "block-size"},
	{PLAN_EAGER, {"enforce-eager"}, {"disable-cuda-graph"}, NULL},
	{PLAN_ATTENTION, {"attention-backend"}, {"attention-backend"}, NULL},
	{PLAN_REMOTE_PREFILL, {"remote-prefill"}, {"remote-prefill"}, "remote-prefill"},
	{PLAN_CONDITIONAL, {"conditional-disagg"}, {"conditional-disagg"}, "conditional-disagg"},
	{PLAN_CHUNKED, {"enable-chunked-prefill"}, {NULL}, NULL},
	{PLAN_TRANSFER, {"kv-transfer-config"}, {"disaggregation-transfer-backend"}, NULL},
	{PLAN_THREADS, {NULL}, {NULL}, "threads"},
	{PLAN_UBATCH, {NULL}, {NULL}, "ubatch-size"},
	{PLAN_ROLE, {"role"}, {"role"}, "role"},
};

static const char *name_at(enum graph_engine engine, size_t row, size_t i)
{
	switch (engine) {
	case GRAPH_ENGINE_VLLM:
		return i < ARRAY_LEN(names[row].vllm) ? names[row].vllm[i] : NULL;
	case GRAPH_ENGINE_SGLANG:
		return i < ARRAY_LEN(names[row].sglang) ? names[row].sglang[i] : NULL;
	case GRAPH_ENGINE_LLAMA:
		return i == 0 ? names[row].llama : NULL;
	default:
		return NULL;
	}
}

const char *plan_key_name(enum graph_engine engine, enum plan_key key)
{
	if (key == PLAN_WORKERS)
		return "ServiceArgs.workers";
	if (key == PLAN_GPUS)
		return "ServiceArgs.resources.gpu";
	for (size_t row = 0; row < ARRAY_LEN(names); row++)
		if (names[row].key == key)
			return name_at(engine, row, 0);
	return NULL;
}

bool plan_key_read(enum graph_engine engine, const char *name)
{
	for (size_t row = 0; row < ARRAY_LEN(names); row++)
		for (size_t i = 0; name_at(engine, row, i); i++)
			if (!strcmp(name_at(engine, row, i), name))
				return true;
	return false;
}

static const struct config_value *find(const struct plan_service *s, enum plan_key key)
{
	for (size_t row = 0; row < ARRAY_LEN(names); row++) {
		if (names[row].key != key)
			continue;
		for (size_t i = 0; name_at(s->engine, row, i); i++) {
			const struct config_item *item =
				config_section_find(&s->graph->settings, name_at(s->engine, row, i));
			if (item && item->value.set)
				return &item->value;
		}
	}
	return NULL;
}

/* Each setting's place, and its value when the user gave one. */
static const struct config_value *take(struct plan_service *s, enum plan_key key)
{
	const struct config_value *v = find(s, key);

	s->pos[key] = v ? v->pos : s->graph->pos;
	s->set[key] = v != NULL;
	return v;
}

static uint64_t take_u64(struct plan_service *s, enum plan_key key, uint64_t def)
{
	const struct config_value *v = take(s, key);

	return v ? v->u : def;
}

static bool take_bool(struct plan_service *s, enum plan_key key, bool def)
{
	const struct config_value *v = take(s, key);

	return v ? v->b : def;
}

static const char *take_text(struct plan_service *s, enum plan_key key, const char *def)
{
	const struct config_value *v = take(s, key);

	return v && v->text ? v->text : def;
}

static bool has_env(const struct graph_service *g, const char *name)
{
	for (uint32_t i = 0; i < g->envs_len; i++)
		if (!strcmp(g->envs[i].name, name))
			return true;
	return false;
}

/* CUDA_VISIBLE_DEVICES=0,2 in ServiceArgs.envs binds the service's workers to these; so does the list of indices that a container is given. */
static void take_pinned(struct plan_service *s)
{
	bool given = !has_env(s->graph, "CUDA_VISIBLE_DEVICES");

	for (uint32_t i = 0; i < s->graph->envs_len; i++) {
		const struct graph_arg *e = &s->graph->envs[i];
		const char *value = e->value ? e->value : "";
		if (strcmp(e->name, given ? "NVIDIA_VISIBLE_DEVICES" : "CUDA_VISIBLE_DEVICES") ||
			(given && (!*value || strspn(value, "0123456789,") != strlen(value))))
			continue;
		s->pinned_pos = e->pos;
		s->pinned_len = 0;
		for (const char *p = e->value ? e->value : ""; *p;) {
			char *end;
			unsigned long n = strtoul(p, &end, 10);
			if (end == p || n > UINT32_MAX || s->pinned_len == PLAN_PINNED_MAX || (*end && *end != ',')) {
				s->pinned_odd = true;
				s->pinned_len = 0;
				return;
			}
			s->pinned[s->pinned_len++] = (uint32_t)n;
			p = *end ? end + 1 : end;
		}
	}
}

static bool is_external(const struct plan_service *s)
{
	return s->engine == GRAPH_ENGINE_VLLM || s->engine == GRAPH_ENGINE_SGLANG;
}

/* How many cards a worker takes: what the graph gives it, else what its engine will use. A mock pretends to have one. */
static void take_gpus(struct plan_service *s)
{
	const struct graph_service *g = s->graph;
	uint64_t used = (uint64_t)s->tp * s->pp * s->dp;

	s->pos[PLAN_WORKERS] = g->workers_set ? g->workers_pos : g->pos;
	s->pos[PLAN_GPUS] = g->gpus_set ? g->gpus_pos : s->set[PLAN_TP] ? s->pos[PLAN_TP] : g->pos;
	s->set[PLAN_WORKERS] = g->workers_set;
	s->set[PLAN_GPUS] = g->gpus_set;
	s->workers = g->workers;
	s->share = 1;
	if (s->engine == GRAPH_ENGINE_MOCK)
		return;
	if (g->gpus_set && g->gpus > 0 && g->gpus < 1) {
		s->share = g->gpus;
		s->gpus = 1;
	} else if (g->gpus_set) {
		s->gpus = (uint32_t)MIN(g->gpus, 1e6);
	}
	if (is_external(s) && s->gpus < used) {
		s->given = g->gpus_set ? s->gpus : 0;
		s->gpus = (uint32_t)MIN(used, 1000000u);
	}
}

/* Defaults of the engines where the user said nothing. vLLM's batch grows with the card and is filled in there. */
static void take_sizes(struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;
	bool llama = s->engine == GRAPH_ENGINE_LLAMA, sglang = s->engine == GRAPH_ENGINE_SGLANG;

	s->utilization = PLAN_UTILIZATION_DEFAULT;
	const struct config_value *u = take(s, PLAN_UTILIZATION);
	if (u)
		s->utilization = u->f;
	s->context = take_u64(s, PLAN_CONTEXT, 0);
	if (s->context == 0 && m)
		s->context = m->context_max;
	s->batch = take_u64(s, PLAN_BATCH, llama ? PLAN_LLAMA_BATCH : sglang ? PLAN_SGLANG_BATCH : 0);
	s->seqs = take_u64(s, PLAN_SEQS, llama ? PLAN_LLAMA_SEQS : PLAN_SEQS_DEFAULT);
	s->block = take_u64(s, PLAN_BLOCK, llama ? 64 : sglang ? 1 : 16);
	s->ubatch = take_u64(s, PLAN_UBATCH, 512);
	s->threads = (uint32_t)take_u64(s, PLAN_THREADS, 0);
	if (sglang && s->set[PLAN_BATCH] && (int64_t)s->batch < 0)
		s->batch = s->context;
}

static void take_version(struct plan_service *s)
{
	const struct config_item *item = config_section_find(&s->graph->settings, "engine-version");

	s->version_pos = s->graph->pos;
	if (!item || !item->value.set || !item->value.text)
		return;
	s->version = engine_version_parse(item->value.text);
	s->version_pos = item->value.pos;
}

static void take_service(struct plan_service *s)
{
	s->tp = (uint32_t)take_u64(s, PLAN_TP, 1);
	s->pp = (uint32_t)take_u64(s, PLAN_PP, 1);
	s->dp = (uint32_t)take_u64(s, PLAN_DP, 1);
	take(s, PLAN_MODEL);
	take(s, PLAN_ROLE);
	s->dtype = take_text(s, PLAN_DTYPE, "auto");
	s->quant = take_text(s, PLAN_QUANT, NULL);
	if (s->quant && !strcmp(s->quant, "none"))
		s->quant = NULL;
	s->kv = take_text(s, PLAN_KV, "auto");
	s->attention = take_text(s, PLAN_ATTENTION, NULL);
	s->eager = take_bool(s, PLAN_EAGER, false);
	s->remote_prefill = take_bool(s, PLAN_REMOTE_PREFILL, false);
	s->conditional = take_bool(s, PLAN_CONDITIONAL, false);
	take_version(s);
	s->chunked = take_bool(s, PLAN_CHUNKED, true);
	s->transfer = take(s, PLAN_TRANSFER) != NULL;
	if (is_external(s))
		plan_extra_take(&s->extra, s->graph);
	if (s->extra.dp_inside) { /* dp-size divides the cards of tp then */
		s->extra.dp_attention = s->dp;
		s->dp = 1;
	}
	take_sizes(s);
	take_gpus(s);
	take_pinned(s);
}

int plan_deployment_init(struct plan_deployment *ret, const struct graph *graph, const struct plan_model *models)
{
	struct plan_deployment d = {.graph = graph};

	d.services = calloc(graph->len ? graph->len : 1, sizeof *d.services);
	if (!d.services)
		return -ENOMEM;
	for (uint32_t i = 0; i < graph->len; i++) {
		const struct graph_service *g = &graph->services[i];
		if (g->kind != GRAPH_WORKER || g->engine == GRAPH_ENGINE_NONE)
			continue;
		struct plan_service *s = &d.services[d.len++];
		s->graph = g;
		s->name = g->name;
		s->engine = g->engine;
		s->role = g->role;
		s->model = &models[i];
		take_service(s);
	}
	*ret = d;
	return 0;
}

void plan_deployment_done(struct plan_deployment *d)
{
	free(d->services);
	*d = (struct plan_deployment){0};
}

bool plan_experts_whole(const struct plan_service *s)
{
	const struct config_item *ep = config_section_find(&s->graph->settings, "enable-expert-parallel"),
				 *size = config_section_find(&s->graph->settings, "ep-size");

	return (ep && ep->value.set && ep->value.b) || (size && size->value.set && size->value.u >= s->tp);
}

uint64_t plan_version(const struct plan_service *s)
{
	struct engine_span read = engine_releases(plan_rules_of(s));

	return s->version ? s->version : read.last;
}

const char *plan_class_name(const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;

	return !m ? NULL : *m->class_name ? m->class_name : engine_class_of(m->architecture);
}

const char *plan_method_of(const struct plan_service *s)
{
	static const struct {
		const char *quant, *packed;
	} schemes[] = {{"gptq", "compressed-tensors:wna16"}, {"awq", "compressed-tensors:wna16"},
		{"fp8", "compressed-tensors:w8a16_fp8"}, {"int8", "compressed-tensors:w8a8_int8"},
		{"nvfp4", "compressed-tensors:w4a4_nvfp4"}, {"mxfp4", "compressed-tensors:w4a4_mxfp4"}};
	const struct model_facts *m = s->model->facts;
	bool made = m && *m->quant && strcmp(m->quant, "none") != 0;

	if (made && !strcmp(m->quant_format, "compressed-tensors"))
		for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
			if (!strcmp(schemes[i].quant, m->quant))
				return schemes[i].packed;
	if (made && !strncmp(m->quant_format, "modelopt", 8))
		return !strcmp(m->quant, "nvfp4") ? "modelopt_fp4" : "modelopt";
	if (made)
		return m->quant;
	return s->quant;
}

static bool is_half(const char *dtype)
{
	return !strcmp(dtype, "half") || !strcmp(dtype, "float16");
}

const char *plan_dtype_on(const struct plan_service *s, uint32_t capability)
{
	const struct model_facts *m = s->model->facts;
	const char *asked = is_half(s->dtype) ? "float16" : !strcmp(s->dtype, "float") ? "float32" : s->dtype;
	bool automatic = !strcmp(asked, "auto");
	struct rule_answer a;

	/* vLLM's auto: bfloat16 and float16 as the files have it, float32 files in float16 (or bfloat16, same size). */
	if (automatic)
		asked = m && !strcmp(m->dtype, "bfloat16") ? "bfloat16" : "float16";
	if (!capability)
		return asked;
	rule_dtype(&a, plan_rules_of(s), capability, asked, !automatic, m ? m->architecture : NULL);
	if (a.verdict == RULE_YES || !a.instead)
		return asked;
	return !strcmp(a.instead, "float32") ? "float32" : !strcmp(a.instead, "bfloat16") ? "bfloat16" : "float16";
}

const char *plan_weights_on(const struct plan_service *s, uint32_t capability)
{
	const struct model_facts *m = s->model->facts;

	if (s->quant && model_quant_known(s->quant))
		return s->quant;
	if (m && strcmp(m->quant, "none") && *m->quant)
		return NULL; /* as the files have it */
	return s->engine == GRAPH_ENGINE_LLAMA ? NULL : plan_dtype_on(s, capability);
}

enum kv_dtype plan_kv_on(const struct plan_service *s, uint32_t capability)
{
	bool automatic = !strcmp(s->kv, "auto") && s->engine != GRAPH_ENGINE_LLAMA;

	return automatic && !strcmp(plan_dtype_on(s, capability), "float32") ? KV_F32 : plan_kv_type(s);
}
