"""The servers that benches compare: each starts, waits until it serves, and says which process is its frontend."""

import os
import shutil
import subprocess
import tempfile
import time

from common.procs import Process, Unavailable, free_port, listener_pid, session_pids, wait_model

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(ROOT, "bench")


def run_script(*argv):
    """The last line a script prints; Unavailable with what it complained about."""
    run = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode != 0 or not run.stdout.strip():
        raise Unavailable((run.stderr.strip().splitlines() or [f"{argv[0]} said nothing"])[-1])
    return run.stdout.strip().splitlines()[-1]


def demo_model():
    return run_script(os.path.join(ROOT, "scripts", "model"))


class Server:
    """A deployment in a with statement."""

    name = "?"
    model = "smol"

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="bench-")
        self.processes = []
        self.port = free_port()
        self.ready_s = 0.0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def spawn(self, name, argv, env=None):
        self.processes.append(Process(argv, os.path.join(self.folder, name + ".log"), env))

    def launch(self):
        raise NotImplementedError

    def __enter__(self):
        began = time.monotonic()
        try:
            self.launch()
            wait_model(self.url, self.model, self.processes)
        except BaseException:
            self.__exit__()
            raise
        self.ready_s = time.monotonic() - began
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def check(self):
        for process in self.processes:
            process.check()

    def pids(self):
        return [pid for process in self.processes for pid in session_pids(process.pid)]

    def frontend_pid(self):
        return listener_pid(self.port, self.pids())


class Stator(Server):
    """Frontend, supervisor and mock workers. step_us: how long a step of the mock engine takes; 0: no time at all.
    send_interval_us: of the workers; None: as users have it."""

    name = "Stator"

    def __init__(self, workers=4, step_us=0, seqs=256, tokenizer=None, blocks=16384, send_interval_us=None):
        super().__init__()
        self.send_interval_us = "" if send_interval_us is None else send_interval_us
        self.workers, self.step_us, self.seqs, self.blocks = workers, step_us, seqs, blocks
        self.tokenizer = demo_model() if tokenizer is None else tokenizer

    def launch(self):
        program = os.environ.get("STATOR_BIN") or os.path.join(ROOT, "build", "stator")
        if not os.path.exists(program):
            raise Unavailable(f"{program} is not built; run make")
        settings = {"model": self.tokenizer, "served-model-name": self.model, "max-seqs": self.seqs, "blocks": self.blocks,
                    "prefill-us-per-token": 0, "decode-us-base": self.step_us, "decode-us-per-seq": 0, "send-interval-us": self.send_interval_us}
        self.spawn("stator", [program, "serve", "--engine", "mock", "--workers", self.workers, "--port", self.port,
                              *(f"--MockWorker.{key}={value}" for key, value in settings.items() if value != "")])


class Dynamo(Server):
    """NVIDIA Dynamo 1.6.1: its frontend with the KV router, its mock engine."""

    name = "Dynamo 1.6.1"

    def __init__(self, workers=4):
        super().__init__()
        self.workers = workers

    def launch(self):
        folder = run_script(os.path.join(BENCH, "dynamo", "setup.sh"))
        python = os.path.join(folder, "venv", "bin", "python")
        env = {"DYN_FILE_KV": os.path.join(self.folder, "kv"), "DYN_LOG": "error", "HF_HUB_OFFLINE": "1"}
        planes = ["--discovery-backend", "file", "--request-plane", "tcp", "--event-plane", "zmq"]
        self.spawn("frontend", [python, "-m", "dynamo.frontend", "--http-port", self.port, "--router-mode", "kv", *planes], env)
        # A ratio of 0 does not mean "no time".
        self.spawn("mocker", [python, "-m", "dynamo.mocker", "--model-path", os.path.join(folder, "hf"), "--model-name",
                              self.model, "--num-workers", self.workers, "--speedup-ratio", 1000, "--block-size", 16,
                              "--num-gpu-blocks-override", 8192, *planes], env)


class BareWrite(Server):
    """The yardstick: the same bytes from a loop of write() calls."""

    name = "bare write loop"

    def __init__(self, chunk_bytes=220, join=1, pace_us=0, groups=1):
        super().__init__()
        self.chunk_bytes, self.join, self.pace_us, self.groups = chunk_bytes, join, pace_us, groups if pace_us else 1

    def __enter__(self):
        program = os.path.join(self.folder, "bare_write")
        source = os.path.join(BENCH, "stream", "bare_write.c")
        subprocess.run([os.environ.get("CC", "gcc"), "-std=c17", "-O2", "-o", program, source], check=True)
        self.spawn("bare", [program, "-b", self.chunk_bytes, "-j", self.join, "-p", self.pace_us, "-g", self.groups])
        while not self.processes[0].output().startswith("port "):
            self.processes[0].check()
            time.sleep(0.01)
        self.port = int(self.processes[0].output().split()[1])
        return self
