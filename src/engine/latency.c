#include "engine/latency.h"
#include "base/compiler.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum term {
	BASE,
	PREFILL_STEP,
	PREFILL,
	PREFILL_SQUARED,
	DECODES,
	DECODE_STEP,
	CONTEXT,
	CONTEXT_LOW,
	CONTEXT_MIDDLE,
	TOKENS_USED
};
enum { N = LATENCY_TERMS, WARM_STEPS = 16, FIT_EVERY = 16, SCALE_STEPS = 4 };
_Static_assert(TOKENS_USED + 1 == LATENCY_TERMS, "a name for each term");

/* Scales bring the regressors near 1 and times to milliseconds. */
static const double unit_us = 1000, prefill_scale = 1024, decode_scale = 16, context_scale = 65536,
		    used_scale = 4096 * 64;
/* What a step weighs in the next one of its kind. Long, because a few seconds of decoding show only a few contexts; short
 * while predictions fail (heat, a neighbour), so that a new speed is followed within some thirty steps. */
static const double forget_slowly = 0.9995, forget_fast = 0.97, failing = 0.2;
/* A machine nobody has seen: 5 ms and 0.1 ms a token; only its shape matters, the first steps scale it. */
static const double prior[N] = {[BASE] = 5, [PREFILL] = 100, [DECODES] = 0.5};
/* How far a term may be from its prior, in milliseconds of the machine of the prior. */
static const double prior_width[N] = {10, 20, 200, 50, 10, 10, 20, 20, 20, 20};
static const double prior_weight = 0.02, prior_part = 0.0001;
static const double surprise_max = 3, error_gain = 0.05, refit_error = 0.02;

void latency_init(struct latency *m, uint64_t capacity)
{
	memset(m, 0, sizeof *m);
	memcpy(m->prior, prior, sizeof prior);
	memcpy(m->theta, prior, sizeof prior);
	m->capacity = (double)capacity;
	m->slow = 1;
}

void latency_init_like(struct latency *m, const struct latency *other, uint64_t capacity)
{
	latency_init(m, capacity);
	memcpy(m->prior, other->theta, sizeof m->prior);
	memcpy(m->theta, other->theta, sizeof m->theta);
	m->slow = other->slow;
}

void latency_assume_slow(struct latency *m, double times)
{
	for (int i = 0; i < N; i++)
		m->theta[i] = m->prior[i] *= times;
	m->slow *= times;
}

static double knee(const struct latency *m, uint64_t context, double part)
{
	return m->capacity > 0 ? fmin((double)context, m->capacity * part) / context_scale : 0;
}

static void regressors(const struct latency *m, const struct latency_step *s, double x[N])
{
	double p = s->prefill / prefill_scale;
	bool decodes = s->decodes > 0;

	x[BASE] = 1;
	x[PREFILL_STEP] = s->prefill > 0;
	x[PREFILL] = p;
	x[PREFILL_SQUARED] = p * p;
	x[DECODES] = s->decodes / decode_scale;
	x[DECODE_STEP] = decodes;
	x[CONTEXT] = decodes ? (double)s->context / context_scale : 0;
	x[CONTEXT_LOW] = decodes ? knee(m, s->context, 1.0 / 3) : 0;
	x[CONTEXT_MIDDLE] = decodes ? knee(m, s->context, 2.0 / 3) : 0;
	x[TOKENS_USED] = ((double)s->prefill + s->decodes) * (double)s->used / used_scale;
}

static double dot(const double *a, const double *b)
{
	double sum = 0;
	for (int i = 0; i < N; i++)
		sum += a[i] * b[i];
	return sum;
}

/* fitting: theta >= 0 that minimises theta' A theta - 2 b' theta, by active sets (Lawson and Hanson 1974) */

/* Solve A t = b for the terms in set (a bit each), the others 0. Cholesky; the prior makes A definite. */
static void solve(const double a[N][N], const double b[N], unsigned set, double ret[N])
{
	double l[N][N], y[N];
	int at[N], n = 0;

	for (int i = 0; i < N; i++) {
		ret[i] = 0;
		if (set >> i & 1)
			at[n++] = i;
	}
	for (int i = 0; i < n; i++) {
		y[i] = b[at[i]];
		for (int j = 0; j <= i; j++) {
			double sum = a[at[i]][at[j]];
			for (int k = 0; k < j; k++)
				sum -= l[i][k] * l[j][k];
			l[i][j] = i == j ? sqrt(fmax(sum, 1e-12)) : sum / l[j][j];
			if (j < i)
				y[i] -= l[i][j] * y[j];
		}
		y[i] /= l[i][i];
	}
	for (int i = n - 1; i >= 0; i--) {
		for (int k = i + 1; k < n; k++)
			y[i] -= l[k][i] * y[k];
		y[i] /= l[i][i];
		ret[at[i]] = y[i];
	}
}

/* Step from theta towards t as far as no term becomes negative; the terms that are 0 then leave the set. True: arrived. */
static bool step_to(double theta[N], const double t[N], unsigned *set)
{
	double part = 1;
	int hit = -1;

	for (int i = 0; i < N; i++)
		if ((*set >> i & 1) && t[i] < 0 && theta[i] / (theta[i] - t[i]) < part) {
			part = theta[i] / (theta[i] - t[i]);
			hit = i;
		}
	for (int i = 0; i < N; i++)
		theta[i] = *set >> i & 1 ? fmax(0, theta[i] + part * (t[i] - theta[i])) : 0;
	if (hit < 0)
		return true;
	theta[hit] = 0;
	*set &= ~(1u << hit);
	return false;
}

/* The term at 0 whose growth would lower the cost most; -1: none. */
static int best_to_add(const double a[N][N], const double b[N], const double theta[N], unsigned set)
{
	double best = 1e-9;
	int at = -1;

	for (int i = 0; i < N; i++) {
		double gain = set >> i & 1 ? 0 : (b[i] - dot(a[i], theta)) / sqrt(a[i][i]);
		if (gain > best) {
			best = gain;
			at = i;
		}
	}
	return at;
}

static void minimise(const double a[N][N], const double b[N], double theta[N])
{
	double t[N];
	unsigned set = 0;
	int add = -1;

	for (int i = 0; i < N; i++)
		set |= (theta[i] > 0) * (1u << i);
	for (int rounds = 0; rounds < 3 * N; rounds++) {
		solve(a, b, set, t);
		if (!step_to(theta, t, &set))
			continue;
		int next = best_to_add(a, b, theta, set);
		if (next < 0 || next == add)
			return;
		add = next;
		set |= 1u << add;
	}
}

static void fit(struct latency *m)
{
	double a[N][N], b[N];

	for (int i = 0; i < N; i++) {
		for (int j = 0; j < N; j++)
			a[i][j] = m->xx[0][i][j] + m->xx[1][i][j];
		/* Times of a slower machine are longer, and a step of it weighs less. */
		double weight = prior_weight / (prior_width[i] * prior_width[i] * m->slow) + prior_part * a[i][i];
		a[i][i] += weight;
		b[i] = m->xy[0][i] + m->xy[1][i] + weight * m->prior[i];
	}
	minimise(a, b, m->theta);
}

/* The first steps say how fast the machine is as a whole. */
static void scale(struct latency *m, double y, double predicted)
{
	double f = pow(y / fmax(predicted, 1e-3), 1.0 / (double)(m->steps + 1));

	latency_assume_slow(m, f);
}

static void accumulate(struct latency *m, const double x[N], double y, double weight, int window)
{
	double forget = m->error > failing && m->steps > WARM_STEPS ? forget_fast : forget_slowly;

	for (int i = 0; i < N; i++) {
		for (int j = 0; j < N; j++)
			m->xx[window][i][j] = forget * m->xx[window][i][j] + weight * x[i] * x[j];
		m->xy[window][i] = forget * m->xy[window][i] + weight * x[i] * y;
	}
}

void latency_learn(struct latency *m, const struct latency_step *s, uint64_t duration_us)
{
	double x[N], y = fmax((double)duration_us, 1) / unit_us;

	if (!s->prefill && !s->decodes)
		return;
	regressors(m, s, x);
	double predicted = fmax(dot(m->theta, x), 1e-3);
	if (m->steps < SCALE_STEPS)
		scale(m, y, predicted);
	else if (m->steps >= WARM_STEPS)
		y = fmin(fmax(y, predicted / surprise_max), predicted * surprise_max);
	double off = fabs(y - predicted) / y;
	m->error += (m->steps ? error_gain : 1) * (fmin(off, 1) - m->error);
	/* The first predictions are guesses: one far too low must not give its step the weight of a short one. */
	double weigh_as = m->steps < WARM_STEPS ? fmax(predicted, y) : predicted;
	accumulate(m, x, y, 1 / (0.1 + weigh_as), s->prefill > 0);
	m->steps++;
	if (off > refit_error || m->steps <= WARM_STEPS || m->steps % FIT_EVERY == 0)
		fit(m);
}

double latency_step_us(const struct latency *m, const struct latency_step *s)
{
	double x[N];

	if (!s->prefill && !s->decodes)
		return 0;
	regressors(m, s, x);
	return fmax(1, dot(m->theta, x) * unit_us);
}

double latency_drain_us(
	const struct latency *m, uint64_t prompt_tokens, const struct latency_step *beside, uint32_t batch)
{
	struct latency_step s = *beside;
	uint64_t room =
		batch ? (batch > beside->decodes + batch / 8 ? batch - beside->decodes : batch / 8 + 1) : prompt_tokens;

	if (!prompt_tokens)
		return 0;
	uint64_t full = (prompt_tokens - 1) / MAX(room, 1u);
	s.prefill = (uint32_t)(prompt_tokens - full * room);
	double us = latency_step_us(m, &s);
	if (full) {
		s.prefill = (uint32_t)room;
		us += (double)full * latency_step_us(m, &s);
	}
	return us;
}

uint32_t latency_prefill_within(
	const struct latency *m, const struct latency_step *beside, double budget_us, uint32_t most)
{
	struct latency_step s = *beside;
	uint32_t low = 0, high = most;

	while (low < high) {
		s.prefill = low + (high - low + 1) / 2;
		if (latency_step_us(m, &s) <= budget_us)
			low = s.prefill;
		else
			high = s.prefill - 1;
	}
	return low;
}

double latency_token_us(const struct latency *m, uint64_t used)
{
	double ms = m->theta[PREFILL] / prefill_scale + m->theta[TOKENS_USED] * (double)used / used_scale;
	return fmax(0.01, ms * unit_us);
}

double latency_context_us(const struct latency *m, uint64_t context, uint64_t more)
{
	const double *t = m->theta;
	uint64_t after = context + more;

	return unit_us * (t[CONTEXT] * (double)more / context_scale +
				 t[CONTEXT_LOW] * (knee(m, after, 1.0 / 3) - knee(m, context, 1.0 / 3)) +
				 t[CONTEXT_MIDDLE] * (knee(m, after, 2.0 / 3) - knee(m, context, 2.0 / 3)));
}

void latency_gather_begin(struct latency *fleet, const struct latency *like)
{
	double theta[N];

	memcpy(theta, fleet->theta, sizeof theta);
	bool is_new = fleet->steps == 0;
	*fleet = (struct latency){.capacity = like->capacity, .slow = like->slow};
	memcpy(fleet->theta, is_new ? like->theta : theta, sizeof theta);
	/* Not what the machines lean on, which is this very model. */
	for (int i = 0; i < N; i++)
		fleet->prior[i] = prior[i] * fleet->slow;
}

void latency_gather(struct latency *fleet, const struct latency *m, double speed)
{
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < N; i++) {
			for (int j = 0; j < N; j++)
				fleet->xx[k][i][j] += m->xx[k][i][j];
			fleet->xy[k][i] += m->xy[k][i] / speed;
		}
	fleet->steps += m->steps;
}

void latency_gather_end(struct latency *fleet)
{
	if (fleet->steps)
		fit(fleet);
}

double latency_speed(const struct latency *m, const struct latency *fleet)
{
	for (int k = 1; k >= 0; k--) {
		double quadratic = 0, linear = dot(fleet->theta, m->xy[k]);
		for (int i = 0; i < N; i++)
			quadratic += fleet->theta[i] * dot(m->xx[k][i], fleet->theta);
		if (quadratic > 0 && linear > 0)
			return linear / quadratic;
	}
	return 1;
}

void latency_lean_on(struct latency *m, const struct latency *fleet, double speed)
{
	if (m->steps >= SCALE_STEPS)
		for (int i = 0; i < N; i++)
			m->prior[i] = fleet->theta[i] * speed;
}

void latency_print(const struct latency *m, struct buf *out)
{
	static const char *const names[N] = {"base", "prefill_step", "prefill_1k", "prefill_1k_squared", "decode_16",
		"decode_step", "context_64k", "context_low_64k", "context_middle_64k", "token_used_256k"};

	buf_printf(out, "steps=%llu error=%.3f", (unsigned long long)m->steps, m->error);
	for (int i = 0; i < N; i++)
		if (m->theta[i] > 0)
			buf_printf(out, " %s_ms=%.4g", names[i], m->theta[i]);
}
