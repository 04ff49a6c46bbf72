/* fit.c - an engine model fitted to the steps a real worker recorded.
 *
 *     us = base + prefill * p + decode * d + context * c        p, d: tokens computed, c: cells attended to
 *
 * Least squares of the relative error (each step weighs 1 / us^2), no term negative: the most negative one is left out and
 * the rest fitted again. */
#include "base/vec.h"
#include "config/json_parse.h"
#include "sim/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TERMS = 4, STEPS_MIN = 20 };
struct step {
	double x[TERMS], us;
};
struct steps {
	VEC(struct step) v;
	double cells, prefill_max, running_max;
};

DEFINE_CLEANUP(json_decref, json_t)

static int line_read(struct steps *s, const char *line, size_t len, struct err *err)
{
	static const char *const keys[TERMS] = {NULL, "prefill_tokens", "decode_tokens", "context_tokens"};
	json_error_t error;
	CLEANUP(json_decref_p) json_t *o = json_parse(line, len, 0, &error);
	struct step step = {.x = {1}};

	if (!o && json_is_no_memory(&error))
		return err_set(err, -ENOMEM, "out of memory");
	if (!json_is_object(o))
		return err_set(err, -EINVAL, "not a JSON object: %s", error.text);
	step.us = json_number_value(json_object_get(o, "duration_us"));
	for (int i = 1; i < TERMS; i++) {
		const json_t *value = json_object_get(o, keys[i]);
		if (!json_is_number(value))
			return err_set(err, -EINVAL, "key \"%s\" is missing or not a number", keys[i]);
		step.x[i] = json_number_value(value);
	}
	/* The first step of a worker warms up, empty ones say nothing. */
	if (!(step.us > 0) || step.x[1] + step.x[2] <= 0)
		return 0;
	s->cells = MAX(s->cells, json_number_value(json_object_get(o, "cells")));
	s->prefill_max = MAX(s->prefill_max, step.x[1] + step.x[2]);
	s->running_max = MAX(s->running_max, json_number_value(json_object_get(o, "running")));
	return vec_push(&s->v, step) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* Gauss and Jordan; the matrix is positive. A term that the steps do not tell apart from others gets 0. */
static void solve(const double a[TERMS][TERMS + 1], const bool *used, double *ret)
{
	double m[TERMS][TERMS + 1];
	memcpy(m, a, sizeof m);
	for (int c = 0; c < TERMS; c++) {
		ret[c] = 0;
		if (!used[c] || fabs(m[c][c]) < 1e-12 * fabs(a[c][c]))
			continue;
		for (int r = 0; r < TERMS; r++) {
			if (r == c || !used[r])
				continue;
			double f = m[r][c] / m[c][c];
			for (int k = c; k <= TERMS; k++)
				m[r][k] -= f * m[c][k];
		}
	}
	for (int c = 0; c < TERMS; c++)
		if (used[c] && fabs(m[c][c]) > 1e-12 * fabs(a[c][c]))
			ret[c] = m[c][TERMS] / m[c][c];
}

static void fit(const struct steps *s, double *ret)
{
	double a[TERMS][TERMS + 1] = {{0}};
	bool used[TERMS] = {true, true, true, true};

	for (uint32_t i = 0; i < s->v.len; i++)
		for (int r = 0; r < TERMS; r++) {
			const struct step *t = &s->v.v[i];
			double w = 1 / (t->us * t->us);
			for (int c = 0; c < TERMS; c++)
				a[r][c] += w * t->x[r] * t->x[c];
			a[r][TERMS] += w * t->x[r] * t->us;
		}
	for (int round = 0; round < TERMS; round++) {
		int worst = -1;
		solve(a, used, ret);
		for (int i = 0; i < TERMS; i++)
			if (used[i] && ret[i] < 0 && (worst < 0 || ret[i] < ret[worst]))
				worst = i;
		if (worst < 0)
			return;
		used[worst] = false;
	}
}

static double error_of(const struct steps *s, const double *terms)
{
	double sum = 0;

	for (uint32_t i = 0; i < s->v.len; i++) {
		double us = 0;
		for (int k = 0; k < TERMS; k++)
			us += terms[k] * s->v.v[i].x[k];
		sum += fabs(us - s->v.v[i].us) / s->v.v[i].us;
	}
	return sum / s->v.len;
}

static int lines_read(struct steps *s, const char *name, const char *text, size_t len, struct err *err)
{
	uint32_t line = 0;

	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		struct err cause;
		line++;
		if (n && line_read(s, text + at, n, &cause) < 0)
			return err_set(err, cause.code, "%s:%u: %s", name, line, cause.msg);
		at += n + 1;
	}
	return s->v.len >= STEPS_MIN ? 0
				     : err_set(err, -EINVAL, "%s: %u steps are too few for a fit; %d are needed", name,
					       s->v.len, STEPS_MIN);
}

int sim_model_fit(struct sim_model *ret, const char *name, const char *text, size_t len, struct err *err)
{
	struct steps s = {0};
	double terms[TERMS];
	int code = lines_read(&s, name, text, len, err);

	if (code == 0) {
		fit(&s, terms);
		*ret = (struct sim_model){.kind = SIM_MODEL_SCHED,
			.seqs_max = 256,
			.batch_tokens = (uint32_t)MAX(s.prefill_max, 512),
			.block_size = 16,
			.blocks = (uint32_t)MAX(s.cells / 16, 64),
			.base_us = terms[0],
			.prefill_token_us = terms[1],
			.decode_seq_us = terms[2],
			.context_token_us = terms[3],
			.steps = s.v.len,
			.error_mean = error_of(&s, terms)};
		snprintf(ret->name, sizeof ret->name, "fit:%.*s", (int)sizeof ret->name - 5, name);
	}
	vec_done(&s.v);
	return code;
}
