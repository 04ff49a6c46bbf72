/* json_out.h - append JSON text to a struct buf by hand, for the token path (no tree, no allocation once warm).
 * Errors show as buf.failed. Reading JSON is jansson's work, elsewhere. */
#ifndef STATOR_BASE_JSON_OUT_H
#define STATOR_BASE_JSON_OUT_H

#include "base/buf.h"

/* Append a quoted JSON string. Bytes that are not valid UTF-8 become U+FFFD, so the result is always valid JSON. */
void json_out_str(struct buf *b, const char *s, size_t len);
void json_out_cstr(struct buf *b, const char *s);
/* The same where people read it, in logs: what may not be shown (base/utf8.h) is escaped as well, as \\u009b. */
void json_out_cstr_shown(struct buf *b, const char *s);
/* Append the inside only (no quotes), for a string built from several pieces; each piece must be whole UTF-8. */
void json_out_str_inside(struct buf *b, const char *s, size_t len);
void json_out_u64(struct buf *b, uint64_t v);
void json_out_i64(struct buf *b, int64_t v);
/* Shortest form that reads back the same to 9 digits; NaN and infinities become null, which is all JSON has. */
void json_out_f64(struct buf *b, double v);

#endif
