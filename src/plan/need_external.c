/* need_external.c - memory terms of vLLM and SGLang; see need.h. Constants: docs/design/planning.md, from the starts in
 * bench/memory/starts; rules from the engines' sources, named where they stand. */
#include "plan/need_external.h"

#include <string.h>

static const uint64_t MIB = 1024 * 1024, GIB = 1024 * 1024 * 1024;

enum {
	BIG_CARD_GIB = 70, /* vLLM, engine/arg_utils.py: from here on a step has 8192 tokens of 1024 sequences */
	BIG_SEQS = 1024,
	BIG_BATCH = 8192,
	SMALL_BATCH = 2048,
	V0_CHUNKED_FROM = 32768, /* V0 chunks the prompts of contexts above this by itself */
	LOGITS_SORTED =
		39, /* bytes of a sequence and vocabulary entry while sampling is tried: logits, sorted, and their places */
	LOGITS_UNSORTED = 16, /* four float32 */
	RUNTIME_MIB = 100, /* what libraries take beside PyTorch: 0.01 to 0.15 GiB */
	RUNTIME_HOPPER_MIB = 256, /* since 0.18, of 9.x and 10.x: 0.24 to 0.27, Granite 0.46 */
	CONTEXT_INSIDE_MIB =
		256, /* before 0.6.6, of the CUDA context and what else was counted: 0.35 GiB with the above on a 3090 */
	CONTEXT_INSIDE_HOPPER_MIB = 1740,
	CONTEXT_MIB = 512, /* of an A100, H100, H200 */
	CONTEXT_LEAST_MIB = 64, /* of any card: no program of CUDA holds less */
	CONTEXT_SMALL_MIB = 256, /* of cards with few processors: 0.25 GiB on an L4 */
	LINKS_MIB = 130, /* NCCL and custom all-reduce, a card of the group */
	LINKS_NVLINK_MIB = 250,
	FUSED_MIB = 1840, /* FlashInfer's all-reduce fusion and symmetric memory: 1.82 to 1.92 GiB of 2 to 4 cards */
	FUSED_CARD_MIB = 20,
	GRAPHS_MIB_A_LAYER = 16,
	GRAPHS_HOPPER_MIB_A_LAYER = 27, /* 512 sequences captured: 0.84 GiB of 32 layers, 1.02 of 48, 1.05 of 62 */
	GRAPHS_SEEN_MIB = 1100, /* of all layers: 0.5 to 1.9 GiB, mostly 1.0 */
	ENCODER_MIB = 256,
	LEAST_MIB = 128,
	SGLANG_REQUESTS = 2048,
	LARGE_TABLE_GIB = 4, /* 8 H200 had more than 20 GiB left, and failed with 7.6 GiB (sglang#6817) */
	MLA_GRAPHS_GIB =
		8, /* 4.4 GiB beside the share of an L40S were too little for R1's (vllm#15598), 14 of an H200 enough */
	OLD_SPARE = 16, /* of a card: 8 H100 had 5.6 GiB less than the sum says (vllm#6746) */
	SGLANG_CONTEXT_MIB = 560, /* before the weights: 78.4 of 79.1 GiB are free on an H100 */
	SGLANG_CONTEXT_SMALL_MIB = 350, /* 15.16 of 15.5 on an RTX 5080; 0.42 with links on an L4 */
};

/* vLLM asks for the name; of capability 8.0 only the A100 and its kin are as large. */
static bool is_big(const struct gpu_device *card)
{
	return card->memory_total >= BIG_CARD_GIB * GIB && card->capability != 80;
}

/* And what came after it in its place: 9.x and 10.x. GeForce and workstation cards of 12.x are like their elders. */
static bool is_hopper(const struct gpu_device *card)
{
	return card->capability >= 90 && card->capability < 120;
}

static bool has_nvlink(const struct gpu_device *card)
{
	return card->spec ? card->spec->nvlink_gb_s > 0 : is_hopper(card);
}

bool plan_chunked_on(const struct plan_service *s)
{
	if (s->engine == GRAPH_ENGINE_VLLM && release_before(s->release, VLLM_V1) && !s->set[PLAN_CHUNKED] &&
		s->chunked)
		return s->context > V0_CHUNKED_FROM;
	return s->chunked;
}

uint64_t plan_vllm_seqs(const struct plan_service *s, const struct gpu_device *card)
{
	bool left_open = !s->set[PLAN_SEQS] && s->seqs == PLAN_SEQS_DEFAULT;

	return left_open && is_big(card) && !release_before(s->release, VLLM_V1) ? BIG_SEQS : s->seqs;
}

uint64_t plan_vllm_batch(const struct plan_service *s, const struct gpu_device *card)
{
	uint64_t batch = s->batch;

	if (batch == 0)
		batch = is_big(card) && !release_before(s->release, VLLM_V1) ? BIG_BATCH : SMALL_BATCH;
	return plan_chunked_on(s) ? batch : MAX(batch, s->context);
}

/* SGLang asks nvidia-smi for a card's memory, which shows more than CUDA gives. */
static uint64_t shown_bytes(const struct gpu_device *card)
{
	return card->spec && !card->mig_slice ? MAX(card->spec->memory_bytes, card->memory_total) : card->memory_total;
}

/* SGLang, server_args.py, _handle_gpu_memory_settings: by the card's memory in MiB. */
static void sglang_steps(const struct plan_service *s, const struct gpu_device *card, uint64_t *chunk, uint64_t *graphs)
{
	static const struct {
		uint64_t below_gib, chunk, graphs, graphs_wide; /* wide: four cards or more */
	} table[] = {{20, 2048, 8, 8}, {35, 2048, 24, 80}, {60, 4096, 32, 160}, {160, 8192, 256, 512},
		{UINT64_MAX, 16384, 512, 512}};
	uint64_t gib = shown_bytes(card) / GIB;
	size_t i = 0;

	while (gib >= table[i].below_gib)
		i++;
	*chunk = table[i].chunk;
	*graphs = s->tp >= 4 ? table[i].graphs_wide : table[i].graphs;
}

uint64_t plan_sglang_batch(const struct plan_service *s, const struct gpu_device *card)
{
	uint64_t chunk, graphs;

	sglang_steps(s, card, &chunk, &graphs);
	return s->set[PLAN_BATCH] || s->batch != PLAN_SGLANG_BATCH ? s->batch : chunk;
}

/* The same file, adjust_mem_fraction_for_vlm: 0.95, and less by the size of the image tower, 0.8 at the least: 0.85 of Qwen2.5-VL,
 * 0.91 of Gemma 3. */
#define SGLANG_IMAGES 0.85
static bool takes_images(const struct model_facts *m)
{
	static const char *const parts[] = {"_vl", "omni", "gemma3", "gemma4", "mistral3", "pixtral", "llama4",
		"mllama", "llava", "internvl", "glm4v", "phi4mm", "minicpmv"};

	for (size_t i = 0; m && i < ARRAY_LEN(parts); i++)
		if (strstr(m->architecture, parts[i]))
			return true;
	return false;
}

/* The same file: what is kept for activations, graphs and links, in MiB; at least 10 GiB of large cards. */
static double sglang_share(const struct plan_service *s, const struct gpu_device *card)
{
	static const double table[][2] = {{16, 0.79}, {8, 0.81}, {4, 0.85}, {2, 0.87}, {1, 0.88}};
	double total = (double)shown_bytes(card) / (double)MIB,
	       images = takes_images(s->model->facts) ? SGLANG_IMAGES : 1;
	uint64_t chunk, graphs;
	size_t i = 0;

	if (release_before(s->release, SGLANG_FRACTION_COUNTED)) {
		while (s->tp < table[i][0])
			i++;
		return table[i][1];
	}
	sglang_steps(s, card, &chunk, &graphs);
	double kept = 512 + 1.5 * (double)MAX(plan_sglang_batch(s, card), 2048) + 2 * (double)graphs +
		      1024.0 * s->tp * s->pp / 8;
	kept += (double)graphs * s->extra.dp_attention * (graphs > 300 ? 4.5 : 3);
	if (total > 60 * 1024)
		kept = MAX(kept, 10 * 1024.0);
	return total > kept ? (double)(uint64_t)((total - kept) / total * 1000 + 0.5) / 1000 * images : 0;
}

double plan_share_on(const struct plan_service *s, const struct gpu_device *card)
{
	if (s->engine == GRAPH_ENGINE_SGLANG && !s->set[PLAN_UTILIZATION] && s->utilization == PLAN_UTILIZATION_DEFAULT)
		return sglang_share(s, card);
	return s->utilization;
}

/* Images of their native size: what the encoder takes in the profile run depends on the release and on settings that are not
 * read here. */
static bool has_large_encoder(const struct model_facts *m)
{
	return strstr(m->architecture, "_vl") || strstr(m->architecture, "omni") || strstr(m->architecture, "mllama");
}

/* One layer's intermediate results for a whole step of tokens: gate, up and their product, and four vectors. */
static uint64_t layer_bytes(const struct plan_service *s, const struct gpu_device *card)
{
	const struct model_facts *m = s->model->facts;
	uint64_t width = m->experts ? (uint64_t)m->expert_intermediate * MAX(m->experts_used, 1u) : m->intermediate;
	uint64_t bytes = !strcmp(plan_dtype_on(s, card->capability), "float32") ? 4 : 2;

	return plan_batch_on(s, card) * bytes *
	       (4 * (uint64_t)m->hidden + 3 * MAX(width, (uint64_t)m->intermediate) / s->tp);
}

/* vLLM, fused_moe.py, TritonExperts.workspace_shapes: two buffers of a row for each expert a token takes. Since the workspace is
 * one for all layers it stays while sampling is tried. */
static uint64_t moe_workspace(const struct plan_service *s, const struct gpu_device *card)
{
	const struct model_facts *m = s->model->facts;
	uint64_t part = m->expert_intermediate / s->tp, hidden = m->hidden;

	if (!m->experts)
		return 0;
	return plan_batch_on(s, card) * MAX(m->experts_used, 1u) * (MAX(part, hidden) + MAX(2 * part, hidden)) * 2;
}

static uint64_t logits_bytes(const struct plan_service *s, const struct gpu_device *card, uint64_t each)
{
	return MIN(plan_seqs_on(s, card), plan_batch_on(s, card)) * s->model->facts->vocab * each;
}

/* vLLM's profile run: a whole step, then sampling for as many sequences as a step may have. */
static uint64_t vllm_activations(const struct plan_service *s, const struct gpu_device *card)
{
	uint64_t peak = MAX(layer_bytes(s, card), LEAST_MIB * MIB);
	/* V0 did not sample when prompts are chunked. */
	bool samples = !release_before(s->release, VLLM_V1) || !plan_chunked_on(s);

	if (samples && release_before(s->release, VLLM_SAMPLER_TRITON))
		peak = MAX(peak, logits_bytes(s, card, LOGITS_SORTED));
	if (!release_before(s->release, VLLM_SAMPLER_TRITON))
		peak = MAX(peak, logits_bytes(s, card, LOGITS_UNSORTED) + moe_workspace(s, card));
	return peak + (has_large_encoder(s->model->facts) ? ENCODER_MIB * MIB : 0);
}

static uint64_t vllm_runtime(const struct plan_service *s, const struct gpu_device *card)
{
	uint64_t mib = RUNTIME_MIB;

	if (is_hopper(card) && !release_before(s->release, VLLM_FUSED_ALLREDUCE))
		mib = RUNTIME_HOPPER_MIB;
	if (release_before(s->release, VLLM_CONTEXT_OUTSIDE))
		mib += is_hopper(card) ? CONTEXT_INSIDE_HOPPER_MIB : CONTEXT_INSIDE_MIB;
	return mib * MIB;
}

/* Buffers between the cards of a worker. Stages hand over vectors only. */
static uint64_t links(const struct plan_service *s, const struct gpu_device *card)
{
	if (s->tp <= 1)
		return s->pp > 1 ? LINKS_MIB * MIB : 0;
	bool fused = s->engine == GRAPH_ENGINE_VLLM && is_hopper(card) && has_nvlink(card) &&
		     !release_before(s->release, VLLM_FUSED_ALLREDUCE);
	uint64_t mib = s->tp * (uint64_t)(has_nvlink(card) ? LINKS_NVLINK_MIB : LINKS_MIB);

	if (s->engine == GRAPH_ENGINE_VLLM && is_hopper(card) && release_before(s->release, VLLM_CONTEXT_OUTSIDE))
		mib = MAX(mib, (uint64_t)CONTEXT_INSIDE_HOPPER_MIB);
	return (fused ? MAX(mib, FUSED_MIB + s->tp * (uint64_t)FUSED_CARD_MIB) : mib) * MIB;
}

uint64_t plan_graphs_on(const struct plan_service *s, const struct gpu_device *card)
{
	uint64_t layers = ((uint64_t)s->model->facts->layers + s->pp - 1) / s->pp;

	if (s->eager)
		return 0;
	return layers * (is_hopper(card) ? GRAPHS_HOPPER_MIB_A_LAYER : GRAPHS_MIB_A_LAYER) * MIB;
}

/* The heaviest stage: its layers, rounded up, and the embedding or the output matrix. */
static uint64_t weights(const struct plan_service *s, const struct gpu_device *card)
{
	const struct model_facts *m = s->model->facts;
	const char *type = plan_weights_on(s, card->capability);
	uint64_t all = model_weight_bytes_ep(m, type, s->tp, plan_experts_whole(s) ? s->tp * MAX(s->dp, 1u) : s->tp);

	if (s->engine == GRAPH_ENGINE_VLLM && m->mla_rank && !release_before(s->release, VLLM_ABSORBED))
		all += (uint64_t)m->layers * m->mla_rank * (m->heads / s->tp) *
		       (m->head_dim - MIN(m->mla_rope_dim, m->head_dim) + m->head_dim_v) * 2;
	if (s->extra.loras)
		all += plan_extra_lora_bytes(&s->extra, m, s->tp);
	if (s->extra.dp_attention)
		all += plan_extra_attention_bytes(&s->extra, m, s->tp);
	if (s->pp <= 1)
		return all - MIN(s->extra.offload, all);
	uint64_t end = m->params_embed * (type && !strcmp(type, "float32") ? 4 : 2) / s->tp;
	uint64_t ends = MIN(m->tied_embeddings ? end : 2 * end, all), count = MAX(m->layers, 1u);
	all = (all - ends) * ((count + s->pp - 1) / s->pp) / count + end;
	return all - MIN(s->extra.offload, all);
}

static uint32_t guesses(const struct plan_service *s, const struct gpu_device *card)
{
	const struct model_facts *m = s->model->facts;
	const char *type = plan_weights_on(s, card->capability);
	bool vllm = s->engine == GRAPH_ENGINE_VLLM;
	uint32_t ret = 0;

	if (!vllm || has_large_encoder(m) || (m->mla_rank && release_before(s->release, VLLM_V1)))
		ret |= PLAN_GUESS_ACTIVATIONS;
	if ((uint64_t)s->tp * s->pp > 4 || (s->tp > 1 && card->capability >= 100))
		ret |= PLAN_GUESS_LINKS;
	if (!s->eager && (!vllm || !release_before(s->release, VLLM_GRAPHS_INSIDE)))
		ret |= PLAN_GUESS_GRAPHS;
	if (card->capability >= 100)
		ret |= PLAN_GUESS_RUNTIME;
	if (s->extra.draft || s->extra.offload || s->extra.dp_attention || (s->extra.loras && m->experts) ||
		(type && !strcmp(type, "bitsandbytes")) || !strcmp(m->quant, "mxfp4"))
		ret |= PLAN_GUESS_WEIGHTS;
	return ret;
}

bool plan_encoder_unknown(const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;
	bool pixtral = m && (strstr(m->architecture, "istral3") || strstr(m->architecture, "pixtral"));

	return s->engine == GRAPH_ENGINE_VLLM && m && (has_large_encoder(m) || pixtral) &&
	       (s->release ? s->release : s->since) < VLLM_SAMPLER_TRITON;
}

static uint64_t context_on(const struct gpu_device *card)
{
	return (card->capability == 80 || is_hopper(card) ? CONTEXT_MIB : CONTEXT_SMALL_MIB) * MIB;
}

/* NCCL and custom all-reduce, once for the group: a card's part of links grows with what is sent. */
uint64_t plan_start_on(const struct plan_service *s, const struct gpu_device *card)
{
	if (s->engine != GRAPH_ENGINE_VLLM)
		return 0;
	bool linked = (uint64_t)s->tp * s->pp > 1 && !release_before(s->release, VLLM_LINKS_FIRST);
	return context_on(card) + (linked ? (has_nvlink(card) ? LINKS_NVLINK_MIB : LINKS_MIB) * MIB : 0);
}

uint64_t plan_outside_on(const struct plan_service *s, const struct gpu_device *card)
{
	if (s->engine != GRAPH_ENGINE_VLLM || !release_before(s->release, VLLM_GRAPHS_INSIDE) ||
		release_before(s->release, VLLM_V1) || s->eager)
		return 0;
	return context_on(card) + MIN(plan_graphs_on(s, card), GRAPHS_SEEN_MIB * MIB) +
	       logits_bytes(s, card, LOGITS_UNSORTED);
}

/* A KV cache that was said by hand: it is that, and the budget what it makes, as far as the card goes. */
static void said_by_hand(struct plan_terms *t, const struct plan_service *s, uint64_t token)
{
	uint64_t fixed = plan_terms_fixed(t), kv = s->extra.kv_bytes;

	if (s->extra.kv_blocks)
		kv = s->extra.kv_blocks * s->block * token;
	if (kv)
		t->budget = MIN(t->total, fixed + kv);
	/* SGLang takes the fewer of what it counts and what is said. */
	if (s->extra.kv_tokens && t->budget > fixed)
		t->budget = MIN(t->budget, fixed + s->extra.kv_tokens * token);
}

/* model_runner.py, init_memory_pool: 2048 requests at least, 4096 where there is KV cache for many. */
uint64_t plan_request_table(const struct plan_service *s)
{
	bool said = s->set[PLAN_SEQS];

	return s->engine == GRAPH_ENGINE_SGLANG ? (said ? s->seqs : SGLANG_REQUESTS) * s->context * 4 : 0;
}

const char *plan_unrecorded(const struct plan_service *s, const struct plan_terms *t)
{
	const struct model_facts *m = s->model->facts;
	int64_t spare = t->kv_room - (int64_t)t->kv_least;

	if (plan_request_table(s) > LARGE_TABLE_GIB * GIB)
		return "SGLang's buffers for a context that long";
	if (s->engine != GRAPH_ENGINE_VLLM)
		return NULL;
	if (m->mla_rank && !s->eager && release_before(s->release, VLLM_V1) &&
		t->total - MIN(t->budget, t->total) < MLA_GRAPHS_GIB * GIB)
		return "the CUDA graphs of a model with MLA, which vLLM before 0.8 takes beside its share";
	if (release_before(s->release, VLLM_STARTS_HELD) && spare < (int64_t)(t->total / OLD_SPARE))
		return "what vLLM before 0.6 takes for a step";
	return NULL;
}

void plan_need_external(struct plan_terms *t, const struct plan_service *s, const struct gpu_device *card)
{
	bool vllm = s->engine == GRAPH_ENGINE_VLLM;
	uint64_t token = model_kv_bytes_per_token_tp(s->model->facts, plan_kv_on(s, card->capability),
				 plan_extra_attention_tp(&s->extra, s->tp)) /
			 MAX(s->pp, 1u);

	t->weights = weights(s, card);
	t->links = links(s, card);
	t->guessed = guesses(s, card);
	if (vllm) {
		t->starting = plan_start_on(s, card);
		t->started = s->release && !release_before(s->release, VLLM_ASKS_FREE) ? CONTEXT_LEAST_MIB * MIB : 0;
		t->runtime = vllm_runtime(s, card);
		t->activations = vllm_activations(s, card);
		t->graphs = release_before(s->release, VLLM_GRAPHS_INSIDE) ? 0 : plan_graphs_on(s, card);
		/* model_executor/models/mamba_cache.py of those releases: for max-num-seqs sequences, once */
		if (release_before(s->release, VLLM_STATES_IN_V1))
			t->states = s->model->facts->state_bytes / s->tp * plan_vllm_seqs(s, card);
		said_by_hand(t, s, token);
		return;
	}
	/* SGLang, model_runner.py, profile_max_num_token: its fraction is of what is free before the weights, and holds weights
	 * and KV alone; the rest is for what comes after. */
	t->runtime = (card->capability == 80 || is_hopper(card) ? SGLANG_CONTEXT_MIB : SGLANG_CONTEXT_SMALL_MIB) * MIB;
	t->activations = MAX(layer_bytes(s, card), LEAST_MIB * MIB) + plan_request_table(s);
	t->graphs = plan_graphs_on(s, card);
	uint64_t taken = t->runtime + t->links, before = t->total > taken ? t->total - taken : 0;
	uint64_t fraction = (uint64_t)((double)before * plan_share_on(s, card));
	t->budget = MIN(t->total, fraction + taken + t->activations + t->graphs);
	said_by_hand(t, s, token);
}
