/* json_parse.h - jansson's parser, made safe for when memory ends.
 *
 * jansson 2.14 goes on when the buffer of its lexer could not grow: the text it keeps then has a hole, and a string whose
 * closing quote fell into it is read past its end. So an allocation that fails while it parses ends the parse at once, and
 * what it had is freed here. For that each of jansson's blocks, everywhere in the program, has 16 bytes in front of it: what
 * jansson allocates must be freed by jansson, or by json_text_free.
 * Thread: any. Memory: jansson's. */
#ifndef STATOR_CONFIG_JSON_PARSE_H
#define STATOR_CONFIG_JSON_PARSE_H

#include "base/compiler.h"
#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How much JSON text of a stranger may hold. It is counted before anything parses it: parsers recurse a level and allocate a
 * value. */
struct json_bounds {
	uint32_t depth; /* of nesting */
	uint32_t containers; /* lists and objects */
	uint32_t values; /* the others, but for: */
	uint32_t numbers; /* those that are items of lists, such as token ids; 0: they are values as others are */
	uint32_t members; /* of one object */
};
extern const struct json_bounds json_body_bounds; /* of a request's body */
/* Look text over. 0, having taken what it holds from *left (depth and members stay), so that several texts can share one allowance; or
 * -E2BIG with err saying what is too much ("nested more than 64 levels deep"; max is what *left began as) and *ret_offset
 * its place. The text need not be JSON: whatever a parser makes of it is no more than was counted. O(len), no memory. */
int json_bounds_check(struct json_bounds *left, const struct json_bounds *max, const char *text, size_t len,
	size_t *ret_offset, struct err *err) MUST_USE;

/* As json_loadb. Returns owned, or NULL with ret_error (may be NULL) filled: json_is_no_memory tells want of memory. */
json_t *json_parse(const char *text, size_t len, size_t flags, json_error_t *ret_error) MUST_USE;
/* The same for text of strangers, which may hold what jansson has no room for: an integer beyond 64 bits becomes the nearest
 * real, a real beyond a double's range 9e307, a NUL in an object's key U+FFFD. Places of errors stay right. */
json_t *json_parse_wide(const char *text, size_t len, size_t flags, json_error_t *ret_error) MUST_USE;
/* The member of the outermost object as an unsigned 64-bit integer, from the text, since json_parse_wide rounds those
 * above 2^63. The last one of the name counts. False: there is none, or it is something else, or name has escapes there. */
bool json_text_u64(const char *text, size_t len, const char *name, uint64_t *ret);
/* Was it for want of memory that json_parse failed? */
bool json_is_no_memory(const json_error_t *error);
/* What json_dumps returned. NULL is fine. */
void json_text_free(char *text);

#ifdef __cplusplus
}
#endif
#endif
