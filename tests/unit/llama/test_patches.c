/* Our patches of llama.cpp (scripts/llama-*.patch) make it faster and must not change a bit of what it computes. */
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
	};
	return cmocka_run_group_tests(tests, begin, NULL);
}
