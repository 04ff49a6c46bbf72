"""Clients that dawdle, stop reading, or leave: none of them holds on to anything."""

import json

import pytest
from deployment import Deployment, mock_graph, until
from rawhttp import Wire, call, encode, post

BODY = {"model": "mock", "prompt": "once upon a time", "max_tokens": 8}
# Some two minutes at 20 ms a token, if nobody stopped it.
LONG = {"model": "mock", "prompt": "for ever", "max_tokens": 4000, "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def slow():
    """One worker that takes 20 ms a token, two sequences at a time."""
    limits = {"stall-timeout": "2s", "queue-len-max": 4, "max-conns": 40}
    with Deployment(graph=mock_graph(limits, {"decode-us-base": 20000, "max-seqs": 2})) as deployment:
        yield deployment


@pytest.mark.smoke
def test_headers_that_drip_are_cut_off(mock):
    with Wire(mock, deadline_s=20) as wire:
        wire.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n")
        status, headers = wire.head()
        assert status == 408
        assert headers["connection"] == "close"
        while wire.more():
            pass


def test_a_byte_now_and_then_buys_no_time(mock):
    with Wire(mock, deadline_s=0.1) as wire:
        def drip():
            try:
                wire.send("a")
                wire.more()
            except TimeoutError:
                return False
            except ConnectionError:
                return True
            return b"408" in wire.received or wire.ended

        wire.send("GET / HTTP/1.1\r\nX-Long: ")
        until("408", drip, 20)


def test_a_body_that_does_not_come_is_cut_off(mock):
    with Wire(mock, deadline_s=20) as wire:
        wire.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert wire.head()[0] == 408
        while wire.more():
            pass


def test_others_are_served_while_some_dawdle(mock):
    dawdlers = [Wire(mock) for _ in range(200)]
    try:
        for wire in dawdlers:
            wire.send("POST /v1/completions HTTP/1.1\r\nHost")
        for _ in range(5):
            assert post(mock, "/v1/completions", BODY, deadline_s=10).status == 200
    finally:
        for wire in dawdlers:
            wire.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_closed_its_writing_half_is_answered(mock, stream):
    with Wire(mock) as wire:
        wire.request("POST", "/v1/completions", {**BODY, "stream": stream})
        wire.half_close()
        answer = wire.answer()
        assert answer.status == 200
        assert not stream or answer.text.endswith("data: [DONE]\n\n")


def test_a_client_that_closed_within_its_body_is_closed(mock):
    with Wire(mock, deadline_s=20) as wire:
        wire.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        wire.half_close()
        while wire.more():
            pass


@pytest.mark.smoke
def test_pipelined_requests_are_answered_in_order(mock):
    with Wire(mock) as wire:
        wire.send(b"".join(
            encode("POST", "/v1/completions", {**BODY, "max_tokens": count}, [f"X-Request-Id: number-{count}"])
            for count in (5, 1, 3)) + encode("GET", "/health"))
        for count in (5, 1, 3):
            answer = wire.answer()
            assert answer.headers["x-request-id"] == f"number-{count}"
            assert answer.json()["usage"]["completion_tokens"] == count
        assert wire.answer().status == 200


def test_a_connection_is_kept_and_used_again(mock):
    with Wire(mock) as wire:
        for stream in (False, True, False):
            wire.request("POST", "/v1/completions", {**BODY, "stream": stream})
            assert wire.answer().status == 200
        wire.request("GET", "/health", headers=["Connection: close"])
        assert wire.answer().status == 200
        assert wire.closed()


def test_head_requests_have_no_body(mock):
    with Wire(mock) as wire:
        wire.request("HEAD", "/health")
        status, _ = wire.head()
        assert status in (200, 405)
        wire.request("GET", "/health", headers=["Connection: close"])
        if status == 200:
            assert wire.answer().status == 200


@pytest.mark.smoke
@pytest.mark.parametrize("leave", [Wire.close, Wire.reset], ids=["close", "reset"])
def test_a_client_that_leaves_frees_its_slot(slow, leave):
    wires = [Wire(slow) for _ in range(2)]
    for wire in wires:
        wire.request("POST", "/v1/completions", LONG)
        assert wire.head()[0] == 200
        next(wire.events())
    assert slow.running() == 2
    for wire in wires:
        leave(wire)
    until("both slots to be free", slow.idle, 10)
    answer = post(slow, "/v1/completions", {**BODY, "max_tokens": 2}, deadline_s=10)
    assert answer.json()["usage"]["completion_tokens"] == 2


def test_a_client_that_leaves_without_streaming_frees_its_slot(slow):
    with Wire(slow) as wire:
        wire.request("POST", "/v1/completions", {**LONG, "stream": False})
        until("it to run", lambda: slow.running() == 1, 10)
    until("its slot to be free", slow.idle, 10)


def test_a_reader_that_stops_is_closed_and_never_pauses_the_engine():
    """Tokens that nobody takes wait at the frontend; the request itself ends at its own pace."""
    graph = mock_graph({"stall-timeout": "2s"}, {"decode-us-base": 20, "max-seqs": 4, "context-length": 200000})
    with Deployment(graph=graph) as fast, Wire(fast) as wire:
        wire.request("POST", "/v1/completions",
                     {**LONG, "max_tokens": 100000, "logprobs": 5, "prompt": "x"})
        assert wire.head()[0] == 200
        # It reads no more: some MB of answer cannot leave.
        until("the stalled request to be gone", fast.idle, 60)
        assert post(fast, "/v1/completions", BODY).status == 200


@pytest.mark.smoke
def test_too_many_requests_are_refused_with_the_time_to_come_back(slow):
    wires = [Wire(slow) for _ in range(12)]
    try:
        for wire in wires:
            wire.request("POST", "/v1/completions", LONG)
        refused = []
        # Two run, four wait, the others are refused at once.
        for wire in wires:
            wire.socket.settimeout(0.5)
            try:
                status, headers = wire.head()
            except TimeoutError:
                continue
            if status != 200:
                refused.append((status, headers))
        assert len(refused) >= 4
        for status, headers in refused:
            assert status == 429
            assert int(headers["retry-after"]) >= 1
    finally:
        for wire in wires:
            wire.close()
    until("everything to be free", slow.idle, 10)
    assert post(slow, "/v1/completions", BODY).status == 200


def test_too_many_connections_are_refused_and_later_ones_are_welcome(slow):
    wires = []
    try:
        def full():
            wires.append(Wire(slow, deadline_s=5))
            wires[-1].request("GET", "/health")
            status, headers = wires[-1].head()
            return status == 503 and int(headers["retry-after"]) >= 1

        until("a connection to be refused", full, 30)
        assert len(wires) >= 40
    finally:
        for wire in wires:
            wire.close()
    until("a new one to be welcome", lambda: call(slow, "GET", "/health").status == 200, 10)


def test_a_stream_is_events_with_an_end(mock):
    with Wire(mock) as wire:
        wire.request("POST", "/v1/completions", {**BODY, "stream": True})
        status, headers = wire.head()
        assert status == 200
        assert headers["content-type"].startswith("text/event-stream")
        assert "no-cache" in headers["cache-control"]
        *chunks, end = wire.events()
        assert end == "[DONE]"
        assert json.loads(chunks[-1])["choices"][0]["finish_reason"] == "length"
