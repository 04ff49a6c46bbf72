#include "route/policy.h"
#include "base/compiler.h"

#include <string.h>

static const struct route_policy *const policies[] = {&route_least_loaded, &route_round_robin, &route_random};

const struct route_policy *route_policy_at(uint32_t i)
{
	return i < ARRAY_LEN(policies) ? policies[i] : NULL;
}

const struct route_policy *route_policy_find(const char *name, const char **ret_notice)
{
	if (ret_notice)
		*ret_notice = NULL;
	if (!strcmp(name, "kv")) {
		if (ret_notice)
			*ret_notice = "router \"kv\" does not look at cached prefixes yet and balances by load instead";
		return &route_least_loaded;
	}
	for (uint32_t i = 0; i < ARRAY_LEN(policies); i++)
		if (!strcmp(policies[i]->name, name))
			return policies[i];
	return NULL;
}

uint32_t route_pick(const struct route_policy *policy, const struct route_snapshot *snapshot,
	const struct route_request *request, struct route_choice *ret)
{
	ASSERT(snapshot->len);
	*ret = (struct route_choice){0};
	uint32_t at = policy->pick(snapshot, request, ret);
	ASSERT(at < snapshot->len);
	const struct route_candidate *c = &snapshot->v[at];
	ret->policy = policy->name;
	ret->worker = c->worker;
	ret->candidates = snapshot->len;
	ret->outstanding = c->outstanding;
	ret->queued_tokens = c->queued_tokens;
	return at;
}
