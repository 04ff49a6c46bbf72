/* status.h - what a starting process tells its supervisor: one line an event, through a pipe.
 *
 *   progress 0.42 loading weights      how far the long part of the start is
 *   info 512 blocks of 16 tokens       a fact worth a place in the start-up table
 *   ready unix:/run/x/w0.sock          it serves, and where
 *   error could not load model ...     it will end now, and starting it again would not help
 * Words that are not known are skipped, so that neighbouring releases understand each other.
 *
 * Thread: one owner. Memory: one line of at most STATUS_LINE_BYTES_MAX; what is longer is cut. */
#ifndef STATOR_LAUNCH_STATUS_H
#define STATOR_LAUNCH_STATUS_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { STATUS_LINE_BYTES_MAX = 2048 };
enum status_kind { STATUS_UNKNOWN, STATUS_PROGRESS, STATUS_INFO, STATUS_READY, STATUS_ERROR };

struct status {
	enum status_kind kind;
	double progress; /* 0 to 1, with STATUS_PROGRESS */
	const char *text; /* the rest of the line, "" when none; points into the line */
};

/* Read one line (without its newline; it is changed: trailing blanks are cut). A progress that is no number between 0
 * and 1 makes the line unknown. Borrows line for ret->text. */
void status_parse(char *line, struct status *ret);

/* Cut a stream of bytes into lines. Zero it before first use. */
struct line_cutter {
	char line[STATUS_LINE_BYTES_MAX];
	size_t len;
};
/* Call fn(ctx, line) for each line that data completes. The line may be changed by fn and is valid until it returns. */
void line_cutter_feed(
	struct line_cutter *c, const char *data, size_t len, void (*fn)(void *ctx, char *line), void *ctx);
/* The stream has ended: what is there counts as a line. */
void line_cutter_finish(struct line_cutter *c, void (*fn)(void *ctx, char *line), void *ctx);

#endif
