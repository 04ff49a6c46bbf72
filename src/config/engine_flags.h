/* engine_flags.h - the flags of the engines' own command lines, by version: data/engine-flags.txt, which scripts/engine-flags derives
 * from the engines' sources. It says of each spelling how many values it takes, of which kind, and which releases have it.
 *
 *   engine_flag_find(&flag, ENGINE_VLLM_SERVE, "--max-model-len", "0.9.2") -> ENGINE_FLAG_KNOWN
 *
 * A release between two that were looked at has a flag when either of them has it. One newer than all is taken for the newest.
 * Any thread: the text is constant and searched where it lies. No allocation. A look-up costs some twenty comparisons, a
 * suggestion one pass over a program's lines. */
#ifndef STATOR_CONFIG_ENGINE_FLAGS_H
#define STATOR_CONFIG_ENGINE_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What parses a command line. The wrappers of Dynamo take their own flags and their engine's, without those of its HTTP server. */
enum engine_program {
	ENGINE_VLLM_SERVE,
	ENGINE_DYNAMO_VLLM,
	ENGINE_SGLANG_SERVER,
	ENGINE_DYNAMO_SGLANG,
	ENGINE_LLAMA_SERVER,
	ENGINE_LLAMA_CPP_PYTHON,
	ENGINE_PROGRAMS
};

enum engine_flag_kind {
	ENGINE_FLAG_SWITCH,
	ENGINE_FLAG_BOOL, /* also --no-x */
	ENGINE_FLAG_OPTBOOL, /* --x, --x true, --x=false */
	ENGINE_FLAG_TRUTH, /* --x true */
	ENGINE_FLAG_INT,
	ENGINE_FLAG_SIZE, /* 32k is one */
	ENGINE_FLAG_FLOAT,
	ENGINE_FLAG_STR,
	ENGINE_FLAG_JSON,
};

enum { ENGINE_FLAG_BYTES = 96, ENGINE_VERSION_BYTES = 24 };

/* A spelling in the releases in which it stayed the same. */
struct engine_flag {
	char table[ENGINE_VERSION_BYTES]; /* "vllm", "vllm.server", "dynamo.vllm" */
	char spelling[ENGINE_FLAG_BYTES]; /* "-tp" */
	char name[ENGINE_FLAG_BYTES]; /* "tensor-parallel-size": what all its spellings share */
	enum engine_flag_kind kind;
	char values; /* '0' none, '1', '2', '?' none or one, '+' one or more, '*' any number */
	bool negative; /* this spelling says no */
	bool deprecated, refused, appends; /* refused: the release knows it, and ends with a message */
	char first[ENGINE_VERSION_BYTES], last[ENGINE_VERSION_BYTES]; /* last "": the newest */
	const char *choices; /* choices_len bytes, apart by '|'; NULL: any value */
	uint32_t choices_len;
};

enum engine_flag_state {
	ENGINE_FLAG_KNOWN,
	ENGINE_FLAG_GONE, /* other releases have it, this one does not */
	ENGINE_FLAG_UNKNOWN, /* none has it */
	ENGINE_FLAG_AMBIGUOUS, /* it abbreviates several */
};

/* Find a spelling as typed, without a value ("--max_model_len", "-tp", "--no-enable-prefix-caching", an abbreviation where the program
 * takes these). version: the engine's release, NULL or "" when it is not known (then the newest that has it answers: GONE when that
 * is not the newest of all). ret: the flag, also when GONE (its nearest releases); of AMBIGUOUS, one of them. wrapper: the release of
 * Dynamo, for its wrappers' own flags. */
enum engine_flag_state engine_flag_find(struct engine_flag *ret, enum engine_program program, const char *spelling,
	const char *version, const char *wrapper);
/* The same of one table ("vllm.server"), for a flag that another program has. */
enum engine_flag_state engine_flag_find_in(
	struct engine_flag *ret, const char *table, const char *spelling, const char *version);
/* The nearest spelling that the release has ("--tensor-parallel-size"), or NULL. ret is ENGINE_FLAG_BYTES long. */
const char *engine_flag_suggest(char *ret, enum engine_program program, const char *spelling, const char *version);
/* Is text one of the flag's choices, or are there none? */
bool engine_flag_takes(const struct engine_flag *flag, const char *text);
/* The first release that has the spelling, however it took it then. Returns ret. */
const char *engine_flag_oldest(char ret[ENGINE_VERSION_BYTES], const struct engine_flag *flag);
/* Does any release have the spelling with one of these counts of values ("0?")? With this choice? */
bool engine_flag_ever_values(const struct engine_flag *flag, const char *values);
bool engine_flag_ever_takes(const struct engine_flag *flag, const char *text);
/* How one writes the flag on a program's command line: its long spelling in that release; NULL: it has none. */
const char *engine_flag_spelled(char *ret, enum engine_program program, const char *name, const char *version);

/* "vLLM", "SGLang", "llama.cpp", "Dynamo": what the releases of a table are of. */
const char *engine_table_product(const char *table);
/* The oldest and newest release looked at. */
void engine_versions(const char *table, char oldest[ENGINE_VERSION_BYTES], char newest[ENGINE_VERSION_BYTES]);
/* Is it a release from the oldest to the newest looked at? */
bool engine_version_known(const char *table, const char *version);
/* Order of two releases: 0.6.3.post1 comes behind 0.6.3; "v0.9.2", "b4747" and "0.5.2-cu126" are read too. */
int engine_version_compare(const char *a, const char *b);
/* Does text begin as a release does ("0.9.2", "v0.10.1.1", "b4747")? */
bool engine_version_valid(const char *text);

/* Call fn for each line of the table, in order (for tests and suggestions). Ends when fn returns false. */
void engine_flags_each(bool (*fn)(const struct engine_flag *flag, void *ctx), void *ctx);

#endif
