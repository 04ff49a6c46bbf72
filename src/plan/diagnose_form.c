/* diagnose_form.c - see diagnose_form.h. */
#include "plan/diagnose_form.h"
#include "plan/diagnose_tool.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
	TERMINAL_COLUMNS = 80,
	WIDTH_MIN = 40,
	WIDTH_MAX = 300,
	START_BYTES = 4, /* lines that begin alike are entries of their own */
	BREAKS_MAX = 2000, /* of one line */
};

/* Forms. */

struct form_row {
	const char *name, *unpacker, *magic;
	size_t magic_len;
};

static const struct form_row rows[] = {
	[FORM_TEXT] = {.name = "text"},
	[FORM_EMPTY] = {.name = "empty"},
	[FORM_UTF16_LE] = {"UTF-16", NULL, "\xff\xfe", 2},
	[FORM_UTF16_BE] = {"UTF-16", NULL, "\xfe\xff", 2},
	[FORM_GZIP] = {"gzip", "gzip -dc", "\x1f\x8b", 2},
	[FORM_XZ] = {"xz", "xz -dc",
		"\xfd"
		"7zXZ",
		5},
	[FORM_ZSTD] = {"zstd", "zstd -dc", "\x28\xb5\x2f\xfd", 4},
	[FORM_BZIP2] = {"bzip2", "bzip2 -dc", "BZh", 3},
	[FORM_ZIP] = {"zip", "unzip -p", "PK\x03\x04", 4},
	[FORM_LZ4] = {"lz4", "lz4 -dc", "\x04\x22\x4d\x18", 4},
	[FORM_COMPRESS] = {"compress", "gzip -dc", "\x1f\x9d", 2},
	[FORM_7Z] = {"7-Zip", "7z x -so",
		"7z\xbc\xaf"
		"\x27\x1c",
		6},
	[FORM_BINARY] = {.name = "binary"},
};

/* Text without a mark, of which every second byte is 0. */
static enum log_form utf16_unmarked(const char *head, size_t len)
{
	size_t zeros[2] = {0, 0};

	for (size_t i = 0; i < len; i++)
		zeros[i & 1] += head[i] == '\0';
	if (len < 16 || zeros[0] + zeros[1] > len * 6 / 10)
		return FORM_TEXT;
	return zeros[1] > len * 4 / 10 && zeros[0] < len / 50   ? FORM_UTF16_LE
	       : zeros[0] > len * 4 / 10 && zeros[1] < len / 50 ? FORM_UTF16_BE
								: FORM_TEXT;
}

/* Bytes that no text has: control characters but for those of terminals. Zeros do not count: a log that was cut off while it
 * was written has holes. */
static bool is_binary(const char *head, size_t len)
{
	size_t strange = 0, zeros = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)head[i];

		zeros += c == 0;
		strange += c != 0 && (c < 0x07 || (c > 0x0d && c < 0x20 && c != 0x1b) || c == 0x7f);
	}
	return zeros == len || strange * 30 > len - zeros;
}

enum log_form log_form_of(const char *head, size_t len)
{
	enum log_form form;

	if (len == 0)
		return FORM_EMPTY;
	for (form = FORM_UTF16_LE; form < FORM_BINARY; form++)
		if (len >= rows[form].magic_len && memcmp(head, rows[form].magic, rows[form].magic_len) == 0 &&
			(form != FORM_BZIP2 || is_binary(head, len)))
			return form;
	form = utf16_unmarked(head, len);
	return form == FORM_TEXT && is_binary(head, len) ? FORM_BINARY : form;
}

bool log_form_is_readable(enum log_form form)
{
	return form <= FORM_UTF16_BE;
}

const char *log_form_name(enum log_form form)
{
	return rows[form].name;
}

const char *log_form_unpacker(enum log_form form)
{
	return rows[form].unpacker;
}

/* Wrapped lines. */

struct lines {
	const char *text;
	size_t len, at;
};

/* The next whole line, without what ends it. */
static bool line_next(struct lines *l, const char **ret, size_t *ret_len)
{
	const char *line = l->text + l->at, *end = l->at < l->len ? memchr(line, '\n', l->len - l->at) : NULL;

	if (!end)
		return false;
	*ret = line;
	*ret_len = (size_t)(end - line);
	l->at += *ret_len + 1;
	*ret_len -= *ret_len > 0 && end[-1] == '\r';
	return true;
}

static uint32_t columns(const char *line, size_t len)
{
	uint32_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)line[i] & 0xc0) != 0x80;
	return n;
}

static uint32_t word_columns(const char *line, size_t len)
{
	size_t n = 0;

	while (n < len && line[n] != ' ')
		n++;
	return columns(line, n);
}

/* Has the first word of next no room behind a line so wide? Where the blank at the break was kept, so is the one behind the
 * word. */
static bool no_room(uint32_t wide, bool kept, const char *next, size_t len)
{
	const char *blank = memchr(next, ' ', len);

	return wide + (kept ? blank != NULL : 1) + word_columns(next, len) > TERMINAL_COLUMNS;
}

/* Does next look like an entry of its own beside line? */
static bool begins_alike(const char *line, size_t len, const char *next, size_t next_len)
{
	size_t n = MIN((size_t)START_BYTES, MIN(len, next_len));

	for (size_t i = 0; i < n; i++)
		if (line[i] != next[i] && !(isdigit((unsigned char)line[i]) && isdigit((unsigned char)next[i])))
			return false;
	return n == START_BYTES;
}

/* Does it end in the frame of a box or a table (U+2500 to U+257F)? Such a line has its width of its own accord. */
static bool is_framed(const char *line, size_t len)
{
	return len >= 3 && (unsigned char)line[len - 3] == 0xe2 &&
	       ((unsigned char)line[len - 2] == 0x94 || (unsigned char)line[len - 2] == 0x95);
}

struct wrap_counts {
	uint32_t lines, width, full, full_alike; /* full: as wide as the widest */
	uint32_t broken, kept; /* at a blank: the next word had no room in 80 columns; and the blank is still there */
};

static struct wrap_counts wrap_count(const char *text, size_t len)
{
	struct lines all = {text, len, 0};
	struct wrap_counts c = {0};
	const char *line, *last = NULL;
	size_t n, last_len = 0;

	while (line_next(&all, &line, &n)) {
		c.lines += n > 0;
		c.width = MAX(c.width, columns(line, n));
	}
	for (all.at = 0; line_next(&all, &line, &n); last = line, last_len = n) {
		bool alike = last && begins_alike(last, last_len, line, n);

		if (!last || n == 0)
			continue;
		if (is_framed(last, last_len))
			continue;
		uint32_t wide = columns(last, last_len);
		c.full += wide == c.width;
		c.full_alike += wide == c.width && alike;
		bool kept = last_len > 0 && last[last_len - 1] == ' ';
		bool broken = !alike && wide >= TERMINAL_COLUMNS / 2 && *line != ' ' && no_room(wide, kept, line, n);
		c.broken += broken;
		c.kept += broken && kept;
	}
	return c;
}

struct log_wrap log_wrap_of(const char *head, size_t len)
{
	struct wrap_counts c = wrap_count(head, len);
	bool usual =
		c.width == TERMINAL_COLUMNS || c.width == 100 || c.width == 120 || c.width == 160 || c.width == 200;
	struct log_wrap ret = {0};

	if (c.width < WIDTH_MIN || c.width > WIDTH_MAX)
		return ret;
	/* Broken at words few lines are full; broken anywhere all are. */
	if (c.width <= TERMINAL_COLUMNS && c.broken >= 2 &&
		c.broken * 100 >= c.lines * (c.kept == c.broken ? 12 : 30) && c.full * 2 <= MAX(c.broken, c.kept * 2))
		ret = (struct log_wrap){TERMINAL_COLUMNS, true};
	else if (c.full >= (usual ? 1 : 3) && c.full * 100 >= c.lines * (usual ? 15 : 25) && c.full_alike * 2 <= c.full)
		ret.width = c.width;
	return ret;
}

/* Reading. */

struct log_reader {
	enum log_form form;
	struct log_wrap wrap;
	struct tool_reader *tool; /* what the text says, to a log */

	/* UTF-16 */
	bool half; /* one byte waits for its other one */
	unsigned char first;
	uint32_t high; /* surrogate; 0: none */
	bool begun;

	/* Wrapped: the line that is written, and a break of which the next word decides. */
	uint32_t at_column, breaks;
	char start[START_BYTES], word[FORM_WORD_BYTES_MAX];
	uint32_t start_len, word_len;
	bool deciding, blank_before;

	char *out;
	size_t out_len;
};

int log_reader_create(struct log_reader **ret, struct diagnosed_log *log, const char *head, size_t len, struct err *err)
{
	CLEANUP(log_reader_destroy_p) struct log_reader *r = calloc(1, sizeof *r);

	if (!r || !(r->out = malloc(FORM_OUT_BYTES)))
		return err_set(err, -ENOMEM, "out of memory");
	len = MIN(len, (size_t)FORM_HEAD_BYTES);
	r->form = log_form_of(head, len);
	if (log_form_is_readable(r->form)) {
		int code = tool_reader_create(&r->tool, log, err);
		if (code < 0)
			return code;
	}
	if (r->form == FORM_TEXT)
		r->wrap = log_wrap_of(head, len);
	*ret = TAKE(r);
	return 0;
}

void log_reader_destroy(struct log_reader *r)
{
	if (!r)
		return;
	tool_reader_destroy(r->tool);
	free(r->out);
	free(r);
}

enum log_form log_reader_form(const struct log_reader *r)
{
	return r->form;
}

static void flush(struct log_reader *r)
{
	tool_reader_feed(r->tool, r->out, r->out_len);
	r->out_len = 0;
}

static void put(struct log_reader *r, char c)
{
	if (r->out_len == FORM_OUT_BYTES)
		flush(r);
	r->out[r->out_len++] = c;
}

static void put_character(struct log_reader *r, uint32_t c)
{
	if (c == 0xfeff && !r->begun)
		return;
	if (c < 0x80) {
		put(r, (char)c);
	} else if (c < 0x800) {
		put(r, (char)(0xc0 | c >> 6));
		put(r, (char)(0x80 | (c & 0x3f)));
	} else {
		if (c >= 0x10000) {
			put(r, (char)(0xf0 | c >> 18));
			put(r, (char)(0x80 | (c >> 12 & 0x3f)));
		} else {
			put(r, (char)(0xe0 | c >> 12));
		}
		put(r, (char)(0x80 | (c >> 6 & 0x3f)));
		put(r, (char)(0x80 | (c & 0x3f)));
	}
}

static void utf16_feed(struct log_reader *r, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)data[i];
		uint32_t unit;

		if (!r->half) {
			r->first = byte;
			r->half = true;
			continue;
		}
		r->half = false;
		unit = r->form == FORM_UTF16_LE ? (uint32_t)byte << 8 | r->first : (uint32_t)r->first << 8 | byte;
		if (unit >= 0xd800 && unit < 0xdc00) {
			r->high = unit;
			continue;
		}
		if (unit >= 0xdc00 && unit < 0xe000)
			unit = r->high ? 0x10000 + ((r->high - 0xd800) << 10) + (unit - 0xdc00) : 0xfffd;
		r->high = 0;
		put_character(r, unit);
		r->begun = true;
	}
	flush(r);
}

static void line_put(struct log_reader *r, char c)
{
	if (r->start_len < START_BYTES && r->breaks == 0)
		r->start[r->start_len++] = c;
	r->at_column += ((unsigned char)c & 0xc0) != 0x80;
	r->blank_before = c == ' ';
	put(r, c);
}

/* The line ends, and with it the breaks it had. */
static void line_end(struct log_reader *r)
{
	for (uint32_t i = 0; i <= r->breaks; i++)
		put(r, '\n');
	r->breaks = r->start_len = r->at_column = 0;
	r->blank_before = false;
}

/* The first word behind a break has been read: does it go on? */
static void break_decide(struct log_reader *r)
{
	bool alike = begins_alike(r->start, r->start_len, r->word, r->word_len);
	bool full = r->wrap.at_words ? no_room(r->at_column, r->blank_before, r->word, r->word_len)
				     : r->at_column == r->wrap.width;

	r->deciding = false;
	if (full && !alike && r->word_len > 0 && r->breaks < BREAKS_MAX) {
		r->breaks++;
		r->at_column = 0;
		if (r->wrap.at_words && !r->blank_before)
			put(r, ' ');
	} else {
		line_end(r);
	}
	for (uint32_t i = 0; i < r->word_len; i++)
		line_put(r, r->word[i]);
	r->word_len = 0;
}

static void wrapped_feed(struct log_reader *r, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = data[i];

		if (c == '\r')
			continue;
		/* Broken anywhere, a line may go on with a blank; at words it does not. */
		bool ends = c == '\n' || r->word_len == FORM_WORD_BYTES_MAX ||
			    (r->wrap.at_words ? c == ' ' : r->word_len == START_BYTES);
		if (r->deciding && !ends) {
			r->word[r->word_len++] = c;
			continue;
		}
		if (r->deciding && c == ' ' && r->wrap.at_words && r->word_len < FORM_WORD_BYTES_MAX) {
			r->word[r->word_len++] = c;
			break_decide(r);
			continue;
		}
		if (r->deciding)
			break_decide(r);
		if (c == '\n')
			r->deciding = true;
		else
			line_put(r, c);
	}
	flush(r);
}

void log_reader_feed(struct log_reader *r, const char *data, size_t len)
{
	if (!log_form_is_readable(r->form))
		return;
	if (r->form == FORM_UTF16_LE || r->form == FORM_UTF16_BE)
		utf16_feed(r, data, len);
	else if (r->wrap.width > 0)
		wrapped_feed(r, data, len);
	else
		tool_reader_feed(r->tool, data, len);
}

void log_reader_end(struct log_reader *r)
{
	if (!log_form_is_readable(r->form))
		return;
	if (r->deciding)
		break_decide(r);
	else if (r->breaks > 0)
		line_end(r);
	flush(r);
	tool_reader_end(r->tool);
}

bool log_reader_only_wishes(const struct log_reader *r)
{
	return r->tool && tool_reader_only_wishes(r->tool);
}
