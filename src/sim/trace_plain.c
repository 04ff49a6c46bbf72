/* trace_plain.c - lines of the plain form.
 *
 * A prompt is a row of pieces, (text, tokens of it): what its conversation said before, or named prefixes, then words of its
 * own. The hash of a block mixes the pieces in it with the hash before, so equal beginnings have equal hashes whatever
 * the block size is. */
#include "base/rng.h"
#include "sim/trace_priv.h"

#include <stdio.h>

struct piece {
	uint64_t text;
	uint32_t from, tokens; /* [from, from + tokens) of it */
};
struct trace_session {
	VEC(struct piece) pieces;
	uint64_t tokens;
};
/* What one line says. */
struct plain {
	uint64_t at_us;
	uint32_t prompt, answer;
	struct piece prefixes[TRACE_PREFIXES_MAX];
	uint32_t prefixes_count;
	uint64_t prefix_tokens, session, tenant;
	int32_t priority;
};

static void session_free(struct trace_session *s)
{
	vec_done(&s->pieces);
	free(s);
}

void trace_sessions_done(struct trace_reader *r)
{
	uint32_t pos = 0;
	uint64_t key, value;

	while (map_next(&r->sessions, &pos, &key, &value))
		session_free((struct trace_session *)(uintptr_t)value);
	map_done(&r->sessions);
}

static uint64_t name_hash(uint64_t kind, const char *name, size_t len)
{
	uint64_t h = trace_mix(kind, len);
	for (size_t i = 0; i < len; i++)
		h = trace_mix(h, (uint8_t)name[i]);
	return h ? h : 1;
}

static int whole(const char *what, const char *word, uint64_t min, uint64_t max, uint64_t *ret, struct err *err)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(word, &end, 10);

	if (*word < '0' || *word > '9' || *end)
		return err_set(err, -EINVAL, "%s \"%s\" is not a whole number", what, word);
	if (errno || v < min || v > max)
		return err_set(err, -ERANGE, "%s is %s; it goes from %llu to %llu", what, word, (unsigned long long)min,
			(unsigned long long)max);
	*ret = v;
	return 0;
}

static int time_read(const char *word, uint64_t *ret_us, struct err *err)
{
	char *end;
	double ms = strtod(word, &end);

	if (*end || end == word || !(ms >= 0 && ms <= 4e12))
		return err_set(err, -EINVAL, "time \"%s\" is not a number of milliseconds", word);
	*ret_us = (uint64_t)(ms * 1000 + 0.5);
	return 0;
}

static int prefix_read(struct plain *p, const char *value, struct err *err)
{
	const char *colon = strrchr(value, ':');
	uint64_t tokens;

	if (!colon || colon == value || colon - value > TRACE_NAME_BYTES_MAX)
		return err_set(err, -EINVAL, "prefix \"%s\" is not NAME:TOKENS", value);
	if (whole("the length of a prefix", colon + 1, 1, TRACE_PROMPT_TOKENS_MAX, &tokens, err) < 0)
		return -EINVAL;
	if (p->prefixes_count == TRACE_PREFIXES_MAX)
		return err_set(err, -E2BIG, "more than %d prefixes in one request", TRACE_PREFIXES_MAX);
	p->prefixes[p->prefixes_count++] = (struct piece){
		.text = name_hash(TRACE_MIX_PREFIX, value, (size_t)(colon - value)), .tokens = (uint32_t)tokens};
	p->prefix_tokens += tokens;
	return 0;
}

static int option_read(struct plain *p, char *word, struct err *err)
{
	char *value = strchr(word, '=');

	if (!value)
		return err_set(err, -EINVAL,
			"\"%s\" is not understood; after the three numbers come prefix=NAME:TOKENS, session=NAME, "
			"tenant=NAME, "
			"priority=N",
			word);
	*value++ = '\0';
	if (!strcmp(word, "prefix"))
		return prefix_read(p, value, err);
	if (!*value)
		return err_set(err, -EINVAL, "%s= has no value", word);
	if (!strcmp(word, "session"))
		return p->session = name_hash(TRACE_MIX_SESSION, value, strlen(value)), 0;
	if (!strcmp(word, "tenant"))
		return p->tenant = name_hash(TRACE_MIX_TENANT, value, strlen(value)), 0;
	if (strcmp(word, "priority"))
		return err_set(
			err, -EINVAL, "unknown key \"%s\"; there are prefix, session, tenant and priority", word);
	char *end;
	long v = strtol(value, &end, 10);
	if (*end || v < -1000 || v > 1000)
		return err_set(err, -ERANGE, "priority \"%s\" is not a whole number from -1000 to 1000", value);
	return p->priority = (int32_t)v, 0;
}

static int words_read(struct plain *ret, char *line, struct err *err)
{
	char *save, *word = strtok_r(line, " \t\r", &save);
	uint64_t prompt, answer;

	if (time_read(word, &ret->at_us, err) < 0)
		return -EINVAL;
	if (!(word = strtok_r(NULL, " \t\r", &save)))
		return err_set(err, -EINVAL, "the number of prompt tokens is missing");
	if (whole("the number of prompt tokens", word, 1, TRACE_PROMPT_TOKENS_MAX, &prompt, err) < 0)
		return -EINVAL;
	if (!(word = strtok_r(NULL, " \t\r", &save)))
		return err_set(err, -EINVAL, "the number of answer tokens is missing");
	if (whole("the number of answer tokens", word, 1, TRACE_PROMPT_TOKENS_MAX, &answer, err) < 0)
		return -EINVAL;
	ret->prompt = (uint32_t)prompt;
	ret->answer = (uint32_t)answer;
	while ((word = strtok_r(NULL, " \t\r", &save)) && *word != '#')
		if (option_read(ret, word, err) < 0)
			return -EINVAL;
	return 0;
}

static int session_get(struct trace_reader *r, uint64_t name, struct trace_session **ret, struct err *err)
{
	*ret = map_get_ptr(&r->sessions, name);
	if (*ret)
		return 0;
	struct trace_session *s = calloc(1, sizeof *s);
	if (!s || map_put_ptr(&r->sessions, name, s) < 0) {
		free(s);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = s;
	return 0;
}

static int hashes_make(struct trace_reader *r, const struct piece *v, uint32_t count, struct err *err)
{
	uint64_t hash = trace_mix(TRACE_MIX_UNIQUE, 0);
	uint32_t room = r->block_size;

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t at = 0; at < v[i].tokens;) {
			uint32_t n = MIN(room, v[i].tokens - at);
			hash = trace_mix(trace_mix(hash, v[i].text), (uint64_t)(v[i].from + at) << 32 | n);
			at += n;
			room -= n;
			if (room == 0) {
				if (trace_hash_add(r, hash, err) < 0)
					return -ENOMEM;
				room = r->block_size;
			}
		}
	return 0;
}

/* The pieces of the prompt, into s (a session that lasts, or one for this line alone). */
static int pieces_make(struct trace_reader *r, struct trace_session *s, const struct plain *p, struct err *err)
{
	uint64_t known = s->tokens;

	if (!s->pieces.len) {
		for (uint32_t i = 0; i < p->prefixes_count; i++)
			if (vec_push(&s->pieces, p->prefixes[i]) < 0)
				return err_set(err, -ENOMEM, "out of memory");
		known = p->prefix_tokens;
	}
	if (p->prompt < known)
		return err_set(err, -EINVAL, "the prompt has %u tokens, but what it begins with has %llu", p->prompt,
			(unsigned long long)known);
	struct piece own = {.text = trace_mix(TRACE_MIX_UNIQUE, r->line), .tokens = (uint32_t)(p->prompt - known)};
	if (own.tokens && vec_push(&s->pieces, own) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	s->tokens = p->prompt;
	return 0;
}

static int row_make(struct trace_reader *r, struct trace_session *s, const struct plain *p, struct err *err)
{
	struct trace_row row = {.at_us = p->at_us,
		.prompt_tokens = p->prompt,
		.answer_tokens = p->answer,
		.priority = p->priority,
		.tenant = p->tenant,
		.session = p->session,
		.hashes = r->hashes.len};

	if (pieces_make(r, s, p, err) < 0 || hashes_make(r, s->pieces.v, s->pieces.len, err) < 0 ||
		trace_row_add(r, &row, err) < 0)
		return err ? err->code : -EINVAL;
	struct piece answer = {
		.text = trace_mix(TRACE_MIX_UNIQUE, r->line), .from = TRACE_PROMPT_TOKENS_MAX, .tokens = p->answer};
	if (vec_push(&s->pieces, answer) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	s->tokens += p->answer;
	return 0;
}

int trace_line_plain(struct trace_reader *r, const char *line, size_t len, struct err *err)
{
	char words[4096];
	struct plain p = {0};
	struct trace_session once = {0}, *s = &once;

	if (len >= sizeof words)
		return err_set(err, -E2BIG, "the line has %zu bytes, at most %zu are read", len, sizeof words - 1);
	if (memchr(line, '\0', len))
		return err_set(err, -EINVAL, "there is a zero byte in the line");
	snprintf(words, sizeof words, "%.*s", (int)len, line);
	if (words_read(&p, words, err) < 0 || (p.session && session_get(r, p.session, &s, err) < 0))
		return err ? err->code : -EINVAL;
	int code = row_make(r, s, &p, err);
	vec_done(&once.pieces);
	return code;
}
