#include "route/policy.h"
#include "base/compiler.h"

#include <errno.h>
#include <string.h>

static const struct route_policy *const policies[] = {&route_finish_time, &route_dynamo_kv, &route_prefix,
	&route_session, &route_least_loaded, &route_p2c, &route_round_robin, &route_random, &route_direct};

const struct route_knobs route_knobs_default = {
	.prefill_load_scale = 1, .overlap_score_credit = 1, .queue_threshold = -1};

const struct route_policy *route_policy_at(uint32_t i)
{
	return i < ARRAY_LEN(policies) ? policies[i] : NULL;
}

static const struct route_policy *find(const char *name, size_t len)
{
	if (len == 2 && !memcmp(name, "kv", 2))
		return &route_finish_time;
	for (uint32_t i = 0; i < ARRAY_LEN(policies); i++)
		if (strlen(policies[i]->name) == len && !memcmp(policies[i]->name, name, len))
			return policies[i];
	return NULL;
}

const struct route_policy *route_policy_find(const char *name)
{
	return find(name, strlen(name));
}

/* settings */

static const struct knob {
	const char *name; /* as Dynamo's option is called */
	size_t offset;
	double min, max;
} knobs[] = {
	{"prefill_load_scale", offsetof(struct route_knobs, prefill_load_scale), 0, 1e6},
	{"overlap_score_credit", offsetof(struct route_knobs, overlap_score_credit), 0, 1e6},
	{"decode_active_request_weight", offsetof(struct route_knobs, decode_request_weight), 0, 1e6},
	{"router_temperature", offsetof(struct route_knobs, temperature), 0, 1e6},
	{"router_queue_threshold", offsetof(struct route_knobs, queue_threshold), 0, 1e6},
};

static int set_knob(struct route_knobs *k, const char *word, size_t len, struct err *err)
{
	if (len == 4 && !memcmp(word, "wspt", 4)) {
		k->wspt = true;
		return 0;
	}
	for (uint32_t i = 0; i < ARRAY_LEN(knobs); i++) {
		size_t n = strlen(knobs[i].name);
		if (len <= n + 1 || memcmp(word, knobs[i].name, n) || word[n] != '=')
			continue;
		char *end;
		double value = strtod(word + n + 1, &end);
		if (end != word + len || !(value >= knobs[i].min && value <= knobs[i].max))
			return err_set(err, -EINVAL, "%s takes a number from %g to %g, not \"%.*s\"", knobs[i].name,
				knobs[i].min, knobs[i].max, (int)(len - n - 1), word + n + 1);
		memcpy((char *)k + knobs[i].offset, &value, sizeof value);
		return 0;
	}
	return err_set(err, -EINVAL,
		"unknown setting \"%.*s\" of a router policy; there are prefill_load_scale=, overlap_score_credit=, "
		"decode_active_request_weight=, router_temperature=, router_queue_threshold= and wspt",
		(int)MIN(len, 64u), word);
}

const struct route_policy *route_policy_parse(const char *text, struct route_knobs *ret_knobs, struct err *err)
{
	size_t len = strcspn(text, ":");
	const struct route_policy *policy = find(text, len);
	struct route_knobs k = route_knobs_default;

	if (!policy) {
		err_set(err, -EINVAL, "unknown router policy \"%.*s\"", (int)MIN(len, 64u), text);
		return NULL;
	}
	for (const char *word = text + len; *word++;) {
		len = strcspn(word, ",");
		if (set_knob(&k, word, len, err) < 0)
			return NULL;
		word += len;
		if (!*word)
			break;
	}
	*ret_knobs = k;
	return policy;
}

uint32_t route_pick(const struct route_policy *policy, const struct route_snapshot *snapshot,
	const struct route_request *request, struct route_choice *ret)
{
	ASSERT(snapshot->len);
	ret->reason = "";
	ret->score = ret->score_second = ret->predicted_us = ret->model_us = 0;
	ret->considered_len = 0;
	uint32_t at = policy->pick(snapshot, request, ret);
	ASSERT(at < snapshot->len);
	const struct route_candidate *c = &snapshot->v[at];
	ret->policy = policy->name;
	ret->worker = c->worker;
	ret->candidates = snapshot->len;
	ret->outstanding = c->outstanding;
	ret->overlap_blocks = c->overlap_soon;
	ret->queued_tokens = c->queued_tokens;
	return at;
}

/* FNV-1a, finished so that its high bits are good too. */
uint64_t route_name_hash(const char *name)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3ull;
	return (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9ull;
}

void route_consider(struct route_choice *ret, const struct route_terms *terms)
{
	uint32_t i = ret->considered_len;

	if (i == ROUTE_CONSIDERED_MAX && terms->total >= ret->considered[i - 1].total)
		return;
	i = MIN(i, ROUTE_CONSIDERED_MAX - 1u);
	for (; i && ret->considered[i - 1].total > terms->total; i--)
		ret->considered[i] = ret->considered[i - 1];
	ret->considered[i] = *terms;
	ret->considered_len = MIN(ret->considered_len + 1, (uint32_t)ROUTE_CONSIDERED_MAX);
}

uint32_t route_pick_tie(const double *scores, uint32_t len, double slack, uint64_t random, uint32_t *ret_ties)
{
	double best = scores[0];
	uint32_t ties = 0;

	for (uint32_t i = 1; i < len; i++)
		best = MIN(best, scores[i]);
	for (uint32_t i = 0; i < len; i++)
		ties += scores[i] <= best + slack;
	/* The high half, scaled: no modulo bias worth a name for at most 2^10 candidates. */
	uint32_t nth = (uint32_t)(((random >> 32) * ties) >> 32);
	for (uint32_t i = 0; i < len; i++)
		if (scores[i] <= best + slack && nth-- == 0) {
			*ret_ties = ties;
			return i;
		}
	ASSERT(!"one of them");
}
