/* check_names.c - what an engine refuses at its start on every card: quantization methods it does not have, methods that the files
 * are not of, and block sizes.
 *
 * Names: vLLM's QuantizationMethods (model_executor/layers/quantization/__init__.py, 0.6 to 0.11, and newer ones' additions) and
 * SGLang's QUANTIZATION_CHOICES (srt/server_args.py). Block sizes: vLLM's BlockSize = Literal[1, 8, 16, 32, 64, 128]
 * (config/cache.py up to 0.11); later any whole number that an attention kernel takes, which are multiples of 16. */
#include "plan/check.h"
#include "config/suggest.h"

#include <stdio.h>
#include <string.h>

enum { VLLM = 1, SGLANG = 2, ONLINE = 4 }; /* ONLINE: weights that are not quantized are, while they load */

static const struct method {
	const char *name,
		*files; /* what the files may be, as model/facts.h names it, separated by blanks; "*": anything */
	unsigned flags;
} methods[] = {
	{"aqlm", "aqlm", VLLM},
	{"auto-round", "auto-round awq gptq int8", VLLM | SGLANG},
	{"auto-round-int8", "int8", SGLANG},
	{"awq", "awq", VLLM | SGLANG},
	{"awq_marlin", "awq", VLLM | SGLANG},
	{"bitblas", "bitblas gptq", VLLM},
	{"bitsandbytes", "*", VLLM | SGLANG | ONLINE},
	{"compressed-tensors", "*", VLLM | SGLANG},
	{"cpu_awq", "awq", VLLM},
	{"deepgemm_fp8", "fp8", VLLM | ONLINE},
	{"deepspeedfp", "deepspeedfp", VLLM | ONLINE},
	{"experts_int8", "none", VLLM | ONLINE},
	{"fbgemm_fp8", "fp8", VLLM},
	{"fp8", "fp8", VLLM | SGLANG | ONLINE},
	{"fp_quant", "fp_quant", VLLM},
	{"gguf", "*", VLLM | SGLANG},
	{"gptq", "gptq int8", VLLM | SGLANG},
	{"gptq_bitblas", "gptq", VLLM},
	{"gptq_marlin", "gptq int8", VLLM | SGLANG},
	{"gptq_marlin_24", "gptq", VLLM},
	{"hqq", "hqq", VLLM},
	{"humming", "*", VLLM | SGLANG | ONLINE},
	{"inc", "inc auto-round awq gptq", VLLM},
	{"ipex", "awq gptq", VLLM},
	{"marlin", "marlin gptq", VLLM | SGLANG},
	{"mlx_q4", "none", SGLANG | ONLINE},
	{"mlx_q8", "none", SGLANG | ONLINE},
	{"modelopt", "modelopt fp8 nvfp4", VLLM | SGLANG},
	{"modelopt_fp4", "modelopt nvfp4", VLLM | SGLANG},
	{"modelopt_fp8", "modelopt fp8", SGLANG},
	{"modelopt_mixed", "*", VLLM | SGLANG},
	{"modelopt_mxfp8", "*", VLLM},
	{"modelslim", "*", SGLANG},
	{"moe_wna16", "awq gptq int8", VLLM | SGLANG},
	{"mxfp4", "mxfp4", VLLM | SGLANG},
	{"mxfp8", "mxfp8", VLLM | SGLANG | ONLINE},
	{"mxfp_w4a8", "*", SGLANG},
	{"neuron_quant", "*", VLLM | ONLINE},
	{"nvfp4_online", "none", SGLANG | ONLINE},
	{"petit_nvfp4", "modelopt nvfp4", VLLM | SGLANG},
	{"ptpc_fp8", "none", VLLM | ONLINE},
	{"qoq", "qoq", SGLANG},
	{"qqq", "qqq", VLLM},
	{"quark", "*", VLLM | SGLANG},
	{"quark_int4fp8_moe", "*", SGLANG | ONLINE},
	{"quark_mxfp4", "*", SGLANG | ONLINE},
	{"rtn", "none", VLLM | ONLINE},
	{"squeezellm", "squeezellm", VLLM},
	{"torchao", "*", VLLM | ONLINE},
	{"tpu_int8", "none", VLLM | ONLINE},
	{"unquant", "*", SGLANG | ONLINE},
	{"w4afp8", "*", SGLANG},
	{"w8a8_fp8", "fp8", SGLANG | ONLINE},
	{"w8a8_int8", "int8", SGLANG},
};

static const struct method *method_of(const char *name, unsigned engine)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if ((methods[i].flags & engine) && !strcmp(methods[i].name, name))
			return &methods[i];
	return NULL;
}

/* "awq_marlin" of the files is "awq" too. */
static bool takes(const struct method *m, const char *files)
{
	if (*m->files == '*')
		return true;
	for (const char *w = m->files; *w; w += strspn(w, " ")) {
		size_t len = strcspn(w, " ");
		if (!strncmp(files, w, len) && (!files[len] || files[len] == '_'))
			return true;
		w += len;
	}
	return false;
}

static void no_such_method(struct plan *p, const struct plan_service *s, unsigned engine)
{
	struct suggest near;

	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "quantization-unknown", &s->pos[PLAN_QUANT],
		"%s: %s has no quantization \"%s\"", s->name, engine == SGLANG ? "SGLang" : "vLLM", s->quant);
	suggest_init(&near, s->quant);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (methods[i].flags & engine)
			suggest_offer(&near, methods[i].name);
	if (suggest_best(&near))
		findings_remedy(&p->findings, "did you mean \"%s\"?", suggest_best(&near));
	else
		findings_remedy(&p->findings, "leave quantization out: the model's files say it themselves");
}

/* The flag and the files must say the same; some methods are made while loading. */
static void check_files(struct plan *p, const struct plan_service *s, const struct method *method)
{
	const struct model_facts *m = s->model->facts;
	bool plain = !*m->quant || !strcmp(m->quant, "none");

	if (plain ? (method->flags & ONLINE) != 0 : takes(method, m->quant))
		return;
	if (plain && m->from == MODEL_FROM_CATALOGUE) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "quantization-weights",
			&s->pos[PLAN_QUANT],
			"%s: %s needs weights that were made with it; \"%s\" is a model of %s weights as it is "
			"published",
			s->name, s->quant, m->name, m->dtype);
		findings_remedy(&p->findings, "model: one with %s weights", s->quant);
		return;
	}
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "quantization-weights", &s->pos[PLAN_QUANT],
		"%s: quantization is %s, but the model's files are %s", s->name, s->quant, plain ? m->dtype : m->quant);
	findings_remedy(&p->findings, plain ? "leave quantization out, or name a model with such weights"
					    : "leave quantization out: the files say it themselves");
}

/* The engine knows it, and how much it saves is not known here: the weights are counted as the files have them. */
static void uncounted(struct plan *p, const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;

	if (model_quant_known(s->quant) || (*m->quant && strcmp(m->quant, "none")))
		return;
	findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "quantization-unknown", &s->pos[PLAN_QUANT],
		"%s: what weights of quantization \"%s\" take is not known here; they are counted as %s", s->name,
		s->quant, m->dtype);
	findings_unchecked(&p->findings);
}

static void check_method(struct plan *p, const struct plan_service *s)
{
	unsigned engine = s->engine == GRAPH_ENGINE_SGLANG ? SGLANG : VLLM;
	const struct method *method = s->quant ? method_of(s->quant, engine) : NULL;

	/* What the search looks at is named as the files are; only the user's word goes to the engine. */
	if (!s->quant || !s->set[PLAN_QUANT])
		return;
	if (!method) {
		no_such_method(p, s, engine);
		return;
	}
	if (!s->model->facts)
		return;
	uncounted(p, s);
	check_files(p, s, method);
}

static void check_block(struct plan *p, const struct plan_service *s)
{
	static const uint64_t sizes[] = {1, 8, 16, 32, 64, 128};

	if (s->engine != GRAPH_ENGINE_VLLM || !s->set[PLAN_BLOCK])
		return;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		if (s->block == sizes[i])
			return;
	if (s->block && s->block % 16 == 0) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "block-size", &s->pos[PLAN_BLOCK],
			"%s: block-size %llu is refused by vLLM up to 0.11", s->name, (unsigned long long)s->block);
		findings_remedy(&p->findings, "16, 32, 64 and 128 run with every release");
		return;
	}
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "block-size", &s->pos[PLAN_BLOCK],
		"%s: vLLM has no block-size %llu", s->name, (unsigned long long)s->block);
	findings_remedy(&p->findings, "block-size: one of 1, 8, 16, 32, 64, 128");
}

void plan_check_names(struct plan *p, const struct plan_service *s)
{
	if (s->engine != GRAPH_ENGINE_VLLM && s->engine != GRAPH_ENGINE_SGLANG)
		return;
	check_method(p, s);
	check_block(p, s);
}
