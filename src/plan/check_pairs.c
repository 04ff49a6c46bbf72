/* check_pairs.c - services of one model that hand KV to each other must agree. */
#include "plan/check.h"

#include <stdio.h>
#include <string.h>

static bool same_model(const struct plan_service *a, const struct plan_service *b)
{
	return !strcmp(a->graph->model, b->graph->model) || !strcmp(a->graph->served_name, b->graph->served_name);
}

static bool same_text(const char *a, const char *b)
{
	return (!a && !b) || (a && b && !strcmp(a, b));
}

static void differ(struct plan *p, const struct plan_service *a, const struct plan_service *b, enum plan_key key,
	const char *mine, const char *theirs)
{
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "pair-differs", &a->pos[key],
		"%s cannot hand KV to %s: %s is %s here and %s there", a->name, b->name,
		plan_key_name(a->engine, key) ? plan_key_name(a->engine, key) : "the model", mine, theirs);
	findings_remedy(&p->findings, "write it once in Common, and list it in both services' common-configs");
}

/* A decoding card joins what several prefilling ones hold: NIXL's connector since the release behind the last that refuses it. Nobody
 * else's does, and what is not said is taken for the older kind, as Dynamo's graphs of 2025 run. */
static bool joins_parts(const struct plan_service *s)
{
	struct engine_span refused = engine_span_of(RULE_VLLM, ENGINE_RULE, "decode-narrower-refused");
	const struct config_item *how = config_section_find(&s->graph->settings, "kv-transfer-config");
	bool nixl = how && how->value.set && how->value.text && strstr(how->value.text, "Nixl");

	return s->engine == GRAPH_ENGINE_VLLM && nixl && refused.last && s->version > refused.last;
}

/* a prefills, b decodes. A decoding card may read the part of its heads from a prefilling card that has more of them; the other
 * way round it would have to join what several hold, which NIXL's connector refuses in vLLM 0.9.1 to 0.13 ("Decode TP cannot be
 * smaller than prefill TP", nixl_connector.py), as Dynamo's connectors before it did. */
static void check_tp(struct plan *p, const struct plan_service *a, const struct plan_service *b)
{
	uint32_t high = MAX(a->tp, b->tp), low = MIN(a->tp, b->tp);

	if (a->tp == b->tp || ((a->tp < b->tp || (joins_parts(a) && joins_parts(b))) && high % low == 0))
		return;
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "pair-tp", &a->pos[PLAN_TP],
		"%s prefills on %u card%s and %s decodes on %u: %s", a->name, a->tp, plan_s(a->tp), b->name, b->tp,
		high % low ? "their KV cannot be divided among each other"
			   : "a decoding worker cannot take KV from a wider one (vLLM up to 0.13)");
	findings_remedy(
		&p->findings, "tensor-parallel-size of %s: at most that of %s, and a divisor of it", a->name, b->name);
}

static void check_pair(struct plan *p, const struct plan_service *a, const struct plan_service *b)
{
	char mine[32], theirs[32];

	if (a->engine != b->engine) {
		findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "pair-engine", &a->graph->pos,
			"%s runs on %s and %s on %s: their KV caches have nothing in common", a->name,
			graph_engine_name(a->engine), b->name, graph_engine_name(b->engine));
		findings_remedy(&p->findings, "the same engine for both");
		return;
	}
	if (strcmp(a->graph->model, b->graph->model))
		differ(p, a, b, PLAN_MODEL, a->graph->model, b->graph->model);
	if (a->block != b->block) {
		snprintf(mine, sizeof mine, "%llu", (unsigned long long)a->block);
		snprintf(theirs, sizeof theirs, "%llu", (unsigned long long)b->block);
		differ(p, a, b, PLAN_BLOCK, mine, theirs);
	}
	if (plan_kv_type(a) != plan_kv_type(b))
		differ(p, a, b, PLAN_KV, a->kv, b->kv);
	if (strcmp(plan_dtype_on(a, 0), plan_dtype_on(b, 0)))
		differ(p, a, b, PLAN_DTYPE, a->dtype, b->dtype);
	if (!same_text(a->quant, b->quant))
		differ(p, a, b, PLAN_QUANT, a->quant ? a->quant : "not set", b->quant ? b->quant : "not set");
	check_tp(p, a, b);
	if (a->engine != GRAPH_ENGINE_VLLM || (a->transfer && b->transfer))
		return;
	const struct plan_service *s = a->transfer ? b : a;
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "pair-transfer", &s->graph->pos,
		"%s has no kv-transfer-config, so %s", s->name,
		s == a ? "it cannot give the KV it made" : "it cannot take KV from the prefill workers");
	findings_remedy(&p->findings, "kv-transfer-config: '{\"kv_connector\": \"NixlConnector\", \"kv_role\": "
				      "\"kv_both\"}', in Common for both");
}

/* Agreement across services that share a model though no KV moves: the router counts blocks of one size. */
static void check_blocks(struct plan *p, const struct plan_service *a, const struct plan_service *b)
{
	const char *mode = graph_router_mode(p->deployment.graph);

	if (a->block == b->block || (strcmp(mode, "kv") && strcmp(mode, "prefix") && strcmp(mode, "finish-time")))
		return;
	findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "block-differs", &b->pos[PLAN_BLOCK],
		"block size is %llu in %s and %llu in %s: a prefix found on one is not found on the other",
		(unsigned long long)a->block, a->name, (unsigned long long)b->block, b->name);
	findings_remedy(&p->findings, "the same block-size for every worker of a model");
}

static void check_prefill_alone(struct plan *p, const struct plan_service *a)
{
	bool decoders = false, takers = false;

	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *b = &p->deployment.services[i];
		bool decodes = b->workers && b->role != GRAPH_ROLE_PREFILL && same_model(a, b);
		decoders |= decodes;
		takers |= decodes && (b->role == GRAPH_ROLE_DECODE || b->remote_prefill || b->conditional ||
					     b->engine != GRAPH_ENGINE_VLLM);
	}
	if (!decoders) {
		findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "prefill-alone", &a->graph->pos,
			"%s prefills, and there is no worker that decodes", a->name);
		findings_remedy(&p->findings, "add a VllmWorker of the same model, or role: both");
	} else if (!takers) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "prefill-unused", &a->graph->pos,
			"%u worker%s of %s stay%s idle: %s to prefill, and no decoding worker has remote-prefill: true",
			a->workers, plan_s(a->workers), a->name, plural(a->workers, "s", ""),
			plural(a->workers, "it is", "they are"));
		findings_remedy(&p->findings, "remote-prefill: true in the service that decodes");
	}
}

static void check_remote(struct plan *p, const struct plan_service *b)
{
	bool prefills = false;

	if (!b->remote_prefill && b->role != GRAPH_ROLE_DECODE)
		return;
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *a = &p->deployment.services[i];
		prefills |= a->workers && a != b && a->role != GRAPH_ROLE_DECODE && same_model(a, b);
	}
	if (prefills)
		return;
	findings_add(&p->findings, b->role == GRAPH_ROLE_DECODE ? FINDING_FATAL : FINDING_WARNING,
		FINDING_CONFIGURATION, "decode-alone",
		b->set[PLAN_REMOTE_PREFILL] ? &b->pos[PLAN_REMOTE_PREFILL] : &b->graph->pos,
		"%s waits for prefill from elsewhere, and no worker prefills for it", b->name);
	findings_remedy(&p->findings, b->role == GRAPH_ROLE_DECODE ? "add prefill workers, or role: both"
								   : "remote-prefill: false, or prefill workers");
}

void plan_check_pairs(struct plan *p)
{
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *a = &p->deployment.services[i];
		if (!a->workers)
			continue;
		if (a->role == GRAPH_ROLE_PREFILL)
			check_prefill_alone(p, a);
		else
			check_remote(p, a);
		for (uint32_t k = 0; k < p->deployment.len; k++) {
			const struct plan_service *b = &p->deployment.services[k];
			if (k == i || !b->workers || !same_model(a, b))
				continue;
			if (a->role == GRAPH_ROLE_PREFILL && b->role != GRAPH_ROLE_PREFILL)
				check_pair(p, a, b);
			else if (a->role == b->role && i < k)
				check_blocks(p, a, b);
		}
	}
}
