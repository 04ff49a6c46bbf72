/* diagnose_tool.h - text between its form and a log: what tools print of pods, containers, nodes and events is read by what it
 * means, and everything else goes on as it is.
 *
 *   log text            as it is, in place
 *   JSON                kubectl get -o json, cluster-info dump, docker inspect, crictl inspect, events; a log whose lines are
 *                       wrapped in JSON by Docker or journald is unwrapped; JSON of other kinds goes on as it is
 *   YAML                kubectl get -o yaml
 *   kubectl describe    of pods and nodes, with their events
 *   tables              kubectl get pods, docker ps, docker compose ps
 *
 * Several of them may follow each other in one file. What they say reaches the log as lines of their own
 * (diagnose_object.h), each in the line of the file where it stands.
 *
 * Thread: one owner. Memory: a line of 64 KiB, and some 300 KiB once such a thing has been met. */
#ifndef STATOR_PLAN_DIAGNOSE_TOOL_H
#define STATOR_PLAN_DIAGNOSE_TOOL_H

#include "plan/diagnose.h"

struct tool_reader;

/* Borrows log. -ENOMEM. */
int tool_reader_create(struct tool_reader **ret, struct diagnosed_log *log, struct err *err);
void tool_reader_destroy(struct tool_reader *r);
DEFINE_CLEANUP(tool_reader_destroy, struct tool_reader)
/* More text (UTF-8), cut anywhere. Out of memory a document is read as a log. */
void tool_reader_feed(struct tool_reader *r, const char *data, size_t len);
/* It has ended; the log is ended too. */
void tool_reader_end(struct tool_reader *r);
/* Is it only about how things are wished, such as a manifest, so that nothing is to be learnt of how they went? */
bool tool_reader_only_wishes(const struct tool_reader *r);

#endif
