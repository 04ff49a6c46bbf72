"""Random load while processes are killed and stopped: for SOAK_MINUTES, from SOAK_SEED.

With faults: every request ends, by an answer, a clear error or a closed connection, within its deadline. After faults: all
workers are back, nothing runs, and the frontend holds no more descriptors and little more memory than before.
"""

import collections
import json
import os
import pathlib
import random
import signal
import threading
import time

from deployment import Deployment, mock_graph, until
from rawhttp import Wire, post

WORKERS = 3
CLIENTS = 24
REQUEST_DEADLINE_S = 60
MEMORY_GROWTH_MAX = 64 << 20


class Client(threading.Thread):
    """Sends one random request after another and notes how each ended."""

    def __init__(self, deployment, seed, stopping, outcomes):
        super().__init__(daemon=True)
        self.deployment, self.draw, self.stopping, self.outcomes = deployment, random.Random(seed), stopping, outcomes
        self.failure = None

    def run(self):
        while not self.stopping.is_set():
            try:
                self.outcomes[self.once()] += 1
            except (ConnectionError, EOFError):
                self.outcomes["closed"] += 1
            except Exception as error:  # a timeout, or an answer that is wrong: the test fails with it
                self.failure = error
                return

    def once(self):
        draw = self.draw
        body = {"model": "mock", "prompt": draw.choice("abc") * draw.randrange(1, 3000), "stream": draw.random() < 0.7,
                "max_tokens": draw.randrange(1, 200), "n": draw.choice((1, 1, 1, 3)), "seed": draw.randrange(4),
                "ignore_eos": draw.random() < 0.5, "temperature": draw.choice((0, 1))}
        with Wire(self.deployment, REQUEST_DEADLINE_S) as wire:
            wire.request("POST", "/v1/completions", body)
            if draw.random() < 0.1:
                if draw.random() < 0.5:
                    wire.reset()
                return "left early"
            if not body["stream"]:
                return self.whole(wire.answer())
            status, _ = wire.head()
            if status != 200:
                return f"refused {status}"
            return self.streamed(wire, leave_after=draw.randrange(1, 20) if draw.random() < 0.2 else None)

    @staticmethod
    def whole(answer):
        if answer.status == 200:
            assert all(choice["finish_reason"] for choice in answer.json()["choices"])
            return "answered"
        assert answer.status in (429, 500, 502, 503), answer.text
        assert answer.error()
        return f"refused {answer.status}"

    @staticmethod
    def streamed(wire, leave_after):
        last = None
        for count, event in enumerate(wire.events()):
            last = event
            if leave_after is not None and count >= leave_after:
                return "left in mid-stream"
        if last == "[DONE]":
            return "streamed"
        assert "error" in json.loads(last), last
        return "failed in mid-stream"


def faults(deployment, draw, stopping):
    """Kill or stop something now and then."""
    while not stopping.wait(draw.uniform(0.5, 4)):
        victims = deployment.workers() if draw.random() < 0.9 else deployment.children("frontend")
        if not victims:
            continue
        pid = draw.choice(victims)
        try:
            if draw.random() < 0.6:
                os.kill(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGSTOP)
                stopping.wait(draw.uniform(0.1, 3))
                os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def held_by(pid):
    """Open descriptors and resident bytes of a process."""
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return len(os.listdir(f"/proc/{pid}/fd")), pages * os.sysconf("SC_PAGE_SIZE")


def test_random_load_with_faults():
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(1 << 32))
    minutes = float(os.environ.get("SOAK_MINUTES") or 10)
    print(f"\nseed {seed} (SOAK_SEED={seed} repeats it), {minutes:g} minutes")
    stopping, calm = threading.Event(), threading.Event()
    outcomes = collections.Counter()
    graph = mock_graph({"queue-len-max": 8}, {"decode-us-base": 500, "max-seqs": 6, "blocks": 400}, workers=WORKERS)
    with Deployment(graph=graph) as deployment:
        clients = [Client(deployment, seed + 1 + number, stopping, outcomes) for number in range(CLIENTS)]
        breaker = threading.Thread(target=faults, args=(deployment, random.Random(seed), calm), daemon=True)
        for thread in (*clients, breaker):
            thread.start()
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end and not any(client.failure for client in clients):
            clients[0].join(1)
        # Liveness: with faults off, everything comes back while the load goes on, and then to rest.
        calm.set()
        breaker.join()
        until("all workers to be back", lambda: len(deployment.workers()) == WORKERS, 60)
        until("the deployment to be ready", deployment.is_ready, 60)
        descriptors, memory = held_by(deployment.frontend())
        stopping.set()
        for client in clients:
            client.join(2 * REQUEST_DEADLINE_S)
            assert not client.is_alive(), "a request has no end"
        print(dict(outcomes))
        for client in clients:
            if client.failure:
                raise client.failure
        until("everything to be free", deployment.idle, 30)
        assert post(deployment, "/v1/completions", {"model": "mock", "prompt": "x", "max_tokens": 2}).status == 200
        descriptors_after, memory_after = held_by(deployment.frontend())
        assert descriptors_after <= descriptors, "descriptors leak"
        assert memory_after <= memory + MEMORY_GROWTH_MAX, "memory grows"
        assert outcomes["answered"] + outcomes["streamed"] > 0
