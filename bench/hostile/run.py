#!/usr/bin/env python3
"""bench/hostile/run.py: what one client's requests cost another one, beside llama-server of the same llama.cpp release.

One client chats in two words, over and over, first alone, then beside clients that send what costs a server most for the
bytes they send, and that leave after half a second to send it again:

  nested    arguments of a tool call of 250,000 lists in each other, with a template that reads them
  messages  4,000 messages through a template whose time grows with their square (Gemma 4's)
  kwargs    3,000 messages of one letter, and a template's end token replaced by a megabyte (Zephyr's manner)
  members   an object of 2.5 million members in a field that nobody looks at
  letters   625 KiB of one character that the vocabulary does not have (SentencePiece; a mock engine with its vocabulary)
  prompts   128 prompts of 200 KiB in one request
  ids       a prompt of two million token ids
  raw       2 MiB of plain words, to be tokenized
  many      400 messages of that template at a time: an agent's long conversation, from eight clients that wait for answers (mock)

The demo model computes, but for those with a mock engine, which takes no time: there only text is measured. For each it prints what the small client saw: median and 99th percentile, alone and beside, and
how many of its requests failed. A second hostile column is what the hostile ones were answered. `scripts/llama build
--server` makes llama-server; without it its rows are left out. --markdown and --json write files.
"""

import argparse
import collections
import contextlib
import http.client
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import procs, report, servers  # noqa: E402

MODEL = "demo"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 2, "temperature": 0}
CELLS = 8192
MULTIPLIER = "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"

PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"


def llama_dir():
    return servers.run_script(os.path.join(servers.ROOT, "scripts", "llama"), "dir")


def template(name):
    return os.path.join(llama_dir(), "templates", name)


# What the hostile clients send: (path, body).

def messages(count, text="x"):
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i in range(count)] + [{"role": "user", "content": "y"}]


def nested():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "[" * 250000 + "]" * 250000}}
    return "/v1/chat/completions", {**CHAT, "messages": [
        {"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "y"}]}


def quadratic():
    return "/v1/chat/completions", {**CHAT, "messages": messages(4000)}


def multiplied():
    return "/v1/chat/completions", {**CHAT, "messages": messages(3000), "chat_template_kwargs": {"eos_token": "A" * 1000000}}


def members():
    return "/v1/completions", {"model": MODEL, "prompt": "a", "max_tokens": 1, "x": {str(i): 1 for i in range(2500000)}}


def letters():
    return "/v1/completions", {"model": MODEL, "prompt": "\U0001f984" * 160000, "max_tokens": 1}


def prompts():
    return "/v1/completions", {"model": MODEL, "prompt": ["a few words " * 17000] * 128, "max_tokens": 1}


def ids():
    return "/v1/completions", {"model": MODEL, "prompt": [i % 1000 for i in range(2000000)], "max_tokens": 1}


def raw():
    return "/tokenize", {"model": MODEL, "prompt": "river stone window " * 110000, "content": ""}


def many():
    return "/v1/chat/completions", {**CHAT, "messages": messages(400)}


Case = collections.namedtuple("Case", "body clients leaves template vocabulary")
CASES = {
    "nested": Case(nested, 2, True, "Qwen-Qwen2.5-7B-Instruct.jinja", None),
    "messages": Case(quadratic, 4, True, "google-gemma-4-31B-it.jinja", None),
    "kwargs": Case(multiplied, 2, True, MULTIPLIER, None),
    "members": Case(members, 4, True, None, None),
    "letters": Case(letters, 4, True, PLAIN, "ggml-vocab-llama-spm.gguf"),
    "prompts": Case(prompts, 2, True, None, None),
    "ids": Case(ids, 2, True, None, None),
    "raw": Case(raw, 4, False, None, None),
    "many": Case(many, 8, False, "google-gemma-4-31B-it.jinja", "ggml-vocab-gemma-4.gguf"),
}


class Stator(servers.Server):
    """One worker and a frontend, as serve starts them."""

    name, model = "Stator", MODEL

    def __init__(self, case, template_file):
        super().__init__()
        self.case, self.template_file = case, template_file

    def launch(self):
        program = os.environ.get("STATOR_BIN") or os.path.join(servers.ROOT, "build", "stator")
        engine, worker = "llama", {"served-model-name": MODEL, "context-length": CELLS, "model": servers.demo_model()}
        if self.case.vocabulary:
            engine = "mock"
            worker |= {"model": os.path.join(llama_dir(), "vocab", self.case.vocabulary), "decode-us-base": 5000}
        if self.template_file:
            worker["chat-template-file"] = self.template_file
        service = {"llama": "LlamaWorker", "mock": "MockWorker"}[engine]
        self.spawn("stator", [program, "serve", "--engine", engine, "--workers", 1, "--port", self.port,
                              *(f"--{service}.{key}={value}" for key, value in worker.items())])


class LlamaServer(servers.Server):
    name, model = "llama-server", MODEL

    def __init__(self, case, template_file):
        super().__init__()
        self.case, self.template_file = case, template_file

    def launch(self):
        program = os.path.join(llama_dir(), "bin", "llama-server")
        if not os.path.exists(program):
            raise procs.Unavailable("llama-server is not built; run scripts/llama build --server")
        if self.case.vocabulary:
            raise procs.Unavailable("llama-server serves no vocabulary without weights")
        extra = ["--jinja", "--chat-template-file", self.template_file] if self.template_file else []
        self.spawn("llama-server", [program, "-m", servers.demo_model(), "--alias", MODEL, "--port", self.port, "-c", CELLS,
                                    "-np", 8, "-kvu", *extra])


def give_way():
    """This process takes only what the servers leave of the CPUs, as one on another machine would. With autogroups (sched(7))
    a nice value holds within a session only, and the session has one of its own."""
    os.setsid()
    os.nice(19)
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="utf-8") as file:
        file.write("19")


def hostile(port, path, body, leaves, until, ret):
    """A process: send it, wait for the answer or leave, again."""
    give_way()
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5 if leaves else 120)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            reply.read()
            ret.put(reply.status)
            time.sleep(0.1)
        except TimeoutError:
            ret.put("left")
        except OSError:
            ret.put("cut")
            time.sleep(0.1)
        finally:
            connection.close()


def chat(port, seconds, timeout_s):
    """Two words, over and over: (milliseconds of each, failures)."""
    body, took, failures = json.dumps(CHAT), [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        try:
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            reply.read()
            failures += reply.status != 200
        except OSError:
            failures += 1
        connection.close()
        took.append(1000 * (time.monotonic() - began))
        time.sleep(0.01)
    return took, failures


def p99(values):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


@contextlib.contextmanager
def hostile_clients(port, case, seconds):
    path, body = case.body()
    body = json.dumps(body, separators=(",", ":")).encode()
    answers, until = multiprocessing.Queue(), time.monotonic() + seconds
    clients = [multiprocessing.Process(target=hostile, args=(port, path, body, case.leaves, until, answers))
               for _ in range(case.clients)]
    for client in clients:
        client.start()
    got = []
    try:
        time.sleep(1)  # the first are on their way
        yield got
    finally:
        while any(client.is_alive() for client in clients):
            if time.monotonic() > until + 5:
                for client in clients:
                    client.terminate()
            with contextlib.suppress(Exception):
                while True:
                    got.append(answers.get(timeout=0.1))
        while not answers.empty():
            got.append(answers.get())


def measure(kind, case, options):
    source = CASES[case].template
    file = None
    if source and source.endswith(".jinja"):
        file = template(source)
    elif source:
        file = os.path.join(options.folder, case + ".jinja")
        with open(file, "w", encoding="utf-8") as out:
            out.write(source)
    with kind(CASES[case], file) as server:
        chat(server.port, 1, options.timeout)
        alone, _ = chat(server.port, options.seconds, options.timeout)
        with hostile_clients(server.port, CASES[case], options.seconds + 1) as answers:
            beside, failures = chat(server.port, options.seconds, options.timeout)
        counts = collections.Counter(str(a) for a in answers)
        return [case, server.name, statistics.median(alone), p99(alone), statistics.median(beside), p99(beside), max(beside),
                p99(beside) / p99(alone), failures, " ".join(f"{n} x {what}" for what, n in sorted(counts.items()))]


HEAD = ["case", "server", "alone p50 ms", "p99 ms", "beside p50 ms", "p99 ms", "max ms", "p99 ratio", "failed", "hostile answers"]


def main():
    procs.end_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--servers", nargs="+", choices=["stator", "llama-server"], default=["stator", "llama-server"])
    parser.add_argument("--seconds", type=float, default=10, help="of each phase")
    parser.add_argument("--timeout", type=float, default=60, help="of the small client, seconds")
    parser.add_argument("--quick", action="store_true", help="phases of 3 seconds")
    parser.add_argument("--markdown")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.quick:
        options.seconds = 3
    kinds = {"stator": Stator, "llama-server": LlamaServer}
    print(procs.machine(), f"{options.seconds:g} s a phase", sep="; ", flush=True)
    rows, notes = [], []
    with contextlib.ExitStack() as stack:
        options.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        for case in options.cases:
            for name in options.servers:
                try:
                    rows.append(measure(kinds[name], case, options))
                    print("  " + "  ".join(report.cell(value) for value in rows[-1]), file=sys.stderr, flush=True)
                except (procs.Unavailable, OSError, subprocess.SubprocessError) as error:
                    notes.append(f"{case}, {name}: {error}")
    print(report.text_table(HEAD, rows))
    for note in notes:
        print(note)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(report.markdown_table(HEAD, rows) + "\n")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump([dict(zip(HEAD, row)) for row in rows], file, indent=1)


if __name__ == "__main__":
    main()
