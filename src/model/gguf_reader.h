/* gguf_reader.h - step through the header of a GGUF file that lies in memory. Layout (little endian):
 *   "GGUF" | u32 version | u64 tensors | u64 pairs | pairs | tensor infos | padding | data
 *   pair         string key | u32 type | value          string: u64 length | bytes
 *   array value  u32 item type | u64 count | items
 *   tensor info  string name | u32 dims | u64 dim... | u32 type | u64 offset in data
 * Nothing is allocated, whatever the counts say; every read is checked against the end. Pure. */
#ifndef STATOR_MODEL_GGUF_READER_H
#define STATOR_MODEL_GGUF_READER_H

#include <stdbool.h>
#include <stdint.h>

enum { GGUF_U32 = 4, GGUF_I32 = 5, GGUF_BOOL = 7, GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_TYPES = 13 };

/* A place in the file. A read past the end sets cut and gives zeros, so a parser checks once an item. */
struct gguf_reader {
	const uint8_t *data;
	uint64_t len, pos;
	bool cut;
};
struct gguf_text { /* borrowed from the file; not NUL-terminated */
	const char *data;
	uint64_t len;
};
struct gguf_value {
	uint32_t type, item; /* item: of arrays */
	uint64_t number, count; /* integers and booleans; count: of arrays */
	struct gguf_text text;
	uint64_t begin; /* where an array's items are */
};

/* The bytes of a number of this type; 0 for strings, arrays and what is no type. */
uint32_t gguf_number_bytes(uint32_t type);
/* n bytes, NULL when there are no so many. */
const uint8_t *gguf_take(struct gguf_reader *r, uint64_t n);
/* An unsigned number of 1 to 8 bytes. */
uint64_t gguf_number(struct gguf_reader *r, uint32_t bytes);
struct gguf_text gguf_string(struct gguf_reader *r);
/* False: a type that GGUF does not have, or arrays nested too deep. */
bool gguf_value_read(struct gguf_reader *r, struct gguf_value *ret);
/* Number i of an array of numbers. */
uint64_t gguf_item(const struct gguf_reader *r, const struct gguf_value *v, uint64_t i);
bool gguf_text_is(const struct gguf_text *t, const char *word);

#endif
