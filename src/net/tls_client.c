/* tls_client.c - TLS by OpenSSL over two memory buffers; see tls_client.h. */
#include "net/tls_client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { TLS_CHUNK_BYTES = 16 * 1024 };

struct tls_client {
	SSL *ssl; /* owns in and out */
	BIO *in, *out; /* from the server, to the server */
	char *name;
};

/* Settings and trusted authorities; constant once made, so that all connections may share them. */
static SSL_CTX *shared;
static pthread_once_t shared_once = PTHREAD_ONCE_INIT;

static void shared_make(void)
{
	shared = SSL_CTX_new(TLS_client_method());
	if (!shared)
		return;
	SSL_CTX_set_min_proto_version(shared, TLS1_2_VERSION);
	SSL_CTX_set_verify(shared, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_default_verify_paths(shared); /* none there: every certificate is refused, and the reason says so */
}

static bool is_address(const char *name)
{
	unsigned char a[16];

	return inet_pton(AF_INET, name, a) == 1 || inet_pton(AF_INET6, name, a) == 1;
}

static bool expect_name(SSL *ssl, const char *name)
{
	if (is_address(name))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* What OpenSSL found wrong: the certificate's fault if that is it, else the first error of its queue. */
static int fail(const struct tls_client *t, struct err *err)
{
	long verdict = SSL_get_verify_result(t->ssl);
	unsigned long code = ERR_get_error();
	const char *why = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	if (verdict != X509_V_OK) {
		err_set(err, -EACCES, "could not trust the certificate of \"%s\": %s", t->name,
			X509_verify_cert_error_string(verdict));
		return err_hint(
			err, "the environment variable SSL_CERT_FILE names a file of other authorities to trust");
	}
	err_set(err, -EPROTO, "could not make a TLS connection to \"%s\": %s", t->name,
		why ? why : "the server broke off");
	if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
		err_hint(err, "does it speak plain http?");
	return -EPROTO;
}

static int handshake(struct tls_client *t, struct err *err)
{
	ERR_clear_error();
	int r = SSL_do_handshake(t->ssl);

	if (r == 1 || SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ)
		return 0;
	return fail(t, err);
}

/* False: memory is gone. */
static bool tls_client_init(struct tls_client *t, const char *name)
{
	static const unsigned char http11[] = "\x08http/1.1";

	if (!(t->name = strdup(name)) || !(t->ssl = SSL_new(shared)))
		return false;
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (!t->in || !t->out) {
		BIO_free(t->in);
		BIO_free(t->out);
		return false;
	}
	SSL_set_bio(t->ssl, t->in, t->out);
	SSL_set_connect_state(t->ssl);
	return expect_name(t->ssl, name) && SSL_set_alpn_protos(t->ssl, http11, sizeof http11 - 1) == 0;
}

int tls_client_create(struct tls_client **ret, const char *name, struct err *err)
{
	struct tls_client *t = calloc(1, sizeof *t);
	int r;

	pthread_once(&shared_once, shared_make);
	if (!t || !shared || !tls_client_init(t, name)) {
		tls_client_destroy(t);
		ERR_clear_error();
		return err_set(err, -ENOMEM, "could not begin a TLS connection: out of memory");
	}
	if ((r = handshake(t, err)) < 0) {
		tls_client_destroy(t);
		return r;
	}
	*ret = t;
	return 0;
}

void tls_client_destroy(struct tls_client *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t->name);
	free(t);
}

int tls_client_received(struct tls_client *t, const void *data, size_t len, struct buf *plain, struct err *err)
{
	char chunk[TLS_CHUNK_BYTES];
	int n = 0;

	if (len > INT_MAX || BIO_write(t->in, data, (int)len) != (int)len)
		return err_set(err, -ENOMEM, "out of memory");
	if (!tls_client_is_open(t) && (n = handshake(t, err)) < 0)
		return n;
	if (!tls_client_is_open(t))
		return 0;
	ERR_clear_error();
	while ((n = SSL_read(t->ssl, chunk, sizeof chunk)) > 0)
		if (buf_add(plain, chunk, (size_t)n) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	switch (SSL_get_error(t->ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return fail(t, err);
	}
}

int tls_client_send(struct tls_client *t, const void *data, size_t len, struct err *err)
{
	size_t n;

	ASSERT(tls_client_is_open(t));
	ERR_clear_error();
	if (!len || (SSL_write_ex(t->ssl, data, len, &n) == 1 && n == len))
		return 0;
	return fail(t, err);
}

int tls_client_take(struct tls_client *t, struct buf *out)
{
	char *data;
	long len = BIO_get_mem_data(t->out, &data);

	if (len <= 0)
		return 0;
	int r = buf_add(out, data, (size_t)len);
	(void)BIO_reset(t->out);
	return r;
}

bool tls_client_is_open(const struct tls_client *t)
{
	return SSL_is_init_finished(t->ssl);
}

bool tls_client_is_ended(const struct tls_client *t)
{
	return (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}
