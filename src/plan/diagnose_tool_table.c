/* diagnose_tool_table.c - tables whose columns stand below their heads: kubectl get pods and nodes, docker ps, docker compose ps, crictl ps. See
 * diagnose_tool_priv.h. */
#include "plan/diagnose_tool_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 200 };

/* Heads may have one blank in them ("CONTAINER ID"); two part them. */
static uint32_t heads_read(const char *line, size_t len, uint32_t *at, char (*names)[24])
{
	uint32_t count = 0;

	for (size_t i = 0; i < len && count < TOOL_COLUMNS_MAX;) {
		size_t end = i;

		while (end < len && !(line[end] == ' ' && (end + 1 == len || line[end + 1] == ' ')))
			end++;
		at[count] = (uint32_t)i;
		snprintf(names[count++], sizeof *names, "%.*s", (int)MIN(end - i, sizeof *names - 1), line + i);
		while (end < len && line[end] == ' ')
			end++;
		i = end;
	}
	return count;
}

static int find(char (*names)[24], uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return (int)i;
	return -1;
}

bool tool_table_begins(struct tool_table *t, const char *line, size_t len)
{
	char names[TOOL_COLUMNS_MAX][24];

	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r'))
		len--;
	if (len < 12 || (memcmp(line, "NAME", 4) && memcmp(line, "CONTAINER", 9)))
		return false;
	t->columns = heads_read(line, len, t->at, names);
	t->name = find(names, t->columns, "NAME");
	t->space = find(names, t->columns, "NAMESPACE");
	t->ready = find(names, t->columns, "READY");
	t->status = find(names, t->columns, "STATUS");
	t->restarts = find(names, t->columns, "RESTARTS");
	if (t->name < 0)
		t->name = find(names, t->columns, "NAMES");
	if (t->status < 0 && find(names, t->columns, "ATTEMPT") >= 0) { /* crictl ps */
		t->status = find(names, t->columns, "STATE");
		t->restarts = find(names, t->columns, "ATTEMPT");
		t->space = find(names, t->columns, "POD");
	}
	if (t->name >= 0 && t->status >= 0 && t->ready >= 0 && t->restarts >= 0)
		t->kind = TABLE_PODS;
	else if (t->name >= 0 && t->status >= 0 && find(names, t->columns, "ATTEMPT") >= 0)
		t->kind = TABLE_CRICTL;
	else if (t->status >= 0 && t->name >= 0 && find(names, t->columns, "IMAGE") >= 0)
		t->kind = TABLE_DOCKER;
	else if (t->name >= 0 && t->status >= 0 && find(names, t->columns, "ROLES") >= 0)
		t->kind = TABLE_NODES;
	else
		t->kind = TABLE_NONE;
	return t->kind != TABLE_NONE;
}

static void cell(const struct tool_table *t, int column, const char *line, size_t len, char *ret)
{
	size_t from, to;

	*ret = '\0';
	if (column < 0 || t->at[column] >= len)
		return;
	from = t->at[column];
	to = (uint32_t)column + 1 < t->columns ? MIN((size_t)t->at[column + 1], len) : len;
	while (to > from && line[to - 1] == ' ')
		to--;
	while (from < to && line[from] == ' ')
		from++;
	snprintf(ret, CELL_BYTES, "%.*s", (int)MIN(to - from, (size_t)CELL_BYTES - 1), line + from);
}

static void node_tell(const struct tool_table *t, const char *name, uint64_t number)
{
	char text[CELL_BYTES + 64];

	snprintf(text, sizeof text, "node %s is not ready (kubectl get nodes)", name);
	t->told(t->ctx, number, text);
}

bool tool_table_line(struct tool_table *t, const char *line, size_t len, uint64_t number)
{
	char name[CELL_BYTES], space[CELL_BYTES], ready[CELL_BYTES], status[CELL_BYTES], restarts[CELL_BYTES];
	char who[2 * CELL_BYTES + 2];

	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r'))
		len--;
	/* Rows reach to their status, and stand at their column. */
	if (len <= t->at[t->status] || *line == ' ' || (t->at[t->status] > 0 && line[t->at[t->status] - 1] != ' '))
		return false;
	cell(t, t->name, line, len, name);
	cell(t, t->space, line, len, space);
	cell(t, t->ready, line, len, ready);
	cell(t, t->status, line, len, status);
	cell(t, t->restarts, line, len, restarts);
	snprintf(who, sizeof who, "%s%s%s", space, *space ? "/" : "", name);
	if (t->kind == TABLE_NODES) {
		if (strstr(status, "NotReady"))
			node_tell(t, name, number);
		return true;
	}
	if (t->kind == TABLE_CRICTL) {
		if (!strcmp(status, "Exited") && strcmp(restarts, "0"))
			object_status_tell(
				who, "", "Exited", (uint32_t)strtoul(restarts, NULL, 10), number, t->told, t->ctx);
		return *status >= 'A' && *status <= 'Z';
	}
	if (t->kind == TABLE_DOCKER)
		return object_docker_status_tell(who, status, number, t->told, t->ctx);
	if (strspn(ready, "0123456789/") != strlen(ready) || !*ready || !*status)
		return false;
	object_status_tell(who, ready, status, (uint32_t)strtoul(restarts, NULL, 10), number, t->told, t->ctx);
	return true;
}
