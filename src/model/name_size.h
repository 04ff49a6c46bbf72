/* name_size.h - what the name of a model says of its size, where nothing else is known of it. Pure.
 *
 * Names of published models tell their parameters ("Qwen3-30B-A3B", "Mixtral-8x7B", "Ring-1T") and what the weights are kept in
 * ("-AWQ", "-FP8", "-NVFP4"). That is too coarse to say that a model fits, and enough to say that it never will: the least is
 * an estimate from below, for a name that rounds up (most lie within 10 %) and, where the name says no type, for a checkpoint
 * that is published in 4 bits a weight, as several large ones are. */
#ifndef STATOR_MODEL_NAME_SIZE_H
#define STATOR_MODEL_NAME_SIZE_H

#include <stdbool.h>
#include <stdint.h>

struct name_size {
	uint64_t params; /* as the name has it; of "8x7B" what such models have of it */
	uint64_t least; /* bytes of weights: not fewer than these */
	uint32_t bits; /* a weight, as the name has it; 0: it does not say */
};

/* False: the name tells no size, or it is a part of a model (a draft, an adapter, a projector). Active ("A3B") and effective ("E4B")
 * parameters count where a name tells no others. */
bool name_size_read(struct name_size *ret, const char *name);

#endif
