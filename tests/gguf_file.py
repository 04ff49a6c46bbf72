"""Small GGUF files of any metadata, for tests of what is read before weights are."""

import struct


def _text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def _pair(key, value):
    if isinstance(value, bool):
        return _text(key) + struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return _text(key) + struct.pack("<II", 4, value)
    if isinstance(value, float):
        return _text(key) + struct.pack("<If", 6, value)
    if isinstance(value, (str, bytes)):
        return _text(key) + struct.pack("<I", 8) + _text(value)
    return _text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))


def write(path, pairs, tensors=("token_embd.weight", "blk.0.attn_q.weight")):
    """pairs: key to int, bool, float, text or list of texts. Each tensor is one float. Returns path."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(_pair(key, value) for key, value in pairs.items())
    for i, name in enumerate(tensors):
        head += _text(name) + struct.pack("<IQIQ", 1, 1, 0, 32 * i)
    head += bytes(-len(head) % 32)
    path.write_bytes(head + bytes(32 * len(tensors)))
    return path


def with_metadata(path, source, changes):
    """A copy of a real file with other metadata: changes maps keys to values, None leaves a key out. Returns path."""
    data = source.read_bytes() if hasattr(source, "read_bytes") else open(source, "rb").read()
    version, tensors, count = struct.unpack_from("<IQQ", data, 4)
    pos, kept = 24, []
    sizes = (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)

    def text_end(at):
        return at + 8 + struct.unpack_from("<Q", data, at)[0]

    def value_end(at, kind):
        if kind == 8:
            return text_end(at)
        if kind != 9:
            return at + sizes[kind]
        item, n = struct.unpack_from("<IQ", data, at)
        at += 12
        if sizes[item]:
            return at + n * sizes[item]
        for _ in range(n):
            at = value_end(at, item)
        return at

    for _ in range(count):
        begin, pos = pos, text_end(pos)
        key = data[begin + 8:pos].decode()
        kind, = struct.unpack_from("<I", data, pos)
        pos = value_end(pos + 4, kind)
        if key not in changes:
            kept.append(data[begin:pos])
    kept += [_pair(key, value) for key, value in changes.items() if value is not None]
    infos = pos
    for _ in range(tensors):
        pos = text_end(pos)
        dims, = struct.unpack_from("<I", data, pos)
        pos += 4 + 8 * dims + 12
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, len(kept)) + b"".join(kept) + data[infos:pos]
    head += bytes(-len(head) % 32)
    path.write_bytes(head + data[pos + -pos % 32:])
    return path
