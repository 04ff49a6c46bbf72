/* roofline.c - efficiencies, stated once:
 *
 *   memory   0.70 below capability 8.0 (T4s decode at 60 to 75 % of 320 GB/s by reports), 0.80 from Ampere on (the factor
 *            that NVIDIA's aiconfigurator multiplies its peaks with)
 *   compute  0.40 below 8.0 (35 to 45 % of a T4's 65 TFLOPS in prefill by reports), 0.50 from Ampere on (judgement)
 *   NVLink   half of the sum of both directions x 0.7, 10 us a call (aiconfigurator's p2p latency)
 *   PCIe     x 0.75 (12 of 16 GB/s), 25 us a call (judgement; through host memory where cards cannot reach each other)
 *   launch   1 ms a step for scheduler and sampler, 12 us a layer for its kernels (judgement, CUDA graphs on)
 *
 * On an H100 (driver 580, torch) matrix times vector ran at 2,610 to 2,640 of 3,350 GB/s: 0.78; matrix products of 256 to
 * 2,048 tokens at 570 to 660 of 989 TFLOPS: 0.58 to 0.67, of which attention and all else between them take their part.
 * llama.cpp (its kernels are others; llama-bench by users, and what its sources do):
 *   memory   0.75 (RTX 6000 Ada: 8B and 3B at 4 bits decode at 0.77 and 0.66 of the peak, launches included)
 *   compute  16 bits: 0.24 of an H100's peak, 0.36 from 8.0 to 8.9, 0.30 below; quantized weights multiply in 8 bits (MMQ):
 *            0.12, 0.18 and 0.12 of the int8 peak (RTX 6000 Ada: 8B at 4 bits, 8,008 tokens/s of prompt: 0.18)
 *   CPU      34 GFLOP/s a core with AVX2 (the demo model's prompts on two), half as much again with AVX-512; 0.75 of the memory's
 *            rate as measured, else of 12 GB/s a core up to 8 and 4 beyond; 0.1 ms a step, 10 us a layer
 *   launch   0.3 ms a step, 20 us a layer; logits: 4 bytes a vocabulary entry over 20 GB/s and 0.5 ns to draw
 *
 * 4-bit weights of AWQ, GPTQ and bitsandbytes are unpacked to 16 bits: the bytes shrink, the rate does not grow. */
#include "gpu/roofline.h"

#include "base/compiler.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_OLD 0.70
#define MEMORY_NEW 0.80
#define COMPUTE_OLD 0.40
#define COMPUTE_NEW 0.50
#define NVLINK_SHARE 0.70
#define NVLINK_CALL_US 10.0
#define PCIE_SHARE 0.75
#define PCIE_CALL_US 25.0
#define PCIE_GB_S 16.0 /* where the card's entry has none */
#define STEP_US 1000.0
#define LAYER_US 12.0

/* llama.cpp, fitted to an H100 (docs/design/prediction.md). Passes over a token's vectors in a layer, 32 bits each: norms,
 * residuals, rotation, what attention reads and writes; and the feed-forward's gate, up and product. */
#define LLAMA_STEP_US 300.0
#define LLAMA_HIDDEN_PASSES 12.0
#define LLAMA_INTER_PASSES 5.0
#define LLAMA_ROW_GB_S 20.0
#define LLAMA_DRAW_US 0.0001 /* drawn by all cores */
#define HOST_MEMORY 0.75
#define HOST_STEP_US 100.0
#define HOST_LAYER_US 10.0
#define HOST_DRAW_US 0.001
#define HOST_CORE_TFLOPS 0.034

static bool is(const char *text, const char *word)
{
	return text && !strcasecmp(text, word);
}

/* The peak of what the matrices are multiplied in, 1e12 a second; 0: the card has no such arithmetic. */
static double peak(const struct gpu_spec *g, const char *dtype, const char *quant)
{
	double half = MAX(g->tflops_fp16, g->tflops_fp32); /* Pascal's gaming cards: fp32 is the faster */

	if (is(dtype, "float32") || is(dtype, "float"))
		return g->tflops_fp32;
	if ((is(quant, "int8") || is(quant, "w8a8")) && g->tops_int8 > 0)
		return MAX(g->tops_int8, half);
	if (is(quant, "fp8") && g->tflops_fp8 > 0)
		return g->tflops_fp8;
	if (is(quant, "nvfp4") && g->tflops_fp4 > 0)
		return g->tflops_fp4;
	if (is(dtype, "bfloat16"))
		return g->tflops_bf16;
	return half;
}

/* Bytes of the routed experts' matrices among bytes of weights. */
static double expert_share(const struct model_facts *m, const char *quant, double bytes)
{
	double expert = (double)m->experts * (m->layers - m->dense_layers) * 3.0 * m->hidden * m->expert_intermediate;
	double params = (double)m->params, linear = (double)m->params_linear;

	if (expert <= 0 || linear <= 0)
		return 0;
	expert = MIN(expert, linear);
	if (is(quant, "mxfp4")) /* only the experts are packed */
		return MAX(bytes - 2 * (params - expert), 0);
	return MAX(bytes - 2 * (params - linear), bytes * linear / params / 2) * expert / linear;
}

static void weights(struct roofline *r, const struct roofline_ask *ask, double tp)
{
	const struct model_facts *m = ask->model;
	const char *quant = ask->quant ? ask->quant : m->quant;
	double bytes = (double)model_weight_bytes_tp(m, ask->quant, ask->tp);
	double whole = (double)model_weight_bytes(m, ask->quant);
	double embed = m->tied_embeddings ? 0 : (double)m->params_embed / (double)m->params * whole / tp;
	double expert = expert_share(m, quant, whole) / tp;

	r->experts = m->experts;
	r->experts_used = m->experts_used;
	r->expert_bytes = m->experts ? expert / m->experts : 0;
	r->shared_bytes = MAX(bytes - expert - embed, 0); /* the embedding gives a row a token */
}

/* llama.cpp keeps all tokens of sliding layers as well (swa_full), and looks at them. */
static double sliding_of(const struct roofline_ask *ask)
{
	return ask->model->sliding_window && !ask->llama ? ask->model->sliding_layers : 0;
}

static void operations(struct roofline *r, const struct roofline_ask *ask, double tp)
{
	const struct model_facts *m = ask->model;
	double output = (double)m->params_embed; /* as large as the output layer, tied or not */
	double around = m->tied_embeddings ? output : 2 * output;
	double sizes = m->mla_rank ? 2.0 * m->mla_rank + m->mla_rope_dim : (double)m->head_dim + m->head_dim_v;
	double pair = 2 * sizes * m->heads / tp;
	double sliding = sliding_of(ask);

	r->flops_token = 2 * MAX((double)m->params_active - around, 0) / tp;
	r->flops_output = 2 * output / tp;
	r->flops_pair_full = pair * (m->kv_layers - sliding);
	r->flops_pair_sliding = pair * sliding;
	r->window = m->sliding_window;
}

static void cache(struct roofline *r, const struct roofline_ask *ask)
{
	const struct model_facts *m = ask->model;
	double token = (double)model_kv_bytes_per_token_tp(m, ask->kv, ask->tp);
	double sliding = m->kv_layers ? sliding_of(ask) / m->kv_layers : 0;

	r->kv_bytes_full = token * (1 - sliding);
	r->kv_bytes_sliding = token * sliding;
}

static void links(struct roofline *r, const struct roofline_ask *ask, double tp)
{
	const struct gpu_spec *g = ask->gpu;
	bool nvlink = ask->link == GPU_LINK_NVLINK && g->nvlink_gb_s > 0;

	if (tp <= 1)
		return;
	double gb_s =
		nvlink ? g->nvlink_gb_s / 2 * NVLINK_SHARE : (g->pcie_gb_s > 0 ? g->pcie_gb_s : PCIE_GB_S) * PCIE_SHARE;
	r->link_bandwidth = gb_s * 1e3; /* bytes a microsecond */
	r->link_latency_us = nvlink ? NVLINK_CALL_US : PCIE_CALL_US;
	r->link_calls = 2.0 * ask->model->layers;
	r->link_bytes_token = r->link_calls * 2 * (tp - 1) / tp * ask->model->hidden * 2;
}

static bool is_plain(const char *quant)
{
	return !quant || is(quant, "none") || is(quant, "f16") || is(quant, "bf16") || is(quant, "float16") ||
	       is(quant, "bfloat16") || is(quant, "f32") || is(quant, "float32");
}

/* What attention is computed in, and matrices of 16 bits. */
static double llama_rate_half(const struct gpu_spec *g)
{
	double share = g->capability >= 90 ? 0.167 : g->capability >= 80 ? 0.36 : 0.30;

	return MAX(g->tflops_fp16, g->tflops_fp32) * share;
}

/* Quantized matrices are multiplied in 8 bits where the card has them (MMQ), else 16. */
static double llama_rate(const struct gpu_spec *g, const char *quant)
{
	double half = llama_rate_half(g);

	if (is(quant, "f32") || is(quant, "float32"))
		return g->tflops_fp32 * 0.5;
	double share = g->capability >= 90 ? 0.0525 : g->capability >= 80 ? 0.18 : 0.12;
	return is_plain(quant) || g->tops_int8 <= 0 ? half : MAX(g->tops_int8 * share, half / 2);
}

/* Shares of the memory's rate with matrices of 16 bits and quantized ones, and the launches a layer of a step of one token and
 * of more. Cards with HBM have so much of it for each processor that unpacking is what takes time. */
struct llama_card {
	double memory, memory_quant, layer_us, layer_many_us;
};
static const struct llama_card with_hbm = {0.88, 0.69, 42, 85}, without_hbm = {0.85, 0.85, 20, 40};

static const struct llama_card *llama_card(const struct gpu_spec *g)
{
	return g->capability == 80 || (g->capability >= 90 && g->capability < 110) ? &with_hbm : &without_hbm;
}

static void as_llama(struct roofline *r, const struct roofline_ask *ask)
{
	const struct model_facts *m = ask->model;
	const struct llama_card *card = llama_card(ask->gpu);
	const char *quant = ask->quant ? ask->quant : m->quant;
	double width = m->experts ? (double)m->expert_intermediate * MAX(m->experts_used, 1u) : m->intermediate;
	double plain = ask->gpu->memory_gb_s * 1e3 * card->memory;

	r->rate = llama_rate(ask->gpu, quant) * 1e6;
	r->rate_pairs = llama_rate_half(ask->gpu) * 1e6;
	r->bandwidth = is_plain(quant) ? plain : ask->gpu->memory_gb_s * 1e3 * card->memory_quant;
	r->launch_us = LLAMA_STEP_US + card->layer_us * m->layers;
	r->launch_many_us = LLAMA_STEP_US + card->layer_many_us * m->layers;
	r->one_pool = true;
	r->between_us_token = m->layers * 4 * (LLAMA_HIDDEN_PASSES * m->hidden + LLAMA_INTER_PASSES * width) / plain;
	r->row_us = m->vocab * (4 / (LLAMA_ROW_GB_S * 1e3) + LLAMA_DRAW_US);
}

/* Cells of other sequences are passed over quickly there (scripts/llama's patch), so attention is each sequence's own. */
static void as_host(struct roofline *r, const struct roofline_ask *ask)
{
	r->rate = r->rate_pairs = ask->gpu->tflops_fp32 * 1e6;
	r->bandwidth = ask->gpu->memory_gb_s * 1e3 * HOST_MEMORY;
	r->launch_us = r->launch_many_us = HOST_STEP_US + HOST_LAYER_US * ask->model->layers;
	r->row_us = ask->model->vocab * HOST_DRAW_US;
}

void roofline_host(struct gpu_spec *ret, const struct host_facts *h, double part)
{
	double vector = h->avx512 ? 1.5 : h->avx2 || (!h->avx && !h->f16c) ? 1 : 0.4;
	double guess = 12.0 * MIN(h->cores, 8u) + 4.0 * (h->cores > 8 ? h->cores - 8 : 0);

	*ret = (struct gpu_spec){.name = "CPU",
		.nvml = "",
		.source = "",
		.memory_bytes = h->ram_total,
		.usable_bytes = h->ram_total,
		.memory_gb_s = (h->memory_mb_s ? h->memory_mb_s / 1e3 : guess) * part,
		.tflops_fp32 = h->cores * HOST_CORE_TFLOPS * vector * part};
}

int roofline_init(struct roofline *ret, const struct roofline_ask *asked, struct err *err)
{
	struct roofline_ask ask = *asked;
	char why[128];

	ask.llama |= ask.host;
	if (!ask.tp || ask.llama) /* its layers are on one card after another: no faster than one */
		ask.tp = 1;
	if (!ask.gpu || !ask.model)
		return err_set(err, -EINVAL, "cannot predict without a card and a model of the catalogues");
	if (*model_tp_reason(ask.model, ask.tp, why, sizeof why))
		return err_set(err, -EINVAL, "cannot predict %u GPUs for \"%s\": %s", ask.tp, ask.model->name, why);
	if (!model_quant_known(ask.quant))
		return err_set(err, -EINVAL, "cannot predict quantization \"%s\": not known", ask.quant);
	if (ask.kv >= KV_DTYPES)
		return err_set(err, -EINVAL, "cannot predict: the KV type is not known");
	const char *quant = ask.quant ? ask.quant : ask.model->quant;
	double top = peak(ask.gpu, ask.dtype, quant), tp = ask.tp;
	if (top <= 0)
		return err_set(err, -EINVAL, "a %s does not compute in %s", ask.gpu->name, ask.dtype);
	bool old = ask.gpu->capability < 80;
	*ret = (struct roofline){.rate = top * 1e6 * (old ? COMPUTE_OLD : COMPUTE_NEW),
		.bandwidth = ask.gpu->memory_gb_s * 1e3 * (old ? MEMORY_OLD : MEMORY_NEW),
		.launch_us = STEP_US + LAYER_US * ask.model->layers};
	ret->rate_pairs = ret->rate;
	ret->launch_many_us = ret->launch_us;
	weights(ret, &ask, tp);
	operations(ret, &ask, tp);
	cache(ret, &ask);
	links(ret, &ask, tp);
	if (ask.host)
		as_host(ret, &ask);
	else if (ask.llama)
		as_llama(ret, &ask);
	return 0;
}

/* Experts that tokens touch, when each token's choice is even: E (1 - (1 - k/E)^n). */
static double experts_touched(const struct roofline *r, double tokens)
{
	return r->experts > 0 ? r->experts * (1 - pow(1 - r->experts_used / r->experts, tokens)) : 0;
}

static double kept(const struct roofline *r, double context)
{
	return MIN(context, r->window);
}

/* Pairs of a token and what it looks at: n tokens behind before others; under a window at most that many each. */
static double pairs(double n, double before, double window)
{
	if (before >= window)
		return n * window;
	double rising = MIN(n, window - before); /* tokens that do not fill the window yet */
	return rising * before + rising * (rising + 1) / 2 + (n - rising) * window;
}

void roofline_step(const struct roofline *r, uint64_t prefill_tokens, uint64_t prefill_context, uint64_t batch,
	uint64_t context, struct roofline_terms *ret)
{
	double n = (double)prefill_tokens, before = (double)prefill_context, b = (double)batch, c = (double)context;
	double tokens = n + b;

	*ret = (struct roofline_terms){0};
	if (tokens <= 0)
		return;
	ret->bytes = r->shared_bytes + experts_touched(r, tokens) * r->expert_bytes;
	ret->bytes += b * (c * r->kv_bytes_full + kept(r, c) * r->kv_bytes_sliding);
	if (n > 0)
		ret->bytes += (before + n) * r->kv_bytes_full + kept(r, before + n) * r->kv_bytes_sliding;
	double flops = tokens * r->flops_token + (b + (n > 0)) * r->flops_output;
	double attention = r->flops_pair_full * (n * before + n * (n + 1) / 2 + b * c * (r->one_pool ? b : 1));
	attention += r->flops_pair_sliding * (pairs(n, before, r->window) + b * kept(r, c));
	ret->flops = flops + attention;
	ret->memory_us = ret->bytes / r->bandwidth;
	ret->compute_us = flops / r->rate + attention / r->rate_pairs;
	if (r->link_calls > 0)
		ret->link_us = r->link_calls * r->link_latency_us + tokens * r->link_bytes_token / r->link_bandwidth;
	ret->launch_us = tokens > 1 ? r->launch_many_us : r->launch_us;
	ret->between_us = tokens * r->between_us_token + (b + (n > 0)) * r->row_us;
	ret->memory_bound = ret->memory_us >= ret->compute_us;
	ret->total_us = ret->launch_us + MAX(ret->memory_us, ret->compute_us) + ret->link_us + ret->between_us;
}

double roofline_prefill_us(const struct roofline *r, uint64_t n, uint64_t context)
{
	struct roofline_terms t;

	roofline_step(r, n, context, 0, 0, &t);
	return t.total_us;
}

double roofline_decode_us(const struct roofline *r, uint64_t batch, uint64_t context)
{
	struct roofline_terms t;

	roofline_step(r, 0, 0, batch, context, &t);
	return t.total_us;
}

const char *roofline_text(const struct roofline_terms *t, char *ret, size_t cap)
{
	int n = snprintf(ret, cap, "%.1f ms: %s %.1f ms (%.2f GB, %.2f TFLOP), links %.1f ms, launch %.1f ms",
		t->total_us / 1e3, t->memory_bound ? "memory" : "compute", MAX(t->memory_us, t->compute_us) / 1e3,
		t->bytes / 1e9, t->flops / 1e12, t->link_us / 1e3, t->launch_us / 1e3);

	if (t->between_us > 0 && n > 0 && (size_t)n < cap)
		snprintf(ret + n, cap - (size_t)n, ", between kernels and on the host %.1f ms", t->between_us / 1e3);
	return ret;
}
