/* Any bytes as the body of a chat or a completion request: never a crash, and what is taken keeps its limits. */
#include "base/limits.h"
#include "frontend/request.h"

static void check(const struct api_request *r)
{
	ASSERT(r->n >= 1 && r->n <= CHOICES_MAX);
	ASSERT(r->kind == API_CHAT ? r->messages_len >= 1 : r->prompts_len >= 1);
	ASSERT(r->prompts_len * r->n <= PROMPTS_MAX);
	ASSERT(r->stops_len <= STOPS_MAX && r->top_logprobs <= TOP_LOGPROBS_MAX);
	ASSERT(r->max_tokens <= TOKENS_MAX && r->min_tokens <= TOKENS_MAX && r->sampling.top_k <= INT32_MAX);
	ASSERT(!r->has_max_tokens || r->max_tokens || r->echo);
	ASSERT(r->kind == API_CHAT || !r->tools_json);
	ASSERT(r->sampling.temperature >= 0 && r->sampling.temperature <= 2);
	ASSERT(r->sampling.bias_tokens.len == r->sampling.bias_values.len);
	for (uint32_t i = 0; i < r->stops_len; i++)
		ASSERT(r->stops[i].len >= 1 && r->stops[i].len <= STOP_BYTES_MAX);
	for (uint32_t i = 0; i < r->messages_len; i++)
		ASSERT(r->messages[i].role);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *body = malloc(len + 1);

	if (!body)
		return 0;
	if (len)
		memcpy(body, data, len);
	body[len] = '\0';
	for (enum api_kind kind = API_CHAT; kind <= API_COMPLETION; kind++) {
		struct api_request r;
		struct api_error e = {0};
		struct arena arena;
		arena_init(&arena, 64 << 20);
		if (api_request_parse(&r, kind, body, len, &arena, &e) == 0)
			check(&r);
		else
			ASSERT(e.status >= 400 && e.message[0]);
		arena_done(&arena);
	}
	free(body);
	return 0;
}
