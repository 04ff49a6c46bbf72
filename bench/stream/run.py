#!/usr/bin/env python3
"""bench/stream/run.py: what streaming costs the frontend, beside a bare write loop and NVIDIA Dynamo 1.6.1.

Load comes from wrk over loopback with keep-alive; workers are mock engines that take no time, with the demo vocabulary.
For each number of clients, length of prompt and endpoint it measures answers of 1 token and of 128: the difference is
what a streamed token costs, the first is what a request costs, and a line through the latter over the lengths gives the
fixed part. All servers are up at the same time and take turns, --rounds times; every figure is the median of its rounds, so
that a machine with other work on it disturbs all alike. With --step-us the mocks take time, tokens leave one by one, and
the bare loop writes at the same pace. Prints tables; --json and --markdown write them to files. With --quick a short run
that shows trends only. A long run can be cut into pieces, each with its --json, that --merge makes one table of.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
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


KIND = ("endpoint", "words", "clients", "max_tokens")


def merge_rounds(rounds):
    """Cells of several rounds to one: the median of each figure, and how far the CPU time spread."""
    kinds = {}
    for c in itertools.chain.from_iterable(rounds):
        kinds.setdefault(tuple(c[key] for key in KIND), []).append(c)
    merged = []
    for same in kinds.values():
        cell = dict(same[0])
        for key, value in cell.items():
            if key not in KIND and isinstance(value, (int, float)) and not isinstance(value, bool):
                values = [c[key] for c in same if c[key] is not None]
                cell[key] = sum(values) if key == "errors" else statistics.median(values)
        cell["cpu_us_rounds"] = [us for c in same for us in c.get("cpu_us_rounds", [c["cpu_us"]])]
        merged.append(cell)
    return merged


class AtOnce(servers.Stator):
    """Workers that send after every step, however short."""

    name = "Stator, each step sent"


class Bare(servers.BareWrite):
    """Its request says nothing, so one prompt length and endpoint are enough."""

    grid = {"endpoints": ["completions"], "words": [30]}


def open_servers(options, results, stack):
    """All that can run here, ready; a clear line for each that cannot."""
    makers = {"stator": lambda: servers.Stator(options.workers, options.step_us),
              "stator-at-once": lambda: AtOnce(options.workers, options.step_us, send_interval_us=0),
              "bare": lambda: Bare(options.chunk_bytes, 1, options.step_us, options.workers),
              "dynamo": lambda: servers.Dynamo(options.workers)}
    up = []
    for name in options.servers.split(","):
        try:
            server = stack.enter_context(makers[name]())
            server.pss_start_mb = procs.pss_kb(server.frontend_pid()) / 1024
            print(f"{server.name}: ready after {server.ready_s:.2f} s", file=sys.stderr, flush=True)
            up.append(server)
        except procs.Unavailable as error:
            results["notes"].append(str(error))
            print(f"not measured: {error}", file=sys.stderr, flush=True)
    return up


def run_rounds(options, results):
    with contextlib.ExitStack() as stack:
        up = open_servers(options, results, stack)
        rounds = {server.name: [] for server in up}
        for _ in range(options.rounds):
            for server in up:
                own = argparse.Namespace(**{**vars(options), **getattr(server, "grid", {})})
                rounds[server.name].append(measure_grid(server, own, results["notes"]))
        for server in up:
            cells = merge_rounds(rounds[server.name])
            kind = "bare" if isinstance(server, Bare) else "servers"
            results[kind].append({"name": server.name, "ready_s": server.ready_s, "pss_start_mb": server.pss_start_mb,
                                  "pss_mb": procs.pss_kb(server.frontend_pid()) / 1024, "cells": cells})


def merge_pieces(files, options, results):
    """The figures of pieces of one run: cells of one kind count as rounds of it, memory is the highest seen."""
    pieces = []
    for name in files:
        with open(name, encoding="utf-8") as file:
            pieces.append(json.load(file))
    results.update({key: pieces[0][key] for key in ("machine", "time")})
    results["notes"] = [note for piece in pieces for note in piece["notes"]]
    for kind in ("servers", "bare"):
        for name in dict.fromkeys(server["name"] for piece in pieces for server in piece[kind]):
            same = [server for piece in pieces for server in piece[kind] if server["name"] == name]
            cells = merge_rounds([server["cells"] for server in same])
            results[kind].append({"name": name, "cells": cells, "pss_mb": max(s["pss_mb"] for s in same),
                                  **{key: statistics.median(s[key] for s in same) for key in ("ready_s", "pss_start_mb")}})
    cells = [c for server in results["servers"] for c in server["cells"]]
    options.endpoints = list(dict.fromkeys(c["endpoint"] for c in cells))
    options.words, options.clients = (sorted({c[key] for c in cells}) for key in ("words", "clients"))


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
BARE_HEAD = ["beside a bare write loop", "clients", "bare token us", "token us", "ratio", "ratio, lowest round", "highest",
             "token user us", "tokens/send"]


def round_tokens(cells, clients, words):
    """CPU us of a token in each round."""
    one = find(cells, clients=clients, endpoint="completions", words=words, max_tokens=1)
    many = find(cells, clients=clients, endpoint="completions", words=words, max_tokens=TOKENS)
    return [(b - a) / (TOKENS - 1) for a, b in zip(one["cpu_us_rounds"], many["cpu_us_rounds"])] if one and many else []


def bare_rows(results, options):
    """A token beside a write of as many bytes, in the same rounds and at the same number of clients."""
    rows = []
    for server, clients in itertools.product(results["servers"], options.clients):
        token = token_cost(server["cells"], clients, "completions", options.words[0])
        for bare in results["bare"]:
            floor = token_cost(bare["cells"], clients, "completions", Bare.grid["words"][0])
            if not token or not floor:
                continue
            ratios = [x / y for x, y in zip(round_tokens(server["cells"], clients, options.words[0]),
                                            round_tokens(bare["cells"], clients, Bare.grid["words"][0])) if y > 0]
            rows.append([server["name"], clients, floor["cpu_us"], token["cpu_us"], token["cpu_us"] / floor["cpu_us"],
                         min(ratios, default=None), max(ratios, default=None), token["user_us"], token["join"]])
    return rows


def tables(results, options):
    grid = [row for server in results["servers"] for row in grid_rows(server["cells"], options)]
    return [("Summary", SUMMARY_HEAD, summary_rows(results, options)), ("Against a bare write loop", BARE_HEAD,
            bare_rows(results, options)), ("Every load", GRID_HEAD, grid)]


def parse_options():
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=numbers, default=[1, 16, 64], help="1,16,64")
    parser.add_argument("--words", type=numbers, default=[30, 1000, 10000], help="lengths of prompts: 30,1000,10000")
    parser.add_argument("--endpoints", type=lambda text: text.split(","), default=["completions", "chat"])
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="turns of all servers")
    parser.add_argument("--step-us", type=int, default=0, help="time a step of Stator's mock engine takes, and the bare loop's pace")
    parser.add_argument("--chunk-bytes", type=int, default=190, help="of an event of the bare write loop")
    parser.add_argument("--servers", default="stator,bare,dynamo", help="of stator, stator-at-once (--send-interval-us 0), bare, dynamo")
    parser.add_argument("--quick", action="store_true", help="2 s, 1 and 16 clients, 30 and 1,000 words, without Dynamo")
    parser.add_argument("--merge", nargs="+", metavar="JSON", help="measure nothing; make the tables of what pieces wrote")
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--markdown", help="write the tables to this file")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.clients, options.words, options.servers, options.rounds = 2, [1, 16], [30, 1000], "stator,bare", 1
    return options


def main():
    procs.end_on_sigterm()
    options = parse_options()
    results = {"machine": procs.machine(), "time": time.strftime("%Y-%m-%d"), "command": " ".join(sys.argv[1:]),
               "servers": [], "bare": [], "notes": []}
    if options.merge:
        merge_pieces(options.merge, options, results)
    else:
        run_rounds(options, results)
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
