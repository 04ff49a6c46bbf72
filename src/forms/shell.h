/* shell.h - a shell's script, followed as the shell would as far as that is known: assignments, arrays, conditions, loops, functions,
 * here-documents. Nothing is run. Each command that would be is given to the caller with the variables it sees.
 *
 * What a condition gives may not be known (does a file exist, is a variable of the environment set): then what depends on it is followed as
 * "perhaps". A variable that is perhaps changed is not known any more; words that are perhaps added to an array are marked (form_word.unsure).
 *
 *   form_shell_run -> command, document, for each in order
 *
 * Thread: one owner. Memory: the set's arena. Cost: at most STEPS_MAX commands, each loop's turns counted. */
#ifndef STATOR_FORMS_SHELL_H
#define STATOR_FORMS_SHELL_H

#include "forms/form_priv.h"

enum form_truth { FORM_NO, FORM_YES, FORM_PERHAPS };

struct form_shell;
/* How a command stands in its script. */
struct form_run {
	const struct form_env *env, *given; /* variables, down to those the script was given */
	enum form_truth live; /* YES, or PERHAPS */
	bool background; /* "&" stands behind it */
};
struct form_shell_ops {
	/* A command of count words, without keywords; borrowed. 0 or negative. */
	int (*command)(struct form_set *f, const struct form_word *words, uint32_t count, const struct form_run *run,
		void *ctx);
	/* A here-document of a pipeline of those words; its variables are put in. begin: its first line's number. */
	int (*document)(struct form_set *f, const struct form_word *words, uint32_t count, const char *text, size_t len,
		uint32_t line, const struct form_run *run, void *ctx);
	bool goes_on; /* "exit" and "exec" end nothing: the text is several scripts */
};

/* 0 or negative as what the caller's functions return. Borrows all. */
int form_shell_run(struct form_set *f, const char *file, const char *text, size_t len, const struct config_pos *start,
	const struct form_env *env, const struct form_shell_ops *ops, void *ctx);

/* Put "$0", "$1", "$@" before *env, as "sh -c SCRIPT" gets them from the words behind the script. 0 or -ENOMEM. */
int form_args_env(struct form_set *f, const struct form_word *words, uint32_t count, const struct form_env **env);

/* shell_test.c: "[ ... ]", "[[ ... ]]" and "test ...", with the brackets. */
enum form_truth form_shell_test(const struct form_word *words, uint32_t count);

/* "NAME=value": how long the name is; 0: it is none. */
size_t form_assigned_len(const char *text);

#endif
