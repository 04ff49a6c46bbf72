/* What is no plain file is refused by its kind, at once where it cannot become a text. */
#include "base/file.h"
#include "base/file_kind.h"

#include "../lib/cmocka_all.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ---- texts ---- */

static int read_text(const char *path, enum file_from from, struct buf *ret, struct err *err)
{
	*err = (struct err){0};
	buf_init(ret, 1024);
	alarm(60); /* longer than any wait there is: a wait without an end would be the fault */
	int code = file_read_text(ret, "recipe", path, from, err);
	alarm(0);
	return code;
}

static void expect_text(const char *path, enum file_from from, const char *words)
{
	struct err err;
	struct buf text;

	if (read_text(path, from, &text, &err) != 0)
		fail_msg("%s", err.msg);
	assert_string_equal(buf_str(&text), words);
	buf_done(&text);
}

static void expect_no_text(const char *path, enum file_from from, int code, const char *words)
{
	struct err err;
	struct buf text;

	assert_int_equal(read_text(path, from, &text, &err), code);
	if (!strstr(err.msg, words) || !strstr(err.msg, "recipe"))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
	buf_done(&text);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void a_text_is_read_whole_and_no_further_than_it_may_be_long(void **state)
{
	char long_text[1026];
	(void)state;

	write_text(in_dir("text"), "salt\n");
	expect_text(in_dir("text"), FILE_PLAIN, "salt\n");
	expect_text(in_dir("text"), FILE_OR_PIPE, "salt\n");
	memset(long_text, 'x', sizeof long_text);
	long_text[1025] = '\0';
	write_text(in_dir("text"), long_text);
	expect_no_text(in_dir("text"), FILE_PLAIN, -EFBIG, "is larger than 1 KiB");
	long_text[1024] = '\0';
	write_text(in_dir("text"), long_text);
	expect_text(in_dir("text"), FILE_PLAIN, long_text);
	unlink(in_dir("text"));
	expect_no_text(in_dir("text"), FILE_OR_PIPE, -ENOENT, "could not open recipe");
}

static void what_is_no_text_is_refused_whatever_may_be_piped(void **state)
{
	(void)state;
	for (int from = FILE_PLAIN; from <= FILE_OR_PIPE; from++) {
		expect_no_text(dir, from, -EISDIR, "is a folder, not a file");
		expect_no_text("/dev/zero", from, -EINVAL, "is a device, not a file");
		expect_no_text("/dev/null", from, -EINVAL, "is a device, not a file");
	}
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	expect_no_text(in_dir("fifo"), FILE_PLAIN, -EINVAL, "is a FIFO (a named pipe), not a file");
	expect_no_text(in_dir("fifo"), FILE_OR_PIPE, -ETIMEDOUT, "nobody writes to it");
	unlink(in_dir("fifo"));
	expect_no_text("-", FILE_PLAIN, -ENOENT, "could not open recipe \"-\"");
	expect_no_text("/dev/fd/977", FILE_OR_PIPE, -EBADF, "/dev/fd/977");
}

static void *write_late(void *path)
{
	int fd = open(path, O_WRONLY); /* until the reader has opened it */

	for (int i = 0; i < 3 && fd >= 0; i++)
		if (write(fd, "ab", 2) != 2)
			break;
	close(fd);
	return NULL;
}

static void a_pipe_gives_what_is_written_to_it_until_its_writer_leaves(void **state)
{
	char path[32];
	pthread_t writer;
	int ends[2];
	(void)state;

	for (int empty = 0; empty < 2; empty++) {
		assert_int_equal(pipe(ends), 0);
		assert_int_equal(write(ends[1], "pepper", 6), 6);
		if (empty) /* and its writer has left */
			assert_int_equal(read(ends[0], path, 6), 6);
		close(ends[1]);
		snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
		expect_text(path, FILE_OR_PIPE, empty ? "" : "pepper");
		assert_true(fcntl(ends[0], F_GETFD) >= 0); /* the caller's is still open */
		close(ends[0]);
	}
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	char *fifo = strdup(in_dir("fifo"));
	assert_int_equal(pthread_create(&writer, NULL, write_late, fifo), 0);
	expect_text(fifo, FILE_OR_PIPE, "ababab");
	pthread_join(writer, NULL);
	unlink(fifo);
	free(fifo);
}

/* ---- outputs ---- */

static int open_output(const char *path, struct err *err)
{
	*err = (struct err){0};
	alarm(20);
	int fd = file_open_output("the dish", path, err);
	alarm(0);
	return fd;
}

static void an_output_replaces_a_file_and_waits_for_no_reader(void **state)
{
	struct err err;
	(void)state;

	write_text(in_dir("out"), "a longer text");
	int fd = open_output(in_dir("out"), &err);
	assert_true(fd >= 0);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "new", 3), 3);
	close(fd);
	expect_text(in_dir("out"), FILE_PLAIN, "new");
	unlink(in_dir("out"));
	fd = open_output("/dev/null", &err);
	assert_true(fd >= 0);
	close(fd);

	assert_int_equal(mkfifo(in_dir("out"), 0600), 0);
	assert_int_equal(open_output(in_dir("out"), &err), -ENXIO);
	assert_non_null(strstr(err.msg, "could not write the dish to"));
	assert_non_null(strstr(err.msg, "nobody reads it"));
	int reader = open(in_dir("out"), O_RDONLY | O_NONBLOCK);
	fd = open_output(in_dir("out"), &err);
	assert_true(fd >= 0);
	close(fd);
	close(reader);
	unlink(in_dir("out"));

	assert_int_equal(open_output(dir, &err), -EISDIR);
	assert_non_null(strstr(err.msg, "is a folder, not a file"));
	assert_int_equal(open_output("/nowhere/at/all", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nowhere/at/all"));
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

static void a_file_that_is_no_model_is_called_what_it_is(void **state)
{
	(void)state;
#define HEAD(bytes) bytes, sizeof(bytes) - 1
	static const struct {
		const char *head;
		size_t len;
		const char *words; /* "": nothing is known of it */
	} table[] = {
		{HEAD("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a"), "a pointer of Git LFS: fetch"},
		{HEAD("  \r\n<!DOCTYPE html>"), "an HTML page: download it again"},
		{HEAD("\xef\xbb\xbf<?xml version=\"1.0\"?>"), "an XML document"},
		{HEAD("{\"error\":\"Repository not found\"}"), "a JSON text"},
		{HEAD("\x10\0\0\0\0\0\0\0{\"__metadata__\""), "a safetensors file: llama.cpp's convert_hf_to_gguf.py"},
		{HEAD("PK\3\4\0\0archive/data.pkl"), "a PyTorch file"},
		{HEAD("PK\3\4\0\0readme.txt"), "a zip archive: unpack"},
		{HEAD("\x1f\x8b\x08"), "packed with gzip"},
		{HEAD("\x28\xb5\x2f\xfd"), "packed with zstd"},
		{HEAD("tjgg\1\0\0\0"), "before GGUF"},
		{HEAD("\0\0\0\0\0\0\0\0"), "begins with zeros: download"},
		{HEAD("\0\0\0"), ""},
		{HEAD("Once upon a time"), ""},
		{HEAD("versions are many"), ""},
		{HEAD(""), ""},
	};
	char tar[512] = "model/";
	struct err err;

	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(file_refuse_not_gguf("/m/x.gguf", table[i].head, table[i].len, &err), -EINVAL);
		if (!strstr(err.msg, "\"/m/x.gguf\" is not a GGUF file") || !strstr(err.msg, table[i].words) ||
			!*table[i].words != !strstr(err.msg, "; it is "))
			fail_msg("%u: %s", i, err.msg);
	}
	memcpy(tar + 257, "ustar", 5);
	assert_int_equal(file_refuse_not_gguf("x", tar, sizeof tar, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "a tar archive"));
	assert_int_equal(file_refuse_gguf_version("x", 0x03000000, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "big-endian"));
	assert_int_equal(file_refuse_gguf_version("x", 1, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "version 1, and versions 2 and 3 are read; it is of 2023"));
	assert_int_equal(file_refuse_gguf_version("x", 77, &err), -ENOTSUP);
	assert_null(strchr(err.msg, ';'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_is_no_model_is_called_what_it_is),
		cmocka_unit_test(a_plain_file_is_opened_with_its_size),
		cmocka_unit_test(a_fifo_that_nobody_writes_to_is_refused_at_once),
		cmocka_unit_test(a_socket_a_device_and_a_folder_are_named),
		cmocka_unit_test(a_text_is_read_whole_and_no_further_than_it_may_be_long),
		cmocka_unit_test(what_is_no_text_is_refused_whatever_may_be_piped),
		cmocka_unit_test(a_pipe_gives_what_is_written_to_it_until_its_writer_leaves),
		cmocka_unit_test(an_output_replaces_a_file_and_waits_for_no_reader),
		cmocka_unit_test(a_part_of_a_split_model_is_called_like_the_whole),
	};
	return cmocka_run_group_tests(tests, make, clean);
}
