/* http_pace.c - what is beyond the first 64 KiB of a body shares one rate with all the others' (limits.large_rate), so that a
 * client that sends bodies as fast as the loop takes them does not take the loop's whole core: answers are sent from there, and
 * workers may compute on the same cores. A burst of HTTP_PACE_BURST_BYTES goes through as it comes, which is more than an honest
 * prompt ever has; above it connections with large bodies are read in turns. Time spent so is none of the client's. */
#include "base/limits.h"
#include "net/http_priv.h"

enum {
	TURN_US = 4000, /* who was held is read again this much later, or when all is paid */
	TURN_CONNS = 8, /* each turn: as many reads of 64 KiB as four milliseconds of the usual rate pay for */
	DEBT_US =
		1000 * 1000, /* newcomers are read once before they are held: they put the others off so long at most */
	BESIDE_WORK = 16, /* a byte looked at alone, against one copied with others: 3.7 ns and 0.2 */
};

static void let_go(struct http_conn *c)
{
	uint64_t held_us = env_now_us(c->s->env) - c->paced_us;

	list_del(&c->pace);
	c->s->paced_count--;
	c->paced = false;
	c->body_us += held_us;
	c->body_byte_us += held_us;
}

/* Not all at once: hundreds of reads are a turn of the loop that others wait for. */
static void on_turn(void *ctx)
{
	struct http_server *s = ctx;
	uint64_t now = env_now_us(s->env);

	for (int i = 0; i < TURN_CONNS && !list_empty(&s->paced); i++) {
		struct http_conn *c = list_first(&s->paced, struct http_conn, pace);
		let_go(c);
		http_conn_pause(c);
	}
	if (!list_empty(&s->paced))
		env_timer_set(s->env, &s->pace_timer, MAX(s->pace_paid_us, now + 1));
}

void http_pace_init(struct http_server *s)
{
	list_init(&s->paced);
	s->pace_timer = (struct env_timer){.fn = on_turn, .ctx = s};
}

/* Bytes beside the data (sizes of chunks, ends of lines) are looked at one by one: a body in chunks of one byte is as much
 * work as one many times as large. */
static uint64_t work_of(struct http_conn *c, size_t len)
{
	uint64_t beside = c->framing.beside;

	c->framing.beside = 0;
	return len + beside * (BESIDE_WORK - 1);
}

/* When all that was read is paid for, less the burst. */
static void pay(struct http_server *s, uint64_t work, uint64_t now)
{
	uint64_t rate = s->limits.large_rate, burst_us = (uint64_t)HTTP_PACE_BURST_BYTES * 1000000 / rate;

	s->pace_paid_us = MAX(s->pace_paid_us, now - MIN(now, burst_us)) + work * 1000000 / rate;
	s->pace_paid_us = MIN(s->pace_paid_us, now + DEBT_US);
}

bool http_pace_read(struct http_conn *c, size_t len)
{
	struct http_server *s = c->s;
	uint64_t now = env_now_us(s->env), work = work_of(c, len);

	c->body_work += work;
	if (!s->limits.large_rate || c->body_work <= HTTP_UNPACED_BYTES)
		return true;
	pay(s, work, now);
	if (s->pace_paid_us <= now || c->paced || c->dead)
		return true;
	if (s->paced_count >= HTTP_PACED_MAX)
		return c->message_done;
	if (list_empty(&s->paced))
		env_timer_set(s->env, &s->pace_timer, MAX(s->pace_paid_us, now + TURN_US));
	s->paced_count++;
	c->paced = true;
	c->paced_us = now;
	list_add_tail(&s->paced, &c->pace);
	http_conn_pause(c);
	return true;
}

void http_pace_end(struct http_conn *c)
{
	if (c->paced)
		let_go(c);
}
