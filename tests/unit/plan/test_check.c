/* Each check of the planner, by a graph that it has something to say of, and by the place and words it says it with. */
#include "plan/plan.h"
#include "plan/report.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"

#include <stdio.h>

#define M "  model: DeepSeek-R1-Distill-Qwen-14B\n"
#define G(n) "  ServiceArgs: {workers: 1, resources: {gpu: " #n "}}\n"
#define KV "  kv-transfer-config: '{\"kv_connector\": \"NixlConnector\"}'\n"

#define TINY "VllmWorker:\n  model: TinyLlama/TinyLlama-1.1B-Chat-v1.0\n"

struct given {
	const char *cards, *yaml, *code;
	enum finding_severity severity;
	uint32_t line; /* 0: it has no place */
	const char *says; /* part of what is said, or of its arithmetic or remedy */
};

static const struct given table[] = {
	{"4xT4", "VllmWorker:\n" M "  tensor-parallel-size: 4\n  ServiceArgs: {workers: 2, resources: {gpu: 4}}\n",
		"gpus-short", FINDING_FATAL, 4, "8 > 4"},
	{"0", "VllmWorker:\n" M G(1), "gpus-none", FINDING_FATAL, 3, "there is none"},
	{"3xA100-80GB;1xA100-80GB", "VllmWorker:\n" M "  tensor-parallel-size: 4\n" G(4), "gpus-host", FINDING_FATAL, 4,
		"no host has more than 3"},
	{"2xA100-80GB;2xA100-40GB", "VllmWorker:\n" M "  tensor-parallel-size: 4\n" G(4), "gpus-host", FINDING_FATAL, 4,
		"no host has more than 2"},
	{"2xA100-80GB;2xA100-80GB", "VllmWorker:\n" M "  tensor-parallel-size: 4\n" G(4), "worker-hosts",
		FINDING_WARNING, 3,
		"2 A100-80GB of each of the hosts 1 and 2: they wait for the network twice a layer"},
	{"2xA100-80GB;2xA100-80GB", "VllmWorker:\n" M "  tensor-parallel-size: 4\n" G(4), "worker-hosts",
		FINDING_WARNING, 3, "tensor-parallel-size: 2 with pipeline-parallel-size: 2"},
	{"2xA100-80GB;2xA100-80GB", "VllmWorker:\n" M "  tensor-parallel-size: 2\n  pipeline-parallel-size: 2\n" G(4),
		"worker-hosts", FINDING_WARNING, 3, "they hand over to each other"},
	{"1xT4;1xT4", "VllmWorker:\n" M "  dtype: float16\n  tensor-parallel-size: 2\n" G(2), "memory-weights",
		FINDING_FATAL, 4, "13.8 GiB"},
	{"2xA100-80GB;2xA100-80GB;2xA100-80GB",
		"A:\n  engine: vllm\n" M "  ServiceArgs: {workers: 3, resources: {gpu: 1}}\nB:\n  engine: vllm\n" M
		"  tensor-parallel-size: 2\n  ServiceArgs: {workers: 2, resources: {gpu: 2}}\n",
		"gpus-short", FINDING_FATAL, 9, "7 > 6"},
	{"3xA100-80GB;3xA100-80GB",
		"VllmWorker:\n" M "  tensor-parallel-size: 2\n  ServiceArgs: {workers: 3, resources: {gpu: 2}}\n",
		"gpus-apart", FINDING_FATAL, 4, "in one place"},
	{"4xT4", "VllmWorker:\n" M "  ServiceArgs:\n    envs: {CUDA_VISIBLE_DEVICES: \"4\"}\n", "device-absent",
		FINDING_FATAL, 4, "index 4"},
	{"4xA100-80GB",
		"VllmWorker:\n" M
		"  tensor-parallel-size: 2\n  ServiceArgs:\n    envs: {CUDA_VISIBLE_DEVICES: \"0\"}\n",
		"device-few", FINDING_FATAL, 5, "computes on 2"},
	{"2xA100-80GB", "VllmWorker:\n" M "  ServiceArgs:\n    workers: 2\n    envs: {CUDA_VISIBLE_DEVICES: \"1\"}\n",
		"device-shared", FINDING_FATAL, 5, "GPU 1"},
	{"2xA100-80GB", "VllmWorker:\n" M G(1), "gpus-idle", FINDING_INFO, 0, "1 of 2 GPUs"},
	{"1xT4", "VllmWorker:\n" M "  dtype: float16\n" G(1), "memory-weights", FINDING_FATAL, 4, "27.5 GiB"},
	{"2xT4", "VllmWorker:\n" M "  dtype: float16\n  tensor-parallel-size: 2\n" G(2), "memory-weights",
		FINDING_FATAL, 4, "13.8 GiB"},
	{"4xT4", "VllmWorker:\n" M "  dtype: float16\n  tensor-parallel-size: 4\n" G(4), "memory-context",
		FINDING_FATAL, 1, "is the largest that fits"},
	{"1xA100-40GB", "VllmWorker:\n" M "  max-model-len: 131072\n" G(1), "memory-context", FINDING_FATAL, 3,
		"131072"},
	{"1xRTX-3060",
		"VllmWorker:\n  model: meta-llama/Llama-3.1-8B-Instruct\n  quantization: fp8\n  max-model-len: 2048\n" G(
			1),
		"memory-made", FINDING_WARNING, 3, "15.0 GiB on a card of"},
	/* Of a model that is not known, its name may be enough to know that it never fits. */
	{"1xL4", "VllmWorker:\n  model: acme/Sparrow-70B-Instruct\n" G(1), "weights-by-name", FINDING_FATAL, 2,
		"27.7 GiB at the least"},
	{"1xL4", "VllmWorker:\n  model: acme/Sparrow-7B-Instruct\n" G(1), "model-unknown", FINDING_WARNING, 2,
		"13.0 GiB at 16 bits each"},
	{"4xT4", "VllmWorker:\n" M "  tensor-parallel-size: 3\n" G(3), "tp-divides", FINDING_FATAL, 3, "1, 2, 4, 8"},
	{"4xT4", "VllmWorker:\n" M "  max-model-len: 8192\n  tensor-parallel-size: 4\n" G(4), "tp-pcie",
		FINDING_WARNING, 4, "predicted"},
	{"4xT4", "VllmWorker:\n" M "  dtype: bfloat16\n" G(1), "dtype", FINDING_FATAL, 3, "float16"},
	{"4xT4", "VllmWorker:\n" M G(1), "dtype", FINDING_WARNING, 1, "float16"},
	{"4xT4", "VllmWorker:\n" M G(1), "attention", FINDING_INFO, 0, "harmless"},
	{"4xT4", "VllmWorker:\n" M "  attention-backend: FLASH_ATTN\n" G(1), "attention", FINDING_FATAL, 3,
		"FLASH_ATTN"},
	{"1xT4", "VllmWorker:\n" M "  quantization: mxfp4\n" G(1), "quantization", FINDING_FATAL, 3, "mxfp4"},
	{"1xA100-80GB", "VllmWorker:\n" M "  quantization: awq\n" G(1), "quantization-weights", FINDING_WARNING, 3,
		"awq"},
	{"1xT4", "VllmWorker:\n" M "  kv-cache-dtype: fp8\n" G(1), "kv-dtype", FINDING_FATAL, 3, "auto"},
	{"1xA100-80GB", "VllmWorker:\n" M "  max-model-len: 200000\n" G(1), "context-max", FINDING_FATAL, 3, "131072"},
	{"1xA100-80GB", "VllmWorker:\n" M "  max-num-batched-tokens: 128\n" G(1), "batch-seqs", FINDING_FATAL, 3,
		"256"},
	{"1xA100-80GB",
		"VllmWorker:\n" M
		"  max-num-batched-tokens: 2048\n  max-model-len: 8192\n  enable-chunked-prefill: false\n" G(1),
		"batch-context", FINDING_FATAL, 3, "8192"},
	{"1xP40", "VllmWorker:\n" M G(1), "engine-card", FINDING_FATAL, 1, "P40"},
	{"1xA100-80GB,1xL4", "VllmWorker:\n" M "  max-model-len: 4096\n  tensor-parallel-size: 2\n" G(2), "tp-mixed",
		FINDING_WARNING, 5, "different cards"},
	{"2xA100-80GB:40GiB", "VllmWorker:\n" M "  max-model-len: 4096\n  tensor-parallel-size: 2\n" G(2), "tp-mig",
		FINDING_FATAL, 4, "MIG"},
	{"2xA100-80GB",
		"VllmWorker:\n" M KV "  remote-prefill: true\n  block-size: 32\n" G(1) "PrefillWorker:\n" M KV
										       "  block-size: 16\n" G(1),
		"pair-differs", FINDING_FATAL, 10, "16 here and 32 there"},
	{"2xA100-80GB", "VllmWorker:\n" M "  remote-prefill: true\n" G(1) "PrefillWorker:\n" M KV G(1), "pair-transfer",
		FINDING_FATAL, 1, "kv-transfer-config"},
	{"3xA100-80GB",
		"VllmWorker:\n" M KV "  remote-prefill: true\n" G(1) "PrefillWorker:\n" M KV
								     "  tensor-parallel-size: 2\n" G(2),
		"pair-tp", FINDING_FATAL, 9, "from a wider one"},
	{"8xH100", "VllmWorker:\n  model: Qwen/Qwen3-235B-A22B-FP8\n  tensor-parallel-size: 8\n" G(8),
		"quantization-divides", FINDING_FATAL, 3, "1536 / 8 = 192 = 1.50 x 128"},
	{"8xH100", "VllmWorker:\n  model: Qwen/Qwen2.5-14B-Instruct-AWQ\n  tensor-parallel-size: 8\n" G(8),
		"quantization-divides", FINDING_FATAL, 3, "one of 1, 2, 4"},
	{"4xA100-80GB",
		"VllmWorker:\n" M KV G(1) "PrefillWorker:\n" M KV "  ServiceArgs: {workers: 3, resources: {gpu: 1}}\n",
		"prefill-unused", FINDING_WARNING, 5, "3 workers of PrefillWorker stay idle"},
	{"1xA100-80GB", "VllmWorker:\n" M "  ServiceArgs: {workers: 0}\n", "workers-none", FINDING_FATAL, 3,
		"no worker runs: VllmWorker has"},
	{"1xA100-80GB", "VllmWorker:\n" M "  block-size: 24\n" G(1), "block-size", FINDING_FATAL, 3,
		"1, 8, 16, 32, 64, 128"},
	{"1xA100-80GB", "VllmWorker:\n" M "  block-size: 48\n" G(1), "block-size", FINDING_WARNING, 3, "up to 0.11"},
	{"1xA100-80GB", "VllmWorker:\n" M "  quantization: awk\n" G(1), "quantization-unknown", FINDING_FATAL, 3,
		"did you mean \"awq\""},
	{"1xA100-80GB", "SglangWorker:\n  engine: sglang\n" M "  quantization: deepspeedfp\n" G(1),
		"quantization-unknown", FINDING_FATAL, 4, "SGLang has no"},
	{"1xH100", "VllmWorker:\n  model: Qwen/Qwen2.5-14B-Instruct-AWQ\n  quantization: modelopt\n" G(1),
		"quantization-weights", FINDING_FATAL, 3, "files are awq"},
	{"1xA100-80GB", "PrefillWorker:\n" M KV G(1), "prefill-alone", FINDING_FATAL, 1, "no worker that decodes"},
	{"1xA100-80GB", "VllmWorker:\n" M "  remote-prefill: true\n" G(1), "decode-alone", FINDING_WARNING, 3,
		"no worker prefills"},
	{"1xA100-80GB", "VllmWorker:\n  model: DeepSeek-R1-Distill-Qwen-14B\n  role: decode\n" G(1), "decode-alone",
		FINDING_FATAL, 1, "prefill"},
	{"2xA100-80GB",
		"Router: {mode: kv}\nA:\n  engine: vllm\n" M "  block-size: 16\n" G(1) "B:\n  engine: vllm\n" M
										       "  block-size: 32\n" G(1),
		"block-differs", FINDING_WARNING, 10, "16"},
	{"4xL4;4xL4", TINY "  tensor-parallel-size: 16\n" G(4), "gpus-given", FINDING_FATAL, 4,
		"tensor-parallel-size 16 = 16 > 4"},
	{"4xL4;4xL4", TINY "  tensor-parallel-size: 16\n" G(4), "gpus-given", FINDING_FATAL, 4,
		"4 KV heads among 16 GPUs: each is kept 4 times"},
	{"4xL4;4xL4", TINY "  tensor-parallel-size: 16\n" G(4), "gpus-given", FINDING_FATAL, 4,
		"tensor-parallel-size: 4, which it is given"},
	{"8xL4;8xL4", TINY "  tensor-parallel-size: 16\n" G(8), "gpus-given", FINDING_FATAL, 4,
		"ServiceArgs.resources.gpu: 16, all that it computes on"},
	{"4xL4", TINY "  tensor-parallel-size: 2\n  data-parallel-size: 2\n" G(2), "gpus-given", FINDING_FATAL, 5,
		"tensor-parallel-size 2 x data-parallel-size 2 = 4 > 2"},
	{"2xL4", TINY "  tensor-parallel-size: 2\n" G(0.5), "gpus-given", FINDING_FATAL, 4, "gives it 0.5"},
	{"8xL4", TINY "  tensor-parallel-size: 2\n" G(8), "gpus-unused", FINDING_WARNING, 4, "it computes on 2"},
	{"8xL4", "SglangWorker:\n" M "  tp: 2\n  dp-size: 2\n" G(8), "gpus-unused", FINDING_WARNING, 5,
		"it computes on 4 (tp 2 x dp-size 2)"},
	{"2xH100",
		"VllmWorker:\n  model: Qwen/Qwen2.5-72B-Instruct\n  max-model-len: 2048\n  tensor-parallel-size: 2\n" G(
			2),
		"memory-weights", FINDING_FATAL, 4, "vLLM 0.17 as it is: --engine-version vllm=0.17.0 plans for it"},
	{"1xH100", "VllmWorker:\n  model: Qwen/Qwen3-32B\n  max-model-len: 22000\n" G(1), "memory-release",
		FINDING_WARNING, 1, "0.17 and later leaves"},
	{"1xA100-80GB", "VllmWorker:\n  model: Qwen/Qwen2.5-32B-Instruct\n" G(1), "memory-close", FINDING_WARNING, 1,
		"less than the newest releases are known by"},
};

static bool contains(const char *text, const char *part)
{
	return text && strstr(text, part);
}

static void every_check_says_its_piece_at_its_place(void **state)
{
	uint32_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct given *g = &table[i];
		const struct finding *found = NULL;
		struct plan_world w;
		struct plan p;
		struct buf all;
		struct err err;

		plan_world_of(&w, g->yaml, g->cards);
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		buf_init(&all, 1 << 20);
		findings_print(&p.findings, &(struct findings_look){.least = FINDING_INFO}, &all);
		for (uint32_t k = 0; k < p.findings.len && !found; k++)
			if (!strcmp(p.findings.items[k].code, g->code))
				found = &p.findings.items[k];
		if (!found) {
			print_error("%s on %s: no finding %s among\n%s", g->yaml, g->cards, g->code, buf_str(&all));
			wrong++;
		} else if (found->severity != g->severity || found->line != g->line) {
			print_error("%s: severity %d, line %u\n%s\n%s", g->code, found->severity, found->line, g->yaml,
				buf_str(&all));
			wrong++;
		} else if (!contains(found->what, g->says) && !contains(found->arithmetic, g->says) &&
			   !contains(found->remedy, g->says)) {
			print_error("%s does not say \"%s\":\n%s", g->code, g->says, buf_str(&all));
			wrong++;
		}
		buf_done(&all);
		plan_done(&p);
		plan_world_done(&w);
	}
	assert_int_equal(wrong, 0);
}

/* The host: facts are given, nothing is looked at. */

static void expect(
	struct plan_world *w, const struct plan_environment *e, const char *code, enum finding_severity severity)
{
	struct plan p;
	struct err err;
	bool found = false;

	w->input.environment = e;
	assert_int_equal(plan_make(&p, &w->input, &err), 0);
	for (uint32_t i = 0; i < p.findings.len; i++)
		found |= !strcmp(p.findings.items[i].code, code) && p.findings.items[i].severity == severity;
	if (!found)
		fail_msg("no finding %s", code);
	plan_done(&p);
}

static void small_shared_memory_and_few_files_are_told(void **state)
{
	struct plan_world w;

	(void)state;
	plan_world_of(&w, "VllmWorker:\n" M "  max-model-len: 4096\n  tensor-parallel-size: 2\n" G(2), "2xA100-80GB");
	w.inventory.host_facts.shm_total = w.inventory.host_facts.shm_free = 64 << 20;
	w.inventory.host_facts.open_files = 1024;
	expect(&w, NULL, "shm", FINDING_FATAL);
	expect(&w, NULL, "open-files", FINDING_WARNING);
	w.inventory.host_facts.shm_free = 512 << 20;
	expect(&w, NULL, "shm", FINDING_WARNING);
	plan_world_done(&w);
}

static void a_taken_port_a_missing_engine_and_a_full_disk_are_told(void **state)
{
	const struct plan_environment e = {.known = true, .ports_used = {8000}, .ports_used_len = 1};
	struct plan_world w;

	(void)state;
	plan_world_of(&w, "Frontend:\n  port: 8000\nVllmWorker:\n" M G(1), "1xA100-80GB");
	w.inventory.host_facts.disk_free = 10ull << 30;
	expect(&w, &e, "port-used", FINDING_FATAL);
	expect(&w, &e, "engine-missing", FINDING_WARNING);
	expect(&w, &e, "disk", FINDING_WARNING);
	plan_world_done(&w);
}

static void llama_workers_share_weights_and_divide_ram_and_cores(void **state)
{
	struct plan_world w;

	(void)state;
	plan_world_of(
		&w, "LlamaWorker:\n" M "  context-length: 65536\n  threads: 16\n  ServiceArgs: {workers: 4}\n", "0");
	w.inventory.host_facts.ram_total = 48ull << 30;
	w.inventory.host_facts.cores = 16;
	expect(&w, NULL, "ram", FINDING_FATAL);
	expect(&w, NULL, "threads", FINDING_WARNING);
	w.inventory.host_facts.ram_total = 128ull << 30;
	w.inventory.host_facts.ram_available = 16ull << 30;
	expect(&w, NULL, "ram-busy", FINDING_WARNING);
	w.inventory.host_facts.cores = 2;
	w.inventory.host_facts.numa_nodes = 8;
	expect(&w, NULL, "numa", FINDING_INFO);
	plan_world_done(&w);
}

static void memory_that_others_hold_is_told_card_by_card(void **state)
{
	struct plan_world w;

	(void)state;
	plan_world_of(&w, "VllmWorker:\n" M "  max-model-len: 4096\n  ServiceArgs: {workers: 2, resources: {gpu: 1}}\n",
		"2xA100-80GB");
	w.inventory.devices[1].memory_free /= 2;
	expect(&w, NULL, "memory-taken", FINDING_FATAL);
	plan_world_done(&w);
}

static void what_fits_has_no_fatal_finding_and_every_worker_a_card(void **state)
{
	struct plan_world w;
	struct plan p;
	struct err err;

	(void)state;
	plan_world_of(&w,
		"VllmWorker:\n" M KV "  remote-prefill: true\n  max-model-len: 16384\n" G(
			1) "PrefillWorker:\n" M KV "  max-model-len: 16384\n" G(1),
		"2xA100-80GB");
	assert_int_equal(plan_make(&p, &w.input, &err), 0);
	assert_true(plan_fits(&p));
	assert_int_equal(p.findings.warnings, 0);
	assert_int_equal(p.placement.placed, 2);
	assert_int_equal(p.placement.cards[0], 0);
	assert_int_equal(p.placement.cards[1], 1);
	plan_done(&p);
	plan_world_done(&w);
}

/* Two hosts: numbers of GPUs begin again on each, so each bar and each finding says which. */
static void several_hosts_are_named_in_bars_and_findings(void **state)
{
	struct plan_world w;
	struct plan p;
	struct err err;
	struct buf out;

	(void)state;
	plan_world_of(&w, "VllmWorker:\n" M "  max-model-len: 4096\n  ServiceArgs: {workers: 2, resources: {gpu: 1}}\n",
		"1xA100-80GB;1xA100-80GB");
	w.inventory.devices[1].memory_free /= 2;
	assert_int_equal(plan_make(&p, &w.input, &err), 0);
	buf_init(&out, 1 << 20);
	findings_print(&p.findings, &(struct findings_look){.columns = 200}, &out);
	assert_non_null(strstr(buf_str(&out), "host 2, GPU 0 (A100-80GB) has"));
	assert_null(strstr(buf_str(&out), "host 1"));
	plan_bars_text(&p, false, 100, &out);
	assert_non_null(strstr(buf_str(&out), "host 1, GPU 0 A100-80GB "));
	assert_non_null(strstr(buf_str(&out), "host 2, GPU 0 A100-80GB "));
	buf_done(&out);
	plan_done(&p);
	plan_world_done(&w);
}

/* The fewest hosts of one kind of card, each with as many; what is left of them stays for others. */
static void a_worker_wider_than_every_host_takes_as_few_as_will_do(void **state)
{
	static const uint32_t hosts[] = {1, 1, 1, 1, 3, 3, 3, 3};
	struct buf json;
	struct plan_world w;
	struct plan p;
	struct err err;

	(void)state;
	plan_world_of(&w,
		"VllmWorker:\n" M "  max-model-len: 8192\n  tensor-parallel-size: 8\n" G(
			8) "Other:\n  engine: vllm\n" M
			   "  max-model-len: 8192\n  ServiceArgs: {workers: 2, resources: {gpu: 1}}\n",
		"2xL4;4xA100-80GB;4xL4;5xA100-80GB;1xA100-80GB");
	assert_int_equal(plan_make(&p, &w.input, &err), 0);
	assert_true(plan_fits(&p));
	assert_int_equal(p.placement.placed, 3);
	assert_int_equal(p.placement.slots[0].count, 8);
	for (uint32_t k = 0; k < 8; k++)
		assert_int_equal(w.inventory.devices[p.placement.cards[p.placement.slots[0].first + k]].host, hosts[k]);
	for (uint32_t i = 0; i < w.inventory.count; i++)
		assert_true(p.placement.users[i] <= 1);
	buf_init(&json, 1 << 20);
	plan_report_json(&(struct plan_report){.asked = &p, .command = "x"}, &json);
	assert_non_null(strstr(buf_str(&json), "\"hosts\":[1,1,1,1,3,3,3,3]"));
	buf_done(&json);
	plan_done(&p);
	plan_world_done(&w);
}

/* As published and run: nothing may be said of the split. */
/* Who feeds whom is in the graph, whatever the model is. */
static void prefill_workers_that_nobody_feeds_are_told_of_an_unknown_model_too(void **state)
{
	struct plan_world w;

	(void)state;
	plan_world_of(&w, "VllmWorker:\n" M KV G(1) "PrefillWorker:\n" M KV G(1), "2xA100-80GB");
	for (uint32_t i = 0; i < w.graph->len; i++)
		w.models[i] = (struct plan_model){.why = "nobody knows it"};
	expect(&w, NULL, "prefill-unused", FINDING_WARNING);
	plan_world_done(&w);
}

static void methods_are_named_as_the_engine_names_them(void **state)
{
	static const char *const runs[][2] = {
		{"8xH100", "VllmWorker:\n  model: nvidia/Llama-3.1-405B-Instruct-FP8\n  quantization: modelopt\n"
			   "  tensor-parallel-size: 8\n" G(8)},
		{"1xA100-80GB",
			"VllmWorker:\n  model: Qwen/Qwen2.5-14B-Instruct-AWQ\n  quantization: awq_marlin\n" G(1)},
		{"1xA100-80GB",
			"VllmWorker:\n  model: Qwen/Qwen2.5-14B-Instruct-AWQ\n  quantization: moe_wna16\n" G(1)},
		{"1xH100", "VllmWorker:\n" M "  quantization: fp8\n" G(1)},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		struct plan_world w;
		struct plan p;
		struct err err;
		plan_world_of(&w, runs[i][1], runs[i][0]);
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		if (!plan_fits(&p))
			fail_msg("%s: %s", runs[i][1], p.findings.items[0].what);
		plan_done(&p);
		plan_world_done(&w);
	}
}

static void splits_that_run_are_not_refused(void **state)
{
	static const char *const runs[][2] = {
		{"8xH100", "VllmWorker:\n  model: Qwen/Qwen3-235B-A22B-FP8\n  tensor-parallel-size: 8\n  "
			   "enable-expert-parallel: true\n" G(8)},
		{"4xH100", "VllmWorker:\n  model: Qwen/Qwen3-235B-A22B-FP8\n  tensor-parallel-size: 4\n" G(4)},
		{"8xA100-40GB",
			"VllmWorker:\n  model: Qwen/Qwen2.5-72B-Instruct-AWQ\n  tensor-parallel-size: 8\n" G(8)},
		{"8xH200", "VllmWorker:\n  model: deepseek-ai/DeepSeek-R1\n  tensor-parallel-size: 8\n" G(8)},
		{"8xH100", "VllmWorker:\n  model: RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic\n  tensor-parallel-size: "
			   "8\n" G(8)},
		{"3xH100", "VllmWorker:\n" M KV
			   "  remote-prefill: true\n  tensor-parallel-size: 2\n" G(2) "PrefillWorker:\n" M KV G(1)},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		struct plan_world w;
		struct plan p;
		struct err err;
		plan_world_of(&w, runs[i][1], runs[i][0]);
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		if (findings_has(&p.findings, "quantization-divides") || findings_has(&p.findings, "pair-tp"))
			fail_msg("%s: %s", runs[i][1], p.findings.items[0].what);
		plan_done(&p);
		plan_world_done(&w);
	}
}

/* What fits one division of the cards needs no words: SGLang's data parallel groups are of whole workers, or of one. */
static void a_worker_that_takes_what_it_is_given_is_no_finding(void **state)
{
	static const char *const graphs[] = {"SglangWorker:\n" M "  max-model-len: 4096\n  tp: 2\n  dp-size: 4\n" G(8),
		"SglangWorker:\n" M "  max-model-len: 4096\n  tp: 8\n  dp-size: 4\n  enable-dp-attention: true\n" G(8),
		TINY "  tensor-parallel-size: 4\n  pipeline-parallel-size: 2\n" G(8)};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(graphs); i++) {
		struct plan_world w;
		struct plan p;
		struct err err;
		plan_world_of(&w, graphs[i], "8xA100-80GB");
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		if (findings_has(&p.findings, "gpus-given") || findings_has(&p.findings, "gpus-unused"))
			fail_msg("%s", graphs[i]);
		plan_done(&p);
		plan_world_done(&w);
	}
}

/* "It cannot run" of the newest releases alone says so, and whole answers do not. */
static void an_answer_names_the_releases_it_holds_for(void **state)
{
	static const struct {
		const char *context, *says;
	} cases[] = {{"2048", "it cannot run with vLLM 0.8 to 0.16, 0.18 and later; 0.17 starts it, for 1 reason"},
		{"32768", "it cannot run, for 1 reason"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char yaml[512];
		struct plan_world w;
		struct plan p;
		struct err err;
		struct buf out;
		snprintf(yaml, sizeof yaml,
			"VllmWorker:\n  model: Qwen/Qwen2.5-72B-Instruct\n  max-model-len: %s\n  tensor-parallel-size: 2\n" G(
				2),
			cases[i].context);
		plan_world_of(&w, yaml, "2xH100");
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		buf_init(&out, 4096);
		plan_verdict_text(&p, false, &out);
		assert_string_equal(buf_str(&out), cases[i].says);
		buf_done(&out);
		plan_done(&p);
		plan_world_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefill_workers_that_nobody_feeds_are_told_of_an_unknown_model_too),
		cmocka_unit_test(methods_are_named_as_the_engine_names_them),
		cmocka_unit_test(splits_that_run_are_not_refused),
		cmocka_unit_test(a_worker_wider_than_every_host_takes_as_few_as_will_do),
		cmocka_unit_test(several_hosts_are_named_in_bars_and_findings),
		cmocka_unit_test(every_check_says_its_piece_at_its_place),
		cmocka_unit_test(a_worker_that_takes_what_it_is_given_is_no_finding),
		cmocka_unit_test(an_answer_names_the_releases_it_holds_for),
		cmocka_unit_test(small_shared_memory_and_few_files_are_told),
		cmocka_unit_test(a_taken_port_a_missing_engine_and_a_full_disk_are_told),
		cmocka_unit_test(llama_workers_share_weights_and_divide_ram_and_cores),
		cmocka_unit_test(memory_that_others_hold_is_told_card_by_card),
		cmocka_unit_test(what_fits_has_no_fatal_finding_and_every_worker_a_card),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
