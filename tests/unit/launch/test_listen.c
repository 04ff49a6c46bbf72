/* The listening socket and the private folder of a deployment. */
#include "launch/listen.h"
#include "launch/runtime_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

static void port_0_takes_a_free_one_and_names_it(void **state)
{
	(void)state;
	char addr[LISTEN_ADDR_BYTES], url[100];
	struct err err;
	int fd = listen_open("127.0.0.1", 0, false, addr, &err);

	assert_true(fd >= 0);
	assert_memory_equal(addr, "127.0.0.1:", 10);
	assert_true(atoi(addr + 10) > 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	listen_url(addr, url, sizeof url);
	assert_memory_equal(url, "http://127.0.0.1:", 17);
	close(fd);
}

static void a_busy_port_is_named_with_a_way_out(void **state)
{
	(void)state;
	char addr[LISTEN_ADDR_BYTES], other[LISTEN_ADDR_BYTES];
	struct err err;
	int fd = listen_open("127.0.0.1", 0, false, addr, &err);

	assert_int_equal(listen_open("127.0.0.1", (uint16_t)atoi(addr + 10), false, other, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, addr + 10));
	assert_non_null(strstr(err.msg, "in use"));
	assert_non_null(strstr(err.msg, "--port 0"));
	close(fd);
}

static void a_host_that_is_more_than_one_is_told_what_to_leave_out(void **state)
{
	(void)state;
	static const struct {
		const char *host, *words;
	} table[] = {
		{"127.0.0.1:9000", "--host 127.0.0.1 --port 9000"},
		{"[::1]:80", "--host [::1] --port 80"},
		{"http://127.0.0.1", "without http:// and path"},
		{"https://0.0.0.0:443/v1", "without http:// and path"},
	};
	static const char *const others[] = {"300.1.1.1", "fe80::zz:5", "no such host", "127.0.0.1:x"};
	char addr[LISTEN_ADDR_BYTES];
	struct err err;

	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(listen_open(table[i].host, 0, false, addr, &err), -EINVAL);
		if (!strstr(err.msg, table[i].words) || !strstr(err.msg, table[i].host))
			fail_msg("%s: %s", table[i].host, err.msg);
	}
	for (uint32_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_int_equal(listen_open(others[i], 0, false, addr, &err), -EINVAL);
		assert_null(strstr(err.msg, "--host"));
	}
}

static void a_shared_port_takes_others_that_share_it_and_no_one_else(void **state)
{
	(void)state;
	char addr[LISTEN_ADDR_BYTES], other[LISTEN_ADDR_BYTES];
	struct err err;
	int a = listen_open("127.0.0.1", 0, true, addr, &err);
	uint16_t port = (uint16_t)atoi(addr + 10);
	int b = listen_open("127.0.0.1", port, true, other, &err);

	assert_true(a >= 0 && b >= 0);
	assert_string_equal(addr, other);
	assert_int_equal(listen_open("127.0.0.1", port, false, other, &err), -EADDRINUSE);
	close(a);
	close(b);
	a = listen_open("127.0.0.1", 0, false, addr, &err);
	assert_int_equal(listen_open("127.0.0.1", (uint16_t)atoi(addr + 10), true, other, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, "does not share it"));
	close(a);
}

static void brackets_around_an_address_are_forgiven(void **state)
{
	(void)state;
	char addr[LISTEN_ADDR_BYTES], bare[LISTEN_ADDR_BYTES];
	struct err err;
	int fd = listen_open("[127.0.0.1]", 0, false, addr, &err);

	assert_true(fd >= 0);
	close(fd);
	listen_bare_host("[::1]", bare);
	assert_string_equal(bare, "::1");
	listen_bare_host("[::1", bare);
	assert_string_equal(bare, "[::1");
	listen_bare_host("[]", bare);
	assert_string_equal(bare, "[]");
}

static void a_host_that_is_not_ours_is_explained(void **state)
{
	(void)state;
	char addr[LISTEN_ADDR_BYTES];
	struct err err;

	assert_true(listen_open("192.0.2.1", 0, false, addr, &err) < 0);
	assert_non_null(strstr(err.msg, "192.0.2.1"));
	assert_true(listen_open("no such host", 0, false, addr, &err) < 0);
	assert_non_null(strstr(err.msg, "no such host"));
}

static void wildcards_become_the_loopback_in_urls(void **state)
{
	(void)state;
	char url[100];

	listen_url("0.0.0.0:80", url, sizeof url);
	assert_string_equal(url, "http://127.0.0.1:80");
	listen_url("[::]:80", url, sizeof url);
	assert_string_equal(url, "http://[::1]:80");
	listen_url("10.0.0.7:80", url, sizeof url);
	assert_string_equal(url, "http://10.0.0.7:80");
}

static void the_folder_is_private_and_goes_away_with_its_files(void **state)
{
	(void)state;
	char path[128];
	struct runtime_dir d;
	struct stat st;
	struct err err;

	assert_int_equal(runtime_dir_create(&d, NULL, &err), 0);
	assert_int_equal(stat(d.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(runtime_dir_write_secret(&d, &err), 0);
	snprintf(path, sizeof path, "%s/secret", d.path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 2 * RUNTIME_SECRET_BYTES + 1);
	snprintf(path, sizeof path, "%s", d.path);
	runtime_dir_destroy(&d);
	assert_int_equal(stat(path, &st), -1);
	runtime_dir_destroy(&d);
}

/* A supervisor that was killed leaves its folder; its lock is free then. */
static void folders_of_the_dead_are_swept_and_those_of_the_living_stay(void **state)
{
	(void)state;
	char parent[] = "/tmp/rt-XXXXXX", dead[RUNTIME_DIR_BYTES_MAX];
	struct runtime_dir a, b, c;
	struct stat st;
	struct err err;

	assert_non_null(mkdtemp(parent));
	assert_int_equal(runtime_dir_create(&a, parent, &err), 0);
	assert_int_equal(runtime_dir_create(&b, parent, &err), 0);
	assert_int_equal(runtime_dir_write_secret(&a, &err), 0);
	strcpy(dead, a.path);
	close(a.lock_fd); /* what the kernel does when a process dies */
	close(a.dir_fd);
	assert_int_equal(runtime_dir_create(&c, parent, &err), 0);
	assert_int_equal(stat(dead, &st), -1);
	assert_int_equal(stat(b.path, &st), 0);
	runtime_dir_destroy(&b);
	runtime_dir_destroy(&c);
	assert_int_equal(rmdir(parent), 0);
}

static void read_file(const char *dir, const char *name, char *ret, size_t cap)
{
	char path[160];
	size_t n = 0;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "r");
	if (f) {
		n = fread(ret, 1, cap - 1, f);
		fclose(f);
	}
	ret[n] = '\0';
}

static void remove_all(const char *dir, bool folder)
{
	char command[160];

	snprintf(command, sizeof command, folder ? "rm -rf '%s'" : "rm -f '%s'/*", dir);
	assert_int_equal(system(command), 0);
}

static void what_a_cleaner_took_is_put_back(void **state)
{
	(void)state;
	char parent[] = "/tmp/rt-XXXXXX", secret[128], again[128], about[128], path[RUNTIME_DIR_BYTES_MAX];
	struct runtime_dir d, other;
	struct stat st;
	struct err err;

	assert_non_null(mkdtemp(parent));
	assert_int_equal(runtime_dir_create(&d, parent, &err), 0);
	assert_int_equal(runtime_dir_write_secret(&d, &err), 0);
	assert_int_equal(runtime_dir_keep(&d, "about", "http://127.0.0.1:8000\n", &err), 0);
	read_file(d.path, "secret", secret, sizeof secret);
	assert_int_equal(strlen(secret), 2 * RUNTIME_SECRET_BYTES + 1);
	assert_int_equal(runtime_dir_repair(&d, &err), 0);
	for (int folder = 0; folder < 2; folder++) {
		remove_all(d.path, folder);
		assert_int_equal(runtime_dir_repair(&d, &err), 3 + folder); /* lock, secret, about; and the folder */
		assert_int_equal(runtime_dir_repair(&d, &err), 0);
		read_file(d.path, "secret", again, sizeof again);
		read_file(d.path, "about", about, sizeof about);
		assert_string_equal(again, secret);
		assert_string_equal(about, "http://127.0.0.1:8000\n");
		assert_int_equal(stat(d.path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0700);
	}
	/* Its locks are held again: the next one does not sweep it. */
	assert_int_equal(runtime_dir_create(&other, parent, &err), 0);
	assert_int_equal(stat(d.path, &st), 0);
	runtime_dir_destroy(&other);
	/* A folder of that name that others may write to is not used. */
	strcpy(path, d.path);
	remove_all(d.path, true);
	assert_int_equal(mkdir(path, 0777), 0);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(runtime_dir_repair(&d, &err), -EPERM);
	runtime_dir_destroy(&d);
	assert_int_equal(rmdir(parent), 0);
}

static void those_that_run_are_listed_with_what_they_say_of_themselves(void **state)
{
	(void)state;
	char parent[] = "/tmp/rt-XXXXXX";
	struct runtime_dir d[3];
	struct runtime_found found[2];
	struct err err;

	assert_non_null(mkdtemp(parent));
	assert_int_equal(runtime_dir_list(found, 2, parent), 0);
	for (int i = 0; i < 3; i++) {
		char about[32];
		struct timespec at[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
		snprintf(about, sizeof about, "http://h:%d\033\nmore", i);
		assert_int_equal(runtime_dir_create(&d[i], parent, &err), 0);
		assert_int_equal(runtime_dir_keep(&d[i], "about", about, &err), 0);
		assert_int_equal(utimensat(AT_FDCWD, d[i].path, at, 0), 0);
	}
	/* The newest, whatever order the folder has. */
	assert_int_equal(runtime_dir_list(found, 2, parent), 3);
	assert_string_equal(found[0].about, "http://h:2?");
	assert_string_equal(found[1].about, "http://h:1?");
	assert_string_equal(found[0].path, d[2].path);
	for (int i = 0; i < 3; i++)
		runtime_dir_destroy(&d[i]);
	assert_int_equal(rmdir(parent), 0);
}

static void the_folder_itself_is_locked_as_cleaners_ask(void **state)
{
	(void)state;
	struct runtime_dir d;
	struct err err;

	assert_int_equal(runtime_dir_create(&d, NULL, &err), 0);
	int fd = open(d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
	close(fd);
	runtime_dir_destroy(&d);
}

/* A cleaner took the lock file, and then the supervisor died: the folder is old, and nobody holds it. */
static void a_folder_without_a_lock_file_is_swept_when_it_is_old(void **state)
{
	(void)state;
	char parent[] = "/tmp/rt-XXXXXX", path[RUNTIME_DIR_BYTES_MAX];
	struct timespec old[2] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};
	struct runtime_dir a, b;
	struct stat st;
	struct err err;

	assert_non_null(mkdtemp(parent));
	assert_int_equal(runtime_dir_create(&a, parent, &err), 0);
	strcpy(path, a.path);
	remove_all(path, false);
	close(a.lock_fd);
	close(a.dir_fd);
	assert_int_equal(runtime_dir_create(&b, parent, &err), 0);
	assert_int_equal(stat(path, &st), 0); /* young: it could be being made */
	runtime_dir_destroy(&b);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	assert_int_equal(runtime_dir_create(&b, parent, &err), 0);
	assert_int_equal(stat(path, &st), -1);
	runtime_dir_destroy(&b);
	assert_int_equal(rmdir(parent), 0);
}

static void a_folder_that_cannot_be_made_is_explained(void **state)
{
	(void)state;
	struct runtime_dir d;
	struct err err;

	assert_true(runtime_dir_create(&d, "/nowhere/at/all", &err) < 0);
	assert_non_null(strstr(err.msg, "/nowhere/at/all"));
	assert_int_equal(
		runtime_dir_create(&d, "/a/path/that/is/much/too/long/for/the/path/of/a/unix/socket/in/it", &err),
		-ENAMETOOLONG);
}

static void a_socket_in_the_file_system_is_for_its_user_alone(void **state)
{
	(void)state;
	char dir[] = "/tmp/stator-listen-XXXXXX", host[64], addr[LISTEN_ADDR_BYTES], url[LISTEN_ADDR_BYTES + 16];
	struct stat st;
	struct err err;

	assert_non_null(mkdtemp(dir));
	snprintf(host, sizeof host, "unix:%s/s", dir);
	int fd = listen_open(host, 80, false, addr, &err);
	assert_true(fd >= 0);
	assert_string_equal(addr, host);
	listen_url(addr, url, sizeof url);
	assert_string_equal(url, host);
	assert_int_equal(stat(host + 5, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* Not twice, not in place of another file, not where it cannot be; a dead one is replaced. */
	assert_int_equal(listen_open(host, 80, false, addr, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, "another process listens"));
	close(fd);
	fd = listen_open(host, 80, false, addr, &err);
	assert_true(fd >= 0);
	close(fd);
	unlink(host + 5);
	FILE *f = fopen(host + 5, "w");
	fclose(f);
	assert_int_equal(listen_open(host, 80, false, addr, &err), -EEXIST);
	unlink(host + 5);
	assert_int_equal(listen_open(host, 80, true, addr, &err), -EINVAL);
	assert_int_equal(listen_open("unix:s", 80, false, addr, &err), -EINVAL);
	assert_true(listen_open("unix:/no/such/folder/s", 80, false, addr, &err) < 0);
	static char long_host[200] = "unix:/";
	memset(long_host + 6, 'x', sizeof long_host - 7);
	assert_int_equal(listen_open(long_host, 80, false, addr, &err), -ENAMETOOLONG);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_in_the_file_system_is_for_its_user_alone),
		cmocka_unit_test(port_0_takes_a_free_one_and_names_it),
		cmocka_unit_test(a_busy_port_is_named_with_a_way_out),
		cmocka_unit_test(a_host_that_is_more_than_one_is_told_what_to_leave_out),
		cmocka_unit_test(a_shared_port_takes_others_that_share_it_and_no_one_else),
		cmocka_unit_test(brackets_around_an_address_are_forgiven),
		cmocka_unit_test(a_host_that_is_not_ours_is_explained),
		cmocka_unit_test(wildcards_become_the_loopback_in_urls),
		cmocka_unit_test(the_folder_is_private_and_goes_away_with_its_files),
		cmocka_unit_test(folders_of_the_dead_are_swept_and_those_of_the_living_stay),
		cmocka_unit_test(what_a_cleaner_took_is_put_back),
		cmocka_unit_test(those_that_run_are_listed_with_what_they_say_of_themselves),
		cmocka_unit_test(the_folder_itself_is_locked_as_cleaners_ask),
		cmocka_unit_test(a_folder_without_a_lock_file_is_swept_when_it_is_old),
		cmocka_unit_test(a_folder_that_cannot_be_made_is_explained),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
