/* What people hand over, as its bytes come: packed, an archive, a document of a cluster tool or a log. However it is cut the answer is
 * the same, each finding stands in a line that is there, and memory is flat. */
#include "plan/diagnose_input.h"

static struct catalogue *catalogue;

static void answer(struct buf *out, const char *data, size_t len, size_t piece)
{
	struct diagnosis *d;
	struct diagnose_input in;
	struct findings f;
	bool more = true;

	ASSERT(diagnosis_create(&d, catalogue, NULL) == 0);
	diagnose_input_init(&in, d);
	ASSERT(diagnose_input_begin(&in, "fuzz", NULL) == 0);
	for (size_t at = 0; at < len && more; at += piece)
		more = diagnose_input_feed(&in, data + at, MIN(piece, len - at));
	diagnose_input_end(&in);
	findings_init(&f);
	diagnosis_conclude(d, NULL, NULL, &f);
	for (uint32_t i = 0; i < f.len; i++)
		ASSERT(f.items[i].line >= 1 && f.items[i].line <= in.lines);
	diagnosis_json(diagnosis_verdict(d, NULL, &f), &f, out);
	buf_printf(out, "%u %u %u", in.files, in.notes_len, in.other);
	findings_done(&f);
	diagnose_input_done(&in);
	diagnosis_destroy(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf whole, cut;
	struct diags diags;

	diags_init(&diags);
	if (!catalogue)
		ASSERT(catalogue_create(&catalogue, NULL, &diags, NULL) == 0);
	diags_done(&diags);
	if (len < 1)
		return 0;
	buf_init(&whole, 1 << 22);
	buf_init(&cut, 1 << 22);
	answer(&whole, (const char *)data + 1, len - 1, len);
	answer(&cut, (const char *)data + 1, len - 1, data[0] + 1u);
	/* Lines longer than the buffer for a cut one are read in pieces, whose borders depend on the cuts. */
	if (len < 32 * 1024)
		ASSERT(whole.len == cut.len && memcmp(buf_str(&whole), buf_str(&cut), whole.len) == 0);
	buf_done(&whole);
	buf_done(&cut);
	return 0;
}
