/* check_links.c - cards that work together: how fast they reach each other, and whether they are alike. */
#include "plan/check.h"
#include "plan/predict.h"

#include <stdio.h>
#include <string.h>

/* The slowest link among a worker's cards. */
static enum gpu_link link_of(const struct plan *p, const struct plan_slot *slot)
{
	enum gpu_link least = GPU_LINK_NVLINK;

	for (uint32_t a = 0; a < slot->count; a++)
		for (uint32_t b = a + 1; b < slot->count; b++)
			least = MIN(least, gpu_inventory_link(p->input.inventory, p->placement.cards[slot->first + a],
						   p->placement.cards[slot->first + b]));
	return least;
}

/* What the all-reduces cost, in words; "" when the roofline cannot say. */
static void cost(struct plan *p, const struct plan_service *s, const struct gpu_device *card, enum gpu_link link)
{
	struct roofline_terms decode, prefill;
	struct roofline r;

	if (!s->model->facts || plan_roofline(&r, s, card, link == GPU_LINK_NONE ? GPU_LINK_PCIE : link, NULL) < 0)
		return;
	roofline_step(&r, 0, 0, 16, 1024, &decode);
	roofline_step(&r, 1024, 0, 0, 0, &prefill);
	findings_arithmetic(&p->findings, "predicted, a step of 16 sequences   %.1f ms of %.1f ms",
		decode.link_us / 1000, decode.total_us / 1000);
	findings_arithmetic(&p->findings, "predicted, a prompt of 1024 tokens  %.0f ms of %.0f ms",
		prefill.link_us / 1000, prefill.total_us / 1000);
}

static uint32_t hosts_of(const struct plan *p, const struct plan_slot *slot)
{
	uint32_t hosts = slot->count > 0;

	for (uint32_t k = 1; k < slot->count; k++) /* one host's cards follow one another */
		hosts += p->input.inventory->devices[p->placement.cards[slot->first + k]].host !=
			 p->input.inventory->devices[p->placement.cards[slot->first + k - 1]].host;
	return hosts;
}

/* Tensor parallelism within each host and stages over them, where the model can be divided so and fits. */
static bool stages_fit(const struct plan_service *s, const struct gpu_device *card, uint32_t hosts)
{
	struct plan_service staged = *s;
	struct plan_terms t;

	if (s->engine != GRAPH_ENGINE_VLLM || !s->model->facts || s->tp % hosts ||
		s->model->facts->layers < hosts * s->pp || !model_tp_valid(s->model->facts, s->tp / hosts))
		return false;
	staged.tp = s->tp / hosts;
	staged.pp = s->pp * hosts;
	plan_need(&t, &staged, card);
	return plan_terms_surely_fit(&t);
}

/* One worker over several hosts: it runs, at the speed of the network, and not by itself. */
static void check_network(struct plan *p, const struct plan_slot *slot)
{
	const struct plan_service *s = &p->deployment.services[slot->service];
	const struct gpu_device *first = &p->input.inventory->devices[p->placement.cards[slot->first]];
	uint32_t hosts = hosts_of(p, slot), part = hosts ? slot->count / hosts : 0;
	char names[256] = "";
	size_t len = 0;

	if (hosts < 2)
		return;
	for (uint32_t i = 0; i < hosts && len < sizeof names; i++)
		len += (size_t)snprintf(names + len, sizeof names - len, "%s%u",
			i ? i + 1 < hosts ? ", " : " and " : "",
			p->input.inventory->devices[p->placement.cards[slot->first + i * part]].host + 1);
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "worker-hosts",
		s->set[PLAN_TP] ? &s->pos[PLAN_TP] : &s->pos[PLAN_GPUS],
		"%s: worker %u computes on %u %s of each of the hosts %s: %s", s->name, slot->worker, part,
		plan_card_name(first), names,
		s->tp > part ? "they wait for the network twice a layer, which only InfiniBand or RoCE with GPUDirect "
			       "makes bearable"
			     : "they hand over to each other through the network");
	if (s->tp > part && stages_fit(s, first, hosts))
		findings_remedy(&p->findings,
			"tensor-parallel-size: %u with pipeline-parallel-size: %u stays within a host for each layer",
			s->tp / hosts, s->pp * hosts);
	findings_remedy(&p->findings, "%s",
		s->engine == GRAPH_ENGINE_SGLANG
			? "SGLang is started on each host with --nnodes, --node-rank and --dist-init-addr"
			: "vLLM is started from a Ray cluster of these hosts (distributed-executor-backend: ray)");
}

/* NCCL does not reach from one MIG instance to another. */
static void check_slices(struct plan *p, const struct plan_slot *slot)
{
	const struct plan_service *s = &p->deployment.services[slot->service];

	if (s->tp < 2 || slot->count < 2 || !p->input.inventory->devices[p->placement.cards[slot->first]].mig_slice)
		return;
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "tp-mig",
		s->set[PLAN_TP] ? &s->pos[PLAN_TP] : &s->pos[PLAN_GPUS],
		"%s: its %u devices are MIG slices, and slices cannot work together on one layer", s->name,
		slot->count);
	findings_remedy(&p->findings, "tensor-parallel-size 1 and one slice a worker, or larger slices, or MIG off");
}

static void check_slow(struct plan *p, const struct plan_slot *slot)
{
	const struct plan_service *s = &p->deployment.services[slot->service];
	const struct gpu_device *card = &p->input.inventory->devices[p->placement.cards[slot->first]];
	enum gpu_link link = link_of(p, slot);

	if (s->tp < 2 || slot->count < 2 || link == GPU_LINK_NVLINK || card->mig_slice || hosts_of(p, slot) > 1)
		return;
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "tp-pcie",
		s->set[PLAN_TP] ? &s->pos[PLAN_TP] : &s->pos[PLAN_GPUS],
		"%s: %u %s compute each layer together over PCIe, without NVLink: they wait for each other twice a "
		"layer",
		s->name, s->tp, plan_card_name(card));
	cost(p, s, card, link);
	findings_remedy(
		&p->findings, "fewer cards a worker where the weights allow it; else it is the price of this size");
}

static void check_alike(struct plan *p, const struct plan_slot *slot)
{
	const struct plan_service *s = &p->deployment.services[slot->service];
	const struct gpu_device *first = &p->input.inventory->devices[p->placement.cards[slot->first]];

	for (uint32_t k = 1; k < slot->count; k++) {
		const struct gpu_device *other = &p->input.inventory->devices[p->placement.cards[slot->first + k]];
		if (other->spec != first->spec || other->memory_total != first->memory_total) {
			findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "tp-mixed", &s->pos[PLAN_GPUS],
				"%s%s: worker %u computes on different cards (%s and %s): the slower one sets the pace, "
				"the smaller one the memory",
				s->name, PLAN_HOST(p, first->host), slot->worker, plan_card_name(first),
				plan_card_name(other));
			return;
		}
	}
}

void plan_check_links(struct plan *p)
{
	for (uint32_t i = 0; i < p->placement.slots_len; i++) {
		const struct plan_slot *slot = &p->placement.slots[i];
		/* One worker speaks for its service, unless it has another kind of group. */
		if (!slot->count || (i > 0 && !slot->mixed && slot[-1].service == slot->service && slot[-1].count &&
					    !slot[-1].mixed))
			continue;
		check_slices(p, slot);
		check_slow(p, slot);
		check_network(p, slot);
		check_alike(p, slot);
	}
	for (uint32_t i = 0; i < p->input.inventory->count; i++) {
		const struct gpu_device *d = &p->input.inventory->devices[i];
		if (d->spec || !p->placement.users[i])
			continue;
		findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "card-unknown", NULL,
			"the catalogue does not know \"%s\": memory and compute capability are the driver's, speed is "
			"not predicted",
			d->name);
		findings_remedy(&p->findings, "stator plan --cards FILE adds cards of your own");
	}
}
