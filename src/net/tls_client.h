/* tls_client.h - the client's side of one TLS connection, as a filter between bytes: no socket, no clock. OpenSSL's.
 *
 *   tls_client_create -> tls_client_take (hello) -> { tls_client_received -> tls_client_take }* until tls_client_is_open
 *                     -> tls_client_send, tls_client_received, tls_client_take in any order -> tls_client_destroy
 *
 * The server's certificate must be valid for the name and signed by an authority that this system trusts
 * (SSL_CERT_FILE and SSL_CERT_DIR name others). TLS 1.2 and later; HTTP/1.1 by ALPN.
 * Thread: one at a time. Memory: OpenSSL's records (some 50 KiB); the list of authorities is read once a process. */
#ifndef STATOR_NET_TLS_CLIENT_H
#define STATOR_NET_TLS_CLIENT_H

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>

struct tls_client;

/* name: the host's name or address, without a port, as it stands in the certificate. Copies it. */
int tls_client_create(struct tls_client **ret, const char *name, struct err *err) MUST_USE;
void tls_client_destroy(struct tls_client *t);
/* Bytes came from the server: append what they say to plain. A handshake that fails, or a record that is not what it
 * should be, is an error; the connection is useless then. */
int tls_client_received(
	struct tls_client *t, const void *data, size_t len, struct buf *plain, struct err *err) MUST_USE;
/* Encrypt for the server. Only when open. */
int tls_client_send(struct tls_client *t, const void *data, size_t len, struct err *err) MUST_USE;
/* Append to out what must be sent to the server now (nothing: out is unchanged). */
int tls_client_take(struct tls_client *t, struct buf *out) MUST_USE;
/* The handshake is done and the server is who it says. */
bool tls_client_is_open(const struct tls_client *t);
/* The server has said that it will send no more: an end without this may be a cut. */
bool tls_client_is_ended(const struct tls_client *t);

#endif
