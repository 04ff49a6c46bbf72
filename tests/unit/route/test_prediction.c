/* Predictions after an overload: what a worker was like while long prompts filled it must not be told of short ones that find
 * it idle. One worker that computes prompts one after another, real pool, seeded, on the fake clock. */
#include "base/rng.h"
#include "route/pool.h"
#include "sim/env.h"

#include "../lib/cmocka_all.h"
#include <math.h>

enum { BATCH = 2048, SLOTS = 64, OUTSTANDING_MAX = 8, SETTLE = 30, JUDGED = 40, LATE_US_MAX = 20 * 1000 * 1000 };

/* How the worker and the way to it are for a while. */
struct phase {
	double clock; /* between its reports passes so much more time than it says its steps took */
	double late; /* the first token is told so much later than its step's end, as a part of its time since dispatch */
};

struct job {
	struct pool_ticket ticket;
	struct world *w;
	uint32_t left, answer;
	bool there;
};

struct world {
	struct sim *sim;
	struct env *env;
	struct pool *pool;
	struct pool_worker *worker;
	struct rng rng;
	struct phase phase;
	struct job *jobs[OUTSTANDING_MAX];
	uint32_t len; /* at the worker, in the order they came */
	uint64_t step;
};

/* What a step takes by the worker's own word. */
static double says_us(uint32_t prefill, uint32_t decodes)
{
	return 4000 + 300.0 * prefill + 1000.0 * decodes;
}

static void on_ready(struct pool_ticket *t)
{
	struct job *j = CONTAINER_OF(t, struct job, ticket);

	j->there = true;
	j->left = t->request.prompt_tokens;
	j->w->jobs[j->w->len++] = j;
}

static void on_shed(struct pool_ticket *t, enum pool_shed why)
{
	(void)t;
	fail_msg("shed: %d", why);
}

static void submit(struct world *w, struct job *j, uint32_t prompt, uint32_t answer)
{
	*j = (struct job){.w = w, .answer = answer};
	j->ticket = (struct pool_ticket){
		.request = {.prompt_tokens = prompt, .choices = 1}, .on_ready = on_ready, .on_shed = on_shed};
	if (pool_submit(w->pool, &j->ticket) == POOL_READY)
		on_ready(&j->ticket);
}

/* What the next step computes: prompts in their order, and a token for each that answers. */
static void plan(const struct world *w, uint32_t take[OUTSTANDING_MAX], struct msg_step *s)
{
	uint32_t room = BATCH;

	*s = (struct msg_step){0};
	for (uint32_t i = 0; i < w->len; i++) {
		take[i] = MIN(w->jobs[i]->left, room);
		room -= take[i];
		s->prefill_tokens += take[i];
		s->decode_tokens += !w->jobs[i]->left;
	}
}

static void first_token(struct world *w, struct job *j)
{
	uint64_t since_us = env_now_us(w->env) - j->ticket.ready_us;

	sim_run_for(w->sim, (uint64_t)fmin(LATE_US_MAX, w->phase.late * (double)since_us));
	pool_first_token(w->pool, &j->ticket);
}

static void end(struct world *w, uint32_t at)
{
	struct job *j = w->jobs[at];
	const struct route_outcome outcome = {.generated = 8};

	w->len--;
	for (uint32_t i = at; i < w->len; i++)
		w->jobs[i] = w->jobs[i + 1];
	pool_outcome(w->pool, &j->ticket, &outcome);
	pool_release(w->pool, &j->ticket);
	j->there = false;
}

static void step(struct world *w)
{
	uint32_t take[OUTSTANDING_MAX] = {0}, none[OUTSTANDING_MAX]; /* who comes meanwhile is in none of it */
	struct msg_step s, next;

	plan(w, take, &s);
	s.step = ++w->step;
	s.duration_us = (uint64_t)says_us(s.prefill_tokens, s.decode_tokens);
	sim_run_for(w->sim, (uint64_t)(w->phase.clock * (double)s.duration_us));
	for (uint32_t i = w->len; i--;) {
		struct job *j = w->jobs[i];
		bool had = j->left > 0;
		j->left -= take[i];
		if (j->left)
			continue;
		if (had)
			first_token(w, j);
		if (!j->answer--)
			end(w, i);
	}
	for (uint32_t i = 0; i < w->len; i++)
		s.waiting_tokens += w->jobs[i]->left;
	s.running = w->len;
	plan(w, none, &next);
	s.next_prefill_tokens = next.prefill_tokens;
	s.next_decode_tokens = next.decode_tokens;
	(void)pool_worker_report(w->pool, w->worker, &s);
}

/* Long prompts, as many as are taken, one behind another. */
static void overload(struct world *w, uint32_t count)
{
	struct job *jobs = calloc(count, sizeof *jobs);
	uint32_t sent = 0;

	assert_non_null(jobs);
	while (sent < count || w->len || pool_waiting(w->pool)) {
		while (sent < count && w->len + pool_waiting(w->pool) < OUTSTANDING_MAX - 1)
			submit(w, &jobs[sent++], 4000 + (uint32_t)rng_below(&w->rng, 20000),
				(uint32_t)rng_below(&w->rng, 20));
		if (w->len)
			step(w);
		else
			sim_run_for(w->sim, 1000);
	}
	free(jobs);
}

/* One short prompt alone. Returns whether its time was predicted: to a quarter, or 5 ms. */
static bool ask_alone(struct world *w, double *ret_off_us)
{
	struct job j;

	sim_run_for(w->sim, 20000 + rng_below(&w->rng, 2000000));
	submit(w, &j, 5 + (uint32_t)rng_below(&w->rng, 60), (uint32_t)rng_below(&w->rng, 40));
	assert_true(j.there);
	double predicted_us = j.ticket.choice.predicted_us;
	while (j.there)
		step(w);
	double actual_us = (double)(j.ticket.first_us - j.ticket.ready_us);
	*ret_off_us = predicted_us - actual_us;
	return fabs(*ret_off_us) <= fmax(5000, 0.25 * actual_us);
}

static void world_init(struct world *w, uint64_t seed)
{
	struct sim_config config;
	const struct pool_config pool = {.policy = &route_finish_time,
		.knobs = route_knobs_default,
		.waiting_max = 1000,
		.wait_us_max = UINT64_MAX / 4,
		.index_bytes_max = 1 << 20};
	const struct pool_worker_facts facts = {
		.name = "w", .slots = SLOTS, .blocks = 4096, .block_size = 64, .batch_tokens = BATCH};

	*w = (struct world){0};
	rng_init(&w->rng, seed);
	sim_config_default(&config, seed);
	assert_int_equal(sim_create(&w->sim, &config, NULL), 0);
	w->env = sim_env(w->sim);
	assert_int_equal(pool_create(&w->pool, w->env, &pool, NULL), 0);
	w->worker = pool_worker_add(w->pool, &facts, NULL);
	assert_non_null(w->worker);
}

static void world_done(struct world *w)
{
	pool_worker_remove(w->pool, w->worker);
	pool_destroy(w->pool);
	sim_destroy(w->sim);
}

static void short_prompts_are_predicted_soon_after_an_overload_of_long_ones(void **state)
{
	static const struct phase overloads[] = {{1, 0}, {3, 0}, {1, 2}, {6, 0.5}, {1.3, 3}};
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		for (size_t i = 0; i < ARRAY_LEN(overloads); i++) {
			struct world w;
			uint32_t right = 0;
			double off_us, most_us = 0;

			world_init(&w, seed);
			w.phase = overloads[i];
			overload(&w, 60);
			w.phase = (struct phase){.clock = 1};
			for (int k = 0; k < SETTLE; k++)
				(void)ask_alone(&w, &off_us);
			for (int k = 0; k < JUDGED; k++) {
				right += ask_alone(&w, &off_us);
				most_us = fmax(most_us, fabs(off_us));
			}
			if (right < JUDGED)
				fail_msg("seed %d, overload %d: %u of %d predicted, off by up to %.1f ms", (int)seed,
					(int)i, right, JUDGED, most_us / 1e3);
			world_done(&w);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_prompts_are_predicted_soon_after_an_overload_of_long_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
