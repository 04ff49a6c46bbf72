#include "frontend/text_work.h"
#include "frontend/internal.h"

enum {
	/* A request of a few words is small whatever its model's text costs, else slow templates would have no lane. However
	 * fast it seems, one past the larger bounds is not: an estimate that is wrong costs others little. */
	TINY_BYTES_MAX = 4 * 1024,
	TINY_ITEMS_MAX = 8,
	SMALL_US_MAX = 2000,
	SMALL_BYTES_MAX = 32 * 1024,
	SMALL_ITEMS_MAX = 64,
	/* Each task costs what so many bytes would: a rate from a short text is no rate. */
	BYTES_ASIDE = 1024,
	LOOK_MAX = 64, /* tasks looked through for one that waits */
	RETRY_S_MAX = 120,
};

/* Before anything is known, us a byte: fast vocabularies do better, slow ones worse, and are learned. */
static const float first_guess[TEXT_KINDS] = {
	[TEXT_PARSE] = 0.02f,
	[TEXT_CHAT] = 0.15f,
	[TEXT_PROMPT] = 0.1f,
	[TEXT_IDS] = 0.02f,
};

/* 0 for up to least, then one more for each factor of 4. */
static uint32_t class_of(uint64_t n, uint64_t least, uint32_t classes)
{
	uint32_t c = 0;

	while (c < classes - 1 && n > least) {
		least *= 4;
		c++;
	}
	return c;
}

static const float *rate_of(const struct text_rates *r, const struct text_size *s)
{
	uint32_t bytes = class_of(s->bytes, 1024, TEXT_BYTE_CLASSES), items = class_of(s->items, 4, TEXT_ITEM_CLASSES);

	return &r->us[s->kind][bytes][items];
}

uint64_t text_rates_predict_us(const struct text_rates *r, const struct text_size *s)
{
	float us = *rate_of(r, s);

	return (uint64_t)((float)(s->bytes + BYTES_ASIDE) * (us > 0 ? us : first_guess[s->kind]));
}

/* A thread that was set aside once must not make a kind of text slow for long, nor a kind that is slow take long to be
 * known as such. */
void text_rates_learn(struct text_rates *r, const struct text_size *s, uint64_t took_us, bool whole)
{
	float *rate = (float *)(uintptr_t)rate_of(r, s), known = *rate > 0 ? *rate : first_guess[s->kind];
	float seen = (float)took_us / (float)(s->bytes + BYTES_ASIDE);

	if (!whole && seen < known)
		return;
	if (*rate > 0)
		seen = MIN(MAX(seen, known / 4), known * 8);
	*rate = *rate > 0 ? known + (seen - known) / 4 : seen;
	*rate = MAX(*rate, 1e-6f);
}

void text_work_init(struct text_work *w, uint32_t threads)
{
	*w = (struct text_work){.threads = MAX(threads, 1u)};
	list_init(&w->tasks);
}

bool text_is_long(const struct text_size *s, uint64_t cost_us)
{
	if (s->bytes <= TINY_BYTES_MAX && s->items <= TINY_ITEMS_MAX)
		return false;
	return s->bytes > SMALL_BYTES_MAX || s->items > SMALL_ITEMS_MAX || cost_us > SMALL_US_MAX;
}

/* counting */

static void count_in(struct text_work *w, const struct text_task *t)
{
	uint64_t *owner = &w->owner_us[fair_queue_owner(t->owner)];

	if (fair_queue_lane(&t->job) == FAIR_SHORT) {
		w->small_us += t->job.cost_us;
		return;
	}
	w->owners += !*owner;
	w->long_us += t->job.cost_us;
	*owner += t->job.cost_us;
}

static void count_out(struct text_work *w, const struct text_task *t)
{
	uint64_t *owner = &w->owner_us[fair_queue_owner(t->owner)];

	if (fair_queue_lane(&t->job) == FAIR_SHORT) {
		w->small_us -= t->job.cost_us;
		return;
	}
	w->long_us -= t->job.cost_us;
	*owner -= t->job.cost_us;
	w->owners -= !*owner;
}

/* What must be done before a newcomer's turn: everything there is, or, where others have more than their part of it, its
 * owner's own and as much of each other. */
static uint64_t ahead_us(const struct text_work *w, uint64_t owner, enum fair_lane lane)
{
	uint64_t own_us = w->owner_us[fair_queue_owner(owner)];

	if (lane == FAIR_SHORT)
		return w->small_us / w->threads;
	return MIN(w->long_us, own_us * (w->owners + !own_us)) / w->threads;
}

static bool has_begun(const struct text_task *t)
{
	return atomic_load_explicit(&t->job.begun_us, memory_order_relaxed) != 0;
}

/* Estimates may be wrong; how long its owner's oldest has waited is not. */
static uint64_t waited_us(const struct text_work *w, uint64_t owner, enum fair_lane lane, uint64_t now_us)
{
	uint32_t looked = 0;

	list_foreach(it, &w->tasks)
	{
		const struct text_task *t = list_entry(it, struct text_task, link);
		if (++looked > LOOK_MAX)
			break;
		if (t->owner == owner && fair_queue_lane(&t->job) == lane && !has_begun(t))
			return now_us - t->arrived_us;
	}
	return 0;
}

void text_work_count(const struct frontend *fe, struct text_counts *ret)
{
	uint64_t now_us = env_now_us(fe->env);

	*ret = (struct text_counts){.ahead_us = fe->text.long_us / fe->text.threads};
	list_foreach(it, &fe->text.tasks)
	{
		const struct text_task *t = list_entry(it, struct text_task, link);
		bool begun = has_begun(t);
		ret->running += begun;
		ret->waiting += !begun;
		if (!begun)
			ret->oldest_us = MAX(ret->oldest_us, now_us - t->arrived_us);
	}
}

/* limits */

static uint64_t limit_us(const struct frontend *fe)
{
	return (uint64_t)fe->config.text_ms_max * 1000;
}

static uint32_t retry_after_s(uint64_t us)
{
	return (uint32_t)MIN(us / 1000000 + 1, (uint64_t)RETRY_S_MAX);
}

static int refuse_full(const struct frontend *fe, uint64_t wait_us, struct api_error *e)
{
	e->retry_after_s = retry_after_s(wait_us - limit_us(fe));
	return api_error_set(e, 429, "text_queue_full", NULL,
		"other text is ahead of this request: about %.0f s of work, and %.0f s are allowed; try again in %u s",
		(double)wait_us / 1e6, (double)limit_us(fe) / 1e6, e->retry_after_s);
}

/* Did it wait too long, or take too long? */
static void late_error(const struct text_task *t, bool deadline, struct api_error *e)
{
	double limit_s = (double)limit_us(t->fe) / 1e6;

	if (deadline) {
		api_error_set(e, 504, "deadline_exceeded", NULL,
			"the request's time was over before its text was made into tokens");
	} else if (has_begun(t)) {
		api_error_set(e, 400, "text_too_slow", NULL,
			"the text of this request was not made into tokens within %.0f s; send less of it", limit_s);
	} else {
		e->retry_after_s = retry_after_s(ahead_us(&t->fe->text, t->owner, fair_queue_lane(&t->job)));
		api_error_set(e, 503, "text_timeout", NULL,
			"the text of this request waited %.0f s for a thread; try again in %u s", limit_s,
			e->retry_after_s);
	}
}

/* A wait counts from the arrival, work from its begin. */
static uint64_t limit_at_us(const struct text_task *t)
{
	uint64_t begun_us = atomic_load_explicit(&t->job.begun_us, memory_order_relaxed);
	uint64_t at_us = (begun_us ? begun_us : t->arrived_us) + limit_us(t->fe);

	return t->deadline_us ? MIN(at_us, t->deadline_us) : at_us;
}

static void on_limit(void *ctx)
{
	struct text_task *t = ctx;
	struct api_error e = {0};
	uint64_t now_us = env_now_us(t->fe->env), at_us = limit_at_us(t);

	if (now_us < at_us) {
		env_timer_set(t->fe->env, &t->limit, at_us);
		return;
	}
	late_error(t, t->deadline_us && now_us >= t->deadline_us, &e);
	t->late(t, &e);
}

/* tasks */

static void on_work(struct env_job *job)
{
	struct text_task *t = CONTAINER_OF(job, struct text_task, job);

	t->work(t);
}

static void on_done(struct env_job *job)
{
	struct text_task *t = CONTAINER_OF(job, struct text_task, job);
	bool cancelled = atomic_load_explicit(&job->cancelled, memory_order_relaxed);

	env_timer_cancel(t->fe->env, &t->limit);
	list_del(&t->link);
	count_out(&t->fe->text, t);
	t->fe->jobs--;
	if (job->worked) {
		text_rates_learn(t->rates, &t->size, job->took_us, !cancelled);
		if (t->metric)
			metric_observe(t->metric, job->took_us);
	}
	t->done(t);
}

int text_task_start(struct text_task *t, struct frontend *fe, struct api_error *e)
{
	uint64_t now_us = env_now_us(fe->env);

	t->fe = fe;
	t->job = (struct env_job){.work = on_work, .done = on_done, .owner = t->owner};
	t->job.cost_us = MAX(text_rates_predict_us(t->rates, &t->size), 1u);
	t->job.is_long = text_is_long(&t->size, t->job.cost_us);
	t->limit = (struct env_timer){.fn = on_limit, .ctx = t};
	enum fair_lane lane = fair_queue_lane(&t->job);
	uint64_t wait_us = MAX(ahead_us(&fe->text, t->owner, lane), waited_us(&fe->text, t->owner, lane, now_us));
	if (wait_us > limit_us(fe))
		return refuse_full(fe, wait_us, e);
	if (env_offload(fe->env, ENV_POOL_TEXT, &t->job) < 0) {
		e->retry_after_s = 5;
		return api_error_set(e, 503, "server_stopping", NULL, "the server is stopping");
	}
	fe->jobs++;
	list_add_tail(&fe->text.tasks, &t->link);
	count_in(&fe->text, t);
	env_timer_set(fe->env, &t->limit, limit_at_us(t));
	return 0;
}

void text_task_cancel(struct text_task *t, enum text_end why)
{
	static const char *const names[] = {"client left", "deadline", "limit"};
	const char *labels[] = {names[why]};

	env_timer_cancel(t->fe->env, &t->limit);
	metric_add(metrics_get(t->fe->metrics, FM_TEXT_CANCELLED, labels), 1);
	env_job_cancel(t->fe->env, &t->job);
}
