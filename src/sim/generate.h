/* generate.h - made-up loads, from a seed, as traces of the plain form.
 *
 *   KIND[:key=value,...]     KIND is
 *     agent    long shared prompts of tools, many turns, short answers
 *     chat     conversations with a short system prompt and long answers
 *     shared   single questions behind one of some shared prefixes
 *   keys: requests, rate (requests a second), groups (different prefixes), prefix, own, answer (tokens, in the mean: prefix
 *   exactly), turns (of a session, in the mean), think (seconds between turns, in the mean).
 *
 * Sessions begin as a Poisson process. Lengths are drawn around their means (the mean of two exponential draws, at most four
 * times the mean). Thread: pure functions. */
#ifndef STATOR_SIM_GENERATE_H
#define STATOR_SIM_GENERATE_H

#include "base/buf.h"
#include "base/err.h"

/* Append the lines to out. 0, -EINVAL (with a suggestion) or -ENOMEM. */
int trace_generate(struct buf *out, const char *spec, uint64_t seed, struct err *err);

#endif
