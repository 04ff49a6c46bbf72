/* diagnose_words.c - an Aho-Corasick automaton as one dense table; see diagnose_words.h.
 *
 *   class_of[256]      byte -> class; upper case as lower; every byte that is in no word is class 0, which leads to the root
 *   next[state << 6 | class]                       the state after this byte
 *   states 0 .. quiet - 1 end no word; states from quiet on do, so one comparison a byte tells
 *   ends[state - quiet]   first word that ends there, through same[word] and then shorter[state - quiet] for suffixes */
#include "plan/diagnose_words.h"
#include "base/coverage.h"

#include <string.h>

enum { CLASS_BITS = 6, NONE = UINT32_MAX };
_Static_assert(1 << CLASS_BITS == WORDS_CLASSES, "a row of the table");

struct words {
	uint16_t *next;
	uint32_t states, quiet;
	uint32_t *ends; /* word or NONE, by state */
	uint32_t *shorter; /* nearest proper suffix state that ends a word; 0: none */
	uint32_t *same; /* the next word that is equal, by word */
	uint8_t class_of[256];
};

static int classes_make(struct words *w, const char *const *list, const uint32_t *lens, uint32_t count, struct err *err)
{
	uint32_t used = 1;

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < lens[i]; k++) {
			uint8_t c = (uint8_t)list[i][k];

			if (w->class_of[c])
				continue;
			if (used == WORDS_CLASSES)
				return err_set(err, -E2BIG, "the words have more than %d different letters",
					WORDS_CLASSES - 1);
			w->class_of[c] = (uint8_t)used++;
		}
	for (int c = 'a'; c <= 'z'; c++)
		w->class_of[c - 'a' + 'A'] = w->class_of[c];
	return 0;
}

static uint16_t *cell(const struct words *w, uint32_t state, uint32_t class)
{
	return &w->next[(state << CLASS_BITS) | class];
}

/* The tree of all words: 0 in next means no child yet. */
static int tree_make(struct words *w, const char *const *list, const uint32_t *lens, uint32_t count, struct err *err)
{
	w->states = 1;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = 0;

		for (uint32_t k = 0; k < lens[i]; k++) {
			uint16_t *to = cell(w, at, w->class_of[(uint8_t)list[i][k]]);

			if (*to == 0 && w->states == WORDS_STATES_MAX)
				return err_set(
					err, -E2BIG, "the words have more than %d letters together", WORDS_STATES_MAX);
			if (*to == 0)
				*to = (uint16_t)w->states++;
			at = *to;
		}
		w->same[i] = w->ends[at];
		w->ends[at] = i;
	}
	return 0;
}

/* Breadth first: where a child is missing, go where the longest suffix that is in the tree goes. order gets the states. */
static void edges_complete(struct words *w, uint32_t *order, uint32_t *suffix)
{
	uint32_t head = 0, tail = 0;

	order[tail++] = 0;
	while (head < tail) {
		uint32_t at = order[head++];

		for (uint32_t class = 1; class < WORDS_CLASSES; class ++) {
			uint16_t *to = cell(w, at, class);
			uint32_t fallback = at == 0 ? 0 : *cell(w, suffix[at], class);

			if (*to == 0) {
				*to = (uint16_t)fallback;
				continue;
			}
			suffix[*to] = fallback;
			w->shorter[*to] = w->ends[fallback] != NONE ? fallback : w->shorter[fallback];
			order[tail++] = *to;
		}
	}
}

/* Number the states anew, those that end a word last. */
static int renumber(struct words *w, uint32_t *order, uint32_t *to)
{
	struct words old = *w;
	uint32_t n = 0;

	for (int loud = 0; loud < 2; loud++) {
		if (loud)
			w->quiet = n;
		for (uint32_t i = 0; i < w->states; i++)
			if ((old.ends[order[i]] != NONE || old.shorter[order[i]] != 0) == loud)
				to[order[i]] = n++;
	}
	ASSERT(w->states > 0);
	w->next = malloc((size_t)w->states * WORDS_CLASSES * sizeof *w->next);
	w->ends = malloc(w->states * sizeof *w->ends);
	w->shorter = malloc(w->states * sizeof *w->shorter);
	for (uint32_t i = 0; i < w->states && w->next && w->ends && w->shorter; i++) {
		w->ends[to[i]] = old.ends[i];
		w->shorter[to[i]] = to[old.shorter[i]];
		for (uint32_t class = 0; class < WORDS_CLASSES; class ++)
			*cell(w, to[i], class) = (uint16_t)to[*cell(&old, i, class)];
	}
	free(old.next);
	free(old.ends);
	free(old.shorter);
	return w->next && w->ends && w->shorter ? 0 : -ENOMEM;
}

static int automaton_make(struct words *w, const char *const *list, const uint32_t *lens, uint32_t count,
	uint32_t letters, struct err *err)
{
	CLEANUP(free_p) uint32_t *order = malloc(letters * sizeof *order), *suffix = calloc(letters, sizeof *suffix);
	int r;

	w->next = calloc((size_t)letters * WORDS_CLASSES, sizeof *w->next);
	w->ends = malloc(letters * sizeof *w->ends);
	w->shorter = calloc(letters, sizeof *w->shorter);
	w->same = malloc(MAX(count, 1u) * sizeof *w->same);
	if (!order || !suffix || !w->next || !w->ends || !w->shorter || !w->same)
		return err_set(err, -ENOMEM, "out of memory");
	memset(w->ends, 0xff, letters * sizeof *w->ends);
	if ((r = classes_make(w, list, lens, count, err)) < 0 || (r = tree_make(w, list, lens, count, err)) < 0)
		return r;
	edges_complete(w, order, suffix);
	return renumber(w, order, suffix) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

int words_create(struct words **ret, const char *const *list, const uint32_t *lens, uint32_t count, struct err *err)
{
	CLEANUP(words_destroy_p) struct words *w = calloc(1, sizeof *w);
	uint32_t letters = 1;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < count; i++) {
		ASSERT(lens[i] > 0);
		letters = MIN(letters + MIN(lens[i], (uint32_t)WORDS_STATES_MAX), (uint32_t)WORDS_STATES_MAX);
	}
	int r = automaton_make(w, list, lens, count, letters, err);
	if (r < 0)
		return r;
	*ret = TAKE(w);
	return 0;
}

void words_destroy(struct words *w)
{
	if (!w)
		return;
	free(w->next);
	free(w->ends);
	free(w->shorter);
	free(w->same);
	free(w);
}

static void tell(const struct words *w, uint32_t state, size_t end, words_found *found, void *ctx)
{
	for (; state >= w->quiet; state = w->shorter[state])
		for (uint32_t word = w->ends[state]; word != NONE; word = w->same[word])
			found(ctx, word, end);
}

NO_COVERAGE uint32_t words_scan(
	const struct words *w, uint32_t state, const char *data, size_t len, words_found *found, void *ctx)
{
	const uint16_t *next = w->next;
	const uint8_t *class_of = w->class_of;
	const uint32_t quiet = w->quiet;

	for (size_t i = 0; i < len; i++) {
		state = next[(state << CLASS_BITS) | class_of[(uint8_t)data[i]]];
		if (UNLIKELY(state >= quiet))
			tell(w, state, i + 1, found, ctx);
	}
	return state;
}
