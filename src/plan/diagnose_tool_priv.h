/* diagnose_tool_priv.h - the readers behind diagnose_tool.h, one a form. Each takes whole lines and says whether it wants the
 * next one. Thread and memory: as there. */
#ifndef STATOR_PLAN_DIAGNOSE_TOOL_PRIV_H
#define STATOR_PLAN_DIAGNOSE_TOOL_PRIV_H

#include "plan/diagnose_json.h"
#include "plan/diagnose_object.h"

enum { TOOL_LINE_BYTES = 64 * 1024, TOOL_SCALAR_BYTES = 4096, TOOL_FRAMES_MAX = 40, TOOL_COLUMNS_MAX = 16 };

/* ---- YAML as kubectl prints it ---- */

struct tool_yaml {
	struct object *object;
	struct {
		uint32_t indent; /* of its lines; of a list, of its hyphens */
		bool list;
	} frames[TOOL_FRAMES_MAX];
	uint32_t depth;
	/* A key whose value is not whole: it may go on in the lines below it. */
	bool pending, block;
	char quote; /* that it is within; 0: none */
	uint32_t key_indent;
	char key[JSON_SCAN_KEY_BYTES];
	char text[TOOL_SCALAR_BYTES];
	size_t text_len;
	uint64_t line;
};
bool tool_yaml_begins(const char *line, size_t len);
void tool_yaml_init(struct tool_yaml *y, struct object *o);
/* False: this line is no YAML, and the document has ended before it. */
bool tool_yaml_line(struct tool_yaml *y, const char *line, size_t len, uint64_t number);
void tool_yaml_end(struct tool_yaml *y);

/* ---- kubectl describe ---- */

enum tool_section {
	SECTION_HEAD,
	SECTION_CONTAINERS,
	SECTION_CAPACITY,
	SECTION_ALLOCATABLE,
	SECTION_EVENTS,
	SECTION_CONDITIONS,
	SECTION_OTHER
};

struct tool_describe {
	object_told *told;
	void *ctx;
	struct object_pod pod;
	enum tool_section section;
	struct object_container *container;
	struct object_end *end; /* the state that is being read */
	char *message; /* that goes on in the next line */
	size_t message_cap;
	char part[24]; /* the key whose parts follow */
	bool any, judged, init;
	bool known; /* something that only kubectl prints has been met */
};
bool tool_describe_begins(const char *line, size_t len);
void tool_describe_init(struct tool_describe *d, object_told *told, void *ctx);
bool tool_describe_line(struct tool_describe *d, const char *line, size_t len, uint64_t number);
void tool_describe_end(struct tool_describe *d);

/* ---- tables ---- */

enum tool_table_kind { TABLE_NONE, TABLE_PODS, TABLE_DOCKER, TABLE_CRICTL, TABLE_NODES };
struct tool_table {
	object_told *told;
	void *ctx;
	enum tool_table_kind kind;
	uint32_t columns, at[TOOL_COLUMNS_MAX];
	int name, space, ready, status, restarts; /* columns; -1: not there */
};
bool tool_table_begins(struct tool_table *t, const char *line, size_t len);
bool tool_table_line(struct tool_table *t, const char *line, size_t len, uint64_t number);

#endif
