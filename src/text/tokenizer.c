/* tokenizer.c - what all kinds share: cutting at special tokens, bounding runs, begin and end tokens. */
#include "text/tokenizer.h"

#include "base/limits.h"
#include "text/tokenizer_impl.h"

#include <ctype.h>
#include <string.h>

int tokenizer_load(struct tokenizer **ret, const char *spec, struct err *err)
{
	struct tokenizer *t = NULL;
	int code = strcmp(spec, "byte") == 0 ? tokenizer_byte_create(&t, err) : tokenizer_llama_create(&t, spec, err);
	if (code < 0)
		return err_wrap(err, "could not load tokenizer \"%s\"", spec);
	t->spec = strdup(spec);
	code = t->spec ? token_table_build(&t->table, t, err) : err_set(err, -ENOMEM, "out of memory");
	if (code == 0 && t->ops->prepare)
		code = t->ops->prepare(t, err);
	if (code < 0) {
		tokenizer_destroy(t);
		return code;
	}
	*ret = t;
	return 0;
}

void tokenizer_destroy(struct tokenizer *t)
{
	if (!t)
		return;
	specials_done(&t->controls);
	token_table_done(&t->table);
	free(t->spec);
	t->ops->destroy(t);
}

const char *tokenizer_spec(const struct tokenizer *t)
{
	return t->spec;
}

uint64_t tokenizer_hash(const struct tokenizer *t)
{
	return t->hash;
}

uint32_t tokenizer_vocab(const struct tokenizer *t)
{
	return t->vocab;
}

uint32_t tokenizer_bos(const struct tokenizer *t)
{
	return t->bos;
}

uint32_t tokenizer_eos(const struct tokenizer *t)
{
	return t->eos;
}

bool tokenizer_is_eog(const struct tokenizer *t, uint32_t id)
{
	return token_table_flags(&t->table, id) & TOKEN_IS_EOG;
}

bool tokenizer_is_control(const struct tokenizer *t, uint32_t id)
{
	return token_table_flags(&t->table, id) & TOKEN_IS_CONTROL;
}

const char *tokenizer_template(const struct tokenizer *t)
{
	return t->template;
}

bool tokenizer_adds_space(const struct tokenizer *t)
{
	return t->adds_space;
}

int tokenizer_piece(const struct tokenizer *t, uint32_t id, bool special, struct buf *ret)
{
	uint32_t len;
	const char *bytes = token_table_piece(&t->table, id, &len);

	/* Only tokens that are empty otherwise have a text of their own when special. */
	return len || !special ? buf_add(ret, bytes, len) : t->ops->piece(t, id, true, ret);
}

/* --- Segments --------------------------------------------------------------------------------------------------- */

/* llama.cpp takes the special tokens one after another, in order of rank, and cuts what is left of the text at each.
 * The same result in one pass: all matches by rank, then position; one stands when nothing before it took its bytes. */
static int compare_matches(const void *a, const void *b)
{
	const struct special_match *x = a, *y = b;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static int compare_positions(const void *a, const void *b)
{
	const struct special_match *x = a, *y = b;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

/* Mark the bytes of [begin, end) as taken; false when one already is. */
static bool take_bytes(uint8_t *taken, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++)
		if (taken[i])
			return false;
	memset(taken + begin, 1, end - begin);
	return true;
}

/* Take also the white space a token eats around it. */
static void take_spaces(uint8_t *taken, const struct special *s, const char *text, size_t len, size_t pos)
{
	for (size_t i = pos; s->strip_left && i > 0 && !taken[i - 1] && isspace((unsigned char)text[i - 1]); i--)
		taken[i - 1] = 1;
	for (size_t i = pos + s->len; s->strip_right && i < len && !taken[i] && isspace((unsigned char)text[i]); i++)
		taken[i] = 1;
}

/* Keep of m those that stand, in order of position, and tell in taken which bytes are not plain text. */
static void settle_matches(
	const struct tokenizer *t, const char *text, size_t len, struct special_matches *m, uint8_t *taken)
{
	qsort(m->v, m->len, sizeof *m->v, compare_matches);
	uint32_t n = 0;
	for (uint32_t i = 0; i < m->len; i++) {
		const struct special *s = &t->controls.v.v[m->v[i].rank];
		if (!take_bytes(taken, m->v[i].pos, m->v[i].pos + s->len))
			continue;
		take_spaces(taken, s, text, len, m->v[i].pos);
		m->v[n++] = m->v[i];
	}
	m->len = n;
	qsort(m->v, m->len, sizeof *m->v, compare_positions);
}

static int add_plain(const char *text, const uint8_t *taken, size_t begin, size_t end, struct text_segments *ret)
{
	while (begin < end && taken[begin])
		begin++;
	while (end > begin && taken[end - 1])
		end--;
	if (begin == end)
		return 0;
	return vec_push(ret, ((struct text_segment){text + begin, end - begin, TOKEN_NONE}));
}

static int cut(
	const struct tokenizer *t, const char *text, size_t len, struct special_matches *m, struct text_segments *ret)
{
	uint8_t *taken = calloc(len, 1);
	if (!taken)
		return -ENOMEM;
	settle_matches(t, text, len, m, taken);
	size_t pos = 0;
	int code = 0;
	for (uint32_t i = 0; i < m->len && code == 0; i++) {
		const struct special *s = &t->controls.v.v[m->v[i].rank];
		code = add_plain(text, taken, pos, m->v[i].pos, ret);
		if (code == 0)
			code = vec_push(ret, ((struct text_segment){NULL, 0, s->id}));
		pos = m->v[i].pos + s->len;
	}
	if (code == 0)
		code = add_plain(text, taken, pos, len, ret);
	free(taken);
	return code;
}

int tokenizer_segments(const struct tokenizer *t, const char *text, size_t len, const struct text_ranges *trusted,
	struct text_segments *ret)
{
	struct special_matches m = {0};
	int code = 0;
	if (!trusted)
		code = specials_find(&t->controls, text, len, 0, &m);
	for (uint32_t i = 0; trusted && i < trusted->len && code == 0; i++) {
		struct text_range r = trusted->v[i];
		code = specials_find(&t->controls, text + r.begin, r.end - r.begin, r.begin, &m);
	}
	if (code == 0 && m.len == 0)
		code = len > 0 ? vec_push(ret, ((struct text_segment){text, len, TOKEN_NONE})) : 0;
	else if (code == 0)
		code = cut(t, text, len, &m, ret);
	vec_done(&m);
	return code;
}

/* --- Runs ------------------------------------------------------------------------------------------------------- */

/* Some vocabularies match a run of one class with a recursion a character, some with time that grows with its square.
 * Characters beyond ASCII count as letters, but for the marks of CJK text, whose writing has no spaces. */
enum run_class { RUN_LETTER, RUN_DIGIT, RUN_SPACE, RUN_LINE, RUN_MARK };

static enum run_class classify(const uint8_t *s, size_t len)
{
	if (s[0] < 0x80) {
		if (s[0] == '\n' || s[0] == '\r')
			return RUN_LINE;
		if (isspace(s[0]))
			return RUN_SPACE;
		return isdigit(s[0]) ? RUN_DIGIT : isalpha(s[0]) ? RUN_LETTER : RUN_MARK;
	}
	if (len < 3)
		return RUN_LETTER;
	bool general = s[0] == 0xe2 && s[1] == 0x80; /* U+2000: dashes, quotes, ellipsis */
	bool cjk = s[0] == 0xe3 && s[1] == 0x80; /* U+3000: ideographic stops and brackets */
	bool wide = s[0] == 0xef && s[1] == 0xbc && (s[2] <= 0x8f || (s[2] >= 0x9a && s[2] <= 0xa0)); /* U+FF00 */
	return general || cjk || wide ? RUN_MARK : RUN_LETTER;
}

static size_t char_len(const uint8_t *s, size_t len)
{
	size_t n = s[0] < 0xc0 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	for (size_t i = 1; i < n; i++)
		if (i >= len || (s[i] & 0xc0) != 0x80)
			return i;
	return n;
}

/* Where text must be cut because a run in it grows too long; len when nowhere. Line ends and spaces are one run for the
 * longer limit too: patterns take them together. */
static size_t run_end(const struct tokenizer *t, const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t run = 0, lines = 0;
	enum run_class before = RUN_MARK;
	for (size_t i = 0; i < len;) {
		enum run_class now = classify(s + i, len - i);
		bool same = now == before || (now == RUN_LINE && before == RUN_SPACE) ||
			    (now == RUN_SPACE && before == RUN_LINE);
		run = same ? run + 1 : 1;
		lines = now == RUN_LINE ? lines + 1 : 0;
		if (run > t->ops->run_max || lines > t->ops->newline_run_max)
			return i;
		before = now;
		i += char_len(s + i, len - i);
	}
	return len;
}

int tokens_add(struct tokens *ret, uint32_t id, uint32_t tokens_max, struct err *err)
{
	if (ret->len >= tokens_max)
		return err_set(err, -E2BIG, "the text has more than %u tokens", tokens_max);
	if (vec_push(ret, id) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

int tokenizer_encode_plain(const struct tokenizer *t, const char *text, size_t len, uint32_t tokens_max,
	struct tokens *ret, struct err *err)
{
	bool continues = false;
	while (len > 0) {
		size_t n = run_end(t, text, len);
		int code = t->ops->encode(t, text, n, continues, ret, err);
		if (code < 0)
			return code;
		if (ret->len > tokens_max)
			return err_set(err, -E2BIG, "the text has more than %u tokens", tokens_max);
		text += n;
		len -= n;
		continues = true;
	}
	return 0;
}

/* --- Encode ----------------------------------------------------------------------------------------------------- */

static int encode_segments(const struct tokenizer *t, const struct text_segments *segments, uint32_t tokens_max,
	struct tokens *ret, struct err *err)
{
	int code = 0;
	for (uint32_t i = 0; i < segments->len && code == 0; i++) {
		const struct text_segment *s = &segments->v[i];
		code = s->text ? tokenizer_encode_plain(t, s->text, s->len, tokens_max, ret, err)
			       : tokens_add(ret, s->id, tokens_max, err);
	}
	return code;
}

static int encode_inside(const struct tokenizer *t, const char *text, size_t len, unsigned flags, uint32_t tokens_max,
	struct tokens *ret, struct err *err)
{
	if (!(flags & TOKENIZE_SPECIAL))
		return tokenizer_encode_plain(t, text, len, tokens_max, ret, err);
	struct text_segments segments = {0};
	int code = tokenizer_segments(t, text, len, NULL, &segments);
	code = code < 0 ? err_set(err, code, "out of memory") : encode_segments(t, &segments, tokens_max, ret, err);
	vec_done(&segments);
	return code;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags, uint32_t tokens_max,
	struct tokens *ret, struct err *err)
{
	uint32_t before = ret->len;
	int code = 0;
	if ((flags & TOKENIZE_BOS_EOS) && t->add_bos && t->bos != TOKEN_NONE)
		code = tokens_add(ret, t->bos, tokens_max, err);
	if (code == 0)
		code = encode_inside(t, text, len, flags, tokens_max, ret, err);
	if (code == 0 && (flags & TOKENIZE_BOS_EOS) && t->add_eos && t->eos != TOKEN_NONE)
		code = tokens_add(ret, t->eos, tokens_max, err);
	if (code < 0)
		ret->len = before;
	return code;
}
