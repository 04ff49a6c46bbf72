/* vocab_file.c - from a header's pairs to the tables of vocab_file.h. Each key that llama.cpp's loader looks at is in one
 * table here with the type that it insists on. */
#include "text/vocab_file.h"

#include "base/utf8.h"
#include "text/tokenizer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX = 256, F32 = 6 };
enum { DEFAULT_BOS_EOS = 11 }; /* llama.cpp's, for a byte-pair vocabulary that names none */

/* What the pairs say, before it is looked at. A value of type 0 with seen false is not there. */
enum key {
	KEY_ARCH,
	KEY_NAME,
	KEY_MODEL,
	KEY_PRE,
	KEY_TOKENS,
	KEY_TYPES,
	KEY_SCORES,
	KEY_MERGES,
	KEY_TEMPLATE,
	KEY_BOS,
	KEY_EOS,
	KEY_EOT,
	KEY_EOM,
	KEY_FIM_PRE,
	KEY_FIM_SUF,
	KEY_FIM_MID,
	KEY_FIM_PAD,
	KEY_FIM_REP,
	KEY_FIM_SEP,
	KEY_PREFIX,
	KEY_SUFFIX,
	KEY_MIDDLE,
	KEY_ADD_BOS,
	KEY_ADD_EOS,
	KEY_SUPPRESS,
	KEY_UNK,
	KEY_SEP,
	KEY_PAD,
	KEY_MASK,
	KEY_ADD_SEP,
	KEY_ADD_PREFIX,
	KEY_REMOVE_WS,
	KEY_TYPE_COUNT,
	KEY_LOWERCASE,
	KEY_ACCENTS,
	KEYS
};
#define TOK "tokenizer.ggml."
static const struct {
	const char *name;
	uint32_t type, item;
} keys[KEYS] = {
	[KEY_ARCH] = {"general.architecture", GGUF_STRING, 0},
	[KEY_NAME] = {"general.name", GGUF_STRING, 0},
	[KEY_MODEL] = {TOK "model", GGUF_STRING, 0},
	[KEY_PRE] = {TOK "pre", GGUF_STRING, 0},
	[KEY_TOKENS] = {TOK "tokens", GGUF_ARRAY, GGUF_STRING},
	[KEY_TYPES] = {TOK "token_type", GGUF_ARRAY, GGUF_I32},
	[KEY_SCORES] = {TOK "scores", GGUF_ARRAY, F32},
	[KEY_MERGES] = {TOK "merges", GGUF_ARRAY, GGUF_STRING},
	[KEY_TEMPLATE] = {"tokenizer.chat_template", GGUF_STRING, 0},
	[KEY_BOS] = {TOK "bos_token_id", GGUF_U32, 0},
	[KEY_EOS] = {TOK "eos_token_id", GGUF_U32, 0},
	[KEY_EOT] = {TOK "eot_token_id", GGUF_U32, 0},
	[KEY_EOM] = {TOK "eom_token_id", GGUF_U32, 0},
	[KEY_FIM_PRE] = {TOK "fim_pre_token_id", GGUF_U32, 0},
	[KEY_FIM_SUF] = {TOK "fim_suf_token_id", GGUF_U32, 0},
	[KEY_FIM_MID] = {TOK "fim_mid_token_id", GGUF_U32, 0},
	[KEY_FIM_PAD] = {TOK "fim_pad_token_id", GGUF_U32, 0},
	[KEY_FIM_REP] = {TOK "fim_rep_token_id", GGUF_U32, 0},
	[KEY_FIM_SEP] = {TOK "fim_sep_token_id", GGUF_U32, 0},
	[KEY_PREFIX] = {TOK "prefix_token_id", GGUF_U32, 0},
	[KEY_SUFFIX] = {TOK "suffix_token_id", GGUF_U32, 0},
	[KEY_MIDDLE] = {TOK "middle_token_id", GGUF_U32, 0},
	[KEY_ADD_BOS] = {TOK "add_bos_token", GGUF_BOOL, 0},
	[KEY_ADD_EOS] = {TOK "add_eos_token", GGUF_BOOL, 0},
	[KEY_SUPPRESS] = {TOK "suppress_tokens", GGUF_ARRAY, GGUF_I32},
	/* What follows changes nothing here, but llama.cpp insists on the types. */
	[KEY_UNK] = {TOK "unknown_token_id", GGUF_U32, 0},
	[KEY_SEP] = {TOK "seperator_token_id", GGUF_U32, 0},
	[KEY_PAD] = {TOK "padding_token_id", GGUF_U32, 0},
	[KEY_MASK] = {TOK "mask_token_id", GGUF_U32, 0},
	[KEY_ADD_SEP] = {TOK "add_sep_token", GGUF_BOOL, 0},
	[KEY_ADD_PREFIX] = {TOK "add_space_prefix", GGUF_BOOL, 0},
	[KEY_REMOVE_WS] = {TOK "remove_extra_whitespaces", GGUF_BOOL, 0},
	[KEY_TYPE_COUNT] = {TOK "token_type_count", GGUF_U32, 0},
	[KEY_LOWERCASE] = {TOK "normalizer.lowercase", GGUF_BOOL, 0},
	[KEY_ACCENTS] = {TOK "normalizer.strip_accents", GGUF_BOOL, 0},
};

struct reading {
	struct gguf_reader r;
	struct gguf_value values[KEYS];
	bool seen[KEYS];
};

/* --- pairs --- */

/* False: a key that is there twice, or of another type than llama.cpp wants. */
static bool note_pair(struct reading *in, const struct gguf_text *key, const struct gguf_value *v)
{
	for (uint32_t k = 0; k < KEYS; k++) {
		if (!gguf_text_is(key, keys[k].name))
			continue;
		bool scores = k == KEY_SCORES && v->item == GGUF_I32;
		if (in->seen[k] || v->type != keys[k].type || (v->item != keys[k].item && !scores))
			return false;
		in->seen[k] = true;
		in->values[k] = *v;
	}
	return true;
}

static bool read_pairs(struct reading *in)
{
	const uint8_t *magic = gguf_take(&in->r, 4);
	uint32_t version = (uint32_t)gguf_number(&in->r, 4);

	gguf_number(&in->r, 8); /* tensors */
	uint64_t pairs = gguf_number(&in->r, 8);
	if (!magic || memcmp(magic, "GGUF", 4) != 0 || (version != 2 && version != 3))
		return false;
	for (uint64_t i = 0; i < pairs; i++) {
		struct gguf_value v;
		struct gguf_text key = gguf_string(&in->r);
		if (!gguf_value_read(&in->r, &v) || in->r.cut || !note_pair(in, &key, &v))
			return false;
	}
	return true;
}

static bool text_holds(const struct gguf_text *t, const char *word)
{
	size_t n = strlen(word);

	for (uint64_t i = 0; i + n <= t->len; i++)
		if (strncasecmp(t->data + i, word, n) == 0)
			return true;
	return false;
}

/* Some models get attributes by their names: tokens that eat the white space around them. */
static bool is_special_case(const struct reading *in)
{
	static const char *const names[] = {"phi-3", "phi3", "modern-bert"};
	static const char *const pres[] = {"jina-v2-de", "jina-v2-es", "jina-v2-code"};
	static const char *const archs[] = {"nomic-bert-moe", "jina-bert-v3"};
	bool ret = false;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ret |= text_holds(&in->values[KEY_NAME].text, names[i]);
	for (size_t i = 0; i < ARRAY_LEN(pres); i++)
		ret |= text_holds(&in->values[KEY_PRE].text, pres[i]);
	for (size_t i = 0; i < ARRAY_LEN(archs); i++)
		ret |= text_holds(&in->values[KEY_ARCH].text, archs[i]);
	return ret;
}

/* --- tokens --- */

static uint8_t attr_of_type(uint64_t type)
{
	static const uint8_t attrs[] = {0, VOCAB_NORMAL, VOCAB_UNKNOWN, VOCAB_CONTROL, VOCAB_USER};

	return type < ARRAY_LEN(attrs) ? attrs[type] : 0; /* unused, undefined: nothing at all */
}

enum { TYPE_BYTE = 6 };

static bool is_text(const struct gguf_text *t)
{
	return !memchr(t->data, 0, t->len) && utf8_valid(t->data, t->len);
}

/* Where the texts begin, and what kinds the tokens are. 0: something in them that llama.cpp treats in a way of its own. */
static int read_tokens(const struct reading *in, struct vocab_file *v)
{
	struct gguf_reader r = {in->r.data, in->r.len, in->values[KEY_TOKENS].begin, false};

	v->at = malloc(((size_t)v->count + 1) * sizeof *v->at);
	v->attrs = malloc((size_t)v->count + 1);
	if (!v->at || !v->attrs)
		return -ENOMEM;
	for (uint32_t i = 0; i < v->count; i++) {
		struct gguf_text t = gguf_string(&r);
		uint64_t type = in->seen[KEY_TYPES] ? gguf_item(&r, &in->values[KEY_TYPES], i) : 1;
		bool spelled = vocab_file_spell(t.data, t.len, NULL, NULL);
		if (t.len == 0 || r.pos > UINT32_MAX || type == TYPE_BYTE || (!spelled && !is_text(&t)))
			return 0;
		v->at[i] = (uint32_t)(r.pos - t.len);
		v->attrs[i] = (uint8_t)(attr_of_type(type) | (spelled ? VOCAB_SPELLED : 0));
	}
	return 1;
}

/* One of the tokens that a file may name: an id outside the vocabulary counts as none given. */
static uint32_t named(const struct reading *in, const struct vocab_file *v, enum key k, uint32_t otherwise)
{
	uint64_t id = in->values[k].number;
	uint32_t ret = in->seen[k] && id < v->count ? (uint32_t)id : otherwise;

	return ret < v->count ? ret : TOKEN_NONE;
}

static bool flag(const struct reading *in, enum key k, bool otherwise)
{
	return in->seen[k] ? in->values[k].number != 0 : otherwise;
}

static void read_named(const struct reading *in, struct vocab_file *v, bool no_bos, struct vocab_named *ret)
{
	v->bos = named(in, v, KEY_BOS, no_bos ? TOKEN_NONE : DEFAULT_BOS_EOS);
	v->eos = named(in, v, KEY_EOS, DEFAULT_BOS_EOS);
	ret->eot = named(in, v, KEY_EOT, TOKEN_NONE);
	ret->eom = named(in, v, KEY_EOM, TOKEN_NONE);
	ret->fim_pre = named(in, v, KEY_PREFIX, named(in, v, KEY_FIM_PRE, TOKEN_NONE));
	ret->fim_suf = named(in, v, KEY_SUFFIX, named(in, v, KEY_FIM_SUF, TOKEN_NONE));
	ret->fim_mid = named(in, v, KEY_MIDDLE, named(in, v, KEY_FIM_MID, TOKEN_NONE));
	ret->fim_pad = named(in, v, KEY_FIM_PAD, TOKEN_NONE);
	ret->fim_rep = named(in, v, KEY_FIM_REP, TOKEN_NONE);
	ret->fim_sep = named(in, v, KEY_FIM_SEP, TOKEN_NONE);
}

static int list_specials(struct vocab_file *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->count; i++)
		n += (v->attrs[i] & VOCAB_SPECIAL) != 0;
	uint32_t *lens = calloc((size_t)v->count + 1, sizeof *lens);
	v->specials = calloc((size_t)n + 1, sizeof *v->specials);
	if (!lens || !v->specials) {
		free(lens);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < v->count; i++)
		if (v->attrs[i] & VOCAB_SPECIAL) {
			vocab_file_text(v, i, &lens[i]);
			v->specials[v->specials_count++] = i;
		}
	ll_specials_sort(v->specials, n, lens);
	free(lens);
	return 1;
}

static int fill(const struct reading *in, const struct vocab_family *f, struct vocab_file *v)
{
	struct vocab_named names;

	v->split = f->split;
	v->ignore_merges = f->ignore_merges;
	v->add_bos = flag(in, KEY_ADD_BOS, f->add_bos);
	v->add_eos = flag(in, KEY_ADD_EOS, false);
	v->merges_at = in->values[KEY_MERGES].begin;
	v->merges_count = in->values[KEY_MERGES].count;
	if (in->seen[KEY_TEMPLATE])
		v->template = in->values[KEY_TEMPLATE].text;
	int r = read_tokens(in, v);
	if (r <= 0)
		return r;
	read_named(in, v, f->no_bos, &names);
	return vocab_rules_apply(v, &names) ? list_specials(v) : 0;
}

static bool is_known(const struct reading *in)
{
	const struct gguf_value *tokens = &in->values[KEY_TOKENS];

	return in->seen[KEY_MODEL] && in->seen[KEY_PRE] && in->seen[KEY_TOKENS] && in->seen[KEY_MERGES] &&
	       gguf_text_is(&in->values[KEY_MODEL].text, "gpt2") && tokens->count > 0 && tokens->count < INT32_MAX &&
	       in->values[KEY_MERGES].count < INT32_MAX &&
	       (!in->seen[KEY_TYPES] || in->values[KEY_TYPES].count >= tokens->count) &&
	       (!in->seen[KEY_SCORES] || in->values[KEY_SCORES].count >= tokens->count) && !is_special_case(in);
}

int vocab_file_read(struct vocab_file *ret, const uint8_t *data, uint64_t len)
{
	struct reading in = {.r = {.data = data, .len = len}};

	if (!read_pairs(&in) || !is_known(&in))
		return 0;
	const struct gguf_text *pre = &in.values[KEY_PRE].text;
	const struct vocab_family *f = vocab_family_find(pre->data, pre->len);
	if (!f)
		return 0;
	struct vocab_file v = {.data = data, .len = len, .count = (uint32_t)in.values[KEY_TOKENS].count};
	int r = fill(&in, f, &v);
	if (r == 1)
		*ret = v;
	else
		vocab_file_done(&v);
	return r;
}

void vocab_file_done(struct vocab_file *v)
{
	free(v->at);
	free(v->attrs);
	free(v->specials);
	*v = (struct vocab_file){0};
}

/* --- the alphabet --- */

/* Of each character below U+0200 the byte that it stands for, -1: none. */
static const int16_t *alphabet(void)
{
	static _Thread_local int16_t letters[512];
	int next = 256;

	if (letters['a'])
		return letters;
	memset(letters, 0xff, sizeof letters);
	for (int i = 0; i < 256; i++) {
		bool prints = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
		letters[prints ? i : next++] = (int16_t)i;
	}
	return letters;
}

/* The byte that the character at text stands for, -1: none. *ret_len: bytes of the character. */
static int letter_at(const int16_t *letters, const char *text, size_t len, size_t *ret_len)
{
	uint8_t c = (uint8_t)text[0];

	if (c < 0x80) {
		*ret_len = 1;
		return letters[c];
	}
	*ret_len = MIN(len, c < 0xe0 ? 2u : c < 0xf0 ? 3u : 4u);
	bool below_0200 = c >= 0xc2 && c < 0xc8 && *ret_len == 2 && ((uint8_t)text[1] & 0xc0) == 0x80;
	return below_0200 ? letters[(c & 31u) << 6 | ((uint8_t)text[1] & 63u)] : -1;
}

bool vocab_file_spell(const char *text, size_t len, char *ret, size_t *ret_len)
{
	const int16_t *letters = alphabet();
	size_t n = 0;

	for (size_t i = 0, step; i < len; i += step) {
		int byte = letter_at(letters, text + i, len - i, &step);
		if (byte < 0)
			return false;
		if (ret)
			ret[n++] = (char)byte;
	}
	if (ret)
		*ret_len = n;
	return true;
}

/* A character that stands for no byte becomes "[UNK_BYTE_0x", its bytes, and the whole text again. */
static int add_spelled(const char *text, size_t len, struct buf *ret)
{
	const int16_t *letters = alphabet();
	size_t n;

	if (buf_reserve(ret, len) == 0 && vocab_file_spell(text, len, ret->data + ret->len, &n)) {
		ret->len += n;
		return 0;
	}
	for (size_t i = 0, step; i < len; i += step) {
		int byte = letter_at(letters, text + i, len - i, &step);
		if (byte >= 0) {
			buf_add_byte(ret, (uint8_t)byte);
			continue;
		}
		buf_add_str(ret, "[UNK_BYTE_0x");
		for (size_t k = 0; k < step; k++)
			buf_printf(ret, "%02x", (uint8_t)text[i + k]);
		buf_add(ret, text, len);
		buf_add_byte(ret, ']');
	}
	return ret->failed ? -ENOMEM : 0;
}

int vocab_file_piece(const struct vocab_file *v, uint32_t id, bool special, struct buf *ret)
{
	uint32_t len;
	const char *text = vocab_file_text(v, id, &len);
	uint8_t attrs = v->attrs[id];

	if (!special && attrs & (VOCAB_UNKNOWN | VOCAB_CONTROL))
		return 0;
	if (attrs & VOCAB_SPECIAL)
		return buf_add(ret, text, len);
	return attrs & VOCAB_NORMAL ? add_spelled(text, len, ret) : 0;
}
