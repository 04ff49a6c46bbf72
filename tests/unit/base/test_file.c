/* What is no plain file is refused at once, by its kind. */
#include "base/file.h"

#include "../lib/cmocka_all.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[] = "/tmp/stator-file-XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[64];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void expect_refused(const char *path, int code, const char *words)
{
	struct err err = {0};

	alarm(20); /* a wait would be the fault */
	assert_int_equal(file_open_plain(path, NULL, &err), code);
	alarm(0);
	if (!strstr(err.msg, words) || !strstr(err.msg, path))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

static void a_plain_file_is_opened_with_its_size(void **state)
{
	uint64_t bytes = 0;
	char text[8] = "";
	(void)state;

	FILE *f = fopen(in_dir("plain"), "w");
	assert_non_null(f);
	fputs("12345", f);
	fclose(f);
	assert_int_equal(symlink("plain", in_dir("link")), 0);
	int fd = file_open_plain(in_dir("link"), &bytes, NULL);
	assert_true(fd >= 0);
	assert_int_equal(bytes, 5);
	assert_int_equal(read(fd, text, sizeof text), 5);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	unlink(in_dir("link"));
	unlink(in_dir("plain"));
}

static void a_fifo_that_nobody_writes_to_is_refused_at_once(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	expect_refused(in_dir("fifo"), -EINVAL, "is a FIFO (a named pipe), not a file");
	unlink(in_dir("fifo"));
}

static void a_socket_a_device_and_a_folder_are_named(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)state;

	snprintf(un.sun_path, sizeof un.sun_path, "%s", in_dir("socket"));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	expect_refused(in_dir("socket"), -EINVAL, "is a socket, not a file");
	close(fd);
	unlink(in_dir("socket"));
	expect_refused("/dev/zero", -EINVAL, "is a device, not a file");
	expect_refused(dir, -EISDIR, "is a folder, not a file");
	expect_refused("/nowhere/at/all", -ENOENT, "No such file");
}

static void a_part_of_a_split_model_is_called_like_the_whole(void **state)
{
	(void)state;
	assert_int_equal(file_gguf_stem("a-00001-of-00003.gguf"), 1);
	assert_int_equal(file_gguf_stem("a-00001-of-00003"), 1);
	assert_int_equal(file_gguf_stem("a-1-of-3.gguf"), strlen("a-1-of-3"));
	assert_int_equal(file_gguf_stem("-00001-of-00003.gguf"), strlen("-00001-of-00003"));
	assert_int_equal(file_gguf_stem(".gguf"), 5);
	assert_int_equal(file_gguf_stem(""), 0);
}

static int make(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int clean(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_file_is_opened_with_its_size),
		cmocka_unit_test(a_fifo_that_nobody_writes_to_is_refused_at_once),
		cmocka_unit_test(a_socket_a_device_and_a_folder_are_named),
		cmocka_unit_test(a_part_of_a_split_model_is_called_like_the_whole),
	};
	return cmocka_run_group_tests(tests, make, clean);
}
