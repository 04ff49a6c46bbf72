/* Any bytes from a client, cut anywhere, in front of the whole HTTP server on a simulated env. The first byte seeds where
 * the network cuts and how the handler answers. */
#include "net/http_server.h"
#include "sim/env.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct env *env;
	struct http_exchange *held;
	uint32_t requests, heads, gone;
};

static void on_gone(void *user)
{
	struct world *w = user;
	w->gone++;
	w->held = NULL;
}
static const struct http_exchange_ops exchange_ops = {.on_gone = on_gone};

static void answer(struct world *w, struct http_exchange *x)
{
	size_t len;
	const char *body = http_body(x, &len);

	if (w->requests % 2) {
		http_reply(x, 200, "text/plain", body, len);
		return;
	}
	http_begin(x, 200, "text/event-stream");
	http_write(x, body, len);
	http_write(x, "x", 1);
	http_end(x);
}

static void on_request(void *ctx, struct http_exchange *x)
{
	struct world *w = ctx;
	const char *path = http_path(x);

	/* What a handler may rely on. */
	ASSERT(path[0] == '/' || strcmp(path, "*") == 0);
	ASSERT(strlen(http_query(x)) < 70000 && http_method(x) && http_peer(x));
	ASSERT(!http_header(x, "host") || strlen(http_header(x, "host")) < 70000);
	w->requests++;
	ASSERT(!w->held);
	if (w->requests % 3) {
		answer(w, x);
		return;
	}
	w->held = x;
	http_set_ops(x, &exchange_ops, w);
}
/* Every fifth is refused before its body. */
static bool on_headers(void *ctx, struct http_exchange *x)
{
	struct world *w = ctx;
	size_t len;

	ASSERT(http_body(x, &len) && len == 0);
	if (++w->heads % 5)
		return true;
	http_reply(x, 403, "text/plain", "no", 2);
	return false;
}
static const struct http_handler handler = {.on_headers = on_headers, .on_request = on_request};

static void client_data(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx, (void)data, (void)len;
}
static void client_closed(void *ctx, int code)
{
	(void)code;
	*(struct env_conn **)ctx = NULL;
}
static const struct env_conn_ops client_ops = {.on_data = client_data, .on_closed = client_closed};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {0};
	struct sim_config config;
	struct http_limits limits;
	struct http_server *server;
	struct env_conn *client;
	struct sim *sim;

	if (size < 1 || size > 20000)
		return 0;
	sim_config_default(&config, data[0]);
	config.segment_bytes_max = 1 + data[0] * 8u;
	ASSERT(sim_create(&sim, &config, NULL) == 0);
	w.env = sim_env(sim);
	http_limits_default(&limits);
	limits.body_bytes_max = 4096;
	limits.bodies_bytes_max = 0; /* twice that counts: bodies wait for room */
	limits.header_bytes_max = 2048;
	ASSERT(http_server_create(&server, w.env, "s:1", &limits, &handler, &w, NULL) == 0);
	ASSERT(env_connect(w.env, "s:1", &client_ops, &client, &client, NULL) == 0);
	ASSERT(env_conn_write(w.env, client, data + 1, size - 1) == 0);
	for (int i = 0; i < 8; i++) {
		sim_run_for(sim, 50000);
		struct http_exchange *x = w.held;
		w.held = NULL;
		if (x)
			answer(&w, x);
	}
	if (client)
		env_conn_close(w.env, client);
	/* Past every deadline nothing is left. */
	sim_run_for(sim, 400ull * 1000000);
	ASSERT(http_server_conns(server) == 0);
	ASSERT(http_server_bodies(server) == 0 && http_server_unread(server) == 0);
	http_server_destroy(server);
	struct sim_counts left = sim_counts(sim);
	ASSERT(left.conns == 0 && left.timers == 0 && left.listeners == 0);
	sim_destroy(sim);
	return 0;
}
