/* presplit.h - cut text into the words that byte-pair merging works on, as llama.cpp's own splitters of four families do
 * (vendor src/unicode.cpp: custom_gpt2, custom_llama3, custom_qwen2, and \p{N} before gpt2). The rules are stateless:
 * where a word ends depends on what follows its first character only.
 * Thread: any. Memory: the classes of 256 characters (256 bytes) for each such page of Unicode that was ever met. */
#ifndef STATOR_TEXT_PRESPLIT_H
#define STATOR_TEXT_PRESPLIT_H

#include "llama/vocab.h"

/* Where the word that begins at pos ends; text[0, len) is whole UTF-8 and pos < len. Amortized linear over a text: *hint
 * is private to the walk, 0 at its beginning. */
size_t presplit_next(enum ll_split split, const char *text, size_t len, size_t pos, size_t *hint);

#endif
