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
	enum when when;
	const char *flag;
	const char *what;
} effects[] = {
#define DRAFT "loads a draft model, or its layers, beside the model"
#define ADAPTERS "takes memory for adapters"
#define CONFIG_FILE "names a file with more settings"
#define OFFLOAD "moves weights to the host's memory"
	{GRAPH_ENGINE_VLLM, DRAFTED, "spec-model", DRAFT},
	{GRAPH_ENGINE_VLLM, ON, "enable-prompt-adapter", ADAPTERS},
	{GRAPH_ENGINE_VLLM, ON, "offload-group-size", OFFLOAD},
	{GRAPH_ENGINE_VLLM, ABOVE_ONE, "prefill-context-parallel-size", "multiplies the cards of a worker"},
	{GRAPH_ENGINE_VLLM, ABOVE_ONE, "decode-context-parallel-size",
		"divides the KV cache among the cards of a worker"},
	{GRAPH_ENGINE_VLLM, ON, "num-redundant-experts", "keeps copies of experts"},
	{GRAPH_ENGINE_VLLM, TEXT, "eplb-config", "may keep copies of experts"},
	{GRAPH_ENGINE_VLLM, ON, "disable-hybrid-kv-cache-manager", "makes layers with a window keep all their KV"},
	{GRAPH_ENGINE_VLLM, OVERRIDES, "hf-overrides", "changes the model's configuration"},
	{GRAPH_ENGINE_VLLM, TEXT, "hf-config-path", "takes another configuration of the model"},
	{GRAPH_ENGINE_VLLM, TEXT, "config", CONFIG_FILE},
	{GRAPH_ENGINE_SGLANG, ON, "offload-group-size", OFFLOAD},
	{GRAPH_ENGINE_SGLANG, ABOVE_ONE, "attn-dp-size",
		"divides attention by requests and not by heads, so that each card holds all of it"},
	{GRAPH_ENGINE_SGLANG, ABOVE_ONE, "pp-size", "divides the layers"},
	{GRAPH_ENGINE_SGLANG, ALWAYS, "moe-dense-tp-size", "divides dense layers another way"},
	{GRAPH_ENGINE_SGLANG, ON, "ep-num-redundant-experts", "keeps copies of experts"},
	{GRAPH_ENGINE_SGLANG, OVERRIDES, "json-model-override-args", "changes the model's configuration"},
	{GRAPH_ENGINE_SGLANG, ON, "disable-hybrid-swa-memory", "makes layers with a window keep all their KV"},
	{GRAPH_ENGINE_SGLANG, ON, "enable-multimodal", "loads what reads images, too"},
	{GRAPH_ENGINE_SGLANG, TEXT, "config", CONFIG_FILE},
	{GRAPH_ENGINE_LLAMA, TEXT, "rpc", "uses the memory of other hosts"},
	{GRAPH_ENGINE_LLAMA, TEXT, "override-kv", "changes the model's configuration"},
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
