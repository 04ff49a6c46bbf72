#include "wire/sse.h"

#include <errno.h>

void sse_data(struct buf *b, const char *text, size_t len)
{
	if (buf_reserve(b, len + 8) < 0)
		return;
	buf_add(b, "data: ", 6);
	buf_add(b, text, len);
	buf_add(b, "\n\n", 2);
}

void sse_done(struct buf *b)
{
	sse_data(b, "[DONE]", 6);
}

void sse_parser_init(struct sse_parser *p, size_t event_bytes_max)
{
	*p = (struct sse_parser){.at_start = true};
	buf_init(&p->line, event_bytes_max);
	buf_init(&p->data, event_bytes_max);
}

void sse_parser_done(struct sse_parser *p)
{
	buf_done(&p->line);
	buf_done(&p->data);
}

/* An empty line: the event is whole. One without any data line is no event. */
static void dispatch(struct sse_parser *p, sse_event_fn *fn, void *ctx)
{
	if (p->has_data)
		fn(ctx, p->event, buf_str(&p->data), p->data.len);
	buf_reset(&p->data);
	p->event[0] = '\0';
	p->has_data = false;
}

static bool is_field(const char *line, size_t name_len, const char *name)
{
	return name_len == strlen(name) && memcmp(line, name, name_len) == 0;
}

static int take_line(struct sse_parser *p, sse_event_fn *fn, void *ctx)
{
	const char *line = buf_str(&p->line);
	size_t len = p->line.len;

	if (p->at_start && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		line += 3;
		len -= 3;
	}
	p->at_start = false;
	if (len == 0) {
		dispatch(p, fn, ctx);
		return 0;
	}
	const char *colon = memchr(line, ':', len);
	size_t name_len = colon ? (size_t)(colon - line) : len;
	const char *value = colon ? colon + 1 : line + len;
	size_t value_len = len - (size_t)(value - line);
	if (value_len && *value == ' ') {
		value++;
		value_len--;
	}
	if (is_field(line, name_len, "event") && value_len < sizeof p->event) {
		memcpy(p->event, value, value_len);
		p->event[value_len] = '\0';
	} else if (is_field(line, name_len, "data")) {
		/* Several data lines of one event are joined by line feeds. */
		int r = p->has_data ? buf_add_byte(&p->data, '\n') : 0;
		p->has_data = true;
		return r < 0 ? r : buf_add(&p->data, value, value_len);
	}
	return 0; /* comments (an empty name), id, retry and unknown fields mean nothing to us */
}

int sse_parser_push(struct sse_parser *p, const char *bytes, size_t len, sse_event_fn *fn, void *ctx, struct err *err)
{
	for (size_t i = 0; i < len;) {
		if (p->skip_lf && bytes[i] == '\n') {
			p->skip_lf = false;
			i++;
			continue;
		}
		p->skip_lf = false;
		size_t from = i;
		while (i < len && bytes[i] != '\n' && bytes[i] != '\r')
			i++;
		int r = buf_add(&p->line, bytes + from, i - from);
		if (r == 0 && i < len) {
			p->skip_lf = bytes[i] == '\r';
			i++;
			r = take_line(p, fn, ctx);
			buf_reset(&p->line);
		}
		if (r == -ENOBUFS)
			return err_set(err, r, "an event of the stream is larger than %zu bytes", p->data.len_max);
		if (r < 0)
			return err_set(err, r, "out of memory");
	}
	return 0;
}
