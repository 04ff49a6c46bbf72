#include "worker/worker_main.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "net/loop.h"
#include "worker/worker.h"
#include "worker/worker_engines.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SECRET_BYTES_MAX = 4096,
	SECRET_FILE_BYTES_MAX = 1024 * 1024, /* as the frontend takes */
	DRAIN_MS_DEFAULT = 30 * 1000,
	BLOCK_SIZE_DEFAULT = 64,
	ENGINE_STACK_BYTES = 8 * 1024 * 1024, /* llama.cpp builds graphs on it */
	CPUS_CAP = 1024,
};

struct secret {
	unsigned char bytes[SECRET_BYTES_MAX];
	size_t len;
};
struct process {
	const struct worker_options *o;
	const struct worker_engine *kind;
	char name[64], model[256];
	struct loop *loop;
	struct engine *engine;
	struct worker *worker;
	struct secret secret, kv_secret;
	FILE *steps; /* of --record-steps */
	int steps_errno; /* of the first line that could not be written; 0 none */
	struct env_job load;
	int load_code;
	atomic_bool stop; /* asked to end; the loading thread looks at it */
	int progress_told; /* percent; the loading thread's */
	uint32_t stops;
	int code; /* what worker_main returns */
	struct err err;
};

void worker_options_init(struct worker_options *o)
{
	*o = (struct worker_options){
		.status_fd = -1, .gpu_layers = -1, .drain_ms = DRAIN_MS_DEFAULT, .block_size = BLOCK_SIZE_DEFAULT};
}

/* ---- what the supervisor reads ---- */

static void PRINTF_LIKE(2, 3) tell(const struct process *p, const char *fmt, ...)
{
	char line[1200];
	va_list ap;

	if (p->o->status_fd < 0)
		return;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line - 1, fmt, ap);
	va_end(ap);
	size_t len = MIN((size_t)MAX(n, 0), sizeof line - 2);
	/* One event is one line, whatever a message holds. */
	for (size_t i = 0; i < len; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[len++] = '\n';
	/* A supervisor that is gone needs no lines. */
	ssize_t ignored = write(p->o->status_fd, line, len);
	(void)ignored;
}

static bool on_progress(void *ctx, float done)
{
	struct process *p = ctx;
	int percent = (int)(done * 100);

	if (percent > p->progress_told) {
		p->progress_told = percent;
		tell(p, "progress %.2f loading weights", (double)percent / 100);
	}
	return !atomic_load(&p->stop);
}

/* ---- set-up ---- */

int worker_cpus_parse(const char *text, bool *ret, uint32_t cap, struct err *err)
{
	memset(ret, 0, cap * sizeof *ret);
	for (const char *at = text;; at++) {
		char *end;
		unsigned long first = strtoul(at, &end, 10), last = first;
		bool number = end != at && *at >= '0' && *at <= '9';
		if (number && *end == '-') {
			at = end + 1;
			last = strtoul(at, &end, 10);
			number = end != at && *at >= '0' && *at <= '9';
		}
		if (!number || last < first || last >= cap || (*end && *end != ','))
			return err_set(err, -EINVAL,
				"cannot read CPUs \"%s\"; a list such as 0-3,8 below %u is expected", text, cap);
		for (unsigned long i = first; i <= last; i++)
			ret[i] = true;
		at = end;
		if (!*at)
			return 0;
	}
}

/* "0-1,4" for those that are set. */
static const char *cpus_text(const cpu_set_t *set, char *ret, size_t cap)
{
	size_t n = 0;

	ret[0] = '\0';
	for (int i = 0; i < CPU_SETSIZE && n + 16 < cap; i++) {
		int last = i;
		if (!CPU_ISSET(i, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		n += (size_t)snprintf(ret + n, cap - n, last > i ? "%s%d-%d" : "%s%d", n ? "," : "", i, last);
		i = last;
	}
	return ret;
}

static int set_cpus(const char *text, struct err *err)
{
	bool wanted[CPUS_CAP];
	char there_text[256];
	cpu_set_t set, there;
	int missing = 0;

	if (!text || !*text)
		return 0;
	int r = worker_cpus_parse(text, wanted, MIN((uint32_t)CPUS_CAP, (uint32_t)CPU_SETSIZE), err);
	if (r < 0)
		return r;
	if (sched_getaffinity(0, sizeof there, &there) < 0)
		return err_set_errno(err, -errno, "could not read which CPUs may be used");
	CPU_ZERO(&set);
	for (uint32_t i = 0; i < CPUS_CAP && i < CPU_SETSIZE; i++) {
		if (wanted[i] && CPU_ISSET(i, &there))
			CPU_SET(i, &set);
		missing += wanted[i] && !CPU_ISSET(i, &there);
	}
	cpus_text(&there, there_text, sizeof there_text);
	/* The kernel takes the part that is there without a word, and refuses none with "Invalid argument". */
	if (CPU_COUNT(&set) == 0)
		return err_set(err, -EINVAL, "CPUs \"%s\" names none of the CPUs there are for this process: %s", text,
			there_text);
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		return err_set_errno(err, -errno, "could not run on CPUs \"%s\"", text);
	if (missing > 0)
		log_warn("not all CPUs that were asked for are there", LOG_F("cpus", log_str(text)),
			LOG_F("there", log_str(there_text)), LOG_F("used", log_u64((uint64_t)CPU_COUNT(&set))));
	return 0;
}

const char *worker_served_name(const char *model_path, char *ret, size_t cap)
{
	const char *slash = strrchr(model_path, '/'), *base = slash ? slash + 1 : model_path;

	snprintf(ret, cap, "%.*s", (int)MIN(file_gguf_stem(base), cap - 1), base);
	return ret;
}

/* A secret is a file's first bytes without the line end that editors put there. */
static int secret_take(const char *path, const struct buf *text, struct secret *ret, struct err *err)
{
	size_t n = MIN(text->len, sizeof ret->bytes);
	struct stat st;

	memcpy(ret->bytes, buf_str(text), n);
	while (n > 0 && (ret->bytes[n - 1] == '\n' || ret->bytes[n - 1] == '\r'))
		n--;
	if (!n)
		return err_set(err, -EINVAL, "secret file \"%s\" is empty", path);
	if (stat(path, &st) == 0 && (st.st_mode & 077))
		log_warn("secret file can be read by others", LOG_F("path", log_str(path)));
	ret->len = n;
	return 0;
}

static int read_secret(const char *path, struct secret *ret, struct err *err)
{
	struct buf text;

	buf_init(&text, SECRET_FILE_BYTES_MAX);
	int r = file_read_text(&text, "secret file", path, FILE_PLAIN, err);
	if (r == 0)
		r = secret_take(path, &text, ret, err);
	if (text.data)
		explicit_bzero(text.data, text.cap);
	buf_done(&text);
	return r;
}

static int read_secrets(struct process *p, struct err *err)
{
	int r = p->o->secret_file ? read_secret(p->o->secret_file, &p->secret, err) : 0;

	if (r == 0 && p->o->kv_secret_file)
		return read_secret(p->o->kv_secret_file, &p->kv_secret, err);
	/* Alone in its KV domain: nobody else can know these hashes. */
	p->kv_secret.len = 32;
	rng_secret(p->kv_secret.bytes, p->kv_secret.len);
	return r;
}

static void name_things(struct process *p)
{
	const struct worker_options *o = p->o;

	if (o->name)
		snprintf(p->name, sizeof p->name, "%s", o->name);
	else
		snprintf(p->name, sizeof p->name, "%s-%d", o->engine, (int)getpid());
	if (o->served_name && *o->served_name)
		snprintf(p->model, sizeof p->model, "%s", o->served_name);
	else if (o->model && *o->model)
		worker_served_name(o->model, p->model, sizeof p->model);
	else
		snprintf(p->model, sizeof p->model, "%s", o->engine);
}

/* ---- life ---- */

static void end(struct process *p, int code, const struct err *err)
{
	if (p->code == 0 && code < 0) {
		p->code = code;
		p->err = *err;
	}
	loop_stop(p->loop);
}

static void on_failed(void *ctx, const struct err *err)
{
	end(ctx, err->code < 0 ? err->code : -EIO, err);
}

static void on_drained(void *ctx)
{
	end(ctx, 0, NULL);
}

/* One line a step, for stator sim --engine-model fit:FILE: the numbers of MSG_STEP, and when the step began. stdio writes
 * them a few KB at once, so that recording costs no system call a step; what is buffered is written at a clean stop. */
static void on_step(void *ctx, const struct msg_step *m, uint64_t began_us)
{
	struct process *p = ctx;

	int n = fprintf(p->steps,
		"{\"step\":%llu,\"began_us\":%llu,\"duration_us\":%llu,\"prefill_tokens\":%u,\"decode_tokens\":%u,"
		"\"context_tokens\":%llu,\"cells_used\":%u,\"cells_active\":%u,\"cells\":%u,\"running\":%u,\"waiting\":"
		"%u,"
		"\"waiting_tokens\":%llu}\n",
		(unsigned long long)m->step, (unsigned long long)began_us, (unsigned long long)m->duration_us,
		m->prefill_tokens, m->decode_tokens, (unsigned long long)m->context_tokens, m->cells_used,
		m->cells_active, m->cells, m->running, m->waiting, (unsigned long long)m->waiting_tokens);
	if (n < 0 && !p->steps_errno)
		p->steps_errno = errno;
}

static int open_steps(struct process *p, struct err *err)
{
	const char *path = p->o->record_steps;

	if (!path || !*path)
		return 0;
	int fd = file_open_output("step reports", path, err);
	if (fd < 0)
		return fd;
	if ((p->steps = fdopen(fd, "w")))
		return 0;
	close(fd);
	return err_set_errno(err, -errno, "could not write step reports to \"%s\"", path);
}

static int close_steps(struct process *p, struct err *err)
{
	FILE *f = p->steps;

	p->steps = NULL;
	if (!f)
		return 0;
	if (fclose(f) != 0 && !p->steps_errno)
		p->steps_errno = errno;
	return p->steps_errno ? err_set_errno(err, -p->steps_errno, "could not write step reports to \"%s\"",
					p->o->record_steps)
			      : 0;
}

static int serve(struct process *p, struct err *err)
{
	const struct worker_options *o = p->o;
	const struct worker_config c = {.name = p->name,
		.model = p->model,
		.role = o->role,
		.listen = o->listen,
		.secret = p->secret.len ? p->secret.bytes : NULL,
		.secret_len = p->secret.len,
		.kv_secret = p->kv_secret.bytes,
		.kv_secret_len = p->kv_secret.len,
		.sched = {.block_size = o->block_size ? o->block_size : BLOCK_SIZE_DEFAULT,
			.running_max = o->running_max,
			.deterministic = o->deterministic,
			.evict = o->evict ? kv_evict_find(o->evict) : NULL,
			.step_budget_us = o->step_budget_us},
		.send_interval_us = o->send_interval_us,
		.pid = (uint32_t)getpid(),
		.on_failed = on_failed,
		.on_drained = on_drained,
		.on_step = p->steps ? on_step : NULL,
		.ctx = p};

	return worker_create(&p->worker, loop_env(p->loop), p->engine, &c, err);
}

static void load_work(struct env_job *job)
{
	struct process *p = CONTAINER_OF(job, struct process, load);

	p->load_code = p->kind->create(&p->engine, p->o, on_progress, p, &p->err);
}

static void load_done(struct env_job *job)
{
	struct process *p = CONTAINER_OF(job, struct process, load);
	struct err err = p->err;

	if (atomic_load(&p->stop)) {
		end(p, 0, NULL);
		return;
	}
	if (p->load_code < 0 || (p->load_code = serve(p, &err)) < 0) {
		end(p, p->load_code, &err);
		return;
	}
	const struct engine_info *in = engine_info(p->engine);
	/* The cells are counted with their block size, because that is how a router sees them. */
	tell(p, "info %s", in->description);
	tell(p, "ready %s", worker_addr(p->worker));
	if (!in->prefix_copy && !in->whole_copy)
		log_warn("no prompt is reused: the state of this model cannot be kept",
			LOG_F("worker", log_str(p->name)), LOG_F("model", log_str(p->model)));
	log_info("worker ready", LOG_F("worker", log_str(p->name)), LOG_F("model", log_str(p->model)),
		LOG_F("engine", log_str(in->description)), LOG_F("kv_mib", log_u64(in->kv_bytes >> 20)),
		LOG_F("kv_tokens", log_u64(in->cells)), LOG_F("sequences", log_u64(in->seqs)),
		LOG_F("listen", log_str(worker_addr(p->worker))));
}

static void on_signal(void *ctx, int signo)
{
	struct process *p = ctx;

	if (++p->stops > 2)
		_exit(128 + signo);
	atomic_store(&p->stop, true);
	/* While it loads, the loading thread sees the flag and ends. */
	if (p->worker)
		worker_drain(p->worker, p->stops == 1 ? p->o->drain_ms : 0);
}

static int begin(struct process *p, struct err *err)
{
	const struct worker_options *o = p->o;
	const struct loop_config config = {.engine_threads = 1, .engine_stack_bytes = ENGINE_STACK_BYTES};

	if (!o->listen || !*o->listen)
		return err_set(err, -EINVAL, "no address to listen on is given: --listen unix:/PATH, or HOST:PORT");
	p->kind = worker_engine_find(o->engine, err);
	if (!p->kind)
		return -EINVAL;
	if (p->kind->needs_model && (!o->model || !*o->model))
		return err_set(err, -EINVAL, "no model is given: --model FILE.gguf; a %s worker needs one", o->engine);
	if (o->evict && !kv_evict_find(o->evict))
		return err_set(err, -EINVAL, "unknown eviction policy \"%s\"; there are lru and age-uses", o->evict);
	int r = set_cpus(o->cpus, err);
	if (r < 0 || (r = read_secrets(p, err)) < 0 || (r = open_steps(p, err)) < 0)
		return r;
	name_things(p);
	if ((r = loop_create(&p->loop, &config, err)) < 0)
		return r;
	if ((r = loop_on_signal(p->loop, SIGTERM, on_signal, p, err)) < 0 ||
		(r = loop_on_signal(p->loop, SIGINT, on_signal, p, err)) < 0)
		return r;
	p->load = (struct env_job){.work = load_work, .done = load_done};
	tell(p, "progress 0 %s", p->kind->needs_model ? "opening the model" : "starting");
	if (env_offload(loop_env(p->loop), ENV_POOL_ENGINE, &p->load) < 0)
		return err_set(err, -EAGAIN, "could not start the engine's thread");
	return 0;
}

static void finish(struct process *p)
{
	/* After a failure a step can still be out: then its memory is the kernel's to free. */
	if (p->worker && worker_is_stepping(p->worker))
		return;
	worker_destroy(p->worker);
	if (p->loop)
		loop_destroy(p->loop);
	engine_destroy(p->engine);
	explicit_bzero(&p->secret, sizeof p->secret);
	explicit_bzero(&p->kv_secret, sizeof p->kv_secret);
}

int worker_main(const struct worker_options *o, struct err *err)
{
	struct process *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->o = o;
	/* Who is told how we are starts us, and we end with it. (launch/child.c also covers a death before this line.) */
	if (o->status_fd >= 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	p->code = begin(p, &p->err);
	if (p->code == 0)
		loop_run(p->loop);
	struct err record = {0};
	int code = p->code, recorded = close_steps(p, &record);
	if (code == 0 && recorded < 0) {
		code = recorded;
		p->err = record;
	}
	if (code < 0) {
		tell(p, "error %s", p->err.msg);
		if (err)
			*err = p->err;
	}
	finish(p);
	free(p);
	return code;
}
