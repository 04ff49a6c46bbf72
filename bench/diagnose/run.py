#!/usr/bin/env python3
"""bench/diagnose/run.py: how fast stator diagnose reads logs, beside wc -l and grep -F -f of the same words on the same file.

The file is made of the collected logs of tests/logs, repeated (healthy ones 20 times as often as failing ones, and plain request
lines between them), on a disk cache that is warm. One core each (taskset). Peak memory is the largest resident set.
"""

import argparse
import os
import pathlib
import random
import re
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import procs, report, servers  # noqa: E402

LOGS = pathlib.Path(servers.ROOT) / "tests" / "logs"
SIGNATURES = pathlib.Path(servers.ROOT) / "data" / "log-signatures.yaml"


def make_log(path, size):
    rng = random.Random(5)
    names = [line.split()[:2] for line in (LOGS / "expected.txt").read_text().splitlines() if line and line[0] != "#"]
    healthy = [(LOGS / f"{n}.log").read_bytes() for n, want in names if want == "none"]
    failing = [(LOGS / f"{n}.log").read_bytes() for n, want in names if want != "none"]
    requests = b"".join(b'INFO:     10.0.%d.%d:%d - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
                        % (rng.randrange(256), rng.randrange(256), rng.randrange(1024, 65536)) for _ in range(2000))
    block = b"".join(rng.choice(healthy if rng.random() < 0.95 else failing) + (requests if i % 8 == 0 else b"")
                     for i in range(400))
    with open(path, "wb") as out:
        while out.tell() < size:
            out.write(block)
        return out.tell()


def words():
    """What grep looks for: the longest text of each pattern, as the diagnoser's pre-filter takes it."""
    found = set()
    for pattern in re.findall(r"""(?:- |match: \[|, )(?:'((?:[^']|'')+)'|"([^"]+)")""", SIGNATURES.read_text()):
        pieces = re.split(r"\{[^}]*\}", (pattern[0] or pattern[1]).replace("''", "'"))
        found.add(max(pieces, key=len))
    return "\n".join(sorted(w for w in found if len(w) >= 4)) + "\n"


def run(args, env=None):
    """(seconds, CPU seconds, peak resident MB) of one run on one core."""
    start = time.monotonic()
    # A file, since grep stops at its first match when its output goes to /dev/null.
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen(["taskset", "-c", "0", *args], stdout=out, env={**os.environ, **(env or {})})
        peak, ended = 0, 0
        while not ended:
            peak = max(peak, peak_kb(p.pid))
            time.sleep(0.01)
            ended, _, usage = os.wait4(p.pid, os.WNOHANG)
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, peak / 1024


def peak_kb(pid):
    """Of the program itself: wait4's figure counts what Python held when it forked."""
    try:
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
    except (OSError, AttributeError):
        return 0


def main():
    procs.end_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="100 MB, one run")
    options = parser.parse_args()
    mb, runs = (100, 1) if options.quick else (options.mb, options.runs)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        log, keys = os.path.join(folder, "x.log"), os.path.join(folder, "words")
        size = make_log(log, mb * 1000 * 1000)
        pathlib.Path(keys).write_text(words())
        C = {"LC_ALL": "C"}
        rows = []
        for name, args, env in (("stator diagnose", [os.environ.get("STATOR_BIN", os.path.join(servers.ROOT, "build", "stator")), "diagnose", log], None),
                                ("wc -l", ["wc", "-l", log], C),
                                ("grep -c -F -f", ["grep", "-c", "-F", "-f", keys, log], C),
                                ("grep -c -i -F -f", ["grep", "-c", "-i", "-F", "-f", keys, log], C)):
            run(args, env) if name == "stator diagnose" else None  # warm the disk cache
            best = min((run(args, env) for _ in range(runs)), key=lambda r: r[0])
            rows.append([name, best[0], size / 1e6 / best[0], best[1], best[2]])
    for row in rows:
        row.append(row[2] / rows[0][2])
    print(f"machine: {procs.machine()}; {size / 1e6:.0f} MB of logs, {runs} runs, the best")
    print(report.text_table(["program", "seconds", "MB/s", "CPU s", "peak MB", "against ours"], rows))


if __name__ == "__main__":
    main()
