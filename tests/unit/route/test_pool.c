/* The pool: every ticket is answered once, no load is left behind. */
#include "base/rng.h"
#include "route/pool.h"
#include "sim/env.h"

#include "../lib/cmocka_all.h"

enum { TICKETS = 400, WORKERS = 4, WAITING_MAX = 20, WAIT_US = 3000000 };

struct world {
	struct sim *sim;
	struct env *env;
	struct pool *pool;
	struct pool_worker *workers[WORKERS];
};

struct client {
	struct pool_ticket ticket;
	uint32_t ready, shed, full, cancelled, choices_left;
	enum pool_shed why;
};

static void on_ready(struct pool_ticket *t)
{
	struct client *c = CONTAINER_OF(t, struct client, ticket);
	assert_int_equal(t->state, POOL_READY);
	assert_non_null(t->worker);
	c->ready++;
	c->choices_left = t->request.choices;
}

static void on_shed(struct pool_ticket *t, enum pool_shed why)
{
	struct client *c = CONTAINER_OF(t, struct client, ticket);
	c->shed++;
	c->why = why;
}

static struct pool_worker *add_worker(struct pool *p, uint32_t slots)
{
	const struct pool_worker_facts facts = {.name = "w", .slots = slots};
	return pool_worker_add(p, &facts, NULL);
}

static void world_init(struct world *w, uint64_t seed)
{
	struct sim_config config;
	const struct pool_config pool = {
		.policy = &route_least_loaded, .waiting_max = WAITING_MAX, .wait_us_max = WAIT_US};

	*w = (struct world){0};
	sim_config_default(&config, seed);
	assert_int_equal(sim_create(&w->sim, &config, NULL), 0);
	w->env = sim_env(w->sim);
	assert_int_equal(pool_create(&w->pool, w->env, &pool, NULL), 0);
}

static void world_done(struct world *w)
{
	assert_int_equal(pool_outstanding(w->pool), 0);
	assert_int_equal(pool_waiting(w->pool), 0);
	for (int i = 0; i < WORKERS; i++)
		if (w->workers[i])
			pool_worker_remove(w->pool, w->workers[i]);
	pool_destroy(w->pool);
	assert_int_equal(sim_counts(w->sim).timers, 0);
	sim_destroy(w->sim);
}

static void ask(struct world *w, struct client *c, uint32_t choices)
{
	*c = (struct client){.ticket = {.request = {.prompt_tokens = 100, .choices = choices},
				     .on_ready = on_ready,
				     .on_shed = on_shed}};
	switch (pool_submit(w->pool, &c->ticket)) {
	case POOL_READY:
		on_ready(&c->ticket);
		break;
	case POOL_FULL:
		c->full++;
		break;
	default:
		assert_int_equal(c->ticket.state, POOL_WAITING);
	}
}

static void give_back(struct world *w, struct client *c)
{
	for (; c->choices_left; c->choices_left--)
		pool_release(w->pool, &c->ticket);
}

static void requests_wait_for_the_first_worker(void **state)
{
	(void)state;
	struct world w;
	struct client a, b;

	world_init(&w, 1);
	ask(&w, &a, 1);
	ask(&w, &b, 2);
	sim_run_for(w.sim, 1000);
	assert_int_equal(a.ready + b.ready, 0);
	w.workers[0] = add_worker(w.pool, 4);
	assert_int_equal(a.ready, 0); /* not from inside the call */
	sim_run_for(w.sim, 1);
	assert_int_equal(a.ready, 1);
	assert_int_equal(b.ready, 1);
	assert_int_equal(pool_worker_outstanding(w.workers[0]), 3);
	give_back(&w, &a);
	give_back(&w, &b);
	world_done(&w);
}

static void a_ticket_nobody_takes_is_shed_with_the_reason(void **state)
{
	(void)state;
	struct world w;
	struct client a, many[4];

	world_init(&w, 1);
	ask(&w, &a, 1);
	sim_run_for(w.sim, WAIT_US);
	assert_int_equal(a.shed, 1);
	assert_int_equal(a.why, POOL_SHED_NO_WORKER);
	w.workers[0] = add_worker(w.pool, 1); /* takes two: one runs, one waits there */
	for (int i = 0; i < 4; i++)
		ask(&w, &many[i], 1);
	sim_run_for(w.sim, WAIT_US);
	assert_int_equal(many[3].shed, 1);
	assert_int_equal(many[3].why, POOL_SHED_BUSY);
	for (int i = 0; i < 4; i++)
		give_back(&w, &many[i]);
	world_done(&w);
}

static void a_full_queue_refuses_and_says_when_to_come_back(void **state)
{
	(void)state;
	struct world w;
	static struct client clients[WAITING_MAX + 3];

	world_init(&w, 1);
	assert_int_equal(pool_retry_after_s(w.pool), 5);
	w.workers[0] = add_worker(w.pool, 1);
	/* One ends each second for a while: the estimate follows. */
	for (int i = 0; i < 60; i++) {
		ask(&w, &clients[0], 1);
		sim_run_for(w.sim, 1000000);
		give_back(&w, &clients[0]);
	}
	for (int i = 0; i < WAITING_MAX + 3; i++)
		ask(&w, &clients[i], 1);
	assert_int_equal(clients[WAITING_MAX + 2].full, 1);
	assert_int_equal(clients[WAITING_MAX + 1].full, 0);
	assert_in_range(pool_retry_after_s(w.pool), WAITING_MAX - 3, WAITING_MAX + 9);
	for (int i = 0; i < WAITING_MAX + 3; i++) {
		pool_cancel(w.pool, &clients[i].ticket);
		give_back(&w, &clients[i]);
	}
	world_done(&w);
}

static void more_choices_than_any_worker_has_go_to_an_empty_one(void **state)
{
	(void)state;
	struct world w;
	struct client a;

	world_init(&w, 1);
	w.workers[0] = add_worker(w.pool, 2);
	ask(&w, &a, 16);
	assert_int_equal(a.ready, 1);
	give_back(&w, &a);
	world_done(&w);
}

static void a_draining_worker_gets_nothing_new(void **state)
{
	(void)state;
	struct world w;
	struct client a;

	world_init(&w, 1);
	w.workers[0] = add_worker(w.pool, 2);
	pool_worker_drain(w.pool, w.workers[0]);
	assert_int_equal(pool_workers_up(w.pool), 0);
	ask(&w, &a, 1);
	assert_int_equal(a.ready, 0);
	pool_cancel(w.pool, &a.ticket);
	sim_run_for(w.sim, 2 * WAIT_US);
	assert_int_equal(a.shed, 0);
	world_done(&w);
}

static void random_op(struct world *w, struct rng *r, struct client *clients, uint32_t *next)
{
	struct client *c = *next ? &clients[rng_below(r, *next)] : NULL;
	uint64_t i = rng_below(r, WORKERS);

	switch (rng_below(r, 7)) {
	case 0:
	case 1:
		if (*next < TICKETS)
			ask(w, &clients[(*next)++], 1 + (uint32_t)rng_below(r, 3));
		break;
	case 2:
		if (!w->workers[i])
			w->workers[i] = add_worker(w->pool, 1 + (uint32_t)rng_below(r, 4));
		break;
	case 3: /* it dies: its tickets are given back first */
		for (uint32_t k = 0; w->workers[i] && k < *next; k++)
			if (clients[k].choices_left && clients[k].ticket.worker == w->workers[i])
				give_back(w, &clients[k]);
		if (w->workers[i])
			pool_worker_remove(w->pool, w->workers[i]);
		w->workers[i] = NULL;
		break;
	case 4:
		if (c && c->ticket.state == POOL_WAITING) {
			pool_cancel(w->pool, &c->ticket);
			c->cancelled++;
		}
		break;
	case 5:
		if (c && c->choices_left) {
			pool_first_token(w->pool, &c->ticket);
			c->choices_left--;
			pool_release(w->pool, &c->ticket);
		}
		break;
	default:
		sim_run_for(w->sim, rng_below(r, 200000));
	}
}

static void every_ticket_is_answered_once_whatever_happens(void **state)
{
	(void)state;
	static struct client clients[TICKETS];

	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct world w;
		struct rng r;
		uint32_t next = 0;

		world_init(&w, seed);
		rng_init(&r, seed);
		for (int i = 0; i < 2500; i++)
			random_op(&w, &r, clients, &next);
		sim_run_for(w.sim, WAIT_US);
		for (uint32_t k = 0; k < next; k++)
			assert_int_equal(
				clients[k].ready + clients[k].shed + clients[k].full + clients[k].cancelled, 1);
		for (uint32_t k = 0; k < next; k++)
			give_back(&w, &clients[k]);
		for (int i = 0; i < WORKERS; i++)
			assert_int_equal(w.workers[i] ? pool_worker_outstanding(w.workers[i]) : 0, 0);
		world_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_wait_for_the_first_worker),
		cmocka_unit_test(a_ticket_nobody_takes_is_shed_with_the_reason),
		cmocka_unit_test(a_full_queue_refuses_and_says_when_to_come_back),
		cmocka_unit_test(more_choices_than_any_worker_has_go_to_an_empty_one),
		cmocka_unit_test(a_draining_worker_gets_nothing_new),
		cmocka_unit_test(every_ticket_is_answered_once_whatever_happens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
