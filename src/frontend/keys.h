/* keys.h - API keys: who may ask. Only digests are kept; comparing takes the same time whatever is sent.
 * Thread: constant after load. Memory: 40 bytes a key. */
#ifndef STATOR_FRONTEND_KEYS_H
#define STATOR_FRONTEND_KEYS_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct api_keys;
/* What a request's key says of it. */
struct api_caller {
	unsigned char digest[32]; /* SHA-256 of the key */
	bool admin; /* sees everybody's requests under /stator/ */
};
/* One key a line, an admin's as admin:KEY. A # at the beginning of a line or behind a blank begins a comment; blanks around a key
 * and empty lines do not count. -EINVAL for a text without any, so that an empty file does not open the door, and for a blank
 * inside a key. */
int api_keys_parse(struct api_keys **ret, const char *text, size_t len, struct err *err) MUST_USE;
/* The same of a file; errors name it. What was read is wiped. */
int api_keys_read(struct api_keys **ret, const char *path, struct err *err) MUST_USE;
void api_keys_destroy(struct api_keys *k);
/* Is the value of an Authorization header "Bearer KEY" with a KEY of these? Then *ret (may be NULL) is filled. NULL header: no. */
bool api_keys_find(const struct api_keys *k, const char *authorization, struct api_caller *ret);
/* The same for a key alone, as other headers have it. NULL: no. */
bool api_keys_know(const struct api_keys *k, const char *key, struct api_caller *ret);

#endif
