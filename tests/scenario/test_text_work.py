"""Requests whose text takes long: short ones do not wait for them, and they end when nobody waits for them any more."""

import contextlib
import json
import threading

import pytest
from deployment import Deployment, mock_graph, until
from rawhttp import Wire, encode, post

CHAT = {"model": "mock", "messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 2}
# Some tenths of a second of one thread: two million numbers and a quarter of a million texts that nobody looks at.
GIANT = json.dumps({"model": "mock", "prompt": "x", "max_tokens": 1, "x": [[7] * 2000000, [""] * 200000]}, separators=(",", ":"))
GIANTS = 10


@pytest.fixture(scope="module")
def single():
    """One thread for long texts."""
    with Deployment(graph=mock_graph({"idle-timeout": "300s"}, Processor={"text-threads": 1, "text-timeout": "600s"})) as deployment:
        yield deployment


def outstanding(deployment):
    return deployment.metric("stator_text_waiting") + deployment.metric("stator_text_running")


@contextlib.contextmanager
def senders(deployment, count=GIANTS, paths=("/v1/completions", "/tokenize")):
    """Connections that are sending one each."""
    wires = [Wire(deployment, 120) for _ in range(count)]

    def send(wire, path):
        with contextlib.suppress(OSError):  # refused before its end, or closed by the test
            wire.send(encode("POST", path, GIANT))

    threads = [threading.Thread(target=send, args=(wire, paths[i % len(paths)])) for i, wire in enumerate(wires)]
    for thread in threads:
        thread.start()
    try:
        yield wires
    finally:
        for wire in wires:
            wire.close()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def giants(deployment):
    """The same, at least three of which wait for a thread."""
    with senders(deployment) as wires:
        until("three giants that wait", lambda: deployment.metric("stator_text_waiting") >= 3)
        yield wires


def test_a_short_chat_is_answered_while_giants_wait(single):
    with giants(single) as wires:
        for _ in range(3):
            answer = post(single, "/v1/chat/completions", CHAT)
            assert answer.status == 200, answer.text
            assert single.get("/ready") and outstanding(single) >= 1, "the giants ended before the short chat"
        assert all(wire.answer().status == 200 for wire in wires)
    assert outstanding(single) == 0


def test_giants_end_when_their_clients_leave(single):
    before = single.metrics().get("stator_text_cancelled_total", [])
    with giants(single) as wires:
        for wire in wires:
            wire.reset()
        until("no text work", lambda: not outstanding(single))
    until("no request", lambda: single.running() == 0)
    cancelled = single.metric("stator_text_cancelled_total", why="client left")
    assert cancelled - sum(value for labels, value in before if labels["why"] == "client left") >= 3


def test_a_deadline_is_kept_while_text_waits(single):
    with giants(single) as wires:
        answer = post(single, "/v1/completions", GIANT, headers=["x-stator-deadline-ms: 100"])
        assert answer.status == 504 and answer.json()["error"]["code"] == "deadline_exceeded", answer.text
        assert outstanding(single) >= 1, "the giants ended before the deadline was told"
        assert all(wire.answer().status == 200 for wire in wires)


def test_more_text_than_the_limit_allows_is_refused_with_a_time_to_come_back():
    graph = mock_graph(Processor={"text-threads": 1, "text-timeout": "0.6s"})
    with Deployment(graph=graph) as deployment:
        with senders(deployment, 2 * GIANTS) as wires:
            answers = [wire.answer() for wire in wires]
        codes = {a.status: a.status == 200 or a.json()["error"]["code"] for a in answers}
        # 400: on a machine that is very busy one alone may take longer than the limit.
        allowed = {200: True, 400: "text_too_slow", 429: "text_queue_full", 503: "text_timeout"}
        assert codes.items() <= allowed.items()
        refused = [a for a in answers if a.status in (429, 503)]
        assert refused and all(int(a.headers["retry-after"]) >= 1 for a in refused)
        until("no text work", lambda: not outstanding(deployment))
        assert post(deployment, "/v1/chat/completions", CHAT).status == 200
