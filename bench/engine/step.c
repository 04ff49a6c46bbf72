/* step.c - what a step of the llama engine takes, by how many sequences decode and how many cells others hold: the part of
 * bench/engine/run.py that no frontend and no scheduler touches.
 *
 *     build/bench/engine/step MODEL.gguf [THREADS [TOKENS]]
 *
 * TOKENS: cells that each of the others keeps, 114 when not given. In a build with CUDA all layers are on the GPU. */
#include "base/compiler.h"
#include "engine/llama.h"

#include <stdio.h>
#include <stdlib.h>

enum { PROMPT = 50, ANSWER = 64, KEPT = PROMPT + ANSWER, KEPT_MAX = 2000, SEQS = 88, ACTIVE_MAX = 32, STEPS = 40 };

struct bench {
	struct engine *engine;
	struct engine_sampling sampling;
	uint32_t tokens[SEQS][KEPT_MAX];
	struct engine_out outs[ACTIVE_MAX];
};

static uint64_t run(struct bench *b, const struct engine_op *op, const uint32_t *seqs, uint32_t count, uint32_t pos,
	uint32_t tokens)
{
	struct engine_item items[ACTIVE_MAX];
	struct engine_result result = {.outs = b->outs};
	struct err err = {0};

	for (uint32_t i = 0; i < count; i++)
		items[i] = (struct engine_item){.seq = seqs[i],
			.pos = pos,
			.count = tokens,
			.tokens = b->tokens[seqs[i]] + pos,
			.want = true,
			.no_eog = true,
			.sampling = &b->sampling,
			.history = b->tokens[seqs[i]],
			.history_len = pos + tokens,
			.prompt_len = PROMPT};
	const struct engine_batch batch = {.ops = op, .ops_count = op != NULL, .items = items, .items_count = count};
	if (engine_step(b->engine, &batch, &result, &err) < 0) {
		fprintf(stderr, "step: %s\n", err.msg);
		exit(1);
	}
	return result.duration_us;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* The last `count` sequences are free; compute their prompts, then decode. */
static void measure(struct bench *b, uint32_t kept, uint32_t count)
{
	uint32_t seqs[ACTIVE_MAX];
	uint64_t took[STEPS], prefill[3];

	for (uint32_t i = 0; i < count; i++)
		seqs[i] = SEQS - 1 - i;
	for (uint32_t k = 0; k < 3; k++) {
		for (uint32_t i = 0; i < count; i++) {
			const struct engine_op free_seq = {.kind = ENGINE_SEQ_TRIM, .dst = seqs[i]};
			run(b, &free_seq, seqs, 0, 0, 0);
		}
		prefill[k] = run(b, NULL, seqs, count, 0, PROMPT);
	}
	for (uint32_t i = 0; i < STEPS; i++)
		took[i] = run(b, NULL, seqs, count, PROMPT + i, 1);
	for (uint32_t i = 0; i < count; i++) {
		const struct engine_op free_seq = {.kind = ENGINE_SEQ_TRIM, .dst = seqs[i]};
		run(b, &free_seq, seqs, 0, 0, 0);
	}
	qsort(took, STEPS, sizeof took[0], by_value);
	qsort(prefill, 3, sizeof prefill[0], by_value);
	printf("  %5u %8u  %9.2f %9.2f  %11.2f\n", count, kept, (double)took[STEPS / 2] / 1000,
		(double)took[STEPS / 10] / 1000, (double)prefill[0] / 1000);
}

int main(int argc, char **argv)
{
	static struct bench b;
	static const uint32_t kept[] = {0, 8, 32, 55}, active[] = {1, 4, 8, 32};
	const uint32_t each = argc > 3 ? MIN((uint32_t)atoi(argv[3]), (uint32_t)KEPT_MAX) : KEPT;
	struct err err = {0};
	const struct llama_config config = {.path = argc > 1 ? argv[1] : "",
		.gpu_layers = -1,
		.context = {.cells = 55 * each + ACTIVE_MAX * KEPT + 256,
			.batch_tokens_max = 2048,
			.seqs_max = SEQS,
			.flash_attention = true,
			.threads = argc > 2 ? (uint32_t)atoi(argv[2]) : 0}};

	if (llama_engine_create(&b.engine, &config, &err) < 0) {
		fprintf(stderr, "step: %s\n", err.msg);
		return 1;
	}
	for (uint32_t s = 0; s < SEQS; s++)
		for (uint32_t i = 0; i < KEPT_MAX; i++)
			b.tokens[s][i] = (s * 977 + i * 31) % engine_info(b.engine)->vocab;
	printf("%s\n", engine_info(b.engine)->description);
	printf("  decoding  cells kept  median ms  p10 ms  prefill of all, ms\n");
	for (uint32_t k = 0, held = 0; k < ARRAY_LEN(kept); k++) {
		for (; held < kept[k]; held++)
			run(&b, NULL, &held, 1, 0, each);
		for (uint32_t a = 0; a < ARRAY_LEN(active); a++)
			measure(&b, held * each, active[a]);
	}
	engine_destroy(b.engine);
	return 0;
}
