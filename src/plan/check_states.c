/* check_states.c - hybrids on vLLM: recurrent states of all sequences against the pool they come from.
 *
 * Since 0.11 a hybrid's states lie in the KV pool, a block a sequence and group of layers. vLLM groups layers of one kind: as many as
 * the kind with fewest has (all of a kind where both have nearly as many), and a block holds the state of one such group
 * (v1/core/kv_cache_utils.py, _get_kv_cache_groups_uniform_page_size). CUDA graphs are captured for as many sequences as
 * max-num-seqs says, each with a block. Since 0.20 fewer blocks than that end the start (config/compilation.py, "exceeds
 * available Mamba cache blocks"); 0.18 and 0.19 capture fewer; before, it ran past the end. Measured against starts of
 * Qwen3.5-9B and Qwen3.8-27B (vllm#49064): within 2 %. */
#include "plan/check_states.h"
#include "plan/release.h"

#include "base/compiler.h"
#include <stdio.h>
#include <string.h>

/* Layers that share a block. */
static uint64_t group_of(uint64_t attention, uint64_t states)
{
	uint64_t least = MIN(attention, states), most = MAX(attention, states);

	return most * 4 < least * 5 ? most : least;
}

uint64_t plan_state_blocks(const struct plan_service *s, const struct plan_terms *t)
{
	const struct model_facts *m = s->model->facts;

	if (s->engine != GRAPH_ENGINE_VLLM || !m || !m->state_bytes || !m->state_layers || !m->kv_layers ||
		t->kv_room <= 0)
		return 0;
	uint64_t page = m->state_bytes / m->state_layers / MAX(s->tp, 1u);
	uint64_t block = page * group_of(m->kv_layers, m->state_layers);
	return block ? (uint64_t)t->kv_room / block : 0;
}

static bool captures(const struct plan_service *s)
{
	const struct config_item *how = config_section_find(&s->graph->settings, "compilation-config");

	return !s->eager && !(how && how->value.set && how->value.text &&
				    (strstr(how->value.text, "PIECEWISE") || strstr(how->value.text, "NONE")));
}

/* Pages of MLA are larger than its states, by how much depends on the kernel: 854 blocks of Kimi-K3 where 2,100 would be. */
static uint64_t sure_of(const struct plan_service *s, uint64_t blocks)
{
	return blocks * (s->model->facts->mla_rank ? 2 : 4) / 5;
}

static bool capped(const struct plan_service *s)
{
	return s->release && !release_before(s->release, VLLM_STATES_CAPPED) &&
	       release_before(s->release, VLLM_STATES_CHECKED);
}

bool plan_states_short(const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card)
{
	uint64_t blocks = plan_state_blocks(s, t);

	return blocks && plan_seqs_on(s, card) > sure_of(s, blocks) && captures(s) && !capped(s) &&
	       !release_before(s->release, VLLM_STATES_IN_POOL);
}

void plan_check_states(
	struct plan *p, const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card)
{
	uint64_t blocks = plan_state_blocks(s, t), seqs = plan_seqs_on(s, card);

	if (!plan_states_short(s, t, card))
		return;
	bool ends = s->release && !release_before(s->release, VLLM_STATES_CHECKED) && seqs > blocks + blocks / 20;
	findings_add(&p->findings, ends ? FINDING_FATAL : FINDING_WARNING, FINDING_CAPACITY, "memory-states",
		&s->pos[PLAN_SEQS],
		"%s: max-num-seqs is %llu%s, and the KV pool has room for the recurrent states of some %llu sequences: vLLM since 0.20 does not start with fewer",
		s->name, (unsigned long long)seqs, s->set[PLAN_SEQS] ? "" : " (vLLM's default on such a card)",
		(unsigned long long)blocks);
	findings_arithmetic(&p->findings, "%s of KV pool / %s a sequence and group of layers = %llu blocks",
		PLAN_BYTES((uint64_t)t->kv_room), PLAN_BYTES((uint64_t)t->kv_room / blocks),
		(unsigned long long)blocks);
	if (!ends)
		findings_unchecked(&p->findings);
	findings_remedy(&p->findings, "%s: %llu or fewer", plan_key_name(s->engine, PLAN_SEQS),
		(unsigned long long)MAX(sure_of(s, blocks) / 8 * 8, 1u));
}
