/* What is printed from the tables of the commands: nothing drifts, and it is well formed. */
#include "cli/command.h"
#include "cli/print.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

static void the_committed_reference_is_what_the_tables_print(void **state)
{
	(void)state;
	static char committed[PRINT_BYTES_MAX];
	FILE *f = fopen("docs/reference/cli.md", "re");
	struct buf b;

	assert_non_null(f);
	size_t len = fread(committed, 1, sizeof committed - 1, f);
	fclose(f);
	buf_init(&b, PRINT_BYTES_MAX);
	print_reference(&b);
	assert_false(b.failed);
	if (len != b.len || memcmp(committed, buf_str(&b), len) != 0)
		fail_msg("docs/reference/cli.md differs from the tables: run \"make docs\"");
	buf_done(&b);
}

static void flag_is_described(const struct flags_command *c, const struct flag *f)
{
	if (!f->key.help || !*f->key.help || f->key.help[strlen(f->key.help) - 1] == '.')
		fail_msg("%s --%s: a help line has text and no full stop", c->name, f->key.name);
	if ((f->key.type == CONFIG_BOOL) != (f->arg == NULL))
		fail_msg("%s --%s: a value has a name in the help, a truth value has none", c->name, f->key.name);
	for (const struct flag *other = c->flags; other < f; other++)
		if (f->letter && f->letter == other->letter)
			fail_msg("%s: two flags have the letter %c", c->name, f->letter);
}

static void every_command_and_flag_is_described(void **state)
{
	(void)state;
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);

	for (size_t i = 0; i < count; i++) {
		assert_true(islower((unsigned char)specs[i]->summary[0]));
		assert_true(specs[i]->summary[strlen(specs[i]->summary) - 1] != '.');
		for (size_t k = 0; k < specs[i]->count; k++)
			flag_is_described(specs[i], &specs[i]->flags[k]);
	}
}

static void commands_are_found_and_near_ones_suggested(void **state)
{
	(void)state;
	struct err err;

	assert_ptr_equal(command_find("serve", &err), &command_serve);
	assert_null(command_find("srve", &err));
	assert_non_null(strstr(err.msg, "did you mean \"serve\""));
	assert_null(command_find("xylophone", &err));
	assert_null(strstr(err.msg, "did you mean"));
}

/* Let the shell itself judge, where it is installed; bash always is. */
static void script_is_well_formed(void (*print)(struct buf *), const char *shell)
{
	char path[] = "/tmp/completion-XXXXXX", command[256];
	struct buf b;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	buf_init(&b, PRINT_BYTES_MAX);
	print(&b);
	assert_false(b.failed);
	assert_non_null(strstr(buf_str(&b), "least-loaded"));
	assert_int_equal(write(fd, b.data, b.len), b.len);
	close(fd);
	buf_done(&b);
	snprintf(command, sizeof command, "! command -v %s >/dev/null 2>&1 || %s -n %s", shell, shell, path);
	int status = system(command);
	unlink(path);
	assert_int_equal(status, 0);
}

static void completion_scripts_are_well_formed(void **state)
{
	(void)state;
	script_is_well_formed(print_completion_bash, "bash");
	script_is_well_formed(print_completion_zsh, "zsh");
	script_is_well_formed(print_completion_fish, "fish");
}

/* The quotes of zsh and fish are counted, for machines without these shells. */
static void single_quotes_are_balanced(void **state)
{
	(void)state;
	void (*const printers[])(struct buf *) = {print_completion_zsh, print_completion_fish};

	for (size_t i = 0; i < ARRAY_LEN(printers); i++) {
		struct buf b;
		bool inside = false;

		buf_init(&b, PRINT_BYTES_MAX);
		printers[i](&b);
		for (const char *c = buf_str(&b); *c; c++) {
			if (!inside && *c == '\\')
				c++; /* outside of quotes: what follows is text */
			else if (*c == '\'')
				inside = !inside;
		}
		assert_false(inside);
		buf_done(&b);
	}
}

static void the_man_page_names_every_command_and_has_known_requests_only(void **state)
{
	(void)state;
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);
	static const char *const requests[] = {
		".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".I", ".RI", ".RS", ".RE", ".br", ".nf", ".fi", ".\\\""};
	struct buf b;

	buf_init(&b, PRINT_BYTES_MAX);
	print_man(&b);
	for (size_t i = 0; i < count; i++)
		assert_non_null(strstr(buf_str(&b), specs[i]->name));
	for (char *line = strtok(b.data, "\n"); line; line = strtok(NULL, "\n")) {
		bool known = *line != '.' && *line != '\'';

		for (size_t i = 0; i < ARRAY_LEN(requests) && !known; i++)
			known = strncmp(line, requests[i], strlen(requests[i])) == 0;
		if (!known)
			fail_msg("not a request: %s", line);
	}
	buf_done(&b);
}

static void the_overview_lists_every_command(void **state)
{
	(void)state;
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);
	struct buf b;

	buf_init(&b, PRINT_BYTES_MAX);
	print_overview(&b);
	for (size_t i = 0; i < count; i++)
		assert_non_null(strstr(buf_str(&b), specs[i]->summary));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_committed_reference_is_what_the_tables_print),
		cmocka_unit_test(every_command_and_flag_is_described),
		cmocka_unit_test(commands_are_found_and_near_ones_suggested),
		cmocka_unit_test(completion_scripts_are_well_formed),
		cmocka_unit_test(single_quotes_are_balanced),
		cmocka_unit_test(the_man_page_names_every_command_and_has_known_requests_only),
		cmocka_unit_test(the_overview_lists_every_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
