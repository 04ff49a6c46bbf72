/* The queue of those that wait, against a plain list; its orders, classes and shares. */
#include "base/compiler.h"
#include "base/rng.h"
#include "route/queue.h"

#include "../lib/cmocka_all.h"

enum { ITEMS = 300 };

static struct queue_item *first(struct queue *q, uint64_t now_us, double quantum_us)
{
	struct queue_walk w;
	queue_walk_begin(&w, q, now_us, quantum_us);
	return queue_walk_next(&w);
}

static void a_walk_shows_each_item_once_whatever_was_added_resized_and_removed(void **state)
{
	(void)state;
	static struct queue_item items[ITEMS];
	static bool in[ITEMS], seen[ITEMS];

	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct queue q;
		struct queue_walk w;
		struct rng r;
		rng_init(&r, seed);
		memset(in, 0, sizeof in);
		assert_int_equal(queue_init(&q, (enum route_order)(seed % 3)), 0);
		uint32_t len = 0;
		for (uint64_t now = 1; now < 3000; now++) {
			uint32_t i = (uint32_t)rng_below(&r, ITEMS);
			if (!in[i]) {
				queue_add(&q, &items[i], now, (double)rng_below(&r, 1u << 22),
					(int32_t)rng_below(&r, 3) - 1, rng_below(&r, 4));
				in[i] = true;
				len++;
			} else if (rng_below(&r, 3) == 0) {
				queue_resize(&q, &items[i], (double)rng_below(&r, 1u << 22));
			} else {
				queue_served(&q, &items[i], (double)rng_below(&r, 1000000));
				queue_remove(&q, &items[i]);
				in[i] = false;
				len--;
			}
			assert_int_equal(q.len, len);
			if (now % 100)
				continue;
			memset(seen, 0, sizeof seen);
			queue_walk_begin(&w, &q, now, 1e6);
			uint32_t shown = 0;
			for (struct queue_item *it; (it = queue_walk_next(&w)); shown++) {
				uint32_t at = (uint32_t)(it - items);
				assert_true(in[at] && !seen[at]);
				seen[at] = true;
				/* The one shown may go meanwhile. */
				if (rng_below(&r, 8) == 0) {
					queue_remove(&q, it);
					in[at] = false;
					len--;
				}
			}
			uint32_t left = 0;
			for (uint32_t k = 0; k < ITEMS; k++)
				left += in[k];
			assert_int_equal(left, len);
			assert_true(shown >= len);
		}
		queue_done(&q);
	}
}

static void each_order_has_its_first(void **state)
{
	(void)state;
	static const uint32_t want[] = {[ROUTE_FCFS] = 0, [ROUTE_RESPONSE_RATIO] = 1, [ROUTE_SHORTEST] = 2};

	for (enum route_order order = ROUTE_FCFS; order <= ROUTE_SHORTEST; order++) {
		struct queue q;
		struct queue_item v[3];
		assert_int_equal(queue_init(&q, order), 0);
		queue_add(&q, &v[0], 0, 2000e3, 0, 0); /* ratio 6 after 10 s */
		queue_add(&q, &v[1], 1000000, 500e3, 0, 0); /* ratio 19 */
		queue_add(&q, &v[2], 9900000, 50e3, 0, 0); /* ratio 3 */
		assert_ptr_equal(first(&q, 10000000, 1e9), &v[want[order]]);
		queue_done(&q);
	}
}

static void priority_goes_first_and_nobody_starves(void **state)
{
	(void)state;
	struct queue q;
	struct queue_item low, high[2000];

	assert_int_equal(queue_init(&q, ROUTE_RESPONSE_RATIO), 0);
	queue_add(&q, &low, 0, 100e3, -1, 0);
	uint32_t before = 0;
	/* One that goes first comes each 50 ms, and one is served as often. */
	for (uint64_t i = 0; i < ARRAY_LEN(high); i++) {
		uint64_t now_us = i * 50000;
		queue_add(&q, &high[i], now_us, 100e3, 1, 0);
		struct queue_item *it = first(&q, now_us + 1000, 1e9);
		queue_remove(&q, it);
		if (it == &low)
			break;
		before++;
	}
	assert_in_range(before, 50, 1000);
	queue_done(&q);
}

static void a_tenant_with_a_flood_gets_its_share_and_no_more(void **state)
{
	(void)state;
	static struct queue_item flood[400], few[40];
	struct queue q;
	uint32_t served_few = 0, served_flood = 0;

	assert_int_equal(queue_init(&q, ROUTE_RESPONSE_RATIO), 0);
	for (uint32_t i = 0; i < ARRAY_LEN(flood); i++)
		queue_add(&q, &flood[i], i, 100e3, 0, 1);
	for (uint32_t i = 0; i < ARRAY_LEN(few); i++)
		queue_add(&q, &few[i], 1000000, 100e3, 0, 2);
	for (uint64_t now_us = 1000000; served_few < ARRAY_LEN(few); now_us += 100000) {
		struct queue_item *it = first(&q, now_us, 500e3);
		queue_served(&q, it, it->size_us);
		queue_remove(&q, it);
		*(it->tenant == few[0].tenant ? &served_few : &served_flood) += 1;
	}
	assert_in_range(served_flood, ARRAY_LEN(few) - 8, ARRAY_LEN(few) + 8);
	/* Alone, it gets everything. */
	for (uint64_t now_us = 9000000; q.len; now_us += 100000) {
		struct queue_item *it = first(&q, now_us, 500e3);
		queue_served(&q, it, it->size_us);
		queue_remove(&q, it);
	}
	queue_done(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_walk_shows_each_item_once_whatever_was_added_resized_and_removed),
		cmocka_unit_test(each_order_has_its_first),
		cmocka_unit_test(priority_goes_first_and_nobody_starves),
		cmocka_unit_test(a_tenant_with_a_flood_gets_its_share_and_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
