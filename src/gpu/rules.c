#include "gpu/rules.h"

#include "base/compiler.h"
#include <string.h>
#include <strings.h>

#define VLLM "vLLM's sources, 0.8 to 0.32"
#define SGL_RUNNER "SGLang, model_executor/model_runner.py: \"only supports sm75 and above\""
#define SGL "SGLang's documentation and threads"
#define LLAMA "llama.cpp 0.5's CUDA sources"

static void answer(struct rule_answer *ret, enum rule_verdict v, uint32_t least, const char *text, const char *instead,
	const char *source)
{
	*ret = (struct rule_answer){.verdict = v, .least = least, .text = text, .instead = instead, .source = source};
}

static bool is(const char *text, const char *word)
{
	return text && !strcasecmp(text, word);
}

static bool is_auto(const char *text)
{
	return !text || !*text || is(text, "auto");
}

/* --- number types --- */

/* Families whose activations overflow float16; vLLM refuses them in it. */
static bool refuses_float16(const char *architecture)
{
	static const char *const names[] = {"gemma2", "gemma3", "gemma3_text", "glm4"};

	for (uint32_t i = 0; architecture && i < ARRAY_LEN(names); i++)
		if (!strcasecmp(architecture, names[i]))
			return true;
	return false;
}

static void dtype_vllm(struct rule_answer *ret, uint32_t capability, const char *dtype, bool wanted, const char *arch)
{
	bool half = is(dtype, "float16") || is(dtype, "half");

	if (half && refuses_float16(arch))
		answer(ret, RULE_NO, 80,
			"this family overflows float16, and vLLM refuses it: float32 is left below capability 8.0, at "
			"twice the "
			"memory",
			capability >= 80 ? "bfloat16" : "float32", VLLM);
	else if (half || is(dtype, "float32") || is(dtype, "float"))
		answer(ret, RULE_YES, 0, "runs on every card", NULL, VLLM);
	else if (!is(dtype, "bfloat16") && !is_auto(dtype))
		answer(ret, RULE_UNKNOWN, 0, "no dtype that vLLM knows", "float16", VLLM);
	else if (capability >= 80)
		answer(ret, RULE_YES, 80, "bfloat16 runs from capability 8.0 (Ampere)", NULL, VLLM);
	else if (refuses_float16(arch))
		answer(ret, RULE_NO, 80,
			"bfloat16 needs capability 8.0 (Ampere), and this family refuses float16: float32 is left, at "
			"twice the "
			"memory",
			"float32", VLLM);
	else if (wanted && is(dtype, "bfloat16"))
		answer(ret, RULE_NO, 80,
			"bfloat16 needs capability 8.0 (Ampere): the engine stops with a ValueError; float16 has the "
			"same size",
			"float16", VLLM);
	else
		answer(ret, RULE_INSTEAD, 80,
			"the model's bfloat16 needs capability 8.0 (Ampere): dtype auto falls back to float16 since "
			"vLLM 0.9, older "
			"ones stop",
			"float16", VLLM);
}

void rule_dtype(struct rule_answer *ret, enum rule_engine e, uint32_t capability, const char *dtype, bool explicit_,
	const char *architecture)
{
	if (e == RULE_LLAMA)
		answer(ret, RULE_YES, 0, "llama.cpp computes in what the file and the card have", NULL, LLAMA);
	else
		dtype_vllm(ret, capability, dtype, explicit_, architecture);
	if (e == RULE_SGLANG)
		ret->source = SGL;
}

/* --- attention --- */

struct kernel {
	const char *name;
	uint32_t least, most; /* capabilities; most 0: no end */
	const char *text;
};

static const struct kernel kernels[] = {
	{"FLASH_ATTN", 80, 0, "FlashAttention-2 needs capability 8.0 (Ampere)"},
	{"FLASH_ATTN_2", 80, 0, "FlashAttention-2 needs capability 8.0 (Ampere)"},
	{"FLASH_ATTN_3", 90, 99, "FlashAttention-3 is for capability 9.0 (Hopper)"},
	{"FLASH_ATTN_4", 100, 0, "FlashAttention-4 needs capability 10.0 (Blackwell)"},
	{"FLASHINFER", 80, 0, "FlashInfer needs capability 8.0 since vLLM 0.24 (7.5 before)"},
	{"TRITON_ATTN", 70, 0, "Triton's attention needs capability 7.0"},
	{"FLEX_ATTENTION", 70, 0, "FlexAttention needs capability 7.0"},
	{"XFORMERS", 60, 0, "xFormers was the fallback of vLLM's V0 engine, removed in 0.11"},
	{"TORCH_SDPA", 0, 0, "torch's own attention runs everywhere"},
};

static void attention_auto(struct rule_answer *ret, uint32_t capability)
{
	if (capability >= 90)
		answer(ret, RULE_YES, 80, "FlashAttention is used", "FLASH_ATTN", VLLM);
	else if (capability >= 80)
		answer(ret, RULE_YES, 80, "FlashAttention-2 is used", "FLASH_ATTN", VLLM);
	else if (capability >= 70)
		answer(ret, RULE_INSTEAD, 80,
			"FlashAttention-2 needs capability 8.0 (Ampere); Triton's attention is used instead (xFormers "
			"before vLLM "
			"0.10): slower, and harmless",
			"TRITON_ATTN", VLLM);
	else
		answer(ret, RULE_NO, 70, "vLLM has no attention kernel below capability 7.0 (Volta)", NULL, VLLM);
}

static void attention_named(struct rule_answer *ret, uint32_t capability, const char *backend)
{
	for (uint32_t i = 0; i < ARRAY_LEN(kernels); i++) {
		const struct kernel *k = &kernels[i];
		if (strcasecmp(k->name, backend) != 0)
			continue;
		bool runs = capability >= k->least && (!k->most || capability <= k->most);
		answer(ret, runs ? RULE_YES : RULE_NO, k->least, k->text,
			runs               ? NULL
			: capability >= 80 ? "FLASH_ATTN"
					   : "TRITON_ATTN",
			VLLM);
		return;
	}
	answer(ret, RULE_UNKNOWN, 0, "no attention back end that vLLM knows", NULL, VLLM);
}

void rule_attention(struct rule_answer *ret, enum rule_engine e, uint32_t capability, const char *backend)
{
	if (e == RULE_LLAMA) {
		answer(ret, RULE_YES, 0, "llama.cpp has its own flash attention for every card from Pascal on", NULL,
			LLAMA);
	} else if (e == RULE_SGLANG && capability < 80 &&
		   (is_auto(backend) || is(backend, "flashinfer") || is(backend, "fa3"))) {
		answer(ret, is_auto(backend) ? RULE_INSTEAD : RULE_NO, 80,
			"SGLang's default attention needs capability 8.0 (Ampere): name the Triton back end", "triton",
			SGL);
	} else if (e == RULE_SGLANG) {
		answer(ret, RULE_YES, 0, "runs", NULL, SGL);
	} else if (is_auto(backend)) {
		attention_auto(ret, capability);
	} else {
		attention_named(ret, capability, backend);
	}
}

/* --- quantization --- */

struct method {
	const char *name;
	uint32_t least; /* runs */
	uint32_t full; /* runs as meant; between the two it is emulated */
	const char *text; /* when it runs as meant */
	const char *emulated, *refused;
	const char *instead;
};

static const struct method methods[] = {
	{"awq", 75, 75, "AWQ runs from capability 7.5 (Turing)", NULL, "AWQ needs capability 7.5 (Turing)", "gptq"},
	{"awq_marlin", 75, 75, "Marlin kernels run from capability 7.5 since vLLM 0.13, from 8.0 before", NULL,
		"Marlin kernels need capability 7.5 (Turing)", "gptq"},
	{"gptq", 60, 60, "GPTQ runs from capability 6.0; its fast Marlin kernels from 7.5", NULL,
		"GPTQ needs capability 6.0 (Pascal)", NULL},
	{"gptq_marlin", 75, 75, "Marlin kernels run from capability 7.5 since vLLM 0.13, from 8.0 before", NULL,
		"Marlin kernels need capability 7.5 (Turing)", "gptq"},
	{"fp8", 75, 89, "FP8 weights and activations run from capability 8.9 (Ada)",
		"below capability 8.9 (Ada) FP8 weights are unpacked by Marlin kernels and computed in 16 bits: the "
		"memory is "
		"saved, not the time; 7.5 since vLLM 0.13, 8.0 before",
		"FP8 needs capability 7.5 for its weights and 8.9 for its arithmetic", "gptq"},
	{"int8", 75, 75, "INT8 weights and activations run from capability 7.5 (Turing)", NULL,
		"INT8 needs capability 7.5 (Turing)", "gptq"},
	{"w8a8", 75, 75, "INT8 weights and activations run from capability 7.5 (Turing)", NULL,
		"INT8 needs capability 7.5 (Turing)", "gptq"},
	{"compressed-tensors", 75, 75, "compressed-tensors runs from capability 7.5 for 4 bit and INT8 weights", NULL,
		"compressed-tensors' kernels need capability 7.5 (Turing)", "gptq"},
	{"mxfp4", 80, 100, "MXFP4 has its own arithmetic from capability 10.0 (Blackwell)",
		"below capability 10.0 (Blackwell) MXFP4 weights are unpacked and computed in 16 bits: the memory is "
		"saved, not "
		"the time",
		"MXFP4 needs capability 8.0 (Ampere)", "a GGUF of the model on llama.cpp"},
	{"nvfp4", 75, 100, "NVFP4 has its own arithmetic from capability 10.0 (Blackwell)",
		"below capability 10.0 (Blackwell) NVFP4 weights are unpacked by Marlin kernels and computed in 16 "
		"bits",
		"NVFP4 needs capability 7.5 (Turing)", "awq"},
	{"modelopt", 80, 89, "ModelOpt FP8 runs from capability 8.9 (Ada)",
		"below capability 8.9 (Ada) ModelOpt FP8 weights are computed in 16 bits",
		"ModelOpt needs capability 8.0 (Ampere)", "awq"},
	{"bitsandbytes", 70, 70, "bitsandbytes runs from capability 7.0; newer vLLM needs the vllm-bnb-plugin", NULL,
		"bitsandbytes needs capability 7.0 (Volta)", "gptq"},
	{"gguf", 70, 70, "GGUF runs in vLLM from capability 7.0; newer vLLM needs the vllm-gguf-plugin", NULL,
		"GGUF in vLLM needs capability 7.0 (Volta)", "llama.cpp"},
};

void rule_quantization(struct rule_answer *ret, enum rule_engine e, uint32_t capability, const char *quantization)
{
	if (!quantization || !*quantization || is(quantization, "none") || is(quantization, "auto")) {
		answer(ret, RULE_YES, 0, "not quantized", NULL, VLLM);
		return;
	}
	if (e == RULE_LLAMA) {
		answer(ret, RULE_YES, 0, "llama.cpp unpacks every GGUF type on every card", NULL, LLAMA);
		return;
	}
	for (uint32_t i = 0; i < ARRAY_LEN(methods); i++) {
		const struct method *m = &methods[i];
		if (!is(quantization, m->name))
			continue;
		if (capability >= m->full)
			answer(ret, RULE_YES, m->full, m->text, NULL, VLLM);
		else if (capability >= m->least)
			answer(ret, RULE_INSTEAD, m->full, m->emulated, "computed in float16", VLLM);
		else
			answer(ret, RULE_NO, m->least, m->refused, m->instead, VLLM);
		return;
	}
	answer(ret, RULE_UNKNOWN, 0, "no quantization that vLLM knows", NULL, VLLM);
}

/* --- KV cache types --- */

static void kv_llama(struct rule_answer *ret, const char *type)
{
	static const char *const names[] = {"f16", "f32", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"};

	for (uint32_t i = 0; i < ARRAY_LEN(names); i++)
		if (is(type, names[i])) {
			answer(ret, RULE_YES, 0, "runs; quantized values need flash attention", NULL, LLAMA);
			return;
		}
	answer(ret, RULE_UNKNOWN, 0, "no KV type of llama.cpp", "q8_0", LLAMA);
}

void rule_kv_dtype(struct rule_answer *ret, enum rule_engine e, uint32_t capability, const char *type)
{
	if (is_auto(type))
		answer(ret, RULE_YES, 0, "as the model", NULL, VLLM);
	else if (e == RULE_LLAMA)
		kv_llama(ret, type);
	else if (strncasecmp(type, "fp8", 3) != 0)
		answer(ret, is(type, "float16") || is(type, "bfloat16") ? RULE_YES : RULE_UNKNOWN, 0, "16 bits", NULL,
			VLLM);
	else if (capability >= 89)
		answer(ret, RULE_YES, 89, "an FP8 KV cache runs from capability 8.9 (Ada)", NULL, VLLM);
	else if (capability >= 80)
		answer(ret, RULE_INSTEAD, 89,
			"below capability 8.9 (Ada) an FP8 KV cache works with some attention back ends only, and is "
			"unpacked to 16 bits",
			"auto", VLLM);
	else
		answer(ret, RULE_NO, 89, "Triton's attention has no FP8 KV cache below capability 8.9 (Ada)", "auto",
			VLLM);
}

void rule_engine_runs(struct rule_answer *ret, enum rule_engine e, uint32_t capability)
{
	if (e == RULE_LLAMA && capability >= 50)
		answer(ret, RULE_YES, 50, "llama.cpp runs from capability 5.0; CUDA 13 builds from 7.5", NULL, LLAMA);
	else if (e == RULE_LLAMA)
		answer(ret, RULE_NO, 50, "llama.cpp's CUDA needs capability 5.0 (Maxwell)", "the CPU", LLAMA);
	else if (capability >= 80)
		answer(ret, RULE_YES, 75, "runs", NULL, VLLM);
	else if (capability >= 75)
		answer(ret, RULE_YES, 75, "runs: Turing is the oldest generation that today's wheels are built for",
			NULL, VLLM);
	else if (e == RULE_SGLANG)
		answer(ret, RULE_NO, 75, "SGLang refuses cards below capability 7.5 (Turing) when it loads a model",
			"vLLM up to 0.14, or llama.cpp", SGL_RUNNER);
	else if (capability >= 70)
		answer(ret, RULE_INSTEAD, 75,
			"Volta was dropped with CUDA 13, the default build now: an older vLLM with CUDA 12 runs",
			"vLLM up to 0.14", VLLM);
	else
		answer(ret, RULE_NO, 70, "vLLM needs capability 7.0 (Volta)", "llama.cpp", VLLM);
}
