#include "config/reference.h"

#include "config/keys.h"
#include <string.h>

static const struct {
	const char *section, *about;
} intros[] = {
	{"Frontend", "The HTTP API."},
	{"Processor", "Templates and tokens."},
	{"Router", "Which worker takes a request."},
	{"Planner", "Read and checked so that graphs made for Dynamo load; nothing acts on it yet."},
	{"LlamaWorker", "A worker with llama.cpp inside, for GGUF models on CPUs and GPUs."},
	{"MockWorker",
		"A worker without a model: made-up tokens at a made-up pace, always the same for the same prompt and "
		"seed."},
	{"VllmWorker", "vLLM, and with the role prefill as PrefillWorker. Every key is a flag of vLLM: the ones here "
		       "are checked "
		       "first, any other is passed on with a notice."},
	{"SglangWorker", "SGLang. Every key is a flag of SGLang: the ones here are checked first, any other is passed "
			 "on with a notice."},
	{"ServiceArgs", "Below each service: its processes and what they get. A dot is a level of nesting."},
};

static const char *intro_of(const char *section)
{
	for (size_t i = 0; i < ARRAY_LEN(intros); i++)
		if (!strcmp(intros[i].section, section))
			return intros[i].about;
	return NULL;
}

/* A bar would end the table's cell. */
static void cell(const char *text, struct buf *out)
{
	for (; *text; text++) {
		if (*text == '|')
			buf_add_byte(out, '\\');
		buf_add_byte(out, (uint8_t)*text);
	}
}

static void print_key(const struct config_key *k, struct buf *out)
{
	char accepts[512];

	buf_printf(out, "| `%s` | ", k->name);
	cell(config_key_accepts(k, accepts, sizeof accepts), out);
	buf_add_str(out, " | ");
	if (k->def)
		buf_printf(out, "`%s`", k->def);
	buf_printf(out, " | %s | ", k->when == CONFIG_LIVE ? "at once" : "at restart");
	cell(k->help, out);
	buf_add_str(out, " |\n");
}

static bool seen_before(const char *section, uint32_t until)
{
	uint32_t pos = 0;

	for (const struct config_table *t; pos < until && (t = config_table_next(NULL, &pos));)
		if (pos <= until && !strcmp(t->section, section))
			return true;
	return false;
}

static void print_section(const char *section, struct buf *out)
{
	uint32_t pos = 0;

	buf_printf(out, "\n## %s\n\n", section);
	if (intro_of(section))
		buf_printf(out, "%s\n\n", intro_of(section));
	buf_add_str(out, "| key | accepts | default | takes effect | meaning |\n|---|---|---|---|---|\n");
	for (const struct config_table *t; (t = config_table_next(section, &pos));)
		for (size_t i = 0; i < t->count; i++)
			print_key(&t->keys[i], out);
}

void config_reference_print(struct buf *out)
{
	uint32_t pos = 0;

	buf_add_str(out, "<!-- Printed from the tables that parse graph files (src/config/tables_*.c). Do not edit: "
			 "make docs-config. -->\n"
			 "# Keys of a graph file\n\n"
			 "A graph is a YAML map of services. Hyphens and underscores in keys are one spelling. A "
			 "service takes the keys of\n"
			 "`Common` that its `common-configs` lists; its own value wins; `--Service.key=value` on the "
			 "command line wins over\n"
			 "both and merges deeply, so `--LlamaWorker.ServiceArgs.workers=2` leaves "
			 "`ServiceArgs.resources` as it is.\n\n"
			 "Workers are `LlamaWorker`, `MockWorker`, `VllmWorker`, `PrefillWorker` (vLLM, prefill only) "
			 "and `SglangWorker`. A\n"
			 "service of any other name is a worker when it has the key `engine`, so one graph can serve "
			 "several models:\n\n"
			 "```yaml\n"
			 "Small:\n"
			 "  engine: llama\n"
			 "  model: /models/small.gguf\n"
			 "Large:\n"
			 "  engine: llama\n"
			 "  model: /models/large.gguf\n"
			 "  ServiceArgs:\n"
			 "    workers: 2\n"
			 "```\n\n"
			 "Every mistake of a graph and its overrides is reported in one pass, with its place and what "
			 "is accepted.\n");
	for (const struct config_table *t; (t = config_table_next(NULL, &pos));)
		if (!seen_before(t->section, pos - 1))
			print_section(t->section, out);
}
