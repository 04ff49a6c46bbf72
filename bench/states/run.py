#!/usr/bin/env python3
"""bench/states/run.py [--prompt N] [--turns N]: what keeping a recurrent state is worth, and what it costs.

A model of the shape of Granite 4.0 H 350M (28 Mamba 2 layers, 4 of attention, 22 MiB of state a sequence; random 32-bit weights, a
vocabulary of bytes) answers a conversation that grows by 50 tokens a turn, once with its cache and once with every turn asked
afresh (cache_prompt: false). Both in one run, on one worker, in turn. STATOR_BIN names the program. Needs only Python.
"""

import argparse
import array
import http.client
import json
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests"))
import tiny_model  # noqa: E402

LAYERS, ATTENTION, STATE, SSM_HEADS = 32, (10, 13, 17, 27), 128, 48
GROWTH = 50


class Large(tiny_model.Model):
    """The same numbers again and again: drawing 250 million would take minutes."""

    tile = [random.Random(1).gauss(0, 1) for _ in range(65537)]

    def matrix(self, name, *shape, scale=None):
        scale = (scale or 1.0) * 0.6 / math.sqrt(shape[0])
        count = math.prod(shape)
        piece = array.array("f", (x * scale for x in self.tile))
        self.tensors.append((name, shape, (piece * (count // len(piece) + 1))[:count]))


def make_model(path):
    tiny_model.EMBD, tiny_model.HEADS, tiny_model.KV_HEADS, tiny_model.FF = 768, 12, 4, 2048
    kv = [4 if i in ATTENTION else 0 for i in range(LAYERS)]
    m = Large("granitehybrid", LAYERS, 1, **{"attention.head_count_kv": kv, "rope.dimension_count": 64, "context_length": 32768})
    m.output()
    for i in range(LAYERS):
        m.attention(i, kv=4) if kv[i] else m.mamba2(i, state=STATE, heads=SSM_HEADS)
        m.ffn(i)
    m.write(path)


def ask(address, prompt, **more):
    """Seconds to the answer's only token, and how much of the prompt was cached."""
    connection = http.client.HTTPConnection(address, timeout=600)
    body = {"model": "large", "prompt": prompt, "max_tokens": 1, "temperature": 0, "ignore_eos": True, **more}
    begin = time.monotonic()
    connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
    answer = json.load(connection.getresponse())
    took = time.monotonic() - begin
    if "usage" not in answer:
        sys.exit(f"run.py: {answer}")
    return took, answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompt", type=int, default=600)
    parser.add_argument("--turns", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "large.gguf")
        make_model(model)
        command = [os.environ.get("STATOR_BIN", TOP / "build/stator"), "serve", model, "--workers", "1", "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            for line in server.stdout:
                if " ready " in line and "MiB" in line:
                    print(line.strip())
                if found := re.search(r"Ready in .* at http://(\S+)", line):
                    break
            else:
                sys.exit("run.py: the server did not start")
            numbers = [3 + x % 256 for x in random.Random(2).choices(range(1 << 16), k=args.prompt + GROWTH * args.turns)]
            print("load", os.getloadavg())
            for turn in range(args.turns):
                prompt = numbers[:args.prompt + GROWTH * turn]
                kept, cached = ask(found[1], prompt)
                afresh, none = ask(found[1], prompt, cache_prompt=False)
                print(f"turn {turn}: {len(prompt)} tokens, {cached} cached: {kept * 1000:.0f} ms; "
                      f"afresh ({none} cached): {afresh * 1000:.0f} ms; {kept / afresh:.3f} of it")
            print("load", os.getloadavg())
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
