#!/usr/bin/env python3
"""tests/tiny_model.py KIND OUT.gguf [--wide N] [--no-template]: a tiny GGUF model of an architecture, with random weights and a tokenizer of bytes.

For tests about architectures: how a state is kept, what memory it takes. KINDS below names them. The same call writes the same
bytes. --wide multiplies the widths, for measuring. Needs only Python.
"""

import argparse
import array
import math
import random
import struct

EMBD, HEADS, KV_HEADS, FF, VOCAB = 64, 4, 2, 96, 259
STRING, ARRAY, U32, I32, FLOAT, BOOL = 8, 9, 4, 5, 6, 7
SCALARS = {U32: "<I", I32: "<i", FLOAT: "<f", BOOL: "<?"}
ALIGN = 32
TEMPLATE = ("{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}")


def packed_text(text):
    return struct.pack("<Q", len(text)) + text


def packed(kind, value):
    if kind == STRING:
        return packed_text(value.encode())
    if kind == ARRAY:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(packed(inner, item) for item in items)
    return struct.pack(SCALARS[kind], value)


def kind_of(value):
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return U32
    return FLOAT if isinstance(value, float) else STRING if isinstance(value, str) else ARRAY


class Model:
    """Collects fields and tensors; all tensors are 32-bit floats."""

    def __init__(self, arch, layers, wide=1, **facts):
        self.arch, self.layers, self.random = arch, layers, random.Random(arch)
        self.embd, self.ff, self.head = EMBD * wide, FF * wide, EMBD * wide // HEADS
        self.fields = {"general.architecture": arch, "general.name": "tiny " + arch, "general.file_type": 0}
        self.tensors = []
        self.put(context_length=4096, embedding_length=self.embd, block_count=layers, feed_forward_length=self.ff, vocab_size=VOCAB)
        self.put(**{"attention.layer_norm_rms_epsilon": 1e-5, "attention.head_count": HEADS})
        self.put(**facts)
        self.vocabulary()
        self.matrix("token_embd.weight", self.embd, VOCAB, scale=1.0)

    def put(self, **facts):
        for key, value in facts.items():
            if isinstance(value, list):
                value = (U32, value)
            self.fields[f"{self.arch}.{key}"] = value

    def vocabulary(self):
        tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
        self.fields.update({
            "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": (STRING, tokens),
            "tokenizer.ggml.scores": (FLOAT, [0.0] * VOCAB), "tokenizer.ggml.token_type": (I32, [2, 3, 3] + [6] * 256),
            "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0,
            "tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_space_prefix": False, "tokenizer.chat_template": TEMPLATE})

    def matrix(self, name, *shape, scale=None):
        """Random numbers; the first dimension is the one that is summed over."""
        scale = scale or 1.2 / math.sqrt(shape[0])
        count = math.prod(shape)
        # A uniform distribution of that deviation is as good here, and quicker to draw.
        draw, width = self.random.random, scale * math.sqrt(12)
        self.tensors.append((name, shape, array.array("f", ((draw() - 0.5) * width for _ in range(count)))))

    def vector(self, name, *shape, value=1.0):
        self.tensors.append((name, shape, array.array("f", [value]) * math.prod(shape)))

    def output(self, norm="output_norm.weight"):
        self.vector(norm, self.embd)
        self.matrix("output.weight", self.embd, VOCAB)

    def attention(self, i, kv=KV_HEADS, q_scale=1, qk_norm=False, norm=True):
        p = f"blk.{i}.attn_"
        if norm:
            self.vector(p + "norm.weight", self.embd)
        self.matrix(p + "q.weight", self.embd, HEADS * self.head * q_scale)
        self.matrix(p + "k.weight", self.embd, kv * self.head)
        self.matrix(p + "v.weight", self.embd, kv * self.head)
        self.matrix(p + "output.weight", HEADS * self.head, self.embd)
        if qk_norm:
            self.vector(p + "q_norm.weight", self.head)
            self.vector(p + "k_norm.weight", self.head)

    def ffn(self, i, norm="ffn_norm.weight"):
        p = f"blk.{i}."
        if norm:
            self.vector(p + norm, self.embd)
        self.matrix(p + "ffn_gate.weight", self.embd, self.ff)
        self.matrix(p + "ffn_up.weight", self.embd, self.ff)
        self.matrix(p + "ffn_down.weight", self.ff, self.embd)

    def experts(self, i, count=4, shared=True):
        p, embd, ff = f"blk.{i}.ffn_", self.embd, self.ff
        self.matrix(p + "gate_inp.weight", embd, count)
        self.matrix(p + "gate_exps.weight", embd, ff, count)
        self.matrix(p + "up_exps.weight", embd, ff, count)
        self.matrix(p + "down_exps.weight", ff, embd, count)
        if shared:
            self.vector(p + "gate_inp_shexp.weight", embd, value=0.1)
            self.matrix(p + "gate_shexp.weight", embd, ff)
            self.matrix(p + "up_shexp.weight", embd, ff)
            self.matrix(p + "down_shexp.weight", ff, embd)

    def mamba1(self, i, state=16, rank=4, conv=4, norms=False):
        p, inner = f"blk.{i}.", 2 * self.embd
        self.put(**{"ssm.conv_kernel": conv, "ssm.inner_size": inner, "ssm.state_size": state, "ssm.time_step_rank": rank})
        self.vector(p + "attn_norm.weight", self.embd)
        self.matrix(p + "ssm_in.weight", self.embd, 2 * inner)
        self.matrix(p + "ssm_conv1d.weight", conv, inner)
        self.vector(p + "ssm_conv1d.bias", inner, value=0.01)
        self.matrix(p + "ssm_x.weight", inner, rank + 2 * state)
        self.matrix(p + "ssm_dt.weight", rank, inner)
        self.vector(p + "ssm_dt.bias", inner, value=-2.0)
        self.vector(p + "ssm_a", state, inner, value=-1.0)
        self.vector(p + "ssm_d", inner)
        self.matrix(p + "ssm_out.weight", inner, self.embd)
        if norms:
            self.vector(p + "ssm_dt_norm.weight", rank)
            self.vector(p + "ssm_b_norm.weight", state)
            self.vector(p + "ssm_c_norm.weight", state)

    def mamba2(self, i, state=16, heads=8, groups=1, conv=4, norm=True):
        p, inner = f"blk.{i}.", 2 * self.embd
        width = inner + 2 * groups * state
        self.put(**{"ssm.conv_kernel": conv, "ssm.inner_size": inner, "ssm.state_size": state, "ssm.time_step_rank": heads,
                    "ssm.group_count": groups})
        if norm:
            self.vector(p + "attn_norm.weight", self.embd)
        self.matrix(p + "ssm_in.weight", self.embd, inner + width + heads)
        self.matrix(p + "ssm_conv1d.weight", conv, width)
        self.vector(p + "ssm_conv1d.bias", width, value=0.01)
        self.vector(p + "ssm_dt.bias", heads, value=-2.0)
        self.vector(p + "ssm_a", 1, heads, value=-1.0)
        self.vector(p + "ssm_d", 1, heads)
        self.vector(p + "ssm_norm.weight", inner // groups, groups)
        self.matrix(p + "ssm_out.weight", inner, self.embd)

    def delta_net(self, i, state=16, k_heads=2, v_heads=4, conv=4, joint=False):
        p, key, value = f"blk.{i}.", state * k_heads, state * v_heads
        self.put(**{"ssm.conv_kernel": conv, "ssm.inner_size": value, "ssm.state_size": state, "ssm.time_step_rank": v_heads,
                    "ssm.group_count": k_heads})
        self.vector(p + "attn_norm.weight", self.embd)
        self.matrix(p + "attn_qkv.weight", self.embd, 2 * key + value)
        self.matrix(p + "attn_gate.weight", self.embd, value)
        self.matrix(p + "ssm_conv1d.weight", conv, 2 * key + value)
        self.vector(p + "ssm_dt.bias", v_heads, value=-2.0)
        self.vector(p + "ssm_a", v_heads, value=-1.0)
        if joint:
            self.matrix(p + "ssm_ba.weight", self.embd, 2 * v_heads)
        else:
            self.matrix(p + "ssm_beta.weight", self.embd, v_heads)
            self.matrix(p + "ssm_alpha.weight", self.embd, v_heads)
        self.vector(p + "ssm_norm.weight", state)
        self.matrix(p + "ssm_out.weight", value, self.embd)

    def write(self, path):
        infos, at = b"", 0
        for name, shape, data in self.tensors:
            infos += packed_text(name.encode()) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, at)
            at += -(-len(data) * 4 // ALIGN) * ALIGN
        fields = b"".join(packed_text(key.encode()) + struct.pack("<I", kind_of(value)) + packed(kind_of(value), value)
                          for key, value in self.fields.items())
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.fields)) + fields + infos
        with open(path, "wb") as file:
            file.write(head + b"\0" * (-len(head) % ALIGN))
            for _, _, data in self.tensors:
                raw = data.tobytes()
                file.write(raw + b"\0" * (-len(raw) % ALIGN))


def llama(wide):
    m = Model("llama", 2, wide, **{"attention.head_count_kv": KV_HEADS})
    m.output()
    for i in range(m.layers):
        m.attention(i)
        m.ffn(i)
    return m


def gemma3(wide):
    m = Model("gemma3", 6, wide, **{"attention.head_count_kv": KV_HEADS, "attention.sliding_window": 64,
                                    "attention.key_length": EMBD * wide // HEADS, "attention.value_length": EMBD * wide // HEADS})
    m.output()
    for i in range(m.layers):
        m.attention(i, qk_norm=True)
        m.ffn(i)
        m.vector(f"blk.{i}.post_attention_norm.weight", m.embd)
        m.vector(f"blk.{i}.post_ffw_norm.weight", m.embd)
    return m


def mamba(wide):
    m = Model("mamba", 2, wide, **{"attention.head_count": 0, "feed_forward_length": 0})
    m.output()
    for i in range(m.layers):
        m.mamba1(i)
    return m


def mamba2(wide):
    m = Model("mamba2", 2, wide, **{"attention.head_count": 0, "feed_forward_length": 0})
    m.output()
    for i in range(m.layers):
        m.mamba2(i)
    return m


def jamba(wide):
    kv = [0, KV_HEADS, 0]
    m = Model("jamba", 3, wide, **{"attention.head_count_kv": kv})
    m.output()
    for i in range(m.layers):
        m.attention(i) if kv[i] else m.mamba1(i, norms=True)
        m.ffn(i)
    return m


def granite(wide):
    kv = [0, KV_HEADS, 0, 0]
    m = Model("granitehybrid", 4, wide, **{"attention.head_count_kv": kv, "rope.dimension_count": EMBD * wide // HEADS})
    m.output()
    for i in range(m.layers):
        m.attention(i) if kv[i] else m.mamba2(i)
        m.ffn(i)
    return m


def falcon_h1(wide):
    m = Model("falcon-h1", 2, wide, **{"attention.head_count_kv": KV_HEADS})
    m.output()
    for i in range(m.layers):
        m.mamba2(i)
        m.attention(i, norm=False)
        m.ffn(i, norm="ffn_norm")
    return m


def nemotron_h(wide):
    # A layer is one of three: attention, Mamba, feed-forward.
    kv, ff = [0, 0, KV_HEADS, 0, 0], [0, FF * wide, 0, 0, FF * wide]
    m = Model("nemotron_h", 5, wide, **{"attention.head_count_kv": kv, "feed_forward_length": ff, "attention.layer_norm_epsilon": 1e-5})
    m.output()
    for i in range(m.layers):
        if kv[i]:
            m.attention(i)
        elif ff[i]:
            m.vector(f"blk.{i}.attn_norm.weight", m.embd)
            m.matrix(f"blk.{i}.ffn_up.weight", m.embd, m.ff)
            m.matrix(f"blk.{i}.ffn_down.weight", m.ff, m.embd)
        else:
            m.mamba2(i)
    return m


def lfm2(wide):
    kv, conv = [0, KV_HEADS, 0, KV_HEADS], 3
    m = Model("lfm2", 4, wide, **{"attention.head_count_kv": kv, "shortconv.l_cache": conv})
    m.output("token_embd_norm.weight")
    for i in range(m.layers):
        m.ffn(i)
        if kv[i]:
            m.attention(i, qk_norm=True)
            continue
        p = f"blk.{i}."
        m.vector(p + "attn_norm.weight", m.embd)
        m.matrix(p + "shortconv.conv.weight", conv, m.embd)
        m.matrix(p + "shortconv.in_proj.weight", m.embd, 3 * m.embd)
        m.matrix(p + "shortconv.out_proj.weight", m.embd, m.embd)
    return m


def qwen35(wide, ahead=0):
    """ahead: layers behind the last that predict further tokens; they are in the file, and not computed."""
    m = Model("qwen35", 4 + ahead, wide, **{"attention.head_count_kv": KV_HEADS, "attention.key_length": EMBD * wide // HEADS,
                                    "attention.value_length": EMBD * wide // HEADS, "full_attention_interval": 4,
                                    "rope.dimension_count": EMBD * wide // HEADS,
                                    "rope.dimension_sections": (I32, [4, 2, 2, 0])})
    m.output()
    if ahead:
        m.put(nextn_predict_layers=ahead)
    for i in range(m.layers):
        m.attention(i, q_scale=2, qk_norm=True) if i >= 3 else m.delta_net(i)
        m.vector(f"blk.{i}.post_attention_norm.weight", m.embd)
        m.ffn(i, norm=None)
        if i >= 4:
            m.matrix(f"blk.{i}.nextn.eh_proj.weight", 2 * m.embd, m.embd)
            m.vector(f"blk.{i}.nextn.enorm.weight", m.embd)
            m.vector(f"blk.{i}.nextn.hnorm.weight", m.embd)
    return m


def qwen35_ahead(wide):
    return qwen35(wide, ahead=1)


def qwen3next(wide):
    m = Model("qwen3next", 4, wide, **{"attention.head_count_kv": KV_HEADS, "attention.key_length": EMBD * wide // HEADS,
                                       "attention.value_length": EMBD * wide // HEADS, "full_attention_interval": 4,
                                       "rope.dimension_count": EMBD * wide // HEADS, "expert_count": 4, "expert_used_count": 2,
                                       "expert_feed_forward_length": FF * wide, "expert_shared_feed_forward_length": FF * wide})
    m.output()
    for i in range(m.layers):
        m.attention(i, q_scale=2, qk_norm=True) if i == 3 else m.delta_net(i, joint=True)
        m.vector(f"blk.{i}.post_attention_norm.weight", m.embd)
        m.experts(i)
    return m


def rwkv7(wide):
    head, lora = 64, 8  # the size of all published ones, which the kernels count on
    m = Model("rwkv7", 2, wide, **{"attention.head_count": 0, "wkv.head_size": head, "attention.decay_lora_rank": lora,
                                   "attention.iclr_lora_rank": lora, "attention.value_residual_mix_lora_rank": lora,
                                   "attention.gate_lora_rank": lora, "token_shift_count": 2,
                                   "attention.layer_norm_epsilon": 1e-5})
    e = m.embd
    for kind, value in (("weight", 1.0), ("bias", 0.0)):
        m.vector(f"token_embd_norm.{kind}", e, value=value)
    m.output()
    m.vector("output_norm.bias", e, value=0.0)
    for i in range(m.layers):
        p = f"blk.{i}."
        for norm in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            m.vector(p + norm + ".weight", e)
            m.vector(p + norm + ".bias", e, value=0.0)
        for x in "wav":
            m.vector(p + f"time_mix_{x}0.weight", e, value=0.1)
            m.matrix(p + f"time_mix_{x}1.weight", e, lora)
            m.matrix(p + f"time_mix_{x}2.weight", lora, e)
        m.matrix(p + "time_mix_g1.weight", e, lora)
        m.matrix(p + "time_mix_g2.weight", lora, e)
        m.vector(p + "time_mix_lerp_fused.weight", e, 1, 1, 6, value=0.4)
        for x in ("k_k", "k_a", "r_k"):
            m.vector(p + f"time_mix_{x}.weight", e, value=0.5)
        for x in ("key", "value", "receptance", "output"):
            m.matrix(p + f"time_mix_{x}.weight", e, e)
        m.vector(p + "channel_mix_lerp_k.weight", e, 1, 1, value=0.4)
        m.matrix(p + "channel_mix_key.weight", e, m.ff)
        m.matrix(p + "channel_mix_value.weight", m.ff, e)
    return m


def rwkv6(wide):
    head, extra = 64, 8
    m = Model("rwkv6", 2, wide, **{"attention.head_count": 0, "wkv.head_size": head, "time_mix_extra_dim": extra,
                                   "time_decay_extra_dim": extra, "token_shift_count": 2, "attention.layer_norm_epsilon": 1e-5})
    e = m.embd
    for kind, value in (("weight", 1.0), ("bias", 0.0)):
        m.vector(f"token_embd_norm.{kind}", e, value=value)
    m.output()
    m.vector("output_norm.bias", e, value=0.0)
    for i in range(m.layers):
        p = f"blk.{i}."
        for norm in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            m.vector(p + norm + ".weight", e)
            m.vector(p + norm + ".bias", e, value=0.0)
        m.matrix(p + "time_mix_w1.weight", e, extra * 5)
        m.matrix(p + "time_mix_w2.weight", extra, e, 5)
        m.vector(p + "time_mix_lerp_x.weight", e, 1, 1, value=0.4)
        m.vector(p + "time_mix_lerp_fused.weight", e, 1, 1, 5, value=0.4)
        m.matrix(p + "time_mix_first.weight", head, e // head)
        m.vector(p + "time_mix_decay.weight", e, value=-2.0)
        m.matrix(p + "time_mix_decay_w1.weight", e, extra)
        m.matrix(p + "time_mix_decay_w2.weight", extra, e)
        for x in ("key", "value", "receptance", "gate", "output"):
            m.matrix(p + f"time_mix_{x}.weight", e, e)
        m.vector(p + "channel_mix_lerp_k.weight", e, 1, 1, value=0.4)
        m.vector(p + "channel_mix_lerp_r.weight", e, 1, 1, value=0.4)
        m.matrix(p + "channel_mix_key.weight", e, m.ff)
        m.matrix(p + "channel_mix_value.weight", m.ff, e)
        m.matrix(p + "channel_mix_receptance.weight", e, e)
    return m


def plamo2(wide):
    kv, state, heads, conv = [0, KV_HEADS, 0], 16, 8, 4
    m = Model("plamo2", 3, wide, **{"attention.head_count_kv": kv, "attention.key_length": EMBD * wide // HEADS,
                                    "attention.value_length": EMBD * wide // HEADS, "ssm.conv_kernel": conv,
                                    "ssm.inner_size": 2 * EMBD * wide, "ssm.state_size": state, "ssm.time_step_rank": heads,
                                    "ssm.group_count": 0, "rope.dimension_count": EMBD * wide // HEADS})
    e, inner, dt = m.embd, 2 * m.embd, max(64, m.embd // 16)
    m.output()
    for i in range(m.layers):
        p = f"blk.{i}."
        m.vector(p + "attn_norm.weight", e)
        if kv[i]:
            m.matrix(p + "attn_qkv.weight", e, (HEADS + 2 * KV_HEADS) * m.head)
            m.vector(p + "attn_q_norm.weight", m.head, HEADS)
            m.vector(p + "attn_k_norm.weight", m.head, KV_HEADS)
            m.matrix(p + "attn_output.weight", HEADS * m.head, e)
        else:
            m.matrix(p + "ssm_in.weight", e, 2 * inner)
            m.matrix(p + "ssm_conv1d.weight", conv, inner)
            m.matrix(p + "ssm_x.weight", inner, dt + 2 * state)
            m.matrix(p + "ssm_dt.weight", dt, heads)
            m.vector(p + "ssm_dt.bias", heads, value=-2.0)
            m.vector(p + "ssm_a", heads, value=-1.0)
            m.vector(p + "ssm_d", heads)
            m.matrix(p + "ssm_out.weight", inner, e)
            m.vector(p + "ssm_dt_norm", dt)
            m.vector(p + "ssm_b_norm", state)
            m.vector(p + "ssm_c_norm", state)
        m.vector(p + "post_attention_norm", e)
        m.vector(p + "ffn_norm.weight", e)
        m.matrix(p + "ffn_up.weight", e, 2 * m.ff)
        m.matrix(p + "ffn_down.weight", m.ff, e)
        m.vector(p + "post_ffw_norm", e)
    return m


KINDS = {"llama": llama, "gemma3": gemma3, "mamba": mamba, "mamba2": mamba2, "jamba": jamba, "granite": granite,
         "falcon-h1": falcon_h1, "nemotron-h": nemotron_h, "lfm2": lfm2, "qwen35": qwen35, "qwen35-ahead": qwen35_ahead, "qwen3next": qwen3next, "rwkv6": rwkv6,
         "rwkv7": rwkv7, "plamo2": plamo2}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("out")
    parser.add_argument("--wide", type=int, default=1)
    parser.add_argument("--no-template", action="store_true")
    args = parser.parse_args()
    model = KINDS[args.kind](args.wide)
    if args.no_template:
        del model.fields["tokenizer.chat_template"]
    model.write(args.out)


if __name__ == "__main__":
    main()
