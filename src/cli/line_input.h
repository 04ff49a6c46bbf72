/* line_input.h - lines from a person (editing and history, by libedit) or from a pipe.
 * Thread: one. Memory: one line of at most LINE_INPUT_BYTES_MAX, LINE_INPUT_HISTORY lines of history. */
#ifndef STATOR_CLI_LINE_INPUT_H
#define STATOR_CLI_LINE_INPUT_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { LINE_INPUT_BYTES_MAX = 8 * 1024 * 1024, LINE_INPUT_HISTORY = 1000 };

struct line_input;
enum line_input_what { LINE_INPUT_LINE, LINE_INPUT_INTERRUPTED, LINE_INPUT_END };

/* interactive: edit on the terminal; history_path NULL: keep none. A history that cannot be read or written is no error:
 * the chat goes on without. */
int line_input_create(struct line_input **ret, bool interactive, const char *history_path, struct err *err);
/* Show prompt (when interactive) and read one line, without its line feed. A backslash at the end of a line continues it
 * on the next. Borrowed until the next call. INTERRUPTED: Ctrl-C, the line was dropped. */
enum line_input_what line_input_read(struct line_input *in, const char *prompt, const char **ret_line);
/* Writes the history. */
void line_input_destroy(struct line_input *in);
/* $XDG_STATE_HOME/stator/chat_history or ~/.local/state/stator/chat_history into ret; makes the folders (mode 0700).
 * False when there is no such place. */
bool line_input_history_path(char *ret, size_t cap);

#endif
