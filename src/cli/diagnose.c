/* diagnose.c - stator diagnose: the root cause in logs, and what to do about it. */
#include "plan/diagnose.h"
#include "cli/command.h"
#include "cli/diagnose_files.h"
#include "cli/gather.h"
#include "config/graph.h"
#include "plan/check.h"
#include "plan/diagnose_graph.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { OUTPUT_BYTES_MAX = 16 * 1024 * 1024, FILES_MAX = LOGS_MAX, TELLING_LINES_MAX = 24, HARMLESS_MAX = 4 };

static const struct flag flags_table[] = {
	{.key = {.name = "graph",
		 .type = CONFIG_STRING,
		 .help = "the file that was run, in any form that stator plan reads: which of its lines to change"},
		.letter = 'g',
		.arg = "FILE"},
	{.key = {.name = "gpus",
		 .type = CONFIG_STRING,
		 .help = "the GPUs of the host, as \"4xT4\" or a number; with --graph. Names also tell what the plan "
			 "says of the graph on such cards"},
		.arg = "GPUS"},
	{.key = {.name = "signatures",
		 .type = CONFIG_STRING,
		 .help = "a file with more log signatures, in the form of data/log-signatures.yaml"},
		.arg = "FILE"},
	{.key = {.name = "all",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "also tell what only follows from the root cause, and what is harmless"},
		.letter = 'a'},
	{.key = {.name = "json",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "print {\"verdict\": ..., \"findings\": [...]}, root cause first"}},
};

struct diagnose {
	const struct flags *flags;
	struct catalogue *catalogue;
	struct diagnosis *diagnosis;
	struct diagnose_graph *graph;
	struct findings findings;
	struct diagnose_input input;
	struct diagnose_files files;
	enum diagnosis_verdict verdict;
	bool only_wishes; /* all that was given are deployments */
};

static void diags_show(struct diags *diags)
{
	struct buf text;

	buf_init(&text, 2 * DIAG_BYTES_MAX);
	diags_print(diags, DIAG_ERROR, &text);
	fputs(buf_str(&text), stderr);
	buf_done(&text);
}

static int prepare(struct diagnose *d, struct err *err)
{
	const char *graph = flags_str(d->flags, "graph"), *gpus = flags_str(d->flags, "gpus");
	uint32_t devices = gpus ? diagnose_devices_parse(gpus) : 0;
	struct diags diags;

	struct gpu_inventory cards;

	/* A plain number says how many; a list must be of cards that are known. */
	if (gpus && gpus[strspn(gpus, "0123456789 ")]) {
		gpu_inventory_init(&cards);
		if (gpu_inventory_from_spec(&cards, gpus, err) < 0)
			return err_wrap(err, "cannot read --gpus \"%s\"", gpus);
		devices = cards.count;
		gpu_inventory_done(&cards);
	} else if (gpus && devices == 0) {
		return err_set(err, -EINVAL,
			"cannot read --gpus \"%s\"; \"4xT4\", \"2xT4,1xL4\" and \"4\" are understood", gpus);
	}
	diags_init(&diags);
	int r = catalogue_create(&d->catalogue, flags_str(d->flags, "signatures"), &diags, err);
	if (r == 0 && graph)
		r = diagnose_graph_load(&d->graph, graph, devices, &diags, err);
	if (r < 0)
		diags_show(&diags);
	else if (graph && !diagnose_graph_has_workers(d->graph))
		command_complain("diagnose",
			"no service in \"%s\" runs an engine that is known: none of its lines can be named", graph);
	diags_done(&diags);
	return r < 0 ? r : diagnosis_create(&d->diagnosis, d->catalogue, err);
}

/* What could not be read, or not to its end, and what to do about it. */
static void note_tell(struct diagnose *d, const struct input_note *n)
{
	const char *unpacker = log_form_unpacker(n->form);
	const struct config_pos pos = {.file = n->name};
	bool standard = strcmp(n->name, "standard input") == 0;
	char what[160] = "this is a manifest: it says how things are wished, and not how they went";
	char remedy[128] = "give what tells of it: kubectl describe pod, kubectl logs; stator plan reads the manifest";

	switch (n->kind) {
	case INPUT_UNREADABLE:
		snprintf(what, sizeof what,
			unpacker ? "this is not read: it is packed with %s" : "this is not text: it is %s",
			log_form_name(n->form));
		snprintf(remedy, sizeof remedy, "name the log itself");
		break;
	case INPUT_CUT:
		snprintf(what, sizeof what, "this ends before its end: it was cut, and what was there has been read");
		snprintf(remedy, sizeof remedy, "copy it again, or wait until it is written");
		break;
	case INPUT_DAMAGED:
		snprintf(what, sizeof what, "this is damaged: what stands before the damage has been read");
		snprintf(remedy, sizeof remedy, "copy it again, as binary data");
		break;
	case INPUT_TOO_LONG:
		snprintf(what, sizeof what, "only the first %llu GiB of this were read",
			(unsigned long long)(INPUT_BYTES_MAX >> 30));
		snprintf(remedy, sizeof remedy, "give the part around the failure");
		break;
	case INPUT_TOO_DEEP:
		snprintf(what, sizeof what, "this is packed more than %d times over, and is not read", INPUT_DEPTH_MAX);
		snprintf(remedy, sizeof remedy, "unpack it");
		break;
	case INPUT_ONLY_WISHES:
		break;
	}
	if (!findings_add(&d->findings, FINDING_WARNING, FINDING_ENVIRONMENT, "log-not-read", &pos, "%s", what))
		return;
	if (n->kind == INPUT_UNREADABLE && unpacker)
		findings_remedy(&d->findings, "unpack it: %s%s%s | stator diagnose -", unpacker, standard ? "" : " ",
			standard ? "" : n->name);
	else
		findings_remedy(&d->findings, "%s", remedy);
}

/* A line that looks bad and is none is what people chase: it is named, with the reason to leave it alone. */
static void harmless_print(const struct finding *x, const struct findings_look *look, struct buf *out)
{
	struct buf text;

	buf_init(&text, 16 * 1024);
	buf_printf(&text, "harmless: %s:%u: \"%.*s\": %s", x->file, x->line,
		(int)strcspn(x->evidence ? x->evidence : "", "\n"), x->evidence ? x->evidence : "", x->what);
	finding_wrap(out, buf_str(&text), 4, look->columns ? look->columns : 100, false);
	buf_done(&text);
}

/* What people see: the cause and warnings, and the harmless lines in short; the rest as one sentence, unless all is wanted. */
static void findings_trim(struct diagnose *d, const struct findings_look *look, uint32_t *ret_more,
	uint32_t *ret_harmless, struct buf *harmless)
{
	struct findings *f = &d->findings;
	uint32_t kept = 0, shown = 0;

	for (uint32_t i = 0; i < f->len; i++) {
		const struct finding *x = &f->items[i];

		if (x->severity != FINDING_INFO || flags_bool(d->flags, "all"))
			f->items[kept++] = *x;
		else if (x->harmless && shown < HARMLESS_MAX) {
			harmless_print(x, look, harmless);
			shown++;
		} else if (x->harmless)
			++*ret_harmless;
		else
			++*ret_more;
	}
	f->len = kept;
	f->infos -= *ret_more + *ret_harmless + shown;
}

/* Cards by name: what the planner says of the graph on them. The log tells what happened; this, what would next. */
static int plan_of(struct diagnose *d, struct plan *ret, struct gather *gather, struct form_set *forms,
	struct graph **ret_graph, struct err *err)
{
	struct plan_input input = {0};
	struct diags diags;

	diags_init(&diags);
	int r = gather_graph(forms, flags_str(d->flags, "graph"), ret_graph, &diags, err);
	diags_done(&diags);
	if (r == 0)
		r = gather_models(gather, *ret_graph, NULL, err);
	if (r == 0)
		r = gpu_inventory_from_spec(&gather->inventory, flags_str(d->flags, "gpus"), err);
	if (r < 0)
		return r;
	input = (struct plan_input){.graph = *ret_graph, .models = gather->models, .inventory = &gather->inventory};
	return plan_make(ret, &input, err);
}

/* A plan predicts and a log tells: where they differ, the log is right, and what may lie between them is named. */
static void plan_reconcile(
	const struct diagnose *d, enum plan_verdict plan, const struct findings_look *look, struct buf *out)
{
	const struct finding *first = d->findings.len > 0 ? &d->findings.items[0] : NULL;
	bool capacity = first && first->severity == FINDING_FATAL && first->kind == FINDING_CAPACITY;
	const char *text = NULL;

	if (plan == PLAN_FITS && capacity)
		text = "The plan counts only what the file says, on GPUs that nobody else uses; the log shows what happened. "
		       "What may lie between them: another process on the GPU, another release or other flags than the "
		       "file's, memory of the host or of the container, or the plan's prediction.";
	else if (plan == PLAN_CANNOT && d->verdict == DIAGNOSIS_HEALTHY)
		text = "The log shows that it serves: what ran was another file or on other GPUs, or the plan is wrong here.";
	if (text)
		finding_wrap(out, text, 0, look->columns ? look->columns : 100, false);
}

/* The fatal findings of the plan; nothing when the cards have no names, or the graph cannot be planned. */
static void plan_print(struct diagnose *d, const struct findings_look *look, struct buf *out)
{
	const char *gpus = flags_str(d->flags, "gpus");
	struct findings_look fatal = *look;
	struct graph *graph = NULL;
	struct form_set forms;
	struct gather gather;
	struct plan plan;
	struct err err = {0};
	char cards[256];

	if (!gpus || !d->graph || gpus[strspn(gpus, "0123456789 ")] == '\0')
		return;
	gather_init(&gather);
	form_set_init(&forms);
	if (plan_of(d, &plan, &gather, &forms, &graph, &err) == 0) {
		fatal.least = FINDING_FATAL;
		buf_printf(out, "\nthe plan of %s on %s: %s\n", flags_str(d->flags, "graph"),
			plan_cards_text(&plan, cards, sizeof cards),
			(const char *[]){"it fits", "it cannot run", "not checked"}[plan_verdict(&plan)]);
		findings_print(&plan.findings, &fatal, out);
		if (plan_verdict(&plan) == PLAN_CANNOT && d->verdict != DIAGNOSIS_HEALTHY)
			buf_printf(out, "stator plan %s --gpus %s shows plans that fit\n", flags_str(d->flags, "graph"),
				gpus);
		plan_reconcile(d, plan_verdict(&plan), look, out);
		plan_done(&plan);
	}
	graph_destroy(graph);
	form_set_done(&forms);
	gather_done(&gather);
}

/* Was all of it read that was given? Of what was not, nothing can be said to be well. */
static bool all_was_read(const struct diagnose *d)
{
	return d->input.notes_len + d->input.notes_more == 0 && !d->input.too_many && !d->files.incomplete;
}

/* Why nothing can be said. */
static const char *doubt_text(const struct diagnose *d)
{
	const struct diagnose_input *in = &d->input;
	const struct input_note *n = in->notes_len > 0 ? &in->notes[0] : NULL;

	if (in->too_many)
		return "there are more logs than are read at once";
	if (d->files.incomplete)
		return "not everything could be read";
	if (n && n->kind == INPUT_UNREADABLE)
		return in->files == 1 ? "the log is not text" : "some logs are not text";
	if (d->only_wishes || (n && n->kind == INPUT_ONLY_WISHES))
		return "it says only how things are wished";
	if (n)
		return "it could not be read to its end";
	if (in->files == 0)
		return "there is no log in it";
	if (in->lines == 0)
		return in->files == 1 ? "the log is empty" : "the logs are empty";
	for (uint32_t i = 0; i < d->findings.len; i++)
		if (!strcmp(d->findings.items[i].code, "unlisted-doubt"))
			return "a line may tell of a failure, and nothing says how it ended";
	const char *why = diagnosis_doubt(d->diagnosis, &d->findings);
	if (why)
		return why;
	return d->findings.warnings > 0 ? "errors were logged, and nothing says how it ended"
					: "the log ends in the middle of an error";
}

static void head_print(const struct diagnose *d, struct buf *out)
{
	const struct findings *f = &d->findings;

	buf_printf(out, "read %llu line%s of %u log%s: ", (unsigned long long)d->input.lines,
		d->input.lines == 1 ? "" : "s", d->input.files, d->input.files == 1 ? "" : "s");
	switch (d->verdict) {
	case DIAGNOSIS_FAILED:
		buf_printf(out, "it failed; the root cause comes first\n\n");
		break;
	case DIAGNOSIS_UNKNOWN_CAUSE:
		buf_printf(out, "it failed, and no log signature knows the cause; what the log shows:\n\n");
		break;
	case DIAGNOSIS_CANNOT_TELL:
		buf_printf(out, "cannot tell whether it failed: %s\n%s", doubt_text(d), f->warnings > 0 ? "\n" : "");
		break;
	case DIAGNOSIS_HEALTHY:
		buf_printf(out, f->warnings > 0 ? "nothing failed; what is worth knowing:\n\n"
						: "nothing went wrong that is known\n");
	}
}

static void text_print(struct diagnose *d, struct buf *out)
{
	struct winsize size;
	struct findings_look look = {.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"), .least = FINDING_INFO};
	uint32_t more = 0, harmless = 0;
	struct buf telling, known;

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		look.columns = size.ws_col;
	head_print(d, out);
	buf_init(&known, OUTPUT_BYTES_MAX / 4);
	findings_trim(d, &look, &more, &harmless, &known);
	findings_print(&d->findings, &look, out);
	bool known_harmless = known.len > 0;
	if (known.len)
		buf_printf(out, "%s%s", d->findings.len ? "\n" : "", buf_str(&known));
	buf_done(&known);
	plan_print(d, &look, out);
	buf_init(&telling, OUTPUT_BYTES_MAX / 4);
	/* Of a log that is well they are what loggers call milder than an error. */
	if (d->verdict != DIAGNOSIS_FAILED && d->verdict != DIAGNOSIS_HEALTHY &&
		diagnosis_telling(d->diagnosis, NULL, TELLING_LINES_MAX, &telling) > 0)
		buf_printf(out,
			"\nLines that no log signature knows, the most telling ones (they may or may not be the "
			"cause):\n%s",
			buf_str(&telling));
	buf_done(&telling);
	if (more + harmless > 0)
		buf_printf(out,
			"\nnot shown: %u that follow%s from it or %s for information, %u %sharmless (--all shows "
			"them)\n",
			more, more == 1 ? "s" : "", more == 1 ? "is" : "are", harmless, known_harmless ? "more " : "");
}

/* A graph or a compose file has no bad words in it: it is named for what it is, and not called well. */
static void deployments_note(struct diagnose *d)
{
	uint32_t count;
	const char *const *args = flags_args(d->flags, &count);
	const struct config_pos none = {0};

	for (uint32_t i = 0; i < count && d->files.folders == 0; i++)
		if (!strcmp(args[i], "-") || !gather_is_deployment(args[i]))
			return;
	if (d->files.folders > 0)
		return;
	d->verdict = DIAGNOSIS_CANNOT_TELL;
	d->only_wishes = true;
	if (findings_add(&d->findings, FINDING_WARNING, FINDING_CONFIGURATION, "log-not-read", &none,
		    "this is a deployment: it says how things are wished, and not how they went"))
		findings_remedy(
			&d->findings, "stator plan reads it; with its logs: stator diagnose --graph %s LOG", args[0]);
}

static enum exit_status conclude(struct diagnose *d)
{
	struct buf out;
	static const enum exit_status statuses[] = {[DIAGNOSIS_HEALTHY] = EXIT_OK,
		[DIAGNOSIS_FAILED] = EXIT_FAILED,
		[DIAGNOSIS_UNKNOWN_CAUSE] = EXIT_NOT_CHECKED,
		[DIAGNOSIS_CANNOT_TELL] = EXIT_CANNOT_TELL};

	diagnosis_conclude(d->diagnosis, NULL, d->graph, &d->findings);
	for (uint32_t i = 0; i < d->input.notes_len; i++)
		note_tell(d, &d->input.notes[i]);
	d->verdict = diagnosis_verdict(d->diagnosis, NULL, &d->findings);
	if (d->verdict == DIAGNOSIS_HEALTHY && !all_was_read(d))
		d->verdict = DIAGNOSIS_CANNOT_TELL;
	else if (d->verdict == DIAGNOSIS_HEALTHY && d->findings.len == 0)
		deployments_note(d);
	buf_init(&out, OUTPUT_BYTES_MAX);
	if (flags_bool(d->flags, "json"))
		diagnosis_json(d->verdict, &d->findings, &out);
	else
		text_print(d, &out);
	enum exit_status status = command_print("diagnose", &out);
	buf_done(&out);
	return status != EXIT_OK ? status : d->files.unread ? EXIT_USAGE : statuses[d->verdict];
}

static enum exit_status read_and_conclude(struct diagnose *d)
{
	uint32_t count;
	const char *const *args = flags_args(d->flags, &count);
	struct err err = {0};

	if (prepare(d, &err) < 0) {
		command_complain("diagnose", "%s", err.msg);
		return EXIT_USAGE;
	}
	diagnose_input_init(&d->input, d->diagnosis);
	if (diagnose_files_init(&d->files, &d->input, &err) < 0) {
		command_complain("diagnose", "%s", err.msg);
		return EXIT_FAILED;
	}
	for (uint32_t i = 0; i < count; i++)
		diagnose_files_read(&d->files, args[i]);
	/* What could not be read has been said; of an archive without a log that has yet to be. */
	return d->input.files == 0 && d->files.folders == 0 && d->files.unread ? EXIT_USAGE : conclude(d);
}

static enum exit_status diagnose_run(const struct flags *flags)
{
	struct diagnose d = {.flags = flags};
	uint32_t count;

	flags_args(flags, &count);
	if (count == 0) {
		command_complain("diagnose", "which logs? stator diagnose worker.log, or - for standard input");
		return EXIT_USAGE;
	}
	findings_init(&d.findings);
	enum exit_status status = read_and_conclude(&d);
	diagnose_files_done(&d.files);
	diagnose_input_done(&d.input);
	findings_done(&d.findings);
	diagnosis_destroy(d.diagnosis);
	diagnose_graph_destroy(d.graph);
	catalogue_destroy(d.catalogue);
	return status;
}

const struct command command_diagnose = {
	.spec = {.name = "diagnose",
		.args = "FILE|FOLDER... | -",
		.summary = "find the root cause in logs of vLLM, SGLang, llama.cpp, Dynamo and what is below them",
		.text = "Reads logs of one deployment (several workers, the frontend, dmesg), or a folder with all that "
			"is in it, "
			"and tells the first cause, the line that proves it, and what to do. Known lines that look bad "
			"and are harmless are called so; a log that holds nothing known is said to, with its most "
			"telling lines.\n\n"
			"Read as they are: logs packed with gzip, xz, zstd or bzip2, tar archives, UTF-16, logs whose "
			"lines are "
			"JSON (docker, journald), and what kubectl describe, get -o json|yaml, get events and get "
			"pods, docker inspect and ps, crictl inspect, systemctl status and dmesg print.\n\n"
			"Exit status: 0 nothing failed, 1 it failed and the cause is known, 2 a file could not be "
			"read, "
			"3 it failed and no signature knows the cause, 4 cannot tell (empty, cut, not text, a "
			"manifest).",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table),
		.args_max = FILES_MAX},
	.run = diagnose_run,
};
