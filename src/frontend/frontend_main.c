#include "frontend/frontend_main.h"
#include "base/file.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/rng.h"
#include "host/limits.h"
#include "frontend/keys.h"
#include "llama/template.h"
#include "net/loop.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TEXT_THREADS_MAX = 8,
	FILE_BYTES_MAX = 1024 * 1024,
	DRAIN_US = 30 * 1000 * 1000,
	ARENAS_MAX = 2,
	MAPPED_BYTES_MIN = 48 * 1024
};

struct process {
	const struct frontend_main_options *options;
	struct frontend_config config;
	struct loop *loop;
	struct frontend *fe;
	struct api_keys *keys;
	struct buf secret, kv_secret, chat_template;
	struct buf *template_texts; /* and names: two for each of options->chat_templates */
	struct frontend_template *templates;
	bool stopping, failed;
};

void frontend_main_options_default(struct frontend_main_options *ret)
{
	/* Before the default number of connections is taken from it. */
	loop_raise_fd_limit();
	*ret = (struct frontend_main_options){.drain_us = DRAIN_US, .min_workers = 1, .status_fd = -1};
	frontend_config_default(&ret->config);
}

static void tell(const struct process *p, const char *word, const char *text)
{
	char line[2048];
	int len = snprintf(line, sizeof line, "%s %s\n", word, text);

	if (p->options->status_fd < 0)
		return;
	/* A supervisor that is gone cannot be told. */
	ssize_t n = write(p->options->status_fd, line, MIN((size_t)len, sizeof line - 1));
	(void)n;
}

static uint32_t core_count(void)
{
	struct host_cpus cpus;

	host_cpus_read(&cpus, "");
	return cpus.usable;
}

/* A secret that others can read is none for long. */
static void tell_if_open(const char *what, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || !(st.st_mode & 077))
		return;
	log_warn("a file of secrets can be read by others", LOG_F("what", log_str(what)), LOG_F("path", log_str(path)),
		LOG_F("remedy", log_str("chmod 600 it")));
}

/* A secret is a line: the line feed that editors add is not part of it. */
static int read_secret(const char *path, struct buf *ret, const void **ret_secret, size_t *ret_len, struct err *err)
{
	if (!path)
		return 0;
	int r = file_read_text(ret, "secret file", path, FILE_PLAIN, err);
	if (r < 0)
		return r;
	tell_if_open("secret file", path);
	while (ret->len && strchr("\r\n", ret->data[ret->len - 1]))
		ret->len--;
	if (!ret->len)
		return err_set(err, -EINVAL, "the secret file \"%s\" is empty", path);
	*ret_secret = ret->data;
	*ret_len = ret->len;
	return 0;
}

static int read_keys(struct process *p, struct err *err)
{
	int r = api_keys_read(&p->keys, p->options->api_keys_file, err);

	if (r == 0)
		tell_if_open("API keys file", p->options->api_keys_file);
	return r;
}

/* One that is named and cannot be read is a mistake of whoever named it, not a model without a template. */
static int template_text(struct buf *ret, const char *path, struct err *err)
{
	struct ll_template *t = NULL;
	int r = file_read_text(ret, "chat template", path, FILE_PLAIN, err);

	if (r < 0)
		return r;
	if (ret->len == 0)
		return err_set(err, -EINVAL, "the chat template \"%s\" is empty", path);
	if ((r = ll_template_create(&t, buf_str(ret), ret->len, err)) < 0)
		err_wrap(err, "could not use the chat template \"%s\"", path);
	ll_template_destroy(t);
	return r;
}

static int read_template(struct process *p, uint32_t i, struct err *err)
{
	const char *item = p->options->chat_templates[i], *file = strchr(item, '=');
	struct buf *name = &p->template_texts[2 * i], *text = name + 1;

	if (!file || file == item || !file[1])
		return err_set(err, -EINVAL, "cannot read the chat template \"%.200s\": NAME=FILE is expected", item);
	buf_init(name, FILE_BYTES_MAX);
	buf_init(text, FILE_BYTES_MAX);
	int r = buf_add(name, item, (size_t)(file - item));
	if (r == 0)
		r = template_text(text, file + 1, err);
	p->templates[i] = (struct frontend_template){buf_str(name), buf_str(text)};
	return r;
}

static int read_templates(struct process *p, struct err *err)
{
	uint32_t len = p->options->chat_templates_len;
	int r = 0;

	if (len == 0)
		return 0;
	p->templates = calloc(len, sizeof *p->templates);
	p->template_texts = calloc(2 * (size_t)len, sizeof *p->template_texts);
	if (!p->templates || !p->template_texts)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < len && r == 0; i++)
		r = read_template(p, i, err);
	p->config.templates = p->templates;
	p->config.templates_len = len;
	return r;
}

static int read_files(struct process *p, struct err *err)
{
	const struct frontend_main_options *o = p->options;
	struct frontend_config *c = &p->config;
	int r = read_secret(o->secret_file, &p->secret, &c->secret, &c->secret_len, err);

	if (r == 0)
		r = read_secret(o->kv_secret_file, &p->kv_secret, &c->kv_secret, &c->kv_secret_len, err);

	if (r == 0 && o->api_keys_file) {
		r = read_keys(p, err);
		p->config.keys = p->keys;
	}
	if (r == 0 && o->chat_template_file) {
		r = template_text(&p->chat_template, o->chat_template_file, err);
		p->config.chat_template = buf_str(&p->chat_template);
	}
	return r < 0 ? r : read_templates(p, err);
}

static void on_ready(void *ctx)
{
	struct process *p = ctx;
	char url[256];

	const char *addr = frontend_addr(p->fe);
	snprintf(url, sizeof url, "%s%s", strncmp(addr, "unix:", 5) ? "http://" : "", addr);
	log_info("ready", LOG_F("url", log_str(url)));
	tell(p, "ready", url);
}

static void on_drained(void *ctx)
{
	loop_stop(((struct process *)ctx)->loop);
}

/* Its supervisor tells why, with these words, and does not start it again. */
static void on_hopeless(void *ctx, const char *why)
{
	struct process *p = ctx;

	log_error("frontend cannot serve what it was started for", LOG_F("why", log_str(why)));
	tell(p, "error", why);
	p->failed = p->stopping = true;
	frontend_drain(p->fe, 0, on_drained, p);
}

static void on_signal(void *ctx, int signo)
{
	struct process *p = ctx;

	(void)signo;
	log_info(p->stopping ? "stopping at once" : "draining");
	frontend_drain(p->fe, p->stopping ? 0 : p->options->drain_us, on_drained, p);
	p->stopping = true;
}

/* Connections may use the file descriptors that workers, logs and the loop do not. */
static void fit_conns(struct http_limits *limits)
{
	uint64_t fds = loop_raise_fd_limit(), most = fds > 2 * FDS_RESERVED ? fds - FDS_RESERVED : fds / 2;

	if (limits->conns_max <= most)
		return;
	log_warn("the limit of open files allows fewer connections than max-conns",
		LOG_F("max-conns", log_u64(limits->conns_max)), LOG_F("connections", log_u64(most)),
		LOG_F("open_files", log_u64(fds)),
		LOG_F("remedy", log_str("raise the hard limit: ulimit -Hn, or LimitNOFILE= of a unit")));
	limits->conns_max = (uint32_t)most;
	limits->conns_by_fds = true;
}

/* Prompts come in bursts. What they took goes back to the system when they are through, instead of staying in an arena
 * for each text thread. Bodies and prompts of some thousand words are mapped on their own: they come and go in no order, and
 * in a heap leave holes that the next one does not fit. */
static void tune_memory(void)
{
	mallopt(M_ARENA_MAX, ARENAS_MAX);
	mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

static int start(struct process *p, struct err *err)
{
	const struct frontend_main_options *o = p->options;
	const struct loop_config loop = {
		.text_threads = o->text_threads ? o->text_threads : MIN(core_count(), (uint32_t)TEXT_THREADS_MAX),
		.text_stack_bytes = TEXT_STACK_BYTES,
	};

	if (o->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_set_errno(err, -errno, "could not ask to end with the supervisor");
	p->config.text_threads = loop.text_threads;
	tune_memory();
	fit_conns(&p->config.http);
	int r = read_files(p, err);
	if (r < 0)
		return r;
	r = loop_create(&p->loop, &loop, err);
	if (r < 0)
		return r;
	rng_secret(p->config.index_secret, sizeof p->config.index_secret);
	r = frontend_create(&p->fe, loop_env(p->loop), &p->config, err);
	if (r < 0)
		return r;
	r = loop_on_signal(p->loop, SIGTERM, on_signal, p, err);
	return r < 0 ? r : loop_on_signal(p->loop, SIGINT, on_signal, p, err);
}

static void stop(struct process *p)
{
	frontend_destroy(p->fe);
	if (p->loop)
		loop_destroy(p->loop);
	api_keys_destroy(p->keys);
	buf_done(&p->secret);
	buf_done(&p->kv_secret);
	buf_done(&p->chat_template);
	for (uint32_t i = 0; p->template_texts && i < 2 * p->options->chat_templates_len; i++)
		buf_done(&p->template_texts[i]);
	free(p->template_texts);
	free(p->templates);
}

int frontend_main(const struct frontend_main_options *options)
{
	struct process p = {.options = options, .config = options->config};
	struct err err;

	buf_init(&p.secret, FILE_BYTES_MAX);
	buf_init(&p.kv_secret, FILE_BYTES_MAX);
	buf_init(&p.chat_template, FILE_BYTES_MAX);
	if (start(&p, &err) < 0) {
		log_error("frontend cannot run", LOG_F("why", log_str(err.msg)));
		tell(&p, "error", err.msg);
		stop(&p);
		return 1;
	}
	log_info("listening", LOG_F("addr", log_str(frontend_addr(p.fe))));
	frontend_when_ready(p.fe, options->min_workers, on_ready, &p);
	if (options->status_fd >= 0)
		frontend_when_hopeless(p.fe, on_hopeless, &p);
	loop_run(p.loop);
	stop(&p);
	return p.failed;
}
