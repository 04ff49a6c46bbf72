/* plan.h - can this deployment run on these machines? Every reason why not, in one pass, and where each worker goes.
 *
 *   plan(deployment, inventory, model facts, environment) -> placement, findings
 *
 * Pure and deterministic: everything it knows is given. It never names a device that is not in the inventory. A fatal
 * finding means that an engine would refuse to start, or die; warnings, that it runs worse than it could; an unchecked
 * one, that something needed for the answer is not known (the model, a GPU, the files).
 * search.h finds deployments that do fit.
 *
 * Thread: any, one owner a struct. Memory: some KiB and a few words a card and a worker. */
#ifndef STATOR_PLAN_PLAN_H
#define STATOR_PLAN_PLAN_H

#include "forms/form.h"
#include "plan/finding.h"
#include "plan/place.h"

enum { PLAN_PORTS_MAX = 16 };

/* What was looked at on the machine that will run it. Nothing of it is asked of a machine planned for from afar. */
struct plan_environment {
	bool known;
	uint16_t ports_used[PLAN_PORTS_MAX]; /* of those the graph wants, the taken ones */
	uint32_t ports_used_len;
	const char *versions[5]; /* of each enum graph_engine: NULL not found, "" found but silent about its version */
};

struct plan_input {
	const struct graph *graph; /* all borrowed until plan_done */
	const struct gpu_inventory *inventory;
	const struct plan_model *models; /* one a service of graph, in its order */
	const struct plan_environment *environment; /* NULL: none */
	uint64_t versions
		[5]; /* of each enum graph_engine whose services do not say theirs (gpu/versions.h); 0: not known */
	const struct form_set *form; /* the file's form and what its flags brought; NULL: a graph of ours */
	bool flags_told; /* flags that end the engine at its start are said of what was asked, and no plan mends them */
	bool trial; /* only the verdict counts: no remedies are looked for */
};

struct plan {
	struct plan_input input;
	struct plan_deployment deployment;
	struct plan_placement placement;
	struct findings findings; /* sorted */
};

/* What the file's form says of a service of the deployment; NULL: it has no form. */
static inline const struct form_service *plan_form_service(
	const struct plan_deployment *d, const struct form_set *form, uint32_t i)
{
	return form && form->services.len == d->len ? &form->services.v[i] : NULL;
}

/* The cards that a file of another form gives its workers, where their flags make them compute on more: its tree has those. */
void plan_take_given(struct plan_deployment *d, const struct form_set *form);
/* Plan the graph as it is. 0, or -ENOMEM. */
int plan_make(struct plan *ret, const struct plan_input *input, struct err *err);
/* The same for a deployment whose settings were changed; takes d's array. */
int plan_make_of(struct plan *ret, const struct plan_input *input, struct plan_deployment *d, struct err *err);
void plan_done(struct plan *p);
/* Three answers: what could not be judged is never "fits". */
enum plan_verdict { PLAN_FITS, PLAN_CANNOT, PLAN_NOT_CHECKED };
static inline enum plan_verdict plan_verdict(const struct plan *p)
{
	return p->findings.fatals ? PLAN_CANNOT : p->findings.unchecked ? PLAN_NOT_CHECKED : PLAN_FITS;
}
static inline bool plan_fits(const struct plan *p)
{
	return plan_verdict(p) == PLAN_FITS;
}
const char *plan_verdict_name(enum plan_verdict verdict); /* "fits", "cannot", "not-checked" */

#endif
