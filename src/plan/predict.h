/* predict.h - what a group of workers would do, from the roofline: streams, tokens a second, time to the first token.
 * A prediction with stated terms, never a measurement. Pure; any thread; no allocation. */
#ifndef STATOR_PLAN_PREDICT_H
#define STATOR_PLAN_PREDICT_H

#include "gpu/roofline.h"
#include "plan/need.h"

/* The request that speed is predicted for. */
struct plan_load {
	uint32_t prompt, answer; /* tokens */
};
enum { PLAN_PROMPT_DEFAULT = 1024, PLAN_ANSWER_DEFAULT = 256 };

/* One worker on one kind of card. */
struct plan_pace {
	bool known;
	double prefill_us; /* of a prompt that is alone */
	double handoff_us; /* moving its KV to another worker */
	double decode_us; /* a step of all streams */
	double decode_one_us; /* a step of one */
	uint64_t streams; /* that fit its KV cache, at most seqs */
	struct roofline_terms one; /* of decode_one_us */
	struct roofline_terms step, prompt; /* of decode_us, and of prefill_us's first step: what they are made of */
};

/* What all workers do together when requests never lack. */
struct plan_predicted {
	bool known;
	double tokens_s; /* answers' tokens, all streams */
	double ttft_ms; /* a request that meets an idle deployment */
	double token_ms; /* between two tokens of one stream, all streams busy */
	uint64_t streams;
	bool prefill_bound; /* split roles: the prefill side is the narrow one */
};

/* The card's figures, for a slice its part of them. Returns spec, or ret filled from it; NULL for an unknown card. */
const struct gpu_spec *plan_spec_of(const struct gpu_device *card, struct gpu_spec *ret);
/* The roofline of one worker of s on such cards. -EINVAL with the reason, also for a card the catalogue does not know. */
int plan_roofline(struct roofline *ret, const struct plan_service *s, const struct gpu_device *card, enum gpu_link link,
	struct err *err);
/* r must be of the service, the kind of card and its tp. */
void plan_pace(struct plan_pace *ret, const struct plan_service *s, const struct roofline *r,
	const struct plan_terms *t, const struct plan_load *load, const struct gpu_device *card);
/* workers that do both halves; paces averaged over kinds: sum of 1/x weighted by count[k]. */
void plan_predict_both(struct plan_predicted *ret, const struct plan_pace *paces, const uint32_t *count, uint32_t kinds,
	const struct plan_load *load);
/* prefill of all the workers only prefill, the rest only decode. */
void plan_predict_split(struct plan_predicted *ret, const struct plan_pace *paces, const uint32_t *count,
	uint32_t kinds, uint32_t prefill, const struct plan_load *load);

#endif
