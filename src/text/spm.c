/* spm.c - see spm.h. */
#include "text/spm.h"

#include "base/buf.h"
#include "base/compiler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
	PAIR_BITS = 22, /* of the set of neighbours: some 200,000 in the largest vocabularies */
	PIECE_ON_STACK = 64, /* characters; words have a few */
	HEAP_PER_CHAR = 3, /* each join takes one candidate out and puts at most two in */
};
static const char SPACE[] = "\xe2\x96\x81"; /* U+2581, what stands for a space in tokens */

struct spm {
	uint32_t count, unknown;
	uint32_t *at; /* where each token's text begins in texts; count + 1 of them */
	float *scores;
	uint32_t *table, table_mask; /* id + 1 by the hash of its text; 0: free */
	uint32_t bytes[256]; /* tokens of bytes */
	size_t longest;
	char *texts;
	uint64_t *pairs; /* a set of neighbours: may say yes to others, never no to one */
};

/* --- Look-up --- */

static uint32_t find(const struct spm *s, const char *text, size_t len)
{
	if (len > s->longest)
		return TOKEN_NONE;
	for (uint32_t i = (uint32_t)XXH3_64bits(text, len) & s->table_mask; s->table[i]; i = (i + 1) & s->table_mask) {
		uint32_t id = s->table[i] - 1;
		if (s->at[id + 1] - s->at[id] == len && memcmp(s->texts + s->at[id], text, len) == 0)
			return id;
	}
	return TOKEN_NONE;
}

/* As llama.cpp cuts characters: by the first byte, whatever follows. */
static size_t char_len(const char *text, size_t len)
{
	static const uint8_t lens[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};

	return MIN((size_t)lens[(uint8_t)text[0] >> 4], len);
}

static uint32_t char_key(const char *text, size_t len)
{
	uint32_t key = 0;

	memcpy(&key, text, len);
	return key;
}

static uint32_t pair_bit(uint32_t left, uint32_t right)
{
	uint64_t key = (uint64_t)left << 32 | right;

	return (uint32_t)(XXH3_64bits(&key, sizeof key) >> (64 - PAIR_BITS));
}

static bool are_neighbours(const struct spm *s, uint32_t left, uint32_t right)
{
	uint32_t bit = pair_bit(left, right);

	return s->pairs[bit / 64] >> bit % 64 & 1;
}

/* --- One piece: a chain of symbols, and a heap of the pairs in it, some of which are history --- */

struct symbol {
	uint32_t begin, len; /* len 0: joined into the one before */
	int32_t prev, next;
};
struct candidate {
	float score;
	uint32_t left, right, len;
};
struct piece {
	const struct spm *s;
	const char *text;
	struct symbol *symbols;
	struct candidate *heap;
	size_t heap_len;
};

static bool is_before(const struct candidate *x, const struct candidate *y)
{
	return x->score > y->score || (x->score == y->score && x->left < y->left);
}

static void heap_push(struct piece *p, struct candidate x)
{
	size_t i = p->heap_len++;

	for (; i && is_before(&x, &p->heap[(i - 1) / 2]); i = (i - 1) / 2)
		p->heap[i] = p->heap[(i - 1) / 2];
	p->heap[i] = x;
}

static struct candidate heap_pop(struct piece *p)
{
	struct candidate top = p->heap[0], x = p->heap[--p->heap_len];
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < p->heap_len; i = child) {
		if (child + 1 < p->heap_len && is_before(&p->heap[child + 1], &p->heap[child]))
			child++;
		if (!is_before(&p->heap[child], &x))
			break;
		p->heap[i] = p->heap[child];
	}
	p->heap[i] = x;
	return top;
}

static void look_at(struct piece *p, int32_t left, int32_t right)
{
	if (left < 0 || right < 0)
		return;
	const struct symbol *l = &p->symbols[left], *r = &p->symbols[right];
	uint32_t id = find(p->s, p->text + l->begin, l->len + r->len);
	if (id != TOKEN_NONE)
		heap_push(p, (struct candidate){p->s->scores[id], (uint32_t)left, (uint32_t)right, l->len + r->len});
}

static void join(struct piece *p, const struct candidate *x)
{
	struct symbol *left = &p->symbols[x->left], *right = &p->symbols[x->right];

	if (!left->len || !right->len || left->len + right->len != x->len)
		return; /* history */
	left->len = x->len;
	right->len = 0;
	left->next = right->next;
	if (right->next >= 0)
		p->symbols[right->next].prev = (int32_t)x->left;
	look_at(p, left->prev, (int32_t)x->left);
	look_at(p, (int32_t)x->left, left->next);
}

static int add_symbol(const struct spm *s, const char *text, size_t len, struct tokens *ret)
{
	uint32_t id = find(s, text, len);

	if (id != TOKEN_NONE)
		return vec_push(ret, id);
	for (size_t i = 0; i < len; i++) {
		id = s->bytes[(uint8_t)text[i]];
		if (id != TOKEN_NONE && vec_push(ret, id) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int merge(struct piece *p, uint32_t count, struct budget *budget, struct tokens *ret)
{
	int code = 0;

	for (uint32_t i = 0; i + 1 < count; i++)
		look_at(p, (int32_t)i, (int32_t)i + 1);
	while (p->heap_len && code == 0) {
		struct candidate x = heap_pop(p);
		join(p, &x);
		code = budget_spend(budget, 4);
	}
	for (int32_t i = 0; i >= 0 && code == 0; i = p->symbols[i].next)
		code = add_symbol(p->s, p->text + p->symbols[i].begin, p->symbols[i].len, ret);
	return code;
}

static int encode_piece(
	const struct spm *s, const char *text, size_t len, uint32_t count, struct budget *budget, struct tokens *ret)
{
	struct symbol symbols[PIECE_ON_STACK], *many = symbols;
	struct candidate heap[HEAP_PER_CHAR * PIECE_ON_STACK], *long_heap = heap;
	uint32_t n = 0;

	if (count == 1)
		return add_symbol(s, text, len, ret);
	if (count > PIECE_ON_STACK) {
		many = malloc(count * sizeof *many);
		long_heap = malloc(HEAP_PER_CHAR * count * sizeof *long_heap);
	}
	struct piece p = {.s = s, .text = text, .symbols = many, .heap = long_heap};
	int code = many && long_heap ? 0 : -ENOMEM;
	for (size_t at = 0; at < len && code == 0; n++) {
		size_t step = char_len(text + at, len - at);
		many[n] = (struct symbol){(uint32_t)at, (uint32_t)step, (int32_t)n - 1, (int32_t)n + 1};
		at += step;
	}
	if (code == 0) {
		many[n - 1].next = -1;
		code = merge(&p, n, budget, ret);
	}
	if (count > PIECE_ON_STACK) {
		free(many);
		free(long_heap);
	}
	return code;
}

/* --- The whole text --- */

/* Spaces as tokens have them. */
static void escape(const char *text, size_t len, struct buf *ret)
{
	for (size_t done = 0; done < len;) {
		const char *space = memchr(text + done, ' ', len - done);
		size_t end = space ? (size_t)(space - text) : len;
		buf_add(ret, text + done, end - done);
		if (space)
			buf_add(ret, SPACE, 3);
		done = end + 1;
	}
}

static int encode_escaped(const struct spm *s, const char *text, size_t len, uint32_t tokens_max, struct budget *budget,
	struct tokens *ret)
{
	size_t begin = 0, step;
	uint32_t chars = 0, last = 0;
	int code = 0;

	for (size_t i = 0; i < len && code == 0 && ret->len <= tokens_max; i += step) {
		step = char_len(text + i, len - i);
		uint32_t key = char_key(text + i, step);
		if (chars && (chars >= SPM_PIECE_CHARS_MAX || !are_neighbours(s, last, key))) {
			code = encode_piece(s, text + begin, i - begin, chars, budget, ret);
			begin = i;
			chars = 0;
		}
		chars++;
		last = key;
		if (code == 0)
			code = budget_spend(budget, 2);
	}
	return code == 0 && chars && ret->len <= tokens_max
		       ? encode_piece(s, text + begin, len - begin, chars, budget, ret)
		       : code;
}

int spm_encode(const struct spm *s, const char *text, size_t len, bool space, uint32_t tokens_max,
	struct budget *budget, struct tokens *ret)
{
	struct buf escaped;

	if (!len)
		return 0;
	buf_init(&escaped, len * 3 + 4);
	if (space)
		buf_add(&escaped, SPACE, 3);
	escape(text, len, &escaped);
	int code = escaped.failed ? -ENOMEM : encode_escaped(s, escaped.data, escaped.len, tokens_max, budget, ret);
	buf_done(&escaped);
	return code;
}

/* The key of a character of a text that is not escaped yet. */
static uint32_t key_at(const char *text, size_t len)
{
	return text[0] == ' ' ? char_key(SPACE, 3) : char_key(text, char_len(text, len));
}

bool spm_can_cut(const struct spm *s, const char *text, size_t len, size_t at)
{
	size_t before = at;

	while (before > 0 && at - before < 4 && (before == at || ((uint8_t)text[before] & 0xc0) == 0x80))
		before--;
	if (char_len(text + before, len - before) != at - before)
		return false; /* not the end of a character */
	return !are_neighbours(s, key_at(text + before, len - before), key_at(text + at, len - at));
}

/* --- Create --- */

static void note_pairs(struct spm *s, const char *text, size_t len)
{
	for (size_t i = 0, step, next; i < len; i += step) {
		step = char_len(text + i, len - i);
		if (i + step >= len)
			break;
		next = char_len(text + i + step, len - i - step);
		uint32_t bit = pair_bit(char_key(text + i, step), char_key(text + i + step, next));
		s->pairs[bit / 64] |= 1ull << bit % 64;
	}
}

/* A user-defined token is found in the text as it is; a cut must not part it either. */
static int note_user_defined(struct spm *s, const char *text, size_t len)
{
	struct buf escaped;

	buf_init(&escaped, len * 3 + 16);
	escape(text, len, &escaped);
	int code = escaped.failed ? -ENOMEM : 0;
	if (code == 0)
		note_pairs(s, buf_str(&escaped), escaped.len);
	buf_done(&escaped);
	return code;
}

static void table_add(struct spm *s, uint32_t id)
{
	const char *text = s->texts + s->at[id];
	size_t len = s->at[id + 1] - s->at[id];
	uint32_t i = (uint32_t)XXH3_64bits(text, len) & s->table_mask;

	while (s->table[i])
		i = (i + 1) & s->table_mask;
	s->table[i] = id + 1;
	s->longest = MAX(s->longest, len);
}

static int read_tokens(struct spm *s, const struct ll_vocab *v, struct buf *texts)
{
	struct ll_token t;
	int code = 0;

	for (uint32_t id = 0; id < s->count && code == 0; id++) {
		ll_vocab_token(v, id, &t);
		s->at[id] = (uint32_t)texts->len;
		s->scores[id] = t.score;
		code = buf_add(texts, t.text, t.len);
		if (code == 0 && t.kind == LL_TOKEN_USER_DEFINED)
			code = note_user_defined(s, t.text, t.len);
		if (t.kind == LL_TOKEN_UNKNOWN && s->unknown == TOKEN_NONE)
			s->unknown = id;
	}
	s->at[s->count] = (uint32_t)texts->len;
	return code;
}

static void find_bytes(struct spm *s)
{
	for (uint32_t i = 0; i < 256; i++) {
		char name[8], byte = (char)i;
		snprintf(name, sizeof name, "<0x%02X>", i);
		s->bytes[i] = find(s, name, 6);
		if (s->bytes[i] == TOKEN_NONE)
			s->bytes[i] = find(s, &byte, 1);
		if (s->bytes[i] == TOKEN_NONE)
			s->bytes[i] = s->unknown;
	}
}

static int fill(struct spm *s, const struct ll_vocab *v)
{
	struct buf texts;
	struct ll_token t;

	for (s->table_mask = 1024; s->table_mask < 2 * s->count;)
		s->table_mask *= 2;
	s->table = calloc(s->table_mask--, sizeof *s->table);
	s->at = calloc((size_t)s->count + 1, sizeof *s->at);
	s->scores = calloc((size_t)s->count + 1, sizeof *s->scores);
	s->pairs = calloc(1u << PAIR_BITS >> 6, sizeof *s->pairs);
	if (!s->table || !s->at || !s->scores || !s->pairs)
		return -ENOMEM;
	buf_init(&texts, UINT32_MAX);
	int code = read_tokens(s, v, &texts);
	s->texts = texts.data;
	if (code < 0)
		return code;
	for (uint32_t id = 0; id < s->count; id++) {
		ll_vocab_token(v, id, &t);
		if (t.kind == LL_TOKEN_CONTROL || t.kind == LL_TOKEN_UNKNOWN || t.len == 0)
			continue;
		table_add(s, id);
		note_pairs(s, s->texts + s->at[id], s->at[id + 1] - s->at[id]);
	}
	find_bytes(s);
	return 0;
}

int spm_create(struct spm **ret, const struct ll_vocab *v)
{
	struct spm *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	s->count = ll_vocab_size(v);
	s->unknown = TOKEN_NONE;
	int code = fill(s, v);
	if (code < 0)
		spm_destroy(s);
	else
		*ret = s;
	return code;
}

void spm_destroy(struct spm *s)
{
	if (!s)
		return;
	free(s->at);
	free(s->scores);
	free(s->table);
	free(s->texts);
	free(s->pairs);
	free(s);
}
