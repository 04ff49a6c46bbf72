#!/usr/bin/env python3
"""bench/gpu/make_model.py NAME OUT.gguf: a GGUF model of a published shape with random weights.

For measuring memory and speed, which do not depend on what the weights say, on machines where the real model is not at hand. The
shape is read from data/models.txt (dense models of architecture llama or qwen2), the tokenizer from --vocab (a GGUF file, or the
first megabytes of one); tokens that it lacks are filled in. --type f16, q8_0 or q4_0 for all matrices. Norms are ones, weights have
a standard deviation of about 0.02, so that every layer stays finite. Needs only Python.
"""

import argparse
import os
import re
import struct
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8
TYPES = {"f16": (F16, 1, 2), "q8_0": (Q8_0, 32, 34), "q4_0": (Q4_0, 32, 18)}  # ggml type, values and bytes of a block
FILE_TYPES = {"f16": 1, "q8_0": 7, "q4_0": 2}
ALIGN = 32
BLOCKS = 1 << 16
NORMAL = 1  # tokenizer.ggml.token_type
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY, U32, FLOAT = 8, 9, 4, 6


def shape_of(name):
    """{"layers": 48, ...} of data/models.txt."""
    with open(os.path.join(TOP, "data", "models.txt"), encoding="utf-8") as file:
        for line in file:
            if line.split(" ")[0] == name:
                return {k: v for k, v in re.findall(r"(\w+)=(\S+)", line)}
    sys.exit(f'make_model.py: data/models.txt has no model "{name}"')


class Reader:
    """The metadata of a GGUF file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read(64 << 20)
        self.at = 0

    def scalar(self, fmt):
        value = struct.unpack_from(fmt, self.data, self.at)[0]
        self.at += struct.calcsize(fmt)
        return value

    def text(self):
        size = self.scalar("<Q")
        self.at += size
        return self.data[self.at - size:self.at]

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            inner, count = self.scalar("<I"), self.scalar("<Q")
            return inner, [self.value(inner) for _ in range(count)]
        return self.scalar(SCALARS[kind])

    def fields(self):
        if self.data[:4] != b"GGUF":
            sys.exit("make_model.py: --vocab is not a GGUF file")
        self.at = 8 + 8
        ret = {}
        for _ in range(self.scalar("<Q")):
            key = self.text().decode()
            kind = self.scalar("<I")
            ret[key] = (kind, self.value(kind))
        return ret


def packed_text(text):
    return struct.pack("<Q", len(text)) + text


def packed(kind, value):
    if kind == STRING:
        return packed_text(value)
    if kind == ARRAY:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(packed(inner, item) for item in items)
    return struct.pack(SCALARS[kind], value)


def vocabulary(path, size):
    """The tokenizer's fields, with as many tokens as the shape has."""
    fields = {k: v for k, v in Reader(path).fields().items() if k.startswith("tokenizer.")}
    kind, (inner, tokens) = fields["tokenizer.ggml.tokens"]
    if len(tokens) > size:
        sys.exit(f"make_model.py: the vocabulary has {len(tokens)} tokens, the shape {size}")
    missing = range(size - len(tokens))
    fields["tokenizer.ggml.tokens"] = (kind, (inner, tokens + [b"<%d>" % i for i in missing]))
    for key, filler in (("tokenizer.ggml.token_type", NORMAL), ("tokenizer.ggml.scores", 0.0)):
        if key in fields:
            kind, (inner, items) = fields[key]
            fields[key] = (kind, (inner, items + [filler for _ in missing]))
    return fields


def metadata(name, shape, vocab, context, type_name):
    arch = shape["arch"]
    facts = {"context_length": context, "embedding_length": int(shape["hidden"]), "block_count": int(shape["layers"]),
             "feed_forward_length": int(shape["inter"]), "attention.head_count": int(shape["heads"]),
             "attention.head_count_kv": int(shape["kv"]), "attention.key_length": int(shape["head_dim"]),
             "attention.value_length": int(shape["head_dim"]), "rope.dimension_count": int(shape["head_dim"])}
    ret = {"general.architecture": (STRING, arch.encode()), "general.name": (STRING, name.encode()),
           "general.file_type": (U32, FILE_TYPES[type_name])}
    ret.update({f"{arch}.{key}": (U32, value) for key, value in facts.items()})
    ret[f"{arch}.attention.layer_norm_rms_epsilon"] = (FLOAT, 1e-6)
    ret[f"{arch}.rope.freq_base"] = (FLOAT, 1e6)
    ret.update(vocab)
    return ret


def tensors(shape, matrix):
    """(name, dimensions, ggml type) in the file's order."""
    hidden, inter, head = int(shape["hidden"]), int(shape["inter"]), int(shape["head_dim"])
    q, kv, vocab = int(shape["heads"]) * head, int(shape["kv"]) * head, int(shape["vocab"])
    ret = [("token_embd.weight", (hidden, vocab), matrix), ("output_norm.weight", (hidden,), F32)]
    if shape.get("tied") != "yes":
        ret.append(("output.weight", (hidden, vocab), matrix))
    for i in range(int(shape["layers"])):
        b = f"blk.{i}."
        ret += [(b + "attn_norm.weight", (hidden,), F32), (b + "attn_q.weight", (hidden, q), matrix),
                (b + "attn_k.weight", (hidden, kv), matrix), (b + "attn_v.weight", (hidden, kv), matrix),
                (b + "attn_output.weight", (q, hidden), matrix), (b + "ffn_norm.weight", (hidden,), F32),
                (b + "ffn_gate.weight", (hidden, inter), matrix), (b + "ffn_up.weight", (hidden, inter), matrix),
                (b + "ffn_down.weight", (inter, hidden), matrix)]
        if shape.get("bias") == "qkv":
            ret += [(b + "attn_q.bias", (q,), F32), (b + "attn_k.bias", (kv,), F32), (b + "attn_v.bias", (kv,), F32)]
    return ret


def count_of(dims):
    return dims[0] * (dims[1] if len(dims) > 1 else 1)


def bytes_of(dims, kind):
    if kind == F32:
        return 4 * count_of(dims)
    values, size = next((v, b) for t, v, b in TYPES.values() if t == kind)
    return count_of(dims) // values * size


def random_blocks(kind):
    """A few megabytes of weights in the file's form, to be repeated."""
    if kind == F16:  # random sign and mantissa, exponent of 2^-6: 0.0156 to 0.031
        noise = os.urandom(2 * 32 * BLOCKS)
        keep, exponent = b"\xff\x83" * (32 * BLOCKS), b"\x00\x24" * (32 * BLOCKS)
        number = int.from_bytes(noise, "little") & int.from_bytes(keep, "little") | int.from_bytes(exponent, "little")
        return number.to_bytes(len(noise), "little")
    scale, size = (struct.pack("<e", 0.0045), 16) if kind == Q4_0 else (struct.pack("<e", 0.00028), 32)
    noise = os.urandom(size * BLOCKS)
    return b"".join(scale + noise[i:i + size] for i in range(0, len(noise), size))


def write_data(file, dims, kind, name, blocks):
    size = bytes_of(dims, kind)
    if kind == F32:
        file.write((struct.pack("<f", 0.0) if name.endswith("bias") else struct.pack("<f", 1.0)) * count_of(dims))
    else:
        left = size
        while left > 0:
            left -= file.write(blocks[:left])
    file.write(b"\0" * (-size % ALIGN))


def write_model(path, fields, infos):
    matrix = next(kind for _, _, kind in infos if kind != F32)
    head, offset = [b"GGUF", struct.pack("<IQQ", 3, len(infos), len(fields))], 0
    for key, (kind, value) in fields.items():
        head += [packed_text(key.encode()), struct.pack("<I", kind), packed(kind, value)]
    for name, dims, kind in infos:
        head += [packed_text(name.encode()), struct.pack("<I", len(dims)), struct.pack(f"<{len(dims)}Q", *dims),
                 struct.pack("<IQ", kind, offset)]
        offset += bytes_of(dims, kind) + -bytes_of(dims, kind) % ALIGN
    text = b"".join(head)
    blocks = random_blocks(matrix)
    with open(path, "wb", buffering=0) as file:
        file.write(text + b"\0" * (-len(text) % ALIGN))
        for name, dims, kind in infos:
            write_data(file, dims, kind, name, blocks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("out")
    parser.add_argument("--type", choices=TYPES, default="f16")
    parser.add_argument("--vocab", required=True)
    parser.add_argument("--context", type=int, help="positions; by default the model's own")
    options = parser.parse_args()
    shape = shape_of(options.name)
    if shape["arch"] not in ("llama", "qwen2"):
        sys.exit(f'make_model.py: models of architecture "{shape["arch"]}" are not known here')
    vocab = vocabulary(options.vocab, int(shape["vocab"]))
    fields = metadata(options.name, shape, vocab, options.context or int(shape["context"]), options.type)
    write_model(options.out, fields, tensors(shape, TYPES[options.type][0]))


if __name__ == "__main__":
    main()
