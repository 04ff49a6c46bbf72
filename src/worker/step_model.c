#include "worker/step_model.h"
#include "base/compiler.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Scales bring the regressors near 1 and times to milliseconds. */
static const double tokens_scale = 64, cells_scale = 4096, unit_us = 1000;
/* Half of a step's weight is gone after 70 steps: a machine that slows down (heat, a neighbour) is followed in seconds. */
static const double forget = 0.99;
/* One CPU core and a small model (5 ms, 6 ms a token): too slow a guess only makes the first steps small. */
static const double prior[3] = {5, 6 * 64, 0};
/* Being wrong by so much in a term weighs as much as prior_ms of error in a step. */
static const double prior_width[3] = {5, 6 * 64, 50}, prior_ms = 0.3;
/* A step longer than predicted counts as so many times the prediction at most, once the model has seen a few. */
static const double surprise_max = 3;
enum { WARM_STEPS = 16 };

void step_model_init(struct step_model *m)
{
	memset(m, 0, sizeof *m);
	memcpy(m->theta, prior, sizeof prior);
}

static void regressors(double x[3], uint32_t tokens, uint32_t cells)
{
	x[0] = 1;
	x[1] = tokens / tokens_scale;
	x[2] = x[1] * (cells / cells_scale);
}

static double dot(const double *a, const double *b)
{
	return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* Solve the 3 x 3 system for the terms in set (a bit each), the others 0. Gauss elimination; the prior makes it regular. */
static void solve(const double a[3][3], const double b[3], unsigned set, double ret[3])
{
	double m[3][4];

	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 4; j++) {
			bool in = (set >> i & 1) && (j == 3 || (set >> j & 1));
			m[i][j] = in ? (j == 3 ? b[i] : a[i][j]) : i == j;
		}
	for (int k = 0; k < 3; k++)
		for (int i = 0; i < 3; i++) {
			double f = i == k ? 0 : m[i][k] / m[k][k];
			for (int j = k; j < 4 && f != 0; j++)
				m[i][j] -= f * m[k][j];
		}
	for (int i = 0; i < 3; i++)
		ret[i] = m[i][3] / m[i][i];
}

/* theta >= 0 that minimises theta' A theta - 2 b' theta: the best of the eight choices of terms that are not 0. */
static void fit(struct step_model *m)
{
	double a[3][3], b[3], best = INFINITY;

	memcpy(a, m->xx, sizeof a);
	memcpy(b, m->xy, sizeof b);
	for (int i = 0; i < 3; i++) {
		double weight = prior_ms * prior_ms / (prior_width[i] * prior_width[i]);
		a[i][i] += weight;
		b[i] += weight * prior[i];
	}
	for (unsigned set = 1; set < 8; set++) {
		double t[3], cost = 0;
		solve(a, b, set, t);
		if (t[0] < 0 || t[1] < 0 || t[2] < 0)
			continue;
		for (int i = 0; i < 3; i++)
			cost += t[i] * (dot(a[i], t) - 2 * b[i]);
		if (cost < best) {
			best = cost;
			memcpy(m->theta, t, sizeof t);
		}
	}
}

void step_model_learn(struct step_model *m, uint32_t tokens, uint32_t cells, uint64_t duration_us)
{
	double x[3], y = (double)duration_us / unit_us;

	if (!tokens)
		return;
	regressors(x, tokens, cells);
	if (m->steps++ >= WARM_STEPS)
		y = fmin(y, surprise_max * fmax(dot(m->theta, x), 0.01));
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < 3; j++)
			m->xx[i][j] = forget * m->xx[i][j] + x[i] * x[j];
		m->xy[i] = forget * m->xy[i] + x[i] * y;
	}
	fit(m);
}

double step_model_predict_us(const struct step_model *m, uint32_t tokens, uint32_t cells)
{
	double x[3];

	regressors(x, tokens, cells);
	return tokens ? fmax(1, dot(m->theta, x) * unit_us) : 0;
}

double step_model_token_us(const struct step_model *m, uint32_t cells)
{
	return fmax(0.01, (m->theta[1] + m->theta[2] * (cells / cells_scale)) / tokens_scale * unit_us);
}
