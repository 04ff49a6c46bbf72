/* bars.c - what fills each card, and the same as characters; see report.h. */
#include "plan/check.h"
#include "plan/report.h"

#include <stdio.h>
#include <string.h>

enum { LABEL_COLUMNS = 14, BAR_LEAST = 20, BAR_MOST = 60 };

static void fill_worker(const struct plan *p, const struct plan_slot *slot, uint32_t part, struct plan_bar *b)
{
	const struct plan_service *s = &p->deployment.services[slot->service];
	struct plan_terms own;
	const struct plan_terms *t = &own;
	size_t len = strlen(b->who);

	plan_terms_at(&own, &p->placement, &p->deployment, slot, part);
	if (!strcmp(b->who, "idle"))
		len = 0;
	if (slot->count > 1)
		snprintf(b->who + len, sizeof b->who - len, "%s%s %u, card %u of %u", len ? ", " : "", s->name,
			slot->worker, part + 1, slot->count);
	else
		snprintf(b->who + len, sizeof b->who - len, "%s%s %u", len ? ", " : "", s->name, slot->worker);
	if (!t->known) { /* nothing can be drawn */
		len = strlen(b->who);
		snprintf(b->who + len, sizeof b->who - len, " (its memory is not known)");
		return;
	}
	uint64_t fixed = plan_terms_fixed(t), kv = MAX(t->kv_room > 0 ? (uint64_t)t->kv_room : 0, t->kv_least);
	b->weights += t->weights;
	b->overhead += fixed - t->weights;
	b->kv += kv;
	if (!plan_terms_fit(t))
		b->over += fixed + t->kv_least - t->budget;
	else if (!plan_terms_free(t))
		b->over += t->budget + t->started - t->free;
}

static void fill(const struct plan *p, uint32_t device, struct plan_bar *b)
{
	const struct gpu_device *d = &p->input.inventory->devices[device];
	const struct plan_placement *pl = &p->placement;

	*b = (struct plan_bar){
		.total = d->memory_total, .others = d->memory_total - MIN(d->memory_free, d->memory_total)};
	snprintf(b->label, sizeof b->label, "%.40s %.20s", PLAN_DEVICE(p, device), plan_card_name(d));
	snprintf(b->who, sizeof b->who, "idle");
	for (uint32_t i = 0; pl->users[device] && i < pl->slots_len; i++)
		for (uint32_t k = 0; k < pl->slots[i].count; k++)
			if (pl->cards[pl->slots[i].first + k] == device)
				fill_worker(p, &pl->slots[i], k, b);
	uint64_t used = b->weights + b->kv + b->overhead + b->others;
	b->free = used < b->total ? b->total - used : 0;
}

static bool is_alike(const struct plan_bar *a, const struct plan_bar *b)
{
	return a->total == b->total && a->others == b->others && a->weights == b->weights && a->kv == b->kv &&
	       a->overhead == b->overhead && a->over == b->over && !strcmp(a->who, "idle") == !strcmp(b->who, "idle");
}

uint32_t plan_bars(const struct plan *p, uint32_t joined_from, struct plan_bar *ret, uint32_t cap)
{
	uint32_t n = 0;
	bool joined = p->input.inventory->count > joined_from;

	for (uint32_t i = 0; i < p->input.inventory->count && n < cap; i++) {
		fill(p, i, &ret[n]);
		if (joined && n > 0 && is_alike(&ret[n], &ret[n - 1]))
			ret[n - 1].alike++;
		else
			n++;
	}
	return n;
}

/* One part of a bar: so many characters of its own kind. */
static uint32_t part(struct buf *out, uint64_t bytes, uint64_t *upto, const struct plan_bar *b, uint32_t width,
	uint32_t at, const char *glyph, const char *color)
{
	*upto += bytes;
	uint64_t scale = MAX(b->total, 1);
	uint32_t end = (uint32_t)MIN(*upto * width / scale, (uint64_t)width);

	if (end > at)
		buf_add_str(out, color);
	for (uint32_t i = at; i < end; i++)
		buf_add_str(out, glyph);
	if (end > at && *color)
		buf_add_str(out, "\033[0m");
	return MAX(end, at);
}

static void draw(const struct plan_bar *b, bool color, uint32_t columns, uint32_t width, struct buf *out)
{
	uint64_t upto = 0;
	uint32_t at = 0;

	buf_printf(out, "  %-*s ", (int)columns, b->label);
	at = part(out, b->others, &upto, b, width, at, "x", color ? "\033[90m" : "");
	at = part(out, b->weights, &upto, b, width, at, color ? "█" : "#", color ? "\033[34m" : "");
	at = part(out, b->overhead, &upto, b, width, at, color ? "█" : "+", color ? "\033[33m" : "");
	at = part(out, b->kv, &upto, b, width, at, color ? "█" : "=", color ? "\033[32m" : "");
	for (; at < width; at++)
		buf_add_byte(out, '.');
	buf_printf(out, "  %s", b->who);
	if (b->alike)
		buf_printf(out, " and %u more like it", b->alike);
	if (b->over)
		buf_printf(out, "  %s%s too much%s", color ? "\033[1;31m" : "", PLAN_BYTES(b->over),
			color ? "\033[0m" : "");
	buf_add_byte(out, '\n');
}

void plan_bars_text(const struct plan *p, bool color, uint32_t columns, struct buf *out)
{
	struct plan_bar *bars = calloc(PLAN_BARS_MAX, sizeof *bars);
	uint32_t n = bars ? plan_bars(p, 16, bars, PLAN_BARS_MAX) : 0;
	uint32_t label = LABEL_COLUMNS;
	uint32_t width = columns > 70 ? MIN(columns - 50, (uint32_t)BAR_MOST) : BAR_LEAST;

	for (uint32_t i = 0; i < n; i++)
		label = MAX(label, (uint32_t)strlen(bars[i].label));
	width = MAX(width > label - LABEL_COLUMNS ? width - (label - LABEL_COLUMNS) : 0, (uint32_t)BAR_LEAST);
	for (uint32_t i = 0; i < n; i++)
		draw(&bars[i], color, label, width, out);
	if (n && color)
		buf_printf(out,
			"  %*s \033[34m█\033[0m weights \033[33m█\033[0m run time, activations "
			"\033[32m█\033[0m KV cache \033[90mx\033[0m others . free\n",
			(int)label, "");
	else if (n)
		buf_printf(out, "  %*s # weights  + run time, activations  = KV cache  x others  . free\n", (int)label,
			"");
	free(bars);
}
