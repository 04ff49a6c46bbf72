#include "base/metrics.h"
#include "base/list.h"

#include <inttypes.h>
#include <stdio.h>

struct metric {
	struct list link;
	const struct metric_def *def;
	int64_t value; /* counter, gauge; count of a histogram */
	uint64_t sum;
	uint64_t *buckets; /* one a border; what is above all is value less these */
	char *values[METRIC_LABELS_MAX];
};

struct metrics {
	const struct metric_def *defs;
	uint32_t count, series, series_max;
	uint64_t dropped;
	struct metric hidden; /* takes what is not kept */
	uint64_t hidden_buckets[METRIC_BORDERS_MAX];
	struct list lists[]; /* one a def */
};

static uint32_t label_count(const struct metric_def *d)
{
	uint32_t n = 0;
	while (n < METRIC_LABELS_MAX && d->labels[n])
		n++;
	return n;
}

static uint32_t border_count(const struct metric_def *d)
{
	uint32_t n = 0;
	while (d->borders && d->borders[n])
		n++;
	return n;
}

int metrics_create(
	struct metrics **ret, const struct metric_def *defs, uint32_t count, uint32_t series_max, struct err *err)
{
	struct metrics *m = calloc(1, sizeof *m + count * sizeof m->lists[0]);

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->defs = defs;
	m->count = count;
	m->series_max = series_max;
	m->hidden.buckets = m->hidden_buckets;
	list_init(&m->hidden.link);
	for (uint32_t i = 0; i < count; i++) {
		ASSERT(border_count(&defs[i]) <= METRIC_BORDERS_MAX);
		ASSERT((defs[i].kind == METRIC_HISTOGRAM) == (defs[i].borders != NULL));
		list_init(&m->lists[i]);
	}
	*ret = m;
	return 0;
}

static void series_free(struct metric *s)
{
	for (uint32_t i = 0; i < METRIC_LABELS_MAX; i++)
		free(s->values[i]);
	free(s->buckets);
	free(s);
}

void metrics_destroy(struct metrics *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->count; i++)
		list_foreach_safe(it, &m->lists[i]) series_free(list_entry(it, struct metric, link));
	free(m);
}

static bool has_values(const struct metric *s, const char *const *values, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(s->values[i], values[i]))
			return false;
	return true;
}

static struct metric *series_new(const struct metric_def *d, const char *const *values, uint32_t labels)
{
	struct metric *s = calloc(1, sizeof *s);
	uint32_t borders = border_count(d);

	if (!s)
		return NULL;
	s->def = d;
	list_init(&s->link);
	bool ok = !borders || (s->buckets = calloc(borders, sizeof *s->buckets));
	for (uint32_t i = 0; ok && i < labels; i++)
		ok = (s->values[i] = strdup(values[i])) != NULL;
	if (ok)
		return s;
	series_free(s);
	return NULL;
}

struct metric *metrics_get(struct metrics *m, uint32_t def, const char *const *values)
{
	ASSERT(def < m->count);
	const struct metric_def *d = &m->defs[def];
	uint32_t labels = label_count(d);

	list_foreach(it, &m->lists[def])
	{
		struct metric *s = list_entry(it, struct metric, link);
		if (has_values(s, values, labels))
			return s;
	}
	struct metric *s = m->series < m->series_max ? series_new(d, values, labels) : NULL;
	if (!s) {
		m->dropped++;
		return &m->hidden;
	}
	m->series++;
	list_add_tail(&m->lists[def], &s->link);
	return s;
}

void metrics_drop(struct metrics *m, struct metric *series)
{
	if (!series || series == &m->hidden)
		return;
	list_del(&series->link);
	m->series--;
	series_free(series);
}

void metric_add(struct metric *s, uint64_t n)
{
	s->value += (int64_t)n;
}

void metric_set(struct metric *s, int64_t value)
{
	s->value = value;
}

void metric_observe(struct metric *s, uint64_t value)
{
	s->value++;
	s->sum += value;
	/* The hidden series has no table: what it takes is not printed. */
	for (uint32_t i = 0; s->def && s->def->borders[i]; i++)
		if (value <= s->def->borders[i]) {
			s->buckets[i]++;
			return;
		}
}

int64_t metric_value(const struct metric *s)
{
	return s->value;
}

static void add_escaped(struct buf *out, const char *s, bool label)
{
	for (; *s; s++) {
		if (*s == '\\' || (label && *s == '"'))
			buf_add_byte(out, '\\');
		if (*s == '\n')
			buf_add_str(out, "\\n");
		else
			buf_add_byte(out, (uint8_t)*s);
	}
}

static void add_number(struct buf *out, int64_t raw, uint64_t scale)
{
	if (scale <= 1)
		buf_printf(out, "%" PRId64, raw);
	else
		buf_printf(out, "%.9g", (double)raw / (double)scale);
}

/* name suffix {labels, le}: extra is the le label's value, or NULL. */
static void add_series(struct buf *out, const struct metric *s, const char *suffix, const char *le)
{
	uint32_t labels = label_count(s->def);

	buf_add_str(out, s->def->name);
	buf_add_str(out, suffix);
	if (labels || le)
		buf_add_byte(out, '{');
	for (uint32_t i = 0; i < labels; i++) {
		buf_printf(out, "%s%s=\"", i ? "," : "", s->def->labels[i]);
		add_escaped(out, s->values[i], true);
		buf_add_byte(out, '"');
	}
	if (le)
		buf_printf(out, "%sle=\"%s\"", labels ? "," : "", le);
	buf_add_str(out, labels || le ? "} " : " ");
}

static void print_histogram(struct buf *out, const struct metric *s)
{
	uint64_t scale = s->def->scale ? s->def->scale : 1, below = 0;
	char le[40];

	for (uint32_t i = 0; s->def->borders[i]; i++) {
		below += s->buckets[i];
		snprintf(le, sizeof le, "%.9g", (double)s->def->borders[i] / (double)scale);
		add_series(out, s, "_bucket", le);
		buf_printf(out, "%" PRIu64 "\n", below);
	}
	add_series(out, s, "_bucket", "+Inf");
	buf_printf(out, "%" PRId64 "\n", s->value);
	add_series(out, s, "_sum", NULL);
	add_number(out, (int64_t)s->sum, scale);
	buf_add_byte(out, '\n');
	add_series(out, s, "_count", NULL);
	buf_printf(out, "%" PRId64 "\n", s->value);
}

static const char *const kind_names[] = {"counter", "gauge", "histogram"};

void metrics_print(const struct metrics *m, struct buf *out)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const struct metric_def *d = &m->defs[i];
		if (list_empty(&m->lists[i]))
			continue;
		buf_printf(out, "# HELP %s ", d->name);
		add_escaped(out, d->help, false);
		buf_printf(out, "\n# TYPE %s %s\n", d->name, kind_names[d->kind]);
		list_foreach(it, &m->lists[i])
		{
			const struct metric *s = list_entry(it, struct metric, link);
			if (d->kind == METRIC_HISTOGRAM) {
				print_histogram(out, s);
				continue;
			}
			add_series(out, s, "", NULL);
			add_number(out, s->value, d->scale);
			buf_add_byte(out, '\n');
		}
	}
	buf_printf(out,
		"# HELP stator_metrics_series_dropped Series not kept because there are too many\n"
		"# TYPE stator_metrics_series_dropped counter\nstator_metrics_series_dropped %" PRIu64 "\n",
		m->dropped);
}

void metrics_reference(const struct metric_def *defs, uint32_t count, struct buf *out)
{
	buf_add_str(out, "| metric | kind | labels | meaning |\n|---|---|---|---|\n");
	for (uint32_t i = 0; i < count; i++) {
		buf_printf(out, "| `%s` | %s | ", defs[i].name, kind_names[defs[i].kind]);
		for (uint32_t k = 0; k < label_count(&defs[i]); k++)
			buf_printf(out, "%s`%s`", k ? ", " : "", defs[i].labels[k]);
		buf_printf(out, " | %s |\n", defs[i].help);
	}
}
