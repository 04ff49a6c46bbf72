#include "frontend/explain.h"
#include "base/json_out.h"

#include <stdio.h>
#include <string.h>

enum state { RUNNING, ANSWERING, DONE };

struct record {
	uint64_t number; /* 0: never used */
	uint64_t owner;
	char request_id[REQUEST_ID_BYTES_MAX + 1], model[EXPLAIN_NAME_BYTES], worker[EXPLAIN_NAME_BYTES];
	const char *endpoint; /* literal */
	uint32_t prompt, block_size, blocks, prompt_tokens;
	uint64_t at_us, queued_us;
	struct route_choice choice;
	char names[ROUTE_CONSIDERED_MAX][EXPLAIN_NAME_BYTES];
	enum state state;
	uint64_t ttft_us;
	uint32_t cached_tokens, generated;
};

struct explain {
	uint64_t last;
	struct record records[EXPLAIN_RECORDS];
};

int explain_create(struct explain **ret)
{
	*ret = calloc(1, sizeof **ret);
	return *ret ? 0 : -ENOMEM;
}

void explain_destroy(struct explain *e)
{
	free(e);
}

int explain_copy(struct explain **ret, const struct explain *e)
{
	*ret = malloc(sizeof **ret);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, e, sizeof **ret);
	return 0;
}

static void copy_name(char *ret, const char *name)
{
	snprintf(ret, EXPLAIN_NAME_BYTES, "%s", name ? name : "");
}

uint64_t explain_note(struct explain *e, const struct explain_decision *d)
{
	const struct pool_ticket *t = d->ticket;
	uint64_t number = ++e->last;
	struct record *r = &e->records[number % EXPLAIN_RECORDS];

	*r = (struct record){
		.number = number,
		.owner = d->owner,
		.endpoint = d->endpoint,
		.prompt = d->prompt,
		.block_size = d->block_size,
		.blocks = d->blocks,
		.prompt_tokens = t->request.prompt_tokens,
		.at_us = d->now_us,
		.queued_us = t->ready_us - t->submitted_us,
		.choice = t->choice,
	};
	snprintf(r->request_id, sizeof r->request_id, "%s", d->request_id);
	copy_name(r->model, d->model);
	copy_name(r->worker, d->worker);
	for (uint32_t i = 0; i < t->choice.considered_len; i++)
		copy_name(r->names[i], pool_number_name(d->pool, t->choice.considered[i].worker));
	return number;
}

static struct record *find(struct explain *e, uint64_t number)
{
	struct record *r = &e->records[number % EXPLAIN_RECORDS];
	return number && r->number == number ? r : NULL;
}

void explain_first_token(struct explain *e, uint64_t number, uint64_t ttft_us)
{
	struct record *r = find(e, number);

	if (!r || r->state != RUNNING)
		return;
	r->state = ANSWERING;
	r->ttft_us = ttft_us;
}

void explain_done(struct explain *e, uint64_t number, uint32_t cached_tokens, uint32_t generated)
{
	struct record *r = find(e, number);

	if (!r)
		return;
	r->state = DONE;
	r->cached_tokens = cached_tokens;
	r->generated = generated;
}

void explain_header(char *ret, size_t cap, const struct explain_decision *d)
{
	const struct route_choice *c = &d->ticket->choice;
	int n = snprintf(ret, cap, "%s; worker=%s; overlap=%u/%u; of=%u", c->policy, d->worker, c->overlap_blocks,
		d->blocks, c->candidates);

	if (c->predicted_us > 0 && n > 0 && (size_t)n < cap)
		snprintf(ret + n, cap - (size_t)n, "; predicted_ms=%.1f", c->predicted_us / 1000);
}

/* JSON */

static void out_ms(struct buf *out, const char *key, double us)
{
	buf_printf(out, "\"%s\":%.3f", key, us / 1000);
}

static void out_str(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "\"%s\":", key);
	json_out_cstr(out, value);
}

static void out_considered(struct buf *out, const struct record *r)
{
	buf_add_str(out, "\"considered\":[");
	for (uint32_t i = 0; i < r->choice.considered_len; i++) {
		const struct route_terms *t = &r->choice.considered[i];
		buf_add_str(out, i ? ",{" : "{");
		out_str(out, "worker", r->names[i]);
		buf_printf(out, ",\"overlap_blocks\":%u,", t->overlap);
		out_ms(out, "wait_ms", t->wait_us);
		buf_add_str(out, ",");
		out_ms(out, "prefill_ms", t->own_us);
		buf_add_str(out, ",");
		out_ms(out, "others_ms", t->others_us);
		buf_add_str(out, ",");
		out_ms(out, "decode_ms", t->decode_us);
		buf_add_str(out, ",\"cost\":");
		json_out_f64(out, t->total);
		buf_add_str(out, "}");
	}
	buf_add_str(out, "]");
}

static void out_decision(struct buf *out, const struct record *r)
{
	const struct route_choice *c = &r->choice;

	out_str(out, "worker", r->worker);
	buf_add_str(out, ",");
	out_str(out, "policy", c->policy);
	buf_add_str(out, ",");
	out_str(out, "reason", c->reason ? c->reason : "");
	buf_printf(out,
		",\"prompt_tokens\":%u,\"block_size\":%u,\"blocks\":%u,\"overlap_blocks\":%u,\"candidates\":%u,"
		"\"outstanding\":%u,\"queued_tokens\":%llu,",
		r->prompt_tokens, r->block_size, r->blocks, c->overlap_blocks, c->candidates, c->outstanding,
		(unsigned long long)c->queued_tokens);
	out_ms(out, "queued_ms", (double)r->queued_us);
	buf_add_str(out, ",");
	out_considered(out, r);
}

static void out_predicted(struct buf *out, const struct record *r)
{
	uint64_t cached = (uint64_t)r->choice.overlap_blocks * r->block_size;

	buf_add_str(out, ",\"predicted\":{");
	if (r->choice.predicted_us > 0) {
		out_ms(out, "ttft_ms", r->choice.predicted_us);
		buf_add_str(out, ",");
	}
	buf_printf(out, "\"cached_tokens\":%llu}", (unsigned long long)MIN(cached, r->prompt_tokens));
}

static void out_actual(struct buf *out, const struct record *r)
{
	if (r->state == RUNNING && !r->ttft_us)
		return;
	buf_add_str(out, ",\"actual\":{");
	if (r->ttft_us)
		out_ms(out, "ttft_ms", (double)r->ttft_us);
	if (r->state == DONE)
		buf_printf(out, "%s\"cached_tokens\":%u,\"generated_tokens\":%u", r->ttft_us ? "," : "",
			r->cached_tokens, r->generated);
	buf_add_str(out, "}");
}

static void out_record(struct buf *out, const struct record *r, uint64_t now_us)
{
	static const char *const states[] = {"running", "answering", "done"};

	buf_add_str(out, "{");
	out_str(out, "id", r->request_id);
	buf_add_str(out, ",");
	out_str(out, "model", r->model);
	buf_printf(out, ",\"endpoint\":\"%s\",\"prompt\":%u,\"state\":\"%s\",\"age_s\":%.3f,", r->endpoint, r->prompt,
		states[r->state], (double)(now_us - r->at_us) / 1e6);
	out_decision(out, r);
	out_predicted(out, r);
	out_actual(out, r);
	buf_add_str(out, "}");
}

static const struct record *newest(const struct explain *e, uint64_t back)
{
	const struct record *r = back < e->last ? &e->records[(e->last - back) % EXPLAIN_RECORDS] : NULL;
	return r && back < EXPLAIN_RECORDS ? r : NULL;
}

static bool is_shown(const struct record *r, uint64_t viewer)
{
	return viewer == EXPLAIN_ALL || r->owner == viewer;
}

bool explain_print(const struct explain *e, uint64_t viewer, const char *request_id, uint64_t now_us, struct buf *out)
{
	const struct record *r, *found = NULL;

	for (uint64_t i = 0; (r = newest(e, i)) && !(found && found->prompt == 0); i++)
		if (is_shown(r, viewer) && !strcmp(r->request_id, request_id) && (!found || r->prompt < found->prompt))
			found = r;
	if (found)
		out_record(out, found, now_us);
	return found;
}

void explain_print_all(const struct explain *e, uint64_t viewer, uint64_t now_us, struct buf *out)
{
	const struct record *r;
	bool first = true;

	buf_add_str(out, "[");
	for (uint64_t i = 0; (r = newest(e, i)); i++) {
		if (!is_shown(r, viewer))
			continue;
		buf_add_str(out, first ? "" : ",");
		out_record(out, r, now_us);
		first = false;
	}
	buf_add_str(out, "]");
}
