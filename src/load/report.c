#include "load/report.h"
#include "base/json_out.h"

static const struct {
	enum stats_what what;
	const char *name, *json;
} figures[] = {
	{STATS_TTFT, "time to first token", "ttft_ms"},
	{STATS_TPOT, "time per output token", "tpot_ms"},
	{STATS_E2E, "whole answer", "e2e_ms"},
};

static double per(double n, double d)
{
	return d > 0 ? n / d : 0;
}

static bool has_slo(const struct report *r)
{
	return r->slo_ttft_us || r->slo_tpot_us;
}

/* Three significant digits are what a measurement like this can hold. */
static void cell(struct buf *out, double v)
{
	buf_printf(out, v < 9.995 ? " %8.2f" : v < 99.95 ? " %8.1f" : " %8.0f", v);
}

static void row(struct buf *out, const char *name, const struct stats_figure *f)
{
	buf_printf(out, "  %-22s", name);
	cell(out, f->mean);
	cell(out, f->p50);
	cell(out, f->p90);
	cell(out, f->p99);
	cell(out, f->max);
	buf_add_byte(out, '\n');
}

static void slo_line(const struct report *r, const struct stats *s, struct buf *out)
{
	uint64_t good = stats_good(s, r->slo_ttft_us, r->slo_tpot_us);

	buf_add_str(out, "  goodput               ");
	buf_printf(out, " %.2f requests/s", per((double)good, stats_seconds(s)));
	buf_printf(out, ", %.1f %% of those sent, with", 100 * per((double)good, (double)s->sent));
	if (r->slo_ttft_us)
		buf_printf(out, " TTFT <= %g ms", (double)r->slo_ttft_us / 1000);
	if (r->slo_tpot_us)
		buf_printf(out, "%s TPOT <= %g ms", r->slo_ttft_us ? " and" : "", (double)r->slo_tpot_us / 1000);
	buf_add_byte(out, '\n');
}

static void table_figures(const struct report *r, const struct stats *s, double seconds, struct buf *out)
{
	struct stats_figure f, gaps = stats_gaps(s);

	buf_add_str(out, "\n  ms                         mean      p50      p90      p99      max\n");
	for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
		out->failed |= stats_figure(s, figures[i].what, &f) < 0;
		row(out, figures[i].name, &f);
	}
	row(out, "between pieces", &gaps);
	out->failed |= stats_figure(s, STATS_LATE, &f) < 0;
	if (f.p99 >= 1)
		row(out, "sent late", &f);
	buf_printf(out, "\n  requests/s             %.2f\n", per((double)s->completed, seconds));
	buf_printf(out, "  output tokens/s        %.1f  (%llu)\n", per((double)s->tokens, seconds),
		(unsigned long long)s->tokens);
	buf_printf(out, "  prompt tokens/s        %.1f  (%llu, %.1f %% of them found in a cache)\n",
		per((double)s->prompt_tokens, seconds), (unsigned long long)s->prompt_tokens,
		100 * per((double)s->cached_tokens, (double)s->prompt_tokens));
	if (has_slo(r))
		slo_line(r, s, out);
}

void report_table(const struct report *r, const struct stats *s, struct buf *out)
{
	double seconds = stats_seconds(s);

	buf_printf(
		out, "%s, model %s: %s%s\n", r->url, r->model, r->load, r->stopped ? " (stopped before its end)" : "");
	buf_printf(out, "  %llu requests in %.1f s, %llu answered, %llu failed\n", (unsigned long long)s->sent, seconds,
		(unsigned long long)s->completed, (unsigned long long)s->failed);
	if (s->completed)
		table_figures(r, s, seconds, out);
	for (uint32_t i = 0; i < s->errors_count; i++)
		buf_printf(out, "%s  %llu x %s\n", i ? "" : "\n", (unsigned long long)s->errors[i].count,
			s->errors[i].text);
}

static void json_number(struct buf *out, const char *key, double v)
{
	buf_printf(out, ",\"%s\":", key);
	json_out_f64(out, v);
}

static void json_figure(struct buf *out, const char *key, const struct stats_figure *f)
{
	buf_printf(out, ",\"%s\":{\"mean\":", key);
	json_out_f64(out, f->mean);
	json_number(out, "p50", f->p50);
	json_number(out, "p90", f->p90);
	json_number(out, "p99", f->p99);
	json_number(out, "max", f->max);
	buf_add_byte(out, '}');
}

static void json_goodput(const struct report *r, const struct stats *s, struct buf *out)
{
	double good = (double)stats_good(s, r->slo_ttft_us, r->slo_tpot_us);

	buf_add_str(out, ",\"goodput\":{\"slo_ttft_ms\":");
	json_out_f64(out, (double)r->slo_ttft_us / 1000);
	json_number(out, "slo_tpot_ms", (double)r->slo_tpot_us / 1000);
	json_number(out, "requests_per_s", per(good, stats_seconds(s)));
	json_number(out, "share", per(good, (double)s->sent));
	buf_add_byte(out, '}');
}

static void json_errors(const struct stats *s, struct buf *out)
{
	buf_add_str(out, ",\"errors\":[");
	for (uint32_t i = 0; i < s->errors_count; i++) {
		buf_printf(out, "%s{\"count\":%llu,\"message\":", i ? "," : "", (unsigned long long)s->errors[i].count);
		json_out_cstr(out, s->errors[i].text);
		buf_add_byte(out, '}');
	}
	buf_add_byte(out, ']');
}

void report_json(const struct report *r, const struct stats *s, struct buf *out)
{
	double seconds = stats_seconds(s);
	struct stats_figure f;

	buf_add_str(out, "{\"url\":");
	json_out_cstr(out, r->url);
	buf_add_str(out, ",\"model\":");
	json_out_cstr(out, r->model);
	buf_add_str(out, ",\"load\":");
	json_out_cstr(out, r->load);
	buf_printf(out, ",\"stopped\":%s", r->stopped ? "true" : "false");
	json_number(out, "duration_s", seconds);
	json_number(out, "requests", (double)s->sent);
	json_number(out, "completed", (double)s->completed);
	json_number(out, "failed", (double)s->failed);
	json_number(out, "prompt_tokens", (double)s->prompt_tokens);
	json_number(out, "cached_tokens", (double)s->cached_tokens);
	json_number(out, "completion_tokens", (double)s->tokens);
	json_number(out, "requests_per_s", per((double)s->completed, seconds));
	json_number(out, "tokens_per_s", per((double)s->tokens, seconds));
	for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
		out->failed |= stats_figure(s, figures[i].what, &f) < 0;
		json_figure(out, figures[i].json, &f);
	}
	f = stats_gaps(s);
	json_figure(out, "gap_ms", &f);
	out->failed |= stats_figure(s, STATS_LATE, &f) < 0;
	json_figure(out, "late_ms", &f);
	if (has_slo(r))
		json_goodput(r, s, out);
	json_number(out, "client_user_us_per_token", per(r->cpu_user_us, (double)s->pieces));
	json_number(out, "client_sys_us_per_token", per(r->cpu_sys_us, (double)s->pieces));
	json_errors(s, out);
	buf_add_str(out, "}\n");
}
