/* causes.c - see causes.h. */
#include "launch/causes.h"
#include "plan/diagnose.h"

#include <string.h>

struct causes {
	struct catalogue *catalogue;
	struct diagnosis *diagnosis;
	struct findings findings;
	bool broken; /* no memory for it: do without */
	uint32_t count;
	struct diagnosed_log **logs; /* NULL until a line is worth it */
};

struct causes *causes_create(uint32_t count)
{
	struct causes *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	findings_init(&c->findings);
	c->count = count;
	c->logs = calloc(MAX(count, 1u), sizeof(struct diagnosed_log *));
	c->broken = !c->logs;
	return c;
}

void causes_destroy(struct causes *c)
{
	if (!c)
		return;
	findings_done(&c->findings);
	diagnosis_destroy(c->diagnosis);
	catalogue_destroy(c->catalogue);
	free(c->logs);
	free(c);
}

bool causes_is_chatter(const char *line)
{
	const char *level = strchr(line, ' ');

	return level && (strncmp(level, " info ", 6) == 0 || strncmp(level, " debug ", 7) == 0);
}

static void prepare(struct causes *c)
{
	struct diags diags;

	if (c->diagnosis || c->broken)
		return;
	diags_init(&diags);
	c->broken = catalogue_create(&c->catalogue, NULL, &diags, NULL) < 0 ||
		    diagnosis_create(&c->diagnosis, c->catalogue, NULL) < 0;
	diags_done(&diags);
}

void causes_line(struct causes *c, uint32_t i, const char *name, const char *line)
{
	if (!c || i >= c->count || causes_is_chatter(line))
		return;
	prepare(c);
	if (c->broken)
		return;
	if (!c->logs[i] && !(c->logs[i] = diagnosis_log(c->diagnosis, name)))
		return;
	diagnosed_log_feed(c->logs[i], line, strlen(line));
	diagnosed_log_feed(c->logs[i], "\n", 1);
}

void causes_reset(struct causes *c, uint32_t i)
{
	if (c && i < c->count && !c->broken && c->logs[i])
		diagnosed_log_reset(c->logs[i]);
}

const struct finding *causes_find(struct causes *c, uint32_t i)
{
	if (!c || i >= c->count || c->broken || !c->logs[i])
		return NULL;
	findings_reset(&c->findings);
	diagnosis_conclude(c->diagnosis, c->logs[i], NULL, &c->findings);
	/* What no signature knows is no news: the last lines of the process are shown anyway. */
	return findings_have_cause(&c->findings) && !finding_is_unlisted(&c->findings.items[0]) ? &c->findings.items[0]
												: NULL;
}
