/* Command lines: every form a flag may have, and what is printed from the tables. */
#include "config/flags.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>
#include <string.h>

static const struct flag serve_flags[] = {
	{{.name = "port", .type = CONFIG_UINT, .def = "8000", .max = 65535, .help = "port to listen on"}, 'p', "PORT",
		NULL},
	{{.name = "verbose", .type = CONFIG_BOOL, .def = "false", .help = "say more"}, 'v', NULL, NULL},
	{{.name = "quick", .type = CONFIG_BOOL, .help = "hurry"}, 'q', NULL, NULL},
	{{.name = "color", .type = CONFIG_BOOL, .def = "true", .help = "do not color"}, 0, NULL, NULL},
	{{.name = "engine", .type = CONFIG_ENUM, .choices = "llama|mock", .help = "which engine"}, 0, NULL, NULL},
	{{.name = "model-name", .type = CONFIG_STRING, .help = "name"}, 'm', "NAME", NULL},
	{{.name = "api-key", .type = CONFIG_LIST, .help = "a key; may be given several times"}, 0, "KEY", NULL},
	{{.name = "delta", .type = CONFIG_INT, .def = "5", .help = "a number that may be negative"}, 0, "N", NULL},
	{{.name = "timeout",
		 .type = CONFIG_DURATION,
		 .unit = "s",
		 .def = "2s",
		 .help = "when to give up, "
			 "which is a matter of taste and of how long a reader of a help text is willing to wait for "
			 "its end"},
		0, NULL, NULL},
	{{.name = "budget", .type = CONFIG_BYTES, .help = "memory"}, 0, NULL, NULL},
	{{.name = "share", .type = CONFIG_FLOAT, .def = "0.5", .max = 1, .help = "part"}, 0, NULL, NULL},
};
static const struct flags_command serve = {.name = "serve",
	.args = "[GRAPH.yaml]",
	.summary = "Serve a graph.",
	.text = "First paragraph.\n\n.second - with a dot",
	.flags = serve_flags,
	.count = ARRAY_LEN(serve_flags),
	.args_max = 1,
	.overrides = true};
static const struct flags_command version = {.name = "version", .args = "", .summary = "Print the version."};
static const struct flags_command *const commands[] = {&serve, &version};

static struct flags *parse(const struct flags_command *cmd, const char *line, struct err *err)
{
	static char copy[1024];
	char *argv[32], *rest = copy, *word;
	int argc = 0;
	struct flags *f = NULL;

	err_clear(err);
	snprintf(copy, sizeof copy, "%s", line);
	while ((word = strsep(&rest, " ")))
		if (*word)
			argv[argc++] = word;
	int r = flags_parse(&f, cmd, argc, argv, err);
	assert_int_equal(r, err->code);
	assert_true((r == 0) == (f != NULL));
	return f;
}

static struct flags *good(const char *line)
{
	struct err err;
	struct flags *f = parse(&serve, line, &err);

	if (!f)
		fail_msg("%s: %s", line, err.msg);
	return f;
}

static void assert_refused(const struct flags_command *cmd, const char *line, const char *msg)
{
	struct err err;
	struct flags *f = parse(cmd, line, &err);

	assert_null(f);
	assert_string_equal(err.msg, msg);
}

static void every_form_of_a_flag_sets_it(void **state UNUSED)
{
	static const char *const forms[] = {
		"--port 80", "--port=80", "-p 80", "-p80", "-vp 80", "-qvp80", "--port 1 --port 80"};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct flags *f = good(forms[i]);
		assert_int_equal(flags_uint(f, "port"), 80);
		assert_true(flags_is_set(f, "port"));
		flags_destroy(f);
	}
}

static void defaults_hold_until_a_flag_says_otherwise(void **state UNUSED)
{
	struct flags *f = good("");

	assert_int_equal(flags_uint(f, "port"), 8000);
	assert_false(flags_is_set(f, "port"));
	assert_true(flags_bool(f, "color"));
	assert_false(flags_bool(f, "quick"));
	assert_null(flags_str(f, "model-name"));
	assert_int_equal(flags_duration_us(f, "timeout"), 2000000);
	assert_true(flags_float(f, "share") == 0.5);
	flags_destroy(f);
}

static void values_of_all_types_are_read(void **state UNUSED)
{
	struct flags *f =
		good("--engine mock --model_name=a=b --delta -3 --timeout 250ms --budget 2GiB --share 1 --api-key a "
		     "--api-key=b --no-color --verbose -- --port");
	uint32_t n;

	assert_string_equal(flags_str(f, "engine"), "mock");
	assert_string_equal(flags_str(f, "model-name"), "a=b");
	assert_int_equal(flags_int(f, "delta"), -3);
	assert_int_equal(flags_duration_us(f, "timeout"), 250000);
	assert_true(flags_bytes(f, "budget") == 2ull << 30);
	assert_true(flags_float(f, "share") == 1);
	const char *const *keys = flags_list(f, "api-key", &n);
	assert_int_equal(n, 2);
	assert_string_equal(keys[0], "a");
	assert_string_equal(keys[1], "b");
	assert_false(flags_bool(f, "color"));
	assert_true(flags_bool(f, "verbose"));
	const char *const *args = flags_args(f, &n);
	assert_int_equal(n, 1);
	assert_string_equal(args[0], "--port");
	flags_destroy(f);
}

static void overrides_are_kept_in_order_and_in_one_form(void **state UNUSED)
{
	struct flags *f = good("g.yaml --A.b=1 --A.ServiceArgs.workers 2 --A.c=x=y --A.d -1");
	uint32_t n;
	const char *const *o = flags_overrides(f, &n);

	assert_int_equal(n, 4);
	assert_string_equal(o[0], "--A.b=1");
	assert_string_equal(o[1], "--A.ServiceArgs.workers=2");
	assert_string_equal(o[2], "--A.c=x=y");
	assert_string_equal(o[3], "--A.d=-1");
	assert_string_equal(flags_args(f, &n)[0], "g.yaml");
	flags_destroy(f);
}

static void mistakes_are_sentences(void **state UNUSED)
{
	assert_refused(&serve, "--prot 80", "unknown flag \"--prot\"; did you mean \"--port\"?");
	assert_refused(&serve, "--xyzzy", "unknown flag \"--xyzzy\"");
	assert_refused(&serve, "-x", "unknown flag \"-x\"");
	assert_refused(&serve, "--port", "--port needs a value: a whole number from 0 to 65535");
	assert_refused(&serve, "--port --verbose", "--port needs a value: a whole number from 0 to 65535");
	assert_refused(&serve, "--port 70000", "--port: \"70000\" is not a whole number from 0 to 65535");
	assert_refused(&serve, "--port=", "--port: a value is missing; a whole number from 0 to 65535 is accepted");
	assert_refused(
		&serve, "--engine lama", "--engine: \"lama\" is not one of llama, mock; did you mean \"llama\"?");
	assert_refused(&serve, "--no-port", "--port takes a value, so there is no --no-port");
	assert_refused(&serve, "--verbose=maybe", "--verbose: \"maybe\" is not true or false");
	assert_refused(&serve, "a b", "unexpected argument \"b\"; \"serve\" takes [GRAPH.yaml]");
	assert_refused(&version, "a", "unexpected argument \"a\"; \"version\" takes flags only");
	assert_refused(&serve, "--A.b", "\"--A.b\" needs a value: --A.b=VALUE");
	assert_refused(&version, "--A.b=1", "unknown flag \"--A.b\"");
	assert_refused(&serve, "--prot 1 --xyzzy", "unknown flag \"--prot\"; did you mean \"--port\"?");
}

static void help_is_answered_whatever_else_is_wrong(void **state UNUSED)
{
	static const char *const lines[] = {"--help", "-h", "--prot 80 --help", "a b c -h", "-vh"};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct flags *f = good(lines[i]);
		assert_true(flags_help_wanted(f));
		flags_destroy(f);
	}
}

static void commands_are_found_or_the_nearest_is_named(void **state UNUSED)
{
	struct err err;

	assert_ptr_equal(flags_command_find(commands, 2, "serve", &err), &serve);
	assert_null(flags_command_find(commands, 2, "srve", &err));
	assert_string_equal(err.msg, "unknown command \"srve\"; did you mean \"serve\"?");
	assert_null(flags_command_find(commands, 2, "dance", &err));
	assert_string_equal(err.msg, "unknown command \"dance\"");
}

static void help_text_is_printed_from_the_table(void **state UNUSED)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	flags_print_help(&serve, "stator", &b);
	assert_string_equal(buf_str(&b),
		"Serve a graph.\n"
		"\n"
		"usage: stator serve [GRAPH.yaml] [flags]\n"
		"\n"
		"First paragraph.\n"
		"\n"
		".second - with a dot\n"
		"\n"
		"flags:\n"
		"  -p, --port PORT             port to listen on (default 8000)\n"
		"  -v, --verbose               say more\n"
		"  -q, --quick                 hurry\n"
		"  --no-color                  do not color (default true)\n"
		"  --engine WORD               which engine (one of llama, mock)\n"
		"  -m, --model-name NAME       name\n"
		"  --api-key KEY               a key; may be given several times\n"
		"  --delta N                   a number that may be negative (default 5)\n"
		"  --timeout TIME              when to give up, which is a matter of taste and of how long a reader\n"
		"                              of a help text is willing to wait for its end (default 2s)\n"
		"  --budget SIZE               memory\n"
		"  --share X                   part (default 0.5)\n"
		"  --SERVICE.KEY=VALUE         set one key of the graph, for this run only\n"
		"  -h, --help                  show this\n");
	buf_done(&b);
}

static void other_forms_are_printed_from_the_table_too(void **state UNUSED)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	flags_print_commands(commands, 2, &b);
	assert_string_equal(buf_str(&b), "  serve    Serve a graph.\n  version  Print the version.\n");
	buf_reset(&b);
	flags_print_man(commands, 2, "stator", &b);
	assert_non_null(
		strstr(buf_str(&b), ".SS stator serve [GRAPH.yaml]\nServe a graph.\n.PP\nFirst paragraph.\n.PP\n"
				    "\\&.second \\- with a dot\n.TP\n.B \\-p, \\-\\-port PORT\n"));
	buf_reset(&b);
	flags_print_markdown(commands, 2, "stator", &b);
	assert_non_null(strstr(buf_str(&b), "| `-p, --port PORT` | port to listen on (default 8000) |\n"));
	assert_non_null(strstr(buf_str(&b), "## stator version\n\n`stator version`\n\nPrint the version.\n"));
	buf_done(&b);
}

/* The script is run by the shell it is for. */
static void bash_completes_commands_flags_and_choices(void **state UNUSED)
{
	static const struct {
		const char *words, *expected;
	} cases[] = {
		{"stator s", "serve"},
		{"stator serve --mo", "--model-name"},
		{"stator serve --engine l", "llama"},
		{"stator version --h", "--help"},
	};
	struct buf b, script;

	buf_init(&b, 1 << 16);
	buf_init(&script, 1 << 16);
	flags_print_bash(commands, 2, "stator", &b);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[128] = "";
		buf_reset(&script);
		buf_printf(&script,
			"bash -c '%s\nCOMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _stator; echo "
			"\"${COMPREPLY[*]}\"'",
			buf_str(&b), cases[i].words);
		FILE *p = popen(buf_str(&script), "r");
		assert_non_null(p);
		assert_non_null(fgets(got, sizeof got, p));
		assert_int_equal(pclose(p), 0);
		got[strcspn(got, "\n")] = '\0';
		assert_string_equal(got, cases[i].expected);
	}
	buf_done(&b);
	buf_done(&script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_a_flag_sets_it),
		cmocka_unit_test(defaults_hold_until_a_flag_says_otherwise),
		cmocka_unit_test(values_of_all_types_are_read),
		cmocka_unit_test(overrides_are_kept_in_order_and_in_one_form),
		cmocka_unit_test(mistakes_are_sentences),
		cmocka_unit_test(help_is_answered_whatever_else_is_wrong),
		cmocka_unit_test(commands_are_found_or_the_nearest_is_named),
		cmocka_unit_test(help_text_is_printed_from_the_table),
		cmocka_unit_test(other_forms_are_printed_from_the_table_too),
		cmocka_unit_test(bash_completes_commands_flags_and_choices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
