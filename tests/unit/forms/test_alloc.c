/* Deployments in foreign forms where memory ends: each allocation fails in turn, in every reader. */
#include "forms/form.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/fail_nth.h"

struct sample {
	const char *file, *text;
};

static int beside(void *ctx, const char *name, struct buf *ret)
{
	(void)ctx;
	(void)name;
	return buf_add_str(ret, "seed: 1\nmax-model-len: 512\nhf_overrides: {a: 1}\n");
}

static int read_sample(void *ctx, struct err *err)
{
	const struct sample *s = ctx;
	struct graph *graph = NULL;
	struct form_set f;
	struct diags diags;

	form_set_init(&f);
	diags_init(&diags);
	f.beside = beside;
	int r = form_read(&f, s->file, s->text, strlen(s->text), &diags, err);
	if (r == 0 && !f.root)
		r = err_set(err, -EINVAL, "\"%s\" is no form", s->text);
	if (r == 0)
		r = graph_of_tree(&graph, s->file, f.root, NULL, &diags, err);
	if (r == -EINVAL && diags.len) /* what the mistake is */
		err_set(err, r, "%s", diags.items[0].text);
	graph_destroy(graph);
	diags_done(&diags);
	form_set_done(&f);
	return r;
}

static void each(const struct sample *samples, size_t count, uint32_t least)
{
	for (size_t i = 0; i < count; i++) {
		struct sample s = samples[i];
		uint32_t refused = fail_nth_each(read_sample, &s);
		if (refused < least)
			fail_msg("%s: %u", s.text, refused);
	}
}

static void a_script_is_followed_or_there_is_no_memory(void **state)
{
	static const struct sample samples[] = {
		{"a.sh",
			"vllm serve org/m -tp 2 --hf-overrides '{\"a\": 1}' --compilation-config.level 3 --lora-modules a=b c=d > log\n"},
		{"a.sh",
			"A=(org/m --seed 1)\n[ -n \"${K:-}\" ] && A+=(--api-key x)\nif [ -d /x ]; then A+=(--enable-lora); fi\n"
			"for i in {0..1}; do CUDA_VISIBLE_DEVICES=$i vllm serve \"${A[@]}\" --port $((8000+i)) & done\n"},
		{"a.sh",
			"f() { local m=$1; shift; vllm serve $m \"$@\"; }\ncase ${S:-b} in a|b) f m -tp 2;; *) f n;; esac\n"},
		{"a.sh",
			"cat > c.yaml <<E\nseed: 1\nE\ncat <<X | kubectl apply -f -\napiVersion: v1\nkind: Pod\nspec: {containers: [{image: "
			"vllm/vllm-openai, args: [--model, m]}]}\nX\nvllm serve m --config c.yaml\nssh h 'vllm serve n'\n"},
		{"a.sh",
			"C=\"vllm serve m\"\n[ -f /y ] && C=\"$C --seed ${N%x} ${N/a/b} ${N,,}\"\n$C --config other.yaml\n"},
		{"a.service", "[Service]\nEnvironment=\"A=b\" C=d\nExecStart=-/bin/vllm serve m \\\n  --seed 1\n"},
		{"Makefile", "M ?= m\nserve: x\n\t@vllm serve $(M) --seed $$S\nother:\n\tvllm serve n\n"},
		{"a.md",
			"# Title\nSome words that say what is to be done here.\n```sh\nvllm serve m\n```\n```yaml\nservices: {a: {image: vllm/vllm-openai, "
			"command: --model m, gpus: all}}\n```\n"}};

	(void)state;
	each(samples, ARRAY_LEN(samples), 20);
}

static void a_program_is_read_or_there_is_no_memory(void **state)
{
	static const struct sample samples[] = {
		{"a.py",
			"from vllm import LLM\nM='m'\nllm = LLM(model=M, tensor_parallel_size=2, hf_overrides={'a': 1}, **k)\n"
			"cmd=['vllm','serve',f'{M}x']\ncmd+=['--seed', str(1)]\nsubprocess.run(cmd)\nos.system(\"vllm serve m --seed 1\")\n"},
		{"a.json", "[\"vllm\", \"serve\", \"m\", \"--seed\", \"1\"]"},
		{"Dockerfile",
			"FROM vllm/vllm-openai:v0.9.2 AS x\nENV A=b C=d\nCMD [\"--model\", \"m\", \\\n  \"--seed\", \"1\"]\nUSER y\n"},
		{"Dockerfile",
			"FROM debian\nENTRYPOINT [\"bash\", \"-c\", \"vllm serve \\\"$@\\\"\", \"--\"]\nCMD [\"m\"]\nUSER y\n"},
		{"Modelfile", "FROM llama3.1:8b\nPARAMETER num_ctx 8192\nSYSTEM x\n"}};

	(void)state;
	each(samples, ARRAY_LEN(samples), 10);
}

static void an_object_is_read_or_there_is_no_memory(void **state)
{
	static const struct sample samples[] = {
		{"a.yaml",
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 2\n  template: {spec: {containers: [{name: a, image: "
			"vllm/vllm-openai:v0.9.2, env: [{name: A, value: b}], command: [sh, -c], args: [\"vllm serve m\"], resources: {limits: {nvidia.com/gpu: 1}}}]}}\n"},
		{"a.yaml",
			"services:\n  a:\n    image: vllm/vllm-openai\n    environment: [\"A=${B:-c}\"]\n    entrypoint: [bash, -c, 'exec vllm serve \"$$@\"', --]\n"
			"    command: [--model, m]\n    deploy: {resources: {reservations: {devices: [{device_ids: ['0']}]}}}\n"},
		{"a.yaml",
			"apiVersion: ray.io/v1\nkind: RayService\nspec:\n  serveConfigV2: |\n    applications:\n    - args:\n        llm_configs:\n        - "
			"model_loading_config: {model_id: m}\n          engine_kwargs: {tensor_parallel_size: 2, hf_overrides: {a: 1}}\n"},
		{"a.yaml",
			"apiVersion: kubeai.org/v1\nkind: Model\nmetadata: {name: k}\nspec: {url: 'hf://m', engine: VLLM, args: [--seed=1], env: {A: b}, resourceProfile: "
			"'nvidia-gpu-l4:2'}\n"},
		{"a.yaml",
			"type: service\nenv: [A=b]\ncommands:\n - vllm serve m -tp $DSTACK_GPUS_NUM\nresources: {gpu: H100:2}\n"},
		{"a.yaml",
			"servingEngineSpec:\n  modelSpec:\n  - {name: a, modelURL: m, tag: v0.9.2, requestGPU: 1, vllmConfig: {maxModelLen: 512, extraArgs: [--seed, '1']}}\n"},
		{"a.yaml",
			"model: m\nmodelParameters: {maxModelLen: 512}\nimage: {repository: vllm/vllm-openai, tag: v0.9.2}\nextraArgs: [--seed, '1']\n"},
		{"a.yaml",
			"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: i}\nspec: {predictor: {model: {modelFormat: {name: huggingface}, args: "
			"[--model_name=x, --model_id=m], resources: {limits: {nvidia.com/gpu: '1'}}}}}\n"},
		{"a.yaml", "model: m\nmax-model-len: 512\nseed: 1\nhf-overrides: {a: 1}\n"}};

	(void)state;
	each(samples, ARRAY_LEN(samples), 20);
}

static int read_words(void *ctx, struct err *err)
{
	static const char *const words[] = {"bash", "-c", "vllm serve m --seed 1 -tp 2", "x"};
	struct form_set f;

	(void)ctx;
	form_set_init(&f);
	int r = form_read_words(&f, words, ARRAY_LEN(words), err);
	form_set_done(&f);
	return r;
}

static void words_are_read_or_there_is_no_memory(void **state)
{
	(void)state;
	assert_true(fail_nth_each(read_words, NULL) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_script_is_followed_or_there_is_no_memory),
		cmocka_unit_test(a_program_is_read_or_there_is_no_memory),
		cmocka_unit_test(an_object_is_read_or_there_is_no_memory),
		cmocka_unit_test(words_are_read_or_there_is_no_memory),
	};

	fail_nth_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
