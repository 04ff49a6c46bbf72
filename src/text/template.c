/* template.c - from messages to tokens: render, cut, tokenize each segment (or remember it).
 *
 * A control token counts only where the template wrote it. Two independent means see to that: the renderer says which
 * text came from the caller (parts), but some template filters lose that mark; so control texts inside the caller's
 * strings are also veiled before rendering, and unveiled in the result. A veil is a short run of noncharacters: U+FDD0,
 * then each byte of the text's index as two of U+FDE0..U+FDEF (its halves), then U+FDD1 Noncharacters that the caller
 * sent are not let through to a template whose other text is veiled. */
#include "text/template.h"

#include "base/limits.h"
#include "text/segment_cache.h"
#include "text/tokenizer_impl.h"

#include <string.h>

struct chat_template {
	const struct tokenizer *tokenizer;
	struct ll_template *jinja;
	struct segment_cache *cache;
	size_t cache_bytes_max;
	bool user_specials;
	char *bos, *eos; /* their texts */
};

enum {
	PROMPT_BYTES_MAX = HTTP_BODY_BYTES_MAX * 2, /* a template adds its own words to what a body can carry */
	/* The render counts veils, and blanks that go; what a template may build on the way is more than the prompt. */
	RENDER_BYTES_FACTOR = 8,
	RENDER_BYTES_MIN = 1024 * 1024,
	CACHE_SEGMENT_BYTES_MIN = 16, /* shorter ones tokenize quicker than they are looked up */
};

/* --- Load ------------------------------------------------------------------------------------------------------- */

static int token_text(const struct tokenizer *t, uint32_t id, char **ret)
{
	struct buf text;
	buf_init(&text, 4096);
	int code = id == TOKEN_NONE ? 0 : tokenizer_piece(t, id, true, &text);
	if (code == 0)
		*ret = strdup(buf_str(&text));
	buf_done(&text);
	return code < 0 || !*ret ? -ENOMEM : 0;
}

int chat_template_load(struct chat_template **ret, const struct tokenizer *t, const struct chat_template_params *params,
	struct err *err)
{
	const struct chat_template_params none = {0};
	const struct chat_template_params *p = params ? params : &none;
	const char *source = p->source ? p->source : tokenizer_template(t);
	if (!source)
		return err_set(err, -ENOENT, "the model has no chat template");
	struct chat_template *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->tokenizer = t;
	c->user_specials = p->user_specials;
	c->cache_bytes_max = p->cache_bytes_max ? p->cache_bytes_max : TEXT_CACHE_BYTES_MAX;
	int code = ll_template_create(&c->jinja, source, strlen(source), err);
	if (code == 0)
		code = segment_cache_create(&c->cache, c->cache_bytes_max, err);
	if (code == 0 && (token_text(t, t->bos, &c->bos) < 0 || token_text(t, t->eos, &c->eos) < 0))
		code = err_set(err, -ENOMEM, "out of memory");
	if (code < 0) {
		chat_template_destroy(c);
		return code;
	}
	*ret = c;
	return 0;
}

void chat_template_destroy(struct chat_template *c)
{
	if (!c)
		return;
	ll_template_destroy(c->jinja);
	segment_cache_destroy(c->cache);
	free(c->bos);
	free(c->eos);
	free(c);
}

const struct ll_template_caps *chat_template_caps(const struct chat_template *c)
{
	return ll_template_caps(c->jinja);
}

void chat_template_stats(const struct chat_template *c, struct chat_cache_stats *ret)
{
	*ret = (struct chat_cache_stats){.bytes_max = c->cache_bytes_max};
	segment_cache_stats(c->cache, &ret->hits, &ret->misses, &ret->bytes_used);
}

/* --- Veil ------------------------------------------------------------------------------------------------------- */

static const char NONCHAR[] = "\xef\xb7"; /* U+FDD0..U+FDEF are ef b7 90..af */
enum { VEIL_OPEN = 0x90, VEIL_CLOSE = 0x91, VEIL_DIGIT = 0xa0, VEIL_INDEX_BYTES = 4 };
enum { VEIL_LEN = 3 * (2 + 2 * VEIL_INDEX_BYTES) };

static bool is_nonchar(const char *s, size_t len)
{
	return len >= 3 && memcmp(s, NONCHAR, 2) == 0 && (uint8_t)s[2] >= 0x90 && (uint8_t)s[2] <= 0xaf;
}

static void add_nonchar(struct buf *b, uint8_t last)
{
	buf_add(b, NONCHAR, 2);
	buf_add_byte(b, last);
}

static void add_veil(struct buf *b, uint32_t rank)
{
	add_nonchar(b, VEIL_OPEN);
	for (int shift = VEIL_INDEX_BYTES * 8 - 4; shift >= 0; shift -= 4)
		add_nonchar(b, (uint8_t)(VEIL_DIGIT + (rank >> shift & 15)));
	add_nonchar(b, VEIL_CLOSE);
}

/* Is there a veil at s? Then its rank. */
static bool read_veil(const char *s, size_t len, uint32_t *ret)
{
	if (len < VEIL_LEN || !is_nonchar(s, len) || (uint8_t)s[2] != VEIL_OPEN)
		return false;
	uint32_t rank = 0;
	for (int i = 0; i < 2 * VEIL_INDEX_BYTES; i++) {
		const char *digit = s + 3 * (i + 1);
		if (!is_nonchar(digit, 3) || (uint8_t)digit[2] < VEIL_DIGIT)
			return false;
		rank = rank << 4 | ((uint8_t)digit[2] - VEIL_DIGIT);
	}
	*ret = rank;
	return is_nonchar(s + VEIL_LEN - 3, 3) && (uint8_t)s[VEIL_LEN - 1] == VEIL_CLOSE;
}

/* The renderer's guard: veil control texts, drop the caller's own noncharacters. 0: nothing to change. */
static int veil(void *ctx, const char *text, size_t len, struct buf *ret)
{
	const struct chat_template *c = ctx;
	const struct specials *controls = &c->tokenizer->controls;
	size_t done = 0;
	bool changed = false;
	for (size_t i = 0; i < len;) {
		int32_t rank = specials_longest(controls, text + i, len - i);
		bool drop = rank < 0 && is_nonchar(text + i, len - i);
		if (rank < 0 && !drop) {
			i++;
			continue;
		}
		buf_add(ret, text + done, i - done);
		if (rank >= 0)
			add_veil(ret, (uint32_t)rank);
		else
			buf_add_str(ret, "\xef\xbf\xbd");
		i += rank >= 0 ? controls->v.v[rank].len : 3;
		done = i;
		changed = true;
	}
	if (changed)
		buf_add(ret, text + done, len - done);
	return ret->failed ? -ENOMEM : changed;
}

/* --- Render ----------------------------------------------------------------------------------------------------- */

/* The prompt and which of it may hold control tokens. */
struct prompt {
	struct buf text;
	struct text_ranges trusted;
};

static void prompt_done(struct prompt *p)
{
	buf_done(&p->text);
	vec_done(&p->trusted);
}

static int trust(struct prompt *p, size_t begin)
{
	size_t end = p->text.len;
	struct text_ranges *r = &p->trusted;
	if (begin == end)
		return 0;
	if (r->len > 0 && r->v[r->len - 1].end == begin) {
		r->v[r->len - 1].end = end;
		return 0;
	}
	return vec_push(r, ((struct text_range){begin, end}));
}

/* Append a part, lifting veils: what was under one is the caller's. */
static int add_part(const struct chat_template *c, const struct ll_part *part, struct prompt *p)
{
	size_t done = 0, begin = p->text.len;
	const char *next = part->text;
	int code = 0;
	while (code == 0 && (next = memmem(part->text + done, part->len - done, NONCHAR, 2))) {
		size_t at = (size_t)(next - part->text);
		uint32_t rank = 0;
		bool veiled = read_veil(next, part->len - at, &rank) && rank < c->tokenizer->controls.v.len;
		size_t skip = veiled ? (size_t)VEIL_LEN : 2;
		code = buf_add(&p->text, part->text + done, at - done + (veiled ? 0 : skip));
		if (code == 0 && veiled) {
			code = part->is_input ? 0 : trust(p, begin);
			code = code < 0 ? code
					: tokenizer_piece(
						  c->tokenizer, c->tokenizer->controls.v.v[rank].id, true, &p->text);
			begin = p->text.len;
		}
		done = at + skip;
	}
	code = code < 0 ? code : buf_add(&p->text, part->text + done, part->len - done);
	return code < 0 || part->is_input ? code : trust(p, begin);
}

/* A text of so many bytes has more than tokens_max tokens, or is more than any may be. */
static size_t render_bytes_max(const struct chat_template *c, uint32_t tokens_max)
{
	uint64_t bytes = (uint64_t)tokens_max * c->tokenizer->token_bytes_max * RENDER_BYTES_FACTOR;

	for (uint32_t i = 0; i < c->tokenizer->controls.v.len; i++)
		if (c->tokenizer->controls.v.v[i].strip_left || c->tokenizer->controls.v.v[i].strip_right)
			return PROMPT_BYTES_MAX; /* a token may be any number of blanks */
	return (size_t)MIN(MAX(bytes, (uint64_t)RENDER_BYTES_MIN), (uint64_t)PROMPT_BYTES_MAX);
}

static int render(const struct chat_template *c, const struct chat_request *in, struct prompt *ret, struct err *err)
{
	struct ll_render r = {
		.messages = in->messages,
		.message_count = in->message_count,
		.bos = c->bos,
		.eos = c->eos,
		.add_generation_prompt = !in->no_generation_prompt,
		.enable_thinking = !in->no_thinking,
		.date = in->date,
		.tools_json = in->tools_json,
		.kwargs_json = in->kwargs_json,
		.bytes_max = render_bytes_max(c, in->tokens_max),
		.cpu_ms_max = TEMPLATE_CPU_MS_MAX,
		.cancelled = in->cancelled,
		.guard = c->user_specials ? NULL : veil,
		.guard_ctx = (void *)(uintptr_t)c,
	};
	struct ll_parts parts = {0};
	int code = ll_template_render(c->jinja, &r, &parts, err);
	if (code == -E2BIG && r.bytes_max == PROMPT_BYTES_MAX)
		return err_set(err, -EFBIG, "the prompt has more than %d bytes", PROMPT_BYTES_MAX);
	if (code < 0)
		return code;
	for (uint32_t i = 0; i < parts.len && code == 0; i++)
		code = add_part(c, &parts.v[i], ret);
	ll_parts_done(&parts);
	return code < 0 ? err_set(err, code, "out of memory") : 0;
}

/* --- Tokenize --------------------------------------------------------------------------------------------------- */

static int encode_segment(const struct chat_template *c, const struct text_segment *s, uint32_t tokens_max,
	struct budget *budget, struct tokens *ret, struct err *err)
{
	bool worth = s->len >= CACHE_SEGMENT_BYTES_MIN;
	int known = worth ? segment_cache_get(c->cache, s->text, s->len, ret) : 0;
	if (known < 0)
		return err_set(err, known, "out of memory");
	uint32_t before = ret->len;
	int code = known ? 0 : tokenizer_encode_plain(c->tokenizer, s->text, s->len, tokens_max, budget, ret, err);
	if (code == 0 && ret->len > tokens_max)
		code = err_set(err, -E2BIG, "the text has more than %u tokens", tokens_max);
	if (code == 0 && worth && !known)
		segment_cache_put(c->cache, s->text, s->len, ret->v + before, ret->len - before);
	return code;
}

/* A model that wants a begin token gets exactly one, whether or not its template writes it. */
static int add_bos(const struct chat_template *c, const struct text_segments *segments, uint32_t tokens_max,
	struct tokens *ret, struct err *err)
{
	const struct tokenizer *t = c->tokenizer;
	bool there = segments->len > 0 && !segments->v[0].text && segments->v[0].id == t->bos;
	if (!t->add_bos || t->bos == TOKEN_NONE || there)
		return 0;
	return tokens_add(ret, t->bos, tokens_max, err);
}

static int encode_prompt(const struct chat_template *c, const struct prompt *p, const struct chat_request *in,
	struct tokens *ret, struct err *err)
{
	struct budget budget = {.cancelled = in->cancelled};
	uint32_t tokens_max = in->tokens_max;
	struct text_segments segments = {0};
	const struct text_ranges *trusted = c->user_specials ? NULL : &p->trusted;
	budget_begin(&budget, 0);
	int code = segments_cut(&c->tokenizer->controls, buf_str(&p->text), p->text.len, trusted, &segments);
	if (code < 0)
		err_set(err, code, "out of memory");
	else
		code = add_bos(c, &segments, tokens_max, ret, err);
	for (uint32_t i = 0; i < segments.len && code == 0; i++)
		code = segments.v[i].text ? encode_segment(c, &segments.v[i], tokens_max, &budget, ret, err)
					  : tokens_add(ret, segments.v[i].id, tokens_max, err);
	vec_done(&segments);
	return code;
}

int chat_render(const struct chat_template *c, const struct chat_request *in, struct tokens *ret, struct err *err)
{
	struct prompt p = {0};
	buf_init(&p.text, PROMPT_BYTES_MAX);
	uint32_t before = ret->len;
	int code = render(c, in, &p, err);
	code = code < 0 ? code : encode_prompt(c, &p, in, ret, err);
	if (code < 0)
		ret->len = before;
	prompt_done(&p);
	return code;
}

int chat_render_text(const struct chat_template *c, const struct chat_request *in, struct buf *ret, struct err *err)
{
	struct prompt p = {0};
	buf_init(&p.text, PROMPT_BYTES_MAX);
	int code = render(c, in, &p, err);
	if (code == 0 && buf_add(ret, buf_str(&p.text), p.text.len) < 0)
		code = err_set(err, -ENOMEM, "out of memory");
	prompt_done(&p);
	return code;
}
