/* Real children and the policy over them. This program is its own child: "test_supervisor child BEHAVIOUR FILE". */
#include "launch/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

/* ---- the child's side ---- */

static void say(const char *line)
{
	if (write(CHILD_STATUS_FD, line, strlen(line)) < 0)
		_exit(99);
}

/* True in the first life only: the file is its memory. */
static bool first_life(const char *file)
{
	int fd = open(file, O_CREAT | O_EXCL | O_WRONLY, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

/* Blocked, so that it cannot come between a look and a wait. */
static void block_term(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigprocmask(SIG_BLOCK, ret, NULL);
}

static void wait_term(const sigset_t *term)
{
	int signo;

	if (sigwait(term, &signo) != 0)
		_exit(97);
}

static void polite(void)
{
	say("progress 0.5 half\nprogress 1.0 whole\ninfo all is well\nready here\n");
	wait_for_ever();
}

static void deaf(void)
{
	signal(SIGTERM, SIG_IGN);
	polite();
}

static void bad(void)
{
	say("error could not load model \"x\": it is bad\n");
	fprintf(stderr, "a last word\n");
	_exit(1);
}

/* An engine whose log says why in the middle, and then goes on for longer than the last lines that are shown. */
static void no_room(void)
{
	fprintf(stderr, "Loading weights\nValueError: No available memory for the cache blocks. Try increasing it\n");
	for (int i = 0; i < 2 * TAIL_LINES; i++)
		fprintf(stderr, "  File \"x.py\", line %d, in noise\n", i);
	fprintf(stderr,
		"RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n");
	_exit(1);
}

/* What is in a stranger's file comes back in an error: a terminal command that begins with a C1 control, and a bidi mark. */
static void bad_name(void)
{
	say("error could not load \"a\xc2\x9b"
	    "31mb\xe2\x80\xae"
	    "c\"\n");
	_exit(1);
}

static void crash(void)
{
	fprintf(stderr, "about to crash\n");
	_exit(7);
}

/* Dies once after it was ready; in the second life all is well, and it tells the supervisor to stop. */
static void crash_once(const char *file)
{
	say("ready here\n");
	if (first_life(file)) {
		fprintf(stderr, "famous last words\n");
		raise(SIGKILL);
	}
	kill(getppid(), SIGINT);
	wait_for_ever();
}

/* Asks for a stop when it is ready, and for another when it is told to stop; never ends by itself. */
static void two_wishes(void)
{
	sigset_t term;

	block_term(&term);
	say("ready here\n");
	kill(getppid(), SIGINT);
	wait_term(&term);
	kill(getppid(), SIGINT);
	wait_for_ever();
}

/* The same, but it ends by itself then. */
static void one_wish(void)
{
	sigset_t term;

	block_term(&term);
	say("ready here\n");
	kill(getppid(), SIGINT);
	wait_term(&term);
	kill(getppid(), SIGTERM);
	_exit(0);
}

/* Ends another way each time: 10, 11, 12. */
static void crash_differently(const char *file)
{
	FILE *f = fopen(file, "a");
	struct stat st;

	fputc('x', f);
	fclose(f);
	stat(file, &st);
	_exit(9 + (int)st.st_size);
}

/* Starts a process of its own, whose number it leaves in FILE, and ends. */
static void leave_one(const char *file)
{
	pid_t pid = fork();

	if (pid == 0)
		wait_for_ever();
	FILE *f = fopen(file, "w");
	fprintf(f, "%d", (int)pid);
	fclose(f);
	_exit(7);
}

/* What a crash handler that starts a debugger does, gone wrong: the debugger is out of our group, stops us, and looks away.
 * Its number is in FILE; 0 when that is not allowed here. */
static void traced(const char *file)
{
	int ready[2];
	char byte = 0;

	if (pipe(ready) < 0)
		_exit(96);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		byte = ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0;
		signal(SIGTERM, SIG_IGN);
		if (write(ready[1], &byte, 1) < 0)
			_exit(96);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		_exit(96);
	FILE *f = fopen(file, "w");
	fprintf(f, "%d", byte ? (int)pid : 0);
	fclose(f);
	say("ready here\n");
	kill(getppid(), SIGINT);
	wait_for_ever();
}

/* What the child was given, to FILE, then it asks for a stop. */
static void inspect(const char *file)
{
	bool others = fcntl(CHILD_LISTEN_FD + 1, F_GETFD) >= 0 || fcntl(50, F_GETFD) >= 0;
	FILE *f = fopen(file, "w");

	fprintf(f, "group=%d stdin=%d listen=%d env=%s", getpgid(0) == getpid(), (int)read(0, &(char){0}, 1),
		fcntl(CHILD_LISTEN_FD, F_GETFD) >= 0, getenv("STATOR_TEST_ENV"));
	fprintf(f, " others=%d", others);
	fclose(f);
	say("ready here\n");
	kill(getppid(), SIGTERM);
	wait_for_ever();
}

static int child_main(const char *behaviour, const char *file)
{
	if (!strcmp(behaviour, "polite"))
		polite();
	else if (!strcmp(behaviour, "deaf"))
		deaf();
	else if (!strcmp(behaviour, "bad"))
		bad();
	else if (!strcmp(behaviour, "no-room"))
		no_room();
	else if (!strcmp(behaviour, "crash"))
		crash();
	else if (!strcmp(behaviour, "crash-once"))
		crash_once(file);
	else if (!strcmp(behaviour, "two-wishes"))
		two_wishes();
	else if (!strcmp(behaviour, "one-wish"))
		one_wish();
	else if (!strcmp(behaviour, "inspect"))
		inspect(file);
	else if (!strcmp(behaviour, "crash-differently"))
		crash_differently(file);
	else if (!strcmp(behaviour, "leave-one"))
		leave_one(file);
	else if (!strcmp(behaviour, "traced"))
		traced(file);
	else if (!strcmp(behaviour, "slow")) {
		usleep(50000);
		polite();
	} else if (!strcmp(behaviour, "bad-name"))
		bad_name();
	else if (!strcmp(behaviour, "silent"))
		wait_for_ever();
	else if (!strcmp(behaviour, "stopped"))
		raise(SIGSTOP);
	return 98;
}

/* ---- the tests ---- */

struct fixture {
	struct supervised processes[2];
	const char *argv[2][5];
	char file[64], output[64 * 1024];
	int ready; /* times on_ready was called */
	int stop_on_ready; /* signal to ourselves then */
	int end;
	bool json;
	const char *log_dir;
	uint32_t one_wish_ms, stop_ms, join_ms, quiet_ms, silence_ms, kill_ms;
	bool leaves; /* a child is left behind */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	snprintf(f->file, sizeof f->file, "/tmp/stator-supervisor-%d", (int)getpid());
	unlink(f->file);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->file);
	free(f);
	return 0;
}

static void on_ready(void *ctx, struct screen *screen, uint64_t took_us)
{
	struct fixture *f = ctx;
	(void)took_us;

	f->ready++;
	screen_line(screen, "everything is ready");
	if (f->stop_on_ready)
		raise(f->stop_on_ready);
}

static void run(struct fixture *f, const char *frontend, const char *worker)
{
	const char *behaviours[2] = {frontend, worker};
	const struct loop_config loop_config = {0};
	struct supervisor_config config = {.processes = f->processes,
		.count = 2,
		.drain_ms = 100,
		.one_wish_ms = f->one_wish_ms,
		.stop_ms = f->stop_ms,
		.join_ms = f->join_ms,
		.quiet_ms = f->quiet_ms,
		.quiet = true,
		.on_ready = on_ready,
		.ctx = f,
		.log_dir = f->log_dir};
	int out[2];
	struct err err;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fcntl(out[1], F_SETPIPE_SZ, 1 << 20); /* room for all, so that nobody need read meanwhile */
	config.fd = out[1];
	for (int i = 0; i < 2; i++) {
		const char *argv[] = {"test", "child", behaviours[i], f->file, NULL};
		struct process *p = &f->processes[i].process;

		memcpy(f->argv[i], argv, sizeof argv);
		p->name = i == 0 ? "frontend" : "mock-0";
		p->is_frontend = i == 0;
		p->start_silence_ms = f->silence_ms;
		p->kill_ms = f->kill_ms;
		p->spec.argv = f->argv[i];
		if (p->spec.listen_fd == 0)
			p->spec.listen_fd = -1;
	}
	assert_int_equal(loop_create(&config.loop, &loop_config, &err), 0);
	alarm(60); /* the deadline of every wait in here */
	f->end = supervisor_run(&config, &err);
	alarm(0);
	loop_destroy(config.loop);
	close(out[1]);
	ssize_t n = read(out[0], f->output, sizeof f->output - 1);
	f->output[n > 0 ? n : 0] = '\0';
	close(out[0]);
	if (f->leaves)
		return;
	/* No child is left, alive or dead. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static bool said(const struct fixture *f, const char *text)
{
	if (strstr(f->output, text))
		return true;
	print_message("no \"%s\" in:\n%s\n", text, f->output);
	return false;
}

static void a_signal_drains_and_nothing_is_left(void **state)
{
	struct fixture *f = *state;

	f->stop_on_ready = SIGINT;
	run(f, "polite", "polite");
	assert_int_equal(f->end, SUPERVISOR_STOPPED);
	assert_int_equal(f->ready, 1);
	assert_true(said(f, "mock-0    ready       all is well"));
	assert_true(said(f, "draining"));
}

static void a_bad_start_is_explained_and_ends_the_deployment(void **state)
{
	struct fixture *f = *state;

	run(f, "polite", "bad");
	assert_int_equal(f->end, SUPERVISOR_FAILED);
	assert_int_equal(f->ready, 0);
	assert_true(said(f, "worker mock-0: could not load model \"x\": it is bad (exit status 1 after"));
	assert_true(said(f, "    | a last word"));
}

static void an_error_cannot_write_on_the_terminal_what_it_likes(void **state)
{
	struct fixture *f = *state;

	run(f, "polite", "bad-name");
	assert_int_equal(f->end, SUPERVISOR_FAILED);
	assert_true(said(f, "could not load \"a?31mb?c\""));
	assert_null(strstr(f->output, "\xc2\x9b"));
}

static void progress_of_a_quick_start_leaves_no_lines(void **state)
{
	struct fixture *f = *state;

	f->stop_on_ready = SIGINT;
	run(f, "polite", "polite");
	assert_null(strstr(f->output, "half"));
	assert_true(said(f, "mock-0    ready       all is well"));
	f->quiet_ms = 1;
	run(f, "polite", "slow");
	assert_true(said(f, "50%  half"));
}

static void two_ends_in_the_same_way_end_the_deployment(void **state)
{
	struct fixture *f = *state;

	run(f, "polite", "crash");
	assert_int_equal(f->end, SUPERVISOR_FAILED);
	assert_true(said(f, "exit status 7; starting it again in 0.1 s"));
	assert_null(strstr(f->output, "in 0.2 s"));
	assert_true(said(f, "the deployment cannot start"));
	assert_true(said(f, "    | about to crash"));
}

static void three_ends_in_any_way_end_the_deployment(void **state)
{
	struct fixture *f = *state;

	run(f, "polite", "crash-differently");
	assert_int_equal(f->end, SUPERVISOR_FAILED);
	assert_true(said(f, "exit status 10; starting it again in 0.1 s"));
	assert_true(said(f, "exit status 11; starting it again in 0.2 s"));
	assert_true(said(f, "exit status 12; the deployment cannot start"));
}

static void a_worker_that_says_nothing_is_shown_and_then_ended(void **state)
{
	struct fixture *f = *state;

	f->silence_ms = 400;
	run(f, "polite", "silent");
	assert_int_equal(f->end, SUPERVISOR_FAILED);
	assert_true(said(f, "worker mock-0 has said nothing for 0.1 s while it starts"));
	assert_true(said(f, "worker mock-0: it said nothing for 0.4 s while it started (killed by signal 9"));
	assert_true(said(f, "the deployment cannot start"));
}

static void a_worker_that_is_stopped_while_it_starts_is_told_so(void **state)
{
	struct fixture *f = *state;

	f->silence_ms = 400;
	run(f, "polite", "stopped");
	assert_int_equal(f->end, SUPERVISOR_FAILED);
	assert_true(said(f, "while it starts: it is stopped (SIGSTOP)"));
	assert_true(said(f, "while it started: it is stopped (SIGSTOP)"));
}

static void a_frontend_that_does_not_take_the_workers_ends_the_deployment(void **state)
{
	struct fixture *f = *state;

	f->join_ms = 300;
	run(f, "silent", "polite");
	assert_int_equal(f->end, SUPERVISOR_FAILED);
	assert_true(said(f, "the frontend: it is not ready 0.3 s after all workers are"));
}

static int number_in(const char *path)
{
	FILE *file = fopen(path, "r");
	int n = -1;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &n), 1);
	fclose(file);
	return n;
}

/* True when it runs: a zombie that waits for init does not. */
static bool is_running(int pid)
{
	char path[64], state = 'Z';
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *file = fopen(path, "r");

	if (!file)
		return false;
	if (fscanf(file, "%*d %*s %c", &state) != 1)
		state = 'Z';
	fclose(file);
	return state != 'Z' && state != 'X';
}

static void what_a_worker_started_ends_with_it(void **state)
{
	struct fixture *f = *state;

	run(f, "polite", "leave-one");
	assert_int_equal(f->end, SUPERVISOR_FAILED);
	int pid = number_in(f->file);
	/* SIGKILL is sent; the kernel ends it in its own time. */
	struct pollfd ends = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	if (ends.fd >= 0) { /* else it is gone */
		assert_int_equal(poll(&ends, 1, 60 * 1000), 1);
		close(ends.fd);
	}
	assert_false(is_running(pid));
}

static void a_worker_that_a_debugger_holds_is_left_behind_in_bounded_time(void **state)
{
	struct fixture *f = *state;

	f->stop_ms = f->kill_ms = 200;
	f->leaves = true;
	run(f, "polite", "traced");
	int tracer = number_in(f->file);
	if (tracer > 0) {
		assert_int_equal(f->end, SUPERVISOR_FAILED);
		assert_true(said(f, "does not end though it was killed: process"));
		assert_true(said(f, "is tracing it, as a debugger does; it is left behind"));
		kill(tracer, SIGKILL);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	if (tracer == 0)
		skip();
}

static void a_death_is_explained_by_the_cause_in_the_middle_of_its_log(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/stator-test-XXXXXX", path[64], text[8192] = "";

	assert_non_null(mkdtemp(dir));
	f->log_dir = dir;
	run(f, "polite", "no-room");
	assert_int_equal(f->end, SUPERVISOR_FAILED);
	assert_true(said(f, "its log says why:"));
	assert_true(said(f, "root cause (capacity): weights and working memory fill the GPU"));
	assert_true(said(f, "remedy: use more GPUs"));
	assert_null(strstr(f->output, "in noise"));
	snprintf(path, sizeof path, "%s/mock-0.log", dir);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof text - 1, file) > 0);
	fclose(file);
	assert_non_null(strstr(text, "line 3, in noise"));
	assert_non_null(strstr(text, "stator: exit status 1; starting it again in 0.1 s"));
	unlink(path);
	snprintf(path, sizeof path, "%s/frontend.log", dir);
	unlink(path);
	assert_int_equal(rmdir(dir), 0);
}

static void a_worker_that_dies_is_started_again_and_its_last_lines_are_shown(void **state)
{
	struct fixture *f = *state;

	run(f, "polite", "crash-once");
	assert_int_equal(f->end, SUPERVISOR_STOPPED);
	assert_true(said(f, "killed by signal 9 (Killed); starting it again in 0.1 s; its last lines:"));
	assert_true(said(f, "    | famous last words"));
}

static void a_frontend_that_dies_is_started_again(void **state)
{
	struct fixture *f = *state;

	run(f, "crash-once", "polite");
	assert_int_equal(f->end, SUPERVISOR_STOPPED);
	assert_true(said(f, "the frontend died"));
}

static void a_frontend_that_is_deaf_is_killed_after_its_drain_time(void **state)
{
	struct fixture *f = *state;

	f->stop_on_ready = SIGTERM;
	f->stop_ms = 200;
	run(f, "deaf", "polite");
	assert_int_equal(f->end, SUPERVISOR_STOPPED);
	assert_true(said(f, "did not end within its drain time"));
}

static void a_second_signal_kills_at_once(void **state)
{
	struct fixture *f = *state;

	run(f, "two-wishes", "deaf");
	assert_int_equal(f->end, SUPERVISOR_KILLED);
	assert_true(said(f, "stopping at once"));
}

static void a_second_signal_soon_after_the_first_is_the_same_wish(void **state)
{
	struct fixture *f = *state;

	f->one_wish_ms = 3600 * 1000;
	run(f, "one-wish", "polite");
	assert_int_equal(f->end, SUPERVISOR_STOPPED);
	assert_null(strstr(f->output, "stopping at once"));
}

static void a_child_gets_what_it_needs_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	static const char *const envs[] = {"STATOR_TEST_ENV=new", NULL};
	char text[256] = "";
	int leaked = dup(1), fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setenv("STATOR_TEST_ENV", "old", 1);
	assert_true(dup2(leaked, 50) == 50); /* without CLOEXEC, as a careless parent leaves them */
	f->processes[0].process.spec.listen_fd = fd;
	f->processes[0].process.spec.envs = envs;
	run(f, "inspect", "polite");
	assert_int_equal(f->end, SUPERVISOR_STOPPED);
	FILE *file = fopen(f->file, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof text, file));
	fclose(file);
	assert_string_equal(text, "group=1 stdin=0 listen=1 env=new others=0");
	close(50);
	close(leaked);
	close(fd);
}

static void ends_are_told_in_words(void **state)
{
	(void)state;
	char text[128];

	assert_string_equal(child_end_text(3 << 8, text, sizeof text), "exit status 3");
	assert_string_equal(child_end_text(SIGKILL, text, sizeof text), "killed by signal 9 (Killed)");
	assert_string_equal(
		child_end_text(SIGABRT | 0x80, text, sizeof text), "killed by signal 6 (Aborted), core dumped");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_signal_drains_and_nothing_is_left),
		TEST(a_bad_start_is_explained_and_ends_the_deployment),
		TEST(an_error_cannot_write_on_the_terminal_what_it_likes),
		TEST(progress_of_a_quick_start_leaves_no_lines),
		TEST(two_ends_in_the_same_way_end_the_deployment),
		TEST(three_ends_in_any_way_end_the_deployment),
		TEST(a_worker_that_says_nothing_is_shown_and_then_ended),
		TEST(a_worker_that_is_stopped_while_it_starts_is_told_so),
		TEST(a_frontend_that_does_not_take_the_workers_ends_the_deployment),
		TEST(what_a_worker_started_ends_with_it),
		TEST(a_worker_that_a_debugger_holds_is_left_behind_in_bounded_time),
		TEST(a_death_is_explained_by_the_cause_in_the_middle_of_its_log),
		TEST(a_worker_that_dies_is_started_again_and_its_last_lines_are_shown),
		TEST(a_frontend_that_dies_is_started_again),
		TEST(a_frontend_that_is_deaf_is_killed_after_its_drain_time),
		TEST(a_second_signal_kills_at_once),
		TEST(a_second_signal_soon_after_the_first_is_the_same_wish),
		TEST(a_child_gets_what_it_needs_and_nothing_else),
		cmocka_unit_test(ends_are_told_in_words),
	};

	if (argc == 4 && strcmp(argv[1], "child") == 0)
		return child_main(argv[2], argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
