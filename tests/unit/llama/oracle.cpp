/* oracle.cpp - llama.cpp's own way from messages to a prompt, from logits to probabilities, and its classes of characters. */
#include "oracle.h"

#include "src/llama-arch.h"
#include "src/llama-cparams.h"
#include "src/llama-memory.h"
#include "src/llama-model.h"
#include "src/unicode.h"

#include "llama/template.hpp"

#include <chat.h>
#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <json.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <csignal>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

char *oracle_engine(const char *source, const char *json, bool in_ours)
try {
	jinja::lexer lexer;
	jinja::lexer_result tokens = lexer.tokenize(source);
	jinja::program program = jinja::parse_from_tokens(tokens);
	meter::state state;
	state.bytes_max = 64 << 20;
	state.held_max = LL_TEMPLATE_HELD_BYTES_MAX;
	budget_begin(&state.budget, 0);
	meter::scope scope(in_ours ? &state : nullptr);
	if (in_ours)
		nodes::wrap(program);
	jinja::context ctx;
	ctx.current_time = 1700000000;
	jinja::global_from_json(ctx, common_json::parse(json), true);
	jinja::runtime runtime(ctx);
	auto text = jinja::runtime::gather_string_parts(runtime.execute(program));
	std::string ret;
	bool before = false;
	for (const auto &part : text->val_str.parts) {
		if (part.val.empty())
			continue;
		if (ret.empty() || part.is_input != before)
			ret += part.is_input ? "\x01i" : "\x01t";
		before = part.is_input;
		ret += part.val;
	}
	return strdup(ret.c_str());
} catch (const std::exception &e) {
	if (getenv("VERBOSE"))
		fprintf(stderr, "%s\n", e.what());
	return nullptr;
}

char *oracle_apply(const char *source, const struct ll_message *messages, uint32_t count, bool thinking)
try {
	auto templates = common_chat_templates_init(nullptr, source, "<BOS>", "<EOS>");
	common_chat_templates_inputs in;
	for (uint32_t i = 0; i < count; i++) {
		common_chat_msg m;
		m.role = messages[i].role;
		m.content = std::string(messages[i].content, messages[i].content_len);
		in.messages.push_back(m);
	}
	in.add_generation_prompt = true;
	in.enable_thinking = thinking;
	return strdup(common_chat_templates_apply(templates.get(), in).prompt.c_str());
} catch (const std::exception &) {
	return nullptr;
}

void oracle_probabilities(const float *logits, uint32_t n, const struct ll_sampling *p, const uint32_t *history,
	uint32_t history_len, float *ret)
{
	llama_sampler *chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
	std::vector<llama_logit_bias> bias;
	for (uint32_t i = 0; i < p->bias_count; i++)
		bias.push_back({(llama_token)p->bias_tokens[i], p->bias_values[i]});
	for (uint32_t i = 0; i < p->banned_count; i++)
		bias.push_back({(llama_token)p->banned[i], -INFINITY});
	llama_sampler_chain_add(chain, llama_sampler_init_logit_bias((int32_t)n, (int32_t)bias.size(), bias.data()));
	llama_sampler_chain_add(
		chain, llama_sampler_init_penalties((int32_t)n, (int32_t)std::min(p->penalty_last_n, history_len + 1),
			       p->repetition_penalty, p->frequency_penalty, p->presence_penalty));
	if (p->top_k > 0)
		llama_sampler_chain_add(chain, llama_sampler_init_top_k((int32_t)p->top_k));
	llama_sampler_chain_add(chain, llama_sampler_init_typical(p->typical_p, 1));
	llama_sampler_chain_add(chain, llama_sampler_init_top_p(p->top_p, 1));
	llama_sampler_chain_add(chain, llama_sampler_init_min_p(p->min_p, 1));
	llama_sampler_chain_add(chain, llama_sampler_init_temp(p->temperature));
	for (uint32_t i = 0; i < history_len; i++)
		llama_sampler_accept(chain, (llama_token)history[i]);
	std::vector<llama_token_data> data;
	for (uint32_t i = 0; i < n; i++)
		data.push_back({(llama_token)i, logits[i], 0});
	llama_token_data_array row = {data.data(), data.size(), -1, false};
	llama_sampler_apply(chain, &row);
	float best = -INFINITY;
	double sum = 0;
	for (size_t i = 0; i < row.size; i++)
		best = std::max(best, row.data[i].logit);
	for (size_t i = 0; i < row.size; i++)
		sum += std::exp(row.data[i].logit - best);
	std::fill(ret, ret + n, 0.0f);
	for (size_t i = 0; i < row.size; i++)
		ret[row.data[i].id] = (float)(std::exp(row.data[i].logit - best) / sum);
	llama_sampler_free(chain);
}

uint8_t oracle_char_class(uint32_t code_point)
{
	unicode_cpt_flags f = unicode_cpt_flags_from_cpt(code_point);
	return (uint8_t)(LL_CHAR_OTHER | (f.is_letter ? LL_CHAR_LETTER : 0) | (f.is_number ? LL_CHAR_NUMBER : 0) |
			 (f.is_whitespace ? LL_CHAR_SPACE : 0));
}

const char *oracle_arch_at(uint32_t i)
{
	return i < (uint32_t)LLM_ARCH_UNKNOWN ? llm_arch_name((llm_arch)i) : nullptr;
}

/* Exit status of the child: the answer, or how it ended otherwise. */
enum { ARCH_DECODES = 10, ARCH_DOES_NOT = 11 };

[[noreturn]] static void arch_ask(llm_arch arch)
{
	const struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	setenv("GGML_NO_BACKTRACE", "1", 1);
	alarm(20);
	int status = ARCH_DECODES;
	try {
		llama_model *m = llama_model_create(arch, llama_model_default_params());
		if (llama_model_has_encoder(m) || !llama_model_has_decoder(m) || llm_arch_is_diffusion(arch))
			_exit(ARCH_DOES_NOT);
		signal(SIGSEGV, SIG_DFL);
		if (!m->create_memory(llama_memory_params{}, llama_cparams{}))
			status = ARCH_DOES_NOT;
	} catch (const std::exception &) {
	}
	_exit(status);
}

bool oracle_arch_decodes(uint32_t i)
{
	pid_t pid = fork();
	if (pid == 0)
		arch_ask((llm_arch)i);
	int status = 0;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	/* A memory that was begun and met sizes that are not there is one all the same. */
	return !(WIFEXITED(status) && WEXITSTATUS(status) == ARCH_DOES_NOT);
}
