/* Each form of a deployment to the graph it stands for, compared as YAML; and what is no form, or cannot be planned. */
#include "forms/form_priv.h"

#include "../lib/cmocka_all.h"

#include <stdio.h>

static void check(const char *text, const char *form, const char *wanted)
{
	struct form_set f;
	struct diags diags;
	struct err err = {0};
	struct buf got;

	form_set_init(&f);
	diags_init(&diags);
	buf_init(&got, 1 << 20);
	assert_int_equal(form_read(&f, "file", text, strlen(text), &diags, &err), 0);
	assert_non_null(f.form);
	if (!strstr(f.form, form))
		fail_msg("\"%s\" is not called \"%s\"", f.form, form);
	assert_non_null(f.root);
	yaml_print(f.root, 0, &got);
	assert_string_equal(buf_str(&got), wanted);
	buf_done(&got);
	diags_done(&diags);
	form_set_done(&f);
}

static void a_pasted_line_is_a_worker(void **state)
{
	(void)state;
	check("vllm serve Qwen/Qwen2.5-7B-Instruct -tp 2 \\\n   --max-model-len=32k --no-enable-prefix-caching "
	      "--enforce-eager\n",
		"a command line of vllm serve",
		"VllmWorker:\n  engine: \"vllm\"\n  model: \"Qwen/Qwen2.5-7B-Instruct\"\n  tensor-parallel-size: "
		"\"2\"\n"
		"  max-model-len: \"32000\"\n  enable-prefix-caching: \"false\"\n  enforce-eager: \"true\"\n"
		"  ServiceArgs:\n    workers: \"1\"\n    resources:\n      gpu: \"2\"\n");
	check("sudo docker run --gpus '\"device=0,1\"' -v ~/x:/y -e A=b lmsysorg/sglang:latest python3 -m "
	      "sglang.launch_server "
	      "--model-path a/b --tp 2 --host 0.0.0.0",
		"sglang.launch_server",
		"SglangWorker:\n  engine: \"sglang\"\n  model-path: \"a/b\"\n  tp: \"2\"\n  ServiceArgs:\n    workers: "
		"\"1\"\n"
		"    resources:\n      gpu: \"2\"\n    envs:\n      NVIDIA_VISIBLE_DEVICES: \"0,1\"\n      A: \"b\"\n");
	check("./build/bin/llama-server -m /m/x.gguf -ngl 99 -c 16384 -np 4 -ts 3,1", "llama-server",
		"LlamaWorker:\n  engine: \"llama\"\n  model: \"/m/x.gguf\"\n  gpu-layers: \"99\"\n  context-length: "
		"\"16384\"\n"
		"  max-seqs: \"4\"\n  ServiceArgs:\n    workers: \"1\"\n    resources:\n      gpu: \"2\"\n");
}

static void a_script_knows_its_variables_and_starts_several(void **state)
{
	(void)state;
	check("#!/bin/bash\nset -e # a comment\nexport TP=\"${TP:-4}\"\nMODEL=org/m-$TP\n"
	      "if true; then CUDA_VISIBLE_DEVICES=0,1 vllm serve \"$MODEL\" --tensor-parallel-size ${TP} 2>&1 | tee "
	      "log; fi\n"
	      "python -m vllm.entrypoints.openai.api_server --model other/x & wait\n",
		"a script that starts 2 engines",
		"VllmWorker:\n  engine: \"vllm\"\n  model: \"org/m-4\"\n  tensor-parallel-size: \"4\"\n  ServiceArgs:\n"
		"    workers: \"1\"\n    resources:\n      gpu: \"4\"\n    envs:\n      CUDA_VISIBLE_DEVICES: "
		"\"0,1\"\n"
		"      TP: \"4\"\n"
		"VllmWorker-2:\n  engine: \"vllm\"\n  model: \"other/x\"\n  ServiceArgs:\n    workers: \"1\"\n    "
		"resources:\n      gpu: \"1\"\n"
		"    envs:\n      TP: \"4\"\n");
}

static void a_compose_file_has_its_devices(void **state)
{
	(void)state;
	check("services:\n  api:\n    image: vllm/vllm-openai:v0.10\n    command: >\n      --model a/b\n      --dtype "
	      "half\n"
	      "    deploy:\n      replicas: 2\n      resources:\n        reservations:\n          devices:\n"
	      "            - {driver: nvidia, count: 1, capabilities: [gpu]}\n  ui:\n    image: some/web-ui:1\n",
		"a docker-compose file",
		"api:\n  engine: \"vllm\"\n  model: \"a/b\"\n  engine-version: \"0.10\"\n  dtype: \"half\"\n  ServiceArgs:\n    workers: \"2\"\n   "
		" resources:\n"
		"      gpu: \"1\"\n");
}

static void a_pod_is_found_in_any_object(void **state)
{
	static const char wanted[] =
		"m7:\n  engine: \"vllm\"\n  model: \"org/m7\"\n  max-model-len: \"8192\"\n  ServiceArgs:\n"
		"    workers: \"3\"\n    resources:\n      gpu: \"1\"\n    envs:\n      M: \"org/m7\"\n";

	(void)state;
	check("apiVersion: v1\nkind: Service\nmetadata: {name: x}\n---\napiVersion: apps/v1\nkind: Deployment\n"
	      "metadata:\n  name: m7\nspec:\n  replicas: 3\n  template:\n    spec:\n      containers:\n      - name: "
	      "main\n"
	      "        image: registry/vllm:1\n        command: [/bin/sh, -c]\n        args:\n        - |\n          "
	      "sleep 1\n"
	      "          vllm serve $(M) --max-model-len 8192\n        env:\n        - {name: M, value: org/m7}\n"
	      "        resources:\n          limits: {nvidia.com/gpu: 1}\n",
		"a Kubernetes Deployment (apps/v1)", wanted);
	check("apiVersion: example.org/v9\nkind: Something\nmetadata: {name: m7}\nspec:\n  group:\n    replicas: 3\n   "
	      " pod:\n"
	      "      containers:\n      - name: c\n        command: [vllm, serve, org/m7, --max-model-len, \"8192\"]\n"
	      "        env: [{name: M, value: org/m7}]\n        resources: {requests: {nvidia.com/gpu: \"1\"}}\n",
		"a Kubernetes Something", wanted);
}

static void roles_of_dynamos_resources_become_ours(void **state)
{
	(void)state;
	check("apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: d}\nspec:\n  services:\n"
	      "    Frontend: {componentType: frontend, replicas: 1, extraPodSpec: {mainContainer: {image: "
	      "x/vllm-runtime:1}}}\n"
	      "    Decode:\n      subComponentType: decode\n      replicas: 1\n      resources: {limits: {gpu: "
	      "\"4\"}}\n"
	      "      extraPodSpec: {mainContainer: {image: x/vllm-runtime:1, command: [python3, -m, dynamo.vllm],\n"
	      "        args: [--model, a/b, --tensor-parallel-size, \"4\", --is-decode-worker]}}\n"
	      "    Prefill:\n      subComponentType: prefill\n      replicas: 2\n      resources: {limits: {gpu: "
	      "\"2\"}}\n"
	      "      extraPodSpec: {mainContainer: {command: [sh, -c], args: [\"python3 -m dynamo.vllm --model a/b "
	      "--is-prefill-worker"
	      " --tensor-parallel-size 2\"]}}\n",
		"a DynamoGraphDeployment (nvidia.com/v1alpha1)",
		"Decode:\n  engine: \"vllm\"\n  role: \"decode\"\n  model: \"a/b\"\n  tensor-parallel-size: \"4\"\n"
		"  kv-transfer-config: \"{\\\"kv_connector\\\": \\\"NixlConnector\\\", \\\"kv_role\\\": "
		"\\\"kv_both\\\"}\"\n"
		"  remote-prefill: \"true\"\n  ServiceArgs:\n    workers: \"1\"\n    resources:\n      gpu: \"4\"\n"
		"Prefill:\n  engine: \"vllm\"\n  role: \"prefill\"\n  model: \"a/b\"\n  tensor-parallel-size: \"2\"\n"
		"  kv-transfer-config: \"{\\\"kv_connector\\\": \\\"NixlConnector\\\", \\\"kv_role\\\": "
		"\\\"kv_both\\\"}\"\n"
		"  ServiceArgs:\n    workers: \"2\"\n    resources:\n      gpu: \"2\"\n");
}

static void values_and_configuration_files_are_read(void **state)
{
	(void)state;
	check("servingEngineSpec:\n  modelSpec:\n  - name: l3\n    modelURL: a/b\n    replicaCount: 2\n    requestGPU: "
	      "1\n    vllmConfig:\n"
	      "      maxModelLen: 4096\n      extraArgs: [\"--gpu-memory-utilization\", \"0.8\"]\n",
		"production stack",
		"l3:\n  engine: \"vllm\"\n  model: \"a/b\"\n  gpu-memory-utilization: \"0.8\"\n  max-model-len: "
		"\"4096\"\n"
		"  ServiceArgs:\n    workers: \"2\"\n    resources:\n      gpu: \"1\"\n");
	check("model: a/b\ntensor-parallel-size: 2\nmax-model-len: 8192\n", "(--config)",
		"VllmWorker:\n  engine: \"vllm\"\n  model: \"a/b\"\n  tensor-parallel-size: \"2\"\n  max-model-len: "
		"\"8192\"\n"
		"  ServiceArgs:\n    workers: \"1\"\n    resources:\n      gpu: \"2\"\n");
	check("# mine\nFROM ./x.gguf\nPARAMETER num_ctx 8192\nSYSTEM \"be kind\"\n", "Modelfile",
		"LlamaWorker:\n  engine: \"llama\"\n  model: \"./x.gguf\"\n  context-length: \"8192\"\n  "
		"ServiceArgs:\n    workers: \"1\"\n    resources:\n      gpu: \"1\"\n");
}

static void a_tag_of_ollamas_library_is_a_quantized_file(void **state)
{
	static const char *const cases[][2] = {{"gemma2:9b", "gemma2:9b:Q4_K_M"}, {"gemma2", "gemma2:Q4_K_M"},
		{"gemma2:latest", "gemma2:Q4_K_M"}, {"library/gemma2:9b", "gemma2:9b:Q4_K_M"},
		{"gemma2:9b-instruct-q8_0", "gemma2:9b:Q8_0"}, {"gemma2:9b-instruct-fp16", "gemma2:9b:F16"},
		{"gemma3:27b-it-qat", "gemma3:27b:Q4_0"}, {"gemma2:9b-instruct-q5_K_M", "gemma2:9b:Q5_K_M"},
		{"gemma2:9b-instruct", "gemma2:9b:Q4_K_M"}, {"gpt-oss:20b", "gpt-oss:20b"}, {"./g.gguf", "./g.gguf"},
		{"/m/g.gguf", "/m/g.gguf"}, {"g.gguf", "g.gguf"}, {"hf.co/o/m-GGUF:Q8_0", "hf.co/o/m-GGUF:Q8_0"}};
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct form_set f;
		struct diags diags;
		struct err err = {0};
		form_set_init(&f);
		diags_init(&diags);
		snprintf(text, sizeof text, "FROM %s\nPARAMETER num_gpu 99\n", cases[i][0]);
		assert_int_equal(form_read(&f, "file", text, strlen(text), &diags, &err), 0);
		assert_int_equal(f.services.len, 1);
		assert_string_equal(f.services.v[0].model, cases[i][1]);
		assert_false(f.services.v[0].by_itself);
		diags_done(&diags);
		form_set_done(&f);
	}
}

static int read_text(const char *text, struct err *err, bool *ret_form)
{
	struct form_set f;
	struct diags diags;

	form_set_init(&f);
	diags_init(&diags);
	int r = form_read(&f, "file", text, strlen(text), &diags, err);
	*ret_form = f.form != NULL;
	diags_done(&diags);
	form_set_done(&f);
	return r;
}

static void graphs_and_strangers_are_left_alone(void **state)
{
	static const char *const texts[] = {"", "LlamaWorker:\n  model: x\n", "mine:\n  engine: llama\n  model: x\n",
		"a: b\n", "just words\n", "{\"Frontend\": {}}", "- 1\n- 2\n", "VllmWorker:\n  args: [a]\n", ":\n\t:"};
	struct err err;
	bool form;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(read_text(texts[i], &err, &form), 0);
		assert_false(form);
	}
}

static void what_cannot_be_planned_is_called_by_its_name(void **state)
{
	static const char *const cases[][2] = {
		{"trtllm-serve m --tp_size 2\n", "TensorRT-LLM"},
		{"TensorRTLLMWorker:\n  engine_args: x\n", "TensorRT-LLM"},
		{"apiVersion: v1\nkind: Pod\nspec: {containers: [{image: redis, name: r}]}\n",
			"no container or command"},
		{"apiVersion: v1\nkind: Pod\nspec: {containers: [{command: [text-generation-launcher]}]}\n",
			"Text Generation Inference"},
		{"spec:\n  x: {{ .Values.model }}\n  {{- if y }}\n", "helm template"},
	};
	struct err err;
	bool form;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = read_text(cases[i][0], &err, &form);
		assert_int_equal(r, strstr(err.msg, "not planned") ? -ENOTSUP : -EINVAL);
		if (!strstr(err.msg, cases[i][1]))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, cases[i][1]);
	}
}

static void a_line_inside_another_shell_is_read(void **state)
{
	static const char wanted[] = "VllmWorker:\n  engine: \"vllm\"\n  model: \"org/m\"\n  max-num-seqs: \"8\"\n  "
				     "ServiceArgs:\n    workers: \"1\"\n    resources:\n      gpu: \"1\"\n";

	(void)state;
	check("RUN=\"vllm serve org/m --max-num-seqs 8\"\neval $RUN\n", "vllm serve", wanted);
	check("RUN=\"vllm serve org/m\"\neval \"$RUN --max-num-seqs 8\"\n", "vllm serve", wanted);
	check("srun bash -lc 'cd /x && vllm serve org/m --max-num-seqs 8'\n", "vllm serve", wanted);
	check("docker run --gpus 1 vllm/vllm-openai:latest bash -c \"pip install x && vllm serve org/m --max-num-seqs 8\"",
		"vllm serve", wanted);
}

static void a_dockerfile_is_its_last_stages_command(void **state)
{
	static const char wanted[] =
		"VllmWorker:\n  engine: \"vllm\"\n  model: \"org/m\"\n  engine-version: \"0.9.2\"\n  dtype: \"half\"\n"
		"  ServiceArgs:\n    workers: \"1\"\n    resources:\n      gpu: \"1\"\n    envs:\n      A: \"b\"\n";

	(void)state;
	check("# mine\nARG X=1\nFROM python:3 AS build\nENV C=d\nRUN make\nFROM vllm/vllm-openai:v0.9.2\nENV A=b\n"
	      "CMD [\"--model\", \"org/m\",\\\n  \"--dtype\",\"half\"]\n",
		"a Dockerfile", wanted);
	check("FROM vllm/vllm-openai:v0.9.2\nEXPOSE 1\nENV A b\nENTRYPOINT vllm serve org/m --dtype half\n",
		"a Dockerfile", wanted);
}

static void what_is_no_yaml_is_called_what_it_is(void **state)
{
	static const char *const cases[][2] = {
		{"set -e\nrun_it \\\n\t--model a \\\n\t--b\n", "is a script"},
		{"#!/usr/bin/env bash\n\n./start.sh\n", "is a script"},
		{"#SBATCH -N 2\nsrun my-wrapper --model: x\n", "is a script"},
		{"function go() {\n\t./x --y\n}\ngo\n", "is a script"},
		{"from vllm import LLM\nllm = pick(model=\"a\",\n\ttensor_parallel_size=2)\n", "a program in Python"},
		{"FROM debian\nRUN make\n", "a Dockerfile"},
		{"FROM debian\nRUN make\nCMD [\"top\"]\n", "a Dockerfile"},
		{"FROM vllm/vllm-openai:v0.9.2\nENTRYPOINT [\"./start.sh\"]\nUSER x\n", "a Dockerfile"},
		{"FROM ghcr.io/huggingface/text-generation-inference:3\nCMD [\"--model-id\", \"a\"]\nUSER x\n",
			"Text Generation Inference"},
		{"docker run --gpus all ghcr.io/huggingface/text-generation-inference:2.4 --model-id a\n",
			"Text Generation Inference"},
		{"podman run -d nvcr.io/nvidia/tritonserver:24.01 x\n", "Triton"},
		{"apiVersion: v1\nkind: Pod\nspec: {containers: [{image: ghcr.io/huggingface/text-generation-inference:3, args: [--model-id, a]}]}\n",
			"Text Generation Inference"},
		{"llm_engine: vllm\nengine_kwargs:\n  tensor_parallel_size: 4\n", "Ray Serve LLM"},
		{"applications:\n- name: a\n  import_path: ray.serve.llm:build\n", "Ray Serve LLM"},
		{"- --model\n- a/b\n", "a list of flags"},
		{"apiVersion: kaito.sh/v1beta1\nkind: Workspace\nresource: {count: 1}\ninference: {preset: {name: x}}\n",
			"of KAITO, which decides itself"},
		{"apiVersion: v1\nkind: Namespace\n---\napiVersion: apps.nvidia.com/v1alpha1\nkind: NIMService\nspec: {replicas: 1}\n",
			"a Kubernetes NIMService"},
		{"name: x\nbackend: llama-cpp\ncontext_size: 10\nparameters: {model: m.gguf}\n", "LocalAI"},
		{"models:\n  a: {cmd: llama-server -m x.gguf}\nstartPort: 1\n", "llama-swap"},
		{"network: {port: 1}\nmodel: {model_dir: x}\nlogging: {}\n", "TabbyAPI"},
		{"name: \"m\"\nbackend: \"vllm\"\ninstance_group [\n  {\n    kind: KIND_MODEL\n  }\n]\n",
			"Triton Inference Server"},
		{"job \"vllm\" {\n  group \"a\" {\n  }\n}\n", "a job of Nomad"},
		{"HF_TOKEN=x\nVLLM_PORT=1\n", "a file of variables"},
		{"apiVersion: apps/v1\nkind: X\nspec:\n  {{- range $a := .Values.apps }}\n  x: {{ $a }}\n  command: vllm serve {{ $a.model }}\n  {{- end }}\n",
			"a Helm template"},
		{"title: x\nsteps: [a]\nother: {b: c}\n", "YAML, and nothing in it is"},
		{"docker run --gpus all my/own:1 --model-id $m --num-shard 2\n", "Text Generation Inference"},
		{"vllm bench throughput --model m\n", "vllm bench"},
		{"apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nspec: {services: {W: {extraPodSpec: {mainContainer: {command: [sh, -c], args: [python3 -m dynamo.trtllm --model m]}}}}}\n",
			"TensorRT-LLM"},
	};
	struct err err;
	bool form;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (read_text(cases[i][0], &err, &form) >= 0)
			fail_msg("\"%s\" is read", cases[i][0]);
		if (!strstr(err.msg, cases[i][1]))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, cases[i][1]);
	}
}

static void words_are_cut_as_a_shell_cuts_them(void **state)
{
	static const char text[] = "a 'b c' \"d $X e\"f\\ g ${X}h ${Y:-z} $(X) # no\n--k='{\"a\": \"$X\"}'; x\\\n y";
	static const char *const wanted[] = {
		"a", "b c", "d 1 ef g", "1h", "z", "1", "\n", "--k={\"a\": \"$X\"}", ";", "x", "y"};
	const struct form_env env = {.name = "X", .value = "1"};
	struct form_words words = {0};
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 20);
	assert_int_equal(form_words_cut(&words, &arena, "f", text, strlen(text), NULL, &env), 0);
	assert_int_equal(words.len, ARRAY_LEN(wanted));
	for (uint32_t i = 0; i < words.len; i++)
		assert_string_equal(words.v[i].text, wanted[i]);
	assert_int_equal(words.v[7].pos.line, 2);
	assert_int_equal(words.v[7].pos.column, 1);
	assert_int_equal(words.v[10].pos.line, 3);
	arena_done(&arena);
}

static void variables_part_words_and_have_defaults_as_in_a_shell(void **state)
{
	static const char text[] =
		"$ARGS \"$ARGS\" $NONE \"$NONE\" ${A:-${B:-in}} ${ARGS:+there}x ${NO:+gone} ${NO:?set-it} x$(a | b c)y `d e` ${NONE-}";
	static const char *const wanted[] = {
		"--a", "1", "--a 1", "", "in", "therex", "${NO:?set-it}", "x$(a | b c)y", "$`d e`"};
	const struct form_env none = {.name = "NONE", .value = ""},
			      env = {.name = "ARGS", .value = "--a 1", .next = &none};
	struct form_words words = {0};
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 20);
	assert_int_equal(form_words_cut(&words, &arena, "f", text, strlen(text), NULL, &env), 0);
	for (uint32_t i = 0; i < MIN(words.len, (uint32_t)ARRAY_LEN(wanted)); i++)
		assert_string_equal(words.v[i].text, wanted[i]);
	assert_int_equal(words.len, ARRAY_LEN(wanted));
	arena_done(&arena);
}

static void a_variable_that_names_itself_ends(void **state)
{
	const struct form_env b = {.name = "B", .value = "$A$A"}, a = {.name = "A", .value = "$B$B", .next = &b};
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 22);
	assert_non_null(form_expand(&arena, "$A", 2, &a));
	/* Values that become nothing cost time only: that has a bound of its own. */
	char many[2001];
	struct form_env chain[8] = {0};
	for (uint32_t i = 0; i < 1000; i++)
		memcpy(many + 2 * i, "$N", 3);
	for (uint32_t i = 0; i < 8; i++)
		chain[i] = (struct form_env){.name = "N", .value = many, .next = i ? &chain[i - 1] : NULL};
	assert_non_null(form_expand(&arena, "$N", 2, &chain[7]));
	arena_done(&arena);
}

/* The weights of the remarks of one code, one letter each, and what their graph gives a worker: "F 4", " 2" (F fatal, U unchecked). */
static void check_remarks(const char *text, const char *code, const char *wanted)
{
	static const char letters[] = {
		[FORM_FATAL] = 'F', [FORM_UNCHECKED] = 'U', [FORM_WARNING] = 'W', [FORM_INFO] = 'I'};
	struct form_set f;
	struct diags diags;
	struct err err = {0};
	struct buf got;

	form_set_init(&f);
	diags_init(&diags);
	buf_init(&got, 1 << 20);
	if (form_read(&f, "file", text, strlen(text), &diags, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	for (uint32_t i = 0; i < f.remarks.len; i++)
		if (!strcmp(f.remarks.v[i].code, code))
			buf_add_byte(&got, (uint8_t)letters[f.remarks.v[i].weight]);
	assert_non_null(f.root);
	for (const struct yaml_node *s = f.root->first; s; s = s->next) {
		const struct yaml_node *args = yaml_find(s, "ServiceArgs"), *r = yaml_find(args, "resources");
		buf_printf(&got, " %s", r ? yaml_find(r, "gpu")->text : "-");
	}
	if (strcmp(buf_str(&got), wanted))
		fail_msg("\"%s\" and not \"%s\" of %s", buf_str(&got), wanted, text);
	buf_done(&got);
	diags_done(&diags);
	form_set_done(&f);
}

#define LLM(spec)                                                                                                      \
	"apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata: {name: q}\nspec:\n"              \
	"  model: {uri: hf://org/m, name: m}\n" spec
#define POD(gpus) "{containers: [{name: main, resources: {limits: {nvidia.com/gpu: \"" gpus "\"}}}]}\n"

static void parallelism_beside_the_container_counts(void **state)
{
	(void)state;
	check_remarks(LLM("  parallelism: {tensor: 2}\n  template: " POD("2")), "gpus-few", " 2");
	check_remarks(LLM("  parallelism: {tensor: 2, pipeline: 3}\n  template: " POD("2")), "gpus-few", "F 6");
	check_remarks(LLM("  parallelism: {tensor: 2, pipeline: 3}\n  template: " POD("2") "  worker: " POD("2")),
		"gpus-few", " 6");
	/* Three pods of four GPUs, each with two copies of the model. */
	check_remarks(LLM("  parallelism: {tensor: 2, data: 6, dataLocal: 2, expert: true}\n  template: " POD(
			      "4") "  worker: " POD("4")),
		"gpus-few", " 12");
	check_remarks(
		LLM("  parallelism: {tensor: 2, data: 6, dataLocal: 2}\n  template: " POD("2") "  worker: " POD("2")),
		"gpus-few", "F 12");
	/* Prompts are divided in their own way. */
	check_remarks(LLM("  parallelism: {tensor: 4}\n  template: " POD("4") "  prefill:\n    template: " POD("1")),
		"gpus-few", " 4 1");
	check_remarks(
		"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: q}\nspec:\n"
		"  predictor:\n    containers:\n    - {name: c, image: vllm/vllm-openai:v0.9.1, args: [--model, "
		"org/m, --tensor-parallel-size, \"2\"], resources: {limits: {nvidia.com/gpu: 2}}}\n"
		"    workerSpec: {pipelineParallelSize: 2, containers: [{name: w, image: vllm/vllm-openai:v0.9.1,\n"
		"      args: [--model, org/m], resources: {limits: {nvidia.com/gpu: 2}}}]}\n",
		"gpus-few", " 4");
}

static void a_field_that_is_not_known_is_said(void **state)
{
	(void)state;
	check_remarks(LLM("  parallelism: {tensor: 2, tensors: 4}\n  template: " POD("2")), "field-unknown", "U 2");
	check_remarks(LLM("  replica: 3\n  template: " POD("1")), "field-unknown", "U 1");
	check_remarks(LLM("  template: " POD("1") "  prefill: {paralelism: {tensor: 2}, template: " POD("1") "    }\n"),
		"field-unknown", "U 1 1");
	check_remarks(LLM("  baseRefs: [{name: x}]\n  template: " POD("1")), "field-elsewhere", "U 1");
	check_remarks("modelArtifacts: {uri: hf://org/m}\ndecode:\n  parallelism: {tensr: 2}\n  containers:\n"
		      "  - {name: v, image: x/vllm:1, modelCommand: vllmServe}\n",
		"field-unknown", "U 1");
}

static void a_container_without_a_gpu_has_none(void **state)
{
	(void)state;
#define CONTAINER(more)                                                                                                \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: q}\nspec: {containers: [{name: c, command: [vllm, serve, org/m, " \
	"-tp, \"2\"]" more "}]}\n"
	check_remarks(CONTAINER(", resources: {requests: {cpu: 8, memory: 64Gi}}"), "gpus-unasked", "U 2");
	check_remarks(CONTAINER(""), "gpus-unasked", "U 2");
	check_remarks(CONTAINER(", resources: {limits: {nvidia.com/gpu: 0}}"), "gpus-unasked", "U 2");
	check_remarks(CONTAINER(", resources: {limits: {amd.com/gpu: 2}}"), "gpus-unasked", " 2");
	check_remarks(CONTAINER(", resources: {limits: {habana.ai/gaudi: 2}}"), "gpu-resource", "U 2");
	check_remarks(CONTAINER(", resources: {limits: {nvidia.com/gpu: 2, rdma/hca: 1}}"), "gpu-resource", " 2");
#define SERVICE(more) "services:\n  api:\n    image: vllm/vllm-openai:v0.9.1\n    command: --model org/m -tp 2\n" more
#define DEVICES(d) "    deploy: {resources: {reservations: {devices: [{driver: nvidia, capabilities: [gpu]" d "}]}}}\n"
	check_remarks("docker run -p 8:8 vllm/vllm-openai:v0.9.1 --model org/m\n", "gpus-unasked", "U 1");
	check_remarks("sudo podman run x/y:1 vllm serve org/m -tp 2\n", "gpus-unasked", "U 2");
	check_remarks(
		"podman run --device nvidia.com/gpu=all vllm/vllm-openai:v0.9.1 --model org/m\n", "gpus-unasked", " 1");
	check_remarks("docker run --runtime=nvidia vllm/vllm-openai:v0.9.1 --model org/m\n", "gpus-unasked", " 1");
	check_remarks("docker run $OPTIONS vllm/vllm-openai:v0.9.1 --model org/m\n", "gpus-unasked", " 1");
	check_remarks("vllm serve org/m\n", "gpus-unasked", " 1");
	check_remarks(SERVICE(""), "gpus-unasked", "U 2");
	check_remarks(SERVICE("    runtime: nvidia\n"), "gpus-unasked", " 2");
	check_remarks(SERVICE("    gpus: all\n"), "gpus-unasked", " 2");
	check_remarks(SERVICE(DEVICES("")), "gpus-unasked", " 2");
	check_remarks(SERVICE(DEVICES(", device_ids: ['all']")), "gpus-unasked", " 2");
	check_remarks(SERVICE(DEVICES(", count: all")), "gpus-few", " 2");
	check_remarks(SERVICE(DEVICES(", device_ids: ['0,1,2']")), "gpus-few", " 3");
	check_remarks(SERVICE(DEVICES(", device_ids: ['0', '3']")), "gpus-few", " 2");
	check_remarks(SERVICE(DEVICES(", device_ids: ['0']")), "gpus-few", "F 2");
	check_remarks(SERVICE(DEVICES(", count: 1")), "gpus-few", "F 2");
}

static void a_stack_has_its_release_and_its_rays_head(void **state)
{
#define STACK(more)                                                                                                    \
	"servingEngineSpec:\n  modelSpec:\n  - {name: m, modelURL: org/m, replicaCount: 3, requestGPU: 2" more "}\n"
#define TP " vllmConfig: {tensorParallelSize: 2, pipelineParallelSize: 4}"

	(void)state;
	check_remarks(STACK(", raySpec: {headNode: {requestGPU: 2}}," TP), "gpus-few", " 8");
	check_remarks(STACK(", raySpec: {headNode: {requestGPU: 1}}," TP), "gpus-few", "F 8");
	check_remarks(STACK(", raySpec: {enabled: false, headNode: {requestGPU: 2}}," TP), "gpus-few", "F 8");
	check(STACK(", repository: vllm/vllm-openai, tag: v0.10.2"), "production stack",
		"m:\n  engine: \"vllm\"\n  model: \"org/m\"\n  engine-version: \"0.10.2\"\n  ServiceArgs:\n    workers: "
		"\"3\"\n    resources:\n      gpu: \"2\"\n");
	/* A container's options among the engine's are unknown flags, and no keys of ours. */
	check_remarks("vllm serve org/m --env A=b --gpus all\n", "flag-unknown", "UU 1");
}

static void ranks_of_nodes_are_one_deployment(void **state)
{
#define RANK(n, more)                                                                                                  \
	"python3 -m sglang.launch_server --model-path org/m --tp 8 --nnodes 2 --node-rank " n " " more "\n"

	(void)state;
	check_remarks(RANK("0", "") RANK("1", ""), "gpus-few", " 8");
	check_remarks(RANK("1", "--host 0.0.0.0") RANK("0", "--port 9"), "gpus-few", " 8");
	check_remarks(RANK("0", "") RANK("1", "") RANK("0", "") RANK("1", ""), "gpus-few", " 8 8");
	check_remarks("docker run --gpus '\"device=0,1,2,3\"' lmsysorg/sglang:v0.5.2 " RANK(
			      "0", "") "docker run --gpus 4 lmsysorg/sglang:v0.5.2 " RANK("1", ""),
		"gpus-few", " 8");
	check_remarks("vllm serve org/m --data-parallel-size 4 --data-parallel-size-local 2\n"
		      "vllm serve org/m --headless --data-parallel-size 4 --data-parallel-size-local 2 "
		      "--data-parallel-start-rank 2\n",
		"gpus-few", " 4");
	/* Another model's ranks, or a rank that is not known, are another deployment's. */
	check_remarks(
		RANK("0", "") "python3 -m sglang.launch_server --model-path org/n --tp 8 --nnodes 2 --node-rank 1\n",
		"gpus-few", " 8 8");
	check_remarks("python3 -m sglang.launch_server --model-path org/m --tp 8 --dp-size 4 --enable-dp-attention\n",
		"gpus-few", " 8");
	check_remarks("python3 -m sglang.launch_server --model-path org/m --tp 2 --dp-size 4\n", "gpus-few", " 8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pasted_line_is_a_worker),
		cmocka_unit_test(a_script_knows_its_variables_and_starts_several),
		cmocka_unit_test(a_compose_file_has_its_devices),
		cmocka_unit_test(a_pod_is_found_in_any_object),
		cmocka_unit_test(roles_of_dynamos_resources_become_ours),
		cmocka_unit_test(values_and_configuration_files_are_read),
		cmocka_unit_test(a_tag_of_ollamas_library_is_a_quantized_file),
		cmocka_unit_test(parallelism_beside_the_container_counts),
		cmocka_unit_test(a_field_that_is_not_known_is_said),
		cmocka_unit_test(a_container_without_a_gpu_has_none),
		cmocka_unit_test(a_stack_has_its_release_and_its_rays_head),
		cmocka_unit_test(ranks_of_nodes_are_one_deployment),
		cmocka_unit_test(graphs_and_strangers_are_left_alone),
		cmocka_unit_test(what_cannot_be_planned_is_called_by_its_name),
		cmocka_unit_test(a_line_inside_another_shell_is_read),
		cmocka_unit_test(a_dockerfile_is_its_last_stages_command),
		cmocka_unit_test(what_is_no_yaml_is_called_what_it_is),
		cmocka_unit_test(words_are_cut_as_a_shell_cuts_them),
		cmocka_unit_test(variables_part_words_and_have_defaults_as_in_a_shell),
		cmocka_unit_test(a_variable_that_names_itself_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
