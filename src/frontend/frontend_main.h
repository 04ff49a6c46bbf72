/* frontend_main.h - the frontend as a process: a real loop, files read, signals, and what it tells its supervisor.
 *
 * SIGTERM and SIGINT drain: no new connections, running answers end, at most drain_us; a second one stops at once.
 * Thread: main's; starts text_threads more. */
#ifndef STATOR_FRONTEND_FRONTEND_MAIN_H
#define STATOR_FRONTEND_FRONTEND_MAIN_H

#include "frontend/frontend.h"

struct frontend_main_options {
	struct frontend_config
		config; /* listen may be "fd:N"; keys, secret and chat_template are read from the files below */
	const char *api_keys_file; /* NULL: everybody may ask */
	const char *secret_file; /* shared with workers on TCP; NULL: none */
	const char *kv_secret_file; /* of the KV domain, as the workers have it; NULL: prefixes are not known */
	const char *chat_template_file; /* NULL: the models' own */
	const char *const *chat_templates; /* "NAME=FILE": of one model each */
	uint32_t chat_templates_len;
	uint32_t text_threads; /* 0: one a core, at most 8 */
	uint64_t drain_us;
	uint32_t min_workers; /* "ready" is said when so many are up */
	int status_fd; /* lines of launch/status.h: "ready http://...", "error ..."; -1: none */
	bool die_with_parent; /* a supervisor started us: end when it is gone */
};
void frontend_main_options_default(struct frontend_main_options *ret);

/* Run until a signal. 0, or 1 when it could not start; the reason is on stderr and the status fd. */
int frontend_main(const struct frontend_main_options *options);

#endif
