/* hello.h - the first words on a connection between a frontend and a worker, both sides, without sockets.
 *
 *     A                                            B
 *     HELLO version, software, role, nonce A  ->
 *                                             <-   HELLO version, software, role, nonce B
 *     HELLO proof A                           ->                                  the second pair only where a shared
 *                                             <-   HELLO proof B                  secret is in force (TCP)
 *
 * Either side may begin; both say their first HELLO at once. proof = HMAC-SHA256(secret, role || own nonce || peer's
 * nonce); the roles differ, so a proof cannot be sent back to who made it. A side that refuses sends REFUSE with a sentence
 * and closes. The deadline for all this is the caller's (HELLO_TIMEOUT_MS).
 *
 *     hello_begin(&h, &config, &out, &err);                      send out
 *     each frame, until it returns 1: hello_frame(&h, &frame, &out, &err);   send out, also when it fails
 *
 * Thread: one owner. Memory: the struct alone; it holds no secret after the hand-shake. */
#ifndef STATOR_WIRE_HELLO_H
#define STATOR_WIRE_HELLO_H

#include "wire/msg.h"

enum { HELLO_TIMEOUT_MS = 10 * 1000, HELLO_SOFTWARE_BYTES_MAX = 64 };

struct hello_config {
	const char *role, *peer_role; /* "frontend" and "worker", or the other way round; string literals */
	const char *software; /* "stator 0.1.0"; must outlive the hand-shake */
	const void *secret; /* NULL: none is in force (Unix socket). Borrowed until the hand-shake ends */
	size_t secret_len;
};

enum hello_state { HELLO_WAIT_FIRST, HELLO_WAIT_PROOF, HELLO_DONE, HELLO_REFUSED };

struct hello {
	struct hello_config config;
	enum hello_state state;
	uint32_t minor; /* in force, once done: the lower of both */
	char peer_software[HELLO_SOFTWARE_BYTES_MAX + 1]; /* printable ASCII; the rest became '?' */
	uint8_t nonce[WIRE_NONCE_BYTES], peer_nonce[WIRE_NONCE_BYTES];
};

/* Append our first HELLO to out. 0, -EINVAL (an empty secret), -ENOMEM. */
int hello_begin(struct hello *h, const struct hello_config *config, struct buf *out, struct err *err) MUST_USE;
/* Take one frame from the peer. 1: the hand-shake is done. 0: more is to come. Negative: not wanted; err says why, and out
 * may hold a REFUSE to send before closing. Appends what is to be sent. */
int hello_frame(struct hello *h, const struct frame *frame, struct buf *out, struct err *err) MUST_USE;

#endif
