/* bench_sched.c - what the scheduler itself costs in a step of 256 decoding requests: compose, apply, hand over. */
#include "bench.h"
#include "worker/sched.h"
#include <stdlib.h>

enum { SEQS = 256, PROMPT = 64 };

static const struct engine_info info = {.cells = 1u << 21,
	.seqs = SEQS,
	.batch_tokens_max = 32768,
	.context_max = 1u << 21,
	.vocab = 49152,
	.prefix_copy = true};

static void admit(struct sched *s, uint64_t id)
{
	uint32_t tokens[PROMPT];
	for (uint32_t i = 0; i < PROMPT; i++)
		tokens[i] = (uint32_t)(id * 31 + i) % 49152;
	struct sched_request r = {.id = id,
		.tokens = tokens,
		.tokens_count = PROMPT,
		.prompt_len = PROMPT,
		.max_tokens = 4000,
		.ignore_eos = true,
		.kv_seed = 1};
	if (sched_admit(s, 0, &r) < 0)
		abort();
}

/* One step without an engine. Requests that ended are replaced. */
static void step(struct sched *s, uint64_t *now, uint64_t *next_id)
{
	struct err err;
	const struct engine_batch *b = sched_compose(s, *now);
	if (!b)
		abort();
	struct engine_result *r = sched_result(s);
	for (uint32_t i = 0; i < b->items_count; i++)
		r->outs[i] = (struct engine_out){.token = 7};
	r->duration_us = 100;
	*now += 100;
	if (sched_apply(s, *now, 0, &err) < 0)
		abort();
	struct sched_outbox out = sched_outbox(s);
	uint32_t ended = out.dones_count;
	bench_use(&out);
	sched_outbox_clear(s);
	while (ended--)
		admit(s, (*next_id)++);
}

int main(void)
{
	struct sched_config config = {.block_size = 64};
	struct sched *s;
	struct err err;
	uint64_t now = 0, next_id = 1;
	if (sched_create(&s, &info, &config, &err) < 0) {
		fprintf(stderr, "bench_sched: %s\n", err.msg);
		return 1;
	}
	while (next_id <= SEQS)
		admit(s, next_id++);
	for (int i = 0; i < 64; i++)
		step(s, &now, &next_id);
	printf("scheduler\n");
	BENCH("compose and apply with 256 running, a token", SEQS, step(s, &now, &next_id));
	sched_destroy(s);
	return 0;
}
