#!/usr/bin/env python3
"""bench/engine/run.py: tokens a second of one llama worker against llama-server of the same llama.cpp release.

Both serve the demo model with the same threads, cells of KV, batch sizes and flash attention; clients stream completions of
64 tokens, greedy, end tokens ignored; 1, 4 and 8 clients. Three states of the cache:

  empty   both have just started; every prompt is new
  cached  both were asked 64 prompts of about 50 tokens before (7,300 of 8,192 cells with their answers), and are asked the last
          eight of them again. Stator keeps their cells; llama-server keeps 8 slots and, by default, older ones in host memory
  full    the same, but every prompt is new

The two are measured in turn in pieces of a second or a few, round by round, now the one first and now the other, and the
ratio is taken piece by piece: a machine that slows down slows both. The table has the median ratio and its quartiles.
`scripts/llama build --server` makes llama-server (as its makers build it, without our patches). --markdown and --json write
files.
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
FILL = 64
STATES = ("empty", "cached", "full")
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
                                    self.threads, "-c", CELLS, "-np", 8, "-kvu", "-fa", "on", "-b", 2048, "-ub", 512])


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
        if b'"completion_tokens"' in line:
            tokens = json.loads(line[6:])["usage"]["completion_tokens"]
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


def numbers_of(state, clients, prompt_round):
    """One wave of prompts, at least three."""
    count = max(clients, 3)
    if state == "cached":
        return [FILL - 1 - i % 8 for i in range(count)]
    return [1000 * (1 + STATES.index(state)) + 100000 * prompt_round + 20 * clients + i for i in range(count)]


def measure_piece(pair, state, clients, prompt_round, ret):
    """Both once, the same prompts; now the one first, now the other."""
    order = (0, 1) if prompt_round % 2 else (1, 0)
    numbers = numbers_of(state, clients, prompt_round)
    results = {side: run_round(pair[side], clients, numbers) for side in order}
    ret.setdefault((clients, state), []).append((results[0], results[1]))


def fresh(options, ret, prompt_round, clients):
    with StatorLlama(options.threads) as ours, LlamaServer(options.threads) as theirs:
        for server in (ours, theirs):
            stream(server, 999999)
        measure_piece((ours, theirs), "empty", clients, prompt_round, ret)


def filled(options, ret, states):
    with StatorLlama(options.threads) as ours, LlamaServer(options.threads) as theirs:
        for server in (ours, theirs):
            run_round(server, 8, range(FILL))
        for prompt_round in range(options.rounds):
            for state in states:
                for clients in options.clients:
                    measure_piece((ours, theirs), state, clients, prompt_round, ret)


def summary(clients, state, pairs):
    ratios = sorted(ours[0] / theirs[0] for ours, theirs in pairs)
    quartile = len(ratios) // 4
    return [clients, state, *(statistics.median(p[side][0] for p in pairs) for side in (0, 1)), statistics.median(ratios),
            f"{ratios[quartile]:.2f} to {ratios[-1 - quartile]:.2f}",
            *(statistics.median(p[side][1] for p in pairs) for side in (0, 1))]


def main():
    procs.end_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--states", nargs="+", choices=STATES, default=STATES)
    parser.add_argument("--quick", action="store_true", help="three rounds, without the empty state")
    parser.add_argument("--markdown")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.states = 3, [s for s in options.states if s != "empty"]
    print(procs.machine(), f"{options.threads} threads", f"{options.rounds} rounds", sep="; ", flush=True)
    pairs = {}
    try:
        if "empty" in options.states:
            for prompt_round in range(options.rounds):
                for clients in options.clients:
                    fresh(options, pairs, prompt_round, clients)
        states = [s for s in options.states if s != "empty"]
        if states:
            filled(options, pairs, states)
    except (procs.Unavailable, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bench/engine: {error}")
    rows = [summary(*key, pairs[key]) for key in pairs]
    rows.sort(key=lambda row: (STATES.index(row[1]), row[0]))
    head = ["clients", "cache", "Stator tokens/s", "llama-server tokens/s", "ratio", "quartiles", "Stator TTFT ms", "llama-server TTFT ms"]
    print(report.text_table(head, rows))
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(report.markdown_table(head, rows) + "\n")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump([dict(zip(head, row)) for row in rows], file, indent=1)


if __name__ == "__main__":
    main()
