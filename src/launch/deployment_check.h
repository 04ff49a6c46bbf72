/* deployment_check.h - what is looked at before any process starts: engines, model files, CPUs by number, and whether so many
 * processes can be at all. Each refusal is a sentence that says what to do. Thread: any. Memory: none kept. */
#ifndef STATOR_LAUNCH_DEPLOYMENT_CHECK_H
#define STATOR_LAUNCH_DEPLOYMENT_CHECK_H

#include "launch/deployment.h"

/* The file a service's model means: "demo" is the demo model's. Borrowed from either. */
const char *deployment_model_path(const struct deployment_config *c, const struct graph_service *s);
/* The chat template the graph gives to a service of our own engines; NULL: none. Borrowed. */
const char *deployment_template_file(const struct graph_service *s);
/* Will clients be able to chat with it, as far as can be known: false only for a file that has no template. */
bool deployment_has_template(const struct deployment_config *c, const struct graph_service *s);
/* Can this build run its engine, is its model one, are its CPUs there, can its chat template be read? -ENOTSUP, -ENOENT, -EBADMSG (the file is to blame),
 * -EINVAL... */
int deployment_check_service(const struct deployment_config *c, const struct graph_service *s, struct err *err);
/* What the table says of a service that chose its threads or CPUs: "2 of the 8 CPUs of \"0-7\" are there". */
void deployment_cpus_text(const struct deployment_config *c, const struct graph_service *s, char *ret, size_t cap);
/* -E2BIG with the arithmetic: open files, threads, memory or a command line do not suffice for so many processes. */
int deployment_check_bounds(const struct deployment *d, const struct deployment_config *c, struct err *err);

#endif
