/* Other names of models: what is read, what is refused. */
#include "frontend/alias.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"

static void an_alias_means_its_model(void **state)
{
	(void)state;
	static const char list[] = " gpt-4o = demo,fast=org/small=q4 ,, x=demo";
	char name[ALIAS_NAME_BYTES];

	assert_true(alias_find(list, "gpt-4o", name));
	assert_string_equal(name, "demo");
	assert_true(alias_find(list, "fast", name));
	assert_string_equal(name, "org/small=q4");
	assert_true(alias_find(list, "x", name));
	assert_false(alias_find(list, "demo", name));
	assert_false(alias_find(list, "gpt", name));
	assert_false(alias_find(list, "", name));
	assert_false(alias_find(NULL, "x", name));
	assert_int_equal(alias_check(list, NULL), 0);
	assert_int_equal(alias_check("", NULL), 0);
	assert_int_equal(alias_check(NULL, NULL), 0);
}

static void lists_that_are_none_are_refused(void **state)
{
	(void)state;
	static char long_name[ALIAS_NAME_BYTES + 8];
	static const struct {
		const char *list, *says;
	} tries[] = {{"demo", "ALIAS=MODEL"}, {"=demo", "ALIAS=MODEL"}, {"a=", "ALIAS=MODEL"},
		{"a= ,b=c", "ALIAS=MODEL"}, {"a=b,a=c", "twice"}, {"a=b,c=a", "alias itself"}, {"a=a", "alias itself"},
		{long_name, "ALIAS=MODEL"}};
	char name[ALIAS_NAME_BYTES];
	struct err err;

	memset(long_name, 'n', sizeof long_name - 1);
	memcpy(long_name, "a=", 2);
	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++) {
		assert_int_equal(alias_check(tries[i].list, &err), -EINVAL);
		if (!strstr(err.msg, tries[i].says))
			fail_msg("%s: %s", tries[i].list, err.msg);
	}
	/* Read all the same, one means nothing. */
	assert_false(alias_find("demo,b", "demo", name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_alias_means_its_model),
		cmocka_unit_test(lists_that_are_none_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
