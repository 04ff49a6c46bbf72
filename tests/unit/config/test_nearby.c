/* What was meant by the path of a file that is not there. */
#include "config/nearby.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/stator-near-XXXXXX";
static const char *const files[] = {"SmolLM2.Q4_1.gguf", "deploy.yaml", "Notes.txt", "zz\x1b[2J.gguf"};

static const char *in_dir(const char *name)
{
	static char path[2][128];
	static int at;

	at = !at;
	snprintf(path[at], sizeof path[at], "%s/%s", dir, name);
	return path[at];
}

static int make(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		FILE *f = fopen(in_dir(files[i]), "w");
		assert_non_null(f);
		fclose(f);
	}
	return mkdir(in_dir("models"), 0700);
}

static int clean(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		unlink(in_dir(files[i]));
	rmdir(in_dir("models"));
	return rmdir(dir);
}

/* words NULL: nothing is added. */
static void check(int code, const char *path, const char *ending, const char *otherwise, const char *words)
{
	struct err err = {0};

	err_set(&err, code, "first");
	assert_int_equal(nearby_hint(&err, path, ending, otherwise), code);
	if (words ? !strstr(err.msg, words) : strcmp(err.msg, "first") != 0)
		fail_msg("of \"%s\": %s", path, err.msg);
}

static void a_name_spelt_nearly_so_is_offered(void **state)
{
	char want[128];
	(void)state;

	snprintf(want, sizeof want, "; did you mean \"%s\"?", in_dir("SmolLM2.Q4_1.gguf"));
	check(-ENOENT, in_dir("SmollM2.Q4_1.gguf"), ".gguf", "x", want);
	check(-ENOENT, in_dir("smolm2.q4-1.gguf"), NULL, "x", want);
	check(-ENOENT, in_dir("SmolLM2.Q4_1"), ".gguf", "x", want);
	snprintf(want, sizeof want, "; did you mean \"%s\"?", in_dir("deploy.yaml"));
	check(-ENOENT, in_dir("deploy.yml"), NULL, NULL, want);
	check(-ENOENT, in_dir("deploy"), NULL, NULL, want);
	check(-ENOENT, in_dir("deploy"), ".gguf", NULL, NULL); /* of another kind */
}

static void what_is_not_near_is_not_offered(void **state)
{
	(void)state;
	check(-ENOENT, in_dir("qwen.gguf"), ".gguf", "a GGUF file is wanted", "first; a GGUF file is wanted");
	check(-ENOENT, in_dir("qwen.gguf"), ".gguf", NULL, NULL);
	check(-ENOENT, in_dir("zz[2J.gguf"), ".gguf", NULL, NULL); /* not fit to be shown */
	check(-EACCES, in_dir("deploy.yml"), NULL, "x", NULL);
	check(-ENOENT, "", NULL, "x", NULL);
}

static void folders_say_what_they_hold_or_that_they_are_missing(void **state)
{
	char want[128];
	(void)state;

	snprintf(want, sizeof want, "; in it lies \"%s\"", in_dir("SmolLM2.Q4_1.gguf"));
	check(-EISDIR, dir, ".gguf", "x", want);
	check(-EISDIR, in_dir("models"), ".gguf", "a GGUF file is wanted", "first; a GGUF file is wanted");
	snprintf(want, sizeof want, "; there is no folder \"%s\"", in_dir("modles"));
	check(-ENOENT, in_dir("modles/x.gguf"), ".gguf", "x", want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_spelt_nearly_so_is_offered),
		cmocka_unit_test(what_is_not_near_is_not_offered),
		cmocka_unit_test(folders_say_what_they_hold_or_that_they_are_missing),
	};
	return cmocka_run_group_tests(tests, make, clean);
}
