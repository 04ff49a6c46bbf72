/* check_flags.c - flags of the engines' command lines: what a release does not have, and what a plan does not count. A file of another form
 * was read by these tables already, and brings its remarks; of a graph's own sections the keys are flags. */
#include "plan/check.h"
#include "config/engine_effects.h"
#include "config/engine_flags.h"

#include <stdio.h>
#include <string.h>

static void remark(struct plan *p, const struct form_remark *r)
{
	static const enum finding_severity severities[] = {
		[FORM_FATAL] = FINDING_FATAL,
		[FORM_UNCHECKED] = FINDING_WARNING,
		[FORM_WARNING] = FINDING_WARNING,
		[FORM_INFO] = FINDING_INFO,
	};

	if (!findings_add(&p->findings, severities[r->weight], FINDING_CONFIGURATION, r->code, &r->pos, "%s", r->what))
		return;
	if (r->weight == FORM_UNCHECKED)
		findings_unchecked(&p->findings);
	if (r->remedy)
		findings_remedy(&p->findings, "%s", r->remedy);
}

static void check_arg(struct plan *p, const struct plan_service *s, const struct graph_arg *a)
{
	bool sglang = s->engine == GRAPH_ENGINE_SGLANG;
	enum engine_program program = sglang ? ENGINE_SGLANG_SERVER : ENGINE_VLLM_SERVE;
	const char *section = sglang ? "SglangWorker" : "VllmWorker";
	const char *version = s->version ? ENGINE_VERSION(s->version) : NULL;
	char spelling[ENGINE_FLAG_BYTES], near[ENGINE_FLAG_BYTES];
	struct engine_flag flag;

	if ((size_t)snprintf(spelling, sizeof spelling, "--%s", a->name) >= sizeof spelling)
		return;
	for (char *c = spelling; *c; c++)
		*c = *c == '_' ? '-' : *c;
	enum engine_flag_state state = engine_flag_find(&flag, program, spelling, version, NULL);
	const char *product = sglang ? "SGLang" : "vLLM", *space = version ? " " : "",
		   *release = version ? version : "";
	const char *why = state == ENGINE_FLAG_KNOWN || state == ENGINE_FLAG_GONE
				  ? engine_effect_unmodelled(s->engine, flag.name, a->value)
				  : NULL;
	/* What this release does not have yet, and a graph has a key for, is passed on another way (an environment variable). */
	if (state == ENGINE_FLAG_GONE && version && config_key_find(section, a->name) &&
		engine_version_compare(version, flag.first) < 0)
		return;
	if (state == ENGINE_FLAG_GONE && version && !p->input.flags_told) {
		findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "flag-removed", &a->pos,
			"%s: %s %s has no flag %s; %s %s%s%s have it", s->name, product, version, spelling, product,
			flag.first, *flag.last ? " to " : " and newer", flag.last);
	} else if (state == ENGINE_FLAG_GONE && !config_key_find(section, a->name)) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "flag-removed", &a->pos,
			"%s: %s was removed: %s %s to %s have it", s->name, spelling, product, flag.first, flag.last);
	} else if (state == ENGINE_FLAG_UNKNOWN && !config_key_find(section, a->name)) {
		const char *best = engine_flag_suggest(near, program, spelling, version);
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "flag-unknown", &a->pos,
			"%s: %s%s%s has no flag %s", s->name, product, space, release, spelling);
		findings_unchecked(&p->findings);
		if (best)
			findings_remedy(&p->findings, "did you mean \"%s\"?", best + 2);
	}
	if (why) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "flag-effect", &a->pos,
			"%s: %s %s, which is not in the arithmetic of this plan", s->name, spelling, why);
		findings_unchecked(&p->findings);
	}
}

/* llama.cpp keeps some layers on the host: less memory on the cards than is counted here, and more there. */
static void check_layers(struct plan *p, const struct plan_service *s)
{
	const struct config_item *layers = config_section_find(&s->graph->settings, "gpu-layers");
	const struct model_facts *m = s->model->facts;

	if (!layers || !layers->value.set || !m || layers->value.i <= 0 || layers->value.i >= (int64_t)m->layers ||
		!plan_on_gpu(s) || s->llama.server)
		return;
	findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "gpu-layers", &layers->value.pos,
		"%s: %lld of %u layers are on the GPU, and the plan counts all of them there", s->name,
		(long long)layers->value.i, m->layers);
	findings_unchecked(&p->findings);
}

static bool same_place(const struct config_pos *a, const struct config_pos *b)
{
	return a->line == b->line && a->column == b->column && a->option == b->option;
}

static bool is_read(const struct form_seen *flag)
{
	/* Roles, models and cards are read with the form; adapters and the like by plan/extra.h. */
	static const char *const read[] = {"model", "model-path", "hf-repo", "tensor-split", "gpu-layers",
		"enable-dp-attention", "enable-expert-parallel", "ep-size", "is-prefill-worker", "is-decode-worker",
		"disaggregation-mode", "connector", "headless", "pp-size", "pipeline-parallel-size", "cache-type-v",
		"enable-lora", "lora-modules", "lora-paths", "max-loras", "max-loras-per-batch", "max-lora-rank",
		"cpu-offload-gb", "kv-cache-memory-bytes", "num-gpu-blocks-override", "max-total-tokens",
		"speculative-config", "speculative-model", "speculative-algorithm", "speculative-draft-model-path",
		"rope-scaling", "hf-overrides", "json-model-override-args"};

	/* plan/llama_ask.h. */
	static const char *const llama[] = {"split-mode", "main-gpu", "device", "override-tensor", "cpu-moe",
		"n-cpu-moe", "kv-offload", "no-kv-offload", "offload_kqv", "swa-full", "flash-attn", "flash_attn",
		"kv-unified", "fit", "fit-target", "mmproj", "mmproj-url", "mmproj-auto", "no-mmproj", "mmproj-offload",
		"spec-draft-model", "spec-draft-hf", "spec-draft-ctx-size", "spec-type", "lora", "lora-scaled",
		"control-vector", "mmap", "no-mmap", "mlock", "load-mode", "cache-type-k", "tensor_split", "split_mode",
		"main_gpu", "type_k", "type_v"};

	for (size_t i = 0; i < ARRAY_LEN(read); i++)
		if (!strcmp(read[i], flag->name))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(llama) && flag->engine == GRAPH_ENGINE_LLAMA; i++)
		if (!strcmp(llama[i], flag->name))
			return true;
	return plan_key_read(flag->engine, flag->name);
}

/* What a plan reads, or another remark is about. */
static bool is_used(const struct plan *p, const struct form_seen *flag)
{
	const struct form_remarks *all = &p->input.form->remarks;

	for (uint32_t i = 0; i < all->len; i++)
		if (same_place(&all->v[i].pos, &flag->pos) && strcmp(all->v[i].code, FORM_UNSET) != 0)
			return true;
	return is_read(flag);
}

/* A variable that nobody sets, in a flag that no plan reads: it may be what it will. */
static bool is_idle_variable(const struct form_set *f, const struct form_remark *r)
{
	if (strcmp(r->code, FORM_UNSET) != 0)
		return false;
	for (uint32_t i = 0; i < f->seen.len; i++)
		if (same_place(&r->pos, &f->seen.v[i].pos) && is_read(&f->seen.v[i]))
			return false;
	return f->seen.len < FORM_SEEN_MAX;
}

void plan_doubt_variables(struct plan *p)
{
	const struct form_set *f = p->input.form;
	bool unknown = false;

	for (uint32_t i = 0; f && i < f->remarks.len; i++)
		unknown |= !strcmp(f->remarks.v[i].code, FORM_UNSET) && !is_idle_variable(f, &f->remarks.v[i]);
	if (unknown)
		findings_drop_fatal(&p->findings, FINDING_CAPACITY);
}

/* Known to the engine, and of no weight here: named, so that nobody thinks they were counted. */
static void list_unused(struct plan *p)
{
	const struct form_set *f = p->input.form;
	struct buf names;
	uint32_t count = 0;

	buf_init(&names, 64 * 1024);
	for (uint32_t i = 0; i < f->seen.len; i++) {
		bool again = is_used(p, &f->seen.v[i]);
		for (uint32_t k = 0; k < i && !again; k++)
			again = !strcmp(f->seen.v[k].spelling, f->seen.v[i].spelling);
		if (!again)
			buf_printf(&names, "%s%s", count++ ? ", " : "", f->seen.v[i].spelling);
	}
	if (count && !names.failed) {
		findings_add(&p->findings, FINDING_INFO, FINDING_CONFIGURATION, "flags-unused", NULL,
			"known to the engine, not used by the plan: %s", buf_str(&names));
		findings_harmless(&p->findings);
	}
	buf_done(&names);
}

void plan_check_flags(struct plan *p)
{
	const struct form_set *f = p->input.form;

	for (uint32_t i = 0; f && i < f->remarks.len; i++)
		if ((f->remarks.v[i].weight == FORM_UNCHECKED || !p->input.flags_told) &&
			!is_idle_variable(f, &f->remarks.v[i]))
			remark(p, &f->remarks.v[i]);
	if (f && f->seen.len && !p->input.flags_told)
		list_unused(p);
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		check_layers(p, s);
		for (uint32_t k = 0; k < s->graph->args_len && !(f && f->form); k++)
			check_arg(p, s, &s->graph->args[k]);
	}
}
