/* logprobs.c - log-probabilities as clients read them: a list of tokens with their bytes (chat), or the four lists of the older
 * form (completions). */
#include "base/json_out.h"
#include "base/utf8.h"
#include "frontend/completion.h"

/* OpenAI writes the impossible as -9999; JSON has no infinity. */
static void out_logprob(struct buf *out, float v)
{
	json_out_f64(out, v > -9999 ? (double)v : -9999.0);
}

/* An end token is not text and has no entry. */
static bool has_entry(const struct completion *c, const struct choice *ch, uint32_t i)
{
	return !tokenizer_is_eog(c->model->loaded.tokenizer, ch->in.tokens[i]);
}

static void take_piece(struct completion *c, uint32_t token)
{
	buf_reset(piece_of(c));
	tokenizer_piece(c->model->loaded.tokenizer, token, true, piece_of(c));
}

static void add_id_name(struct buf *name, uint32_t token)
{
	buf_printf(name, "token_id:%u", token);
}

/* chat */

static void out_bytes(struct buf *out, const struct buf *piece)
{
	buf_add_byte(out, '[');
	for (size_t i = 0; i < piece->len; i++) {
		if (i)
			buf_add_byte(out, ',');
		json_out_u64(out, (unsigned char)piece->data[i]);
	}
	buf_add_byte(out, ']');
}

/* {"token":..,"logprob":..,"bytes":[..]   (left open) */
static void out_chat_token(struct completion *c, const struct choice *ch, uint32_t token, float logprob)
{
	take_piece(c, token);
	/* A space that the vocabulary puts before the first word is not of the answer. */
	if (!ch->told && tokenizer_adds_space(c->model->loaded.tokenizer) && buf_str(piece_of(c))[0] == ' ')
		buf_consume(piece_of(c), 1);
	buf_add_str(out_of(c), "{\"token\":");
	if (c->req.tokens_as_ids) {
		buf_reset(clean_of(c));
		add_id_name(clean_of(c), token);
		json_out_cstr(out_of(c), buf_str(clean_of(c)));
	} else {
		json_out_str(out_of(c), buf_str(piece_of(c)), piece_of(c)->len);
	}
	buf_add_str(out_of(c), ",\"logprob\":");
	out_logprob(out_of(c), logprob);
	buf_add_str(out_of(c), ",\"bytes\":");
	out_bytes(out_of(c), piece_of(c));
}

static void out_chat_logprob(struct completion *c, struct choice *ch, uint32_t i)
{
	uint32_t top = c->req.top_logprobs;

	out_chat_token(c, ch, ch->in.tokens[i], ch->in.logprobs[i]);
	buf_add_str(out_of(c), ",\"top_logprobs\":[");
	for (uint32_t k = 0; k < top; k++) {
		if (k)
			buf_add_byte(out_of(c), ',');
		out_chat_token(c, ch, ch->in.top_tokens[i * top + k], ch->in.top_logprobs[i * top + k]);
		buf_add_byte(out_of(c), '}');
	}
	buf_add_str(out_of(c), "]}");
	ch->told++;
}

static void out_chat(struct completion *c, struct choice *ch, uint32_t from, uint32_t to)
{
	const char *comma = "";

	buf_add_str(out_of(c), "{\"content\":[");
	for (uint32_t i = from; i < to; i++) {
		if (!has_entry(c, ch, i))
			continue;
		buf_add_str(out_of(c), comma);
		out_chat_logprob(c, ch, i);
		comma = ",";
	}
	buf_add_str(out_of(c), "],\"refusal\":null}");
}

/* completions: tokens are keys of an object, so each has a name of its own */

/* Its text; where that is no text by itself (a part of a character) its bytes, in OpenAI's spelling. */
static void add_name(struct completion *c, uint32_t token, struct buf *name)
{
	if (c->req.tokens_as_ids) {
		add_id_name(name, token);
		return;
	}
	take_piece(c, token);
	const struct buf *piece = piece_of(c);
	if (utf8_valid(buf_str(piece), piece->len)) {
		buf_add(name, buf_str(piece), piece->len);
		return;
	}
	buf_add_str(name, "bytes:");
	for (size_t i = 0; i < piece->len; i++) {
		unsigned char byte = (unsigned char)piece->data[i];
		if (byte >= ' ' && byte < 0x7f && byte != '\\')
			buf_add_byte(name, byte);
		else
			buf_printf(name, "\\x%02x", byte);
	}
}

/* Names in clean, one behind the other. */
struct names {
	uint32_t begin[TOP_LOGPROBS_MAX + 2], len;
};

static void names_begin(struct completion *c, struct names *names)
{
	buf_reset(clean_of(c));
	*names = (struct names){0};
}

static const char *name_get(const struct completion *c, const struct names *names, uint32_t i, size_t *ret_len)
{
	*ret_len = names->begin[i + 1] - names->begin[i];
	return buf_str(clean_of(c)) + names->begin[i];
}

static bool is_taken(const struct completion *c, const struct names *names)
{
	size_t len, other_len;
	const char *last = name_get(c, names, names->len - 1, &len);

	for (uint32_t i = 0; i + 1 < names->len; i++) {
		const char *other = name_get(c, names, i, &other_len);
		if (other_len == len && !memcmp(last, other, len))
			return true;
	}
	return false;
}

/* Two tokens of some vocabularies have one text: the later one is called by its id. */
static void name_add(struct completion *c, struct names *names, uint32_t token)
{
	struct buf *text = clean_of(c);

	add_name(c, token, text);
	names->begin[++names->len] = (uint32_t)text->len;
	if (!is_taken(c, names))
		return;
	text->len = names->begin[names->len - 1];
	add_id_name(text, token);
	names->begin[names->len] = (uint32_t)text->len;
}

static void out_top_entry(struct completion *c, const struct names *names, uint32_t name, float logprob, bool follows)
{
	size_t len;
	const char *text = name_get(c, names, name, &len);

	if (follows)
		buf_add_byte(out_of(c), ',');
	json_out_str(out_of(c), text, len);
	buf_add_byte(out_of(c), ':');
	out_logprob(out_of(c), logprob);
}

/* The likeliest, and the token itself where it is none of them: up to top + 1 entries, as OpenAI documents; with top 0 that alone,
 * as vLLM has it. The token itself has its name first, so that it is found by what "tokens" calls it. */
static void out_top_map(struct completion *c, const struct choice *ch, uint32_t i)
{
	uint32_t top = c->req.top_logprobs, self = ch->in.tokens[i];
	const uint32_t *tokens = ch->in.top_tokens + (size_t)i * top;
	const float *values = ch->in.top_logprobs + (size_t)i * top;
	struct names names;
	bool listed = false;

	names_begin(c, &names);
	name_add(c, &names, self);
	buf_add_byte(out_of(c), '{');
	for (uint32_t k = 0; k < top; k++) {
		bool is_self = tokens[k] == self;
		if (!is_self)
			name_add(c, &names, tokens[k]);
		out_top_entry(c, &names, is_self ? 0 : names.len - 1, values[k], k > 0);
		listed |= is_self;
	}
	if (!listed)
		out_top_entry(c, &names, 0, ch->in.logprobs[i], top > 0);
	buf_add_byte(out_of(c), '}');
}

static size_t count_chars(const struct buf *b)
{
	size_t n = 0;
	for (size_t i = 0; i < b->len; i++)
		n += ((unsigned char)b->data[i] & 0xc0) != 0x80;
	return n;
}

/* Where the character begins that the token begins or goes on with. */
static void out_offset(struct completion *c, struct choice *ch, uint32_t token)
{
	json_out_u64(out_of(c), ch->text_chars);
	buf_reset(piece_of(c));
	if (detok_push(&ch->told_text, token, piece_of(c)) < 0)
		out_of(c)->failed = true;
	ch->text_chars += count_chars(piece_of(c));
}

/* The four lists, one after another. */
enum column { COLUMN_TOKENS, COLUMN_LOGPROBS, COLUMN_TOP, COLUMN_OFFSETS, COLUMN_COUNT };

static void out_cell(struct completion *c, struct choice *ch, uint32_t i, enum column column)
{
	switch (column) {
	case COLUMN_TOKENS:
		buf_reset(clean_of(c));
		add_name(c, ch->in.tokens[i], clean_of(c));
		json_out_str(out_of(c), buf_str(clean_of(c)), clean_of(c)->len);
		break;
	case COLUMN_LOGPROBS:
		out_logprob(out_of(c), ch->in.logprobs[i]);
		break;
	case COLUMN_TOP:
		out_top_map(c, ch, i);
		break;
	default:
		out_offset(c, ch, ch->in.tokens[i]);
	}
}

static void out_completion(struct completion *c, struct choice *ch, uint32_t from, uint32_t to)
{
	static const char *const names[] = {
		"{\"tokens\":[", "],\"token_logprobs\":[", "],\"top_logprobs\":[", "],\"text_offset\":["};

	for (enum column column = 0; column < COLUMN_COUNT; column++) {
		const char *comma = "";
		buf_add_str(out_of(c), names[column]);
		for (uint32_t i = from; i < to; i++) {
			if (!has_entry(c, ch, i))
				continue;
			buf_add_str(out_of(c), comma);
			out_cell(c, ch, i, column);
			comma = ",";
		}
	}
	buf_add_str(out_of(c), "]}");
}

void respond_logprobs(struct completion *c, struct choice *ch, uint32_t from, uint32_t to)
{
	if (!c->req.logprobs || from >= to)
		buf_add_str(out_of(c), "null");
	else if (c->req.kind == API_CHAT)
		out_chat(c, ch, from, to);
	else
		out_completion(c, ch, from, to);
}
