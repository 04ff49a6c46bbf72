/* index_check.h - is the index of cached prefixes what the workers really hold? GET /stator/index-check.
 *
 * Each worker is asked for a snapshot (MSG_RESYNC); what it tells from then on is gathered apart, snapshot and changes,
 * and compared with the index block for block when the snapshot ends. Requests go on meanwhile. A worker whose account
 * differs is asked again, which repairs the index.
 *
 * One check at a time. Thread: the loop's. Memory: 24 bytes a block of the workers, until the answer. */
#ifndef STATOR_FRONTEND_INDEX_CHECK_H
#define STATOR_FRONTEND_INDEX_CHECK_H

#include "frontend/internal.h"

/* Answers x, now or later. */
void index_check_start(struct frontend *fe, struct http_exchange *x);
/* A frame of a worker that is being checked, before the pool sees it. True: it is for the check alone (a chunk of the
 * snapshot that the check asked for). */
bool index_check_take(struct backend *b, const struct msg_kv *kv);
/* After the pool has seen it: compare when the snapshot has ended. */
void index_check_settle(struct backend *b);
/* The worker is lost, or its index was found wrong meanwhile: no result for it. */
void index_check_leave(struct backend *b, const char *why);
void index_check_destroy(struct frontend *fe);

#endif
