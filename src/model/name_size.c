/* name_size.c - see name_size.h. */
#include "model/name_size.h"

#include "base/compiler.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LEAST_SHARE 0.85 /* of the parameters that a name tells: "7B" of 6.2 is the widest that is known */
#define EXPERTS_SHARE 0.8 /* of "8x7B": what is not an expert is there once (46.7 of 56, 141 of 176) */

enum { BITS_LEAST = 4, WORD_MAX = 32 };

/* Words of a name, between the marks that part them. '_' parts words, and is the point of "0_5B" between digits. */
static bool parts(char c)
{
	return c == '\0' || strchr("-_:@, ", c);
}

static bool one_of(const char *word, const char *const *list, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strcasecmp(word, list[i]))
			return true;
	return false;
}

/* Bits of a weight that a word tells; 0: it tells nothing. */
static uint32_t bits_of(const char *word)
{
	static const char *const whole[] = {"bf16", "fp16", "f16", "float16", "bfloat16"},
				 *const eight[] = {"fp8", "int8", "w8a8", "w8a16", "8bit", "q8"},
				 *const four[] = {"awq", "gptq", "int4", "w4a16", "4bit", "nvfp4", "mxfp4", "fp4",
					 "autoround", "bnb"},
				 *const two[] = {
					 "aqlm", "2bit", "int2", "quip", "bitnet", "exl2", "exl3", "gguf", "hqq"};

	if (one_of(word, whole, ARRAY_LEN(whole)))
		return 16;
	if (one_of(word, eight, ARRAY_LEN(eight)))
		return 8;
	if (one_of(word, four, ARRAY_LEN(four)))
		return 4;
	return one_of(word, two, ARRAY_LEN(two)) || !strncasecmp(word, "iq", 2) ? 2 : 0;
}

static bool is_part_of_a_model(const char *word)
{
	static const char *const names[] = {"eagle", "eagle2", "eagle3", "draft", "drafter", "speculator", "medusa",
		"hydra", "lora", "qlora", "adapter", "mmproj", "mtp", "tokenizer", "dflash", "dspark"};

	return one_of(word, names, ARRAY_LEN(names));
}

/* "7B", "0.5b", "8x22B", "1T", "350M": *ret_unit is its last letter, in upper case. 0: it is none. */
static double size_of(const char *word, char *ret_unit)
{
	const char *c = word;
	char *end;
	double times = 1;

	if (!isdigit((unsigned char)*c))
		return 0;
	double n = strtod(c, &end);
	if ((*end == 'x' || *end == 'X') && isdigit((unsigned char)end[1])) {
		times = n * EXPERTS_SHARE;
		n = strtod(end + 1, &end);
	}
	*ret_unit = (char)toupper((unsigned char)*end);
	if (!*end || end[1] || !strchr("BMT", *ret_unit) || n <= 0 || n > 100000)
		return 0;
	return n * times * (*ret_unit == 'T' ? 1e12 : *ret_unit == 'B' ? 1e9 : 1e6);
}

struct found {
	double whole, active, millions, trillions; /* the smallest of each that stands there; 0: none */
	uint32_t bits;
	bool part;
};

static void keep(double *least, double n)
{
	if (n > 0 && (*least == 0 || n < *least))
		*least = n;
}

static void look(struct found *f, const char *word)
{
	char unit = 0;
	double n = size_of(word, &unit);
	uint32_t bits = bits_of(word);

	f->part = f->part || is_part_of_a_model(word);
	/* "GPTQ-Int8": a method that knows several widths, and the width. */
	if (bits > 0 && (f->bits == 0 || f->bits == 4 || bits == 2))
		f->bits = f->bits == 0 || bits > f->bits || bits == 2 ? bits : f->bits;
	if (n > 0 && unit == 'B')
		keep(&f->whole, n);
	else if (n > 0 && unit == 'T')
		keep(&f->trillions, n);
	else if (n > 0)
		keep(&f->millions, n);
	else if ((*word == 'A' || *word == 'a' || *word == 'E' || *word == 'e') && (n = size_of(word + 1, &unit)) > 0 &&
		 unit == 'B')
		keep(&f->active, n);
}

bool name_size_read(struct name_size *ret, const char *name)
{
	struct found f = {0};
	char word[WORD_MAX];
	size_t len = 0;

	*ret = (struct name_size){0};
	const char *slash = strrchr(name, '/'); /* owners and folders say nothing */
	for (const char *c = slash ? slash + 1 : name;; c++) {
		bool point =
			*c == '_' && len > 0 && isdigit((unsigned char)word[len - 1]) && isdigit((unsigned char)c[1]);

		if (!parts(*c) || point) {
			if (len < sizeof word - 1)
				word[len++] = point ? '.' : *c;
			continue;
		}
		word[len] = '\0';
		look(&f, word);
		len = 0;
		if (!*c)
			break;
	}
	/* "1M" beside "14B" is a context, and "3T" are the tokens it has learned from. */
	double params = f.whole > 0 ? f.whole : f.trillions > 0 ? f.trillions : f.active > 0 ? f.active : f.millions;
	if (params <= 0 || f.part)
		return false;
	ret->params = (uint64_t)params;
	ret->bits = f.bits;
	ret->least = (uint64_t)(params * LEAST_SHARE * (f.bits ? f.bits : BITS_LEAST) / 8);
	return true;
}
