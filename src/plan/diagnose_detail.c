/* diagnose_detail.c - see diagnose_detail.h. */
#include "plan/diagnose_detail.h"
#include "plan/diagnose_shape.h"

#include <ctype.h>
#include <string.h>

enum {
	CAUSED_WITHIN_LINES = 3, /* "Caused by:" comes behind an empty line, if at all */
	CAUSES_MAX = 4,
	EMPTY_LINES_MAX = 2,
};
static const char caused_by[] = "Caused by:";

bool same_but_digits(const char *line, size_t len, const char *prefix, size_t prefix_len)
{
	if (len < prefix_len)
		return false;
	for (size_t i = 0; i < prefix_len; i++)
		if (line[i] != prefix[i] && !(isdigit((unsigned char)line[i]) && isdigit((unsigned char)prefix[i])))
			return false;
	return true;
}

void detail_begin(struct detail *d, const char *line, size_t len, size_t at)
{
	*d = (struct detail){.take = line_details(line + at, len - at)};
	d->left = d->take > 0 ? d->take + EMPTY_LINES_MAX : CAUSED_WITHIN_LINES;
	if (at > sizeof d->prefix)
		d->left = 0;
	else
		memcpy(d->prefix, line, d->prefix_len = (uint32_t)at);
}

/* "0: request error", as each cause of a chain is numbered. */
static size_t number_len(const char *line, size_t len)
{
	size_t n = 0;

	while (n < len && isdigit((unsigned char)line[n]))
		n++;
	return n > 0 && n + 1 < len && line[n] == ':' && line[n + 1] == ' ' ? n + 2 : 0;
}

bool detail_line(struct detail *d, const char *line, size_t len, size_t *ret_at, size_t *ret_len)
{
	size_t at = d->prefix_len > 0 && same_but_digits(line, len, d->prefix, d->prefix_len) ? d->prefix_len : 0;
	bool own = at == d->prefix_len;

	d->left--;
	while (len > at && isspace((unsigned char)line[len - 1]))
		len--;
	bool inner = at < len && isspace((unsigned char)line[at]);
	while (at < len && isspace((unsigned char)line[at]))
		at++;
	if (at == len || (!own && !inner))
		return false; /* an empty line, or another process's */
	if (len - at == strlen(caused_by) && memcmp(line + at, caused_by, len - at) == 0) {
		d->caused = true;
		d->left = CAUSES_MAX;
		return false;
	}
	if (d->caused && inner) {
		at += number_len(line + at, len - at);
	} else if (!d->caused && d->take > 0) {
		if (--d->take == 0)
			d->left = 0;
	} else {
		d->left = 0; /* something else stands there */
		return false;
	}
	*ret_at = at;
	*ret_len = len - at;
	return true;
}
