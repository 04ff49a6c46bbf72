/* gguf.c - facts of a model from the header of its file (model/gguf_reader.h draws it). llama/ reads the same header again
 * when it loads a file: there llama.cpp's own tables decide what can run, here no llama.cpp is needed. */
#include "model/gguf.h"

#include "base/compiler.h"
#include "base/file_kind.h"
#include "base/utf8.h"
#include "model/gguf_reader.h"
#include "model/gguf_state.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DIMS_MAX = 4, KEY_MAX = 96 };

/* ggml's types: so many numbers in so many bytes; 0: none of that id. */
static const struct {
	uint16_t block, bytes;
} ggml_types[] = {[0] = {1, 4},
	[1] = {1, 2},
	[2] = {32, 18},
	[3] = {32, 20},
	[6] = {32, 22},
	[7] = {32, 24},
	[8] = {32, 34},
	[9] = {32, 36},
	[10] = {256, 84},
	[11] = {256, 110},
	[12] = {256, 144},
	[13] = {256, 176},
	[14] = {256, 210},
	[15] = {256, 292},
	[16] = {256, 66},
	[17] = {256, 74},
	[18] = {256, 98},
	[19] = {256, 50},
	[20] = {32, 18},
	[21] = {256, 110},
	[22] = {256, 82},
	[23] = {256, 136},
	[24] = {1, 1},
	[25] = {1, 2},
	[26] = {1, 4},
	[27] = {1, 8},
	[28] = {1, 8},
	[29] = {256, 56},
	[30] = {1, 2},
	[34] = {256, 54},
	[35] = {256, 66},
	[39] = {32, 17},
	[40] = {64, 36},
	[41] = {128, 18},
	[42] = {64, 18}};

/* general.file_type to the names people use. */
static const char *const file_types[] = {[0] = "f32",
	[1] = "f16",
	[2] = "q4_0",
	[3] = "q4_1",
	[7] = "q8_0",
	[8] = "q5_0",
	[9] = "q5_1",
	[10] = "q2_k",
	[11] = "q3_k_s",
	[12] = "q3_k_m",
	[13] = "q3_k_l",
	[14] = "q4_k_s",
	[15] = "q4_k_m",
	[16] = "q5_k_s",
	[17] = "q5_k_m",
	[18] = "q6_k",
	[19] = "iq2_xxs",
	[20] = "iq2_xs",
	[21] = "q2_k_s",
	[22] = "iq3_xs",
	[23] = "iq3_xxs",
	[24] = "iq1_s",
	[25] = "iq4_nl",
	[26] = "iq3_s",
	[27] = "iq3_m",
	[28] = "iq2_s",
	[29] = "iq2_m",
	[30] = "iq4_xs",
	[31] = "iq1_m",
	[32] = "bf16",
	[36] = "tq1_0",
	[37] = "tq2_0",
	[38] = "mxfp4",
	[39] = "nvfp4",
	[40] = "q1_0",
	[41] = "q2_0"};

/* What metadata says. The shapes of layers may be one number or a list. */
struct meta {
	char arch[64];
	uint64_t alignment, splits, file_type;
	bool typed;
	uint64_t layers, context, hidden, inter, vocab, tokens, heads, kv, key_length, value_length, window, kv_rank,
		rope;
	uint64_t experts, used, expert_inter, dense, shared_kv, interval;
	uint64_t kv_layers, sliding_layers; /* of lists */
	bool kv_listed, pattern_listed;
	uint64_t pattern;
	/* What decides whether it generates text (model/refusal.h). */
	char type[32];
	uint64_t pooling, nextn;
	bool adapter, bidirectional, labels;
	struct gguf_state state;
};

/* Heads of each layer: the most, and how many layers have any. */
static void read_kv_list(const struct gguf_reader *r, const struct gguf_value *v, struct meta *m)
{
	uint64_t sum = 0;

	m->kv_listed = true;
	m->kv_layers = 0;
	for (uint64_t i = 0; i < v->count && i < MODEL_LAYERS_MAX; i++) {
		uint64_t n = gguf_item(r, v, i);
		sum += MIN(n, 65536u);
		m->kv_layers += n > 0;
	}
	m->kv = m->kv_layers ? (sum + m->kv_layers - 1) / m->kv_layers : 0;
}

static uint64_t most(const struct gguf_reader *r, const struct gguf_value *v)
{
	uint64_t ret = 0;

	for (uint64_t i = 0; i < v->count && i < MODEL_LAYERS_MAX; i++)
		ret = MAX(ret, gguf_item(r, v, i));
	return ret;
}

static void read_pattern(const struct gguf_reader *r, const struct gguf_value *v, struct meta *m)
{
	if (v->type != GGUF_ARRAY) {
		m->pattern = v->number;
		return;
	}
	m->pattern_listed = true;
	for (uint64_t i = 0; i < v->count && i < MODEL_LAYERS_MAX; i++)
		m->sliding_layers += gguf_item(r, v, i) != 0;
}

static bool ends(const struct gguf_text *key, const char *word)
{
	uint64_t n = strlen(word);
	return key->len > n && !memcmp(key->data + key->len - n, word, n) && key->data[key->len - n - 1] == '.';
}

static const struct {
	const char *key; /* behind "<arch>." */
	uint32_t offset;
} shape_keys[] = {{"block_count", offsetof(struct meta, layers)}, {"context_length", offsetof(struct meta, context)},
	{"embedding_length", offsetof(struct meta, hidden)}, {"feed_forward_length", offsetof(struct meta, inter)},
	{"vocab_size", offsetof(struct meta, vocab)}, {"attention.head_count", offsetof(struct meta, heads)},
	{"attention.key_length", offsetof(struct meta, key_length)},
	{"attention.value_length", offsetof(struct meta, value_length)},
	{"attention.sliding_window", offsetof(struct meta, window)},
	{"attention.kv_lora_rank", offsetof(struct meta, kv_rank)},
	{"attention.shared_kv_layers", offsetof(struct meta, shared_kv)},
	{"rope.dimension_count", offsetof(struct meta, rope)}, {"expert_count", offsetof(struct meta, experts)},
	{"expert_used_count", offsetof(struct meta, used)},
	{"expert_feed_forward_length", offsetof(struct meta, expert_inter)},
	{"leading_dense_block_count", offsetof(struct meta, dense)},
	{"full_attention_interval", offsetof(struct meta, interval)}, {"pooling_type", offsetof(struct meta, pooling)},
	{"nextn_predict_layers", offsetof(struct meta, nextn)}};

static bool has_items(const struct gguf_value *v)
{
	return v->type == GGUF_ARRAY && gguf_number_bytes(v->item);
}

static void note_shape(
	const struct gguf_reader *r, const struct gguf_text *key, const struct gguf_value *v, struct meta *m)
{
	bool scalar = gguf_number_bytes(v->type);

	gguf_state_note(&m->state, r, key, v);
	if (!scalar && !has_items(v))
		return;
	if (ends(key, "attention.causal")) {
		m->bidirectional = scalar && v->number == 0;
		return;
	}
	if (ends(key, "attention.head_count_kv")) {
		if (scalar)
			m->kv = v->number;
		else
			read_kv_list(r, v, m);
		return;
	}
	if (ends(key, "attention.sliding_window_pattern")) {
		read_pattern(r, v, m);
		return;
	}
	for (uint32_t i = 0; i < ARRAY_LEN(shape_keys); i++)
		if (ends(key, shape_keys[i].key)) {
			uint64_t n = scalar ? v->number : most(r, v);
			memcpy((char *)m + shape_keys[i].offset, &n, sizeof n);
			return;
		}
}

static void copy_text(char *ret, size_t cap, const struct gguf_text *t)
{
	utf8_plain_copy(ret, cap, t->data, t->len); /* what a stranger's file says ends on a terminal */
}

static void note_pair(const struct gguf_reader *r, const struct gguf_text *key, const struct gguf_value *v,
	struct meta *m, struct model_facts *f)
{
	if (gguf_text_is(key, "general.architecture") && v->type == GGUF_STRING)
		copy_text(m->arch, sizeof m->arch, &v->text);
	else if (gguf_text_is(key, "general.name") && v->type == GGUF_STRING)
		copy_text(f->name, sizeof f->name, &v->text);
	else if (gguf_text_is(key, "tokenizer.chat_template"))
		f->chat_template = v->type == GGUF_STRING && v->text.len > 0;
	else if (gguf_text_is(key, "general.type") && v->type == GGUF_STRING)
		copy_text(m->type, sizeof m->type, &v->text);
	else if (key->len > 8 && !memcmp(key->data, "adapter.", 8))
		m->adapter = true;
	else if (ends(key, "classifier.output_labels"))
		m->labels = true;
	else if (gguf_text_is(key, "general.alignment"))
		m->alignment = v->number;
	else if (gguf_text_is(key, "general.file_type") && v->type == GGUF_U32) {
		m->file_type = v->number;
		m->typed = true;
	} else if (gguf_text_is(key, "split.count"))
		m->splits = v->number;
	else if (gguf_text_is(key, "tokenizer.ggml.tokens"))
		m->tokens = v->count;
	else
		note_shape(r, key, v, m);
}

static int read_pairs(
	struct gguf_reader *r, uint64_t count, struct meta *m, struct model_facts *f, const char *path, struct err *err)
{
	for (uint64_t i = 0; i < count && !r->cut; i++) {
		struct gguf_text key = gguf_string(r);
		struct gguf_value v;
		if (!gguf_value_read(r, &v))
			return err_set(err, -EINVAL, "\"%s\" has a metadata value of unknown type %u", path, v.type);
		if (!r->cut)
			note_pair(r, &key, &v, m, f);
	}
	return 0;
}

/* --- tensor table --- */

struct tensor {
	struct gguf_text name;
	uint64_t elements, bytes, offset;
	uint32_t dims;
};

static int read_tensor(struct gguf_reader *r, struct tensor *t, const char *path, struct err *err)
{
	uint64_t first = 1;

	*t = (struct tensor){.name = gguf_string(r), .elements = 1};
	t->dims = (uint32_t)gguf_number(r, 4);
	if (!r->cut && (t->dims == 0 || t->dims > DIMS_MAX))
		return err_set(err, -EINVAL, "a tensor of \"%s\" has %u dimensions, 1 to %d are possible", path,
			t->dims, DIMS_MAX);
	for (uint32_t d = 0; d < t->dims && !r->cut; d++) {
		uint64_t n = gguf_number(r, 8);
		if (d == 0)
			first = n;
		if (n == 0 || __builtin_mul_overflow(t->elements, n, &t->elements) || t->elements > 1ull << 50)
			return r->cut ? 0
				      : err_set(err, -EINVAL, "a tensor of \"%s\" has a shape that cannot be", path);
	}
	uint32_t type = (uint32_t)gguf_number(r, 4);
	t->offset = gguf_number(r, 8);
	if (r->cut)
		return 0;
	if (type >= ARRAY_LEN(ggml_types) || !ggml_types[type].block || first % ggml_types[type].block)
		return err_set(err, -ENOTSUP,
			"tensor \"%.*s\" of \"%s\" has type %u, which this version does not know, or a "
			"row that its blocks do not divide",
			(int)MIN(t->name.len, 64u), t->name.data, path, type);
	t->bytes = t->elements / ggml_types[type].block * ggml_types[type].bytes;
	return 0;
}

static bool holds(const struct gguf_text *t, const char *word)
{
	return memmem(t->data, t->len, word, strlen(word)) != NULL;
}

static void count_tensor(const struct tensor *t, struct gguf_sums *s)
{
	s->tensors++;
	s->first_layer |= t->name.len > 6 && !memcmp(t->name.data, "blk.0.", 6);
	s->params += t->elements;
	s->bytes += t->bytes;
	if (gguf_text_is(&t->name, "token_embd.weight")) {
		s->embed = t->elements;
		s->embed_bytes = t->bytes;
	} else if (gguf_text_is(&t->name, "output.weight")) {
		s->output = t->elements;
	} else if (t->dims > 1 && t->name.len > 4 && !memcmp(t->name.data, "blk.", 4) &&
		   !holds(&t->name, "ffn_gate_inp")) {
		s->linear += t->elements;
		if (holds(&t->name, "_exps."))
			s->expert += t->elements;
	}
	if (holds(&t->name, "attn_q.bias") || holds(&t->name, "attn_qkv.bias"))
		s->qkv_bias = true;
}

static int read_tensors(struct gguf_reader *r, uint64_t count, uint64_t alignment, struct gguf_sums *s,
	const char *path, struct err *err)
{
	uint64_t end = 0;

	for (uint64_t i = 0; i < count && !r->cut; i++) {
		struct tensor t;
		int code = read_tensor(r, &t, path, err);
		if (code < 0)
			return code;
		if (r->cut)
			break;
		uint64_t tensor_end;
		if (__builtin_add_overflow(t.offset, t.bytes, &tensor_end) || s->bytes + t.bytes > 1ull << 60)
			return err_set(err, -EINVAL, "a tensor of \"%s\" lies where no file ends", path);
		end = MAX(end, tensor_end);
		count_tensor(&t, s);
	}
	s->data_end = (r->pos + alignment - 1) / alignment * alignment + end;
	return 0;
}

/* --- facts --- */

static uint32_t sliding_of(const struct meta *m)
{
	static const struct {
		const char *arch;
		uint32_t period; /* one layer of so many keeps all */
	} known[] = {{"gemma2", 2}, {"gemma3", 6}, {"gpt-oss", 2}, {"cohere2", 4}};
	uint64_t period = m->pattern;

	if (!m->window)
		return 0;
	if (m->pattern_listed)
		return (uint32_t)MIN(m->sliding_layers, m->layers);
	for (uint32_t i = 0; !period && i < ARRAY_LEN(known); i++)
		if (!strcmp(m->arch, known[i].arch))
			period = known[i].period;
	return period ? (uint32_t)(m->layers - m->layers / period) : 0;
}

static uint32_t kv_layers_of(const struct meta *m)
{
	uint64_t n = m->layers;
	uint32_t told = gguf_state_kv_layers(&m->state, m->arch, m->layers, m->nextn);

	if (told != UINT32_MAX)
		return told;
	if (m->kv_listed)
		n = MIN(m->kv_layers, n);
	if (m->interval > 1)
		n = n / m->interval;
	if (!m->heads)
		n = 0;
	return (uint32_t)(n - MIN(m->shared_kv, n));
}

static int check(const struct meta *m, const char *path, struct err *err)
{
	if (!m->arch[0])
		return err_set(err, -EINVAL, "\"%s\" does not say its general.architecture", path);
	if (m->layers > MODEL_LAYERS_MAX || m->hidden > 1 << 20 || m->heads > 4096 || m->kv > 4096 ||
		m->key_length > 65536 || m->value_length > 65536 || m->kv_rank > 1 << 20 || m->rope > 65536 ||
		m->experts > 4096 || m->used > m->experts || m->dense > m->layers || m->window > UINT32_MAX ||
		m->context > UINT32_MAX || MAX(m->vocab, m->tokens) > 1 << 24 || m->inter > 1 << 20 ||
		m->expert_inter > 1 << 20)
		return err_set(err, -EINVAL, "\"%s\" has metadata beyond any known model", path);
	return 0;
}

static void fill(struct model_facts *f, const struct meta *m)
{
	snprintf(f->architecture, sizeof f->architecture, "%s", m->arch);
	f->layers = (uint32_t)m->layers;
	f->kv_layers = kv_layers_of(m);
	f->hidden = (uint32_t)m->hidden;
	f->heads = (uint32_t)m->heads;
	f->kv_heads = (uint32_t)(m->kv || m->kv_listed ? m->kv : m->heads);
	f->head_dim = (uint32_t)(m->key_length ? m->key_length : m->heads ? m->hidden / m->heads : 0);
	f->head_dim_v = (uint32_t)(m->value_length ? m->value_length : m->heads ? m->hidden / m->heads : 0);
	f->vocab = (uint32_t)(m->tokens ? m->tokens : m->vocab);
	f->intermediate = (uint32_t)m->inter;
	f->context_max = (uint32_t)m->context;
	f->experts = (uint32_t)m->experts;
	f->experts_used = (uint32_t)m->used;
	f->expert_intermediate = (uint32_t)(m->experts ? (m->expert_inter ? m->expert_inter : m->inter) : 0);
	f->dense_layers = (uint32_t)m->dense;
	f->mla_rank = (uint32_t)m->kv_rank;
	f->mla_rope_dim = (uint32_t)(m->kv_rank ? m->rope : 0);
	f->state_bytes = gguf_state_layers(&m->state, m->arch, m->layers, m->nextn) *
			 gguf_state_layer_bytes(&m->state, m->arch, m->hidden, m->heads, f->head_dim);
	f->sliding_layers = sliding_of(m);
	f->sliding_window = f->sliding_layers ? (uint32_t)m->window : 0;
	snprintf(f->dtype, sizeof f->dtype, "float16");
	if (m->typed && m->file_type < ARRAY_LEN(file_types) && file_types[m->file_type])
		snprintf(f->quant, sizeof f->quant, "%s", file_types[m->file_type]);
	else
		snprintf(f->quant, sizeof f->quant, "gguf");
}

enum { POOLING_RANK = 4, POOLING_UNSPECIFIED = 0xffffffff }; /* llama.h's */

/* Parts behind the first of a split file say nothing of what they are, so they are not asked. */
static const struct refusal *refusal_of(const struct meta *m, const struct gguf_sums *s)
{
	const struct refusal_marks marks = {.arch = m->arch,
		.type = m->type,
		.adapter = m->adapter,
		.bidirectional = m->bidirectional,
		.pooled = m->pooling != 0 && m->pooling != (uint32_t)POOLING_UNSPECIFIED,
		.ranks = m->pooling == POOLING_RANK || m->labels,
		.no_weights = s->tensors == 0 && m->splits <= 1,
		.head_only = m->nextn > 0 && m->splits <= 1 && !s->first_layer};

	return m->arch[0] || m->type[0] ? refusal_find(&marks) : NULL;
}

int gguf_read_header(struct model_facts *ret, struct gguf_sums *sums, const char *path, const uint8_t *data,
	uint64_t len, struct err *err)
{
	struct gguf_reader r = {.data = data, .len = len};
	struct meta m = {.alignment = 32, .splits = 1};
	const uint8_t *magic = gguf_take(&r, 4);

	if (!magic || memcmp(magic, "GGUF", 4) != 0)
		return file_refuse_not_gguf(path, data, len, err);
	uint32_t version = (uint32_t)gguf_number(&r, 4);
	if (!r.cut && version != 2 && version != 3)
		return file_refuse_gguf_version(path, version, err);
	uint64_t tensors = gguf_number(&r, 8), pairs = gguf_number(&r, 8);
	int code = read_pairs(&r, pairs, &m, ret, path, err);
	sums->cut = r.cut;
	if (code == 0 && !r.cut && (m.alignment == 0 || m.alignment > 1u << 20))
		code = err_set(err, -EINVAL, "\"%s\" wants an alignment of %" PRIu64 " bytes", path, m.alignment);
	if (code == 0 && !r.cut)
		code = read_tensors(&r, tensors, MAX(m.alignment, 1u), sums, path, err);
	sums->cut = r.cut;
	if (code == 0 && r.cut) {
		err_set(err, -EINVAL, "\"%s\" is cut short: it ends in its header, at byte %" PRIu64, path, len);
		return err_hint(err, "download it again");
	}
	/* Parts behind the first of a split file have tensors and hardly any metadata. */
	sums->splits = m.splits;
	if (code == 0 && (sums->refusal = refusal_of(&m, sums))) {
		snprintf(ret->architecture, sizeof ret->architecture, "%s", m.arch);
		if (sums->refusal->no_model)
			return refusal_say(sums->refusal, path, m.arch, err);
	}
	if (code == 0 && (m.arch[0] || !ret->architecture[0])) {
		code = check(&m, path, err);
		if (code == 0)
			fill(ret, &m);
	}
	return code;
}
