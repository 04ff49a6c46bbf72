/* template_meter.cpp - what a render has spent, see template.hpp. */
#include "llama/template.hpp"

#include <cerrno>
#include <vector>

namespace
{
constexpr uint32_t NESTING_MAX = 500; /* of a value: a request's nest 64 deep, templates put a few levels around them */
/* Containers put into others later, which nobody can see the depth of: their depths in all. What is freed or compared
 * recurses at most so deep, some 300 bytes a level. */
constexpr uint32_t PUT_DEPTH_MAX = 4096;

bool has_items(const jinja::value_t *v)
{
	return !v->val_arr.empty() || !v->val_obj.empty();
}

/* May it hold others, now or later? Functions are refused. */
bool is_holder(const jinja::value &v)
{
	return jinja::is_val<jinja::value_array>(v) || jinja::is_val<jinja::value_object>(v) ||
	       jinja::is_val<jinja::value_func>(v);
}

struct walk {
	std::vector<std::pair<const jinja::value_t *, uint32_t>> open;
	const jinja::value_t *unwanted = nullptr; /* not to be met */
	uint64_t level_bytes = 0, bytes = 0;
	uint32_t deepest = 0;

	void visit(const jinja::value_t *v, uint32_t level)
	{
		if (v == unwanted)
			throw std::runtime_error("a value would hold itself");
		if (jinja::is_val<jinja::value_func>(v))
			throw std::runtime_error("a list or object cannot hold a function");
		deepest = level > deepest ? level : deepest;
		if (level > NESTING_MAX)
			meter::end(-ELOOP);
		bytes += v->val_str.length() + 8 + level * level_bytes;
		if (has_items(v))
			open.emplace_back(v, level);
	}
	void run(const jinja::value_t *v)
	{
		visit(v, 0);
		while (!open.empty()) {
			auto [at, level] = open.back();
			open.pop_back();
			for (const auto &item : at->val_arr)
				visit(item.get(), level + 1);
			for (const auto &pair : at->val_obj) {
				visit(pair.first.get(), level + 1);
				visit(pair.second.get(), level + 1);
			}
			meter::spend(1 + at->val_arr.size() + 2 * at->val_obj.size());
			if (meter::running && bytes > meter::running->bytes_max)
				meter::end(-E2BIG);
		}
	}
};

/* A conversation's every turn may have a namespace of its own. */
void forget_gone(meter::state &s)
{
	s.put_depth = 0;
	for (auto it = s.put.begin(); it != s.put.end();) {
		if (it->second.self.expired()) {
			it = s.put.erase(it);
		} else {
			s.put_depth += it->second.depth;
			++it;
		}
	}
	meter::spend(s.put.size());
}
} // namespace

thread_local meter::state *meter::running;

void meter::end(int code)
{
	running->budget.code = code; /* whoever catches it goes on to the next node at most */
	running->budget.steps_left = 0;
	switch (code) {
	case -ECANCELED:
		throw exhausted(code, "nobody waits for the prompt any more");
	case -ETIME:
		throw exhausted(code, "the chat template took too long for these messages");
	case -E2BIG:
		throw exhausted(code, "the prompt has more than " + std::to_string(running->bytes_max) + " bytes");
	case -ENOBUFS:
		throw exhausted(code, "the chat template needs more than " + std::to_string(running->held_max >> 20) +
					      " MiB of memory for these messages");
	default:
		throw exhausted(-ELOOP, "the chat template nests too deep for these messages");
	}
}

void meter::spend_value(const jinja::value &v)
{
	if (!running)
		return;
	const jinja::string &s = v->val_str;
	size_t bytes = s.parts.empty() ? 0 : s.length();
	if (bytes > running->bytes_max)
		end(-E2BIG);
	spend(1 + bytes / 64 + s.parts.size() + v->val_arr.size() / 4 + v->val_obj.size() / 4);
}

void meter::spend_bytes(uint64_t bytes)
{
	if (running && bytes > running->bytes_max)
		end(-E2BIG);
	spend(1 + bytes / 64);
}

void meter::check_stack()
{
	if (running && static_cast<const char *>(__builtin_frame_address(0)) < running->stack_end)
		end(-ELOOP);
}

void meter::spend_deep(const jinja::value &v, uint32_t level_bytes)
{
	walk w;
	w.level_bytes = level_bytes;
	if (running && has_items(v.get()))
		w.run(v.get());
}

void meter::check_part(const jinja::value &part)
{
	walk w;
	if (running && is_holder(part))
		w.run(part.get());
}

void meter::check_put(const jinja::value &holder, const jinja::value &part)
{
	walk w;
	w.unwanted = holder.get();
	if (!running || !is_holder(part))
		return;
	w.run(part.get());
	state::holder &h = running->put[holder.get()];
	if (h.self.expired()) {
		running->put_depth -= h.depth;
		h = {holder, 0};
	}
	if (w.deepest + 1 <= h.depth)
		return;
	running->put_depth += w.deepest + 1 - h.depth;
	h.depth = w.deepest + 1;
	if (running->put_depth > PUT_DEPTH_MAX)
		forget_gone(*running);
	if (running->put_depth > PUT_DEPTH_MAX)
		end(-ELOOP);
}
