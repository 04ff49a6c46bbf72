#!/usr/bin/env python3
"""bench/memory/run.py: predicted against real memory of a llama worker (PSS), idle and after a long prompt.

One worker of the demo model for each context size (and KV type), read from /proc/PID/smaps_rollup; then a prompt of 1,500
tokens through a frontend, read again. The prediction is what model/memory.c says (build/bench/memory/predict prints it).
Exit status 1 when one is further off than --limit (5 %).
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
STATOR = os.environ.get("STATOR_BIN", str(TOP / "build/stator"))
PREDICT = os.environ.get("STATOR_PREDICT", str(TOP / "build/bench/memory/predict"))


def pss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no Pss in smaps_rollup")


def start(args):
    """A child with a status pipe; returns it once it says that it is ready."""
    read, write = os.pipe()
    child = subprocess.Popen([STATOR, *args, "--status-fd", str(write), "--log-level", "error"], pass_fds=[write])
    os.close(write)
    said = b""
    while b"ready" not in said:
        piece = os.read(read, 4096)
        if not piece:
            raise RuntimeError(f"{args[0]} ended before it was ready: {said!r}")
        said += piece
    return child, read, said


def ask(port, words):
    body = {"model": "demo", "prompt": "one two " * (words // 2), "max_tokens": 8}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["usage"]["prompt_tokens"]


def free_port():
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def measure(model, context, kv):
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{folder}/w.sock"
        worker, r1, _ = start(
            ["worker", "-m", model, "-l", address, "-c", str(context), "--kv-type", kv, "--served-model-name", "demo"]
        )
        port = free_port()
        frontend = None
        try:
            idle = pss_bytes(worker.pid)
            frontend, r2, _ = start(["frontend", "-l", f"127.0.0.1:{port}", "-w", address])
            tokens = ask(port, 1500)
            return idle, pss_bytes(worker.pid), tokens
        finally:
            for child in (frontend, worker):
                if child:
                    child.terminate()
                    child.wait()


def table(model):
    """Print a row for each setting; returns the worst error in percent."""
    worst = 0
    print(f"{'context':>8} {'kv':>5} {'predicted':>10} {'idle':>10} {'after':>10}   MiB; error against after")
    for context, kv in ((2048, "f16"), (4096, "f16"), (8192, "f16"), (4096, "q8_0"), (8192, "q8_0")):
        predicted = int(subprocess.check_output([PREDICT, model, str(context), kv]).split()[0])
        idle, after, tokens = measure(model, context, kv)
        error = (predicted - after) / after * 100
        worst = max(worst, abs(error))
        print(
            f"{context:8} {kv:>5} {predicted / 2**20:10.1f} {idle / 2**20:10.1f} {after / 2**20:10.1f}   "
            f"{error:+.1f} % ({tokens} prompt tokens)"
        )
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=5.0, help="percent")
    args = parser.parse_args()
    demo = subprocess.run([TOP / "scripts/model"], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:  # of its own: PSS divides pages among all that map the file
        worst = table(shutil.copy(demo, folder))
    print(f"memory: worst error {worst:.1f} %, limit {args.limit} %")
    return worst > args.limit


if __name__ == "__main__":
    sys.exit(main())
