"""What a client that makes mistakes is told: the status and form of OpenAI, and a sentence that names the place."""

import json
import re

import pytest
from deployment import Deployment, mock_graph, until
from rawhttp import Wire, call, post

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def chat(**changes):
    return {"model": "mock", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, **changes}


def completion(**changes):
    return {"model": "mock", "prompt": "hello", "max_tokens": 4, **changes}


@pytest.mark.smoke
@pytest.mark.parametrize("path, body", [(CHAT, chat()), (COMPLETIONS, completion())])
def test_a_good_request_is_answered(mock, path, body):
    answer = post(mock, path, body)
    assert answer.status == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 4


@pytest.mark.smoke
def test_malformed_json_is_refused_with_its_position(mock):
    answer = post(mock, CHAT, '{"model": "mock",\n  "messages": [}')
    assert answer.status == 400
    assert re.search(r"line 2, column 16", answer.error()), answer.error()


@pytest.mark.parametrize("body", ["", "  ", "[]", '"text"', "null", "{} {}", '{"a":1', "\0", '{"a":\x01}', "NaN"])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, "/tokenize", "/detokenize"])
def test_a_body_that_is_no_object_is_refused(mock, path, body):
    answer = post(mock, path, body)
    assert answer.status == 400
    assert answer.error()


WRONG_TYPES = [
    ("messages", "hello"), ("messages", {}), ("messages", [1]), ("messages", ["hello"]), ("messages", [{}]),
    ("messages", [{"role": 1, "content": "x"}]), ("messages", [{"role": "user", "content": 1}]),
    ("max_tokens", "4"), ("max_tokens", -2), ("max_tokens", 1.5), ("max_tokens", [4]),
    ("temperature", "hot"), ("temperature", -1), ("temperature", 1e9), ("top_p", 2), ("top_p", []), ("n", 0), ("n", "2"), ("n", 100000),
    ("stop", 1), ("stop", [1]), ("stop", ["a"] * 1000), ("stop", "x" * 100000), ("stream", "yes"), ("seed", "one"),
    ("logprobs", "yes"), ("top_logprobs", 1000), ("logit_bias", [1]), ("logit_bias", {"x": 1}), ("logit_bias", {"1": "x"}),
    ("stream_options", "x"), ("presence_penalty", "x"), ("frequency_penalty", 1e9), ("model", 1), ("model", ["mock"]),
]


@pytest.mark.parametrize("field, value", WRONG_TYPES, ids=[f"{f}={str(v)[:20]}" for f, v in WRONG_TYPES])
def test_a_wrong_type_or_range_is_refused_by_the_name_of_its_field(mock, field, value):
    answer = post(mock, CHAT, chat(logprobs=True, **{field: value}) if field == "top_logprobs" else chat(**{field: value}))
    assert answer.status == 400, answer.text
    assert field in answer.error()
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert field in (answer.json()["error"]["param"] or "")


@pytest.mark.parametrize("prompt", [1, {}, [1.5], [-1], [10**12], ["a", 1], [None], [999999]])
def test_a_prompt_of_the_wrong_kind_is_refused(mock, prompt):
    answer = post(mock, COMPLETIONS, completion(prompt=prompt))
    assert answer.status == 400, answer.text
    assert "prompt" in answer.error()


def test_a_missing_prompt_or_messages_is_named(mock):
    assert "messages" in post(mock, CHAT, {"model": "mock"}).error()
    assert "prompt" in post(mock, COMPLETIONS, {"model": "mock"}).error()


@pytest.mark.smoke
def test_empty_messages_are_refused(mock):
    answer = post(mock, CHAT, chat(messages=[]))
    assert answer.status == 400
    assert "messages" in answer.error()


@pytest.mark.smoke
@pytest.mark.parametrize("path, body", [(CHAT, chat(messages=[{"role": "user", "content": "x" * 5000}])),
                                        (COMPLETIONS, completion(prompt="x" * 5000)),
                                        (COMPLETIONS, completion(prompt=[65] * 5000))])
def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(mock, path, body):
    answer = post(mock, path, body)
    assert answer.status == 400
    numbers = [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", answer.error())]
    assert 4096 in numbers, answer.error()
    assert any(5000 <= n < 5200 for n in numbers), answer.error()
    assert answer.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("path, body", [(CHAT, chat(model="gpt-9")), (COMPLETIONS, completion(model="gpt-9"))])
def test_an_unknown_model_is_refused_with_a_list_of_those_there_are(mock, path, body):
    answer = post(mock, path, body)
    assert answer.status == 404
    assert "gpt-9" in answer.error() and "mock" in answer.error()
    assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a\xf0\x9f"])
def test_invalid_utf8_is_refused(mock, bad):
    body = json.dumps(chat()).encode().replace(b"hello", bad)
    answer = post(mock, CHAT, body)
    assert answer.status == 400
    assert "UTF-8" in answer.error()
    answer.body.decode()


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\ud800\ud800", r"\u0000", r"\u00zz"])
def test_broken_escapes_never_break_the_server(mock, escape):
    body = json.dumps(chat()).replace("hello", escape)
    answer = post(mock, CHAT, body)
    assert answer.status in (200, 400)
    answer.json()


def test_deep_nesting_is_refused(mock):
    answer = post(mock, CHAT, '{"messages":' + "[" * 100000 + "]" * 100000 + "}")
    assert answer.status == 400
    assert answer.error()


@pytest.mark.smoke
def test_a_huge_body_is_refused_before_it_is_sent(mock):
    with Wire(mock) as wire:
        wire.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        answer = wire.answer()
        assert answer.status == 413
        assert answer.error()
        assert wire.closed()


def test_a_huge_chunked_body_is_refused(mock):
    with Wire(mock) as wire:
        wire.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            for _ in range(32):
                wire.send(piece)
        except ConnectionError:
            pass  # it need not read on once it has said no
        assert wire.answer().status == 413


def test_chunked_bodies_are_read(mock):
    body = json.dumps(chat()).encode()
    with Wire(mock) as wire:
        wire.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in body:
            wire.send(b"1\r\n" + bytes([byte]) + b"\r\n")
        wire.send(b"0\r\n\r\n")
        assert wire.answer().status == 200


@pytest.mark.parametrize("head", [
    "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + "a" * 20000 + "\r\n\r\n",
    "GET /" + "a" * 20000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"X-{i}: y\r\n" for i in range(500)) + "\r\n",
], ids=["long header", "long path", "many headers"])
def test_headers_past_the_limit_are_refused(mock, head):
    with Wire(mock) as wire:
        wire.send(head)
        assert wire.answer().status == 431
        assert wire.closed()


@pytest.mark.parametrize("head", [
    "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "BLAH\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", "GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
    "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
], ids=["tls", "no request", "version", "smuggling", "two lengths", "negative", "space in name", "bad chunk"])
def test_what_is_no_http_is_refused_and_closed(mock, head):
    with Wire(mock) as wire:
        wire.send(head.encode("latin-1"))
        status, _ = wire.head()
        assert status in (400, 505)
        while wire.more():
            pass


def test_unknown_paths_and_methods_are_refused(mock):
    assert call(mock, "GET", "/nothing/here").status == 404
    assert call(mock, "GET", "/nothing/here").error()
    for path in (CHAT, COMPLETIONS):
        answer = call(mock, "GET", path)
        assert answer.status == 405
        assert "POST" in answer.headers["allow"]
        assert answer.error()


def test_unknown_fields_are_ignored(mock):
    assert post(mock, CHAT, chat(user="me", store=True, metadata={"a": [1]}, made_up=None)).status == 200


def test_an_answer_carries_the_id_of_its_request(mock):
    answer = post(mock, CHAT, chat(), headers=["X-Request-Id: my-id-1"])
    assert answer.headers["x-request-id"] == "my-id-1"
    first, second = (post(mock, CHAT, chat()).headers["x-request-id"] for _ in range(2))
    assert first and second and first != second


@pytest.mark.parametrize("value", ["a" * 5000, "a\tb\x7f", "\x80\xff"])
def test_an_id_that_is_no_good_is_not_sent_back(mock, value):
    answer = call(mock, "POST", CHAT, chat(), headers=[f"X-Request-Id: {value}"])
    assert answer.status in (200, 400)
    assert value not in answer.headers.get("x-request-id", "")


@pytest.mark.parametrize("value", ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "nonsense"])
def test_a_traceparent_is_taken_or_ignored(mock, value):
    assert post(mock, CHAT, chat(), headers=[f"traceparent: {value}"]).status == 200


def test_nothing_of_all_this_left_a_request_behind(mock):
    assert post(mock, CHAT, chat()).status == 200
    until("everything to be free", mock.idle, 10)


LOCAL = "Host: localhost\r\n"
ASK = f"POST /tokenize HTTP/1.1\r\n{LOCAL}Content-Type: application/json\r\n"
TEXT = '{"prompt":"x"}'
CHUNKED = f"Transfer-Encoding: chunked\r\n\r\ne\r\n{TEXT}\r\n0\r\n\r\n"
RAW = {
    "bare line feeds": (400, "GET /live HTTP/1.1\nHost: localhost\n\n"),
    "two equal lengths": (400, f"{ASK}Content-Length: 14\r\nContent-Length: 14\r\n\r\n{TEXT}"),
    "a list of lengths": (400, f"{ASK}Content-Length: 14, 14\r\n\r\n{TEXT}"),
    "hexadecimal length": (400, f"{ASK}Content-Length: 0xe\r\n\r\n{TEXT}"),
    "length in two words": (400, f"{ASK}Content-Length: 1 4\r\n\r\n{TEXT}"),
    "length of 2^64 - 1": (413, f"{ASK}Content-Length: 18446744073709551615\r\n\r\n"),
    "chunked and a length": (400, f"{ASK}Content-Length: 14\r\n{CHUNKED}"),
    "chunked twice": (400, f"{ASK}Transfer-Encoding: chunked\r\n{CHUNKED}"),
    "identity": (501, f"{ASK}Transfer-Encoding: identity\r\n\r\n"),
    "chunked behind a control character": (400, f"{ASK}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "chunked in capitals": (200, f"{ASK}{CHUNKED.replace('chunked', 'CHUNKED')}"),
    "an extension with blanks": (200, f"{ASK}Transfer-Encoding: chunked\r\n\r\ne ; a = b\r\n{TEXT}\r\n0 ;c\r\nT: v\r\n\r\n"),
    "a chunk of 2^64 - 1": (413, f"{ASK}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
    "HTTP/2": (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "CONNECT": (501, f"CONNECT localhost:1 HTTP/1.1\r\n{LOCAL}\r\n"),
    "no header name": (400, f"GET /live HTTP/1.1\r\n{LOCAL}: v\r\n\r\n"),
    "a blank in a header name": (400, f"GET /live HTTP/1.1\r\n{LOCAL}X Y: v\r\n\r\n"),
    "a folded Host": (400, "GET /live HTTP/1.1\r\nHost: localhost\r\n .example\r\n\r\n"),
    "no Host": (400, "GET /live HTTP/1.1\r\n\r\n"),
    "an upgrade": (200, f"GET /live HTTP/1.1\r\n{LOCAL}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    "a whole URL": (200, f"GET http://localhost/live HTTP/1.1\r\n{LOCAL}\r\n"),
    "a whole URL of a stranger": (403, f"GET http://rebound.example/live HTTP/1.1\r\n{LOCAL}\r\n"),
    "a strange Host": (403, "GET /live HTTP/1.1\r\nHost: rebound.example:8000\r\n\r\n"),
    "a strange page": (403, f"{ASK}Origin: http://elsewhere.example\r\nContent-Length: 14\r\n\r\n{TEXT}"),
    "a strange page's question": (403, f"OPTIONS /tokenize HTTP/1.1\r\n{LOCAL}Origin: http://elsewhere.example\r\n"
                                       "Access-Control-Request-Method: POST\r\n\r\n"),
    "plain text": (415, f"POST /tokenize HTTP/1.1\r\n{LOCAL}Content-Type: text/plain\r\nContent-Length: 14\r\n\r\n{TEXT}"),
    "what curl says": (200, f"POST /tokenize HTTP/1.1\r\n{LOCAL}Content-Type: application/x-www-form-urlencoded\r\n"
                            f"Content-Length: 14\r\n\r\n{TEXT}"),
    "gzip": (415, f"{ASK}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"),
}


def test_a_page_that_is_refused_stands_in_the_log_with_the_key_to_set_however_long_its_name():
    with Deployment(graph=mock_graph()) as deployment:
        for origin in ("http://app.example:3000", "http://" + "a" * 30000 + ".example"):
            seen = len(deployment.lines)
            refused = call(deployment, "OPTIONS", "/v1/chat/completions",
                           headers=[f"Origin: {origin}", "Access-Control-Request-Method: POST"])
            assert refused.status == 403 and "allow-origin" in refused.error()
            line = deployment.wait_line("request refused", after=seen).string
            assert "allow-origin" in line and origin[:100] in line and len(line) < 2000


@pytest.mark.parametrize("name", RAW)
def test_what_follows_a_request_is_read_as_it_was_meant_or_not_at_all(mock, name):
    """One answer and the end, or two: never the wrong bytes as a request."""
    status, request = RAW[name]
    with Wire(mock) as wire:
        wire.send((request + f"GET /version HTTP/1.1\r\n{LOCAL}Connection: close\r\n\r\n").encode("latin-1"))
        first = wire.answer()
        assert first.status == status, first.text
        if first.headers.get("connection") == "close":
            assert status >= 400 and wire.closed()
        else:
            second = wire.answer()
            assert second.status == 200 and "version" in second.json()
            assert wire.closed()
