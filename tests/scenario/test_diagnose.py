"""stator diagnose and stator logs as an operator uses them."""

import gzip
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import threading

import pytest
from deployment import Deployment, mock_graph, stator_bin
from rawhttp import post

LOGS = pathlib.Path(__file__).resolve().parents[1] / "logs"


def stator(*args, input=None, env=None):
    return subprocess.run([stator_bin(), *map(str, args)], input=input, text=True, timeout=60, capture_output=True,
                          stdin=subprocess.DEVNULL if input is None else None, env={**os.environ, **(env or {})})


@pytest.mark.smoke
def test_json_has_exactly_the_keys_that_were_promised_root_cause_first():
    done = stator("diagnose", "--json", LOGS / "vllm-kv-too-small.log")
    assert done.returncode == 1 and not done.stderr
    answer = json.loads(done.stdout)
    assert list(answer) == ["verdict", "findings"] and answer["verdict"] == "failed"
    for finding in answer["findings"]:
        assert sorted(finding) == ["cause", "class", "file", "harmless", "line", "remedy", "severity"]
    first = answer["findings"][0]
    assert (first["severity"], first["class"], first["line"], first["harmless"]) == ("fatal", "capacity", 69, False)
    assert "46464" in first["remedy"]


def test_standard_input_and_several_files_and_the_graph():
    text = (LOGS / "dynamo-2025-t4-nvml.log").read_text()
    done = stator("diagnose", "-", "--graph", LOGS / "t4-graph.yaml", "--gpus", "4xT4", input=text)
    assert done.returncode == 1
    assert "asked for GPU index 4 of 4: more workers x GPUs than devices" in " ".join(done.stdout.split())
    assert "t4-graph.yaml:12" in done.stdout
    done = stator("diagnose", *sorted((LOGS / "ranks").glob("*.log")))
    assert done.returncode == 1 and "rank2.log:6: fatal: capacity" in done.stdout


def test_a_log_nobody_knows_is_said_to_be_so_with_its_telling_lines():
    done = stator("diagnose", LOGS / "vllm-unknown-failure.log")
    assert done.returncode == 3
    assert "no log signature knows the cause" in done.stdout and "FrobnicatorError" in done.stdout
    assert json.loads(stator("diagnose", "--json", LOGS / "vllm-unknown-failure.log").stdout)["verdict"] == "failed-unknown-cause"


def test_healthy_failed_unknown_and_cannot_tell_are_four_exit_statuses():
    healthy = "INFO:     Application startup complete.\n"
    for text, status, verdict in ((healthy, 0, "healthy"), ("NVML Shared Library Not Found\n", 1, "failed"),
                                  ("frob.Error: no frob\nAborted (core dumped)\n", 3, "failed-unknown-cause"),
                                  ("", 4, "cannot-tell"), ("ERROR frob is gone\n", 4, "cannot-tell")):
        done = stator("diagnose", "--json", "-", input=text)
        assert (done.returncode, json.loads(done.stdout)["verdict"]) == (status, verdict)
        assert stator("diagnose", "-", input=text).returncode == status


def test_a_packed_log_is_read_what_is_no_text_is_named_and_an_endless_file_ends(tmp_path):
    packed = tmp_path / "worker.log.gz"
    packed.write_bytes(gzip.compress(b"INFO\nNVML Shared Library Not Found\n"))
    done = stator("diagnose", "--json", packed)
    assert done.returncode == 1 and json.loads(done.stdout)["findings"][0]["line"] == 2
    packed.write_bytes(packed.read_bytes()[:-4])
    done = stator("diagnose", packed)
    assert done.returncode == 1 and "this ends before its end" in done.stdout
    packed.write_bytes(gzip.compress((LOGS / "vllm-healthy.log").read_bytes())[:-4])
    done = stator("diagnose", packed)
    assert done.returncode == 4 and "it could not be read to its end" in done.stdout
    archive = tmp_path / "logs.zip"
    archive.write_bytes(b"PK\3\4" + bytes(range(100)))
    done = stator("diagnose", archive)
    assert done.returncode == 4 and f"unzip -p {archive} | stator diagnose -" in " ".join(done.stdout.split())
    assert stator("diagnose", archive, LOGS / "vllm-healthy.log").returncode == 4
    assert stator("diagnose", archive, LOGS / "vllm-kv-too-small.log").returncode == 1
    done = stator("diagnose", "/dev/zero")
    assert done.returncode == 4 and "not text" in done.stdout
    (tmp_path / "w.log").write_bytes((LOGS / "vllm-kv-too-small.log").read_text().encode("utf-16"))
    done = stator("diagnose", "--json", tmp_path / "w.log")
    assert done.returncode == 1 and json.loads(done.stdout)["findings"][0]["line"] == 69


sys.path.insert(0, str(LOGS.parents[1] / "bench" / "diagnose"))
import public  # noqa: E402


def test_each_kind_of_log_is_read_right():
    wrong = [(c.name, *public.judge(stator_bin(), c)) for c in public.cases(LOGS / "kinds.txt")]
    assert len(wrong) >= 160
    assert [w for w in wrong if w[1] != "right"] == []


def test_published_logs_are_read_no_worse_than_the_page_says():
    """Of the half held out only counts may be looked at: see tests/logs/public/README.md."""
    rows = [(case, *public.judge(stator_bin(), case)) for case in public.all_cases()]
    assert len(rows) >= 210
    assert [c.name for c, _, answer in rows if c.verdict == "failed" and answer["verdict"] == "healthy"] == []
    assert [c.name for c, result, _ in rows if c.verdict == "healthy" and result != "right"] == []
    page = (LOGS.parents[1] / "docs" / "diagnose-public.md").read_text()
    assert [c.name for c, _, _ in rows if f"| {c.name} |" not in page] == [], "bench/diagnose/public.py --markdown"
    for sample, held, half in [(s, *h) for s, _ in public.SAMPLES for h in ((False, "built on"), (True, "held out"))]:
        total, right = map(int, re.search(rf"^\| {sample} \| {half} \| (\d+) \| (\d+) ", page, re.M).groups())
        got_total, count, _ = public.counted(rows, held, sample)
        assert got_total == total and count["right"] >= right, f"{sample}, {half}: {count} and the page says {right}"


def test_a_log_that_is_cut_behind_its_failure_is_never_called_well(tmp_path):
    """Where it is cut is drawn; what is held out is left alone. The exit status is that of the verdict."""
    rng = random.Random(11)
    statuses = {"healthy": 0, "failed": 1, "failed-unknown-cause": 3, "cannot-tell": 4}
    tried, well = 0, []
    for case in [c for c in public.all_cases() if not c.held] + list(public.cases(LOGS / "kinds.txt")):
        found = [case.text.index("\n", m.end()) for m in re.finditer(case.root, case.text)] if case.verdict == "failed" else []
        if not found:
            continue
        cut = rng.randint(found[-1], len(case.text))
        (tmp_path / "x.log").write_text(case.text[:cut])
        done = stator("diagnose", "--json", tmp_path / "x.log")
        verdict = json.loads(done.stdout)["verdict"]
        assert done.returncode == statuses[verdict], case.name
        tried += 1
        well += [(case.name, cut)] if verdict == "healthy" else []
    assert tried > 150
    assert well == []


GRAPH_LOGS = ("tools/kv-too-small", "vllm-free-memory", "vllm-no-cache-blocks", "vllm-bf16-t4", "vllm-t4-oom-loading", "vllm-oom-after-load",
              "vllm-sampler-warmup", "vllm-tp-heads", "vllm-healthy")
CHANGE = re.compile(r":(\d+): (?:add \"([\w-]+): (\S+?)\"|(?:--)?([\w-]+) is \S+; make it ([\w.]+))")


def planned(path, gpus):
    done = stator("plan", path, "--gpus", gpus)
    assert done.returncode in (0, 1, 3), done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize("gpus", ["1xT4", "1xL4", "2xA100-80GB"])
def test_the_plan_and_the_diagnosis_of_one_graph_and_log_do_not_contradict_each_other(tmp_path, gpus):
    """What the diagnosis proposes the plan does not refuse, and where the two say different things the answer says what lies between."""
    graph = tmp_path / "serve.sh"
    text = "#!/bin/sh\nvllm serve Qwen/Qwen3-8B \\\n\t--port 8001 \\\n\t--dtype bfloat16 \\\n\t--max-num-seqs 512 \\\n\t--max-model-len 131072\n"
    proposed = 0
    for length in (131072, 8192):
        graph.write_text(text.replace("131072", str(length)))
        before, _ = planned(graph, gpus)
        for name in GRAPH_LOGS:
            told = " ".join(stator("diagnose", "--graph", graph, "--gpus", gpus, LOGS / f"{name}.log").stdout.split())
            failed = ": fatal: capacity" in told.split("the plan of")[0]
            fits, cannot = "it fits" in told, "it cannot run" in told
            assert (fits, cannot) == (before == 0, before == 1), told
            assert not (fits and failed) or "the log shows what happened" in told
            assert not (cannot and name == "vllm-healthy") or "The log shows that it serves" in told
            for line, _, _, key, value in CHANGE.findall(told):
                if not key:
                    continue
                lines = graph.read_text().splitlines(keepends=True)
                assert key in lines[int(line) - 1], f"{name}: line {line} has no {key}"
                changed = tmp_path / "changed.sh"
                lines[int(line) - 1] = re.sub(rf"(--{key}[ =])\S+", rf"\g<1>{value}", lines[int(line) - 1])
                changed.write_text("".join(lines))
                after, why = planned(changed, gpus)
                assert not (before == 0 and after == 1), why
                assert f"{key} is {value}" not in why and f"unknown {key}" not in why, why
                proposed += 1
    assert proposed >= 3


def test_a_folder_is_read_whole_once_and_without_waiting(tmp_path):
    bundle = tmp_path / "bundle"
    (bundle / "pods" / "decode-0").mkdir(parents=True)
    (bundle / "pods" / "decode-0" / "current.log").write_bytes((LOGS / "vllm-kv-too-small.log").read_bytes())
    (bundle / "pods" / "fine.log").write_text("INFO fine\n")
    (bundle / "script.py").write_text("raise ValueError('no')\n")
    (bundle / "core").write_bytes(b"\x7fELF\2\1\1" + bytes(4000))
    os.mkfifo(bundle / "pipe")
    (bundle / "again").symlink_to("pods/decode-0/current.log")
    (bundle / "pods" / "up").symlink_to("..")
    (bundle / "lost").symlink_to("nowhere")
    done = stator("diagnose", "--json", bundle)
    assert done.returncode == 1 and not done.stderr
    findings = json.loads(done.stdout)["findings"]
    assert [f["severity"] for f in findings].count("fatal") == 1
    assert (findings[0]["file"], findings[0]["line"]) == (str(bundle / "pods/decode-0/current.log"), 69)
    assert "of 2 logs" in stator("diagnose", bundle).stdout
    (bundle / "pods" / "decode-0" / "current.log").unlink()
    assert stator("diagnose", bundle).returncode == 0
    (bundle / "pods" / "fine.log").unlink()
    done = stator("diagnose", bundle)
    assert done.returncode == 4 and "there is no log in it" in done.stdout


def test_a_named_pipe_is_read_when_somebody_writes_to_it(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("NVML Shared Library Not Found\n"))
    writer.start()
    done = stator("diagnose", pipe)
    writer.join(60)
    assert done.returncode == 1 and f"{pipe}:1: fatal" in done.stdout


def test_the_guide_shows_real_answers():
    guide = (LOGS.parents[1] / "docs" / "guide" / "diagnosing.md").read_text()
    blocks = re.findall(r"```text\n\$ stator (diagnose [^\n]*)\n(.*?)```\n", guide, re.S)
    assert len(blocks) >= 3
    for line, shown in blocks:
        done = subprocess.run([stator_bin(), *line.split()], cwd=LOGS.parents[1], text=True, timeout=60, capture_output=True)
        assert done.stdout == shown, line


def test_a_manifest_says_nothing_of_what_happened():
    done = stator("diagnose", LOGS / "tools" / "deployment.yaml")
    assert done.returncode == 4 and "it says only how things are wished" in done.stdout
    assert stator("diagnose", LOGS / "tools" / "deployment.yaml", LOGS / "tools" / "describe-oom.txt").returncode == 1
    graph = LOGS.parents[1] / "examples" / "t4" / "published.yaml"
    done = stator("diagnose", graph)
    assert done.returncode == 4 and f"stator diagnose --graph {graph} LOG" in " ".join(done.stdout.split())
    assert stator("diagnose", graph, LOGS / "vllm-healthy.log").returncode == 0


def test_what_cannot_be_read_is_named(tmp_path):
    done = stator("diagnose", tmp_path / "none.log", LOGS / "vllm-healthy.log")
    assert done.returncode == 2 and "No such file" in done.stderr
    assert stator("diagnose", tmp_path).returncode == 4
    assert stator("diagnose").returncode == 2
    (tmp_path / "s.yaml").write_text("- id: x\n  match: [abc]\n")
    done = stator("diagnose", "--signatures", tmp_path / "s.yaml", LOGS / "vllm-healthy.log")
    assert done.returncode == 2 and "s.yaml:1:" in done.stderr


def test_logs_shows_each_process_and_follows_one(tmp_path):
    env = {"XDG_RUNTIME_DIR": str(tmp_path)} if len(str(tmp_path)) < 50 else {}
    with Deployment(graph=mock_graph(workers=2), env=env) as deployment:
        done = stator("logs", env=env)
        assert done.returncode == 0, done.stderr
        for name in ("frontend", "mock-0", "mock-1"):
            assert any(line.strip().startswith(name + " |") for line in done.stdout.splitlines())
        done = stator("logs", "mock-7", env=env)
        assert done.returncode == 1 and "mock-0, mock-1" in done.stderr
        follower = subprocess.Popen([stator_bin(), "logs", "frontend", "-f", "-n", "1"], stdout=subprocess.PIPE, text=True,
                                    env={**os.environ, **env})
        watchdog = threading.Timer(60, follower.kill)
        watchdog.start()
        assert follower.stdout.readline().strip()
        assert post(deployment, "/v1/completions", {"model": "mock", "prompt": "x", "max_tokens": 2}).status == 200
    # It ends with the deployment, and has shown what came meanwhile.
    rest = follower.stdout.read()
    assert follower.wait(60) == 0
    watchdog.cancel()
    assert "drain" in rest


# Starting in steps.

def events_of(deployment):
    return [json.loads(line) for line in deployment.lines if line.startswith("{")]


def test_in_steps_the_others_start_when_the_first_has_generated():
    with Deployment("--start", "steps", "--log-json", graph=mock_graph(workers=4)) as deployment:
        ready = [e["process"] for e in events_of(deployment) if e.get("event") == "process ready"]
        workers = [name for name in ready if name.startswith("mock")]
        assert workers[0] == "mock-0" and workers[1] == "mock-1"  # one, one more, then two at once
        assert sorted(workers[2:]) == ["mock-2", "mock-3"]
        gone = [e for e in events_of(deployment) if e.get("event") == "frontend connected" and "start-up" in e.get("software", "")]
        assert [e["worker"] for e in gone] == ["mock-0"]


def test_keep_going_serves_with_what_came_up_and_without_it_nothing_starts(tmp_path):
    (tmp_path / "bad.gguf").write_text("no model")
    graph = {"Good": {"engine": "mock", "served-model-name": "mock"},
             "Bad": {"engine": "llama", "model": str(tmp_path / "bad.gguf"), "ServiceArgs": {"workers": 3}}}
    with Deployment("--keep-going", "--start", "steps", "--port", "0", graph=graph) as deployment:
        deployment.wait_line("Ready in")
        assert "the deployment goes on without it" in deployment.output
        assert "bad-1     failed      not started, since bad-0 could not" in deployment.output
        assert post(deployment, "/v1/completions", {"model": "mock", "prompt": "x", "max_tokens": 2}).status == 200
    (tmp_path / "graph.yaml").write_text(json.dumps(graph))
    done = stator("serve", "--port", "0", tmp_path / "graph.yaml")
    assert done.returncode == 1 and "bad.gguf\" is not a GGUF file" in done.stderr and not done.stdout
    only_bad = {"Bad": graph["Bad"]}
    (tmp_path / "graph.yaml").write_text(json.dumps(only_bad))
    done = stator("serve", "--port", "0", "--keep-going", tmp_path / "graph.yaml")
    assert done.returncode == 1 and "the deployment cannot start" in done.stdout
