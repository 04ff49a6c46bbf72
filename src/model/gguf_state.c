#include "model/gguf_state.h"

#include "base/compiler.h"
#include <stddef.h>
#include <string.h>

enum { LAYER_KV = 1, LAYER_FF = 2, LAYER_RECURRENT = 4 };

/* Which layers of an architecture keep a state. */
enum which {
	WHICH_NONE,
	WHICH_ALL, /* and none has cells */
	WHICH_ALL_BESIDE_CELLS,
	WHICH_WITHOUT_KV, /* those whose KV heads are 0 */
	WHICH_WITHOUT_KV_AND_FF,
	WHICH_INTERVAL, /* a list, or all but each interval-th */
};
static const struct {
	const char *arch;
	enum which which;
} archs[] = {{"mamba", WHICH_ALL}, {"mamba2", WHICH_ALL}, {"rwkv6", WHICH_ALL}, {"rwkv6qwen2", WHICH_ALL},
	{"rwkv7", WHICH_ALL}, {"arwkv7", WHICH_ALL}, {"falcon-h1", WHICH_ALL_BESIDE_CELLS},
	{"nemotron_h", WHICH_WITHOUT_KV_AND_FF}, {"nemotron_h_moe", WHICH_WITHOUT_KV_AND_FF},
	{"jamba", WHICH_WITHOUT_KV}, {"granitehybrid", WHICH_WITHOUT_KV}, {"lfm2", WHICH_WITHOUT_KV},
	{"lfm2moe", WHICH_WITHOUT_KV}, {"plamo2", WHICH_WITHOUT_KV}, {"kimi-linear", WHICH_WITHOUT_KV},
	{"kimi-k3", WHICH_WITHOUT_KV}, {"bailingmoe3", WHICH_WITHOUT_KV}, {"glm5-next", WHICH_WITHOUT_KV},
	{"qwen3next", WHICH_INTERVAL}, {"qwen35", WHICH_INTERVAL}, {"qwen35moe", WHICH_INTERVAL},
	{"qwen4exp", WHICH_INTERVAL}, {"minimax-01", WHICH_INTERVAL}};
enum { INTERVAL_DEFAULT = 4, SHIFTS_DEFAULT = 2, INTERVAL_MINIMAX = 8 };

static enum which which_of(const char *arch)
{
	for (uint32_t i = 0; i < ARRAY_LEN(archs); i++)
		if (!strcmp(archs[i].arch, arch))
			return archs[i].which;
	return WHICH_NONE;
}

static const struct {
	const char *key; /* behind "<arch>." */
	size_t offset;
} numbers[] = {{"ssm.conv_kernel", offsetof(struct gguf_state, conv)},
	{"ssm.inner_size", offsetof(struct gguf_state, inner)}, {"ssm.state_size", offsetof(struct gguf_state, state)},
	{"ssm.group_count", offsetof(struct gguf_state, groups)},
	{"wkv.head_size", offsetof(struct gguf_state, wkv_head)},
	{"token_shift_count", offsetof(struct gguf_state, shifts)},
	{"shortconv.l_cache", offsetof(struct gguf_state, short_conv)},
	{"kda.head_dim", offsetof(struct gguf_state, kda_head)},
	{"full_attention_interval", offsetof(struct gguf_state, interval)},
	{"attention.head_count_kv", offsetof(struct gguf_state, kv)},
	{"feed_forward_length", offsetof(struct gguf_state, ff)}};

static const struct {
	const char *key;
	uint8_t mark;
	size_t listed;
} lists[] = {{"attention.head_count_kv", LAYER_KV, offsetof(struct gguf_state, kv_listed)},
	{"feed_forward_length", LAYER_FF, offsetof(struct gguf_state, ff_listed)},
	{"attention.recurrent_layers", LAYER_RECURRENT, offsetof(struct gguf_state, listed)}};

static bool ends(const struct gguf_text *key, const char *word)
{
	uint64_t n = strlen(word);
	return key->len > n && !memcmp(key->data + key->len - n, word, n) && key->data[key->len - n - 1] == '.';
}

static void note_list(
	struct gguf_state *s, const struct gguf_reader *r, const struct gguf_text *key, const struct gguf_value *v)
{
	for (uint32_t k = 0; k < ARRAY_LEN(lists); k++) {
		if (!ends(key, lists[k].key))
			continue;
		bool yes = true;
		memcpy((char *)s + lists[k].listed, &yes, sizeof yes);
		for (uint64_t i = 0; i < v->count && i < MODEL_LAYERS_MAX; i++)
			if (gguf_item(r, v, i))
				s->layers[i] |= lists[k].mark;
	}
}

void gguf_state_note(
	struct gguf_state *s, const struct gguf_reader *r, const struct gguf_text *key, const struct gguf_value *v)
{
	if (v->type == GGUF_ARRAY && gguf_number_bytes(v->item)) {
		note_list(s, r, key, v);
		return;
	}
	for (uint32_t i = 0; i < ARRAY_LEN(numbers) && gguf_number_bytes(v->type); i++)
		if (ends(key, numbers[i].key)) {
			/* Beyond any model, and products of them stay numbers. */
			uint64_t n = MIN(v->number,
				numbers[i].offset == offsetof(struct gguf_state, inner) ? 1u << 20 : 1u << 14);
			memcpy((char *)s + numbers[i].offset, &n, sizeof n);
		}
}

static bool has_state(const struct gguf_state *s, enum which which, const char *arch, uint64_t layer)
{
	uint64_t interval = s->interval                   ? s->interval
			    : !strcmp(arch, "minimax-01") ? INTERVAL_MINIMAX
							  : INTERVAL_DEFAULT;
	bool kv = s->kv_listed ? s->layers[layer] & LAYER_KV : s->kv > 0;
	bool ff = s->ff_listed ? s->layers[layer] & LAYER_FF : s->ff > 0;

	switch (which) {
	case WHICH_ALL:
	case WHICH_ALL_BESIDE_CELLS:
		return true;
	case WHICH_WITHOUT_KV:
		return !kv;
	case WHICH_WITHOUT_KV_AND_FF:
		return !kv && !ff;
	case WHICH_INTERVAL:
		return s->listed ? s->layers[layer] & LAYER_RECURRENT : (layer + 1) % interval != 0;
	default:
		return false;
	}
}

uint32_t gguf_state_layers(const struct gguf_state *s, const char *arch, uint64_t layers, uint64_t nextn)
{
	enum which which = which_of(arch);
	uint32_t ret = 0;

	layers = MIN(layers, (uint64_t)MODEL_LAYERS_MAX);
	for (uint64_t i = 0; i + MIN(nextn, layers) < layers; i++)
		ret += has_state(s, which, arch, i);
	return ret;
}

uint32_t gguf_state_kv_layers(const struct gguf_state *s, const char *arch, uint64_t layers, uint64_t nextn)
{
	switch (which_of(arch)) {
	case WHICH_ALL:
		return 0;
	case WHICH_INTERVAL:
		layers -= MIN(nextn, layers);
		return (uint32_t)layers - gguf_state_layers(s, arch, layers, 0);
	default:
		return UINT32_MAX;
	}
}

uint64_t gguf_state_layer_bytes(
	const struct gguf_state *s, const char *arch, uint64_t hidden, uint64_t heads, uint64_t head_dim)
{
	uint64_t conv = s->conv ? s->conv - 1 : 0;
	uint64_t numbers_shifted = conv * (s->inner + 2 * s->groups * s->state), numbers_state = s->state * s->inner;

	if (s->wkv_head) {
		numbers_shifted = (s->shifts ? s->shifts : SHIFTS_DEFAULT) * hidden;
		numbers_state = hidden * s->wkv_head;
	} else if (s->short_conv) {
		numbers_shifted = hidden * (s->short_conv - 1);
	} else if (s->kda_head) {
		numbers_shifted = 3 * (s->conv ? conv : 3) * heads * s->kda_head;
		numbers_state = s->kda_head * s->kda_head * heads;
	} else if (!strcmp(arch, "minimax-01")) {
		numbers_state = head_dim * head_dim * heads;
	}
	return sizeof(float) * (numbers_shifted + numbers_state);
}
