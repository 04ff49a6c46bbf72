/* respond.c - tokens to what clients read, written by hand: on the token path nothing is allocated once the buffers are
 * warm, and the constant beginning of an event is copied. */
#include "base/json_out.h"
#include "frontend/completion.h"

static bool is_chat(const struct completion *c)
{
	return c->req.kind == API_CHAT;
}

/* Behind the text of an event without log-probabilities: [chat][usage is wanted]. */
static const char *const text_closes[2][2] = {
	{"\",\"logprobs\":null,\"finish_reason\":null}]}\n\n",
		"\",\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"},
	{"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
		"\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"},
};

int respond_init(struct completion *c)
{
	struct buf *b = &c->head;
	const char *object = !is_chat(c)     ? "text_completion"
			     : c->req.stream ? "chat.completion.chunk"
					     : "chat.completion";

	buf_printf(b, "%s{\"id\":\"%s\",\"object\":\"%s\",\"created\":%llu,\"model\":", c->req.stream ? "data: " : "",
		c->id, object, (unsigned long long)(env_wall_us(c->fe->env) / 1000000));
	json_out_cstr(b, c->model->name);
	buf_add_str(b, ",\"choices\":[");
	c->object_len = (uint32_t)b->len;
	buf_add_str(b, "{\"index\":");
	c->text_open = is_chat(c) ? ",\"delta\":{\"content\":\"" : ",\"text\":\"";
	c->text_close = text_closes[is_chat(c)][c->req.include_usage];
	return b->failed ? -ENOMEM : 0;
}

/* log-probabilities */

/* OpenAI writes the impossible as -9999; JSON has no infinity. */
static void out_logprob(struct buf *out, float v)
{
	json_out_f64(out, v > -9999 ? (double)v : -9999.0);
}

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

static void take_piece(struct completion *c, uint32_t token)
{
	buf_reset(piece_of(c));
	tokenizer_piece(c->model->loaded.tokenizer, token, true, piece_of(c));
}

/* {"token":..,"logprob":..,"bytes":[..]   (left open) */
static void out_chat_token(struct completion *c, uint32_t token, float logprob)
{
	take_piece(c, token);
	buf_add_str(out_of(c), "{\"token\":");
	json_out_str(out_of(c), buf_str(piece_of(c)), piece_of(c)->len);
	buf_add_str(out_of(c), ",\"logprob\":");
	out_logprob(out_of(c), logprob);
	buf_add_str(out_of(c), ",\"bytes\":");
	out_bytes(out_of(c), piece_of(c));
}

static void out_chat_logprob(struct completion *c, const struct choice *ch, uint32_t i)
{
	uint32_t top = c->req.top_logprobs;

	out_chat_token(c, ch->in.tokens[i], ch->in.logprobs[i]);
	buf_add_str(out_of(c), ",\"top_logprobs\":[");
	for (uint32_t k = 0; k < top; k++) {
		if (k)
			buf_add_byte(out_of(c), ',');
		out_chat_token(c, ch->in.top_tokens[i * top + k], ch->in.top_logprobs[i * top + k]);
		buf_add_byte(out_of(c), '}');
	}
	buf_add_str(out_of(c), "]}");
}

/* The answer's tokens from..to; an end token is not text and has no entry. */
static bool has_entry(const struct completion *c, const struct choice *ch, uint32_t i)
{
	return !tokenizer_is_eog(c->model->loaded.tokenizer, ch->in.tokens[i]);
}

static void out_chat_logprobs(struct completion *c, const struct choice *ch, uint32_t from, uint32_t to)
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

static size_t count_chars(const struct buf *b)
{
	size_t n = 0;
	for (size_t i = 0; i < b->len; i++)
		n += ((unsigned char)b->data[i] & 0xc0) != 0x80;
	return n;
}

static void out_top_entry(struct completion *c, uint32_t token, float logprob, bool follows)
{
	take_piece(c, token);
	if (follows)
		buf_add_byte(out_of(c), ',');
	json_out_str(out_of(c), buf_str(piece_of(c)), piece_of(c)->len);
	buf_add_byte(out_of(c), ':');
	out_logprob(out_of(c), logprob);
}

/* The likeliest, and the token itself where it is none of them: up to top + 1 entries, as OpenAI documents. */
static void out_top_map(struct completion *c, const struct choice *ch, uint32_t i)
{
	uint32_t top = c->req.top_logprobs;
	bool listed = false;

	buf_add_byte(out_of(c), '{');
	for (uint32_t k = 0; k < top; k++) {
		out_top_entry(c, ch->in.top_tokens[i * top + k], ch->in.top_logprobs[i * top + k], k > 0);
		listed |= ch->in.top_tokens[i * top + k] == ch->in.tokens[i];
	}
	if (!listed)
		out_top_entry(c, ch->in.tokens[i], ch->in.logprobs[i], top > 0);
	buf_add_byte(out_of(c), '}');
}

/* The four lists of the older form, one after another. */
enum column { COLUMN_TOKENS, COLUMN_LOGPROBS, COLUMN_TOP, COLUMN_OFFSETS, COLUMN_COUNT };

static void out_cell(struct completion *c, struct choice *ch, uint32_t i, enum column column)
{
	switch (column) {
	case COLUMN_TOKENS:
		take_piece(c, ch->in.tokens[i]);
		json_out_str(out_of(c), buf_str(piece_of(c)), piece_of(c)->len);
		break;
	case COLUMN_LOGPROBS:
		out_logprob(out_of(c), ch->in.logprobs[i]);
		break;
	case COLUMN_TOP:
		out_top_map(c, ch, i);
		break;
	default:
		take_piece(c, ch->in.tokens[i]);
		json_out_u64(out_of(c), ch->text_chars);
		ch->text_chars += count_chars(piece_of(c));
	}
}

static void out_completion_logprobs(struct completion *c, struct choice *ch, uint32_t from, uint32_t to)
{
	static const char *const names[] = {
		"{\"tokens\":[", "],\"token_logprobs\":[", "],\"top_logprobs\":", "\"text_offset\":["};

	for (enum column column = 0; column < COLUMN_COUNT; column++) {
		const char *comma = "";
		buf_add_str(out_of(c), names[column]);
		if (column == COLUMN_TOP && !c->req.top_logprobs) {
			buf_add_str(out_of(c), "null,");
			continue;
		}
		if (column == COLUMN_TOP)
			buf_add_byte(out_of(c), '[');
		for (uint32_t i = from; i < to; i++) {
			if (!has_entry(c, ch, i))
				continue;
			buf_add_str(out_of(c), comma);
			out_cell(c, ch, i, column);
			comma = ",";
		}
		if (column == COLUMN_TOP)
			buf_add_str(out_of(c), "],");
	}
	buf_add_str(out_of(c), "]}");
}

static void out_logprobs(struct completion *c, struct choice *ch, uint32_t from, uint32_t to)
{
	if (!c->req.logprobs || from >= to)
		buf_add_str(out_of(c), "null");
	else if (is_chat(c))
		out_chat_logprobs(c, ch, from, to);
	else
		out_completion_logprobs(c, ch, from, to);
}

/* events of a stream */

static void event_begin(struct completion *c, const struct choice *ch)
{
	buf_add(out_of(c), c->head.data, c->head.len);
	json_out_u64(out_of(c), ch->index);
}

static void event_end(struct completion *c, const char *finish)
{
	if (finish)
		buf_printf(out_of(c), ",\"finish_reason\":\"%s\"}]", finish);
	else
		buf_add(out_of(c), ",\"finish_reason\":null}]", 23);
	if (c->req.include_usage)
		buf_add_str(out_of(c), ",\"usage\":null");
	buf_add(out_of(c), "}\n\n", 3);
}

/* What a choice's stream begins with: the role, or the prompt that is to be repeated. */
static void event_first(struct completion *c, struct choice *ch)
{
	ch->role_sent = true;
	if (!is_chat(c) && !c->req.echo)
		return;
	event_begin(c, ch);
	if (is_chat(c)) {
		buf_add_str(out_of(c), ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"}");
	} else {
		const struct api_text *echo = &c->echo[ch->index / c->req.n];
		buf_add_str(out_of(c), ",\"text\":");
		json_out_str(out_of(c), echo->data, echo->len);
	}
	buf_add_str(out_of(c), ",\"logprobs\":null");
	event_end(c, NULL);
}

/* One event: text, and the log-probabilities of tokens from..to. */
static void event_text(struct completion *c, struct choice *ch, const struct buf *text, uint32_t from, uint32_t to)
{
	if (!ch->role_sent)
		event_first(c, ch);
	if (!text->len && !(c->req.logprobs && from < to))
		return;
	event_begin(c, ch);
	buf_add_str(out_of(c), c->text_open);
	json_out_str_inside(out_of(c), buf_str(text), text->len);
	if (!c->req.logprobs) {
		buf_add_str(out_of(c), c->text_close);
		return;
	}
	if (is_chat(c))
		buf_add(out_of(c), "\"},\"logprobs\":", 14);
	else
		buf_add(out_of(c), "\",\"logprobs\":", 13);
	out_logprobs(c, ch, from, to);
	event_end(c, NULL);
}

static void give_text(struct completion *c, struct choice *ch, const struct buf *text, uint32_t from, uint32_t to)
{
	if (c->req.stream)
		event_text(c, ch, text, from, to);
	else if (buf_add(&ch->text, buf_str(text), text->len) < 0)
		out_of(c)->failed = true;
}

/* tokens to text */

/* What is in piece may pass on, but for what may become a stop string. True when one was found. */
static bool pass_stops(struct completion *c, struct choice *ch)
{
	buf_reset(clean_of(c));
	int found = stop_scan_push(ch->scan, buf_str(piece_of(c)), piece_of(c)->len, clean_of(c), NULL);
	if (found == STOP_NONE)
		return false;
	if (c->req.keep_stop) {
		struct stop_string stop = stops_get(c->stops, found);
		buf_add(clean_of(c), stop.text, stop.len);
	}
	return true;
}

static bool is_stop_token(const struct completion *c, uint32_t token)
{
	for (uint32_t i = 0; i < c->req.stop_tokens.len; i++)
		if (c->req.stop_tokens.v[i] == token)
			return true;
	return false;
}

/* What follows is not text; the worker need not go on. */
static void stop_here(struct choice *ch)
{
	ch->state = CHOICE_DONE;
	ch->finish = "stop";
	ch->in.taken = ch->in.len;
	choice_cancel(ch);
}

static void one_token(struct completion *c, struct choice *ch)
{
	uint32_t i = ch->in.taken++, token = ch->in.tokens[i];
	bool is_end = tokenizer_is_eog(c->model->loaded.tokenizer, token);

	c->generated_tokens++;
	ch->generated++;
	if (c->req.stop_tokens.len && ch->rendered >= c->req.min_tokens && is_stop_token(c, token)) {
		stop_here(ch);
		return;
	}
	ch->rendered++;
	buf_reset(piece_of(c));
	if (!is_end && detok_push(&ch->detok, token, piece_of(c)) < 0)
		out_of(c)->failed = true;
	if (!ch->scan) {
		give_text(c, ch, piece_of(c), i, i + !is_end);
		return;
	}
	ch->stopped = pass_stops(c, ch);
	give_text(c, ch, clean_of(c), i, i + !is_end);
	if (ch->stopped)
		stop_here(ch);
}

void respond_tokens(struct completion *c, struct choice *ch)
{
	while (ch->in.taken < ch->in.len && (!c->req.stream || out_of(c)->len < COMPLETION_QUEUED_BYTES))
		one_token(c, ch);
}

void respond_finish(struct completion *c, struct choice *ch)
{
	ASSERT(ch->state == CHOICE_DONE);
	if (!ch->stopped) {
		buf_reset(piece_of(c));
		if (detok_finish(&ch->detok, piece_of(c)) < 0)
			out_of(c)->failed = true;
		if (ch->scan && pass_stops(c, ch)) {
			ch->finish = "stop";
			give_text(c, ch, clean_of(c), 0, 0);
		} else if (ch->scan) {
			stop_scan_finish(ch->scan, clean_of(c));
			give_text(c, ch, clean_of(c), 0, 0);
		} else {
			give_text(c, ch, piece_of(c), 0, 0);
		}
	}
	ch->state = CHOICE_ENDED;
	c->choices_open--;
	if (!c->req.stream)
		return;
	event_begin(c, ch);
	buf_add_str(out_of(c), is_chat(c) ? ",\"delta\":{}" : ",\"text\":\"\"");
	buf_add_str(out_of(c), ",\"logprobs\":null");
	event_end(c, ch->finish);
}

static void out_usage(struct completion *c)
{
	buf_add_str(out_of(c), "\"usage\":{\"prompt_tokens\":");
	json_out_u64(out_of(c), c->prompt_tokens);
	buf_add_str(out_of(c), ",\"completion_tokens\":");
	json_out_u64(out_of(c), c->generated_tokens);
	buf_add_str(out_of(c), ",\"total_tokens\":");
	json_out_u64(out_of(c), c->prompt_tokens + c->generated_tokens);
	buf_add_str(out_of(c), ",\"prompt_tokens_details\":{\"cached_tokens\":");
	json_out_u64(out_of(c), c->cached_tokens);
	buf_add_str(out_of(c), "}}");
}

void respond_stream_end(struct completion *c)
{
	if (c->req.include_usage) {
		buf_add(out_of(c), c->head.data, c->object_len);
		buf_add_str(out_of(c), "],");
		out_usage(c);
		buf_add_str(out_of(c), "}\n\n");
	}
	buf_add_str(out_of(c), "data: [DONE]\n\n");
}

void respond_stream_error(struct completion *c, const struct api_error *e)
{
	buf_reset(out_of(c));
	buf_add_str(out_of(c), "data: ");
	api_error_json(out_of(c), e);
	buf_add_str(out_of(c), "\n\n");
}

static void out_whole_choice(struct completion *c, struct choice *ch)
{
	buf_add_str(out_of(c), "{\"index\":");
	json_out_u64(out_of(c), ch->index);
	buf_add_str(out_of(c), is_chat(c) ? ",\"message\":{\"role\":\"assistant\",\"content\":\"" : ",\"text\":\"");
	if (c->req.echo) {
		const struct api_text *echo = &c->echo[ch->index / c->req.n];
		json_out_str_inside(out_of(c), echo->data, echo->len);
	}
	json_out_str_inside(out_of(c), buf_str(&ch->text), ch->text.len);
	buf_add_str(out_of(c), is_chat(c) ? "\",\"refusal\":null},\"logprobs\":" : "\",\"logprobs\":");
	out_logprobs(c, ch, 0, ch->rendered);
	buf_printf(out_of(c), ",\"finish_reason\":\"%s\"}", ch->finish);
}

void respond_whole(struct completion *c)
{
	buf_add(out_of(c), c->head.data, c->object_len);
	for (uint32_t i = 0; i < c->choices_len; i++) {
		if (i)
			buf_add_byte(out_of(c), ',');
		out_whole_choice(c, &c->choices[i]);
	}
	buf_add_str(out_of(c), "],");
	out_usage(c);
	buf_add_byte(out_of(c), '}');
}
