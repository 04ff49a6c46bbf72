#!/usr/bin/env python3
"""dynamo_rows.py TRACE NAME OUT.json: Dynamo's own replay on one trace, one row a setting, workers and speed.

Runs in the environment bench/dynamo/setup.sh makes. Rows already in OUT.json are kept: a run that was stopped goes on.
"""
import datetime
import json
import os
import sys
import time

os.environ.setdefault("DYN_LOG", "error")

from dynamo.llm import KvRouterConfig  # noqa: E402
from dynamo.mocker.config import normalize_mocker_config  # noqa: E402
from dynamo.replay.api import run_trace_replay  # noqa: E402

TUNED = dict(prefill_load_scale=16, overlap_score_credit=1.3, router_queue_threshold=0.25, router_queue_policy="wspt")
SETTINGS = {"round_robin": ("round_robin", None), "default": ("kv_router", {}), "tuned": ("kv_router", TUNED)}
POINTS = [(8, 1), (8, 2), (8, 4), (8, 6), (4, 1), (4, 2), (4, 3), (4, 4)]
BLOCKS = 1600


def replay(trace, setting, workers, speed, blocks):
    mode, config = SETTINGS[setting]
    options = {} if config is None else {"router_config": KvRouterConfig(**config)}
    begin = time.monotonic()
    report = run_trace_replay(
        trace,
        num_workers=workers,
        router_mode=mode,
        trace_block_size=512,
        extra_engine_args=normalize_mocker_config({"engine": {"block_size": 512, "num_gpu_blocks": blocks}}),
        arrival_speedup_ratio=float(speed),
        **options,
    )
    return report.summary, time.monotonic() - begin


def spread(summary, name):
    get = lambda *keys: next((summary[k] for k in keys if k in summary), None)
    return {
        "mean": get(f"mean_{name}_ms"),
        "p50": get(f"p50_{name}_ms", f"median_{name}_ms"),
        "p90": get(f"p90_{name}_ms"),
        "p99": get(f"p99_{name}_ms"),
        "max": get(f"max_{name}_ms"),
    }


def main():
    trace, name, out = sys.argv[1:4]
    done = {"rows": []}
    if os.path.exists(out):
        with open(out) as f:
            done = json.load(f)
    done.update(
        peer="ai-dynamo 1.6.1, dynamo.replay.api.run_trace_replay",
        engine="block_size 512, num_gpu_blocks 1600, everything else as it comes",
        settings={k: v[1] for k, v in SETTINGS.items()},
        date=datetime.date.today().isoformat(),
    )
    have = {(r["trace"], r["setting"], r["workers"], r["speed"]) for r in done["rows"]}
    for workers, speed in POINTS:
        for setting in SETTINGS:
            if (name, setting, workers, speed) in have:
                continue
            summary, wall = replay(trace, setting, workers, speed, BLOCKS)
            if os.environ.get("REPLAY_DUMP"):
                print(json.dumps(summary, indent=1))
            first = summary.get("first_admission_prefix_cache_reused_ratio")
            row = dict(trace=name, setting=setting, workers=workers, speed=speed,
                       completed=summary.get("completed_requests"), reuse=summary["prefix_cache_reused_ratio"], reuse_first=first,
                       ttft_ms=spread(summary, "ttft"), tpot_ms=spread(summary, "tpot"), e2e_ms=spread(summary, "e2e_latency"),
                       wall_s=round(wall, 2))
            done["rows"].append(row)
            print(f'{name} {setting} {workers}w x{speed}: ttft {row["ttft_ms"]["mean"]:.1f}, reuse {row["reuse"]:.4f}, {wall:.1f} s', flush=True)
            with open(out, "w") as f:
                json.dump(done, f, indent=1)
                f.write("\n")


main()
