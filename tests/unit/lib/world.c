#include "world.h"
#include "base/log.h"
#include "fail_nth.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cmocka_all.h"

enum { SECOND_US = 1000000 };

void world_config_default(struct world_config *ret, uint64_t seed)
{
	*ret = (struct world_config){
		.seed = seed,
		.workers = 2,
		.mock = {.cells = 4096,
			.seqs = 16,
			.batch_tokens_max = 512,
			.context_max = 2048,
			.answer_min = 4,
			.answer_max = 40,
			.timing = {.base_us = 1000, .prefill_token_us = 10, .decode_seq_us = 100},
			.verify = true},
		.sched = {.block_size = 16},
	};
	sim_config_default(&ret->sim, seed);
	frontend_config_default(&ret->frontend);
	ret->frontend.listen = "127.0.0.1:0";
}

static void on_failed(void *ctx, const struct err *err)
{
	(void)err;
	*(bool *)ctx = true;
}

int world_worker_try_start(struct world *w, uint32_t i, struct err *err)
{
	const struct worker_config config = {
		.name = w->workers[i].name,
		.model = w->model,
		.role = "both",
		.listen = w->workers[i].addr,
		.kv_secret = "secret",
		.kv_secret_len = 6,
		.sched = w->sched,
		.instance = env_rand(w->env) | 1,
		.on_failed = on_failed,
		.ctx = &w->workers[i].failed,
	};

	assert_null(w->workers[i].worker);
	w->workers[i].failed = false;
	int r = mock_engine_create(&w->workers[i].engine, &w->mock, err);
	if (r < 0)
		return r;
	r = worker_create(&w->workers[i].worker, w->env, w->workers[i].engine, &config, err);
	if (r < 0) {
		engine_destroy(w->workers[i].engine);
		w->workers[i].engine = NULL;
	}
	return r;
}

void world_worker_start(struct world *w, uint32_t i)
{
	struct err err = {0};

	if (world_worker_try_start(w, i, &err) < 0)
		fail_msg("%s", err.msg);
}

void world_worker_kill(struct world *w, uint32_t i)
{
	worker_destroy(w->workers[i].worker);
	w->workers[i].worker = NULL;
	engine_destroy(w->workers[i].engine);
	w->workers[i].engine = NULL;
}

static int start_all(struct world *w, const struct world_config *config, struct err *err)
{
	struct frontend_config fe = config->frontend;
	static char list[256];
	int r = 0;

	list[0] = '\0';
	for (uint32_t i = 0; i < config->workers && r == 0; i++) {
		snprintf(w->workers[i].name, sizeof w->workers[i].name, "mock-%u", i);
		snprintf(w->workers[i].addr, sizeof w->workers[i].addr, "unix:/sim/w%u.sock", i);
		strcat(strcat(list, w->workers[i].addr), ",");
		r = world_worker_try_start(w, i, err);
	}
	if (!fe.discovery_arg)
		fe.discovery_arg = config->workers ? list : "unix:/sim/none.sock";
	return r < 0 ? r : frontend_create(&w->fe, w->env, &fe, err);
}

/* Memory that ends is an error on every line; it is the test's own doing. */
static int null_fd(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return fd;
}

int world_try_init(struct world *w, const struct world_config *config, struct err *err)
{
	struct sim_config sim = config->sim;

	log_setup(config->fail_nth ? null_fd() : 2, LOG_ERROR, false);
	*w = (struct world){
		.mock = config->mock, .sched = config->sched, .workers_len = config->workers, .model = "mock"};
	if (config->fail_nth)
		sim.owner = fail_nth_owner;
	assert_int_equal(sim_create(&w->sim, &sim, NULL), 0);
	w->env = config->fail_nth ? fail_env(sim_env(w->sim)) : sim_env(w->sim);
	assert_int_equal(tokenizer_load(&w->tokenizer, "byte", err), 0);
	if (config->fail_nth)
		fail_nth_begin();
	int r = start_all(w, config, err);
	if (config->fail_nth)
		fail_nth_end();
	if (r < 0)
		world_done(w);
	return r;
}

void world_init(struct world *w, const struct world_config *config)
{
	struct err err = {0};

	if (world_try_init(w, config, &err) < 0)
		fail_msg("%s", err.msg);
}

struct wanted {
	struct world *w;
	uint32_t workers;
};
static bool has_workers(void *ctx)
{
	struct wanted *wanted = ctx;
	struct frontend_counts c;

	frontend_counts(wanted->w->fe, &c);
	return c.workers_up == wanted->workers;
}

void world_wait_workers(struct world *w, uint32_t count)
{
	struct wanted wanted = {w, count};
	assert_true(sim_run_cond(w->sim, has_workers, &wanted, env_now_us(w->env) + 10 * SECOND_US));
}

static bool is_idle(void *ctx)
{
	struct world *w = ctx;
	struct frontend_counts c;
	uint32_t at_workers = 0;

	frontend_counts(w->fe, &c);
	for (uint32_t i = 0; i < w->workers_len; i++)
		at_workers += w->workers[i].worker ? worker_counts(w->workers[i].worker).requests : 0;
	return !c.requests && !c.flights && !c.waiting && !c.jobs && c.accepted == c.ended && !at_workers;
}

void world_wait_idle(struct world *w)
{
	assert_true(sim_run_cond(w->sim, is_idle, w, env_now_us(w->env) + 10 * SECOND_US));
}

void world_done(struct world *w)
{
	frontend_destroy(w->fe);
	for (uint32_t i = 0; i < w->workers_len; i++)
		if (w->workers[i].worker)
			world_worker_kill(w, i);
	assert_int_equal(sim_counts(w->sim).timers, 0);
	assert_int_equal(sim_counts(w->sim).listeners, 0);
	assert_int_equal(sim_counts(w->sim).jobs, 0);
	sim_destroy(w->sim);
	tokenizer_destroy(w->tokenizer);
}

const char *world_reference(const struct world *w, const uint32_t *prompt, uint32_t prompt_len, bool sampled,
	uint64_t seed, uint32_t max_tokens, bool ignore_eos, struct buf *ret)
{
	for (uint32_t i = 0; i < max_tokens; i++) {
		uint32_t token = mock_token(&w->mock, prompt, prompt_len, prompt_len + i, sampled, seed, ignore_eos);
		if (tokenizer_is_eog(w->tokenizer, token))
			return "stop";
		assert_int_equal(tokenizer_piece(w->tokenizer, token, false, ret), 0);
	}
	return "length";
}

const char *world_reference_text(
	const struct world *w, const char *prompt, bool sampled, uint64_t seed, uint32_t max_tokens, struct buf *ret)
{
	struct tokens tokens = {0};

	assert_int_equal(
		tokenizer_encode(w->tokenizer, prompt, strlen(prompt), TOKENIZE_BOS_EOS, 1 << 20, &tokens, NULL), 0);
	const char *finish = world_reference(w, tokens.v, tokens.len, sampled, seed, max_tokens, false, ret);
	vec_done(&tokens);
	return finish;
}

/* clients */

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
	uint32_t depth = fail_nth_suspend();
	assert_int_equal(buf_add(&((struct world_client *)ctx)->raw, data, len), 0);
	fail_nth_resume(depth);
}

static void on_eof(void *ctx)
{
	struct world_client *c = ctx;
	c->ended = true;
	env_conn_close(c->world->env, c->conn);
	c->conn = NULL;
}

static void on_closed(void *ctx, int code)
{
	struct world_client *c = ctx;
	(void)code;
	c->ended = true;
	c->conn = NULL;
}

const struct env_conn_ops world_client_ops = {.on_data = on_data, .on_eof = on_eof, .on_closed = on_closed};

void world_send(struct world *w, struct world_client *c, const char *method, const char *path, const char *headers,
	const char *body)
{
	char head[2048];
	size_t len = body ? strlen(body) : 0;

	*c = (struct world_client){.world = w};
	buf_init(&c->raw, 64 << 20);
	buf_init(&c->body, 64 << 20);
	assert_int_equal(env_connect(w->env, frontend_addr(w->fe), &world_client_ops, c, &c->conn, NULL), 0);
	headers = headers ? headers : "";
	int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\n%sconnection: close\r\n%s%s", method, path,
		strcasestr(headers, "host:") ? "" : "host: localhost\r\n",
		strcasestr(headers, "content-type:") ? "" : "content-type: application/json\r\n", headers);
	if (!strcasestr(headers, "content-length:"))
		n += snprintf(head + n, sizeof head - (size_t)n, "content-length: %zu\r\n", len);
	snprintf(head + n, sizeof head - (size_t)n, "\r\n");
	env_conn_write(w->env, c->conn, head, strlen(head));
	if (len)
		env_conn_write(w->env, c->conn, body, len);
}

void world_post(struct world *w, struct world_client *c, const char *path, const char *body)
{
	world_send(w, c, "POST", path, NULL, body);
}

const char *world_header(const struct world_client *c, const char *name)
{
	static char value[512];
	size_t len = strlen(name);

	for (const char *at = c->headers; at && *at; at = strstr(at, "\r\n") + 2) {
		if (strncasecmp(at, name, len) || at[len] != ':')
			continue;
		at += len + 1 + strspn(at + len + 1, " ");
		snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
		return value;
	}
	return NULL;
}

static bool decode_chunks(struct world_client *c, const char *at, const char *end)
{
	while (at < end) {
		char *data;
		unsigned long n = strtoul(at, &data, 16);
		if (data == at || data + 2 > end || n > (size_t)(end - data - 2))
			return false;
		data += 2;
		if (!n)
			return true;
		buf_add(&c->body, data, n);
		at = data + n + 2;
	}
	return false;
}

static void parse(struct world_client *c)
{
	const char *raw = buf_str(&c->raw), *end = raw + c->raw.len, *split = strstr(raw, "\r\n\r\n");

	if (!split)
		return;
	assert_int_equal(sscanf(raw, "HTTP/1.1 %d", &c->status), 1);
	const char *lines = strstr(raw, "\r\n") + 2;
	c->headers = strndup(lines, (size_t)(split + 2 - lines));
	const char *length = world_header(c, "content-length");
	if (length) {
		buf_add(&c->body, split + 4, (size_t)(end - split - 4));
		c->whole = c->body.len == strtoul(length, NULL, 10);
	} else {
		c->whole = decode_chunks(c, split + 4, end);
	}
}

static bool has_ended(void *ctx)
{
	return ((struct world_client *)ctx)->ended;
}

void world_finish(struct world_client *c)
{
	struct world *w = c->world;
	assert_true(sim_run_cond(w->sim, has_ended, c, env_now_us(w->env) + 60 * SECOND_US));
	parse(c);
}

void world_leave(struct world_client *c)
{
	if (c->conn)
		env_conn_close(c->world->env, c->conn);
	c->conn = NULL;
	c->ended = true;
}

void world_client_done(struct world_client *c)
{
	if (!c->world)
		return;
	world_leave(c);
	buf_done(&c->raw);
	buf_done(&c->body);
	free(c->headers);
	*c = (struct world_client){0};
}

/* streams */

static void read_usage(struct world_stream *s, const json_t *usage)
{
	json_int_t prompt, completion, cached;

	if (!json_is_object(usage))
		return;
	assert_int_equal(json_unpack((json_t *)(uintptr_t)usage, "{s:I,s:I,s:{s:I}}", "prompt_tokens", &prompt,
				 "completion_tokens", &completion, "prompt_tokens_details", "cached_tokens", &cached),
		0);
	s->usages++;
	s->prompt_tokens = (uint64_t)prompt;
	s->completion_tokens = (uint64_t)completion;
	s->cached_tokens = (uint64_t)cached;
}

static void read_choice(struct world_stream *s, const json_t *choice)
{
	json_int_t i = json_integer_value(json_object_get(choice, "index"));
	const json_t *delta = json_object_get(choice, "delta"), *finish = json_object_get(choice, "finish_reason");
	const json_t *text = delta ? json_object_get(delta, "content") : json_object_get(choice, "text");

	assert_in_range(i, 0, 15);
	assert_int_equal(s->finishes[i], 0);
	if (text)
		buf_add(&s->text[i], json_string_value(text), json_string_length(text));
	if (!json_is_string(finish))
		return;
	s->finishes[i]++;
	snprintf(s->finish[i], sizeof s->finish[i], "%s", json_string_value(finish));
}

static void read_event(struct world_stream *s, const char *data, size_t len)
{
	json_error_t error;

	assert_int_equal(s->dones + s->errors, 0); /* nothing follows an end */
	if (len == 6 && !memcmp(data, "[DONE]", 6)) {
		s->dones++;
		return;
	}
	json_t *root = json_loadb(data, len, JSON_ALLOW_NUL, &error);
	if (!root)
		fail_msg("event is not JSON: %.*s", (int)len, data);
	const json_t *e = json_object_get(root, "error"), *choices = json_object_get(root, "choices");
	if (e) {
		s->errors++;
		snprintf(s->error, sizeof s->error, "%s", json_string_value(json_object_get(e, "message")));
	} else {
		s->events++;
		for (size_t i = 0; i < json_array_size(choices); i++)
			read_choice(s, json_array_get(choices, i));
		read_usage(s, json_object_get(root, "usage"));
	}
	json_decref(root);
}

void world_stream_read(struct world_stream *s, const struct world_client *c)
{
	const char *at = buf_str(&c->body);

	*s = (struct world_stream){0};
	for (int i = 0; i < 16; i++)
		buf_init(&s->text[i], 1 << 24);
	for (const char *end; (end = strstr(at, "\n\n")); at = end + 2) {
		if (*at == ':') {
			assert_int_equal(s->dones + s->errors, 0);
			s->comments++;
			continue;
		}
		assert_memory_equal(at, "data: ", 6);
		read_event(s, at + 6, (size_t)(end - at - 6));
	}
}

void world_stream_done(struct world_stream *s)
{
	for (int i = 0; i < 16; i++)
		buf_done(&s->text[i]);
}
