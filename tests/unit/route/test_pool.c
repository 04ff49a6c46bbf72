/* The pool: every ticket is answered once, no load is left behind. */
#include "base/rng.h"
#include "kv/hash.h"
#include "route/pool.h"
#include "sim/env.h"

#include "../lib/cmocka_all.h"

enum { TICKETS = 400, WORKERS = 4, WAITING_MAX = 20, WAIT_US = 3000000, BLOCK = 16 };

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
	const struct pool_worker_facts facts = {.name = "w", .slots = slots, .blocks = 1000, .block_size = BLOCK};
	return pool_worker_add(p, &facts, NULL);
}

static void world_init_with(struct world *w, uint64_t seed, const struct route_policy *policy)
{
	struct sim_config config;
	const struct pool_config pool = {
		.policy = policy,
		.knobs = route_knobs_default,
		.waiting_max = WAITING_MAX,
		.wait_us_max = WAIT_US,
		.index_bytes_max = 1 << 20,
	};

	*w = (struct world){0};
	sim_config_default(&config, seed);
	assert_int_equal(sim_create(&w->sim, &config, NULL), 0);
	w->env = sim_env(w->sim);
	assert_int_equal(pool_create(&w->pool, w->env, &pool, NULL), 0);
}

static void world_init(struct world *w, uint64_t seed)
{
	world_init_with(w, seed, &route_least_loaded);
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

static void hash_chain(uint64_t seed, uint64_t *ret, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ret[i] = rng_keyed_u64(seed, i);
}

static void ask(struct world *w, struct client *c, uint32_t choices)
{
	static uint64_t prompts[4][8];
	uint64_t kind = env_rand(w->env);

	hash_chain(kind & 3, prompts[kind & 3], 8);
	*c = (struct client){.ticket = {.request = {.prompt_tokens = 100 + (uint32_t)(kind >> 50),
						.choices = choices,
						.hashes = prompts[kind & 3],
						.hashes_count = kind >> 8 & 7,
						.priority = (int32_t)(kind >> 16 & 3) - 1,
						.tenant = kind >> 20 & 3,
						.session = kind >> 24 & 7},
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

static void nobody_waits_in_a_deserted_pool_unless_a_worker_is_up(void **state)
{
	(void)state;
	struct world w;
	struct client a, b, many[4];

	world_init(&w, 1);
	ask(&w, &a, 1);
	sim_run_for(w.sim, WAIT_US / 2);
	pool_desert(w.pool, true);
	assert_int_equal(a.shed, 0); /* not from inside the call */
	sim_run_for(w.sim, 1);
	assert_int_equal(a.shed, 1);
	assert_int_equal(a.why, POOL_SHED_NO_WORKER);
	ask(&w, &b, 1);
	sim_run_for(w.sim, 1);
	assert_int_equal(b.shed, 1);
	pool_desert(w.pool, false);
	ask(&w, &a, 1);
	sim_run_for(w.sim, WAIT_US / 2);
	assert_int_equal(a.shed, 0);
	pool_desert(w.pool, true);
	w.workers[0] = add_worker(w.pool, 1); /* before the turn in which it would be shed */
	for (int i = 0; i < 4; i++)
		ask(&w, &many[i], 1);
	sim_run_for(w.sim, WAIT_US / 4);
	assert_int_equal(a.ready, 1);
	assert_int_equal(a.shed + many[3].shed, 0); /* busy is not deserted */
	assert_false(pool_is_deserted(w.pool));
	assert_int_equal(pool_waiting(w.pool), 3); /* two are at the worker */
	for (int turn = 0; turn < 5; turn++) {
		give_back(&w, &a);
		for (int i = 0; i < 4; i++)
			give_back(&w, &many[i]);
		sim_run_for(w.sim, 1000);
	}
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

/* caches */

static void give_snapshot(struct world *w, uint32_t i, const uint64_t *hashes, uint32_t count)
{
	struct msg_kv kv = {.stored = {hashes, count}, .snapshot = true, .snapshot_end = true, .blocks_held = count};

	for (uint32_t k = 0; k < count; k++)
		kv.digest = kv_digest_add(kv.digest, hashes[k]);
	assert_int_equal(pool_worker_kv(w->pool, w->workers[i], &kv), 0);
}

static void ask_for(struct world *w, struct client *c, const uint64_t *hashes, uint32_t count)
{
	*c = (struct client){.ticket = {.request = {.prompt_tokens = count * BLOCK + 1,
						.choices = 1,
						.hashes = hashes,
						.hashes_count = count},
				     .on_ready = on_ready,
				     .on_shed = on_shed}};
	if (pool_submit(w->pool, &c->ticket) == POOL_READY)
		on_ready(&c->ticket);
}

static void report(struct world *w, uint32_t worker)
{
	const struct msg_step step = {.step = 1, .duration_us = 1000};

	(void)pool_worker_report(w->pool, w->workers[worker], &step);
}

static void a_worker_that_has_fallen_silent_gets_nothing_more_while_another_speaks(void **state)
{
	(void)state;
	struct client c[20];
	struct world w;

	world_init(&w, 1);
	w.workers[0] = add_worker(w.pool, 8);
	w.workers[1] = add_worker(w.pool, 8);
	ask(&w, &c[0], 1);
	ask(&w, &c[1], 1);
	assert_ptr_not_equal(c[0].ticket.worker, c[1].ticket.worker);
	/* The first is stopped, the second ends what it has and speaks. */
	for (int i = 0; i < 10; i++) {
		sim_run_for(w.sim, 1000000);
		report(&w, c[1].ticket.worker == w.workers[1]);
	}
	for (int i = 2; i < 6; i++) {
		ask(&w, &c[i], 1);
		assert_ptr_equal(c[i].ticket.worker, c[1].ticket.worker);
	}
	/* It is heard again. */
	report(&w, c[0].ticket.worker == w.workers[1]);
	ask(&w, &c[6], 1);
	assert_ptr_equal(c[6].ticket.worker, c[0].ticket.worker);
	/* Both silent: better to wait there than nowhere. */
	sim_run_for(w.sim, 20000000);
	ask(&w, &c[7], 1);
	assert_non_null(c[7].ticket.worker);
	for (int i = 0; i < 8; i++)
		give_back(&w, &c[i]);
	world_done(&w);
}

static void ask_again(struct world *w, struct client *c, const uint64_t *avoid, uint32_t count)
{
	*c = (struct client){
		.ticket = {.request = {.prompt_tokens = 1, .choices = 1, .avoid = avoid, .avoid_count = count},
			.on_ready = on_ready,
			.on_shed = on_shed}};
	if (pool_submit(w->pool, &c->ticket) == POOL_READY)
		on_ready(&c->ticket);
}

static void workers_that_failed_a_request_get_it_only_where_there_is_no_other(void **state)
{
	(void)state;
	uint64_t avoid[] = {route_name_hash("a"), route_name_hash("b")};
	struct client c[12];
	struct world w;

	world_init(&w, 1);
	for (uint32_t i = 0; i < 3; i++) {
		const char *const names[] = {"a", "b", "c"};
		const struct pool_worker_facts facts = {.name = names[i], .slots = 2, .blocks = 9, .block_size = BLOCK};
		w.workers[i] = pool_worker_add(w.pool, &facts, NULL);
	}
	assert_true(pool_has_other(w.pool, avoid, 2));
	for (uint32_t i = 0; i < 3; i++) {
		ask_again(&w, &c[i], avoid, 2);
		assert_ptr_equal(c[i].ticket.worker, w.workers[2]);
	}
	/* It is full: they wait for it, not for the others. */
	ask_again(&w, &c[3], avoid, 2);
	assert_null(c[3].ticket.worker);
	/* Who avoids one of two has the other. */
	ask_again(&w, &c[4], avoid, 1);
	sim_run_for(w.sim, 1000);
	assert_ptr_equal(c[4].ticket.worker, w.workers[1]);
	pool_worker_drain(w.pool, w.workers[2]);
	assert_false(pool_has_other(w.pool, avoid, 2));
	assert_true(pool_has_other(w.pool, avoid, 1));
	ask_again(&w, &c[5], avoid, 2);
	sim_run_for(w.sim, 1000);
	assert_non_null(c[3].ticket.worker);
	assert_non_null(c[5].ticket.worker);
	for (int i = 0; i < 6; i++)
		give_back(&w, &c[i]);
	world_done(&w);
}

static void a_prompt_goes_where_it_is_cached(void **state)
{
	(void)state;
	struct world w;
	struct client c;
	uint64_t hashes[64];

	hash_chain(1, hashes, 64);
	for (uint32_t holder = 0; holder < WORKERS; holder++) {
		world_init_with(&w, holder, &route_finish_time);
		for (uint32_t i = 0; i < WORKERS; i++) {
			w.workers[i] = add_worker(w.pool, 8);
			give_snapshot(&w, i, hashes, i == holder ? 60 : 0);
		}
		ask_for(&w, &c, hashes, 64);
		assert_ptr_equal(c.ticket.worker, w.workers[holder]);
		assert_int_equal(c.ticket.choice.overlap_blocks, 60);
		give_back(&w, &c);
		world_done(&w);
	}
}

static void two_identical_prompts_in_one_turn_do_not_both_miss(void **state)
{
	(void)state;
	struct world w;
	struct client a, b, other;
	uint64_t hashes[64], others[64];

	hash_chain(1, hashes, 64);
	hash_chain(2, others, 64);
	world_init_with(&w, 3, &route_finish_time);
	for (uint32_t i = 0; i < WORKERS; i++)
		w.workers[i] = add_worker(w.pool, 8);
	ask_for(&w, &a, hashes, 64);
	ask_for(&w, &other, others, 64);
	ask_for(&w, &b, hashes, 64);
	sim_run_for(w.sim, 1000);
	assert_ptr_equal(b.ticket.worker, a.ticket.worker);
	assert_int_equal(b.ticket.choice.overlap_blocks, 64);
	assert_ptr_not_equal(other.ticket.worker, a.ticket.worker);
	give_back(&w, &a);
	give_back(&w, &b);
	give_back(&w, &other);
	world_done(&w);
}

static void a_cache_that_differs_is_asked_for_again(void **state)
{
	(void)state;
	struct world w;
	uint64_t hashes[8];
	struct msg_step step = {.step = 1};

	hash_chain(1, hashes, 8);
	world_init(&w, 1);
	w.workers[0] = add_worker(w.pool, 4);
	give_snapshot(&w, 0, hashes, 8);
	step.blocks_held = 8;
	for (int i = 0; i < 8; i++)
		step.digest = kv_digest_add(step.digest, hashes[i]);
	assert_int_equal(pool_worker_report(w.pool, w.workers[0], &step), 0);
	step.blocks_held = 7;
	assert_int_equal(pool_worker_report(w.pool, w.workers[0], &step), 1);
	/* Changes meanwhile belong to a state we do not have. */
	const struct msg_kv late = {.stored = {hashes, 2}, .blocks_held = 9};
	assert_int_equal(pool_worker_kv(w.pool, w.workers[0], &late), 0);
	give_snapshot(&w, 0, hashes, 7);
	world_done(&w);
}

/* late binding */

static void report_step(
	struct world *w, uint32_t i, uint64_t number, uint64_t duration_us, uint32_t prefill, uint32_t running)
{
	const struct msg_step step = {.step = number,
		.duration_us = duration_us,
		.prefill_tokens = prefill,
		.decode_tokens = prefill ? 0 : running,
		.running = running,
		.cells = 16000};
	assert_int_equal(pool_worker_report(w->pool, w->workers[i], &step), 0);
}

static void a_request_is_held_until_the_step_is_about_to_end(void **state)
{
	(void)state;
	struct world w;
	struct client a, b;
	uint64_t hashes[64], others[64];

	hash_chain(1, hashes, 64);
	hash_chain(2, others, 64);
	world_init_with(&w, 3, &route_finish_time);
	w.workers[0] = add_worker(w.pool, 8);
	/* It takes 100 ms for 1,000 tokens. */
	for (uint64_t i = 1; i <= 40; i++)
		report_step(&w, 0, i, 100000, 1000, 0);
	ask_for(&w, &a, hashes, 64);
	assert_int_equal(a.ready, 1);
	sim_run_for(w.sim, 20000);
	ask_for(&w, &b, others, 64);
	sim_run_for(w.sim, 20000);
	assert_int_equal(b.ready, 0);
	sim_run_for(w.sim, 80000); /* 1,025 tokens: 102 ms */
	assert_int_equal(b.ready, 1);
	assert_in_range(b.ticket.ready_us - a.ticket.ready_us, 90000, 100000);
	give_back(&w, &a);
	give_back(&w, &b);
	world_done(&w);
}

/* Steps of 20 ms and 0.1 ms a token, while one request decodes. */
static void learn_steps(struct world *w)
{
	for (uint64_t i = 1; i <= 60; i++) {
		uint64_t us = i % 2 ? 20000 : 120000;
		sim_run_for(w->sim, us);
		report_step(w, 0, i, us, i % 2 ? 0 : 1000, 1);
	}
}

static void short_prompts_that_wait_for_a_step_go_together(void **state)
{
	(void)state;
	struct world w;
	struct client held[6];

	world_init_with(&w, 3, &route_finish_time);
	w.workers[0] = add_worker(w.pool, 8);
	learn_steps(&w);
	sim_run_for(w.sim, 20000);
	report_step(&w, 0, 61, 20000, 0, 1);
	uint64_t began_us = env_now_us(w.env);
	for (int i = 0; i < 6; i++) {
		sim_run_for(w.sim, 1000);
		ask_for(&w, &held[i], NULL, 0); /* one token */
		assert_int_equal(held[i].ready, 0);
	}
	sim_run_for(w.sim, 13000);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(held[i].ready, 1);
		assert_in_range(held[i].ticket.ready_us - began_us, 12000, 17000);
		give_back(&w, &held[i]);
	}
	world_done(&w);
}

static void after_a_step_that_ended_early_the_next_is_sent_to_sooner(void **state)
{
	(void)state;
	struct world w;
	struct client a, b;
	uint64_t hashes[64], others[64];

	hash_chain(1, hashes, 64);
	hash_chain(2, others, 64);
	world_init_with(&w, 3, &route_finish_time);
	w.workers[0] = add_worker(w.pool, 8);
	for (uint64_t i = 1; i <= 40; i++)
		report_step(&w, 0, i, 100000, 1000, 0);
	ask_for(&w, &a, hashes, 64);
	assert_int_equal(a.ready, 1);
	sim_run_for(w.sim, 1000);
	ask_for(&w, &b, others, 64);
	sim_run_for(w.sim, 49000);
	assert_int_equal(b.ready, 0);
	pool_first_token(w.pool, &a.ticket);
	const struct msg_step early = {.step = 41,
		.duration_us = 50000,
		.prefill_tokens = 1025,
		.running = 1,
		.waiting = 1, /* another frontend's: the next step takes 100 ms too */
		.waiting_tokens = 1000,
		.cells = 16000};
	assert_int_equal(pool_worker_report(w.pool, w.workers[0], &early), 0);
	uint64_t now_us = env_now_us(w.env);
	sim_run_for(w.sim, 80000);
	assert_int_equal(b.ready, 1);
	assert_in_range(b.ticket.ready_us - now_us, 30000, 60000);
	give_back(&w, &a);
	give_back(&w, &b);
	world_done(&w);
}

static void a_prompt_whose_first_token_came_is_counted_off_once(void **state)
{
	(void)state;
	struct world w;
	struct client a, b;
	struct buf line;
	uint64_t hashes[64], others[64];

	hash_chain(1, hashes, 64);
	hash_chain(2, others, 64);
	world_init_with(&w, 3, &route_least_loaded); /* which holds nobody back */
	w.workers[0] = add_worker(w.pool, 8);
	ask_for(&w, &a, hashes, 64);
	ask_for(&w, &b, others, 64);
	assert_int_equal(b.ready, 1);
	pool_first_token(w.pool, &a.ticket);
	const struct msg_step step = {.step = 1,
		.duration_us = 100000,
		.prefill_tokens = 1025,
		.running = 1,
		.waiting = 1,
		.waiting_tokens = 1025};
	assert_int_equal(pool_worker_report(w.pool, w.workers[0], &step), 0);
	buf_init(&line, 4096);
	pool_worker_print(w.workers[0], &line);
	assert_non_null(strstr(line.data, "queued_tokens=1025 "));
	buf_done(&line);
	give_back(&w, &a);
	give_back(&w, &b);
	world_done(&w);
}

static void what_was_cached_after_all_is_known_from_the_next_report(void **state)
{
	(void)state;
	struct world w;
	struct client a, b;
	struct buf line;
	uint64_t hashes[64];

	hash_chain(1, hashes, 64);
	world_init_with(&w, 3, &route_least_loaded);
	w.workers[0] = add_worker(w.pool, 8);
	ask_for(&w, &a, hashes, 64); /* 1,025 tokens, as far as is known here */
	const struct msg_step step = {
		.step = 1, .duration_us = 5000, .running = 1, .waiting_tokens = 7, .next_prefill_tokens = 7};
	assert_int_equal(pool_worker_report(w.pool, w.workers[0], &step), 0);
	buf_init(&line, 4096);
	pool_worker_print(w.workers[0], &line);
	assert_non_null(strstr(line.data, "queued_tokens=7 "));
	ask_for(&w, &b, hashes, 0); /* on its way while the worker says the same again */
	assert_int_equal(pool_worker_report(w.pool, w.workers[0], &step), 0);
	buf_reset(&line);
	pool_worker_print(w.workers[0], &line);
	assert_non_null(strstr(line.data, "queued_tokens=8 "));
	buf_done(&line);
	give_back(&w, &a);
	give_back(&w, &b);
	world_done(&w);
}

static void small_steps_do_not_make_a_small_batch(void **state)
{
	(void)state;
	struct world w;
	struct client held[6];

	world_init_with(&w, 3, &route_finish_time);
	w.workers[0] = add_worker(w.pool, 64);
	for (uint64_t i = 1; i <= 60; i++) {
		sim_run_for(w.sim, 20000);
		report_step(&w, 0, i, 20000, i % 2 ? 0 : 1,
			8); /* never more than eight tokens, but nothing was left behind */
	}
	sim_run_for(w.sim, 1000);
	for (int i = 0; i < 6; i++)
		ask_for(&w, &held[i], NULL, 0);
	sim_run_for(w.sim, 18000);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(held[i].ready, 1);
		give_back(&w, &held[i]);
	}
	world_done(&w);
}

static void a_hot_prefix_is_copied_to_an_idle_worker_in_time(void **state)
{
	(void)state;
	struct world w;
	struct client c;
	uint64_t hashes[64];
	int asked = 0;

	hash_chain(1, hashes, 64);
	world_init_with(&w, 3, &route_finish_time);
	for (uint32_t i = 0; i < 2; i++)
		w.workers[i] = add_worker(w.pool, 8);
	give_snapshot(&w, 0, hashes, 64);
	struct msg_step busy = {
		.duration_us = 20000, .decode_tokens = 1, .running = 1, .cells = 16000, .blocks_held = 64};
	for (int i = 0; i < 64; i++)
		busy.digest = kv_digest_add(busy.digest, hashes[i]);
	do {
		busy.step++;
		assert_int_equal(pool_worker_report(w.pool, w.workers[0], &busy), 0);
		sim_run_for(w.sim, 1000);
		ask_for(&w, &c, hashes, 64);
		sim_run_for(w.sim, 19000);
		assert_int_equal(c.ready, 1);
		bool is_copied = c.ticket.worker == w.workers[1];
		give_back(&w, &c);
		if (is_copied)
			break;
	} while (++asked < 100);
	/* 1,024 tokens cost 102 ms, twice; each request waits up to 15 ms, which count three times. */
	assert_in_range(asked, 2, 50);
	world_done(&w);
}

static void predictions_are_compared_with_what_came(void **state)
{
	(void)state;
	struct world w;
	struct client c;
	struct buf line;
	uint64_t hashes[64];

	world_init_with(&w, 3, &route_finish_time);
	w.workers[0] = add_worker(w.pool, 8);
	for (uint64_t i = 1; i <= 40; i++)
		report_step(&w, 0, i, 100000, 1000, 0);
	for (uint64_t i = 0; i < 20; i++) {
		hash_chain(i, hashes, 64);
		ask_for(&w, &c, hashes, 64);
		assert_int_equal(c.ready, 1);
		sim_run_for(w.sim, 102000);
		pool_first_token(w.pool, &c.ticket);
		report_step(&w, 0, 41 + i, 102000, 1025, 1);
		const struct route_outcome outcome = {.ttft_us = 102000, .generated = 1};
		pool_outcome(w.pool, &c.ticket, &outcome);
		give_back(&w, &c);
		report_step(&w, 0, 41 + i, 0, 0, 0);
	}
	buf_init(&line, 4096);
	pool_worker_print(w.workers[0], &line);
	assert_non_null(strstr(line.data, "predictions=20 within=1.000"));
	buf_done(&line);
	world_done(&w);
}

/* deadlines, direct */

static void a_deadline_ends_the_wait(void **state)
{
	(void)state;
	struct world w;
	struct client c = {
		.ticket = {.request = {.prompt_tokens = 100, .choices = 1}, .on_ready = on_ready, .on_shed = on_shed}};

	world_init(&w, 1);
	c.ticket.request.deadline_us = env_now_us(w.env) + 50000;
	assert_int_equal(pool_submit(w.pool, &c.ticket), POOL_WAITING);
	sim_run_for(w.sim, 49000);
	assert_int_equal(c.shed, 0);
	sim_run_for(w.sim, 2000);
	assert_int_equal(c.shed, 1);
	assert_int_equal(c.why, POOL_SHED_DEADLINE);
	world_done(&w);
}

static void a_request_that_names_its_worker_gets_no_other(void **state)
{
	(void)state;
	struct world w;
	struct client c = {.ticket = {.request = {.prompt_tokens = 100, .choices = 1, .direct = "b"},
				   .on_ready = on_ready,
				   .on_shed = on_shed}};
	const struct pool_worker_facts a = {.name = "a"}, b = {.name = "b"};

	world_init_with(&w, 1, &route_finish_time);
	w.workers[0] = pool_worker_add(w.pool, &a, NULL);
	assert_int_equal(pool_submit(w.pool, &c.ticket), POOL_WAITING);
	sim_run_for(w.sim, 500000);
	w.workers[1] = pool_worker_add(w.pool, &b, NULL);
	sim_run_for(w.sim, 200000);
	assert_int_equal(c.ready, 1);
	assert_ptr_equal(c.ticket.worker, w.workers[1]);
	give_back(&w, &c);
	world_done(&w);
}

static void random_report(struct world *w, struct rng *r, uint64_t i)
{
	struct msg_step step = {.step = rng_below(r, 1000),
		.duration_us = rng_below(r, 200000),
		.prefill_tokens = (uint32_t)rng_below(r, 2000),
		.decode_tokens = (uint32_t)rng_below(r, 20),
		.running = (uint32_t)rng_below(r, 9),
		.waiting = (uint32_t)rng_below(r, 9),
		.waiting_tokens = rng_below(r, 5000),
		.cells = 16000,
		.cells_used = (uint32_t)rng_below(r, 16000),
		.cells_active = (uint32_t)rng_below(r, 16000)};
	if (w->workers[i])
		(void)pool_worker_report(w->pool, w->workers[i], &step);
}

static void random_op(struct world *w, struct rng *r, struct client *clients, uint32_t *next)
{
	struct client *c = *next ? &clients[rng_below(r, *next)] : NULL;
	uint64_t i = rng_below(r, WORKERS);

	switch (rng_below(r, 8)) {
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
	case 6:
		random_report(w, r, i);
		break;
	default:
		sim_run_for(w->sim, rng_below(r, 200000));
	}
}

static void every_ticket_is_answered_once_whatever_happens(void **state)
{
	(void)state;
	static struct client clients[TICKETS];

	for (uint64_t seed = 1; seed <= 90; seed++) {
		struct world w;
		struct rng r;
		uint32_t next = 0;

		world_init_with(&w, seed, route_policy_at((uint32_t)seed % 9));
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
		cmocka_unit_test(nobody_waits_in_a_deserted_pool_unless_a_worker_is_up),
		cmocka_unit_test(a_full_queue_refuses_and_says_when_to_come_back),
		cmocka_unit_test(more_choices_than_any_worker_has_go_to_an_empty_one),
		cmocka_unit_test(a_draining_worker_gets_nothing_new),
		cmocka_unit_test(workers_that_failed_a_request_get_it_only_where_there_is_no_other),
		cmocka_unit_test(a_worker_that_has_fallen_silent_gets_nothing_more_while_another_speaks),
		cmocka_unit_test(a_prompt_goes_where_it_is_cached),
		cmocka_unit_test(two_identical_prompts_in_one_turn_do_not_both_miss),
		cmocka_unit_test(a_cache_that_differs_is_asked_for_again),
		cmocka_unit_test(a_request_is_held_until_the_step_is_about_to_end),
		cmocka_unit_test(short_prompts_that_wait_for_a_step_go_together),
		cmocka_unit_test(after_a_step_that_ended_early_the_next_is_sent_to_sooner),
		cmocka_unit_test(a_prompt_whose_first_token_came_is_counted_off_once),
		cmocka_unit_test(what_was_cached_after_all_is_known_from_the_next_report),
		cmocka_unit_test(small_steps_do_not_make_a_small_batch),
		cmocka_unit_test(a_hot_prefix_is_copied_to_an_idle_worker_in_time),
		cmocka_unit_test(predictions_are_compared_with_what_came),
		cmocka_unit_test(a_deadline_ends_the_wait),
		cmocka_unit_test(a_request_that_names_its_worker_gets_no_other),
		cmocka_unit_test(every_ticket_is_answered_once_whatever_happens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
