/* check_release.c - what a release of vLLM or SGLang does not know yet, or no more: architectures, quantizations and the cards they
 * run on, attention back ends, generations of cards. gpu/versions.h has it from the releases' sources.
 *
 * A release that is said decides. Without one the newest is taken, and said so; what it has no more is not judged then: an older
 * one runs it. */
#include "gpu/versions.h"
#include "plan/check.h"

#include <stdio.h>
#include <string.h>

static const char *engine_name(const struct plan_service *s)
{
	return s->engine == GRAPH_ENGINE_SGLANG ? "SGLang" : "vLLM";
}

static bool is_known_engine(const struct plan_service *s)
{
	return s->engine == GRAPH_ENGINE_VLLM || s->engine == GRAPH_ENGINE_SGLANG;
}

/* "0.8.4 and later", "0.6.1 to 0.10.2". Returns ret. */
static const char *releases_text(struct engine_span s, char *ret, size_t cap)
{
	if (s.last)
		snprintf(ret, cap, "%s to %s", ENGINE_VERSION(s.first), ENGINE_VERSION(s.last));
	else
		snprintf(ret, cap, "%s and later", ENGINE_VERSION(s.first));
	return ret;
}
#define RELEASES(s) releases_text((s), (char[80]){0}, 80)

/* The first word of the release found on this machine, where that is what is planned for. */
static const char *installed(const struct plan *p, const struct plan_service *s)
{
	const struct plan_environment *e = p->input.environment;

	return e && e->known && e->versions[s->engine] ? e->versions[s->engine] : "";
}

static void assumed(struct plan *p, const struct plan_service *s)
{
	struct engine_span read = engine_releases(plan_rules_of(s));

	if (s->version || engine_version_parse(installed(p, s)))
		return;
	findings_add(&p->findings, FINDING_INFO, FINDING_ENVIRONMENT, "engine-assumed", NULL,
		"no release of %s is stated: its rules are those of %s, the newest that is known here", engine_name(s),
		ENGINE_VERSION(read.last));
	findings_remedy(&p->findings,
		p->input.form ? "--engine-version: the release that runs" : "engine-version: the release that runs");
}

/* Older than all that were read: then nothing is known to be missing. */
static bool is_unread(const struct plan_service *s, uint64_t release)
{
	return release < engine_releases(plan_rules_of(s)).first;
}

/* What is asked for; stated: by the graph or this machine. */
struct asked {
	uint64_t release;
	bool stated;
	const struct config_pos *pos;
};

static struct asked asked_of(const struct plan *p, const struct plan_service *s)
{
	uint64_t here = engine_version_parse(installed(p, s));

	if (s->version)
		return (struct asked){s->version, true, &s->version_pos};
	return here ? (struct asked){here, true, &s->graph->pos}
		    : (struct asked){plan_version(s), false, &s->graph->pos};
}

/* A name that some releases have and this one has not. what: "does not know the architecture". */
static void absent(struct plan *p, const struct plan_service *s, const struct asked *a, struct engine_span span,
	const char *code, const char *what, const char *name)
{
	bool later = a->release < span.first;

	if (!a->stated) { /* the newest has it no more */
		findings_add(&p->findings, FINDING_WARNING, FINDING_ENVIRONMENT, code, a->pos,
			"%s: only %s %s has %s %s, and the release is not stated", s->name, engine_name(s),
			RELEASES(span), what, name);
		findings_unchecked(&p->findings);
		findings_remedy(&p->findings, "engine-version: one of %s", RELEASES(span));
		return;
	}
	findings_add(&p->findings, FINDING_FATAL, FINDING_ENVIRONMENT, code, a->pos, "%s: %s %s %s %s %s", s->name,
		engine_name(s), ENGINE_VERSION(a->release), later ? "has not yet" : "has no longer", what, name);
	findings_remedy(&p->findings, "%s %s", engine_name(s), RELEASES(span));
}

static void check_architecture(struct plan *p, const struct plan_service *s, const struct asked *a)
{
	const struct model_facts *m = s->model->facts;
	const char *class = plan_class_name(s);
	struct engine_span read = engine_releases(plan_rules_of(s));

	if (!class || m->from == MODEL_FROM_GGUF)
		return;
	struct engine_span span = engine_span_of(plan_rules_of(s), ENGINE_ARCHITECTURE, class);
	if (!span.first) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_ENVIRONMENT, "engine-architecture", a->pos,
			"%s: no release of %s from %s to %s has the architecture %s of \"%s\" by itself", s->name,
			engine_name(s), ENGINE_VERSION(read.first), ENGINE_VERSION(read.last), class, m->name);
		findings_unchecked(&p->findings);
	} else if (!engine_span_holds(span, a->release)) {
		absent(p, s, a, span, "engine-architecture", "the architecture", class);
	}
}

static void check_pipeline(struct plan *p, const struct plan_service *s, const struct asked *a)
{
	const char *class = plan_class_name(s);

	if (s->pp <= 1 || s->engine != GRAPH_ENGINE_VLLM || !class)
		return;
	struct engine_span none = engine_span_of(RULE_VLLM, ENGINE_NO_PIPELINE, class);
	if (!engine_span_holds(none, a->release))
		return;
	findings_add(&p->findings, FINDING_FATAL, FINDING_ENVIRONMENT, "engine-pipeline", &s->pos[PLAN_PP],
		"%s: vLLM %s does not divide the layers of %s into stages (pipeline-parallel-size %u)", s->name,
		ENGINE_VERSION(a->release), class, s->pp);
	if (none.last)
		findings_remedy(&p->findings, "a release after %s, or tensor-parallel-size, which divides heads",
			ENGINE_VERSION(none.last));
	else
		findings_remedy(&p->findings, "tensor-parallel-size, which divides heads");
}

static void check_quantization(struct plan *p, const struct plan_service *s, const struct asked *a)
{
	const char *method = s->quant && s->set[PLAN_QUANT] ? s->quant : plan_method_of(s);
	struct engine_span span = {0};

	if (method)
		span = engine_span_of(plan_rules_of(s), ENGINE_QUANTIZATION, method);
	if (span.first && a->stated && !engine_span_holds(span, a->release))
		absent(p, s, a, span, "engine-quantization", "the quantization", method);
}

static void check_attention(struct plan *p, const struct plan_service *s, const struct asked *a)
{
	struct engine_span span = {0};

	if (s->attention && s->engine == GRAPH_ENGINE_VLLM)
		span = engine_span_of(RULE_VLLM, ENGINE_ATTENTION, s->attention);
	if (span.first && !engine_span_holds(span, a->release))
		absent(p, s, a, span, "engine-attention", "the attention back end", s->attention);
}

void plan_check_release(struct plan *p, const struct plan_service *s)
{
	if (!is_known_engine(s))
		return;
	struct asked a = asked_of(p, s);
	if (is_unread(s, a.release)) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_ENVIRONMENT, "engine-unread", a.pos,
			"%s: what %s %s knows is not known here: the oldest release that was read is %s", s->name,
			engine_name(s), ENGINE_VERSION(a.release),
			ENGINE_VERSION(engine_releases(plan_rules_of(s)).first));
		findings_unchecked(&p->findings);
		return;
	}
	assumed(p, s);
	check_architecture(p, s, &a);
	check_pipeline(p, s, &a);
	check_quantization(p, s, &a);
	check_attention(p, s, &a);
}

/* ---- on a card ---- */

static void too_new(struct plan *p, const struct plan_service *s, const struct asked *a, const struct gpu_device *card)
{
	uint64_t first = engine_first_built_for(card->capability);
	bool older = first && first > a->release;

	findings_add(&p->findings, a->stated ? FINDING_FATAL : FINDING_WARNING, FINDING_ENVIRONMENT,
		"engine-card-release", a->pos,
		"%s: the kernels of vLLM %s are not built for compute capability %u.%u (%s)", s->name,
		ENGINE_VERSION(a->release), card->capability / 10, card->capability % 10, plan_card_name(card));
	if (!a->stated)
		findings_unchecked(&p->findings);
	if (older)
		findings_remedy(&p->findings, "vLLM %s or later", ENGINE_VERSION(first));
	else
		findings_remedy(&p->findings, "a build for this card (NVIDIA's container, or from source)");
}

/* What a release asks of the card for a quantization, where it says so. */
static void check_least(struct plan *p, const struct plan_service *s, const struct asked *a,
	const struct gpu_device *card, const char *method)
{
	uint32_t least = method ? engine_quantization_least(method, a->release) : 0;
	uint32_t now = method ? engine_quantization_least(method, engine_releases(RULE_VLLM).last) : 0;

	if (!least || card->capability >= least)
		return;
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "quantization-release", &s->pos[PLAN_QUANT],
		"%s: vLLM %s computes %s from compute capability %u.%u on, and %s has %u.%u", s->name,
		ENGINE_VERSION(a->release), method, least / 10, least % 10, plan_card_name(card), card->capability / 10,
		card->capability % 10);
	if (now && now <= card->capability)
		findings_remedy(&p->findings, "a newer vLLM: %s asks for %u.%u",
			ENGINE_VERSION(engine_releases(RULE_VLLM).last), now / 10, now % 10);
}

/* Blocks of FP8 below 8.9: vLLM unpacks them by Marlin kernels from a release on; SGLang's kernels compute in FP8 alone. */
static void check_blocks(
	struct plan *p, const struct plan_service *s, const struct asked *a, const struct gpu_device *card)
{
	enum { ADA = 89 };
	const struct model_facts *m = s->model->facts;
	struct engine_span span = engine_span_of(RULE_VLLM, ENGINE_RULE, "fp8-blocks-below-8.9");

	if (!m || !m->quant_block || strcmp(m->quant, "fp8") != 0 || card->capability >= ADA)
		return;
	if (s->engine == GRAPH_ENGINE_SGLANG) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "quantization-blocks",
			&s->pos[PLAN_QUANT],
			"%s: whether SGLang computes FP8 in blocks of %u below compute capability 8.9 (%s) is not known here",
			s->name, m->quant_block, plan_card_name(card));
		findings_unchecked(&p->findings);
		findings_remedy(&p->findings, "weights of bfloat16, AWQ or GPTQ");
	} else if (span.first && a->release < span.first) {
		findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "quantization-blocks",
			&s->pos[PLAN_QUANT],
			"%s: vLLM %s computes FP8 in blocks of %u from compute capability 8.9 on, and %s has %u.%u",
			s->name, ENGINE_VERSION(a->release), m->quant_block, plan_card_name(card),
			card->capability / 10, card->capability % 10);
		findings_remedy(&p->findings, "vLLM %s or later, which unpacks them", ENGINE_VERSION(span.first));
	}
}

/* "auto" of weights in bfloat16 below 8.0. */
static void check_fallback(
	struct plan *p, const struct plan_service *s, const struct asked *a, const struct gpu_device *card)
{
	enum { AMPERE = 80 };
	const struct model_facts *m = s->model->facts;
	struct engine_span span = engine_span_of(RULE_VLLM, ENGINE_RULE, "dtype-falls-back");

	if (!m || strcmp(s->dtype, "auto") != 0 || strcmp(m->dtype, "bfloat16") != 0 || card->capability >= AMPERE ||
		!span.first || a->release >= span.first || !a->stated)
		return;
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "dtype-release", &s->pos[PLAN_DTYPE],
		"%s: the weights are bfloat16, which needs compute capability 8.0, and vLLM %s stops where newer ones take float16",
		s->name, ENGINE_VERSION(a->release));
	findings_remedy(&p->findings, "dtype: float16");
}

void plan_check_release_on(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	if (!is_known_engine(s))
		return;
	struct asked a = asked_of(p, s);
	check_blocks(p, s, &a, card);
	if (s->engine != GRAPH_ENGINE_VLLM)
		return;
	if (card->capability >= 70 && !engine_built_for(a.release, card->capability))
		too_new(p, s, &a, card);
	if (a.stated && s->quant && s->set[PLAN_QUANT])
		check_least(p, s, &a, card, s->quant);
	if (a.stated)
		check_least(p, s, &a, card, plan_method_of(s));
	check_fallback(p, s, &a, card);
}
