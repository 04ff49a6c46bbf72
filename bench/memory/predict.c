/* predict.c - FILE.gguf CONTEXT KV-TYPE: bytes that model/memory.c predicts of a worker, and its terms. */
#include "model/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct model_facts m;
	struct err err;
	struct llama_memory p;

	if (argc != 4 || kv_dtype_parse(argv[3]) == KV_DTYPES) {
		fprintf(stderr, "usage: predict FILE.gguf CONTEXT KV-TYPE\n");
		return 2;
	}
	if (model_facts_find(&m, argv[1], &err) < 0) {
		fprintf(stderr, "predict: %s\n", err.msg);
		return 1;
	}
	const struct llama_memory_ask ask = {.context = strtoull(argv[2], NULL, 10), .kv = kv_dtype_parse(argv[3])};
	llama_memory_predict(&p, &m, &ask);
	printf("%" PRIu64 " weights %" PRIu64 " kv %" PRIu64 " vocab %" PRIu64 " compute %" PRIu64 " overhead %" PRIu64
	       "\n",
		p.total, p.weights, p.kv, p.vocab, p.compute, p.overhead);
	return 0;
}
