/* What a child writes to its supervisor, and what the kernel writes of cgroups: never a crash, the same lines however they
 * are cut, and every parsed value within its range. */
#include "base/buf.h"
#include "host/cgroup.h"
#include "launch/status.h"

#include <string.h>

static void note(void *ctx, char *line)
{
	struct status s;

	buf_add_str(ctx, line);
	buf_add_byte(ctx, '\n');
	ASSERT(strlen(line) < STATUS_LINE_BYTES_MAX);
	status_parse(line, &s);
	ASSERT(s.kind >= STATUS_UNKNOWN && s.kind <= STATUS_ERROR);
	ASSERT(s.kind != STATUS_PROGRESS || (s.progress >= 0 && s.progress <= 1));
	ASSERT(s.text >= line && s.text <= line + STATUS_LINE_BYTES_MAX);
}

static void feed(struct buf *out, const char *text, size_t len, size_t piece)
{
	struct line_cutter c = {0};

	for (size_t at = 0; at < len; at += piece)
		line_cutter_feed(&c, text + at, MIN(piece, len - at), note, out);
	line_cutter_finish(&c, note, out);
}

/* The bytes as /proc/PID/cgroup, and behind the first blank line as /proc/PID/mountinfo. */
static void groups(const char *text, size_t len)
{
	static const char *const controllers[] = {NULL, "memory", "cpu"};
	char copy[4096], folder[CGROUP_PATH_BYTES];
	size_t top;

	len = MIN(len, sizeof copy - 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	char *mounts = strstr(copy, "\n\n");
	if (mounts)
		*mounts = '\0';
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (cgroup_folder(folder, &top, copy, mounts ? mounts + 2 : "", controllers[i]))
			ASSERT(top <= strlen(folder));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf whole, cut;

	if (len < 1)
		return 0;
	buf_init(&whole, 1 << 22);
	buf_init(&cut, 1 << 22);
	feed(&whole, (const char *)data + 1, len - 1, MAX(len, (size_t)1));
	feed(&cut, (const char *)data + 1, len - 1, data[0] + 1u);
	ASSERT(whole.failed || cut.failed ||
		(whole.len == cut.len && memcmp(buf_str(&whole), buf_str(&cut), whole.len) == 0));
	buf_done(&whole);
	buf_done(&cut);
	groups((const char *)data + 1, len - 1);
	return 0;
}
