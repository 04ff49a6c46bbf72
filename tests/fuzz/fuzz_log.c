/* A log, as foreign programs write it: the same findings however it is cut, each with a line that is there, valid JSON-sized
 * output, and flat memory. */
#include "plan/diagnose.h"

#include <stdio.h>

/* Made once: they are forgotten between two runs, as the supervisor does between two lives of a process. */
static struct catalogue *catalogue;
static struct diagnosis *d;
static struct diagnosed_log *subject;

static void set_up(void)
{
	struct diags diags;

	diags_init(&diags);
	ASSERT(catalogue_create(&catalogue, NULL, &diags, NULL) == 0);
	diags_done(&diags);
	ASSERT(diagnosis_create(&d, catalogue, NULL) == 0);
	subject = diagnosis_log(d, "fuzz.log");
	ASSERT(subject != NULL);
}

static void print(struct buf *out, const char *text, size_t len, size_t piece)
{
	struct findings f;

	for (size_t at = 0; at < len; at += piece)
		diagnosed_log_feed(subject, text + at, MIN(piece, len - at));
	diagnosed_log_end(subject);
	findings_init(&f);
	diagnosis_conclude(d, NULL, NULL, &f);
	for (uint32_t i = 0; i < f.len; i++)
		ASSERT(f.items[i].line >= 1 && f.items[i].line <= diagnosed_log_lines(subject));
	diagnosis_json(diagnosis_verdict(d, NULL, &f), &f, out);
	diagnosis_telling(d, NULL, 100, out);
	findings_done(&f);
	/* What is kept to the next run would look like a leak, for which each input is tried again. */
	diagnosed_log_reset(subject);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf whole, cut;

	if (!catalogue)
		set_up();
	if (len < 1)
		return 0;
	buf_init(&cut, 1 << 22);
	print(&cut, (const char *)data + 1, len - 1, data[0] + 1u);
	/* A quarter of the pieces is compared, so that more runs fit into a second. Lines longer than the buffer for a cut one are read in
	 * pieces, whose borders depend on the cuts. */
	if (data[0] % 4 == 0 && len < 32 * 1024) {
		buf_init(&whole, 1 << 22);
		print(&whole, (const char *)data + 1, len - 1, len);
		ASSERT(whole.len == cut.len && memcmp(buf_str(&whole), buf_str(&cut), whole.len) == 0);
		buf_done(&whole);
	}
	buf_done(&cut);
	return 0;
}
