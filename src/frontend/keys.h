/* keys.h - API keys: who may ask. Only digests are kept; comparing takes the same time whatever is sent.
 * Thread: constant after load. Memory: 32 bytes a key. */
#ifndef STATOR_FRONTEND_KEYS_H
#define STATOR_FRONTEND_KEYS_H

#include "base/err.h"
#include <stdbool.h>

struct api_keys;
/* One key a line; blanks around it, empty lines and lines that begin with # do not count. -EINVAL for a file without
 * any, so that an empty file does not open the door. */
int api_keys_load(struct api_keys **ret, const char *path, struct err *err) MUST_USE;
int api_keys_parse(struct api_keys **ret, const char *text, size_t len, struct err *err) MUST_USE;
void api_keys_destroy(struct api_keys *k);
/* Is the value of an Authorization header "Bearer KEY" with a KEY of these? NULL header: no. */
bool api_keys_allow(const struct api_keys *k, const char *authorization);

#endif
