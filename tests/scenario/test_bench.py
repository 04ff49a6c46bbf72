"""`stator bench` against a real deployment: what it reports is what was asked; its mistakes are one sentence."""

import json
import signal
import subprocess

import pytest
from deployment import Process, stator_bin, until


def bench(*args, status=0):
    run = subprocess.run([stator_bin(), "bench", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, timeout=120, check=False)
    assert run.returncode == status, run.stderr + run.stdout
    return run.stdout, run.stderr


@pytest.mark.smoke
def test_every_request_of_a_closed_loop_is_answered_and_counted(mock):
    out, _ = bench(mock.url, "--requests", 60, "--clients", 6, "--output-tokens", 20, "--prompt-tokens", "10-30", "--json")
    report = json.loads(out)
    assert report["requests"] == report["completed"] == 60
    assert report["failed"] == 0 and report["errors"] == []
    assert report["completion_tokens"] == 60 * 20
    assert 0 < report["ttft_ms"]["p50"] <= report["e2e_ms"]["p50"]


def test_conversations_with_shared_beginnings_find_them_cached(mock):
    out, _ = bench(mock.url, "-n", 24, "-c", 2, "-t", 4, "-p", 40, "--prefix-tokens", 200, "--prefix-groups", 2, "-o", 8, "--json")
    report = json.loads(out)
    assert report["completed"] == 24, report["errors"]
    assert report["cached_tokens"] > report["prompt_tokens"] / 3


def test_a_page_is_written_beside_the_table(mock, tmp_path):
    page = tmp_path / "load.html"
    out, err = bench(mock.url, "-n", 10, "-o", 8, "--slo-ttft", "10s", "--report", page)
    assert "10 answered, 0 failed" in out and "goodput" in out and "100.0 % of those sent" in out
    assert str(page) in err
    assert page.read_text().startswith("<!doctype html>") and "<polyline" in page.read_text()


def test_a_trace_is_replayed_and_shares_what_it_says_it_shares(mock, tmp_path):
    trace = tmp_path / "t.jsonl"
    rows = [{"timestamp": i * 20, "input_length": 600, "output_length": 4, "hash_ids": [i % 2, 100 + i]} for i in range(12)]
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, _ = bench(mock.url, "--trace", trace, "--speed", 0.5, "--endpoint", "completions", "--json")
    report = json.loads(out)
    assert report["completed"] == 12, report["errors"]
    assert report["completion_tokens"] == 48
    assert report["duration_s"] >= 11 * 0.04
    assert report["cached_tokens"] > 0.4 * report["prompt_tokens"]


def test_ctrl_c_shows_what_was_measured_so_far(mock):
    process = Process("bench", mock.url, "--duration", "1h", "-c", 2, "-o", 8)
    try:
        until("requests to run", mock.running)
        process.popen.send_signal(signal.SIGINT)
        assert process.wait_exit(60) == 0
        assert "stopped before its end" in process.output
    finally:
        process.kill_all()


@pytest.mark.parametrize("args, said", [
    (["http://127.0.0.1:1"], "could not connect to 127.0.0.1:1"),
    (["https://example.invalid"], "https is not supported"),
    (["--prompt-tokens", "many"], "is not a number from 1"),
    (["--duration", "0s"], "would never end"),
    (["--warmup", "20s", "--duration", "10s"], "nothing would be counted"),
    (["--client", "4"], "did you mean"),
    (["--trace", "/nowhere.jsonl"], "/nowhere.jsonl"),
])
def test_mistakes_are_one_sentence(args, said):
    run = subprocess.run([stator_bin(), "bench", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=60, check=False)
    assert run.returncode in (1, 2)
    assert said in run.stdout


def test_a_model_that_is_not_there_fails_with_the_servers_words(mock):
    out, _ = bench(mock.url, "-n", 4, "-m", "nope", status=1)
    assert "4 failed" in out and "status 404" in out
