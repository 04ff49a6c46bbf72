/* plural.h - "1 worker", "2 workers": the ending of a counted noun in a message. Any thread; no memory. */
#ifndef STATOR_BASE_PLURAL_H
#define STATOR_BASE_PLURAL_H

#include <stdint.h>

/* "" for one, "s" for none and for several. */
static inline const char *plural_s(uint64_t n)
{
	return n == 1 ? "" : "s";
}
/* "copy", "copies" and the like: the word itself. */
static inline const char *plural(uint64_t n, const char *one, const char *several)
{
	return n == 1 ? one : several;
}

#endif
