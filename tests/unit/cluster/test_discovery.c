/* Which addresses are told, and when. */
#include "base/rng.h"
#include "cluster/discovery.h"
#include "cluster/retry.h"
#include "sim/env.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

struct seen {
	char log[1024];
	uint32_t no_memory; /* for so many addresses more */
};

static void note(void *ctx, char sign, const char *addr)
{
	struct seen *s = ctx;
	const char *name = strrchr(addr, '/');
	size_t at = strlen(s->log);
	snprintf(s->log + at, sizeof s->log - at, "%c%s ", sign, name ? name + 1 : addr);
}
static int on_found(void *ctx, const char *addr)
{
	struct seen *s = ctx;

	if (s->no_memory) {
		s->no_memory--;
		return -ENOMEM;
	}
	note(ctx, '+', addr);
	return 0;
}
static void on_lost(void *ctx, const char *addr)
{
	note(ctx, '-', addr);
}
static const struct discovery_handler handler = {.on_found = on_found, .on_lost = on_lost};

static struct sim *make_sim(void)
{
	struct sim_config config;
	struct sim *s;

	sim_config_default(&config, 1);
	assert_int_equal(sim_create(&s, &config, NULL), 0);
	return s;
}

static void a_static_list_is_told_once_in_a_later_turn(void **state)
{
	(void)state;
	struct sim *sim = make_sim();
	struct seen seen = {0};
	struct discovery *d;

	assert_int_equal(
		discovery_create(&d, discovery_find("static"), sim_env(sim), "a:1, b:2,,c:3", &handler, &seen, NULL),
		0);
	assert_string_equal(seen.log, "");
	sim_run_for(sim, 10000000);
	assert_string_equal(seen.log, "+a:1 +b:2 +c:3 ");
	discovery_destroy(d);
	sim_destroy(sim);
}

static void an_address_may_have_commas_and_blanks(void **state)
{
	(void)state;
	static const char *const addrs[] = {"unix:/run/my files/w,0.sock", "10.0.0.7:7000", "unix:/a\\b\tc\\"};
	struct buf list;
	char one[64];

	buf_init(&list, 4096);
	for (uint32_t i = 0; i < ARRAY_LEN(addrs); i++)
		discovery_list_add(&list, addrs[i]);
	assert_string_equal(buf_str(&list), "unix:/run/my\\ files/w\\,0.sock,10.0.0.7:7000,unix:/a\\\\b\\\tc\\\\");
	const char *at = buf_str(&list);
	for (uint32_t i = 0; i < ARRAY_LEN(addrs); i++) {
		assert_true(discovery_list_next(&at, one, sizeof one));
		assert_string_equal(one, addrs[i]);
	}
	assert_false(discovery_list_next(&at, one, sizeof one));
	at = " \t,";
	assert_false(discovery_list_next(&at, one, sizeof one));
	at = "abcdefgh,i";
	assert_true(discovery_list_next(&at, one, 4));
	assert_string_equal(one, "abc");
	assert_true(discovery_list_next(&at, one, 4));
	assert_string_equal(one, "i");
	/* Its end is found without writing anything: there may be no room any more. */
	assert_false(discovery_list_next(&at, one, 0));
	assert_string_equal(one, "i");
	buf_done(&list);

	struct sim *sim = make_sim();
	struct seen seen = {0};
	struct discovery *d;
	assert_int_equal(
		discovery_create(&d, &discovery_static, sim_env(sim), "a\\ b:1, c:2", &handler, &seen, NULL), 0);
	sim_run_for(sim, 1000);
	assert_string_equal(seen.log, "+a b:1 +c:2 ");
	discovery_destroy(d);
	sim_destroy(sim);
}

static void an_empty_list_is_refused(void **state)
{
	(void)state;
	struct sim *sim = make_sim();
	struct discovery *d;
	struct err err;

	assert_int_equal(discovery_create(&d, &discovery_static, sim_env(sim), " , ", &handler, NULL, &err), -EINVAL);
	assert_string_equal(err.msg, "could not look for workers (static \" , \"): the list of addresses is empty");
	assert_null(discovery_find("magic"));
	sim_destroy(sim);
}

static void touch(const char *dir, const char *name)
{
	char path[300];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void sockets_that_come_and_go_in_a_directory_are_told(void **state)
{
	(void)state;
	char dir[] = "/tmp/stator-discovery-XXXXXX", late[100], path[300];
	struct sim *sim = make_sim();
	struct seen seen = {0};
	struct discovery *d;

	assert_non_null(mkdtemp(dir));
	snprintf(late, sizeof late, "%s/late", dir);
	assert_int_equal(discovery_create(&d, &discovery_directory, sim_env(sim), late, &handler, &seen, NULL), 0);
	sim_run_for(sim, 1000000);
	assert_int_equal(mkdir(late, 0700), 0);
	touch(late, "w0.sock");
	touch(late, "notes.txt");
	touch(late, ".hidden.sock");
	sim_run_for(sim, DISCOVERY_POLL_US);
	assert_string_equal(seen.log, "+w0.sock ");
	touch(late, "w1.sock");
	sim_run_for(sim, DISCOVERY_POLL_US);
	assert_string_equal(seen.log, "+w0.sock +w1.sock ");
	snprintf(path, sizeof path, "%s/w0.sock", late);
	assert_int_equal(unlink(path), 0);
	sim_run_for(sim, 60000000); /* also when it has become slow */
	assert_string_equal(seen.log, "+w0.sock +w1.sock -w0.sock ");
	snprintf(path, sizeof path, "rm -r %s", dir);
	assert_int_equal(system(path), 0);
	sim_run_for(sim, DISCOVERY_POLL_SLOW_US);
	assert_string_equal(seen.log, "+w0.sock +w1.sock -w0.sock -w1.sock ");
	discovery_destroy(d);
	assert_int_equal(sim_counts(sim).timers, 0);
	sim_destroy(sim);
}

static void an_address_that_found_no_memory_is_told_again(void **state)
{
	(void)state;
	char dir[] = "/tmp/stator-discovery-XXXXXX", path[300];
	struct sim *sim = make_sim();
	struct seen fixed = {.no_memory = 2}, looked = {.no_memory = 2};
	struct discovery *a, *b;

	assert_non_null(mkdtemp(dir));
	touch(dir, "w0.sock");
	assert_int_equal(discovery_create(&a, &discovery_static, sim_env(sim), "a:1,b:2", &handler, &fixed, NULL), 0);
	assert_int_equal(discovery_create(&b, &discovery_directory, sim_env(sim), dir, &handler, &looked, NULL), 0);
	sim_run_for(sim, 10000000);
	assert_string_equal(fixed.log, "+a:1 +b:2 ");
	assert_string_equal(looked.log, "+w0.sock ");
	discovery_destroy(a);
	discovery_destroy(b);
	snprintf(path, sizeof path, "rm -r %s", dir);
	assert_int_equal(system(path), 0);
	sim_destroy(sim);
}

static void a_file_is_no_directory(void **state)
{
	(void)state;
	struct sim *sim = make_sim();
	struct discovery *d;
	struct err err;

	assert_int_equal(discovery_create(&d, &discovery_directory, sim_env(sim), "/etc/passwd", &handler, NULL, &err),
		-ENOTDIR);
	sim_destroy(sim);
}

static void retries_start_at_once_and_grow_to_a_second(void **state)
{
	(void)state;
	struct retry retry = {0};
	struct rng r;
	uint64_t sum = 0;

	rng_init(&r, 1);
	for (int i = 0; i < 30; i++) {
		uint64_t us = retry_next_us(&retry, rng_u64(&r));
		assert_true(us <= RETRY_MAX_US && us >= RETRY_FIRST_US * 3 / 4);
		assert_true(i >= RETRY_FIRST_TIMES || us <= RETRY_FIRST_US);
		assert_true(i < RETRY_FIRST_TIMES + 8 || us >= RETRY_MAX_US * 3 / 4);
		sum += i < RETRY_FIRST_TIMES ? us : 0;
	}
	assert_true(sum <= RETRY_FIRST_TIMES * RETRY_FIRST_US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_static_list_is_told_once_in_a_later_turn),
		cmocka_unit_test(an_address_may_have_commas_and_blanks),
		cmocka_unit_test(an_empty_list_is_refused),
		cmocka_unit_test(sockets_that_come_and_go_in_a_directory_are_told),
		cmocka_unit_test(an_address_that_found_no_memory_is_told_again),
		cmocka_unit_test(a_file_is_no_directory),
		cmocka_unit_test(retries_start_at_once_and_grow_to_a_second),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
