/* check_states.h - recurrent states of a hybrid's sequences on vLLM. Pure; adds findings to a plan. */
#ifndef STATOR_PLAN_CHECK_STATES_H
#define STATOR_PLAN_CHECK_STATES_H

#include "plan/check.h"
#include "plan/need.h"

/* Blocks of states that the KV room on one GPU holds; 0: the model has none, or they are not known. */
uint64_t plan_state_blocks(const struct plan_service *s, const struct plan_terms *t);
/* Has vLLM more sequences than that, or nearly, where it would matter? */
bool plan_states_short(const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card);
/* Of plan_check_memory, where weights and one request fit. */
void plan_check_states(
	struct plan *p, const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card);

#endif
