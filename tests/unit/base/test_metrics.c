/* metrics: what Prometheus reads. */
#include "base/metrics.h"

#include "../lib/cmocka_all.h"

static const uint64_t borders[] = {1000, 10000, 100000, 0};
static const struct metric_def defs[] = {
	{.name = "x_requests_total", .help = "Requests", .kind = METRIC_COUNTER, .labels = {"model", "status"}},
	{.name = "x_up", .help = "Is \"up\"\nor not", .kind = METRIC_GAUGE},
	{.name = "x_ttft_seconds",
		.help = "Time",
		.kind = METRIC_HISTOGRAM,
		.scale = 1000000,
		.labels = {"model"},
		.borders = borders},
	{.name = "x_unused", .help = "Never fed", .kind = METRIC_GAUGE},
};
#define TAIL                                                                                                           \
	"# HELP stator_metrics_series_dropped Series not kept because there are too many\n"                            \
	"# TYPE stator_metrics_series_dropped counter\nstator_metrics_series_dropped "

static void series_print_in_prometheus_form(void **state)
{
	(void)state;
	struct metrics *m;
	struct buf out;
	const char *one[] = {"a\"b\\c\nd", "200"}, *two[] = {"z", "500"};

	assert_int_equal(metrics_create(&m, defs, ARRAY_LEN(defs), 100, NULL), 0);
	metric_add(metrics_get(m, 0, one), 2);
	metric_add(metrics_get(m, 0, two), 1);
	metric_add(metrics_get(m, 0, one), 1);
	metric_set(metrics_get(m, 1, NULL), -4);
	struct metric *h = metrics_get(m, 2, two);
	metric_observe(h, 1000);
	metric_observe(h, 1001);
	metric_observe(h, 5000000);
	buf_init(&out, 1 << 20);
	metrics_print(m, &out);
	assert_string_equal(buf_str(&out),
		"# HELP x_requests_total Requests\n# TYPE x_requests_total counter\n"
		"x_requests_total{model=\"a\\\"b\\\\c\\nd\",status=\"200\"} 3\n"
		"x_requests_total{model=\"z\",status=\"500\"} 1\n"
		"# HELP x_up Is \"up\"\\nor not\n# TYPE x_up gauge\nx_up -4\n"
		"# HELP x_ttft_seconds Time\n# TYPE x_ttft_seconds histogram\n"
		"x_ttft_seconds_bucket{model=\"z\",le=\"0.001\"} 1\n"
		"x_ttft_seconds_bucket{model=\"z\",le=\"0.01\"} 2\n"
		"x_ttft_seconds_bucket{model=\"z\",le=\"0.1\"} 2\n"
		"x_ttft_seconds_bucket{model=\"z\",le=\"+Inf\"} 3\n"
		"x_ttft_seconds_sum{model=\"z\"} 5.002001\nx_ttft_seconds_count{model=\"z\"} 3\n" TAIL "0\n");
	buf_done(&out);
	metrics_destroy(m);
}

static void too_many_series_are_counted_not_kept(void **state)
{
	(void)state;
	struct metrics *m;
	struct buf out;

	assert_int_equal(metrics_create(&m, defs, ARRAY_LEN(defs), 3, NULL), 0);
	for (char c = 'a'; c <= 'e'; c++) {
		const char *values[] = {(char[]){c, 0}, "200"};
		metric_add(metrics_get(m, 0, values), 1);
		metric_observe(metrics_get(m, 2, values), 1);
	}
	const char *first[] = {"a", "200"};
	metrics_drop(m, metrics_get(m, 0, first));
	const char *late[] = {"late", "200"};
	metric_add(metrics_get(m, 0, late), 7);
	buf_init(&out, 1 << 20);
	metrics_print(m, &out);
	assert_non_null(strstr(buf_str(&out), "model=\"late\",status=\"200\"} 7\n"));
	assert_null(strstr(buf_str(&out), "x_requests_total{model=\"a\""));
	assert_non_null(strstr(buf_str(&out), TAIL "7\n"));
	buf_done(&out);
	metrics_destroy(m);
}

static void the_reference_names_every_metric(void **state)
{
	(void)state;
	struct buf out;

	buf_init(&out, 1 << 20);
	metrics_reference(defs, ARRAY_LEN(defs), &out);
	for (uint32_t i = 0; i < ARRAY_LEN(defs); i++)
		assert_non_null(strstr(buf_str(&out), defs[i].name));
	assert_non_null(strstr(buf_str(&out), "| `x_requests_total` | counter | `model`, `status` | Requests |\n"));
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(series_print_in_prometheus_form),
		cmocka_unit_test(too_many_series_are_counted_not_kept),
		cmocka_unit_test(the_reference_names_every_metric),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
