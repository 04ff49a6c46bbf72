/* A user's file of log signatures, and lines for its patterns: mistakes are told, never a crash; what is captured lies in
 * the line. The input is the file, a NUL, and a log. */
#include "plan/diagnose.h"

static void try_log(const struct catalogue *c, const char *log, size_t len)
{
	for (uint32_t i = 0; i < catalogue_len(c); i++) {
		const struct signature *s = catalogue_at(c, i);

		for (uint32_t k = 0; k < s->patterns_len; k++) {
			struct captures found;
			char text[256];

			if (!pattern_match(&s->patterns[k], log, len, &found))
				continue;
			for (uint32_t n = 0; n < found.count; n++)
				ASSERT(found.items[n].text >= log &&
					found.items[n].text + found.items[n].len <= log + len);
			captures_fill(&found, s->cause, text, sizeof text);
			ASSERT(strlen(text) < sizeof text);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	const char *nul = len ? memchr(text, '\0', len) : NULL;
	size_t file_len = nul ? (size_t)(nul - text) : len;
	struct catalogue *c = NULL;
	struct diags diags;
	struct err err = {0};

	diags_init(&diags);
	int r = catalogue_parse(&c, "fuzz.yaml", text, file_len, &diags, &err);
	ASSERT(r == 0 || err.msg[0]);
	if (r == 0) {
		struct diagnosis *d = NULL;

		ASSERT(diagnosis_create(&d, c, NULL) == 0);
		struct diagnosed_log *log = diagnosis_log(d, "x");
		if (nul && log) {
			diagnosed_log_feed(log, nul + 1, len - file_len - 1);
			diagnosed_log_end(log);
			try_log(c, nul + 1, len - file_len - 1);
		}
		diagnosis_destroy(d);
	}
	catalogue_destroy(c);
	diags_done(&diags);
	return 0;
}
