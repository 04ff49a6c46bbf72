/* sampler.c - the steps of llama.cpp's usual sampler chain on one row, without its allocations.
 *
 * Few tokens of a row matter to a draw, so the first step that is on gathers those that it may keep (in vector passes over the
 * row, row.h); later steps work on that short list. Nothing is sorted: what is to be kept is selected by number or by mass.
 * Probabilities are taken over what is left, as in llama.cpp. */
#include "llama/sampler.h"

#include "llama/row.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HIDDEN_MAX = 64 }; /* models have up to some ten end tokens */
#define SEEN_IN_PROMPT ((uint64_t)1)
#define SEEN_GENERATED ((uint64_t)1 << 32)

struct ll_sampler {
	uint32_t vocab;
	struct candidate *c; /* vocab many; the first len are in play */
	uint32_t len;
	float *row; /* vocab many: the logits when something changes them */
	uint64_t *seen; /* vocab many: how often penalties meet a token, in the prompt and generated; 0 between draws */
	float hidden[HIDDEN_MAX]; /* what bans replaced in the caller's row */
};

/* What a draw works on. */
struct row {
	const float *x;
	uint32_t n;
	float best, second;
	uint32_t best_id;
};

int ll_sampler_create(struct ll_sampler **ret, uint32_t vocab, struct err *err)
{
	struct ll_sampler *s = calloc(1, sizeof *s);
	if (s) {
		s->vocab = vocab;
		s->c = malloc(sizeof *s->c * vocab);
		s->row = malloc(sizeof *s->row * vocab);
		s->seen = calloc(vocab, sizeof *s->seen);
	}
	if (!s || !s->c || !s->row || !s->seen) {
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
		free(s->row);
		free(s->seen);
	}
	free(s);
}

/* --- Order ------------------------------------------------------------------------------------------------------ */

static inline bool before(const struct candidate *a, const struct candidate *b)
{
	return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void swap(struct candidate *a, struct candidate *b)
{
	struct candidate t = *a;
	*a = *b;
	*b = t;
}

/* By which candidates are kept: the likeliest first, or those nearest to middle. Ties go to the likelier, then to the lowest id:
 * the order is total (NaN never gets here). */
struct order {
	bool by_distance;
	float middle;
};
static struct order likeliest_first; /* qsort_r takes no const */

static inline bool ahead(const struct order *o, const struct candidate *a, const struct candidate *b)
{
	if (o->by_distance) {
		float x = fabsf(a->logit - o->middle), y = fabsf(b->logit - o->middle);
		if (x != y)
			return x < y;
	}
	return before(a, b);
}

static int compare(const void *a, const void *b, void *order)
{
	return ahead(order, a, b) ? -1 : ahead(order, b, a) ? 1 : 0;
}

/* Hoare's partition by the median of three; len is at least 3. The first of the returned number are ahead of all the others;
 * neither part is empty. */
static inline uint32_t split(struct candidate *c, uint32_t len, const struct order *o)
{
	uint32_t mid = len / 2, i = 0, j = len - 1;
	if (ahead(o, &c[mid], &c[0]))
		swap(&c[mid], &c[0]);
	if (ahead(o, &c[j], &c[0]))
		swap(&c[j], &c[0]);
	if (ahead(o, &c[j], &c[mid]))
		swap(&c[j], &c[mid]);
	struct candidate pivot = c[mid];
	for (;;) {
		while (ahead(o, &c[i], &pivot))
			i++;
		while (ahead(o, &pivot, &c[j]))
			j--;
		if (i >= j)
			return i;
		swap(&c[i++], &c[j--]);
	}
}

enum { SORT_MAX = 16 }; /* candidates that are simply sorted */

/* Move the k best to the front (unordered). O(len) on average. */
static void select_best(struct candidate *c, uint32_t len, uint32_t k)
{
	uint32_t lo = 0, hi = len;
	while (hi - lo > SORT_MAX && k > lo && k < hi) {
		uint32_t at = lo + split(c + lo, hi - lo, &likeliest_first);
		if (k <= at)
			hi = at;
		else
			lo = at;
	}
	if (hi - lo <= SORT_MAX)
		qsort_r(c + lo, hi - lo, sizeof *c, compare, &likeliest_first);
}

/* How much is to be kept: mass in terms of exp(logit - best), until it is reached, or passed. */
struct goal {
	float best;
	double mass;
	bool pass;
};

static bool is_met(const struct goal *g, double mass)
{
	return g->pass ? mass > g->mass : mass >= g->mass;
}

/* Move to the front (unordered) the fewest, in order, that with mass already in hand meet the goal; returns how many, all when
 * they do not. As selection of the k best, but by mass: the same as to sort and add up. O(len) on average. */
static uint32_t select_mass(struct candidate *c, uint32_t len, struct order *o, const struct goal *g, double mass)
{
	uint32_t lo = 0, hi = len;
	while (hi - lo > SORT_MAX) {
		uint32_t part = split(c + lo, hi - lo, o);
		double more = row_list_mass(c + lo, part, g->best);
		if (is_met(g, mass + more)) {
			hi = lo + part;
		} else {
			mass += more;
			lo += part;
		}
	}
	qsort_r(c + lo, hi - lo, sizeof *c, compare, o);
	for (; lo < hi; lo++) {
		mass += (double)row_exp(c[lo].logit - g->best);
		if (is_met(g, mass))
			return lo + 1;
	}
	return hi;
}

/* --- Bias, penalties, bans -------------------------------------------------------------------------------------- */

/* Repetition as in CTRL (Keskar et al. 2019), then presence once and frequency for each time: of what was generated only, as
 * OpenAI defines them. */
static float penalize(float logit, const struct ll_sampling *p, uint32_t times)
{
	logit = logit <= 0 ? logit * p->repetition_penalty : logit / p->repetition_penalty;
	return times ? logit - ((float)times * p->frequency_penalty + p->presence_penalty) : logit;
}

/* seen has a 0 a token, and so it has afterwards. O(history looked at). */
static void apply_penalties(struct ll_sampler *s, const struct ll_draw_in *in)
{
	uint32_t begin = in->history_len - MIN(in->history_len, in->sampling->penalty_last_n);
	for (uint32_t i = begin; i < in->history_len; i++)
		if (in->history[i] < s->vocab)
			s->seen[in->history[i]] += i < in->prompt_len ? SEEN_IN_PROMPT : SEEN_GENERATED;
	for (uint32_t i = begin; i < in->history_len; i++) {
		uint32_t id = in->history[i];
		if (id >= s->vocab || !s->seen[id])
			continue;
		s->row[id] = penalize(s->row[id], in->sampling, (uint32_t)(s->seen[id] / SEEN_GENERATED));
		s->seen[id] = 0;
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
			s->row[p->bias_tokens[i]] += p->bias_values[i];
}

static void apply_bans(struct ll_sampler *s, const struct ll_sampling *p)
{
	for (uint32_t i = 0; i < p->banned_count; i++)
		if (p->banned[i] < s->vocab)
			s->row[p->banned[i]] = -INFINITY;
}

static struct row look(const float *x, uint32_t n)
{
	struct row_top t = row_top(x, n);
	return (struct row){x, n, t.best, t.second, t.id};
}

/* Bans alone are written into the caller's row and taken back after the draw: a copy takes as long as a greedy draw. */
static bool can_hide(const struct ll_draw_in *in)
{
	const struct ll_sampling *p = in->sampling;
	return p->banned_count > 0 && p->banned_count <= HIDDEN_MAX && p->bias_count == 0 && !has_penalties(in);
}

static void hide_banned(struct ll_sampler *s, const struct ll_draw_in *in)
{
	const struct ll_sampling *p = in->sampling;
	for (uint32_t i = 0; i < p->banned_count; i++) {
		if (p->banned[i] >= s->vocab)
			continue;
		s->hidden[i] = in->logits[p->banned[i]];
		in->logits[p->banned[i]] = -INFINITY;
	}
}

/* Backwards: of a token that is named twice the first value is the row's. */
static void show_banned(struct ll_sampler *s, const struct ll_draw_in *in)
{
	const struct ll_sampling *p = in->sampling;
	for (uint32_t i = p->banned_count; i-- > 0;)
		if (p->banned[i] < s->vocab)
			in->logits[p->banned[i]] = s->hidden[i];
}

/* A copy of the row with all that changes it. */
static const float *changed(struct ll_sampler *s, const struct ll_draw_in *in)
{
	memcpy(s->row, in->logits, s->vocab * sizeof *s->row);
	apply_bias(s, in->sampling);
	if (has_penalties(in))
		apply_penalties(s, in);
	apply_bans(s, in->sampling);
	return s->row;
}

/* --- The first step that is on: from the row to candidates ------------------------------------------------------ */

static void gather(struct ll_sampler *s, const struct row *r, float least, float most)
{
	/* The least finite value: minus infinity itself is no candidate. */
	s->len = row_gather(r->x, r->n, MAX(least, -3.4e38f), most, s->c);
}

static bool holds_all(float window)
{
	return window >= 1e30f;
}

static float widen(float window)
{
	return window < 64 ? window * 2 : INFINITY;
}

static void gather_top_k(struct ll_sampler *s, const struct row *r, uint32_t k)
{
	for (float window = 8;; window = widen(window)) {
		gather(s, r, r->best - window, INFINITY);
		if (s->len >= k || holds_all(window))
			break;
	}
	if (s->len > k) {
		select_best(s->c, s->len, k);
		s->len = k;
	}
}

/* Those whose distance from middle is at most far. */
static void gather_within(struct ll_sampler *s, const struct row *r, float middle, float far)
{
	float more = far * 1.0001f + fabsf(middle) * 1e-6f; /* what rounding may move */
	uint32_t n = 0;
	gather(s, r, middle - more, middle + more);
	for (uint32_t i = 0; i < s->len; i++)
		if (fabsf(s->c[i].logit - middle) <= far)
			s->c[n++] = s->c[i];
	s->len = n;
}

enum { SHORT_SHARE = 16 }; /* a list of up to this part (1/n) of the row is short */

/* The fewest, in order, that meet the goal are among the nearest few: most rows are like that. */
static bool gather_near(struct ll_sampler *s, const struct row *r, struct order *o, const struct goal *g, float window)
{
	do {
		gather_within(s, r, o->middle, window);
		if (s->len > r->n / SHORT_SHARE)
			return false;
		if (is_met(g, row_list_mass(s->c, s->len, g->best))) {
			s->len = select_mass(s->c, s->len, o, g, 0);
			return true;
		}
		window *= 2;
	} while (window < 64);
	return false;
}

/* They may be many. Where the mass lies tells in which bucket of distance the goal is met: what is nearer is in, what is
 * farther is out, and only those in the bucket are compared with each other. */
static void gather_far(struct ll_sampler *s, const struct row *r, struct order *o, const struct goal *g)
{
	double buckets[ROW_BUCKETS], mass = 0;
	uint32_t last = 0, sure = 0, len = 0;
	row_exp_buckets(r->x, r->n, g->best, o->middle, buckets);
	while (last < ROW_BUCKETS - 1 && !is_met(g, mass + buckets[last]))
		mass += buckets[last++];
	float far = last < ROW_BUCKETS - 1 ? (float)(last + 2) / ROW_BUCKETS_UNIT + fabsf(o->middle) * 1e-6f : INFINITY;
	gather(s, r, o->middle - far, o->middle + far);
	for (uint32_t i = 0; i < s->len; i++) {
		struct candidate c = s->c[i];
		uint32_t bucket = row_bucket(c.logit, o->middle);
		if (bucket > last)
			continue;
		s->c[len] = c;
		if (bucket < last)
			swap(&s->c[sure++], &s->c[len]);
		len++;
	}
	s->len = sure + select_mass(s->c + sure, len - sure, o, g, mass);
}

/* --- Steps on a list -------------------------------------------------------------------------------------------- */

static float best_of(const struct ll_sampler *s)
{
	float best = s->c[0].logit;
	for (uint32_t i = 1; i < s->len; i++)
		best = MAX(best, s->c[i].logit);
	return best;
}

/* Locally typical sampling (Meister et al. 2022): keep those whose surprise, log total - (x - best), is nearest to the expected
 * one, the entropy, until their mass passes typical_p. moment is the sum of exp(x - best) * (x - best). */
static struct order typical_order(float best, double total, double moment)
{
	/* The surprise equals the entropy where x - best = moment / total. */
	return (struct order){.by_distance = true, .middle = best + (float)(moment / total)};
}

static void filter_typical(struct ll_sampler *s, float typical_p)
{
	float best = best_of(s);
	double moment = 0, total = 0;
	for (uint32_t i = 0; i < s->len; i++) {
		double d = s->c[i].logit - best, e = (double)row_exp((float)d);
		total += e;
		moment += e * d;
	}
	struct order o = typical_order(best, total, moment);
	s->len = select_mass(s->c, s->len, &o, &(struct goal){best, typical_p * total, true}, 0);
}

static void gather_typical(struct ll_sampler *s, const struct row *r, float typical_p)
{
	double moment, total = row_exp_moment(r->x, r->n, r->best, &moment);
	struct order o = typical_order(r->best, total, moment);
	struct goal g = {r->best, typical_p * total, true};
	if (!gather_near(s, r, &o, &g, 1))
		gather_far(s, r, &o, &g);
}

/* Keep the likeliest until their mass reaches top_p of the total. */
static void filter_top_p(struct ll_sampler *s, float top_p)
{
	float best = best_of(s);
	double total = row_list_mass(s->c, s->len, best);
	s->len = select_mass(s->c, s->len, &likeliest_first, &(struct goal){best, top_p * total, false}, 0);
}

static void gather_top_p(struct ll_sampler *s, const struct row *r, float top_p)
{
	struct order o = {.middle = r->best};
	struct goal g = {r->best, top_p * row_exp_sum(r->x, r->n, r->best), false};
	if (!gather_near(s, r, &o, &g, 8))
		gather_far(s, r, &o, &g);
}

static void filter_min_p(struct ll_sampler *s, float min_p)
{
	float least = best_of(s) + logf(min_p);
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->len; i++)
		if (s->c[i].logit >= least)
			s->c[n++] = s->c[i];
	s->len = n;
}

/* --- Draw ------------------------------------------------------------------------------------------------------- */

static void draw_greedy(const struct row *r, struct ll_draw *ret)
{
	ret->token = r->best_id;
	ret->margin = r->second > -INFINITY ? r->best - r->second : INFINITY;
}

/*
 * A draw by the Gumbel-max trick: the token with the largest logit * scale + g(key, token), where g is Gumbel noise, is drawn
 * with exactly the probability softmax(logit * scale). Each token's noise is its own, so rounding another way (another batch
 * shape) changes the outcome only when the two best are closer than the rounding, and not, as a point in the cumulative
 * distribution would, whenever the sum of thousands of small parts before it moves.
 */
enum { NOISE_BITS = 52 };

static inline uint64_t noise_bits(uint64_t key, uint32_t token)
{
	/* The token-th number of splitmix64 from key. */
	uint64_t z = key + (token + 1ull) * 0x9e3779b97f4a7c15ull;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) >> (64 - NOISE_BITS);
}

static double gumbel(uint64_t bits)
{
	/* The half keeps the uniform inside (0, 1) at both ends. */
	return -log(-log(((double)bits + 0.5) * 0x1.0p-52));
}

/* The least bits whose noise may reach g. */
static uint64_t bits_for(double g)
{
	double u = exp(-exp(-g)) * 0x1.0p52;
	return u >= 2 ? (uint64_t)u - 1 : 0;
}

/* The two best so far, by score. */
struct race {
	double best, second;
	uint32_t token;
};

static void enter(struct race *r, double score, uint32_t token)
{
	if (score > r->best || (score == r->best && token < r->token)) {
		r->second = r->best;
		r->best = score;
		r->token = token;
	} else if (score > r->second) {
		r->second = score;
	}
}

/* Most noise is too small to matter, which its bits show without a logarithm: no candidate has a better logit than best. */
static void race_list(const struct ll_sampler *s, float best, float scale, uint64_t key, struct race *ret)
{
	uint64_t bits_min = 0;
	*ret = (struct race){-INFINITY, -INFINITY, s->c[0].id};
	for (uint32_t i = 0; i < s->len; i++) {
		uint64_t bits = noise_bits(key, s->c[i].id);
		if (bits < bits_min)
			continue;
		double second = ret->second;
		enter(ret, (double)(s->c[i].logit - best) * scale + gumbel(bits), s->c[i].id);
		if (ret->second > second)
			bits_min = bits_for(ret->second);
	}
}

/* No filter is on. The likeliest race first; of the many others only those can still matter whose noise is large, which
 * their bits show without a logarithm. */
static void race_row(struct ll_sampler *s, const struct row *r, float scale, uint64_t key, struct race *ret)
{
	const double window = 8; /* e^-8: some sixteen of 50,000 others pass the test */
	float least = r->best - (float)window / scale;

	gather(s, r, least, INFINITY);
	race_list(s, r->best, scale, key, ret);
	/* With a single candidate in the window there is no second yet: any noise may become it, so look from the best down. */
	double bar = ret->second > -INFINITY ? ret->second : ret->best - window;
	uint64_t bits_min = bits_for(bar + (double)(r->best - least) * scale);
	for (uint32_t i = 0; i < r->n; i++) {
		uint64_t bits = noise_bits(key, i);
		if (bits >= bits_min && r->x[i] < least && r->x[i] > -INFINITY)
			enter(ret, (double)(r->x[i] - r->best) * scale + gumbel(bits), i);
	}
}

/* Run the filters that are on; false when none is. */
static bool run_filters(struct ll_sampler *s, const struct row *r, const struct ll_sampling *p)
{
	bool typical = p->typical_p < 1 && p->typical_p > 0, top_p = p->top_p<1, min_p = p->min_p> 0;
	bool listed = p->top_k > 0 && p->top_k < r->n;
	if (listed)
		gather_top_k(s, r, p->top_k);
	if (typical && listed)
		filter_typical(s, p->typical_p);
	else if (typical)
		gather_typical(s, r, p->typical_p);
	listed |= typical;
	if (top_p && listed)
		filter_top_p(s, MAX(p->top_p, 0));
	else if (top_p)
		gather_top_p(s, r, MAX(p->top_p, 0));
	listed |= top_p;
	if (min_p && !listed)
		gather(s, r, r->best + logf(MIN(p->min_p, 1)), INFINITY);
	else if (min_p)
		filter_min_p(s, MIN(p->min_p, 1));
	return listed || min_p;
}

static void draw_from(struct ll_sampler *s, const struct row *r, const struct ll_draw_in *in, struct ll_draw *ret)
{
	const struct ll_sampling *p = in->sampling;
	/* Nothing but NaN or minus infinity: any token is as good as another. */
	if (p->temperature <= 0 || r->best == -INFINITY) {
		draw_greedy(r, ret);
		return;
	}
	float scale = 1 / p->temperature;
	struct race race;
	if (run_filters(s, r, p))
		race_list(s, best_of(s), scale, in->key, &race);
	else
		race_row(s, r, scale, in->key, &race);
	ret->token = race.token;
	ret->margin = (float)(race.best - race.second);
}

/* When bans and biases leave nothing, the given row is drawn from. */
static void draw(struct ll_sampler *s, const struct ll_draw_in *in, struct ll_draw *ret)
{
	const struct ll_sampling *p = in->sampling;
	bool hide = can_hide(in), change = !hide && (p->bias_count > 0 || p->banned_count > 0 || has_penalties(in));
	if (hide)
		hide_banned(s, in);
	struct row r = look(change ? changed(s, in) : in->logits, s->vocab);
	bool nothing = r.best == -INFINITY;
	if (!nothing)
		draw_from(s, &r, in, ret);
	if (hide)
		show_banned(s, in);
	if (nothing) {
		r = look(in->logits, s->vocab);
		draw_from(s, &r, in, ret);
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
	float best = row_max(x, vocab), least = -INFINITY; /* what a value must beat to enter the full list */
	for (uint32_t i = 0; i < vocab && cap > 0; i++) {
		if (!(x[i] > least))
			continue;
		keep_top(top, &len, cap, (struct candidate){x[i], i});
		least = len == cap ? top[cap - 1].logit : -INFINITY;
	}
	float norm = best + (float)log(row_exp_sum(x, vocab, best));
	ret->logprob = x[ret->token] - norm;
	ret->top_count = len;
	for (uint32_t i = 0; i < len; i++) {
		ret->top_tokens[i] = top[i].id;
		ret->top_logprobs[i] = top[i].logit - norm;
	}
}

void ll_sampler_draw(struct ll_sampler *s, const struct ll_draw_in *in, struct ll_draw *ret)
{
	memset(ret, 0, sizeof *ret);
	draw(s, in, ret);
	if (in->logprobs)
		fill_logprobs(in, s->vocab, ret);
}
