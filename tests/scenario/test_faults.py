"""Workers that are ill or strange, and disks that are full: what a user sees, and that the rest goes on."""

import json
import os
import pathlib
import signal
import socket
import struct
import tempfile
import threading

import frames
import pytest
from deployment import Deployment, Process, mock_graph, until
from rawhttp import Wire, post

LISTENS = r"ready.*?(127\.0\.0\.1:\d+)"
SHORT = {"model": "mock", "prompt": "once upon a time", "max_tokens": 8, "ignore_eos": True}
LONG = {"model": "mock", "prompt": "for ever", "max_tokens": 4000, "ignore_eos": True, "stream": True}


def json_events(wire):
    """The events of a stream as objects; an error ends it."""
    for event in wire.events():
        if event != "[DONE]":
            yield json.loads(event)


def serve_fails(worker, **services):
    """What a deployment says whose workers cannot generate."""
    deployment = Deployment(graph=mock_graph(None, worker, **services), ready=False)
    try:
        status = deployment.wait_exit()
        assert not deployment.session()
        return status, deployment.output
    finally:
        deployment.kill_all()
        deployment.folder.cleanup()


@pytest.mark.smoke
@pytest.mark.parametrize("fault, says", [("error", "step 1 fails as configured"), ("crash", "killed by signal 6")])
def test_a_worker_that_is_ready_but_cannot_generate_is_found_at_the_start(fault, says):
    status, output = serve_fails({"fault": fault}, workers=2)
    assert status != 0
    assert "mock" in output and says in output, output
    assert "http://" not in output.split("everything is ready")[-1] or "cannot start" in output


def test_a_worker_whose_engine_fails_later_is_started_again_and_its_streams_end_clearly():
    with Deployment(graph=mock_graph(None, {"fault": "error", "fault-after": 40})) as deployment:
        before = deployment.workers()
        with Wire(deployment) as wire:
            wire.request("POST", "/v1/completions", LONG)
            assert wire.head()[0] == 200
            events = list(json_events(wire))
        assert "fails as configured" in events[-1]["error"]["message"], events[-1]
        until("a new worker", lambda: deployment.workers() and deployment.workers() != before, 20)
        until("it to be served by", lambda: post(deployment, "/v1/completions", SHORT).status == 200, 20)
        until("nothing to be left", deployment.idle, 20)


def test_tokens_that_no_vocabulary_has_end_the_request_and_nothing_else():
    with Deployment(graph=mock_graph(None, {"fault": "garbage", "fault-after": 20})) as deployment:
        frontend = deployment.frontend()
        answer = post(deployment, "/v1/completions", {**SHORT, "max_tokens": 100, "logprobs": 2})
        assert answer.status == 500
        assert "do not fit" in answer.error()
        with Wire(deployment) as wire:
            wire.request("POST", "/v1/completions", LONG)
            assert wire.head()[0] in (200, 500)
            wire.close()
        assert deployment.frontend() == frontend
        until("nothing to be left", deployment.idle, 20)


def test_a_worker_whose_step_does_not_end_holds_up_its_own_requests_only():
    """(What becomes of it in the end takes minutes: tests/unit/frontend/test_one_thread.c.)"""
    with Deployment(graph=mock_graph(None, {"fault": "hang", "fault-after": 200}, workers=2,
                                     Router={"mode": "least-loaded"})) as deployment:
        workers = deployment.workers()
        with Wire(deployment) as wire:
            wire.request("POST", "/v1/completions", LONG)
            assert wire.head()[0] == 200
            seen = sum(1 for _ in zip(range(190), wire.events()))
            assert seen == 190
            until("the step that does not end", lambda: deployment.running() == 1)
            for _ in range(5):
                assert post(deployment, "/v1/completions", SHORT).status == 200
        until("the request to be over", lambda: deployment.running() == 0, 20)
        assert deployment.workers() == workers


class StrangeWorker:
    """A worker by hand: hand-shake and card, then answer(stream, id) for each request that comes."""

    def __init__(self, folder, name, answer, **card):
        self.path = str(pathlib.Path(folder, f"{name}.sock"))
        self.name, self.answer, self.card = name, answer, card
        self.requests = threading.Semaphore(0)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        values = {"worker": self.name.encode(), "engine": b"strange", "role": b"both", "model": b"mock", "tokenizer": b"byte",
                  "hash": 0x62797465, "block_size": 16, "blocks": 1000, "seqs": 8, "context": 4096, **self.card}
        card = frames.frame(
            frames.CARD, frames.text(1, values["worker"]), frames.text(3, values["engine"]), frames.text(4, values["role"]),
            frames.text(5, values["model"]), frames.text(6, values["tokenizer"]), frames.hash64(7, values["hash"]),
            frames.number(10, values["block_size"]), frames.number(11, values["blocks"]), frames.number(12, values["seqs"]),
            frames.number(13, values["context"]))
        said = b""
        try:
            stream.sendall(frames.hello(role=b"worker") + card)
            while data := stream.recv(65536):
                said += data
                found = frames.take_frames(said)
                said = said[sum(len(body) + 5 for _, body in found):]
                for kind, body in found:
                    if kind == frames.REQUEST:
                        self.requests.release()
                        self.answer(stream, frames.first_number(body))
        except OSError:
            pass
        finally:
            stream.close()

    def close(self):
        self.listener.close()


def tokens(request, *ids):
    return frames.frame(frames.TOKENS, frames.text(1, frames.number(1, request) + frames.text(
        2, struct.pack(f"<{len(ids)}I", *ids))))


def done(request, reason=1):
    return frames.frame(frames.DONE, frames.number(1, request), frames.number(2, reason))


class ByHand:
    """A frontend over workers of a folder."""

    def __init__(self, folder, *args):
        self.process = Process("frontend", "--listen", "127.0.0.1:0", "--workers-dir", folder, *args)
        host, _, port = self.process.wait_line(r"\b(127\.0\.0\.1:\d+)").group(1).rpartition(":")
        self.address = host, int(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        assert self.process.popen.poll() is None, self.process.output
        self.process.kill_all()

    def get(self, path):
        with Wire(self) as wire:
            wire.request("GET", path)
            return wire.answer()

    def up(self, count):
        until(f"{count} workers", lambda: self.get("/metrics").text.count("stator_worker_up{") and sum(
            float(line.split()[-1]) for line in self.get("/metrics").text.splitlines()
            if line.startswith("stator_worker_up{")) == count, 20)


GARBAGE = {
    "a frame of a lying length": lambda id: b"\xff\xff\xff\xff" + b"x" * 64,
    "a message that is none": lambda id: frames.frame(frames.TOKENS, b"\xff\xff\xff"),
    "a message only frontends send": lambda id: frames.frame(frames.CANCEL, frames.number(1, id)),
    "a card again": lambda id: frames.frame(frames.CARD, frames.text(1, b"again")),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_in_the_middle_of_a_stream_costs_that_worker_its_streams(tmp_path, what):
    def answer(stream, id):
        stream.sendall(tokens(id, 72, 105) + GARBAGE[what](id))

    worker = StrangeWorker(tmp_path, "strange", answer)
    with ByHand(tmp_path) as frontend:
        frontend.up(1)
        with Wire(frontend) as wire:
            wire.request("POST", "/v1/completions", LONG)
            assert wire.head()[0] == 200
            events = list(json_events(wire))
        assert "".join(event["choices"][0]["text"] for event in events[:-1]) == "Hi"
        assert 'the worker "strange" was lost' in events[-1]["error"]["message"], events
        frontend.up(1)  # it is connected again
    worker.close()


ODD_ANSWERS = {
    "more tokens than were asked for": (lambda id: tokens(id, *range(65, 90)), 500),
    "tokens of a request that nobody made": (lambda id: tokens(id + 7, 72) + tokens(id, 72) + done(id + 9) + done(id), 200),
    "an end, and more behind it": (lambda id: tokens(id, 72) + done(id) + tokens(id, 73) + done(id), 200),
    "tokens that no vocabulary has": (lambda id: tokens(id, 72, 0xffffffff), 500),
    "an end that says no": (lambda id: done(id, 4), 503),
}


@pytest.mark.parametrize("what", ODD_ANSWERS)
def test_an_answer_that_does_not_fit_ends_one_request_only(tmp_path, what):
    make, status = ODD_ANSWERS[what]
    worker = StrangeWorker(tmp_path, "strange", lambda stream, id: stream.sendall(make(id)))
    with ByHand(tmp_path) as frontend:
        frontend.up(1)
        for _ in range(3):
            answer = post(frontend, "/v1/completions", SHORT)
            assert answer.status == status, answer.text
            if status == 200:
                assert answer.json()["choices"][0]["text"] == "H"
            else:
                assert "worker" in answer.error()
        frontend.up(1)
        assert "stator_worker_lost_total" not in [
            line.split("{")[0] for line in frontend.get("/metrics").text.splitlines() if line.endswith(" 1")]
    worker.close()


CARDS = {
    "a block of no tokens": {"block_size": 0},
    "a block larger than any": {"block_size": 1 << 30},
    "no context": {"context": 0},
    "more sequences than any": {"seqs": 0xffffffff},
    "no name": {"worker": b""},
    "a name that cannot be told": {"worker": b"a\nb"},
    "no model": {"model": b""},
    "no tokenizer": {"tokenizer": b""},
    "a tokenizer that is nowhere": {"tokenizer": b"/nowhere/x.gguf"},
}


@pytest.mark.parametrize("what", CARDS)
def test_a_card_with_impossible_values_is_refused_with_a_sentence(tmp_path, what):
    worker = StrangeWorker(tmp_path, "strange", lambda stream, id: None, **CARDS[what])
    with ByHand(tmp_path) as frontend:
        line = frontend.process.wait_line("worker not reached|worker not used|model cannot be served").string
        assert "why=" in line and len(line) > 60, line
        good = StrangeWorker(tmp_path, "good", lambda stream, id: stream.sendall(tokens(id, 72) + done(id)),
                             **({"model": b"other"} if "tokenizer" in CARDS[what] else {}))
        frontend.up(1)
        model = "other" if "tokenizer" in CARDS[what] else "mock"
        assert post(frontend, "/v1/completions", {**SHORT, "model": model}).json()["choices"][0]["text"] == "H"
        good.close()
    worker.close()


def test_a_second_worker_of_the_same_name_is_told_of_and_both_serve(tmp_path):
    held = []
    old = StrangeWorker(tmp_path, "old", lambda stream, id: (stream.sendall(tokens(id, 72)), held.append((stream, id))),
                        worker=b"twin")
    with ByHand(tmp_path) as frontend:
        frontend.up(1)
        with Wire(frontend) as wire:
            wire.request("POST", "/v1/completions", LONG)
            assert wire.head()[0] == 200
            events = json_events(wire)
            assert next(events)["choices"][0]["text"] == "H"
            new = StrangeWorker(tmp_path, "new", lambda stream, id: stream.sendall(tokens(id, 74) + done(id)), worker=b"twin")
            frontend.process.wait_line("another worker has its name")
            until("the new one to answer", lambda: post(
                frontend, "/v1/completions", SHORT).json()["choices"][0]["text"] == "J", 20)
            stream, id = held[0]
            stream.sendall(tokens(id, 105) + done(id))
            assert next(events)["choices"][0]["text"] == "i"
            old.close()
            stream.shutdown(socket.SHUT_RDWR)
        frontend.process.wait_line("worker lost")
        frontend.up(1)
        assert post(frontend, "/v1/completions", SHORT).json()["choices"][0]["text"] == "J"
        new.close()


def test_a_disk_that_is_full_costs_the_records_and_no_request(tmp_path):
    """/dev/full is a file that is always full."""
    sock = f"unix:{tmp_path}/w.sock"
    worker = Process("worker", "--engine", "mock", "--listen", sock, "--record-steps", "/dev/full", "--decode-us-base", 100)
    try:
        with ByHand(tmp_path) as frontend:
            frontend.up(1)
            for _ in range(5):
                answer = post(frontend, "/v1/completions", {**SHORT, "max_tokens": 200})
                assert answer.json()["usage"]["completion_tokens"] == 200
        worker.popen.send_signal(signal.SIGTERM)
        assert worker.wait_exit() == 1
        assert 'could not write step reports to "/dev/full": No space left on device' in worker.output
    finally:
        worker.kill_all()


def fill(path):
    with open(path, "wb", buffering=0) as ballast:
        try:
            while ballast.write(b"x" * 4096):
                pass
        except OSError:
            pass


@pytest.fixture
def small_disk():
    """A file system of a few pages, at a path short enough for sockets."""
    mount = pathlib.Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    if os.geteuid() or os.system(f"mount -t tmpfs -o size=128k none {mount} 2>/dev/null"):
        mount.rmdir()
        pytest.skip("a small file system cannot be mounted here")
    yield mount
    os.system(f"umount {mount}")
    mount.rmdir()


def test_logs_that_cannot_be_written_stop_nothing(small_disk):
    with Deployment(graph=mock_graph(workers=2), env={"XDG_RUNTIME_DIR": str(small_disk)}) as deployment:
        assert list(small_disk.glob("*/mock-0.log"))
        fill(small_disk / "ballast")
        before = deployment.workers()
        os.kill(before[0], signal.SIGKILL)
        until("a new worker", lambda: len(set(deployment.workers()) - set(before)) == 1, 20)
        until("both to be served by", lambda: deployment.metric("stator_worker_up") == 2, 20)
        for _ in range(4):
            assert post(deployment, "/v1/completions", SHORT).status == 200


def test_a_disk_that_is_full_at_the_start_is_named(small_disk):
    fill(small_disk / "ballast")
    deployment = Deployment(graph=mock_graph(), ready=False, env={"XDG_RUNTIME_DIR": str(small_disk)})
    try:
        assert deployment.wait_exit() == 1
        assert "No space left on device" in deployment.output and str(small_disk) in deployment.output
    finally:
        deployment.kill_all()
        deployment.folder.cleanup()
