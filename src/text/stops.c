/* stops.c - one Knuth-Morris-Pratt matcher a stop string, run side by side. At most STOPS_MAX of them, so this is as
 * quick as one joint automaton and a quarter of its memory. */
#include "text/stops.h"

#include <string.h>

struct stop {
	char text[STOP_BYTES_MAX];
	uint16_t fall[STOP_BYTES_MAX]; /* fall[i]: longest proper border of text[0, i + 1) */
	uint16_t len;
};
struct stops {
	uint32_t count;
	struct stop v[];
};

static void fill_stop(struct stop *s, const struct stop_string *from)
{
	s->len = (uint16_t)from->len;
	memcpy(s->text, from->text, from->len);
	s->fall[0] = 0;
	for (uint16_t i = 1, k = 0; i < s->len; i++) {
		while (k > 0 && s->text[i] != s->text[k])
			k = s->fall[k - 1];
		if (s->text[i] == s->text[k])
			k++;
		s->fall[i] = k;
	}
}

int stops_create(struct stops **ret, const struct stop_string *strings, uint32_t count, struct err *err)
{
	if (count > STOPS_MAX)
		return err_set(err, -EINVAL, "%u stop strings, at most %d are possible", count, STOPS_MAX);
	for (uint32_t i = 0; i < count; i++)
		if (strings[i].len == 0 || strings[i].len > STOP_BYTES_MAX)
			return err_set(err, -EINVAL, "stop string %u has %zu bytes, 1 to %d are possible", i + 1,
				strings[i].len, STOP_BYTES_MAX);
	struct stops *s = malloc(sizeof *s + count * sizeof s->v[0]);
	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->count = count;
	for (uint32_t i = 0; i < count; i++)
		fill_stop(&s->v[i], &strings[i]);
	*ret = s;
	return 0;
}

void stops_destroy(struct stops *s)
{
	free(s);
}

struct stop_string stops_get(const struct stops *s, int index)
{
	ASSERT(index >= 0 && (uint32_t)index < s->count);
	return (struct stop_string){s->v[index].text, s->v[index].len};
}

void stop_scan_init(struct stop_scan *s, const struct stops *stops)
{
	*s = (struct stop_scan){.stops = stops};
}

/* Take one byte. Returns the longest stop string that ends with it, or STOP_NONE. */
static int step(struct stop_scan *s, char c)
{
	int found = STOP_NONE;
	for (uint32_t i = 0; i < s->stops->count; i++) {
		const struct stop *stop = &s->stops->v[i];
		uint16_t k = s->matched[i];
		while (k > 0 && stop->text[k] != c)
			k = stop->fall[k - 1];
		if (stop->text[k] == c)
			k++;
		s->matched[i] = k;
		if (k == stop->len && (found == STOP_NONE || stop->len > s->stops->v[found].len))
			found = (int)i;
	}
	return found;
}

static uint32_t longest_beginning(const struct stop_scan *s)
{
	uint32_t most = 0;
	for (uint32_t i = 0; i < s->stops->count; i++)
		most = MAX(most, s->matched[i]);
	return most;
}

/* The text is what was held followed by text[0, len): pass on all but its last keep bytes, and hold those unless drop.
 */
static void pass(struct stop_scan *s, const char *text, size_t len, uint32_t keep, bool drop, struct buf *ret)
{
	size_t out = s->held_len + len - keep;
	size_t from_held = MIN(out, s->held_len);
	buf_add(ret, s->held, from_held);
	memmove(s->held, s->held + from_held, s->held_len - from_held);
	s->held_len -= (uint32_t)from_held;
	buf_add(ret, text, out - from_held);
	if (drop) {
		s->held_len = 0;
		return;
	}
	size_t rest = len - (out - from_held);
	memcpy(s->held + s->held_len, text + len - rest, rest);
	s->held_len += (uint32_t)rest;
}

int stop_scan_push(struct stop_scan *s, const char *text, size_t len, struct buf *ret, uint64_t *ret_pos)
{
	if (!s->stops || s->stops->count == 0) {
		s->pos += len;
		buf_add(ret, text, len);
		return STOP_NONE;
	}
	for (size_t i = 0; i < len; i++) {
		int found = step(s, text[i]);
		s->pos++;
		if (found == STOP_NONE)
			continue;
		uint32_t stop_len = s->stops->v[found].len;
		pass(s, text, i + 1, stop_len, true, ret);
		if (ret_pos)
			*ret_pos = s->pos - stop_len;
		return found;
	}
	pass(s, text, len, longest_beginning(s), false, ret);
	return STOP_NONE;
}

void stop_scan_finish(struct stop_scan *s, struct buf *ret)
{
	buf_add(ret, s->held, s->held_len);
	s->held_len = 0;
}
