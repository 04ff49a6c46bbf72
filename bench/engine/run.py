#!/usr/bin/env python3
"""bench/engine/run.py: tokens per second of one llama worker behind the frontend, beside llama-server of the same build.

Same model, threads, context and requests: greedy streaming completions of 64 tokens after unique prompts of about 100,
by 1, 4 and 8 clients on kept connections. "empty": a fresh process; "full": after so many other prompts that every KV
cell was used. Rates are the tokens that usage reports over the wall time from the first request to the last token.
llama-server comes from "scripts/llama build --server".
"""

import argparse
import http.client
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import procs, report, servers  # noqa: E402

WORDS = "time people water stone river mountain house music letter window garden paper machine winter teacher bread".split()
PROMPT_WORDS, TOKENS, SLOTS = 100, 64, 8


class StatorLlama(servers.Server):
    name = "Stator"
    model = "demo"

    def __init__(self, threads, context):
        super().__init__()
        self.threads, self.context = threads, context

    def launch(self):
        program = os.environ.get("STATOR_BIN") or os.path.join(servers.ROOT, "build", "stator")
        self.spawn("stator", [program, "serve", servers.demo_model(), "--workers", 1, "--port", self.port, "--threads",
                              self.threads, "--context-length", self.context, f"--LlamaWorker.served-model-name={self.model}"])


class LlamaServer(servers.Server):
    name = "llama-server"
    model = "demo"

    def __init__(self, threads, context):
        super().__init__()
        self.threads, self.context = threads, context

    def launch(self):
        program = os.path.join(servers.run_script(os.path.join(servers.ROOT, "scripts", "llama"), "dir"), "bin", "llama-server")
        if not os.path.exists(program):
            raise procs.Unavailable("llama-server is not built; run scripts/llama build --server")
        self.spawn("server", [program, "-m", servers.demo_model(), "--alias", self.model, "--port", self.port, "-t", self.threads,
                              "-c", self.context, "-np", SLOTS, "--kv-unified", "--no-webui"])


def prompt(rng):
    return " ".join(rng.choice(WORDS) for _ in range(PROMPT_WORDS))


def complete(connection, model, text):
    """Tokens of one streamed answer, as its usage says."""
    body = {"model": model, "prompt": text, "max_tokens": TOKENS, "min_tokens": TOKENS, "ignore_eos": True, "temperature": 0,
            "stream": True, "stream_options": {"include_usage": True}}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    if reply.status != 200:
        raise procs.Unavailable(f"answered {reply.status}: {reply.read(300)!r}")
    tokens = 0
    for line in reply:
        if line.startswith(b"data: {") and b'"usage"' in line:
            usage = json.loads(line[6:]).get("usage")
            tokens = usage["completion_tokens"] if usage else tokens
    return tokens


def load(server, clients, requests, seed):
    """Tokens per second of clients that each send requests one after another."""
    counts, errors = [0] * clients, []

    def client(i):
        rng = random.Random(seed * 1000 + i)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        try:
            for _ in range(requests):
                counts[i] += complete(connection, server.model, prompt(rng))
        except (OSError, ValueError, procs.Unavailable) as error:
            errors.append(error)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise procs.Unavailable(f"{server.name}: {errors[0]}")
    return sum(counts) / (time.monotonic() - began)


def measure(make, options):
    """{(cache, clients): tokens/s} of one server."""
    rates = {}
    for cache in options.caches:
        with make(options.threads, options.context) as server:
            load(server, 1, 1, 1)  # pages and buffers
            if cache == "full":
                load(server, SLOTS, options.context // (PROMPT_WORDS + TOKENS) // SLOTS + 1, 2)
            for clients in options.clients:
                rates[cache, clients] = load(server, clients, options.requests, 10 + clients)
                print(f"  {server.name}, {cache}, {clients} clients: {rates[cache, clients]:.1f} tokens/s", file=sys.stderr, flush=True)
    return rates


def main():
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=numbers, default=[1, 4, 8])
    parser.add_argument("--requests", type=int, default=6, help="of each client")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--caches", type=lambda text: text.split(","), default=["empty", "full"])
    parser.add_argument("--quick", action="store_true", help="2 requests of 1 and 4 clients, empty cache")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.requests, options.caches = [1, 4], 2, ["empty"]
    results = {}
    for make in (StatorLlama, LlamaServer):
        try:
            results[make.name] = measure(make, options)
        except procs.Unavailable as error:
            print(f"not measured: {make.name}: {error}")
    rows = []
    for cache in options.caches:
        for clients in options.clients:
            ours, theirs = (results.get(name, {}).get((cache, clients)) for name in ("Stator", "llama-server"))
            rows.append([cache, clients, ours, theirs, ours / theirs if ours and theirs else None])
    print(f"machine: {procs.machine()}, {options.threads} threads, context {options.context}")
    print(report.text_table(["cache", "clients", "Stator tokens/s", "llama-server tokens/s", "ratio"], rows))
    sys.exit(0 if "Stator" in results else 1)


if __name__ == "__main__":
    main()
