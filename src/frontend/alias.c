/* alias.c - see alias.h. */
#include "frontend/alias.h"
#include "base/compiler.h"

#include <string.h>

/* [from, to) without blanks around it. */
static bool take(const char *from, const char *to, char ret[ALIAS_NAME_BYTES])
{
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	size_t len = (size_t)(to - from);
	if (!len || len >= ALIAS_NAME_BYTES)
		return false;
	memcpy(ret, from, len);
	ret[len] = '\0';
	return true;
}

bool alias_next(const char **at, char ret_alias[ALIAS_NAME_BYTES], char ret_name[ALIAS_NAME_BYTES])
{
	const char *begin = *at + strspn(*at, ", \t"), *end = begin + strcspn(begin, ","),
		   *equal = memchr(begin, '=', (size_t)(end - begin));

	if (!*begin)
		return false;
	*at = end;
	if (!equal || !take(begin, equal, ret_alias) || !take(equal + 1, end, ret_name))
		*ret_alias = *ret_name = '\0';
	return true;
}

bool alias_find(const char *list, const char *alias, char ret[ALIAS_NAME_BYTES])
{
	char name[ALIAS_NAME_BYTES];

	for (const char *at = list; at && *alias && alias_next(&at, name, ret);)
		if (!strcmp(name, alias))
			return true;
	return false;
}

int alias_check(const char *list, struct err *err)
{
	char alias[ALIAS_NAME_BYTES], name[ALIAS_NAME_BYTES], other[ALIAS_NAME_BYTES];

	for (const char *at = list; at && alias_next(&at, alias, name);) {
		if (!*alias)
			return err_set(err, -EINVAL,
				"model-aliases: \"%.200s\" has a part that is not ALIAS=MODEL, names of at most %d "
				"bytes",
				list, ALIAS_NAME_BYTES - 1);
		if (alias_find(at, alias, other))
			return err_set(err, -EINVAL, "model-aliases: \"%.200s\" is given twice", alias);
		if (alias_find(list, name, other))
			return err_set(err, -EINVAL,
				"model-aliases: \"%.200s\" means \"%.200s\", which is an alias itself", alias, name);
	}
	return 0;
}
