/* retry.h - doing a request again whose worker was lost before anything was sent: see retry.c. Shared by the files of this
 * room only. Thread: the loop's. */
#ifndef STATOR_FRONTEND_RETRY_H
#define STATOR_FRONTEND_RETRY_H

#include "frontend/completion.h"

/* r is dispatched: keep its prompt if there is room for it. */
void retry_keep(struct run *r);
/* It will not be needed again. */
void retry_forget(struct run *r);
/* Something of the stream c was written: forget the prompts of which all choices have said something. */
void retry_said(struct completion *c);

/* The choice's flight has landed without an answer, for the reason e: it is done again, soon. False: it may not be. */
bool retry_choice(struct run *r, struct choice *ch, const struct api_error *e) MUST_USE;
/* A flight of r has landed, however: lost ones wait for the last. */
void retry_landed(struct run *r);

#endif
