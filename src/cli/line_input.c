/* line_input.c - lines from a terminal or a pipe; see line_input.h. */
#include "cli/line_input.h"
#include "base/buf.h"

#include <histedit.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>

struct line_input {
	EditLine *edit; /* NULL: not interactive */
	History *history;
	char history_path[PATH_MAX];
	const char *prompt;
	struct buf line; /* pieces joined */
	char *raw; /* getline's */
	size_t raw_cap;
};

static char *prompt_of(EditLine *edit)
{
	struct line_input *in;

	el_get(edit, EL_CLIENTDATA, &in);
	return (char *)(uintptr_t)in->prompt;
}

static void history_open(struct line_input *in, const char *path)
{
	HistEvent event;

	in->history = history_init();
	if (!in->history)
		return;
	history(in->history, &event, H_SETSIZE, LINE_INPUT_HISTORY);
	history(in->history, &event, H_SETUNIQUE, 1);
	el_set(in->edit, EL_HIST, history, in->history);
	if (path && snprintf(in->history_path, sizeof in->history_path, "%s", path) < (int)sizeof in->history_path)
		history(in->history, &event, H_LOAD, in->history_path);
}

static int edit_open(struct line_input *in, const char *history_path, struct err *err)
{
	/* Without a UTF-8 locale libedit would take umlauts apart; containers often have none set. */
	if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
		setlocale(LC_CTYPE, "C.UTF-8");
	in->edit = el_init("stator", stdin, stdout, stderr);
	if (!in->edit)
		return err_set(err, -ENOTTY, "could not set the terminal up for editing lines");
	el_set(in->edit, EL_CLIENTDATA, in);
	el_set(in->edit, EL_PROMPT, prompt_of);
	el_set(in->edit, EL_EDITOR, "emacs");
	el_set(in->edit, EL_SIGNAL, 1);
	/* Ctrl-R, as people expect it from shells. */
	el_set(in->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
	history_open(in, history_path);
	return 0;
}

int line_input_create(struct line_input **ret, bool interactive, const char *history_path, struct err *err)
{
	struct line_input *in = calloc(1, sizeof *in);

	if (!in)
		return err_set(err, -ENOMEM, "out of memory");
	buf_init(&in->line, LINE_INPUT_BYTES_MAX);
	if (interactive && edit_open(in, history_path, err) < 0) {
		line_input_destroy(in);
		return err ? err->code : -ENOTTY;
	}
	*ret = in;
	return 0;
}

/* One physical line; NULL with *ret_what saying why there is none. */
static const char *piece_read(struct line_input *in, size_t *ret_len, enum line_input_what *ret_what)
{
	if (in->edit) {
		int count = 0;
		const char *piece = el_gets(in->edit, &count);

		*ret_len = piece && count > 0 ? (size_t)count : 0;
		*ret_what = count < 0 ? LINE_INPUT_INTERRUPTED : LINE_INPUT_END;
		return *ret_len > 0 ? piece : NULL;
	}
	errno = 0; /* the end of the input leaves it as it was, which may be EINTR */
	ssize_t n = getline(&in->raw, &in->raw_cap, stdin);
	*ret_len = n > 0 ? (size_t)n : 0;
	*ret_what = n < 0 && errno == EINTR && !feof(stdin) ? LINE_INPUT_INTERRUPTED : LINE_INPUT_END;
	return n > 0 ? in->raw : NULL;
}

enum line_input_what line_input_read(struct line_input *in, const char *prompt, const char **ret_line)
{
	HistEvent event;

	buf_reset(&in->line);
	in->prompt = prompt;
	for (;;) {
		enum line_input_what what;
		size_t len;
		const char *piece = piece_read(in, &len, &what);

		if (!piece && (what == LINE_INPUT_INTERRUPTED || in->line.len == 0))
			return what;
		if (piece && buf_add(&in->line, piece, len) < 0)
			return LINE_INPUT_END;
		while (in->line.len > 0 && strchr("\r\n", in->line.data[in->line.len - 1]))
			in->line.data[--in->line.len] = '\0';
		if (!piece || in->line.len == 0 || in->line.data[in->line.len - 1] != '\\')
			break;
		in->line.data[in->line.len - 1] = '\n';
		in->prompt = "... ";
	}
	*ret_line = buf_str(&in->line);
	if (in->history && **ret_line && !strchr(*ret_line, '\n'))
		history(in->history, &event, H_ENTER, *ret_line);
	return LINE_INPUT_LINE;
}

void line_input_destroy(struct line_input *in)
{
	HistEvent event;

	if (!in)
		return;
	if (in->history) {
		if (in->history_path[0])
			history(in->history, &event, H_SAVE, in->history_path);
		history_end(in->history);
	}
	if (in->edit)
		el_end(in->edit);
	buf_done(&in->line);
	free(in->raw);
	free(in);
}

/* Make the folders above the last slash that are not there. */
static bool folders_make(const char *path)
{
	char part[PATH_MAX];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return false;
	}
	return true;
}

bool line_input_history_path(char *ret, size_t cap)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int len;

	if (state && *state == '/')
		len = snprintf(ret, cap, "%s/stator/chat_history", state);
	else if (home && *home == '/')
		len = snprintf(ret, cap, "%s/.local/state/stator/chat_history", home);
	else
		return false;
	return len > 0 && (size_t)len < cap && folders_make(ret);
}
