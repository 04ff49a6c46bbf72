/* diagnose_level.c - who wrote a line and how loud it is; see diagnose_level.h. */
#include "plan/diagnose_level.h"

enum { LEVEL_LOOK_BYTES = 200, STREAM_BYTES_MAX = 80 };

size_t line_stream(const char *line, size_t len)
{
	size_t at = 0, blanks = 0;

	if (text_has_at(line, len, 0, "[pod/")) {
		const char *end = memchr(line, ']', MIN(len, (size_t)(2 * STREAM_BYTES_MAX)));
		return end ? (size_t)(end - line) + 1 : 0;
	}
	while (blanks < len && line[blanks] == ' ')
		blanks++;
	for (at = blanks; at < MIN(len, (size_t)STREAM_BYTES_MAX) && (text_is_name(line[at]) || strchr("-/", line[at]));
		at++)
		;
	if (at == blanks)
		return 0;
	while (at < len && line[at] == ' ')
		at++;
	return at < len && line[at] == '|' ? at + 1 : 0;
}

/* A time of day, with its date or without. */
static bool is_time(const char *word, size_t len)
{
	return len >= 5 && text_span(word, len, 0, "0123456789:.,-/+TZ") == len && memchr(word, ':', len);
}

static size_t word_len(const char *line, size_t len, size_t at)
{
	size_t n = 0;

	while (at + n < len && line[at + n] != ' ')
		n++;
	return n;
}

/* Behind the word at at, and the blanks after it. */
static size_t next_word(const char *line, size_t len, size_t at)
{
	at += word_len(line, len, at);
	while (at < len && line[at] == ' ')
		at++;
	return at;
}

/* "host program[12]: " of syslog and journalctl. */
static size_t behind_syslog(const char *line, size_t len, size_t at)
{
	size_t program = next_word(line, len, at), n = word_len(line, len, program);

	return n > 3 && line[program + n - 1] == ':' && line[program + n - 2] == ']' && program + n < len
		       ? program + n + 1
		       : at;
}

size_t line_carried_from(const char *line, size_t len)
{
	size_t from = line_stream(line, len), at, n;

	while (from < len && line[from] == ' ')
		from++;
	at = from;
	n = word_len(line, len, at);
	/* "2026-01-02 10:00:00", "Jan  2 10:00:00" */
	if (n >= 8 && text_span(line, at + n, at, "0123456789-/") == n)
		at = next_word(line, len, at);
	else if (n == 3 && isupper((unsigned char)line[at]) && islower((unsigned char)line[at + 1]))
		at = next_word(line, len, next_word(line, len, at));
	n = word_len(line, len, at);
	if (!is_time(line + at, n) || at + n >= len)
		return from;
	at += n + 1;
	if ((text_has_at(line, len, at, "stderr ") || text_has_at(line, len, at, "stdout ")) && at + 9 < len &&
		strchr("FP", line[at + 7]) && line[at + 8] == ' ')
		return at + 9;
	return behind_syslog(line, len, at);
}

/* "level=error", "\"level\":\"ERROR\"", "severity: ..." */
static enum line_level level_named(const char *line, size_t len, const struct text_low *low)
{
	static const char *const keys[] = {"level", "severity", "lvl"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t at = low_has(low, keys[i]) ? text_find(line, len, 0, keys[i]) + strlen(keys[i]) : len;

		if (at >= len || !strchr("=:\"", line[at]))
			continue;
		at += text_span(line, len, at, "=:\" ");
		if (text_has_at(line, len, at, "fatal") || text_has_at(line, len, at, "panic"))
			return LEVEL_FATAL;
		if (text_has_at(line, len, at, "err") || text_has_at(line, len, at, "crit"))
			return LEVEL_ERROR;
		if (text_has_at(line, len, at, "info"))
			return LEVEL_INFO;
		if (text_has_at(line, len, at, "debug") || text_has_at(line, len, at, "trace"))
			return LEVEL_DEBUG;
		if (text_has_at(line, len, at, "warn") || text_has_at(line, len, at, "notice"))
			return LEVEL_MILD;
		/* Loggers that count: 10 to 60. */
		if (at + 1 < len && line[at] >= '1' && line[at] <= '6' && line[at + 1] == '0')
			return line[at] == '6'   ? LEVEL_FATAL
			       : line[at] == '5' ? LEVEL_ERROR
			       : line[at] == '3' ? LEVEL_INFO
						 : LEVEL_MILD;
	}
	return LEVEL_UNKNOWN;
}

/* journald's PRIORITY, in JSON and in exports: 0 to 3 are errors, 6 is what is passed on of programs that say nothing of it. */
static enum line_level level_of_journal(const char *line, size_t len, const struct text_low *low)
{
	size_t at = low_has(low, "priority") ? text_find(line, len, 0, "PRIORITY") + strlen("PRIORITY") : len;

	if (at >= len || !strchr("=:\"", line[at]))
		return LEVEL_UNKNOWN;
	at += text_span(line, len, at, "=:\" ");
	if (at >= len || line[at] < '0' || line[at] > '7' || (at + 1 < len && isdigit((unsigned char)line[at + 1])))
		return LEVEL_UNKNOWN;
	return line[at] <= '3' ? LEVEL_ERROR : line[at] == '6' ? LEVEL_UNKNOWN : LEVEL_MILD;
}

static enum line_level level_of(char letter)
{
	return letter == 'F'   ? LEVEL_FATAL
	       : letter == 'E' ? LEVEL_ERROR
	       : letter == 'I' ? LEVEL_INFO
	       : letter == 'D' ? LEVEL_DEBUG
			       : LEVEL_MILD;
}

/* "E0123 10:22:31", "[E socket.cpp:719]", "0.01.066 E graph_reserve" */
static enum line_level level_of_letter(const char *line, size_t len, size_t at)
{
	size_t n;

	at = MIN(at, len);
	at += at < len && line[at] == '[';
	n = text_span(line, len, at, "0123456789.:");
	if (n > 0 && at + n < len && line[at + n] == ' ')
		at += n + 1;
	if (at + 1 >= len || !strchr("EFWID", line[at]) ||
		(line[at + 1] != ' ' && !isdigit((unsigned char)line[at + 1])))
		return LEVEL_UNKNOWN;
	return level_of(line[at]);
}

/* A letter in brackets, "[06/21/2025-03:55:04] [TRT-LLM] [E] ...". */
static bool bracketed_letter(const char *line, size_t len, size_t at, char *ret)
{
	if (at + 3 > len || line[at] != '[' || line[at + 2] != ']' || !strchr("EFWID", line[at + 1]))
		return false;
	*ret = line[at + 1];
	return true;
}

static enum line_level level_of_letter_in_brackets(const char *line, size_t len)
{
	char letter;

	for (size_t i = text_find(line, len, 0, "["); i < len; i = text_find(line, len, i + 1, "["))
		if (bracketed_letter(line, len, i, &letter))
			return level_of(letter);
	return LEVEL_UNKNOWN;
}

/* "2026/02/03 10:00:00 [emerg] 1#1: ..." */
static enum line_level level_in_brackets(const char *line, size_t len)
{
	static const struct {
		const char *word;
		enum line_level level;
	} words[] = {{"[emerg]", LEVEL_FATAL}, {"[alert]", LEVEL_ERROR}, {"[crit]", LEVEL_ERROR},
		{"[error]", LEVEL_ERROR}, {"[warn]", LEVEL_MILD}, {"[notice]", LEVEL_MILD}, {"[info]", LEVEL_INFO},
		{"[debug]", LEVEL_DEBUG}};

	for (size_t at = text_find(line, len, 0, "["); at < len; at = text_find(line, len, at + 1, "["))
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (len - at >= strlen(words[i].word) &&
				memcmp(line + at, words[i].word, strlen(words[i].word)) == 0)
				return words[i].level;
	return LEVEL_UNKNOWN;
}

/* NCCL warns of nothing but failures. */
static bool is_nccl_warning(const char *line, size_t len, const struct text_low *low)
{
	return low_has(low, "nccl warn ") && text_find(line, len, 0, "NCCL WARN ") < len;
}

/* A word in capitals, with no letter of a name before or behind it. */
static NO_COVERAGE enum line_level level_of_word(const char *line, size_t len)
{
	static const struct {
		const char *word;
		enum line_level level;
	} words[] = {{"ERROR", LEVEL_ERROR}, {"CRITICAL", LEVEL_ERROR}, {"FATAL", LEVEL_FATAL}, {"ERR", LEVEL_ERROR},
		{"CRIT", LEVEL_ERROR}, {"ALERT", LEVEL_ERROR}, {"EMERG", LEVEL_FATAL}, {"FTL", LEVEL_FATAL},
		{"WARNING", LEVEL_MILD}, {"WARN", LEVEL_MILD}, {"WRN", LEVEL_MILD}, {"INFO", LEVEL_INFO},
		{"INF", LEVEL_INFO}, {"DEBUG", LEVEL_DEBUG}, {"DBG", LEVEL_DEBUG}, {"TRACE", LEVEL_DEBUG},
		{"TRC", LEVEL_DEBUG}};

	for (size_t i = 0; i < len; i++) {
		if (line[i] < 'A' || line[i] > 'W' || (i > 0 && text_is_name(line[i - 1])))
			continue;
		for (size_t k = 0; k < ARRAY_LEN(words); k++) {
			size_t n = *words[k].word == line[i] ? strlen(words[k].word) : 0;

			if (n > 0 && n <= len - i && memcmp(line + i, words[k].word, n) == 0 &&
				(i + n == len || !isalpha((unsigned char)line[i + n])))
				return words[k].level;
		}
	}
	return LEVEL_UNKNOWN;
}

enum line_level line_level_of(const char *line, size_t len, const struct text_low *low, size_t from)
{
	/* An object says its level anywhere. */
	size_t look = MIN(len, (size_t)(len > 0 && *line == '{' ? LINE_LOOK_BYTES : LEVEL_LOOK_BYTES));
	enum line_level level = level_named(line, look, low);

	if (level == LEVEL_UNKNOWN)
		level = level_of_letter(line, look, from);
	if (level == LEVEL_UNKNOWN)
		level = level_of_journal(line, look, low);
	look = MIN(len, (size_t)LEVEL_LOOK_BYTES);
	if (level == LEVEL_UNKNOWN && is_nccl_warning(line, look, low))
		level = LEVEL_ERROR;
	if (level == LEVEL_UNKNOWN)
		level = level_of_word(line, look);
	if (level == LEVEL_UNKNOWN)
		level = level_of_letter_in_brackets(line, look);
	return level == LEVEL_UNKNOWN ? level_in_brackets(line, look) : level;
}

enum line_level line_level(const char *line, size_t len)
{
	struct text_low low;

	text_low_make(&low, line, len);
	return line_level_of(line, len, &low, line_carried_from(line, len));
}
