#!/usr/bin/env python3
"""bench/engine/run.py: tokens a second of one llama worker against llama-server of the same llama.cpp build.

Both serve the demo model with the same threads and the same cells of KV; clients stream completions of 64 tokens, greedy, end
tokens ignored. 1, 4 and 8 clients; with an empty cache (every prompt new) and a full one (every prompt asked before). The
two are measured in turn, round by round, and the ratio is taken round by round, so a machine that slows down slows both.
`scripts/llama build --server` makes llama-server. Prints a table; --markdown and --json write files.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import procs, report, servers  # noqa: E402

TOKENS = 64
CELLS = 8192
WORDS = ("river stone window garden letter mountain silver morning thunder candle harbour forest orange "
         "winter bridge copper meadow lantern pocket island").split()


class StatorLlama(servers.Server):
    name = "Stator"
    model = "demo"

    def __init__(self, threads):
        super().__init__()
        self.threads = threads

    def launch(self):
        program = os.environ.get("STATOR_BIN") or os.path.join(servers.ROOT, "build", "stator")
        self.spawn("stator", [program, "serve", "--workers", 1, "--port", self.port, "--threads", self.threads,
                              "--context-length", CELLS])


class LlamaServer(servers.Server):
    name = "llama-server"
    model = "demo"

    def __init__(self, threads):
        super().__init__()
        self.threads = threads

    def launch(self):
        program = os.path.join(servers.run_script(os.path.join(servers.ROOT, "scripts", "llama"), "dir"), "bin", "llama-server")
        if not os.path.exists(program):
            raise procs.Unavailable(f"{program} is not built; run scripts/llama build --server")
        self.spawn("llama-server", [program, "-m", servers.demo_model(), "--alias", self.model, "--port", self.port, "-t",
                                    self.threads, "-c", CELLS, "-np", 8, "-kvu", "-fa", "on"])


def prompt(number):
    """About 50 tokens that begin differently for each number."""
    picked = [WORDS[(number * 7 + i * (number % 11 + 1)) % len(WORDS)] for i in range(40)]
    return f"{number}: " + " ".join(picked)


def stream(server, number):
    """One answer to its end; returns (tokens, seconds to the first)."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    body = {"model": server.model, "prompt": prompt(number), "max_tokens": TOKENS, "temperature": 0, "stream": True,
            "ignore_eos": True, "stream_options": {"include_usage": True}, "cache_prompt": True}
    began = time.monotonic()
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    reply, first, tokens = connection.getresponse(), None, None
    for line in reply:
        if not line.startswith(b"data: {"):
            continue
        if first is None:
            first = time.monotonic() - began
        usage = json.loads(line[6:]).get("usage")
        if usage:
            tokens = usage["completion_tokens"]
    connection.close()
    if tokens is None:
        raise procs.Unavailable(f"{server.name} answered {reply.status} without a usage")
    return tokens, first


def run_round(server, clients, numbers):
    """(tokens a second over all clients, median time to first token in ms)."""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda number: stream(server, number), numbers))
    seconds = time.monotonic() - began
    return sum(a[0] for a in answers) / seconds, 1000 * statistics.median(a[1] for a in answers)


def measure(pair, clients, full, rounds):
    """The two servers in turn; per round the same prompts for both."""
    rates, firsts = ([], []), ([], [])
    for i in range(rounds):
        base = 1000 * (i + 1) + clients * 100 if not full else 0
        numbers = [base + k for k in range(2 * clients)]
        for side, server in enumerate(pair):
            if full:
                for number in numbers:
                    stream(server, number)
            rate, first = run_round(server, clients, numbers)
            rates[side].append(rate)
            firsts[side].append(first)
    ratio = statistics.median(a / b for a, b in zip(*rates))
    return [clients, "full" if full else "empty", *(statistics.median(r) for r in rates), ratio,
            *(statistics.median(f) for f in firsts)]


def main():
    procs.end_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--markdown")
    parser.add_argument("--json")
    options = parser.parse_args()
    print(procs.machine(), f"{options.threads} threads", sep="; ")
    rows = []
    try:
        with StatorLlama(options.threads) as ours, LlamaServer(options.threads) as theirs:
            for pair in (ours, theirs):
                stream(pair, 999999)
            for full in (False, True):
                for clients in options.clients:
                    rows.append(measure((ours, theirs), clients, full, options.rounds))
                    print(" ", *map(report.cell, rows[-1]), flush=True)
    except (procs.Unavailable, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bench/engine: {error}")
    head = ["clients", "cache", "Stator tokens/s", "llama-server tokens/s", "ratio", "Stator TTFT ms", "llama-server TTFT ms"]
    print(report.text_table(head, rows))
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(report.markdown_table(head, rows) + "\n")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump([dict(zip(head, row)) for row in rows], file, indent=1)


if __name__ == "__main__":
    main()
