/* Which job starts next: the order of those that say nothing, shares of owners and sizes, and that nobody starves. */
#include "base/fair_queue.h"
#include "base/rng.h"

#include "../lib/cmocka_all.h"

#define SECOND_US 1000000u
enum { SMALL_US = 2000 };

static struct fair_queue q;

static void add(struct env_job *job, uint64_t owner, uint64_t cost_us)
{
	*job = (struct env_job){.owner = owner, .cost_us = cost_us, .is_long = cost_us > SMALL_US};
	fair_queue_add(&q, job);
}

static void end(struct env_job *job, uint64_t took_us)
{
	job->took_us = took_us;
	const struct fair_cost cost = fair_queue_cost(&q, job);
	fair_queue_ended(&q, &cost);
}

/* Take one, which takes as long as it said. */
static struct env_job *run(enum fair_lane lane)
{
	struct env_job *job = fair_queue_take(&q, lane);

	if (job)
		end(job, job->cost_us);
	return job;
}

static void jobs_that_say_nothing_come_in_order(void **state)
{
	(void)state;
	static struct env_job jobs[100];

	fair_queue_init(&q);
	for (uint32_t i = 0; i < 100; i++)
		add(&jobs[i], 0, 0);
	for (uint32_t i = 0; i < 100; i++)
		assert_ptr_equal(fair_queue_take(&q, FAIR_SHORT), &jobs[i]);
	assert_null(fair_queue_take(&q, FAIR_SHORT));
	assert_int_equal(q.lanes[FAIR_SHORT].running, 100);
}

static void a_lane_gives_its_own_jobs_alone(void **state)
{
	(void)state;
	struct env_job giant, small;

	fair_queue_init(&q);
	add(&giant, 1, 30 * SECOND_US);
	assert_null(fair_queue_take(&q, FAIR_SHORT));
	add(&small, 1, SMALL_US);
	assert_ptr_equal(fair_queue_take(&q, FAIR_SHORT), &small);
	assert_null(fair_queue_take(&q, FAIR_SHORT));
	assert_ptr_equal(fair_queue_take(&q, FAIR_LONG), &giant);
	assert_null(fair_queue_take(&q, FAIR_LONG));
}

static void a_shorter_job_overtakes_the_longer_ones_of_its_owner(void **state)
{
	(void)state;
	struct env_job giants[50], shorter, middle;

	fair_queue_init(&q);
	for (uint32_t i = 0; i < 50; i++)
		add(&giants[i], 1, 20 * SECOND_US);
	run(FAIR_LONG);
	add(&shorter, 1, 10000);
	add(&middle, 1, 300000);
	assert_ptr_equal(run(FAIR_LONG), &shorter);
	assert_ptr_equal(run(FAIR_LONG), &middle);
	assert_ptr_equal(run(FAIR_LONG), &giants[1]);
}

static void a_flood_of_shorter_jobs_does_not_starve_a_long_one(void **state)
{
	(void)state;
	static struct env_job flood[4000];
	struct env_job giant;
	uint64_t flood_us = 0;

	fair_queue_init(&q);
	for (uint32_t i = 0; i < 100; i++)
		add(&flood[i], 1, 10000);
	add(&giant, 2, 5 * SECOND_US);
	for (uint32_t i = 100; i < 4000; i++) {
		struct env_job *job = run(FAIR_LONG);
		if (job == &giant)
			break;
		flood_us += job->cost_us;
		add(&flood[i], 1, 10000);
	}
	assert_true(flood_us < 100000);
}

/* Who asks for a hundred times as much gets no more. */
static void owners_share_evenly_whatever_they_ask_for(void **state)
{
	(void)state;
	static struct env_job greedy[500], modest[20];
	uint64_t got[3] = {0};

	fair_queue_init(&q);
	for (uint32_t i = 0; i < 500; i++)
		add(&greedy[i], 1, (1 + i % 3) * 40000 + 100 * (i % 7)); /* two sizes: one part all the same */
	for (uint32_t i = 0; i < 20; i++)
		add(&modest[i], 2, SECOND_US);
	while (got[2] < 20ull * SECOND_US) {
		struct env_job *job = run(FAIR_LONG);
		assert_non_null(job);
		got[job->owner] += job->cost_us;
	}
	assert_true(got[1] > 18ull * SECOND_US && got[1] < 22ull * SECOND_US);
}

static void an_owner_that_says_too_little_pays_when_its_jobs_end(void **state)
{
	(void)state;
	static struct env_job liar[200], honest[200];
	uint64_t took[3] = {0};

	fair_queue_init(&q);
	for (uint32_t i = 0; i < 200; i++) {
		add(&liar[i], 1, 3000);
		add(&honest[i], 2, 30000);
	}
	for (uint32_t i = 0; i < 100; i++) {
		struct env_job *job = fair_queue_take(&q, FAIR_LONG);
		uint64_t us = job->owner == 1 ? 300000 : 30000;
		end(job, us);
		took[job->owner] += us;
	}
	assert_true(took[1] < 2 * took[2]);
}

static void threads_that_were_idle_cost_nobody_anything(void **state)
{
	(void)state;
	struct env_job first[10], again, other;

	fair_queue_init(&q);
	for (uint32_t i = 0; i < 10; i++) {
		add(&first[i], 1, 10 * SECOND_US);
		run(FAIR_LONG);
	}
	add(&again, 1, 10 * SECOND_US);
	add(&other, 2, 10 * SECOND_US);
	assert_ptr_equal(run(FAIR_LONG), &again);
	assert_ptr_equal(run(FAIR_LONG), &other);
}

/* Random adds, takes, ends and removals: each job comes out once, the counts are right, small_only is obeyed, and within a
 * flow (one owner, one cost) the order is that of adding. */
static void random_operations_lose_and_double_nothing(void **state)
{
	(void)state;
	enum { JOBS = 64, OPS = 100000 };
	static const uint64_t costs[] = {0, 500, SMALL_US, SMALL_US + 1, 90000, 4000000, 900000000};
	static struct env_job jobs[JOBS];
	enum { OUT, WAITS, RUNS } where[JOBS] = {0};
	uint64_t order[JOBS] = {0}, no = 0;
	uint32_t waits[FAIR_LANES] = {0}, runs = 0;
	struct rng r;

	rng_init(&r, 9);
	fair_queue_init(&q);
	for (uint32_t op = 0; op < OPS; op++) {
		uint32_t i = (uint32_t)rng_below(&r, JOBS);
		struct env_job *job = &jobs[i];
		if (where[i] == OUT) {
			add(job, rng_below(&r, 5), costs[rng_below(&r, 7)]);
			where[i] = WAITS;
			order[i] = ++no;
			waits[fair_queue_lane(job)]++;
		} else if (where[i] == WAITS && !rng_below(&r, 4)) {
			fair_queue_remove(&q, job);
			where[i] = OUT;
			waits[fair_queue_lane(job)]--;
		} else if (where[i] == RUNS) {
			end(job, rng_below(&r, 1000000));
			where[i] = OUT;
			runs--;
		} else {
			enum fair_lane lane = (enum fair_lane)rng_below(&r, FAIR_LANES);
			job = fair_queue_take(&q, lane);
			assert_int_equal(job != NULL, waits[lane] > 0);
			if (!job)
				continue;
			i = (uint32_t)(job - jobs);
			assert_int_equal(where[i], WAITS);
			assert_int_equal(fair_queue_lane(job), lane);
			for (uint32_t k = 0; k < JOBS; k++)
				assert_false(where[k] == WAITS && jobs[k].owner == job->owner &&
					     jobs[k].cost_us == job->cost_us && order[k] < order[i]);
			where[i] = RUNS;
			waits[fair_queue_lane(job)]--;
			runs++;
		}
		assert_int_equal(q.lanes[FAIR_SHORT].waiting, waits[FAIR_SHORT]);
		assert_int_equal(q.lanes[FAIR_LONG].waiting, waits[FAIR_LONG]);
		assert_int_equal(q.lanes[FAIR_SHORT].running + q.lanes[FAIR_LONG].running, runs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_that_say_nothing_come_in_order),
		cmocka_unit_test(a_lane_gives_its_own_jobs_alone),
		cmocka_unit_test(a_shorter_job_overtakes_the_longer_ones_of_its_owner),
		cmocka_unit_test(a_flood_of_shorter_jobs_does_not_starve_a_long_one),
		cmocka_unit_test(owners_share_evenly_whatever_they_ask_for),
		cmocka_unit_test(an_owner_that_says_too_little_pays_when_its_jobs_end),
		cmocka_unit_test(threads_that_were_idle_cost_nobody_anything),
		cmocka_unit_test(random_operations_lose_and_double_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
