/* The worker process, really started: what it tells its supervisor, and how it ends. */
#include "base/log.h"
#include "worker/worker_main.h"

#include "../lib/cmocka_all.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 20 * 1000 };

struct child {
	pid_t pid;
	int status_fd;
	char said[4096]; /* all status lines so far */
	size_t len;
};

static void start(struct child *c, const struct worker_options *o)
{
	int fds[2];

	*c = (struct child){0};
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (c->pid == 0) {
		struct worker_options mine = *o;
		struct err err;
		mine.status_fd = fds[1];
		_exit(worker_main(&mine, &err) < 0 ? 1 : 0);
	}
	close(fds[1]);
	c->status_fd = fds[0];
}

/* Read status lines until one begins with word, or the pipe ends. */
static bool hear(struct child *c, const char *word)
{
	char line[64];

	snprintf(line, sizeof line, "\n%s", word);
	for (;;) {
		if (!strncmp(c->said, word, strlen(word)) || strstr(c->said, line))
			return true;
		struct pollfd p = {.fd = c->status_fd, .events = POLLIN};
		if (poll(&p, 1, PATIENCE_MS) != 1)
			return false;
		ssize_t n = read(c->status_fd, c->said + c->len, sizeof c->said - 1 - c->len);
		if (n <= 0)
			return false;
		c->len += (size_t)n;
		c->said[c->len] = '\0';
	}
}

static int wait_exit(struct child *c)
{
	int status;

	alarm(PATIENCE_MS / 1000);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	alarm(0);
	close(c->status_fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char dir[] = "/tmp/stator-worker-XXXXXX";
static char addr[64], secret[64];

static struct worker_options mock_options(void)
{
	struct worker_options o;

	worker_options_init(&o);
	o.engine = "mock";
	o.listen = addr;
	o.kv_secret_file = secret;
	o.cells = 4096;
	return o;
}

static void it_serves_until_it_is_told_to_stop(void **state)
{
	(void)state;
	struct worker_options o = mock_options();
	struct child c;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct stat st;

	start(&c, &o);
	assert_true(hear(&c, "ready"));
	assert_non_null(strstr(c.said, "ready unix:"));
	assert_non_null(strstr(c.said, "4096 cells"));
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", addr + 5);
	assert_int_equal(stat(sun.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(kill(c.pid, SIGTERM), 0);
	assert_int_equal(wait_exit(&c), 0);
	close(fd);
}

static void expect_error(const struct worker_options *o, const char *words)
{
	struct child c;

	start(&c, o);
	assert_true(hear(&c, "error"));
	if (!strstr(c.said, words))
		fail_msg("\"%s\" does not say \"%s\"", c.said, words);
	assert_int_equal(wait_exit(&c), 1);
}

static void what_it_cannot_do_is_one_sentence_and_an_exit_status(void **state)
{
	(void)state;
	struct worker_options o = mock_options();

	o.engine = "vllm";
	expect_error(&o, "unknown engine \"vllm\"; a worker runs llama or mock");
	o = mock_options();
	o.engine = "llama";
	expect_error(&o, "a llama worker needs one");
	o.model = "/nowhere/x.gguf";
	expect_error(&o, "/nowhere/x.gguf");
	o = mock_options();
	o.listen = "127.0.0.1:0";
	expect_error(&o, "a worker on TCP needs a shared secret");
	o = mock_options();
	o.kv_secret_file = "/nowhere/secret";
	expect_error(&o, "could not open secret file \"/nowhere/secret\"");
	o = mock_options();
	o.cpus = "5-2";
	expect_error(&o, "cannot read CPUs \"5-2\"");
	o = mock_options();
	o.listen = "";
	expect_error(&o, "no address");
}

static void cpu_lists_are_read(void **state)
{
	(void)state;
	bool cpus[16];
	struct err err;

	assert_int_equal(worker_cpus_parse("0-2,8", cpus, 16, &err), 0);
	for (int i = 0; i < 16; i++)
		assert_int_equal(cpus[i], i <= 2 || i == 8);
	const char *bad[] = {"", "-1", "1-", "1,,2", "a", "3-1", "16", "1;2", "1,"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(worker_cpus_parse(bad[i], cpus, 16, &err), -EINVAL);
}

static void a_model_is_served_by_its_files_name(void **state)
{
	(void)state;
	char name[32];

	assert_string_equal(worker_served_name("/m/SmolLM2.Q4_1.gguf", name, sizeof name), "SmolLM2.Q4_1");
	assert_string_equal(worker_served_name("x", name, sizeof name), "x");
	assert_string_equal(worker_served_name(".gguf", name, sizeof name), ".gguf");
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(addr, sizeof addr, "unix:%s/w.sock", dir);
	snprintf(secret, sizeof secret, "%s/secret", dir);
	int fd = open(secret, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	bool written = fd >= 0 && write(fd, "0123\n", 5) == 5;
	close(fd);
	return written ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(secret);
	unlink(addr + 5);
	return rmdir(dir);
}

int main(void)
{
	log_setup(2, LOG_ERROR, false);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_serves_until_it_is_told_to_stop),
		cmocka_unit_test(what_it_cannot_do_is_one_sentence_and_an_exit_status),
		cmocka_unit_test(cpu_lists_are_read),
		cmocka_unit_test(a_model_is_served_by_its_files_name),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
