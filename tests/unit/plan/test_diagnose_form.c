/* The forms in which logs arrive: what is recognised, and that a log in another form says what it says as text. */
#include "plan/diagnose_form.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/diagnose_catalogue.h"

enum { TEXT_BYTES_MAX = 1 << 16 };

static const char sample[] =
	"(Worker pid=7) INFO 11-30 10:00:01 [zork.py:12] the table of the zork is being made ready for a model of seven "
	"layers and no heads\n"
	"(Worker pid=7) ERROR 11-30 10:00:02 [core.py:99] ValueError: No available memory for the cache blocks. Try "
	"increasing `gpu_memory_utilization` when initializing the engine.\n"
	"(Worker pid=7) INFO 11-30 10:00:03 [zork.py:40] and the remaining rows of it are put where nobody will ever look\n"
	"short\n"
	"(Worker pid=7) ERROR 11-30 10:00:04 [core.py:101] zork.FluxError: gr\xc3\xbc\xc3\x9f"
	"e from a flux that is low\n";

/* The findings of a log in this form, read in pieces, as JSON. */
static void findings_of(const char *text, size_t len, size_t piece, struct buf *ret)
{
	struct diagnosis *d = NULL;
	struct log_reader *r = NULL;
	struct findings f;

	assert_int_equal(diagnosis_create(&d, catalogue, NULL), 0);
	struct diagnosed_log *log = diagnosis_log(d, "x.log");
	assert_int_equal(log_reader_create(&r, log, text, len, NULL), 0);
	for (size_t at = 0; at < len; at += piece)
		log_reader_feed(r, text + at, MIN(piece, len - at));
	log_reader_end(r);
	findings_init(&f);
	diagnosis_conclude(d, NULL, NULL, &f);
	buf_init(ret, 1 << 20);
	diagnosis_json(diagnosis_verdict(d, NULL, &f), &f, ret);
	for (uint32_t i = 0; i < f.len; i++)
		buf_printf(ret, "%s\n", f.items[i].evidence);
	buf_printf(ret, "%llu lines", (unsigned long long)diagnosed_log_lines(log));
	findings_done(&f);
	log_reader_destroy(r);
	diagnosis_destroy(d);
}

static size_t to_utf16(const char *text, bool little, bool mark, char *ret)
{
	size_t n = 0;

	for (size_t i = 0; text[i] || i == 0;) {
		uint32_t c = (unsigned char)text[i++];

		if (c >= 0xc0)
			c = (c & 0x1f) << 6 | ((unsigned char)text[i++] & 0x3f);
		if (n == 0 && mark) {
			ret[n++] = little ? '\xff' : '\xfe';
			ret[n++] = little ? '\xfe' : '\xff';
		}
		ret[n++] = (char)(little ? c & 0xff : c >> 8);
		ret[n++] = (char)(little ? c >> 8 : c & 0xff);
	}
	return n;
}

static void utf16_says_the_same(void **state)
{
	char text[2 * sizeof sample + 10];
	struct buf want, got;
	(void)state;

	findings_of(sample, strlen(sample), 1000, &want);
	assert_non_null(strstr(buf_str(&want), "\"verdict\": \"failed\""));
	for (int k = 0; k < 4; k++)
		for (size_t piece = 1; piece < 2000; piece = piece * 3 + 4) {
			size_t len = to_utf16(sample, k & 1, k & 2, text);

			findings_of(text, len, piece, &got);
			assert_string_equal(buf_str(&got), buf_str(&want));
			buf_done(&got);
		}
	buf_done(&want);
}

/* As a terminal shows it: at most so many columns; at_words: broken behind a blank, which is kept or lost. */
static size_t wrap(const char *text, uint32_t width, bool at_words, bool keep, char *ret)
{
	size_t n = 0;

	while (*text) {
		size_t len = strcspn(text, "\n"), take = 0, wide = 0;

		while (take < len && wide < width) {
			take++;
			while (((unsigned char)text[take] & 0xc0) == 0x80)
				take++;
			wide++;
		}
		if (at_words && take < len) {
			/* A lost blank takes no column. */
			size_t blank = take + (!keep && text[take] == ' ');

			while (blank > 0 && text[blank - 1] != ' ')
				blank--;
			take = blank > 0 ? blank : take;
		}
		memcpy(ret + n, text, take);
		n += take;
		if (at_words && !keep && take < len && ret[n - 1] == ' ')
			n--;
		ret[n++] = '\n';
		text += take == len ? take + 1 : take;
	}
	return n;
}

static void boxes_are_no_wrapped_lines(void **state)
{
	static const char rule[] = "\xe2\x94\x80";
	char text[4096] = "";
	(void)state;

	for (int row = 0; row < 6; row++) {
		strcat(text, row == 0 ? "\xe2\x95\xad" : row == 5 ? "\xe2\x95\xb0" : "\xe2\x94\x82");
		for (int i = 0; i < 78; i++)
			strcat(text, row == 0 || row == 5 ? rule : i == row ? "x" : " ");
		strcat(text, row == 0 ? "\xe2\x95\xae\n" : row == 5 ? "\xe2\x95\xaf\n" : "\xe2\x94\x82\n");
	}
	strcat(text, "zork.FluxError: low\n");
	assert_int_equal(log_wrap_of(text, strlen(text)).width, 0);
}

static void wrapped_lines_say_the_same_in_their_own_lines(void **state)
{
	static const struct {
		uint32_t width;
		bool at_words, keep;
	} cases[] = {{80, false, false}, {80, true, true}, {80, true, false}, {60, false, false}, {100, false, false}};
	char text[2 * sizeof sample];
	struct buf want, got;
	(void)state;

	findings_of(sample, strlen(sample), 1000, &want);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t piece = 1; piece < 2000; piece = piece * 3 + 4) {
			size_t len = wrap(sample, cases[i].width, cases[i].at_words, cases[i].keep, text), breaks = 0;
			uint32_t line = 1;
			char place[32];

			findings_of(text, len, piece, &got);
			if (!strstr(buf_str(&got), "initializing the engine.\n"))
				fail_msg("case %zu: %s\n%.*s", i, buf_str(&got), (int)len, text);
			/* The cause, its evidence as one line; its number that of the wrapped file. */
			assert_non_null(strstr(buf_str(&got),
				"ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
				"initializing the engine.\n"));
			for (const char *s = text; s < strstr(text, "(Worker pid=7) ERROR"); s++)
				line += *s == '\n';
			snprintf(place, sizeof place, "\"line\": %u,", line);
			assert_non_null(strstr(buf_str(&got), place));
			for (size_t k = 0; k < len; k++)
				breaks += text[k] == '\n';
			snprintf(place, sizeof place, "%zu lines", breaks);
			assert_non_null(strstr(buf_str(&got), place));
			buf_done(&got);
		}
	buf_done(&want);
}

static void what_is_not_wrapped_is_left_alone(void **state)
{
	static const char *const texts[] = {sample,
		"Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    g()\nzork.FluxError: low\n",
		/* Lines of one length, each an entry of its own. */
		"WARNING 11-30 10:00:01 the same line of eighty columns is logged over and over.\n"
		"WARNING 11-30 10:00:02 the same line of eighty columns is logged over and over.\n"
		"WARNING 11-30 10:00:03 the same line of eighty columns is logged over and over.\n",
		"", "\n\n\n", "x"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_int_equal(log_wrap_of(texts[i], strlen(texts[i])).width, 0);
	glob_t files;
	static char text[TEXT_BYTES_MAX];
	assert_int_equal(glob("tests/logs/*.log", 0, NULL, &files), 0);
	assert_true(files.gl_pathc > 30);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		FILE *f = fopen(files.gl_pathv[i], "re");

		assert_non_null(f);
		if (log_wrap_of(text, fread(text, 1, sizeof text, f)).width != 0)
			fail_msg("%s is taken for wrapped", files.gl_pathv[i]);
		fclose(f);
	}
	globfree(&files);
}

static void colours_within_a_message_do_not_hide_it(void **state)
{
	static const char plain[] = "ERROR x ValueError: No available memory for the cache blocks.\n";
	static const char *const colored[] = {
		"\033[31mERROR\033[0m x Value\033[1mError\033[22m: No available \033[4;33mmemory\033[0m for the cache blocks.\n",
		"ERROR x ValueError: No \033[Kavailable memory for the cache bl\033[38;5;9mocks.\033[0m\n"};
	struct buf want, got;
	(void)state;

	findings_of(plain, strlen(plain), 1000, &want);
	assert_non_null(strstr(buf_str(&want), "\"verdict\": \"failed\""));
	for (size_t i = 0; i < ARRAY_LEN(colored); i++)
		for (size_t piece = 1; piece < 200; piece += 7) {
			findings_of(colored[i], strlen(colored[i]), piece, &got);
			assert_string_equal(buf_str(&got), buf_str(&want));
			buf_done(&got);
		}
	buf_done(&want);
	/* A sequence that never ends takes its line, not the next one. */
	static const char broken[] = "x\033[31\nNVML Shared Library Not Found\n";
	findings_of(broken, strlen(broken), 1000, &got);
	assert_non_null(strstr(buf_str(&got), "\"line\": 2,"));
	buf_done(&got);
}

static void forms_are_known_by_how_they_begin(void **state)
{
	static char zeros[4096], noise[4096];
	static const struct {
		const char *text;
		size_t len;
		enum log_form form;
	} cases[] = {{"", 0, FORM_EMPTY}, {"INFO x\n", 7, FORM_TEXT}, {"\x1f\x8b\x08\0\0", 5, FORM_GZIP},
		{"\xfd"
		 "7zXZ\0",
			6, FORM_XZ},
		{"\x28\xb5\x2f\xfd\x24", 5, FORM_ZSTD}, {"BZh91AY&SY\x01\x02\x03", 13, FORM_BZIP2},
		{"BZhello, a word\n", 16, FORM_TEXT}, {"PK\x03\x04\x14", 5, FORM_ZIP},
		{zeros, sizeof zeros, FORM_BINARY}, {noise, sizeof noise, FORM_BINARY},
		{"\x7f"
		 "ELF\x02\x01\x01\0\0\0",
			10, FORM_BINARY},
		{"a hole\n\0\0\0\0\0\0\0\0\0\0and on\n", 24, FORM_TEXT},
		{"gr\xfc\xdf"
		 "e aus Latin-1\n",
			17, FORM_TEXT},
		{"\033[31mred\033[0m\n", 13, FORM_TEXT}};
	uint32_t x = 7;
	(void)state;

	for (size_t i = 0; i < sizeof noise; i++)
		noise[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (log_form_of(cases[i].text, cases[i].len) != cases[i].form)
			fail_msg(
				"case %zu is taken for %s", i, log_form_name(log_form_of(cases[i].text, cases[i].len)));
	assert_string_equal(log_form_unpacker(FORM_ZSTD), "zstd -dc");
	assert_null(log_form_unpacker(FORM_BINARY));
	assert_false(log_form_is_readable(FORM_GZIP));
	assert_true(log_form_is_readable(FORM_UTF16_BE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf16_says_the_same),
		cmocka_unit_test(boxes_are_no_wrapped_lines),
		cmocka_unit_test(wrapped_lines_say_the_same_in_their_own_lines),
		cmocka_unit_test(what_is_not_wrapped_is_left_alone),
		cmocka_unit_test(colours_within_a_message_do_not_hide_it),
		cmocka_unit_test(forms_are_known_by_how_they_begin),
	};

	return cmocka_run_group_tests_name("plan/diagnose_form", tests, catalogue_open, catalogue_close);
}
