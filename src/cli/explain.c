/* explain.c - stator explain and stator debug: why a request went where it went, and whether the router's picture is true. */
#include "base/utf8.h"
#include "cli/chat_client.h"
#include "cli/command.h"
#include "cli/deployments.h"
#include "cli/model_record.h"
#include "config/json_parse.h"

#include <stdlib.h>
#include <string.h>

enum { OUT_BYTES_MAX = 16 * 1024 * 1024, LISTED = 20 };

#define URL_DEFAULT "http://127.0.0.1:8000"
#define FLAG_KEY                                                                                                       \
	{                                                                                                              \
		.key = {.name = "api-key",                                                                             \
			.type = CONFIG_STRING,                                                                         \
			.help = "key to send; by default that of the environment variable OPENAI_API_KEY"},            \
		.arg = "KEY"                                                                                           \
	}
#define FLAG_JSON                                                                                                      \
	{                                                                                                              \
		.key = {.name = "json",                                                                                \
			.type = CONFIG_BOOL,                                                                           \
			.def = "false",                                                                                \
			.help = "print the server's JSON as it is" }                                                   \
	}

static const struct flag flags_table[] = {FLAG_KEY, FLAG_JSON};

/* GET path of url as JSON. NULL: said why. */
static json_t *get(const struct flags *f, const char *command, const char *url, const char *path, struct buf *text)
{
	const char *key = flags_is_set(f, "api-key") ? flags_str(f, "api-key") : getenv("OPENAI_API_KEY");
	struct chat_client *c = NULL;
	struct err err = {0};
	json_t *root = NULL;

	if (chat_client_create(&c, url, key, &err) == 0 && chat_client_get(c, path, text, &err) == 0) {
		root = json_parse(buf_str(text), text->len, 0, NULL);
		if (!root)
			err_set(&err, -EPROTO, "the server at %s answered with what is no JSON", url);
	}
	chat_client_destroy(c);
	if (!root && (err.code == -ECONNREFUSED || err.code == -ENOENT)) {
		char example[64];
		snprintf(example, sizeof example, "stator %s%s", command,
			strcmp(command, "debug") == 0 ? " index-check" : "");
		deployments_hint(&err, example);
	}
	if (!root)
		command_complain(command, "%s", err.msg);
	return root;
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}
static double num(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}
static bool has(const json_t *o, const char *key)
{
	return json_object_get(o, key) != NULL;
}

/* explain */

static void out_considered(struct buf *b, const json_t *r)
{
	const json_t *rows = json_object_get(r, "considered"), *t;
	size_t i;

	if (!json_array_size(rows))
		return;
	buf_printf(b, "\n  %-20s %9s %12s %12s %14s %12s\n", "candidate", "cached", "wait ms", "prefill ms",
		"others ms", "cost");
	json_array_foreach(rows, i, t)
	{
		buf_printf(b, "%s %-20s %4.0f/%-4.0f %12.1f %12.1f %14.1f %12.0f\n",
			strcmp(str(t, "worker"), str(r, "worker")) ? " " : "*", str(t, "worker"),
			num(t, "overlap_blocks"), num(r, "blocks"), num(t, "wait_ms"), num(t, "prefill_ms"),
			num(t, "others_ms"), num(t, "cost"));
	}
}

static void out_outcome(struct buf *b, const json_t *r)
{
	const json_t *p = json_object_get(r, "predicted"), *a = json_object_get(r, "actual");

	buf_printf(b, "\n  %-24s %12s %12s\n", "", "predicted", "actual");
	buf_printf(b, "  %-24s ", "time to first token, ms");
	if (has(p, "ttft_ms"))
		buf_printf(b, "%12.1f ", num(p, "ttft_ms"));
	else
		buf_printf(b, "%12s ", "-");
	if (has(a, "ttft_ms"))
		buf_printf(b, "%12.1f\n", num(a, "ttft_ms"));
	else
		buf_printf(b, "%12s\n", "not yet");
	buf_printf(b, "  %-24s %12.0f ", "cached tokens", num(p, "cached_tokens"));
	if (has(a, "cached_tokens"))
		buf_printf(b, "%12.0f\n", num(a, "cached_tokens"));
	else
		buf_printf(b, "%12s\n", "not yet");
}

static void out_one(struct buf *b, const json_t *r)
{
	buf_printf(b, "%s went to %s, by %s: %s\n", str(r, "id"), str(r, "worker"), str(r, "policy"), str(r, "reason"));
	buf_printf(b, "  %.0f prompt tokens of \"%s\"; %.0f of its %.0f blocks of %.0f were there or on their way\n",
		num(r, "prompt_tokens"), str(r, "model"), num(r, "overlap_blocks"), num(r, "blocks"),
		num(r, "block_size"));
	buf_printf(b,
		"  it waited %.1f ms at the router; the worker had %.0f requests and %.0f prompt tokens to compute\n",
		num(r, "queued_ms"), num(r, "outstanding"), num(r, "queued_tokens"));
	out_considered(b, r);
	out_outcome(b, r);
	buf_printf(b, "\n  state: %s, sent %.1f s ago\n", str(r, "state"), num(r, "age_s"));
}

static void out_list(struct buf *b, const json_t *root)
{
	const json_t *rows = json_object_get(root, "requests"), *r;
	size_t i;

	buf_printf(b, "%-28s %-16s %-12s %9s %10s %10s %10s\n", "request", "worker", "policy", "cached", "predicted",
		"actual ms", "state");
	json_array_foreach(rows, i, r)
	{
		const json_t *p = json_object_get(r, "predicted"), *a = json_object_get(r, "actual");
		if (i == LISTED)
			break;
		buf_printf(b, "%-28s %-16s %-12s %4.0f/%-4.0f %10.1f %10.1f %10s\n", str(r, "id"), str(r, "worker"),
			str(r, "policy"), num(r, "overlap_blocks"), num(r, "blocks"), num(p, "ttft_ms"),
			num(a, "ttft_ms"), str(r, "state"));
	}
	if (!json_array_size(rows))
		buf_add_str(b, "no request has been sent to a worker yet\n");
}

static enum exit_status explain_run(const struct flags *flags)
{
	uint32_t len;
	const char *const *args = flags_args(flags, &len);
	bool url_only = len == 1 && (strstr(args[0], "://") || strchr(args[0], ':'));
	const char *id = len && !url_only ? args[0] : NULL, *url = url_only ? args[0] : len > 1 ? args[1] : URL_DEFAULT;
	struct buf text, path, out;

	buf_init(&text, OUT_BYTES_MAX);
	buf_init(&path, 1024);
	buf_init(&out, OUT_BYTES_MAX);
	buf_printf(&path, "/stator/requests%s%s", id ? "/" : "", id ? id : "");
	json_t *root = get(flags, "explain", url, buf_str(&path), &text);
	if (root && flags_bool(flags, "json"))
		buf_printf(&out, "%s\n", buf_str(&text));
	else if (root && id)
		out_one(&out, root);
	else if (root)
		out_list(&out, root);
	/* Any server may have said it. */
	out.len = utf8_plain_text(out.data, out.len);
	enum exit_status status = root ? command_print("explain", &out) : EXIT_FAILED;
	json_decref(root);
	buf_done(&text);
	buf_done(&path);
	buf_done(&out);
	return status;
}

const struct command command_explain = {
	.spec = {.name = "explain",
		.args = "[ID] [URL]",
		.args_max = 2,
		.summary = "say why a request went to the worker it went to, and what came of it",
		.text = "ID is the request's x-request-id (also on its answer); without one the last decisions are "
			"listed. URL "
			"is the frontend's, " URL_DEFAULT " when it is left out. The last 1,024 decisions are kept.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table)},
	.run = explain_run,
};

/* debug index-check */

static void out_check(struct buf *b, const json_t *root)
{
	const json_t *rows = json_object_get(root, "workers"), *r;
	size_t i;

	buf_printf(
		b, "%-24s %-10s %10s %10s %10s %10s\n", "worker", "", "it holds", "index has", "missing", "too many");
	json_array_foreach(rows, i, r)
	{
		if (has(r, "why"))
			buf_printf(b, "%-24s %-10s %s\n", str(r, "worker"), "unknown", str(r, "why"));
		else
			buf_printf(b, "%-24s %-10s %10.0f %10.0f %10.0f %10.0f\n", str(r, "worker"), str(r, "state"),
				num(r, "held"), num(r, "index_held"), num(r, "missing"), num(r, "extra"));
	}
	buf_add_str(b, json_is_true(json_object_get(root, "equal"))
			       ? "the index is what the workers hold, block for block\n"
			       : "the index differs from what the workers hold; those that differ were asked for their "
				 "lists again\n");
}

static enum exit_status debug_run(const struct flags *flags)
{
	uint32_t len;
	const char *const *args = flags_args(flags, &len);
	struct buf text, out;

	if (len == 2 && !strcmp(args[0], "model-record"))
		return model_record_print(args[1]);
	if (!len || strcmp(args[0], "index-check")) {
		command_complain("debug", "say what to look at; there are index-check and model-record");
		return EXIT_USAGE;
	}
	buf_init(&text, OUT_BYTES_MAX);
	buf_init(&out, OUT_BYTES_MAX);
	json_t *root = get(flags, "debug", len > 1 ? args[1] : URL_DEFAULT, "/stator/index-check", &text);
	bool equal = json_is_true(json_object_get(root, "equal"));
	if (root && flags_bool(flags, "json"))
		buf_printf(&out, "%s\n", buf_str(&text));
	else if (root)
		out_check(&out, root);
	out.len = utf8_plain_text(out.data, out.len);
	enum exit_status status = root ? command_print("debug", &out) : EXIT_FAILED;
	json_decref(root);
	buf_done(&text);
	buf_done(&out);
	return status == EXIT_OK && !equal ? EXIT_FAILED : status;
}

const struct command command_debug = {
	.spec = {.name = "debug",
		.args = "index-check [URL] | model-record FILE",
		.words = "index-check model-record",
		.args_max = 2,
		.summary = "look into a running frontend, or at what a model's config.json says",
		.text = "model-record prints what is read of a config.json (and of hf_quant_config.json beside it) as a record of "
			"data/models.txt, and, as a comment, what is not known of it. index-check asks every worker which prefix blocks it holds and compares them with the "
			"router's index, "
			"block for block, while requests go on. It ends with status 1 when they differ. URL is the "
			"frontend's, " URL_DEFAULT " when it is left out.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table)},
	.run = debug_run,
};
