/* The start-up table: rows as text, redrawn on a terminal, plain lines elsewhere. */
#include "launch/screen.h"

#include <stdio.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

static void rows_make(struct screen_row *rows)
{
	memset(rows, 0, 2 * sizeof *rows);
	strcpy(rows[0].name, "frontend");
	strcpy(rows[1].name, "llama-0");
}

/* What went to the pipe since last time. */
static const char *output(int fd)
{
	static char text[8192];
	ssize_t n = read(fd, text, sizeof text - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static const char *row_text(const struct screen_row *row, uint32_t columns, bool color)
{
	static char text[1024];
	struct buf b;

	buf_init(&b, sizeof text - 1);
	screen_row_print(&b, row, 8, columns, color);
	snprintf(text, sizeof text, "%s", buf_str(&b));
	buf_done(&b);
	return text;
}

static void a_row_shows_name_state_and_text(void **state)
{
	(void)state;
	struct screen_row row = {.name = "llama-0", .state = SCREEN_READY, .text = "1 thread"};

	assert_string_equal(row_text(&row, 0, false), "  llama-0   ready       1 thread");
	assert_string_equal(row_text(&row, 0, true), "  llama-0   \033[32mready     \033[0m  1 thread");
	row = (struct screen_row){.name = "llama-0", .state = SCREEN_PROGRESS, .progress = 0.42, .text = "weights"};
	assert_string_equal(row_text(&row, 0, false), "  llama-0   ####......  42%  weights");
	row = (struct screen_row){.name = "llama-0", .state = SCREEN_STARTING};
	assert_string_equal(row_text(&row, 0, false), "  llama-0   starting");
}

static void a_row_is_cut_to_the_terminal_and_never_inside_a_character(void **state)
{
	(void)state;
	struct screen_row row = {.name = "llama-0",
		.state = SCREEN_READY,
		.text = "a\xc3\xa4"
			"b\xe4\xb8\xad"
			"cdef"};

	assert_string_equal(row_text(&row, 26, false), "  llama-0   ready       a\xc3\xa4");
	assert_string_equal(row_text(&row, 28, false), "  llama-0   ready       a\xc3\xa4"
						       "b\xe4\xb8\xad");
	assert_string_equal(row_text(&row, 10, false), "  llama-0   ready");
}

static void plain_output_has_a_line_for_each_change_and_quarter(void **state)
{
	(void)state;
	struct screen_row rows[2];
	struct screen s;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	rows_make(rows);
	screen_init(&s, fds[1], false, false, 0, rows, 2);
	rows[1].state = SCREEN_PROGRESS;
	for (int i = 0; i <= 100; i++) {
		rows[1].progress = i / 100.0;
		screen_changed(&s, 1);
	}
	rows[1].state = SCREEN_READY;
	screen_changed(&s, 1);
	screen_line(&s, "a line %d", 7);
	assert_string_equal(output(fds[0]), "  llama-0   ##........  25%\n"
					    "  llama-0   #####.....  50%\n"
					    "  llama-0   #######...  75%\n"
					    "  llama-0   ########## 100%\n"
					    "  llama-0   ready\n"
					    "a line 7\n");
	close(fds[0]);
	close(fds[1]);
}

static void a_terminal_is_redrawn_below_the_lines(void **state)
{
	(void)state;
	struct screen_row rows[2];
	struct screen s;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	rows_make(rows);
	screen_init(&s, fds[1], true, false, 80, rows, 2);
	screen_changed(&s, 0);
	assert_string_equal(output(fds[0]), "  frontend  starting\n  llama-0   starting\n");
	rows[0].state = SCREEN_READY;
	screen_changed(&s, 0);
	assert_string_equal(output(fds[0]), "\033[2A\r\033[J  frontend  ready\n  llama-0   starting\n");
	screen_line(&s, "hello");
	assert_string_equal(output(fds[0]), "\033[2A\r\033[Jhello\n  frontend  ready\n  llama-0   starting\n");
	screen_close(&s);
	screen_line(&s, "after");
	assert_string_equal(output(fds[0]), "after\n");
	close(fds[0]);
	close(fds[1]);
}

static void a_log_line_cannot_move_the_cursor(void **state)
{
	(void)state;
	char line[] = "a\033[2Jb\tc\rd\x7f";

	assert_string_equal(screen_clean(line), "a?[2Jb c?d?");
}

static void a_closed_output_is_harmless(void **state)
{
	(void)state;
	struct screen_row rows[2];
	struct screen s;

	rows_make(rows);
	screen_init(&s, -1, false, false, 0, rows, 2);
	screen_line(&s, "nobody reads this");
	screen_changed(&s, 0);
	assert_int_equal(s.drawn, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_shows_name_state_and_text),
		cmocka_unit_test(a_row_is_cut_to_the_terminal_and_never_inside_a_character),
		cmocka_unit_test(plain_output_has_a_line_for_each_change_and_quarter),
		cmocka_unit_test(a_terminal_is_redrawn_below_the_lines),
		cmocka_unit_test(a_log_line_cannot_move_the_cursor),
		cmocka_unit_test(a_closed_output_is_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
