"""Workers that die or meet strange peers, while clients are being served."""

import json
import os
import random
import re
import signal
import socket
import struct
import threading
import time
import urllib.error
import urllib.request

import frames
import pytest
from deployment import Deployment, Process, mock_graph, sockets_listened_on, stat_of, until
from rawhttp import Wire, post

LISTENS = r"\b(127\.0\.0\.1:\d+)"
SHORT = {"model": "mock", "prompt": "once upon a time", "max_tokens": 8}
LONG = {"model": "mock", "prompt": "for ever", "max_tokens": 4000, "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def pair():
    """Two workers that take 20 ms a token; a long request runs for over a minute. Each gets half of the requests (a
    sequence more costs a mock nothing, so finish-time would have no reason to share them out)."""
    graph = mock_graph(None, {"decode-us-base": 20000}, workers=2, Router={"mode": "least-loaded"})
    with Deployment(graph=graph) as deployment:
        yield deployment


def worker_socket(deployment, index=0):
    """The socket a worker listens on, as the kernel knows it."""
    return until("a worker to listen", lambda: sockets_listened_on(deployment.workers()[index]))[0]


def as_before(deployment, workers):
    assert deployment.workers() == workers, "a worker died"
    assert post(deployment, "/v1/completions", SHORT).json()["usage"]["completion_tokens"] == 8


def outcome(wire):
    """How a stream ended: its last event, or "cut" when the connection broke off."""
    last = None
    try:
        for event in wire.events():
            last = event
    except EOFError:
        return "cut"
    return last


@pytest.mark.smoke
def test_a_killed_worker_ends_its_streams_clearly_and_comes_back(pair):
    before = pair.workers()
    wires = [Wire(pair, deadline_s=100) for _ in range(8)]
    for wire in wires:
        wire.request("POST", "/v1/completions", LONG)
        assert wire.head()[0] == 200
        next(wire.events())
    assert pair.running() == 8
    os.kill(before[0], signal.SIGKILL)
    until("a new worker", lambda: len(set(pair.workers()) - set(before)) == 1 and len(pair.workers()) == 2, 20)
    until("only the other worker's streams to run", lambda: pair.running() == 4, 20)
    ended, running = [], []
    for wire in wires:
        wire.socket.settimeout(0.01)
        (ended if drained(wire) else running).append(wire)
    assert len(ended) == 4 and len(running) == 4
    for wire in ended:
        # The answer had begun, so the error comes as an event; [DONE] would say that all went well.
        assert b'"error"' in wire.received, wire.received[-500:]
        assert b"worker" in wire.received
        assert b"[DONE]" not in wire.received
    for wire in wires:
        wire.close()
    until("every slot to be free", pair.idle, 20)
    until("both workers to be served by", lambda: pair.is_ready(), 20)
    for _ in range(4):
        assert post(pair, "/v1/completions", SHORT).status == 200
    assert any("worker" in line.lower() for line in pair.lines[2:])


def drained(wire):
    """Read what is there; True when the stream has ended."""
    try:
        while wire.more():
            if wire.received.endswith(b"0\r\n\r\n"):
                return True
        return True
    except TimeoutError:
        return False


def test_killing_every_worker_refuses_for_a_while_and_recovers(pair):
    before = pair.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    statuses = set()

    def served():
        answer = post(pair, "/v1/completions", SHORT, deadline_s=30)
        statuses.add(answer.status)
        if answer.status != 200:
            assert answer.error()
        return answer.status == 200

    until("an answer", served, 30)
    assert statuses <= {200, 502, 503}
    until("both to be back", lambda: len(pair.workers()) == 2 and not set(pair.workers()) & set(before), 30)
    until("every slot to be free", pair.idle, 20)


def test_answers_of_which_nothing_was_sent_survive_their_workers(pair):
    """Whole ones in the middle, and streams that have had no event yet; every worker dies."""
    before = pair.workers()
    whole = {**LONG, "stream": False, "max_tokens": 100, "seed": 4, "temperature": 1}
    wires = [Wire(pair, deadline_s=100) for _ in range(4)]
    for wire in wires:
        wire.request("POST", "/v1/completions", whole)
    until("all to run", lambda: pair.metric("stator_worker_running") == 4)
    until("tokens to come", lambda: pair.metric("stator_generated_tokens_total") > 40)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    texts = set()
    for wire in wires:
        answer = wire.answer()
        assert answer.status == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] == 100
        texts.add(answer.json()["choices"][0]["text"])
        wire.close()
    assert len(texts) == 1
    assert pair.metric("stator_retried_total") >= 4
    until("both to be back", lambda: len(pair.workers()) == 2 and not set(pair.workers()) & set(before), 30)
    until("the deployment to be ready", pair.is_ready, 30)
    until("every slot to be free", pair.idle, 20)


def test_a_killed_frontend_comes_back_on_its_port(pair):
    before, workers = pair.frontend(), pair.workers()
    os.kill(before, signal.SIGKILL)
    until("a new frontend", lambda: pair.children("frontend") and pair.frontend() != before, 20)
    until("it to be ready", pair.is_ready, 20)
    until("both workers to be free", pair.idle, 20)
    as_before(pair, workers)


def test_a_stopped_worker_does_not_stop_the_others(pair):
    workers = pair.workers()
    os.kill(workers[0], signal.SIGSTOP)
    try:
        assert pair.get("/health")
        assert pair.metrics()
    finally:
        os.kill(workers[0], signal.SIGCONT)
    for _ in range(4):
        as_before(pair, workers)


def test_streams_of_a_worker_that_stays_stopped_end_soon_and_it_is_used_again(pair):
    workers = pair.workers()
    wires = [Wire(pair, deadline_s=60) for _ in range(4)]
    for wire in wires:
        wire.request("POST", "/v1/completions", LONG)
        assert wire.head()[0] == 200
        next(wire.events())
    begun = time.monotonic()
    os.kill(workers[0], signal.SIGSTOP)
    try:
        until("its streams to end", lambda: pair.running() == 2, 25)
        assert 9 < time.monotonic() - begun
    finally:
        os.kill(workers[0], signal.SIGCONT)
    until("it to be back", lambda: pair.metric("stator_worker_up") == 2, 30)
    ended = []
    for wire in wires:
        wire.socket.settimeout(0.01)
        if drained(wire):
            ended.append(wire)
    assert len(ended) == 2
    for wire in ended:
        assert b'"worker_lost"' in wire.received and b"silent" in wire.received, wire.received[-500:]
        assert b"[DONE]" not in wire.received
    for wire in wires:
        wire.close()
    until("all to be free", pair.idle, 30)
    as_before(pair, workers)


@pytest.mark.smoke
def test_a_frame_of_another_major_version_is_refused_with_a_sentence(pair):
    workers = pair.workers()
    with frames.connect(worker_socket(pair)) as stream:
        stream.sendall(frames.hello(major=9))
        said = frames.take_frames(frames.read_until_closed(stream))
    refusals = [body.decode(errors="replace") for kind, body in said if kind == frames.REFUSE]
    assert len(refusals) == 1, said
    assert "9" in refusals[0] and "version" in refusals[0], refusals
    as_before(pair, workers)


def test_a_newer_minor_version_is_welcome(pair):
    with frames.connect(worker_socket(pair)) as stream:
        stream.sendall(frames.hello(minor=7))
        said = b""
        while not any(kind == frames.CARD for kind, _ in frames.take_frames(said)):
            data = stream.recv(65536)
            assert data, frames.take_frames(said)
            said += data


@pytest.mark.smoke
def test_ten_thousand_random_frames_harm_nobody(pair):
    workers = pair.workers()
    path = worker_socket(pair)
    descriptors = descriptors_of(workers[0])
    draw = random.Random(20261123)
    sent = connections = 0
    stream = None
    while sent < 10000:
        if stream is None:
            stream = frames.connect(path)
            connections += 1
            if draw.random() < 0.8:
                stream.sendall(frames.hello())
        try:
            stream.sendall(random_frame(draw))
            sent += 1
            if draw.random() < 0.02:
                stream.close()
                stream = None
        except ConnectionError:
            stream.close()
            stream = None
    if stream:
        stream.close()
    assert connections > 10
    until("what they began to end", pair.idle, 30)
    until("their connections to be closed", lambda: descriptors_of(workers[0]) <= descriptors, 3)
    as_before(pair, workers)


def descriptors_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def random_frame(draw):
    body = draw.randbytes(draw.choice((0, 1, 5, 40, 300)))
    shape = draw.random()
    if shape < 0.1:
        return body
    if shape < 0.15:  # a length that is a lie
        return draw.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\0")) + body
    kind = draw.randrange(0, 14)
    if shape < 0.6:
        return frames.frame(kind, body)
    fields = []
    for _ in range(draw.randrange(6)):
        field = draw.randrange(1, 24)
        fields.append(draw.choice((
            frames.number(field, draw.getrandbits(draw.choice((1, 8, 32, 64)))),
            frames.text(field, draw.randbytes(draw.randrange(0, 32))),
            bytes([field << 3 | 1]) + draw.randbytes(8),
            bytes([field << 3 | 3]) + draw.randbytes(4))))
    return frames.frame(kind, *fields)


def test_a_peer_that_says_nothing_holds_nobody_up(pair):
    workers = pair.workers()
    silent = [frames.connect(worker_socket(pair)) for _ in range(32)]
    try:
        as_before(pair, workers)
    finally:
        for stream in silent:
            stream.close()
    as_before(pair, workers)


def test_sockets_of_workers_are_private(pair):
    for index in range(2):
        status = os.stat(worker_socket(pair, index))
        assert status.st_mode & 0o077 == 0
        assert os.stat(os.path.dirname(worker_socket(pair, index))).st_mode & 0o077 == 0


def test_no_worker_outlives_its_supervisor():
    deployment = Deployment(graph=mock_graph(workers=2))
    children = deployment.session()
    assert len(children) >= 4
    os.kill(deployment.pid, signal.SIGKILL)
    try:
        until("all to be gone", lambda: all((stat_of(pid) or ["Z"])[0] == "Z" for pid in children), 20)
    finally:
        deployment.kill_all()
        deployment.folder.cleanup()


def test_the_same_request_gives_the_same_answer_from_any_worker(pair):
    answers = {json.dumps(post(pair, "/v1/completions", {**SHORT, "seed": 5, "temperature": 1}).json()["choices"])
               for _ in range(6)}
    assert len(answers) == 1


def mock_worker(tmp_path, name, *args):
    return Process("worker", "--engine", "mock", "--name", name, "--listen", f"unix:{tmp_path}/{name}.sock", *args)


def test_ready_waits_for_every_model_that_is_expected(tmp_path):
    sockets = ",".join(f"unix:{tmp_path}/{name}.sock" for name in ("small-0", "large-0"))
    frontend = Process("frontend", "--listen", "127.0.0.1:0", "--workers", sockets, "--expect", "small=1",
                       "--expect=large=1")
    workers = [mock_worker(tmp_path, "small-0", "--served-model-name", "small")]
    try:
        url = "http://" + frontend.wait_line(LISTENS).group(1)

        def status(path, body=None):
            request = urllib.request.Request(url + path, body and json.dumps(body).encode(),
                                             {"content-type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=20) as reply:
                    return reply.status, reply.read().decode(), reply.headers
            except urllib.error.HTTPError as e:
                return e.code, e.read().decode(), e.headers

        until("the small one to be served", lambda: status("/v1/completions", {**SHORT, "model": "small"})[0] == 200, 20)
        code, body, _ = status("/ready")
        assert code == 503 and json.loads(body)["missing"] == ["large"], body
        code, body, headers = status("/v1/completions", {**SHORT, "model": "large"})
        assert code == 503 and "large" in body and headers["retry-after"], body
        assert not any("event=ready" in line or " ready url=" in line for line in frontend.lines)
        workers.append(mock_worker(tmp_path, "large-0", "--served-model-name", "large"))
        until("all to be ready", lambda: status("/ready")[0] == 200, 20)
        assert status("/v1/completions", {**SHORT, "model": "large"})[0] == 200
    finally:
        for process in [frontend, *workers]:
            process.kill_all()


def test_a_frontend_that_waits_for_what_cannot_come_ends_and_says_why(tmp_path, demo_model):
    sockets = ",".join(f"unix:{tmp_path}/{name}.sock" for name in ("a", "b"))
    workers = [mock_worker(tmp_path, "a", "--served-model-name", "one")]
    workers[0].wait_line("worker ready")
    workers.append(mock_worker(tmp_path, "b", "--served-model-name", "one", "--model", demo_model))
    workers[1].wait_line("worker ready")
    frontend = Process("frontend", "--listen", "127.0.0.1:0", "--workers", sockets, "--expect", "one=2", "--status-fd", 2)
    try:
        assert frontend.wait_exit(20) == 1
        assert re.search(r'^error the worker "[ab]" cannot be used: its tokenizer differs', frontend.output, re.M)
    finally:
        for process in [frontend, *workers]:
            process.kill_all()


MOST = 2**32 - 1
STEP_LIES = [[frames.number(field, value)] for field, value in (
    (2, 2**63), (3, MOST), (4, MOST), (5, MOST), (6, MOST), (7, 2**64 - 1), (8, MOST), (9, MOST), (10, MOST), (12, MOST),
    (13, 2**64 - 1), (14, 2**64 - 1), (15, MOST), (16, MOST), (17, 2**64 - 1))]
STEP_LIES.append([lie for lies in STEP_LIES for lie in lies])


class Liar(threading.Thread):
    """A worker that answers each request with one token and lies in all that it reports, until it is told to be honest."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        self.lies = list(STEP_LIES)
        self.requests = 0
        self.start()

    def run(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        card = frames.frame(
            frames.CARD, frames.text(1, b"liar"), frames.hash64(2, 7), frames.text(3, b"mock"), frames.text(4, b"both"),
            frames.text(5, b"mock"), frames.text(6, b"byte"), frames.hash64(7, 0x62797465), frames.number(10, 16),
            frames.number(11, 256), frames.number(12, 8), frames.number(13, 4096))
        stream.sendall(frames.hello(role=b"worker") + card)
        data = b""
        try:
            while more := stream.recv(65536):
                data += more
                for kind, body in frames.take_frames(data):
                    if kind == frames.REQUEST:
                        self.answer(stream, frames.first_number(body))
                data = data[sum(5 + len(body) for _, body in frames.take_frames(data)):]
        except OSError:
            pass

    def answer(self, stream, request):
        self.requests += 1
        item = frames.number(1, request) + frames.text(2, struct.pack("<I", 65))
        lies = b"".join(frames.frame(frames.STEP, frames.number(1, n + 1), *lie) for n, lie in enumerate(self.lies))
        hashes = struct.pack("<600Q", *(n << 40 for n in range(600)))
        kv = frames.frame(frames.KV, frames.text(2, hashes), frames.number(5, 1), frames.number(6, 1), frames.hash64(7, 3))
        cached, generated = (MOST, MOST) if self.lies else (0, 1)
        done = frames.frame(frames.DONE, frames.number(1, request), frames.number(2, 2), frames.number(5, cached),
                            frames.number(6, generated), frames.number(8, 2**63), frames.number(9, 2**63))
        stream.sendall((lies + kv if self.lies else b"") + frames.frame(frames.TOKENS, frames.text(1, item)) + done)


def test_a_worker_that_lies_hurts_nobody(tmp_path):
    liar = Liar(str(tmp_path / "liar.sock"))
    honest = mock_worker(tmp_path, "honest")
    sockets = f"unix:{tmp_path}/liar.sock,unix:{tmp_path}/honest.sock"
    frontend = Process("frontend", "--listen", "127.0.0.1:0", "--workers", sockets, "--router", "round-robin",
                       "--min-workers", 2)
    try:
        url = "http://" + frontend.wait_line(LISTENS).group(1)
        until("both to be served by", lambda: answers(url + "/ready"), 20)

        def ask():
            body = json.dumps({"model": "mock", "prompt": "once upon", "max_tokens": 1, "ignore_eos": True})
            request = urllib.request.Request(url + "/v1/completions", body.encode(), {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=20) as reply:
                return json.load(reply)["usage"], reply.headers["x-stator-worker"]

        def count(name):
            with urllib.request.urlopen(url + "/metrics", timeout=20) as reply:
                found = re.findall(rf'^{name}{{[^}}]*worker="liar"}} (\d+)', reply.read().decode(), re.M)
            return int(found[0]) if found else 0

        for _ in range(20):
            usage, _ = ask()
            assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"], usage
            assert usage["completion_tokens"] == 1
        assert liar.requests >= 5  # its lies do not keep requests from it, either
        assert count("stator_worker_bad_reports_total") >= 16 * 5
        assert count("stator_worker_running") <= 8 and count("stator_kv_cells") <= 4112
        # Honest from now on, it is as any other.
        liar.lies = []
        before, told = liar.requests, count("stator_worker_bad_reports_total")
        for _ in range(10):
            ask()
        assert liar.requests >= before + 4 and count("stator_worker_bad_reports_total") == told
    finally:
        liar.listener.close()
        for process in (frontend, honest):
            process.kill_all()


def test_a_worker_records_what_each_step_held_and_took(tmp_path):
    record, socket = tmp_path / "steps.jsonl", f"unix:{tmp_path}/w.sock"
    worker = Process("worker", "--engine", "mock", "--listen", socket, "--record-steps", record, "--decode-us-base", 1000)
    frontend = Process("frontend", "--listen", "127.0.0.1:0", "--workers", socket)
    try:
        url = "http://" + frontend.wait_line(LISTENS).group(1)
        until("the worker to be served by", lambda: answers(url + "/ready"), 20)
        request = urllib.request.Request(url + "/v1/completions", json.dumps({**SHORT, "ignore_eos": True}).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as reply:
            assert json.load(reply)["usage"]["completion_tokens"] == 8
        worker.popen.send_signal(signal.SIGTERM)
        assert worker.wait_exit() == 0
    finally:
        worker.kill_all()
        frontend.kill_all()
    steps = [json.loads(line) for line in record.read_text().splitlines()]
    assert [s["step"] for s in steps] == list(range(1, len(steps) + 1))
    assert steps[0]["prefill_tokens"] > 0 and steps[0]["context_tokens"] == steps[0]["prefill_tokens"]
    assert sum(s["decode_tokens"] for s in steps) == 7
    assert all(s["duration_us"] >= 1000 for s in steps)
    assert all(a["began_us"] + a["duration_us"] <= b["began_us"] for a, b in zip(steps, steps[1:]))


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False
