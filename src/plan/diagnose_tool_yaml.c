/* diagnose_tool_yaml.c - YAML as kubectl prints it: blocks of keys and hyphens, scalars plain, quoted or as blocks, which may go
 * on below. What other programs may write (anchors, flow lists) is a text here. See diagnose_tool_priv.h. */
#include "plan/diagnose_tool_priv.h"

#include <ctype.h>
#include <string.h>

bool tool_yaml_begins(const char *line, size_t len)
{
	static const char *const words[] = {"apiVersion: ", "- apiVersion: ", "kind: "};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (len > strlen(words[i]) && memcmp(line, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

void tool_yaml_init(struct tool_yaml *y, struct object *o)
{
	y->object = o;
	y->depth = 0;
	y->pending = y->block = false;
	y->quote = '\0';
	y->text_len = 0;
}

static void text_add(struct tool_yaml *y, const char *text, size_t len)
{
	len = MIN(len, sizeof y->text - 1 - y->text_len);
	memcpy(y->text + y->text_len, text, len);
	y->text_len += len;
	y->text[y->text_len] = '\0';
}

/* Without its quotes, and what was escaped in them. */
static void unquote(struct tool_yaml *y)
{
	char quote = y->text_len > 0 ? y->text[0] : '\0';
	size_t n = 0;

	if ((quote != '"' && quote != '\'') || y->block)
		return;
	for (size_t i = 1; i < y->text_len; i++) {
		char c = y->text[i];
		bool more = i + 1 < y->text_len;

		if (c == quote && !(quote == '\'' && more && y->text[i + 1] == quote))
			break;
		bool escaped = quote == '"' && c == '\\' && more;

		if (c == quote || escaped)
			c = y->text[++i];
		if (escaped)
			c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
		y->text[n++] = c;
	}
	y->text_len = n;
	y->text[n] = '\0';
}

/* The scalar that is open is whole. */
static void scalar_end(struct tool_yaml *y)
{
	if (!y->pending)
		return;
	unquote(y);
	if (y->text_len > 0)
		object_value(y->object, y->key, y->text, y->text_len, y->line);
	y->pending = y->block = false;
	y->quote = '\0';
	y->text_len = 0;
}

static void frame_open(struct tool_yaml *y, const char *key, uint32_t indent, bool list, uint64_t line)
{
	if (y->depth == TOOL_FRAMES_MAX)
		return;
	y->frames[y->depth].indent = indent;
	y->frames[y->depth++].list = list;
	object_open(y->object, key, list, line);
}

static void frame_close(struct tool_yaml *y)
{
	y->depth--;
	object_close(y->object);
}

/* The key that has no value yet has one of its own lines: a list or a map at this indent. */
static void pending_open(struct tool_yaml *y, uint32_t indent, bool list, uint64_t line)
{
	bool named = y->pending;

	y->pending = false;
	frame_open(y, named ? y->key : "", indent, list, line);
}

/* Where the key of this line ends; 0: it has none. */
static size_t key_end(const char *line, size_t len)
{
	size_t i = 0;

	if (len > 0 && (*line == '"' || *line == '\'')) {
		for (i = 1; i < len && line[i] != *line;)
			i++;
		i++;
	} else {
		while (i < len && line[i] != ':' && line[i] != ' ' && line[i] != '{' && line[i] != '[')
			i++;
		while (i + 1 < len && line[i] == ':' && line[i + 1] != ' ') {
			for (i++; i < len && line[i] != ':' && line[i] != ' ';)
				i++;
		}
	}
	return i > 0 && i < len && line[i] == ':' && (i + 1 == len || line[i + 1] == ' ') ? i : 0;
}

static char open_quote(const char *text, size_t len)
{
	char quote = *text;

	if (len == 0 || (quote != '"' && quote != '\''))
		return '\0';
	for (size_t i = 1; i < len; i++) {
		if (quote == '"' && text[i] == '\\')
			i++;
		else if (text[i] == quote && quote == '\'' && i + 1 < len && text[i + 1] == quote)
			i++;
		else if (text[i] == quote)
			return '\0';
	}
	return quote;
}

static void key_read(struct tool_yaml *y, const char *line, size_t len, size_t end, uint32_t indent, uint64_t number)
{
	bool quoted = *line == '"' || *line == '\'';
	size_t n = MIN(end - 2 * quoted, sizeof y->key - 1);
	const char *value = line + end + 1;
	size_t value_len = len - end - 1;

	memcpy(y->key, line + quoted, n);
	y->key[n] = '\0';
	while (value_len > 0 && *value == ' ') {
		value++;
		value_len--;
	}
	y->pending = true;
	y->key_indent = indent;
	y->line = number;
	y->text_len = 0;
	y->text[0] = '\0';
	y->block = value_len > 0 && (*value == '|' || *value == '>');
	y->quote = y->block || value_len == 0 ? '\0' : open_quote(value, value_len);
	if (!y->block)
		text_add(y, value, value_len);
}

/* A line below a scalar that belongs to it. */
static bool scalar_goes_on(struct tool_yaml *y, const char *line, size_t len, uint32_t indent)
{
	if (!y->pending || (y->text_len == 0 && !y->block))
		return false;
	if (y->block && (indent > y->key_indent || len == 0)) {
		if (y->text_len > 0)
			text_add(y, "\n", 1);
		text_add(y, line, len);
		return true;
	}
	if (y->quote || (!y->block && indent > y->key_indent && len > 0)) {
		text_add(y, " ", 1);
		text_add(y, line, len);
		if (y->quote && !open_quote(y->text, y->text_len))
			y->quote = '\0';
		return true;
	}
	return false;
}

static void close_to(struct tool_yaml *y, uint32_t indent, bool hyphen)
{
	while (y->depth > 0 &&
		(y->frames[y->depth - 1].indent > indent ||
			(y->frames[y->depth - 1].indent == indent && y->frames[y->depth - 1].list && !hyphen)))
		frame_close(y);
}

/* What stands at the margin of a Kubernetes object: a log that follows one has other words there. */
static bool is_top_key(const char *key)
{
	static const char *const words[] = {"apiVersion", "kind", "metadata", "spec", "status", "items", "data",
		"stringData", "binaryData", "immutable", "type", "reason", "message", "note", "action", "count",
		"series", "source", "related", "involvedObject", "regarding", "eventTime", "firstTimestamp",
		"lastTimestamp", "reportingComponent", "reportingController", "reportingInstance", "rules", "subjects",
		"roleRef", "secrets", "imagePullSecrets", "automountServiceAccountToken", "subsets", "endpoints",
		"addressType", "ports", "provisioner", "parameters", "reclaimPolicy", "volumeBindingMode", "value",
		"description", "globalDefault", "preemptionPolicy", "webhooks", "handler", "code", "details"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(key, words[i]))
			return true;
	return strncmp(key, "deprecated", 10) == 0;
}

/* One item or key. False: it is neither. */
static bool content_read(struct tool_yaml *y, const char *line, size_t len, uint32_t indent, uint64_t number)
{
	while (len > 0 && *line == '-' && (len == 1 || line[1] == ' ')) {
		size_t skip = 1;

		if (!(y->depth > 0 && y->frames[y->depth - 1].list && y->frames[y->depth - 1].indent == indent))
			pending_open(y, indent, true, number);
		while (skip < len && line[skip] == ' ')
			skip++;
		line += skip;
		len -= skip;
		indent += (uint32_t)skip;
		if (key_end(line, len) > 0)
			frame_open(y, "", indent, false, number);
	}
	if (len == 0)
		return true;
	size_t end = key_end(line, len);
	if (end > 0) {
		if (!(y->depth > 0 && !y->frames[y->depth - 1].list && y->frames[y->depth - 1].indent == indent))
			pending_open(y, indent, false, number);
		key_read(y, line, len, end, indent, number);
		y->pending = indent > 0 || is_top_key(y->key);
		return y->pending;
	}
	/* An item that is a scalar. */
	if (y->depth == 0 || !y->frames[y->depth - 1].list)
		return indent > 0;
	y->text_len = 0;
	text_add(y, line, len);
	unquote(y);
	object_value(y->object, "", y->text, y->text_len, number);
	y->text_len = 0;
	return true;
}

bool tool_yaml_line(struct tool_yaml *y, const char *line, size_t len, uint64_t number)
{
	uint32_t indent = 0;

	while (indent < len && line[indent] == ' ')
		indent++;
	while (len > indent && isspace((unsigned char)line[len - 1]))
		len--;
	if (scalar_goes_on(y, line + indent, len - indent, indent))
		return true;
	if (indent == len || line[indent] == '#')
		return true;
	if (y->pending && y->text_len == 0 && !y->block) {
		bool hyphen = line[indent] == '-' && (indent + 1 == len || line[indent + 1] == ' ');

		/* Its value is below it: deeper, or a list at its own indent. */
		if (indent < y->key_indent || (indent == y->key_indent && !hyphen))
			y->pending = false;
	} else {
		scalar_end(y);
	}
	if (len == 3 && memcmp(line, "---", 3) == 0) {
		tool_yaml_end(y);
		return true;
	}
	close_to(y, indent, line[indent] == '-');
	return content_read(y, line + indent, len - indent, indent, number);
}

void tool_yaml_end(struct tool_yaml *y)
{
	scalar_end(y);
	y->pending = false;
	while (y->depth > 0)
		frame_close(y);
}
