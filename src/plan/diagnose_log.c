/* diagnose_log.c - reading a log; see diagnose_log.h.
 *
 * Whole lines are scanned in place, in the caller's memory, by one automaton for all keys and telling words. Only around a
 * word that was found is the line looked at: its bounds, its number (line feeds since the last one are counted), its full
 * pattern. A line that is cut by the end of the data waits in carry. */
#include "plan/diagnose_log.h"
#include "base/coverage.h"
#include "base/utf8.h"
#include "plan/diagnose_detail.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	CARRY_BYTES_MAX = 64 * 1024, /* a longer line is read in pieces */
	PATTERN_LOOK_BYTES = 4096, /* of a long line, what a pattern sees around its key */
	HITS_COUNTED_MAX = 1000, /* of one signature: more are not looked at */
	TRACEBACK_LINES_MAX = 600, /* until its exception must come */
	TRACEBACK_PREFIX_MAX = 160,
	STREAM_TEXT_BYTES = 200,
	SAID_BYTES_MIN = 12, /* of a line that may say why */
	ERROR_GAP_LINES =
		40, /* errors of a server that are farther from its death than this have nothing to do with it */
};

struct diagnosed_log {
	const struct catalogue *catalogue;
	char *name;
	struct log_hit *hits; /* one a signature; line 0: not met */
	uint32_t *met; /* those that were, in their order */
	uint32_t hits_len, met_len;
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
	bool traceback_seen, traceback_mild, traceback_fresh;
	uint64_t
		traceback_end; /* the line where the last one was left: another that begins before it is a part of it */

	/* What the form of lines says. */
	struct log_failure failures[SHAPE_NONE], survived, doubt;
	uint64_t last[SHAPE_NONE], shaped; /* lines */
	struct detail detail; /* of the exception in this line: */
	uint64_t detail_of;
	uint64_t ignored; /* the line of an exception that Python says it ignores */
	uint64_t serving; /* the last line in which it said so */
	bool starting; /* an engine began to start, and has not said that it is past that */
	bool ends_in_error, ends_in_missing_program, cut;
	char serving_stream[STREAM_TEXT_BYTES];
	char last_line[STREAM_TEXT_BYTES]; /* that is not blank, cut */
	uint64_t last_number;

	/* While a block is scanned. */
	const char *block;
	size_t block_len, counted; /* line feeds before counted are in lines */
	size_t line_start, line_end; /* the line looked at last; start == end == 0: none */
	size_t followed; /* lines before this one have been given to what waits for lines (lines_follow) */
	uint64_t followed_number; /* of the line there */
	const char *asked; /* the line that line_is_known was asked for last; NULL: none of this block */
	size_t asked_len;
	bool asked_known;
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
		size_t run = utf8_ascii_run(line + i, MIN(len - i, cap - 1 - n));

		if (run > 0) {
			memcpy(ret + n, line + i, run);
			n += run;
			i += run;
			continue;
		}
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
static NO_COVERAGE int two_digits(const char *s)
{
	return isdigit((unsigned char)s[0]) && isdigit((unsigned char)s[1]) ? (s[0] - '0') * 10 + s[1] - '0' : -1;
}

NO_COVERAGE uint64_t log_line_time_ms(const char *line, size_t len)
{
	for (size_t i = 0; i + 14 <= MIN(len, (size_t)160); i++) {
		const char *s = line + i;

		if (s[2] != '-' || s[8] != ':' || s[11] != ':' || (s[5] != ' ' && s[5] != 'T'))
			continue;
		int month = two_digits(s), day = two_digits(s + 3), hour = two_digits(s + 6),
		    minute = two_digits(s + 9), second = two_digits(s + 12);
		uint64_t year = 0, ms = 0;

		if (month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0)
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
	log->met = calloc(log->hits_len + 1, sizeof *log->met);
	if (!log->name || !log->carry || !log->hits || !log->met) {
		diagnosed_log_destroy(log);
		return NULL;
	}
	return log;
}

static void failure_free(struct log_failure *f)
{
	free(f->before);
	free(f->text);
	free(f->evidence);
	*f = (struct log_failure){0};
}

void diagnosed_log_reset(struct diagnosed_log *log)
{
	for (uint32_t i = 0; i < log->met_len; i++) {
		free(log->hits[log->met[i]].text);
		log->hits[log->met[i]] = (struct log_hit){0};
	}
	log->met_len = 0;
	for (uint32_t i = 0; i < log->telling_len; i++)
		free(log->telling[i].text);
	log->telling_len = 0;
	for (int i = 0; i < SHAPE_NONE; i++)
		failure_free(&log->failures[i]);
	failure_free(&log->survived);
	failure_free(&log->doubt);
	*log->last_line = '\0';
	log->last_number = 0;
	memset(log->last, 0, sizeof log->last);
	log->shaped = log->serving = log->ignored = log->detail_of = 0;
	log->detail = (struct detail){0};
	log->lines = 0;
	log->carry_len = 0;
	log->traceback_left = 0;
	log->traceback_end = 0;
	log->fatal = log->traceback_seen = log->traceback_mild = log->traceback_fresh = false;
	log->starting = log->ends_in_error = log->ends_in_missing_program = log->cut = false;
}

void diagnosed_log_destroy(struct diagnosed_log *log)
{
	if (!log)
		return;
	if (log->hits)
		diagnosed_log_reset(log);
	free(log->hits);
	free(log->met);
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

/* What is only there for developers is no cause, unless it passes on an exception. */
static bool is_for_developers(const char *line, size_t len)
{
	return line_level(line, len) == LEVEL_DEBUG && !memmem(line, len, "Error: ", strlen("Error: ")) &&
	       !memmem(line, len, "Exception: ", strlen("Exception: "));
}

static void hit_note(struct diagnosed_log *log, const struct catalogue_word *word, const char *line, size_t len)
{
	const struct signature *s = catalogue_at(log->catalogue, word->signature);
	struct log_hit *hit = &log->hits[word->signature];

	if ((hit->count >= HITS_COUNTED_MAX && !hit->survived) || !counts_here(log, s) ||
		!pattern_match(word->pattern, line, len, NULL) ||
		(s->kind <= SIGNATURE_CONSEQUENCE && is_for_developers(line, len)))
		return;
	if (hit->survived) {
		free(hit->text);
		*hit = (struct log_hit){.listed = true};
	}
	if (hit->count++ > 0)
		return;
	if (!hit->listed)
		log->met[log->met_len++] = word->signature;
	hit->listed = true;
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

	/* A marker says nothing of its line. */
	if (!c->known && word->signature < SIGNATURES_MAX &&
		catalogue_at(c->log->catalogue, word->signature)->kind != SIGNATURE_MARKER)
		c->known = pattern_match(word->pattern, c->line, c->len, NULL);
}

/* Asked of one line several times. */
static bool line_is_known(struct diagnosed_log *log, const char *line, size_t len)
{
	struct known_check c = {log, line, MIN(len, (size_t)PATTERN_LOOK_BYTES), false};

	if (log->asked == line && log->asked_len == len)
		return log->asked_known;
	words_scan(catalogue_words(log->catalogue), 0, line, c.len, on_word_of_line, &c);
	log->asked = line;
	log->asked_len = len;
	return log->asked_known = c.known;
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

/* What the form of a line says. */

/* A line that begins with another name is another process's. */
static bool same_stream(const char *text, const char *line, size_t len)
{
	size_t n = line_stream(line, len);

	return line_stream(text, strlen(text)) == n && memcmp(text, line, n) == 0;
}

/* More of a message. */
static void failure_append(struct log_failure *f, const char *text, size_t len)
{
	char more[DIAGNOSE_LINE_BYTES_MAX], all[DIAGNOSE_LINE_BYTES_MAX];

	log_line_clean(text, len, more, sizeof more);
	/* As much of it as is kept of a line. */
	snprintf(all, sizeof all, "%.*s %.*s", (int)sizeof all / 2, f->text, (int)sizeof all / 2 - 2, more);
	char *joined = strdup(utf8_plain(all));

	if (!joined)
		return;
	free(f->text);
	f->text = joined;
}

/* Does this line belong to the message of the exception noted last? */
static void detail_read(struct diagnosed_log *log, const char *line, size_t len)
{
	struct log_failure *f = &log->failures[SHAPE_EXCEPTION];
	size_t from, n;

	if (detail_line(&log->detail, line, MIN(len, (size_t)PATTERN_LOOK_BYTES), &from, &n) &&
		f->line == log->detail_of)
		failure_append(f, line + from, n);
}

/* May this failure take the place of the one noted before, of its shape? Errors and what happens to a server that serves are of
 * a piece only when they stand near each other; what nothing lives on after is the end of it in any case. */
static bool is_of_another_piece(const struct diagnosed_log *log, enum line_shape shape, uint64_t number, bool final)
{
	const struct log_failure *f = &log->failures[shape];

	if (log->failures[SHAPE_DEATH].line > 0 || shape == SHAPE_DEATH || number < f->line ||
		(shape == SHAPE_EXCEPTION && (!f->serving || f->final)))
		return false;
	return number > log->last[shape] + ERROR_GAP_LINES || (shape == SHAPE_EXCEPTION && final);
}

/* The last line of data that is not blank, as it is shown; feeds: how many line feeds stand behind it. False: there is none, and nothing
 * changes. */
static bool last_line_of(const char *data, size_t len, char ret[STREAM_TEXT_BYTES], uint64_t *feeds)
{
	for (*feeds = 0; len > 0 && isspace((unsigned char)data[len - 1]); len--)
		*feeds += data[len - 1] == '\n';
	if (len == 0)
		return false;
	const char *feed = memrchr(data, '\n', len), *over = memrchr(data, '\r', len);
	size_t from = feed ? (size_t)(feed - data) + 1 : 0;
	if (over && (size_t)(over - data) + 1 > from)
		from = (size_t)(over - data) + 1;
	log_line_clean(data + from, len - from, ret, STREAM_TEXT_BYTES);
	return true;
}

/* What a program printed last before the line that says it died, when that may be why: its loggers call it no milder than an error. NULL:
 * nothing of the kind. */
static char *said_before(const struct diagnosed_log *log)
{
	char text[STREAM_TEXT_BYTES];
	struct line_look look;
	uint64_t feeds;
	size_t at;

	if (!last_line_of(log->block, log->line_start, text, &feeds))
		memcpy(text, log->last_line, sizeof text);
	line_look(&look, text, strlen(text));
	if (look.len < SAID_BYTES_MIN || isspace((unsigned char)*text) ||
		(look.level > LEVEL_UNKNOWN && look.level < LEVEL_ERROR) || line_shape(&look, &at) == SHAPE_DEATH)
		return NULL;
	return strdup(text);
}

/* The first of its shape is kept. */
static void failure_note(struct diagnosed_log *log, enum line_shape shape, uint64_t number, const char *line,
	size_t len, size_t from, size_t text_len)
{
	struct log_failure *f = &log->failures[shape];
	struct line_look look;
	bool final = false;

	if (shape == SHAPE_EXCEPTION) {
		line_look(&look, line, len);
		final = line_is_final(&look);
	}
	bool other = is_of_another_piece(log, shape, number, final);

	if ((f->line > 0 && f->line <= number && !other) || line_is_known(log, line, len))
		return;
	if (shape == SHAPE_ERROR)
		log->last[shape] = number;
	failure_free(f);
	f->text = line_copy(line + from, text_len);
	f->evidence = line_copy(line, len);
	f->line = f->text && f->evidence ? number : 0;
	f->time_ms = log_line_time_ms(line, len);
	f->shape = shape;
	f->serving = log->serving > 0 && log->serving < number && same_stream(log->serving_stream, line, len);
	f->final = final;
	f->before = shape == SHAPE_DEATH ? said_before(log) : NULL;
	if (shape == SHAPE_EXCEPTION && f->line > 0) {
		detail_begin(&log->detail, line, len, from);
		log->detail_of = number;
	}
}

/* The first line that only by its words may tell of a failure. */
static void doubt_note(struct diagnosed_log *log, uint64_t number, const char *line, size_t len)
{
	struct log_failure *f = &log->doubt;

	if (f->line > 0 || line_is_known(log, line, len))
		return;
	f->text = line_copy(line, len);
	f->evidence = line_copy(line, len);
	if (!f->text || !f->evidence) {
		failure_free(f);
		return;
	}
	f->line = number;
	f->time_ms = log_line_time_ms(line, len);
	f->shape = SHAPE_ERROR;
	f->doubt = true;
}

static void shape_note(struct diagnosed_log *log, const char *line, size_t len)
{
	struct line_look look;
	enum line_shape shape;
	size_t at;

	/* Once it is known why and that it died, nothing is added. */
	if (log->shaped == log->lines + 1 ||
		(log->failures[SHAPE_EXCEPTION].line > 0 && log->failures[SHAPE_DEATH].line > 0))
		return;
	log->shaped = log->lines + 1;
	if (log->traceback_mild && log->lines < log->traceback_end)
		return;
	line_look(&look, line, len);
	if (line_ignores_exception(&look))
		log->ignored = log->lines + 1;
	shape = line_shape(&look, &at);
	if (shape == SHAPE_NONE) {
		if (log->doubt.line == 0 && line_may_fail(&look, log->serving > 0))
			doubt_note(log, log->lines + 1, line, len);
		return;
	}
	failure_note(log, shape, log->lines + 1, line, len, at, len - at);
	log->last[shape] = log->lines + 1;
}

/* It serves: what went wrong before has been survived. */
static void serving_note(struct diagnosed_log *log, const char *line, size_t len)
{
	log->serving = log->lines + 1;
	log->starting = false;
	log_line_clean(line, len, log->serving_stream, sizeof log->serving_stream);
	log->fatal = false;
	if (log->doubt.line > 0 && same_stream(log->doubt.evidence, line, len))
		failure_free(&log->doubt);
	for (uint32_t i = 0; i < log->met_len; i++) {
		struct log_hit *hit = &log->hits[log->met[i]];
		const struct signature *s = catalogue_at(log->catalogue, log->met[i]);

		if (hit->line == 0 || s->kind > SIGNATURE_WRAPPER)
			continue;
		hit->survived = hit->survived || same_stream(hit->text, line, len);
		log->fatal =
			log->fatal || (!hit->survived && s->severity == FINDING_FATAL && s->kind == SIGNATURE_CAUSE);
	}
	for (int i = 0; i < SHAPE_NONE; i++) {
		struct log_failure *f = &log->failures[i];

		if (f->line == 0 || f->line > log->lines || !same_stream(f->evidence, line, len))
			continue;
		if (log->survived.line == 0 && i != SHAPE_ERROR) {
			log->survived = *f;
			*f = (struct log_failure){0};
		}
		failure_free(f);
	}
}

/* The prefix of a traceback's lines; what changes in it are digits of the clock. */
static bool same_prefix(const struct diagnosed_log *log, const char *line, size_t len)
{
	return len > log->traceback_prefix_len &&
	       same_but_digits(line, len, log->traceback_prefix, log->traceback_prefix_len);
}

/* How a traceback ends: the first line that stands at its margin. What another process logs in between is skipped. */
static void traceback_read(struct diagnosed_log *log, const char *line, size_t len, uint64_t number)
{
	size_t prefix = log->traceback_prefix_len;

	log->traceback_left--;
	/* "2026-01-01 ERROR worker: Traceback": the prefix is of that line only when "  File" comes bare. */
	if (log->traceback_fresh && !same_prefix(log, line, len) && len > 0 && isspace((unsigned char)*line))
		log->traceback_prefix_len = (uint32_t)(prefix = 0);
	log->traceback_fresh = false;
	log->traceback_end = number;
	if (!same_prefix(log, line, len) || !isalpha((unsigned char)line[prefix]))
		return;
	log->traceback_left = 0;
	telling_add(log, number, line, len, log->traceback_seen ? LOG_LINE_EXCEPTION : LOG_LINE_FIRST_EXCEPTION);
	log->traceback_seen = true;
	if (!log->traceback_mild && line_ends_traceback(line, len, prefix)) {
		failure_note(log, SHAPE_EXCEPTION, number, line, len, prefix, len - prefix);
		log->last[SHAPE_EXCEPTION] = number;
	}
}

/* Give the lines of the block before end, of which the one behind them has this number, to what waits for lines: a traceback, the
 * message of an exception. In their order with all that is looked at, or it would depend on how a log is cut. */
static void lines_follow(struct diagnosed_log *log, size_t end, uint64_t number)
{
	while (log->followed < end && (detail_is_open(&log->detail) || log->traceback_left > 0)) {
		const char *line = log->block + log->followed,
			   *feed = memchr(line, '\n', log->block_len - log->followed);
		size_t len = feed ? (size_t)(feed - line) : log->block_len - log->followed;

		if (detail_is_open(&log->detail))
			detail_read(log, line, len);
		if (log->traceback_left > 0)
			traceback_read(log, line, len, log->followed_number);
		log->followed += len + 1;
		log->followed_number++;
	}
	if (log->followed < end) {
		log->followed = end;
		log->followed_number = number;
	}
}

static void traceback_begin(struct diagnosed_log *log, size_t word_start)
{
	size_t prefix = word_start - log->line_start, at, len;
	const char *line = log->block + log->line_start;

	enum line_level level = line_level(line, prefix);

	log->traceback_mild =
		level == LEVEL_DEBUG || level == LEVEL_MILD || (log->ignored > 0 && log->ignored == log->lines);
	if (line_inner_exception(
		    line, MIN(log->line_end - log->line_start, (size_t)CARRY_BYTES_MAX), prefix, &at, &len)) {
		if (!log->traceback_mild && line_ends_traceback(line, at + len, at))
			failure_note(
				log, SHAPE_EXCEPTION, log->lines + 1, line, log->line_end - log->line_start, at, len);
		return;
	}
	if (prefix > TRACEBACK_PREFIX_MAX || log->traceback_left > 0 || log->lines + 1 <= log->traceback_end)
		return;
	memcpy(log->traceback_prefix, log->block + log->line_start, prefix);
	log->traceback_prefix_len = (uint32_t)prefix;
	log->traceback_left = TRACEBACK_LINES_MAX;
	log->traceback_fresh = true;
}

/* Scanning. */

static NO_COVERAGE uint64_t line_feeds(const char *data, size_t len)
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

/* Of what was written over itself, as progress bars are, the part that the word before at ends in. Returns where it begins. */
static size_t overwritten_skip(const char *line, size_t *len, size_t at)
{
	const char *before = memrchr(line, '\r', MIN(at, *len)),
		   *behind = memchr(line + MIN(at, *len), '\r', *len - MIN(at, *len));
	size_t from = before ? (size_t)(before - line) + 1 : 0, end = behind ? (size_t)(behind - line) : *len;

	*len = end - from;
	return from;
}

static void on_word(void *ctx, uint32_t number, size_t end)
{
	struct diagnosed_log *log = ctx;
	const struct catalogue_word *word = catalogue_word_at(log->catalogue, number);

	if (word->signature == SIGNATURES_MAX && (word->weight == WORD_STARTING || word->weight == WORD_STARTED)) {
		log->starting = word->weight == WORD_STARTING;
		return;
	}
	line_seek(log, end);
	lines_follow(log, log->line_end + 1, log->lines + 2);
	const char *line = log->block + log->line_start;
	size_t len = log->line_end - log->line_start, at = end - log->line_start;
	/* Of a very long line the part around the key. */
	size_t from = len > PATTERN_LOOK_BYTES && at > PATTERN_LOOK_BYTES / 2 ? at - PATTERN_LOOK_BYTES / 2 : 0;

	len = MIN(len - from, (size_t)PATTERN_LOOK_BYTES);
	if (word->signature == SIGNATURES_MAX && word->weight > 0)
		from += overwritten_skip(line + from, &len, at - from);
	if (word->signature < SIGNATURES_MAX)
		hit_note(log, word, line + from, len);
	else if (word->weight == WORD_SERVING)
		serving_note(log, line + from, len);
	else if (word->weight == WORD_LOOK)
		shape_note(log, line + from, len);
	else if (word->weight > 0) {
		shape_note(log, line + from, len);
		telling_add(log, log->lines + 1, line + from, len, word->weight);
	} else
		traceback_begin(log, end - strlen("traceback (most recent call last)"));
}

/* Colours within a message would part the words of a pattern. Returns the length without escape sequences. */
static size_t escapes_drop(const char *data, size_t len, char *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < len;) {
		const char *esc = memchr(data + i, 0x1b, len - i);
		size_t plain = esc ? (size_t)(esc - data) - i : len - i;

		memcpy(ret + n, data + i, plain);
		n += plain;
		i += plain;
		if (!esc)
			break;
		size_t end = escape_end(data, len, i);
		/* One that is broken off ends with its line. */
		const char *feed = memchr(data + i, '\n', end - i);
		i = feed ? (size_t)(feed - data) : end;
	}
	return n;
}

/* Keep the last line that is not blank, of which log->lines line feeds stand before the end of the block. */
static void last_line_keep(struct diagnosed_log *log, const char *data, size_t len)
{
	uint64_t feeds;

	if (last_line_of(data, len, log->last_line, &feeds))
		log->last_number = log->lines + 1 - feeds;
}

/* Lines that are whole, or a piece of one that is too long. */
static void block_scan(struct diagnosed_log *log, const char *data, size_t len)
{
	CLEANUP(free_p) char *plain = len > 0 && memchr(data, 0x1b, len) ? malloc(len) : NULL;

	if (plain) {
		len = escapes_drop(data, len, plain);
		data = plain;
	}
	if (len == 0)
		return;
	log->block = data;
	log->block_len = len;
	log->counted = log->line_start = log->line_end = 0;
	log->followed = 0;
	log->followed_number = log->lines + 1;
	log->asked = NULL;
	words_scan(catalogue_words(log->catalogue), 0, data, len, on_word, log);
	lines_follow(log, len, 0);
	log->lines += line_feeds(data + log->counted, len - log->counted);
	last_line_keep(log, data, len);
	log->block = log->asked = NULL;
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
	if (log->carry_len > 0) {
		block_scan(log, log->carry, log->carry_len);
		log->carry_len = 0;
		log->lines++;
	}
	size_t len = strlen(log->last_line);

	log->asked = NULL;
	if (last_line_may_fail(log->last_line, len, log->serving > 0))
		doubt_note(log, log->last_number, log->last_line, len);
	log->ends_in_missing_program = log->serving == 0 && last_line_is_missing_program(log->last_line, len);
	log->ends_in_error = last_line_is_error(log->last_line, len) && !line_is_known(log, log->last_line, len);
}

void diagnosed_log_seek(struct diagnosed_log *log, uint64_t number)
{
	block_scan(log, log->carry, log->carry_len);
	log->carry_len = 0;
	log->lines = number - 1;
	log->shaped = 0;
}

void diagnosed_log_line(struct diagnosed_log *log, uint64_t number, const char *line, size_t len)
{
	diagnosed_log_seek(log, number);
	block_scan(log, line, len);
	log->lines = number - 1;
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

uint32_t diagnosed_log_met(const struct diagnosed_log *log, const uint32_t **ret)
{
	*ret = log->met;
	return log->met_len;
}

const struct log_hit *diagnosed_log_hit(const struct diagnosed_log *log, uint32_t signature)
{
	return signature < log->hits_len && log->hits[signature].line > 0 ? &log->hits[signature] : NULL;
}

/* "Error: creating server", with which a program gives up: what was logged just before tells more. */
static bool is_last_word(const struct log_failure *f)
{
	return strncasecmp(f->text, "error: ", strlen("error: ")) == 0 ||
	       strncmp(f->text, "main: error: ", strlen("main: error: ")) == 0;
}

const struct log_failure *diagnosed_log_failure(const struct diagnosed_log *log, bool *ret_died)
{
	const struct log_failure *why = &log->failures[SHAPE_EXCEPTION], *error = &log->failures[SHAPE_ERROR],
				 *death = &log->failures[SHAPE_DEATH];

	/* A server that serves goes on after an exception of one request. */
	*ret_died = death->line > 0 || (why->line > 0 && (!why->serving || why->final)) || log->ends_in_missing_program;
	if (why->line > 0 && is_last_word(why) && error->line > 0 && error->line < why->line &&
		why->line <= log->last[SHAPE_ERROR] + ERROR_GAP_LINES)
		return error;
	if (why->line > 0)
		return why;
	if (error->line > 0 && (death->line == 0 || error->line < death->line))
		return error;
	if (death->line > 0)
		return death;
	return log->doubt.line > 0 ? &log->doubt : NULL;
}

const struct log_failure *diagnosed_log_reason(const struct diagnosed_log *log, uint64_t line)
{
	const struct log_failure *why = &log->failures[SHAPE_EXCEPTION], *error = &log->failures[SHAPE_ERROR];

	if (why->line > 0 && why->line < line)
		return why;
	return error->line > 0 && error->line < line && line <= error->line + ERROR_GAP_LINES ? error : NULL;
}

const struct log_failure *diagnosed_log_survived(const struct diagnosed_log *log)
{
	return log->survived.line > 0 ? &log->survived : NULL;
}

bool diagnosed_log_serves(const struct diagnosed_log *log)
{
	return log->serving > 0;
}

void diagnosed_log_cut(struct diagnosed_log *log)
{
	log->cut = true;
}

bool diagnosed_log_is_cut(const struct diagnosed_log *log)
{
	return log->traceback_left > 0 || log->cut;
}

bool diagnosed_log_starts(const struct diagnosed_log *log)
{
	return log->starting;
}

bool diagnosed_log_ends_in_error(const struct diagnosed_log *log)
{
	return log->ends_in_error;
}

const struct log_line *diagnosed_log_telling(const struct diagnosed_log *log, uint32_t i)
{
	return i < log->telling_len ? &log->telling[i] : NULL;
}
