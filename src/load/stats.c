#include "load/stats.h"

#include <stdio.h>
#include <stdlib.h>

void stats_done(struct stats *s)
{
	vec_done(&s->records);
}

static void ended(struct stats *s, uint64_t now_us)
{
	s->last_done_us = MAX(s->last_done_us, now_us);
}

void stats_complete(struct stats *s, uint64_t now_us, const struct stats_record *r)
{
	ended(s, now_us);
	s->completed++;
	s->prompt_tokens += r->prompt_tokens;
	s->cached_tokens += r->cached_tokens;
	s->tokens += r->tokens;
	hist_add(&s->ttft, r->ttft_us);
	if (s->records.len < STATS_RECORDS_MAX)
		(void)vec_push(&s->records, *r);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The same sentence but for its numbers. */
static bool same_kind(const char *a, const char *b)
{
	for (uint32_t n = 0; n < STATS_ERROR_BYTES_MAX - 1; n++) {
		while (is_digit(*a) && is_digit(a[1]))
			a++;
		while (is_digit(*b) && is_digit(b[1]))
			b++;
		if (*a != *b && !(is_digit(*a) && is_digit(*b)))
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
	return true;
}

static struct stats_error *error_find(struct stats *s, const char *text)
{
	for (uint32_t i = 0; i < s->errors_count; i++)
		if (same_kind(s->errors[i].text, text))
			return &s->errors[i];
	if (s->errors_count == STATS_ERRORS_MAX)
		return &s->errors[STATS_ERRORS_MAX - 1];
	struct stats_error *e = &s->errors[s->errors_count++];
	snprintf(e->text, sizeof e->text, "%s", s->errors_count == STATS_ERRORS_MAX ? "others" : text);
	return e;
}

void stats_fail(struct stats *s, uint64_t now_us, const char *text)
{
	ended(s, now_us);
	s->failed++;
	error_find(s, text)->count++;
}

uint32_t stats_value(const struct stats_record *r, enum stats_what what)
{
	switch (what) {
	case STATS_TTFT:
		return r->ttft_us;
	case STATS_TPOT:
		return r->tpot_us;
	case STATS_E2E:
		return r->e2e_us;
	case STATS_LATE:
		return r->late_us;
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Nearest rank, in milliseconds. */
static double quantile(const uint32_t *v, uint32_t n, double q)
{
	double rank = q * n;
	uint32_t at = (uint32_t)rank;

	at -= at > 0 && at == rank;
	return v[MIN(at, n - 1)] / 1000.0;
}

int stats_figure(const struct stats *s, enum stats_what what, struct stats_figure *ret)
{
	struct stats_figure f = {0};
	uint32_t n = 0;
	double sum = 0;
	CLEANUP(free_p) uint32_t *v = malloc((s->records.len + 1) * sizeof *v);

	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->records.len; i++) {
		if (what == STATS_TPOT && s->records.v[i].tokens < 2)
			continue;
		v[n] = stats_value(&s->records.v[i], what);
		sum += v[n++];
	}
	if (n) {
		qsort(v, n, sizeof *v, by_value);
		f = (struct stats_figure){sum / n / 1000, quantile(v, n, 0.5), quantile(v, n, 0.9),
			quantile(v, n, 0.99), v[n - 1] / 1000.0, n};
	}
	*ret = f;
	return 0;
}

struct stats_figure stats_gaps(const struct stats *s)
{
	const struct hist *h = &s->gaps;

	return (struct stats_figure){hist_mean(h) / 1000, (double)hist_quantile(h, 0.5) / 1000,
		(double)hist_quantile(h, 0.9) / 1000, (double)hist_quantile(h, 0.99) / 1000,
		h->count ? (double)h->max / 1000 : 0, (uint32_t)MIN(h->count, (uint64_t)UINT32_MAX)};
}

uint64_t stats_good(const struct stats *s, uint64_t ttft_us_max, uint64_t tpot_us_max)
{
	uint64_t good = 0;

	for (uint32_t i = 0; i < s->records.len; i++) {
		const struct stats_record *r = &s->records.v[i];

		good += (!ttft_us_max || r->ttft_us <= ttft_us_max) && (!tpot_us_max || r->tpot_us <= tpot_us_max);
	}
	return good;
}

double stats_seconds(const struct stats *s)
{
	return s->last_done_us > s->first_due_us ? (double)(s->last_done_us - s->first_due_us) / 1e6 : 0;
}
