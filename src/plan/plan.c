/* plan.c - all checks in one pass; see plan.h. */
#include "plan/plan.h"
#include "plan/check.h"

#include <stdio.h>
#include <string.h>

/* Llama workers on the CPU share the RAM. */
static void share_ram(struct plan_deployment *d, uint64_t ram)
{
	uint32_t workers = 0;

	for (uint32_t i = 0; i < d->len; i++)
		workers += d->services[i].engine == GRAPH_ENGINE_LLAMA && !plan_on_gpu(&d->services[i])
				   ? d->services[i].workers
				   : 0;
	for (uint32_t i = 0; i < d->len; i++)
		d->services[i].room = plan_on_gpu(&d->services[i]) ? 0 : plan_host_room(&d->services[i], ram, workers);
}

/* The releases that know the model: others are not meant when none is stated. */
static void set_span(struct plan_service *s)
{
	const char *class = plan_class_name(s);
	struct engine_span span = {0};

	if (!s->release && class && (s->engine == GRAPH_ENGINE_VLLM || s->engine == GRAPH_ENGINE_SGLANG))
		span = engine_span_of(plan_rules_of(s), ENGINE_ARCHITECTURE, class);
	bool all = span.first <= engine_releases(plan_rules_of(s)).first; /* older ones were not read */
	s->since = all ? 0 : release_of(span.first);
	s->until = span.last ? release_of(span.last) : 0;
}

/* What the service says, else what was said of all of its engine, else what is installed where it will run. */
static void set_version(struct plan_service *s, const struct plan_input *input)
{
	const struct plan_environment *e = input->environment;

	if (!s->version)
		s->version = input->versions[s->engine];
	uint64_t here = !s->version && e && e->known && e->versions[s->engine]
				? engine_version_parse(e->versions[s->engine])
				: 0;
	s->release = s->engine == GRAPH_ENGINE_VLLM || s->engine == GRAPH_ENGINE_SGLANG
			     ? release_of(s->version ? s->version : here)
			     : 0;
	set_span(s);
}

int plan_make_of(struct plan *ret, const struct plan_input *input, struct plan_deployment *d, struct err *err)
{
	struct plan p = {.input = *input, .deployment = *d};

	findings_init(&p.findings);
	for (uint32_t i = 0; i < d->len; i++)
		set_version(&d->services[i], input);
	share_ram(&p.deployment, input->inventory->host_facts.ram_total);
	int r = plan_place(&p.placement, &p.deployment, input->inventory);
	if (r < 0) {
		plan_done(&p);
		return err_set(err, r, "out of memory");
	}
	plan_check_counts(&p);
	plan_check_memory(&p);
	plan_check_engine(&p);
	plan_check_flags(&p);
	plan_check_links(&p);
	plan_check_pairs(&p);
	plan_check_host(&p);
	plan_doubt_variables(&p);
	findings_sort(&p.findings);
	*ret = p;
	return 0;
}

void plan_take_given(struct plan_deployment *d, const struct form_set *form)
{
	for (uint32_t i = 0; i < d->len; i++) {
		const struct form_service *f = plan_form_service(d, form, i);
		struct plan_service *s = &d->services[i];
		if (f && s->engine != GRAPH_ENGINE_LLAMA && f->gpus >= 1 && f->gpus < s->gpus)
			s->given = (uint32_t)f->gpus;
	}
}

int plan_make(struct plan *ret, const struct plan_input *input, struct err *err)
{
	struct plan_deployment d;
	int r = plan_deployment_init(&d, input->graph, input->models);

	if (r < 0)
		return err_set(err, r, "out of memory");
	plan_llama_read(&d, input);
	plan_take_given(&d, input->form);
	return plan_make_of(ret, input, &d, err);
}

void plan_done(struct plan *p)
{
	plan_deployment_done(&p->deployment);
	plan_placement_done(&p->placement);
	findings_done(&p->findings);
}

const char *plan_verdict_name(enum plan_verdict verdict)
{
	static const char *const names[] = {"fits", "cannot", "not-checked"};
	return names[verdict];
}

const char *plan_card_name(const struct gpu_device *d)
{
	return d->spec ? d->spec->name : *d->name ? d->name : "GPU";
}

static bool several_hosts(const struct plan *p)
{
	const struct gpu_inventory *inv = p->input.inventory;

	return inv->count > 0 &&
	       inv->devices[0].host != inv->devices[inv->count - 1].host; /* hosts follow one another */
}

const char *plan_device_text(const struct plan *p, uint32_t device, char *ret, size_t cap)
{
	const struct gpu_device *d = &p->input.inventory->devices[device];

	if (several_hosts(p))
		snprintf(ret, cap, "host %u, GPU %u", d->host + 1, d->index);
	else
		snprintf(ret, cap, "GPU %u", d->index);
	return ret;
}

const char *plan_host_text(const struct plan *p, uint32_t host, char *ret, size_t cap)
{
	if (several_hosts(p))
		snprintf(ret, cap, " on host %u", host + 1);
	else
		*ret = '\0';
	return ret;
}

/* Counted by name in the order of their first card. */
const char *plan_cards_text(const struct plan *p, char *ret, size_t cap)
{
	const struct gpu_inventory *inv = p->input.inventory;
	size_t len = 0;

	if (inv->count == 0 && inv->host_facts.ram_total)
		snprintf(ret, cap, "%u cores and %s of RAM, no GPU", inv->host_facts.cores,
			PLAN_BYTES(inv->host_facts.ram_total));
	else
		snprintf(ret, cap, "no GPU");
	for (uint32_t i = 0; i < inv->count; i++) {
		const char *name = plan_card_name(&inv->devices[i]);
		uint32_t count = 0;
		bool seen = false;
		for (uint32_t k = 0; k < inv->count && !(seen && k < i); k++) {
			bool same = !strcmp(plan_card_name(&inv->devices[k]), name);
			seen |= same && k < i;
			count += same;
		}
		if (seen)
			continue;
		len += (size_t)snprintf(ret + len, cap - len, "%s%u %s%s", len ? " and " : "", count, name,
			inv->devices[i].mig_slice ? (count == 1 ? " slice" : " slices") : "");
		if (len >= cap)
			break;
		if (inv->count > 64 && count == inv->count)
			break; /* a big cluster of one kind */
	}
	return ret;
}
