/* sim.c - stator sim: a trace played against simulated workers behind the real router. */
#include "base/json_out.h"
#include "cli/command.h"
#include "sim/replay.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct flag flags_table[] = {
	{.key = {.name = "trace", .type = CONFIG_STRING, .help = "the load: Mooncake JSONL, or the plain form"},
		.letter = 't',
		.arg = "FILE"},
	{.key = {.name = "workers",
		 .type = CONFIG_UINT,
		 .def = "8",
		 .min = 1,
		 .max = REPLAY_WORKERS_MAX,
		 .help = "simulated workers"},
		.letter = 'w',
		.arg = "N"},
	{.key = {.name = "engine-model",
		 .type = CONFIG_STRING,
		 .def = "dynamo-mocker",
		 .help = "how long a step takes: dynamo-mocker, mock, or fit:FILE of recorded steps"},
		.arg = "NAME"},
	{.key = {.name = "block-size",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .def = "0",
		 .max = 65536,
		 .help = "tokens of a KV block; 0: the engine model's"},
		.arg = "TOKENS"},
	{.key = {.name = "blocks",
		 .type = CONFIG_UINT,
		 .def = "0",
		 .max = 16777216,
		 .help = "KV blocks of each worker; 0: the engine model's"},
		.letter = 'b',
		.arg = "N"},
	{.key = {.name = "policy",
		 .type = CONFIG_STRING,
		 .def = "finish-time",
		 .help = "who gets a request; settings behind a colon, as in dynamo-kv:prefill_load_scale=16"},
		.letter = 'p',
		.arg = "NAME"},
	{.key = {.name = "evict",
		 .type = CONFIG_STRING,
		 .def = "lru",
		 .help = "which cached block goes first: lru or age-uses"},
		.arg = "NAME"},
	{.key = {.name = "speed",
		 .type = CONFIG_FLOAT,
		 .def = "1",
		 .min = 0.001,
		 .max = 1000,
		 .help = "divide the times between arrivals"},
		.letter = 'x',
		.arg = "X"},
	{.key = {.name = "jitter-ms",
		 .type = CONFIG_UINT,
		 .unit = "ms",
		 .def = "0",
		 .max = 3600000,
		 .help = "move each arrival by a draw of its own, up to so much later"},
		.arg = "MS"},
	{.key = {.name = "frontends",
		 .type = CONFIG_UINT,
		 .def = "1",
		 .min = 1,
		 .max = REPLAY_FRONTENDS_MAX,
		 .help = "routers in front of the same workers, which know of each other only by the workers' reports"},
		.arg = "N"},
	{.key = {.name = "worker-speed",
		 .type = CONFIG_LIST,
		 .help = "speed of each worker in turn, begun again when it is short: 1,0.5 makes every other one half "
			 "as fast"},
		.arg = "X,..."},
	{.key = {.name = "requests",
		 .type = CONFIG_UINT,
		 .def = "0",
		 .max = 4294967295.0,
		 .help = "only the first N of the trace; 0: all"},
		.letter = 'n',
		.arg = "N"},
	{.key = {.name = "seed", .type = CONFIG_UINT, .def = "1", .help = "the same seed gives the same run"},
		.arg = "N"},
	{.key = {.name = "json", .type = CONFIG_BOOL, .def = "false", .help = "print one JSON object"}},
};

static void stats_json(struct buf *out, const char *name, const struct stats *s)
{
	buf_printf(out, "\"%s\":{\"mean\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f}", name, s->mean, s->p50, s->p90,
		s->p99);
}

static void json_print(struct buf *out, const char *policy, const struct replay_result *r)
{
	buf_add_str(out, "{\"policy\":");
	json_out_cstr(out, policy);
	buf_printf(out, ",\"requests\":%u,\"completed\":%u,", r->requests, r->completed);
	stats_json(out, "ttft_ms", &r->ttft);
	buf_add_byte(out, ',');
	stats_json(out, "tpot_ms", &r->tpot);
	buf_add_byte(out, ',');
	stats_json(out, "e2e_ms", &r->e2e);
	buf_printf(out, ",\"reuse\":%.4f,\"wall_s\":%.3f}\n", r->reuse, r->wall_s);
}

static int speeds_read(struct replay_config *c, const struct flags *flags, struct err *err)
{
	uint32_t len;
	const char *const *list = flags_list(flags, "worker-speed", &len);

	for (uint32_t i = 0; len && i < c->workers; i++) {
		char *end;
		const char *word = list[i % len];
		c->speeds[i] = strtod(word, &end);
		if (*end || end == word || !(c->speeds[i] >= 0.001 && c->speeds[i] <= 1000))
			return err_set(err, -EINVAL, "worker speed \"%s\" is not a number from 0.001 to 1000", word);
	}
	return 0;
}

static int config_read(struct replay_config *c, struct sim_model *model, const struct flags *flags, struct err *err)
{
	replay_config_default(c);
	if (sim_model_find(model, flags_str(flags, "engine-model"), err) < 0)
		return err->code;
	c->model = model;
	c->policy = route_policy_parse(flags_str(flags, "policy"), &c->knobs, err);
	if (!c->policy)
		return -EINVAL;
	c->evict = kv_evict_find(flags_str(flags, "evict"));
	if (!c->evict)
		return err_set(err, -EINVAL, "unknown eviction policy \"%s\"; there are lru and age-uses",
			flags_str(flags, "evict"));
	c->workers = (uint32_t)flags_uint(flags, "workers");
	c->frontends = (uint32_t)flags_uint(flags, "frontends");
	c->seed = flags_uint(flags, "seed");
	c->block_size = (uint32_t)flags_uint(flags, "block-size");
	c->blocks = (uint32_t)flags_uint(flags, "blocks");
	c->block_size = c->block_size ? c->block_size : model->block_size;
	c->blocks = c->blocks ? c->blocks : model->blocks;
	return speeds_read(c, flags, err);
}

static int trace_get(struct trace *ret, const struct replay_config *c, const struct flags *flags, struct err *err)
{
	if (trace_read(ret, flags_str(flags, "trace"), c->block_size, err) < 0)
		return err->code;
	if (flags_uint(flags, "requests"))
		trace_cut(ret, (uint32_t)flags_uint(flags, "requests"));
	if (flags_uint(flags, "jitter-ms"))
		trace_jitter(ret, (uint32_t)flags_uint(flags, "jitter-ms"), c->seed);
	trace_speed_up(ret, flags_float(flags, "speed"));
	return 0;
}

static enum exit_status sim_run(const struct flags *flags)
{
	static struct replay_config config;
	struct sim_model model;
	struct trace trace = {0};
	struct err err = {0};
	struct replay_result result;
	struct buf out;

	if (!flags_str(flags, "trace")) {
		command_complain("sim", "which load? stator sim --trace FILE");
		return EXIT_USAGE;
	}
	if (config_read(&config, &model, flags, &err) < 0 || trace_get(&trace, &config, flags, &err) < 0) {
		command_complain("sim", "%s", err.msg);
		return EXIT_USAGE;
	}
	config.trace = &trace;
	int code = replay_run(&result, &config, &err);
	enum exit_status status = EXIT_FAILED;
	if (code < 0)
		command_complain("sim", "%s", err.msg);
	else {
		buf_init(&out, 64 * 1024);
		json_print(&out, flags_str(flags, "policy"), &result);
		status = command_print("sim", &out);
		buf_done(&out);
		replay_result_done(&result);
	}
	trace_done(&trace);
	return status;
}

const struct command command_sim = {
	.spec = {.name = "sim",
		.args = "",
		.summary = "play a trace against simulated workers behind the real router",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table)},
	.run = sim_run,
};
