/* respond.c - tokens to what clients read, written by hand: on the token path nothing is allocated once the buffers are
 * warm, and the constant beginning of an event is copied. */
#include "base/json_out.h"
#include "frontend/completion.h"

static bool is_chat(const struct completion *c)
{
	return c->req.kind == API_CHAT;
}

/* The end of an event without finish reason: [usage is wanted]. */
#define OPEN_END ",\"finish_reason\":null}]}\n\n"
#define OPEN_END_USAGE ",\"finish_reason\":null}],\"usage\":null}\n\n"
static const size_t open_ends[2] = {sizeof OPEN_END - 1, sizeof OPEN_END_USAGE - 1};
/* Behind the text of an event without log-probabilities: [chat][usage is wanted]. */
static const char *const text_closes[2][2] = {
	{"\",\"logprobs\":null" OPEN_END, "\",\"logprobs\":null" OPEN_END_USAGE},
	{"\"},\"logprobs\":null" OPEN_END, "\"},\"logprobs\":null" OPEN_END_USAGE},
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

/* events of a stream */

static void event_begin(struct completion *c, const struct choice *ch)
{
	buf_add(out_of(c), c->head.data, c->head.len);
	json_out_u64(out_of(c), ch->index);
}

/* usage up to this event, as vLLM counts it: that of its choice. */
static void out_usage_so_far(struct completion *c, const struct choice *ch)
{
	uint64_t prompt = c->runs[ch->index / c->req.n]->prompt_len, total = prompt + ch->generated;

	buf_printf(out_of(c), ",\"usage\":{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu}",
		(unsigned long long)prompt, (unsigned long long)ch->generated, (unsigned long long)total);
}

static void event_end(struct completion *c, const struct choice *ch, const char *finish)
{
	if (finish)
		buf_printf(out_of(c), ",\"finish_reason\":\"%s\"}]", finish);
	else
		buf_add(out_of(c), ",\"finish_reason\":null}]", 23);
	if (c->req.continuous_usage)
		out_usage_so_far(c, ch);
	else if (c->req.include_usage)
		buf_add_str(out_of(c), ",\"usage\":null");
	buf_add(out_of(c), "}\n\n", 3);
}

/* The event that ends out is text of ch, and its end begins at at: a finish reason that comes in the same turn goes there. */
static void event_may_finish(struct completion *c, const struct choice *ch, size_t at)
{
	c->scratch->last = ch;
	c->scratch->last_end = at;
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
		buf_add_str(out_of(c), ",\"text\":\"");
		buf_add(out_of(c), echo->data, echo->len);
		buf_add_byte(out_of(c), '"');
	}
	buf_add_str(out_of(c), ",\"logprobs\":null");
	if (!is_chat(c))
		event_may_finish(c, ch, out_of(c)->len);
	event_end(c, ch, NULL);
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
	if (!c->req.logprobs && !c->req.continuous_usage) {
		buf_add_str(out_of(c), c->text_close);
		event_may_finish(c, ch, out_of(c)->len - open_ends[c->req.include_usage]);
		return;
	}
	if (is_chat(c))
		buf_add(out_of(c), "\"},\"logprobs\":", 14);
	else
		buf_add(out_of(c), "\",\"logprobs\":", 13);
	respond_logprobs(c, ch, from, to);
	event_may_finish(c, ch, out_of(c)->len);
	event_end(c, ch, NULL);
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
	if (c->scratch->last == ch && !out_of(c)->failed) {
		out_of(c)->len = c->scratch->last_end; /* the last text and the reason are one event */
	} else {
		event_begin(c, ch);
		buf_add_str(out_of(c), is_chat(c) ? ",\"delta\":{}" : ",\"text\":\"\"");
		buf_add_str(out_of(c), ",\"logprobs\":null");
	}
	event_end(c, ch, ch->finish);
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
		buf_add(out_of(c), echo->data, echo->len);
	}
	json_out_str_inside(out_of(c), buf_str(&ch->text), ch->text.len);
	buf_add_str(out_of(c), is_chat(c) ? "\",\"refusal\":null},\"logprobs\":" : "\",\"logprobs\":");
	respond_logprobs(c, ch, 0, ch->rendered);
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
