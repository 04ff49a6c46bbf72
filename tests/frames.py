"""Frames between frontend and worker by hand (src/wire/msg.h): what is needed to be a strange peer."""

import socket
import struct

HELLO, CARD, REQUEST, CANCEL, TOKENS, DONE, STEP, KV, REFUSE = 1, 2, 3, 4, 5, 6, 7, 8, 11


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number(field, value):
    return bytes([field << 3]) + varint(value)


def text(field, value):
    return bytes([field << 3 | 2]) + struct.pack("<I", len(value)) + value


def frame(kind, *fields):
    body = bytes([kind]) + b"".join(fields)
    return struct.pack("<I", len(body)) + body


def hash64(field, value):
    return bytes([field << 3 | 1]) + struct.pack("<Q", value)


def first_number(body):
    """The value of the first field, which is a number."""
    value = shift = 0
    for byte in body[1:]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value
    raise ValueError(body)


def hello(major=1, minor=0, role=b"frontend"):
    return frame(HELLO, number(1, major), number(2, minor), text(3, b"a test"), text(4, role))


def connect(path, deadline_s=20):
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(deadline_s)
    stream.connect(path)
    return stream


def read_until_closed(stream):
    """All the peer says until it closes."""
    said = b""
    while True:
        try:
            data = stream.recv(65536)
        except ConnectionError:
            return said
        if not data:
            return said
        said += data


def take_frames(data):
    """[(kind, body)] of the whole frames in data."""
    found = []
    while len(data) >= 5:
        size, kind = struct.unpack_from("<IB", data)
        if len(data) < 4 + size:
            break
        found.append((kind, data[5 : 4 + size]))
        data = data[4 + size :]
    return found
