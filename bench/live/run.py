#!/usr/bin/env python3
"""bench/live/run.py: real workers, real cache: what a routing policy does to conversations that share system messages.

Two llama workers with the demo model, one core and a small KV cache each, so that the shared beginnings of all conversations do
not fit one worker but fit the two together. Each round starts a fresh deployment for each policy in turn and sends both the
same conversations (`stator bench`, same seed). Ratios are taken round by round against the first policy, so a machine that slows
down slows both. After each run the router's own predictions are compared with what happened.
Prints a table; --markdown and --json write files.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import procs, report, servers  # noqa: E402

PROGRAM = os.environ.get("STATOR_BIN") or os.path.join(servers.ROOT, "build", "stator")


class Llamas(servers.Server):
    name = "Stator"
    model = "demo"

    def __init__(self, policy, cells):
        super().__init__()
        self.policy, self.cells = policy, cells

    def launch(self):
        self.spawn("stator", [PROGRAM, "serve", "--workers", 2, "--threads", 1, "--context-length", self.cells, "--policy",
                              self.policy, "--port", self.port])


def predictions(server):
    """[(predicted, actual) TTFT in ms] of the requests the frontend remembers; [] where it predicts nothing."""
    try:
        with urllib.request.urlopen(f"{server.url}/stator/requests", timeout=10) as answer:
            requests = json.load(answer)["requests"]
    except (OSError, KeyError, ValueError):
        return []
    pairs = [(r.get("predicted", {}).get("ttft_ms"), r.get("actual", {}).get("ttft_ms")) for r in requests]
    return [(p, a) for p, a in pairs if p and a]


def run_once(policy, options, seed):
    with Llamas(policy, options.cells) as server:
        command = [PROGRAM, "bench", server.url, "--json", "--seed", seed, "--requests", options.requests, "--clients",
                   options.clients, "--turns", options.turns, "--prefix-tokens", options.prefix, "--prefix-groups",
                   options.groups, "--prompt-tokens", options.prompt, "--output-tokens", options.output, "--think-time",
                   options.think, "--warmup", options.warmup]
        run = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
        result = json.loads(run.stdout)
        result["predictions"] = predictions(server)
    if result["failed"]:
        raise procs.Unavailable(f"{policy}: {result['failed']} requests failed: {result['errors']}")
    return result


def near(pairs):
    """Share of predictions within 25 % or 5 ms of what happened."""
    return sum(abs(p - a) <= max(0.25 * a, 5) for p, a in pairs) / len(pairs) if pairs else None


def row(policy, results, base):
    ttft = [r["ttft_ms"]["mean"] for r in results]
    cached = [r["cached_tokens"] / r["prompt_tokens"] for r in results]
    against = [r["cached_tokens"] / r["prompt_tokens"] for r in base]
    pairs = [pair for r in results for pair in r["predictions"]]
    return [policy, statistics.median(ttft), statistics.median(r["ttft_ms"]["p99"] for r in results),
            statistics.median(r["e2e_ms"]["mean"] for r in results), statistics.median(cached),
            statistics.median(t / b["ttft_ms"]["mean"] for t, b in zip(ttft, base)),
            statistics.median(c / a if a else 0.0 for c, a in zip(cached, against)), near(pairs)]


def main():
    procs.end_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", default="round-robin,kv", help="the first is what the others are compared with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=160)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--prefix", type=int, default=300)
    parser.add_argument("--groups", type=int, default=18)
    parser.add_argument("--prompt", default="20-40")
    parser.add_argument("--output", default="16")
    parser.add_argument("--think", default="200ms")
    parser.add_argument("--warmup", default="60s", help="not counted: the first time each beginning is seen it is computed anyway")
    parser.add_argument("--cells", type=int, default=2560, help="KV cells of each worker")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each round has the next")
    parser.add_argument("--markdown")
    parser.add_argument("--json")
    options = parser.parse_args()
    policies = options.policies.split(",")
    print(procs.machine())
    results = {policy: [] for policy in policies}
    try:
        for number in range(options.rounds):
            for policy in policies:
                result = run_once(policy, options, options.seed + number)
                results[policy].append(result)
                print(f"  round {number + 1} {policy}: TTFT {result['ttft_ms']['mean']:.0f} ms, cached "
                      f"{100 * result['cached_tokens'] / result['prompt_tokens']:.0f} %", flush=True)
    except (procs.Unavailable, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bench/live: {error}")
    head = ["policy", "TTFT mean ms", "TTFT p99 ms", "whole answer ms", "cached share", "TTFT ratio", "cached ratio",
            "predictions within 25 % or 5 ms"]
    rows = [row(policy, results[policy], results[policies[0]]) for policy in policies]
    print(report.text_table(head, rows))
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(report.markdown_table(head, rows) + "\n")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
