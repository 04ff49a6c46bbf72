/* print.c - the overview, the man page and the reference; see print.h. */
#include "cli/print.h"
#include "cli/command.h"

static const struct {
	const char *name, *meaning;
} environment[] = {
	{"STATOR_CACHE", "folder of the demo model and of the llama.cpp build; default $XDG_CACHE_HOME/stator, or "
			 "~/.cache/stator"},
	{"XDG_RUNTIME_DIR", "where serve makes its private runtime folder; /tmp when it is not set"},
	{"XDG_STATE_HOME", "where chat keeps its history, in stator/chat_history; default ~/.local/state"},
	{"NO_COLOR", "when set, nothing is printed in colour"},
};

static const struct {
	const char *status, *meaning;
} exit_statuses[] = {
	{"0", "all went well; serve: it was told to stop, and has"},
	{"1", "it could not do what was asked; the message says why"},
	{"2", "a wrong command, flag or configuration; nothing was started"},
	{"3", "plan: not checked, since something needed for an answer is not known"},
	{"130", "stopped at once by Ctrl-C (serve: by the second one)"},
};

static const struct {
	const char *line, *meaning;
} examples[] = {
	{"stator serve", "the demo model on two workers, http://127.0.0.1:8000"},
	{"stator serve model.gguf --workers 4 --port 9000", "a model of your own on four workers"},
	{"stator serve deploy.yaml --LlamaWorker.ServiceArgs.workers=2", "a graph file, one key overridden"},
	{"stator run model.gguf -p \"Why is the sky blue?\"", "one answer, without a server"},
	{"stator chat", "talk to the server on this machine"},
};

void print_overview(struct buf *out)
{
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);

	buf_add_str(out, "stator " STATOR_VERSION ": serves large language models over an OpenAI-compatible API\n\n"
			 "usage: stator COMMAND [flags]\n\n");
	flags_print_commands(specs, count, out);
	buf_add_str(out, "\nexamples:\n");
	for (size_t i = 0; i < ARRAY_LEN(examples); i++)
		buf_printf(out, "  %s\n      %s\n", examples[i].line, examples[i].meaning);
	buf_add_str(out,
		"\n\"stator COMMAND --help\" lists the flags of a command; \"stator man\" prints the whole manual.\n");
}

/* roff takes a leading dot or quote as a request, and a backslash or hyphen as its own. */
static void roff_text(struct buf *out, const char *text)
{
	bool line_start = true;

	for (const char *c = text; *c; c++) {
		if (line_start && (*c == '.' || *c == '\''))
			buf_add_str(out, "\\&");
		if (*c == '\\')
			buf_add_str(out, "\\e");
		else if (*c == '-')
			buf_add_str(out, "\\-");
		else
			buf_add_byte(out, (uint8_t)*c);
		line_start = *c == '\n';
	}
}

static void man_item(struct buf *out, const char *name, const char *meaning)
{
	buf_add_str(out, ".TP\n.B ");
	roff_text(out, name);
	buf_add_str(out, "\n");
	roff_text(out, meaning);
	buf_add_str(out, "\n");
}

void print_man(struct buf *out)
{
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);

	buf_add_str(out, ".\\\" Printed by \"stator man\" from the tables of the commands.\n"
			 ".TH STATOR 1 \"\" \"stator " STATOR_VERSION "\" \"User Commands\"\n"
			 ".SH NAME\nstator \\- serve large language models from few GPUs or many\n"
			 ".SH SYNOPSIS\n.B stator\n.I COMMAND\n.RI [ flags ]\n"
			 ".SH DESCRIPTION\n"
			 "Serves models over an OpenAI\\-compatible HTTP API: a frontend and a router in front of "
			 "several worker "
			 "processes, started, watched and restarted by one command.\n"
			 ".SH COMMANDS\n");
	flags_print_man(specs, count, "stator", out);
	buf_add_str(out, ".SH EXIT STATUS\n");
	for (size_t i = 0; i < ARRAY_LEN(exit_statuses); i++)
		man_item(out, exit_statuses[i].status, exit_statuses[i].meaning);
	buf_add_str(out, ".SH ENVIRONMENT\n");
	for (size_t i = 0; i < ARRAY_LEN(environment); i++)
		man_item(out, environment[i].name, environment[i].meaning);
	buf_add_str(out, ".SH EXAMPLES\n");
	for (size_t i = 0; i < ARRAY_LEN(examples); i++)
		man_item(out, examples[i].line, examples[i].meaning);
}

void print_reference(struct buf *out)
{
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);

	buf_add_str(out, "# Command line\n\n"
			 "<!-- Printed by \"stator man --format markdown\" from the tables that parse; a test compares "
			 "them. -->\n\n"
			 "`stator COMMAND [flags]`. `--flag value` and `--flag=value` are the same, hyphen and "
			 "underscore are one "
			 "spelling, `--no-flag` turns a truth value off.\n\n");
	flags_print_markdown(specs, count, "stator", out);
	buf_add_str(out, "\n## Exit status\n\n| status | meaning |\n|---|---|\n");
	for (size_t i = 0; i < ARRAY_LEN(exit_statuses); i++)
		buf_printf(out, "| %s | %s |\n", exit_statuses[i].status, exit_statuses[i].meaning);
	buf_add_str(out, "\n## Environment\n\n| variable | meaning |\n|---|---|\n");
	for (size_t i = 0; i < ARRAY_LEN(environment); i++)
		buf_printf(out, "| `%s` | %s |\n", environment[i].name, environment[i].meaning);
	buf_add_str(out, "\n## Examples\n\n");
	for (size_t i = 0; i < ARRAY_LEN(examples); i++)
		buf_printf(out, "```sh\n%s    # %s\n```\n", examples[i].line, examples[i].meaning);
}
