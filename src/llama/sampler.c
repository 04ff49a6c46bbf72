/* sampler.c - the steps of llama.cpp's usual sampler chain on one row, without its allocations.
 *
 * Candidates are kept in an array of (logit, id). Each step shortens it or changes logits; what needs an order sorts
 * only as many as it has to look at. Probabilities are taken over the candidates that are left, as in llama.cpp. */
#include "llama/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
	float logit;
	uint32_t id;
};

struct ll_sampler {
	uint32_t vocab;
	struct candidate *c; /* vocab many; the first len are in play */
	uint32_t len;
	bool sorted; /* by logit, highest first, ties to the lowest id */
	float *p; /* probabilities of c, vocab many */
};

int ll_sampler_create(struct ll_sampler **ret, uint32_t vocab, struct err *err)
{
	struct ll_sampler *s = calloc(1, sizeof *s);
	if (s) {
		s->vocab = vocab;
		s->c = malloc(sizeof *s->c * vocab);
		s->p = malloc(sizeof *s->p * vocab);
	}
	if (!s || !s->c || !s->p) {
		ll_sampler_destroy(s);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = s;
	return 0;
}

void ll_sampler_destroy(struct ll_sampler *s)
{
	if (s) {
		free(s->c);
		free(s->p);
	}
	free(s);
}

/* --- Order ------------------------------------------------------------------------------------------------------ */

static inline bool before(const struct candidate *a, const struct candidate *b)
{
	return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static int compare(const void *a, const void *b)
{
	return before(a, b) ? -1 : before(b, a) ? 1 : 0;
}

static void swap(struct candidate *a, struct candidate *b)
{
	struct candidate t = *a;
	*a = *b;
	*b = t;
}

/* Move the k best to the front (unordered). Hoare's selection with the median of three, O(len) on average; NaN never
 * gets here, so the order is total. */
static void select_best(struct candidate *c, uint32_t len, uint32_t k)
{
	uint32_t lo = 0, hi = len;
	while (hi - lo > 16 && k > lo && k < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (before(&c[mid], &c[lo]))
			swap(&c[mid], &c[lo]);
		if (before(&c[hi - 1], &c[lo]))
			swap(&c[hi - 1], &c[lo]);
		if (before(&c[hi - 1], &c[mid]))
			swap(&c[hi - 1], &c[mid]);
		struct candidate pivot = c[mid];
		uint32_t i = lo, j = hi - 1;
		for (;;) {
			while (before(&c[i], &pivot))
				i++;
			while (before(&pivot, &c[j]))
				j--;
			if (i >= j)
				break;
			swap(&c[i++], &c[j--]);
		}
		if (k <= i)
			hi = i;
		else
			lo = i;
	}
	if (hi - lo <= 16)
		qsort(c + lo, hi - lo, sizeof *c, compare);
}

static void keep_best(struct ll_sampler *s, uint32_t k)
{
	if (k >= s->len)
		return;
	if (!s->sorted)
		select_best(s->c, s->len, k);
	s->len = k;
}

static void sort_all(struct ll_sampler *s)
{
	if (!s->sorted)
		qsort(s->c, s->len, sizeof *s->c, compare);
	s->sorted = true;
}

/* --- Before the candidates: bias, bans, penalties --------------------------------------------------------------- */

/* Every usable token with its raw logit; candidate i is token i until something moves. NaN is as unlikely as can be. */
static void fill(struct ll_sampler *s, const float *logits)
{
	for (uint32_t i = 0; i < s->vocab; i++)
		s->c[i] = (struct candidate){isnan(logits[i]) ? -INFINITY : logits[i], i};
	s->len = s->vocab;
	s->sorted = false;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* The probability array is free at this point and has room: recent tokens are sorted there to count them. */
static uint32_t recent_sorted(struct ll_sampler *s, const struct ll_draw_in *in, uint32_t *ret)
{
	uint32_t n = MIN(MIN(in->history_len, in->sampling->penalty_last_n), s->vocab);
	memcpy(ret, in->history + (in->history_len - n), n * sizeof *ret);
	qsort(ret, n, sizeof *ret, compare_ids);
	return n;
}

/* llama.cpp's formula (and the CTRL paper's): divide or multiply by repetition once, subtract presence once and
 * frequency for each time. */
static void penalize(struct candidate *c, const struct ll_sampling *p, uint32_t times)
{
	c->logit = c->logit <= 0 ? c->logit * p->repetition_penalty : c->logit / p->repetition_penalty;
	c->logit -= (float)times * p->frequency_penalty + p->presence_penalty;
}

static void apply_penalties(struct ll_sampler *s, const struct ll_draw_in *in)
{
	_Static_assert(sizeof(float) == sizeof(uint32_t), "recent tokens borrow the room of probabilities");
	uint32_t *recent = (uint32_t *)(void *)s->p;
	uint32_t n = recent_sorted(s, in, recent);
	for (uint32_t i = 0; i < n;) {
		uint32_t j = i;
		while (j < n && recent[j] == recent[i])
			j++;
		if (recent[i] < s->vocab)
			penalize(&s->c[recent[i]], in->sampling, j - i);
		i = j;
	}
}

static bool has_penalties(const struct ll_draw_in *in)
{
	const struct ll_sampling *p = in->sampling;
	bool any = p->repetition_penalty != 1 || p->presence_penalty != 0 || p->frequency_penalty != 0;
	return any && p->penalty_last_n > 0 && in->history_len > 0;
}

static void apply_bias(struct ll_sampler *s, const struct ll_sampling *p)
{
	for (uint32_t i = 0; i < p->bias_count; i++)
		if (p->bias_tokens[i] < s->vocab)
			s->c[p->bias_tokens[i]].logit += p->bias_values[i];
	for (uint32_t i = 0; i < p->banned_count; i++)
		if (p->banned[i] < s->vocab)
			s->c[p->banned[i]].logit = -INFINITY;
}

static void drop_impossible(struct ll_sampler *s)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->len; i++)
		if (s->c[i].logit > -INFINITY)
			s->c[n++] = s->c[i];
	s->len = n;
}

/* --- Filters ---------------------------------------------------------------------------------------------------- */

static float best_logit(const struct ll_sampler *s)
{
	float best = s->c[0].logit;
	for (uint32_t i = 1; i < s->len && !s->sorted; i++)
		best = MAX(best, s->c[i].logit);
	return best;
}

/* Fill p with the probabilities of the candidates. */
static void softmax(struct ll_sampler *s)
{
	float best = best_logit(s);
	double sum = 0;
	for (uint32_t i = 0; i < s->len; i++) {
		s->p[i] = expf(s->c[i].logit - best);
		sum += s->p[i];
	}
	float scale = (float)(1 / sum);
	for (uint32_t i = 0; i < s->len; i++)
		s->p[i] *= scale;
}

struct surprise {
	float distance;
	struct candidate c;
	float p;
};

static int compare_surprise(const void *a, const void *b)
{
	const struct surprise *x = a, *y = b;
	return x->distance < y->distance ? -1 : x->distance > y->distance ? 1 : compare(&x->c, &y->c);
}

/* Keep those whose surprise is nearest to the entropy until their mass passes typical_p (Meister et al. 2022). Rare in
 * use, so its scratch is taken from the heap; without memory the filter is skipped. */
static void filter_typical(struct ll_sampler *s, float typical_p)
{
	struct surprise *list = malloc(sizeof *list * s->len);
	if (!list)
		return;
	softmax(s);
	double entropy = 0;
	for (uint32_t i = 0; i < s->len; i++)
		entropy -= s->p[i] > 0 ? s->p[i] * log(s->p[i]) : 0;
	for (uint32_t i = 0; i < s->len; i++)
		list[i] = (struct surprise){(float)fabs(-log(s->p[i]) - entropy), s->c[i], s->p[i]};
	qsort(list, s->len, sizeof *list, compare_surprise);
	float mass = 0;
	uint32_t n = 0;
	while (n < s->len) {
		mass += list[n].p;
		s->c[n] = list[n].c;
		n++;
		if (mass > typical_p)
			break;
	}
	s->len = n;
	s->sorted = false;
	free(list);
}

/* Keep the likeliest until their mass reaches top_p. Sorting a whole vocabulary costs ten times the rest, and a few
 * hundred usually hold the mass: sort the best k, double k until they do. */
static void filter_top_p(struct ll_sampler *s, float top_p)
{
	float best = best_logit(s);
	double total = 0;
	for (uint32_t i = 0; i < s->len; i++)
		total += expf(s->c[i].logit - best);
	uint32_t done = 0, k = s->sorted ? s->len : MIN(256, s->len);
	double mass = 0;
	for (;;) {
		if (!s->sorted) {
			select_best(s->c + done, s->len - done, k - done);
			qsort(s->c + done, k - done, sizeof *s->c, compare);
		}
		for (; done < k; done++) {
			mass += expf(s->c[done].logit - best);
			if (mass >= top_p * total) {
				s->len = done + 1;
				s->sorted = true;
				return;
			}
		}
		if (k == s->len)
			break;
		k = k > s->len / 4 ? s->len : k * 4;
	}
	s->sorted = true;
}

static void filter_min_p(struct ll_sampler *s, float min_p)
{
	float least = best_logit(s) + logf(min_p);
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->len; i++)
		if (s->c[i].logit >= least)
			s->c[n++] = s->c[i];
	s->len = n;
}

/* --- Draw ------------------------------------------------------------------------------------------------------- */

static void draw_greedy(const struct ll_sampler *s, struct ll_draw *ret)
{
	float best = -INFINITY, second = -INFINITY;
	uint32_t id = 0;
	for (uint32_t i = 0; i < s->len; i++) {
		float x = s->c[i].logit;
		if (x > best) {
			second = best;
			best = x;
			id = s->c[i].id;
		} else if (x > second) {
			second = x;
		}
	}
	ret->token = id;
	ret->margin = second > -INFINITY ? best - second : INFINITY;
}

/* The same on the raw row: nothing to copy when nothing changes it. */
static void draw_greedy_raw(const float *x, uint32_t n, struct ll_draw *ret)
{
	float best = -INFINITY, second = -INFINITY;
	uint32_t id = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (x[i] > best) {
			second = best;
			best = x[i];
			id = i;
		} else if (x[i] > second) {
			second = x[i];
		}
	}
	ret->token = id;
	ret->margin = second > -INFINITY ? best - second : INFINITY;
}

/* Candidates in order of likelihood share [0, 1); unit says whose part it falls into. An order that depends on the
 * logits alone makes the draw the same on every worker. */
static void draw_random(struct ll_sampler *s, double unit, struct ll_draw *ret)
{
	sort_all(s);
	double sum = 0;
	for (uint32_t i = 0; i < s->len; i++)
		sum += s->p[i] = expf(s->c[i].logit - s->c[0].logit);
	double target = unit * sum, begin = 0;
	uint32_t i = 0;
	while (i + 1 < s->len && begin + s->p[i] <= target)
		begin += s->p[i++];
	ret->token = s->c[i].id;
	ret->margin = (float)(MIN(target - begin, begin + s->p[i] - target) / sum);
}

static void run_filters(struct ll_sampler *s, const struct ll_sampling *p)
{
	if (p->top_k > 0)
		keep_best(s, p->top_k);
	if (p->typical_p < 1 && p->typical_p > 0)
		filter_typical(s, p->typical_p);
	if (p->top_p < 1)
		filter_top_p(s, MAX(p->top_p, 0));
	if (p->min_p > 0)
		filter_min_p(s, MIN(p->min_p, 1));
	for (uint32_t i = 0; i < s->len; i++)
		s->c[i].logit /= p->temperature;
}

/* A draw over the whole vocabulary would sort all of it; the likeliest few hundred nearly always decide. Walk them in
 * order, doubling how many are sorted, against the total known up front. */
static void draw_unfiltered(struct ll_sampler *s, double unit, struct ll_draw *ret)
{
	float best = best_logit(s);
	double sum = 0;
	for (uint32_t i = 0; i < s->len; i++)
		sum += expf(s->c[i].logit - best);
	double target = unit * sum, begin = 0;
	uint32_t done = 0, k = MIN(256, s->len);
	for (;;) {
		if (!s->sorted) {
			select_best(s->c + done, s->len - done, k - done);
			qsort(s->c + done, k - done, sizeof *s->c, compare);
		}
		for (; done < k; done++) {
			double p = expf(s->c[done].logit - best);
			if (begin + p > target || done + 1 == s->len) {
				ret->token = s->c[done].id;
				ret->margin = (float)(MAX(MIN(target - begin, begin + p - target), 0) / sum);
				return;
			}
			begin += p;
		}
		k = k > s->len / 4 ? s->len : k * 4;
	}
}

/* --- Log-probabilities ------------------------------------------------------------------------------------------ */

/* Insert into a short list kept best first. */
static void keep_top(struct candidate *top, uint32_t *len, uint32_t cap, struct candidate c)
{
	uint32_t i = *len < cap ? (*len)++ : cap - 1;
	for (; i > 0 && before(&c, &top[i - 1]); i--)
		top[i] = top[i - 1];
	top[i] = c;
}

static void fill_logprobs(const struct ll_draw_in *in, uint32_t vocab, struct ll_draw *ret)
{
	const float *x = in->logits;
	struct candidate top[LL_TOP_MAX];
	uint32_t cap = MIN(in->top, (uint32_t)LL_TOP_MAX), len = 0;
	float best = -INFINITY;
	for (uint32_t i = 0; i < vocab; i++) {
		struct candidate c = {x[i], i};
		best = MAX(best, x[i]);
		if (cap > 0 && !isnan(x[i]) && (len < cap || before(&c, &top[cap - 1])))
			keep_top(top, &len, cap, c);
	}
	double sum = 0;
	for (uint32_t i = 0; i < vocab; i++)
		sum += isnan(x[i]) ? 0 : expf(x[i] - best);
	float norm = best + (float)log(sum);
	ret->logprob = x[ret->token] - norm;
	ret->top_count = len;
	for (uint32_t i = 0; i < len; i++) {
		ret->top_tokens[i] = top[i].id;
		ret->top_logprobs[i] = top[i].logit - norm;
	}
}

/* --- All together ----------------------------------------------------------------------------------------------- */

static void draw(struct ll_sampler *s, const struct ll_draw_in *in, struct ll_draw *ret)
{
	const struct ll_sampling *p = in->sampling;
	bool changed = p->bias_count > 0 || p->banned_count > 0 || has_penalties(in);
	if (p->temperature <= 0 && !changed) {
		draw_greedy_raw(in->logits, s->vocab, ret);
		return;
	}
	fill(s, in->logits);
	apply_bias(s, p);
	if (has_penalties(in))
		apply_penalties(s, in);
	drop_impossible(s);
	if (s->len == 0) {
		draw_greedy_raw(in->logits, s->vocab, ret);
		return;
	}
	if (p->temperature <= 0) {
		draw_greedy(s, ret);
		return;
	}
	run_filters(s, p);
	if (s->len > 1024 && !s->sorted)
		draw_unfiltered(s, in->unit, ret);
	else
		draw_random(s, in->unit, ret);
}

void ll_sampler_draw(struct ll_sampler *s, const struct ll_draw_in *in, struct ll_draw *ret)
{
	memset(ret, 0, sizeof *ret);
	draw(s, in, ret);
	if (in->logprobs)
		fill_logprobs(in, s->vocab, ret);
}
