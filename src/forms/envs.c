/* envs.c - variables of an engine's environment that change its plan, where the plan's arithmetic does not have them: they hide cards, or ask
 * for another engine, device or division. vllm/envs.py names vLLM's own. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum when { ALWAYS, ON, ABOVE_ONE, OFF, NOT_CUDA };

static const struct effect {
	const char *name;
	enum when when;
	const char *what;
} effects[] = {
	{"VLLM_USE_V1", OFF, "asks for the engine V0, whose memory is another, and which newer releases do not have"},
	{"VLLM_TARGET_DEVICE", NOT_CUDA, "runs vLLM on something else than CUDA"},
	{"VLLM_CPU_KVCACHE_SPACE", ALWAYS, "is for vLLM on the CPU"},
	{"VLLM_OPENVINO_DEVICE", ALWAYS, "is for vLLM on OpenVINO"},
	{"VLLM_DP_SIZE", ABOVE_ONE, "makes this one of several ranks of data parallelism"},
	{"VLLM_PP_LAYER_PARTITION", ALWAYS, "divides the layers by hand"},
	{"VLLM_MLA_DISABLE", ON, "keeps whole keys and values, where the plan counts compressed ones"},
	{"VLLM_RAY_PER_WORKER_GPUS", ALWAYS, "gives each worker a part of a card"},
	{"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", ALWAYS, "shares cards with other processes"},
	{"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", ALWAYS, "limits the memory of a card"},
	{"SGLANG_USE_CPU_ENGINE", ON, "runs SGLang on the CPU"},
};

static bool says_no(const char *value)
{
	return !*value || !strcmp(value, "0") || !strcasecmp(value, "false") || !strcasecmp(value, "no");
}

static bool holds(const struct effect *e, const char *value)
{
	switch (e->when) {
	case ALWAYS:
		return *value;
	case ON:
		return !says_no(value);
	case OFF:
		return *value && says_no(value);
	case ABOVE_ONE:
		return strtoul(value, NULL, 10) > 1;
	default:
		return *value && strcasecmp(value, "cuda") != 0;
	}
}

/* How many cards a list shows; 0: all, or that is not known. */
static uint32_t shown(const char *value)
{
	uint32_t n = 0;

	if (!strcasecmp(value, "all") || strchr(value, '$'))
		return 0;
	for (; *value; value += strcspn(value, ","), value += *value == ',')
		n += *value != ',';
	return n;
}

static bool hides_all(const char *value)
{
	static const char *const words[] = {"", "-1", "none", "void", "NoDevFiles"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcasecmp(value, words[i]))
			return true;
	return false;
}

/* CUDA_VISIBLE_DEVICES of a list is the plan's own matter; NVIDIA_VISIBLE_DEVICES is what a container gets. */
static int check_cards(struct form_set *f, const struct form_service *s, const struct form_arg *e)
{
	bool given = !strcmp(e->name, "NVIDIA_VISIBLE_DEVICES");
	uint32_t n = shown(e->value);
	struct arena *arena = &f->arena;

	if (hides_all(e->value))
		return form_remark(f, FORM_FATAL, "gpus-hidden", &e->pos,
			arena_printf(arena, "%s=%.32s shows the engine no GPU", e->name, e->value),
			"leave it out, or name the cards");
	if (strchr(e->value, '$'))
		return form_remark(f, FORM_UNCHECKED, FORM_UNSET, &e->pos,
			arena_printf(
				arena, "%s=%.64s: which cards the engine sees is not known here", e->name, e->value),
			NULL);
	if (!given || !n || s->gpus > 0 || n >= form_flags_gpus(s)) /* what is given as a count is checked as such */
		return 0;
	return form_remark(f, FORM_FATAL, "gpus-few", &e->pos,
		arena_printf(arena, "%s=%.64s shows %u of the %g GPUs that each worker computes on by its flags",
			e->name, e->value, n, form_flags_gpus(s)),
		"name as many cards, or lower the parallel sizes, if the model still fits");
}

int form_envs_check(struct form_set *f, const struct form_service *s)
{
	int code = 0;

	if (s->engine == GRAPH_ENGINE_LLAMA)
		return 0;
	for (uint32_t i = 0; i < s->envs.len && code == 0; i++) {
		const struct form_arg *e = &s->envs.v[i];
		bool again = false;
		for (uint32_t k = 0; k < i; k++) /* of several the nearest, which stands first */
			again |= !strcmp(s->envs.v[k].name, e->name);
		if (again || !e->value)
			continue;
		if (!strcmp(e->name, "CUDA_VISIBLE_DEVICES") || !strcmp(e->name, "NVIDIA_VISIBLE_DEVICES"))
			code = check_cards(f, s, e);
		for (size_t k = 0; k < ARRAY_LEN(effects) && code == 0; k++)
			if (!strcmp(effects[k].name, e->name) && holds(&effects[k], e->value))
				code = form_remark(f, FORM_UNCHECKED, "variable-effect", &e->pos,
					arena_printf(&f->arena,
						"%s=%.32s %s, which is not in the arithmetic of this plan", e->name,
						e->value, effects[k].what),
					NULL);
	}
	return code;
}
