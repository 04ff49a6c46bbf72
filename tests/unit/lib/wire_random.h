/* wire_random.h - random valid messages, made from the codec's own tables, and their comparison. */
#ifndef STATOR_TESTS_WIRE_RANDOM_H
#define STATOR_TESTS_WIRE_RANDOM_H

#include "base/rng.h"
#include "wire/codec.h"

/* Fill ret_msg with a message of type that decode must accept. Arrays lie in a. */
void wire_random_msg(struct rng *r, enum msg_type type, struct arena *a, void *ret_msg);
/* Member by member, arrays by content. */
bool wire_equal(const struct wire_table *t, const void *a, const void *b);

#endif
