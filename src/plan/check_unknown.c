/* check_unknown.c - a model of which only the name is known: nothing fits then, and much that never could is plain. */
#include "model/hub_cache.h"
#include "model/name_size.h"
#include "plan/check.h"

/* Weights at load may be made smaller than the files are, down to four bits each. */
static uint64_t least_of(const struct plan_service *s, const struct name_size *size)
{
	uint64_t four = size->least * 4 / (size->bits > 4 ? size->bits : 4);

	return s->quant ? MIN(size->least, four) : size->least;
}

static void tell_sizes(struct plan *p, const struct name_size *size, uint64_t room, uint32_t cards)
{
	findings_arithmetic(&p->findings,
		"by its name %.1f billion weights: %s at 16 bits each, %s at 8, %s at 4; %u card%s: %s",
		(double)size->params / 1e9, PLAN_BYTES(size->params * 2), PLAN_BYTES(size->params),
		PLAN_BYTES(size->params / 2), cards, plan_s(cards), PLAN_BYTES(room));
}

/* An offload to the host is no term of what is said here, and a llama worker computes layers on the CPU. */
static bool stays_on_cards(const struct plan_service *s)
{
	return (s->engine == GRAPH_ENGINE_VLLM || s->engine == GRAPH_ENGINE_SGLANG) && plan_on_gpu(s) &&
	       s->share >= 1 && !s->extra.offload;
}

void plan_check_unknown(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	struct name_size size;

	if (s->engine == GRAPH_ENGINE_MOCK || s->model->facts || s->model->missing || s->model->refused ||
		s->model->damaged)
		return;
	const char *model = s->graph->model;
	bool sized = stays_on_cards(s) && card && card->memory_total > 0 && name_size_read(&size, model);
	uint64_t room = sized ? (uint64_t)((double)card->memory_total * plan_share_on(s, card)) * s->gpus : 0;
	if (sized && least_of(s, &size) > room) {
		findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "weights-by-name", &s->pos[PLAN_MODEL],
			"%s: whatever else is not known of \"%s\", its weights take %s at the least, and %s have %s for them",
			s->name, model, PLAN_BYTES(least_of(s, &size)),
			s->gpus == 1 ? "its GPU would" : "its GPUs would", PLAN_BYTES(room));
		tell_sizes(p, &size, room, s->gpus);
		findings_remedy(&p->findings, "%llu such cards hold them at 4 bits each, %llu at 16",
			(unsigned long long)(size.params / 2 / MAX(room / s->gpus, 1) + 1),
			(unsigned long long)(size.params * 2 / MAX(room / s->gpus, 1) + 1));
	}
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "model-unknown", &s->pos[PLAN_MODEL],
		"%s: memory is not checked: %s", s->name, s->model->why);
	findings_unchecked(&p->findings);
	if (sized)
		tell_sizes(p, &size, room, s->gpus);
	if (model_is_hub_name(model))
		findings_remedy(
			&p->findings, "hf download %s config.json: plan reads the hub's cache of its machine", model);
	findings_remedy(&p->findings, "--model takes a folder, a config.json, a GGUF file or a known name");
}
