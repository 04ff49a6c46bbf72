"""Where requests go and what the router says of it: real frontends and mock workers."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

import pytest
from deployment import Deployment, Process, mock_graph, stator_bin, until

BLOCK = 16


@pytest.fixture(scope="module")
def pair():
    with Deployment(graph=mock_graph({}, {"prefill-us-per-token": 100}, workers=2,
                                     Router={"allow-direct": True})) as deployment:
        yield deployment


def ask(url, prompt, headers=None, **fields):
    """(status, headers, body) of a short completion."""
    body = {"model": "mock", "prompt": prompt, "max_tokens": 4, **fields}
    request = urllib.request.Request(url + "/v1/completions", json.dumps(body).encode(),
                                     {"content-type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, json.load(answer)


def overlap(headers):
    """(blocks there, blocks in all) by x-stator-route."""
    for part in headers["x-stator-route"].split("; "):
        if part.startswith("overlap="):
            there, _, of = part.removeprefix("overlap=").partition("/")
            return int(there), int(of)
    raise AssertionError(headers["x-stator-route"])


def prompt(seed, blocks=20):
    return f"{seed:08d}" * (blocks * BLOCK // 8)


def tool(*args):
    return subprocess.run([stator_bin(), *args], capture_output=True, encoding="utf-8", timeout=60, check=False)


def knows(url, text, blocks):
    """Has the router heard that the blocks of text are cached? (Asks with the shortest answer.)"""
    return until("the router to know a prefix", lambda: overlap(ask(url, text, max_tokens=1)[1])[0] >= blocks, 20)


@pytest.mark.smoke
def test_the_second_of_two_equal_prompts_goes_where_the_first_went_and_says_so(pair):
    for seed in range(6):
        status, first, _ = ask(pair.url, prompt(seed))
        assert status == 200 and overlap(first) == (0, 20)
        status, second, body = ask(pair.url, prompt(seed))
        assert status == 200
        assert second["x-stator-worker"] == first["x-stator-worker"]
        assert f"worker={first['x-stator-worker']}" in second["x-stator-route"]
        assert second["x-stator-route"].startswith("finish-time; ")
        assert overlap(second) == (20, 20)
        assert body["usage"]["prompt_tokens_details"]["cached_tokens"] >= 19 * BLOCK


def test_a_decision_can_be_asked_for_with_what_came_of_it(pair):
    ask(pair.url, prompt(50))
    status, headers, _ = ask(pair.url, prompt(50), {"x-request-id": "why-50"})
    assert status == 200 and headers["x-request-id"] == "why-50"
    got = json.loads(pair.get("/stator/requests/why-50"))
    assert got["worker"] == headers["x-stator-worker"] and got["policy"] == "finish-time" and got["state"] == "done"
    assert got["overlap_blocks"] == got["blocks"] == 20 and got["block_size"] == BLOCK
    assert {c["worker"] for c in got["considered"]} == {"mock-0", "mock-1"}
    assert got["considered"][0]["worker"] == got["worker"], "the best comes first"
    assert got["predicted"]["cached_tokens"] == 20 * BLOCK and got["predicted"]["ttft_ms"] > 0
    assert got["actual"]["cached_tokens"] >= 19 * BLOCK and got["actual"]["ttft_ms"] > 0
    assert got["actual"]["generated_tokens"] == 4
    listed = json.loads(pair.get("/stator/requests"))["requests"]
    assert listed[0]["id"] == "why-50"
    told = tool("explain", "why-50", pair.url)
    assert told.returncode == 0 and f"why-50 went to {got['worker']}" in told.stdout, told
    assert "time to first token" in told.stdout
    assert "why-50" in tool("explain", pair.url).stdout
    unknown = tool("explain", "nobody", pair.url)
    assert unknown.returncode == 1 and 'no decision is known for the request "nobody"' in unknown.stderr


def test_a_request_goes_to_the_worker_it_names_and_a_wrong_name_is_refused_with_the_right_ones(pair):
    for name in ("mock-0", "mock-1", "mock-0"):
        status, headers, _ = ask(pair.url, prompt(60), {"x-stator-worker": name})
        assert status == 200 and headers["x-stator-worker"] == name
    status, _, body = ask(pair.url, prompt(60), {"x-stator-worker": "mock-7"})
    assert status == 400 and body["error"]["code"] == "unknown_worker"
    assert "mock-7" in body["error"]["message"] and '"mock-0"' in body["error"]["message"]
    status, _, body = ask(pair.url, prompt(60), {"x-stator-tenant": "acme"})
    assert status == 400 and body["error"]["code"] == "header_not_allowed"
    status, _, body = ask(pair.url, prompt(60), {"x-stator-deadline-ms": "soon"})
    assert status == 400 and "x-stator-deadline-ms" in body["error"]["message"]


def test_the_ladder_of_hit_rates_ascends_to_what_the_workload_allows(pair):
    for seed in range(100, 110):
        for _ in range(3):
            ask(pair.url, prompt(seed))

    def rung(name):
        return pair.metric("stator_reuse_tokens_total", model="mock", rung=name)

    assert rung("asked") >= 30 * 20 * BLOCK
    assert 0 < rung("got") <= rung("asked")
    assert rung("routing") <= rung("workload") * 1.01
    assert rung("cache") <= rung("workload") < rung("asked")
    assert pair.metric("stator_route_predictions_total") >= 30


def test_a_killed_worker_comes_back_empty_and_the_index_with_it(pair):
    ask(pair.url, prompt(70))
    _, headers, _ = ask(pair.url, prompt(70))
    assert overlap(headers) == (20, 20)
    before = pair.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until("two new workers", lambda: len(pair.workers()) == 2 and not set(pair.workers()) & set(before), 30)
    until("both to be served by", lambda: pair.metric("stator_worker_up") == 2, 30)
    status, headers, body = ask(pair.url, prompt(70))
    assert status == 200 and overlap(headers)[0] == 0, "what died with its worker must not be counted on"
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    knows(pair.url, prompt(70), 20)
    checked = tool("debug", "index-check", pair.url)
    assert checked.returncode == 0, checked
    assert checked.stdout.count(" equal ") == 2 and "block for block" in checked.stdout


def test_index_check_finds_nothing_while_blocks_come_and_go(pair):
    for seed in range(200, 260):  # far more than 4,096 cells hold
        assert ask(pair.url, prompt(seed, blocks=60))[0] == 200
    for _ in range(3):
        got = json.loads(pair.get("/stator/index-check"))
        assert got["equal"] is True, got
        assert sum(w["held"] for w in got["workers"]) > 100
    assert pair.metric("stator_kv_mismatches_total") == 0


class Workers:
    """Two workers started by hand, and as many frontends as are asked for."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="stator-test-")
        self.secret = pathlib.Path(self.folder.name, "secret")
        self.secret.write_text("open sesame, but longer\n")
        self.secret.chmod(0o600)
        self.running = []
        for i in range(2):
            self.start("worker", "--engine", "mock", "--name", f"mock-{i}", "--listen",
                       f"unix:{self.folder.name}/mock-{i}.sock", "--model", "mock", "--block-size", BLOCK,
                       "--prefill-us-per-token", 100, "--kv-secret-file", self.secret)
        return self

    def start(self, *args):
        self.running.append(Process(*args))
        return self.running[-1]

    def frontend(self, *args):
        process = self.start("frontend", "--listen", "127.0.0.1:0", "--workers-dir", self.folder.name,
                             "--min-workers", 2, *args)
        return "http://" + process.wait_line(r"ready.*?(127\.0\.0\.1:\d+)").group(1), process

    def __exit__(self, *_):
        for process in self.running:
            process.kill_all()
        self.folder.cleanup()


def test_several_frontends_know_the_same_caches():
    with Workers() as workers:
        urls = [workers.frontend("--kv-secret-file", workers.secret)[0] for _ in range(3)]
        for seed in range(4):
            _, first, _ = ask(urls[0], prompt(seed))
            for url in urls[1:]:
                knows(url, prompt(seed), 20)
                _, headers, body = ask(url, prompt(seed))
                assert headers["x-stator-worker"] == first["x-stator-worker"]
                assert body["usage"]["prompt_tokens_details"]["cached_tokens"] >= 19 * BLOCK
        for url in urls:
            assert tool("debug", "index-check", url).returncode == 0


@pytest.mark.parametrize("secret, says", [
    ("another secret, and as long\n", "another KV secret .*--kv-secret-file"), (None, "without a KV secret .*--kv-secret-file")])
def test_a_frontend_that_cannot_know_the_caches_says_so_and_serves(secret, says):
    with Workers() as workers:
        options = []
        if secret:
            path = pathlib.Path(workers.folder.name, "another")
            path.write_text(secret)
            path.chmod(0o600)
            options = ["--kv-secret-file", path]
        url, process = workers.frontend(*options)
        process.wait_line(says)
        metrics = urllib.request.urlopen(url + "/metrics", timeout=20).read().decode()
        assert metrics.count("stator_worker_kv_known{") == 2
        assert all(line.endswith(" 0") for line in metrics.splitlines() if line.startswith("stator_worker_kv_known{"))
        checked = tool("debug", "index-check", url)
        assert checked.returncode != 0 and "another KV secret or block size" in checked.stdout + checked.stderr, checked
        for _ in range(2):
            status, headers, _ = ask(url, prompt(1))
            assert status == 200 and overlap(headers)[0] <= 20
