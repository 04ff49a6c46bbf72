/* Scripts followed as a shell follows them: arrays, conditions, loops, functions, here-documents; programs in Python. What is found is
 * compared as one line a service. */
#include "forms/form_priv.h"
#include "forms/shell.h"

#include "../lib/cmocka_all.h"

#include <stdio.h>

/* "MODEL xWORKERS gGPUS flag=value ...", and the codes of what was remarked. */
static void describe(const struct form_set *f, struct buf *out)
{
	for (uint32_t i = 0; i < f->services.len; i++) {
		const struct form_service *s = &f->services.v[i];
		buf_printf(out, "%s%s x%u", i ? "\n" : "", s->model ? s->model : "?", s->replicas);
		if (s->gpus > 0)
			buf_printf(out, " g%g", s->gpus);
		for (uint32_t k = 0; k < s->args.len; k++)
			if (form_arg_find(&s->args, s->args.v[k].name) == &s->args.v[k])
				buf_printf(out, " %s=%s", s->args.v[k].name, s->args.v[k].value);
		for (uint32_t k = 0; k < s->envs.len; k++)
			buf_printf(out, " $%s=%s", s->envs.v[k].name, s->envs.v[k].value);
	}
	for (uint32_t i = 0; i < f->remarks.len; i++)
		if (f->remarks.v[i].weight < FORM_INFO)
			buf_printf(out, " !%s", f->remarks.v[i].code);
}

static void check_file(const char *file, const char *text, const char *wanted)
{
	struct form_set f;
	struct diags diags;
	struct err err = {0};
	struct buf got;

	form_set_init(&f);
	diags_init(&diags);
	buf_init(&got, 1 << 16);
	int r = form_read(&f, file, text, strlen(text), &diags, &err);
	if (r < 0)
		fail_msg("%s\n-> %s", text, err.msg);
	describe(&f, &got);
	if (strcmp(buf_str(&got), wanted))
		fail_msg("%s\n-> %s\nnot %s", text, buf_str(&got), wanted);
	buf_done(&got);
	diags_done(&diags);
	form_set_done(&f);
}

static void check(const char *text, const char *wanted)
{
	check_file("start.sh", text, wanted);
}

static void arrays_are_the_words_they_hold(void **state)
{
	(void)state;
	check("A=(org/m --seed 1 # why\n  --dtype half)\nA+=(--max-num-seqs 4)\nvllm serve \"${A[@]}\"\n",
		"org/m x1 seed=1 dtype=half max-num-seqs=4");
	check("X=()\nvllm serve m \"${X[@]}\" ${X[*]}\n", "m x1");
	check("declare -a X=(\"--max-model-len\" \"2 k\")\nvllm serve m \"${X[@]}\"\n",
		"m x1 max-model-len=2 k !flag-value");
	check("N=(a b c)\nvllm serve ${N[1]} --seed ${#N[@]}\n", "b x1 seed=3");
	/* One that nobody set may hold anything. */
	check("vllm serve m \"${EXTRA[@]}\"\n", "m x1 !variable-unknown");
	/* With JSON in it a line is YAML by chance. */
	check("vllm serve m --hf-overrides '{\"a\": 1}' --seed 1\n",
		"m x1 hf-overrides={\"a\": 1} seed=1 !flag-effect");
	check("CUDA_VISIBLE_DEVICES=0 python3 -m vllm.entrypoints.openai.api_server --model m --speculative-config '{\"method\": \"ngram\", \"num_speculative_tokens\": 1}'\n",
		"m x1 speculative-config={\"method\": \"ngram\", \"num_speculative_tokens\": 1} $CUDA_VISIBLE_DEVICES=0");
	/* A line of words in a variable is cut, in quotes it is one word. */
	check("C=\"vllm serve m --seed 2\"\n$C\n", "m x1 seed=2");
	check("C=\"vllm serve m --seed 2\"\neval $C\neval \"$C\"\n", "m x1 seed=2\nm x1 seed=2");
	check("C=(vllm serve m)\nexec \"${C[@]}\" --seed 3\n", "m x1 seed=3");
}

static void variables_are_those_of_their_moment(void **state)
{
	(void)state;
	check("TP=2\nvllm serve a -tp $TP\nTP=4\nvllm serve b -tp $TP\n",
		"a x1 tensor-parallel-size=2\nb x1 tensor-parallel-size=4");
	check("N=$((2 * 3 - 2))\nL=$(( N * 1024 ))\nvllm serve a -tp $N --max-model-len $L\n",
		"a x1 tensor-parallel-size=4 max-model-len=4096");
	check("M=Org/Name-7B\nvllm serve $M --served-model-name ${M##*/} --seed ${M:0:0}7\n",
		"Org/Name-7B x1 served-model-name=Name-7B seed=7");
	check("M=ABC\nvllm serve ${M,,} --served-model-name ${M/B/x}\n", "abc x1 served-model-name=AxC");
	check("vllm serve m -tp $TP --max-model-len ${L:-2048}\n", "m x1 max-model-len=2048 !variable-unset");
	/* Of words, too: none is a quantization, and none is the release's. */
	check("vllm serve m --quantization ${Q} --dtype $D --kv-cache-dtype \"$K\"\n",
		"m x1 !variable-unset !variable-unset !variable-unset");
	check("unset TP\nTP=2\nunset TP\nvllm serve m -tp ${TP:-8}\n", "m x1 tensor-parallel-size=8");
	check("export A=1\nB=2\nexport B\nC=3\nvllm serve m\n", "m x1 $B=2 $A=1");
}

static void conditions_are_decided_where_they_can_be(void **state)
{
	(void)state;
	check("M=fast\nif [ \"$M\" = fast ]; then vllm serve a; else vllm serve b; fi\n", "a x1");
	check("M=slow\nif [[ $M == f* ]]; then vllm serve a; elif [ 3 -gt 2 ]; then vllm serve b; else vllm serve c; fi\n",
		"b x1");
	check("A=(m)\n[[ -n \"${KEY:-}\" ]] && A+=(--api-key x)\n[ -z \"${KEY:-}\" ] && A+=(--seed 1)\nvllm serve \"${A[@]}\"\n",
		"m x1 seed=1");
	check("case ${SIZE:-big} in small) T=1 ;; b*|huge) T=8 ;; *) T=2 ;; esac\nvllm serve m -tp $T\n",
		"m x1 tensor-parallel-size=8");
	check("M=a-7B\nif [[ \"$M\" == *\"8B\"* ]] || [[ \"$M\" == *\"7B\"* ]]; then T=1; else T=2; fi\nvllm serve m -tp $T\n",
		"m x1 tensor-parallel-size=1");
	check("if (( 4 > 2 )); then T=4; fi\nvllm serve m -tp $T\n", "m x1 tensor-parallel-size=4");
	/* Nothing is set but what the text sets. */
	check("if [ -n \"$M\" ]; then N=\"$M\"; else N=org/m; fi\nvllm serve $N\n", "org/m x1");
	check("X=$(hostname)\nif [ \"$X\" = a ]; then T=2; else T=4; fi\nvllm serve m -tp $T\n",
		"m x1 !variable-unset");
	check("command -v vllm >/dev/null || exit 1\nmkdir -p /x || exit 2\nvllm serve m\n", "m x1");
	check("[ a = b ] || vllm serve m\n", "m x1");
}

static void what_is_not_decided_is_not_guessed(void **state)
{
	(void)state;
	/* Two commands of which one runs are one service; that the other differs is said, when it does for the plan. */
	check("if test -f /x; then vllm serve m --port 1; else vllm serve m --port 2 --trust-remote-code; fi\n",
		"m x1 port=1 !script-choice");
	check("if test -f /x; then vllm serve m --port 1; else vllm serve m --port 2; fi\n", "m x1 port=1");
	check("if [ -d /x ]; then vllm serve m -tp 1; else vllm serve m -tp 2; fi\n",
		"m x1 tensor-parallel-size=1 !script-choice");
	check("case $1 in a) vllm serve m ;; b) sglang serve --model-path n ;; esac\n", "m x1 !script-choice");
	/* A variable that is perhaps another. */
	check("T=1\nif [ -d /x ]; then T=2; fi\nvllm serve m -tp $T\n", "m x1 !variable-unset");
	check("if [ -d /x ]; then T=2; fi\nvllm serve m -tp $T\n", "m x1 tensor-parallel-size=2");
	/* Words that are perhaps there. */
	check("A=(m)\nif [ -d /x ]; then A+=(--enable-lora); fi\nvllm serve \"${A[@]}\"\n",
		"m x1 enable-lora=true !flag-unsure");
	check("C=\"vllm serve m\"\nif [ -d /x ]; then C=\"$C --enable-lora\"; fi\n[ -f /y ] && C=\"$C --api-key k\"\n$C\n",
		"m x1 enable-lora=true api-key=k !flag-unsure");
	check("N=3\nC=\"vllm serve m\"\nif [ \"$N\" -gt 0 ] 2>/dev/null; then C=\"$C --seed $N\"; fi\nexec $C\n",
		"m x1 seed=3");
	check("A=(m)\nif [ -d /x ]; then A+=(--api-key k); fi\nvllm serve \"${A[@]}\"\n", "m x1 api-key=k");
	/* What perhaps ends the script before. */
	check("if [ -d /old ]; then exec vllm serve m --seed 1; fi\nexec vllm serve m --seed 2\n",
		"m x1 seed=1 !script-choice");
	check("vllm serve a\nexit 0\nvllm serve b\n", "a x1");
}

static void loops_start_as_many_as_they_turn(void **state)
{
	(void)state;
	check("for i in 0 1 2; do CUDA_VISIBLE_DEVICES=$i vllm serve m --port $((8000 + i)) & done; wait\n",
		"m x1 port=8000 $CUDA_VISIBLE_DEVICES=0\nm x1 port=8001 $CUDA_VISIBLE_DEVICES=1\nm x1 port=8002 $CUDA_VISIBLE_DEVICES=2");
	check("for i in {1..2}; do\n  vllm serve m --seed $i &\ndone\n", "m x1 seed=1\nm x1 seed=2");
	check("for ((i = 0; i < 2; i++)); do vllm serve m --seed $i & done\n", "m x1 seed=0\nm x1 seed=1");
	check("for i in $(seq 0 1)\ndo\nnohup vllm serve m --seed $i > log 2>&1 &\ndone\n", "m x1 seed=0\nm x1 seed=1");
	/* One after another is not all at once. */
	check("for m in a b; do vllm serve $m; done\n", "a x1 !script-choice");
	check("for m in a b; do vllm serve $m & P=$!; ./bench; kill $P; done\n", "a x1 !script-choice");
	check("while true; do vllm serve m; sleep 1; done\n", "m x1");
}

static void functions_are_their_calls(void **state)
{
	(void)state;
	check("serve() {\n  local model=$1; shift\n  vllm serve \"$model\" \"$@\" &\n}\nserve a -tp 2\nserve b --seed 1\n",
		"a x1 tensor-parallel-size=2\nb x1 seed=1");
	check("function go {\n vllm serve m --seed ${1:-9}\n}\ngo\n", "m x1 seed=9");
	check("main() { run; }\nrun() ( vllm serve m )\nmain \"$@\"\n", "m x1");
	/* Never called: somebody else may. */
	check("start() { vllm serve m -tp $1; }\n", "m x1 !variable-unset");
	check("f() { vllm serve a & f; }\nf\nvllm serve b\n", "a x1\nb x1");
	check("f() { f; }\nf\nvllm serve m\n", "m x1");
}

static void documents_in_a_script_are_read_as_what_they_are(void **state)
{
	(void)state;
	check("cat <<EOF\nvllm serve not-this\nEOF\nvllm serve m\n", "m x1");
	check("T=2\ncat <<EOF | kubectl apply -f -\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 3\n"
	      "  template: {spec: {containers: [{image: vllm/vllm-openai:v1, args: [--model, m, -tp, \"$T\"], resources: {limits: "
	      "{nvidia.com/gpu: $T}}}]}}\nEOF\n",
		"m x3 g2 tensor-parallel-size=2");
	check("ssh host bash <<'EOF'\nvllm serve m --seed 1\nEOF\n", "m x1 seed=1");
	check("cat > c.yaml <<EOF\nmax-model-len: 512\nseed: 3\nEOF\nvllm serve m --config c.yaml --seed 4\n",
		"m x1 config=c.yaml seed=4 max-model-len=512");
	check("cat > run.sh <<'X'\n#!/bin/sh\nexec vllm serve m\nX\nchmod +x run.sh\n./run.sh\n", "m x1");
	check("cat > notes.md <<X\nvllm serve n\nX\nvllm serve m\n", "m x1");
}

static void lines_inside_other_commands_are_read(void **state)
{
	(void)state;
	check("ssh gpu1 'cd /x && vllm serve m --seed 1'\n", "m x1 seed=1");
	check("tmux new -d -s a 'vllm serve m'\nscreen -dmS b bash -c \"vllm serve n\"\n", "m x1\nn x1");
	check("sbatch --gres=gpu:2 --wrap=\"vllm serve m -tp 2\"\n", "m x1 tensor-parallel-size=2");
	check("docker run --gpus 2 --entrypoint /bin/bash vllm/vllm-openai:v0.9.2 -c \"set -e; pip install x; exec vllm serve m -tp 2\"\n",
		"m x1 g2 tensor-parallel-size=2");
	check("srun --nodes 1 bash -c 'vllm serve \"$@\"' -- m --seed 1\n", "m x1 seed=1");
	/* Flags behind a comment, or behind a line that does not go on, are lost. */
	check("vllm serve m \\\n  --seed 1\n  --dtype half\n", "m x1 seed=1 !flag-lost");
	check("sudo echo \"vllm serve m\"\nlog \"starting vllm serve m\"\nvllm serve n\n", "n x1");
}

static void a_job_has_what_it_asked_for(void **state)
{
	(void)state;
	check("#!/bin/bash\n#SBATCH --nodes=2\n#SBATCH --gpus-per-node=4\nvllm serve m -tp $SLURM_GPUS_ON_NODE -pp $SLURM_NNODES\n",
		"m x1 tensor-parallel-size=4 pipeline-parallel-size=2");
	check("#!/bin/bash\n#SBATCH --gres=gpu:a100:2\nsrun vllm serve m -tp ${SLURM_GPUS_ON_NODE}\n",
		"m x1 tensor-parallel-size=2");
}

static void programs_in_python_make_engines(void **state)
{
	(void)state;
	check_file("a.py",
		"from vllm import LLM, SamplingParams\nM = \"org/m\"\nllm = LLM(model=M, tensor_parallel_size=2,\n\tmax_model_len=4096, enforce_eager=True)\n",
		"org/m x1 tensor-parallel-size=2 max-model-len=4096 enforce-eager=true");
	check_file("a.py", "import vllm\nargs = parse()\nllm = vllm.LLM(args.model, tensor_parallel_size=args.tp)\n",
		"$(args.model) x1 !variable-unset");
	check_file("a.py",
		"from vllm import AsyncEngineArgs\ne = AsyncEngineArgs(model='m', dtype=\"half\", nonsense=3, **more)\n",
		"m x1 dtype=half !argument-unknown !argument-unknown");
	check_file("a.py",
		"import subprocess, sys\nM = 'm'\ncmd = [sys.executable, '-m', 'vllm.entrypoints.openai.api_server', '--model', M]\n"
		"if x:\n    cmd += ['--enable-lora']\ncmd.extend(['--seed', str(4)])\nsubprocess.Popen(cmd)\n",
		"m x1 enable-lora=true seed=4 !flag-unsure");
	check_file("a.py",
		"import os\nTP = os.environ.get(\"TP\", \"2\")\nos.system(f\"vllm serve m --tensor-parallel-size {TP} --seed {os.getpid()}\")\n",
		"m x1 tensor-parallel-size=2 !variable-unset");
	check_file("a.py",
		"import sglang as sgl\nif __name__ == '__main__':\n    llm = sgl.Engine(model_path='m', tp_size=2)\n",
		"m x1 tp-size=2");
	check_file("a.py",
		"from llama_cpp import Llama\nllm = Llama(model_path=\"./m.gguf\", n_gpu_layers=-1, n_ctx=2048)\n",
		"./m.gguf x1 gpu-layers=-1 context-length=2048");
	check_file("a.py",
		"from ray.serve.llm import LLMConfig\nc = LLMConfig(model_loading_config=dict(model_id='x', model_source='org/m'),\n"
		"    deployment_config={'autoscaling_config': {'min_replicas': 2}}, engine_kwargs=dict(tensor_parallel_size=2))\n",
		"org/m x2 tensor-parallel-size=2");
	check_file("a.json", "[\"vllm\", \"serve\", \"m\", \"--seed\", \"1\"]", "m x1 seed=1");
}

static void frames_around_commands_fall_away(void **state)
{
	(void)state;
	check_file("a.service",
		"[Unit]\nDescription=vllm serve x\n[Service]\nEnvironment=\"CUDA_VISIBLE_DEVICES=1\" HF_HOME=/h\nExecStartPre=/bin/true\n"
		"ExecStart=-/opt/bin/vllm serve m \\\n    --seed 1\nRestart=always\n",
		"m x1 seed=1 $HF_HOME=/h $CUDA_VISIBLE_DEVICES=1");
	check_file("Makefile",
		"MODEL ?= org/m\nTP := 2\n.PHONY: serve\nserve: check\n\t@echo $(MODEL)\n\t@vllm serve $(MODEL) -tp $(TP) --seed $$SEED\n",
		"org/m x1 tensor-parallel-size=2 !variable-unset");
	check_file("x.mk", "a:\n\tvllm serve m\nb:\n\tvllm serve n\n", "m x1 !script-choice");
	check_file("README.md",
		"Notes:\n\twith a tab\n\nSome words that say what is to be done here.\n```sh\nvllm serve m\n```\n",
		"m x1");
	check_file("justfile", "model := \"org/m\"\n\nserve port='8000':\n    vllm serve {{model}} --port 1\n",
		"org/m x1 port=1");
}

static void tasks_have_what_they_ask_for(void **state)
{
	(void)state;
	check_file("t.yaml",
		"type: service\nname: t\nenv: [HF_TOKEN, M=org/m]\ncommands:\n  - pip install vllm==0.9.2\n  - vllm serve $M -tp $DSTACK_GPUS_NUM\n"
		"resources: {gpu: H100:80GB:4}\nreplicas: 2..3\n",
		"org/m x2 tensor-parallel-size=4 $M=org/m");
	check_file("t.yaml",
		"resources:\n  accelerators: {A100: 2}\nnum_nodes: 2\nenvs: {M: m}\nrun: |\n  vllm serve $M -tp $SKYPILOT_NUM_GPUS_PER_NODE \\\n    -pp $SKYPILOT_NUM_NODES\n",
		"m x1 tensor-parallel-size=2 pipeline-parallel-size=2 $M=m");
	check_file("t.yaml",
		"resources: {accelerators: {H100:8, A100:8}}\nnum_nodes: 2\nrun: |\n  TP=$(($SKYPILOT_NUM_GPUS_PER_NODE * $SKYPILOT_NUM_NODES))\n  vllm serve m -tp $TP\n",
		"m x1 tensor-parallel-size=16");
	check_file("t.yaml", "resources: {accelerators: L4:1}\nrun: vllm serve m -tp 4\n",
		"m x1 g1 tensor-parallel-size=4 !gpus-few");
}

static void objects_without_containers_name_their_engines(void **state)
{
	(void)state;
	check_file("m.yaml",
		"apiVersion: kubeai.org/v1\nkind: Model\nmetadata: {name: k}\nspec:\n  url: hf://org/m\n  engine: VLLM\n  minReplicas: 0\n  args: [--seed=1]\n"
		"  env: {A: b}\n  resourceProfile: nvidia-gpu-l4:2\n",
		"org/m x1 g2 seed=1 $A=b");
	check_file("m.yaml",
		"apiVersion: production-stack.vllm.ai/v1alpha1\nkind: VLLMRuntime\nmetadata: {name: v}\nspec:\n  model: {modelURL: m, maxModelLen: 512, enableLoRA: true}\n"
		"  vllmConfig: {tensorParallelSize: 2}\n  deploymentConfig: {replicas: 3, resources: {gpu: \"2\"}, image: {name: \"vllm/vllm-openai:v0.9.2\"}}\n",
		"m x3 g2 max-model-len=512 enable-lora=true tensor-parallel-size=2");
	check_file("m.yaml",
		"apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: r}\nspec:\n  serveConfigV2: |\n    applications:\n    - name: a\n      import_path: ray.serve.llm:build_openai_app\n"
		"      args:\n        llm_configs:\n        - model_loading_config: {model_id: x, model_source: org/m}\n          engine_kwargs: {tensor_parallel_size: 4}\n"
		"          deployment_config: {num_replicas: 2}\n  rayClusterConfig: {}\n",
		"org/m x2 tensor-parallel-size=4");
	check_file("m.yaml",
		"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: i}\nspec:\n  predictor:\n    minReplicas: 1\n    model:\n      modelFormat: {name: huggingface}\n"
		"      args: [--model_name=x, --model_id=org/m, --max-model-len=512]\n      resources: {limits: {nvidia.com/gpu: \"1\"}}\n",
		"org/m x1 g1 max-model-len=512");
}

static void pods_of_one_engine_count_together(void **state)
{
	static const char ray[] =
		"apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: r}\nspec:\n  headGroupSpec:\n    template:\n      spec:\n        containers:\n"
		"        - image: vllm/vllm-openai:v0.9.2\n          command: [bash, -lc, --]\n          args: [\"ray start --head; vllm serve m -tp 4\"]\n"
		"          resources: {limits: {nvidia.com/gpu: 2}}\n  workerGroupSpecs:\n  - replicas: 1\n    template: {spec: {containers: [{image: x, resources: "
		"{limits: {nvidia.com/gpu: 2}}}]}}\n";

	(void)state;
#define LWS                                                                                                            \
	"apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: l}\nspec:\n  leaderWorkerTemplate:\n    size: 2\n"
#define POD(command, gpus)                                                                                             \
	"{spec: {containers: [{image: vllm/vllm-openai:v0.11.0, command: [sh, -c, \"" command                          \
	"\"], resources: {limits: {nvidia.com/gpu: " gpus "}}}]}}\n"
	check_file("l.yaml",
		LWS "    leaderTemplate: " POD("vllm serve m -tp 8 -pp 2", "8") "    workerTemplate: " POD(
			"ray start", "8"),
		"m x1 g16 tensor-parallel-size=8 pipeline-parallel-size=2");
	check_file("l.yaml",
		LWS "    leaderTemplate: " POD("vllm serve m -tp 8 -pp 2", "8") "    workerTemplate: " POD(
			"ray start", "1"),
		"m x1 g9 tensor-parallel-size=8 pipeline-parallel-size=2 !gpus-few");
	check_file("l.yaml", LWS "    workerTemplate: " POD("vllm serve m -tp 16", "8"),
		"m x1 g16 tensor-parallel-size=16");
	check_file("r.yaml", ray, "m x1 g4 tensor-parallel-size=4");
	check_file("c.yaml",
		"services:\n  a:\n    image: vllm/vllm-openai\n    gpus: all\n    entrypoint: [bash, -c, 'E=(); if [ -d /x ]; then exec vllm serve \"$$@\" \"$${E[@]}\"; else exec vllm serve --port 9 \"$$@\"; fi', --]\n"
		"    command: [--model, m, --tensor-parallel-size, \"2\"]\n",
		"m x1 tensor-parallel-size=2");
}

static void values_of_a_chart_that_nobody_knows_are_read(void **state)
{
	(void)state;
	check_file("values.yaml",
		"model: org/m\nmodelParameters:\n  maxModelLen: 512\n  pipelineParallelSize: 2\n  tensorParallelSize: 4\ninference:\n  framework: lws-vllm\n"
		"  modelServer:\n    image: {repository: vllm/vllm-openai, tag: v0.9.2}\n    deployment: {resources: {gpu: {limits: {nvidia.com/gpu: 4}}}}\n",
		"org/m x1 g8 max-model-len=512 pipeline-parallel-size=2 tensor-parallel-size=4");
	check_file("values.yaml",
		"modelName: org/m\nreplicaCount: 2\nimage: {repository: my.host/sglang, tag: v0.5.2}\nresources: {limits: {nvidia.com/gpu: \"1\"}}\nextraArgs: [--tp, \"1\"]\n",
		"org/m x2 g1 tp=1");
	check_file("values.yaml",
		"- name: a\n  modelURL: org/m\n  requestGPU: 2\n  vllmConfig: {tensorParallelSize: 2}\n",
		"org/m x1 g2 tensor-parallel-size=2");
}

static void a_page_may_hold_other_forms_than_commands(void **state)
{
	(void)state;
	check_file("a.md",
		"# Title\nSome words that say what is to be done here.\n```yaml\nservices:\n  a:\n    image: vllm/vllm-openai\n    gpus: all\n    command: --model m --seed 1\n```\n",
		"m x1 seed=1");
	check_file("a.md",
		"# Title\nSome words that say what is to be done here.\n```\nFROM ./m.gguf\nPARAMETER num_ctx 2048\n```\n```sh\nollama create x\n```\n",
		"./m.gguf x1 g1 context-length=2048");
	check_file("a.md",
		"# Title\nSome words that say what is to be done here.\n```python\nfrom vllm import LLM\nllm = LLM('m', seed=2)\n```\n",
		"m x1 seed=2");
}

#define WORDS "# Title\nSome words that say what is to be done here.\n"

static void variables_of_the_environment_have_their_effect(void **state)
{
	(void)state;
	check("CUDA_VISIBLE_DEVICES= vllm serve m\n", "m x1 $CUDA_VISIBLE_DEVICES= !gpus-hidden");
	check("export CUDA_VISIBLE_DEVICES=$1\nvllm serve m\n", "m x1 $CUDA_VISIBLE_DEVICES=$1 !variable-unset");
	check("CUDA_VISIBLE_DEVICES=0,1 vllm serve m -tp 2\n", "m x1 tensor-parallel-size=2 $CUDA_VISIBLE_DEVICES=0,1");
	check("docker run --gpus all -e NVIDIA_VISIBLE_DEVICES=1 vllm/vllm-openai --model m -tp 2\n",
		"m x1 tensor-parallel-size=2 $NVIDIA_VISIBLE_DEVICES=1 !gpus-few");
	check("NVIDIA_VISIBLE_DEVICES=none vllm serve m\n", "m x1 $NVIDIA_VISIBLE_DEVICES=none !gpus-hidden");
	check("NVIDIA_VISIBLE_DEVICES=all vllm serve m\n", "m x1 $NVIDIA_VISIBLE_DEVICES=all");
	check("VLLM_USE_V1=0 vllm serve m\n", "m x1 $VLLM_USE_V1=0 !variable-effect");
	check("VLLM_USE_V1=1 VLLM_LOGGING_LEVEL=INFO vllm serve m\n", "m x1 $VLLM_USE_V1=1 $VLLM_LOGGING_LEVEL=INFO");
	check("VLLM_PP_LAYER_PARTITION=1,2 VLLM_TARGET_DEVICE=cpu VLLM_MLA_DISABLE=0 vllm serve m\n",
		"m x1 $VLLM_PP_LAYER_PARTITION=1,2 $VLLM_TARGET_DEVICE=cpu $VLLM_MLA_DISABLE=0 !variable-effect !variable-effect");
	check("vllm serve m -tp 2 --decode-context-parallel-size 2\n",
		"m x1 tensor-parallel-size=2 decode-context-parallel-size=2 !flag-effect");
}

static void compose_puts_its_defaults_in(void **state)
{
	(void)state;
	/* Also where the service has no environment of its own. */
	check_file("c.yaml",
		"services:\n  a:\n    image: vllm/vllm-openai\n    gpus: all\n    command: [--model, m, --seed, \"${S:-3}\"]\n",
		"m x1 seed=3");
	check_file("c.yaml",
		"services:\n  a:\n    image: vllm/vllm-openai\n    gpus: all\n    environment: [\"S=${S:-}\", \"T=${T:-4}\"]\n"
		"    entrypoint: [sh, -c, 'vllm serve m --seed $${S:-7} --max-num-seqs $$T']\n",
		"m x1 seed=7 max-num-seqs=4 $T=4 $S=");
	/* Lines that went on and were folded: the backslashes are Compose's. */
	check_file("c.yaml",
		"services:\n  a:\n    image: vllm/vllm-openai\n    gpus: all\n    entrypoint:\n      bash -c \"\n      A=1 \\\n      vllm serve \\\n      --model m \\\n      --seed 1\"\n",
		"m x1 seed=1 $A=1");
	check_file("a.service", "[Service]\r\nExecStart=/bin/vllm serve m \\\r\n  --seed 1\r\n", "m x1 seed=1");
}

static void commands_of_a_page_are_examples(void **state)
{
	(void)state;
	check_file("a.md",
		WORDS
		"```sh\nvllm serve m -tp 4\n```\nOr, on a larger machine with more of them:\n```sh\nvllm serve m -tp 8\n```\n",
		"m x1 tensor-parallel-size=4 !script-choice");
	check_file("a.md",
		WORDS
		"```sh\nvllm serve m\n```\nThe same again, with a key for those who have one:\n```sh\nvllm serve m --api-key x\n```\n",
		"m x1");
	/* They divide the work, the cards or the ports. */
	check_file("a.md",
		WORDS "```sh\nCUDA_VISIBLE_DEVICES=0 vllm serve m\nCUDA_VISIBLE_DEVICES=1 vllm serve m\n```\n",
		"m x1 $CUDA_VISIBLE_DEVICES=0\nm x1 $CUDA_VISIBLE_DEVICES=1");
	check_file("a.md",
		WORDS
		"```sh\nvllm serve m --port 1\n```\nAnd then a second one on the same machine:\n```sh\nvllm serve m --port 2\n```\n",
		"m x1 port=1\nm x1 port=2");
	/* A block's commands are the block's. */
	check_file("a.md",
		WORDS
		"```yaml\ntype: service\ncommands: [\"vllm serve m -tp $DSTACK_GPUS_NUM\"]\nresources: {gpu: \"H100:2\"}\n```\n",
		"m x1 tensor-parallel-size=2");
	check_file("a.md", "---\ntitle: x\nimage: y.png\n---\n" WORDS "```sh\nvllm serve m\n```\n", "m x1");
}

static void an_image_starts_its_engine_only_as_it_is(void **state)
{
	(void)state;
	check("docker run --gpus 1 vllm/vllm-openai:latest --model m\n", "m x1 g1");
	check("docker run --gpus 1 lmsysorg/sglang:latest /bin/bash\nvllm serve m\n", "m x1");
	check("docker run --entrypoint python3 vllm/vllm-openai tool.py\nvllm serve m\n", "m x1");
	check("docker run -it vllm/vllm-openai bash\nvllm serve m\n", "m x1");
	check_file("Dockerfile",
		"FROM debian\nENTRYPOINT [\"python3\", \"-m\", \"vllm.entrypoints.openai.api_server\"]\nEXPOSE 1\n",
		"$MODEL x1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays_are_the_words_they_hold),
		cmocka_unit_test(variables_are_those_of_their_moment),
		cmocka_unit_test(conditions_are_decided_where_they_can_be),
		cmocka_unit_test(what_is_not_decided_is_not_guessed),
		cmocka_unit_test(loops_start_as_many_as_they_turn),
		cmocka_unit_test(functions_are_their_calls),
		cmocka_unit_test(documents_in_a_script_are_read_as_what_they_are),
		cmocka_unit_test(lines_inside_other_commands_are_read),
		cmocka_unit_test(a_job_has_what_it_asked_for),
		cmocka_unit_test(programs_in_python_make_engines),
		cmocka_unit_test(frames_around_commands_fall_away),
		cmocka_unit_test(tasks_have_what_they_ask_for),
		cmocka_unit_test(objects_without_containers_name_their_engines),
		cmocka_unit_test(pods_of_one_engine_count_together),
		cmocka_unit_test(values_of_a_chart_that_nobody_knows_are_read),
		cmocka_unit_test(variables_of_the_environment_have_their_effect),
		cmocka_unit_test(compose_puts_its_defaults_in),
		cmocka_unit_test(commands_of_a_page_are_examples),
		cmocka_unit_test(an_image_starts_its_engine_only_as_it_is),
		cmocka_unit_test(a_page_may_hold_other_forms_than_commands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
