/* The planner's memory against what engines said at their start on real cards: startup-logs.txt, from public logs. Run with
 * PLAN_TABLE=1 it prints the table of docs/design/prediction.md. */
#include "base/embed.h"
#include "config/records.h"
#include "plan/plan.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

EMBED_FILE(startup_logs, "tests/unit/plan/startup-logs.txt");

struct start {
	const char *name, *card, *model, *dtype, *quant, *from;
	uint32_t cards;
	uint64_t context, batch, seqs, tokens;
	double utilization, total, weights, room;
	const char *room_text;
	bool chunked, graphs, quiet, odd;
};

#define FIELD(key, kind, member, required)                                                                             \
	{                                                                                                              \
		key, kind, offsetof(struct start, member), required, NULL, NULL                                        \
	}
static const struct record_field fields[] = {
	FIELD("card", RECORD_TEXT, card, true),
	FIELD("cards", RECORD_U32, cards, true),
	FIELD("model", RECORD_TEXT, model, true),
	FIELD("dtype", RECORD_TEXT, dtype, false),
	FIELD("quant", RECORD_TEXT, quant, false),
	FIELD("utilization", RECORD_F64, utilization, true),
	FIELD("context", RECORD_U64, context, true),
	FIELD("batch", RECORD_U64, batch, false),
	FIELD("seqs", RECORD_U64, seqs, false),
	FIELD("chunked", RECORD_BOOL, chunked, false),
	FIELD("graphs", RECORD_BOOL, graphs, false),
	FIELD("quiet", RECORD_BOOL, quiet, false),
	FIELD("odd", RECORD_BOOL, odd, false),
	FIELD("total", RECORD_F64, total, true),
	FIELD("weights", RECORD_F64, weights, true),
	FIELD("room", RECORD_TEXT, room_text, true),
	FIELD("tokens", RECORD_U64, tokens, false),
	FIELD("from", RECORD_TEXT, from, true),
};

struct seen {
	uint32_t count, close, near;
	double sum;
};

static double gib(double bytes)
{
	return bytes / (1024.0 * 1024 * 1024);
}

static void graph_of(const struct start *s, char *ret, size_t cap)
{
	int n = snprintf(ret, cap,
		"VllmWorker:\n  model: %s\n  tensor-parallel-size: %u\n  max-model-len: %llu\n"
		"  gpu-memory-utilization: %g\n",
		s->model, s->cards, (unsigned long long)s->context, s->utilization);

	if (s->dtype)
		n += snprintf(ret + n, cap - (size_t)n, "  dtype: %s\n", s->dtype);
	if (s->quant)
		n += snprintf(ret + n, cap - (size_t)n, "  quantization: %s\n", s->quant);
	if (s->batch)
		n += snprintf(
			ret + n, cap - (size_t)n, "  max-num-batched-tokens: %llu\n", (unsigned long long)s->batch);
	if (s->seqs)
		n += snprintf(ret + n, cap - (size_t)n, "  max-num-seqs: %llu\n", (unsigned long long)s->seqs);
	if (!s->chunked)
		n += snprintf(ret + n, cap - (size_t)n, "  enable-chunked-prefill: false\n");
	if (!s->graphs)
		n += snprintf(ret + n, cap - (size_t)n, "  enforce-eager: true\n");
	snprintf(ret + n, cap - (size_t)n, "  ServiceArgs: {workers: 1, resources: {gpu: %u}}\n", s->cards);
}

static void predict(const struct start *s, struct plan_terms *ret)
{
	char yaml[1024], cards[64];
	struct plan_world w;
	struct plan p;
	struct err err;

	graph_of(s, yaml, sizeof yaml);
	snprintf(cards, sizeof cards, "%ux%s", s->cards, s->card);
	plan_world_of(&w, yaml, cards);
	assert_int_equal(plan_make(&p, &w.input, &err), 0);
	*ret = *plan_terms_of(&p.placement, 0, 0);
	if (!ret->known)
		fail_msg("%s: not predicted", s->name);
	plan_done(&p);
	plan_world_done(&w);
}

/* Weights are told by the shapes: 1.5 %, since loaders hold a little more; 3 % where some matrices are not packed. */
static void check_weights(const struct start *s, const struct plan_terms *t)
{
	double tolerance = s->quant ? 0.03 : 0.015, got = gib((double)t->weights);

	if (fabs(got - s->weights) > s->weights * tolerance + 0.01 && !s->odd)
		fail_msg("%s: weights %.3f GiB, the log says %.3f", s->name, got, s->weights);
}

/* Room for KV: within a tenth of what the log has and 0.5 GiB. Never much more than there is: that is the error that hurts.
 * Quiet starts keep back what other releases take, so they may be under by that much. */
static void check_room(const struct start *s, const struct plan_terms *t, struct seen *seen)
{
	double room = strtod(s->room_text, NULL), got = gib((double)t->kv_room), apart = got - room;

	seen->count++;
	seen->close += fabs(apart) <= 0.15 + 0.01 * fabs(room);
	seen->near += fabs(apart) <= 0.5 + 0.1 * fabs(room);
	if (apart > 0.3 + 0.01 * fabs(room) && !s->odd)
		fail_msg("%s: %.2f GiB for KV, the log has only %.2f", s->name, got, room);
	if (apart < -(0.5 + 0.1 * fabs(room)) && !s->odd && !s->quiet)
		fail_msg("%s: %.2f GiB for KV, the log has %.2f", s->name, got, room);
}

/* A token's KV is exact: the log's room over its tokens, to what its two digits of GiB can tell and blocks round. */
static void check_token(const struct start *s, const struct plan_terms *t)
{
	double room = strtod(s->room_text, NULL);

	if (!s->tokens)
		return;
	double log_token = room * 1024 * 1024 * 1024 / (double)s->tokens,
	       token = (double)t->kv_least / (double)s->context;
	if (fabs(token - log_token) > log_token * (0.006 / room + 0.001))
		fail_msg("%s: %.0f bytes a token, the log has %.0f", s->name, token, log_token);
}

static void row(const struct start *s, const struct plan_terms *t)
{
	double room = strtod(s->room_text, NULL), got = gib((double)t->kv_room);

	printf("| %s | %ux %s | %.2f / %.2f | %.2f / %.2f | %.2f / %.2f | %+.2f |\n", s->name, s->cards, s->card,
		gib((double)t->total), s->total, gib((double)t->weights), s->weights, got, room, got - room);
}

static int one(void *ctx, const struct record *r)
{
	struct start s = {.name = r->name, .chunked = true, .graphs = true};
	struct plan_terms t;
	struct diags d;

	diags_init(&d);
	if (!record_fill(r, fields, ARRAY_LEN(fields), &s, &d))
		fail_msg("%s: %s", r->name, d.len ? d.items[0].text : "");
	diags_done(&d);
	predict(&s, &t);
	if (getenv("PLAN_TABLE")) {
		row(&s, &t);
		return 0;
	}
	/* The least that was seen of a card; WSL and Windows give more than Linux. */
	double total = gib((double)t.total);
	if (total > 1.005 * s.total || total < 0.95 * s.total)
		fail_msg("%s: a card of %.2f GiB, the log says %.2f", s.name, total, s.total);
	check_weights(&s, &t);
	check_token(&s, &t);
	check_room(&s, &t, ctx);
	return 0;
}

static void the_planner_agrees_with_the_logs_of_real_engines(void **state)
{
	struct seen seen = {0};
	struct arena arena;
	struct diags d;

	(void)state;
	arena_init(&arena, 1 << 20);
	diags_init(&d);
	int r = records_parse("startup-logs.txt", startup_logs_text, startup_logs_len, &arena, &d, one, &seen);
	if (r < 0)
		fail_msg("%s", d.len ? d.items[0].text : "the logs cannot be read");
	diags_done(&d);
	arena_done(&arena);
	if (getenv("PLAN_TABLE"))
		return;
	assert_true(seen.count >= 20);
	assert_true(seen.near >= seen.count * 4 / 5);
	assert_true(seen.close >= seen.count / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_planner_agrees_with_the_logs_of_real_engines)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
