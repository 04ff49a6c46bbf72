#!/usr/bin/env python3
"""bench/replay/run.py [TABLE...]: the router in simulation, beside NVIDIA Dynamo's own replay on the same trace and engines.

Tables: fidelity, better, eviction, unequal, frontends (all by default). Dynamo's rows come from bench/replay/dynamo.json, which
says when and with what they were made; --dynamo makes them again (bench/dynamo/setup.sh first; three minutes). Ours are run
anew each time, a second each. --trace raw|jittered limits to one. Exit status 1 when a bar is missed.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TRACE = ROOT / "bench/traces/conversation_trace.jsonl"
STATOR = os.environ.get("STATOR_BIN", str(ROOT / "build/stator"))
ROWS = HERE / "dynamo.json"
TUNED = "dynamo-kv:prefill_load_scale=16,overlap_score_credit=1.3,router_queue_threshold=0.25,wspt"
POINTS = [(8, 1), (8, 2), (8, 4), (8, 6), (4, 1), (4, 2), (4, 3), (4, 4)]
BELOW = {(8, 1), (8, 2), (8, 4), (4, 1), (4, 2)}  # saturation
# Mean TTFT against Dynamo's default, and against its best setting found.
BAR_DEFAULT = {(8, 1): 0.95, (8, 2): 0.91, (8, 4): 0.78, (8, 6): 0.42, (4, 1): 0.94, (4, 2): 0.82, (4, 3): 0.15}
BAR_TUNED = {p: 1.01 for p in BELOW} | {(8, 6): 0.80}
BAR_E2E = {p: 1.0 for p in BAR_DEFAULT} | {(8, 4): 0.90}
missed = []


def sim(*flags):
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as out:
        done = subprocess.run([STATOR, "sim", "--json", "--requests-out", out.name, *map(str, flags)],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"stator sim {' '.join(map(str, flags))}: {done.stderr.strip()}")
        row = json.loads(done.stdout)
        row["longest_ms"] = max(json.loads(line)["ttft_ms"] or 0 for line in out)
        return row


def on(trace, workers, speed, policy, *flags):
    jitter = ("--jitter-ms", 3000) if trace == "jittered" else ()
    return sim("--trace", TRACE, *jitter, "--workers", workers, "--speed", speed, "--policy", policy, *flags)


def dynamo_rows(traces):
    with open(ROWS) as f:
        data = json.load(f)
    print(f"Dynamo's rows: {data['peer']}, {data['engine']}, made {data['date']}\n")
    return {(r["trace"], r["setting"], r["workers"], r["speed"]): r for r in data["rows"] if r["trace"] in traces}


def bar(ok, what):
    if not ok:
        missed.append(what)
    return "" if ok else " **missed**"


def head(*columns):
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns), flush=True)


def line(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |", flush=True)


def fidelity(traces, dynamo):
    print("### Fidelity: our simulator with Dynamo's rules against Dynamo's replay (ours / Dynamo's)\n")
    head("point", "policy", "mean TTFT ms", "mean TPOT ms", "mean e2e ms", "reuse", "worst ratio")
    for trace in traces:
        for workers, speed in POINTS:
            for policy, setting, limit in (("round-robin", "round_robin", 0.02), ("dynamo-kv", "default", 0.05)):
                ours, theirs = on(trace, workers, speed, policy), dynamo[trace, setting, workers, speed]
                pairs = [(ours[k]["mean"], theirs[k]["mean"]) for k in ("ttft_ms", "tpot_ms", "e2e_ms")]
                pairs.append((ours["reuse"], theirs["reuse_first"]))
                worst = max((abs(a / b - 1), a / b) for a, b in pairs)[1]
                counted = speed != 6 and (workers, speed) != (4, 3)
                if policy == "dynamo-kv":
                    counted = (workers, speed) in BELOW
                note = bar(abs(worst - 1) <= limit, f"fidelity {trace} {workers}w x{speed} {policy}") if counted else ""
                line(f"{trace} {workers}w x{speed}", policy, *(f"{a:.4g} / {b:.4g}" for a, b in pairs), f"{worst:.4f}{note}")
    print()


def better(traces, dynamo):
    print("### Better than Dynamo, without a knob (its rows from its own replay)\n")
    head("point", "rule", "TTFT mean", "p50", "p90", "p99", "longest", "TPOT", "e2e", "reuse")
    ratios = []
    for trace in traces:
        for workers, speed in POINTS:
            rows = [dynamo[trace, s, workers, speed] for s in ("default", "tuned")]
            ours = {e: on(trace, workers, speed, "finish-time", "--evict", e) for e in ("lru", "age-uses")}
            for name, r in (("Dynamo default", rows[0]), ("Dynamo tuned", rows[1]), ("finish-time", ours["lru"]),
                            ("finish-time, age-uses", ours["age-uses"])):
                t = r["ttft_ms"]
                line(f"{trace} {workers}w x{speed}", name, *(f"{t[k]:.0f}" for k in ("mean", "p50", "p90", "p99")),
                     f'{r.get("longest_ms") or t["max"]:.0f}', f'{r["tpot_ms"]["mean"]:.1f}', f'{r["e2e_ms"]["mean"]:.0f}',
                     f'{r.get("reuse_first", r["reuse"]):.3f}')
            ratios.append((trace, workers, speed, rows, ours["lru"]))
    print("\nfinish-time (lru, as the peer) against Dynamo; in brackets what is asked for on the jittered trace\n")
    head("point", "mean TTFT / default", "mean TTFT / tuned", "p99 TTFT / tuned", "mean e2e / the better", "longest / tuned")
    for trace, workers, speed, (default, tuned), ours in ratios:
        point, name = (workers, speed), f"{trace} {workers}w x{speed}"
        judged = trace == "jittered"

        def ratio(value, limit, what):
            text = f"{value:.3f}"
            return f"{text} [{limit}]{bar(round(value, 3) <= limit, name + ' ' + what)}" if limit and judged else text

        line(name, ratio(ours["ttft_ms"]["mean"] / default["ttft_ms"]["mean"], BAR_DEFAULT.get(point), "default"),
             ratio(ours["ttft_ms"]["mean"] / tuned["ttft_ms"]["mean"], BAR_TUNED.get(point), "tuned"),
             ratio(ours["ttft_ms"]["p99"] / tuned["ttft_ms"]["p99"], 1.02 if point in BELOW else None, "p99"),
             ratio(ours["e2e_ms"]["mean"] / min(default["e2e_ms"]["mean"], tuned["e2e_ms"]["mean"]), BAR_E2E.get(point), "e2e"),
             ratio(ours["longest_ms"] / tuned["ttft_ms"]["max"], 0.5 if point == (4, 4) else None, "longest"))
    print()


def eviction(traces, _dynamo):
    print("### Eviction: age divided by uses against LRU (finish-time)\n")
    head("point", "reuse lru", "reuse age-uses", "mean TTFT lru", "age-uses", "ratio")
    for trace in traces:
        for workers, speed in ((8, 1), (8, 2), (8, 4), (4, 1), (4, 2)):
            lru, uses = (on(trace, workers, speed, "finish-time", "--evict", e) for e in ("lru", "age-uses"))
            judged = trace == "jittered" and (workers, speed) == (8, 1)
            note = bar(uses["reuse"] >= 0.255, "eviction") if judged else ""
            line(f"{trace} {workers}w x{speed}", f'{lru["reuse"]:.4f}', f'{uses["reuse"]:.4f}{note}', f'{lru["ttft_ms"]["mean"]:.1f}',
                 f'{uses["ttft_ms"]["mean"]:.1f}', f'{uses["ttft_ms"]["mean"] / lru["ttft_ms"]["mean"]:.3f}')
    print()


WRONG = [
    ("nothing wrong", []),
    ("half of the workers at half speed", ["--worker-speed", "1,0.5"]),
    ("single workers 30 % off, each way", ["--worker-speed", "1,1.3,0.7,1,1.3,0.7,1,1"]),
    ("events 1 s late", ["--events-late-ms", 1000]),
    ("5 % of a foreign engine's events lost", ["--events-lost", 0.05]),
    ("one worker says its steps take a third of the time", ["--fault", "lie=3*0.333"]),
    ("one worker says its steps take three times as long", ["--fault", "lie=3*3"]),
    ("a new empty worker joins at 600 s", ["--fault", "join=5@600"]),
    ("a worker dies at 600 s", ["--fault", "die=5@600"]),
]
OTHERS = ["dynamo-kv", TUNED, "least-loaded", "p2c", "round-robin"]


def unequal(_traces, _dynamo):
    print("### Unequal and wrong (jittered trace, 8 workers x2; mean TTFT ms, all in our simulator)\n")
    head("what", "finish-time", *(("dynamo tuned" if p == TUNED else p) for p in OTHERS), "finish-time / the best other")
    for what, flags in WRONG:
        ours = on("jittered", 8, 2, "finish-time", *flags)["ttft_ms"]["mean"]
        others = [on("jittered", 8, 2, p, *flags)["ttft_ms"]["mean"] for p in OTHERS]
        ratio = ours / min(others)
        note = bar(ratio <= 1.05, "unequal: " + what)
        if "half speed" in what:
            note += bar(ours / others[0] <= 0.75, "half speed against dynamo-kv") + f" ({ours / others[0]:.3f} of dynamo-kv [0.75])"
        line(what, f"{ours:.1f}", *(f"{o:.1f}" for o in others), f"{ratio:.3f}{note}")
    print()


def frontends(_traces, _dynamo):
    print("### Several frontends, which know of each other only by step reports (jittered trace, finish-time)\n")
    head("frontends", *(f"8w x{s}: mean / p99 TTFT, reuse" for s in (1, 2, 4)))
    for n in (1, 2, 4, 8):
        rows = [on("jittered", 8, s, "finish-time", "--frontends", n) for s in (1, 2, 4)]
        line(n, *(f'{r["ttft_ms"]["mean"]:.0f} / {r["ttft_ms"]["p99"]:.0f}, {r["reuse"]:.3f}' for r in rows))
    print()


def dynamo_again():
    dir = subprocess.run([ROOT / "bench/dynamo/setup.sh"], capture_output=True, text=True, check=True).stdout.strip()
    ROWS.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        jittered = os.path.join(tmp, "jittered.jsonl")
        subprocess.run([STATOR, "sim", "--trace", TRACE, "--jitter-ms", "3000", "--save-trace", jittered], check=True)
        for name, path in (("jittered", jittered), ("raw", TRACE)):
            subprocess.run([f"{dir}/venv/bin/python", HERE / "dynamo_rows.py", path, name, ROWS], check=True)


def main():
    tables = {f.__name__: f for f in (fidelity, better, eviction, unequal, frontends)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="*", choices=[*tables, []], help="default: all")
    parser.add_argument("--dynamo", action="store_true", help="make Dynamo's rows again")
    parser.add_argument("--trace", choices=["raw", "jittered"])
    args = parser.parse_args()
    if args.dynamo:
        dynamo_again()
    traces = [args.trace] if args.trace else ["jittered", "raw"]
    rows = dynamo_rows(traces)
    for name in args.table or tables:
        tables[name](traces, rows)
    print("missed: " + "; ".join(missed) if missed else "every bar is met")
    return 1 if missed else 0


sys.exit(main())
