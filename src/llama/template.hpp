/* template.hpp - what the files of the template engine's edge share. Not included outside src/llama/.
 *
 * llama.cpp's engine runs a tree of nodes; a node executes by a virtual function and its fields are public. So each node of
 * a parsed template is put inside a class of ours that spends from the render's budget first (template_nodes.cpp). The
 * engine's functions that take time or memory without nodes (string filters, range, tojson) are looked up by nodes, and
 * wrapped there (template_filters.cpp). What a thread renders is its meter, found by a pointer of the thread: the engine
 * copies its context at every scope and has no place in it for us. */
#ifndef STATOR_LLAMA_TEMPLATE_HPP
#define STATOR_LLAMA_TEMPLATE_HPP

#include "base/budget.h"
#include "llama/heap.hpp"

#include <jinja/runtime.h>

#include <cerrno>
#include <memory>
#include <unordered_map>

namespace meter
{
/* Ends a render. The engine lets it pass: it passes on what is already described. */
struct exhausted : jinja::rethrown_exception {
	int code; /* -ECANCELED, -ETIME, -E2BIG (too much text), -ENOBUFS (too much memory), -ELOOP (too deep) */
	exhausted(int code, const std::string &why) : jinja::rethrown_exception(why), code(code)
	{
	}
};

struct state {
	struct budget budget = {};
	heap::count held = 0, held_max = 0; /* of all that is alive */
	size_t bytes_max = 0; /* of any text that is made */
	const char *stack_end = nullptr; /* no node runs beyond it */
	/* Containers that were put into another after it was made: for each holder the deepest. */
	struct holder {
		std::weak_ptr<jinja::value_t> self; /* gone: another may have its address */
		uint32_t depth = 0;
	};
	std::unordered_map<const jinja::value_t *, holder> put;
	uint32_t put_depth = 0; /* their sum; of those that are gone too, until there are too many */
};
/* What this thread renders; NULL: nothing, and nothing is counted. */
extern thread_local state *running;

/* While it lives, s is what the thread renders. */
struct scope {
	state *before;
	heap::scope counts;
	explicit scope(state *s) : before(running), counts(s ? &s->held : nullptr)
	{
		running = s;
	}
	scope(const scope &) = delete;
	scope &operator=(const scope &) = delete;
	~scope()
	{
		running = before;
	}
};

[[noreturn]] void end(int code);
inline void spend(uint64_t steps)
{
	if (!running)
		return;
	if (running->held > running->held_max)
		end(-ENOBUFS);
	if (budget_spend(&running->budget, steps) < 0)
		end(running->budget.code);
}
/* For what a node made or looked at: its size at the surface. Refuses a text past the bound. */
void spend_value(const jinja::value &v);
/* Refuses bytes of text that would be made. */
void spend_bytes(uint64_t bytes);
/* Is there stack for another node? */
void check_stack();
/* Walk all of v: for functions of the engine that recurse over it and write it out, with level_bytes more a level. Refuses
 * what is nested too deep, and more than a text may have. */
void spend_deep(const jinja::value &v, uint32_t level_bytes = 0);
/* part is about to be put into a new container. */
void check_part(const jinja::value &part);
/* part is about to be put into holder, which others may hold already. Refuses cycles: nobody would free them. */
void check_put(const jinja::value &holder, const jinja::value &part);
} // namespace meter

namespace nodes
{
/* Put every node of a parsed template into one of ours. */
void wrap(jinja::program &program);
/* The engine's function name of input ("upper" of a string), wrapped; NULL: there is none. */
jinja::value bound_function(const std::string &name, const jinja::value &input);
/* A function of no value ("range"), wrapped; NULL: there is none. */
jinja::value free_function(const std::string &name);

/* Text in the making: parts that follow one another, neighbours of one origin joined. */
struct text {
	jinja::string made;
	size_t bytes = 0;
	void add(const jinja::value &v);
	jinja::value take()
	{
		auto ret = jinja::mk_val<jinja::value_string>();
		ret->val_str = std::move(made);
		return ret;
	}
};

/* For the files of the nodes. Another step: spends, and is there stack? */
void step();
/* For the analysis of what a template uses; "" notes no operation. */
void mark_used(const jinja::context &ctx, jinja::value &v, const std::string &op);
/* Assign v to a name, or its items to a tuple of names. */
void put_names(jinja::context &ctx, const jinja::statement_ptr &names, const jinja::value &v);
void execute_all(const jinja::statements &body, jinja::context &ctx, text &out);
/* uses_loop: something in the body may look at "loop". */
jinja::statement_ptr make_loop(jinja::for_statement &&from, bool uses_loop);
} // namespace nodes

#endif
