/* segments.h - cut text at special tokens, as llama.cpp does it: one special token after another, in order of rank, each
 * taking what the ones before it left (vendor src/llama-vocab.cpp, tokenizer_st_partition). One pass here.
 * Thread: any. Memory: a byte a byte of text while it cuts, and 16 bytes a match. */
#ifndef STATOR_TEXT_SEGMENTS_H
#define STATOR_TEXT_SEGMENTS_H

#include "text/specials.h"
#include "text/tokenizer.h"

/* A stretch of text between special tokens, or a special token (text NULL). */
struct text_segment {
	const char *text;
	size_t len;
	uint32_t id;
};
struct text_segments {
	struct text_segment *v;
	uint32_t len, cap;
};
struct text_range {
	size_t begin, end;
};
struct text_ranges {
	struct text_range *v;
	uint32_t len, cap;
};
/* Cut text at the tokens of s that lie whole inside one of the ranges (offsets, ascending); NULL: anywhere. Segments borrow
 * text. White space that a token eats is left out. 0 or -ENOMEM. */
int segments_cut(const struct specials *s, const char *text, size_t len, const struct text_ranges *within,
	struct text_segments *ret) MUST_USE;

#endif
