/* config_layers.c - which layer of a model is of which kind: attention, a window, a state, experts, nothing.
 *
 * Published files say it in a dozen ways: a list with a word or a number a layer, a string with a letter a layer, a period and an
 * offset, a list of layer numbers. The key decides and not the family, so that a new family with the same keys is read too.
 * Sources: the configuration classes of transformers 5.24 and of vLLM 0.33 (transformers_utils/configs). */
#include "model/config_priv.h"

#include "base/compiler.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void config_odd(struct layers *l, const char *what)
{
	if (!*l->odd)
		snprintf(l->odd, sizeof l->odd, "%s", what);
}

static bool word(const char *text, const char *what)
{
	return text && !strcmp(text, what);
}

/* ---- mixers ---- */

static const struct {
	const char *word;
	enum mixer mixer;
} words[] = {
	{"full_attention", MIXER_FULL},
	{"attention", MIXER_FULL},
	{"chunked_attention", MIXER_FULL}, /* counted whole */
	{"minimax_m3_sparse", MIXER_FULL},
	{"deepseek_sparse_attention", MIXER_FULL},
	{"sliding_attention", MIXER_SLIDING},
	{"linear_attention", MIXER_LINEAR},
	{"mamba", MIXER_MAMBA},
	{"mamba2", MIXER_MAMBA},
	{"hybrid", MIXER_PARALLEL},
	{"conv", MIXER_CONV},
};

static void mixer_words(const json_t *types, struct layers *l)
{
	for (uint32_t i = 0; i < l->len && i < json_array_size(types); i++) {
		const char *type = json_string_value(json_array_get(types, i));
		size_t w = 0;
		while (w < ARRAY_LEN(words) && !word(type, words[w].word))
			w++;
		if (w == ARRAY_LEN(words))
			config_odd(l, "layers of a kind that is not known here");
		else
			l->at[i].mixer = words[w].mixer;
	}
	if (json_array_size(types) != l->len)
		config_odd(l, "a list of layers of another length than the model's");
}

/* A number a layer: yes where it is not 0. */
static void mixer_flags(const json_t *flags, struct layers *l, enum mixer zero, enum mixer other)
{
	for (uint32_t i = 0; i < l->len && i < json_array_size(flags); i++)
		l->at[i].mixer = json_integer_value(json_array_get(flags, i)) ? other : zero;
	if (json_array_size(flags) != l->len)
		config_odd(l, "a list of layers of another length than the model's");
}

/* Layer numbers, the first is first. */
static void mixer_numbers(const json_t *list, struct layers *l, uint32_t first, enum mixer in)
{
	for (size_t k = 0; k < json_array_size(list); k++) {
		json_int_t i = json_integer_value(json_array_get(list, k)) - first;
		if (i >= 0 && i < l->len)
			l->at[i].mixer = in;
	}
}

static void mixer_all(struct layers *l, enum mixer mixer)
{
	for (uint32_t i = 0; i < l->len; i++)
		l->at[i].mixer = mixer;
}

/* One layer of period is of that kind: that at offset. */
static void mixer_period(struct layers *l, uint32_t period, uint32_t offset, enum mixer rest, enum mixer one)
{
	for (uint32_t i = 0; i < l->len; i++)
		l->at[i].mixer = period && i % period == offset ? one : rest;
}

/* DeciLM's searched architectures: each layer has its own heads and width, or none. */
static void blocks(struct config *c, const json_t *list, struct model_shape *s, struct layers *l)
{
	for (uint32_t i = 0; i < l->len && i < json_array_size(list); i++) {
		struct config block = {.c = json_array_get(list, i)};
		struct config a = {.c = json_object_get(block.c, "attention")},
			      f = {.c = json_object_get(block.c, "ffn")};
		uint32_t group = config_number(&a, NAMES("n_heads_in_group"), 0);
		double mult = json_number_value(json_object_get(f.c, "ffn_mult"));
		struct layer *at = &l->at[i];

		at->mixer = config_flag(a.c, NAMES("no_op"), false)                 ? MIXER_NONE
			    : config_flag(a.c, NAMES("replace_with_linear"), false) ? MIXER_MATRIX
										    : MIXER_FULL;
		at->ffn = config_flag(f.c, NAMES("no_op"), false)                 ? FFN_NONE
			  : config_flag(f.c, NAMES("replace_with_linear"), false) ? FFN_MATRIX
										  : FFN_DENSE;
		at->kv = group ? s->heads / group : config_number(&a, NAMES("num_key_value_heads"), 0);
		at->inter = config_number(&f, NAMES("intermediate_size"), 0);
		if (!at->inter && mult > 0 && mult < 1000) /* two thirds, in whole 256s */
			at->inter = ((uint32_t)(2 * mult * s->hidden / 3) + 255) / 256 * 256;
		if (at->mixer == MIXER_FULL && at->kv && s->kv != at->kv) {
			if (s->kv != s->heads && s->kv)
				config_odd(l, "layers with unlike numbers of KV heads");
			s->kv = at->kv;
		}
		if (json_object_get(f.c, "moe") && !json_is_null(json_object_get(f.c, "moe")))
			config_odd(l, "experts of a width of their own a layer");
		c->wrong = c->wrong ? c->wrong : a.wrong ? a.wrong : f.wrong;
	}
	l->mixed = true;
}

/* Nemotron-H: each layer is one mixer or one feed-forward. */
static void letters(const json_t *c, struct layers *l)
{
	static const struct {
		const char *word;
		char letter;
		enum mixer mixer;
		enum ffn ffn;
	} kinds[] = {{"mamba", 'M', MIXER_MAMBA, FFN_NONE}, {"attention", '*', MIXER_FULL, FFN_NONE},
		{"mlp", '-', MIXER_NONE, FFN_DENSE}, {"moe", 'E', MIXER_NONE, FFN_EXPERTS}};
	const json_t *types = json_object_get(c, "layers_block_type");
	const char *pattern = config_text(c, NAMES("hybrid_override_pattern"), "");

	for (uint32_t i = 0; i < l->len; i++) {
		const char *type = json_string_value(json_array_get(types, i));
		char letter = types ? 0 : i < strlen(pattern) ? pattern[i] : '?';
		size_t k = 0;
		while (k < ARRAY_LEN(kinds) && !word(type, kinds[k].word) && letter != kinds[k].letter)
			k++;
		if (k == ARRAY_LEN(kinds)) {
			config_odd(l, "layers of a kind that is not known here");
			return;
		}
		l->at[i].mixer = kinds[k].mixer;
		l->at[i].ffn = kinds[k].ffn;
	}
	l->mixed = true;
}

static bool has(const json_t *c, const char *key)
{
	const json_t *v = json_object_get(c, key);
	return v && !json_is_null(v);
}

/* Hybrids whose config.json has no list of all layers. */
static bool by_state(struct config *c, struct layers *l)
{
	const json_t *linear = json_object_get(c->c, "linear_attn_config");
	const char *family = config_text(c->c, NAMES("model_type"), "");

	if (has(linear, "kda_layers")) {
		mixer_numbers(json_object_get(linear, "kda_layers"), l, 1, MIXER_LINEAR);
	} else if (has(c->c, "linear_num_value_heads")) {
		uint32_t every = config_number(c, NAMES("full_attention_interval"), 4);
		mixer_period(l, every, every - 1, MIXER_LINEAR, MIXER_FULL);
	} else if (json_is_array(json_object_get(c->c, "attn_type_list"))) {
		mixer_flags(json_object_get(c->c, "attn_type_list"), l, MIXER_LINEAR, MIXER_FULL);
	} else if (has(c->c, "mamba_d_ssm") || word(family, "falcon_h1")) {
		mixer_all(l, MIXER_PARALLEL);
	} else if (word(family, "bamba")) { /* by number, else none */
		mixer_all(l, MIXER_MAMBA);
		mixer_numbers(json_object_get(c->c, "attn_layer_indices"), l, 0, MIXER_FULL);
	} else if (word(family, "jamba")) {
		mixer_period(l, config_number(c, NAMES("attn_layer_period"), 8),
			config_number(c, NAMES("attn_layer_offset"), 4), MIXER_MAMBA, MIXER_FULL);
	} else if (json_is_array(json_object_get(c->c, "full_attn_idxs"))) {
		mixer_all(l, MIXER_CONV);
		mixer_numbers(json_object_get(c->c, "full_attn_idxs"), l, 0, MIXER_FULL);
	} else if (has(c->c, "layer_group_size")) { /* Ling 2.5: the last of each group, and those that are left over */
		uint32_t group = config_number(c, NAMES("layer_group_size"), 1);
		mixer_period(l, group, group - 1, MIXER_LINEAR, MIXER_FULL);
		for (uint32_t i = group ? l->len / group * group : 0; i < l->len; i++)
			l->at[i].mixer = MIXER_FULL;
	} else {
		return false;
	}
	return true;
}

/* The window: a list of flags, a period, or what the family does. */
static void by_window(struct config *c, const struct family *f, struct layers *l)
{
	const json_t *pattern = json_object_get(c->c, "sliding_window_pattern");
	const json_t *layers = json_object_get(c->c, "hybrid_layer_pattern");
	const char *text = json_string_value(pattern);
	uint32_t period = f->sliding_period;

	if (json_is_array(layers)) {
		mixer_flags(layers, l, MIXER_FULL, MIXER_SLIDING);
		return;
	}
	if (text)
		period = (uint32_t)strlen(text); /* "LLLG" */
	else if (pattern && !json_is_null(pattern))
		period = config_number(c, NAMES("sliding_window_pattern"), period);
	else
		period = config_number(c, NAMES("global_attn_every_n_layers", "_sliding_window_pattern"), period);
	if (period == 1)
		mixer_all(l, MIXER_SLIDING);
	else if (period)
		mixer_period(l, period, period - 1, MIXER_SLIDING, MIXER_FULL);
}

/* Of layers with a window, where they have more than the others; 0: as the shape says. */
static uint32_t sliding_heads(struct config *c)
{
	struct config other = {.c = json_object_get(c->c, "attention_other_setting")};

	if (strcmp(config_text(other.c, NAMES("attention_type"), ""), "sliding_attention") != 0)
		return config_number(c, NAMES("num_sliding_attention_heads"), 0);
	return config_number(&other, NAMES("num_attention_heads"), 0);
}

static void read_mixers(struct config *c, const struct family *f, struct model_shape *s, struct layers *l)
{
	const json_t *types = json_object_get(c->c, "layer_types");
	uint32_t window = config_number(c, NAMES("sliding_window", "sliding_window_size"), 0);
	uint32_t shared = config_number(c, NAMES("num_kv_shared_layers"), 0);
	bool slides = window && config_flag(c->c, NAMES("use_sliding_window"), true);

	if (has(c->c, "block_configs"))
		blocks(c, json_object_get(c->c, "block_configs"), s, l);
	else if (has(c->c, "hybrid_override_pattern") ||
		 (has(c->c, "layers_block_type") && word(f->name, "nemotron_h")))
		letters(c->c, l);
	else if (json_is_array(types))
		mixer_words(types, l);
	else if (!by_state(c, l) && slides)
		by_window(c, f, l);
	if (json_is_array(json_object_get(c->c, "cross_attention_layers")))
		mixer_numbers(json_object_get(c->c, "cross_attention_layers"), l, 0, MIXER_CROSS);
	for (uint32_t i = 0; i < l->len; i++) {
		if (l->at[i].mixer == MIXER_SLIDING && !slides)
			l->at[i].mixer = MIXER_FULL;
		if (l->at[i].mixer == MIXER_SLIDING) /* Step-3.5 */
			l->at[i].heads = sliding_heads(c);
		if (shared < l->len && i >= l->len - shared) {
			l->at[i].slides = l->at[i].mixer == MIXER_SLIDING;
			l->at[i].mixer = MIXER_SHARED;
		}
	}
	s->window = slides ? window : 0;
}

/* ---- feed-forward ---- */

/* "4,5,6": layer numbers in a text. */
static void ffn_text(const char *text, struct layers *l)
{
	char *end;

	for (const char *p = text; *p; p = *end ? end + 1 : end) {
		unsigned long i = strtoul(p, &end, 10);
		if (end == p)
			return;
		if (i < l->len)
			l->at[i].ffn = FFN_EXPERTS;
	}
}

static void ffn_list(const json_t *list, struct layers *l)
{
	for (uint32_t i = 0; i < l->len && i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		bool dense = json_is_string(v) ? word(json_string_value(v), "dense") : !json_integer_value(v);
		l->at[i].ffn = dense ? FFN_DENSE : FFN_EXPERTS;
	}
	if (json_array_size(list) != l->len)
		config_odd(l, "a list of layers of another length than the model's");
}

/* From first to last, each step-th layer has experts. */
static void ffn_steps(struct config *c, const struct family *f, struct layers *l)
{
	uint32_t first =
		config_number(c, NAMES("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"), 0);
	uint32_t step = config_number(c,
		NAMES("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval", "moe_layer_freq"), 1);
	const json_t *end = json_object_get(c->c, "moe_layer_end_index");
	uint32_t last =
		json_is_integer(end) && json_integer_value(end) >= 0 ? (uint32_t)json_integer_value(end) : l->len;

	if (word(f->name, "jamba")) {
		step = config_number(c, NAMES("expert_layer_period"), 2);
		first = config_number(c, NAMES("expert_layer_offset"), 1);
		for (uint32_t i = 0; i < l->len; i++)
			l->at[i].ffn = step && i % step == first ? FFN_EXPERTS : FFN_DENSE;
		return;
	}
	if (has(c->c, "interleave_moe_layer_step") || has(c->c, "decoder_sparse_step")) {
		for (uint32_t i = 0; i < l->len; i++)
			l->at[i].ffn = step && (i + 1) % step == 0 ? FFN_EXPERTS : FFN_DENSE;
		return;
	}
	for (uint32_t i = 0; i < l->len; i++)
		l->at[i].ffn = i >= first && i <= last && step && (i - first) % step == 0 ? FFN_EXPERTS : FFN_DENSE;
}

static void read_ffn(struct config *c, const struct family *f, struct model_shape *s, struct layers *l)
{
	const json_t *kinds = config_get(c->c, NAMES("mlp_layer_types", "moe_layer_freq"));
	const char *numbers = config_text(c->c, NAMES("moe_layers_enum"), "");
	const json_t *dense = json_object_get(c->c, "mlp_only_layers");

	if (!s->experts || l->mixed)
		return;
	if (config_flag(c->c, NAMES("enable_moe_block"), false)) { /* Gemma 4: beside a dense one */
		for (uint32_t i = 0; i < l->len; i++)
			l->at[i].ffn = FFN_BOTH;
		return;
	}
	if (*numbers)
		ffn_text(numbers, l);
	else if (json_is_array(kinds))
		ffn_list(kinds, l);
	else
		ffn_steps(c, f, l);
	for (size_t k = 0; k < json_array_size(dense); k++) {
		json_int_t i = json_integer_value(json_array_get(dense, k));
		if (i >= 0 && i < l->len)
			l->at[i].ffn = FFN_DENSE;
	}
}

static uint32_t count_mixers(const struct layers *l, enum mixer mixer)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->len; i++)
		n += l->at[i].mixer == mixer;
	return n;
}

void config_layers(struct config *c, const struct family *f, struct model_shape *s, struct layers *ret)
{
	uint32_t experts = 0, keep;

	memset(ret, 0, sizeof *ret);
	ret->len = s->layers < MODEL_LAYERS_MAX ? s->layers : MODEL_LAYERS_MAX;
	read_mixers(c, f, s, ret);
	read_ffn(c, f, s, ret);
	for (uint32_t i = 0; i < ret->len; i++)
		experts += ret->at[i].ffn == FFN_EXPERTS || ret->at[i].ffn == FFN_BOTH;
	s->window_layers = count_mixers(ret, MIXER_SLIDING);
	s->window = s->window_layers ? s->window : 0;
	keep = count_mixers(ret, MIXER_FULL) + s->window_layers + count_mixers(ret, MIXER_PARALLEL);
	s->kv_layers = keep == ret->len ? 0 : keep;
	if (!keep)
		config_odd(ret, "no layer with a KV cache");
	if (s->experts && !experts) { /* the key is there, and no layer has them */
		s->experts = s->used = s->expert_inter = s->shared_inter = 0;
	} else if (s->experts) {
		s->dense_layers = ret->len - experts;
	}
}
