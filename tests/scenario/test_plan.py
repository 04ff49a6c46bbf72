"""stator plan as a user sees it: the examples' answers word for word, written graphs that fit, and stator serve behind it."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess

import pytest
from deployment import ROOT, stator_bin

LOADER = importlib.machinery.SourceFileLoader("plan_golden", str(ROOT / "scripts" / "plan-golden"))
GOLDEN = importlib.util.module_from_spec(importlib.util.spec_from_loader("plan_golden", LOADER))
LOADER.exec_module(GOLDEN)
PUBLISHED = "examples/t4/published.yaml"


def plan(*arguments, env=None):
    return subprocess.run([stator_bin(), "plan", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL, env={**os.environ, **env} if env else None)


@pytest.mark.parametrize("wanted, name, arguments", list(GOLDEN.cases()), ids=lambda v: v if isinstance(v, str) else "")
def test_the_answer_is_the_committed_one(wanted, name, arguments):
    text, status = GOLDEN.answer(arguments)
    assert not GOLDEN.difference(name, text, status, wanted), "make plan-golden writes the answers anew"


def test_the_guide_shows_the_committed_answers():
    old, new = GOLDEN.guide()
    assert old == new, "make plan-golden writes them anew"
    assert len(GOLDEN.BLOCK.findall(old)) >= 2


def test_the_published_graph_is_refused_with_every_reason_and_at_least_three_plans():
    done = plan(PUBLISHED, "--gpus", "4xT4", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1 and not answer["fits"]
    codes = {f["code"]: f for f in answer["findings"]}
    assert {"gpus-short", "memory-total", "dtype", "attention", "tp-pcie"} <= set(codes)
    assert codes["gpus-short"]["severity"] == "fatal" and codes["attention"]["harmless"]
    assert any("VllmWorker" in line and "16" in line for line in codes["gpus-short"]["arithmetic"])
    assert any("PrefillWorker" in line and "16" in line for line in codes["gpus-short"]["arithmetic"])
    line = (ROOT / PUBLISHED).read_text().splitlines()[codes["gpus-short"]["line"] - 1]
    assert "gpu: 4" in line
    plans = answer["plans"]
    assert len(plans) >= 3
    assert any(p["tensor_parallel"] == 4 and p["workers"] == 1 and not p["other_weights"] for p in plans)
    assert any(p["tensor_parallel"] == 1 and p["workers"] == 4 and p["quantization"] == "awq" for p in plans)
    devices = {d["index"] for d in answer["devices"]}
    for p in plans:
        used = [d for slot in p["placement"] for d in slot["devices"]]
        assert len(used) == len(set(used)) and set(used) <= devices


def test_the_published_remedy_is_refused_for_count_and_memory():
    done = plan("examples/t4/remedy.yaml", "--gpus", "4xT4")
    assert done.returncode == 1
    assert "8 > 4" in done.stdout and "27.5 GiB" in done.stdout and "14.6 GiB" in done.stdout


@pytest.mark.parametrize("graph, gpus", [(PUBLISHED, "4xT4"), (PUBLISHED, "8xL4"), ("examples/t4/remedy.yaml", "4xT4"),
                                         ("examples/dynamo/disagg.yaml", "1xA100-80GB"), ("examples/dynamo/agg.yaml", "2xT4")])
def test_a_written_plan_fits_and_keeps_comments_and_order(tmp_path, graph, gpus):
    target = tmp_path / "fits.yaml"
    done = plan(graph, "--gpus", gpus, "--write", target)
    assert target.exists(), done.stderr
    assert plan(target, "--gpus", gpus).returncode == 0
    old, new = (ROOT / graph).read_text().splitlines(), target.read_text().splitlines()
    assert [line for line in old if line.lstrip().startswith("#")] == [line for line in new if line.lstrip().startswith("#")]
    keys = [line.split(":")[0] for line in old if ":" in line]
    assert [k for k in (line.split(":")[0] for line in new if ":" in line) if k in keys] == keys or len(new) > len(old)


def test_other_weights_are_written_only_when_they_are_named(tmp_path):
    target = tmp_path / "fits.yaml"
    base = (PUBLISHED, "--gpus", "4xT4", "--pick", 1, "--write", target)
    done = plan(*base)
    assert done.returncode == 2 and "--allow-quantization awq=MODEL" in done.stderr and not target.exists()
    done = plan(*base, "--allow-quantization", "awq=Qwen2.5-14B-Instruct-AWQ")
    assert target.exists(), done.stderr
    assert "Qwen2.5-14B-Instruct-AWQ" in target.read_text()
    assert plan(target, "--gpus", "4xT4").returncode == 0


def test_a_host_without_gpus_gets_numbered_plans_and_a_graph_that_can_be_served(tmp_path, demo_model):
    host = ("--inventory", "examples/hosts/cpu-24gib.json")
    answer = json.loads(plan(PUBLISHED, *host, "--json").stdout)
    assert len(answer["plans"]) >= 3
    for p in answer["plans"]:
        assert p["engine"] == "llama" and p["workers"] * p["threads"] <= 16 and p["predicted"]["tokens_per_second"] > 0
    named, file = tmp_path / "cpu.yaml", tmp_path / "m.gguf"
    done = plan(PUBLISHED, *host, "--allow-quantization", f"q4_k_m={file}", "--write", named)
    assert done.returncode == 2 and "m.gguf" in done.stderr, "the file that is named must be there"
    assert not named.exists()
    done = plan(PUBLISHED, *host, "--write", named)
    assert done.returncode == 2 and "--allow-quantization" in done.stderr
    done = plan(PUBLISHED, *host, "--allow-quantization", f"q4_k_m={demo_model}", "--write", named)
    assert "wrote" in done.stderr and "LlamaWorker" in named.read_text()
    assert plan(named, *host).returncode == 0
    named.write_text(named.read_text().replace("port: 8000", "port: 0"))
    done = subprocess.run([stator_bin(), "serve", named, "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_picture_is_an_svg_of_every_card(tmp_path):
    target = tmp_path / "cards.svg"
    plan(PUBLISHED, "--gpus", "4xT4", "--svg", target)
    text = target.read_text()
    assert text.startswith("<svg ") and text.rstrip().endswith("</svg>")
    assert all(f"GPU {i} T4" in text for i in range(4))


@pytest.mark.parametrize("arguments, words", [
    (("no-such.yaml",), "could not open graph"),
    ((PUBLISHED, "--gpus", "4xT5"), "T4"),
    ((PUBLISHED, "--gpus", "4xT4", "--inventory", "x.json"), "give one"),
    ((PUBLISHED, "--gpus", "4xT4", "--allow-quantization", "awk"), "unknown method"),
    ((), "which graph"),
])
def test_what_cannot_be_read_exits_2_with_a_sentence(arguments, words):
    done = plan(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_serve_refuses_what_the_plan_calls_fatal_and_force_says_what_it_overrides(tmp_path):
    graph = tmp_path / "deploy.yaml"
    graph.write_text((ROOT / PUBLISHED).read_text())
    done = subprocess.run([stator_bin(), "serve", graph], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "fatal" in done.stderr and "cannot run here" in done.stderr and "--force" in done.stderr
    forced = subprocess.run([stator_bin(), "serve", graph, "--force", "--check"], capture_output=True, text=True, timeout=60)
    assert "overridden" in forced.stderr


def test_a_plan_that_rests_on_overrides_is_not_written_as_if_it_stood_alone(tmp_path):
    target = tmp_path / "fits.yaml"
    done = plan(PUBLISHED, "--gpus", "4xT4", "--write", target, "--VllmWorker.ServiceArgs.workers=1",
                "--PrefillWorker.ServiceArgs.workers=0")
    assert done.returncode == 2 and "overrides" in done.stderr and not target.exists()


def test_the_users_own_cards_are_planned_for_and_their_mistakes_are_said(tmp_path):
    cards = tmp_path / "cards.txt"
    cards.write_text('Hopeful-9 nvml="Hopeful 9" capability=9.0 memory=131072MiB usable=127000MiB bandwidth=4000 fp32=60 fp16=900 '
                     'bf16=900 pcie=64 watts=500\n\tsource="a test"\n')
    own = plan(PUBLISHED, "--gpu-catalogue", cards, "--gpus", "32xHopeful-9")
    assert own.returncode == 0 and "32 Hopeful-9: it fits" in own.stdout, own.stderr
    cards.write_text("Bad capability=x\n")
    bad = plan(PUBLISHED, "--gpu-catalogue", cards, "--gpus", "4xT4")
    assert bad.returncode == 2
    assert "cards.txt:1:5: error" in bad.stderr and "5 mistakes" in bad.stderr


def test_a_model_alone_is_planned_as_serve_would_run_it(demo_model, tmp_path):
    done = plan("demo")
    assert done.returncode == 0 and "it fits" in done.stdout and "2 workers on the CPU" in done.stdout
    copy = tmp_path / "a model's copy.gguf"
    copy.symlink_to(demo_model)
    done = plan(copy, "--explain")
    assert "'\\''" in done.stdout.split("To write plan N: ")[1], "the line to paste must survive the shell"
    assert done.returncode == 0 and "1 worker on the CPU" in done.stdout, done.stderr
    written = tmp_path / "deploy.yaml"
    assert plan(copy, "--pick", 1, "--write", written).returncode == 0
    assert plan(written).returncode == 0
    assert plan(copy, "--LlamaWorker.context-length=2000000").returncode == 1


def test_a_models_name_alone_gives_its_best_deployments_and_each_can_be_written(tmp_path):
    done = plan("Qwen/Qwen3-14B", "--gpus", "2x2xL4", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer["verdict"] == "fits"
    assert [d["host"] for d in answer["devices"]] == [0, 0, 1, 1]
    assert not any(f["file"] for f in answer["findings"]), "there is no file whose lines could be named"
    number = 1 + next(i for i, p in enumerate(answer["plans"]) if not p["other_weights"])
    written = tmp_path / "deploy.yaml"
    assert plan("Qwen/Qwen3-14B", "--gpus", "2x2xL4", "--pick", number, "--write", written).returncode == 0
    assert plan(written, "--gpus", "2x2xL4").returncode == 0
    text = plan("Qwen/Qwen3-14B", "--gpus", "2x2xL4").stdout
    line = text.split("To run")[1].split(": ", 1)[1].splitlines()[0].split()
    assert line[:3] == ["vllm", "serve", "Qwen/Qwen3-14B"]
    assert plan("--gpus", "2xL4", "--", *line).returncode == 0, "the line that is printed fits"


def test_a_model_that_fits_no_host_is_divided_over_several():
    done = plan("meta-llama/Llama-3.1-405B-Instruct", "--gpus", "8xH100;8xH100", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    [slot] = answer["placement"]
    assert slot["hosts"] == [0] * 8 + [1] * 8
    assert plan("meta-llama/Llama-3.1-405B-Instruct", "--gpus", "8xH100").returncode == 1


def test_a_model_is_a_folder_or_a_name_and_a_wrong_word_is_neither(demo_model, tmp_path):
    (tmp_path / "empty").mkdir()
    assert plan(tmp_path / "empty", "--gpus", "1xL4").returncode in (1, 3)
    done = plan("no-such-org/no-such-model", "--gpus", "1xL4")
    assert done.returncode == 3 and "not checked" in done.stdout
    done = plan("qwen3-8bb", "--gpus", "1xL4")
    assert done.returncode == 2 and "No such file" in done.stderr and 'did you mean "Qwen3-8B"' in done.stderr
    assert plan("no-such.yaml", "--gpus", "1xL4").returncode == 2
    done = plan(demo_model, "--gpus", "2xT4")
    assert done.returncode == 0 and "GPU 0 T4" in done.stdout and "The best deployments" in done.stdout


def test_a_config_json_is_all_that_a_model_of_no_record_needs(tmp_path):
    shape = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_size": 3072, "intermediate_size": 8192,
             "num_hidden_layers": 30, "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 65536,
             "max_position_embeddings": 16384, "torch_dtype": "bfloat16"}
    folder = tmp_path / "hub" / "models--acme--sparrow-3" / "snapshots" / "0a1b"
    folder.mkdir(parents=True)
    config = folder / "config.json"
    config.write_text(json.dumps(shape))
    for model in (config, folder):
        done = plan(model, "--gpus", "1xL4", "--json")
        assert done.returncode == 0, done.stdout
        assert plan("--model", model, "--gpus", "1xL4", "--", "vllm", "serve", "acme/sparrow-3").returncode == 0
    assert plan("--gpus", "1xL4", "--", "vllm", "serve", folder).returncode == 3, "an engine could load nothing from it"

    line = ("--gpus", "1xL4", "--", "vllm", "serve", "acme/sparrow-3")
    done = plan(*line)
    assert done.returncode == 3 and "hf download acme/sparrow-3 config.json" in done.stdout
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("0a1b")
    known = plan(*line, env={"HF_HOME": str(tmp_path)})
    assert known.returncode == 0, known.stdout
    other = tmp_path / "deploy.json"
    other.write_text('{"VllmWorker": {"model": "Qwen/Qwen3-8B"}}')
    assert plan(other, "--gpus", "1xL40S").returncode == 0, "JSON of another kind is read for what it is"


def test_the_line_to_write_a_plan_says_what_the_plan_needs_besides(tmp_path):
    shown = plan(PUBLISHED, "--gpus", "4xT4").stdout
    needs = next(line for line in shown.splitlines() if "--allow-quantization awq=MODEL" in line)
    assert needs.split()[:2] == ["for", "1,"], needs
    for pick, more in ((1, ["--allow-quantization", "awq=some/awq-weights"]), (3, [])):
        written = tmp_path / f"{pick}.yaml"
        done = plan(PUBLISHED, "--gpus", "4xT4", "--pick", pick, "--write", written, *more)
        assert written.exists(), done.stderr


def one_worker(model, **keys):
    lines = "".join(f"  {key}: {value}\n" for key, value in {"model": model, **keys}.items())
    return "VllmWorker:\n" + lines + "  ServiceArgs:\n    workers: 1\n    resources:\n      gpu: 1\n"


@pytest.mark.parametrize("name, said", [("an-owner/no-such-model-7b", "no-such-model-7b"), ("/", None)])
def test_what_is_not_known_is_never_said_to_fit(tmp_path, name, said):
    graph = tmp_path / "one.yaml"
    folder = tmp_path / "new-family"
    folder.mkdir()
    if said is None:  # a family that nobody has heard of, without weights
        name, said = folder, "family \"mammoth9\""
        (folder / "config.json").write_text(json.dumps({
            "model_type": "mammoth9", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100,
            "max_position_embeddings": 2048}))
    graph.write_text(one_worker(name))
    done = plan(graph, "--gpus", "1xT4", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 3 and answer["verdict"] == "not-checked" and not answer["fits"]
    assert any(f["unchecked"] for f in answer["findings"])
    shown = plan(graph, "--gpus", "1xT4").stdout
    headline = shown.split("\n\n")[0]
    assert "not checked: the model" in headline and "fits" not in headline
    cause = next(f["cause"] for f in answer["findings"] if f["unchecked"])
    assert said in cause and " ".join(shown.split()).count(cause) == 1, shown  # the reason stands once


@pytest.mark.parametrize("text, gpus, more, status, verdict, part", [
    (None, "1xT4", [], 2, "not-read", "No such file"),
    ("VllmWorker:\n model: a/b\n  port: 1\n", "1xT4", [], 2, "not-read", "1 mistake"),
    ("VllmWorker:\n  modell: Qwen/Qwen3-4B\n", "1xT4", [], 2, "not-read", "mistake"),
    ("TensorRTLLMWorker:\n  engine_args: x.yaml\n", "1xT4", [], 3, "not-checked", "TensorRT-LLM"),
    ("VllmWorker:\n  model: Qwen/Qwen3-4B\n  max-model-len: 2048\n", "1xNoSuchCard;", [], 2, "not-read", "NoSuchCard"),
    ("VllmWorker:\n  model: Qwen/Qwen3-4B\n  max-model-len: 2048\n", "1xL4", ["--engine-version", "new"], 2, "not-read", "new"),
    ("VllmWorker:\n  model: Qwen/Qwen3-4B\n  max-model-len: 2048\n", "1xL4", ["--pick", "8", "--write", "/no/such"], 2, "fits", "--pick 8"),
    ("VllmWorker:\n  model: Qwen/Qwen3-4B\n  max-model-len: 2048\n", "1xL4", ["--svg", "/no/such/x.svg"], 2, "fits", "x.svg"),
    ("VllmWorker:\n  model: Qwen/Qwen3-4B\n  max-model-len: 2048\n", "1xL4", [], 0, "fits", ""),
])
def test_json_is_one_object_whatever_happens(tmp_path, text, gpus, more, status, verdict, part):
    graph = tmp_path / "one.yaml"
    if text is not None:
        graph.write_text(text)
    done = plan(graph, "--gpus", gpus, "--json", *more)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"]) == (status, verdict), done.stdout + done.stderr
    assert part in answer["error"] and bool(answer["error"]) == bool(part)
    assert answer["fits"] == (verdict == "fits") and isinstance(answer["findings"], list) and answer["graph"]


def test_a_damaged_model_is_fatal(tmp_path):
    (tmp_path / "half.gguf").write_bytes(b"GGUF\x03\0\0\0")
    graph = tmp_path / "one.yaml"
    graph.write_text(one_worker(tmp_path / "half.gguf"))
    done = plan(graph, "--gpus", "1xT4", "--json")
    fatal = [f for f in json.loads(done.stdout)["findings"] if f["severity"] == "fatal"]
    assert done.returncode == 1 and [f["code"] for f in fatal] == ["model-damaged"] and "cut short" in fatal[0]["cause"]


@pytest.mark.parametrize("file, form, said", [
    ("examples/forms/docker-compose.yaml", "a docker-compose file", "vllm 0, card 2 of 2"),
    ("examples/forms/kubernetes.yaml", "a Kubernetes Deployment (apps/v1)", "mistral-7b 1"),
    ("examples/forms/serve.sh", "a script that starts 2 engines", "SglangWorker 0"),
])
def test_a_file_is_planned_in_the_form_people_have_it(file, form, said, tmp_path):
    done = plan(file, "--gpus", "8xA100-80GB")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{file} ({form}) on 8 A100-80GB: it fits") and said in done.stdout
    assert json.loads(plan(file, "--gpus", "8xA100-80GB", "--json").stdout)["form"] == form
    written = tmp_path / "graph.yaml"
    assert plan(file, "--gpus", "8xA100-80GB", "--pick", 1, "--write", written, "--allow-quantization", "none").returncode == 0
    assert plan(written, "--gpus", "8xA100-80GB").returncode == 0


def test_a_line_behind_two_hyphens_is_planned_and_its_flags_are_the_places():
    line = ["vllm", "serve", "Qwen/Qwen2.5-14B-Instruct", "--max-model-len", "32k"]
    done = plan("--gpus", "1xT4", "--", *line)
    assert done.returncode == 1 and done.stdout.startswith("command line (a command line of vllm serve) on 1 T4: it cannot run")
    again = done.stdout.split("To write plan N: ")[1].splitlines()[0]
    assert again == "stator plan --gpus 1xT4 --pick N --write FILE -- " + " ".join(line)
    assert plan("--gpus", "1xL40S", "--", *line).returncode == 0
    refused = plan("--gpus", "1xT4", "--", "ls", "-l")
    assert refused.returncode == 2 and "starts no engine" in refused.stderr


def test_standard_input_is_a_file():
    done = subprocess.run([stator_bin(), "plan", "-", "--gpus", "1xL4"], input="vllm serve Qwen/Qwen2.5-7B-Instruct --max-model-len 4096\n",
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "(a command line of vllm serve)" in done.stdout, done.stdout + done.stderr


def test_endless_input_ends():
    done = subprocess.run([stator_bin(), "plan", "/dev/zero", "--gpus", "1xL4"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr


def test_the_memory_table_is_the_one_that_the_starts_give():
    done = subprocess.run([str(ROOT / "bench/memory/starts.py"), "--check", "docs/memory.md"], cwd=ROOT, capture_output=True,
                          text=True, timeout=300, env={**os.environ, "STATOR_BIN": str(stator_bin())})
    assert done.returncode == 0, "make memory-table writes docs/memory.md anew: " + done.stderr


LINE = ("--", "vllm", "serve", "Qwen/Qwen3-32B", "--max-model-len", "16000", "--gpu-memory-utilization", "0.88")


@pytest.mark.parametrize("version, status, verdict", [("0.19.0", 0, "fits"), ("0.11.0", 1, "cannot"), (None, 3, "not-checked")])
def test_a_close_answer_depends_on_the_release_and_says_so(version, status, verdict):
    """61 GiB of weights on an H100: sampling takes 5.6 GiB in releases before 0.17, 2.3 since."""
    done = plan("--json", "--gpus", "1xH100", *(("--engine-version", f"vllm={version}") if version else ()), *LINE)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"]) == (status, verdict)
    memory = answer["services"][0]["memory"]
    assert memory["known"] and isinstance(memory["guesses"], list)
    if verdict == "not-checked":
        said = next(f for f in answer["findings"] if f["code"] == "memory-release")
        assert "--engine-version" in said["remedy"] and "max-num-seqs" in said["remedy"]


def test_a_container_image_says_the_release(tmp_path):
    compose = tmp_path / "compose.yaml"
    for tag, status in (("v0.19.0", 0), ("v0.11.0", 1), ("latest", 3)):
        compose.write_text(f"services:\n  llm:\n    image: vllm/vllm-openai:{tag}\n    command: --model {' '.join(LINE[3:])}\n"
                           "    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}\n")
        assert plan(compose, "--gpus", "1xH100").returncode == status, tag


@pytest.mark.parametrize("version", ["latest", "vllm=", "tgi=0.9.1", "vllm=0.19.0,sglang=nightly", "="])
def test_a_wrong_engine_version_is_refused_with_the_form(version):
    done = plan("--gpus", "1xH100", "--engine-version", version, *LINE)
    assert done.returncode == 2 and "vllm=0.19.0" in done.stderr


def test_a_version_without_an_engine_is_of_all():
    assert plan("--gpus", "1xH100", "--engine-version", "0.11.0", *LINE).returncode == 1
    assert plan("--gpus", "1xH100", "--engine-version", "sglang=0.5.3,vllm=0.19.0", *LINE).returncode == 0


ORIGINALS = {
    "serve.sh": "#!/bin/sh\n# mine\nMODEL=Qwen/Qwen2.5-14B-Instruct\nvllm serve $MODEL \\\n  --max-model-len 32k  # long\n",
    "pod.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: q   # q\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n"
                "      - name: c\n        image: vllm/vllm-openai:v0.9.1\n        args: [\"--model\", \"Qwen/Qwen2.5-14B-Instruct\", \"--max-model-len\", \"32768\"]\n"
                "        resources:\n          limits:\n            nvidia.com/gpu: 1\n",
    "compose.yaml": "services:\n  api:\n    image: lmsysorg/sglang:v0.5.2\n    # one card\n    command: python3 -m sglang.launch_server --model-path Qwen/Qwen2.5-14B-Instruct\n"
                    "    deploy:\n      resources:\n        reservations:\n          devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]\n",
    "dgd.yaml": "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: d}\nspec:\n  services:\n    Worker: # w\n"
                "      componentType: worker\n      replicas: 1\n      resources: {limits: {gpu: \"1\"}}\n      extraPodSpec:\n        mainContainer:\n"
                "          image: nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.7.1\n          command: [python3, -m, dynamo.vllm]\n"
                "          args: [--model, Qwen/Qwen2.5-14B-Instruct]\n",
    "config.yaml": "# vllm serve --config\nmodel: Qwen/Qwen2.5-14B-Instruct\nmax-model-len: 32768\nport: 8000\n",
    "values.yaml": "servingEngineSpec:\n  modelSpec:\n  - name: q\n    modelURL: Qwen/Qwen2.5-14B-Instruct\n    replicaCount: 1\n    requestGPU: 1\n    vllmConfig:\n"
                   "      maxModelLen: 32768\n",
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_file_is_written_in_its_own_form_and_fits(name, tmp_path):
    file, written = tmp_path / name, tmp_path / f"new-{name}"
    file.write_text(ORIGINALS[name])
    assert plan(file, "--gpus", "4xT4").returncode == 1
    done = plan(file, "--gpus", "4xT4", "--write-as", "same", "--write", written, "--allow-quantization", "none")
    assert written.exists(), done.stderr
    again = plan(written, "--gpus", "4xT4")
    assert again.returncode == 0, again.stdout + again.stderr
    before, after = file.read_text().splitlines(), written.read_text().splitlines()
    assert len(before) <= len(after) and [line for line in before if "#" in line and line not in after] == [
        line for line in before if "# long" in line]  # comments stay, beside what changes
    shown = plan(file, "--gpus", "4xT4", "--write-as", "--write", "-", "--allow-quantization", "none")
    assert shown.stdout == written.read_text()


def test_a_file_that_fits_is_written_as_it_is(tmp_path):
    line = tmp_path / "line.sh"
    line.write_text("vllm serve Qwen/Qwen2.5-0.5B-Instruct   -tp 1 --max-num-seqs 64 --dtype float16 --max-model-len 4096\n")
    written = tmp_path / "same.sh"
    done = plan(line, "--gpus", "1xT4", "--write-as", "script", "--write", written, "--allow-quantization", "none", "--pick", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert plan(written, "--gpus", "1xT4").returncode == 0


def test_command_lines_are_made_of_a_graph(tmp_path):
    graph, script = tmp_path / "g.yaml", tmp_path / "run.sh"
    graph.write_text("VllmWorker:\n  model: Qwen/Qwen2.5-7B-Instruct\n  dtype: half\n  max-model-len: 4096\n  enable-prefix-caching: false\n"
                     "  served-model-name: a\n  allowed-media-domains: [a, b c]\n  ServiceArgs:\n    workers: 2\n    resources:\n      gpu: 2\n  tensor-parallel-size: 2\n")
    done = plan(graph, "--gpus", "4xT4", "--write-as", "vllm", "--write", script, "--allow-quantization", "none")
    text = script.read_text()
    assert done.returncode == 0, done.stderr
    lines = [line for line in text.splitlines() if "vllm serve" in line]
    cards = {line.split()[0] for line in lines}
    assert len(cards) == len(lines) >= 2 and all(card.startswith("CUDA_VISIBLE_DEVICES=") for card in cards)
    assert "--no-enable-prefix-caching" in text and "--allowed-media-domains a 'b c'" in text and "--port 8001" in text
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    again = plan(script, "--gpus", "4xT4")
    assert again.returncode == 0, again.stdout + again.stderr
    other = plan(graph, "--gpus", "4xT4", "--write-as", "llama-server", "--write", tmp_path / "no")
    assert other.returncode == 2 and "--write-as vllm" in other.stderr and not (tmp_path / "no").exists()


def test_a_form_that_the_file_is_not_is_refused(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(ORIGINALS["compose.yaml"])
    for form in ("kubernetes", "modelfile"):
        done = plan(file, "--gpus", "4xT4", "--write-as", form, "--write", tmp_path / "no")
        assert done.returncode == 2 and f"--write-as {form}" in done.stderr and "compose (its own form" in done.stderr, done.stderr
        assert not (tmp_path / "no").exists()
    assert "--write FILE where" in plan(file, "--gpus", "4xT4", "--write-as", "same").stderr
    near = plan(file, "--gpus", "4xT4", "--write-as", "kuberntes", "--write", tmp_path / "no")
    assert near.returncode == 2 and 'did you mean "kubernetes"' in near.stderr, near.stderr


def test_a_divided_deployment_is_no_set_of_command_lines(tmp_path):
    done = plan("examples/t4/published.yaml", "--gpus", "32xA100-80GB", "--write-as", "vllm", "--write", tmp_path / "no", "--pick", 1,
                "--allow-quantization", "none")
    if "router between them" in done.stderr:
        assert done.returncode == 2 and not (tmp_path / "no").exists()
    else:  # the best plan there divides nothing
        assert (tmp_path / "no").read_text().count("vllm serve") >= 1, done.stderr


def test_a_flag_that_nobody_has_is_never_said_to_fit():
    line = ["vllm", "serve", "Qwen/Qwen2.5-0.5B-Instruct", "--max-model-len", "4096"]
    assert plan("--gpus", "1xT4", "--", *line).returncode == 0
    for more, status, said in ((["--max-nun-seqs", "4"], 1, "--max-num-seqs"), (["--never-heard-of", "4"], 3, "no release of vLLM"),
                               (["--swap-space", "8"], 0, "was removed"), (["--hf-config-path", "a/b"], 3, "not in the arithmetic"),
                               (["--max-num-seqs", "x"], 2, "not a whole number")):
        done = plan("--gpus", "1xT4", "--", *line, *more)
        shown = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == status and said in shown, (more, shown)
    old = plan("--gpus", "1xT4", "--engine-version", "0.9.2", "--", *line, "--swap-space", "8")
    new = plan("--gpus", "1xT4", "--engine-version", "0.20.0", "--", *line, "--swap-space", "8")
    assert old.returncode == 0 and "removed" not in old.stdout
    assert new.returncode == 1 and "vLLM 0.20.0 has no flag --swap-space" in new.stdout


def test_settings_that_lie_beside_a_script_count(tmp_path):
    script = tmp_path / "start.sh"
    script.write_text("vllm serve Qwen/Qwen3-8B --config ./settings.yaml --seed 1\n")
    lost = json.loads(plan(script, "--gpus", "2xL4", "--json").stdout)
    assert "flag-effect" in [f["code"] for f in lost["findings"]] and lost["verdict"] != "fits"
    (tmp_path / "settings.yaml").write_text("tensor_parallel_size: 2\nmax-model-len: 4096\n")
    found = json.loads(plan(script, "--gpus", "2xL4", "--json").stdout)
    assert found["verdict"] == "fits" and len(found["placement"][0]["devices"]) == 2
    assert "flag-effect" not in [f["code"] for f in found["findings"]]
