/* deployment.c - processes of a graph; see deployment.h. */
#include "launch/deployment.h"
#include "base/limits.h"
#include "base/vec.h"
#include "cluster/discovery.h"
#include "launch/deployment_check.h"
#include "launch/devices.h"
#include "launch/runtime_dir.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

struct words {
	VEC(const char *) list;
	struct arena *arena;
	bool failed;
};

struct builder {
	struct deployment *d;
	const struct deployment_config *config;
	uint32_t llama_workers, llama_next; /* they divide the CPUs */
	uint32_t name_next; /* the least number of a name of this service that may be free */
	struct devices devices;
	struct buf sockets; /* "unix:/run/a.sock,unix:/run/b.sock" */
	const char *vocabularies; /* files that the frontend will be asked to load; NULL: none */
};

/* Command lines. */

static void word(struct words *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void word(struct words *w, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	char *copy = len < (int)sizeof text ? arena_strdup(w->arena, text) : NULL;
	if (!copy || vec_push(&w->list, copy) < 0)
		w->failed = true;
}

static bool has_flag(const struct flags_command *spec, const char *name)
{
	for (size_t i = 0; i < spec->count; i++)
		if (strcmp(spec->flags[i].key.name, name) == 0)
			return true;
	return false;
}

static void word_flag(struct words *w, const struct flags_command *spec, const char *name, const char *value)
{
	if (!has_flag(spec, name))
		return;
	char *both = arena_printf(w->arena, "--%s=%s", name, value);
	if (!both || vec_push(&w->list, both) < 0)
		w->failed = true;
}

/* Settings the user gave, each as the flag of that name; those named in except are decided here. */
static void word_settings(struct words *w, const struct flags_command *spec, const struct config_section *settings,
	const char *const *except)
{
	for (uint32_t i = 0; i < settings->len; i++) {
		const struct config_item *item = &settings->items[i];
		bool skip = !item->value.set || !item->value.text;

		for (const char *const *e = except; *e && !skip; e++)
			skip = strcmp(*e, item->key->name) == 0;
		if (!skip)
			word_flag(w, spec, item->key->name, item->value.text);
	}
}

/* NULL-terminated, in the arena. NULL: out of memory. */
static const char *const *words_take(struct words *w)
{
	const char **ret = w->failed ? NULL : arena_alloc(w->arena, (w->list.len + 1) * sizeof *ret);

	if (ret && w->list.len > 0)
		memcpy(ret, w->list.v, w->list.len * sizeof *ret);
	vec_done(&w->list);
	return ret;
}

static const char *const *envs_of(struct arena *arena, const struct graph_service *s)
{
	struct words w = {.arena = arena};

	for (uint32_t i = 0; i < s->envs_len; i++) {
		char *both = arena_printf(arena, "%s=%s", s->envs[i].name, s->envs[i].value);
		if (!both || vec_push(&w.list, both) < 0)
			w.failed = true;
	}
	return words_take(&w);
}

/* Workers. */

/* "LlamaWorker" is llama, "Big" is big: names of processes, also used in paths. */
static void base_name(const char *service, char *ret, size_t cap)
{
	size_t len = strlen(service), n = 0;

	if (len > 6 && strcmp(service + len - 6, "Worker") == 0)
		len -= 6;
	for (size_t i = 0; i < len && n + 1 < cap; i++)
		ret[n++] = isalnum((unsigned char)service[i]) ? (char)tolower((unsigned char)service[i]) : '-';
	ret[n] = '\0';
}

/* "llama-0"; the number goes on when two services share a base. */
static const char *worker_name(struct builder *b, const char *service)
{
	char base[32], name[SCREEN_NAME_BYTES];

	base_name(service, base, sizeof base);
	for (uint32_t n = b->name_next; n <= b->d->count; n++) {
		bool taken = false;

		snprintf(name, sizeof name, "%s-%u", base, n);
		for (uint32_t i = 0; i < b->d->count && !taken; i++)
			taken = b->d->processes[i].process.name && strcmp(b->d->processes[i].process.name, name) == 0;
		if (!taken) {
			b->name_next = n + 1;
			return arena_strdup(&b->d->arena, name);
		}
	}
	return NULL;
}

/* CPUs of a llama worker, unless the user chose threads or CPUs. Fills facts for the table; how many threads there are
 * the worker says itself. */
static void cpus_give(struct builder *b, const struct graph_service *s, struct supervised *p, struct words *w)
{
	const struct cores *c = b->config->cores;
	struct core_share share = cores_share(c, b->llama_workers, b->llama_next++);
	struct buf text;

	if (config_is_set(&s->settings, "threads") || config_is_set(&s->settings, "cpus")) {
		deployment_cpus_text(b->config, s, p->facts, sizeof p->facts);
		return;
	}
	char threads[16];
	snprintf(threads, sizeof threads, "%u", share.threads);
	word_flag(w, b->config->worker, "threads", threads);
	p->process.spec.cpus = c->cpus + share.first;
	p->process.spec.cpus_len = share.count;
	buf_init(&text, sizeof p->facts - 1);
	if (share.count > 0) {
		buf_add_str(&text, share.count == 1 ? "on CPU " : "on CPUs ");
		cores_print(&text, c, share.first, share.count);
	} else if (c->quota && c->quota < c->count) {
		buf_printf(&text, "control groups allow %u of %u CPUs", c->quota, c->count);
	} else if (b->llama_workers > c->count) {
		buf_printf(&text, "%u workers share %u CPU%s", b->llama_workers, c->count, c->count == 1 ? "" : "s");
	}
	snprintf(p->facts, sizeof p->facts, "%s", buf_str(&text));
	buf_done(&text);
}

/* Workers log as the frontend is told to. */
static void log_flags(struct words *w, const struct flags_command *spec, const struct graph *g)
{
	const struct config_section *front = &graph_find(g, GRAPH_FRONTEND)->settings;

	if (config_is_set(front, "log-level"))
		word_flag(w, spec, "log-level", config_str(front, "log-level"));
	if (config_bool(front, "log-json"))
		word_flag(w, spec, "log-json", "true");
}

/* The vocabulary of a service's model, once. A frontend can read it while the workers start. */
static int vocabulary_note(struct builder *b, const struct graph_service *s)
{
	const char *path = deployment_model_path(b->config, s);
	size_t len = strlen(path);

	/* With a template of its own it is loaded when it comes. */
	if (len < 6 || strcasecmp(path + len - 5, ".gguf") != 0 || strchr(path, ',') || deployment_template_file(s))
		return 0;
	for (const char *at = b->vocabularies; at && *at; at += strcspn(at, ","), at += *at == ',')
		if (strncmp(at, path, len) == 0 && (at[len] == ',' || !at[len]))
			return 0;
	b->vocabularies = b->vocabularies ? arena_printf(&b->d->arena, "%s,%s", b->vocabularies, path) : path;
	return b->vocabularies ? 0 : -ENOMEM;
}

/* How long it may be silent while it loads: the slowest disk worth serving from reads some 20 MB a second. */
static uint32_t silence_ms(const char *model)
{
	struct stat st;
	uint64_t bytes = *model && stat(model, &st) == 0 ? (uint64_t)st.st_size : 0;

	return PROCESS_SILENCE_MS + (uint32_t)MIN(bytes / 20000, 24ull * 3600 * 1000);
}

static int worker_add(struct builder *b, const struct graph_service *s)
{
	static const char *const decided[] = {"engine", "role", "model", "served-model-name", NULL};
	const struct flags_command *spec = b->config->worker;
	struct supervised *p = &b->d->processes[b->d->count];
	struct words w = {.arena = &b->d->arena};
	char number[24];

	p->process.name = worker_name(b, s->name);
	if (!p->process.name)
		return -ENOMEM;
	const char *socket = arena_printf(&b->d->arena, "unix:%s/%s.sock", b->config->dir, p->process.name);
	if (!socket)
		return -ENOMEM;
	word(&w, "stator");
	word(&w, "worker");
	word_flag(&w, spec, "name", p->process.name);
	word_flag(&w, spec, "engine", graph_engine_name(s->engine));
	word_flag(&w, spec, "role", graph_role_name(s->role));
	word_flag(&w, spec, "listen", socket);
	snprintf(number, sizeof number, "%d", CHILD_STATUS_FD);
	word_flag(&w, spec, "status-fd", number);
	word_flag(&w, spec, "kv-secret-file", arena_printf(&b->d->arena, "%s/secret", b->config->dir));
	if (*s->model)
		word_flag(&w, spec, "model", deployment_model_path(b->config, s));
	word_flag(&w, spec, "served-model-name", s->served_name);
	word_settings(&w, spec, &s->settings, decided);
	log_flags(&w, spec, b->config->graph);
	if (s->engine == GRAPH_ENGINE_LLAMA) {
		cpus_give(b, s, p, &w);
		snprintf(number, sizeof number, "%.4f", s->gpus > 0 ? MIN(s->gpus, 1.0) : 1.0 / b->llama_workers);
		word_flag(&w, spec, "memory-share", number);
	}
	p->process.start_silence_ms = silence_ms(*s->model ? deployment_model_path(b->config, s) : "");
	p->process.spec.listen_fd = -1;
	p->process.spec.argv = words_take(&w);
	p->process.spec.envs = envs_of(&b->d->arena, s);
	discovery_list_add(&b->sockets, socket);
	if (!p->process.spec.argv || !p->process.spec.envs || b->sockets.failed)
		return -ENOMEM;
	b->d->count++;
	return 0;
}

/* Put name=value before what the user sets, which wins. */
static int env_lead(struct builder *b, struct supervised *p, const char *setting)
{
	uint32_t envs = 0;

	while (p->process.spec.envs[envs])
		envs++;
	const char **all = arena_alloc(&b->d->arena, (envs + 2) * sizeof *all);
	char *copy = arena_strdup(&b->d->arena, setting);
	if (!all || !copy)
		return -ENOMEM;
	all[0] = copy;
	memcpy(all + 1, p->process.spec.envs, (envs + 1) * sizeof *all);
	p->process.spec.envs = all;
	return 0;
}

/* A llama worker that was given no GPU computes on CPUs: shown one, llama.cpp takes memory there and sends it large
 * batches even with no layer on it. */
static bool hides_gpus(const struct graph_service *s)
{
	return s->engine == GRAPH_ENGINE_LLAMA && s->gpus == 0 &&
	       !(config_is_set(&s->settings, "gpu-layers") && config_int(&s->settings, "gpu-layers") != 0);
}

static int gpus_give(struct builder *b, const struct graph_service *s, struct supervised *p, struct err *err)
{
	struct buf setting;
	int r;

	if (hides_gpus(s) && env_lead(b, p, "CUDA_VISIBLE_DEVICES=") < 0)
		return err_set(err, -ENOMEM, "out of memory");
	if (!b->devices.inventory || b->devices.inventory->count == 0 || s->gpus == 0)
		return 0;
	struct devices_share share;
	if ((r = devices_take(&share, &b->devices, s->gpus, p->process.name, err)) < 0)
		return r;
	buf_init(&setting, 64 * 1024);
	devices_print(&setting, &b->devices, share);
	if (setting.failed || env_lead(b, p, buf_str(&setting)) < 0)
		r = err_set(err, -ENOMEM, "out of memory");
	buf_done(&setting);
	devices_tell(p->facts, sizeof p->facts, &b->devices, share);
	return r;
}

/* Is memory sure to hold all workers of a service at once? Weights are mapped once; a KV cache and buffers as large as the
 * weights, and half a GiB, each. */
static bool memory_is_certain(const struct builder *b, const struct graph_service *s)
{
	struct stat st;

	if (s->engine == GRAPH_ENGINE_MOCK)
		return true;
	if (s->engine != GRAPH_ENGINE_LLAMA || b->config->memory_available == 0 ||
		stat(deployment_model_path(b->config, s), &st) < 0)
		return false;
	uint64_t each = (uint64_t)st.st_size + (512ull << 20);
	return (uint64_t)st.st_size + b->llama_workers * each < b->config->memory_available;
}

/* The first worker of a service is proven; the others may have to wait for it. */
static void steps_plan(struct builder *b, const struct graph_service *s, uint32_t kind, uint32_t first)
{
	bool at_once = b->config->start == DEPLOYMENT_START_ALL ||
		       (b->config->start == DEPLOYMENT_START_AUTO && memory_is_certain(b, s));

	for (uint32_t i = first; i < b->d->count; i++) {
		b->d->processes[i].kind = kind;
		b->d->processes[i].prove = i == first;
		b->d->processes[i].later = i > first && !at_once;
	}
}

/* The frontend. */

/* What the graph has, for the frontend: each model and how many workers it needs before the deployment is ready. */
static void models_expect(const struct builder *b, struct words *w, bool again)
{
	const struct graph *g = b->config->graph;
	bool one_is_enough = again || config_is_set(&graph_find(g, GRAPH_ROUTER)->settings, "min-workers");

	for (uint32_t i = 0; i < g->len; i++) {
		const struct graph_service *s = &g->services[i];
		uint32_t needs = b->config->keep_going ? 0 : one_is_enough ? 1 : s->workers;

		if (s->kind == GRAPH_WORKER && s->workers)
			word_flag(w, b->config->frontend, "expect",
				arena_printf(w->arena, "%s=%u", s->served_name, needs));
	}
}

/* Templates that the graph gives to models; deployment_check_templates saw that a name has one only. */
static void templates_name(struct builder *b, struct words *w)
{
	const struct graph *g = b->config->graph;

	for (uint32_t i = 0; i < g->len; i++) {
		const char *file = deployment_template_file(&g->services[i]);

		if (file && g->services[i].workers)
			word_flag(w, b->config->frontend, "chat-template",
				arena_printf(w->arena, "%s=%s", g->services[i].served_name, file));
	}
}

/* again: a frontend that is started anew in a deployment that was ready. One worker that is down then must not keep it from
 * saying that it is. */
static const char *const *frontend_words(struct builder *b, bool again)
{
	static const char *const decided[] = {"host", "port", "reuse-port", "drain-timeout", NULL};
	const struct flags_command *spec = b->config->frontend;
	const struct graph_service *front = graph_find(b->config->graph, GRAPH_FRONTEND),
				   *processor = graph_find(b->config->graph, GRAPH_PROCESSOR),
				   *router = graph_find(b->config->graph, GRAPH_ROUTER);
	struct words w = {.arena = &b->d->arena};
	char number[24];

	word(&w, "stator");
	word(&w, "frontend");
	word(&w, "--listen=fd:%d", CHILD_LISTEN_FD);
	if (config_bool(&front->settings, "reuse-port"))
		word_flag(&w, spec, "reuse-port", "true");
	word_flag(&w, spec, "listen-name", config_str(&front->settings, "host"));
	snprintf(number, sizeof number, "%d", CHILD_STATUS_FD);
	word_flag(&w, spec, "status-fd", number);
	word_flag(&w, spec, "workers", buf_str(&b->sockets));
	if (b->vocabularies)
		word_flag(&w, spec, "preload", b->vocabularies);
	/* Ready means that requests can go to every worker, unless the user is content with less. */
	snprintf(number, sizeof number, "%u", b->config->keep_going || again ? 1 : b->d->workers);
	if (config_is_set(&router->settings, "min-workers"))
		b->d->waits_for_others = config_uint(&router->settings, "min-workers") > b->d->workers;
	else
		word_flag(&w, spec, "min-workers", number);
	models_expect(b, &w, again);
	templates_name(b, &w);
	word_flag(&w, spec, "router", graph_router_mode(b->config->graph));
	word_flag(&w, spec, "kv-secret-file", arena_printf(&b->d->arena, "%s/secret", b->config->dir));
	word_flag(&w, spec, "drain-timeout", arena_printf(&b->d->arena, "%ums", b->config->drain_ms));
	word_settings(&w, spec, &front->settings, decided);
	word_settings(&w, spec, &processor->settings, (const char *const[]){"router", "model", NULL});
	word_settings(
		&w, spec, &router->settings, (const char *const[]){"router", "mode", "model", "block-size", NULL});
	return words_take(&w);
}

static int frontend_fill(struct builder *b)
{
	struct supervised *p = &b->d->processes[0];

	snprintf(p->facts, sizeof p->facts, "%s", b->config->url);
	p->process.spec.listen_fd = b->config->listen_fd;
	p->process.spec.argv = frontend_words(b, false);
	b->d->frontend_again = frontend_words(b, true);
	p->process.spec.envs = envs_of(&b->d->arena, graph_find(b->config->graph, GRAPH_FRONTEND));
	if (!p->process.spec.argv || !b->d->frontend_again || !p->process.spec.envs)
		return -ENOMEM;
	/* It computes nothing, yet llama.cpp, asked for a vocabulary, would take half a GiB of every GPU it sees. */
	return env_lead(b, p, "CUDA_VISIBLE_DEVICES=");
}

/* The whole. */

static int workers_count(struct builder *b, struct err *err)
{
	const struct graph *g = b->config->graph;
	uint32_t workers = 0;
	int r;

	for (uint32_t i = 0; i < g->len; i++) {
		const struct graph_service *s = &g->services[i];

		if (s->kind != GRAPH_WORKER || s->workers == 0)
			continue;
		if ((r = deployment_check_service(b->config, s, err)) < 0)
			return r;
		workers += s->workers;
		b->llama_workers += s->engine == GRAPH_ENGINE_LLAMA ? s->workers : 0;
		if (!b->d->model)
			b->d->chats = deployment_has_template(b->config, s);
		b->d->model = b->d->model ? b->d->model : s->served_name;
		if (workers > WORKERS_MAX)
			return err_set(
				err, -E2BIG, "%u workers are more than one frontend serves (%d)", workers, WORKERS_MAX);
	}
	if (workers == 0)
		return err_set(err, -EINVAL, "there is no worker to start: ServiceArgs.workers of each service is 0");
	b->d->workers = workers;
	return 0;
}

/* "demo on 2 llama workers", one for each model and engine. */
static void title_models(const struct builder *b, struct buf *out)
{
	const struct graph *g = b->config->graph;

	for (uint32_t i = 0; i < g->len; i++) {
		const struct graph_service *s = &g->services[i];
		uint32_t workers = 0;
		bool told = s->kind != GRAPH_WORKER || s->workers == 0;

		for (uint32_t k = 0; k < g->len && !told; k++) {
			const struct graph_service *o = &g->services[k];
			bool same = o->kind == GRAPH_WORKER && o->engine == s->engine &&
				    strcmp(o->served_name, s->served_name) == 0;

			told = same && o->workers && k < i;
			workers += same ? o->workers : 0;
		}
		if (!told)
			buf_printf(out, "%s%s on %u %s worker%s", out->len ? ", " : "", s->served_name, workers,
				graph_engine_name(s->engine), workers == 1 ? "" : "s");
	}
}

static const char *title_make(const struct builder *b)
{
	const struct cores *c = b->config->cores;
	uint32_t cpus = c->quota && c->quota < c->count ? c->quota : c->count;
	struct buf models;

	buf_init(&models, 64 * 1024);
	title_models(b, &models);
	const char *ret = models.failed ? NULL
					: arena_printf(&b->d->arena, "%s, %u CPU%s", buf_str(&models), cpus,
						  cpus == 1 ? "" : "s");
	buf_done(&models);
	return ret;
}

static int fill(struct builder *b, struct err *err)
{
	const struct graph *g = b->config->graph;
	int r = workers_count(b, err);

	if (r < 0)
		return r;
	b->d->processes = calloc(b->d->workers + 1, sizeof *b->d->processes);
	if (!b->d->processes)
		return err_set(err, -ENOMEM, "out of memory");
	b->d->processes[0].process.name = "frontend";
	b->d->processes[0].process.is_frontend = true;
	b->d->count = 1;
	for (uint32_t i = 0; i < g->len && r == 0; i++) {
		uint32_t first = b->d->count;

		b->name_next = 0;
		for (uint32_t k = 0; g->services[i].kind == GRAPH_WORKER && k < g->services[i].workers && r == 0; k++) {
			r = worker_add(b, &g->services[i]);
			if (r == 0 && (r = gpus_give(b, &g->services[i], &b->d->processes[b->d->count - 1], err)) < 0)
				return r;
		}
		if (r == 0 && b->d->count > first)
			r = vocabulary_note(b, &g->services[i]);
		steps_plan(b, &g->services[i], i, first);
	}
	if (r == 0)
		r = frontend_fill(b);
	if (r == 0 && !(b->d->title = title_make(b)))
		r = -ENOMEM;
	return r < 0 ? err_set(err, r, "out of memory") : 0;
}

int deployment_build(struct deployment *ret, const struct deployment_config *config, struct err *err)
{
	struct deployment d = {0};
	struct builder b = {.d = &d, .config = config, .devices = {.inventory = config->gpus}};

	arena_init(&d.arena, DEPLOYMENT_BYTES_MAX);
	buf_init(&b.sockets, WORKERS_MAX * (2 * RUNTIME_DIR_BYTES_MAX + SCREEN_NAME_BYTES + 16));
	int r = fill(&b, err);
	buf_done(&b.sockets);
	if (r == 0)
		r = deployment_check_bounds(&d, config, err);
	if (r < 0) {
		deployment_done(&d);
		return r;
	}
	*ret = d;
	return 0;
}

void deployment_done(struct deployment *d)
{
	free(d->processes);
	arena_done(&d->arena);
	*d = (struct deployment){0};
}
