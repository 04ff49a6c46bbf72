#!/usr/bin/env python3
"""bench/start/run.py: how long a mock deployment takes until it serves, and what the frontend holds in memory.

Ready: from starting the program until GET /v1/models lists the model, the median of some starts, with the byte
vocabulary (nothing to load) and with the demo model's. Idle stream: Pss of the frontend with 1,000 streams that wait for
their first token, less that without, divided by their number.
"""

import argparse
import json
import os
import resource
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import procs, report, servers  # noqa: E402

STEP_US_MAX = 60000000  # no token comes while this runs


def ready(tokenizer, runs):
    """(median ms until ready, Pss of the frontend in MB)."""
    times, memory = [], 0
    for _ in range(runs):
        with servers.Stator(workers=2, tokenizer=tokenizer) as server:
            times.append(server.ready_s * 1000)
            memory = procs.pss_kb(server.frontend_pid()) / 1024
    return statistics.median(times), memory


def open_stream(server, body):
    s = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    s.sendall(head.encode() + body)
    return s


def idle_stream_kb(streams):
    body = json.dumps({"model": "smol", "prompt": "hello there", "max_tokens": 100, "stream": True}).encode()
    with servers.Stator(workers=4, step_us=STEP_US_MAX, seqs=512) as server:
        pid = server.frontend_pid()
        before, fds = procs.pss_kb(pid), len(procs.fds_of(pid))
        sockets = [open_stream(server, body) for _ in range(streams)]
        end = time.monotonic() + 20
        while len(procs.fds_of(pid)) < fds + streams:
            if time.monotonic() > end:
                raise procs.Unavailable(f"the frontend took fewer than {streams} connections")
            time.sleep(0.05)
        settled = procs.pss_kb(pid)
        while True:  # requests are still being read: memory grows until all wait
            time.sleep(0.5)
            if procs.pss_kb(pid) == settled:
                break
            settled = procs.pss_kb(pid)
        for s in sockets:
            s.close()
        return (settled - before) / streams


def main():
    procs.end_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="3 starts")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.streams + 200), hard))
    runs = 3 if options.quick else options.runs
    rows = []
    try:
        for label, tokenizer in (("bytes", "mock-model"), ("demo model", None)):
            ms, memory = ready(tokenizer, runs)
            rows.append([label, ms, memory])
        print(f"machine: {procs.machine()}")
        print(report.text_table(["vocabulary", "ready ms", "frontend PSS MB"], rows))
        print(f"an idle stream holds {idle_stream_kb(options.streams):.1f} KB in the frontend ({options.streams} of them)")
    except procs.Unavailable as error:
        sys.exit(f"bench/start: {error}")


if __name__ == "__main__":
    main()
