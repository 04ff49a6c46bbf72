#!/usr/bin/env python3
"""bench/memory/starts.py: the planner's memory against what engines said at their start.

Reads bench/memory/starts/*.txt (README.md there says what the fields are), plans each start from its command line, the names of
its cards and its release with stator plan, and prints the table of docs/memory.md. --write FILE writes it, --check FILE fails when
FILE is not what would be written. Exit status 1 when a verdict has the wrong sign or the median error is above --limit (5 %).
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
STATOR = os.environ.get("STATOR_BIN", str(TOP / "build/stator"))
STARTS = TOP / "bench/memory/starts"
GIB = 1024**3
LOGGED = {"weights": "weights_bytes", "activation": "activations_bytes", "room": "kv_room_bytes"}


def read(path):
    words = shlex.split(path.read_text())
    start = {"name": words[0]}
    for word in words[1:]:
        key, value = word.split("=", 1)
        start[key] = value
    return start


def half(name):
    """The coin: no choice, and the same for everybody."""
    return "fit" if hashlib.sha256(name.encode()).digest()[0] & 1 else "held"


def plan(start):
    out = subprocess.run(
        [STATOR, "plan", "--json", "--plans", "1", "--allow-quantization", "none", "--gpus", start["cards"],
         "--engine-version", f"{start['engine']}={start['version']}", "--", *start["command"].split()],
        capture_output=True, text=True, check=False)
    if out.returncode not in (0, 1, 3):
        raise RuntimeError(f"{start['name']}: {out.stderr.strip()}")
    return json.loads(out.stdout)


def judge(start):
    answer = plan(start)
    service = answer["services"][0]
    memory = service.get("memory", {})
    start["verdict"] = answer["verdict"]
    start["memory"] = memory
    start["guesses"] = memory.get("guesses", [])
    start["nontorch_got"] = (memory.get("runtime_bytes", 0) + memory.get("links_bytes", 0)) / GIB
    start["half"] = half(start["name"])
    wrong = {"yes": "cannot", "no": "fits"}[start["starts"]]
    start["sign"] = "wrong" if answer["verdict"] == wrong else "right"
    return start


def pair(start, key, got):
    logged = start.get(key)
    if logged is None:
        return f"{got:.2f} / -"
    return f"{got:.2f} / {float(logged):.2f}"


def error(start):
    """Of the room for KV, in percent; None where the log has none, or nothing."""
    if "room" not in start or float(start["room"]) <= 0 or not start["memory"]:
        return None
    return (start["memory"]["kv_room_bytes"] / GIB / float(start["room"]) - 1) * 100


def row(start):
    memory = start["memory"]
    got = {key: memory.get(field, 0) / GIB for key, field in LOGGED.items()}
    apart = error(start)
    tokens = f"{memory.get('kv_tokens', 0)} / {start.get('tokens', '-')}"
    guesses = ", ".join(start["guesses"])
    return (f"| {start['name']} | {start['engine']} {start['version']} | {pair(start, 'weights', got['weights'])} "
            f"| {pair(start, 'activation', got['activation'])} | {pair(start, 'nontorch', start['nontorch_got'])} "
            f"| {pair(start, 'graphs', memory.get('graphs_bytes', 0) / GIB)} | {pair(start, 'room', got['room'])} "
            f"| {'' if apart is None else f'{apart:+.1f}'} | {tokens} | {start['starts']} | {start['verdict']} | {guesses} |")


HEAD = ["| start | engine | weights | activations | beside PyTorch | CUDA graphs | room for KV | % | KV tokens | starts | verdict | guesses |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|"]


def term_errors(starts, key, got):
    apart = [abs(got(s) - float(s[key])) for s in starts if key in s and s["memory"] and "rebuilt" not in s]
    return f"{statistics.median(apart):.2f} | {max(apart):.2f} | {len(apart)}" if apart else "- | - | 0"


def summary(starts):
    lines = ["| | starts | median error of the room for KV | within 5 % | within 10 % | verdict right | wrong | not checked |", "|---|---|---|---|---|---|---|---|"]
    for title, some in (("all", starts), ("fitted to", [s for s in starts if s["half"] == "fit"]),
                        ("held out", [s for s in starts if s["half"] == "held"])):
        errors = [abs(e) for e in map(error, some) if e is not None]
        wrong = sum(s["sign"] == "wrong" for s in some)
        unchecked = sum(s["verdict"] == "not-checked" for s in some)
        lines.append(f"| {title} | {len(some)} | {statistics.median(errors):.1f} % of {len(errors)} | {sum(e <= 5 for e in errors)} "
                     f"| {sum(e <= 10 for e in errors)} | {len(some) - wrong - unchecked} | {wrong} | {unchecked} |")
    return lines


def terms(starts):
    real = [s for s in starts if "rebuilt" not in s]
    byte = lambda field: lambda s: s["memory"][field] / GIB
    inside = [s for s in real if s["memory"].get("graphs_bytes")]
    return ["| term | median apart, GiB | largest | starts |", "|---|---|---|---|",
            f"| weights | {term_errors(real, 'weights', byte('weights_bytes'))} |",
            f"| activations | {term_errors(real, 'activation', byte('activations_bytes'))} |",
            f"| beside PyTorch | {term_errors(real, 'nontorch', lambda s: s['nontorch_got'])} |",
            f"| CUDA graphs (where they are inside the budget) | {term_errors(inside, 'graphs', byte('graphs_bytes'))} |",
            f"| room for KV | {term_errors(real, 'room', byte('kv_room_bytes'))} |"]


def page(starts):
    real = [s for s in starts if "rebuilt" not in s]
    rebuilt = [s for s in starts if "rebuilt" in s]
    text = (STARTS / "page.md").read_text()
    text = text.replace("@SUMMARY@", "\n".join(summary(real))).replace("@TERMS@", "\n".join(terms(starts)))
    for key, some in (("@HELD@", [s for s in real if s["half"] == "held"]), ("@FIT@", [s for s in real if s["half"] == "fit"]),
                      ("@REBUILT@", rebuilt)):
        text = text.replace(key, "\n".join(HEAD + [row(s) for s in some]))
    notes = [f"- {s['name']}: {s['from']}{'. ' + s['note'] if 'note' in s else ''}" for s in starts]
    return re.sub(r"@SOURCES@", lambda _: "\n".join(notes), text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("--check", metavar="FILE")
    parser.add_argument("--only", metavar="TEXT", help="starts whose name holds it; prints their rows alone")
    parser.add_argument("--half", choices=["fit", "held"])
    parser.add_argument("--limit", type=float, default=5.0)
    args = parser.parse_args()
    starts = [judge(read(p)) for p in sorted(STARTS.glob("*.txt")) if not args.only or args.only in p.name]
    if args.only or args.half:
        some = [s for s in starts if not args.half or s["half"] == args.half]
        print("\n".join(HEAD + [row(s) for s in some] + (summary(some) if not args.half and len(some) > 4 else [])))
        return 0
    text = page(starts)
    same = not args.check or pathlib.Path(args.check).read_text() == text
    if args.check:
        print(f"{args.check} is {'' if same else 'not '}what the starts give", file=sys.stderr)
    elif args.write:
        pathlib.Path(args.write).write_text(text)
    else:
        print(text)
    wrong = [s["name"] for s in starts if s["sign"] == "wrong"]
    errors = [abs(e) for s in starts if "rebuilt" not in s and (e := error(s)) is not None]
    print("\n".join(summary([s for s in starts if "rebuilt" not in s])), file=sys.stderr)
    if wrong:
        print("wrong: " + " ".join(wrong), file=sys.stderr)
    return 1 if not same or wrong or statistics.median(errors) > args.limit else 0


if __name__ == "__main__":
    sys.exit(main())
