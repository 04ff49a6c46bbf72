#include "wire/hello.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { HELLO_ARENA_BYTES = 16 * 1024 };

static bool is_proven(const struct hello *h)
{
	return h->config.secret != NULL;
}

int hello_begin(struct hello *h, const struct hello_config *config, struct buf *out, struct err *err)
{
	*h = (struct hello){.config = *config, .state = HELLO_WAIT_FIRST};
	if (config->secret && !config->secret_len)
		return err_set(err, -EINVAL, "cannot prove who we are: the shared secret is empty");
	struct msg_hello m = {
		.major = WIRE_MAJOR,
		.minor = WIRE_MINOR,
		.software = msg_str(config->software),
		.role = msg_str(config->role),
	};
	if (is_proven(h)) {
		rng_secret(h->nonce, sizeof h->nonce);
		m.nonce = (struct msg_str){(const char *)h->nonce, sizeof h->nonce};
	}
	int r = msg_encode(out, MSG_HELLO, &m);
	return r < 0 ? err_set(err, r, "could not greet the %s: out of memory", config->peer_role) : 0;
}

/* The proof that the side called role knows the secret. */
static int proof_make(const struct hello *h, const char *role, const uint8_t *own, const uint8_t *other, uint8_t *ret)
{
	uint8_t text[64];
	size_t len = strlen(role);

	ASSERT(len + 2 * WIRE_NONCE_BYTES <= sizeof text);
	memcpy(text, role, len);
	memcpy(text + len, own, WIRE_NONCE_BYTES);
	memcpy(text + len + WIRE_NONCE_BYTES, other, WIRE_NONCE_BYTES);
	unsigned ret_len = WIRE_PROOF_BYTES;
	if (!HMAC(EVP_sha256(), h->config.secret, (int)h->config.secret_len, text, len + 2 * WIRE_NONCE_BYTES, ret,
		    &ret_len))
		return -ENOMEM;
	ASSERT(ret_len == WIRE_PROOF_BYTES);
	return 0;
}

static int refuse(struct hello *h, struct buf *out, const struct err *err)
{
	struct msg_refuse m = {.code = err->code, .why = msg_str(err->msg)};

	h->state = HELLO_REFUSED;
	/* Courtesy: when it cannot be written the peer sees the close alone. */
	(void)msg_encode(out, MSG_REFUSE, &m);
	return err->code;
}

static void keep_software(struct hello *h, const struct msg_str *s)
{
	uint32_t len = MIN(s->len, (uint32_t)HELLO_SOFTWARE_BYTES_MAX);

	for (uint32_t i = 0; i < len; i++)
		h->peer_software[i] = s->data[i] >= ' ' && s->data[i] <= '~' ? s->data[i] : '?';
	h->peer_software[len] = '\0';
}

static int check_role(const struct hello *h, const struct msg_hello *m, struct err *err)
{
	size_t len = strlen(h->config.peer_role);

	if (m->role.len == len && memcmp(m->role.data, h->config.peer_role, len) == 0)
		return 0;
	return err_set(
		err, -EPROTO, "a %s expects a %s here, the peer is not one", h->config.role, h->config.peer_role);
}

static int check_first(const struct hello *h, const struct msg_hello *m, struct err *err)
{
	if (m->major != WIRE_MAJOR)
		return err_set(err, -EPROTONOSUPPORT,
			"this %s (%s) speaks wire version %d.%d, its peer (%s) speaks %u.%u: run releases with the "
			"same major "
			"version",
			h->config.role, h->config.software, WIRE_MAJOR, WIRE_MINOR, h->peer_software, m->major,
			m->minor);
	int r = check_role(h, m, err);
	if (r < 0)
		return r;
	if (m->proof.len)
		return err_set(err, -EPROTO, "a proof came before it was asked for");
	if (is_proven(h) && m->nonce.len != WIRE_NONCE_BYTES)
		return err_set(err, -EACCES, "this %s asks for the shared secret, the %s has none", h->config.role,
			h->config.peer_role);
	if (!is_proven(h) && m->nonce.len)
		return err_set(err, -EACCES, "the %s asks for the shared secret, this %s has none", h->config.peer_role,
			h->config.role);
	return 0;
}

static int send_proof(struct hello *h, struct buf *out, struct err *err)
{
	uint8_t proof[WIRE_PROOF_BYTES];

	if (proof_make(h, h->config.role, h->nonce, h->peer_nonce, proof) < 0)
		return err_set(err, -ENOMEM, "could not prove the shared secret: out of memory");
	struct msg_hello m = {
		.major = WIRE_MAJOR,
		.minor = WIRE_MINOR,
		.proof = {(const char *)proof, sizeof proof},
	};
	int r = msg_encode(out, MSG_HELLO, &m);
	return r < 0 ? err_set(err, r, "could not prove the shared secret: out of memory") : 0;
}

static int finish(struct hello *h)
{
	h->state = HELLO_DONE;
	h->config.secret = NULL;
	return 1;
}

static int take_first(struct hello *h, const struct msg_hello *m, struct buf *out, struct err *err)
{
	keep_software(h, &m->software);
	int r = check_first(h, m, err);
	if (r < 0)
		return r;
	const uint32_t ours = WIRE_MINOR;
	h->minor = MIN(m->minor, ours);
	if (!is_proven(h))
		return finish(h);
	memcpy(h->peer_nonce, m->nonce.data, WIRE_NONCE_BYTES);
	/* Our own words coming back: a loop, or somebody who hopes that we answer ourselves. */
	if (CRYPTO_memcmp(h->peer_nonce, h->nonce, WIRE_NONCE_BYTES) == 0)
		return err_set(err, -EACCES, "the %s repeats our own greeting", h->config.peer_role);
	r = send_proof(h, out, err);
	if (r == 0)
		h->state = HELLO_WAIT_PROOF;
	return r;
}

static int take_proof(struct hello *h, const struct msg_hello *m, struct err *err)
{
	uint8_t want[WIRE_PROOF_BYTES];

	if (proof_make(h, h->config.peer_role, h->peer_nonce, h->nonce, want) < 0)
		return err_set(err, -ENOMEM, "could not check the shared secret: out of memory");
	bool is_right = m->proof.len == WIRE_PROOF_BYTES && CRYPTO_memcmp(m->proof.data, want, WIRE_PROOF_BYTES) == 0;
	OPENSSL_cleanse(want, sizeof want);
	if (!is_right)
		return err_set(err, -EACCES, "the %s's shared secret is not the one this %s has", h->config.peer_role,
			h->config.role);
	return finish(h);
}

static int take_hello(struct hello *h, const struct msg_hello *m, struct buf *out, struct err *err)
{
	int r = h->state == HELLO_WAIT_FIRST ? take_first(h, m, out, err) : take_proof(h, m, err);

	return r < 0 ? refuse(h, out, err) : r;
}

/* The peer's own words, made safe to print. */
static int take_refusal(struct hello *h, const struct msg_refuse *m, struct err *err)
{
	char why[512];

	utf8_plain_copy(why, sizeof why, m->why.data ? m->why.data : "", m->why.len);
	h->state = HELLO_REFUSED;
	return err_set(err, -ECONNREFUSED, "the %s refused: %s", h->config.peer_role, why);
}

int hello_frame(struct hello *h, const struct frame *frame, struct buf *out, struct err *err)
{
	struct arena a;
	union msg m;
	struct err local;
	int r;

	ASSERT(h->state == HELLO_WAIT_FIRST || h->state == HELLO_WAIT_PROOF);
	err = err ? err : &local;
	arena_init(&a, HELLO_ARENA_BYTES);
	if (frame->type != MSG_HELLO && frame->type != MSG_REFUSE)
		r = err_set(err, -EPROTO, "the %s must greet first, it sent a %s message", h->config.peer_role,
			msg_type_name(frame->type));
	else
		r = msg_decode(frame, &a, &m, err);
	if (r < 0)
		r = refuse(h, out, err);
	else if (frame->type == MSG_REFUSE)
		r = take_refusal(h, &m.refuse, err);
	else
		r = take_hello(h, &m.hello, out, err);
	arena_done(&a);
	return r;
}
