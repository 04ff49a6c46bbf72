/* status.c - status lines of starting processes; see status.h. */
#include "launch/status.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static const struct {
	const char *word;
	enum status_kind kind;
} words[] = {
	{"progress", STATUS_PROGRESS},
	{"info", STATUS_INFO},
	{"ready", STATUS_READY},
	{"error", STATUS_ERROR},
};

static char *skip_blanks(char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return s;
}

static void cut_trailing_blanks(char *s)
{
	size_t len = strlen(s);

	while (len > 0 && isspace((unsigned char)s[len - 1]))
		s[--len] = '\0';
}

/* "0.42 loading weights": take the number off the front of ret->text. */
static void progress_parse(struct status *ret)
{
	char *end;
	double p = strtod(ret->text, &end);

	if (end == ret->text || isnan(p) || p < 0 || p > 1 || (*end && *end != ' ')) {
		ret->kind = STATUS_UNKNOWN;
		return;
	}
	ret->progress = p;
	ret->text = skip_blanks(end);
}

void status_parse(char *line, struct status *ret)
{
	*ret = (struct status){.kind = STATUS_UNKNOWN, .text = line};
	cut_trailing_blanks(line);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i].word);

		if (strncmp(line, words[i].word, len) != 0 || (line[len] && line[len] != ' '))
			continue;
		ret->kind = words[i].kind;
		ret->text = skip_blanks(line + len);
		if (ret->kind == STATUS_PROGRESS)
			progress_parse(ret);
		return;
	}
}

static void line_end(struct line_cutter *c, void (*fn)(void *ctx, char *line), void *ctx)
{
	c->line[c->len] = '\0';
	c->len = 0;
	fn(ctx, c->line);
}

void line_cutter_feed(struct line_cutter *c, const char *data, size_t len, void (*fn)(void *ctx, char *line), void *ctx)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n')
			line_end(c, fn, ctx);
		else if (c->len < sizeof c->line - 1) /* past it the rest of the line is dropped */
			c->line[c->len++] = data[i] ? data[i] : '?'; /* a NUL would hide what follows */
	}
}

void line_cutter_finish(struct line_cutter *c, void (*fn)(void *ctx, char *line), void *ctx)
{
	if (c->len > 0)
		line_end(c, fn, ctx);
}
