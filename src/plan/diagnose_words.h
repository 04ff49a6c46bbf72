/* diagnose_words.h - find any of some hundreds of words in a stream of bytes, in one pass: an Aho-Corasick automaton, made
 * complete (one table look-up a byte), without regard to ASCII case.
 *
 * Own, because it is this small, and the library of the field (Hyperscan) is 5 MB, x86 only in Debian, and compiles its
 * database longer than a mock deployment takes to start.
 *
 * Thread: constant once made, any number of readers. Memory: 2 bytes x states (about the letters of all words, at most
 * WORDS_STATES_MAX) x 64. */
#ifndef STATOR_PLAN_DIAGNOSE_WORDS_H
#define STATOR_PLAN_DIAGNOSE_WORDS_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum { WORDS_STATES_MAX = 60000, WORDS_CLASSES = 64 };

struct words;
/* words[i] of lens[i] bytes, in lower case, none empty. The same word may come several times. Copies. -E2BIG: too many
 * letters, or too many different ones. */
int words_create(struct words **ret, const char *const *list, const uint32_t *lens, uint32_t count, struct err *err);
void words_destroy(struct words *w);
DEFINE_CLEANUP(words_destroy, struct words)

/* One word ends before data[end]. */
typedef void words_found(void *ctx, uint32_t word, size_t end);
/* Look through data. state is 0 at first and is what the last call returned when data goes on. found must not be NULL. */
uint32_t words_scan(const struct words *w, uint32_t state, const char *data, size_t len, words_found *found, void *ctx);

#endif
