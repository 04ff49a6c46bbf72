/* edge.cpp - start llama.cpp once, collect what it logs. */
#include "llama/edge.hpp"

#include <atomic>
#include <mutex>

namespace
{
struct sink {
	void (*fn)(void *ctx, enum ll_log_level level, const char *line) = nullptr;
	void *ctx = nullptr;
};
sink log_sink;

constexpr size_t ERRORS_KEPT_BYTES = 768; /* leaves room in a struct err for what we were doing */

/* Lines are logged on the thread that made the call, so a thread's own are those that explain its failure. */
struct collected {
	std::string line; /* not ended yet */
	ggml_log_level level = GGML_LOG_LEVEL_NONE;
	std::string errors;
};
thread_local collected log_state;

ll_log_level level_of(ggml_log_level level)
{
	switch (level) {
	case GGML_LOG_LEVEL_ERROR:
		return LL_LOG_ERROR;
	case GGML_LOG_LEVEL_WARN:
		return LL_LOG_WARN;
	case GGML_LOG_LEVEL_INFO:
		return LL_LOG_INFO;
	default:
		return LL_LOG_DEBUG;
	}
}

/* "llama_model_load: error loading model: x" names functions of another program: strip the first name. */
std::string plain(const std::string &line)
{
	size_t colon = line.find(": ");
	bool name = colon != std::string::npos && line.find_first_of(" '\"") > colon;
	return name ? line.substr(colon + 2) : line;
}

void end_line(collected &s)
{
	if (s.line.empty())
		return;
	if (s.level == GGML_LOG_LEVEL_ERROR) {
		std::string text = plain(s.line);
		if (s.errors.find(text) == std::string::npos && s.errors.size() + text.size() < ERRORS_KEPT_BYTES)
			s.errors += (s.errors.empty() ? "" : "; ") + text;
	}
	if (log_sink.fn)
		log_sink.fn(log_sink.ctx, level_of(s.level), s.line.c_str());
	s.line.clear();
}

/* llama.cpp logs pieces; CONT continues the last. It must not throw into llama.cpp's C parts. */
void on_log(ggml_log_level level, const char *text, void *)
try {
	collected &s = log_state;
	if (level != GGML_LOG_LEVEL_CONT)
		s.level = level;
	for (const char *c = text; *c; c++) {
		if (*c == '\n')
			end_line(s);
		else if (s.line.size() < 2048)
			s.line += *c;
	}
} catch (...) {
}
} // namespace

void edge::init()
{
	static std::once_flag once;
	std::call_once(once, [] {
		llama_log_set(on_log, nullptr);
		llama_backend_init();
	});
}

void edge::forget_errors()
{
	log_state.errors.clear();
	log_state.line.clear();
}

std::string edge::last_errors()
{
	return log_state.errors;
}

void ll_log_sink(void (*fn)(void *ctx, enum ll_log_level level, const char *line), void *ctx)
{
	log_sink.fn = fn;
	log_sink.ctx = ctx;
}

const char *ll_version(void)
{
	return llama_version();
}
