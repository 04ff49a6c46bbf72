"""Processes under measurement: start them, wait until they answer, read what they used, end them.

CPU time is the difference of /proc/PID/stat (the kernel scales utime + stime to the exact run time, while their division
is a sample of every tick); memory is Pss of /proc/PID/smaps_rollup.
"""

import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Unavailable(Exception):
    """Something that was to be measured cannot run here; the text says why."""


def end_on_sigterm():
    """Make SIGTERM unwind, so that a bench that is stopped stops its servers too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A child in its own session, its output in a file."""

    def __init__(self, argv, log, env=None, cpus=None):
        self.log = log
        self.file = open(log, "wb")
        pin = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
        self.popen = subprocess.Popen(
            [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=self.file, stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})}, start_new_session=True, preexec_fn=pin)

    @property
    def pid(self):
        return self.popen.pid

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def check(self):
        if self.popen.poll() is not None:
            last = self.output().strip().splitlines()[-5:]
            raise Unavailable(f"{self.popen.args[0]} ended with status {self.popen.returncode}: " + " | ".join(last))

    def stop(self):
        """Ask, then insist; nothing of its session stays."""
        for signum, wait_s in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if self.popen.poll() is None:
                self.popen.send_signal(signum)
                try:
                    self.popen.wait(wait_s)
                except subprocess.TimeoutExpired:
                    continue
        for pid in session_pids(self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.file.close()


def stat_fields(pid):
    """/proc/PID/stat after the name, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def session_pids(leader):
    pids = (int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*"))
    found = ((pid, stat_fields(pid)) for pid in pids)
    return [pid for pid, fields in found if fields and int(fields[3]) == leader and fields[0] != "Z"]


def cpu_us(pid):
    """(user, system) microseconds used so far by all threads."""
    fields = stat_fields(pid)
    if not fields:
        raise Unavailable(f"process {pid} is gone")
    return tuple(int(fields[i]) * 1000000 // TICKS_PER_S for i in (11, 12))


class SendCount:
    """In the midst of a load: bytes and data segments that the connections of a server's port have sent. Over loopback a
    segment is one send, whatever system call made it."""

    def __init__(self, port, delay_s):
        self.port = port
        self.bytes = self.sends = 0
        self.timer = threading.Timer(delay_s, self.sample)
        self.timer.start()

    def sample(self):
        run = subprocess.run(["ss", "-tinH", "state", "established", f"sport = :{self.port}"], stdout=subprocess.PIPE,
                             text=True, check=False)
        self.bytes = sum(int(n) for n in re.findall(r"bytes_sent:(\d+)", run.stdout))
        self.sends = sum(int(n) for n in re.findall(r"data_segs_out:(\d+)", run.stdout))

    def bytes_per_send(self):
        self.timer.join()
        return self.bytes / self.sends if self.sends else None


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def listener_pid(port, among):
    """Which of the processes listens on port."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="utf-8") as file:
            for line in list(file)[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    holders = [pid for pid in among if inodes & fds_of(pid)]
    if not holders:
        raise Unavailable(f"no process listens on port {port}")
    return holders[-1]  # a parent may hold the socket its child serves


def fds_of(pid):
    found = set()
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            found.add(os.readlink(path))
        except OSError:
            pass
    return found


def get_json(url, timeout_s=5):
    with urllib.request.urlopen(url, timeout=timeout_s) as reply:
        return json.load(reply)


def post_json(url, body, timeout_s=60):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        raise Unavailable(f"{url} answered {error.code}: {error.read().decode(errors='replace')[:300]}") from None


def wait_model(url, name, processes, deadline_s=120):
    """Ask until /v1/models lists the model."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        for process in processes:
            process.check()
        try:
            if any(m["id"] == name for m in get_json(url + "/v1/models")["data"]):
                return
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.02)
    raise Unavailable(f"{url}/v1/models did not list \"{name}\" within {deadline_s} s: " + processes[0].output()[-500:])


def machine():
    """One line that says where figures come from."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory_kb = int(file.readline().split()[1])
    return (f"{len(os.sched_getaffinity(0))} CPUs ({names[0] if names else os.uname().machine}), "
            f"{memory_kb / 1048576:.0f} GiB, Linux {os.uname().release.split('-')[0]}, load {os.getloadavg()[0]:.2f}")
