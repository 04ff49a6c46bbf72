#!/usr/bin/env python3
"""bench/stream/run.py: what streaming costs the frontend, beside a bare write loop and NVIDIA Dynamo 1.6.1.

Load comes from wrk over loopback with keep-alive; workers are mock engines that take no time, with the demo vocabulary.
For each number of clients, length of prompt and endpoint it measures answers of 1 token and of 128: the difference is
what a streamed token costs, the first is what a request costs, and a line through the latter over the lengths gives the
fixed part. Prints tables; --json and --markdown write them to files. With --quick a short run that shows trends only.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import procs, report, servers  # noqa: E402

TOKENS = 128
LUA = os.path.join(servers.BENCH, "stream", "load.lua")


def wrk(server, clients, seconds, endpoint, words, max_tokens, shape="unique"):
    """One run of wrk: its RESULT line as a dict."""
    argv = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "--latency", "-s", LUA, server.url, "--",
            endpoint, str(words), str(max_tokens), server.model, shape]
    run = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    for line in run.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    raise procs.Unavailable("wrk failed: " + run.stdout.strip()[-300:])


def measure(server, clients, seconds, endpoint, words, max_tokens, shape="unique"):
    """CPU of the frontend a request (microseconds, user and system), latency and rates of one kind of load."""
    pid = server.frontend_pid()
    wrk(server, clients, 1, endpoint, words, max_tokens, shape)  # warm: pages, caches, connections
    cpu, sends = procs.cpu_us(pid), procs.SendCount(server.port, seconds / 2)
    result = wrk(server, clients, seconds, endpoint, words, max_tokens, shape)
    user, system = (after - before for before, after in zip(cpu, procs.cpu_us(pid)))
    count = result["requests"]
    if not count:
        raise procs.Unavailable(f"no request was answered in {seconds} s")
    return {
        "server": server.name, "clients": clients, "endpoint": endpoint, "words": words, "shape": shape,
        "max_tokens": max_tokens, "requests": count, "errors": result["errors"], "user_us": user / count,
        "sys_us": system / count, "cpu_us": (user + system) / count, "send_bytes": sends.bytes_per_send(),
        "p50_us": result["p50_us"], "p99_us": result["p99_us"], "bytes": result["bytes"] / count,
        "requests_s": count * 1e6 / result["duration_us"], "tokens_s": count * max_tokens * 1e6 / result["duration_us"],
    }


def measure_grid(server, options, notes):
    """Every combination; one that gives no answer becomes a note, not an end."""
    cells = []
    for endpoint, words, clients, max_tokens in itertools.product(options.endpoints, options.words, options.clients, (1, TOKENS)):
        try:
            cells.append(measure(server, clients, options.seconds, endpoint, words, max_tokens))
            say_cell(cells[-1])
        except procs.Unavailable as error:
            server.check()
            notes.append(f"{server.name}, {clients} clients, {endpoint}, {words} words, {max_tokens} tokens: {error}")
    return cells


def say_cell(c):
    print(f"  {c['server']}: {c['clients']} clients, {c['endpoint']}, {c['words']} words, {c['max_tokens']} tokens: "
          f"{c['cpu_us']:.0f} us a request, median {c['p50_us']} us, {c['tokens_s']:.0f} tokens/s"
          + (f", {c['errors']} ERRORS" if c["errors"] else ""), file=sys.stderr, flush=True)


def find(cells, **wanted):
    return next((c for c in cells if all(c[key] == value for key, value in wanted.items())), None)


def token_cost(cells, clients, endpoint, words):
    """Per streamed token: user, system and all CPU (us), bytes, and how many left in one send; from the answers of 1 and of 128 tokens."""
    one = find(cells, clients=clients, endpoint=endpoint, words=words, max_tokens=1)
    many = find(cells, clients=clients, endpoint=endpoint, words=words, max_tokens=TOKENS)
    if not one or not many:
        return None
    token = {key: (many[key] - one[key]) / (TOKENS - 1) for key in ("user_us", "sys_us", "cpu_us", "bytes")}
    token["join"] = max(many["send_bytes"] / token["bytes"], 1.0) if many["send_bytes"] and token["bytes"] > 0 else None
    return token


def grid_rows(cells, options):
    rows = []
    for endpoint in options.endpoints:
        for words in options.words:
            for clients in options.clients:
                one = find(cells, clients=clients, endpoint=endpoint, words=words, max_tokens=1)
                many = find(cells, clients=clients, endpoint=endpoint, words=words, max_tokens=TOKENS)
                token = token_cost(cells, clients, endpoint, words)
                if not token:
                    continue
                rows.append([one["server"], endpoint, words, clients, one["user_us"], one["sys_us"], token["user_us"],
                             token["sys_us"], token["cpu_us"], token["join"], one["p50_us"] / 1000, one["p99_us"] / 1000,
                             one["requests_s"], many["tokens_s"], one["errors"] + many["errors"]])
    return rows


GRID_HEAD = ["server", "endpoint", "words", "clients", "request user us", "request sys us", "token user us", "token sys us",
             "token us", "tokens/send", "p50 ms", "p99 ms", "requests/s", "tokens/s", "errors"]


def fixed_cost(cells, endpoint, clients):
    """(intercept, slope) of the CPU of a one-token request over the length of its prompt."""
    ones = [c for c in cells if c["endpoint"] == endpoint and c["clients"] == clients and c["max_tokens"] == 1]
    return report.line_fit([(c["words"], c["cpu_us"]) for c in ones])


def bare_cells(options, chunk_bytes, join):
    """The yardstick under the same load; its request says nothing, so one prompt length is enough."""
    with servers.BareWrite(chunk_bytes, join) as server:
        cells = []
        for clients in options.clients:
            for max_tokens in (1, TOKENS):
                cells.append(measure(server, clients, options.seconds, "completions", options.words[0], max_tokens))
                say_cell(cells[-1])
        return cells


def run_server(make, options, results):
    """All figures of one server; None and a clear line when it cannot run here."""
    try:
        with make() as server:
            print(f"{server.name}: ready after {server.ready_s:.2f} s", file=sys.stderr, flush=True)
            pss_start_mb = procs.pss_kb(server.frontend_pid()) / 1024
            cells = measure_grid(server, options, results["notes"])
            results["servers"].append({"name": server.name, "ready_s": server.ready_s, "pss_start_mb": pss_start_mb,
                                       "pss_mb": procs.pss_kb(server.frontend_pid()) / 1024, "cells": cells})
            return cells
    except procs.Unavailable as error:
        results["notes"].append(str(error))
        print(f"not measured: {error}", file=sys.stderr, flush=True)
        return None


def summary_rows(results, options):
    """One row a server: the figures that have targets."""
    bare = results["bare"][0]["cells"] if results["bare"] else []
    few, many, words = options.clients[0], options.clients[-1], options.words[0]
    floor = find(bare, clients=few, max_tokens=1)
    rows = []
    for server in results["servers"]:
        cells = server["cells"]
        row = [server["name"]]
        for endpoint in ("completions", "chat"):
            fit = fixed_cost(cells, endpoint, few)
            row += [fit[0] / 1000, fit[1]] if fit else [None, None]
        one = find(cells, clients=few, endpoint="completions", words=words, max_tokens=1)
        token = token_cost(cells, many, "completions", words)
        row += [token["user_us"] if token else None, token["cpu_us"] if token else None]
        row += [(one["p50_us"] - floor["p50_us"]) / 1000 if one and floor else None, server["pss_start_mb"],
                server["pss_mb"], server["ready_s"] * 1000]
        rows.append(row)
    return rows


SUMMARY_HEAD = ["server", "completion fixed ms", "+ us/word", "chat fixed ms", "+ us/word", "token user us", "token us",
                "added median ms", "PSS MB at start", "PSS MB at end",
                "ready ms"]
BARE_HEAD = ["bare write loop", "clients", "join", "chunk bytes", "token us", "Stator token us", "ratio", "Stator user us"]


def bare_rows(results, options):
    """Stator's token beside a write of the same bytes, in the same run and at the same number of clients."""
    ours = next((s["cells"] for s in results["servers"] if s["name"] == "Stator"), [])
    rows = []
    for bare in results["bare"]:
        for clients in options.clients:
            floor = token_cost(bare["cells"], clients, "completions", options.words[0])
            token = token_cost(ours, clients, "completions", options.words[0]) if ours else None
            row = ["", clients, bare["join"], bare["chunk_bytes"], floor["cpu_us"]]
            row += [token["cpu_us"], token["cpu_us"] / floor["cpu_us"], token["user_us"]] if token else [None] * 3
            rows.append(row)
    return rows


def tables(results, options):
    grid = [row for server in results["servers"] for row in grid_rows(server["cells"], options)]
    return [("Summary", SUMMARY_HEAD, summary_rows(results, options)), ("Against a bare write loop", BARE_HEAD,
            bare_rows(results, options)), ("Every load", GRID_HEAD, grid)]


def joins(results, options):
    """How many chunks the yardstick joins in one write: 1, and what the frontend joined at each number of clients."""
    ours = next((s["cells"] for s in results["servers"] if s["name"] == "Stator"), [])
    tokens = [token_cost(ours, clients, "completions", options.words[0]) for clients in options.clients]
    tokens = [token for token in tokens if token and token["join"]]
    chunk_bytes = max(16, min(round(tokens[0]["bytes"]), 4000)) if tokens else 220
    return sorted({1, *(min(round(token["join"]), 128) for token in tokens)}), chunk_bytes


def parse_options():
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=numbers, default=[1, 16, 64], help="1,16,64")
    parser.add_argument("--words", type=numbers, default=[30, 1000, 10000], help="lengths of prompts: 30,1000,10000")
    parser.add_argument("--endpoints", type=lambda text: text.split(","), default=["completions", "chat"])
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--step-us", type=int, default=0, help="time a step of Stator's mock engine takes")
    parser.add_argument("--servers", default="stator,dynamo", help="stator,dynamo")
    parser.add_argument("--quick", action="store_true", help="2 s, 1 and 16 clients, 30 and 1,000 words, without Dynamo")
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--markdown", help="write the tables to this file")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.clients, options.words, options.servers = 2, [1, 16], [30, 1000], "stator"
    return options


def main():
    procs.end_on_sigterm()
    options = parse_options()
    results = {"machine": procs.machine(), "time": time.strftime("%Y-%m-%d"), "command": " ".join(sys.argv[1:]),
               "servers": [], "bare": [], "notes": []}
    wanted = options.servers.split(",")
    if "stator" in wanted:
        run_server(lambda: servers.Stator(options.workers, options.step_us), options, results)
    join_list, chunk_bytes = joins(results, options)
    for join in join_list:
        results["bare"].append({"join": join, "chunk_bytes": chunk_bytes, "cells": bare_cells(options, chunk_bytes, join)})
    if "dynamo" in wanted:
        run_server(lambda: servers.Dynamo(options.workers), options, results)
    shown = tables(results, options)
    print(f"machine: {results['machine']}")
    for title, head, rows in shown:
        print(f"\n{title}\n{report.text_table(head, rows)}")
    for note in results["notes"]:
        print(f"not measured: {note}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write("\n\n".join(f"### {title}\n\n{report.markdown_table(head, rows)}" for title, head, rows in shown) + "\n")
    failed = [note for note in results["notes"] if "Dynamo" not in note]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
