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
#include <jansson.h>
#include <stdbool.h>

/* As json_loadb. Returns owned, or NULL with ret_error (may be NULL) filled: json_is_no_memory tells want of memory. */
json_t *json_parse(const char *text, size_t len, size_t flags, json_error_t *ret_error) MUST_USE;
/* Was it for want of memory that json_parse failed? */
bool json_is_no_memory(const json_error_t *error);
/* What json_dumps returned. NULL is fine. */
void json_text_free(char *text);

#endif
