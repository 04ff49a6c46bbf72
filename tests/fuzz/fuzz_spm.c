/* Any text with two SentencePiece vocabularies: token for token what llama.cpp gives, and a text in parts is the text. */
#include "base/limits.h"
#include "llama/model.h"
#include "llama/vocab.h"
#include "llama_files.h"
#include "text/tokenizer.h"

#include <stdlib.h>

static const char *const names[] = {"llama-spm", "phi-3"};
static struct tokenizer *ours[ARRAY_LEN(names)];
static struct ll_model *theirs[ARRAY_LEN(names)];

static void load(void)
{
	const struct ll_model_params params = {.vocab_only = true};
	char folder[2048], path[2200];

	llama_folder(folder, sizeof folder);
	for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof path, "%s/vocab/ggml-vocab-%s.gguf", folder, names[i]);
		ASSERT(tokenizer_load(&ours[i], path, NULL) == 0);
		ASSERT(ll_model_load(&theirs[i], path, &params, NULL) == 0);
	}
}

static void compare(uint32_t v, const char *text, size_t len)
{
	struct tokens got = {0};
	uint32_t cap = 3 * (uint32_t)len + 16; /* a space is three bytes, each of which can be a token */
	uint32_t *want = calloc(cap, sizeof *want);

	ASSERT(want && tokenizer_encode(ours[v], text, len, 0, TOKENS_MAX, &got, NULL) == 0);
	int32_t n = ll_tokenize(ll_model_vocab(theirs[v]), text, len, false, false, want, cap, NULL);
	bool controls = false; /* llama.cpp can join one out of text; we do not */
	for (int32_t i = 0; i < n; i++)
		controls |= ll_vocab_is_control(ll_model_vocab(theirs[v]), want[i]);
	ASSERT(controls || (n == (int32_t)got.len && (!n || memcmp(want, got.v, got.len * sizeof *want) == 0)));
	vec_done(&got);
	free(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!ours[0])
		load();
	if (len > 1)
		compare(data[0] % ARRAY_LEN(names), (const char *)data + 1, len - 1);
	return 0;
}
