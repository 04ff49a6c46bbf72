#!/usr/bin/env bash
set -euo pipefail
MODEL="deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"
TP=4
# start it
vllm serve "$MODEL" \
    --tensor-parallel-size ${TP} \   
    --dtype half --enable-prefix-caching \
    --speculative-config '{"method": "ngram", "num_speculative_tokens": 3}' 2>&1 | tee log.txt
python -m sglang.launch_server --model-path Qwen/Qwen2.5-7B-Instruct --tp 1 --mem-fraction-static 0.8 &
