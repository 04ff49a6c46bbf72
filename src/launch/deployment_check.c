/* deployment_check.c - see deployment_check.h. */
#include "launch/deployment_check.h"
#include "base/file.h"
#include "config/nearby.h"
#include "host/limits.h"
#include "llama/model.h"
#include "llama/template.h"
#include "model/facts.h"
#include "model/refusal.h"
#include "worker/worker_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TEMPLATE_BYTES_MAX = 1024 * 1024 }; /* as the frontend takes */

/* ---- one service ---- */

const char *deployment_model_path(const struct deployment_config *c, const struct graph_service *s)
{
	bool demo = strcmp(s->model, "demo") == 0 && s->engine == GRAPH_ENGINE_LLAMA;

	return demo ? c->demo_model : s->model;
}

static int engine_check(const struct graph *g, const struct graph_service *s, struct err *err)
{
	if (s->engine == GRAPH_ENGINE_LLAMA || s->engine == GRAPH_ENGINE_MOCK)
		return 0;
	return err_set(err, -ENOTSUP,
		"%s runs on %s, which this version does not start (its graph was read and checked); the same graph runs on engines of our own: \"stator serve %s --engine mock\" pretends to compute, and --engine llama does when its model is a GGUF file",
		s->name, graph_engine_name(s->engine), g->file);
}

/* A model that is not there, is cut short or of a kind nobody knows is worth a sentence before anything is started: what the
 * worker would say. Reads the header. */
static int model_check(const struct deployment_config *c, const struct graph_service *s, struct err *err)
{
	const char *path = deployment_model_path(c, s);

	if (s->engine != GRAPH_ENGINE_LLAMA)
		return 0;
	int fd = file_open_plain(path, NULL, err);
	if (fd < 0) {
		err_wrap(err, "could not load the model of %s", s->name);
		if (path == c->demo_model)
			err_hint(err,
				"\"make model\" in Stator's source folder fetches it; STATOR_CACHE names the folder it is looked for in");
		else if (strstr(path, ".gguf") || access(path, F_OK) == 0)
			nearby_hint(err, path, ".gguf", "a model is the path of a GGUF file, or demo");
		else
			err_hint(err, "the llama engine runs GGUF files; \"%s\" looks like the name of something else",
				path);
		return err ? err->code : -ENOENT;
	}
	close(fd);
	if (!c->look_into_models)
		return 0;
	struct ll_file_facts facts;
	if (refusal_check(path, err) == 0 && ll_file_check(path, true, &facts, err) == 0)
		return 0;
	err_wrap(err, "could not load the model of %s", s->name);
	if (err)
		err->code = -EBADMSG; /* the file is to blame, not the graph */
	return -EBADMSG;
}

/* The CPUs a service names (its key cpus) and the launcher may use: in ret, true for each; how many of each. */
static int cpus_named(const struct deployment_config *c, const struct graph_service *s, bool *ret, uint32_t *ret_there,
	uint32_t *ret_missing, struct err *err)
{
	bool wanted[CPUS_MAX];
	int r = worker_cpus_parse(config_str(&s->settings, "cpus"), wanted, CPUS_MAX, err);

	if (r < 0)
		return err_wrap(err, "%s", s->name);
	memset(ret, 0, CPUS_MAX * sizeof *ret);
	*ret_there = *ret_missing = 0;
	for (uint32_t i = 0; i < c->cores->count; i++)
		if (wanted[c->cores->cpus[i]]) {
			ret[c->cores->cpus[i]] = true;
			++*ret_there;
		}
	for (uint32_t i = 0; i < CPUS_MAX; i++)
		*ret_missing += wanted[i] && !ret[i];
	return 0;
}

static bool names_cpus(const struct graph_service *s)
{
	return s->engine == GRAPH_ENGINE_LLAMA && config_is_set(&s->settings, "cpus") &&
	       *config_str(&s->settings, "cpus");
}

static int cpus_check(const struct deployment_config *c, const struct graph_service *s, struct err *err)
{
	bool cpus[CPUS_MAX];
	uint32_t there, missing;
	struct buf text;
	int r = names_cpus(s) ? cpus_named(c, s, cpus, &there, &missing, err) : 0;

	if (r < 0 || !names_cpus(s) || there > 0)
		return r;
	buf_init(&text, 4096);
	cores_print(&text, c->cores, 0, c->cores->count);
	err_set(err, -EINVAL, "%s: cpus \"%s\" names none of the CPUs there are for this process: %s", s->name,
		config_str(&s->settings, "cpus"), buf_str(&text));
	buf_done(&text);
	return -EINVAL;
}

void deployment_cpus_text(const struct deployment_config *c, const struct graph_service *s, char *ret, size_t cap)
{
	bool cpus[CPUS_MAX];
	uint32_t there, missing;

	snprintf(ret, cap, "threads and CPUs as configured");
	if (!names_cpus(s) || cpus_named(c, s, cpus, &there, &missing, NULL) < 0 || missing == 0)
		return;
	snprintf(ret, cap, "%u of the %u CPUs of \"%.60s\" are there", there, there + missing,
		config_str(&s->settings, "cpus"));
}

const char *deployment_template_file(const struct graph_service *s)
{
	if (s->kind != GRAPH_WORKER || (s->engine != GRAPH_ENGINE_LLAMA && s->engine != GRAPH_ENGINE_MOCK))
		return NULL;
	return config_is_set(&s->settings, "chat-template-file") ? config_str(&s->settings, "chat-template-file")
								 : NULL;
}

bool deployment_has_template(const struct deployment_config *c, const struct graph_service *s)
{
	struct model_facts facts;

	return deployment_template_file(s) || model_facts_from_gguf(&facts, deployment_model_path(c, s), NULL) < 0 ||
	       facts.chat_template;
}

static int template_parse(const char *path, struct err *err)
{
	struct ll_template *t = NULL;
	struct buf text;

	buf_init(&text, TEMPLATE_BYTES_MAX);
	int r = file_read_text(&text, "", path, FILE_PLAIN, err);
	if (r == 0 && text.len == 0)
		r = err_set(err, -EINVAL, "\"%s\" is empty", path);
	else if (r == 0 && (r = ll_template_create(&t, buf_str(&text), text.len, err)) < 0)
		err_wrap(err, "\"%s\"", path);
	ll_template_destroy(t);
	buf_done(&text);
	return r;
}

/* A name has one template: the frontend knows models by their names. */
static int template_check(const struct deployment_config *c, const struct graph_service *s, struct err *err)
{
	const char *file = deployment_template_file(s);
	int r;

	if (file && strchr(s->served_name, '='))
		return err_set(err, -EINVAL,
			"%s: a model with a chat-template-file cannot be served as \"%s\", for the name has a \"=\"",
			s->name, s->served_name);
	for (uint32_t i = 0; i < c->graph->len; i++) {
		const struct graph_service *o = &c->graph->services[i];
		const char *other = deployment_template_file(o);

		if (o->kind == GRAPH_WORKER && o->workers && file && strcmp(o->served_name, s->served_name) == 0 &&
			(!other || strcmp(other, file) != 0))
			return err_set(err, -EINVAL,
				"%s and %s serve one model, \"%s\", and have different chat-template-files", s->name,
				o->name, s->served_name);
	}
	if (!file || (r = template_parse(file, err)) == 0)
		return 0;
	err_wrap(err, "could not use the chat template of %s", s->name);
	return r;
}

int deployment_check_service(const struct deployment_config *c, const struct graph_service *s, struct err *err)
{
	int r = engine_check(c->graph, s, err);

	if (r == 0)
		r = model_check(c, s, err);
	if (r == 0)
		r = cpus_check(c, s, err);
	return r < 0 ? r : template_check(c, s, err);
}

/* ---- all processes together ---- */

enum {
	FILES_EACH =
		3, /* the supervisor's, for each process: its status and its log, and the file that keeps the log */
	FILES_BESIDE = 32,
	THREADS_EACH = 3, /* beside compute threads: the loop's, the engine's, one that looks up names */
	ARGUMENT_BYTES_MAX = 128 * 1024, /* Linux: MAX_ARG_STRLEN, of one argument */
};
/* What a process takes that has loaded nothing. Measured: a mock worker 4 MiB, a frontend 25. */
static const uint64_t process_bytes = 4ull << 20;

static int files_check(const struct deployment *d, struct err *err)
{
	struct rlimit r;
	uint64_t need = (uint64_t)d->count * FILES_EACH + FILES_BESIDE;

	/* The soft limit is raised to the hard one before they start. */
	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_max == RLIM_INFINITY || r.rlim_max >= need)
		return 0;
	err_set(err, -E2BIG,
		"%u processes need %llu open files in the supervisor (%d each, and %d), and %llu are allowed", d->count,
		(unsigned long long)need, FILES_EACH, FILES_BESIDE, (unsigned long long)r.rlim_max);
	return err_hint(err,
		"raise the hard limit (ulimit -Hn, LimitNOFILE= of a unit), or start %llu workers or fewer",
		(unsigned long long)(r.rlim_max > FILES_BESIDE + 2 * FILES_EACH
					     ? (r.rlim_max - FILES_BESIDE) / FILES_EACH - 1
					     : 1));
}

/* Threads count as processes, in control groups and for RLIMIT_NPROC. */
static int pids_check(const struct deployment *d, uint64_t threads, struct err *err)
{
	uint64_t room = cgroup_pids_room("");

	if (threads <= room)
		return 0;
	err_set(err, -E2BIG,
		"%u processes have %llu threads at least, and the control group (pids.max) has room for %llu", d->count,
		(unsigned long long)threads, (unsigned long long)room);
	return err_hint(
		err, "raise its limit (TasksMax= of a unit, --pids-limit of a container), or start fewer workers");
}

static int memory_check(const struct deployment *d, const struct deployment_config *c, struct err *err)
{
	uint64_t need = d->count * process_bytes;

	if (c->memory_available == 0 || need <= c->memory_available)
		return 0;
	err_set(err, -E2BIG,
		"%u processes take %llu MiB before they load anything (%llu each), and %llu MiB are available",
		d->count, (unsigned long long)(need >> 20), (unsigned long long)(process_bytes >> 20),
		(unsigned long long)(c->memory_available >> 20));
	return err_hint(err, "start fewer workers");
}

static int arguments_check(const struct deployment *d, struct err *err)
{
	for (const char *const *a = d->processes[0].process.spec.argv; *a; a++)
		if (strlen(*a) >= ARGUMENT_BYTES_MAX)
			return err_set(err, -E2BIG,
				"the frontend's list of %u workers is longer than an argument may be (%d bytes); start fewer workers, or shorten XDG_RUNTIME_DIR",
				d->workers, ARGUMENT_BYTES_MAX);
	return 0;
}

int deployment_check_bounds(const struct deployment *d, const struct deployment_config *c, struct err *err)
{
	int r = files_check(d, err);

	if (r == 0)
		r = pids_check(d, (uint64_t)d->count * THREADS_EACH, err);
	if (r == 0)
		r = memory_check(d, c, err);
	return r < 0 ? r : arguments_check(d, err);
}
