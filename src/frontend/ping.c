/* ping.c - a stream shows that it lives before its first token and in long gaps between tokens: headers, and a comment
 * (": ..."), which clients skip. Proxies and clients with an idle limit would cut a long prompt or a long wait else.
 *
 * Two lists and one timer for all streams, nothing on the token path but the time of the last write. A stream without
 * headers is looked at each LOOK_US: until then what fails still ends with a status, and a stream whose first token comes at
 * once costs no write more. One with headers is looked at four times an interval, in the order of its last look. */
#include "frontend/completion.h"

#include <stdio.h>

enum {
	LOOK_US = 100 * 1000,
	DISPATCHED_US = 100 * 1000, /* at a worker for so long: its refusals have come */
	WAITED_US = 1000 * 1000, /* in the queue or being tokenized for so long */
};

static uint64_t interval_us(const struct frontend *fe)
{
	return fe->config.ping_ms * 1000ull;
}

static void timer_want(struct frontend *fe, uint64_t at_us)
{
	if (!env_timer_is_set(&fe->ping_timer) || fe->ping_timer.at_us > at_us)
		env_timer_set(fe->env, &fe->ping_timer, at_us);
}

void ping_watch(struct completion *c)
{
	struct frontend *fe = c->fe;

	if (!fe->config.ping_ms || !c->req.stream)
		return;
	list_add_tail(&fe->unbegun, &c->ping_link);
	timer_want(fe, env_now_us(fe->env) + LOOK_US);
}

void ping_begun(struct completion *c)
{
	struct frontend *fe = c->fe;

	if (!fe->config.ping_ms)
		return;
	c->looked_us = env_now_us(fe->env);
	list_del(&c->ping_link);
	list_add_tail(&fe->begun, &c->ping_link);
	timer_want(fe, c->looked_us + interval_us(fe) / 4);
}

static void send_comment(struct completion *c)
{
	uint64_t now_us = env_now_us(c->fe->env);
	char text[96];
	int n;

	if (c->first_us)
		n = snprintf(text, sizeof text, ": waiting for the next token\n\n");
	else if (c->dispatched_us)
		n = snprintf(text, sizeof text, ": computing a prompt of %llu tokens, for %.1f s\n\n",
			(unsigned long long)c->prompt_tokens, (double)(now_us - c->dispatched_us) / 1e6);
	else
		n = snprintf(text, sizeof text, ": waiting for a worker, for %.1f s\n\n",
			(double)(now_us - c->arrived_us) / 1e6);
	http_write(c->x, text, (size_t)n);
	c->sent_us = now_us;
}

static bool is_due(const struct completion *c, uint64_t now_us)
{
	return (c->dispatched_us && now_us - c->dispatched_us >= DISPATCHED_US) || now_us - c->arrived_us >= WAITED_US;
}

static void look_at_unbegun(struct frontend *fe, uint64_t now_us)
{
	list_foreach_safe(it, &fe->unbegun)
	{
		struct completion *c = list_entry(it, struct completion, ping_link);
		if (!is_due(c, now_us))
			continue;
		completion_begin(c);
		send_comment(c);
	}
}

/* No gap is longer than the interval: what would pass it before the next look is due now. A client that has not taken what was
 * written is not waiting for more. */
static void look_at_begun(struct frontend *fe, uint64_t now_us)
{
	uint64_t interval = interval_us(fe);

	while (!list_empty(&fe->begun)) {
		struct completion *c = list_first(&fe->begun, struct completion, ping_link);
		if (c->looked_us + interval / 4 > now_us)
			break;
		c->looked_us = now_us;
		list_del(&c->ping_link);
		list_add_tail(&fe->begun, &c->ping_link);
		if (now_us - c->sent_us > interval - interval / 4 && !http_queued(c->x))
			send_comment(c);
	}
}

void ping_look(void *ctx)
{
	struct frontend *fe = ctx;
	uint64_t now_us = env_now_us(fe->env);

	look_at_unbegun(fe, now_us);
	look_at_begun(fe, now_us);
	if (!list_empty(&fe->unbegun))
		timer_want(fe, now_us + LOOK_US);
	else if (!list_empty(&fe->begun))
		timer_want(fe, list_first(&fe->begun, struct completion, ping_link)->looked_us + interval_us(fe) / 4);
}
