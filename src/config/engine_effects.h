/* engine_effects.h - what an engine's flag means to memory, speed or start, where a plan's arithmetic does not have it.
 * Any thread; no allocation. */
#ifndef STATOR_CONFIG_ENGINE_EFFECTS_H
#define STATOR_CONFIG_ENGINE_EFFECTS_H

#include "config/graph.h"

/* Of a flag (by the name that its spellings share) with that value: what it does, to stand behind the flag in a sentence ("loads a draft
 * model beside the model"); NULL: it changes nothing that a plan counts, or the plan counts it. */
const char *engine_effect_unmodelled(enum graph_engine engine, const char *flag, const char *value);
/* The i-th flag that has one; NULL behind the last. */
const char *engine_effect_at(uint32_t i, enum graph_engine *ret_engine);

#endif
