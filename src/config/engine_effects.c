/* engine_effects.c - flags that change memory, cards or what the model is, and are not in a plan's arithmetic; see engine_effects.h. */
#include "config/engine_effects.h"

#include "base/compiler.h"
#include <string.h>
#include <strings.h>

enum when {
	ALWAYS,
	ON, /* unless it says no, 0 or none */
	ABOVE_ONE, /* a number above 1 */
	TEXT, /* unless it is empty or "none" */
	OVERRIDES, /* and unless it only stretches the context, which a plan knows */
	DRAFTED, /* and unless it drafts from the text itself */
};

static const struct effect {
	enum graph_engine engine;
	const char *flag;
	enum when when;
	const char *what;
} effects[] = {
#define DRAFT "loads a draft model, or its layers, beside the model"
#define ADAPTERS "takes memory for adapters"
#define CONFIG_FILE "names a file with more settings"
#define OFFLOAD "moves weights to the host's memory"
	{GRAPH_ENGINE_VLLM, "spec-model", DRAFTED, DRAFT},
	{GRAPH_ENGINE_VLLM, "enable-prompt-adapter", ON, ADAPTERS},
	{GRAPH_ENGINE_VLLM, "offload-group-size", ON, OFFLOAD},
	{GRAPH_ENGINE_VLLM, "prefill-context-parallel-size", ABOVE_ONE, "multiplies the cards of a worker"},
	{GRAPH_ENGINE_VLLM, "num-redundant-experts", ON, "keeps copies of experts"},
	{GRAPH_ENGINE_VLLM, "eplb-config", TEXT, "may keep copies of experts"},
	{GRAPH_ENGINE_VLLM, "disable-hybrid-kv-cache-manager", ON, "makes layers with a window keep all their KV"},
	{GRAPH_ENGINE_VLLM, "hf-overrides", OVERRIDES, "changes the model's configuration"},
	{GRAPH_ENGINE_VLLM, "hf-config-path", TEXT, "takes another configuration of the model"},
	{GRAPH_ENGINE_VLLM, "config", TEXT, CONFIG_FILE},
	{GRAPH_ENGINE_SGLANG, "offload-group-size", ON, OFFLOAD},
	{GRAPH_ENGINE_SGLANG, "enable-dp-attention", ON,
		"divides attention by requests and not by heads, so that each card holds all of it"},
	{GRAPH_ENGINE_SGLANG, "attn-dp-size", ABOVE_ONE,
		"divides attention by requests and not by heads, so that each card holds all of it"},
	{GRAPH_ENGINE_SGLANG, "pp-size", ABOVE_ONE, "divides the layers"},
	{GRAPH_ENGINE_SGLANG, "moe-dense-tp-size", ALWAYS, "divides dense layers another way"},
	{GRAPH_ENGINE_SGLANG, "ep-num-redundant-experts", ON, "keeps copies of experts"},
	{GRAPH_ENGINE_SGLANG, "json-model-override-args", OVERRIDES, "changes the model's configuration"},
	{GRAPH_ENGINE_SGLANG, "disable-hybrid-swa-memory", ON, "makes layers with a window keep all their KV"},
	{GRAPH_ENGINE_SGLANG, "enable-multimodal", ON, "loads what reads images, too"},
	{GRAPH_ENGINE_SGLANG, "config", TEXT, CONFIG_FILE},
	{GRAPH_ENGINE_LLAMA, "spec-draft-model", DRAFTED, DRAFT},
	{GRAPH_ENGINE_LLAMA, "mmproj", TEXT, "loads what reads images, too"},
	{GRAPH_ENGINE_LLAMA, "mmproj-url", TEXT, "loads what reads images, too"},
	{GRAPH_ENGINE_LLAMA, "lora", TEXT, ADAPTERS},
	{GRAPH_ENGINE_LLAMA, "lora-scaled", TEXT, ADAPTERS},
	{GRAPH_ENGINE_LLAMA, "control-vector", TEXT, ADAPTERS},
	{GRAPH_ENGINE_LLAMA, "cpu-moe", ON, "keeps experts in the host's memory"},
	{GRAPH_ENGINE_LLAMA, "n-cpu-moe", ON, "keeps experts in the host's memory"},
	{GRAPH_ENGINE_LLAMA, "override-tensor", TEXT, "places tensors by hand"},
	{GRAPH_ENGINE_LLAMA, "no-kv-offload", ON, "keeps the KV cache in the host's memory"},
	{GRAPH_ENGINE_LLAMA, "swa-full", ON, "makes layers with a window keep all their KV"},
	{GRAPH_ENGINE_LLAMA, "rpc", TEXT, "uses the memory of other hosts"},
	{GRAPH_ENGINE_LLAMA, "override-kv", TEXT, "changes the model's configuration"},
};

static bool says_no(const char *value)
{
	return !*value || !strcasecmp(value, "false") || !strcmp(value, "0") || !strcasecmp(value, "none") ||
	       !strcasecmp(value, "null") || !strcasecmp(value, "no") || !strcasecmp(value, "off") ||
	       !strcmp(value, "0.0") || !strcmp(value, "{}");
}

static bool holds(const struct effect *e, const char *value)
{
	switch (e->when) {
	case ALWAYS:
		return true;
	case ABOVE_ONE:
		return strtoul(value, NULL, 10) > 1;
	case OVERRIDES:
		return !says_no(value) && !strstr(value, "rope") && !strstr(value, "max_position_embeddings");
	case DRAFTED:
		return !says_no(value) && !strcasestr(value, "ngram") && !strcasestr(value, "suffix");
	default:
		return !says_no(value);
	}
}

const char *engine_effect_unmodelled(enum graph_engine engine, const char *flag, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(effects); i++)
		if (effects[i].engine == engine && !strcmp(effects[i].flag, flag))
			return holds(&effects[i], value ? value : "") ? effects[i].what : NULL;
	return NULL;
}

const char *engine_effect_at(uint32_t i, enum graph_engine *ret_engine)
{
	if (i >= ARRAY_LEN(effects))
		return NULL;
	*ret_engine = effects[i].engine;
	return effects[i].flag;
}
