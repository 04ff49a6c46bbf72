/* Our patches of llama.cpp (scripts/llama-*.patch): those that make it faster must not change a bit of what it computes, and
 * attention in the order of positions gives a row the same bits in every batch and wherever its cells lie. */
#include "../lib/cmocka_all.h"
#include "base/compiler.h"
#include "base/rng.h"

#include <ggml-cpu.h>
#include <ggml.h>

#include <math.h>
#include <string.h>

enum { MEMORY_BYTES = 64 << 20, HEAD = 64, HEADS = 6, KV_HEADS = 2 };

static struct rng rng;

static struct ggml_context *open_context(void)
{
	struct ggml_context *ctx = ggml_init((struct ggml_init_params){.mem_size = MEMORY_BYTES});

	assert_non_null(ctx);
	return ctx;
}

static void compute(struct ggml_context *ctx, struct ggml_tensor *out, int threads)
{
	struct ggml_cgraph *graph = ggml_new_graph(ctx);

	ggml_build_forward_expand(graph, out);
	assert_int_equal(ggml_graph_compute_with_ctx(ctx, graph, threads), GGML_STATUS_SUCCESS);
}

static float normal(void)
{
	return (float)(rng_unit(&rng) + rng_unit(&rng) + rng_unit(&rng) - 1.5);
}

static void fill(struct ggml_tensor *t)
{
	for (int64_t i = 0; i < ggml_nelements(t); i++) {
		if (t->type == GGML_TYPE_F16)
			((ggml_fp16_t *)t->data)[i] = ggml_fp32_to_fp16(normal());
		else
			((float *)t->data)[i] = normal();
	}
}

/* ---- products with Q4_1 weights ---- */

/* Each column alone takes llama.cpp's own kernel, which our tiles do not touch. */
static void expect_columns_alike(int64_t width, int64_t rows, int64_t columns, int threads)
{
	struct ggml_context *ctx = open_context();
	struct ggml_tensor *plain = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, width, rows);
	struct ggml_tensor *weights = ggml_new_tensor_2d(ctx, GGML_TYPE_Q4_1, width, rows);
	struct ggml_tensor *in = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, width, columns);

	fill(plain);
	fill(in);
	ggml_quantize_chunk(GGML_TYPE_Q4_1, plain->data, weights->data, 0, rows, width, NULL);
	struct ggml_tensor *all = ggml_mul_mat(ctx, weights, in);
	compute(ctx, all, threads);
	for (int64_t c = 0; c < columns; c++) {
		struct ggml_tensor *one =
			ggml_mul_mat(ctx, weights, ggml_view_2d(ctx, in, width, 1, in->nb[1], (size_t)c * in->nb[1]));
		compute(ctx, one, threads);
		assert_memory_equal(
			(char *)all->data + (size_t)c * all->nb[1], one->data, (size_t)rows * sizeof(float));
	}
	ggml_free(ctx);
}

static void a_product_of_many_columns_is_that_of_each_alone(void **state)
{
	(void)state;
	static const int64_t rows[] = {1, 2, 7, 32, 96, 129}, columns[] = {2, 3, 4, 5, 8, 13, 16, 17, 45};

	for (size_t r = 0; r < ARRAY_LEN(rows); r++)
		for (size_t c = 0; c < ARRAY_LEN(columns); c++)
			for (int threads = 1; threads <= 2; threads++)
				expect_columns_alike(
					32 * (int64_t)(1 + rng_below(&rng, 20)), rows[r], columns[c], threads);
}

/* ---- attention over masked cells ---- */

struct attention {
	struct ggml_context *ctx;
	struct ggml_tensor *q, *k, *v, *mask;
};

static void open_attention(struct attention *a, enum ggml_type type, int64_t cells, int64_t rows)
{
	a->ctx = open_context();
	a->q = ggml_new_tensor_3d(a->ctx, GGML_TYPE_F32, HEAD, rows, HEADS);
	a->k = ggml_new_tensor_3d(a->ctx, type, HEAD, cells, KV_HEADS);
	a->v = ggml_new_tensor_3d(a->ctx, type, HEAD, cells, KV_HEADS);
	a->mask = ggml_new_tensor_2d(a->ctx, GGML_TYPE_F16, cells, rows);
	fill(a->q);
	fill(a->k);
	fill(a->v);
}

/* Some runs of cells for some rows at a time, as sequences have them, with holes; each row has at least one. */
static void draw_mask(const struct ggml_tensor *mask)
{
	ggml_fp16_t *m = mask->data, shut = ggml_fp32_to_fp16(-INFINITY), open = ggml_fp32_to_fp16(0);
	int64_t cells = mask->ne[0], rows = mask->ne[1];

	for (int64_t i = 0; i < cells * rows; i++)
		m[i] = shut;
	for (int64_t row = 0, last; row < rows; row = last) {
		last = row + 1 + (int64_t)rng_below(&rng, (uint64_t)(rows - row));
		for (uint64_t runs = 1 + rng_below(&rng, 3); runs; runs--) {
			int64_t begin = (int64_t)rng_below(&rng, (uint64_t)cells);
			int64_t end = MIN(begin + 1 + (int64_t)rng_below(&rng, 100), cells);
			for (int64_t r = row; r < last; r++)
				for (int64_t i = begin; i < end; i++)
					if (i == begin || rng_below(&rng, 8))
						m[r * cells + i] = open;
		}
	}
}

static struct ggml_tensor *attend(const struct attention *a, int threads)
{
	struct ggml_tensor *out = ggml_flash_attn_ext(a->ctx, a->q, a->k, a->v, a->mask, 0.125f, 0, 0);

	compute(a->ctx, out, threads);
	return out;
}

/* A cell masked by the lowest finite number is computed and weighs exactly nothing; one masked by minus infinity is passed
 * over. So the two masks give the same bits, unless a single row is cut among threads at other cells. */
static void expect_masked_cells_weigh_nothing(enum ggml_type type, int64_t cells, int64_t rows, int threads)
{
	struct attention a;

	open_attention(&a, type, cells, rows);
	draw_mask(a.mask);
	struct ggml_tensor *passed_over = attend(&a, threads);
	ggml_fp16_t *m = a.mask->data;
	for (int64_t i = 0; i < cells * rows; i++)
		if (isinf(ggml_fp16_to_fp32(m[i])))
			m[i] = ggml_fp32_to_fp16(-65504);
	struct ggml_tensor *looked_at = attend(&a, threads);
	const float *x = passed_over->data, *y = looked_at->data;
	for (int64_t i = 0; i < ggml_nelements(passed_over); i++) {
		if (rows == 1 && threads > 1)
			assert_float_equal(x[i], y[i], 2e-3);
		else
			assert_true(x[i] == y[i]);
	}
	ggml_free(a.ctx);
}

static void masked_cells_weigh_nothing_in_attention(void **state)
{
	(void)state;
	static const int64_t rows[] = {1, 2, 8, 45, 63, 64, 65, 130}, cells[] = {40, 256, 1000, 4352};

	for (size_t r = 0; r < ARRAY_LEN(rows); r++)
		for (size_t c = 0; c < ARRAY_LEN(cells); c++)
			for (int threads = 1; threads <= 2; threads++) {
				expect_masked_cells_weigh_nothing(GGML_TYPE_F16, cells[c], rows[r], threads);
				expect_masked_cells_weigh_nothing(GGML_TYPE_F32, cells[c], rows[r], threads);
			}
}

/* ---- attention in the order of positions ---- */

enum { POOL = 1200, ORDERED_SEQS = 4, LEN_MAX = 290, RUN_MAX = 75 };
struct scattered {
	struct attention a;
	struct ggml_tensor *sinks; /* may be NULL */
	float max_bias, softcap;
	uint32_t seqs, len[ORDERED_SEQS], rows[ORDERED_SEQS]; /* rows: the last ones of its tokens are asked for */
	int32_t cells[ORDERED_SEQS * LEN_MAX], first[ORDERED_SEQS]; /* of a sequence's cells, by position */
	int32_t begin[ORDERED_SEQS * RUN_MAX], end[ORDERED_SEQS * RUN_MAX];
	struct ggml_fa_order order;
};

static void fill_type(struct ggml_tensor *t, float *plain)
{
	for (int64_t i = 0; i < ggml_nelements(t); i++)
		plain[i] = normal();
	if (t->type == GGML_TYPE_F32)
		memcpy(t->data, plain, (size_t)ggml_nelements(t) * sizeof *plain);
	else
		ggml_quantize_chunk(t->type, plain, t->data, 0, ggml_nrows(t), t->ne[0], NULL);
}

static void scatter(struct scattered *s)
{
	int32_t pool[POOL], at = 0;

	for (int32_t i = 0; i < POOL; i++)
		pool[i] = i;
	for (uint32_t i = POOL; i-- > 1;) {
		uint32_t j = (uint32_t)rng_below(&rng, i + 1);
		int32_t t = pool[i];
		pool[i] = pool[j];
		pool[j] = t;
	}
	for (uint32_t q = 0; q < s->seqs; q++) {
		s->first[q] = at;
		for (uint32_t p = 0; p < s->len[q]; p++, at++)
			s->cells[at] = pool[at];
	}
}

/* Sequences of random lengths whose cells lie anywhere, and the last rows of each asked for in one batch. */
static void open_scattered(struct scattered *s, enum ggml_type type, uint32_t round)
{
	uint32_t rows = 0, row = 0;
	float *plain = malloc(sizeof *plain * HEAD * POOL * KV_HEADS);

	*s = (struct scattered){.seqs = 1 + (uint32_t)rng_below(&rng, ORDERED_SEQS),
		.max_bias = round % 5 == 2 ? 8 : 0,
		.softcap = round % 3 == 1 ? 20 : 0};
	for (uint32_t q = 0; q < s->seqs; q++) {
		s->len[q] = 1 + (uint32_t)rng_below(&rng, LEN_MAX);
		s->rows[q] = 1 + (uint32_t)rng_below(&rng, MIN(s->len[q], RUN_MAX + 0u));
		rows += s->rows[q];
	}
	scatter(s);
	s->a.ctx = open_context();
	s->a.q = ggml_new_tensor_3d(s->a.ctx, GGML_TYPE_F32, HEAD, rows, HEADS);
	s->a.k = ggml_new_tensor_3d(s->a.ctx, type, HEAD, POOL, KV_HEADS);
	s->a.v = ggml_new_tensor_3d(s->a.ctx, type, HEAD, POOL, KV_HEADS);
	s->a.mask = ggml_new_tensor_2d(s->a.ctx, GGML_TYPE_F16, POOL, rows);
	fill(s->a.q);
	fill_type(s->a.k, plain);
	fill_type(s->a.v, plain);
	free(plain);
	ggml_fp16_t *m = s->a.mask->data;
	for (int64_t i = 0; i < POOL * (int64_t)rows; i++)
		m[i] = ggml_fp32_to_fp16(-INFINITY);
	for (uint32_t q = 0; q < s->seqs; q++)
		for (uint32_t r = 0; r < s->rows[q]; r++, row++) {
			uint32_t pos = s->len[q] - s->rows[q] + r;
			s->begin[row] = s->first[q];
			/* Either the mask alone hides what comes later, or the order ends before it. */
			s->end[row] = s->first[q] + (int32_t)(q & 1 ? pos + 1 : s->len[q]);
			for (uint32_t p = 0; p <= pos; p++)
				m[row * (uint32_t)POOL + (uint32_t)s->cells[s->first[q] + (int32_t)p]] =
					ggml_fp32_to_fp16(s->max_bias > 0 ? (float)p - (float)pos : 0);
		}
	s->order = (struct ggml_fa_order){rows, s->cells, s->begin, s->end};
}

static struct ggml_tensor *attend_with(const struct scattered *s, const struct attention *a, int threads)
{
	struct ggml_tensor *out =
		ggml_flash_attn_ext(a->ctx, a->q, a->k, a->v, a->mask, 0.125f, s->max_bias, s->softcap);

	if (s->sinks)
		ggml_flash_attn_ext_add_sinks(out, s->sinks);
	compute(a->ctx, out, threads);
	return out;
}

static void copy_cell(struct ggml_tensor *to, int64_t at, const struct ggml_tensor *from, int64_t cell)
{
	for (int64_t h = 0; h < KV_HEADS; h++)
		memcpy((char *)to->data + (size_t)at * to->nb[1] + (size_t)h * to->nb[2],
			(const char *)from->data + (size_t)cell * from->nb[1] + (size_t)h * from->nb[2], to->nb[1]);
}

/* One row by itself, its sequence's cells in order from the first on and nothing else there. */
static void expect_row_alone(
	const struct scattered *s, const struct ggml_tensor *all, uint32_t q, uint32_t row, uint32_t pos)
{
	struct attention a = {.ctx = open_context()};
	int64_t cells = (int64_t)pos + 1;
	int32_t in_order[LEN_MAX], begin = 0, end = (int32_t)cells;

	a.q = ggml_new_tensor_3d(a.ctx, GGML_TYPE_F32, HEAD, 1, HEADS);
	a.k = ggml_new_tensor_3d(a.ctx, s->a.k->type, HEAD, cells, KV_HEADS);
	a.v = ggml_new_tensor_3d(a.ctx, s->a.v->type, HEAD, cells, KV_HEADS);
	a.mask = ggml_new_tensor_2d(a.ctx, GGML_TYPE_F16, cells, 1);
	for (int64_t h = 0; h < HEADS; h++)
		memcpy((char *)a.q->data + (size_t)h * a.q->nb[2],
			(char *)s->a.q->data + row * s->a.q->nb[1] + (size_t)h * s->a.q->nb[2], HEAD * sizeof(float));
	for (int32_t p = 0; p < cells; p++) {
		in_order[p] = p;
		copy_cell(a.k, p, s->a.k, s->cells[s->first[q] + p]);
		copy_cell(a.v, p, s->a.v, s->cells[s->first[q] + p]);
		((ggml_fp16_t *)a.mask->data)[p] =
			((ggml_fp16_t *)s->a.mask->data)[row * (uint32_t)POOL + (uint32_t)s->cells[s->first[q] + p]];
	}
	struct ggml_fa_order order = {1, in_order, &begin, &end};
	a.mask->extra = &order;
	struct ggml_tensor *one = attend_with(s, &a, 1);
	const float *x = (const float *)((const char *)all->data + row * all->nb[2]), *y = one->data;
	for (uint32_t i = 0; i < HEAD * HEADS; i++)
		if (x[i] != y[i])
			fail_msg("row %u of sequence %u at %u: %.9g in the batch, %.9g alone", row, q, pos,
				(double)x[i], (double)y[i]);
	ggml_free(a.ctx);
}

static void expect_order_decides(enum ggml_type type, uint32_t round)
{
	struct scattered s;
	uint32_t row = 0;

	open_scattered(&s, type, round);
	if (round % 4 == 3) {
		s.sinks = ggml_new_tensor_1d(s.a.ctx, GGML_TYPE_F32, HEADS);
		fill(s.sinks);
	}
	struct ggml_tensor *as_they_lie = attend_with(&s, &s.a, 1);
	s.a.mask->extra = &s.order;
	struct ggml_tensor *ordered = attend_with(&s, &s.a, 1 + (int)(round % 3));
	for (int64_t i = 0; i < ggml_nelements(ordered); i++)
		assert_float_equal(((float *)ordered->data)[i], ((float *)as_they_lie->data)[i], 0.02);
	for (uint32_t q = 0; q < s.seqs; q++)
		for (uint32_t r = 0; r < s.rows[q]; r++, row++)
			expect_row_alone(&s, ordered, q, row, s.len[q] - s.rows[q] + r);
	ggml_free(s.a.ctx);
}

static void in_order_a_row_has_the_same_bits_in_every_batch_and_place(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 12; round++) {
		expect_order_decides(GGML_TYPE_F16, round);
		expect_order_decides(GGML_TYPE_F32, round);
		expect_order_decides(GGML_TYPE_Q8_0, round);
		expect_order_decides(GGML_TYPE_BF16, round);
	}
}

static int begin(void **state)
{
	(void)state;
	rng_init(&rng, 7);
	ggml_cpu_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_product_of_many_columns_is_that_of_each_alone),
		cmocka_unit_test(masked_cells_weigh_nothing_in_attention),
		cmocka_unit_test(in_order_a_row_has_the_same_bits_in_every_batch_and_place),
	};
	return cmocka_run_group_tests(tests, begin, NULL);
}
