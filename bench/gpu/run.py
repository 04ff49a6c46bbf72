#!/usr/bin/env python3
"""bench/gpu/run.py: what a llama worker on a GPU takes and does: memory, start, prompt and decode speed. Needs a build with CUDA=1.

For each model and context one worker is started by `stator serve`, and asked by `stator bench` with 1, 8 and 32 clients (prompts of
--prompt-tokens, answers of --answer-tokens, greedy), then one long prompt alone. GPU memory is nvidia-smi's "memory.used" over what
was used before. A model is a GGUF file, or NAME:TYPE: a shape of data/models.txt with random weights (make_model.py), made in
--folder and removed. --set passes more settings to the worker: --set ubatch-size=1024. Prints a Markdown table and, with --json,
one object a line.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import procs, report, servers  # noqa: E402

STATOR = os.environ.get("STATOR_BIN") or os.path.join(servers.ROOT, "build", "stator")
MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "make_model.py")


def gpu_mib():
    """Memory in use on all GPUs."""
    if not shutil.which("nvidia-smi"):
        return 0
    run = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], stdout=subprocess.PIPE,
                         text=True, check=False)
    return sum(int(line) for line in run.stdout.split()) if run.returncode == 0 else 0


class Worker(servers.Server):
    name = "Stator"
    model = "bench"

    def __init__(self, path, context, settings, workers):
        super().__init__()
        self.path, self.context, self.settings, self.workers = path, context, settings, workers

    def launch(self):
        self.spawn("stator", [STATOR, "serve", self.path, "--workers", self.workers, "--port", self.port, "--context-length",
                              self.context, "--LlamaWorker.served-model-name=bench",
                              *(f"--LlamaWorker.{s}" for s in self.settings)])

    def facts(self):
        lines = [line.split("ready", 1)[1].strip() for line in self.processes[0].output().splitlines()
                 if "llama-0" in line and " ready " in line]
        return lines[0] if lines else ""


def load(server, clients, prompt, answer, requests, extra=()):
    argv = [STATOR, "bench", server.url, "--json", "--endpoint", "completions", "-c", clients, "-n", requests, "-p", prompt,
            "-o", answer, *extra]
    run = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode != 0:
        raise procs.Unavailable(run.stderr.strip() or f"stator bench ended with {run.returncode}")
    return json.loads(run.stdout)


def measure(path, name, context, options):
    before = gpu_mib()
    row = {"model": name, "context": context}
    with Worker(path, context, options.set, options.workers) as server:
        row.update(ready_s=server.ready_s, facts=server.facts(), idle_mib=gpu_mib() - before)
        for clients in options.clients:
            got = load(server, clients, options.prompt_tokens, options.answer_tokens, max(clients * 2, 3), ["--seed", clients, *options.bench])
            row[f"c{clients}"] = {k: got[k] for k in ("tokens_per_s", "ttft_ms", "tpot_ms", "failed", "prompt_tokens")}
            tpot = got["tpot_ms"]["p50"]
            row[f"c{clients}"]["decode_tokens_per_s"] = 1000 * clients / tpot if tpot else 0
        long = min(options.long_tokens, context - 64)
        got = load(server, 1, long, 1, 3, ["--seed", "7"])
        row["prompt_tokens_per_s"] = got["prompt_tokens"] / got["completed"] / got["ttft_ms"]["p50"] * 1000
        row["used_mib"] = gpu_mib() - before
    return row


def models(options, folder):
    """(path, name) of each; those made here are removed when the next is asked for."""
    for text in options.models:
        if text.endswith(".gguf"):
            yield text, os.path.basename(text)
            continue
        name, _, kind = text.partition(":")
        path = os.path.join(folder, f"{name}-{kind or 'f16'}.gguf")
        subprocess.run([sys.executable, MAKE, name, path, "--type", kind or "f16", "--vocab", options.vocab], check=True)
        yield path, text
        os.unlink(path)


def main():
    procs.end_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--context", type=int, nargs="+", default=[32768])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--prompt-tokens", type=int, default=200)
    parser.add_argument("--answer-tokens", type=int, default=128)
    parser.add_argument("--long-tokens", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--bench", action="append", default=[], metavar="FLAG", help="more flags of stator bench")
    parser.add_argument("--vocab", help="GGUF file whose tokenizer random models get; by default the demo model")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    try:
        if not all(text.endswith(".gguf") for text in options.models):
            options.vocab = options.vocab or servers.demo_model()
        for path, name in models(options, options.folder):
            for context in options.context:
                row = measure(path, name, context, options)
                rows.append([name, context, row["ready_s"], row["idle_mib"], row["used_mib"], row["prompt_tokens_per_s"],
                             *(row[f"c{c}"]["decode_tokens_per_s"] for c in options.clients)])
                print(json.dumps(row) if options.json else row["facts"], flush=True)
    except (procs.Unavailable, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bench/gpu: {error}")
    head = ["model", "context", "ready s", "MiB idle", "MiB used", "prompt tokens/s", *(f"decode tokens/s, {c}" for c in options.clients)]
    print(report.markdown_table(head, rows))


if __name__ == "__main__":
    main()
