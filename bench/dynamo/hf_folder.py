#!/usr/bin/env python3
"""hf_folder.py MODEL.gguf FOLDER: write the Hugging Face files (tokenizer, template, sizes; no weights) of a GGUF model.

For peers that read their tokenizer from such a folder. Only the family of the demo model (byte-level BPE, llama
architecture, digits one by one) is known; any other is refused rather than guessed. Needs gguf and tokenizers.
"""

import json
import os
import sys

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CONTROL = 3  # tokenizer.ggml.token_type of a special token


def read_fields(path):
    fields = GGUFReader(path).fields
    return {name: field.contents() for name, field in fields.items()}


def build_tokenizer(fields):
    if fields["tokenizer.ggml.model"] != "gpt2" or fields.get("tokenizer.ggml.pre") != "smollm":
        sys.exit("hf_folder.py: only the \"smollm\" byte-level BPE vocabulary is known here")
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t, kind in zip(tokens, kinds) if kind == CONTROL])
    return tokenizer


def config_of(fields):
    arch = fields["general.architecture"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": fields[f"{arch}.embedding_length"],
        "intermediate_size": fields[f"{arch}.feed_forward_length"],
        "num_hidden_layers": fields[f"{arch}.block_count"],
        "num_attention_heads": fields[f"{arch}.attention.head_count"],
        "num_key_value_heads": fields[f"{arch}.attention.head_count_kv"],
        "max_position_embeddings": fields[f"{arch}.context_length"],
        "rms_norm_eps": fields[f"{arch}.attention.layer_norm_rms_epsilon"],
        "rope_theta": fields[f"{arch}.rope.freq_base"],
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    fields = read_fields(sys.argv[1])
    folder = sys.argv[2]
    os.makedirs(folder, exist_ok=True)
    build_tokenizer(fields).save(os.path.join(folder, "tokenizer.json"))
    tokens = fields["tokenizer.ggml.tokens"]
    bos, eos = (tokens[fields[f"tokenizer.ggml.{kind}_token_id"]] for kind in ("bos", "eos"))
    config = config_of(fields)
    files = {
        "config.json": config,
        "generation_config.json": {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": bos,
            "eos_token": eos,
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
            "chat_template": fields["tokenizer.chat_template"],
            "model_max_length": config["max_position_embeddings"],
        },
    }
    for name, content in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    main()
