/* What a service manager hears. */
#include "launch/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

/* A manager's socket at addr; abstract when it begins with '@'. */
static int listen_at(const char *addr)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t len = strlen(addr);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, addr, len);
	if (*addr == '@')
		un.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&un,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*addr == '/'))),
		0);
	return fd;
}

static void heard(int fd, const char *text)
{
	char got[4096] = "";

	alarm(20);
	assert_true(recv(fd, got, sizeof got - 1, 0) >= 0);
	alarm(0);
	assert_string_equal(got, text);
}

static void a_path_and_an_abstract_address_are_told(void **state)
{
	char path[64], abstract[64];
	(void)state;

	snprintf(path, sizeof path, "/tmp/stator-notify-%d", (int)getpid());
	snprintf(abstract, sizeof abstract, "@stator-notify-%d", (int)getpid());
	const char *const addrs[] = {path, abstract};
	for (int i = 0; i < 2; i++) {
		struct notify n;
		int fd = listen_at(addrs[i]);

		setenv("NOTIFY_SOCKET", addrs[i], 1);
		notify_init(&n);
		assert_null(getenv("NOTIFY_SOCKET")); /* not for the processes we start */
		notify_send(&n, "READY=1\nSTATUS=%s", "well");
		heard(fd, "READY=1\nSTATUS=well");
		assert_int_equal(notify_watchdog_every_us(&n), 0);
		notify_done(&n);
		close(fd);
	}
	unlink(path);
}

static void without_a_manager_nothing_happens(void **state)
{
	static const char *const addrs[] = {NULL, "", "relative", "/", "@", "vsock:2:1234", "/nowhere/at/all/socket"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
		struct notify n;

		if (addrs[i])
			setenv("NOTIFY_SOCKET", addrs[i], 1);
		else
			unsetenv("NOTIFY_SOCKET");
		notify_init(&n);
		notify_send(&n, "READY=1");
		notify_done(&n);
		notify_done(&n);
	}
}

static void the_watchdog_of_another_process_is_not_ours(void **state)
{
	char pid[16];
	struct notify n;
	(void)state;

	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("NOTIFY_SOCKET", "@stator-nobody", 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	notify_init(&n);
	assert_int_equal(notify_watchdog_every_us(&n), 1500000);
	assert_null(getenv("WATCHDOG_USEC"));
	notify_done(&n);
	setenv("NOTIFY_SOCKET", "@stator-nobody", 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_init(&n);
	assert_int_equal(notify_watchdog_every_us(&n), 0);
	notify_done(&n);
}

static void a_long_message_is_cut_not_lost(void **state)
{
	char path[64], got[4096];
	struct notify n;
	(void)state;

	snprintf(path, sizeof path, "@stator-notify-long-%d", (int)getpid());
	int fd = listen_at(path);
	setenv("NOTIFY_SOCKET", path, 1);
	notify_init(&n);
	notify_send(&n, "STATUS=%03000d", 7);
	alarm(20);
	assert_int_equal(recv(fd, got, sizeof got, 0), 2047);
	alarm(0);
	notify_done(&n);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_and_an_abstract_address_are_told),
		cmocka_unit_test(without_a_manager_nothing_happens),
		cmocka_unit_test(the_watchdog_of_another_process_is_not_ours),
		cmocka_unit_test(a_long_message_is_cut_not_lost),
	};

	return cmocka_run_group_tests_name("launch/notify", tests, NULL, NULL);
}
