/* deployments.c - see deployments.h. */
#include "cli/deployments.h"
#include "launch/runtime_dir.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX = 16, HINTED_MAX = 4 };

void deployments_print(struct buf *out)
{
	struct runtime_found found[SHOWN_MAX];
	uint32_t count = runtime_dir_list(found, SHOWN_MAX, NULL);

	for (uint32_t i = 0; i < MIN(count, (uint32_t)SHOWN_MAX); i++)
		buf_printf(out, "  %s%s--dir %s\n", found[i].about, *found[i].about ? "  " : "", found[i].path);
	if (count > SHOWN_MAX)
		buf_printf(out, "  and %u more\n", count - SHOWN_MAX);
}

bool deployments_hint(struct err *err, const char *example)
{
	struct runtime_found found[HINTED_MAX];
	uint32_t count = runtime_dir_list(found, HINTED_MAX, NULL);
	char urls[HINTED_MAX * 128] = "", first[128] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < MIN(count, (uint32_t)HINTED_MAX); i++) {
		size_t url = strcspn(found[i].about, " ");

		if (url == 0 || url >= sizeof first || len + url + 3 > sizeof urls)
			continue;
		if (!*first)
			snprintf(first, sizeof first, "%.*s", (int)url, found[i].about);
		len += (size_t)snprintf(
			urls + len, sizeof urls - len, "%s%.*s", len ? ", " : "", (int)url, found[i].about);
	}
	if (*first)
		err_hint(err, "deployments of yours run at %s: give the URL, such as \"%s %s\"", urls, example, first);
	else
		err_hint(err,
			"no deployment of yours runs here; a server elsewhere is named by its URL, such as \"%s http://HOST:8000\"",
			example);
	return *first;
}
