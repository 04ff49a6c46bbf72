/* print.h - what is printed from the tables of all commands: help, man page, reference, completion.
 * Thread: any. Each appends to out, whose failed flag tells when it did not fit. */
#ifndef STATOR_CLI_PRINT_H
#define STATOR_CLI_PRINT_H

#include "base/buf.h"

enum { PRINT_BYTES_MAX = 1024 * 1024 };

/* What "stator help" shows. */
void print_overview(struct buf *out);
/* The page stator(1). */
void print_man(struct buf *out);
/* docs/reference/cli.md. */
void print_reference(struct buf *out);
/* Completion scripts. Bash's comes from config/flags.h. */
void print_completion_bash(struct buf *out);
void print_completion_zsh(struct buf *out);
void print_completion_fish(struct buf *out);

#endif
