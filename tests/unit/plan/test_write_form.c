/* A plan's changes in the user's own file: for each form, exactly what changes, and what has no place is named. */
#include "plan/write_form.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"

#include <stdio.h>

/* What is wanted of the first service; 0 and NULL: as it is. */
struct want {
	uint32_t workers, gpus, tp;
	uint64_t context, seqs, batch;
	const char *dtype, *kv, *quant_model;
	double utilization;
};

static struct model_facts facts;

/* The text with the changes, and what is left as "key before -> after" lines. */
static void write_text(const char *text, const struct want *want, struct buf *out, struct buf *left_text)
{
	struct plan_model models[8];
	struct plan_deployment target;
	struct plan_edits *left = calloc(1, sizeof *left);
	struct graph *graph = NULL;
	struct form_set form;
	struct diags diags;
	struct err err = {0};
	uint32_t made;

	for (size_t i = 0; i < ARRAY_LEN(models); i++)
		models[i] = (struct plan_model){.facts = &facts, .why = ""};
	form_set_init(&form);
	diags_init(&diags);
	if (form_read(&form, "file", text, strlen(text), &diags, &err) < 0 || !form.root ||
		graph_of_tree(&graph, "file", form.root, NULL, &diags, &err) < 0)
		fail_msg("%s\n%s", err.msg, text);
	assert_int_equal(plan_deployment_init(&target, graph, models), 0);
	struct plan_service *s = &target.services[0];
	s->workers = want->workers ? want->workers : s->workers;
	s->gpus = want->gpus ? want->gpus : s->gpus;
	s->tp = want->tp ? want->tp : s->tp;
	s->context = want->context ? want->context : s->context;
	s->seqs = want->seqs ? want->seqs : s->seqs;
	s->batch = want->batch ? want->batch : s->batch;
	s->dtype = want->dtype ? want->dtype : s->dtype;
	s->kv = want->kv ? want->kv : s->kv;
	s->utilization = want->utilization > 0 ? want->utilization : s->utilization;
	if (want->quant_model)
		s->quant = "awq";
	const struct plan_write w = {.file = "file",
		.text = text,
		.len = strlen(text),
		.target = &target,
		.models = models,
		.quant_model = want->quant_model};
	if (plan_write_form(&w, out, left, &made, &err) < 0)
		fail_msg("%s", err.msg);
	for (uint32_t i = 0; i < left->len; i++)
		buf_printf(left_text, "%s %s -> %s\n", left->items[i].key, left->items[i].before, left->items[i].after);
	plan_deployment_done(&target);
	graph_destroy(graph);
	form_set_done(&form);
	diags_done(&diags);
	free(left);
}

static void check_left(const char *text, const struct want *want, const char *wanted, const char *wanted_left)
{
	struct buf out, left;

	facts = (struct model_facts){.context_max = 65536,
		.layers = 40,
		.hidden = 5120,
		.heads = 40,
		.kv_heads = 8,
		.dtype = "bfloat16",
		.quant = "none",
		.name = "m",
		.architecture = "LlamaForCausalLM"};
	buf_init(&out, 1 << 20);
	buf_init(&left, 1 << 20);
	write_text(text, want, &out, &left);
	assert_string_equal(buf_str(&out), wanted);
	assert_string_equal(buf_str(&left), wanted_left);
	buf_done(&out);
	buf_done(&left);
}

static void check(const char *text, const struct want *want, const char *wanted)
{
	check_left(text, want, wanted, "");
}

static void a_line_keeps_its_words_and_order(void **state)
{
	(void)state;
	check("vllm serve  org/m  -tp 4 --max-model-len=48k   --port 80 # now\n",
		&(struct want){.tp = 2, .gpus = 2, .context = 16384},
		"vllm serve  org/m  -tp 2 --max-model-len=16384   --port 80 # now\n");
	check("vllm serve org/m\n", &(struct want){.seqs = 64, .dtype = "float16"},
		"vllm serve org/m --dtype float16 --max-num-seqs 64\n");
	check("docker run --gpus 4 -p 1:1 vllm/vllm-openai:v0.9.1 --model org/m --tensor-parallel-size 4\n",
		&(struct want){.tp = 2, .gpus = 2},
		"docker run --gpus 2 -p 1:1 vllm/vllm-openai:v0.9.1 --model org/m --tensor-parallel-size 2\n");
	check("docker run --gpus '\"device=0,1,2,3\"' vllm/vllm-openai:v0.9.1 --model org/m --tensor-parallel-size 4\n",
		&(struct want){.tp = 2, .gpus = 2},
		"docker run --gpus '\"device=0,1\"' vllm/vllm-openai:v0.9.1 --model org/m --tensor-parallel-size 2\n");
}

static void a_script_keeps_its_comments_lines_and_variables(void **state)
{
	(void)state;
	check("#!/bin/sh\n# tp 4\nTP=4 # cards\nexec vllm serve \\\n    org/m \\\n    --tensor-parallel-size ${TP} \\\n    --port 81\n",
		&(struct want){.tp = 2, .gpus = 2, .utilization = 0.85},
		"#!/bin/sh\n# tp 4\nTP=2 # cards\nexec vllm serve \\\n    org/m \\\n    --tensor-parallel-size ${TP} \\\n"
		"    --gpu-memory-utilization 0.85 \\\n    --port 81\n");
	/* a variable that two servers share is not changed for one of them */
	check("N=4\nvllm serve org/m -tp $N &\nvllm serve org/k -tp $N --port 81\n", &(struct want){.tp = 2, .gpus = 2},
		"N=4\nvllm serve org/m -tp 2 &\nvllm serve org/k -tp $N --port 81\n");
}

static void other_engines_have_their_own_words(void **state)
{
	(void)state;
	check("python3 -m sglang.launch_server --model-path org/m --tp 4\n",
		&(struct want){.tp = 2, .gpus = 2, .context = 8192, .seqs = 32},
		"python3 -m sglang.launch_server --model-path org/m --tp 2 --context-length 8192 --max-running-requests 32\n");
	check("llama-server -m /m/a.gguf -c 32768 -ngl 99\n", &(struct want){.context = 8192, .seqs = 8, .kv = "q8_0"},
		"llama-server -m /m/a.gguf -c 8192 -ngl 99 --parallel 8 --cache-type-v q8_0 --cache-type-k q8_0\n");
}

static const char kubernetes[] =
	"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: m   # it\nspec:\n  replicas: 3\n  template:\n    spec:\n"
	"      containers:\n      - name: c\n        image: vllm/vllm-openai:v0.9.1\n        args: %s\n"
	"        resources:\n          requests:\n            nvidia.com/gpu: \"4\"\n            cpu: 4\n          limits:\n"
	"            nvidia.com/gpu: 4   # all\n";

static void kubernetes_keeps_limits_and_requests_alike(void **state)
{
	static const struct {
		const char *before, *after;
	} args[] = {
		{"[\"--model\", \"org/m\", \"--tensor-parallel-size\", \"4\"]",
			"[\"--model\", \"org/m\", \"--tensor-parallel-size\", \"2\", \"--dtype\", \"float16\"]"},
		{"\n        - --model=org/m\n        - --tensor-parallel-size=4 # four",
			"\n        - --model=org/m\n        - --tensor-parallel-size=2 # four\n        - --dtype=float16"},
		{"\n          - --model\n          - org/m\n          - --tensor-parallel-size\n          - \"4\"",
			"\n          - --model\n          - org/m\n          - --tensor-parallel-size\n          - \"2\"\n          - --dtype\n"
			"          - \"float16\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(args); i++) {
		char before[2048], after[2048], half[2048];
		snprintf(before, sizeof before, kubernetes, args[i].before);
		snprintf(after, sizeof after, kubernetes, args[i].after);
		/* 3 replicas -> 1, 4 cards -> 2, in both places */
		char *p = strstr(after, "replicas: 3");
		p[strlen("replicas: ")] = '1';
		p = strstr(after, "gpu: \"4\"");
		p[strlen("gpu: \"")] = '2';
		p = strstr(after, "gpu: 4");
		p[strlen("gpu: ")] = '2';
		snprintf(half, sizeof half, "%s", after);
		check(before, &(struct want){.tp = 2, .gpus = 2, .workers = 1, .dtype = "float16"}, half);
	}
}

static void replicas_that_are_not_there_get_a_line(void **state)
{
	(void)state;
	check("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: m}\nspec:\n  template:\n    spec:\n      containers:\n"
	      "      - name: c\n        command: [vllm, serve, org/m]\n        resources: {limits: {nvidia.com/gpu: 1}}\n",
		&(struct want){.workers = 4},
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: m}\nspec:\n  replicas: 4\n  template:\n    spec:\n      containers:\n"
		"      - name: c\n        command: [vllm, serve, org/m]\n        resources: {limits: {nvidia.com/gpu: 1}}\n");
	check("services:\n  a:\n    image: vllm/vllm-openai:v0.9.1\n    command: --model org/m\n    deploy:\n      resources:\n"
	      "        reservations: {devices: [{driver: nvidia, count: 1}]}\n",
		&(struct want){.workers = 2},
		"services:\n  a:\n    image: vllm/vllm-openai:v0.9.1\n    command: --model org/m\n    deploy:\n      replicas: 2\n"
		"      resources:\n        reservations: {devices: [{driver: nvidia, count: 1}]}\n");
	/* a pod is one */
	check_left(
		"apiVersion: v1\nkind: Pod\nmetadata: {name: m}\nspec:\n  containers:\n  - name: c\n    command: [vllm, serve, org/m]\n",
		&(struct want){.workers = 4},
		"apiVersion: v1\nkind: Pod\nmetadata: {name: m}\nspec:\n  containers:\n  - name: c\n    command: [vllm, serve, org/m]\n",
		"ServiceArgs.workers 1 -> 4\n");
}

static void a_shell_inside_a_container_is_a_shell(void **state)
{
	(void)state;
	check("apiVersion: v1\nkind: Pod\nmetadata: {name: m}\nspec:\n  containers:\n  - name: c\n    command: [\"/bin/sh\", \"-c\"]\n"
	      "    args:\n    - |\n      echo hi\n      vllm serve org/m --max-model-len 32k \\\n        --tensor-parallel-size 4\n"
	      "    resources: {limits: {nvidia.com/gpu: 4}}\n",
		&(struct want){.tp = 2, .gpus = 2, .context = 8192, .seqs = 9},
		"apiVersion: v1\nkind: Pod\nmetadata: {name: m}\nspec:\n  containers:\n  - name: c\n    command: [\"/bin/sh\", \"-c\"]\n"
		"    args:\n    - |\n      echo hi\n      vllm serve org/m --max-model-len 8192 \\\n        --tensor-parallel-size 2 \\\n"
		"        --max-num-seqs 9\n    resources: {limits: {nvidia.com/gpu: 2}}\n");
}

static void groups_of_pods_have_their_parts(void **state)
{
	(void)state;
	check("apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: m}\nspec:\n  replicas: 1\n"
	      "  leaderWorkerTemplate:\n    size: 2\n    leaderTemplate:\n      spec:\n        containers:\n        - name: l\n"
	      "          command: [vllm, serve, org/m, --tensor-parallel-size, \"16\"]\n"
	      "          resources: {limits: {nvidia.com/gpu: \"8\"}}\n",
		&(struct want){.tp = 8, .gpus = 8},
		"apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: m}\nspec:\n  replicas: 1\n"
		"  leaderWorkerTemplate:\n    size: 2\n    leaderTemplate:\n      spec:\n        containers:\n        - name: l\n"
		"          command: [vllm, serve, org/m, --tensor-parallel-size, \"8\"]\n"
		"          resources: {limits: {nvidia.com/gpu: \"4\"}}\n");
}

static void compose_counts_or_lists_its_devices(void **state)
{
	(void)state;
	check("services:\n  a:\n    image: vllm/vllm-openai:v0.9.1\n    command: --model org/m --tensor-parallel-size 4\n    deploy:\n"
	      "      resources:\n        reservations:\n          devices:\n          - driver: nvidia\n            count: 4\n",
		&(struct want){.tp = 2, .gpus = 2, .kv = "fp8"},
		"services:\n  a:\n    image: vllm/vllm-openai:v0.9.1\n    command: --model org/m --tensor-parallel-size 2 --kv-cache-dtype fp8\n"
		"    deploy:\n      resources:\n        reservations:\n          devices:\n          - driver: nvidia\n            count: 2\n");
	check("services:\n  a:\n    image: vllm/vllm-openai:v0.9.1\n    command: [\"--model\", \"org/m\", \"-tp\", \"4\"]\n    deploy:\n"
	      "      resources:\n        reservations:\n          devices:\n          - {driver: nvidia, device_ids: ['0', '1', '2', '3']}\n",
		&(struct want){.tp = 2, .gpus = 2},
		"services:\n  a:\n    image: vllm/vllm-openai:v0.9.1\n    command: [\"--model\", \"org/m\", \"-tp\", \"2\"]\n    deploy:\n"
		"      resources:\n        reservations:\n          devices:\n          - {driver: nvidia, device_ids: ['0', '1']}\n");
}

static void dynamos_resources_are_patched(void **state)
{
	(void)state;
	check("apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: d}\nspec:\n  services:\n    W:\n"
	      "      componentType: worker\n      replicas: 4\n      resources: {limits: {gpu: \"4\"}}\n      extraPodSpec:\n"
	      "        mainContainer:\n          image: x/vllm-runtime:0.7.1\n          command: [python3, -m, dynamo.vllm]\n          args:\n"
	      "          - --model\n          - org/m\n          - --tensor-parallel-size\n          - \"4\"\n",
		&(struct want){.tp = 1, .gpus = 1, .workers = 2, .context = 4096},
		"apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: d}\nspec:\n  services:\n    W:\n"
		"      componentType: worker\n      replicas: 2\n      resources: {limits: {gpu: \"1\"}}\n      extraPodSpec:\n"
		"        mainContainer:\n          image: x/vllm-runtime:0.7.1\n          command: [python3, -m, dynamo.vllm]\n          args:\n"
		"          - --model\n          - org/m\n          - --tensor-parallel-size\n          - \"1\"\n          - --max-model-len\n"
		"          - \"4096\"\n");
	/* the graph inside an environment variable */
	check("apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: d}\nspec:\n  envs:\n"
	      "  - name: DYN_DEPLOYMENT_CONFIG\n    value: '{\"VllmWorker\": {\"model\": \"org/m\", \"tensor-parallel-size\": 4, \"ServiceArgs\": "
	      "{\"workers\": 2, \"resources\": {\"gpu\": 4}}}}'\n",
		&(struct want){.tp = 2, .gpus = 2, .workers = 1},
		"apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: d}\nspec:\n  envs:\n"
		"  - name: DYN_DEPLOYMENT_CONFIG\n    value: '{\"VllmWorker\": {\"model\": \"org/m\", \"tensor-parallel-size\": 2, \"ServiceArgs\": "
		"{\"workers\": 1, \"resources\": {\"gpu\": 2}}}}'\n");
}

static void kserve_and_values_are_patched(void **state)
{
	(void)state;
	check("apiVersion: serving.kserve.io/v1alpha1\nkind: LLMInferenceService\nmetadata: {name: m}\nspec:\n  model: {uri: hf://org/m}\n"
	      "  replicas: 2\n  parallelism:\n    tensor: 4\n  template:\n    containers:\n    - name: main\n"
	      "      resources: {limits: {nvidia.com/gpu: \"4\"}}\n",
		&(struct want){.tp = 2, .gpus = 2, .workers = 1},
		"apiVersion: serving.kserve.io/v1alpha1\nkind: LLMInferenceService\nmetadata: {name: m}\nspec:\n  model: {uri: hf://org/m}\n"
		"  replicas: 1\n  parallelism:\n    tensor: 2\n  template:\n    containers:\n    - name: main\n"
		"      resources: {limits: {nvidia.com/gpu: \"2\"}}\n");
	check("servingEngineSpec:\n  modelSpec:\n  - name: m\n    modelURL: org/m\n    replicaCount: 2\n    requestGPU: 4\n    vllmConfig:\n"
	      "      maxModelLen: 32768 # long\n      tensorParallelSize: 4\n",
		&(struct want){.tp = 2, .gpus = 2, .workers = 1, .context = 8192, .dtype = "float16"},
		"servingEngineSpec:\n  modelSpec:\n  - name: m\n    modelURL: org/m\n    replicaCount: 1\n    requestGPU: 2\n    vllmConfig:\n"
		"      maxModelLen: 8192 # long\n      dtype: float16\n      tensorParallelSize: 2\n");
}

static void files_of_flags_are_patched(void **state)
{
	(void)state;
	check("# served\nmodel: org/m\nmax-model-len: 32768\ntensor-parallel-size: 4   # four\n",
		&(struct want){.tp = 2, .gpus = 2, .context = 8192, .seqs = 12},
		"# served\nmodel: org/m\nmax-model-len: 8192\nmax-num-seqs: 12\ntensor-parallel-size: 2   # four\n");
	check("# mine\nFROM ./a.gguf\nSYSTEM \"\"\"hi\"\"\"\n", &(struct want){.context = 8192},
		"# mine\nFROM ./a.gguf\nSYSTEM \"\"\"hi\"\"\"\nPARAMETER num_ctx 8192\n");
	check("FROM ./a.gguf\nPARAMETER num_ctx 32768\n", &(struct want){.context = 8192},
		"FROM ./a.gguf\nPARAMETER num_ctx 8192\n");
}

static void line_ends_stay_what_they_are(void **state)
{
	(void)state;
	check("apiVersion: apps/v1\r\nkind: Deployment\r\nmetadata: {name: m}\r\nspec:\r\n  template:\r\n    spec:\r\n      containers:\r\n"
	      "      - image: vllm/vllm-openai:v0.9.1\r\n        args:\r\n        - --model=org/m\r\n        resources: {limits: {nvidia.com/gpu: 1}}\r\n",
		&(struct want){.workers = 2, .seqs = 9},
		"apiVersion: apps/v1\r\nkind: Deployment\r\nmetadata: {name: m}\r\nspec:\r\n  replicas: 2\r\n  template:\r\n    spec:\r\n"
		"      containers:\r\n      - image: vllm/vllm-openai:v0.9.1\r\n        args:\r\n        - --model=org/m\r\n"
		"        - --max-num-seqs=9\r\n        resources: {limits: {nvidia.com/gpu: 1}}\r\n");
	/* a list over several lines */
	check("apiVersion: v1\nkind: Pod\nmetadata: {name: m}\nspec:\n  containers:\n  - name: c\n    command: [\"vllm\", \"serve\",\n"
	      "      \"org/m\",\n      \"--port\", \"80\"]\n",
		&(struct want){.seqs = 9},
		"apiVersion: v1\nkind: Pod\nmetadata: {name: m}\nspec:\n  containers:\n  - name: c\n    command: [\"vllm\", \"serve\",\n"
		"      \"org/m\", \"--max-num-seqs\", \"9\",\n      \"--port\", \"80\"]\n");
}

static void what_has_no_place_is_named_and_the_rest_is_written(void **state)
{
	(void)state;
	check_left("vllm serve org/m -tp 4\n", &(struct want){.tp = 2, .gpus = 2, .workers = 3},
		"vllm serve org/m -tp 2\n", "ServiceArgs.workers 1 -> 3\n");
	check_left("FROM ./a.gguf\n", &(struct want){.context = 8192, .seqs = 5},
		"FROM ./a.gguf\nPARAMETER num_ctx 8192\n", "max-seqs  -> 5\n");
}

static void another_model_is_written_where_the_model_stands(void **state)
{
	(void)state;
	check("MODEL=org/m\nvllm serve $MODEL --dtype half\n", &(struct want){.quant_model = "org/m-AWQ"},
		"MODEL=org/m-AWQ\nvllm serve $MODEL --dtype half --quantization awq\n");
}

/* ---- what holds of every form ---- */

/* A line without its digits: what stays when a number becomes another. */
static void bones(char *ret, const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr("0123456789", line[i]))
			*ret++ = line[i];
	*ret = '\0';
}

static bool is_within(const char *part, const char *whole)
{
	while (*part && *whole)
		part += *part == *whole++;
	return !*part;
}

static size_t line_len(const char *text)
{
	size_t n = strcspn(text, "\n");
	return n + (text[n] == '\n');
}

/* Each line of before is in after, in its order: as it was, or with other numbers or words more. */
static void assert_kept(const char *before, const char *after)
{
	const char *at = after;

	for (const char *line = before; *line; line += line_len(line)) {
		size_t n = line_len(line);
		char *mine = malloc(n + 1);
		const char *found = NULL;
		assert_non_null(mine);
		bones(mine, line, n);
		for (const char *other = at; *other && !found; other += line_len(other)) {
			char *theirs = malloc(line_len(other) + 1);
			assert_non_null(theirs);
			bones(theirs, other, line_len(other));
			if ((line_len(other) == n && !memcmp(line, other, n)) || is_within(mine, theirs))
				found = other + line_len(other);
			free(theirs);
		}
		if (!found)
			fail_msg("\"%.*s\" is lost in\n%s", (int)n, line, after);
		at = found;
		free(mine);
	}
}

static char *with_line_ends(const char *text, const char *end)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	for (; *text; text++)
		if (*text == '\n')
			buf_add_str(&out, end);
		else
			buf_add_byte(&out, (uint8_t)*text);
	char *ret = strdup(buf_str(&out));
	buf_done(&out);
	assert_non_null(ret);
	return ret;
}

/* Written once: what is meant changes, the rest stays; lines end as they did; and again: nothing changes. */
static void check_kept(const char *text, const struct want *want)
{
	char *dos = with_line_ends(text, "\r\n");
	struct buf out, again, other, left;

	buf_init(&out, 1 << 20);
	buf_init(&again, 1 << 20);
	buf_init(&other, 1 << 20);
	buf_init(&left, 1 << 20);
	write_text(text, want, &out, &left);
	if (left.len)
		fail_msg("%s\nleft: %s", text, buf_str(&left));
	assert_kept(text, buf_str(&out));
	write_text(buf_str(&out), want, &again, &left);
	assert_string_equal(buf_str(&again), buf_str(&out));
	buf_reset(&left);
	write_text(dos, want, &other, &left);
	char *expected = with_line_ends(buf_str(&out), "\r\n");
	if (strcmp(buf_str(&other), expected))
		fail_msg("with \\r\\n\n%s\nnot\n%s", buf_str(&other), expected);
	free(expected);
	free(dos);
	buf_done(&out);
	buf_done(&again);
	buf_done(&other);
	buf_done(&left);
}

static void everything_else_stays_in_every_form(void **state)
{
	static const char *const texts[] = {
		"#!/bin/bash\n# two   spaces  \nset -e\n\nARGS=(\n  org/m   # the model\n\t--tensor-parallel-size 4\n  --max-model-len 32768 # long\n)\n"
		"if [ -n \"${KEY:-}\" ]; then\n  ARGS+=(--api-key \"$KEY\")\nfi\nexec vllm serve \"${ARGS[@]}\"   2>&1 | tee log\n",
		"TP=${TP:-4}   # cards\nLEN=${LEN:-32768}\nserve() {\n\tvllm serve \"$1\" \\\n\t\t--tensor-parallel-size \"$TP\" \\\n\t\t--max-model-len $LEN\n}\nserve org/m\n",
		"cat > c.yaml <<'EOF'\n# settings\nmax-model-len: 32768\nEOF\nvllm serve org/m -tp 4 --config c.yaml\n",
		"kubectl apply -f - <<EOF\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}   # name\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n"
		"      - image: vllm/vllm-openai:v0.9.2\n        args: [--model, org/m, --tensor-parallel-size, \"4\", --max-model-len, \"32768\"]\n        resources: {limits: {nvidia.com/gpu: 4}}\nEOF\n",
		"# a page\n\nSome words that say what is to be done here, and why.\n\n```bash\nvllm serve org/m --tensor-parallel-size 4 --max-model-len 32768\n```\n\nAnd no more than that is needed to begin.\n",
		"from vllm import LLM  # the engine\n\nMODEL = \"org/m\"\n\n\nllm = LLM(\n    model=MODEL,\n    tensor_parallel_size=4,   # cards\n    max_model_len=32768,\n)\n",
		"import subprocess\ncmd = [\"vllm\", \"serve\", \"org/m\",\n       \"--tensor-parallel-size\", \"4\", \"--max-model-len\", \"32768\"]\nsubprocess.run(cmd)\n",
		"[Unit]\nDescription=x\n\n[Service]\nExecStart=/opt/bin/vllm serve org/m \\\n    --tensor-parallel-size 4 \\\n    --max-model-len 32768\nRestart=always\n",
		"MODEL ?= org/m\nTP := 4\nLEN = 32768\n\n.PHONY: serve\nserve:\n\t@vllm serve $(MODEL) --tensor-parallel-size $(TP) --max-model-len $(LEN) # go\n",
		"type: service\nname: x # name\ncommands:\n  - pip install uv\n  - vllm serve org/m --tensor-parallel-size 4 --max-model-len 32768\nresources:\n  gpu: H100:8\n",
		"resources:\n  accelerators: H100:8   # many\nrun: |\n  vllm serve org/m \\\n    --tensor-parallel-size 4 \\\n    --max-model-len 32768\n",
		"apiVersion: kubeai.org/v1\nkind: Model\nmetadata:\n  name: k\nspec:\n  url: hf://org/m\n  engine: VLLM\n  args:\n    - --tensor-parallel-size=4\n    - --max-model-len=32768 # long\n  minReplicas: 1\n",
		"apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: r}\nspec:\n  serveConfigV2: |\n    applications:\n    - name: a # app\n      import_path: ray.serve.llm:build_openai_app\n"
		"      args:\n        llm_configs:\n        - model_loading_config: {model_id: org/m}\n          engine_kwargs:\n            tensor_parallel_size: 4\n            max_model_len: 32768\n",
		"model: org/m # a chart\nmodelParameters:\n  maxModelLen: 32768\n  tensorParallelSize: 4\nimage: {repository: vllm/vllm-openai, tag: v0.9.2}\n",
		"FROM vllm/vllm-openai:v0.9.2\n# two\nENV A=b\nCMD [\"--model\", \"org/m\", \\\n     \"--tensor-parallel-size\", \"4\", \"--max-model-len\", \"32768\"]\nEXPOSE 8000\n",
		"x-args: &len \"32768\"\nservices:\n  a:\n    image: vllm/vllm-openai:v0.9.2\n    gpus: all\n    command: [--model, org/m, --tensor-parallel-size, '4', --max-model-len, \"32768\"]   # flags\n",
		"services:\n  a:\n    image: vllm/vllm-openai:v0.9.2\n    gpus: all\n    entrypoint:\n      - bash\n      - -c\n      - |\n        # start it\n        exec vllm serve \"$$@\"\n      - --\n    command:\n      - --model\n"
		"      - org/m\n      - --tensor-parallel-size\n      - \"${TP:-4}\"\n      - --max-model-len\n      - \"${LEN:-32768}\"\n"};

	(void)state;
	facts = (struct model_facts){.context_max = 65536,
		.layers = 40,
		.hidden = 5120,
		.heads = 40,
		.kv_heads = 8,
		.dtype = "bfloat16",
		.quant = "none",
		.name = "m",
		.architecture = "LlamaForCausalLM"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		check_kept(texts[i], &(struct want){.context = 16384});
		if (!strstr(texts[i], "nvidia.com/gpu"))
			check_kept(texts[i], &(struct want){.tp = 2, .gpus = 2, .context = 8192});
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_keeps_its_words_and_order),
		cmocka_unit_test(a_script_keeps_its_comments_lines_and_variables),
		cmocka_unit_test(other_engines_have_their_own_words),
		cmocka_unit_test(kubernetes_keeps_limits_and_requests_alike),
		cmocka_unit_test(replicas_that_are_not_there_get_a_line),
		cmocka_unit_test(a_shell_inside_a_container_is_a_shell),
		cmocka_unit_test(groups_of_pods_have_their_parts),
		cmocka_unit_test(compose_counts_or_lists_its_devices),
		cmocka_unit_test(dynamos_resources_are_patched),
		cmocka_unit_test(kserve_and_values_are_patched),
		cmocka_unit_test(files_of_flags_are_patched),
		cmocka_unit_test(line_ends_stay_what_they_are),
		cmocka_unit_test(everything_else_stays_in_every_form),
		cmocka_unit_test(what_has_no_place_is_named_and_the_rest_is_written),
		cmocka_unit_test(another_model_is_written_where_the_model_stands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
