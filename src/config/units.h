/* units.h - numbers, durations and sizes as people write them. Strict: the whole text must be one. Each returns 0,
 * -EINVAL, or -ERANGE when it does not fit; ret is untouched then. Any thread; no allocation. */
#ifndef STATOR_CONFIG_UNITS_H
#define STATOR_CONFIG_UNITS_H

#include <stdint.h>

int units_parse_int(const char *text, int64_t *ret); /* "-3", "1_000" */
int units_parse_uint(const char *text, uint64_t *ret);
int units_parse_float(const char *text, double *ret); /* finite */
/* "250ms", "1.5s", "2h"; a bare number counts in bare_us microseconds. */
int units_parse_duration(const char *text, uint64_t bare_us, uint64_t *ret_us);
/* "512", "64KiB", "64Ki", "1.5GiB", "2G", "2GB" (the last two decimal); case does not count. */
int units_parse_bytes(const char *text, uint64_t *ret);
/* Microseconds in "us", "ms", "s", "m", "h"; 0 for any other. */
uint64_t units_duration_us(const char *unit);

#endif
