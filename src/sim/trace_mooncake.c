/* trace_mooncake.c - lines of the Mooncake form. */
#include "base/rng.h"
#include "config/json_parse.h"
#include "sim/trace_priv.h"

DEFINE_CLEANUP(json_decref, json_t)

uint64_t trace_mix(uint64_t a, uint64_t b)
{
	return rng_keyed_u64(a, b);
}

static int number(const json_t *o, const char *key, uint64_t max, uint64_t *ret, struct err *err)
{
	const json_t *v = json_object_get(o, key);

	if (!v)
		return err_set(err, -EINVAL, "key \"%s\" is missing", key);
	if (!json_is_number(v))
		return err_set(err, -EINVAL, "\"%s\" is not a number", key);
	double d = json_number_value(v);
	if (!(d >= 0 && d <= (double)max))
		return err_set(err, -ERANGE, "\"%s\" is %g; it goes from 0 to %llu", key, d, (unsigned long long)max);
	*ret = (uint64_t)d;
	return 0;
}

/* One id stands for 512 tokens and everything before them. Smaller blocks are parts of one; a larger one is named by its
 * last id. */
static int hashes_read(
	struct trace_reader *r, const json_t *ids, uint32_t ids_count, uint32_t prompt_tokens, struct err *err)
{
	uint32_t blocks = prompt_tokens / r->block_size;

	for (uint32_t i = 0; i < blocks; i++) {
		uint32_t last_token = (i + 1) * r->block_size - 1, at = last_token / TRACE_ID_TOKENS;
		ASSERT(at < ids_count);
		const json_t *id = json_array_get(ids, at);
		if (!json_is_integer(id))
			return err_set(err, -EINVAL, "\"hash_ids\": item %u is not a whole number", at + 1);
		uint64_t part = last_token % TRACE_ID_TOKENS + 1;
		uint64_t hash = trace_mix(trace_mix(TRACE_MIX_ID, (uint64_t)json_integer_value(id)), part);
		if (trace_hash_add(r, hash, err) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int fields_read(struct trace_reader *r, const json_t *o, struct err *err)
{
	uint64_t at_ms, prompt, answer;

	if (number(o, "timestamp", UINT32_MAX, &at_ms, err) < 0 ||
		number(o, "input_length", TRACE_PROMPT_TOKENS_MAX, &prompt, err) < 0 ||
		number(o, "output_length", TRACE_PROMPT_TOKENS_MAX, &answer, err) < 0)
		return err ? err->code : -EINVAL;
	if (!prompt || !answer)
		return err_set(err, -ERANGE, "\"%s\" is 0; a request has at least one token",
			prompt ? "output_length" : "input_length");
	const json_t *ids = json_object_get(o, "hash_ids");
	if (!json_is_array(ids))
		return err_set(err, -EINVAL, ids ? "\"hash_ids\" is not a list" : "key \"hash_ids\" is missing");
	uint64_t want = (prompt + TRACE_ID_TOKENS - 1) / TRACE_ID_TOKENS;
	if (json_array_size(ids) != want)
		return err_set(err, -EINVAL,
			"\"hash_ids\" has %zu items; a prompt of %llu tokens has %llu, one for each %d tokens",
			json_array_size(ids), (unsigned long long)prompt, (unsigned long long)want, TRACE_ID_TOKENS);
	struct trace_row row = {.at_us = at_ms * 1000,
		.prompt_tokens = (uint32_t)prompt,
		.answer_tokens = (uint32_t)answer,
		.hashes = r->hashes.len};
	int code = hashes_read(r, ids, (uint32_t)want, row.prompt_tokens, err);
	return code < 0 ? code : trace_row_add(r, &row, err);
}

int trace_line_mooncake(struct trace_reader *r, const char *line, size_t len, struct err *err)
{
	json_error_t error;
	CLEANUP(json_decref_p) json_t *o = json_parse(line, len, 0, &error);

	if (r->block_size > TRACE_ID_TOKENS ? r->block_size % TRACE_ID_TOKENS : TRACE_ID_TOKENS % r->block_size)
		return err_set(err, -EINVAL,
			"cannot use blocks of %u tokens: the ids of this trace stand for %d tokens; take a divisor or "
			"a multiple "
			"of that",
			r->block_size, TRACE_ID_TOKENS);
	if (!o && json_is_no_memory(&error))
		return err_set(err, -ENOMEM, "out of memory");
	if (!o)
		return err_set(err, -EINVAL, "not JSON: %s (column %d)", error.text, error.column);
	if (!json_is_object(o))
		return err_set(err, -EINVAL, "not a JSON object");
	return fields_read(r, o, err);
}
