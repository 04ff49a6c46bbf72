#include "sim/model.h"
#include "base/file.h"
#include "base/buf.h"
#include "config/suggest.h"

#include <stdio.h>
#include <string.h>

enum { RECORD_BYTES_MAX = 512 * 1024 * 1024 };

static const struct sim_model models[] = {
	{.name = "dynamo-mocker",
		.kind = SIM_MODEL_BLOCKS,
		.seqs_max = 256,
		.batch_tokens = 8192,
		.block_size = 512,
		.blocks = 1600,
		.prefill = {16.50142, 1.518344e-02, 4.209989e-07},
		.decode = {5.74, 54.01, -25.74},
		.decode_min_ms = 1},
	{.name = "mock",
		.kind = SIM_MODEL_SCHED,
		.seqs_max = 256,
		.batch_tokens = 2048,
		.block_size = 16,
		.blocks = 2048,
		.base_us = 5000,
		.prefill_token_us = 20,
		.decode_seq_us = 100,
		.context_token_us = 0.01},
};

static double polynomial(const double *c, double x)
{
	return c[0] + x * (c[1] + x * c[2]);
}

static double predicted_ms(const struct sim_model *m, const struct sim_load *load)
{
	struct roofline_terms t;
	uint64_t context = load->decoding ? load->decode_context / load->decoding : 0;

	roofline_step(&m->line, load->prefill_tokens, 0, load->decoding, context, &t);
	return t.total_us / 1e3;
}

double sim_model_ms(const struct sim_model *m, const struct sim_load *load)
{
	double ms = 0;

	if (m->predicted)
		return predicted_ms(m, load);
	if (load->prefilling)
		ms += polynomial(m->prefill, load->prefill_tokens);
	if (load->decoding) {
		double p = MIN(1.0, (double)load->decode_context / (double)load->capacity);
		ms += MAX(m->decode_min_ms, polynomial(m->decode, p));
	}
	return ms;
}

static int fit_file(struct sim_model *ret, const char *path, struct err *err)
{
	struct buf text;

	buf_init(&text, RECORD_BYTES_MAX);
	int code = file_read_text(&text, "recorded steps", path, FILE_OR_PIPE, err);
	if (code == 0)
		code = sim_model_fit(ret, path, buf_str(&text), text.len, err);
	buf_done(&text);
	return code;
}

/* "4xt4:" to the card and how many of it; NULL: no card of that name. */
static const struct gpu_spec *card_of(const char *name, size_t len, uint32_t *ret_count)
{
	char text[64];
	int at = 0;

	*ret_count = 1;
	snprintf(text, sizeof text, "%.*s", (int)MIN(len, sizeof text - 1), name);
	if (sscanf(text, "%3ux%n", ret_count, &at) != 1 || !at)
		*ret_count = 1, at = 0;
	return gpu_spec_find(text + at);
}

/* What is left beside weights and 1.5 GiB a card for the engine itself (docs/design/prediction.md). */
static int fill_cache(struct sim_model *m, const struct roofline_ask *ask, struct err *err)
{
	uint64_t budget = ask->gpu->usable_bytes / 10 * 9;
	uint64_t taken = model_weight_bytes_tp(ask->model, NULL, ask->tp) + (3ull << 29);
	uint64_t token = model_kv_bytes_per_token_tp(ask->model, ask->kv, ask->tp);

	if (budget < taken + token * m->block_size)
		return err_set(err, -EINVAL,
			"\"%s\" does not fit: %.1f GiB of weights and engine, %.1f GiB usable a card", m->name,
			(double)taken / (1 << 30), (double)budget / (1 << 30));
	m->blocks = (uint32_t)MIN((budget - taken) / (token ? token * m->block_size : 1), 1u << 24);
	return 0;
}

static int predict(struct sim_model *ret, const char *name, const struct gpu_spec *gpu, uint32_t count, struct err *err)
{
	struct sim_model m = {
		.kind = SIM_MODEL_BLOCKS, .seqs_max = 256, .batch_tokens = 2048, .block_size = 16, .predicted = true};
	struct model_facts facts;
	int code = model_facts_find(&facts, strchr(name, ':') + 1, err);

	if (code < 0)
		return code;
	const struct roofline_ask ask = {.gpu = gpu,
		.model = &facts,
		.tp = count,
		.link = gpu->nvlink_gb_s > 0 ? GPU_LINK_NVLINK : GPU_LINK_PCIE,
		.kv = KV_F16};
	snprintf(m.name, sizeof m.name, "%s", name);
	code = roofline_init(&m.line, &ask, err);
	if (code == 0)
		code = fill_cache(&m, &ask, err);
	if (code == 0)
		*ret = m;
	return code;
}

int sim_model_find(struct sim_model *ret, const char *name, struct err *err)
{
	struct suggest s;

	if (!strncmp(name, "fit:", 4))
		return fit_file(ret, name + 4, err);
	suggest_init(&s, name);
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		if (!strcmp(models[i].name, name))
			return *ret = models[i], 0;
		suggest_offer(&s, models[i].name);
	}
	const char *colon = strchr(name, ':');
	uint32_t count = 1;
	const struct gpu_spec *gpu = colon ? card_of(name, (size_t)(colon - name), &count) : NULL;
	if (gpu)
		return predict(ret, name, gpu, count, err);
	const char *best = suggest_best(&s);
	err_set(err, -EINVAL, "unknown engine model \"%s\"", name);
	return best ? err_hint(err, "did you mean \"%s\"?", best)
		    : err_hint(err, "there are dynamo-mocker, mock, fit:FILE and CARD:MODEL");
}
