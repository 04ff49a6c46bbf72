"""Start `stator serve` for a test, watch what it prints, and see that nothing of it is left behind.

Everything here waits on an event (a line, an exit, a byte) up to a deadline; nothing sleeps for a guessed time, except
until(), which asks again for things that only can be asked (the list of processes, a metric).
"""

import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEADLINE_S = float(os.environ.get("STATOR_TEST_DEADLINE_S", "60"))
URL = re.compile(r"https?://(?:[\w.]+|\[[0-9a-f:]+\]):\d+")


def stator_bin():
    """The program under test: $STATOR_BIN, by default build/stator of this tree."""
    return os.environ.get("STATOR_BIN") or str(ROOT / "build" / "stator")


def until(what, check, deadline_s=DEADLINE_S):
    """Ask check() until it gives something true, and return that."""
    end = time.monotonic() + deadline_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s:.0f} s in vain for {what}; the last answer was {value!r}")
        time.sleep(0.02)


class Process:
    """A child with its output, line by line, as it comes."""

    def __init__(self, *args, env=None, fd_limit=None, address_space=None, cwd=None, enter=None):
        def limits():
            if enter:
                enter()
            if fd_limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (fd_limit, fd_limit))
            if address_space:
                resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))

        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        self.popen = subprocess.Popen(
            [stator_bin(), *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True,
            preexec_fn=limits if fd_limit or address_space or enter else None, encoding="utf-8", errors="replace")
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.popen.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    @property
    def pid(self):
        return self.popen.pid

    @property
    def output(self):
        with self.changed:
            return "\n".join(self.lines)

    def wait_line(self, pattern, after=0, deadline_s=DEADLINE_S):
        """The match of the first line, from line number `after` on, that pattern is found in."""
        end = time.monotonic() + deadline_s
        at = after
        with self.changed:
            while True:
                for at in range(at, len(self.lines)):
                    if match := re.search(pattern, self.lines[at]):
                        return match
                at = len(self.lines)
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    why = "it ended" if self.ended else f"{deadline_s:.0f} s went by"
                    raise AssertionError(f"{why} without a line like {pattern!r}; it said:\n" + "\n".join(self.lines))
                self.changed.wait(left)

    def wait_exit(self, deadline_s=DEADLINE_S):
        """Its exit status, with all its output read."""
        try:
            status = self.popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {deadline_s:.0f} s; it said:\n{self.output}") from None
        self.reader.join(deadline_s)
        return status

    def session(self):
        """The pids of all processes that are alive in its session: itself and whatever it started."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                fields = stat_of(entry.name)
                if fields and int(fields[3]) == self.pid and fields[0] != "Z":
                    found.append(int(entry.name))
        return found

    def kill_all(self):
        for pid in self.session():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.popen.wait(10)
        self.reader.join(10)


def stat_of(pid):
    """Fields of /proc/PID/stat after the name: state, parent, group, session, ...; None when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def arguments_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


class Deployment(Process):
    """`stator serve` that is up: its URL, its processes, its metrics. Use it in a with statement."""

    def __init__(self, *args, graph=None, ready=True, **options):
        self.folder = tempfile.TemporaryDirectory(prefix="stator-test-")
        if graph is not None:
            path = pathlib.Path(self.folder.name, "graph.yaml")
            path.write_text(graph if isinstance(graph, str) else json.dumps(graph, indent=1))
            args = (path, *args)
        super().__init__("serve", *args, **options)
        self.url = None
        try:
            if ready:
                self.url = self.wait_line(URL).group()
                # The first worker of each kind is proven, too: until then a stop is one of a start.
                self.wait_line("^Ready in|deployment ready")
                until("/ready to say yes", self.is_ready)
        except BaseException:
            self.kill_all()
            self.folder.cleanup()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.stop()
        finally:
            self.kill_all()
            self.folder.cleanup()

    def stop(self):
        """Ctrl-C, and then it must end well and leave nothing."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
        status = self.wait_exit()
        assert status == 0, f"stator serve ended with status {status}; it said:\n{self.output}"
        until("every process of the deployment to be gone", lambda: not self.session(), 10)

    @property
    def address(self):
        host, _, port = self.url.split("//")[1].rpartition(":")
        return host.strip("[]"), int(port)

    def is_ready(self):
        if self.popen.poll() is not None:
            raise AssertionError(f"stator serve ended with status {self.popen.returncode}; it said:\n{self.output}")
        try:
            return urllib.request.urlopen(self.url + "/ready", timeout=10).status == 200
        except OSError:
            return False

    def children(self, command):
        """Pids of the processes that run `stator COMMAND`, oldest first."""
        return sorted(pid for pid in self.session() if command in arguments_of(pid)[1:2])

    def workers(self):
        return self.children("worker")

    def frontend(self):
        return self.children("frontend")[0]

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.read().decode()

    def metrics(self):
        """{sample name: [(labels, value), ...]} of /metrics."""
        samples = {}
        for family in text_string_to_metric_families(self.get("/metrics")):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
        return samples

    def metric(self, name, **labels):
        """The sum of the samples of that name that carry those labels; the metric must exist."""
        samples = self.metrics()
        assert name in samples, f"no metric {name}; there are {', '.join(sorted(samples))}"
        return sum(value for have, value in samples[name] if labels.items() <= have.items())

    def running(self):
        """Requests that were accepted and have not ended."""
        return self.metric("stator_requests_running")

    def idle(self):
        """Does nothing run or wait, at the frontend or at any worker?"""
        samples = self.metrics()
        names = ("stator_requests_running", "stator_requests_waiting", "stator_worker_running", "stator_worker_waiting")
        return not any(value for name in names for _, value in samples.get(name, []))


def mock_graph(frontend=None, worker=None, workers=1, **services):
    """A graph of mock workers: bytes are tokens, no model file is needed, a token takes 1 ms."""
    settings = {"model": "mock", "decode-us-base": 1000, "decode-us-per-seq": 0, "prefill-us-per-token": 1,
                "context-length": 4096, "block-size": 16, **(worker or {}), "ServiceArgs": {"workers": workers}}
    return {"Frontend": {"port": 0, **(frontend or {})}, "MockWorker": settings, **services}


def sockets_listened_on(pid):
    """Paths of the Unix sockets a process listens on."""
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(fd).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    listening = []
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        # Flags 00010000: it accepts connections.
        if fields[6] in inodes and int(fields[3], 16) & 0x10000 and len(fields) > 7:
            listening.append(fields[7])
    return listening
