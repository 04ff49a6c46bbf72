/* report.h - is what a worker reports possible, by its registration and by our clock?
 *
 * A report is the worker's own word, and the router believes it: a figure that cannot be must not keep requests away from the
 * worker, nor get into what is known of the others. A report with a figure beyond the registration is not used at all;
 * one whose step took more time than went by is used without its duration.
 *
 * Thread: one owner. The state is the struct. Pure but for it. */
#ifndef STATOR_FRONTEND_REPORT_H
#define STATOR_FRONTEND_REPORT_H

#include "wire/msg.h"

struct report_check {
	uint64_t seen_us; /* when it reported last, or came */
	uint64_t time_us; /* that went by and was not taken by a step yet, bounded */
};

/* A worker has come. */
void report_check_init(struct report_check *c, uint64_t now_us);
/* NULL: all can be. Else the name of the first figure that cannot; *ret_usable says whether the rest may be used, after step's
 * duration was set to 0 (not known). */
const char *report_check(
	struct report_check *c, const struct msg_card *card, uint64_t now_us, struct msg_step *step, bool *ret_usable);

#endif
