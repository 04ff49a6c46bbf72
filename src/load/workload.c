#include "load/workload.h"
#include "base/json_out.h"

#include <stdio.h>

/* Short, frequent words: with a blank before them one token each in every vocabulary looked at. */
static const char *const words[] = {"the", "and", "for", "are", "but", "not", "you", "all", "any", "can", "her", "was",
	"one", "our", "out", "day", "get", "has", "him", "his", "how", "man", "new", "now", "old", "see", "two", "way",
	"who", "boy", "did", "its", "let", "put", "say", "she", "too", "use", "that", "with", "have", "this", "will",
	"your", "from", "they", "know", "want", "been", "good", "much", "some", "time", "very", "when", "come", "here",
	"just", "like", "long", "make", "many", "more", "only"};
_Static_assert(ARRAY_LEN(words) == 64, "a word takes six bits of a draw");

/* The same key gives the same words. */
static void words_add(struct buf *out, uint64_t seed, uint64_t key, uint32_t count)
{
	uint64_t stream = rng_keyed_u64(seed, key);

	for (uint32_t i = 0; i < count; i++) {
		buf_add_byte(out, ' ');
		buf_add_str(out, words[rng_keyed_u64(stream, i / 10) >> (i % 10 * 6) & 63]);
	}
}

static uint32_t between(struct rng *r, uint32_t min, uint32_t max)
{
	return max > min ? min + (uint32_t)rng_below(r, (uint64_t)max - min + 1) : min;
}

void session_begin(struct session *s, const struct workload *w, uint64_t n)
{
	if (s->w)
		buf_reset(&s->history);
	else
		buf_init(&s->history, WORKLOAD_BODY_BYTES_MAX);
	s->w = w;
	rng_init(&s->rng, rng_keyed_u64(w->seed, n));
	s->group = w->prefix_groups > 1 ? (uint32_t)rng_below(&s->rng, w->prefix_groups) : 0;
	s->turn = s->output = 0;
}

void session_done(struct session *s)
{
	if (s->w)
		buf_done(&s->history);
	*s = (struct session){0};
}

static void message_begin(struct buf *out, const char *role)
{
	if (out->len)
		buf_add_byte(out, ',');
	buf_printf(out, "{\"role\":\"%s\",\"content\":\"", role);
}

static void turn_add(struct session *s)
{
	bool chat = s->w->endpoint == WORKLOAD_CHAT;

	if (s->turn == 0 && s->w->prefix_words) {
		if (chat)
			message_begin(&s->history, "system");
		words_add(&s->history, s->w->seed, s->group, s->w->prefix_words);
		if (chat)
			buf_add_str(&s->history, "\"}");
	}
	if (chat)
		message_begin(&s->history, "user");
	words_add(&s->history, rng_u64(&s->rng), 0, between(&s->rng, s->w->prompt_min, s->w->prompt_max));
	if (chat)
		buf_add_str(&s->history, "\"}");
}

static void body_begin(const struct workload *w, uint32_t max_tokens, struct buf *out)
{
	buf_reset(out);
	buf_add_str(out, "{\"model\":");
	json_out_cstr(out, w->model);
	buf_printf(out,
		",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":%u,\"temperature\":",
		max_tokens);
	json_out_f64(out, w->temperature);
	if (w->ignore_eos)
		buf_add_str(out, ",\"ignore_eos\":true");
	buf_add_str(out, w->endpoint == WORKLOAD_CHAT ? ",\"messages\":[" : ",\"prompt\":\"");
}

static int body_end(const struct workload *w, struct buf *out, struct err *err)
{
	buf_add_str(out, w->endpoint == WORKLOAD_CHAT ? "]}" : "\"}");
	if (out->failed)
		return err_set(err, -E2BIG, "a request of more than %d MiB is too long to send",
			WORKLOAD_BODY_BYTES_MAX / 1024 / 1024);
	return 0;
}

int session_ask(struct session *s, struct buf *out, struct err *err)
{
	turn_add(s);
	s->turn++;
	s->output = between(&s->rng, s->w->output_min, s->w->output_max);
	body_begin(s->w, s->output, out);
	buf_add(out, s->history.data, s->history.len);
	out->failed |= s->history.failed;
	return body_end(s->w, out, err);
}

void session_answered(struct session *s, const char *text, size_t len)
{
	if (s->w->endpoint == WORKLOAD_COMPLETIONS) {
		json_out_str_inside(&s->history, text, len);
		return;
	}
	buf_add_str(&s->history, ",{\"role\":\"assistant\",\"content\":");
	json_out_str(&s->history, text, len);
	buf_add_byte(&s->history, '}');
}

int workload_row_body(
	const struct workload *w, const struct workload_row *row, uint32_t n, struct buf *out, struct err *err)
{
	uint32_t left = row->prompt_tokens;

	body_begin(w, MAX(row->output_tokens, 1u), out);
	if (w->endpoint == WORKLOAD_CHAT)
		buf_add_str(out, "{\"role\":\"user\",\"content\":\"");
	for (uint32_t i = 0; i < row->hashes_count && left >= w->block_tokens; i++, left -= w->block_tokens)
		words_add(out, w->seed, row->hashes[i], w->block_tokens);
	words_add(out, ~w->seed, n, left);
	if (w->endpoint == WORKLOAD_CHAT)
		buf_add_str(out, "\"}");
	return body_end(w, out, err);
}
