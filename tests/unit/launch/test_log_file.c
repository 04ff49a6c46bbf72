/* Logs on disk: rotated, never more than two pieces; and the runtime folder that keeps them. */
#include "launch/log_file.h"
#include "launch/runtime_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

static char parent[32];

static int setup(void **state)
{
	(void)state;
	snprintf(parent, sizeof parent, "/tmp/logtest-XXXXXX");
	return mkdtemp(parent) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(parent);
}

static off_t size_of(const char *dir, const char *name)
{
	char path[LOG_FILE_PATH_BYTES];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void remove_in(const char *dir, const char *name)
{
	char path[LOG_FILE_PATH_BYTES];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
}

static void a_log_is_rotated_at_a_lines_end_and_keeps_two_pieces(void **state)
{
	struct log_file f;
	char line[1000], last = 0;
	(void)state;

	memset(line, 'x', sizeof line);
	line[sizeof line - 1] = '\n';
	log_file_open(&f, parent, "w");
	for (uint32_t i = 0; i < 3 * (LOG_FILE_BYTES_MAX / sizeof line); i++) {
		log_file_write(&f, line, 300);
		log_file_write(&f, line + 300, 700);
	}
	log_file_close(&f);
	off_t before = size_of(parent, "w.log.1"), now = size_of(parent, "w.log");
	assert_true(before > LOG_FILE_BYTES_MAX - 2000 && before <= LOG_FILE_BYTES_MAX + (off_t)sizeof line);
	assert_true(now > 0 && now <= LOG_FILE_BYTES_MAX);
	assert_int_equal(before % (off_t)sizeof line, 0);
	char path[LOG_FILE_PATH_BYTES];
	snprintf(path, sizeof path, "%s/w.log.1", parent);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	fseek(file, -1, SEEK_END);
	assert_int_equal(fread(&last, 1, 1, file), 1);
	fclose(file);
	assert_int_equal(last, '\n');
	remove_in(parent, "w.log");
	remove_in(parent, "w.log.1");
}

static void a_log_that_somebody_removed_begins_anew(void **state)
{
	struct log_file f;
	char dir[64];
	(void)state;

	log_file_open(&f, parent, "w");
	log_file_write(&f, "one\n", 4);
	remove_in(parent, "w.log");
	log_file_write(&f, "three\n", 6);
	assert_int_equal(size_of(parent, "w.log"), 6);
	log_file_close(&f);
	remove_in(parent, "w.log");
	/* And the folder with it: once that is there again. */
	snprintf(dir, sizeof dir, "%s/d", parent);
	assert_int_equal(mkdir(dir, 0700), 0);
	log_file_open(&f, dir, "w");
	remove_in(dir, "w.log");
	assert_int_equal(rmdir(dir), 0);
	log_file_write(&f, "lost\n", 5);
	assert_int_equal(mkdir(dir, 0700), 0);
	log_file_write(&f, "kept\n", 5);
	assert_int_equal(size_of(dir, "w.log"), 5);
	log_file_close(&f);
	remove_in(dir, "w.log");
	assert_int_equal(rmdir(dir), 0);
}

static void without_a_folder_there_is_no_log(void **state)
{
	struct log_file f;
	(void)state;

	log_file_open(&f, NULL, "w");
	log_file_write(&f, "x", 1);
	log_file_close(&f);
	log_file_open(&f, "/nowhere/at/all", "w");
	log_file_write(&f, "x", 1);
	log_file_close(&f);
}

static void a_deployment_that_runs_is_found_before_one_that_failed(void **state)
{
	struct runtime_dir failed, running;
	char found[RUNTIME_DIR_BYTES_MAX], path[RUNTIME_DIR_BYTES_MAX];
	struct log_file f;
	bool alive;
	uint32_t count;
	struct err err = {0};
	(void)state;

	assert_int_equal(runtime_dir_find(found, parent, &alive, &count, &err), -ENOENT);
	assert_int_equal(runtime_dir_create(&failed, parent, &err), 0);
	assert_int_equal(runtime_dir_write_secret(&failed, &err), 0);
	log_file_open(&f, failed.path, "w");
	log_file_write(&f, "x\n", 2);
	log_file_close(&f);
	snprintf(path, sizeof path, "%s", failed.path);
	assert_int_equal(runtime_dir_find(found, parent, &alive, &count, &err), 0);
	assert_true(alive);
	assert_int_equal(count, 1);
	runtime_dir_leave(&failed);
	assert_int_equal(size_of(path, "secret"), -1); /* only logs stay */
	assert_int_equal(runtime_dir_find(found, parent, &alive, &count, &err), 0);
	assert_false(alive);
	assert_string_equal(found, path);
	/* The next deployment sweeps it. */
	assert_int_equal(runtime_dir_create(&running, parent, &err), 0);
	assert_int_equal(size_of(parent, path + strlen(parent) + 1), -1);
	log_file_open(&f, running.path, "w");
	log_file_close(&f);
	assert_int_equal(runtime_dir_find(found, parent, &alive, &count, &err), 0);
	assert_true(alive);
	assert_string_equal(found, running.path);
	runtime_dir_destroy(&running);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
/* A supervisor that opens it for writing would wait for a reader. */
static void a_log_whose_name_is_a_fifo_is_not_written(void **state)
{
	char path[LOG_FILE_PATH_BYTES];
	struct log_file f;
	(void)state;

	snprintf(path, sizeof path, "%s/w.log", parent);
	for (int read_by = 0; read_by < 2; read_by++) {
		assert_int_equal(mkfifo(path, 0600), 0);
		int reader = read_by ? open(path, O_RDONLY | O_NONBLOCK) : -1; /* then it can be opened */
		alarm(20);
		log_file_open(&f, parent, "w");
		log_file_write(&f, "lost\n", 5);
		log_file_close(&f);
		alarm(0);
		char c;
		assert_true(reader < 0 || read(reader, &c, 1) <= 0);
		if (reader >= 0)
			close(reader);
		remove_in(parent, "w.log");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_log_is_rotated_at_a_lines_end_and_keeps_two_pieces),
		TEST(a_log_that_somebody_removed_begins_anew),
		TEST(a_log_whose_name_is_a_fifo_is_not_written),
		TEST(without_a_folder_there_is_no_log),
		TEST(a_deployment_that_runs_is_found_before_one_that_failed),
	};

	return cmocka_run_group_tests_name("launch/log_file", tests, NULL, NULL);
}
