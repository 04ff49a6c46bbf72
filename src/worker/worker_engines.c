#include "worker/worker_engines.h"
#include "base/log.h"
#include "engine/llama.h"
#include "engine/mock.h"
#include "llama/model.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Sequences of a llama worker when none are asked for: the default of max-seqs. */
enum { LLAMA_SEQS = 64 };

/* What llama.cpp says of itself (devices, buffers, kernels) is for those who look for a fault, but for the file's
 * fields, which may be long. Its errors come back in the errors of calls. */
static void on_llama_line(void *ctx, enum ll_log_level level, const char *line)
{
	(void)ctx;
	if (level != LL_LOG_DEBUG && !strstr(line, ": - kv"))
		log_debug("llama.cpp", LOG_F("says", log_str(line)));
}

static int create_llama(struct engine **ret, const struct worker_options *o, bool (*progress)(void *ctx, float done),
	void *ctx, struct err *err)
{
	/* Flash attention: its absence doubles the compute buffers and a quantized V needs it; "auto" would make the layout
	 * of the cells a matter of luck. */
	struct llama_config c = {.path = o->model,
		.context = {.cells = o->cells,
			.batch_tokens_max = o->batch_tokens_max,
			.ubatch_tokens_max = o->ubatch_tokens_max,
			.seqs_max = o->seqs ? o->seqs : LLAMA_SEQS,
			.seqs_fit = !o->seqs,
			.flash_attention = true,
			.threads = o->threads,
			.memory_share = o->memory_share},
		.context_max = o->context_max,
		.no_mmap = o->no_mmap,
		.gpu_layers = o->gpu_layers,
		.progress = progress,
		.progress_ctx = ctx};
	const char *type = o->kv_type ? o->kv_type : "f16";

	if (log_level() >= LOG_DEBUG)
		ll_log_sink(on_llama_line, NULL);
	if (ll_kv_type_parse(type, &c.context.type_k) < 0)
		return err_set(err, -EINVAL, "unknown KV type \"%s\"", type);
	c.context.type_v = c.context.type_k;
	return llama_engine_create(ret, &c, err);
}

/* Ids are all the mock needs of a vocabulary, and the file's header tells them in a few milliseconds. */
static bool take_header(struct mock_config *c, const char *model)
{
	struct ll_file_facts f;

	if (ll_file_check(model, false, &f, NULL) < 0 || !f.vocab_tokens || f.eos_token == UINT32_MAX)
		return false;
	c->tokenizer_hash = f.vocab_hash;
	c->vocab = f.vocab_tokens;
	c->eog_token = f.eos_token;
	snprintf(c->tokenizer, sizeof c->tokenizer, "%s", model);
	return true;
}

/* The mock talks in the ids of a real vocabulary when it is given one, else in bytes. */
static int take_vocabulary(struct mock_config *c, const char *model, struct err *err)
{
	size_t len = model ? strlen(model) : 0;
	bool is_file = len > 5 && !strcasecmp(model + len - 5, ".gguf");
	struct tokenizer *t;

	if (is_file && take_header(c, model))
		return 0;
	int r = tokenizer_load(&t, is_file ? model : "byte", err);
	if (r < 0)
		return r;
	c->tokenizer_hash = tokenizer_hash(t);
	if (is_file) {
		c->vocab = tokenizer_vocab(t);
		c->eog_token = tokenizer_eos(t) == TOKEN_NONE ? 0 : tokenizer_eos(t);
		snprintf(c->tokenizer, sizeof c->tokenizer, "%s", model);
	}
	tokenizer_destroy(t);
	return 0;
}

static int create_mock(struct engine **ret, const struct worker_options *o, bool (*progress)(void *ctx, float done),
	void *ctx, struct err *err)
{
	struct mock_config c = {.cells = o->cells,
		.seqs = o->seqs,
		.batch_tokens_max = o->batch_tokens_max,
		.context_max = o->context_max,
		.answer_min = o->answer_min,
		.answer_max = o->answer_max,
		.timing = o->timing};

	(void)progress;
	(void)ctx;
	if (o->fault && mock_fault_parse(o->fault, &c.fault) < 0)
		return err_set(err, -EINVAL, "unknown fault \"%s\"", o->fault);
	c.fault_after = o->fault_after;
	int r = take_vocabulary(&c, o->model, err);
	return r < 0 ? r : mock_engine_create(ret, &c, err);
}

static const struct worker_engine engines[] = {
	{.name = "llama", .create = create_llama, .needs_model = true},
	{.name = "mock", .create = create_mock},
};

const struct worker_engine *worker_engine_find(const char *name, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(engines); i++)
		if (!strcmp(engines[i].name, name))
			return &engines[i];
	err_set(err, -EINVAL, "unknown engine \"%s\"; a worker runs llama or mock", name);
	return NULL;
}
