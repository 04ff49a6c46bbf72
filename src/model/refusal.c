/* refusal.c - see refusal.h. The architectures are those of llama.cpp for which it creates no memory, which need an encoder's
 * pass or another model's states, or whose tokens are sound; tests/unit/llama/test_model.c asks llama.cpp for each. */
#include "model/refusal.h"

#include "base/compiler.h"
#include "model/gguf.h"
#include <stdio.h>
#include <string.h>

#define EMBEDDING_INSTEAD "serve a text generation model; embeddings are not supported"

static const struct refusal
	embedding = {.what = "is an embedding model", .instead = EMBEDDING_INSTEAD},
	ranking = {.what = "is a ranking model: it scores texts",
		.instead = "serve a text generation model; ranking is not supported"},
	bidirectional = {.what = "reads its text in both directions, as embedding models do",
		.instead = EMBEDDING_INSTEAD},
	encoder_decoder = {.what = "is an encoder-decoder model",
		.instead = "serve a decoder-only model; a pass of an encoder before the answer is not supported"},
	diffusion = {.what = "is a diffusion language model",
		.instead =
			"serve a model that generates its text from left to right; filling in masked text is not supported"},
	draft = {.what = "is a draft head for speculative decoding, not a whole model",
		.instead = "serve the model it was made for, without the draft"},
	speech = {.what = "is a part of a speech model: its tokens are sound",
		.instead = "serve a text generation model; speech is not supported"},
	image = {.no_model = true,
		.what = "is an image or video generation model",
		.instead = "serve a text generation model; images are not supported"},
	projector = {.no_model = true,
		.what = "is a vision or audio projector, not a model",
		.instead = "serve the language model it belongs to, by itself; images and sound are not supported"},
	control_vector = {.no_model = true,
		.what = "is a control vector, not a model",
		.instead = "serve the model it was made for; control vectors are not supported"},
	adapter = {.no_model = true,
		.what = "is a LoRA adapter, not a model",
		.instead =
			"merge it into its base model with llama.cpp's llama-export-lora and serve the result, or serve the base model alone"},
	imatrix = {.no_model = true,
		.what = "is an importance matrix, which only quantizing needs, not a model",
		.instead = "serve the quantized model"},
	vocabulary = {.what = "is the vocabulary of a model without its weights", .instead = "serve the whole model"},
	other = {.no_model = true,
		.what = "is not a model by its own word (general.type)",
		.instead = "serve a GGUF file of a text generation model"};

static const struct {
	const char *arch;
	const struct refusal *refusal;
} archs[] = {
	{"bert", &embedding},
	{"modern-bert", &embedding},
	{"nomic-bert", &embedding},
	{"nomic-bert-moe", &embedding},
	{"neo-bert", &embedding},
	{"jina-bert-v2", &embedding},
	{"jina-bert-v3", &embedding},
	{"eurobert", &embedding},
	{"gemma-embedding", &embedding},
	{"llama-embed", &embedding},
	{"t5", &encoder_decoder},
	{"t5encoder", &embedding},
	{"dream", &diffusion},
	{"llada", &diffusion},
	{"llada-moe", &diffusion},
	{"rnd1", &diffusion},
	{"eagle3", &draft},
	{"dflash", &draft},
	{"gemma4-assistant", &draft},
	{"wavtokenizer-dec", &speech},
	{"qwen3tts", &speech},
	{"pockettts", &speech},
	{"clip", &projector},
	{"controlvector", &control_vector},
	/* Of other programs that keep their files as GGUF. */
	{"flux", &image},
	{"sd1", &image},
	{"sd3", &image},
	{"sdxl", &image},
	{"aura", &image},
	{"hidream", &image},
	{"cosmos", &image},
	{"ltxv", &image},
	{"hyvid", &image},
	{"wan", &image},
	{"lumina2", &image},
	{"qwen_image", &image},
};

static const struct {
	const char *type;
	const struct refusal *refusal;
} types[] = {
	{"adapter", &adapter},
	{"imatrix", &imatrix},
	{"mmproj", &projector},
	{"controlvector", &control_vector},
	{"vocab", &vocabulary},
};

static const struct refusal *by_type(const char *type)
{
	if (!*type || strcmp(type, "model") == 0)
		return NULL;
	for (uint32_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(types[i].type, type) == 0)
			return types[i].refusal;
	return &other;
}

static const struct refusal *by_arch(const char *arch)
{
	for (uint32_t i = 0; i < ARRAY_LEN(archs); i++)
		if (strcmp(archs[i].arch, arch) == 0)
			return archs[i].refusal;
	return NULL;
}

const struct refusal *refusal_find(const struct refusal_marks *m)
{
	const struct refusal *r = by_type(m->type);

	if (r)
		return r;
	if (m->adapter)
		return &adapter;
	if (m->ranks) /* a BERT that ranks, and a decoder that was trained to */
		return &ranking;
	if ((r = by_arch(m->arch)))
		return r;
	if (m->pooled)
		return &embedding;
	if (m->bidirectional)
		return &bidirectional;
	if (m->head_only)
		return &draft;
	return m->no_weights ? &vocabulary : NULL;
}

int refusal_say(const struct refusal *r, const char *path, const char *arch, struct err *err)
{
	char of[80] = "";

	if (*arch && !r->no_model)
		snprintf(of, sizeof of, " (%.70s)", arch);
	err_set(err, -ENOTSUP, "\"%s\"%s %s%s", path, of, r->what, r->no_model ? "" : " and cannot generate text here");
	return err_hint(err, "%s", r->instead);
}

const char *refusal_arch_at(uint32_t i)
{
	return i < ARRAY_LEN(archs) ? archs[i].arch : NULL;
}

int refusal_check(const char *path, struct err *err)
{
	struct model_facts facts = {0};
	const struct refusal *r = gguf_refusal(&facts, path);

	return r ? refusal_say(r, path, facts.architecture, err) : 0;
}
