/* Errors read as one sentence, whatever happens to memory or length. */
#include "base/err.h"

#include <string.h>

#include "../lib/cmocka_all.h"

static void wrapping_puts_what_we_were_doing_in_front(void **state)
{
	(void)state;
	struct err err;

	assert_int_equal(err_set_errno(&err, -ENOENT, "could not open \"%s\"", "/m/q.gguf"), -ENOENT);
	assert_int_equal(err_wrap(&err, "could not load model \"%s\"", "qwen3"), -ENOENT);
	assert_string_equal(
		err.msg, "could not load model \"qwen3\": could not open \"/m/q.gguf\": No such file or directory");
}

static void a_hint_is_a_second_sentence(void **state)
{
	(void)state;
	struct err err;

	err_set(&err, -EADDRINUSE, "port %d is in use", 8000);
	assert_int_equal(err_hint(&err, "try --port %d", 0), -EADDRINUSE);
	assert_string_equal(err.msg, "port 8000 is in use; try --port 0");
}

static void a_message_that_is_too_long_says_that_it_was_cut(void **state)
{
	(void)state;
	struct err err;
	char big[2 * ERR_MSG_BYTES_MAX];

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	err_set(&err, -EINVAL, "%s", big);
	assert_int_equal(strlen(err.msg), ERR_MSG_BYTES_MAX - 1);
	assert_string_equal(err.msg + ERR_MSG_BYTES_MAX - 4, "...");
	err_wrap(&err, "reading");
	assert_memory_equal(err.msg, "reading: xxx", 12);
	assert_string_equal(err.msg + ERR_MSG_BYTES_MAX - 4, "...");
	err_hint(&err, "no room for this");
	assert_int_equal(strlen(err.msg), ERR_MSG_BYTES_MAX - 1);
}

static void no_struct_is_fine(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, -ENOMEM, "x"), -ENOMEM);
	assert_int_equal(err_set_errno(NULL, -ENOMEM, "x"), -ENOMEM);
	assert_true(err_wrap(NULL, "x") < 0);
	assert_true(err_hint(NULL, "x") < 0);
	err_clear(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrapping_puts_what_we_were_doing_in_front),
		cmocka_unit_test(a_hint_is_a_second_sentence),
		cmocka_unit_test(a_message_that_is_too_long_says_that_it_was_cut),
		cmocka_unit_test(no_struct_is_fine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
