/* engine_flags.c - look-ups in data/engine-flags.txt, where it lies; see engine_flags.h. Lines are sorted by bytes of "TABLE SPELLING ", so
 * halving finds them. */
#include "config/engine_flags.h"

#include "base/compiler.h"
#include "base/embed.h"
#include "config/suggest.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

EMBED_FILE(data_engine_flags, "data/engine-flags.txt");

enum { FIELDS = 9, VERSION_PARTS = 6 };

static const struct {
	const char *tables[3];
	bool abbreviates; /* Python's argparse does */
	bool underscores; /* are hyphens to it */
} programs[ENGINE_PROGRAMS] = {
	[ENGINE_VLLM_SERVE] = {{"vllm", "vllm.server", NULL}, true, true},
	[ENGINE_DYNAMO_VLLM] = {{"dynamo.vllm", "vllm", NULL}, true, true},
	[ENGINE_SGLANG_SERVER] = {{"sglang", NULL}, true, false},
	[ENGINE_DYNAMO_SGLANG] = {{"dynamo.sglang", "sglang", NULL}, true, false},
	[ENGINE_LLAMA_SERVER] = {{"llama", NULL}, false, true},
	[ENGINE_LLAMA_CPP_PYTHON] = {{"llama_cpp", NULL}, true, false},
};

/* ---- the text ---- */

static const char *text_end(void)
{
	return data_engine_flags_text + data_engine_flags_len;
}

static const char *line_behind(const char *line)
{
	const char *n = memchr(line, '\n', (size_t)(text_end() - line));
	return n ? n + 1 : text_end();
}

/* Comments and versions come first. */
static const char *first_line(void)
{
	const char *line = data_engine_flags_text;

	while (line < text_end() && (*line == '#' || !strncmp(line, "versions ", 9)))
		line = line_behind(line);
	return line;
}

/* The first line that is not before key. */
static const char *lower_bound(const char *key)
{
	const char *low = first_line(), *high = text_end();
	size_t len = strlen(key);

	while (low < high) {
		const char *mid = low + (high - low) / 2;
		while (mid > low && mid[-1] != '\n')
			mid--;
		if (strncmp(mid, key, len) < 0)
			low = line_behind(mid);
		else
			high = mid;
	}
	return low;
}

static bool begins_with(const char *line, const char *key)
{
	return line < text_end() && !strncmp(line, key, strlen(key));
}

static void copy(char *ret, size_t cap, const char *from, size_t len)
{
	len = MIN(len, cap - 1);
	memcpy(ret, from, len);
	ret[len] = '\0';
}

static enum engine_flag_kind kind_of(const char *word, size_t len)
{
	static const char *const names[] = {
		"switch", "bool", "optbool", "truth", "int", "size", "float", "str", "json"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == len && !memcmp(names[i], word, len))
			return (enum engine_flag_kind)i;
	return ENGINE_FLAG_STR;
}

static bool line_read(const char *line, struct engine_flag *ret)
{
	const char *field[FIELDS];
	size_t len[FIELDS];

	for (size_t i = 0; i < FIELDS; i++) {
		field[i] = line;
		len[i] = strcspn(line, " \n");
		line += len[i];
		if (i + 1 < FIELDS && *line++ != ' ')
			return false;
	}
	*ret = (struct engine_flag){
		.kind = kind_of(field[3], len[3]), .values = *field[4], .negative = *field[2] == '!'};
	copy(ret->table, sizeof ret->table, field[0], len[0]);
	copy(ret->spelling, sizeof ret->spelling, field[1], len[1]);
	copy(ret->name, sizeof ret->name, field[2] + ret->negative, len[2] - ret->negative);
	copy(ret->first, sizeof ret->first, field[5], len[5]);
	copy(ret->last, sizeof ret->last, *field[6] == '-' ? "" : field[6], *field[6] == '-' ? 0 : len[6]);
	ret->deprecated = memchr(field[7], 'd', len[7]);
	ret->refused = memchr(field[7], 'r', len[7]);
	ret->appends = memchr(field[7], 'a', len[7]);
	if (*field[8] != '-' || len[8] > 1) {
		ret->choices = field[8];
		ret->choices_len = (uint32_t)len[8];
	}
	return true;
}

void engine_flags_each(bool (*fn)(const struct engine_flag *flag, void *ctx), void *ctx)
{
	struct engine_flag flag;

	for (const char *line = first_line(); line < text_end(); line = line_behind(line))
		if (line_read(line, &flag) && !fn(&flag, ctx))
			return;
}

/* ---- versions ---- */

bool engine_version_valid(const char *text)
{
	if (*text == 'v' || *text == 'b')
		text++;
	return isdigit((unsigned char)*text);
}

static void version_parts(const char *text, unsigned long ret[VERSION_PARTS + 1])
{
	char *end;

	memset(ret, 0, (VERSION_PARTS + 1) * sizeof *ret);
	if (*text == 'v' || *text == 'b')
		text++;
	for (size_t i = 0; i < VERSION_PARTS && isdigit((unsigned char)*text); i++) {
		ret[i] = strtoul(text, &end, 10);
		text = *end == '.' ? end + 1 : end;
		if (*end != '.')
			break;
	}
	if (!strncmp(text, "post", 4))
		ret[VERSION_PARTS] = strtoul(text + 4, NULL, 10) + 1;
}

int engine_version_compare(const char *a, const char *b)
{
	unsigned long x[VERSION_PARTS + 1], y[VERSION_PARTS + 1];

	version_parts(a, x);
	version_parts(b, y);
	for (size_t i = 0; i <= VERSION_PARTS; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

/* The releases of a table, one after another: start with *at NULL. */
static bool next_version(const char *table, const char **at, char ret[ENGINE_VERSION_BYTES])
{
	char key[ENGINE_VERSION_BYTES + 16];

	snprintf(key, sizeof key, "versions %s ", table);
	if (!*at) {
		const char *line = data_engine_flags_text, *end = first_line();
		while (line < end && strncmp(line, key, strlen(key)))
			line = line_behind(line);
		if (line >= end)
			return false;
		*at = line + strlen(key);
	}
	size_t len = strcspn(*at, " \n");
	if (!len)
		return false;
	copy(ret, ENGINE_VERSION_BYTES, *at, len);
	*at += len + ((*at)[len] == ' ');
	return true;
}

void engine_versions(const char *table, char oldest[ENGINE_VERSION_BYTES], char newest[ENGINE_VERSION_BYTES])
{
	const char *at = NULL;
	char v[ENGINE_VERSION_BYTES];

	*oldest = *newest = '\0';
	while (next_version(table, &at, v)) {
		if (!*oldest)
			memcpy(oldest, v, sizeof v);
		memcpy(newest, v, sizeof v);
	}
}

bool engine_version_known(const char *table, const char *version)
{
	char oldest[ENGINE_VERSION_BYTES], newest[ENGINE_VERSION_BYTES];

	engine_versions(table, oldest, newest);
	return version && engine_version_valid(version) && engine_version_compare(version, oldest) >= 0 &&
	       engine_version_compare(version, newest) <= 0;
}

/* Is version among the flag's releases? 2: it was looked at, or lies between two of them; 1: it lies beside them, before the next one
 * that was looked at, so nobody knows; 0: no. */
static int within(const struct engine_flag *flag, const char *version)
{
	char v[ENGINE_VERSION_BYTES], before[ENGINE_VERSION_BYTES] = "", behind[ENGINE_VERSION_BYTES] = "";
	const char *at = NULL;

	if (engine_version_compare(version, flag->first) >= 0 &&
		(!*flag->last || engine_version_compare(version, flag->last) <= 0))
		return 2;
	while (next_version(flag->table, &at, v)) {
		if (engine_version_compare(v, flag->first) < 0)
			memcpy(before, v, sizeof v);
		if (*flag->last && !*behind && engine_version_compare(v, flag->last) > 0)
			memcpy(behind, v, sizeof v);
	}
	if (engine_version_compare(version, flag->first) < 0)
		return !*before || engine_version_compare(version, before) > 0;
	return *behind && engine_version_compare(version, behind) < 0;
}

/* ---- looking up ---- */

/* A release that can be asked about; NULL: not said, or older than all that were looked at. */
static const char *release_of(const char *table, const char *version)
{
	char oldest[ENGINE_VERSION_BYTES], newest[ENGINE_VERSION_BYTES];

	if (!version || !engine_version_valid(version))
		return NULL;
	engine_versions(table, oldest, newest);
	return engine_version_compare(version, oldest) < 0 ? NULL : version;
}

enum engine_flag_state engine_flag_find_in(
	struct engine_flag *ret, const char *table, const char *spelling, const char *version)
{
	char key[ENGINE_VERSION_BYTES + ENGINE_FLAG_BYTES + 4];
	struct engine_flag flag;
	int best = -1;

	version = release_of(table, version);
	if ((size_t)snprintf(key, sizeof key, "%s %s ", table, spelling) >= sizeof key || strpbrk(spelling, " \n"))
		return ENGINE_FLAG_UNKNOWN;
	for (const char *line = lower_bound(key); begins_with(line, key); line = line_behind(line)) {
		if (!line_read(line, &flag))
			continue;
		int here = version ? within(&flag, version) : *flag.last ? 0 : 2;
		if (here >= best) { /* of equal ones the newer */
			*ret = flag;
			best = here;
		}
	}
	return best < 0 ? ENGINE_FLAG_UNKNOWN : best == 0 ? ENGINE_FLAG_GONE : ENGINE_FLAG_KNOWN;
}

static const char *version_of(const char *table, const char *version, const char *wrapper)
{
	return strncmp(table, "dynamo.", 7) ? version : wrapper;
}

/* In all tables of the program: what knows it wins over what does not. */
static enum engine_flag_state find_exact(struct engine_flag *ret, enum engine_program program, const char *spelling,
	const char *version, const char *wrapper)
{
	enum engine_flag_state best = ENGINE_FLAG_UNKNOWN;
	struct engine_flag flag;

	for (const char *const *t = programs[program].tables; *t && best != ENGINE_FLAG_KNOWN; t++) {
		enum engine_flag_state now = engine_flag_find_in(&flag, *t, spelling, version_of(*t, version, wrapper));
		if (now < best) {
			best = now;
			*ret = flag;
		}
	}
	return best;
}

/* "--no-x" of a flag that has both. */
static enum engine_flag_state find_negative(struct engine_flag *ret, enum engine_program program, const char *spelling,
	const char *version, const char *wrapper)
{
	char positive[ENGINE_FLAG_BYTES];
	enum engine_flag_state state;

	if (strncmp(spelling, "--no-", 5))
		return ENGINE_FLAG_UNKNOWN;
	snprintf(positive, sizeof positive, "--%s", spelling + 5);
	state = find_exact(ret, program, positive, version, wrapper);
	if (state == ENGINE_FLAG_UNKNOWN || ret->kind != ENGINE_FLAG_BOOL || !strncmp(ret->table, "llama", 5))
		return ENGINE_FLAG_UNKNOWN; /* llama.cpp writes its negative spellings out */
	ret->negative = !ret->negative;
	return state;
}

/* argparse takes the beginning of a long flag when no other begins so; of a bool, "--no-..." begins one too. */
static enum engine_flag_state find_abbreviated(struct engine_flag *ret, enum engine_program program,
	const char *spelling, const char *version, const char *wrapper)
{
	char key[ENGINE_VERSION_BYTES + ENGINE_FLAG_BYTES + 4];
	bool found = false, no = !strncmp(spelling, "--no-", 5);
	struct engine_flag flag;

	if (strncmp(spelling, "--", 2) || strlen(spelling) < 4 || strlen(spelling) >= ENGINE_FLAG_BYTES)
		return ENGINE_FLAG_UNKNOWN;
	for (int negative = 0; negative <= (no ? 1 : 0); negative++)
		for (const char *const *t = programs[program].tables; *t; t++) {
			const char *v = release_of(*t, version_of(*t, version, wrapper));
			snprintf(key, sizeof key, "%s %s%s", *t, negative ? "--" : "",
				negative ? spelling + 5 : spelling);
			for (const char *line = lower_bound(key); begins_with(line, key); line = line_behind(line)) {
				if (!line_read(line, &flag) || (negative && flag.kind != ENGINE_FLAG_BOOL) ||
					(v ? !within(&flag, v) : *flag.last != '\0'))
					continue;
				if (found && (strcmp(flag.name, ret->name) || negative != ret->negative))
					return ENGINE_FLAG_AMBIGUOUS;
				*ret = flag;
				ret->negative = flag.negative != negative;
				found = true;
			}
		}
	return found ? ENGINE_FLAG_KNOWN : ENGINE_FLAG_UNKNOWN;
}

enum engine_flag_state engine_flag_find(struct engine_flag *ret, enum engine_program program, const char *spelling,
	const char *version, const char *wrapper)
{
	char name[ENGINE_FLAG_BYTES];
	enum engine_flag_state state, other;
	struct engine_flag flag;

	if (strlen(spelling) >= sizeof name)
		return ENGINE_FLAG_UNKNOWN;
	copy(name, sizeof name, spelling, strlen(spelling));
	for (char *p = name; programs[program].underscores && !strncmp(name, "--", 2) && *p; p++)
		*p = *p == '_' ? '-' : *p;
	state = find_exact(ret, program, name, version, wrapper);
	if (state == ENGINE_FLAG_KNOWN)
		return state;
	other = find_negative(&flag, program, name, version, wrapper);
	/* Also where other releases have a flag of that name: "--model" was one of SGLang's later than "--model-path". */
	if (other == ENGINE_FLAG_UNKNOWN && programs[program].abbreviates)
		other = find_abbreviated(&flag, program, name, version, wrapper);
	if (other < state || (other == ENGINE_FLAG_AMBIGUOUS && state == ENGINE_FLAG_UNKNOWN)) {
		*ret = flag;
		return other;
	}
	return state;
}

bool engine_flag_takes(const struct engine_flag *flag, const char *text)
{
	size_t len = strlen(text);

	for (const char *p = flag->choices; p && p < flag->choices + flag->choices_len;) {
		size_t n = strcspn(p, "|\n");
		if (n == len && !memcmp(p, text, n))
			return true;
		p += n + 1;
	}
	return !flag->choices;
}

/* The spans of a flag's spelling, in order: start with *at NULL. */
static bool next_span(const struct engine_flag *flag, const char **at, struct engine_flag *ret)
{
	char key[ENGINE_VERSION_BYTES + ENGINE_FLAG_BYTES + 4];

	snprintf(key, sizeof key, "%s %s ", flag->table, flag->spelling);
	*at = *at ? line_behind(*at) : lower_bound(key);
	return begins_with(*at, key) && line_read(*at, ret);
}

const char *engine_flag_oldest(char ret[ENGINE_VERSION_BYTES], const struct engine_flag *flag)
{
	struct engine_flag span;
	const char *at = NULL;

	memcpy(ret, next_span(flag, &at, &span) ? span.first : flag->first, ENGINE_VERSION_BYTES);
	return ret;
}

bool engine_flag_ever_values(const struct engine_flag *flag, const char *values)
{
	struct engine_flag span;

	for (const char *at = NULL; next_span(flag, &at, &span);)
		if (strchr(values, span.values))
			return true;
	return false;
}

bool engine_flag_ever_takes(const struct engine_flag *flag, const char *text)
{
	struct engine_flag span;

	for (const char *at = NULL; next_span(flag, &at, &span);)
		if (engine_flag_takes(&span, text))
			return true;
	return false;
}

/* ---- words for people ---- */

static const char *next_of_program(const char *line, const char *table)
{
	char key[ENGINE_VERSION_BYTES + 1];

	snprintf(key, sizeof key, "%s ", table);
	line = line ? line_behind(line) : lower_bound(key);
	return begins_with(line, key) ? line : NULL;
}

const char *engine_flag_suggest(char *ret, enum engine_program program, const char *spelling, const char *version)
{
	const char *bare = spelling + strspn(spelling, "-"), *best = NULL;
	uint32_t limit = (uint32_t)MIN(MAX(strlen(bare) / 3, 1), 3), nearest = limit + 1;
	struct engine_flag flag;

	if (strlen(bare) < 2)
		return NULL;
	for (const char *const *t = programs[program].tables; *t; t++)
		for (const char *line = NULL; (line = next_of_program(line, *t));) {
			if (!line_read(line, &flag) || strncmp(flag.spelling, "--", 2) || flag.refused ||
				(version && engine_version_valid(version) && strncmp(*t, "dynamo.", 7)
						? !within(&flag, version)
						: *flag.last != '\0'))
				continue;
			uint32_t d = suggest_distance(bare, flag.spelling + 2, limit);
			if (d < nearest) {
				nearest = d;
				best = line;
			}
		}
	if (!best || !line_read(best, &flag))
		return NULL;
	memcpy(ret, flag.spelling, ENGINE_FLAG_BYTES);
	return ret;
}

const char *engine_flag_spelled(char *ret, enum engine_program program, const char *name, const char *version)
{
	struct engine_flag flag;
	bool found = false;

	for (const char *const *t = programs[program].tables; *t && !found; t++)
		for (const char *line = NULL; (line = next_of_program(line, *t));) {
			if (!line_read(line, &flag) || flag.negative || strcmp(flag.name, name) ||
				strncmp(flag.spelling, "--", 2) ||
				(version && engine_version_valid(version) ? !within(&flag, version)
									  : *flag.last != '\0'))
				continue;
			if (!found || !strcmp(flag.spelling + 2, name))
				memcpy(ret, flag.spelling, ENGINE_FLAG_BYTES);
			found = true;
		}
	return found ? ret : NULL;
}

const char *engine_table_product(const char *table)
{
	return !strncmp(table, "vllm", 4)     ? "vLLM"
	       : !strncmp(table, "sglang", 6) ? "SGLang"
	       : !strncmp(table, "dynamo", 6) ? "Dynamo"
	       : !strcmp(table, "llama_cpp")  ? "llama-cpp-python"
					      : "llama.cpp";
}
