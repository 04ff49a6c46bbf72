/* name_quant.c - see name_quant.h. The words are those of some 4,400 names of quantized files on Hugging Face. */
#include "model/name_quant.h"

#include "base/compiler.h"
#include <string.h>

enum {
	INT4 = 1, /* 4 bit integers, whatever they are called */
	INT8 = 2,
	FP8 = 4,
	NVFP4 = 8,
	MXFP4 = 16,
	NF4 = 32, /* bitsandbytes */
	BITS4 = 64, /* a size without a kind */
	BITS8 = 128,
	OTHER = 256, /* known to be none of these */
	AWQ = 512,
	NAMED = 1024, /* GPTQ, AutoRound: a form of its own */
	PACKED = 2048, /* how compressed-tensors' makers call theirs */
	FILLER = 4096, /* says nothing of the kind, and stands among those that do */
	BEFORE = 8192, /* belongs to them also in front */
};

static const struct {
	const char *word;
	unsigned flags;
} words[] = {{"awq", INT4 | AWQ}, {"gptq", INT4 | NAMED}, {"autoround", INT4 | NAMED}, {"int4", INT4},
	{"w4a16", INT4 | PACKED}, {"int8", INT8}, {"w8a8", INT8 | PACKED}, {"w8a16", INT8 | PACKED}, {"fp8", FP8},
	{"nvfp4", NVFP4}, {"nvfp4a16", NVFP4}, {"fp4", NVFP4}, {"mxfp4", MXFP4}, {"bnb", NF4}, {"nf4", NF4},
	{"4bit", BITS4}, {"4bits", BITS4}, {"8bit", BITS8}, {"8bits", BITS8}, {"gguf", OTHER}, {"exl2", OTHER},
	{"exl3", OTHER}, {"mlx", OTHER}, {"hqq", OTHER}, {"aqlm", OTHER}, {"mxfp8", OTHER}, {"mxfp6", OTHER},
	{"w4a8", OTHER}, {"w4afp8", OTHER}, {"2bit", OTHER}, {"3bit", OTHER}, {"5bit", OTHER}, {"6bit", OTHER},
	{"int2", OTHER}, {"int3", OTHER}, {"mixed", OTHER}, {"int8mix", OTHER}, {"int4mix", OTHER},
	{"dynamic", FILLER | PACKED}, {"block", FILLER | PACKED}, {"static", FILLER}, {"pertensor", FILLER},
	{"ct", FILLER | PACKED}, {"v1", FILLER}, {"v2", FILLER}, {"g32", FILLER}, {"g64", FILLER}, {"g128", FILLER},
	{"gs32", FILLER}, {"gs128", FILLER}, {"128g", FILLER}, {"sym", FILLER}, {"asym", FILLER}, {"mtp", FILLER},
	{"rtn", FILLER}, {"tuning", FILLER}, {"ptpc", FILLER}, {"calibrated", FILLER},
	{"llmcompressor", FILLER | PACKED}, {"vllm", FILLER}, {"marlin", FILLER}, {"w4a4", FILLER}, {"bf16", FILLER},
	{"quantized", FILLER | BEFORE | PACKED}, {"unsloth", FILLER | BEFORE}};

static bool ends(char c)
{
	return strchr("-_. ", c) != NULL;
}

static unsigned word_of(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i].word) == len && !strncasecmp(words[i].word, text, len))
			return words[i].flags;
	return 0;
}

static bool has_one(unsigned kinds)
{
	return kinds && !(kinds & (kinds - 1));
}

static void decide(struct name_quant *ret, unsigned seen)
{
	unsigned kinds = seen & (INT4 | INT8 | FP8 | NVFP4 | MXFP4 | NF4);

	if (kinds == (INT4 | INT8) && seen & (AWQ | NAMED)) /* "-GPTQ-Int8": of that maker, and of eight bits */
		kinds = INT8;
	if (seen & BITS8 && kinds & (INT4 | NF4))
		kinds = INT8;
	ret->format =
		seen & PACKED && !(seen & (AWQ | NAMED)) && kinds & (INT4 | INT8 | FP8) ? "compressed-tensors" : "";
	ret->quant = NULL;
	if (seen & OTHER || !has_one(kinds) || (seen & BITS8 && kinds & (NVFP4 | MXFP4)))
		return;
	ret->quant = kinds == INT4    ? (seen & AWQ ? "awq" : "gptq")
		     : kinds == INT8  ? "int8"
		     : kinds == FP8   ? "fp8"
		     : kinds == NVFP4 ? "nvfp4"
		     : kinds == MXFP4 ? "mxfp4"
				      : "bitsandbytes";
}

size_t model_name_quant(struct name_quant *ret, const char *name)
{
	size_t len = strlen(name), end = len, cut = len;
	unsigned seen = 0, behind = 0; /* behind: fillers that stand right of the leftmost word of a kind */

	while (end > 0) {
		size_t begin = end;
		while (begin > 0 && !ends(name[begin - 1]))
			begin--;
		unsigned flags = word_of(name + begin, end - begin);
		if (!flags || begin < 2 || name[begin - 1] == '/')
			break;
		behind |= flags & PACKED;
		if (!(flags & FILLER) || (flags & BEFORE && seen)) {
			seen |= (flags & ~(unsigned)(FILLER | BEFORE)) | behind;
			cut = begin - 1;
		}
		end = begin - 1;
	}
	if (cut == len)
		return len;
	decide(ret, seen);
	return cut;
}
