/* preload.c - vocabularies that the launcher knows are coming are read while the workers start. A card that names one of
 * them takes what was loaded when its hash is the card's; a wrong or failed guess is forgotten. */
#include "frontend/internal.h"

#include <string.h>

struct preload {
	struct list link; /* in frontend.preloads */
	struct frontend *fe;
	char *spec;
	struct loaded_text loaded;
	struct model *waiting; /* a card came before it was done */
	bool done;
	struct env_job job;
	struct env_timer turn;
};

static void preload_destroy(struct preload *p)
{
	list_del(&p->link);
	env_timer_cancel(p->fe->env, &p->turn);
	loaded_text_done(&p->loaded);
	free(p->spec);
	free(p);
}

/* On a text thread. */
static void on_work(struct env_job *job)
{
	struct preload *p = CONTAINER_OF(job, struct preload, job);

	text_load(p->fe, p->spec, NULL, &p->loaded);
}

/* In a turn of its own: whoever claims is still making its model. */
static void hand_over(struct preload *p)
{
	model_take(p->waiting, &p->loaded);
	preload_destroy(p);
}

static void on_turn(void *ctx)
{
	hand_over(ctx);
}

static void on_done(struct env_job *job)
{
	struct preload *p = CONTAINER_OF(job, struct preload, job);

	p->fe->jobs--;
	p->done = true;
	if (p->waiting)
		hand_over(p);
	else if (!p->loaded.tokenizer)
		preload_destroy(p);
}

static void start(struct frontend *fe, const char *spec, size_t len)
{
	struct preload *p = calloc(1, sizeof *p);

	if (!p)
		return;
	list_init(&p->link);
	p->fe = fe;
	p->spec = strndup(spec, len);
	p->turn = (struct env_timer){.fn = on_turn, .ctx = p};
	p->job = (struct env_job){.work = on_work, .done = on_done, .is_long = true, .cost_us = TEXT_LOAD_US};
	if (!p->spec || env_offload(fe->env, ENV_POOL_TEXT, &p->job) < 0) {
		preload_destroy(p);
		return;
	}
	fe->jobs++;
	list_add_tail(&fe->preloads, &p->link);
}

void preload_start(struct frontend *fe, const char *list)
{
	for (; list && *list; list += *list == ',') {
		size_t len = strcspn(list, ",");

		if (len)
			start(fe, list, len);
		list += len;
	}
}

bool preload_claim(struct model *m)
{
	list_foreach(it, &m->fe->preloads)
	{
		struct preload *p = list_entry(it, struct preload, link);

		if (p->waiting || strcmp(p->spec, m->spec) != 0)
			continue;
		p->waiting = m;
		if (p->done)
			env_timer_set(p->fe->env, &p->turn, 0);
		return true;
	}
	return false;
}

void preload_destroy_all(struct frontend *fe)
{
	list_foreach_safe(it, &fe->preloads) preload_destroy(list_entry(it, struct preload, link));
}
