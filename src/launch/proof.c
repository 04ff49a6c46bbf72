/* proof.c - see proof.h. */
#include "launch/proof.h"
#include "frontend/link.h"

#include <stdio.h>
#include <string.h>

/* A model that keeps nothing of what came before computes the first token as well as any, and fails at the second. */
enum { PROOF_TOKENS = 2 };
/* The prompt: a token every vocabulary has. What it answers is of no interest, that it does is. */
static const uint32_t prompt[] = {1, 2, 3};

struct proof {
	struct link *link;
	struct env *env;
	struct env_timer timer; /* first the deadline, then the turn in which done is called */
	void (*done)(void *ctx, const char *why);
	void *ctx;
	bool ended, failed;
	uint32_t tokens;
	char why[512];
};

static void on_end(void *ctx)
{
	struct proof *p = ctx;

	p->done(p->ctx, p->failed ? p->why : NULL);
}

/* Tell in a turn of its own: the link must not go while it calls us. */
static void end(struct proof *p, bool failed, const char *why)
{
	if (p->ended)
		return;
	p->ended = true;
	p->failed = failed;
	snprintf(p->why, sizeof p->why, "%s", why);
	p->timer.fn = on_end;
	env_timer_set(p->env, &p->timer, 0);
}

static void on_deadline(void *ctx)
{
	struct proof *p = ctx;

	end(p, true, p->tokens ? "it did not end its answer in time" : "no token came in time");
	on_end(p);
}

static void on_up(void *ctx, struct link *l)
{
	struct proof *p = ctx;
	const struct msg_request request = {.id = 1,
		.request_id = msg_str("start-up proof"),
		.model = link_card(l)->model,
		.tokens = {prompt, ARRAY_LEN(prompt)},
		.prompt_len = ARRAY_LEN(prompt),
		.max_tokens = PROOF_TOKENS,
		.ignore_eos = true};

	if (link_request(l, &request) < 0)
		end(p, true, "its connection takes no request");
}

/* When it died, its supervisor hears of that and says how; when it lives, the link comes up again and asks again. */
static void on_down(void *ctx, struct link *l, const char *why)
{
	struct proof *p = ctx;
	(void)l, (void)why;

	p->tokens = 0;
}

/* Not reached: its socket is there when it says ready, so this is worth a failure only at the deadline. */
static void on_trouble(void *ctx, struct link *l, const char *why)
{
	(void)ctx, (void)l, (void)why;
}

static void on_tokens(void *ctx, struct link *l, const struct msg_token_item *item)
{
	struct proof *p = ctx;
	(void)l;

	p->tokens += item->tokens.len;
}

static void on_done(void *ctx, struct link *l, const struct msg_done *done)
{
	struct proof *p = ctx;
	char why[400];
	(void)l;

	if (done->reason == MSG_REASON_EOS || done->reason == MSG_REASON_LENGTH) {
		end(p, p->tokens == 0, "it ended its answer without a token");
		return;
	}
	snprintf(why, sizeof why, "%.*s", (int)MIN(done->error.len, sizeof why - 1),
		done->error.data ? done->error.data : "");
	end(p, true, *why ? why : "it refused");
}

static void on_turn(void *ctx, struct link *l)
{
	(void)ctx, (void)l;
}

static void on_step(void *ctx, struct link *l, const struct msg_step *step)
{
	(void)ctx, (void)l, (void)step;
}

static void on_kv(void *ctx, struct link *l, const struct msg_kv *kv)
{
	(void)ctx, (void)l, (void)kv;
}

static const struct link_handler handler = {
	.on_up = on_up,
	.on_down = on_down,
	.on_trouble = on_trouble,
	.on_tokens = on_tokens,
	.on_done = on_done,
	.on_turn = on_turn,
	.on_step = on_step,
	.on_kv = on_kv,
	.on_drain = on_turn,
};

int proof_start(struct proof **ret, struct env *env, const char *addr, uint32_t timeout_ms,
	void (*done)(void *ctx, const char *why), void *ctx, struct err *err)
{
	static const struct link_config config = {.software = "stator " STATOR_VERSION " start-up"};
	struct proof *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	*p = (struct proof){.env = env, .done = done, .ctx = ctx};
	int r = link_create(&p->link, env, addr, &config, &handler, p, err);
	if (r < 0) {
		free(p);
		return r;
	}
	p->timer.fn = on_deadline;
	p->timer.ctx = p;
	env_timer_set_in(env, &p->timer, (timeout_ms ? timeout_ms : PROOF_TIMEOUT_MS) * 1000ull);
	*ret = p;
	return 0;
}

void proof_destroy(struct proof *p)
{
	if (!p)
		return;
	env_timer_cancel(p->env, &p->timer);
	link_destroy(p->link);
	free(p);
}
