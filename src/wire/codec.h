/* codec.h - the machine behind msg.h: encode, decode and print any struct from a table of its fields.
 *
 * Thread: pure functions. Memory: decode copies into the caller's arena; everything else allocates nothing but what the
 * output buffer grows by. A struct is described once:
 *
 *     struct wire_table   name, size of the C struct, its fields in the order they are written, a check across fields
 *     struct wire_field   number on the wire, C type, where the member lies, the largest value or length accepted
 *
 * Field numbers are 1 to 31, each at most once in a message, except WIRE_ITEMS, whose number repeats once an item. */
#ifndef STATOR_WIRE_CODEC_H
#define STATOR_WIRE_CODEC_H

#include "wire/msg.h"

/* How a field's bytes are laid out: the lower three bits of its first byte. */
enum wire_kind { WIRE_KIND_VARINT, WIRE_KIND_8, WIRE_KIND_BYTES, WIRE_KIND_4 };

/* What the C member is. */
enum wire_type {
	WIRE_BOOL, /* varint */
	WIRE_U32, /* varint */
	WIRE_I32, /* varint of the zigzag form */
	WIRE_U64, /* varint */
	WIRE_HASH, /* u64 as 8 bytes: uniformly distributed, a varint would be longer */
	WIRE_F32, /* 4 bytes */
	WIRE_STR, /* struct msg_str */
	WIRE_BYTES, /* struct msg_str; printed as a length: binary, or nobody's business */
	WIRE_U32S,
	WIRE_U64S,
	WIRE_F32S, /* the elements one after another */
	WIRE_SUB, /* a struct inside the struct */
	WIRE_ITEMS, /* struct { T *items; uint32_t len; }: one sub-message an item */
};

struct wire_table;
struct wire_field {
	uint8_t number;
	uint8_t type; /* enum wire_type */
	uint16_t offset;
	uint32_t
		max; /* largest value (integers), bytes (strings) or elements (arrays, items); 0: what the type holds */
	const char *name;
	const struct wire_table *sub; /* of WIRE_SUB and WIRE_ITEMS */
};
struct wire_table {
	const char *name;
	uint32_t size; /* of the C struct */
	uint32_t count;
	const struct wire_field *fields;
	/* What no single field shows. 0 or err_set(err, -EPROTO, ...). NULL: nothing. */
	int (*check)(const void *msg, struct err *err);
};

/* The table of a message; NULL: this release does not know the type. */
const struct wire_table *msg_table(enum msg_type type);

/* Bytes the struct takes on the wire (without frame header). Exact. */
size_t wire_size(const struct wire_table *t, const void *msg);
/* Write those bytes at p. Returns the end. */
uint8_t *wire_put(const struct wire_table *t, const void *msg, uint8_t *p);
/* Fill the struct; it is zeroed first, and strings that are absent read as "". -EPROTO or -ENOMEM; then *ret_msg holds
 * no promise. */
int wire_get(
	const struct wire_table *t, const uint8_t *data, size_t len, struct arena *a, void *ret_msg, struct err *err);
/* " name=value" of every field that is not zero. */
void wire_print(struct buf *out, const struct wire_table *t, const void *msg);

#endif
