/* llama_ask.h - what a llama-server command line (or a Modelfile of Ollama) says of where a model's layers go: which cards, in which
 * proportion, how many layers, whose experts stay in RAM, how KV is kept; and what its release does where the line is silent.
 *
 *   release    -ngl not said             context not said        what does not fit
 *   < 6325     no layer on a GPU         4096 tokens             it ends at its start
 *   < 7407     all layers                4096 tokens             it ends at its start
 *   since      all layers, --fit moves   the model's, --fit      layers (experts first) go to RAM, unless -ngl, -ts or -ot was said
 *
 * Plain values: the search and the remedies copy a service and change some. Pure; any thread; no allocation. */
#ifndef STATOR_PLAN_LLAMA_ASK_H
#define STATOR_PLAN_LLAMA_ASK_H

#include "model/facts.h"

enum plan_llama_mode {
	PLAN_LLAMA_LAYERS, /* whole layers a card */
	PLAN_LLAMA_ONE, /* "none": all on one card */
	PLAN_LLAMA_ROWS, /* rows of each matrix; KV and computing on one card */
	PLAN_LLAMA_TENSORS, /* each layer over all cards, its KV too */
};

/* What a layer is made of, as far as tensors are placed by name. */
enum plan_llama_part {
	LLAMA_ATTENTION = 1,
	LLAMA_UP = 2,
	LLAMA_GATE = 4,
	LLAMA_DOWN = 8,
	LLAMA_EXPERTS_UP = 16,
	LLAMA_EXPERTS_GATE = 32,
	LLAMA_EXPERTS_DOWN = 64,
	LLAMA_SHARED = 128,
};
enum {
	LLAMA_EXPERTS = LLAMA_EXPERTS_UP | LLAMA_EXPERTS_GATE | LLAMA_EXPERTS_DOWN,
	LLAMA_LAYERS_MAX = 256, /* a model with more is planned as if nothing were placed by hand */
	LLAMA_CARDS_MAX = 16, /* of one worker: llama.cpp's own limit (GGML_CUDA_MAX_DEVICES) */
};

/* Builds from which on llama.cpp does it: common/arg.cpp, common/common.h, src/llama-model.cpp and their history. */
enum {
	LLAMA_BUILD_ALL_LAYERS =
		6325, /* all layers are on GPUs when -ngl is not said; flash attention where the card has it */
	LLAMA_BUILD_FIT = 7407, /* --fit, on unless it is switched off; the model's context when -c is not said */
	LLAMA_BUILD_WINDOWS = 5449, /* layers with a window keep that window alone, unless --swa-full */
	LLAMA_BUILD_MLA = 5130, /* MLA's compressed KV */
	LLAMA_BUILD_UNIFIED = 6937, /* four slots that share one context when -np is not said */
	LLAMA_BUILD_OUTPUTS =
		11434, /* a step's logits are of the slots, and not of every token of it: seen in this one */
	LLAMA_BUILD_PROJECTOR = 5331, /* -hf takes the repository's image projector along */
};

/* The draft model of a server that speculates, as far as it is known by name. */
struct plan_llama_draft {
	bool given, known;
	uint64_t weights, kv_token, compute; /* bytes; of the whole, of one token of context, of a step */
	uint64_t context; /* 0: the model's own */
};

struct plan_llama {
	bool server; /* all below is said; else the service is a worker of ours */
	bool ollama, all; /* all: it is bound to every card there is, by nobody but itself */
	uint32_t build; /* the one said, else the newest */
	bool fit, fits_layers; /* it changes what was not said; that includes layers */
	uint64_t margin; /* what it leaves free of each card */
	uint32_t layers; /* with the output layer as the last one; UINT32_MAX: all */
	bool layers_said;
	enum plan_llama_mode mode;
	float shares[LLAMA_CARDS_MAX]; /* -ts */
	uint32_t shares_len;
	uint32_t main; /* -mg */
	bool kv_on_host, windows_whole, flash, unified, context_open, held_in_ram;
	uint32_t slots; /* -np */
	bool slots_said;
	enum kv_dtype keys, values;
	struct plan_llama_draft draft;
	bool projector, adapters, remote; /* --mmproj, --lora, --rpc: of unknown size */
	bool by_hand; /* -ot in a way that is not read: nothing is sure but the sum */
	bool experts_on_host;
	uint8_t host[LLAMA_LAYERS_MAX]; /* of each layer, enum plan_llama_part that stay in RAM */
};

struct plan_deployment;
struct plan_input;

/* Fill the llama part of each service that a form of a server was read for, and set which cards it takes: those that are there, or what
 * CUDA_VISIBLE_DEVICES, --device, --split-mode none or the container around it leaves of them. Where no layer is on a GPU it takes none. */
void plan_llama_read(struct plan_deployment *d, const struct plan_input *input);
/* The newest build that the flags' table knows. */
uint32_t plan_llama_newest(void);

#endif
