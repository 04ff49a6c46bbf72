/* json_in.h - reading a JSON tree that a stranger sent: typed members, ranges, and errors that name the field.
 * Thread: pure. Every function: 0, or -EINVAL with the error filled. null counts as absent. */
#ifndef STATOR_FRONTEND_JSON_IN_H
#define STATOR_FRONTEND_JSON_IN_H

#include "base/arena.h"
#include "frontend/error.h"
#include <jansson.h>

/* "a string", "an array", ... for messages. */
const char *json_in_type_name(const json_t *v);
/* The member, NULL when absent or null. */
json_t *json_in_get(const json_t *object, const char *name);
/* "temperature must be X, not Y". */
int json_in_wrong_type(struct api_error *e, const char *name, const char *want, const json_t *got);

/* Is v a string of exactly this text? A NUL inside does not end it. */
bool json_in_is(const json_t *v, const char *text);
/* A name that is compared or kept as a C string: refused when it is no string, or has a NUL that would end it early. *ret
 * borrows. */
int json_in_name(const json_t *v, const char *name, const char **ret, struct api_error *e);
/* Is v a whole number? To JSON 40, 40.0 and 4e1 are the same number, and some languages write the second. What is beyond
 * 64 bits becomes the nearest number that is not. */
bool json_in_whole(const json_t *v, int64_t *ret);
/* A number for messages, integers as integers: "2147483647", "0.5". */
struct json_in_shown {
	char text[48];
};
struct json_in_shown json_in_show(const json_t *number);

enum json_in_kind { JSON_IN_BOOL, JSON_IN_U32, JSON_IN_F32 };
/* A scalar member of a struct. An absent one leaves what is there. */
struct json_in_field {
	const char *name;
	enum json_in_kind kind;
	uint32_t offset;
	double min, max; /* of numbers, both allowed */
	bool cut; /* of JSON_IN_U32: more than max is max */
};
int json_in_fields(
	const json_t *object, const struct json_in_field *fields, uint32_t count, void *ret, struct api_error *e);

/* A list of token ids ([1, 2.0, 3]), copied into arena. name is for messages. */
struct msg_u32s;
int json_in_tokens(
	const json_t *array, const char *name, struct arena *arena, struct msg_u32s *ret, struct api_error *e);

#endif
