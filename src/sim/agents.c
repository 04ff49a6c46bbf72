#include "sim/agents.h"
#include "base/rng.h"
#include "base/vec.h"

#include <math.h>

enum { BLOCK = 512, TURNS_MAX = 200 };

struct turn {
	uint64_t at_ms;
	uint32_t session, kind, prompt, answer, kind_tokens;
	uint64_t order; /* breaks ties */
};

struct agents {
	const struct agents_config *config;
	struct rng rng;
	VEC(struct turn) turns;
};

void agents_config_default(struct agents_config *ret, uint64_t seed)
{
	*ret = (struct agents_config){
		.seed = seed,
		.kinds = 24,
		.kind_tokens_min = 4000,
		.kind_tokens_max = 20000,
		.seconds = 1200,
		.sessions_per_s = 1,
		.turns_mean = 8,
		.result_tokens_min = 100,
		.result_tokens_max = 3000,
		.answer_tokens_min = 20,
		.answer_tokens_max = 300,
		.tool_s_mean = 4,
	};
}

static double exponential(struct rng *r, double mean)
{
	return -mean * log(1 - rng_unit(r));
}

/* Evenly in the logarithm. */
static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
	return (uint32_t)(low * pow((double)high / low, rng_unit(r)));
}

/* Kind k of n with probability in proportion to 1 / (k + 1). */
static uint32_t popular(struct rng *r, uint32_t n)
{
	double sum = 0;

	for (uint32_t k = 0; k < n; k++)
		sum += 1.0 / (k + 1);
	double left = rng_unit(r) * sum;
	for (uint32_t k = 0; k < n; k++)
		if ((left -= 1.0 / (k + 1)) < 0)
			return k;
	return n - 1;
}

/* Always the same for one kind, whatever else is drawn. */
static uint32_t kind_tokens(const struct agents_config *c, uint32_t kind)
{
	double part = rng_keyed_unit(c->seed, kind);
	return (uint32_t)(c->kind_tokens_min * pow((double)c->kind_tokens_max / c->kind_tokens_min, part));
}

static int add_session(struct agents *a, uint32_t session, double at_s)
{
	const struct agents_config *c = a->config;
	struct turn t = {.session = session, .kind = popular(&a->rng, c->kinds)};
	uint32_t said = 0;

	t.kind_tokens = kind_tokens(c, t.kind);
	for (uint32_t n = 0; n < TURNS_MAX; n++) {
		said += between(&a->rng, c->result_tokens_min, c->result_tokens_max);
		t.at_ms = (uint64_t)(at_s * 1000);
		t.prompt = t.kind_tokens + said;
		t.answer = between(&a->rng, c->answer_tokens_min, c->answer_tokens_max);
		t.order = a->turns.len;
		if (vec_push(&a->turns, t) < 0)
			return -ENOMEM;
		said += t.answer;
		if (rng_unit(&a->rng) < 1 / c->turns_mean)
			break;
		/* The answer takes its time too; at 20 ms a token, so that turns do not overlap. */
		at_s += 0.02 * t.answer + exponential(&a->rng, c->tool_s_mean);
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	if (x->at_ms != y->at_ms)
		return x->at_ms < y->at_ms ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Ids: a kind's whole blocks, then the session's own; the last, partial block has one nobody else has. */
static int print_turn(struct buf *out, const struct turn *t)
{
	uint32_t whole = t->prompt / BLOCK, shared = t->kind_tokens / BLOCK;
	uint64_t own = (1ull << 40) + ((uint64_t)t->session << 16), kind = (uint64_t)t->kind << 16;
	int r = buf_printf(out, "{\"timestamp\": %llu, \"input_length\": %u, \"output_length\": %u, \"hash_ids\": [",
		(unsigned long long)t->at_ms, t->prompt, t->answer);

	for (uint32_t i = 0; i < whole && r == 0; i++)
		r = buf_printf(out, "%s%llu", i ? ", " : "", (unsigned long long)(i < shared ? kind + i : own + i));
	if (t->prompt % BLOCK && r == 0)
		r = buf_printf(out, "%s%llu", whole ? ", " : "", (1ull << 50) + (unsigned long long)t->order);
	return r ? r : buf_printf(out, "]}\n");
}

int agents_generate(struct buf *out, const struct agents_config *config, struct err *err)
{
	struct agents a = {.config = config};
	uint32_t session = 0;
	int r = 0;

	rng_init(&a.rng, config->seed);
	for (double at_s = 0; r == 0 && (at_s += exponential(&a.rng, 1 / config->sessions_per_s)) < config->seconds;)
		r = add_session(&a, session++, at_s);
	if (a.turns.len)
		qsort(a.turns.v, a.turns.len, sizeof *a.turns.v, by_time);
	for (uint32_t i = 0; i < a.turns.len && r == 0; i++)
		r = print_turn(out, &a.turns.v[i]);
	vec_done(&a.turns);
	return r < 0 ? err_set(err, r, "could not make a load of agents: out of memory") : 0;
}
