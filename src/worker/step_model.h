/* step_model.h - how long a step takes here, learned from the steps themselves.
 *
 *   t = a + b * tokens + c * tokens * cells
 *
 * tokens: computed in the step; cells: used in the KV cache, which attention walks for every token. Measured on CPUs and
 * GPUs alike the three terms suffice; their values differ by orders of magnitude between machines and types, so nothing
 * is tabulated. Least squares over an exponential window, with no term negative, and a faint prior that decides what the
 * steps seen leave open (when all are alike). A surprise is clipped: a neighbour that takes the CPU for a second must not
 * change the model. (Recursive least squares with its terms clamped was tried: after a clamp its covariance claims a
 * certainty it does not have, and it stops learning ten times off.)
 * Thread: one owner. Deterministic. Cost: a learn and the next question together under a microsecond. */
#ifndef STATOR_WORKER_STEP_MODEL_H
#define STATOR_WORKER_STEP_MODEL_H

#include <stdint.h>

struct step_model {
	double xx[3][3], xy[3]; /* sums over the window; private, as all here */
	double theta[3];
	uint64_t steps;
};

void step_model_init(struct step_model *m);
void step_model_learn(struct step_model *m, uint32_t tokens, uint32_t cells, uint64_t duration_us);
/* 0 for no tokens. */
double step_model_predict_us(const struct step_model *m, uint32_t tokens, uint32_t cells);
/* What one more token adds at so many cells used; > 0. */
double step_model_token_us(const struct step_model *m, uint32_t cells);

#endif
