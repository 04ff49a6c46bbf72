/* http_pace.c - what is beyond the first 64 KiB of a body shares one rate with all the others' (limits.large_rate), so that a
 * client that sends bodies as fast as the loop takes them does not take the loop's whole core: answers are sent from there, and
 * workers may compute on the same cores. A burst of HTTP_PACE_BURST_BYTES goes through as it comes, which is more than an honest
 * prompt ever has; above it connections with large bodies are read in turns. Time spent so is none of the client's. */
#include "base/limits.h"
#include "net/http_priv.h"

enum { TURN_US = 4000 }; /* who was held is read again this much later, or when all is paid */

static void let_go(struct http_conn *c)
{
	uint64_t held_us = env_now_us(c->s->env) - c->paced_us;

	list_del(&c->pace);
	c->paced = false;
	c->body_us += held_us;
	c->body_byte_us += held_us;
}

static void on_turn(void *ctx)
{
	struct http_server *s = ctx;

	list_foreach_safe(it, &s->paced)
	{
		struct http_conn *c = list_entry(it, struct http_conn, pace);
		let_go(c);
		http_conn_pause(c);
	}
}

void http_pace_init(struct http_server *s)
{
	list_init(&s->paced);
	s->pace_timer = (struct env_timer){.fn = on_turn, .ctx = s};
}

void http_pace_read(struct http_conn *c, size_t len)
{
	struct http_server *s = c->s;
	uint64_t now = env_now_us(s->env), rate = s->limits.large_rate;
	uint64_t burst_us = (uint64_t)HTTP_PACE_BURST_BYTES * 1000000 / MAX(rate, (uint64_t)1);

	c->body_read += len;
	if (!rate || c->body_read <= HTTP_UNPACED_BYTES)
		return;
	/* When all that was read is paid for, less the burst. */
	s->pace_paid_us = MAX(s->pace_paid_us, now - MIN(now, burst_us)) + len * 1000000 / rate;
	if (s->pace_paid_us <= now || c->paced || c->dead)
		return;
	if (list_empty(&s->paced))
		env_timer_set(s->env, &s->pace_timer, MAX(s->pace_paid_us, now + TURN_US));
	c->paced = true;
	c->paced_us = now;
	list_add_tail(&s->paced, &c->pace);
	http_conn_pause(c);
}

void http_pace_end(struct http_conn *c)
{
	if (c->paced)
		let_go(c);
}
