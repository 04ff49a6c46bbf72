/* Every key of a graph's own services reaches the process it is for: as a flag of the same name, or because the supervisor
 * itself acts on it. A key that is read, checked and then dropped would be worse than an unknown one. */
#include "cli/command.h"
#include "config/graph.h"
#include "config/keys.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"

/* What the supervisor does itself or words otherwise; and what a graph is warned of when it is asked for (graph_check.c). */
static const char *const handled[] = {"host", "port", "model", "served-model-name", "engine", "role", "router", "mode",
	"block-size", "drain-timeout", "threads", "cpus", "remote-prefill", "conditional-disagg",
	"max-local-prefill-length", "max-prefill-queue-size", "chat-template-file",
	"engine-version", /* the planner's */
	NULL};

static bool is_handled(const char *name)
{
	for (const char *const *h = handled; *h; h++)
		if (!strcmp(*h, name))
			return true;
	return false;
}

static bool has_flag(const struct command *c, const char *name)
{
	for (size_t i = 0; i < c->spec.count; i++)
		if (!strcmp(c->spec.flags[i].key.name, name))
			return true;
	return false;
}

static uint32_t dropped(const char *section, const struct command *command)
{
	const struct config_table *t;
	uint32_t pos = 0, n = 0;

	while ((t = config_table_next(section, &pos)))
		for (size_t i = 0; i < t->count; i++)
			if (!has_flag(command, t->keys[i].name) && !is_handled(t->keys[i].name) &&
				!strstr(t->keys[i].help, "not used")) {
				printf("%s.%s is dropped: stator %s has no such flag\n", section, t->keys[i].name,
					command->spec.name);
				n++;
			}
	return n;
}

static void no_key_of_a_graph_is_dropped_on_its_way_to_a_process(void **state)
{
	(void)state;
	assert_int_equal(dropped("Frontend", &command_frontend) + dropped("Router", &command_frontend) +
				 dropped("LlamaWorker", &command_worker) + dropped("MockWorker", &command_worker),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_key_of_a_graph_is_dropped_on_its_way_to_a_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
