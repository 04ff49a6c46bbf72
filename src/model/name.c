/* name.c - see name.h. */
#include "model/name.h"

#include "base/compiler.h"
#include "base/file.h"
#include "base/utf8.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Is it the name of a quantization or type: "Q4_K_M", "IQ2_XXS", "f16", "BF16", "MXFP4", "i1"? */
static bool is_quant(const char *word, size_t len)
{
	static const char *const plain[] = {
		"f16", "f32", "fp16", "fp32", "bf16", "fp8", "mxfp4", "nvfp4", "i1", "gguf", "imat"};

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (strlen(plain[i]) == len && strncasecmp(word, plain[i], len) == 0)
			return true;
	size_t q = len > 2 && strncasecmp(word, "iq", 2) == 0   ? 2
		   : len > 1 && strncasecmp(word, "q", 1) == 0  ? 1
		   : len > 2 && strncasecmp(word, "tq", 2) == 0 ? 2
								: 0;
	return q > 0 && isdigit((unsigned char)word[q]) && (len == q + 1 || word[q + 1] == '_');
}

/* Cut words that name a quantization from the end: they follow '.', '-' or (a whole word only) '_'. */
static size_t without_quant(const char *s, size_t len)
{
	for (;;) {
		size_t at = len;

		while (at > 0 && s[at - 1] != '.' && s[at - 1] != '-')
			at--;
		if (at < 2 || !is_quant(s + at, len - at))
			return len;
		len = at - 1;
	}
}

/* Does text hold word, when only letters and digits count, without regard to case? */
static bool holds(const char *text, size_t len, const char *word)
{
	for (size_t begin = 0; begin < len; begin++) {
		size_t at = begin;
		const char *w = word;

		while (*w && at < len) {
			if (!isalnum((unsigned char)*w)) {
				w++;
			} else if (!isalnum((unsigned char)text[at])) {
				at++;
			} else if (tolower((unsigned char)*w) == tolower((unsigned char)text[at])) {
				w++;
				at++;
			} else {
				break;
			}
		}
		if (!*w)
			return true;
	}
	return false;
}

const char *model_shown_name(char *ret, size_t cap, const char *path, const char *name, const char *basename)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t len = without_quant(base, file_gguf_stem(base));

	if (*name && !(*basename && holds(base, len, basename))) {
		utf8_plain_copy(ret, cap, name, strlen(name));
		return ret;
	}
	utf8_plain_copy(ret, cap, base, len);
	for (char *c = ret; *c; c++)
		if (*c == '-' || *c == '_')
			*c = ' ';
	return ret;
}
