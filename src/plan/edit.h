/* edit.h - from a plan to the file: which settings change, and the graph's text with just these changed.
 *
 * A value that is in the file is replaced where it stands; one that is not gets a line below its service, indented as
 * its neighbours are. Comments, order, spacing and quotes of all else stay.
 * Thread: any. Memory: arrays of a few dozen edits; the text. */
#ifndef STATOR_PLAN_EDIT_H
#define STATOR_PLAN_EDIT_H

#include "plan/plan.h"

enum { PLAN_EDITS_MAX = 256, PLAN_VALUE_BYTES = 160 };

struct plan_edit {
	const char *service;
	const char *key; /* "ServiceArgs.workers", "max-model-len" */
	char before[PLAN_VALUE_BYTES]; /* "" when the user had not set it */
	char after[PLAN_VALUE_BYTES];
	struct config_pos pos; /* of the value in the file; line 0 when it is not there */
};

struct plan_edits {
	struct plan_edit items[PLAN_EDITS_MAX];
	uint32_t len;
};

/* A setting as a file would have it; "" when there is nothing to write. ret: PLAN_VALUE_BYTES. */
void plan_edit_value(char *ret, const struct plan_service *s, enum plan_key key);
/* What turns the services of a into those of b (which came from a: same length, same order). Values are compared, so
 * what stays at a default is not written. quant_model: new name of the weights where quant changed, or NULL. */
void plan_edits(struct plan_edits *ret, const struct plan_deployment *a, const struct plan_deployment *b,
	const char *quant_model);
/* Append text with the edits made. -EINVAL with the place when the file's form does not allow one (an alias, a value from
 * the command line); then out is as it was. */
int plan_edit_text(const struct plan_edits *edits, const char *file, const char *text, size_t len, struct buf *out,
	struct err *err);

#endif
