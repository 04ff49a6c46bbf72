/* report_speed.c - one worker's predicted pace at some numbers of streams; see report.h. */
#include "base/json_out.h"
#include "plan/report.h"

#include <stdio.h>

enum { STREAMS_LAST = 5 };
static const uint32_t streams_shown[STREAMS_LAST] = {1, 8, 32, 64, 128};

struct speed {
	const struct plan_service *service;
	struct roofline line;
	struct plan_pace pace;
};

/* The first card that a worker of the service has, and the link to its second. */
static bool speed_of(const struct plan *p, uint32_t service, const struct plan_load *load, struct speed *ret)
{
	const struct plan_placement *pl = &p->placement;
	const struct plan_service *s = &p->deployment.services[service];

	for (uint32_t i = 0; i < pl->slots_len; i++) {
		const struct plan_slot *slot = &pl->slots[i];
		if (slot->service != service || !slot->count)
			continue;
		uint32_t a = pl->cards[slot->first], c = pl->class_of[a];
		enum gpu_link link = slot->count > 1 ? gpu_inventory_link(pl->inventory, a, pl->cards[slot->first + 1])
						     : GPU_LINK_PCIE;
		const struct plan_terms *t = plan_terms_of(pl, service, c);
		if (!t->known || plan_roofline(&ret->line, s, &pl->inventory->devices[a], link, NULL) < 0)
			return false;
		ret->service = s;
		plan_pace(&ret->pace, s, &ret->line, t, load, &pl->inventory->devices[a]);
		return true;
	}
	return false;
}

static double step_us(const struct speed *s, uint32_t streams, const struct plan_load *load)
{
	return roofline_decode_us(&s->line, streams, load->prompt + load->answer / 2);
}

static void one_text(const struct speed *s, const struct plan_load *load, struct buf *out)
{
	buf_printf(out, "\n  %s, a worker, predicted for requests of %u + %u tokens:\n", s->service->name, load->prompt,
		load->answer);
	buf_printf(out, "    %-26s %10.0f  tokens/s, %.1f ms for %u\n", "prompts",
		load->prompt / s->pace.prefill_us * 1e6, s->pace.prefill_us / 1e3, load->prompt);
	for (uint32_t i = 0; i < STREAMS_LAST; i++) {
		double us = step_us(s, streams_shown[i], load);
		char what[32];
		snprintf(what, sizeof what, "%u stream%s", streams_shown[i], streams_shown[i] == 1 ? "" : "s");
		buf_printf(out, "    %-26s %10.0f  tokens/s, %.1f ms a step%s\n", what, streams_shown[i] / us * 1e6,
			us / 1e3,
			streams_shown[i] > s->pace.streams ? " (more than its KV cache or max-seqs holds)" : "");
	}
}

void plan_speed_text(const struct plan *p, const struct plan_load *load, struct buf *out)
{
	struct speed s;

	for (uint32_t i = 0; i < p->deployment.len; i++)
		if (speed_of(p, i, load, &s))
			one_text(&s, load, out);
}

void plan_speed_json(const struct plan *p, const struct plan_load *load, struct buf *out)
{
	struct speed s;
	bool first = true;

	buf_add_str(out, ",\"speeds\":[");
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		if (!speed_of(p, i, load, &s))
			continue;
		buf_add_str(out, first ? "{\"service\":" : ",{\"service\":");
		first = false;
		json_out_cstr(out, s.service->name);
		buf_printf(out, ",\"prompt_tokens_per_second\":%.1f,\"streams\":[",
			load->prompt / s.pace.prefill_us * 1e6);
		for (uint32_t k = 0; k < STREAMS_LAST; k++) {
			double us = step_us(&s, streams_shown[k], load);
			buf_printf(out, "%s{\"streams\":%u,\"tokens_per_second\":%.1f,\"step_ms\":%.3f}", k ? "," : "",
				streams_shown[k], streams_shown[k] / us * 1e6, us / 1e3);
		}
		buf_add_str(out, "]}");
	}
	buf_add_byte(out, ']');
}
