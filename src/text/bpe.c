/* bpe.c - two hash tables: the bytes of a word -> token, and a pair of tokens -> rank and the token they make. Every
 * symbol is a token all the time (the 256 bytes are, and so is what each merge makes: checked at create), so texts are
 * never compared while merging. */
#include "text/bpe.h"

#include "base/utf8.h"
#include "text/presplit.h"
#include "text/segments.h"

#include <stdatomic.h>
#include <string.h>
#include <xxhash.h>

enum {
	SHORT_WORD = 48, /* bytes up to which pairs are looked through for the best; longer words use a heap */
	MERGE_BYTES_MAX = 4096, /* both halves as they stand in the file; runs of spaces are the longest */
	WORD_UNKNOWN = 0, /* does merging the bytes of this token give the token? */
	WORD_WHOLE,
	WORD_NOT_WHOLE,
};

struct pair {
	uint32_t left, right, rank, id;
};

struct bpe {
	enum ll_split split;
	bool ignore_merges; /* a word that is a token is that token */
	bool lacks_bytes; /* some byte_ids are TOKEN_NONE */
	bool has_twins; /* two tokens with one text */
	const struct token_table *table;
	struct specials user_defined;
	uint32_t byte_ids[256];
	struct pair *pairs; /* open addressing; left TOKEN_NONE: free */
	uint32_t *words; /* open addressing; id + 1, 0: free */
	uint32_t pairs_mask, words_mask;
	_Atomic uint8_t *whole; /* WORD_*, one a token; found out when first met */
};

/* --- tables --- */

static uint32_t pair_slot(const struct bpe *b, uint32_t left, uint32_t right)
{
	uint64_t h = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(h >> 32) & b->pairs_mask;
}

static const struct pair *pair_find(const struct bpe *b, uint32_t left, uint32_t right)
{
	for (uint32_t i = pair_slot(b, left, right);; i = (i + 1) & b->pairs_mask) {
		const struct pair *p = &b->pairs[i];
		if (p->left == left && p->right == right)
			return p;
		if (p->left == TOKEN_NONE)
			return NULL;
	}
}

/* Of two with one pair the first has the rank. */
static void pair_add(struct bpe *b, const struct pair *p)
{
	uint32_t i = pair_slot(b, p->left, p->right);

	for (; b->pairs[i].left != TOKEN_NONE; i = (i + 1) & b->pairs_mask)
		if (b->pairs[i].left == p->left && b->pairs[i].right == p->right)
			return;
	b->pairs[i] = *p;
}

static uint32_t word_find(const struct bpe *b, const char *text, size_t len)
{
	for (uint32_t i = (uint32_t)XXH3_64bits(text, len) & b->words_mask; b->words[i]; i = (i + 1) & b->words_mask) {
		uint32_t bytes, id = b->words[i] - 1;
		const char *have = token_table_piece(b->table, id, &bytes);
		if (bytes == len && memcmp(have, text, len) == 0)
			return id;
	}
	return TOKEN_NONE;
}

/* Of two tokens with one text the later is the one that is found. */
static void word_add(struct bpe *b, uint32_t id)
{
	uint32_t bytes;
	const char *text = token_table_piece(b->table, id, &bytes);
	uint32_t i = (uint32_t)XXH3_64bits(text, bytes) & b->words_mask;

	for (; b->words[i]; i = (i + 1) & b->words_mask) {
		uint32_t len;
		const char *have = token_table_piece(b->table, b->words[i] - 1, &len);
		if (len == bytes && memcmp(have, text, len) == 0)
			break;
	}
	b->has_twins |= b->words[i] != 0;
	b->words[i] = id + 1;
}

/* --- merging --- */

/* Short words: find the best pair, join it, look at its new neighbours. */
static int merge_short(const struct bpe *b, const char *text, size_t len, struct tokens *ret)
{
	uint32_t ids[SHORT_WORD];
	const struct pair *pairs[SHORT_WORD]; /* of ids[i] and ids[i + 1] */
	size_t n = len;

	for (size_t i = 0; i < n; i++)
		ids[i] = b->byte_ids[(uint8_t)text[i]];
	for (size_t i = 0; i + 1 < n; i++)
		pairs[i] = pair_find(b, ids[i], ids[i + 1]);
	for (;;) {
		size_t best = SIZE_MAX;
		for (size_t i = 0; i + 1 < n; i++)
			if (pairs[i] && (best == SIZE_MAX || pairs[i]->rank < pairs[best]->rank))
				best = i;
		if (best == SIZE_MAX)
			break;
		ids[best] = pairs[best]->id;
		n--;
		memmove(&ids[best + 1], &ids[best + 2], (n - best - 1) * sizeof *ids);
		if (best + 1 < n)
			memmove(&pairs[best], &pairs[best + 1], (n - best - 1) * sizeof(struct pair *));
		if (best > 0)
			pairs[best - 1] = pair_find(b, ids[best - 1], ids[best]);
		if (best + 1 < n)
			pairs[best] = pair_find(b, ids[best], ids[best + 1]);
	}
	if (vec_reserve(ret, (uint32_t)n) < 0)
		return -ENOMEM;
	memcpy(ret->v + ret->len, ids, n * sizeof *ids);
	ret->len += (uint32_t)n;
	return 0;
}

/* Long words: a chain of symbols, and a heap of the pairs in it, some of which are history. */
struct symbol {
	uint32_t id; /* TOKEN_NONE: joined into the one before */
	int32_t prev, next;
};
struct candidate {
	uint32_t rank, left; /* in order of both */
	const struct pair *pair;
};
struct chain {
	const struct bpe *b;
	struct symbol *symbols;
	struct candidate *heap;
	size_t heap_len;
};

static bool is_before(const struct candidate *x, const struct candidate *y)
{
	return x->rank != y->rank ? x->rank < y->rank : x->left < y->left;
}

static void heap_push(struct chain *c, struct candidate x)
{
	size_t i = c->heap_len++;

	for (; i && is_before(&x, &c->heap[(i - 1) / 2]); i = (i - 1) / 2)
		c->heap[i] = c->heap[(i - 1) / 2];
	c->heap[i] = x;
}

static struct candidate heap_pop(struct chain *c)
{
	struct candidate top = c->heap[0], x = c->heap[--c->heap_len];
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < c->heap_len; i = child) {
		if (child + 1 < c->heap_len && is_before(&c->heap[child + 1], &c->heap[child]))
			child++;
		if (!is_before(&c->heap[child], &x))
			break;
		c->heap[i] = c->heap[child];
	}
	c->heap[i] = x;
	return top;
}

static void look_at(struct chain *c, int32_t left, int32_t right)
{
	if (left < 0 || right < 0)
		return;
	const struct pair *p = pair_find(c->b, c->symbols[left].id, c->symbols[right].id);
	if (p)
		heap_push(c, (struct candidate){p->rank, (uint32_t)left, p});
}

static void join(struct chain *c, const struct candidate *x)
{
	struct symbol *s = c->symbols, *left = &s[x->left];
	int32_t right = left->next;

	if (left->id != x->pair->left || right < 0 || s[right].id != x->pair->right)
		return; /* history */
	left->id = x->pair->id;
	left->next = s[right].next;
	s[right].id = TOKEN_NONE;
	if (left->next >= 0)
		s[left->next].prev = (int32_t)x->left;
	look_at(c, left->prev, (int32_t)x->left);
	look_at(c, (int32_t)x->left, left->next);
}

static int merge_long(const struct bpe *b, const char *text, size_t len, struct tokens *ret)
{
	/* Each join takes one candidate out and puts at most two in; there are len - 1 of both at first. */
	struct chain c = {.b = b, .symbols = calloc(len, sizeof *c.symbols), .heap = calloc(3 * len, sizeof *c.heap)};
	int code = c.symbols && c.heap ? vec_reserve(ret, (uint32_t)len) : -ENOMEM;

	for (size_t i = 0; code == 0 && i < len; i++)
		c.symbols[i] = (struct symbol){
			b->byte_ids[(uint8_t)text[i]], (int32_t)i - 1, i + 1 < len ? (int32_t)i + 1 : -1};
	for (size_t i = 0; code == 0 && i + 1 < len; i++)
		look_at(&c, (int32_t)i, (int32_t)i + 1);
	while (code == 0 && c.heap_len) {
		struct candidate x = heap_pop(&c);
		join(&c, &x);
	}
	for (int32_t i = 0; code == 0 && i >= 0; i = c.symbols[i].next)
		ret->v[ret->len++] = c.symbols[i].id;
	free(c.symbols);
	free(c.heap);
	return code;
}

static int merge(const struct bpe *b, const char *text, size_t len, struct tokens *ret)
{
	return len <= SHORT_WORD ? merge_short(b, text, len, ret) : merge_long(b, text, len, ret);
}

/* --- words --- */

/* Merge a word that is a token, and remember whether it came out as that token. */
static int learn_word(struct bpe *b, uint32_t id, const char *text, size_t len, struct tokens *ret)
{
	uint32_t before = ret->len;
	int code = merge(b, text, len, ret);

	if (code == 0) {
		bool whole = ret->len == before + 1 && ret->v[before] == id;
		atomic_store_explicit(&b->whole[id], whole ? WORD_WHOLE : WORD_NOT_WHOLE, memory_order_relaxed);
	}
	return code;
}

static int encode_word(struct bpe *b, const char *text, size_t len, struct tokens *ret)
{
	uint32_t id = word_find(b, text, len);

	if (id == TOKEN_NONE)
		return merge(b, text, len, ret);
	uint8_t known = b->ignore_merges ? WORD_WHOLE : atomic_load_explicit(&b->whole[id], memory_order_relaxed);
	if (known == WORD_WHOLE)
		return vec_push(ret, id);
	return known == WORD_UNKNOWN ? learn_word(b, id, text, len, ret) : merge(b, text, len, ret);
}

static bool has_user_defined(const struct bpe *b, const char *text, size_t len)
{
	for (size_t i = 0; b->user_defined.v.len && i < len; i++)
		if (b->user_defined.first[(uint8_t)text[i]] &&
			specials_longest(&b->user_defined, text + i, len - i) >= 0)
			return true;
	return false;
}

static bool has_lacking(const struct bpe *b, const char *text, size_t len)
{
	for (size_t i = 0; b->lacks_bytes && i < len; i++)
		if (b->byte_ids[(uint8_t)text[i]] == TOKEN_NONE)
			return true;
	return false;
}

/* How far a text is encoded. */
struct bounds {
	uint32_t tokens_max;
	struct budget *budget;
};

static int encode_plain(struct bpe *b, const char *text, size_t len, const struct bounds *within, struct tokens *ret)
{
	size_t hint = 0;
	int code = 0;

	for (size_t pos = 0, end; pos < len && code == 0 && ret->len <= within->tokens_max; pos = end) {
		end = presplit_next(b->split, text, len, pos, &hint);
		code = encode_word(b, text + pos, end - pos, ret);
		if (code == 0)
			code = budget_spend(within->budget, 1 + (end - pos) / 8);
	}
	return code;
}

/* Text around user-defined tokens stands alone. */
static int encode_around(struct bpe *b, const char *text, size_t len, const struct bounds *within, struct tokens *ret)
{
	struct text_segments parts = {0};
	int code = segments_cut(&b->user_defined, text, len, NULL, &parts);

	for (uint32_t i = 0; i < parts.len && code == 0; i++)
		code = parts.v[i].text ? encode_plain(b, parts.v[i].text, parts.v[i].len, within, ret)
				       : vec_push(ret, parts.v[i].id);
	vec_done(&parts);
	return code;
}

int bpe_encode(
	struct bpe *b, const char *text, size_t len, uint32_t tokens_max, struct budget *budget, struct tokens *ret)
{
	const struct bounds within = {tokens_max, budget};
	uint32_t before = ret->len;

	if (len > INT32_MAX / 4 || utf8_check(text, len) < len || has_lacking(b, text, len))
		return 0;
	int code = has_user_defined(b, text, len) ? encode_around(b, text, len, &within, ret)
						  : encode_plain(b, text, len, &within, ret);
	if (code < 0)
		ret->len = before;
	return code < 0 ? code : 1;
}

/* --- create --- */

struct loading {
	struct bpe *b;
	const struct vocab_file *v;
	bool exact; /* as far as we can tell */
	uint32_t next; /* the token after the last merge's: most often what this one makes */
};

/* One half of a merge, or both. */
struct half {
	const char *text; /* in the file */
	size_t len;
	const char *bytes; /* that it spells; NULL: it spells none */
	size_t bytes_len;
};

static uint32_t special_find(const struct vocab_file *v, const char *text, size_t len)
{
	for (uint32_t i = 0; i < v->specials_count; i++) {
		uint32_t have_len;
		const char *have = vocab_file_text(v, v->specials[i], &have_len);
		if (have_len == len && memcmp(have, text, len) == 0)
			return v->specials[i];
	}
	return TOKEN_NONE;
}

/* Merges may also make a special token, such as </s>. */
static uint32_t half_find(const struct loading *l, const struct half *h)
{
	uint32_t id = h->bytes ? word_find(l->b, h->bytes, h->bytes_len) : TOKEN_NONE;

	return id != TOKEN_NONE ? id : special_find(l->v, h->text, h->len);
}

static bool is_next(const struct loading *l, const struct half *h)
{
	uint32_t len;
	const char *have = token_table_piece(l->b->table, l->next, &len);

	return !l->b->has_twins && h->bytes && l->next < l->b->table->count && vocab_file_is_normal(l->v, l->next) &&
	       len == h->bytes_len && memcmp(have, h->bytes, len) == 0;
}

static void add_merge(struct loading *l, uint32_t rank, const struct half *left, const struct half *right)
{
	char joined[MERGE_BYTES_MAX];
	struct half both = {joined, left->len + right->len, NULL, 0};
	struct pair p = {half_find(l, left), half_find(l, right), rank, TOKEN_NONE};

	if (p.left == TOKEN_NONE || p.right == TOKEN_NONE)
		return; /* no symbol is ever one of these */
	memcpy(joined, left->text, left->len);
	memcpy(joined + left->len, right->text, right->len);
	if (left->bytes && right->bytes) { /* they lie one behind the other */
		both.bytes = left->bytes;
		both.bytes_len = left->bytes_len + right->bytes_len;
	}
	p.id = is_next(l, &both) ? l->next : half_find(l, &both);
	l->next = p.id + 1;
	l->exact &= p.id != TOKEN_NONE;
	pair_add(l->b, &p);
}

static void read_merge(struct loading *l, uint32_t rank, const struct gguf_text *t)
{
	const char *space = t->len > 1 ? memchr(t->data + 1, ' ', t->len - 1) : NULL;
	char bytes[MERGE_BYTES_MAX];

	if (!space || t->len > sizeof bytes) {
		l->exact &= !space;
		return;
	}
	struct half left = {.text = t->data, .len = (size_t)(space - t->data)};
	struct half right = {.text = space + 1, .len = t->len - left.len - 1};
	if (vocab_file_spell(left.text, left.len, bytes, &left.bytes_len))
		left.bytes = bytes;
	if (vocab_file_spell(right.text, right.len, bytes + left.bytes_len, &right.bytes_len))
		right.bytes = bytes + left.bytes_len;
	add_merge(l, rank, &left, &right);
}

static uint32_t table_size(uint32_t count)
{
	uint32_t n = 1024;

	while (n < 2 * count)
		n *= 2;
	return n;
}

static int add_user_defined(struct bpe *b, const struct vocab_file *v)
{
	for (uint32_t i = 0; i < v->specials_count; i++) {
		struct special s = {.id = v->specials[i]};
		const char *text = vocab_file_text(v, s.id, &s.len);
		if (!(v->attrs[s.id] & (VOCAB_CONTROL | VOCAB_UNKNOWN)) && specials_add(&b->user_defined, &s, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* A token that spells no bytes is no word: no text is ever written like it. */
static bool is_word(const struct vocab_file *v, uint32_t id)
{
	return vocab_file_is_normal(v, id) && v->attrs[id] & VOCAB_SPELLED;
}

static int make_words(struct bpe *b, const struct vocab_file *v)
{
	b->words_mask = table_size(b->table->count) - 1;
	b->words = calloc((size_t)b->words_mask + 1, sizeof *b->words);
	b->whole = calloc((size_t)b->table->count + 1, sizeof *b->whole);
	if (!b->words || !b->whole)
		return -ENOMEM;
	for (uint32_t id = 0; id < b->table->count; id++)
		if (is_word(v, id))
			word_add(b, id);
	return 0;
}

/* Vocabularies lack bytes that are no part of UTF-8, and some lack rare ones. */
static void find_bytes(struct bpe *b)
{
	for (int i = 0; i < 256; i++) {
		char byte = (char)i;
		b->byte_ids[i] = word_find(b, &byte, 1);
		b->lacks_bytes |= b->byte_ids[i] == TOKEN_NONE;
	}
}

static int make_pairs(struct bpe *b, const struct vocab_file *v, bool *ret_exact)
{
	struct loading l = {.b = b, .v = v, .exact = true, .next = TOKEN_NONE};
	struct gguf_reader r = {v->data, v->len, v->merges_at, false};

	b->pairs_mask = table_size((uint32_t)v->merges_count) - 1;
	b->pairs = malloc(((size_t)b->pairs_mask + 1) * sizeof *b->pairs);
	if (!b->pairs)
		return -ENOMEM;
	memset(b->pairs, 0xff, ((size_t)b->pairs_mask + 1) * sizeof *b->pairs);
	for (uint32_t i = 0; i < v->merges_count && l.exact; i++) {
		struct gguf_text t = gguf_string(&r);
		read_merge(&l, i, &t);
	}
	*ret_exact = l.exact && v->merges_count;
	return 0;
}

int bpe_create(struct bpe **ret, const struct vocab_file *v, const struct token_table *table)
{
	struct bpe *b = calloc(1, sizeof *b);
	bool exact = false;

	if (!b)
		return -ENOMEM;
	b->split = v->split;
	b->ignore_merges = v->ignore_merges;
	b->table = table;
	int code = add_user_defined(b, v);
	if (code == 0)
		code = make_words(b, v);
	if (code == 0) {
		find_bytes(b);
		code = make_pairs(b, v, &exact);
	}
	if (code < 0 || !exact)
		bpe_destroy(b);
	else
		*ret = b;
	return code;
}

void bpe_destroy(struct bpe *b)
{
	if (!b)
		return;
	specials_done(&b->user_defined);
	free(b->pairs);
	free(b->words);
	free((void *)b->whole);
	free(b);
}
