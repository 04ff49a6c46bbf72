/* deployments.h - the deployments of ours that run on this machine, for messages. Thread: main's. */
#ifndef STATOR_CLI_DEPLOYMENTS_H
#define STATOR_CLI_DEPLOYMENTS_H

#include "base/buf.h"
#include "base/err.h"

/* One line each: address, model, and the flag that names its folder. Nothing when none runs. */
void deployments_print(struct buf *out);
/* Nobody listens at url: say which deployments run, and how to name one. example is the command without its URL, such as
 * "stator explain". False: none runs. */
bool deployments_hint(struct err *err, const char *example);

#endif
