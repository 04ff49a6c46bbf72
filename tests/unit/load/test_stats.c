/* Figures of a load: quantiles against a sort, goodput, kinds of failures. */
#include "base/rng.h"
#include "load/report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/cmocka_all.h"

static void figures_are_those_of_the_sorted_values(void **state)
{
	(void)state;
	struct stats s = {0};
	struct stats_figure f;

	for (uint32_t i = 100; i >= 1; i--)
		stats_complete(&s, 1, &(struct stats_record){.ttft_us = i * 1000, .e2e_us = 5, .tokens = 1});
	assert_int_equal(stats_figure(&s, STATS_TTFT, &f), 0);
	assert_true(f.mean > 50.49 && f.mean < 50.51);
	assert_true(f.p50 == 50 && f.p90 == 90 && f.p99 == 99 && f.max == 100);
	assert_int_equal(f.count, 100);
	assert_int_equal(stats_figure(&s, STATS_TPOT, &f), 0); /* answers of one token have none */
	assert_int_equal(f.count, 0);
	stats_done(&s);
}

static void goodput_counts_what_met_both_limits(void **state)
{
	(void)state;
	struct stats s = {0};

	stats_complete(&s, 1, &(struct stats_record){.ttft_us = 10, .tpot_us = 10, .tokens = 9});
	stats_complete(&s, 1, &(struct stats_record){.ttft_us = 90, .tpot_us = 10, .tokens = 9});
	stats_complete(&s, 1, &(struct stats_record){.ttft_us = 10, .tpot_us = 90, .tokens = 9});
	assert_int_equal(stats_good(&s, 50, 50), 1);
	assert_int_equal(stats_good(&s, 50, 0), 2);
	assert_int_equal(stats_good(&s, 0, 0), 3);
	stats_done(&s);
}

static void failures_are_counted_by_kind_and_the_rest_together(void **state)
{
	(void)state;
	struct stats s = {0};
	char text[32];

	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof text, "kind %c of %d", 'a' + i, i);
		stats_fail(&s, 1, text);
	}
	stats_fail(&s, 1, "kind a of 12345");
	assert_int_equal(s.failed, 21);
	assert_int_equal(s.errors_count, STATS_ERRORS_MAX);
	assert_int_equal(s.errors[0].count, 2);
	assert_string_equal(s.errors[STATS_ERRORS_MAX - 1].text, "others");
	assert_int_equal(s.errors[STATS_ERRORS_MAX - 1].count, 13);
}

static void reports_hold_the_figures(void **state)
{
	(void)state;
	const struct report r = {.url = "http://x", .model = "m\"q", .load = "2 clients", .slo_ttft_us = 5000};
	struct stats s = {.sent = 3, .first_due_us = 0};
	struct buf out;

	buf_init(&out, 1 << 20);
	for (uint32_t i = 1; i <= 2; i++)
		stats_complete(&s, i * 1000000,
			&(struct stats_record){.ttft_us = 4000 * i,
				.e2e_us = 9000,
				.tpot_us = 100,
				.tokens = 50,
				.prompt_tokens = 100,
				.cached_tokens = 50});
	stats_fail(&s, 2000000, "status 500");
	report_json(&r, &s, &out);
	json_t *root = json_loads(buf_str(&out), 0, NULL);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "model")), "m\"q");
	assert_true(json_number_value(json_object_get(root, "tokens_per_s")) == 50);
	assert_true(json_number_value(json_object_get(json_object_get(root, "ttft_ms"), "mean")) == 6);
	assert_true(json_number_value(json_object_get(json_object_get(root, "goodput"), "requests_per_s")) == 0.5);
	json_decref(root);
	buf_reset(&out);
	report_table(&r, &s, &out);
	assert_non_null(strstr(buf_str(&out), "3 requests in 2.0 s, 2 answered, 1 failed"));
	assert_non_null(strstr(buf_str(&out), "50.0 % of them found in a cache"));
	assert_non_null(strstr(buf_str(&out), "1 x status 500"));
	buf_done(&out);
	stats_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_are_those_of_the_sorted_values),
		cmocka_unit_test(goodput_counts_what_met_both_limits),
		cmocka_unit_test(failures_are_counted_by_kind_and_the_rest_together),
		cmocka_unit_test(reports_hold_the_figures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
