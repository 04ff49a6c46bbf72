/* worker.c - stator worker: one engine as a process. serve starts these; on other machines a person does. */
#include "worker/worker_main.h"
#include "base/limits.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/demo.h"
#include "cli/process_flags.h"
#include "config/nearby.h"
#include "net/addr.h"

#include <string.h>
#include <unistd.h>

/* Where an engine reuses prefixes by the token, a large block only blurs what the router knows of them. */
enum { LLAMA_BLOCK_TOKENS = 16, BLOCK_TOKENS = 64 };

static const struct flag flags_table[] = {
	{.key = {.name = "engine",
		 .type = CONFIG_ENUM,
		 .choices = "llama|mock",
		 .def = "llama",
		 .help = "what runs the model; mock pretends, by a formula of time"},
		.arg = "ENGINE"},
	{.key = {.name = "listen",
		 .type = CONFIG_STRING,
		 .help = "where frontends connect: unix:/PATH, or HOST:PORT, which needs --secret-file"},
		.letter = 'l',
		.arg = "ADDRESS"},
	{.key = {.name = "model",
		 .type = CONFIG_STRING,
		 .help = "GGUF file, or demo; for the mock engine the file whose tokenizer it borrows"},
		.letter = 'm',
		.arg = "FILE"},
	{.key = {.name = "served-model-name",
		 .type = CONFIG_STRING,
		 .help = "what clients call the model; by default the file's name"},
		.arg = "NAME"},
	{.key = {.name = "name",
		 .type = CONFIG_STRING,
		 .help = "unique in the deployment; by default engine and process id"},
		.arg = "NAME"},
	{.key = {.name = "role",
		 .type = CONFIG_ENUM,
		 .choices = "both|prefill|decode",
		 .def = "both",
		 .help = "which part of a request it takes"},
		.arg = "ROLE"},
	FLAG_SECRET_FILE("shared with frontends that connect over TCP"),
	{.key = {.name = "kv-secret-file",
		 .type = CONFIG_STRING,
		 .help = "file with the secret of the KV domain; without it the worker shares its prefixes with "
			 "nobody"},
		.arg = "FILE"},
	FLAG_DRAIN("how long running requests may go on after SIGTERM"),
	{.key = {.name = "context-length",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .max = 16777216,
		 .help = "llama: KV cells in all, 0 takes the model's context, or what fits of it; mock: longest "
			 "prompt and answer"},
		.letter = 'c',
		.arg = "TOKENS"},
	{.key = {.name = "max-model-len",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .max = TOKENS_MAX,
		 .help = "longest prompt and answer of one request; 0 takes the model's own"},
		.arg = "TOKENS"},
	{.key = {.name = "max-seqs",
		 .type = CONFIG_UINT,
		 .unit = "sequences",
		 .min = 1,
		 .max = 4096,
		 .help = "sequences that hold cells at once, running and kept for reuse"},
		.arg = "N"},
	{.key = {.name = "block-size",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .def = "0",
		 .max = 4096,
		 .help = "tokens that share one identity in the prefix cache; 0: 16 for llama, which reuses prefixes "
			 "by the "
			 "token, else 64"},
		.arg = "TOKENS"},
	{.key = {.name = "batch-size",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .min = 1,
		 .max = 1048576,
		 .help = "most tokens in one step"},
		.arg = "TOKENS"},
	{.key = {.name = "step-budget-ms",
		 .type = CONFIG_UINT,
		 .unit = "ms",
		 .def = "0",
		 .max = 60000,
		 .help = "time a step may take while others stream; 0 picks by the engine"},
		.arg = "MS"},
	{.key = {.name = "threads",
		 .type = CONFIG_UINT,
		 .unit = "threads",
		 .def = "0",
		 .max = 1024,
		 .help = "llama: compute threads; 0 takes one for each core it may use"},
		.letter = 't',
		.arg = "N"},
	{.key = {.name = "cpus", .type = CONFIG_STRING, .help = "cores to run on, such as 0-3,8"}, .arg = "LIST"},
	{.key = {.name = "deterministic",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "compute every request so that equal ones get equal answers whatever else runs; refused where "
			 "the engine cannot"}},
	{.key = {.name = "evict",
		 .type = CONFIG_ENUM,
		 .choices = "lru|age-uses",
		 .def = "age-uses",
		 .help = "which cached prefixes go first when the cells run out: the longest unused, or that with "
			 "regard to how many requests shared them"},
		.arg = "POLICY"},
	{.key = {.name = "send-interval-us",
		 .type = CONFIG_UINT,
		 .unit = "us",
		 .def = "100",
		 .max = 100000,
		 .help = "tokens of steps shorter than this leave together; a stream's first token and its end never "
			 "wait; 0 sends after every step"},
		.arg = "US"},
	{.key = {.name = "record-steps",
		 .type = CONFIG_STRING,
		 .help = "write what each step held and took to FILE, a JSON line a step, for stator sim "
			 "--engine-model fit:FILE"},
		.arg = "FILE"},
	{.key = {.name = "ubatch-size",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .min = 1,
		 .max = 65536,
		 .help = "llama: tokens computed at once"},
		.arg = "TOKENS"},
	{.key = {.name = "kv-type",
		 .type = CONFIG_ENUM,
		 .choices = "f16|q8_0",
		 .def = "f16",
		 .help = "llama: how the KV cache is stored"},
		.arg = "TYPE"},
	FLAG_FLOAT("memory-share", "1", 1,
		"llama: the part of the memory to count on when the context is not given; others take the rest"),
	{.key = {.name = "gpu-layers",
		 .type = CONFIG_INT,
		 .unit = "layers",
		 .def = "-1",
		 .min = -1,
		 .max = 10000,
		 .help = "llama: layers on the GPU; -1: all when there is one"},
		.arg = "N"},
	{.key = {.name = "blocks",
		 .type = CONFIG_UINT,
		 .unit = "blocks",
		 .def = "16384",
		 .min = 1,
		 .max = 16777216,
		 .help = "mock: KV blocks it pretends to hold"},
		.arg = "N"},
	FLAG_FLOAT("prefill-us-per-token", "50", 1000000, "mock: time of the prompt, per token"),
	FLAG_FLOAT("decode-us-base", "5000", 60000000, "mock: time of a step"),
	FLAG_FLOAT("decode-us-per-seq", "100", 1000000, "mock: time of each sequence that decodes in a step"),
	FLAG_FLOAT("jitter", "0", 1, "mock: times vary by up to this share"),
	FLAG_FLOAT("speedup", "1", 1000000, "mock: divide all times by this"),
	{.key = {.name = "answer-min",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .def = "16",
		 .min = 1,
		 .max = TOKENS_MAX,
		 .help = "mock: shortest answer when nothing else ends it"},
		.arg = "TOKENS"},
	{.key = {.name = "answer-max",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .def = "256",
		 .min = 1,
		 .max = TOKENS_MAX,
		 .help = "mock: longest answer when nothing else ends it"},
		.arg = "TOKENS"},
	{.key = {.name = "fault",
		 .type = CONFIG_ENUM,
		 .choices = "none|error|hang|crash|garbage",
		 .def = "none",
		 .help = "mock: how a step goes wrong, to try what a deployment does then"},
		.arg = "KIND"},
	{.key = {.name = "fault-after",
		 .type = CONFIG_UINT,
		 .unit = "steps",
		 .def = "0",
		 .max = 1000000000,
		 .help = "mock: steps that are well before the fault"},
		.arg = "STEPS"},
	FLAG_STATUS_FD,
	FLAG_LOG_LEVEL,
	FLAG_LOG_JSON,
};

static void options_mock(const struct flags *f, struct worker_options *o)
{
	uint64_t cells = flags_uint(f, "blocks") * o->block_size;

	o->context_max = (uint32_t)flags_uint(f, "context-length");
	o->context_max = o->context_max ? o->context_max : 32768;
	o->cells = (uint32_t)MIN(cells, (uint64_t)UINT32_MAX);
	o->seqs = o->seqs ? o->seqs : 256;
	o->batch_tokens_max = o->batch_tokens_max ? o->batch_tokens_max : 8192;
	o->answer_min = (uint32_t)flags_uint(f, "answer-min");
	o->answer_max = (uint32_t)flags_uint(f, "answer-max");
	o->fault = flags_str(f, "fault");
	o->fault_after = flags_uint(f, "fault-after");
	o->timing = (struct timing_model){.base_us = flags_float(f, "decode-us-base"),
		.prefill_token_us = flags_float(f, "prefill-us-per-token"),
		.decode_seq_us = flags_float(f, "decode-us-per-seq"),
		.jitter = flags_float(f, "jitter"),
		.speedup = flags_float(f, "speedup")};
}

static void options_llama(const struct flags *f, struct worker_options *o)
{
	o->cells = (uint32_t)flags_uint(f, "context-length");
	o->context_max = (uint32_t)flags_uint(f, "max-model-len");
	o->batch_tokens_max = o->batch_tokens_max ? o->batch_tokens_max : 2048;
	o->threads = (uint32_t)flags_uint(f, "threads");
	o->ubatch_tokens_max = (uint32_t)flags_uint(f, "ubatch-size");
	o->kv_type = flags_str(f, "kv-type");
	o->gpu_layers = (int32_t)flags_int(f, "gpu-layers");
	o->memory_share = flags_float(f, "memory-share");
}

static void options_get(const struct flags *f, struct worker_options *o)
{
	worker_options_init(o);
	o->engine = flags_str(f, "engine");
	o->name = flags_str(f, "name");
	o->role = flags_str(f, "role");
	o->listen = flags_str(f, "listen");
	o->model = flags_str(f, "model");
	o->served_name = flags_str(f, "served-model-name");
	o->secret_file = flags_str(f, "secret-file");
	o->kv_secret_file = flags_str(f, "kv-secret-file");
	o->cpus = flags_str(f, "cpus");
	o->evict = flags_str(f, "evict");
	o->deterministic = flags_bool(f, "deterministic");
	o->record_steps = flags_str(f, "record-steps");
	o->send_interval_us = (uint32_t)flags_uint(f, "send-interval-us");
	o->status_fd = (int)flags_int(f, "status-fd");
	o->drain_ms = flags_duration_us(f, "drain-timeout") / 1000;
	o->seqs = (uint32_t)flags_uint(f, "max-seqs");
	o->block_size = (uint32_t)flags_uint(f, "block-size");
	if (!o->block_size)
		o->block_size = strcmp(o->engine, "llama") == 0 ? LLAMA_BLOCK_TOKENS : BLOCK_TOKENS;
	o->batch_tokens_max = (uint32_t)flags_uint(f, "batch-size");
	o->step_budget_us = flags_uint(f, "step-budget-ms") * 1000;
	if (strcmp(o->engine, "mock") == 0)
		options_mock(f, o);
	else
		options_llama(f, o);
}

/* What the worker itself would find out only when its model is loaded. */
static int listen_check(const struct worker_options *o, struct err *err)
{
	struct net_target target;

	if (!o->listen || !*o->listen)
		return err_set(err, -EINVAL, "no address to listen on is given: --listen unix:/PATH, or HOST:PORT");
	if (net_target_parse(o->listen, &target, err) < 0)
		return -EINVAL;
	if (target.kind == NET_ADDR_TCP && (!o->secret_file || !*o->secret_file))
		return err_set(err, -EINVAL,
			"--listen %s: a worker on TCP needs a secret that it shares with its frontends: --secret-file FILE",
			o->listen);
	return 0;
}

static enum exit_status worker_run(const struct flags *flags)
{
	struct worker_options options;
	struct arena arena;
	struct err err = {0};

	process_log_setup(flags);
	options_get(flags, &options);
	if (listen_check(&options, &err) < 0) {
		command_complain("worker", "%s", err.msg);
		return EXIT_USAGE;
	}
	arena_init(&arena, 64 * 1024);
	if (options.model && strcmp(options.model, "demo") == 0 && strcmp(options.engine, "llama") == 0)
		options.model = demo_model_path(&arena);
	int r = worker_main(&options, &err);
	if (r < 0 && options.model && access(options.model, R_OK | F_OK) < 0)
		nearby_hint(&err, options.model, ".gguf", "--model takes a GGUF file, or demo");
	if (r < 0 && options.status_fd < 0) /* else the supervisor was told, and tells */
		command_complain("worker", "%s", err.msg);
	arena_done(&arena);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

const struct command command_worker = {
	.spec = {.name = "worker",
		.args = "",
		.summary = "run one engine for frontends to use; serve starts these by itself",
		.text = "Loads a model and serves it over frames on --listen, to any number of frontends. SIGTERM "
			"drains. Start it "
			"by hand to put workers on other machines.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table)},
	.run = worker_run,
};
