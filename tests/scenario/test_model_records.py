"""scripts/model-records: what it derives from a config.json is a record that stator takes."""

import json
import re
import subprocess

import pytest
from deployment import ROOT, stator_bin

SCRIPT = ROOT / "scripts" / "model-records"
BASE = {"model_type": "llama", "hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "num_key_value_heads": 2,
        "intermediate_size": 1408, "vocab_size": 5000, "max_position_embeddings": 6144, "tie_word_embeddings": False}
MLA = {"model_type": "deepseek_v3", "kv_lora_rank": 64, "q_lora_rank": 96, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16,
       "v_head_dim": 32, "n_routed_experts": 6, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 256,
       "first_k_dense_replace": 2}
HYBRID = {"model_type": "qwen3_next", "head_dim": 64, "full_attention_interval": 3, "linear_num_key_heads": 4,
          "linear_key_head_dim": 32, "linear_num_value_heads": 8, "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4}
INT4 = {"quant_method": "compressed-tensors", "ignore": ["lm_head", "re:.*self_attn.*"],
        "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 64}}}}


def derive(folder, config, *more):
    (folder / "config.json").write_text(json.dumps({**BASE, **config}))
    return subprocess.run([SCRIPT, folder / "config.json", "--name", "me/Small-1", *more], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("config, keys", [
    ({}, "kv=2 head_dim=64 inter=1408 vocab=5000 context=6144"),
    ({"model_type": "qwen2", "tie_word_embeddings": True}, "tied=yes bias=qkv"),
    ({"model_type": "gemma2", "sliding_window": 256, "tie_word_embeddings": None}, "window=256 window_layers=6 tied=yes norms=4"),
    ({"text_config": {**BASE, "model_type": "olmo3", "sliding_window": 99,
                      "layer_types": ["sliding_attention"] * 9 + ["full_attention"] * 3}}, "window=99 window_layers=9 qk_norm=full"),
    ({**MLA, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}},
     "experts=6 used=2 expert_inter=256 shared_inter=256 dense_layers=2 mla_rank=64 mla_rope=16 mla_q=96 mla_nope=32 mla_v=32"),
    (HYBRID, "kv_layers=4 state=286720 "),  # 8 layers: 8 heads x 32 x 32 x 4 bytes, 3 x 512 channels x 2 bytes
    ({"quantization_config": INT4}, f"unquantized={12 * 512 * 64 * (2 * 8 + 2 * 2)} "),
], ids=["dense", "bias", "half-sliding", "inside", "mla-moe", "hybrid", "int4"])
def test_stator_takes_the_record_and_counts_the_same(tmp_path, config, keys):
    done = derive(tmp_path, config)
    assert done.returncode == 0, done.stderr
    assert keys in done.stdout
    assert 'hf="me/Small-1"' in done.stdout and 'source="config.json of me/Small-1' in done.stdout
    (tmp_path / "mine.txt").write_text(done.stdout)
    plan = subprocess.run([stator_bin(), "plan", "-", "--gpus", "1xL4", "--model-catalogue", tmp_path / "mine.txt"], timeout=60,
                          input="vllm serve me/Small-1 --max-model-len 1024\n", capture_output=True, text=True)
    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_what_does_not_add_up_or_is_not_known_is_refused(tmp_path):
    count = int(re.search(r"params=(\d+)", derive(tmp_path, {}).stdout)[1])
    assert derive(tmp_path, {}, "--params", str(count + count // 200)).returncode == 0
    apart = derive(tmp_path, {}, "--params", str(count + count // 50))
    assert apart.returncode == 1 and f"the shapes make {count} parameters" in apart.stderr and not apart.stdout
    other = derive(tmp_path, {"model_type": "never_seen"})
    assert other.returncode == 1 and 'the family "never_seen" is not known' in other.stderr


def test_a_record_that_differs_from_its_source_is_told(tmp_path):
    # of the table: Qwen3-8B has 36 layers, and no file of another model has a record to differ from
    config = {**BASE, "model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 35, "num_attention_heads": 32,
              "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 151936, "max_position_embeddings": 40960}
    path = tmp_path / "Qwen--Qwen3-8B_config.json"
    (tmp_path / "me--Nothing_config.json").write_text(json.dumps(BASE))
    for layers, status in ((36, 0), (35, 1)):
        path.write_text(json.dumps({**config, "num_hidden_layers": layers}))
        done = subprocess.run([SCRIPT, "--check", tmp_path], capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done.stdout + done.stderr
        assert "1 records compared" in done.stderr
    assert done.stdout == f"Qwen3-8B: layers is 36, {path.name} makes it 35\n"


def test_of_a_list_only_those_are_taken_that_make_the_exact_count(tmp_path):
    row = {"name": "me/Small-2", "architecture": "llama", "parameters_raw": 33043968, "num_hidden_layers": 8, "num_attention_heads": 8,
           "num_key_value_heads": 4, "hidden_size": 512, "vocab_size": 8000, "moe_intermediate_size": 1536, "context_length": 4096}
    tied = row["vocab_size"] * row["hidden_size"]
    count = 8 * (2 * 512 * 512 + 2 * 512 * 256 + 3 * 512 * 1536 + 1024) + 512 + tied
    rows = [{**row, "parameters_raw": count}, {**row, "name": "me/Untied", "parameters_raw": count + tied},
            {**row, "name": "me/Other", "parameters_raw": count + count // 200}, {**row, "name": "me/Hybrid", "architecture": "jamba"}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    done = subprocess.run([SCRIPT, "--list", tmp_path / "list.json", "--where", "a list"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines() if not line.startswith("\t")] == ["Small-2", "Untied"]
    assert "tied=yes" in done.stdout.split("\n")[0] and "tied=" not in done.stdout.split("\n")[3]
    assert "me/Other: the shapes make" in done.stderr and "me/Hybrid: its shapes are not all in the list" in done.stderr
