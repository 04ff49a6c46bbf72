#include "frontend/request.h"
#include "base/limits.h"
#include "config/json_parse.h"
#include "frontend/request_priv.h"
#include "route/policy.h"

#include <math.h>

static const struct json_in_field common_fields[] = {
	U32_CUT(min_tokens, "min_new_tokens", 0, TOKENS_MAX), /* SGLang's name */
	U32_CUT(min_tokens, "min_tokens", 0, TOKENS_MAX),
	U32(n, "n", 1, CHOICES_MAX),
	BOOL(stream, "stream"),
	BOOL(ignore_eos, "ignore_eos"),
	BOOL(tokens_as_ids, "return_tokens_as_token_ids"),
	BOOL(keep_stop, "include_stop_str_in_output"),
	BOOL(cache_prompt, "cache_prompt"),
	BOOL(deterministic, "deterministic"),
	F32(temperature, "temperature", 0, 2),
	F32(top_p, "top_p", 0, 1),
	F32(min_p, "min_p", 0, 1),
	F32(typical_p, "typical_p", 0, 1),
	F32(repetition_penalty, "repeat_penalty", 0, 10), /* llama-server's name */
	F32(repetition_penalty, "repetition_penalty", 0, 10),
	F32(presence_penalty, "presence_penalty", -2, 2),
	F32(frequency_penalty, "frequency_penalty", -2, 2),
};
/* Samplers of Dynamo's "nvext"; those of the body itself count before them. */
static const struct json_in_field nvext_fields[] = {
	BOOL(ignore_eos, "ignore_eos"),
	F32(repetition_penalty, "repetition_penalty", 0, 10),
};
static const struct json_in_field completion_fields[] = {
	BOOL(echo, "echo"),
	BOOL(parse_special, "parse_special"),
};
static const struct json_in_field stream_fields[] = {
	BOOL(include_usage, "include_usage"),
	BOOL(continuous_usage, "continuous_usage_stats"),
};

/* model, seed, stop, logit_bias, stream_options: members that are no plain scalars */

int api_request_model(const char **ret, const json_t *root, struct api_error *e)
{
	const json_t *v = json_in_get(root, "model");

	*ret = "";
	return v ? json_in_name(v, "model", ret, e) : 0;
}

static int read_model(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	if (api_request_model(&r->model, root, e) < 0)
		return -EINVAL;
	r->model = arena_strdup(arena, r->model);
	return r->model ? 0 : out_of_memory(e);
}

static int read_top_k(struct api_request *r, const json_t *root, struct api_error *e)
{
	const json_t *v = json_in_get(root, "top_k");
	int64_t k;

	if (!v)
		return 0;
	if (!json_in_whole(v, &k))
		return json_in_wrong_type(e, "top_k", "an integer", v);
	if (k < -1)
		return api_error_set(e, 400, NULL, "top_k", "\"top_k\" must be 0 or more, or -1 for off, not %s",
			json_in_show(v).text);
	r->sampling.top_k = k < 0 ? 0 : (uint32_t)MIN(k, (int64_t)INT32_MAX);
	return 0;
}

/* What Dynamo's clients sent beside OpenAI's fields. */
static int read_nvext(struct api_request *r, const json_t *root, struct api_error *e)
{
	const json_t *v = json_in_get(root, "nvext");

	if (!v)
		return 0;
	if (!json_is_object(v))
		return json_in_wrong_type(e, "nvext", "an object", v);
	return json_in_fields(v, nvext_fields, ARRAY_LEN(nvext_fields), r, e) < 0 ? -EINVAL : read_top_k(r, v, e);
}

/* One that asks for the likeliest token whatever the temperature. */
static int read_greedy(struct api_request *r, const json_t *root, struct api_error *e)
{
	const json_t *v = json_in_get(json_in_get(root, "nvext"), "greed_sampling");

	if (v && !json_is_boolean(v))
		return json_in_wrong_type(e, "nvext.greed_sampling", "true or false", v);
	if (json_is_true(v))
		r->sampling.temperature = 0;
	return 0;
}

static int refuse_seed(const json_t *v, struct api_error *e)
{
	return api_error_set(e, 400, NULL, "seed",
		"\"seed\" must be between -9223372036854775808 and 18446744073709551615, not %s", json_in_show(v).text);
}

static int read_seed(struct api_request *r, const json_t *root, struct api_error *e)
{
	const json_t *v = json_in_get(root, "seed");

	if (!v)
		return 0;
	int64_t seed;
	if (!json_in_whole(v, &seed))
		return json_in_wrong_type(e, "seed", "an integer", v);
	/* Signed or unsigned, 64 bits. What jansson holds as a real number is beyond the signed ones. */
	const double end = ldexp(1, 64), half = ldexp(1, 63);
	double d = json_number_value(v);
	if ((json_is_real(v) && d <= -half) || d > end)
		return refuse_seed(v, e);
	r->has_seed = seed != -1; /* vLLM and llama-server draw one for -1 */
	if (json_is_integer(v) || d < half)
		r->sampling.seed = (uint64_t)seed;
	else
		r->sampling.seed = d < end ? (uint64_t)(d - half) + (1ull << 63) : UINT64_MAX;
	return 0;
}

/* "No limit" is -1 to llama-server and its clients, and a very large number to others. */
static int read_limit(struct api_request *r, const char *name, const json_t *v, struct api_error *e)
{
	int64_t limit;

	if (!json_in_whole(v, &limit))
		return json_in_wrong_type(e, name, "an integer", v);
	if (limit < -1)
		return api_error_set(e, 400, NULL, name, "\"%s\" must be 1 or more, or -1 for no limit, not %s", name,
			json_in_show(v).text);
	r->has_max_tokens = true;
	r->max_tokens = limit < 0 ? TOKENS_MAX : (uint32_t)MIN(limit, (int64_t)TOKENS_MAX);
	return 0;
}

/* Where several are given the last of these wins: OpenAI's before others', and its newer name before the older. */
static const char *const limit_names[] = {"n_predict", "max_new_tokens", "max_tokens", "max_completion_tokens"};

static int read_limits(struct api_request *r, const json_t *root, struct api_error *e)
{
	for (uint32_t i = 0; i < ARRAY_LEN(limit_names); i++) {
		const json_t *v = json_in_get(root, limit_names[i]);
		if (v && read_limit(r, limit_names[i], v, e) < 0)
			return -EINVAL;
	}
	return 0;
}

static int check_limits(const struct api_request *r, const json_t *root, struct api_error *e)
{
	const char *name = "max_tokens"; /* as the client calls it */

	if (!r->has_max_tokens)
		return 0;
	for (uint32_t i = 0; i < ARRAY_LEN(limit_names); i++)
		if (json_in_get(root, limit_names[i]))
			name = limit_names[i];
	if (!r->max_tokens && !r->echo)
		return api_error_set(e, 400, NULL, name,
			"\"%s\" must be 1 or more, or -1 for no limit; 0 is taken by /v1/completions with \"echo\", whose answer is the prompt then",
			name);
	if (r->max_tokens && r->min_tokens > r->max_tokens)
		return api_error_set(e, 400, NULL, "min_tokens", "\"min_tokens\" is %u and \"%s\" only %u",
			r->min_tokens, name, r->max_tokens);
	return 0;
}

static int check_stop(const struct api_text *s, struct api_error *e)
{
	if (!s->len)
		return api_error_set(e, 400, NULL, "stop", "\"stop\" has an empty string");
	if (s->len > STOP_BYTES_MAX)
		return api_error_set(e, 400, NULL, "stop", "\"stop\" has a string of %zu bytes; at most %u are taken",
			s->len, STOP_BYTES_MAX);
	return 0;
}

static int read_stop(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *v = json_in_get(root, "stop");
	size_t count = !v ? 0 : json_is_array(v) ? json_array_size(v) : 1;

	if (v && !json_is_string(v) && !json_is_array(v))
		return json_in_wrong_type(e, "stop", "a string or an array of strings", v);
	if (count > STOPS_MAX)
		return api_error_set(
			e, 400, NULL, "stop", "\"stop\" has %zu strings; at most %u are taken", count, STOPS_MAX);
	if (!count)
		return 0;
	r->stops = arena_alloc(arena, count * sizeof *r->stops);
	if (!r->stops)
		return out_of_memory(e);
	for (size_t i = 0; i < count; i++) {
		const json_t *s = json_is_array(v) ? json_array_get(v, i) : v;
		if (!json_is_string(s))
			return json_in_wrong_type(e, "stop", "a string or an array of strings", s);
		r->stops[i] = text_of(s);
		if (check_stop(&r->stops[i], e) < 0)
			return -EINVAL;
	}
	r->stops_len = (uint32_t)count;
	return 0;
}

static int read_bias_item(const char *key, const json_t *v, uint32_t *ret_token, float *ret_value, struct api_error *e)
{
	char *end;
	unsigned long token = strtoul(key, &end, 10);

	if (*end == '.') /* "50256.0" */
		end += 1 + strspn(end + 1, "0");
	if (*key < '0' || *key > '9' || *end || token > INT32_MAX)
		return api_error_set(
			e, 400, NULL, "logit_bias", "\"logit_bias\" has the key \"%.32s\", which is no token id", key);
	if (!json_is_number(v) || json_number_value(v) < -100 || json_number_value(v) > 100)
		return api_error_set(e, 400, NULL, "logit_bias",
			"\"logit_bias\" of token %lu must be a number between -100 and 100", token);
	*ret_token = (uint32_t)token;
	*ret_value = (float)json_number_value(v);
	return 0;
}

static int read_bias(struct api_request *r, json_t *root, struct arena *arena, struct api_error *e)
{
	json_t *v = json_in_get(root, "logit_bias");
	const char *key;
	json_t *item;
	uint32_t i = 0;

	if (!v)
		return 0;
	if (!json_is_object(v))
		return json_in_wrong_type(e, "logit_bias", "an object of token ids and numbers", v);
	size_t count = json_object_size(v);
	if (count > LOGIT_BIAS_MAX)
		return api_error_set(e, 400, NULL, "logit_bias", "\"logit_bias\" has %zu tokens; at most %u are taken",
			count, LOGIT_BIAS_MAX);
	uint32_t *tokens = arena_alloc(arena, (count + 1) * sizeof *tokens);
	float *values = arena_alloc(arena, (count + 1) * sizeof *values);
	if (!tokens || !values)
		return out_of_memory(e);
	json_object_foreach(v, key, item)
	{
		if (read_bias_item(key, item, &tokens[i], &values[i], e) < 0)
			return -EINVAL;
		i++;
	}
	r->sampling.bias_tokens = (struct msg_u32s){tokens, i};
	r->sampling.bias_values = (struct msg_f32s){values, i};
	return 0;
}

static int read_stream_options(struct api_request *r, const json_t *root, struct api_error *e)
{
	const json_t *v = json_in_get(root, "stream_options");

	if (!v)
		return 0;
	if (!json_is_object(v))
		return json_in_wrong_type(e, "stream_options", "an object", v);
	if (!r->stream)
		return api_error_set(e, 400, NULL, "stream_options",
			"\"stream_options\" is for streams; set \"stream\" to true or leave it out");
	return json_in_fields(v, stream_fields, ARRAY_LEN(stream_fields), r, e);
}

/* vLLM's: tokens that end the answer as its end token does. */
static int read_stop_tokens(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *v = json_in_get(root, "stop_token_ids");

	if (!v)
		return 0;
	if (!json_is_array(v))
		return json_in_wrong_type(e, "stop_token_ids", "an array of token ids", v);
	if (json_array_size(v) > STOP_TOKENS_MAX)
		return api_error_set(e, 400, NULL, "stop_token_ids",
			"\"stop_token_ids\" has %zu tokens; at most %u are taken", json_array_size(v), STOP_TOKENS_MAX);
	return json_in_tokens(v, "stop_token_ids", arena, &r->stop_tokens, e);
}

/* vLLM's, and Dynamo's in nvext: what one who does not know the salt sends cannot find out what was cached. */
static int read_cache_salt(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *v = json_in_get(root, "cache_salt");

	if (!v)
		v = json_in_get(json_in_get(root, "nvext"), "cache_salt");
	if (!v)
		return 0;
	if (!json_is_string(v))
		return json_in_wrong_type(e, "cache_salt", "a string", v);
	size_t len = json_string_length(v);
	if (!len || len > CACHE_SALT_BYTES_MAX)
		return api_error_set(e, 400, NULL, "cache_salt",
			"\"cache_salt\" has %zu bytes; 1 to %u are taken, and without the field there is none", len,
			CACHE_SALT_BYTES_MAX);
	r->cache_salt = (struct api_text){arena_strndup(arena, json_string_value(v), len), len};
	return r->cache_salt.data ? 0 : out_of_memory(e);
}

/* 0 for no text. A NUL inside does not end it. */
static uint64_t text_hash(const json_t *v)
{
	const char *text = json_is_string(v) ? json_string_value(v) : "", *end = text + json_string_length(v);
	uint64_t hash = 0;

	for (; text < end; text += strlen(text) + 1)
		hash = hash * 0x9e3779b97f4a7c15ull ^ route_name_hash(text);
	return hash;
}

/* Whose conversation it is, as far as clients of OpenAI's say: for the session policy. */
static void read_session(struct api_request *r, const json_t *root)
{
	uint64_t key = text_hash(json_in_get(root, "prompt_cache_key"));

	r->session = key ? key : text_hash(json_in_get(root, "user"));
}

static int read_common(struct api_request *r, json_t *root, struct arena *arena, struct api_error *e)
{
	r->n = 1;
	r->cache_prompt = true;
	r->sampling.temperature = 1;
	r->sampling.top_p = 1;
	if (read_nvext(r, root, e) < 0 || json_in_fields(root, common_fields, ARRAY_LEN(common_fields), r, e) < 0 ||
		read_model(r, root, arena, e) < 0 || read_limits(r, root, e) < 0 || read_top_k(r, root, e) < 0 ||
		read_greedy(r, root, e) < 0 || read_seed(r, root, e) < 0 || read_stop(r, root, arena, e) < 0 ||
		read_stop_tokens(r, root, arena, e) < 0 || read_bias(r, root, arena, e) < 0 ||
		read_cache_salt(r, root, arena, e) < 0 || read_stream_options(r, root, e) < 0 ||
		request_refuse_unsupported(r, root, e) < 0)
		return -EINVAL;
	read_session(r, root);
	/* OpenAI allows 0, the likeliest token alone; 0 means "off" in our frames. */
	if (r->sampling.top_p == 0)
		r->sampling.top_p = 1e-6f;
	return 0;
}

/* completions */

static int read_prompt(
	const json_t *v, const char *name, struct arena *arena, struct api_prompt *ret, struct api_error *e)
{
	if (json_is_string(v)) {
		ret->text = text_of(v);
		return 0;
	}
	if (!json_is_array(v))
		return json_in_wrong_type(
			e, name, "a string, an array of strings, or an array (of arrays) of token ids", v);
	ret->is_tokens = true;
	return json_in_tokens(v, name, arena, &ret->tokens, e);
}

/* "text" | [1, 2] | ["text", ...] | [[1, 2], ...] */
static int read_prompts(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *v = json_in_get(root, "prompt");
	char name[API_PARAM_BYTES_MAX];

	if (!v)
		return api_error_set(e, 400, NULL, "prompt", "\"prompt\" is missing%s",
			json_in_get(root, "messages") ? "; \"messages\" go to /v1/chat/completions" : "");
	const json_t *first = json_array_get(v, 0);
	if (json_is_array(v) && !first)
		return api_error_set(e, 400, NULL, "prompt", "\"prompt\" is empty");
	size_t count = json_is_array(v) && !json_is_number(first) ? json_array_size(v) : 1;
	if (count > PROMPTS_MAX || count * r->n > PROMPTS_MAX)
		return api_error_set(e, 400, NULL, "prompt",
			"\"prompt\" has %zu prompts and n is %u; at most %u choices are made", count, r->n,
			PROMPTS_MAX);
	r->prompts = arena_alloc(arena, count * sizeof *r->prompts);
	if (!r->prompts)
		return out_of_memory(e);
	r->prompts_len = (uint32_t)count;
	if (!json_is_array(v) || json_is_number(first))
		return read_prompt(v, "prompt", arena, &r->prompts[0], e);
	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof name, "prompt[%zu]", i);
		if (read_prompt(json_array_get(v, i), name, arena, &r->prompts[i], e) < 0)
			return -EINVAL;
	}
	return 0;
}

static int read_completion_logprobs(struct api_request *r, const json_t *root, struct api_error *e)
{
	const struct json_in_field count = U32(top_logprobs, "logprobs", 0, TOP_LOGPROBS_MAX);
	const json_t *v = json_in_get(root, "logprobs");

	if (!v || json_is_false(v))
		return 0;
	r->logprobs = true;
	return json_in_fields(root, &count, 1, r, e);
}

static int read_completion(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *suffix = json_in_get(root, "suffix");

	if (json_in_fields(root, completion_fields, ARRAY_LEN(completion_fields), r, e) < 0 ||
		read_completion_logprobs(r, root, e) < 0 || read_prompts(r, root, arena, e) < 0)
		return -EINVAL;
	r->has_parse_special = json_in_get(root, "parse_special");
	const json_t *specials = json_in_get(root, "add_special_tokens");
	if (specials && !json_is_boolean(specials))
		return json_in_wrong_type(e, "add_special_tokens", "true or false", specials);
	r->no_specials = json_is_false(specials);
	if (suffix && !(json_is_string(suffix) && !json_string_length(suffix)))
		return api_error_set(
			e, 400, "unsupported_parameter", "suffix", "\"suffix\" is not supported; leave it out");
	if (r->echo && r->logprobs)
		return api_error_set(e, 400, "unsupported_parameter", "echo",
			"\"echo\" with \"logprobs\" is not supported: the prompt's probabilities are not computed");
	return 0;
}

int api_request_read(
	struct api_request *ret, enum api_kind kind, json_t *root, struct arena *arena, struct api_error *e)
{
	struct api_request r = {.kind = kind, .model = ""};

	if (read_common(&r, root, arena, e) < 0 ||
		(kind == API_CHAT ? request_read_chat : read_completion)(&r, root, arena, e) < 0 ||
		check_limits(&r, root, e) < 0)
		return -EINVAL;
	*ret = r;
	return 0;
}

int api_request_parse(struct api_request *ret, enum api_kind kind, const char *body, size_t len, struct arena *arena,
	struct api_error *e)
{
	json_t *root;

	if (api_json_parse(&root, body, len, arena, e) < 0)
		return -EINVAL;
	if (api_request_read(ret, kind, root, arena, e) < 0)
		return -EINVAL;
	/* Beyond 63 bits the tree has the nearest real; a seed is exact. The largest has the same as the first that is none. */
	uint64_t exact;
	const json_t *seed = json_in_get(root, "seed");
	if (!json_is_real(seed))
		return 0;
	if (json_text_u64(body, len, "seed", &exact))
		ret->sampling.seed = exact;
	else if (json_real_value(seed) >= ldexp(1, 64))
		return refuse_seed(seed, e);
	return 0;
}
