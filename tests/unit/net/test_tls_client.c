/* The TLS client against OpenSSL's own server side, over memory: any cut of the bytes, every kind of bad certificate. */
#include "net/tls_client.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};
static struct identity good, stranger, expired;
static char authority_file[] = "/tmp/stator-test-ca-XXXXXX";

static void add_names(X509 *cert, const char *names)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
}

static struct identity identity_make(const char *cn, const char *names, long valid_s)
{
	struct identity id = {EVP_EC_gen("P-256"), X509_new()};
	X509_NAME *name = X509_get_subject_name(id.cert);

	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), 1);
	X509_set_version(id.cert, 2);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), valid_s < 0 ? 2 * valid_s : -60);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), valid_s);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(id.cert, name);
	X509_set_pubkey(id.cert, id.key);
	add_names(id.cert, names);
	assert_true(X509_sign(id.cert, id.key, EVP_sha256()) > 0);
	return id;
}

/* The authorities that this process trusts are read once: good and expired are among them. */
static int set_up(void **state)
{
	int fd = mkstemp(authority_file);
	FILE *f = fdopen(fd, "w");

	(void)state;
	good = identity_make("good", "DNS:api.example.org,IP:127.0.0.1,IP:::1", 3600);
	stranger = identity_make("stranger", "DNS:api.example.org", 3600);
	expired = identity_make("expired", "DNS:api.example.org", -3600);
	PEM_write_X509(f, good.cert);
	PEM_write_X509(f, expired.cert);
	fclose(f);
	return setenv("SSL_CERT_FILE", authority_file, 1);
}

static int tear_down(void **state)
{
	(void)state;
	struct identity all[] = {good, stranger, expired};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		EVP_PKEY_free(all[i].key);
		X509_free(all[i].cert);
	}
	unlink(authority_file);
	return 0;
}

struct server {
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;
};

static void server_init(struct server *s, const struct identity *id)
{
	s->ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(s->ctx, id->cert);
	SSL_CTX_use_PrivateKey(s->ctx, id->key);
	s->ssl = SSL_new(s->ctx);
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	SSL_set_bio(s->ssl, s->in, s->out);
	SSL_set_accept_state(s->ssl);
}

static void server_done(struct server *s)
{
	SSL_free(s->ssl);
	SSL_CTX_free(s->ctx);
}

/* Move bytes both ways until nothing moves; to the client in pieces of at most piece. Returns the client's error. */
static int pump(struct tls_client *t, struct server *s, size_t piece, struct buf *plain, struct err *err)
{
	for (bool moved = true; moved;) {
		struct buf out;
		char *data;
		moved = false;
		buf_init(&out, 1 << 20);
		assert_int_equal(tls_client_take(t, &out), 0);
		if (out.len) {
			BIO_write(s->in, out.data, (int)out.len);
			moved = true;
		}
		buf_done(&out);
		if (!SSL_is_init_finished(s->ssl))
			SSL_do_handshake(s->ssl);
		long len = BIO_get_mem_data(s->out, &data);
		for (long at = 0; at < len;) {
			size_t n = MIN((size_t)(len - at), piece);
			int r = tls_client_received(t, data + at, n, plain, err);
			if (r < 0)
				return r;
			at += (long)n;
			moved = true;
		}
		(void)BIO_reset(s->out);
	}
	return 0;
}

static void bytes_arrive_whole_however_they_are_cut(void **state)
{
	static const size_t pieces[] = {1, 7, 100, 5000, 1 << 20};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct server s;
		struct tls_client *t;
		struct buf plain;
		struct err err = {0};
		char text[40000], got[64];
		buf_init(&plain, 1 << 20);
		memset(text, 'x', sizeof text);
		server_init(&s, &good);
		assert_int_equal(tls_client_create(&t, "api.example.org", &err), 0);
		assert_false(tls_client_is_open(t));
		assert_int_equal(pump(t, &s, pieces[i], &plain, &err), 0);
		assert_true(tls_client_is_open(t));
		assert_int_equal(tls_client_send(t, "GET / HTTP/1.1\r\n\r\n", 18, &err), 0);
		assert_int_equal(pump(t, &s, pieces[i], &plain, &err), 0);
		assert_int_equal(SSL_read(s.ssl, got, sizeof got), 18);
		assert_int_equal(SSL_write(s.ssl, text, sizeof text), sizeof text);
		assert_int_equal(pump(t, &s, pieces[i], &plain, &err), 0);
		assert_int_equal(plain.len, sizeof text);
		assert_memory_equal(plain.data, text, sizeof text);
		assert_false(tls_client_is_ended(t));
		SSL_shutdown(s.ssl);
		assert_int_equal(pump(t, &s, pieces[i], &plain, &err), 0);
		assert_true(tls_client_is_ended(t));
		tls_client_destroy(t);
		server_done(&s);
		buf_done(&plain);
	}
}

static int connect_as(const char *name, const struct identity *id, struct err *err)
{
	struct server s;
	struct tls_client *t;
	struct buf plain;

	*err = (struct err){0};
	buf_init(&plain, 1 << 16);
	server_init(&s, id);
	assert_int_equal(tls_client_create(&t, name, err), 0);
	int r = pump(t, &s, 1000, &plain, err);
	assert_int_equal(tls_client_is_open(t), r == 0);
	tls_client_destroy(t);
	server_done(&s);
	buf_done(&plain);
	return r;
}

static void only_the_server_that_was_meant_is_talked_to(void **state)
{
	struct err err;
	(void)state;

	assert_int_equal(connect_as("127.0.0.1", &good, &err), 0);
	assert_int_equal(connect_as("::1", &good, &err), 0);
	assert_int_equal(connect_as("API.example.org", &good, &err), 0);
	assert_int_equal(connect_as("other.example.org", &good, &err), -EACCES);
	assert_non_null(strstr(err.msg, "other.example.org"));
	assert_int_equal(connect_as("127.0.0.2", &good, &err), -EACCES);
	assert_int_equal(connect_as("api.example.org", &stranger, &err), -EACCES);
	assert_non_null(strstr(err.msg, "SSL_CERT_FILE"));
	assert_int_equal(connect_as("api.example.org", &expired, &err), -EACCES);
	assert_non_null(strstr(err.msg, "expired"));
}

static void what_is_no_tls_is_an_error(void **state)
{
	struct tls_client *t;
	struct buf plain;
	struct err err = {0};
	(void)state;

	buf_init(&plain, 1 << 16);
	assert_int_equal(tls_client_create(&t, "api.example.org", &err), 0);
	assert_int_equal(tls_client_received(t, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, &plain, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "plain http"));
	tls_client_destroy(t);
	buf_done(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_whole_however_they_are_cut),
		cmocka_unit_test(only_the_server_that_was_meant_is_talked_to),
		cmocka_unit_test(what_is_no_tls_is_an_error),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
