/* http_framing.c - where a request's body ends (RFC 9112 6 and 7): by its length, or chunk by chunk. llhttp gives up after
 * the headers, for three reasons: the sizes of chunks are checked against the limit digit by digit, what stands beside the
 * data (extensions, trailers) is counted among the header bytes, and blanks around an extension are legal.
 *
 *     chunked-body = *( 1*HEXDIG [ chunk-ext ] CRLF data CRLF ) 1*"0" [ chunk-ext ] CRLF *( field-line CRLF ) CRLF
 *
 * Lines end with CR LF and nothing else: what two readers could take for two bodies is refused. */
#include "net/http_priv.h"

bool http_is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Field values and quoted strings: visible characters, blanks, and bytes above ASCII. */
static bool is_text(char c)
{
	return ((unsigned char)c >= ' ' && c != 0x7f) || c == '\t';
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void body_bad(struct http_conn *c, const char *why)
{
	(void)http_request_bad(c, 400, why);
}

/* Bytes beside the data: the headers' limit is theirs as well. */
static void count_beside(struct http_conn *c)
{
	if (++c->head_bytes > c->s->limits.header_bytes_max)
		(void)http_request_bad(c, 431, "the chunk extensions or trailers are too large");
}

static void size_digit(struct http_conn *c, int digit)
{
	struct framing *f = &c->framing;
	size_t room = c->s->limits.body_bytes_max - c->x->body.len;

	f->has_digit = true;
	if (f->left > room >> 4 || (f->left << 4 | (uint64_t)digit) > room) {
		(void)http_request_bad(c, 413, "the request body is too large");
		return;
	}
	f->left = f->left << 4 | (uint64_t)digit;
	if (!f->left)
		count_beside(c);
}

static void take_size(struct http_conn *c, char byte)
{
	struct framing *f = &c->framing;
	int digit = digit_of(byte);

	if (digit >= 0) {
		size_digit(c, digit);
	} else if (!f->has_digit) {
		body_bad(c, "a chunk has no size");
	} else if (byte == '\r') {
		f->state = FRAMING_SIZE_LF;
	} else if (byte == ';' || byte == ' ' || byte == '\t') {
		f->state = FRAMING_EXTENSION;
		f->has_name = byte == ';';
		count_beside(c);
	} else {
		body_bad(c, "a chunk's size is not a hexadecimal number");
	}
}

static void take_extension(struct http_conn *c, char byte)
{
	struct framing *f = &c->framing;

	count_beside(c);
	if (byte == ';')
		f->has_name = true;
	else if (byte == ' ' || byte == '\t')
		return;
	else if (!f->has_name)
		body_bad(c, "a chunk's size is followed by blanks and no extension");
	else if (byte == '\r')
		f->state = FRAMING_SIZE_LF;
	else if (byte == '"')
		f->state = FRAMING_QUOTED;
	else if (byte != '=' && !http_is_token(byte))
		body_bad(c, "a chunk extension has a character that is not allowed there");
}

static void take_quoted(struct http_conn *c, char byte)
{
	struct framing *f = &c->framing;

	count_beside(c);
	if (!is_text(byte))
		body_bad(c, "a chunk extension has a control character");
	else if (f->state == FRAMING_QUOTED_PAIR)
		f->state = FRAMING_QUOTED;
	else if (byte == '"')
		f->state = FRAMING_EXTENSION;
	else if (byte == '\\')
		f->state = FRAMING_QUOTED_PAIR;
}

/* One that belongs to the end of a line. */
static void take_mark(struct http_conn *c, char byte, char wanted, enum framing_state next)
{
	if (byte != wanted)
		body_bad(c, "a line of the chunked body does not end with CR LF");
	else
		c->framing.state = (uint8_t)next;
}

static void take_trailer(struct http_conn *c, char byte)
{
	struct framing *f = &c->framing;

	count_beside(c);
	if (f->state == FRAMING_TRAILER_VALUE) {
		if (byte == '\r')
			f->state = FRAMING_TRAILER_LF;
		else if (!is_text(byte))
			body_bad(c, "a trailer has a control character");
	} else if (byte == '\r' && f->state == FRAMING_TRAILER) {
		f->state = FRAMING_END_LF;
	} else if (http_is_token(byte)) {
		f->state = FRAMING_TRAILER_NAME;
	} else if (byte == ':' && f->state == FRAMING_TRAILER_NAME) {
		f->state = FRAMING_TRAILER_VALUE;
	} else {
		body_bad(c, "a trailer is not \"name: value\"");
	}
}

static void take_byte(struct http_conn *c, char byte)
{
	struct framing *f = &c->framing;

	switch ((enum framing_state)f->state) {
	case FRAMING_SIZE:
		take_size(c, byte);
		break;
	case FRAMING_SIZE_LF:
		take_mark(c, byte, '\n', f->left ? FRAMING_DATA : FRAMING_TRAILER);
		break;
	case FRAMING_EXTENSION:
		take_extension(c, byte);
		break;
	case FRAMING_QUOTED:
	case FRAMING_QUOTED_PAIR:
		take_quoted(c, byte);
		break;
	case FRAMING_DATA_CR:
		take_mark(c, byte, '\r', FRAMING_DATA_LF);
		break;
	case FRAMING_DATA_LF:
		take_mark(c, byte, '\n', FRAMING_SIZE);
		f->has_digit = false;
		break;
	case FRAMING_TRAILER:
	case FRAMING_TRAILER_NAME:
	case FRAMING_TRAILER_VALUE:
		take_trailer(c, byte);
		break;
	case FRAMING_TRAILER_LF:
		take_mark(c, byte, '\n', FRAMING_TRAILER);
		break;
	default: /* FRAMING_END_LF: the others are not read byte by byte */
		take_mark(c, byte, '\n', FRAMING_DONE);
	}
}

static size_t take_data(struct http_conn *c, const uint8_t *data, size_t len)
{
	struct framing *f = &c->framing;
	size_t n = (size_t)MIN(f->left, (uint64_t)len);
	int r = c->state == CONN_DISCARD ? 0 : buf_add(&c->x->body, data, n);

	if (r < 0) {
		(void)http_request_bad(
			c, r == -ENOMEM ? 503 : 413, r == -ENOMEM ? "out of memory" : "the request body is too large");
		return 0;
	}
	f->left -= n;
	if (!f->left)
		f->state = f->state == FRAMING_LENGTH ? FRAMING_DONE : FRAMING_DATA_CR;
	return n;
}

size_t http_framing_feed(struct http_conn *c, const uint8_t *data, size_t len)
{
	struct framing *f = &c->framing;
	size_t used = 0;

	while (used < len && f->state != FRAMING_DONE && !c->bad_status) {
		if (f->state == FRAMING_LENGTH || f->state == FRAMING_DATA) {
			used += take_data(c, data + used, len - used);
			continue;
		}
		f->beside++;
		take_byte(c, (char)data[used++]);
	}
	return used;
}
