/* report_verdict.c - the answer in one line: the verdict, the releases it holds for, what is missing for one; see report.h. */
#include "plan/check.h"
#include "plan/report.h"

#include <string.h>

/* The findings that leave the answer open are warnings. */
static uint32_t open_warnings(const struct plan *p, const struct finding **ret_first)
{
	uint32_t n = 0;

	*ret_first = NULL;
	for (uint32_t i = 0; i < p->findings.len; i++) {
		const struct finding *f = &p->findings.items[i];
		if (!f->unchecked)
			continue;
		*ret_first = *ret_first ? *ret_first : f;
		n += f->severity == FINDING_WARNING;
	}
	return n;
}

/* What is missing for an answer, in a few words: the finding below has the sentence. */
static const char *open_words(const struct finding *f)
{
	static const struct {
		const char *code, *words; /* the code's beginning */
	} all[] = {{"model-unsure", "the model's figures are a guess"}, {"model-", "the model is not known"},
		{"memory-release", "it depends on the engine's release"}, {"memory-close", "it is too close to call"},
		{"memory-", "some of its memory is not known"}, {"engine-unread", "the release is not known"},
		{"engine-", "no release that is known here runs it"}, {"flag-", "a flag is not counted"},
		{"field-", "a field is not counted"}, {"variable-", "a variable is not set"},
		{"gpu-layers", "some layers stay on the CPU"}, {"gpus-unasked", "no GPU is asked for"},
		{"gpu-", "the GPU is not known"}, {"quantization-", "the quantization is not known"},
		{"dtype", "the number type may overflow"}};

	for (size_t i = 0; f && i < ARRAY_LEN(all); i++)
		if (!strncmp(f->code, all[i].code, strlen(all[i].code)))
			return all[i].words;
	return "something is not known";
}

const char *plan_report_releases(const struct plan *p)
{
	const char *same = NULL;

	for (uint32_t i = 0; i < p->findings.len; i++) {
		const struct finding *f = &p->findings.items[i];
		if (f->severity != FINDING_FATAL)
			continue;
		if (!f->releases || (same && strcmp(same, f->releases)))
			return NULL;
		same = f->releases;
	}
	return same;
}

void plan_verdict_text(const struct plan *p, bool color, struct buf *out)
{
	static const char *const words[] = {"it fits", "it cannot run", "not checked"};
	static const char *const colors[] = {"\033[1;32m", "\033[1;31m", "\033[1;33m"};
	enum plan_verdict verdict = plan_verdict(p);
	const char *releases = plan_report_releases(p);
	uint32_t fatals = p->findings.fatals, warnings = p->findings.warnings;

	buf_printf(out, "%s%s%s", color ? colors[verdict] : "", words[verdict], color ? "\033[0m" : "");
	if (releases)
		buf_printf(out, " with %s", releases);
	if (verdict == PLAN_NOT_CHECKED) {
		const struct finding *first;
		warnings -= open_warnings(p, &first);
		buf_printf(out, ": %s", open_words(first));
	}
	if (fatals)
		buf_printf(out, ", for %u reason%s", fatals, plan_s(fatals));
	if (warnings)
		buf_printf(out, "%s%u warning%s", fatals ? "; " : ", with ", warnings, plan_s(warnings));
}
