"""HTTP/1.1 by hand over a socket, for requests that no client library would send."""

import json
import socket


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def error(self):
        """The sentence of an error in OpenAI's form, which every refusal must have."""
        found = self.json()["error"]
        assert isinstance(found["message"], str) and found["message"], found
        assert {"message", "type", "param", "code"} <= found.keys(), found
        return found["message"]


class Wire:
    """One connection. Whatever it waits for, it waits at most deadline_s."""

    def __init__(self, deployment, deadline_s=60):
        self.socket = socket.create_connection(deployment.address, timeout=deadline_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Leave without a word: the peer gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def request(self, method, path, body=None, headers=()):
        self.send(encode(method, path, body, headers))

    def more(self):
        """Read once. False at the end of the stream."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self.received += data
        self.ended = not data
        return not self.ended

    def until(self, mark):
        """Everything up to and with mark."""
        while mark not in self.received:
            if not self.more():
                raise EOFError(f"the connection ended before {mark!r}; received {self.received[:500]!r}")
        before, _, self.received = self.received.partition(mark)
        return before + mark

    def exactly(self, count):
        while len(self.received) < count:
            if not self.more():
                raise EOFError(f"the connection ended after {len(self.received)} of {count} bytes")
        data, self.received = self.received[:count], self.received[count:]
        return data

    def head(self):
        """Status and headers of the answer; interim ones (100 Continue) may come before it."""
        status, headers = self.one_head()
        while status // 100 == 1:
            status, headers = self.one_head()
        return status, headers

    def one_head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ")[:2]
        assert version == "HTTP/1.1", lines[0]
        headers = {}
        for line in filter(None, lines[1:]):
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(status), headers

    def chunks(self):
        """The pieces of a chunked body. A body that is cut off raises EOFError."""
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            data = self.exactly(size)
            assert self.exactly(2) == b"\r\n"
            if size == 0:
                return
            yield data

    def answer(self):
        status, headers = self.head()
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(self.chunks())
        elif "content-length" in headers:
            body = self.exactly(int(headers["content-length"]))
        else:
            while self.more():
                pass
            body, self.received = self.received, b""
        return Answer(status, headers, body)

    def closed(self):
        """True when the peer closes without another byte."""
        assert not self.received, self.received
        while self.more():
            assert not self.received, self.received
        return True

    def events(self):
        """The data of the server-sent events of a streamed answer whose head was read, as text."""
        waiting = b""
        for piece in self.chunks():
            waiting += piece
            while b"\n\n" in waiting:
                event, _, waiting = waiting.partition(b"\n\n")
                data = [line[5:].lstrip() for line in event.decode().split("\n") if line.startswith("data:")]
                if data:
                    yield "\n".join(data)


def encode(method, path, body=None, headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body is not None:
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + (body or b"")


def call(deployment, method, path, body=None, headers=(), deadline_s=60):
    """One request on a connection of its own."""
    with Wire(deployment, deadline_s) as wire:
        wire.request(method, path, body, headers)
        return wire.answer()


def post(deployment, path, body, **options):
    return call(deployment, "POST", path, body, **options)
