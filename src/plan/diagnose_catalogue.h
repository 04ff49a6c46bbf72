/* diagnose_catalogue.h - the log signatures: how known messages read, what they mean, what to do.
 *
 * data/log-signatures.yaml, built into the program, is a list of entries; a file of the user adds more, or replaces those of
 * the same id. An entry:
 *
 *   - id: vllm-kv-cache-none            a stable name
 *     engine: vllm                      for people: vllm, sglang, llama.cpp, cuda, nccl, dynamo, python, kernel, docker, ...
 *     kind: cause                       cause (when not given), consequence: other failures bring it about; wrapper: says
 *                                       only that something failed; harmless: looks like an error; marker: never shown,
 *                                       conditions name it
 *     class: capacity                   capacity, configuration, environment, crash
 *     severity: fatal                   fatal, warning, info; by kind when not given
 *     rank: 5                           among causes of one class, smaller is told first; 50 when not given
 *     match: [...]                      patterns (diagnose_pattern.h); any one will do
 *     after: [ids]                      counts only when one of these was seen before in the same log
 *     unless: [ids]                     does not count when one of these was seen before
 *     cause: ..., remedy: ...           sentences with {captures}
 *     change: [dtype=half, gpus]        keys of a graph to change: diagnose --graph shows their lines
 *     example: |                        a log that shows it; a test runs it through the diagnoser
 *     example-graph: |                  and a graph for it
 *
 * Thread: constant once made. Memory: one arena of at most CATALOGUE_BYTES_MAX, and the automaton. */
#ifndef STATOR_PLAN_DIAGNOSE_CATALOGUE_H
#define STATOR_PLAN_DIAGNOSE_CATALOGUE_H

#include "plan/diagnose_pattern.h"
#include "plan/diagnose_words.h"
#include "plan/finding.h"

enum { SIGNATURES_MAX = 1000, CATALOGUE_BYTES_MAX = 64 * 1024 * 1024, SIGNATURE_RANK_DEFAULT = 50 };

enum signature_kind {
	SIGNATURE_CAUSE,
	SIGNATURE_CONSEQUENCE,
	SIGNATURE_WRAPPER,
	SIGNATURE_HARMLESS,
	SIGNATURE_MARKER,
};

struct signature {
	const char *id, *engine;
	enum signature_kind kind;
	enum finding_class class;
	enum finding_severity severity;
	uint32_t rank;
	struct pattern *patterns;
	uint32_t patterns_len;
	const uint32_t *after, *unless; /* places in the catalogue */
	uint32_t after_len, unless_len;
	const char *cause, *remedy; /* "" when there is none */
	const char *const *change;
	uint32_t change_len;
	const char *example, *example_graph; /* "" */
};

/* A word that makes a line of an unknown log worth showing. */
struct telling_word {
	const char *text;
	uint32_t weight;
};

struct catalogue;
/* Read the built-in entries, and then those of file (NULL: none). -EINVAL with every mistake in diags. */
int catalogue_create(struct catalogue **ret, const char *file, struct diags *diags, struct err *err);
/* Read text only, for tests. name is how messages call it. */
int catalogue_parse(
	struct catalogue **ret, const char *name, const char *text, size_t len, struct diags *diags, struct err *err);
void catalogue_destroy(struct catalogue *c);
DEFINE_CLEANUP(catalogue_destroy, struct catalogue)

uint32_t catalogue_len(const struct catalogue *c);
const struct signature *catalogue_at(const struct catalogue *c, uint32_t i);
/* The place of an id, or SIGNATURES_MAX. */
uint32_t catalogue_find(const struct catalogue *c, const char *id);

/* Weights of words that are none of an error: a server says that it serves; a line whose form is to be looked at, and which is
 * not worth showing for the word; an engine begins to start, and is past it. */
enum { WORD_SERVING = 1000, WORD_LOOK = 1001, WORD_STARTING = 1002, WORD_STARTED = 1003 };

/* What one word of the automaton stands for. */
struct catalogue_word {
	uint32_t signature; /* SIGNATURES_MAX: a telling word, or the beginning of a traceback */
	const struct pattern *pattern;
	uint32_t weight; /* of a telling word; WORD_...; 0: "Traceback (most recent call last)" */
};
const struct words *catalogue_words(const struct catalogue *c);
const struct catalogue_word *catalogue_word_at(const struct catalogue *c, uint32_t word);

#endif
