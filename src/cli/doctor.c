/* doctor.c - stator doctor: what this host has, and what will not work on it. */
#include "plan/doctor.h"
#include "cli/command.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { OUTPUT_BYTES_MAX = 16 * 1024 * 1024 };

static const struct flag flags_table[] = {
	{.key = {.name = "json",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "print the inventory as JSON: GPUs, driver, host; what stator plan --inventory reads"}},
};

static void text_print(const struct doctor_facts *facts, const struct findings *findings, struct buf *out)
{
	struct winsize size;
	struct findings_look look = {.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"), .least = FINDING_INFO};

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		look.columns = size.ws_col;
	doctor_print(facts, out);
	buf_add_byte(out, '\n');
	if (findings->len == 0)
		buf_add_str(out, "nothing is wrong\n");
	findings_print(findings, &look, out);
}

static enum exit_status doctor_run(const struct flags *flags)
{
	struct doctor_facts facts;
	struct findings findings;
	struct err err = {0};
	struct buf out;

	if (doctor_look(&facts, "", getenv("PATH"), BUILD_CUDA, &err) < 0) {
		command_complain("doctor", "%s", err.msg);
		return EXIT_USAGE;
	}
	findings_init(&findings);
	buf_init(&out, OUTPUT_BYTES_MAX);
	doctor_findings(&facts, &findings);
	if (flags_bool(flags, "json"))
		facts.inventory.host_facts.memory_mb_s = host_memory_measure(facts.inventory.host_facts.cores);
	if (flags_bool(flags, "json"))
		gpu_inventory_to_json(&facts.inventory, &out);
	else
		text_print(&facts, &findings, &out);
	enum exit_status status = command_print("doctor", &out);
	if (status == EXIT_OK && findings.fatals > 0)
		status = EXIT_FAILED;
	buf_done(&out);
	findings_done(&findings);
	doctor_facts_done(&facts);
	return status;
}

const struct command command_doctor = {
	.spec = {.name = "doctor",
		.args = "",
		.summary = "look at this host: GPUs, CPU, memory, limits, engines, network, and what will not work",
		.text = "Finds engines (vLLM, SGLang, llama-server, Dynamo) in the virtual environments that PATH "
			"names, without "
			"starting them. --json prints the inventory that stator plan --inventory reads, so that a host "
			"can be planned "
			"from another.\n\n"
			"Exit status: 0 what is here can serve (there may be warnings), 1 something is in the way, 2 "
			"it could not look.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table)},
	.run = doctor_run,
};
