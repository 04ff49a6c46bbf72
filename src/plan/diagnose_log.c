/* diagnose_log.c - reading a log; see diagnose_log.h.
 *
 * Whole lines are scanned in place, in the caller's memory, by one automaton for all keys and telling words. Only around a
 * word that was found is the line looked at: its bounds, its number (line feeds since the last one are counted), its full
 * pattern. A line that is cut by the end of the data waits in carry. */
#include "plan/diagnose_log.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum {
	CARRY_BYTES_MAX = 64 * 1024, /* a longer line is read in pieces */
	LINE_LOOK_BYTES = 4096, /* of a long line, what a pattern sees around its key */
	HITS_COUNTED_MAX = 1000, /* of one signature: more are not looked at */
	TRACEBACK_LINES_MAX = 600, /* until its exception must come */
	TRACEBACK_PREFIX_MAX = 160,
};

struct diagnosed_log {
	const struct catalogue *catalogue;
	char *name;
	struct log_hit *hits; /* one a signature; line 0: not met */
	uint32_t hits_len;
	bool fatal;
	struct log_line telling[DIAGNOSE_TELLING_MAX];
	uint32_t telling_len;
	uint64_t lines; /* behind us */
	char *carry;
	size_t carry_len;

	/* A traceback whose exception has not come: the lines that belong to it begin as its first line did. */
	uint32_t traceback_left; /* lines; 0: none is open */
	uint32_t traceback_prefix_len;
	char traceback_prefix[TRACEBACK_PREFIX_MAX];
	bool traceback_seen;
	uint64_t
		traceback_end; /* the line where the last one was left: another that begins before it is a part of it */

	/* While a block is scanned. */
	const char *block;
	size_t block_len, counted; /* line feeds before counted are in lines */
	size_t line_start, line_end; /* the line looked at last; start == end == 0: none */
};

/* Lines as they are shown. */

/* Behind an escape sequence at i (of which line[i] is ESC). */
static size_t escape_end(const char *line, size_t len, size_t i)
{
	if (++i >= len || line[i] != '[')
		return MIN(i + 1, len);
	for (i++; i < len && !(line[i] >= 0x40 && line[i] <= 0x7e);)
		i++;
	return MIN(i + 1, len);
}

size_t log_line_clean(const char *line, size_t len, char *ret, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < cap;) {
		unsigned char c = (unsigned char)line[i];

		if (c == 0x1b) {
			i = escape_end(line, len, i);
			continue;
		}
		if (c >= 0x20 && c != 0x7f)
			ret[n++] = (char)c;
		else if (c == '\t')
			ret[n++] = ' ';
		i++;
	}
	while (n > 0 && ret[n - 1] == ' ')
		n--;
	/* Not half a character of UTF-8. */
	if (n + 1 == cap)
		while (n > 0 && ((unsigned char)ret[n - 1] & 0xc0) == 0x80)
			n--;
	ret[n] = '\0';
	return strlen(utf8_plain(ret));
}

static char *line_copy(const char *line, size_t len)
{
	char text[DIAGNOSE_LINE_BYTES_MAX];

	log_line_clean(line, len, text, sizeof text);
	return strdup(text);
}

/* "NN" at s, or -1. */
static int two_digits(const char *s)
{
	return isdigit((unsigned char)s[0]) && isdigit((unsigned char)s[1]) ? (s[0] - '0') * 10 + s[1] - '0' : -1;
}

uint64_t log_line_time_ms(const char *line, size_t len)
{
	for (size_t i = 0; i + 14 <= MIN(len, (size_t)160); i++) {
		const char *s = line + i;
		int month = two_digits(s), day = two_digits(s + 3), hour = two_digits(s + 6),
		    minute = two_digits(s + 9), second = two_digits(s + 12);
		uint64_t year = 0, ms = 0;

		if (month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0 || s[2] != '-' ||
			(s[5] != ' ' && s[5] != 'T') || s[8] != ':' || s[11] != ':')
			continue;
		if (i >= 5 && s[-1] == '-' && two_digits(s - 5) >= 0 && two_digits(s - 3) >= 0)
			year = (uint64_t)two_digits(s - 5) * 100 + (uint64_t)two_digits(s - 3);
		if (i + 18 <= len && (s[14] == '.' || s[14] == ',') && isdigit((unsigned char)s[15]) &&
			two_digits(s + 16) >= 0)
			ms = (uint64_t)(s[15] - '0') * 100 + (uint64_t)two_digits(s + 16);
		uint64_t days = year * 372 + (uint64_t)month * 31 + (uint64_t)day;
		return (((days * 24 + (uint64_t)hour) * 60 + (uint64_t)minute) * 60 + (uint64_t)second) * 1000 + ms;
	}
	return 0;
}

/* Making. */

struct diagnosed_log *diagnosed_log_create(const struct catalogue *catalogue, const char *name)
{
	struct diagnosed_log *log = calloc(1, sizeof *log);

	if (!log)
		return NULL;
	log->catalogue = catalogue;
	log->hits_len = catalogue_len(catalogue);
	log->name = strdup(name);
	log->carry = malloc(CARRY_BYTES_MAX);
	log->hits = calloc(log->hits_len + 1, sizeof *log->hits);
	if (!log->name || !log->carry || !log->hits) {
		diagnosed_log_destroy(log);
		return NULL;
	}
	return log;
}

void diagnosed_log_reset(struct diagnosed_log *log)
{
	for (uint32_t i = 0; i < log->hits_len; i++)
		free(log->hits[i].text);
	memset(log->hits, 0, (log->hits_len + 1) * sizeof *log->hits);
	for (uint32_t i = 0; i < log->telling_len; i++)
		free(log->telling[i].text);
	log->telling_len = 0;
	log->lines = 0;
	log->carry_len = 0;
	log->traceback_left = 0;
	log->traceback_end = 0;
	log->fatal = log->traceback_seen = false;
}

void diagnosed_log_destroy(struct diagnosed_log *log)
{
	if (!log)
		return;
	if (log->hits)
		diagnosed_log_reset(log);
	free(log->hits);
	free(log->name);
	free(log->carry);
	free(log);
}

/* Signatures. */

static bool any_met(const struct diagnosed_log *log, const uint32_t *list, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (log->hits[list[i]].line > 0)
			return true;
	return false;
}

static bool counts_here(const struct diagnosed_log *log, const struct signature *s)
{
	return (s->after_len == 0 || any_met(log, s->after, s->after_len)) && !any_met(log, s->unless, s->unless_len);
}

static void hit_note(struct diagnosed_log *log, const struct catalogue_word *word, const char *line, size_t len)
{
	const struct signature *s = catalogue_at(log->catalogue, word->signature);
	struct log_hit *hit = &log->hits[word->signature];

	if (hit->count >= HITS_COUNTED_MAX || !counts_here(log, s) || !pattern_match(word->pattern, line, len, NULL))
		return;
	if (hit->count++ > 0)
		return;
	hit->line = log->lines + 1;
	hit->time_ms = log_line_time_ms(log->block + log->line_start, log->line_end - log->line_start);
	hit->text = line_copy(line, len);
	if (!hit->text)
		hit->line = hit->count = 0;
	else
		log->fatal = log->fatal || (s->severity == FINDING_FATAL && s->kind == SIGNATURE_CAUSE);
}

/* Unknown lines. */

struct known_check {
	const struct diagnosed_log *log;
	const char *line;
	size_t len;
	bool known;
};

static void on_word_of_line(void *ctx, uint32_t number, size_t end)
{
	struct known_check *c = ctx;
	const struct catalogue_word *word = catalogue_word_at(c->log->catalogue, number);
	(void)end;

	if (!c->known && word->signature < SIGNATURES_MAX)
		c->known = pattern_match(word->pattern, c->line, c->len, NULL);
}

static bool line_is_known(const struct diagnosed_log *log, const char *line, size_t len)
{
	struct known_check c = {log, line, MIN(len, (size_t)LINE_LOOK_BYTES), false};

	words_scan(catalogue_words(log->catalogue), 0, line, c.len, on_word_of_line, &c);
	return c.known;
}

/* The place of the lightest, of equal ones the last. */
static uint32_t telling_lightest(const struct diagnosed_log *log)
{
	uint32_t at = 0;

	for (uint32_t i = 1; i < log->telling_len; i++)
		if (log->telling[i].weight <= log->telling[at].weight)
			at = i;
	return at;
}

static void telling_add(struct diagnosed_log *log, uint64_t number, const char *line, size_t len, uint32_t weight)
{
	bool full = log->telling_len == DIAGNOSE_TELLING_MAX;
	uint32_t drop = telling_lightest(log);
	uint32_t at;

	if (full && (log->telling[drop].weight > weight ||
			    (log->telling[drop].weight == weight && log->telling[drop].number < number)))
		return;
	for (uint32_t i = 0; i < log->telling_len; i++)
		if (log->telling[i].number == number) {
			log->telling[i].weight = MAX(log->telling[i].weight, weight);
			return;
		}
	if (line_is_known(log, line, len))
		return;
	char *text = line_copy(line, len);
	if (!text)
		return;
	if (full) {
		free(log->telling[drop].text);
		memmove(&log->telling[drop], &log->telling[drop + 1],
			(log->telling_len - drop - 1) * sizeof *log->telling);
		log->telling_len--;
	}
	/* The end of a traceback is noted before the lines above it are looked at: keep them in order. */
	for (at = log->telling_len++; at > 0 && log->telling[at - 1].number > number; at--)
		log->telling[at] = log->telling[at - 1];
	log->telling[at] = (struct log_line){number, weight, text};
}

/* How a traceback ends: the first line that stands at its margin. What another process logs in between is skipped. Looks at
 * the lines of the block from at on, of which the first has this number. */
static void traceback_read(struct diagnosed_log *log, size_t at, uint64_t number)
{
	while (at < log->block_len && log->traceback_left > 0) {
		const char *line = log->block + at, *end = memchr(line, '\n', log->block_len - at);
		size_t len = end ? (size_t)(end - line) : log->block_len - at, prefix = log->traceback_prefix_len;

		log->traceback_left--;
		log->traceback_end = number;
		if (len > prefix && memcmp(line, log->traceback_prefix, prefix) == 0 &&
			!isspace((unsigned char)line[prefix]) && isalpha((unsigned char)line[prefix])) {
			uint32_t weight = log->traceback_seen ? LOG_LINE_EXCEPTION : LOG_LINE_FIRST_EXCEPTION;

			log->traceback_left = 0;
			log->traceback_seen = true;
			telling_add(log, number, line, len, weight);
		}
		at += len + 1;
		number++;
	}
}

static void traceback_begin(struct diagnosed_log *log, size_t word_start)
{
	size_t prefix = word_start - log->line_start;

	if (prefix > TRACEBACK_PREFIX_MAX || log->traceback_left > 0 || log->lines + 1 <= log->traceback_end)
		return;
	memcpy(log->traceback_prefix, log->block + log->line_start, prefix);
	log->traceback_prefix_len = (uint32_t)prefix;
	log->traceback_left = TRACEBACK_LINES_MAX;
	traceback_read(log, log->line_end + 1, log->lines + 2);
}

/* Scanning. */

static uint64_t line_feeds(const char *data, size_t len)
{
	uint64_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += data[i] == '\n';
	return count;
}

/* Find the line around a word that ends before end, unless it is the one we are at. */
static void line_seek(struct diagnosed_log *log, size_t end)
{
	if (log->line_end > 0 && end <= log->line_end)
		return;
	const char *before = memrchr(log->block, '\n', end - 1);
	const char *behind = memchr(log->block + end, '\n', log->block_len - end);

	log->line_start = before ? (size_t)(before - log->block) + 1 : 0;
	log->line_end = behind ? (size_t)(behind - log->block) : log->block_len;
	log->lines += line_feeds(log->block + log->counted, log->line_start - log->counted);
	log->counted = log->line_start;
}

static void on_word(void *ctx, uint32_t number, size_t end)
{
	struct diagnosed_log *log = ctx;
	const struct catalogue_word *word = catalogue_word_at(log->catalogue, number);

	line_seek(log, end);
	const char *line = log->block + log->line_start;
	size_t len = log->line_end - log->line_start, at = end - log->line_start;
	/* Of a very long line the part around the key. */
	size_t from = len > LINE_LOOK_BYTES && at > LINE_LOOK_BYTES / 2 ? at - LINE_LOOK_BYTES / 2 : 0;

	len = MIN(len - from, (size_t)LINE_LOOK_BYTES);
	if (word->signature < SIGNATURES_MAX)
		hit_note(log, word, line + from, len);
	else if (word->weight > 0)
		telling_add(log, log->lines + 1, line + from, len, word->weight);
	else
		traceback_begin(log, end - strlen("traceback (most recent call last)"));
}

/* Lines that are whole, or a piece of one that is too long. */
static void block_scan(struct diagnosed_log *log, const char *data, size_t len)
{
	if (len == 0)
		return;
	log->block = data;
	log->block_len = len;
	log->counted = log->line_start = log->line_end = 0;
	if (log->traceback_left > 0)
		traceback_read(log, 0, log->lines + 1);
	words_scan(catalogue_words(log->catalogue), 0, data, len, on_word, log);
	log->lines += line_feeds(data + log->counted, len - log->counted);
}

static void carry_add(struct diagnosed_log *log, const char *data, size_t len)
{
	while (len > 0) {
		size_t n = MIN(len, CARRY_BYTES_MAX - log->carry_len);

		memcpy(log->carry + log->carry_len, data, n);
		log->carry_len += n;
		data += n;
		len -= n;
		if (log->carry_len == CARRY_BYTES_MAX) {
			block_scan(log, log->carry, log->carry_len);
			log->carry_len = 0;
		}
	}
}

void diagnosed_log_feed(struct diagnosed_log *log, const char *data, size_t len)
{
	if (log->carry_len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) + 1 : len;

		carry_add(log, data, n);
		data += n;
		len -= n;
		if (!end)
			return;
		block_scan(log, log->carry, log->carry_len);
		log->carry_len = 0;
	}
	const char *last = len > 0 ? memrchr(data, '\n', len) : NULL;
	size_t whole = last ? (size_t)(last - data) + 1 : 0;

	block_scan(log, data, whole);
	carry_add(log, data + whole, len - whole);
}

void diagnosed_log_end(struct diagnosed_log *log)
{
	if (log->carry_len == 0)
		return;
	block_scan(log, log->carry, log->carry_len);
	log->carry_len = 0;
	log->lines++;
}

/* Looking. */

const char *diagnosed_log_name(const struct diagnosed_log *log)
{
	return log->name;
}

uint64_t diagnosed_log_lines(const struct diagnosed_log *log)
{
	return log->lines;
}

bool diagnosed_log_is_fatal(const struct diagnosed_log *log)
{
	return log->fatal;
}

const struct log_hit *diagnosed_log_hit(const struct diagnosed_log *log, uint32_t signature)
{
	return signature < log->hits_len && log->hits[signature].line > 0 ? &log->hits[signature] : NULL;
}

const struct log_line *diagnosed_log_telling(const struct diagnosed_log *log, uint32_t i)
{
	return i < log->telling_len ? &log->telling[i] : NULL;
}
