/* predict.c - throughput and latency of workers; see predict.h and docs/design/planning.md. */
#include "plan/predict.h"

/* KV between two workers of one host: measured 9 to 11 GB/s through both copies; PCIe 3 x16 gives no more. */
static const double HANDOFF_BYTES_A_US = 8000;

/* A MIG instance has a share of the card's memory, and about that share of its bandwidth and units. */
const struct gpu_spec *plan_spec_of(const struct gpu_device *card, struct gpu_spec *ret)
{
	if (!card->spec || !card->mig_slice || !card->spec->usable_bytes)
		return card->spec;
	double share = MIN((double)card->memory_total / (double)card->spec->usable_bytes, 1);
	*ret = *card->spec;
	ret->memory_gb_s *= share;
	ret->tflops_fp32 *= share;
	ret->tflops_fp16 *= share;
	ret->tflops_bf16 *= share;
	ret->tflops_fp8 *= share;
	ret->tflops_fp4 *= share;
	ret->tops_int8 *= share;
	return ret;
}

int plan_roofline(struct roofline *ret, const struct plan_service *s, const struct gpu_device *card, enum gpu_link link,
	struct err *err)
{
	struct gpu_spec part;
	const struct roofline_ask ask = {.gpu = plan_spec_of(card, &part),
		.model = s->model->facts,
		.tp = s->tp,
		.link = link,
		.dtype = s->engine == GRAPH_ENGINE_LLAMA ? NULL : plan_dtype_on(s, card->capability),
		.quant = plan_weights_on(s, card->capability),
		.kv = plan_kv_on(s, card->capability),
		.llama = s->engine == GRAPH_ENGINE_LLAMA};

	return roofline_init(ret, &ask, err);
}

void plan_pace(struct plan_pace *ret, const struct plan_service *s, const struct roofline *r,
	const struct plan_terms *t, const struct plan_load *load, const struct gpu_device *card)
{
	uint64_t batch = MAX(plan_batch_on(s, card), 1), each = (uint64_t)load->prompt + load->answer;
	/* llama.cpp computes a step's tokens in pieces, each reading the weights anew. */
	uint64_t step = s->engine == GRAPH_ENGINE_LLAMA ? MIN(batch, MAX(s->ubatch, 1)) : batch;
	struct plan_pace p = {.known = true};

	for (uint64_t done = 0; done < load->prompt; done += step)
		p.prefill_us += roofline_prefill_us(r, MIN(step, load->prompt - done), done);
	p.handoff_us = (double)model_kv_bytes(s->model->facts, plan_kv_on(s, card->capability), load->prompt) /
		       HANDOFF_BYTES_A_US;
	p.streams = MAX(MIN(plan_seqs_on(s, card), t->kv_tokens / each), 1);
	roofline_step(r, 0, 0, p.streams, load->prompt + load->answer / 2, &p.step);
	p.decode_us = p.step.total_us;
	roofline_step(r, 0, 0, 1, load->prompt, &p.one);
	p.decode_one_us = p.one.total_us;
	roofline_step(r, MIN(step, load->prompt), 0, 0, 0, &p.prompt);
	*ret = p;
}

void plan_predict_both(struct plan_predicted *ret, const struct plan_pace *paces, const uint32_t *count, uint32_t kinds,
	const struct plan_load *load)
{
	struct plan_predicted p = {.known = true};
	double rate = 0, prefill = 0;
	uint32_t workers = 0;

	for (uint32_t k = 0; k < kinds; k++) {
		const struct plan_pace *x = &paces[k];
		if (!count[k])
			continue;
		p.known &= x->known;
		rate += count[k] / (x->prefill_us + load->answer * x->decode_us / (double)MAX(x->streams, 1));
		prefill += count[k] * x->prefill_us;
		p.streams += count[k] * x->streams;
		workers += count[k];
	}
	p.known &= workers > 0 && rate > 0;
	*ret = (struct plan_predicted){0};
	if (!p.known)
		return;
	p.tokens_s = rate * load->answer * 1e6;
	p.ttft_ms = prefill / workers / 1000;
	p.token_ms = (double)p.streams / p.tokens_s * 1000;
	*ret = p;
}

void plan_predict_split(struct plan_predicted *ret, const struct plan_pace *paces, const uint32_t *count,
	uint32_t kinds, uint32_t prefill, const struct plan_load *load)
{
	struct plan_predicted p = {.known = true};
	double prefill_rate = 0, decode_rate = 0, first = 0, step = 0, streams = 0;
	uint32_t workers = 0;

	for (uint32_t k = 0; k < kinds; k++) {
		const struct plan_pace *x = &paces[k];
		if (!count[k])
			continue;
		p.known &= x->known;
		prefill_rate += count[k] / x->prefill_us;
		decode_rate += count[k] * (double)x->streams / (load->answer * x->decode_us);
		first += count[k] * (x->prefill_us + x->handoff_us + x->decode_one_us);
		step += count[k] * x->decode_us;
		streams += (double)(count[k] * x->streams);
		workers += count[k];
	}
	*ret = (struct plan_predicted){0};
	if (!p.known || prefill == 0 || prefill >= workers)
		return;
	double share = (double)prefill / workers;
	prefill_rate *= share;
	decode_rate *= 1 - share;
	p.prefill_bound = prefill_rate < decode_rate;
	p.tokens_s = MIN(prefill_rate, decode_rate) * load->answer * 1e6;
	p.streams = (uint64_t)(streams * (1 - share));
	p.token_ms = step / workers / 1000;
	p.ttft_ms = first / workers / 1000;
	*ret = p;
}
