/* config_json.c - a model's config.json, as transformers writes it: the families name the same sizes differently. */
#include "model/shape.h"

#include "base/compiler.h"
#include "base/utf8.h"
#include "config/json_parse.h"
#include <stdio.h>
#include <string.h>

/* The first of the names that is there and no null; text models sit inside multimodal ones. */
static const json_t *get(const json_t *c, const char *const *names)
{
	for (; *names; names++) {
		const json_t *v = json_object_get(c, *names);
		if (v && !json_is_null(v))
			return v;
	}
	return NULL;
}

#define NAMES(...)                                                                                                     \
	(const char *const[])                                                                                          \
	{                                                                                                              \
		__VA_ARGS__, NULL                                                                                      \
	}

/* Where a number is wrong it is remembered, and told once at the end. */
struct config {
	const json_t *c;
	const char *wrong;
};

static uint32_t number(struct config *c, const char *const *names, uint32_t missing)
{
	const json_t *v = get(c->c, names);

	if (!v)
		return missing;
	json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
	if (n < 0 || n > UINT32_MAX) {
		if (!c->wrong)
			c->wrong = names[0];
		return 0;
	}
	return (uint32_t)n;
}

static const char *text(const json_t *c, const char *const *names, const char *missing)
{
	const json_t *v = get(c, names);
	return json_is_string(v) ? json_string_value(v) : missing;
}

static bool flag(const json_t *c, const char *const *names, bool missing)
{
	const json_t *v = get(c, names);
	return json_is_boolean(v) ? json_is_true(v) : missing;
}

/* What a family does unless config.json says otherwise: transformers leaves out what equals its default. */
static const struct family {
	const char *name;
	uint32_t bias, qk_norm, norms;
	uint32_t sliding_period; /* of so many layers one keeps all; 0: none slides, 1: all */
	uint32_t head_dim;
	bool tied, plain_mlp, norm_bias;
} families[] = {
	{"qwen2", SHAPE_BIAS_QKV, 0, 0, 0, 0, false, false, false},
	{"qwen2_moe", SHAPE_BIAS_QKV, 0, 0, 0, 0, false, false, false},
	{"qwen3", 0, SHAPE_QK_HEAD, 0, 0, 128, false, false, false},
	{"qwen3_moe", 0, SHAPE_QK_HEAD, 0, 0, 0, false, false, false},
	{"gemma", 0, 0, 0, 0, 256, true, false, false},
	{"gemma2", 0, 0, 4, 2, 256, true, false, false},
	{"gemma3", 0, SHAPE_QK_HEAD, 4, 6, 256, true, false, false},
	{"gemma3_text", 0, SHAPE_QK_HEAD, 4, 6, 256, true, false, false},
	{"cohere", 0, 0, 1, 0, 0, true, false, false},
	{"cohere2", 0, 0, 1, 4, 0, true, false, false},
	{"phi", SHAPE_BIAS_ALL, 0, 1, 0, 0, false, true, true},
	{"chatglm", SHAPE_BIAS_QKV, 0, 0, 0, 0, false, false, false},
	{"gpt_oss", SHAPE_BIAS_ALL, 0, 0, 2, 64, false, false, false},
	{"mistral", 0, 0, 0, 1, 0, false, false, false},
	{"minimax_m2", 0, SHAPE_QK_FULL, 0, 0, 0, false, false, false},
	{"llama", 0, 0, 0, 0, 0, false, false, false},
	{"mixtral", 0, 0, 0, 0, 0, false, false, false},
	{"phi3", 0, 0, 0, 0, 0, false, false, false},
	{"granite", 0, 0, 0, 0, 0, true, false, false},
	{"internlm2", 0, 0, 0, 0, 0, false, false, false},
	{"deepseek_v2", 0, 0, 0, 0, 0, false, false, false},
	{"deepseek_v3", 0, 0, 0, 0, 0, false, false, false},
	{"kimi_k2", 0, 0, 0, 0, 0, false, false, false},
	{"olmo2", 0, SHAPE_QK_FULL, 0, 0, 0, false, false, false},
	{"olmo3", 0, SHAPE_QK_FULL, 0, 4, 0, false, false, false},
	{"exaone4", 0, SHAPE_QK_HEAD, 0, 0, 0, false, false, false},
	{"smollm3", 0, 0, 0, 0, 0, true, false, false},
	{"seed_oss", SHAPE_BIAS_QKV, 0, 0, 0, 128, false, false, false},
	{"ministral3", 0, 0, 0, 0, 0, false, false, false},
	{"glm4_moe", 0, 0, 0, 0, 0, false, false, false},
	{"glm4_moe_lite", 0, 0, 0, 0, 0, false, false, false},
	{"qwen2_5_vl", SHAPE_BIAS_QKV, 0, 0, 0, 0, false, false, false},
	{"qwen2_5_vl_text", SHAPE_BIAS_QKV, 0, 0, 0, 0, false, false, false},
	{"qwen3_vl_text", 0, SHAPE_QK_HEAD, 0, 0, 128, false, false, false},
	{"qwen3_vl_moe_text", 0, SHAPE_QK_HEAD, 0, 0, 128, false, false, false},
	{"gpt2", SHAPE_BIAS_ALL, 0, 0, 0, 0, true, true, true},
};

static const struct family *family_of(const char *type)
{
	static const struct family other = {.name = NULL};

	for (uint32_t i = 0; i < ARRAY_LEN(families); i++)
		if (!strcmp(families[i].name, type))
			return &families[i];
	return &other;
}

static void read_attention(struct config *c, const struct family *f, struct model_shape *s)
{
	s->layers = number(c, NAMES("num_hidden_layers", "n_layer", "num_layers", "n_layers"), 0);
	s->hidden = number(c, NAMES("hidden_size", "n_embd", "d_model"), 0);
	s->heads = number(c, NAMES("num_attention_heads", "n_head", "n_heads"), 0);
	s->kv = number(c, NAMES("num_key_value_heads", "multi_query_group_num", "num_kv_heads", "n_head_kv"), s->heads);
	uint32_t usual = f->head_dim ? f->head_dim : s->heads ? s->hidden / s->heads : 0;
	s->head_dim = number(c, NAMES("head_dim", "kv_channels", "attention_head_dim"), usual);
	s->vocab = number(c, NAMES("padded_vocab_size", "vocab_size"), 0);
	s->context = number(c, NAMES("max_position_embeddings", "seq_length", "n_positions", "max_sequence_length"), 0);
	s->mla_rank = number(c, NAMES("kv_lora_rank"), 0);
	if (s->mla_rank) {
		s->mla_rope = number(c, NAMES("qk_rope_head_dim"), 0);
		s->mla_q = number(c, NAMES("q_lora_rank"), 0);
		s->mla_nope = number(c, NAMES("qk_nope_head_dim"), 0);
		s->mla_v = number(c, NAMES("v_head_dim"), 0);
	}
	s->bias = f->bias;
	if (flag(c->c, NAMES("attention_bias", "qkv_bias", "add_qkv_bias"), false) && !s->bias)
		s->bias = SHAPE_BIAS_QKV;
	s->qk_norm = f->qk_norm;
	if (flag(c->c, NAMES("use_qk_norm"), false) && !s->qk_norm)
		s->qk_norm = SHAPE_QK_FULL;
}

static void read_feed_forward(struct config *c, struct model_shape *s)
{
	uint32_t shared = number(c, NAMES("n_shared_experts", "num_shared_experts"), 0);

	s->inter = number(
		c, NAMES("intermediate_size", "ffn_hidden_size", "n_inner"), s->hidden <= 1 << 20 ? 4 * s->hidden : 0);
	s->experts = number(c, NAMES("num_local_experts", "num_experts", "n_routed_experts"), 0);
	if (!s->experts)
		return;
	s->used = number(c, NAMES("num_experts_per_tok", "experts_per_token", "num_experts_per_token"), 1);
	s->expert_inter = number(c, NAMES("moe_intermediate_size"), s->inter);
	s->shared_inter = number(c, NAMES("shared_expert_intermediate_size", "shared_intermediate_size"), 0);
	if (!s->shared_inter && shared <= 64 && s->expert_inter <= 1 << 20)
		s->shared_inter = shared * s->expert_inter;
	s->dense_layers = number(c, NAMES("first_k_dense_replace"), 0);
}

/* A list of every layer's kind, a period, or what the family does. */
static void read_window(struct config *c, const struct family *f, struct model_shape *s)
{
	const json_t *types = json_object_get(c->c, "layer_types");
	uint32_t window = number(c, NAMES("sliding_window"), 0);
	uint32_t period = number(c, NAMES("sliding_window_pattern"), f->sliding_period);

	if (!window || !flag(c->c, NAMES("use_sliding_window"), true))
		return;
	for (size_t i = 0; i < json_array_size(types) && i < MODEL_LAYERS_MAX; i++) {
		const char *type = json_string_value(json_array_get(types, i));
		s->window_layers += type && !strcmp(type, "sliding_attention");
	}
	if (!json_array_size(types))
		s->window_layers = period == 1 ? s->layers : period ? s->layers - s->layers / period : 0;
	s->window = s->window_layers ? window : 0;
}

/* Layers of hybrids whose state does not grow; they have no KV cache. */
static uint32_t linear_layers(const json_t *c)
{
	const json_t *types = json_object_get(c, "layer_types");
	uint32_t n = 0;

	for (size_t i = 0; i < json_array_size(types) && i < MODEL_LAYERS_MAX; i++) {
		const char *type = json_string_value(json_array_get(types, i));
		n += type && (!strcmp(type, "linear_attention") || !strcmp(type, "mamba") || !strcmp(type, "conv") ||
				     !strcmp(type, "recurrent"));
	}
	return n;
}

static void copy(char *ret, size_t cap, const char *from)
{
	utf8_plain_copy(ret, cap, from, strlen(from));
}

/* compressed-tensors and ModelOpt say bits and type of their groups; the first group stands for all. */
static const char *group_quant(const json_t *q, struct model_facts *f)
{
	const char *algo = text(q, NAMES("quant_algo"), "");
	const json_t *groups = json_object_get(q, "config_groups");
	const json_t *first = json_object_iter_value(json_object_iter((json_t *)groups));
	const json_t *weights = json_object_get(first, "weights");
	struct config wc = {.c = weights};
	uint32_t bits = number(&wc, NAMES("num_bits"), 0), group = number(&wc, NAMES("group_size"), 0);
	bool real = !strcmp(text(weights, NAMES("type"), "int"), "float");

	f->quant_group = group && group <= 65536 ? group : f->quant_group;
	if (strstr(algo, "NVFP4") || (real && bits == 4))
		return "nvfp4";
	if (strstr(algo, "FP8") || (real && bits == 8))
		return "fp8";
	return bits == 4 ? "gptq" : bits == 8 ? "int8" : NULL;
}

/* transformers' words of a quantization to the ones of facts.h. */
static void read_quant(const json_t *c, struct model_facts *f)
{
	const json_t *inner = get(c, NAMES("text_config", "llm_config", "language_config"));
	const json_t *q = json_object_get(c, "quantization_config");

	if (!json_is_object(q)) /* Kimi-K2.5 has it beside the sizes it is about */
		q = json_object_get(inner, "quantization_config");
	const char *method = text(q, NAMES("quant_method"), "none");
	struct config qc = {.c = q};
	uint32_t bits = number(&qc, NAMES("bits", "w_bit", "num_bits"), 0);

	copy(f->quant, sizeof f->quant, method);
	if (!strcmp(method, "compressed-tensors") || !strncmp(method, "modelopt", 8))
		copy(f->quant_format, sizeof f->quant_format, method);
	f->quant_group = number(&qc, NAMES("group_size", "q_group_size"), 0);
	if (f->quant_group > 65536)
		f->quant_group = 0;
	const json_t *block = json_array_get(json_object_get(q, "weight_block_size"), 0);
	if (json_is_integer(block) && json_integer_value(block) > 0 && json_integer_value(block) <= 65536)
		f->quant_block = (uint32_t)json_integer_value(block);
	if ((!strcmp(method, "gptq") || !strcmp(method, "awq")) && bits == 8)
		copy(f->quant, sizeof f->quant, "int8");
	else if (!strcmp(method, "fbgemm_fp8"))
		copy(f->quant, sizeof f->quant, "fp8");
	else if ((!strcmp(method, "compressed-tensors") || !strcmp(method, "modelopt")) && group_quant(q, f))
		copy(f->quant, sizeof f->quant, group_quant(q, f));
}

static int read_tree(struct model_facts *f, const json_t *root, const char *file, struct err *err)
{
	const json_t *inner = get(root, NAMES("text_config", "llm_config", "language_config"));
	struct config c = {.c = json_is_object(inner) ? inner : root};
	const char *type = text(c.c, NAMES("model_type"), text(root, NAMES("model_type"), "unknown"));
	const struct family *family = family_of(type);
	struct model_shape s = {.norms = family->norms, .plain_mlp = family->plain_mlp, .norm_bias = family->norm_bias};
	char why[128];

	read_attention(&c, family, &s);
	read_feed_forward(&c, &s);
	read_window(&c, family, &s);
	s.tied = flag(c.c, NAMES("tie_word_embeddings"), flag(root, NAMES("tie_word_embeddings"), family->tied));
	if (c.wrong)
		return err_set(err, -EINVAL, "%s: \"%s\" must be a whole number from 0 to 4294967295", file, c.wrong);
	if (*model_shape_wrong(&s, why, sizeof why))
		return err_set(err, -ENOTSUP, "%s: %s", file, why);
	if (!family->name) { /* hybrids and new families have parts that nothing here counts */
		char name[64];
		utf8_plain_copy(name, sizeof name, type, strlen(type));
		snprintf(f->unsure, sizeof f->unsure, "the family \"%s\" is not known here, and counted as Llama's",
			name);
		snprintf(f->source, sizeof f->source, "; this family is not known, and counted as Llama's");
	}
	copy(f->architecture, sizeof f->architecture, type);
	const json_t *classes = get(root, NAMES("architectures"));
	const char *called = json_string_value(json_array_get(classes ? classes : get(c.c, NAMES("architectures")), 0));
	copy(f->class_name, sizeof f->class_name, called ? called : "");
	copy(f->dtype, sizeof f->dtype,
		text(c.c, NAMES("dtype", "torch_dtype"), text(root, NAMES("dtype", "torch_dtype"), "bfloat16")));
	read_quant(root, f);
	model_shape_facts(&s, f);
	f->kv_layers -= MIN(linear_layers(c.c), f->kv_layers);
	return 0;
}

int model_facts_from_config_json(
	struct model_facts *ret, const char *file, const char *json, size_t len, struct err *err)
{
	struct model_facts f = {.from = MODEL_FROM_HF};
	json_error_t why;
	json_t *root = json_parse(json, len, 0, &why);

	if (!root)
		return err_set(err, json_is_no_memory(&why) ? -ENOMEM : -EINVAL, "%s:%d:%d: %s", file, why.line,
			why.column, why.text);
	int code = json_is_object(root) ? read_tree(&f, root, file, err)
					: err_set(err, -EINVAL, "%s: an object is wanted", file);
	json_decref(root);
	if (code < 0)
		return code;
	model_facts_fill_bytes(&f);
	if (!f.weight_bytes) { /* a quantization that is not known: what it would be without */
		f.weight_bytes = model_weight_bytes(&f, model_quant_known(f.dtype) ? f.dtype : "float16");
		f.weight_bytes_input = model_embedding_bytes(&f, NULL);
	}
	char note[96];
	snprintf(note, sizeof note, "%.95s", f.source);
	snprintf(f.source, sizeof f.source, "computed from the shapes of %.120s%s", file, note);
	*ret = f;
	return 0;
}
