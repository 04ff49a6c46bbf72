/* Graph files: what is read from them, and every word a user gets when one is wrong. */
#include "config/graph.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>
#include <string.h>

struct reading {
	struct graph *graph;
	struct diags diags;
	struct err err;
	struct buf said;
	int code;
};

static void read_with(struct reading *r, const char *text, const struct graph_options *options)
{
	*r = (struct reading){0};
	diags_init(&r->diags);
	buf_init(&r->said, 1 << 20);
	r->code = graph_parse(&r->graph, "g.yaml", text, strlen(text), options, &r->diags, &r->err);
	diags_print(&r->diags, DIAG_NOTICE, &r->said);
}

static void read_text(struct reading *r, const char *text)
{
	read_with(r, text, NULL);
}

static void done(struct reading *r)
{
	graph_destroy(r->graph);
	diags_done(&r->diags);
	buf_done(&r->said);
}

static void assert_says(const char *text, const char *expected)
{
	struct reading r;

	read_text(&r, text);
	assert_string_equal(buf_str(&r.said), expected);
	assert_int_equal(r.code, r.diags.errors ? -EINVAL : 0);
	done(&r);
}

static const struct graph_service *service(const struct reading *r, const char *name)
{
	for (uint32_t i = 0; r->graph && i < r->graph->len; i++)
		if (!strcmp(r->graph->services[i].name, name))
			return &r->graph->services[i];
	fail_msg("no service %s; said: %s", name, buf_str(&r->said));
	return NULL;
}

static const char *arg(const struct graph_service *s, const char *name)
{
	for (uint32_t i = 0; i < s->args_len; i++)
		if (!strcmp(s->args[i].name, name))
			return s->args[i].value;
	return "(none)";
}

static void a_service_takes_what_it_lists_from_common_and_its_own_value_wins(void **state UNUSED)
{
	struct reading r;

	read_text(&r,
		"Common: {model: org/m, block-size: 64, max-model-len: 100, router: kv}\n"
		"Processor: {common-configs: [model, router]}\n"
		"VllmWorker:\n"
		"  common-configs: [model, block_size, max-model-len, router]\n"
		"  max_model_len: 50\n"
		"  ServiceArgs: {workers: 3, resources: {gpu: '2', memory: 20Gi, cpu: '10'}, dynamo: {namespace: n}}\n"
		"  tensor-parallel-size: 2\n");
	assert_string_equal(buf_str(&r.said), "");
	const struct graph_service *s = service(&r, "VllmWorker");
	assert_int_equal(s->kind, GRAPH_WORKER);
	assert_int_equal(s->engine, GRAPH_ENGINE_VLLM);
	assert_int_equal(s->role, GRAPH_ROLE_BOTH);
	assert_string_equal(s->model, "org/m");
	assert_string_equal(s->served_name, "org/m");
	assert_int_equal(s->workers, 3);
	assert_true(s->gpus_set && s->gpus == 2);
	assert_true(s->memory_bytes == 20ull << 30);
	assert_string_equal(s->cpus, "10");
	assert_string_equal(s->ns, "n");
	assert_int_equal(config_uint(&s->settings, "max-model-len"), 50);
	assert_string_equal(arg(s, "max-model-len"), "50");
	assert_string_equal(arg(s, "block-size"), "64");
	assert_string_equal(arg(s, "router"), "(none)"); /* not a flag of the engine */
	assert_int_equal(s->args_len, 4);
	assert_string_equal(graph_router_mode(r.graph), "kv");
	done(&r);
}

static void defaults_are_there_without_a_word_in_the_file(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "MockWorker:\n");
	const struct graph_service *front = graph_find(r.graph, GRAPH_FRONTEND);
	assert_true(front->implicit);
	assert_int_equal(config_uint(&front->settings, "port"), 8000);
	assert_string_equal(config_str(&front->settings, "host"), "127.0.0.1");
	assert_int_equal(config_bytes(&front->settings, "max-body-bytes"), 32 << 20);
	assert_int_equal(config_duration_us(&front->settings, "header-timeout"), 10000000);
	assert_false(config_is_set(&front->settings, "port"));
	assert_false(config_has(&front->settings, "api-keys-file"));
	assert_string_equal(graph_router_mode(r.graph), "kv");
	const struct graph_service *s = service(&r, "MockWorker");
	assert_int_equal(s->workers, 1);
	assert_string_equal(s->served_name, "mock");
	assert_int_equal(config_uint(&s->settings, "block-size"), 64);
	done(&r);
}

static void a_worker_of_any_name_says_its_engine(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "Small: {engine: llama, model: /m/small.gguf}\n"
		      "Large: {engine: mock, model: big, served-model-name: large, role: decode}\n");
	assert_string_equal(buf_str(&r.said), "");
	assert_int_equal(service(&r, "Small")->engine, GRAPH_ENGINE_LLAMA);
	assert_string_equal(service(&r, "Small")->served_name, "small");
	assert_int_equal(service(&r, "Large")->engine, GRAPH_ENGINE_MOCK);
	assert_int_equal(service(&r, "Large")->role, GRAPH_ROLE_DECODE);
	assert_string_equal(service(&r, "Large")->served_name, "large");
	done(&r);
}

/* Engines of later releases bring values that no list here can have; which a release takes is known by its flags. */
static void a_tokenizer_of_a_model_of_its_own_is_taken(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "VllmWorker: {model: a/b, tokenizer-mode: deepseek_v9}\n");
	assert_null(strstr(buf_str(&r.said), "tokenizer-mode"));
	done(&r);
}

/* NVIDIA's files call a worker so also where it does both. */
static void a_name_is_a_role_only_beside_the_other_half(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "VllmDecodeWorker: {model: a/b}\n");
	assert_int_equal(service(&r, "VllmDecodeWorker")->role, GRAPH_ROLE_BOTH);
	done(&r);
	read_text(&r, "VllmDecodeWorker: {model: a/b}\nVllmPrefillWorker: {model: a/b}\n");
	assert_int_equal(service(&r, "VllmDecodeWorker")->role, GRAPH_ROLE_DECODE);
	assert_int_equal(service(&r, "VllmPrefillWorker")->role, GRAPH_ROLE_PREFILL);
	done(&r);
	read_text(&r, "VllmDecodeWorker: {model: a/b, role: decode}\n");
	assert_int_equal(service(&r, "VllmDecodeWorker")->role, GRAPH_ROLE_DECODE);
	done(&r);
}

static void every_mistake_is_reported_in_one_pass(void **state UNUSED)
{
	assert_says("Frontend:\n"
		    "  prot: 8000\n"
		    "LlamaWorker:\n"
		    "  model: m.gguf\n"
		    "  max-seqs: 1000\n"
		    "  ServiceArgs:\n"
		    "    workers: two\n",
		"g.yaml:2:3: error: unknown key \"prot\" in Frontend; did you mean \"port\"?\n"
		"g.yaml:5:13: error: LlamaWorker.max-seqs: \"1000\" is not a whole number from 1 to 256 (sequences)\n"
		"g.yaml:7:14: error: LlamaWorker.ServiceArgs.workers: \"two\" is not a whole number from 0 to 1024 "
		"(processes)\n");
}

static void the_number_of_mistakes_is_the_error(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "Frontend: {prot: 1, hots: 2}\nMockWorker:\n");
	assert_string_equal(r.err.msg, "g.yaml has 2 mistakes");
	assert_null(r.graph);
	done(&r);
}

static void types_are_explained_with_what_is_accepted(void **state UNUSED)
{
	assert_says("Frontend: {log-json: maybe, header-timeout: soon, max-body-bytes: 5 parsecs, log-level: inf}\n"
		    "LlamaWorker: {model: [a], kv-type: q8, threads: , gpu-layers: -2}\n",
		"g.yaml:1:22: error: Frontend.log-json: \"maybe\" is not true or false\n"
		"g.yaml:1:45: error: Frontend.header-timeout: \"soon\" is not a duration such as 250ms, 10s or 5m from "
		"0.1s to "
		"3600s\n"
		"g.yaml:1:67: error: Frontend.max-body-bytes: \"5 parsecs\" is not a size such as 64MiB or 2Gi from "
		"1KiB to 1GiB\n"
		"g.yaml:1:89: error: Frontend.log-level: \"inf\" is not one of error, warn, info, debug; did you mean "
		"\"info\"?\n"
		"g.yaml:2:1: error: LlamaWorker has no model; write \"model: PATH.gguf\", or \"model: demo\"\n"
		"g.yaml:2:22: error: LlamaWorker.model is a list, but a text is expected\n"
		"g.yaml:2:36: error: LlamaWorker.kv-type: \"q8\" is not one of f16, q8_0\n"
		"g.yaml:2:40: error: LlamaWorker.threads has no value; a whole number from 0 to 1024 (threads) is "
		"expected\n"
		"g.yaml:2:63: error: LlamaWorker.gpu-layers: \"-2\" is not a whole number from -1 to 10000 (layers)\n");
}

static void a_key_twice_names_both_places_in_any_spelling(void **state UNUSED)
{
	assert_says("MockWorker:\n  max-seqs: 3\n  max_seqs: 4\nFrontend: {}\nFrontend: {}\n",
		"g.yaml:3:3: error: key \"max_seqs\" is here a second time; the first is at g.yaml:2:3; \"max-seqs\" "
		"and "
		"\"max_seqs\" are one key\n"
		"g.yaml:5:1: error: key \"Frontend\" is here a second time; the first is at g.yaml:4:1\n");
}

static void unknown_services_are_named_with_the_nearest_one(void **state UNUSED)
{
	assert_says("MockWorker:\nVlmWorker: {model: x}\nfrontend: {port: 1}\nMine: {model: x}\nport: 80\n",
		"g.yaml:2:1: error: unknown service \"VlmWorker\"; did you mean \"VllmWorker\"?\n"
		"g.yaml:3:1: error: unknown service \"frontend\"; did you mean \"Frontend\"?\n"
		"g.yaml:4:1: error: unknown service \"Mine\"; a worker of a name of your own needs \"engine: llama\" "
		"(or mock, "
		"vllm, sglang)\n"
		"g.yaml:5:1: error: unknown service \"port\"; it is a key of a service and must be indented below "
		"one\n");
}

static void an_unknown_engine_is_one_mistake(void **state UNUSED)
{
	assert_says("Small: {engine: lama, threads: 3, tokens: 5}\n",
		"g.yaml:1:17: error: Small.engine: \"lama\" is not one of llama, mock, vllm, sglang; did you mean "
		"\"llama\"?\n");
	assert_says("Small: {engine: [x]}\n",
		"g.yaml:1:17: error: Small.engine is a list, but one of llama, mock, vllm, sglang is expected\n");
	assert_says("LlamaWorker:\n  - model: m\n", "g.yaml:2:3: error: LlamaWorker must be a map of settings\n");
}

static void flags_of_an_external_engine_pass_through_with_a_notice(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "VllmWorker:\n  model: m\n  tensor-paralel-size: 2\n  brand_new: {a: [1, '2']}\n  dtype: half\n");
	assert_string_equal(buf_str(&r.said),
		"g.yaml:3:3: warning: \"tensor-paralel-size\" of VllmWorker is not a flag known here; it is passed on "
		"unchecked; did you mean \"tensor-parallel-size\"?\n"
		"g.yaml:4:3: notice: \"brand_new\" of VllmWorker is not a flag known here; it is passed on "
		"unchecked\n");
	const struct graph_service *s = service(&r, "VllmWorker");
	assert_string_equal(arg(s, "brand-new"), "{\"a\":[1,\"2\"]}");
	assert_int_equal(s->args[2].pos.line, 4);
	done(&r);
}

static void known_flags_of_an_external_engine_are_checked(void **state UNUSED)
{
	assert_says("VllmWorker:\n"
		    "  model: m\n"
		    "  dtype: floaty16\n"
		    "  gpu-memory-utilization: 1.5\n"
		    "  kv-transfer-config: '{\"a\": }'\n"
		    "  tensor-parallel-size: 4\n"
		    "  gpu: 1\n"
		    "  ServiceArgs: {resources: {gpu: 2}}\n",
		"g.yaml:3:10: error: VllmWorker.dtype: \"floaty16\" is not one of auto, half, float16, bfloat16, "
		"float, "
		"float32; did you mean \"float16\"?\n"
		"g.yaml:4:27: error: VllmWorker.gpu-memory-utilization: \"1.5\" is not a number from 0.01 to 1\n"
		"g.yaml:5:23: error: VllmWorker.kv-transfer-config: this is not JSON: unexpected token near '}' at its "
		"character 7\n"
		"g.yaml:6:25: error: VllmWorker: each worker computes on 4 GPUs at once, but ServiceArgs.resources.gpu "
		"gives "
		"it 2\n"
		"g.yaml:7:3: error: \"gpu\" does not belong in VllmWorker itself; write it as "
		"ServiceArgs.resources.gpu\n");
}

static void common_is_checked_through_those_who_take_it(void **state UNUSED)
{
	assert_says("Common: {modle: x, block-size: sixty, port: 1}\n"
		    "Router: {common-configs: [block-size, model]}\n"
		    "Processor: {common-configs: [block-size, port]}\n"
		    "LlamaWorker: {ServiceArgs: {}}\n",
		"g.yaml:1:10: error: unknown key \"modle\" in Common; did you mean \"model\"?\n"
		"g.yaml:1:32: error: Common.block-size: \"sixty\" is not a whole number from 0 to 4096 (tokens)\n"
		"g.yaml:2:39: error: Router.common-configs takes \"model\", but Common has no such key; did you mean "
		"\"modle\"?\n"
		"g.yaml:3:42: error: Processor.common-configs takes \"port\", but Processor has no such key\n"
		"g.yaml:4:1: error: LlamaWorker has no model; write \"model: PATH.gguf\", or \"model: demo\"\n");
	assert_says("Common: {model: m.gguf}\nLlamaWorker:\n",
		"g.yaml:1:10: warning: no service takes \"model\" from Common; list it in the common-configs of those "
		"that "
		"should\n"
		"g.yaml:2:1: error: LlamaWorker has no model; Common has one: add \"common-configs: [model]\"\n");
}

static void block_sizes_that_differ_are_a_warning(void **state UNUSED)
{
	assert_says("Router: {block-size: 32}\nMockWorker: {block-size: 16}\n",
		"g.yaml:1:22: warning: Router.block-size is 32, but MockWorker's is 16; the worker's counts\n");
}

static void what_is_asked_for_and_has_no_effect_is_a_warning(void **state UNUSED)
{
	assert_says("MockWorker: {remote-prefill: true, conditional-disagg: false}\n",
		"g.yaml:1:30: warning: MockWorker.remote-prefill has no effect: a worker on mock computes its prompts "
		"itself in this version\n");
}

static void service_args_are_checked_at_every_level(void **state UNUSED)
{
	assert_says("MockWorker:\n"
		    "  ServiceArgs:\n"
		    "    wrokers: 2\n"
		    "    resources: {gpus: 1, gpu: 1.5}\n"
		    "    envs: [{name: A, value: 1}, {nme: B}, C]\n",
		"g.yaml:3:5: error: unknown key \"wrokers\" in MockWorker.ServiceArgs; did you mean \"workers\"?\n"
		"g.yaml:4:17: error: unknown key \"gpus\" in MockWorker.ServiceArgs.resources; did you mean \"gpu\"?\n"
		"g.yaml:4:31: error: MockWorker.ServiceArgs.resources.gpu: 1.5 is neither a whole number of GPUs nor a "
		"share "
		"of one\n"
		"g.yaml:5:33: error: an item of envs of MockWorker must have a name and a value\n"
		"g.yaml:5:43: error: an item of envs of MockWorker must have a name and a value\n");
}

static void environment_is_a_map_or_a_list_and_stays_text(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "MockWorker: {ServiceArgs: {envs: {A: 1, B: yes}, env: [{name: C, value: 007}, {name: A, value: "
		      "2}]}}\n");
	const struct graph_service *s = service(&r, "MockWorker");
	assert_int_equal(s->envs_len, 3);
	assert_string_equal(s->envs[0].value, "2");
	assert_string_equal(s->envs[1].value, "yes");
	assert_string_equal(s->envs[2].value, "007");
	done(&r);
}

static void lost_indentation_is_one_finding_with_what_was_meant(void **state UNUSED)
{
	static const char copied[] = "VllmWorker:\n"
				     "tensor-parallel-size: 1\n"
				     "ServiceArgs:\n"
				     "workers: 4\n"
				     "resources:\n"
				     "gpu: 1\n"
				     "PrefillWorker:\n"
				     "ServiceArgs:\n"
				     "workers: 4\n"
				     "resources:\n"
				     "gpu: 1\n";
	assert_says(copied, "g.yaml:2:1: error: the indentation was lost: 9 keys, the first of them "
			    "\"tensor-parallel-size\", belong "
			    "deeper, in VllmWorker and PrefillWorker; this is probably what was meant:\n"
			    "    VllmWorker:\n"
			    "      tensor-parallel-size: 1\n"
			    "      ServiceArgs:\n"
			    "        workers: 4\n"
			    "        resources:\n"
			    "          gpu: 1\n"
			    "    PrefillWorker:\n"
			    "      ServiceArgs:\n"
			    "        workers: 4\n"
			    "        resources:\n"
			    "          gpu: 1\n");
}

static void what_is_shown_for_lost_indentation_loads(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "VllmWorker:\nmodel: m\nServiceArgs:\nworkers: 4\nresources:\ngpu: 1\ncommon-configs: []\n");
	assert_int_equal(r.diags.errors, 1);
	const char *meant = strchr(buf_str(&r.said), '\n') + 1;
	char *plain = calloc(1, strlen(meant) + 1);
	for (const char *line = meant; *line; line = strchr(line, '\n') + 1)
		strncat(plain, line + 4, (size_t)(strchr(line, '\n') + 1 - (line + 4)));
	struct reading again;
	read_text(&again, plain);
	assert_string_equal(buf_str(&again.said), "");
	assert_int_equal(service(&again, "VllmWorker")->workers, 4);
	assert_true(service(&again, "VllmWorker")->gpus == 1);
	free(plain);
	done(&again);
	done(&r);
}

static void indentation_lost_one_level_deeper_is_seen_too(void **state UNUSED)
{
	assert_says("VllmWorker:\n  model: m\n  ServiceArgs:\n  workers: 2\n  resources:\n  gpu: 1\n",
		"g.yaml:4:3: error: the indentation was lost: 3 keys, the first of them \"workers\", belong deeper, in "
		"VllmWorker; this is probably what was meant:\n"
		"    VllmWorker:\n"
		"      model: m\n"
		"      ServiceArgs:\n"
		"        workers: 2\n"
		"        resources:\n"
		"          gpu: 1\n");
	assert_says("MockWorker:\n  ServiceArgs:\n    resources:\n    gpu: 1\n",
		"g.yaml:4:5: error: the indentation was lost: \"gpu\" belongs deeper, in MockWorker; this is probably "
		"what was "
		"meant:\n"
		"    MockWorker:\n"
		"      ServiceArgs:\n"
		"        resources:\n"
		"          gpu: 1\n");
	assert_says("MockWorker:\n  model: x\nServiceArgs:\n  workers: 2\n",
		"g.yaml:3:1: error: the indentation was lost: \"ServiceArgs\" belongs deeper, in MockWorker; this is "
		"probably "
		"what was meant:\n"
		"    MockWorker:\n"
		"      model: x\n"
		"      ServiceArgs:\n"
		"        workers: 2\n");
}

static void other_mistakes_are_still_found_when_indentation_was_lost(void **state UNUSED)
{
	assert_says("Router:\nmode: kvv\nMockWorker:\nServiceArgs:\nworkers: -1\n",
		"g.yaml:2:1: error: the indentation was lost: 3 keys, the first of them \"mode\", belong deeper, in "
		"Router and "
		"MockWorker; this is probably what was meant:\n"
		"    Router:\n"
		"      mode: kvv\n"
		"    MockWorker:\n"
		"      ServiceArgs:\n"
		"        workers: -1\n"
		"g.yaml:2:7: error: Router.mode: \"kvv\" is not one of finish-time, kv, dynamo-kv, prefix, "
		"round-robin, random, "
		"least-loaded, p2c, session, direct; did you mean \"kv\"?\n"
		"g.yaml:5:10: error: MockWorker.ServiceArgs.workers: \"-1\" is not a whole number from 0 to 1024 "
		"(processes)\n");
}

static void overrides_merge_deeply_and_win(void **state UNUSED)
{
	static const char *const list[] = {"--VllmWorker.ServiceArgs.workers=2", "--VllmWorker.max_model_len=4096",
		"--VllmWorker.ServiceArgs.envs.X=1", "--Frontend.port=0", "--VllmWorker.hf-overrides={\"a\": [1]}",
		"--Common.model=other"};
	struct graph_options o = {.overrides = list, .overrides_len = ARRAY_LEN(list)};
	struct reading r;

	read_with(&r,
		"Common: {model: m}\n"
		"VllmWorker:\n"
		"  common-configs: [model]\n"
		"  max-model-len: 100\n"
		"  ServiceArgs: {workers: 1, resources: {gpu: 1}}\n",
		&o);
	assert_string_equal(buf_str(&r.said), "");
	const struct graph_service *s = service(&r, "VllmWorker");
	assert_int_equal(s->workers, 2);
	assert_true(s->gpus_set && s->gpus == 1);
	assert_string_equal(arg(s, "max-model-len"), "4096");
	assert_string_equal(arg(s, "hf-overrides"), "{\"a\":[1]}");
	assert_string_equal(arg(s, "model"), "other");
	assert_int_equal(s->args_len, 3);
	assert_string_equal(s->envs[0].name, "X");
	assert_int_equal(config_uint(&graph_find(r.graph, GRAPH_FRONTEND)->settings, "port"), 0);
	done(&r);
}

static void mistakes_in_overrides_show_the_option(void **state UNUSED)
{
	static const char *const list[] = {"--MockWorker.ServiceArgs.workers=x", "--Frontend.prot=1",
		"--Frontend.port.x=1", "--Nothing", "--.a=1", "--MokWorker.blocks=1", "--MockWorker.blocks=[1",
		"--MockWorker.=1"};
	struct graph_options o = {.overrides = list, .overrides_len = ARRAY_LEN(list)};
	struct reading r;

	read_with(&r, "Frontend: {port: 80}\nMockWorker:\n", &o);
	assert_string_equal(buf_str(&r.said),
		"--Frontend.port.x=1: error: \"port\" is a single value at g.yaml:1:18, so nothing can be set below "
		"it\n"
		"--Nothing: error: an override has the form --Service.key=value\n"
		"--.a=1: error: an override has the form --Service.key=value\n"
		"--MockWorker.blocks=[1: error: this is not YAML: flow sequence without a closing bracket\n"
		"--MockWorker.=1: error: an override has the form --Service.key=value\n"
		"--Frontend.prot=1: error: unknown key \"prot\" in Frontend; did you mean \"port\"?\n"
		"--MockWorker.ServiceArgs.workers=x: error: MockWorker.ServiceArgs.workers: \"x\" is not a whole "
		"number from 0 "
		"to 1024 (processes)\n"
		"--MokWorker.blocks=1: error: unknown service \"MokWorker\"; did you mean \"MockWorker\"?\n");
	done(&r);
}

static void services_of_one_name_have_one_model(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "A: {engine: llama, model: /m/a.gguf}\n"
		      "B: {engine: llama, model: /n/a.gguf}\n");
	assert_string_equal(buf_str(&r.said), "g.yaml:2:27: error: B and A both serve \"a\", but their models differ: "
					      "\"/n/a.gguf\" and \"/m/a.gguf\"; "
					      "give each a served-model-name of its own\n");
	done(&r);
	read_text(&r,
		"A: {engine: mock, served-model-name: x}\nB: {engine: mock, served-model-name: x, role: prefill}\n"
		"C: {engine: mock, model: m.gguf, served-model-name: y}\nD: {engine: mock, model: m.gguf}\n");
	assert_string_equal(buf_str(&r.said), "");
	done(&r);
	/* The same file by another path; and one that nobody starts. */
	read_text(&r, "A: {engine: llama, model: examples/demo.yaml, served-model-name: x}\n"
		      "B: {engine: llama, model: ./examples/../examples/demo.yaml, served-model-name: x}\n"
		      "C: {engine: llama, model: other.gguf, served-model-name: x, ServiceArgs: {workers: 0}}\n");
	assert_string_equal(buf_str(&r.said), "");
	done(&r);
}

static void overrides_alone_are_a_graph(void **state UNUSED)
{
	static const char *const list[] = {"--LlamaWorker.model=/m/x.gguf", "--LlamaWorker.ServiceArgs.workers=3"};
	struct graph_options o = {.overrides = list, .overrides_len = ARRAY_LEN(list)};
	struct reading r;

	read_with(&r, "", &o);
	assert_string_equal(buf_str(&r.said), "");
	assert_int_equal(service(&r, "LlamaWorker")->workers, 3);
	assert_string_equal(service(&r, "LlamaWorker")->served_name, "x");
	done(&r);
}

static void another_engine_takes_the_keys_that_mean_the_same(void **state UNUSED)
{
	struct graph_options o = {.engine = "mock"};
	struct reading r;

	read_with(&r,
		"VllmWorker: {model: m, max-model-len: 4000, max-num-seqs: 9, block-size: 32, enforce-eager: true,\n"
		"  ServiceArgs: {workers: 2}}\n"
		"PrefillWorker: {model: m, max-num-seqs: 999999}\n",
		&o);
	assert_string_equal(buf_str(&r.said), "g.yaml:1:78: notice: \"enforce-eager\" of VllmWorker is left out: the "
					      "engine asked for does not have it\n"
					      "g.yaml:3:27: notice: \"max-num-seqs\" of PrefillWorker is left out: "
					      "\"999999\" is not a whole number from 1 to "
					      "4096 (sequences)\n");
	const struct graph_service *s = service(&r, "VllmWorker");
	assert_int_equal(s->engine, GRAPH_ENGINE_MOCK);
	assert_int_equal(s->args_len, 0);
	assert_int_equal(s->workers, 2);
	assert_int_equal(config_uint(&s->settings, "context-length"), 4000);
	assert_int_equal(config_uint(&s->settings, "max-seqs"), 9);
	assert_int_equal(config_uint(&s->settings, "block-size"), 32);
	assert_int_equal(service(&r, "PrefillWorker")->role, GRAPH_ROLE_PREFILL);
	done(&r);
}

static void a_graph_needs_a_worker_and_must_be_a_map(void **state UNUSED)
{
	assert_says("", "g.yaml:1:1: error: there is no worker; add a section such as \"LlamaWorker:\" with \"model: "
			"PATH.gguf\"\n");
	assert_says("- a\n",
		"g.yaml:1:1: error: a graph is a map of services, such as \"LlamaWorker:\" with its settings "
		"indented below; this is a list\n");
	assert_says("Common: [x]\nFrontend: 3\nMockWorker: [x]\n",
		"g.yaml:1:9: error: Common must be a map of settings\n"
		"g.yaml:2:11: error: Frontend must be a map of settings\n"
		"g.yaml:3:13: error: MockWorker must be a map of settings\n");
}

static void a_file_that_is_not_there_is_a_system_error(void **state UNUSED)
{
	struct diags d;
	struct err err;
	struct graph *g = NULL;

	diags_init(&d);
	assert_int_equal(graph_load(&g, "/nonexistent/g.yaml", NULL, &d, &err), -ENOENT);
	assert_string_equal(err.msg, "could not open graph \"/nonexistent/g.yaml\": No such file or directory");
	assert_int_equal(d.len, 0);
	diags_done(&d);
}

static void what_a_service_merges_from_common_is_taken(void **state UNUSED)
{
	assert_says("Common: &c {model: m.gguf, max-seqs: 4}\nLlamaWorker:\n  <<: *c\n", "");
	assert_says("Common: {model: &m m.gguf}\nLlamaWorker:\n  model: *m\n", "");
	/* Of its own, though the same: Common's is not taken. */
	assert_says("Common: {model: m.gguf}\nLlamaWorker:\n  model: m.gguf\n",
		"g.yaml:1:10: warning: no service takes \"model\" from Common; list it in the common-configs of those "
		"that should\n");
}

static void one_gpu_is_one_gpu(void **state UNUSED)
{
	assert_says("VllmWorker:\n  model: m\n  tensor-parallel-size: 1\n  ServiceArgs: {resources: {gpu: 0.5}}\n",
		"g.yaml:3:25: error: VllmWorker: each worker computes on 1 GPU at once, but ServiceArgs.resources.gpu "
		"gives it 0.5\n");
}

static void a_worker_over_hosts_is_told_how_to_count(void **state UNUSED)
{
	assert_says("VllmWorker:\n  model: m\n  tensor-parallel-size: 8\n  ServiceArgs: {resources: {gpu: 4}}\n",
		"g.yaml:3:25: error: VllmWorker: each worker computes on 8 GPUs at once, but ServiceArgs.resources.gpu "
		"gives it 4; a worker over 2 hosts of 4 is given all its GPUs: \"gpu: 8\"\n");
}

static void every_example_loads_but_the_broken_one(void **state UNUSED)
{
	static const char *const files[] = {"demo", "mock", "dynamo/agg", "dynamo/agg_router", "dynamo/disagg",
		"dynamo/disagg_router", "t4/published", "t4/lost-indentation"};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[128];
		struct diags d;
		struct err err = {0};
		struct graph *g = NULL;
		snprintf(path, sizeof path, "examples/%s.yaml", files[i]);
		diags_init(&d);
		int code = graph_load(&g, path, NULL, &d, &err);
		bool broken = i + 1 == ARRAY_LEN(files);
		if (code != (broken ? -EINVAL : 0) || d.errors != broken)
			fail_msg("%s: %s %s", path, err.msg, d.len ? d.items[0].text : "");
		graph_destroy(g);
		diags_done(&d);
	}
}

static void a_model_is_called_by_its_file(void **state UNUSED)
{
	static const struct {
		const char *engine, *model, *name;
	} table[] = {
		{"llama", "/srv/m/Qwen2.5-7B-Q4_K_M.gguf", "Qwen2.5-7B-Q4_K_M"},
		{"llama", "sub dir/Model.v1.GGUF", "Model.v1"},
		{"llama", "/srv/m/big-00001-of-00004.gguf", "big"},
		{"llama", "/srv/blobs/sha256-8eeb52dfb3bb", "sha256-8eeb52dfb3bb"},
		{"llama", "/srv/m/ggml-model.bin", "ggml-model.bin"},
		{"llama", "/srv/m/", "/srv/m/"},
		{"llama", "demo", "demo"},
		{"mock", "m/tiny.Gguf", "tiny"},
		{"mock", "org/name", "org/name"},
		{"vllm", "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char yaml[256];
		snprintf(yaml, sizeof yaml, "W:\n  engine: %s\n  model: \"%s\"\n", table[i].engine, table[i].model);
		struct reading r;
		read_text(&r, yaml);
		assert_string_equal(service(&r, "W")->served_name, table[i].name);
		done(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_takes_what_it_lists_from_common_and_its_own_value_wins),
		cmocka_unit_test(defaults_are_there_without_a_word_in_the_file),
		cmocka_unit_test(a_worker_of_any_name_says_its_engine),
		cmocka_unit_test(a_tokenizer_of_a_model_of_its_own_is_taken),
		cmocka_unit_test(a_name_is_a_role_only_beside_the_other_half),
		cmocka_unit_test(every_mistake_is_reported_in_one_pass),
		cmocka_unit_test(the_number_of_mistakes_is_the_error),
		cmocka_unit_test(types_are_explained_with_what_is_accepted),
		cmocka_unit_test(a_key_twice_names_both_places_in_any_spelling),
		cmocka_unit_test(unknown_services_are_named_with_the_nearest_one),
		cmocka_unit_test(an_unknown_engine_is_one_mistake),
		cmocka_unit_test(flags_of_an_external_engine_pass_through_with_a_notice),
		cmocka_unit_test(known_flags_of_an_external_engine_are_checked),
		cmocka_unit_test(common_is_checked_through_those_who_take_it),
		cmocka_unit_test(block_sizes_that_differ_are_a_warning),
		cmocka_unit_test(what_is_asked_for_and_has_no_effect_is_a_warning),
		cmocka_unit_test(service_args_are_checked_at_every_level),
		cmocka_unit_test(environment_is_a_map_or_a_list_and_stays_text),
		cmocka_unit_test(lost_indentation_is_one_finding_with_what_was_meant),
		cmocka_unit_test(what_is_shown_for_lost_indentation_loads),
		cmocka_unit_test(indentation_lost_one_level_deeper_is_seen_too),
		cmocka_unit_test(other_mistakes_are_still_found_when_indentation_was_lost),
		cmocka_unit_test(overrides_merge_deeply_and_win),
		cmocka_unit_test(what_a_service_merges_from_common_is_taken),
		cmocka_unit_test(one_gpu_is_one_gpu),
		cmocka_unit_test(a_worker_over_hosts_is_told_how_to_count),
		cmocka_unit_test(mistakes_in_overrides_show_the_option),
		cmocka_unit_test(overrides_alone_are_a_graph),
		cmocka_unit_test(services_of_one_name_have_one_model),
		cmocka_unit_test(a_model_is_called_by_its_file),
		cmocka_unit_test(another_engine_takes_the_keys_that_mean_the_same),
		cmocka_unit_test(a_graph_needs_a_worker_and_must_be_a_map),
		cmocka_unit_test(a_file_that_is_not_there_is_a_system_error),
		cmocka_unit_test(every_example_loads_but_the_broken_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
