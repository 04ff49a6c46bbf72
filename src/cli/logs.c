/* logs.c - stator logs: what the processes of a deployment logged. */
#include "cli/command.h"
#include "cli/deployments.h"
#include "launch/log_file.h"
#include "launch/runtime_dir.h"
#include "plan/diagnose_log.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROCESSES_MAX = 1100, NAME_BYTES = 64, READ_BYTES = 64 * 1024, LINE_BYTES_MAX = 16 * 1024 };

static const struct flag flags_table[] = {
	{.key = {.name = "follow",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "go on as lines come, until the deployment ends"},
		.letter = 'f'},
	{.key = {.name = "lines",
		 .type = CONFIG_UINT,
		 .unit = "lines",
		 .def = "0",
		 .max = 1000000000,
		 .help = "show only so many of the last lines of each process; 0: all there are"},
		.letter = 'n',
		.arg = "N"},
	{.key = {.name = "dir",
		 .type = CONFIG_STRING,
		 .help = "the runtime folder of the deployment; by default the newest that runs, or the last that "
			 "failed"},
		.arg = "FOLDER"},
};

struct source {
	char name[NAME_BYTES];
	int fd;
	ino_t inode;
	struct buf line; /* what is there of a line that has not ended */
};

struct logs {
	const struct flags *flags;
	char dir[RUNTIME_DIR_BYTES_MAX];
	struct source sources[PROCESSES_MAX];
	uint32_t count;
	const char *only; /* NULL: all, each line with its name */
	uint32_t width;
	bool failed; /* the output is gone */
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct source *)a)->name, ((const struct source *)b)->name);
}

static bool is_log(const char *name, size_t *ret_len)
{
	size_t len = strlen(name), suffix = strlen(LOG_FILE_SUFFIX);

	*ret_len = len - suffix;
	return len > suffix && *ret_len < NAME_BYTES && strcmp(name + len - suffix, LOG_FILE_SUFFIX) == 0;
}

/* The processes whose logs are there, by name. */
static int sources_list(struct logs *l, struct err *err)
{
	DIR *dir = opendir(l->dir);
	size_t len;

	if (!dir)
		return err_set_errno(err, -errno, "could not open folder \"%s\"", l->dir);
	for (struct dirent *e; (e = readdir(dir)) && l->count < PROCESSES_MAX;) {
		struct source *s = &l->sources[l->count];

		if (!is_log(e->d_name, &len) ||
			(l->only && (strlen(l->only) != len || strncmp(e->d_name, l->only, len) != 0)))
			continue;
		snprintf(s->name, sizeof s->name, "%.*s", (int)len, e->d_name);
		s->fd = -1;
		buf_init(&s->line, LINE_BYTES_MAX);
		l->width = MAX(l->width, (uint32_t)len);
		l->count++;
	}
	closedir(dir);
	qsort(l->sources, l->count, sizeof *l->sources, by_name);
	return 0;
}

/* A worker's log may quote strangers, or be another program's. */
static void line_print(struct logs *l, const struct source *s)
{
	char text[LINE_BYTES_MAX + 2];

	log_line_clean(s->line.data, s->line.len, text, sizeof text);
	int r = l->only ? printf("%s\n", text) : printf("%*s | %s\n", (int)l->width, s->name, text);

	l->failed = l->failed || r < 0;
}

static void data_print(struct logs *l, struct source *s, const char *data, size_t len)
{
	while (len > 0 && !l->failed) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;

		/* A line longer than the buffer is shown in pieces. */
		n = MIN(n, LINE_BYTES_MAX - s->line.len);
		buf_add(&s->line, data, n);
		bool ended = end && n == (size_t)(end - data);
		if (ended || s->line.len == LINE_BYTES_MAX) {
			line_print(l, s);
			buf_reset(&s->line);
		}
		data += n + ended;
		len -= n + ended;
	}
}

static void file_print(struct logs *l, struct source *s, int fd)
{
	static char data[READ_BYTES];
	ssize_t n;

	while ((n = read(fd, data, sizeof data)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			data_print(l, s, data, (size_t)n);
}

static int source_open(const struct logs *l, struct source *s, const char *suffix)
{
	char path[LOG_FILE_PATH_BYTES];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s%s", l->dir, s->name, suffix);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) { /* no log that a supervisor keeps */
		close(fd);
		return -1;
	}
	if (fd >= 0)
		s->inode = st.st_ino;
	return fd;
}

/* Go to where the last so many lines begin: count line feeds backwards. */
static void seek_last(int fd, uint64_t lines)
{
	static char data[READ_BYTES];
	off_t at = lseek(fd, 0, SEEK_END);
	uint64_t seen = 0;

	while (at > 0) {
		size_t want = (size_t)MIN(at, (off_t)sizeof data);
		ssize_t n = pread(fd, data, want, at - (off_t)want);

		for (ssize_t i = n; i-- > 0;)
			if (data[i] == '\n' && ++seen > lines) {
				lseek(fd, at - (off_t)want + i + 1, SEEK_SET);
				return;
			}
		at -= (off_t)want;
	}
	lseek(fd, 0, SEEK_SET);
}

static void source_print(struct logs *l, struct source *s)
{
	uint64_t lines = flags_uint(l->flags, "lines");
	int before = lines ? -1 : source_open(l, s, LOG_FILE_SUFFIX ".1");

	if (before >= 0) {
		file_print(l, s, before);
		close(before);
	}
	s->fd = source_open(l, s, LOG_FILE_SUFFIX);
	if (s->fd >= 0 && lines)
		seek_last(s->fd, lines);
	if (s->fd >= 0)
		file_print(l, s, s->fd);
}

/* More of a log; when it was rotated the rest of the old file, and then the new one. */
static void source_follow(struct logs *l, struct source *s)
{
	ino_t inode = s->inode;

	if (s->fd >= 0)
		file_print(l, s, s->fd);
	int fd = source_open(l, s, LOG_FILE_SUFFIX);
	if (fd < 0 || (s->fd >= 0 && s->inode == inode)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	file_print(l, s, fd);
}

/* Until the folder goes away (the deployment ended) or nobody reads us. */
static int follow(struct logs *l, struct err *err)
{
	char events[4096] __attribute__((aligned(8)));
	int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0 ||
		inotify_add_watch(fd, l->dir, IN_MODIFY | IN_CREATE | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF) < 0) {
		int r = err_set_errno(err, -errno, "could not watch \"%s\"", l->dir);
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (!l->failed && access(l->dir, F_OK) == 0) {
		struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = STDOUT_FILENO, .events = 0}};

		for (uint32_t i = 0; i < l->count; i++)
			source_follow(l, &l->sources[i]);
		fflush(stdout);
		if (poll(p, 2, 1000) < 0 && errno != EINTR)
			break;
		if (p[1].revents & POLLERR)
			break;
		if ((p[0].revents & POLLIN) && read(fd, events, sizeof events) < 0)
			break;
	}
	for (uint32_t i = 0; i < l->count; i++)
		source_follow(l, &l->sources[i]);
	close(fd);
	return 0;
}

static int dir_find(struct logs *l, struct err *err)
{
	const char *given = flags_str(l->flags, "dir");
	uint32_t running;
	bool alive;

	if (given) {
		if (snprintf(l->dir, sizeof l->dir, "%s", given) >= (int)sizeof l->dir)
			return err_set(err, -EINVAL, "the path \"%s\" is too long for a runtime folder", given);
		return 0;
	}
	int r = runtime_dir_find(l->dir, NULL, &alive, &running, err);
	if (r == 0 && running > 1) {
		struct buf list;

		buf_init(&list, 64 * 1024);
		deployments_print(&list);
		fprintf(stderr, "stator logs: %u deployments run here; this is %s, --dir names another:\n%s", running,
			l->dir, buf_str(&list));
		buf_done(&list);
	}
	if (r == 0 && !alive)
		fprintf(stderr, "stator logs: no deployment runs; these are the logs of the last that failed\n");
	return r;
}

static int logs_show(struct logs *l, struct err *err)
{
	int r = dir_find(l, err);

	if (r < 0 || (r = sources_list(l, err)) < 0)
		return r;
	if (l->count == 0 && l->only) {
		const char *wanted = l->only;
		char names[512] = "";
		size_t len = 0;

		l->only = NULL;
		sources_list(l, NULL);
		for (uint32_t i = 0; i < l->count && len < sizeof names; i++)
			len += (size_t)snprintf(
				names + len, sizeof names - len, "%s%s", i ? ", " : "", l->sources[i].name);
		return err_set(err, -ENOENT, "no process \"%s\" in this deployment; there are %s", wanted, names);
	}
	for (uint32_t i = 0; i < l->count && !l->failed; i++)
		source_print(l, &l->sources[i]);
	fflush(stdout);
	return flags_bool(l->flags, "follow") ? follow(l, err) : 0;
}

static enum exit_status logs_run(const struct flags *flags)
{
	struct logs *l = calloc(1, sizeof *l);
	struct err err = {0};
	uint32_t count;
	const char *const *args = flags_args(flags, &count);

	if (!l) {
		command_complain("logs", "out of memory");
		return EXIT_FAILED;
	}
	signal(SIGPIPE, SIG_IGN);
	l->flags = flags;
	l->only = count > 0 ? args[0] : NULL;
	int r = logs_show(l, &err);
	if (r < 0)
		command_complain("logs", "%s", err.msg);
	for (uint32_t i = 0; i < l->count; i++) {
		if (l->sources[i].fd >= 0)
			close(l->sources[i].fd);
		buf_done(&l->sources[i].line);
	}
	free(l);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

const struct command command_logs = {
	.spec = {.name = "logs",
		.args = "[WORKER]",
		.summary = "show what the processes of a running (or failed) deployment logged",
		.text = "Without WORKER the logs of all processes, one after the other, each line with its process's "
			"name. Names are "
			"those of the start-up table: frontend, llama-0, ... The logs of a deployment that failed stay "
			"until the "
			"next one starts. \"stator logs | stator diagnose -\" looks for the root cause.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table),
		.args_max = 1},
	.run = logs_run,
};
