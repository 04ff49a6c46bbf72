/* tokenizer.c - what all kinds share: cutting at special tokens, bounding runs, begin and end tokens. */
#include "text/tokenizer.h"

#include "base/limits.h"
#include "text/tokenizer_impl.h"

#include <ctype.h>
#include <string.h>

/* A GGUF file's vocabulary by ourselves when it is of a kind that comes out exact, else by llama.cpp. */
static int create(struct tokenizer **ret, const char *spec, struct err *err)
{
	if (strcmp(spec, "byte") == 0)
		return tokenizer_byte_create(ret, err);
	int code = tokenizer_bpe_create(ret, spec, err);
	return code < 0 || *ret ? code : tokenizer_llama_create(ret, spec, err);
}

static void measure_tokens(struct tokenizer *t)
{
	t->token_bytes_max = 1;
	for (uint32_t id = 0; id < t->vocab; id++) {
		uint32_t len;
		token_table_piece(&t->table, id, &len);
		t->token_bytes_max = MAX(t->token_bytes_max, len);
	}
	for (uint32_t i = 0; i < t->controls.v.len; i++)
		t->token_bytes_max = MAX(t->token_bytes_max, t->controls.v.v[i].len);
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void note_special_text(struct tokenizer *t, const char *text, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if (text[i] == '\n' && is_letter(text[i - 1]))
			t->cuts_at_lines = false;
}

int tokenizer_load(struct tokenizer **ret, const char *spec, struct err *err)
{
	struct tokenizer *t = NULL;
	int code = create(&t, spec, err);
	if (code < 0)
		return code; /* each kind names the file */
	t->spec = strdup(spec);
	code = t->spec ? 0 : err_set(err, -ENOMEM, "out of memory");
	if (code == 0 && !t->table.at)
		code = token_table_build(&t->table, t, err);
	if (code < 0) {
		tokenizer_destroy(t);
		return code;
	}
	measure_tokens(t);
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

/* No splitter that llama.cpp has takes a letter and the line end behind it into one word, or looks from one at the other; but
 * a vocabulary may have user-defined tokens of both, and one for DNA has no words. */
bool cut_at_line(const struct tokenizer *t, const char *text, size_t len, size_t at)
{
	return t->cuts_at_lines && at + 1 < len && text[at] == '\n' && is_letter(text[at - 1]) &&
	       is_letter(text[at + 1]);
}

/* A place to cut in a long text, at i or before; 0: not here. *blank: the last space. */
static size_t part_end(const struct tokenizer *t, const char *text, size_t len, size_t i, size_t *blank)
{
	const struct tokenizer_ops *o = t->ops;

	if (i < o->part_bytes / 2 || i == 0)
		return 0;
	if ((o->can_cut ? o->can_cut : cut_at_line)(t, text, len, i))
		return i;
	if (text[i] == ' ')
		*blank = i;
	if (!o->part_bytes_max || i < o->part_bytes_max)
		return 0;
	return *blank ? *blank : i;
}

/* Where text must be cut because a run in it, or all of it, grows too long; len when nowhere. Line ends and spaces are one run
 * for the longer limit too: patterns take them together. */
static size_t run_end(const struct tokenizer *t, const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t run = 0, lines = 0, blank = 0;
	bool is_long = len > t->ops->part_bytes;
	enum run_class before = RUN_MARK;
	for (size_t i = 0; i < len;) {
		size_t part = is_long ? part_end(t, text, len, i, &blank) : 0;
		if (part)
			return part;
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

int encode_ended(int code, struct err *err)
{
	return err_set(err, code, code == -ENOMEM ? "out of memory" : "nobody waits for the tokens any more");
}

int tokenizer_encode_plain(const struct tokenizer *t, const char *text, size_t len, uint32_t tokens_max,
	struct budget *budget, struct tokens *ret, struct err *err)
{
	struct encode_job job = {.text = text, .tokens_max = tokens_max, .budget = budget};
	while (len > 0) {
		job.len = run_end(t, job.text, len);
		int code = budget_spend(budget, job.len / 16 + 1);
		code = code < 0 ? encode_ended(code, err) : t->ops->encode(t, &job, ret, err);
		if (code < 0)
			return code;
		if (ret->len > tokens_max)
			return err_set(err, -E2BIG, "the text has more than %u tokens", tokens_max);
		job.text += job.len;
		len -= job.len;
		job.continues = true;
	}
	return 0;
}

/* --- Encode ----------------------------------------------------------------------------------------------------- */

static int encode_segments(const struct tokenizer *t, const struct text_segments *segments, uint32_t tokens_max,
	struct budget *budget, struct tokens *ret, struct err *err)
{
	int code = 0;
	for (uint32_t i = 0; i < segments->len && code == 0; i++) {
		const struct text_segment *s = &segments->v[i];
		code = s->text ? tokenizer_encode_plain(t, s->text, s->len, tokens_max, budget, ret, err)
			       : tokens_add(ret, s->id, tokens_max, err);
	}
	return code;
}

/* The token that goes in front of a text (behind it), TOKEN_NONE when none does. beside is the text's own first (last). */
static uint32_t edge_token(uint32_t id, bool wanted, const struct text_segment *beside)
{
	bool there = beside && !beside->text && beside->id == id;

	return wanted && !there ? id : TOKEN_NONE;
}

static int encode_all(const struct tokenizer *t, const struct text_segments *segments, unsigned flags,
	uint32_t tokens_max, struct budget *budget, struct tokens *ret, struct err *err)
{
	bool edges = flags & TOKENIZE_BOS_EOS;
	uint32_t n = segments->len;
	uint32_t first = edge_token(t->bos, edges && t->add_bos, n ? &segments->v[0] : NULL);
	uint32_t last = edge_token(t->eos, edges && t->add_eos, n ? &segments->v[n - 1] : NULL);
	int code = first == TOKEN_NONE ? 0 : tokens_add(ret, first, tokens_max, err);

	code = code < 0 ? code : encode_segments(t, segments, tokens_max, budget, ret, err);
	return code < 0 || last == TOKEN_NONE ? code : tokens_add(ret, last, tokens_max, err);
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags, uint32_t tokens_max,
	struct tokens *ret, struct err *err)
{
	return tokenizer_encode_unless(t, text, len, flags, tokens_max, NULL, ret, err);
}

int tokenizer_encode_unless(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
	uint32_t tokens_max, const budget_flag *cancelled, struct tokens *ret, struct err *err)
{
	struct budget budget = {.cancelled = cancelled};
	uint32_t before = ret->len;
	struct text_segments segments = {0};
	budget_begin(&budget, 0);
	int code = flags & TOKENIZE_SPECIAL ? segments_cut(&t->controls, text, len, NULL, &segments)
					    : vec_push(&segments, ((struct text_segment){.text = text, .len = len}));
	code = code < 0 ? err_set(err, -ENOMEM, "out of memory")
			: encode_all(t, &segments, flags, tokens_max, &budget, ret, err);
	vec_done(&segments);
	if (code < 0)
		ret->len = before;
	return code;
}
