#include "base/log.h"
#include "base/buf.h"
#include "base/json_out.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_BYTES_MAX = 16384, LOG_REPEATS_MAX = 20, LOG_REPEAT_SLOTS = 64 };

/* Events seen in the running second, by their text (a string literal, so the address will do). */
struct repeat {
	const char *event;
	time_t second;
	uint32_t count;
};

static struct {
	pthread_mutex_t lock;
	int fd;
	enum log_level level;
	bool json;
	struct repeat repeats[LOG_REPEAT_SLOTS];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = 2, .level = LOG_INFO};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_setup(int fd, enum log_level level, bool json)
{
	state.fd = fd;
	state.level = level;
	state.json = json;
}

enum log_level log_level(void)
{
	return state.level;
}

int log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

static bool needs_quotes(const char *s)
{
	if (!*s)
		return true;
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || (unsigned char)*s >= 0x7f)
			return true;
	return false;
}

static void add_value(struct buf *b, const struct log_value *v)
{
	switch (v->kind) {
	case LOG_KIND_STR:
		if (state.json || needs_quotes(v->str))
			json_out_cstr_shown(b, v->str);
		else
			buf_add_str(b, v->str);
		break;
	case LOG_KIND_I64:
		json_out_i64(b, v->i64);
		break;
	case LOG_KIND_U64:
		json_out_u64(b, v->u64);
		break;
	case LOG_KIND_F64:
		json_out_f64(b, v->f64);
		break;
	case LOG_KIND_BOOL:
		buf_add_str(b, v->b ? "true" : "false");
		break;
	}
}

static void add_time(struct buf *b)
{
	struct timespec ts;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_printf(b, "%s.%03ldZ", text, ts.tv_nsec / 1000000);
}

static void add_line(
	struct buf *b, enum log_level level, const char *event, const struct log_field *fields, uint32_t count)
{
	if (state.json) {
		buf_add_str(b, "{\"time\":\"");
		add_time(b);
		buf_printf(b, "\",\"level\":\"%s\",\"event\":", level_names[level]);
		json_out_cstr(b, event);
		for (uint32_t i = 0; i < count; i++) {
			buf_add_byte(b, ',');
			json_out_cstr(b, fields[i].key);
			buf_add_byte(b, ':');
			add_value(b, &fields[i].value);
		}
		buf_add_byte(b, '}');
	} else {
		add_time(b);
		buf_printf(b, " %s %s", level_names[level], event);
		for (uint32_t i = 0; i < count; i++) {
			buf_printf(b, " %s=", fields[i].key);
			add_value(b, &fields[i].value);
		}
	}
	buf_add_byte(b, '\n');
}

static void write_all(const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(state.fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody left to tell */
		data += n;
		len -= (size_t)n;
	}
}

/* True when this event is one too many in this second. *ret_skipped: how many of an earlier second were held back. */
static bool is_repeat(const char *event, uint32_t *ret_skipped)
{
	struct repeat *r = &state.repeats[((uintptr_t)event >> 4) % LOG_REPEAT_SLOTS];
	time_t now = time(NULL);

	*ret_skipped = 0;
	if (r->event != event || r->second != now) {
		if (r->event == event && r->count > LOG_REPEATS_MAX)
			*ret_skipped = r->count - LOG_REPEATS_MAX;
		*r = (struct repeat){event, now, 0};
	}
	return ++r->count > LOG_REPEATS_MAX;
}

void log_event(enum log_level level, const char *event, const struct log_field *fields, uint32_t count)
{
	struct buf line;
	uint32_t skipped = 0;
	int saved_errno = errno;

	if (level > state.level)
		return;
	buf_init(&line, LOG_LINE_BYTES_MAX);
	pthread_mutex_lock(&state.lock);
	if (level == LOG_DEBUG || !is_repeat(event, &skipped)) {
		if (skipped) {
			struct log_field again[] = {
				LOG_F("event", log_str(event)), LOG_F("repeated", log_u64(skipped))};
			add_line(&line, level, "earlier lines held back", again, ARRAY_LEN(again));
		}
		add_line(&line, level, event, fields, count);
		if (line.failed)
			buf_add_byte(&line, '\n');
		write_all(buf_str(&line), line.len);
	}
	pthread_mutex_unlock(&state.lock);
	buf_done(&line);
	errno = saved_errno;
}
