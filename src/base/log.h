/* log.h - one line an event: key=value for people, or JSON for machines.
 *
 *   log_info("worker ready", LOG_F("worker", log_str("w0")), LOG_F("blocks", log_u64(512)));
 *   2026-11-23T12:00:00.123Z info worker ready worker=w0 blocks=512
 * Only the program edge logs (frontend, worker, supervisor, cli); rooms below return errors. The same event text more than
 * LOG_REPEATS_MAX times a second is counted and reported once a second as repeated=N, unless it is for debugging.
 * Any thread (one lock, one write a line). Text values are quoted when needed; what may not be shown
 * (base/utf8.h) is escaped, so that a stranger can neither forge a line nor command a terminal. */
#ifndef STATOR_BASE_LOG_H
#define STATOR_BASE_LOG_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_kind { LOG_KIND_STR, LOG_KIND_I64, LOG_KIND_U64, LOG_KIND_F64, LOG_KIND_BOOL };
struct log_value {
	enum log_kind kind;
	union {
		const char *str;
		int64_t i64;
		uint64_t u64;
		double f64;
		bool b;
	};
};
static inline struct log_value log_str(const char *s)
{
	return (struct log_value){.kind = LOG_KIND_STR, .str = s ? s : ""};
}
static inline struct log_value log_i64(int64_t v)
{
	return (struct log_value){.kind = LOG_KIND_I64, .i64 = v};
}
static inline struct log_value log_u64(uint64_t v)
{
	return (struct log_value){.kind = LOG_KIND_U64, .u64 = v};
}
static inline struct log_value log_f64(double v)
{
	return (struct log_value){.kind = LOG_KIND_F64, .f64 = v};
}
static inline struct log_value log_bool(bool v)
{
	return (struct log_value){.kind = LOG_KIND_BOOL, .b = v};
}

struct log_field {
	const char *key;
	struct log_value value;
};

/* Where and how. fd defaults to 2. Call before threads start. */
void log_setup(int fd, enum log_level level, bool json);
/* "error", "warn", "info" or "debug" to a level; -EINVAL otherwise. */
int log_level_parse(const char *name, enum log_level *ret);
enum log_level log_level(void);
/* Write one event. Borrows everything. */
void log_event(enum log_level level, const char *event, const struct log_field *fields, uint32_t count);

#define LOG_F(k, val) ((struct log_field){(k), (val)})
/* log_X(event, LOG_F("key", log_str("value")), ...). */
#define log_at(level, event, ...)                                                                                      \
	do {                                                                                                           \
		const struct log_field log_fields_[] = {{NULL, {0}}, ##__VA_ARGS__};                                   \
		log_event((level), (event), log_fields_ + 1, (uint32_t)ARRAY_LEN(log_fields_) - 1);                    \
	} while (0)
#define log_error(event, ...) log_at(LOG_ERROR, event, ##__VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_WARN, event, ##__VA_ARGS__)
#define log_info(event, ...) log_at(LOG_INFO, event, ##__VA_ARGS__)
#define log_debug(event, ...) log_at(LOG_DEBUG, event, ##__VA_ARGS__)

#endif
