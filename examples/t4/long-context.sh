#!/bin/sh
vllm serve Qwen/Qwen3-8B \
	--port 8001 \
	--max-model-len 131072
