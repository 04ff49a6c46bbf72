/* safetensors.c - layout: u64 length (little endian) | JSON header | data.
 *   {"NAME": {"dtype": "BF16", "shape": [4, 8], "data_offsets": [0, 64]}, ..., "__metadata__": {...}} */
#include "model/safetensors.h"

#include "base/compiler.h"
#include "config/json_parse.h"
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	uint32_t bits;
} dtypes[] = {{"F64", 64}, {"F32", 32}, {"F16", 16}, {"BF16", 16}, {"I64", 64}, {"I32", 32}, {"I16", 16}, {"I8", 8},
	{"U64", 64}, {"U32", 32}, {"U16", 16}, {"U8", 8}, {"BOOL", 8}, {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8},
	{"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}};

static uint32_t bits_of(const char *dtype)
{
	for (uint32_t i = 0; dtype && i < ARRAY_LEN(dtypes); i++)
		if (!strcmp(dtypes[i].name, dtype))
			return dtypes[i].bits;
	return 0;
}

/* Numbers of a shape; false: it is none. */
static bool elements_of(const json_t *shape, uint64_t *ret)
{
	*ret = 1;
	if (!json_is_array(shape) || json_array_size(shape) > 16)
		return false;
	for (size_t i = 0; i < json_array_size(shape); i++) {
		const json_t *n = json_array_get(shape, i);
		if (!json_is_integer(n) || json_integer_value(n) < 0 ||
			__builtin_mul_overflow(*ret, (uint64_t)json_integer_value(n), ret) || *ret > 1ull << 50)
			return false;
	}
	return true;
}

static bool offsets_of(const json_t *pair, uint64_t *begin, uint64_t *end)
{
	const json_t *a = json_array_get(pair, 0), *b = json_array_get(pair, 1);

	if (json_array_size(pair) != 2 || !json_is_integer(a) || !json_is_integer(b) || json_integer_value(a) < 0 ||
		json_integer_value(b) < json_integer_value(a) || json_integer_value(b) > 1ll << 55)
		return false;
	*begin = (uint64_t)json_integer_value(a);
	*end = (uint64_t)json_integer_value(b);
	return true;
}

static void note_dtype(struct safetensors_sums *s, const char *dtype, uint64_t bytes)
{
	/* The majority by bytes, found as votes are counted in one pass: exact when one type has more than half. */
	if (!strcmp(s->dtype, dtype)) {
		s->dtype_bytes += bytes;
	} else if (bytes > s->dtype_bytes) {
		snprintf(s->dtype, sizeof s->dtype, "%s", dtype);
		s->dtype_bytes = bytes - s->dtype_bytes;
	} else {
		s->dtype_bytes -= bytes;
	}
}

static bool is_embedding(const char *name)
{
	return strstr(name, "embed_tokens.weight") || strstr(name, "wte.weight") ||
	       strstr(name, "word_embeddings.weight") || strstr(name, "tok_embeddings.weight");
}

static int count(struct safetensors_sums *s, const char *path, const char *name, const json_t *t, struct err *err)
{
	const char *dtype = json_string_value(json_object_get(t, "dtype"));
	uint64_t elements, begin, end;

	if (!dtype || !elements_of(json_object_get(t, "shape"), &elements) ||
		!offsets_of(json_object_get(t, "data_offsets"), &begin, &end))
		return err_set(err, -EINVAL,
			"tensor \"%.64s\" of \"%s\" lacks a dtype, shape or data_offsets that can be", name, path);
	uint32_t bits = bits_of(dtype);
	if (bits && (elements * bits + 7) / 8 != end - begin)
		return err_set(err, -EINVAL, "tensor \"%.64s\" of \"%s\" has %llu bytes, its shape needs %llu", name,
			path, (unsigned long long)(end - begin), (unsigned long long)((elements * bits + 7) / 8));
	s->tensors++;
	s->params += elements;
	s->bytes += end - begin;
	s->data_end = MAX(s->data_end, end);
	note_dtype(s, dtype, end - begin);
	if (is_embedding(name))
		s->embed_bytes += end - begin;
	if (strstr(name, "lm_head.weight") || !strcmp(name, "output.weight") || strstr(name, "output_layer.weight"))
		s->lm_head = true;
	return 0;
}

int safetensors_read_header(
	struct safetensors_sums *sums, const char *path, const char *json, size_t len, struct err *err)
{
	json_error_t why;
	json_t *root = json_parse(json, len, JSON_REJECT_DUPLICATES, &why);
	const char *name;
	json_t *t;
	int code = 0;

	if (!root && json_is_no_memory(&why))
		return err_set(err, -ENOMEM, "could not read \"%s\": out of memory", path);
	if (!root)
		return err_set(err, -EINVAL, "\"%s\" has a header that is no JSON: %s", path, why.text);
	if (!json_is_object(root))
		code = err_set(err, -EINVAL, "\"%s\" has a header that is no object", path);
	json_object_foreach(root, name, t)
	{
		if (code == 0 && strcmp(name, "__metadata__") != 0)
			code = count(sums, path, name, t, err);
	}
	json_decref(root);
	return code;
}
