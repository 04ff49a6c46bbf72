#include "sim/model.h"
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

double sim_model_ms(const struct sim_model *m, const struct sim_load *load)
{
	double ms = 0;

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
	char piece[65536];
	size_t n;
	FILE *f = fopen(path, "r");

	if (!f)
		return err_set_errno(err, -errno, "could not open recorded steps \"%s\"", path);
	buf_init(&text, RECORD_BYTES_MAX);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0 && buf_add(&text, piece, n) == 0)
		;
	fclose(f);
	int code = text.failed ? err_set(err, -EFBIG, "could not read recorded steps \"%s\": more than %d bytes", path,
					 RECORD_BYTES_MAX)
			       : sim_model_fit(ret, path, buf_str(&text), text.len, err);
	buf_done(&text);
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
	const char *best = suggest_best(&s);
	err_set(err, -EINVAL, "unknown engine model \"%s\"", name);
	return best ? err_hint(err, "did you mean \"%s\"?", best)
		    : err_hint(err, "there are dynamo-mocker, mock and fit:FILE");
}
