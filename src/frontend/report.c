#include "frontend/report.h"

#include "base/compiler.h"
#include "base/limits.h"

/* A step that began before we came, or while reports waited to be read; and clocks that differ a little. */
static const uint64_t time_most_us = WORKER_HANG_MS * 1000ull, slack_us = 1000 * 1000;

void report_check_init(struct report_check *c, uint64_t now_us)
{
	*c = (struct report_check){.seen_us = now_us, .time_us = time_most_us};
}

/* Time is one budget for all steps: several reports may be read at once, long after they were made. */
static bool is_timely(struct report_check *c, uint64_t now_us, const struct msg_step *s)
{
	c->time_us = MIN(c->time_us + (now_us - c->seen_us), time_most_us);
	c->seen_us = now_us;
	if (s->duration_us > c->time_us + slack_us)
		return false;
	c->time_us -= MIN(s->duration_us, c->time_us);
	return true;
}

static const char *impossible(const struct msg_card *card, const struct msg_step *s)
{
	uint64_t seqs = card->seqs_max ? card->seqs_max : WORKER_SEQS_MAX;
	uint64_t context = MIN(card->context_max, (uint32_t)TOKENS_MAX);
	/* A registration counts whole blocks; there may be a part of one more. */
	uint64_t cells = card->blocks ? ((uint64_t)card->blocks + 1) * card->block_size : UINT32_MAX;
	/* Nothing computes more tokens in a step than it has cells for. */
	uint64_t tokens = MIN(cells, (uint64_t)INT32_MAX);
	const struct {
		const char *name;
		uint64_t value, most;
	} figures[] = {
		{"running", s->running, seqs},
		{"waiting", s->waiting, WORKER_SEQS_MAX},
		{"waiting_tokens", s->waiting_tokens, ((uint64_t)s->running + s->waiting) * context},
		{"cells", s->cells, cells},
		{"cells_used", s->cells_used, s->cells ? s->cells : cells},
		{"cells_active", s->cells_active, s->cells_used},
		{"prefill_tokens", s->prefill_tokens, tokens},
		{"decode_tokens", s->decode_tokens, tokens},
		{"next_prefill_tokens", s->next_prefill_tokens, tokens},
		{"next_decode_tokens", s->next_decode_tokens, tokens},
		{"context_tokens", s->context_tokens, seqs * context},
		{"next_context_tokens", s->next_context_tokens, seqs * context},
		{"preemptions", s->preemptions, INT64_MAX},
	};

	for (uint32_t i = 0; i < ARRAY_LEN(figures); i++)
		if (figures[i].value > figures[i].most)
			return figures[i].name;
	return NULL;
}

const char *report_check(
	struct report_check *c, const struct msg_card *card, uint64_t now_us, struct msg_step *step, bool *ret_usable)
{
	bool timely = is_timely(c, now_us, step);
	const char *figure = impossible(card, step);

	*ret_usable = !figure;
	if (timely)
		return figure;
	step->duration_us = 0;
	return figure ? figure : "duration_us";
}
