/* diagnose_json.h - a JSON document as it comes, value by value, without keeping it: what cluster tools print is often larger
 * than what is worth holding.
 *
 *   json_scan_init -> json_scan_feed ... until it says that the document is whole, or is none
 *
 * Thread: one owner. Memory: the struct. */
#ifndef STATOR_PLAN_DIAGNOSE_JSON_H
#define STATOR_PLAN_DIAGNOSE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { JSON_SCAN_DEPTH_MAX = 64, JSON_SCAN_KEY_BYTES = 96, JSON_SCAN_TEXT_BYTES = 32 * 1024 };

/* Copy what there is room for. */
static inline void text_keep(char *to, size_t cap, const char *text)
{
	size_t n = strnlen(text, cap - 1);

	memcpy(to, text, n);
	to[n] = '\0';
}

/* What a document is made of. Keys are "" in lists and at the top; line: where it stands in the file. */
struct json_scan_ops {
	void (*open)(void *ctx, const char *key, bool list, uint64_t line);
	void (*close)(void *ctx);
	/* Strings without their escapes, cut at JSON_SCAN_TEXT_BYTES; numbers, true, false and null as they stand. */
	void (*value)(void *ctx, const char *key, const char *text, size_t len, uint64_t line);
};

enum json_scan_state { JSON_SCAN_MORE, JSON_SCAN_WHOLE, JSON_SCAN_BAD };
enum json_scan_token { JSON_SCAN_NOTHING, JSON_SCAN_STRING, JSON_SCAN_WORD };

struct json_scan {
	const struct json_scan_ops *ops;
	void *ctx;
	uint64_t line; /* of the next byte */
	uint64_t token_line;
	uint32_t depth;
	bool list[JSON_SCAN_DEPTH_MAX];
	enum json_scan_token token;
	bool is_key, escaped, after_value, after_colon;
	uint32_t hex_left, hex, high; /* of \uXXXX; high: a surrogate that waits for its other half */
	size_t len; /* of text */
	char key[JSON_SCAN_KEY_BYTES], text[JSON_SCAN_TEXT_BYTES + 4];
};

/* The document's first byte, '{' or '[', stands in this line. Borrows ops and ctx. */
void json_scan_init(struct json_scan *s, const struct json_scan_ops *ops, void *ctx, uint64_t line);
/* More of it, cut anywhere. ret_used: how many bytes belong to the document; all, unless it is whole or bad. */
enum json_scan_state json_scan_feed(struct json_scan *s, const char *data, size_t len, size_t *ret_used);
/* The text ends here: what is open is closed. */
void json_scan_cut(struct json_scan *s);

#endif
