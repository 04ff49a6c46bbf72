/* msg.h - the messages between a frontend and a worker, as C structs, and their frames.
 *
 * A frame on the wire, little endian:
 *
 *     u32 length of what follows | u8 type | fields ...
 *     a field: u8 number << 3 | kind      kind 0: varint  1: 8 bytes  2: u32 length + bytes (string, array,
 * sub-message) 3: 4 bytes
 *
 * Field numbers never change their meaning; a reader skips numbers it does not know, and a missing field reads as zero,
 * so neighbouring releases understand each other. Which C member is which number is one table a message, in msg.c;
 * encode, decode and print are driven by it. Absent means zero: encode leaves zero fields out.
 *
 * First frame each way: HELLO. Another major version is refused with a sentence; the minor version in force is the
 * lower. Worker to frontend then: CARD, snapshot of its cached prefixes (KV frames with snapshot set, in chunks between
 * others, the last one with snapshot_end), then changes. Everything on one connection arrives in order.
 *
 * Thread: pure functions. Memory: decode copies strings and arrays into the caller's arena. */
#ifndef STATOR_WIRE_MSG_H
#define STATOR_WIRE_MSG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum { WIRE_MAJOR = 1, WIRE_MINOR = 0, WIRE_NONCE_BYTES = 16, WIRE_PROOF_BYTES = 32 };

enum msg_type {
	MSG_HELLO = 1,
	MSG_CARD = 2, /* worker -> frontend */
	MSG_REQUEST = 3, /* frontend -> worker */
	MSG_CANCEL = 4, /* frontend -> worker */
	MSG_TOKENS = 5, /* worker -> frontend: new tokens of every request that got some in one step */
	MSG_DONE = 6, /* worker -> frontend: exactly one a request */
	MSG_STEP = 7, /* worker -> frontend: what the last engine step was */
	MSG_KV = 8, /* worker -> frontend: prefixes cached or gone */
	MSG_RESYNC = 9, /* frontend -> worker: send the snapshot again */
	MSG_DRAIN = 10, /* worker -> frontend: no new requests, please; running ones will end */
	MSG_REFUSE = 11, /* either way, last frame before close: why the connection is not wanted */
	MSG_PING = 12, /* frontend -> worker: are you there? Only to workers whose card says that they answer */
	MSG_PONG = 13, /* worker -> frontend: at once, also while a step of the engine is out */
};

/* Not NUL-terminated on the wire; decode adds a NUL that len does not count. */
struct msg_str {
	const char *data;
	uint32_t len;
};
struct msg_u32s {
	const uint32_t *v;
	uint32_t len;
};
struct msg_u64s {
	const uint64_t *v;
	uint32_t len;
};
struct msg_f32s {
	const float *v;
	uint32_t len;
};

/* On TCP both sides prove that they know the shared secret: HELLO carries a nonce; a second HELLO each way carries
 * proof = HMAC-SHA256(secret, role || own nonce || peer nonce). Unix sockets (mode 0600) send no nonce. */
struct msg_hello {
	uint32_t major, minor;
	struct msg_str software; /* "stator 0.1.0" */
	struct msg_str role; /* "frontend" or "worker" */
	struct msg_str nonce, proof;
};

enum msg_reuse { MSG_REUSE_NONE, MSG_REUSE_BLOCK, MSG_REUSE_CHECKPOINT };

/* What a worker says of itself. Three identities: model (who may serve the same request and continue each other's
 * streams), kv_domain (between whom KV bytes may move and a prefix hash means the same), block size and seed of the
 * domain. */
struct msg_card {
	struct msg_str worker; /* its name, unique in the deployment: "llama-0" */
	uint64_t instance; /* random at process start: tells a restarted worker from the old one */
	struct msg_str engine; /* llama, mock, vllm, sglang, openai */
	struct msg_str role; /* both, prefill, decode */
	struct msg_str model; /* served name */
	struct msg_str tokenizer; /* "byte", or the path of the GGUF that holds it */
	uint64_t tokenizer_hash; /* vocabulary and template: equal for workers of one model */
	uint64_t kv_domain;
	uint64_t kv_seed_check; /* kv_hash_seed_check(seed): shows a wrong secret without telling it */
	uint32_t block_size; /* tokens */
	uint32_t blocks; /* KV capacity */
	uint32_t seqs_max; /* running at once; 0: no limit of the engine's */
	uint32_t context_max; /* tokens of one sequence, prompt + answer */
	uint64_t kv_bytes;
	uint32_t reuse; /* enum msg_reuse */
	bool hand_off; /* can give and take KV */
	bool resumable; /* sampling keyed by (seed, position) */
	uint32_t pid;
	bool pongs; /* it answers MSG_PING */
};

struct msg_sampling {
	float temperature; /* 0: greedy */
	float top_p; /* 0 or 1: off */
	float min_p; /* 0: off */
	float typical_p; /* 0 or 1: off */
	uint32_t top_k; /* 0: off */
	float repetition_penalty; /* 0 or 1: off */
	float presence_penalty,
		frequency_penalty; /* 0: off. Of generated tokens only; repetition_penalty of the prompt's too */
	uint32_t penalty_last_n; /* tokens looked back at, prompt included; 0: all */
	uint64_t seed; /* fixed by the frontend; the draw at position p is keyed by (seed, p) */
	struct msg_u32s bias_tokens; /* beside bias_values */
	struct msg_f32s bias_values;
};

/* Carries what resuming needs from the first day: tokens = the prompt and what was generated before. */
struct msg_request {
	uint64_t id; /* unique on this connection */
	struct msg_str request_id; /* x-request-id, for logs */
	struct msg_str traceparent;
	struct msg_str model, adapter, salt, grammar;
	struct msg_u32s tokens;
	uint32_t prompt_len; /* the original prompt: tokens[0..prompt_len) */
	uint32_t max_tokens; /* generated tokens in all, those in tokens[prompt_len..) counted */
	uint32_t min_tokens; /* no end-of-generation token before so many */
	bool ignore_eos;
	uint32_t logprobs; /* 0: none; k + 1: the chosen token's and the k likeliest */
	uint64_t time_left_ms; /* 0: no deadline */
	int32_t priority; /* higher goes first */
	struct msg_sampling sampling;
	struct msg_str uses; /* bytes: of each whole block of tokens, how many requests used it as far as the router saw
				(kv/uses.h), for the worker's eviction; may be shorter, or missing */
	bool no_cache; /* compute all of it: nothing that is cached is used (what it leaves may be used by others) */
	bool deterministic; /* its logits depend on its tokens alone, to the bit; refused where the worker cannot */
};

struct msg_cancel {
	uint64_t id;
};

/* top_* hold the k likeliest of each token one after another: tokens.len * k entries. */
struct msg_token_item {
	uint64_t id;
	struct msg_u32s tokens;
	struct msg_f32s logprobs; /* beside tokens, when asked for */
	struct msg_u32s top_tokens;
	struct msg_f32s top_logprobs;
};
struct msg_tokens {
	struct msg_token_item *items;
	uint32_t len;
};

enum msg_reason {
	MSG_REASON_EOS = 1, /* the model ended (the end token itself is in TOKENS, so that streams can be resumed) */
	MSG_REASON_LENGTH, /* max_tokens, or the context is full */
	MSG_REASON_CANCELLED,
	MSG_REASON_REFUSED, /* cannot run here: error says why (prompt longer than the context, queue full) */
	MSG_REASON_FAILED, /* the engine failed: error says why */
	MSG_REASON_DEADLINE,
};
struct msg_done {
	uint64_t id;
	uint32_t reason; /* enum msg_reason */
	int32_t code; /* negative errno when refused or failed */
	struct msg_str error;
	uint32_t cached_tokens; /* prompt tokens whose KV was there already */
	uint32_t generated;
	uint32_t preemptions;
	uint64_t queue_us, prefill_us, decode_us;
};

struct msg_step {
	uint64_t step; /* counts from 1 */
	uint64_t duration_us;
	uint32_t prefill_tokens, decode_tokens; /* computed in this step */
	uint32_t running, waiting; /* requests */
	uint64_t waiting_tokens; /* prompt tokens still to be computed, running and waiting requests together */
	uint32_t cells_used, cells; /* KV cells (tokens); used counts retained prefixes too */
	uint32_t cells_active; /* of these, held by running requests */
	uint64_t digest; /* kv_digest over the blocks held */
	uint32_t blocks_held;
	uint64_t preemptions; /* since start */
	uint64_t context_tokens; /* sum over the sequences of this step of what each attended to */
	/* What the step that begins as this report leaves holds; zeros: none begins. */
	uint32_t next_prefill_tokens, next_decode_tokens;
	uint64_t next_context_tokens;
};

enum msg_tier { MSG_TIER_DEVICE, MSG_TIER_HOST, MSG_TIER_DISK };
/* Prefix hashes that came (stored) and went (removed). Removed counts first when both are there. */
struct msg_kv {
	struct msg_u64s removed, stored;
	uint32_t tier; /* enum msg_tier */
	bool cleared; /* everything went, before removed and stored */
	bool snapshot; /* stored is a chunk of the snapshot */
	bool snapshot_end;
	uint64_t digest; /* after this frame; with snapshot_end and on changes */
	uint32_t blocks_held;
};

struct msg_resync {
	uint32_t unused;
};
struct msg_drain {
	uint64_t time_left_ms;
};
struct msg_refuse {
	int32_t code;
	struct msg_str why;
};
struct msg_ping {
	uint64_t id; /* comes back in the answer */
};
struct msg_pong {
	uint64_t id;
};

static inline struct msg_str msg_str(const char *s)
{
	return (struct msg_str){s, s ? (uint32_t)__builtin_strlen(s) : 0};
}

/* Append the whole frame of msg (the struct that belongs to type) to out. 0 or -ENOBUFS/-ENOMEM, then out is unchanged.
 */
int msg_encode(struct buf *out, enum msg_type type, const void *msg);

/* One frame inside a stream of bytes. */
struct frame {
	enum msg_type type; /* may be a number this release does not know: skip it */
	const uint8_t *body;
	uint32_t len;
};
/* Look at the bytes received so far. > 0: a frame is there, so many bytes to consume after use (ret borrows data).
 * 0: more bytes are needed. < 0: the stream is broken (err says how); close it. */
int64_t frame_next(const uint8_t *data, size_t len, struct frame *ret, struct err *err);
/* The same for a peer that may not send larger frames than that (a stranger). */
int64_t frame_next_within(const uint8_t *data, size_t len, uint32_t bytes_max, struct frame *ret, struct err *err);
/* Fill the struct that belongs to frame->type. Copies into a. -EPROTO: not a valid message of its type; -ENOMEM;
 * -ENOTSUP: unknown type. Enum values and lengths are checked, so the caller may switch on them. */
int msg_decode(const struct frame *frame, struct arena *a, void *ret_msg, struct err *err);
/* For people: "TOKENS items=2 ...", long arrays cut. */
void msg_print(struct buf *out, enum msg_type type, const void *msg);
const char *msg_type_name(enum msg_type type);

/* One struct large enough for any message, for decode loops. */
union msg {
	struct msg_hello hello;
	struct msg_card card;
	struct msg_request request;
	struct msg_cancel cancel;
	struct msg_tokens tokens;
	struct msg_done done;
	struct msg_step step;
	struct msg_kv kv;
	struct msg_resync resync;
	struct msg_drain drain;
	struct msg_refuse refuse;
	struct msg_ping ping;
	struct msg_pong pong;
};

#endif
