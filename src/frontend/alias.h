/* alias.h - other names of models: "gpt-4o=demo, fast=small". Clients may ask for either; answers have the model's own name.
 * Thread: any; the text is borrowed by each call. Memory: none. */
#ifndef STATOR_FRONTEND_ALIAS_H
#define STATOR_FRONTEND_ALIAS_H

#include "base/err.h"
#include <stdbool.h>

enum { ALIAS_NAME_BYTES = 256 };

/* One pair, taken from *at (a list, or what is left of one), which moves behind it. False: there is none any more. Of a pair that
 * is none (no "=", an empty or a too long name) both names are "". */
bool alias_next(const char **at, char ret_alias[ALIAS_NAME_BYTES], char ret_name[ALIAS_NAME_BYTES]);
/* The name that alias means into ret; false: it is no alias. list may be NULL. */
bool alias_find(const char *list, const char *alias, char ret[ALIAS_NAME_BYTES]);
/* 0, or -EINVAL with a sentence: a pair that is none, an alias given twice, an alias of an alias. */
int alias_check(const char *list, struct err *err);

#endif
