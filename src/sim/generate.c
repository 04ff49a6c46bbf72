#include "sim/generate.h"
#include "base/rng.h"
#include "config/suggest.h"

#include <math.h>
#include <stdio.h>

enum { KEY_REQUESTS, KEY_RATE, KEY_GROUPS, KEY_PREFIX, KEY_OWN, KEY_ANSWER, KEY_TURNS, KEY_THINK, KEYS };
static const struct {
	const char *name;
	double min, max;
} keys[KEYS] = {
	[KEY_REQUESTS] = {"requests", 1, 10e6},
	[KEY_RATE] = {"rate", 0.001, 1e5},
	[KEY_GROUPS] = {"groups", 1, 1e6},
	[KEY_PREFIX] = {"prefix", 0, 1e6},
	[KEY_OWN] = {"own", 1, 1e5},
	[KEY_ANSWER] = {"answer", 1, 1e5},
	[KEY_TURNS] = {"turns", 1, 1000},
	[KEY_THINK] = {"think", 0, 1e5},
};
static const struct {
	const char *name;
	double values[KEYS];
} kinds[] = {
	/*           requests rate groups prefix own answer turns think */
	{"agent", {4000, 8, 8, 6000, 300, 60, 8, 2}},
	{"chat", {4000, 4, 2, 400, 150, 350, 5, 20}},
	{"shared", {4000, 8, 16, 4000, 200, 150, 1, 0}},
};

static int value_read(double *values, char *word, struct err *err)
{
	struct suggest s;
	char *value = strchr(word, '='), *end;

	if (!value)
		return err_set(err, -EINVAL, "\"%s\" of a made-up load is not key=value", word);
	*value++ = '\0';
	suggest_init(&s, word);
	for (int i = 0; i < KEYS; i++) {
		suggest_offer(&s, keys[i].name);
		if (strcmp(keys[i].name, word) != 0)
			continue;
		double v = strtod(value, &end);
		if (*end || end == value || !(v >= keys[i].min && v <= keys[i].max))
			return err_set(err, -ERANGE, "%s=%s of a made-up load: a number from %g to %g is wanted", word,
				value, keys[i].min, keys[i].max);
		values[i] = v;
		return 0;
	}
	err_set(err, -EINVAL,
		"a made-up load has no key \"%s\"; there are requests, rate, groups, prefix, own, answer, turns, "
		"think",
		word);
	return suggest_best(&s) ? err_hint(err, "did you mean \"%s\"?", suggest_best(&s)) : -EINVAL;
}

static int spec_read(double *values, const char *spec, struct err *err)
{
	char words[512], *save;
	struct suggest s;
	size_t name_len = strcspn(spec, ":");
	int kind = -1;

	if (snprintf(words, sizeof words, "%s", spec) >= (int)sizeof words)
		return err_set(
			err, -E2BIG, "the description of a made-up load is longer than %zu bytes", sizeof words - 1);
	words[name_len] = '\0';
	suggest_init(&s, words);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		suggest_offer(&s, kinds[i].name);
		if (!strcmp(kinds[i].name, words))
			kind = (int)i;
	}
	if (kind < 0) {
		err_set(err, -EINVAL, "unknown made-up load \"%s\"; there are agent, chat and shared", words);
		return suggest_best(&s) ? err_hint(err, "did you mean \"%s\"?", suggest_best(&s)) : -EINVAL;
	}
	memcpy(values, kinds[kind].values, sizeof kinds[kind].values);
	if (!spec[name_len])
		return 0;
	for (char *w = strtok_r(words + name_len + 1, ",", &save); w; w = strtok_r(NULL, ",", &save))
		if (value_read(values, w, err) < 0)
			return err ? err->code : -EINVAL;
	return 0;
}

static double exponential(struct rng *r, double mean)
{
	return -mean * log1p(-rng_unit(r));
}

static uint32_t length(struct rng *r, double mean)
{
	double v = (exponential(r, mean) + exponential(r, mean)) / 2, most = 4 * mean;
	v = MIN(v, most);
	return (uint32_t)MAX(1.0, v);
}

int trace_generate(struct buf *out, const char *spec, uint64_t seed, struct err *err)
{
	struct rng rng;
	double v[KEYS], begin_s = 0;
	uint32_t left, session = 0;

	if (spec_read(v, spec, err) < 0)
		return err ? err->code : -EINVAL;
	rng_init(&rng, seed ^ 0x6e5e7a7e);
	buf_printf(out, "# %s, seed %llu\n", spec, (unsigned long long)seed);
	for (left = (uint32_t)v[KEY_REQUESTS]; left > 0; session++) {
		uint32_t group = (uint32_t)rng_below(&rng, (uint64_t)v[KEY_GROUPS]);
		uint32_t turns = 1 + (v[KEY_TURNS] > 1 ? (uint32_t)exponential(&rng, v[KEY_TURNS] - 0.5) : 0);
		turns = MIN(left, turns);
		begin_s += exponential(&rng, v[KEY_TURNS] / v[KEY_RATE]);
		double at_s = begin_s;
		uint64_t prompt = (uint64_t)v[KEY_PREFIX];
		for (uint32_t i = 0; i < turns; i++, left--) {
			prompt += length(&rng, v[KEY_OWN]);
			uint32_t answer = length(&rng, v[KEY_ANSWER]);
			buf_printf(out, "%.0f %llu %u", at_s * 1000, (unsigned long long)prompt, answer);
			if (v[KEY_PREFIX] >= 1)
				buf_printf(out, " prefix=p%u:%.0f", group, v[KEY_PREFIX]);
			buf_printf(out, turns > 1 ? " session=s%u\n" : "\n", session);
			prompt += answer;
			at_s += answer * 0.01 + exponential(&rng, v[KEY_THINK]);
		}
	}
	return out->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}
