#include "sim/model.h"
#include "base/compiler.h"
#include "config/suggest.h"

#include <stdio.h>
#include <string.h>

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

int sim_model_find(struct sim_model *ret, const char *name, struct err *err)
{
	struct suggest s;

	suggest_init(&s, name);
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		if (!strcmp(models[i].name, name))
			return *ret = models[i], 0;
		suggest_offer(&s, models[i].name);
	}
	const char *best = suggest_best(&s);
	err_set(err, -EINVAL, "unknown engine model \"%s\"", name);
	return best ? err_hint(err, "did you mean \"%s\"?", best) : err_hint(err, "there is \"dynamo-mocker\"");
}
