/* flags.h - command lines from tables: one struct flags_command a subcommand; parsing, --help, the man page, the
 * shell's completion and the reference all come from it.
 *
 * Forms: --flag value, --flag=value, -f value, -fvalue, --flag and --no-flag for truth values, "--" ends flags.
 * Hyphen and underscore are one spelling. A command that takes graph overrides also takes --Service.key=value and
 * --Service.key value.
 *
 * Thread: one owner. Memory: one arena of at most FLAGS_BYTES_MAX. */
#ifndef STATOR_CONFIG_FLAGS_H
#define STATOR_CONFIG_FLAGS_H

#include "base/buf.h"
#include "config/keys.h"

enum { FLAGS_BYTES_MAX = 4 * 1024 * 1024 };

struct flag {
	struct config_key key; /* name without "--"; a list may be given several times */
	char letter; /* 0: none */
	const char *arg; /* how help calls the value: "PORT"; NULL for truth values */
	const char *bare; /* of an enum: its value when the next word is none of its choices; NULL: it must have one */
};

struct flags_command {
	const char *name; /* "serve" */
	const char *args; /* "[GRAPH.yaml | MODEL.gguf]"; "" when it takes none */
	const char *words; /* what its first argument may be, for completion: "bash|zsh"; "*": a command; NULL: free */
	const char *summary; /* one line */
	const char *text; /* paragraphs for --help and the man page; NULL: none */
	const struct flag *flags;
	size_t count;
	uint32_t args_max; /* positional arguments; more are an error */
	bool overrides; /* takes --Service.key=value */
};

struct flags;

/* Parse argv (what follows the subcommand). Borrows argv until flags_destroy. -EINVAL with a sentence for a stranger.
 * --help and -h are always there; when given, other mistakes do not matter. */
int flags_parse(struct flags **ret, const struct flags_command *cmd, int argc, char *const argv[], struct err *err);
void flags_destroy(struct flags *f);

bool flags_help_wanted(const struct flags *f);
/* Name without "--". The getters ASSERT on a name or type that is not in the table. */
bool flags_is_set(const struct flags *f, const char *name);
bool flags_bool(const struct flags *f, const char *name);
int64_t flags_int(const struct flags *f, const char *name);
uint64_t flags_uint(const struct flags *f, const char *name);
double flags_float(const struct flags *f, const char *name);
const char *flags_str(const struct flags *f, const char *name); /* NULL when it has no value */
uint64_t flags_duration_us(const struct flags *f, const char *name);
uint64_t flags_bytes(const struct flags *f, const char *name);
const char *const *flags_list(const struct flags *f, const char *name, uint32_t *ret_len);
/* What was no flag, in order. */
const char *const *flags_args(const struct flags *f, uint32_t *ret_len);
/* "--Service.key=value", normalised to that form, for struct graph_options. */
const char *const *flags_overrides(const struct flags *f, uint32_t *ret_len);

/* The command called name, or NULL with err: unknown command "srve"; did you mean "serve"? */
const struct flags_command *flags_command_find(
	const struct flags_command *const *cmds, size_t count, const char *name, struct err *err);

/* Printers. program is "stator". */
void flags_print_help(const struct flags_command *cmd, const char *program, struct buf *out);
/* The list of commands that "stator --help" shows. */
void flags_print_commands(const struct flags_command *const *cmds, size_t count, struct buf *out);
/* Man page sections (roff) and Markdown sections, one a command. */
void flags_print_man(const struct flags_command *const *cmds, size_t count, const char *program, struct buf *out);
void flags_print_markdown(const struct flags_command *const *cmds, size_t count, const char *program, struct buf *out);
/* May what is called so be a file: GRAPH.yaml, MODEL.gguf, FILE, PATH? */
bool flags_takes_file(const char *arg);
/* What completes c's first argument, separated by spaces: its words, or the names of all commands. */
void flags_print_words(
	const struct flags_command *c, const struct flags_command *const *cmds, size_t count, struct buf *out);
/* A completion script for bash: commands, flags, choices, file names. */
void flags_print_bash(const struct flags_command *const *cmds, size_t count, const char *program, struct buf *out);

#endif
