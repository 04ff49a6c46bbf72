#!/usr/bin/env python3
"""bench/diagnose/public.py: how often stator diagnose is right on logs that people published (tests/logs/public), sample by sample: of
the half that the diagnoser was built on and of the half held out.

right    the verdict, the line of the root cause told first, its class, and no second fatal
partly   the root is told, with another class, beside another fatal, or not first
unknown  it says that it failed or that it cannot tell, and does not show the root
wrong    the rest: called healthy, another cause, a fatal in a healthy log
"""

import argparse
import collections
import hashlib
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "logs" / "public"
# As they were collected.
SAMPLES = (("first", FOLDER / "cases.txt"), ("second", FOLDER / "cases-2.txt"))
SEED = 20261130
MOVED = {"sgl-rocm-jit", "ik-oops-nan"}  # held out once, looked at since: they count with the half built on
SCORES = ("right", "partly", "unknown", "wrong")

Case = collections.namedtuple("Case", "sample name source month layer verdict classes root text held")


def held_out(name):
    return name not in MOVED and hashlib.sha256(f"{SEED}:{name}".encode()).digest()[0] >> 7 == 1


def all_cases():
    return [case for sample, path in SAMPLES for case in cases(path, sample)]


def cases(path, sample=""):
    for part in re.split(r"^@ ", path.read_text(), flags=re.M)[1:]:
        head, text = part.split("\n", 1)
        name, source, month, layer, verdict, classes, root = (x.strip() for x in head.split(" | ", 6))
        yield Case(sample, name, source, month, layer, verdict, set(classes.split(",")), root, text.rstrip("\n") + "\n", held_out(name))


def diagnose(stator, text):
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        log.write(text)
        log.flush()
        p = subprocess.run([stator, "diagnose", "--json", log.name], capture_output=True, text=True)
    if p.returncode not in (0, 1, 3, 4):
        sys.exit(f"{stator} diagnose: exit status {p.returncode}: {p.stderr}")
    return json.loads(p.stdout)


def score(case, answer):
    lines = case.text.split("\n")
    told = [f for f in answer["findings"] if not f["harmless"] and f["severity"] != "info"]
    fatals = [f for f in told if f["severity"] == "fatal"]
    if case.verdict == "healthy":
        return "right" if not fatals and answer["verdict"] in ("healthy", "cannot-tell") else "wrong"

    def is_root(f):
        # A message may go on behind the line that it begins in: then the sentence holds it.
        return 0 < f["line"] <= len(lines) and (re.search(case.root, lines[f["line"] - 1]) or re.search(case.root, f["cause"]))

    if answer["verdict"] == "healthy" and case.verdict == "failed":
        return "wrong"
    if told and is_root(told[0]) and (fatals or case.verdict == "bad"):
        return "right" if told[0]["class"] in case.classes and len(fatals) <= 1 else "partly"
    if any(is_root(f) for f in told):
        return "partly"
    return "unknown" if answer["verdict"] in ("failed-unknown-cause", "cannot-tell") else "wrong"


def by_form(answer):
    return any("not in the catalogue" in f["cause"] for f in answer["findings"][:1])


def judge(stator, case):
    answer = diagnose(stator, case.text)
    return score(case, answer), answer


def counted(rows, held, sample=None):
    part = [r for r in rows if r[0].held == held and sample in (None, r[0].sample)]
    return len(part), collections.Counter(r[1] for r in part), sum(
        r[1] == "right" and r[0].verdict != "healthy" and not by_form(r[2]) for r in part)


def count_row(rows, held, sample):
    total, count, signed = counted(rows, held, sample)
    return (f"| {sample} | {'held out' if held else 'built on'} | {total} | {count['right']} ({100 * count['right'] / total:.0f} %) | "
            f"{signed} | {count['partly']} | {count['unknown']} | {count['wrong']} |\n")


def log_row(case, result):
    address = re.sub(r"^([^/]+/[^/]+)#(\d+)$", r"https://github.com/\1/issues/\2", case.source)
    address = address if "://" in address else f"https://{address}"
    # Which of those held out are not right is nobody's business who works on the rules.
    half, shown = ("held out", "counted above") if case.held else ("built on", result)
    return f"| {case.name} | [{case.source}]({address}) | {case.month} | {case.sample} | {half} | {shown} |\n"


def markdown(rows):
    text = """# `stator diagnose` on published logs

Written by `bench/diagnose/public.py --markdown`; the logs, their sources, how a coin splits them and the history of both samples are in
[tests/logs/public](../tests/logs/public/README.md). The figures that count are those of the halves held out: of them only these counts
were looked at while the rules and signatures were written.

- right: the verdict, the line of the root cause told first, its class, and no second fatal
- partly: the root is told, with another class, beside another fatal, or not first
- unknown: it is said that it failed, or that it cannot be told, and the root is not shown
- wrong: the rest, as a failure called healthy, another cause, a fatal in a healthy log

| sample | half | logs | right | of these named by a signature | partly | unknown | wrong |
|---|---|---|---|---|---|---|---|
"""
    for sample, _ in SAMPLES:
        text += "".join(count_row(rows, held, sample) for held in (False, True))
    text += "\n| log | source | of | sample | half | result |\n|---|---|---|---|---|---|\n"
    return text + "".join(log_row(case, result) for case, result, _ in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="what is not right, of the half built on")
    parser.add_argument("--file", type=pathlib.Path, help="other logs in the form of cases.txt")
    parser.add_argument("--markdown", action="store_true", help="the page docs/diagnose-public.md")
    options = parser.parse_args()
    stator = os.environ.get("STATOR_BIN", str(ROOT / "build" / "stator"))
    rows = []
    for case in [c._replace(held=False) for c in cases(options.file)] if options.file else all_cases():
        rows.append((case, *judge(stator, case)))
    if options.markdown:
        sys.stdout.write(markdown(rows))
        return 0
    for sample, held in itertools.product(dict.fromkeys(c.sample for c, _, _ in rows), (False, True)):
        total, count, signed = counted(rows, held, sample)
        if total > 0:
            print(f"{sample} {'held out' if held else 'built on'}: {total} logs: " + ", ".join(f"{count[s]} {s}" for s in SCORES)
                  + f"; of the right ones a signature names {signed}")
    for case, result, answer in rows:
        if options.show and not case.held and result != "right":
            print(f"\n{case.name}: {result}; verdict {answer['verdict']}; right: {sorted(case.classes)} /{case.root}/")
            for f in answer["findings"][:3]:
                print(f"    {f['severity']} {f['class']} :{f['line']} {f['cause'][:150]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
