#include "frontend/alias.h"
#include "frontend/internal.h"

#include "base/log.h"

#include <stdio.h>

static int load(struct model *m);

struct model *model_known(struct frontend *fe, const char *name)
{
	list_foreach(it, &fe->models)
	{
		struct model *m = list_entry(it, struct model, link);
		if (!strcmp(m->name, name))
			return m;
	}
	return NULL;
}

static void list_names(struct frontend *fe, struct buf *out)
{
	list_foreach(it, &fe->models)
	{
		const struct model *m = list_entry(it, struct model, link);
		if (m->state == MODEL_READY)
			buf_printf(out, "%s\"%s\"", out->len ? ", " : "", m->name);
	}
	for (uint32_t i = 0; i < fe->expect.len; i++)
		if (!model_known(fe, fe->expect.v[i].name))
			buf_printf(out, "%s\"%s\"", out->len ? ", " : "", fe->expect.v[i].name);
}

/* It is to come: who asks again finds it. */
static void not_yet(const char *name, struct api_error *e)
{
	api_error_set(
		e, 503, "model_loading", "model", "no worker of model \"%.100s\" is up yet; try again soon", name);
	e->retry_after_s = 2;
}

static void not_found(struct frontend *fe, const char *name, struct api_error *e)
{
	struct buf names;

	buf_init(&names, 600);
	list_names(fe, &names);
	if (expect_find(&fe->expect, name)) {
		not_yet(name, e);
	} else if (!*name && fe->expect.len == 1) {
		not_yet(fe->expect.v[0].name, e);
	} else if (!names.len) {
		api_error_set(e, 503, "no_worker", NULL, "no worker has connected yet; try again soon");
		e->retry_after_s = 1;
	} else if (*name) {
		api_error_set(e, 404, "model_not_found", "model", "the model \"%.100s\" does not exist; there %s %s",
			name, strchr(names.data, ',') ? "are" : "is", buf_str(&names));
	} else {
		api_error_set(e, 400, NULL, "model", "\"model\" is missing; there are %s", buf_str(&names));
	}
	buf_done(&names);
}

static struct model *only_one(struct frontend *fe)
{
	/* Another one that is still to come counts. */
	if (fe->expect.len > 1)
		return NULL;
	if (list_empty(&fe->models) || fe->models.next->next != &fe->models)
		return NULL;
	return list_first(&fe->models, struct model, link);
}

struct model *model_find(struct frontend *fe, const char *name, struct api_error *e)
{
	char own[ALIAS_NAME_BYTES];
	struct model *m = *name ? model_known(fe, name) : only_one(fe);

	/* A model of that very name comes before an alias. */
	if (!m && !expect_find(&fe->expect, name) && alias_find(fe->config.model_aliases, name, own)) {
		m = model_known(fe, own);
		name = own;
	}
	if (!m) {
		not_found(fe, name, e);
		return NULL;
	}
	if (m->state == MODEL_READY)
		return m;
	if (m->state == MODEL_FAILED)
		api_error_set(e, 503, "model_not_loaded", "model", "the model \"%.100s\" cannot be served: %s", m->name,
			m->loaded.load_err.msg);
	else
		api_error_set(e, 503, "model_loading", "model", "the tokenizer of \"%.100s\" is being loaded", m->name);
	e->retry_after_s = 1;
	return NULL;
}

static void add_metrics(struct model *m)
{
	struct metrics *all = m->fe->metrics;
	const char *labels[] = {m->name};

	m->ttft = metrics_get(all, FM_TTFT, labels);
	m->inter_token = metrics_get(all, FM_INTER_TOKEN, labels);
	m->e2e = metrics_get(all, FM_E2E, labels);
	m->queue = metrics_get(all, FM_QUEUE, labels);
	m->text = metrics_get(all, FM_TEXT, labels);
	m->text_work = metrics_get(all, FM_TEXT_WORK, labels);
	m->prompt_tokens = metrics_get(all, FM_PROMPT_TOKENS, labels);
	m->cached_tokens = metrics_get(all, FM_CACHED_TOKENS, labels);
	m->generated_tokens = metrics_get(all, FM_GENERATED_TOKENS, labels);
	m->retried = metrics_get(all, FM_RETRIED, labels);
}

static int create(struct frontend *fe, const struct msg_card *card, struct model **ret, struct err *err)
{
	const struct pool_config pool = {
		.policy = fe->policy,
		.knobs = fe->knobs,
		.waiting_max = fe->config.waiting_max,
		.wait_us_max = (uint64_t)fe->config.wait_ms_max * 1000,
		.index_bytes_max = fe->config.index_bytes_max,
		.index_secret = {fe->config.index_secret[0], fe->config.index_secret[1]},
	};
	struct model *m = calloc(1, sizeof *m);

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	list_init(&m->link);
	m->fe = fe;
	m->name = strdup(card->model.data);
	m->spec = strdup(card->tokenizer.data);
	m->tokenizer_hash = card->tokenizer_hash;
	m->context_max = card->context_max;
	m->block_size = card->block_size;
	m->created_s = env_wall_us(fe->env) / 1000000;
	if (!m->name || !m->spec || pool_create(&m->pool, fe->env, &pool, err) < 0 ||
		kv_reuse_create(&m->reuse, err) < 0) {
		model_destroy(m);
		return err_set(err, -ENOMEM, "out of memory");
	}
	int r = preload_claim(m) ? 0 : load(m);
	if (r < 0) {
		model_destroy(m);
		return err_set(err, r, "the frontend is stopping");
	}
	add_metrics(m);
	list_add_tail(&fe->models, &m->link);
	*ret = m;
	return 0;
}

void model_destroy(struct model *m)
{
	if (!m)
		return;
	list_del(&m->link);
	pool_destroy(m->pool);
	kv_reuse_destroy(m->reuse);
	loaded_text_done(&m->loaded);
	free(m->name);
	free(m->spec);
	free(m);
}

void loaded_text_done(struct loaded_text *t)
{
	chat_template_destroy(t->template);
	tokenizer_destroy(t->tokenizer);
	*t = (struct loaded_text){0};
}

/* The template given for one model; NULL: none was. */
static const char *template_given(const struct frontend *fe, const char *model)
{
	for (uint32_t i = 0; model && i < fe->config.templates_len; i++)
		if (strcmp(fe->config.templates[i].model, model) == 0)
			return fe->config.templates[i].source;
	return NULL;
}

void text_load(const struct frontend *fe, const char *spec, const char *model, struct loaded_text *ret)
{
	const char *given = template_given(fe, model);
	const struct chat_template_params params = {
		.source = given ? given : fe->config.chat_template,
		.user_specials = fe->config.user_specials,
		.cache_bytes_max = fe->config.text_cache_bytes_max,
	};

	if (tokenizer_load(&ret->tokenizer, spec, &ret->load_err) < 0)
		return;
	int r = chat_template_load(&ret->template, ret->tokenizer, &params, &ret->template_err);
	if (r < 0)
		ret->template = NULL;
	if (r != -ENOMEM)
		return;
	/* Not a model without a template: it is loaded again when there is memory. */
	tokenizer_destroy(ret->tokenizer);
	ret->tokenizer = NULL;
	ret->load_err = ret->template_err;
}

/* Reading a vocabulary takes up to two seconds. */
static void on_load(struct env_job *job)
{
	struct model *m = CONTAINER_OF(job, struct model, job);

	text_load(m->fe, m->spec, m->name, &m->loaded);
}

static void finish_load(struct model *m)
{
	m->state = m->loaded.tokenizer ? MODEL_READY : MODEL_FAILED;
	if (m->state == MODEL_FAILED) {
		log_error("model cannot be served", LOG_F("model", log_str(m->name)),
			LOG_F("why", log_str(m->loaded.load_err.msg)));
		frontend_note_hopeless(m->fe, m->name, NULL, &m->loaded.load_err);
	} else if (!m->loaded.template) {
		log_warn("model has no chat template", LOG_F("model", log_str(m->name)),
			LOG_F("why", log_str(m->loaded.template_err.msg)));
	}
	list_foreach_safe(it, &m->fe->backends)
	{
		struct backend *b = list_entry(it, struct backend, link);
		if (b->model == m)
			backend_model_ready(b);
	}
	m->users++;
	model_unuse(m);
}

static void on_loaded(struct env_job *job)
{
	struct model *m = CONTAINER_OF(job, struct model, job);

	m->fe->jobs--;
	finish_load(m);
}

static int load(struct model *m)
{
	m->job = (struct env_job){.work = on_load, .done = on_loaded, .is_long = true, .cost_us = TEXT_LOAD_US};
	int r = env_offload(m->fe->env, ENV_POOL_TEXT, &m->job);
	if (r == 0)
		m->fe->jobs++;
	return r;
}

void model_take(struct model *m, struct loaded_text *early)
{
	/* What was read early has the file's own template. */
	if (early->tokenizer && tokenizer_hash(early->tokenizer) == m->tokenizer_hash &&
		!template_given(m->fe, m->name)) {
		m->loaded = *early;
		*early = (struct loaded_text){0};
		finish_load(m);
		return;
	}
	int r = load(m);
	if (r < 0) {
		err_set(&m->loaded.load_err, r, "the frontend is stopping");
		finish_load(m);
	}
}

bool model_is_starved(const struct model *m)
{
	return m->state == MODEL_FAILED && m->loaded.load_err.code == -ENOMEM;
}

/* A model nobody uses is kept when it works: its clients wait for a worker to come back. */
void model_unuse(struct model *m)
{
	ASSERT(m->users);
	if (--m->users == 0 && m->state == MODEL_FAILED)
		model_destroy(m);
}

void model_fit_context(struct model *m)
{
	uint32_t least = UINT32_MAX;
	uint64_t blocks = 0;

	list_foreach(it, &m->fe->backends)
	{
		const struct backend *b = list_entry(it, struct backend, link);
		if (b->model == m)
			least = MIN(least, link_card(b->conn)->context_max);
		blocks += b->model == m ? link_card(b->conn)->blocks : 0;
	}
	if (least != UINT32_MAX)
		m->context_max = least;
	kv_reuse_cache(m->reuse, blocks);
}

struct model *model_of_card(struct frontend *fe, const struct msg_card *card, struct err *err)
{
	struct model *m = model_known(fe, card->model.data);

	if (m && m->tokenizer_hash != card->tokenizer_hash && !m->users && m->state == MODEL_READY) {
		model_destroy(m); /* served anew from another file */
		m = NULL;
	}
	if (!m)
		return create(fe, card, &m, err) < 0 ? NULL : m;
	if (m->tokenizer_hash != card->tokenizer_hash) {
		err_set(err, -EINVAL,
			"its tokenizer differs from that of the other workers of model \"%s\"; workers of one model "
			"must "
			"have one vocabulary and chat template",
			m->name);
		return NULL;
	}
	return m;
}
