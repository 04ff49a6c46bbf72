#include "base/limits.h"
#include "wire/codec.h"

#include <math.h>

/* Longest texts, in bytes; past them a message is refused. */
enum {
	NAME_MAX_BYTES = 512, /* workers, models, adapters */
	PATH_MAX_BYTES = 4096,
	SENTENCE_MAX_BYTES = 4096, /* errors for people */
	GRAMMAR_MAX_BYTES = 1024 * 1024, /* from a JSON schema; larger ones take minutes to build */
	ITEMS_MAX = 64 * 1024, /* requests in one step; engines run a few hundred */
	KV_HASHES_MAX = 64 * 1024, /* a frame is taken in one go, and more would hold up every stream */
};

#define FIELD(number, type, member, max)                                                                               \
	{                                                                                                              \
		number, type, offsetof(struct THIS, member), max, #member, NULL                                        \
	}
#define TABLE(upper, fields, check)                                                                                    \
	{                                                                                                              \
		upper, sizeof(struct THIS), ARRAY_LEN(fields), fields, check                                           \
	}

#define THIS msg_hello
static const struct wire_field hello_fields[] = {
	FIELD(1, WIRE_U32, major, 0),
	FIELD(2, WIRE_U32, minor, 0),
	FIELD(3, WIRE_STR, software, NAME_MAX_BYTES),
	FIELD(4, WIRE_STR, role, NAME_MAX_BYTES),
	FIELD(5, WIRE_BYTES, nonce, WIRE_NONCE_BYTES),
	FIELD(6, WIRE_BYTES, proof, WIRE_PROOF_BYTES),
};
static const struct wire_table hello_table = TABLE("HELLO", hello_fields, NULL);
#undef THIS

#define THIS msg_card
static const struct wire_field card_fields[] = {
	FIELD(1, WIRE_STR, worker, NAME_MAX_BYTES),
	FIELD(2, WIRE_HASH, instance, 0),
	FIELD(3, WIRE_STR, engine, NAME_MAX_BYTES),
	FIELD(4, WIRE_STR, role, NAME_MAX_BYTES),
	FIELD(5, WIRE_STR, model, NAME_MAX_BYTES),
	FIELD(6, WIRE_STR, tokenizer, PATH_MAX_BYTES),
	FIELD(7, WIRE_HASH, tokenizer_hash, 0),
	FIELD(8, WIRE_HASH, kv_domain, 0),
	FIELD(9, WIRE_HASH, kv_seed_check, 0),
	FIELD(10, WIRE_U32, block_size, 0),
	FIELD(11, WIRE_U32, blocks, 0),
	FIELD(12, WIRE_U32, seqs_max, 0),
	FIELD(13, WIRE_U32, context_max, 0),
	FIELD(14, WIRE_U64, kv_bytes, 0),
	FIELD(15, WIRE_U32, reuse, MSG_REUSE_CHECKPOINT),
	FIELD(16, WIRE_BOOL, hand_off, 0),
	FIELD(17, WIRE_BOOL, resumable, 0),
	FIELD(18, WIRE_U32, pid, 0),
	FIELD(19, WIRE_BOOL, pongs, 0),
};
static const struct wire_table card_table = TABLE("CARD", card_fields, NULL);
#undef THIS

static int sampling_check(const void *msg, struct err *err)
{
	const struct msg_sampling *s = msg;
	const float values[] = {s->temperature, s->top_p, s->min_p, s->typical_p, s->repetition_penalty,
		s->presence_penalty, s->frequency_penalty};

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		if (!isfinite(values[i]))
			return err_set(err, -EPROTO, "a sampling value is not a finite number");
	if (s->bias_tokens.len != s->bias_values.len)
		return err_set(err, -EPROTO, "%u bias_tokens do not go with %u bias_values", s->bias_tokens.len,
			s->bias_values.len);
	for (uint32_t i = 0; i < s->bias_values.len; i++)
		if (isnan(s->bias_values.v[i]))
			return err_set(err, -EPROTO, "bias_values[%u] is not a number", i);
	return 0;
}

#define THIS msg_sampling
static const struct wire_field sampling_fields[] = {
	FIELD(1, WIRE_F32, temperature, 0),
	FIELD(2, WIRE_F32, top_p, 0),
	FIELD(3, WIRE_F32, min_p, 0),
	FIELD(4, WIRE_F32, typical_p, 0),
	FIELD(5, WIRE_U32, top_k, 0),
	FIELD(6, WIRE_F32, repetition_penalty, 0),
	FIELD(7, WIRE_F32, presence_penalty, 0),
	FIELD(8, WIRE_F32, frequency_penalty, 0),
	FIELD(9, WIRE_U32, penalty_last_n, 0),
	FIELD(10, WIRE_HASH, seed, 0),
	FIELD(11, WIRE_U32S, bias_tokens, LOGIT_BIAS_MAX),
	FIELD(12, WIRE_F32S, bias_values, LOGIT_BIAS_MAX),
};
static const struct wire_table sampling_table = TABLE("sampling", sampling_fields, sampling_check);
#undef THIS

static int request_check(const void *msg, struct err *err)
{
	const struct msg_request *m = msg;

	if (m->prompt_len > m->tokens.len)
		return err_set(err, -EPROTO, "prompt_len %u is more than the %u tokens", m->prompt_len, m->tokens.len);
	return 0;
}

#define THIS msg_request
static const struct wire_field request_fields[] = {
	FIELD(1, WIRE_U64, id, 0),
	FIELD(2, WIRE_STR, request_id, REQUEST_ID_BYTES_MAX),
	FIELD(3, WIRE_STR, traceparent, NAME_MAX_BYTES),
	FIELD(4, WIRE_STR, model, NAME_MAX_BYTES),
	FIELD(5, WIRE_STR, adapter, NAME_MAX_BYTES),
	FIELD(6, WIRE_BYTES, salt, NAME_MAX_BYTES),
	FIELD(7, WIRE_STR, grammar, GRAMMAR_MAX_BYTES),
	FIELD(8, WIRE_U32S, tokens, TOKENS_MAX),
	FIELD(9, WIRE_U32, prompt_len, 0),
	FIELD(10, WIRE_U32, max_tokens, 0),
	FIELD(11, WIRE_U32, min_tokens, 0),
	FIELD(12, WIRE_BOOL, ignore_eos, 0),
	FIELD(13, WIRE_U32, logprobs, TOP_LOGPROBS_MAX + 1),
	FIELD(14, WIRE_U64, time_left_ms, 0),
	FIELD(15, WIRE_I32, priority, 0),
	{16, WIRE_SUB, offsetof(struct msg_request, sampling), 0, "sampling", &sampling_table},
	FIELD(17, WIRE_BYTES, uses, TOKENS_MAX),
	FIELD(18, WIRE_BOOL, no_cache, 0),
	FIELD(19, WIRE_BOOL, deterministic, 0),
};
static const struct wire_table request_table = TABLE("REQUEST", request_fields, request_check);
#undef THIS

#define THIS msg_cancel
static const struct wire_field cancel_fields[] = {FIELD(1, WIRE_U64, id, 0)};
static const struct wire_table cancel_table = TABLE("CANCEL", cancel_fields, NULL);
#undef THIS

static int token_item_check(const void *msg, struct err *err)
{
	const struct msg_token_item *m = msg;

	if (m->logprobs.len && m->logprobs.len != m->tokens.len)
		return err_set(err, -EPROTO, "%u logprobs do not go with %u tokens", m->logprobs.len, m->tokens.len);
	if (m->top_tokens.len != m->top_logprobs.len)
		return err_set(err, -EPROTO, "%u top_tokens do not go with %u top_logprobs", m->top_tokens.len,
			m->top_logprobs.len);
	if (m->top_tokens.len && (!m->tokens.len || m->top_tokens.len % m->tokens.len))
		return err_set(err, -EPROTO, "%u top_tokens are not the same number for each of %u tokens",
			m->top_tokens.len, m->tokens.len);
	return 0;
}

#define THIS msg_token_item
static const struct wire_field token_item_fields[] = {
	FIELD(1, WIRE_U64, id, 0),
	FIELD(2, WIRE_U32S, tokens, TOKENS_MAX),
	FIELD(3, WIRE_F32S, logprobs, TOKENS_MAX),
	FIELD(4, WIRE_U32S, top_tokens, 0),
	FIELD(5, WIRE_F32S, top_logprobs, 0),
};
static const struct wire_table token_item_table = TABLE("item", token_item_fields, token_item_check);
#undef THIS

#define THIS msg_tokens
static const struct wire_field tokens_fields[] = {
	{1, WIRE_ITEMS, offsetof(struct msg_tokens, items), ITEMS_MAX, "items", &token_item_table},
};
static const struct wire_table tokens_table = TABLE("TOKENS", tokens_fields, NULL);
#undef THIS

static int done_check(const void *msg, struct err *err)
{
	const struct msg_done *m = msg;

	return m->reason ? 0 : err_set(err, -EPROTO, "field \"reason\": it is missing");
}

#define THIS msg_done
static const struct wire_field done_fields[] = {
	FIELD(1, WIRE_U64, id, 0),
	FIELD(2, WIRE_U32, reason, MSG_REASON_DEADLINE),
	FIELD(3, WIRE_I32, code, 0),
	FIELD(4, WIRE_STR, error, SENTENCE_MAX_BYTES),
	FIELD(5, WIRE_U32, cached_tokens, 0),
	FIELD(6, WIRE_U32, generated, 0),
	FIELD(7, WIRE_U32, preemptions, 0),
	FIELD(8, WIRE_U64, queue_us, 0),
	FIELD(9, WIRE_U64, prefill_us, 0),
	FIELD(10, WIRE_U64, decode_us, 0),
};
static const struct wire_table done_table = TABLE("DONE", done_fields, done_check);
#undef THIS

#define THIS msg_step
static const struct wire_field step_fields[] = {
	FIELD(1, WIRE_U64, step, 0),
	FIELD(2, WIRE_U64, duration_us, 0),
	FIELD(3, WIRE_U32, prefill_tokens, 0),
	FIELD(4, WIRE_U32, decode_tokens, 0),
	FIELD(5, WIRE_U32, running, 0),
	FIELD(6, WIRE_U32, waiting, 0),
	FIELD(7, WIRE_U64, waiting_tokens, 0),
	FIELD(8, WIRE_U32, cells_used, 0),
	FIELD(9, WIRE_U32, cells, 0),
	FIELD(10, WIRE_U32, cells_active, 0),
	FIELD(11, WIRE_HASH, digest, 0),
	FIELD(12, WIRE_U32, blocks_held, 0),
	FIELD(13, WIRE_U64, preemptions, 0),
	FIELD(14, WIRE_U64, context_tokens, 0),
	FIELD(15, WIRE_U32, next_prefill_tokens, 0),
	FIELD(16, WIRE_U32, next_decode_tokens, 0),
	FIELD(17, WIRE_U64, next_context_tokens, 0),
};
static const struct wire_table step_table = TABLE("STEP", step_fields, NULL);
#undef THIS

#define THIS msg_kv
static const struct wire_field kv_fields[] = {
	FIELD(1, WIRE_U64S, removed, KV_HASHES_MAX),
	FIELD(2, WIRE_U64S, stored, KV_HASHES_MAX),
	FIELD(3, WIRE_U32, tier, MSG_TIER_DISK),
	FIELD(4, WIRE_BOOL, cleared, 0),
	FIELD(5, WIRE_BOOL, snapshot, 0),
	FIELD(6, WIRE_BOOL, snapshot_end, 0),
	FIELD(7, WIRE_HASH, digest, 0),
	FIELD(8, WIRE_U32, blocks_held, 0),
};
static const struct wire_table kv_table = TABLE("KV", kv_fields, NULL);
#undef THIS

#define THIS msg_resync
static const struct wire_field resync_fields[] = {FIELD(1, WIRE_U32, unused, 0)};
static const struct wire_table resync_table = TABLE("RESYNC", resync_fields, NULL);
#undef THIS

#define THIS msg_drain
static const struct wire_field drain_fields[] = {FIELD(1, WIRE_U64, time_left_ms, 0)};
static const struct wire_table drain_table = TABLE("DRAIN", drain_fields, NULL);
#undef THIS

#define THIS msg_refuse
static const struct wire_field refuse_fields[] = {
	FIELD(1, WIRE_I32, code, 0),
	FIELD(2, WIRE_STR, why, SENTENCE_MAX_BYTES),
};
static const struct wire_table refuse_table = TABLE("REFUSE", refuse_fields, NULL);
#undef THIS

#define THIS msg_ping
static const struct wire_field ping_fields[] = {FIELD(1, WIRE_U64, id, 0)};
static const struct wire_table ping_table = TABLE("PING", ping_fields, NULL);
#undef THIS

#define THIS msg_pong
static const struct wire_field pong_fields[] = {FIELD(1, WIRE_U64, id, 0)};
static const struct wire_table pong_table = TABLE("PONG", pong_fields, NULL);
#undef THIS

static const struct wire_table *const tables[] = {
	[MSG_HELLO] = &hello_table,
	[MSG_CARD] = &card_table,
	[MSG_REQUEST] = &request_table,
	[MSG_CANCEL] = &cancel_table,
	[MSG_TOKENS] = &tokens_table,
	[MSG_DONE] = &done_table,
	[MSG_STEP] = &step_table,
	[MSG_KV] = &kv_table,
	[MSG_RESYNC] = &resync_table,
	[MSG_DRAIN] = &drain_table,
	[MSG_REFUSE] = &refuse_table,
	[MSG_PING] = &ping_table,
	[MSG_PONG] = &pong_table,
};

const struct wire_table *msg_table(enum msg_type type)
{
	return (unsigned)type < ARRAY_LEN(tables) ? tables[type] : NULL;
}

const char *msg_type_name(enum msg_type type)
{
	const struct wire_table *t = msg_table(type);
	return t ? t->name : "UNKNOWN";
}

int msg_encode(struct buf *out, enum msg_type type, const void *msg)
{
	const struct wire_table *t = msg_table(type);
	ASSERT(t);
	size_t size = 1 + wire_size(t, msg);
	if (size > FRAME_BYTES_MAX)
		return -ENOBUFS;
	int r = buf_reserve(out, 4 + size);
	if (r < 0)
		return r;
	uint8_t *p = (uint8_t *)out->data + out->len;
	uint32_t length = (uint32_t)size;
	memcpy(p, &length, 4);
	p[4] = (uint8_t)type;
	uint8_t *end = wire_put(t, msg, p + 5);
	ASSERT(end == p + 4 + size);
	out->len += 4 + size;
	*end = '\0';
	return 0;
}

int msg_decode(const struct frame *frame, struct arena *a, void *ret_msg, struct err *err)
{
	const struct wire_table *t = msg_table(frame->type);

	if (!t)
		return err_set(
			err, -ENOTSUP, "cannot read message type %d: this release does not know it", (int)frame->type);
	int r = wire_get(t, frame->body, frame->len, a, ret_msg, err);
	if (r < 0)
		(void)err_wrap(err, "cannot read a %s message", t->name);
	return r;
}

void msg_print(struct buf *out, enum msg_type type, const void *msg)
{
	const struct wire_table *t = msg_table(type);

	buf_add_str(out, msg_type_name(type));
	if (t)
		wire_print(out, t, msg);
}
