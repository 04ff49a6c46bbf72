/* Flags of a command line, read by the tables of their engine: values, abbreviations, what a release refuses, what no plan counts. */
#include "forms/form_priv.h"

#include "../lib/cmocka_all.h"

#include <stdio.h>

static struct form_set form;

static void read_line(const char *text, const char *version)
{
	struct diags diags;
	struct err err = {0};

	form_set_done(&form);
	form_set_init(&form);
	for (size_t i = 0; i < ARRAY_LEN(form.versions); i++)
		form.versions[i] = version;
	diags_init(&diags);
	if (form_read(&form, "line", text, strlen(text), &diags, &err) < 0)
		fail_msg("%s", err.msg);
	assert_non_null(form.form);
	diags_done(&diags);
}

static const char *value_of(const char *name)
{
	const struct form_arg *a = form_arg_find(&form.services.v[0].args, name);
	return a ? a->value : NULL;
}

static const struct form_remark *remark_of(const char *code)
{
	for (uint32_t i = 0; i < form.remarks.len; i++)
		if (!strcmp(form.remarks.v[i].code, code))
			return &form.remarks.v[i];
	return NULL;
}

#define assert_remark(code_, weight_, part)                                                                            \
	do {                                                                                                           \
		const struct form_remark *r_ = remark_of(code_);                                                       \
		assert_non_null(r_);                                                                                   \
		assert_int_equal(r_->weight, weight_);                                                                 \
		if (!strstr(r_->what, part))                                                                           \
			fail_msg("\"%s\" does not say \"%s\"", r_->what, part);                                        \
	} while (0)

static int done(void **state)
{
	(void)state;
	form_set_done(&form);
	return 0;
}

static void values_are_taken_as_each_flag_takes_them(void **state)
{
	(void)state;
	read_line(
		"vllm serve org/m --served-model-name one two --allowed-media-domains a.org 'b c' --enforce-eager -pp=2 --max_model_len 16K --no-enable-chunked-prefill "
		"--seed -1 --kv-transfer-config '{\"kv_role\": \"kv_both\"}' -q awq --trust-remote-code",
		NULL);
	assert_string_equal(form.services.v[0].model, "org/m");
	assert_string_equal(value_of("served-model-name"), "one");
	assert_string_equal(value_of("allowed-media-domains"), "[\"a.org\", \"b c\"]");
	assert_string_equal(value_of("enforce-eager"), "true");
	assert_string_equal(value_of("pipeline-parallel-size"), "2");
	assert_string_equal(value_of("max-model-len"), "16384");
	assert_string_equal(value_of("enable-chunked-prefill"), "false");
	assert_string_equal(value_of("seed"), "-1");
	assert_string_equal(value_of("kv-transfer-config"), "{\"kv_role\": \"kv_both\"}");
	assert_string_equal(value_of("quantization"), "awq");
	assert_string_equal(value_of("trust-remote-code"), "true");
	assert_int_equal(form.remarks.len, 0);
}

static void sglang_has_two_names_for_the_model(void **state)
{
	static const char *const lines[] = {"python3 -m sglang.launch_server --model-path acme/Sparrow",
		"python3 -m sglang.launch_server --model acme/Sparrow",
		"python3 -m sglang.launch_server --model=acme/Sparrow"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		read_line(lines[i], NULL);
		assert_string_equal(form.services.v[0].model, "acme/Sparrow");
		for (uint32_t k = 0; k < form.remarks.len; k++)
			assert_string_not_equal(form.remarks.v[k].code, "model-unsaid");
	}
}

static void an_images_tag_is_the_engines_release_where_the_image_is_the_engines(void **state)
{
	static const struct {
		const char *image, *version;
	} cases[] = {
		{"vllm/vllm-openai:v0.10.1", "0.10.1"},
		{"mirror.example/vllm/vllm-openai:v0.10.1", "0.10.1"},
		{"mirror.example/team/vllm:v0.9.2", "0.9.2"},
		{"vllm/vllm-openai-cpu:v0.11.0", "0.11.0"},
		{"ghcr.io/llm-d/llm-d-cuda:v0.5.1", NULL},
		{"lmcache/vllm-openai:v0.3.2", NULL},
		{"acme/serving-with-vllm:0.2.0", NULL},
	};
	char text[256];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof text, "services:\n  a:\n    image: %s\n    command: vllm serve acme/Sparrow\n",
			cases[i].image);
		read_line(text, NULL);
		const char *version = form.services.v[0].version;
		if (!version != !cases[i].version || (version && strcmp(version, cases[i].version) != 0))
			fail_msg("%s is taken for release %s", cases[i].image, version ? version : "(none)");
	}
}

/* Dynamo calls a worker "decode" also where it does both. */
static void a_label_makes_no_half_of_a_deployment_that_has_no_other(void **state)
{
	static const char lone[] =
		"apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nspec:\n  services:\n    W:\n"
		"      subComponentType: decode\n      extraPodSpec: {mainContainer: {command: [python3, -m, dynamo.vllm, "
		"--model, acme/Sparrow%s]}}\n%s";
	static const char prefill[] =
		"    P:\n      subComponentType: prefill\n      extraPodSpec: {mainContainer: {command: [python3, -m, "
		"dynamo.vllm, --model, acme/Sparrow]}}\n";
	char text[1024];
	(void)state;

	snprintf(text, sizeof text, lone, "", "");
	read_line(text, NULL);
	assert_int_equal(form.services.v[0].role, GRAPH_ROLE_BOTH);
	snprintf(text, sizeof text, lone, "", prefill);
	read_line(text, NULL);
	assert_int_equal(form.services.v[0].role, GRAPH_ROLE_DECODE);
	snprintf(text, sizeof text, lone, ", --is-decode-worker", "");
	read_line(text, NULL);
	assert_int_equal(form.services.v[0].role, GRAPH_ROLE_DECODE);
}

static void a_flag_with_dots_is_a_part_of_its_json(void **state)
{
	(void)state;
	read_line(
		"vllm serve org/m --kv_transfer_config.kv_role kv_both --kv-transfer-config.extra.depth=3 --enforce-eager",
		NULL);
	assert_string_equal(value_of("kv-transfer-config"), "{\"kv_role\":\"kv_both\",\"extra\":{\"depth\":3}}");
	assert_string_equal(value_of("enforce-eager"), "true");
	read_line("vllm serve org/m -O3", "0.10.2");
	assert_string_equal(value_of("compilation-config"), "3");
	read_line("vllm serve org/m -O2", "0.20.2");
	assert_string_equal(value_of("optimization-level"), "2");
	assert_int_equal(form.remarks.len, 0);
}

static void of_a_repeated_flag_the_last_counts(void **state)
{
	(void)state;
	read_line("vllm serve org/m --max-num-seqs 4 --max-num-seqs=8 -- extra", NULL);
	assert_string_equal(value_of("max-num-seqs"), "8");
	/* behind "--" there are no flags, and one model is enough */
	assert_remark("flag-value", FORM_FATAL, "\"extra\" belongs to no flag");
}

static void what_no_release_has_is_said_with_what_was_meant(void **state)
{
	(void)state;
	read_line("vllm serve org/m --gpu-memory-utilisation 0.8", NULL);
	assert_remark("flag-unknown", FORM_FATAL, "has a flag --gpu-memory-utilisation");
	assert_string_equal(remark_of("flag-unknown")->remedy, "did you mean --gpu-memory-utilization?");
	assert_int_equal(remark_of("flag-unknown")->pos.column, 18);
	read_line("python3 -m sglang.launch_server --model-path org/m --zoom-factor 3", NULL);
	assert_remark("flag-unknown", FORM_UNCHECKED, "--zoom-factor"); /* a fork's, or a release to come */
	read_line("python3 -m sglang.launch_server --model-path org/m --zoom-factor 3", "0.5.2");
	assert_remark("flag-unknown", FORM_FATAL, "SGLang 0.5.2 has no flag --zoom-factor");
	read_line("llama-server -m a.gguf --ctx-sise 4096", NULL);
	assert_string_equal(remark_of("flag-unknown")->remedy, "did you mean --ctx-size?");
	read_line("python3 -m dynamo.vllm --model org/m --uvicorn-log-level info", NULL);
	assert_remark("flag-unknown", FORM_FATAL, "vllm serve's own HTTP server");
	read_line("vllm serve org/m --max-num 4", NULL);
	assert_remark("flag-unknown", FORM_FATAL, "abbreviates several");
}

static void what_another_release_has_is_said_with_it(void **state)
{
	(void)state;
	read_line("docker run --gpus all vllm/vllm-openai:v0.13.0 --model org/m --swap-space 8 --task embed", NULL);
	assert_string_equal(form.services.v[0].version, "0.13.0");
	assert_remark("flag-removed", FORM_FATAL, "vLLM 0.13.0 has no flag --task; it was removed after vLLM 0.12.0");
	read_line("vllm serve org/m --swap-space 8", NULL);
	assert_remark("flag-removed", FORM_WARNING, "vLLM 0.6.0 to 0.17.1 have it");
	read_line("vllm serve org/m --guided-decoding-backend outlines", NULL);
	assert_remark("flag-removed", FORM_WARNING, "vLLM 0.6.0 to 0.11.2 have it"); /* all its spans, not the last */
	read_line("pip install vllm==0.8.5\nvllm serve org/m --runner pooling\n", NULL);
	assert_remark("flag-removed", FORM_FATAL, "vLLM 0.8.5 has no flag --runner; it came with vLLM 0.10");
	read_line(
		"docker run lmsysorg/sglang:v0.5.3.post3-cu126 python3 -m sglang.launch_server --model-path a/b --enable-ep-moe",
		NULL);
	assert_remark("flag-removed", FORM_FATAL, "ends with an error");
	read_line("docker run ghcr.io/ggml-org/llama.cpp:server-cuda-b4000 -m a.gguf --jinja", NULL);
	assert_string_equal(form.services.v[0].version, "b4000");
	assert_remark("flag-removed", FORM_FATAL, "llama.cpp b4000 has no flag --jinja");
	/* a month is no release of the engine, nor is Dynamo's */
	read_line("docker run nvcr.io/nvidia/vllm:25.09-py3 vllm serve org/m --swap-space 8", NULL);
	assert_null(form.services.v[0].version);
	read_line(
		"docker run --gpus all nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.7.1 python3 -m dynamo.vllm --model a/b --is-prefill-worker",
		NULL);
	assert_null(form.services.v[0].version);
	assert_string_equal(form.services.v[0].wrapper, "0.7.1");
	assert_int_equal(form.remarks.len, 0);
	read_line(
		"docker run nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1 python3 -m dynamo.vllm --model a/b --is-prefill-worker",
		NULL);
	assert_remark("flag-removed", FORM_FATAL, "Dynamo 1.6.1 has no flag --is-prefill-worker");
}

static void values_that_the_engine_refuses_are_fatal(void **state)
{
	(void)state;
	read_line("vllm serve org/m --max-num-seqs many", NULL);
	assert_remark("flag-value", FORM_FATAL, "takes a whole number, and \"many\" is none");
	read_line("vllm serve org/m --enforce-eager=1", "0.10.2");
	assert_remark("flag-value", FORM_FATAL, "--enforce-eager takes no value");
	read_line("vllm serve org/m --max-model-len --enforce-eager", NULL);
	assert_remark("flag-value", FORM_FATAL, "--max-model-len needs a value");
	read_line("vllm serve org/m --tokenizer-mode turbo", "0.8.5");
	assert_remark("flag-value", FORM_FATAL, "no choice \"turbo\" of --tokenizer-mode");
	assert_non_null(strstr(remark_of("flag-value")->remedy, "mistral"));
	read_line("llama-server -m a.gguf -c 4096 -fa", "b8000");
	assert_remark("flag-value", FORM_FATAL, "-fa needs a value");
	/* Of a release that nobody named, any will do. */
	read_line("llama-server -m a.gguf -fa -c 4096", NULL);
	assert_string_equal(value_of("context-length"), "4096");
	assert_remark("flag-value", FORM_WARNING, "-fa needs a value since llama.cpp");
	read_line("vllm serve org/m --enable-chunked-prefill False --max-num-seqs 4", NULL);
	assert_string_equal(value_of("enable-chunked-prefill"), "false");
	assert_string_equal(value_of("max-num-seqs"), "4");
	assert_int_equal(form.remarks.len, 0);
}

static void what_no_plan_counts_is_not_passed_over(void **state)
{
	(void)state;
	read_line("vllm serve org/m --disable-hybrid-kv-cache-manager", NULL);
	assert_remark("flag-effect", FORM_UNCHECKED, "makes layers with a window keep all their KV");
	read_line("vllm serve org/m --no-disable-hybrid-kv-cache-manager", NULL);
	assert_int_equal(form.remarks.len, 0);
	read_line("vllm serve org/m $EXTRA_ARGS", NULL);
	assert_remark("variable-unknown", FORM_UNCHECKED, "$EXTRA_ARGS");
	read_line("vllm serve --config /etc/vllm.yaml org/m", NULL);
	assert_remark("flag-effect", FORM_UNCHECKED, "names a file with more settings");
	read_line("llama-server -m a.gguf -ngl 99 --rpc 10.0.0.2:50052", NULL);
	assert_remark("flag-effect", FORM_UNCHECKED, "--rpc uses the memory of other hosts");
	read_line("llama-server -m a.gguf -ctk q8_0", NULL);
	assert_string_equal(value_of("kv-type"), "f16"); /* the values' half stays as it is */
	assert_string_equal(value_of("cache-type-k"), "q8_0"); /* and a plan of the server sees both */
	read_line("llama-server -m a.gguf -ctk q8_0 -ctv q8_0", NULL);
	assert_string_equal(value_of("kv-type"), "q8_0");
	assert_int_equal(form.remarks.len, 0);
}

static void flags_of_llama_cpp_that_hold_several_numbers_are_read(void **state)
{
	static const char *const lines[] = {"-ts 1,1", "--tensor-split 3,2", "-ts 24/16/8",
		"--lora-scaled a.gguf:0.5,b.gguf:1", "--control-vector-scaled a.gguf:0.5", "-l 15043+1",
		"--fit-target 1024,512", "--spec-synth-rates 0.9,0.5"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char line[128];
		snprintf(line, sizeof line, "llama-server -m a.gguf %s", lines[i]);
		read_line(line, NULL);
		if (form.remarks.len)
			fail_msg("%s: %s", line, form.remarks.v[0].what);
	}
	read_line("llama-server -m a.gguf --temp warm", NULL);
	assert_remark("flag-value", FORM_FATAL, "takes a number, and \"warm\" is none");
}

static void what_the_newest_llama_cpp_has_no_more_is_fatal_with_the_builds_that_have_it(void **state)
{
	(void)state;
	read_line("llama-server -m a.gguf --ctx-size-draft 16000", NULL);
	assert_remark("flag-removed", FORM_FATAL, "llama.cpp 4408 to 8955 have it");
	assert_non_null(strstr(remark_of("flag-removed")->remedy, "--engine-version llama.cpp=b8955"));
	read_line("llama-server -m a.gguf --draft-max 16", NULL);
	assert_remark("flag-removed", FORM_FATAL, "ends with an error");
	read_line("llama-server -m a.gguf --ctx-size-draft 16000 --draft-max 16", "b8000");
	assert_int_equal(form.remarks.len, 0);
}

static void words_for_as_much_as_fits_are_known(void **state)
{
	(void)state;
	read_line("llama-server -m a.gguf -ngl all", NULL);
	assert_string_equal(value_of("gpu-layers"), "-1");
	read_line("vllm serve org/m --max-model-len auto", NULL);
	assert_string_equal(value_of("max-model-len"), "1024");
	assert_remark("context-auto", FORM_INFO, "the longest context that fits");
	read_line("vllm serve org/m --max-model-len=-1", NULL);
	assert_string_equal(value_of("max-model-len"), "1024");
}

static void llama_cpp_takes_flags_from_its_environment(void **state)
{
	(void)state;
	read_line(
		"services:\n  s:\n    image: ghcr.io/ggml-org/llama.cpp:server\n    command: -m /m/a.gguf -np 2\n    environment:\n"
		"      LLAMA_ARG_CTX_SIZE: 8192\n      LLAMA_ARG_N_PARALLEL: 9\n      LLAMA_ARG_N_CPU_MOE: 4\n      OTHER: 1\n",
		NULL);
	assert_string_equal(value_of("context-length"), "8192");
	assert_string_equal(value_of("max-seqs"), "2"); /* the command line wins */
	assert_string_equal(value_of("n-cpu-moe"), "4");
}

static void what_llama_server_picks_itself_is_left_out(void **state)
{
	(void)state;
	read_line("llama-server --hf-repo org/m-GGUF:Q5_K_M -t -1 -np -1 -c 8192", NULL);
	assert_string_equal(form.services.v[0].model, "org/m-GGUF:Q5_K_M");
	assert_null(value_of("threads"));
	assert_null(value_of("max-seqs"));
	assert_string_equal(value_of("context-length"), "8192");
	assert_int_equal(form.remarks.len, 0);
}

static void what_the_shell_takes_is_no_flag(void **state)
{
	(void)state;
	read_line("nohup vllm serve org/m --max-num-seqs 4 > log.txt 2>&1 &\n", NULL);
	assert_int_equal(form.remarks.len, 0);
	read_line("( vllm serve org/m --max-num-seqs 4 2>>err.log )\n", NULL);
	assert_int_equal(form.remarks.len, 0);
}

static void a_variable_that_nobody_sets_is_said_and_not_taken_for_a_value(void **state)
{
	(void)state;
	read_line("vllm serve org/m --tensor-parallel-size=$CARDS --max-model-len ${LEN:-4096} --port $PORT", NULL);
	assert_null(value_of("tensor-parallel-size"));
	assert_string_equal(value_of("max-model-len"), "4096");
	assert_remark(FORM_UNSET, FORM_UNCHECKED, "$CARDS is not set here, so --tensor-parallel-size is not known");
	read_line("python3 -m sglang.launch_server --model-path org/m --tp $(nvidia-smi -L | wc -l) --port 1", NULL);
	assert_null(value_of("tp-size"));
	assert_remark(FORM_UNSET, FORM_UNCHECKED, "what $(nvidia-smi -L | wc -l) prints is not known here, so --tp");
	read_line("llama-server -m a.gguf -c `cat context` -ngl \"$1\"", NULL);
	assert_null(value_of("context-length"));
	assert_null(value_of("gpu-layers"));
	assert_int_equal(form.remarks.len, 2);
	read_line("services:\n  a:\n    image: vllm/vllm-openai\n    command: --model org/m --dtype ${KIND}\n", NULL);
	assert_null(value_of("dtype"));
	assert_remark(FORM_UNSET, FORM_UNCHECKED, "${KIND} is not set here, so --dtype");
	read_line("model: org/m\nmax-num-seqs: ${SEQS}\ntensor-parallel-size: 2\n", NULL);
	assert_null(value_of("max-num-seqs"));
	assert_string_equal(value_of("tensor-parallel-size"), "2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_taken_as_each_flag_takes_them),
		cmocka_unit_test(sglang_has_two_names_for_the_model),
		cmocka_unit_test(an_images_tag_is_the_engines_release_where_the_image_is_the_engines),
		cmocka_unit_test(a_label_makes_no_half_of_a_deployment_that_has_no_other),
		cmocka_unit_test(a_flag_with_dots_is_a_part_of_its_json),
		cmocka_unit_test(of_a_repeated_flag_the_last_counts),
		cmocka_unit_test(what_no_release_has_is_said_with_what_was_meant),
		cmocka_unit_test(what_another_release_has_is_said_with_it),
		cmocka_unit_test(values_that_the_engine_refuses_are_fatal),
		cmocka_unit_test(what_no_plan_counts_is_not_passed_over),
		cmocka_unit_test(flags_of_llama_cpp_that_hold_several_numbers_are_read),
		cmocka_unit_test(what_the_newest_llama_cpp_has_no_more_is_fatal_with_the_builds_that_have_it),
		cmocka_unit_test(words_for_as_much_as_fits_are_known),
		cmocka_unit_test(llama_cpp_takes_flags_from_its_environment),
		cmocka_unit_test(what_llama_server_picks_itself_is_left_out),
		cmocka_unit_test(what_the_shell_takes_is_no_flag),
		cmocka_unit_test_teardown(a_variable_that_nobody_sets_is_said_and_not_taken_for_a_value, done),
	};
	return cmocka_run_group_tests(tests, NULL, done);
}
