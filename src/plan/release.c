/* release.c - ranges of releases that take alike, and their names; see release.h. */
#include "plan/release.h"

#include <stdio.h>

/* Ascending: where a start's memory changes. Of SGLang's releases before the first nothing is known that would differ. */
static const uint32_t vllm_edges[] = {VLLM_V1, VLLM_ASKS_FREE, VLLM_WINDOWS_KEPT, VLLM_STATES_IN_V1, VLLM_LINKS_FIRST,
	VLLM_SAMPLER_TRITON, VLLM_FUSED_ALLREDUCE, VLLM_GRAPHS_INSIDE};
static const uint32_t sglang_edges[] = {SGLANG_FIRST, SGLANG_FRACTION_COUNTED};
_Static_assert(ARRAY_LEN(vllm_edges) <= RELEASE_RANGES_MAX, "a range has a bit and a place");

void release_ranges(struct release_ranges *ret, bool sglang, uint32_t since, uint32_t until)
{
	const uint32_t *edges = sglang ? sglang_edges : vllm_edges;
	size_t count = sglang ? ARRAY_LEN(sglang_edges) : ARRAY_LEN(vllm_edges);

	*ret = (struct release_ranges){.until = until};
	for (size_t i = count; i-- > 0;) {
		bool ended = i + 1 < count && edges[i + 1] <= since, later = until && edges[i] > until;
		if (!ended && !later)
			ret->first[ret->len++] = MAX(edges[i], since);
	}
	if (!ret->len) { /* all older than those that are asked */
		ret->first[ret->len++] = edges[0];
		ret->until = 0;
	}
}

const char *release_text(uint32_t release, char *ret, size_t cap)
{
	if (release % 100 == RELEASE_LAST_PATCH)
		snprintf(ret, cap, "0.%u", release / 100);
	else
		snprintf(ret, cap, "0.%u.%u", release / 100, release % 100);
	return ret;
}

/* The release before a range's first. */
static uint32_t before(uint32_t first)
{
	return first % 100 ? first - 1 : first - 100 + RELEASE_LAST_PATCH;
}

static int run_text(uint32_t first, uint32_t last, char *ret, size_t cap)
{
	bool whole = first % 100 == 0 && last != first; /* "0.17", and not "0.17.0", where its patches go on */
	char from[16], to[16];

	release_text(whole ? first + RELEASE_LAST_PATCH : first, from, sizeof from);
	release_text(last, to, sizeof to);
	if (!last)
		return snprintf(ret, cap, "%s and later", from);
	if (last == first || (whole && last == first + RELEASE_LAST_PATCH))
		return snprintf(ret, cap, "%s", from);
	if (last == first / 100 * 100 + RELEASE_LAST_PATCH)
		return snprintf(ret, cap, "%s to %s.x", from, to);
	return snprintf(ret, cap, "%s to %s", from, to);
}

const char *release_ranges_text(const struct release_ranges *r, uint32_t mask, char *ret, size_t cap)
{
	size_t len = 0;

	*ret = '\0';
	for (uint32_t i = r->len; i-- > 0 && len < cap;) { /* the oldest first; neighbours are one */
		uint32_t oldest = i;
		if (!(mask >> i & 1))
			continue;
		while (i > 0 && mask >> (i - 1) & 1)
			i--;
		if (len)
			len += (size_t)snprintf(ret + len, cap - len, ", ");
		if (len < cap)
			len += (size_t)run_text(
				r->first[oldest], i ? before(r->first[i - 1]) : r->until, ret + len, cap - len);
	}
	return ret;
}
