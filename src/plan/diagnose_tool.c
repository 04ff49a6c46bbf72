/* diagnose_tool.c - see diagnose_tool.h.
 *
 * Text that is no more than a log is passed on in place: of each line only the first byte is looked at. A document is passed on as
 * it stands, too, when it turns out to be none that is known; for that its beginning is kept. */
#include "plan/diagnose_tool.h"
#include "plan/diagnose_log.h"
#include "plan/diagnose_tool_priv.h"

#include <stdlib.h>
#include <string.h>

enum { UNKNOWN_BYTES_MAX = 64 * 1024 }; /* of a JSON document, until something known must have come */

enum mode { MODE_LOG, MODE_JSON, MODE_YAML, MODE_DESCRIBE, MODE_TABLE };

/* What only documents need. */
struct documents {
	struct object object;
	struct json_scan scan;
	struct tool_yaml yaml;
	struct tool_describe describe;
	struct buf raw; /* the JSON so far, while nothing of it is known */
	uint64_t raw_line;
};

struct tool_reader {
	struct diagnosed_log *log;
	enum mode mode;
	struct tool_table table;
	struct documents *docs;
	uint64_t lines; /* line feeds behind us */
	char *line; /* one that is not whole */
	size_t line_len;
	bool middle; /* within a line that was longer than there is room */
	bool plain, judged, wished; /* what was there: log text, news, documents without any */
};

static void on_told(void *ctx, uint64_t line, const char *text)
{
	struct tool_reader *r = ctx;

	diagnosed_log_line(r->log, line, text, strlen(text));
}

static void on_open(void *ctx, const char *key, bool list, uint64_t line)
{
	object_open(ctx, key, list, line);
}

static void on_close(void *ctx)
{
	object_close(ctx);
}

static void on_value(void *ctx, const char *key, const char *text, size_t len, uint64_t line)
{
	object_value(ctx, key, text, len, line);
}

static const struct json_scan_ops scan_ops = {on_open, on_close, on_value};

int tool_reader_create(struct tool_reader **ret, struct diagnosed_log *log, struct err *err)
{
	struct tool_reader *r = calloc(1, sizeof *r);

	if (!r || !(r->line = malloc(TOOL_LINE_BYTES))) {
		free(r);
		return err_set(err, -ENOMEM, "out of memory");
	}
	r->log = log;
	r->table.told = on_told;
	r->table.ctx = r;
	*ret = r;
	return 0;
}

void tool_reader_destroy(struct tool_reader *r)
{
	if (!r)
		return;
	if (r->docs)
		buf_done(&r->docs->raw);
	free(r->docs);
	free(r->line);
	free(r);
}

static bool docs_ready(struct tool_reader *r)
{
	if (r->docs)
		return true;
	r->docs = calloc(1, sizeof *r->docs);
	if (!r->docs)
		return false;
	buf_init(&r->docs->raw, UNKNOWN_BYTES_MAX + TOOL_LINE_BYTES);
	return true;
}

/* ---- log text ---- */

/* Lines that are whole, as they are. */
static void plain_pass(struct tool_reader *r, const char *data, size_t len)
{
	if (len == 0)
		return;
	for (size_t i = 0; i < len && !r->plain; i++)
		r->plain = data[i] > ' ';
	diagnosed_log_feed(r->log, data, len);
}

/* A log goes on behind a document: its lines have their numbers. */
static void log_resume(struct tool_reader *r)
{
	r->mode = MODE_LOG;
	diagnosed_log_seek(r->log, r->lines + 1);
}

/* ---- JSON ---- */

/* "{" and "[" begin many lines that are no JSON: what follows decides. */
static bool json_begins(const char *line, size_t len)
{
	size_t i = 1;

	if (len == 0 || (*line != '{' && *line != '['))
		return false;
	while (i < len && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r'))
		i++;
	return i == len || (*line == '{' && (line[i] == '"' || line[i] == '}')) || (*line == '[' && line[i] == '{');
}

static void raw_begin(struct tool_reader *r)
{
	buf_reset(&r->docs->raw);
	r->docs->raw_line = r->lines + 1;
}

static void json_begin(struct tool_reader *r)
{
	r->mode = MODE_JSON;
	object_init(&r->docs->object, on_told, r);
	json_scan_init(&r->docs->scan, &scan_ops, &r->docs->object, r->lines + 1);
	buf_reset(&r->docs->raw);
	r->docs->raw_line = r->lines + 1;
}

/* What was taken for a document is a part of the log. */
static void raw_give_back(struct tool_reader *r)
{
	struct buf *raw = &r->docs->raw;

	diagnosed_log_seek(r->log, r->docs->raw_line);
	plain_pass(r, buf_str(raw), raw->len);
	buf_reset(raw);
}

static void json_end(struct tool_reader *r)
{
	struct object *o = &r->docs->object;

	if (!o->known) {
		raw_give_back(r);
		r->mode = MODE_LOG;
		return;
	}
	r->judged = r->judged || o->judged;
	r->wished = r->wished || !o->judged;
	log_resume(r);
}

/* A whole line, or a piece of one that is too long, with its line feed. */
static void json_line(struct tool_reader *r, const char *data, size_t len)
{
	struct documents *d = r->docs;
	bool feed = len > 0 && data[len - 1] == '\n';
	size_t used;

	if (!d->object.known)
		buf_add(&d->raw, data, len);
	enum json_scan_state state = json_scan_feed(&d->scan, data, len, &used);
	r->lines += feed;
	if (state == JSON_SCAN_BAD) {
		bool known = d->object.known;

		json_scan_cut(&d->scan);
		json_end(r);
		if (known) { /* the line that did not fit is a line of a log */
			diagnosed_log_seek(r->log, r->lines + !feed);
			plain_pass(r, data, len);
		}
	} else if (state == JSON_SCAN_WHOLE) {
		json_end(r);
	} else if (!d->object.known && d->raw.len > UNKNOWN_BYTES_MAX) {
		raw_give_back(r);
		r->mode = MODE_LOG;
	}
}

/* ---- lines ---- */

static bool begins(struct tool_reader *r, const char *line, size_t len)
{
	switch (len > 0 ? *line : '\0') {
	case '{':
	case '[':
		if (json_begins(line, len) && docs_ready(r))
			json_begin(r);
		break;
	case 'a':
	case 'k':
	case '-':
		if (tool_yaml_begins(line, len) && docs_ready(r)) {
			r->mode = MODE_YAML;
			object_init(&r->docs->object, on_told, r);
			tool_yaml_init(&r->docs->yaml, &r->docs->object);
		}
		break;
	case 'N':
	case 'C':
		if (tool_table_begins(&r->table, line, len)) {
			r->mode = MODE_TABLE;
		} else if (tool_describe_begins(line, len) && docs_ready(r)) {
			r->mode = MODE_DESCRIBE;
			raw_begin(r);
			tool_describe_init(&r->docs->describe, on_told, r);
		}
		break;
	default:
		break;
	}
	return r->mode != MODE_LOG;
}

static void document_end(struct tool_reader *r)
{
	bool judged = true;

	if (r->mode == MODE_JSON) {
		json_scan_cut(&r->docs->scan);
		json_end(r);
		return;
	}
	if (r->mode == MODE_YAML) {
		tool_yaml_end(&r->docs->yaml);
		judged = r->docs->object.judged;
	} else if (r->mode == MODE_DESCRIBE && !r->docs->describe.known) {
		raw_give_back(r);
		r->mode = MODE_LOG;
		return;
	} else if (r->mode == MODE_DESCRIBE) {
		tool_describe_end(&r->docs->describe);
		judged = r->docs->describe.judged;
	}
	r->judged = r->judged || judged;
	r->wished = r->wished || !judged;
	log_resume(r);
}

/* A line of a document other than JSON, without its line feed. False: it ended before this line. */
static bool document_line(struct tool_reader *r, const char *line, size_t len)
{
	uint64_t number = r->lines + 1;

	len -= len > 0 && line[len - 1] == '\r';
	switch (r->mode) {
	case MODE_YAML:
		return tool_yaml_line(&r->docs->yaml, line, len, number);
	case MODE_DESCRIBE:
		if (!r->docs->describe.known && r->docs->raw.len > UNKNOWN_BYTES_MAX)
			return false;
		if (!tool_describe_line(&r->docs->describe, line, len, number))
			return false;
		if (!r->docs->describe.known) {
			buf_add(&r->docs->raw, line, len);
			buf_add_byte(&r->docs->raw, '\n');
		}
		return true;
	case MODE_TABLE:
		r->judged = true;
		return tool_table_line(&r->table, line, len, number) || (tool_table_begins(&r->table, line, len));
	case MODE_LOG:
	case MODE_JSON:
		break;
	}
	return false;
}

/* One line with its line feed, or the last without. Returns false when it belongs to the log. */
static bool line_take(struct tool_reader *r, const char *line, size_t len)
{
	size_t text = len - (len > 0 && line[len - 1] == '\n');

	if (r->mode == MODE_JSON) {
		json_line(r, line, len);
		return true;
	}
	if (r->mode != MODE_LOG) {
		if (document_line(r, line, text)) {
			r->lines += text < len;
			return true;
		}
		document_end(r);
	}
	if (!begins(r, line, text))
		return false;
	if (r->mode == MODE_JSON) {
		json_line(r, line, len);
		return true;
	}
	if (r->mode != MODE_TABLE)
		document_line(r, line, text);
	r->lines += text < len;
	return true;
}

/* A piece of a line that has no end yet and no room. */
static void long_piece(struct tool_reader *r)
{
	if (r->mode == MODE_JSON) {
		json_line(r, r->line, r->line_len);
		r->middle = r->mode != MODE_JSON;
	} else if (!line_take(r, r->line, r->line_len)) {
		plain_pass(r, r->line, r->line_len);
		r->middle = true;
	}
	r->line_len = 0;
}

static void line_keep(struct tool_reader *r, const char *data, size_t len)
{
	while (len > 0) {
		size_t n = MIN(len, TOOL_LINE_BYTES - r->line_len);

		memcpy(r->line + r->line_len, data, n);
		r->line_len += n;
		data += n;
		len -= n;
		if (r->line_len == TOOL_LINE_BYTES)
			long_piece(r);
	}
}

void tool_reader_feed(struct tool_reader *r, const char *data, size_t len)
{
	const char *end;

	if (r->middle && len > 0) { /* the rest of a very long line of a log */
		end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) + 1 : len;
		plain_pass(r, data, n);
		r->lines += end != NULL;
		r->middle = !end;
		data += n;
		len -= n;
	}
	if (r->line_len > 0 && len > 0) {
		end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) + 1 : len;
		line_keep(r, data, n);
		data += n;
		len -= n;
		if (!end)
			return;
		if (r->middle) {
			plain_pass(r, r->line, r->line_len);
			r->lines++;
			r->middle = false;
		} else if (r->line_len > 0 && !line_take(r, r->line, r->line_len)) {
			plain_pass(r, r->line, r->line_len);
			r->lines++;
		}
		r->line_len = 0;
	}
	const char *from = data; /* log text that was not passed on yet */
	while (len > 0 && (end = memchr(data, '\n', len)) != NULL) {
		size_t n = (size_t)(end - data) + 1;
		bool candidate = r->mode != MODE_LOG || strchr("{[ak-NC", *data);

		if (candidate) {
			plain_pass(r, from, (size_t)(data - from));
			from = data;
		}
		if (candidate && line_take(r, data, n))
			from = data + n;
		else
			r->lines++;
		data += n;
		len -= n;
	}
	plain_pass(r, from, (size_t)(data - from));
	line_keep(r, data, len);
}

void tool_reader_end(struct tool_reader *r)
{
	uint64_t lines = r->lines + (r->line_len > 0 || r->middle);

	if (r->line_len > 0 && (r->middle || !line_take(r, r->line, r->line_len)))
		plain_pass(r, r->line, r->line_len);
	r->line_len = 0;
	/* An object that is not closed was cut. */
	if (r->mode == MODE_JSON && r->docs->object.known)
		diagnosed_log_cut(r->log);
	if (r->mode != MODE_LOG)
		document_end(r);
	diagnosed_log_end(r->log);
	if (diagnosed_log_lines(r->log) < lines)
		diagnosed_log_seek(r->log, lines + 1);
}

bool tool_reader_only_wishes(const struct tool_reader *r)
{
	return r->wished && !r->judged && !r->plain;
}
