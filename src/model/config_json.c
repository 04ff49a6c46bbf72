/* config_json.c - a model's config.json, as transformers writes it: the families name the same sizes differently. */
#include "model/config_priv.h"

#include "base/compiler.h"
#include "base/utf8.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const json_t *config_get(const json_t *c, const char *const *names)
{
	for (; *names; names++) {
		const json_t *v = json_object_get(c, *names);
		if (v && !json_is_null(v))
			return v;
	}
	return NULL;
}

uint32_t config_number(struct config *c, const char *const *names, uint32_t missing)
{
	const json_t *v = config_get(c->c, names);

	if (json_array_size(v)) {
		for (size_t i = 1; i < json_array_size(v); i++)
			if (!json_equal(json_array_get(v, i), json_array_get(v, 0)))
				c->uneven = names[0];
		v = json_array_get(v, 0);
	}
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

const char *config_text(const json_t *c, const char *const *names, const char *missing)
{
	const json_t *v = config_get(c, names);
	return json_is_string(v) ? json_string_value(v) : missing;
}

bool config_flag(const json_t *c, const char *const *names, bool missing)
{
	const json_t *v = config_get(c, names);
	return json_is_boolean(v) ? json_is_true(v) : missing;
}

const json_t *config_language(const json_t *root)
{
	const json_t *thinker = json_object_get(root, "thinker_config"); /* of Qwen's Omni, which speaks with others */
	const json_t *inner = config_get(
		json_is_object(thinker) ? thinker : root, NAMES("text_config", "llm_config", "language_config"));

	return json_is_object(inner) ? inner : root;
}

/* Keys that come from the configuration classes of one family alone. */
static void own_defaults(struct config *c, const struct family *f, struct model_shape *s)
{
	const char *name = f->name ? f->name : "";

	if (!strncmp(name, "llama4", 6)) { /* dense layers have a width of their own, experts the usual key */
		s->expert_inter = s->shared_inter = s->inter;
		s->inter = config_number(c, NAMES("intermediate_size_mlp"), s->inter);
	}
	if (!strcmp(name, "gpt_neox"))
		s->tied = config_flag(c->c, NAMES("tie_word_embeddings"), false);
	if (!strncmp(name, "granitemoe", 10) && s->experts == 0) { /* its only feed-forward is the shared one */
		s->inter = config_number(c, NAMES("shared_intermediate_size"), s->inter);
		s->shared_inter = 0;
	}
	if (!strncmp(name, "lfm2", 4) && config_flag(c->c, NAMES("block_auto_adjust_ff_dim"), !s->experts)) {
		double mult = config_get(c->c, NAMES("block_ffn_dim_multiplier"))
				      ? json_number_value(config_get(c->c, NAMES("block_ffn_dim_multiplier")))
				      : 1;
		uint32_t multiple = config_number(c, NAMES("block_multiple_of"), 256);
		double inter = mult * (double)((uint64_t)s->inter * 2 / 3);
		if (multiple && inter > 0 && inter < 1 << 20)
			s->inter = ((uint32_t)inter + multiple - 1) / multiple * multiple;
	}
}

static void read_attention(struct config *c, const struct family *f, struct model_shape *s)
{
	s->layers = config_number(c, NAMES("num_hidden_layers", "n_layer", "num_layers", "n_layers"), 0);
	if (!s->layers)
		s->layers = (uint32_t)json_array_size(json_object_get(c->c, "layers_block_type"));
	s->hidden = config_number(c, NAMES("hidden_size", "n_embd", "d_model"), 0);
	s->heads = config_number(c, NAMES("num_attention_heads", "n_head", "n_heads"), 0);
	s->kv = config_number(c,
		NAMES("num_key_value_heads", "multi_query_group_num", "num_kv_heads", "n_head_kv",
			"num_attention_groups"),
		s->heads);
	uint32_t usual = f->head_dim ? f->head_dim : s->heads ? s->hidden / s->heads : 0;
	s->head_dim = config_number(c, NAMES("head_dim", "kv_channels", "attention_head_dim"), usual);
	s->vocab = config_number(c, NAMES("padded_vocab_size", "vocab_size"), 0);
	s->context = config_number(
		c, NAMES("max_position_embeddings", "seq_length", "n_positions", "max_sequence_length"), 0);
	s->mla_rank = config_number(c, NAMES("kv_lora_rank"), 0);
	if (s->mla_rank) {
		s->mla_rope = config_number(c, NAMES("qk_rope_head_dim"), 0);
		s->mla_q = config_number(c, NAMES("q_lora_rank"), 0);
		s->mla_nope = config_number(c, NAMES("qk_nope_head_dim"), 0);
		s->mla_v = config_number(c, NAMES("v_head_dim"), 0);
		s->indexer =
			config_get(c->c, NAMES("index_n_heads")) ? config_number(c, NAMES("index_head_dim"), 128) : 0;
	} else {
		s->v_dim = config_number(c, NAMES("v_head_dim"), 0);
		s->v_dim = s->v_dim == s->head_dim ? 0 : s->v_dim;
	}
	s->bias = f->bias;
	if (config_flag(c->c, NAMES("attention_bias", "qkv_bias", "add_qkv_bias", "use_qkv_bias"), false) && !s->bias)
		s->bias = SHAPE_BIAS_QKV;
	s->qk_norm = f->qk_norm;
	if (config_flag(c->c, NAMES("use_qk_norm"), false) && !s->qk_norm &&
		strncmp(f->name ? f->name : "", "llama4", 6) != 0)
		s->qk_norm = SHAPE_QK_FULL;
}

/* Layers with a window, or those without, may have heads of their own: the shape's are those with one. */
static void read_other_heads(struct config *c, struct model_shape *s)
{
	uint32_t own = config_number(c, NAMES("swa_num_key_value_heads"), 0);
	uint32_t global = config_number(c, NAMES("num_global_key_value_heads"), 0),
		 dim = config_number(c, NAMES("global_head_dim"), 0);

	if (own && own != s->kv) {
		s->global_kv = s->kv;
		s->global_head_dim = s->head_dim;
		s->kv = own;
		s->head_dim = config_number(c, NAMES("swa_head_dim"), s->head_dim);
	} else if ((global && global != s->kv) || (dim && dim != s->head_dim)) {
		s->global_kv = global ? global : s->kv;
		s->global_head_dim = dim ? dim : s->head_dim;
	}
}

static void read_feed_forward(struct config *c, struct model_shape *s)
{
	uint32_t shared = config_number(
		c, NAMES("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"), 0);

	s->inter = config_number(c,
		NAMES("dense_intermediate_size", "intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim"),
		s->hidden <= 1 << 20 ? 4 * s->hidden : 0);
	s->experts =
		config_number(c, NAMES("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), 0);
	if (s->experts <= 1)
		s->experts = 0;
	if (!s->experts)
		return;
	s->used = config_number(c,
		NAMES("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_topk", "moe_k",
			"moe_top_k", "top_k_experts"),
		1);
	s->expert_inter = config_number(c, NAMES("moe_intermediate_size", "expert_ffn_hidden_size"),
		config_number(c, NAMES("intermediate_size"), s->inter));
	s->shared_inter = config_number(
		c, NAMES("shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dim"), 0);
	uint32_t each = config_number(c, NAMES("moe_shared_expert_intermediate_size"), s->expert_inter);
	if (!s->shared_inter && shared <= 64 && each <= 1 << 20)
		s->shared_inter = shared * each;
	if (config_flag(c->c, NAMES("enable_moe_block"), false)) /* Gemma 4: a dense feed-forward beside the experts */
		s->shared_inter = s->inter;
	s->expert_hidden = config_number(c, NAMES("moe_latent_size", "routed_expert_hidden_size"), 0);
}

static void copy(char *ret, size_t cap, const char *from)
{
	utf8_plain_copy(ret, cap, from, strlen(from));
}

/* Structures that only one family has and nothing here counts. */
static const char *uncounted(const struct config *c)
{
	static const struct {
		const char *key, *what;
	} parts[] = {
		{"altup_num_inputs", "parallel streams with an embedding a layer"},
		{"compress_ratios", "a compressed KV cache"},
		{"speech_lora", "LoRA adapters for sound and images"},
		{"cla_share_factor", ""},
		{"sparse_attention_config", "an index of sparse attention"},
		{"engram_layers", "tables of n-grams"},
		{"ngram_vocab_size_ratio", "tables of n-grams"},
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (config_get(c->c, (const char *const[]){parts[i].key, NULL}) && *parts[i].what)
			return parts[i].what;
	return config_flag(c->c, NAMES("use_cla"), false) ? "layers that use the KV cache of others" : NULL;
}

/* Matrices that the shape's own keys do not count, and what stays in 16 bits. */
static void settle_layers(struct model_shape *s, const struct layers *l, const struct walk *w)
{
	uint32_t narrow = 0;

	for (uint32_t i = 0; i < l->len; i++)
		narrow += l->at[i].inter && l->at[i].inter != s->inter;
	if (l->mixed || narrow)
		s->inter = 0;
	uint64_t counted = model_shape_linear(s);
	s->other_linear = w->linear > counted ? w->linear - counted : 0;
	s->unquantized = w->q && !w->q->experts_only ? w->plain : 0;
	s->state = w->state;
	s->state_layers = s->kv_layers && w->state_layers == s->layers - s->kv_layers ? 0 : w->state_layers;
	s->other += w->other;
}

static void small_parts(
	struct config *c, const json_t *root, const struct family *f, struct model_shape *s, const char **odd)
{
	uint64_t width = config_number(c, NAMES("hidden_size_per_layer_input"), 0);
	uint64_t words = config_number(c, NAMES("vocab_size_per_layer_input"), 0);

	s->other += width <= 1 << 20 && words <= 1 << 24 ? words * width * s->layers + 3 * width * s->hidden * s->layers
							 : 0;
	if (f->name && !strcmp(f->name, "opt")) /* learned positions, two of them for padding */
		s->other += (s->context + 2ull) * s->hidden;
	if (f->name && !strcmp(f->name, "mllama_text_model"))
		s->other += 8ull * s->hidden;
	if (s->shared_inter && !strncmp(config_text(c->c, NAMES("model_type"), ""), "qwen", 4))
		s->other += (uint64_t)s->layers * s->hidden; /* the gate of the shared expert */
	s->other += config_towers(root, s, odd);
}

/* A sentence about what is not known of the model; only the first is kept. */
static void doubt(struct model_facts *f, const char *what, const char *how)
{
	if (*f->unsure)
		return;
	snprintf(f->unsure, sizeof f->unsure, "%s %s", what, how);
	snprintf(f->source, sizeof f->source, "; %s %s", what, how);
}

static void unknown_family(struct model_facts *f, const char *type)
{
	char name[64];

	utf8_plain_copy(name, sizeof name, type, strlen(type));
	snprintf(f->unsure, sizeof f->unsure, "the family \"%s\" is not known here, and counted as Llama's", name);
	snprintf(f->source, sizeof f->source, "; this family is not known, and counted as Llama's");
}

/* Two attentions, two dense feed-forwards and one of experts make a layer of LongCat's. */
static void double_layers(const struct family *f, struct model_shape *s, struct layers *l)
{
	if (!f->name || strcmp(f->name, "longcat_flash") != 0 || s->layers * 2 > MODEL_LAYERS_MAX)
		return;
	s->layers = l->len = s->layers * 2;
	s->dense_layers = s->layers / 2;
	memset(l->at, 0, sizeof l->at);
	for (uint32_t i = 0; i < l->len; i++)
		l->at[i].ffn = i % 2 ? FFN_DENSE : FFN_BOTH;
}

struct reading {
	struct layers layers;
	struct quant quant;
	struct walk walk;
};

static int read_shape(struct model_facts *f, struct model_shape *s, const struct family *family, struct reading *r,
	struct config *c, const json_t *root, const json_t *beside, const char *file, struct err *err)
{
	const char *odd = NULL;
	char why[128];

	read_attention(c, family, s);
	read_other_heads(c, s);
	s->tied = config_flag(c->c, NAMES("tie_word_embeddings", "tie_embedding"),
		config_flag(root, NAMES("tie_word_embeddings", "tie_embedding"), family->tied));
	read_feed_forward(c, s);
	own_defaults(c, family, s);
	if (c->wrong)
		return err_set(err, -EINVAL, "%s: \"%s\" must be a whole number from 0 to 4294967295", file, c->wrong);
	if (s->layers > MODEL_LAYERS_MAX)
		return err_set(err, -ENOTSUP, "%s: a size is beyond any known model", file);
	config_layers(c, family, s, &r->layers);
	if (*model_shape_wrong(s, why, sizeof why))
		return err_set(err, -ENOTSUP, "%s: %s", file, why);
	double_layers(family, s, &r->layers);
	config_quant(&r->quant, root, beside, f);
	r->walk.q = r->quant.groups_len || r->quant.by_name ? &r->quant : NULL;
	config_walk(c, s, &r->layers, &r->walk);
	small_parts(c, root, family, s, &odd);
	settle_layers(s, &r->layers, &r->walk);
	if (c->wrong)
		return err_set(err, -EINVAL, "%s: \"%s\" must be a whole number from 0 to 4294967295", file, c->wrong);
	if (*model_shape_wrong(s, why, sizeof why))
		return err_set(err, -ENOTSUP, "%s: %s", file, why);
	if (!family->name)
		unknown_family(
			f, config_text(c->c, NAMES("model_type"), config_text(root, NAMES("model_type"), "unknown")));
	if (*r->layers.odd)
		doubt(f, r->layers.odd, "are not counted here");
	if (uncounted(c))
		doubt(f, uncounted(c), "is not counted here");
	if (c->uneven)
		doubt(f, c->uneven, "differs from layer to layer, and the first layer's is counted");
	if (odd)
		doubt(f, odd, "is not counted here");
	if (r->quant.odd)
		doubt(f, r->quant.odd, "is not known here: the weights are a guess");
	return 0;
}

/* Where sets of matrices have unlike bits, their sum is known and no name of a quantization says it. */
static void settle_bytes(struct model_facts *f, const struct reading *r)
{
	model_facts_fill_bytes(f);
	f->weight_mixed = r->quant.mixed && !r->quant.odd;
	if (f->weight_mixed)
		f->weight_bytes = (uint64_t)(r->walk.bits / 8) + (f->params - MIN(r->walk.linear, f->params)) * 2;
	if (f->weight_bytes)
		return;
	/* a quantization that is not known: what it would be without */
	f->weight_bytes = model_weight_bytes(f, model_quant_known(f->dtype) ? f->dtype : "float16");
	f->weight_bytes_input = model_embedding_bytes(f, NULL);
}

static int read_tree(struct model_facts *f, struct model_shape *ret_shape, const json_t *root, const json_t *beside,
	const char *file, struct err *err)
{
	struct config c = {.c = config_language(root)};
	const char *type = config_text(c.c, NAMES("model_type"), config_text(root, NAMES("model_type"), "unknown"));
	const struct family *family = config_family(type);
	struct model_shape s = {.norms = family->norms, .plain_mlp = family->plain_mlp, .norm_bias = family->norm_bias};
	struct reading *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	const json_t *classes = config_get(root, NAMES("architectures"));
	const char *called =
		json_string_value(json_array_get(classes ? classes : config_get(c.c, NAMES("architectures")), 0));
	copy(f->architecture, sizeof f->architecture, type);
	copy(f->class_name, sizeof f->class_name, called ? called : "");
	copy(f->dtype, sizeof f->dtype,
		config_text(c.c, NAMES("dtype", "torch_dtype"),
			config_text(root, NAMES("dtype", "torch_dtype"), "bfloat16")));
	int code = read_shape(f, &s, family, r, &c, root, beside, file, err);
	if (code == 0) {
		model_shape_facts(&s, f);
		settle_bytes(f, r);
		*ret_shape = s;
	}
	config_quant_done(&r->quant);
	free(r);
	return code;
}

DEFINE_CLEANUP(json_decref, json_t)

/* Python writes Infinity, -Infinity and NaN, which JSON has not (Nemotron-H's time_step_limit). Make them null, outside of texts. */
static void tame_python(char *text, size_t len)
{
	static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted && text[i] == '\\') {
			i++;
			continue;
		}
		quoted ^= text[i] == '"';
		for (size_t w = 0; !quoted && w < ARRAY_LEN(words); w++) {
			size_t n = strlen(words[w]);
			if (n <= len - i && !memcmp(text + i, words[w], n)) {
				memset(text + i, ' ', n);
				memcpy(text + i, n > 3 ? "null" : "0  ", n > 3 ? 4 : 3);
			}
		}
	}
}

static json_t *parse_python(const char *json, size_t len, json_error_t *why)
{
	json_t *root = json_parse(json, len, 0, why);

	if (root || json_is_no_memory(why))
		return root;
	char *copy = malloc(len + 1);
	json_error_t again;
	if (!copy)
		return NULL;
	memcpy(copy, json, len);
	copy[len] = '\0';
	tame_python(copy, len);
	root = json_parse(copy, len, 0, &again);
	free(copy);
	return root;
}

int model_shape_from_config_json(struct model_facts *ret, struct model_shape *ret_shape, const char *file,
	const char *json, size_t len, const char *beside, size_t beside_len, struct err *err)
{
	struct model_facts f = {.from = MODEL_FROM_HF};
	json_error_t why;
	CLEANUP(json_decref_p) json_t *root = parse_python(json, len, &why);
	CLEANUP(json_decref_p) json_t *quant = NULL;
	char note[96];

	if (!root)
		return err_set(err, json_is_no_memory(&why) ? -ENOMEM : -EINVAL, "%s:%d:%d: %s", file, why.line,
			why.column, why.text);
	if (!json_is_object(root))
		return err_set(err, -EINVAL, "%s: an object is wanted", file);
	if (beside) /* one that cannot be read is none */
		quant = parse_python(beside, beside_len, &why);
	int code = read_tree(&f, ret_shape, root, quant, file, err);
	if (code < 0)
		return code;
	snprintf(note, sizeof note, "%.95s", f.source);
	snprintf(f.source, sizeof f.source, "computed from the shapes of %.120s%s", file, note);
	*ret = f;
	return 0;
}

int model_facts_from_config_json(
	struct model_facts *ret, const char *file, const char *json, size_t len, struct err *err)
{
	struct model_shape s;

	return model_shape_from_config_json(ret, &s, file, json, len, NULL, 0, err);
}
