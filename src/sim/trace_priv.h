/* trace_priv.h - what the readers of the two trace forms share. */
#ifndef STATOR_SIM_TRACE_PRIV_H
#define STATOR_SIM_TRACE_PRIV_H

#include "base/map.h"
#include "sim/trace.h"

enum trace_form { TRACE_FORM_NONE, TRACE_FORM_MOONCAKE, TRACE_FORM_PLAIN };

struct trace_reader {
	const char *name; /* of the file */
	uint32_t line, block_size;
	enum trace_form form;
	VEC(struct trace_row) rows;
	VEC(uint64_t) hashes;
	struct map sessions; /* name hash -> struct trace_session * */
};

/* What a number is mixed with says what it names, so that a session never looks like a prefix. */
enum { TRACE_MIX_ID = 1, TRACE_MIX_PREFIX, TRACE_MIX_SESSION, TRACE_MIX_UNIQUE, TRACE_MIX_PARTIAL, TRACE_MIX_TENANT };
uint64_t trace_mix(uint64_t a, uint64_t b);

/* One line, without its line feed. Err is a cause: the caller puts file and line in front. */
int trace_line_mooncake(struct trace_reader *r, const char *line, size_t len, struct err *err);
int trace_line_plain(struct trace_reader *r, const char *line, size_t len, struct err *err);
void trace_sessions_done(struct trace_reader *r);

/* row.hashes is where its hashes began in r->hashes; they reach to the end. */
int trace_row_add(struct trace_reader *r, const struct trace_row *row, struct err *err);
int trace_hash_add(struct trace_reader *r, uint64_t hash, struct err *err);

#endif
