/* screen.h - what serve shows while it starts: one row a process, redrawn in place on a terminal, plain lines elsewhere.
 *
 *     frontend  ready       http://127.0.0.1:8000
 *     llama-0   ######....  61%  loading weights
 *     llama-1   ready       1 thread on CPU 1
 *
 * On a terminal the rows stand below everything else that is printed: lines push them down. After screen_close rows are no
 * longer drawn and changes are plain lines, as they are from the start when the output is no terminal.
 *
 * Thread: one owner. Memory: rows as given, fixed size each. Output that cannot be written is dropped: a closed terminal
 * must not stop a server. */
#ifndef STATOR_LAUNCH_SCREEN_H
#define STATOR_LAUNCH_SCREEN_H

#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

enum screen_state {
	SCREEN_STARTING,
	SCREEN_PROGRESS,
	SCREEN_READY,
	SCREEN_WAITING, /* to be restarted */
	SCREEN_STOPPING,
	SCREEN_STOPPED,
	SCREEN_FAILED
};
enum { SCREEN_NAME_BYTES = 48, SCREEN_TEXT_BYTES = 256, SCREEN_BAR_CELLS = 10 };

struct screen_row {
	char name[SCREEN_NAME_BYTES];
	enum screen_state state;
	double progress; /* 0 to 1 */
	char text[SCREEN_TEXT_BYTES];
	uint32_t printed_quarters; /* plain lines: progress shown so far (private) */
};

struct screen {
	int fd;
	bool live, color;
	uint32_t columns; /* of the terminal */
	struct screen_row *rows;
	uint32_t count, name_width;
	uint32_t drawn; /* lines of the table that stand on the terminal now */
};

/* Rows are borrowed as long as s is used; fill their names first. live: redraw in place (the output
 * is a terminal with so many columns). */
void screen_init(
	struct screen *s, int fd, bool live, bool color, uint32_t columns, struct screen_row *rows, uint32_t count);
/* Print a line (without its line feed), above the table when one is drawn. */
void screen_line(struct screen *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Show that row i has changed. */
void screen_changed(struct screen *s, uint32_t i);
/* Leave the table as it stands; nothing is redrawn any more. */
void screen_close(struct screen *s);

/* One row as text without a line feed, cut to columns (0: not cut). Pure. */
void screen_row_print(struct buf *out, const struct screen_row *row, uint32_t name_width, uint32_t columns, bool color);
/* Text of others on our terminal: utf8_plain of base/utf8.h, so that a log line cannot move the cursor. */
char *screen_clean(char *s);

#endif
