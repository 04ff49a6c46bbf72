/* template_loops.cpp - the node of a for statement, as the engine's but for its cost. */
#include "llama/template.hpp"

#include <set>

using jinja::context;
using jinja::is_stmt;
using jinja::is_val;
using jinja::mk_val;
using jinja::statement_ptr;
using jinja::value;
using nodes::execute_all;
using nodes::mark_used;
using nodes::put_names;

namespace
{
/* Names that a loop over them changes in each turn. */
std::set<std::string> names_of(const statement_ptr &loopvar)
{
	std::set<std::string> ret = {"loop"};
	if (const auto *id = jinja::cast_stmt<jinja::identifier>(loopvar))
		ret.insert(id->val);
	if (const auto *tuple = jinja::cast_stmt<jinja::tuple_literal>(loopvar))
		for (const auto &item : tuple->val)
			if (const auto *id = jinja::cast_stmt<jinja::identifier>(item))
				ret.insert(id->val);
	return ret;
}

/* Is e the same in each turn of a loop over names while nothing else is executed? It calls nothing, then. */
bool is_constant(const statement_ptr &e, const std::set<std::string> &names)
{
	if (const auto *id = jinja::cast_stmt<jinja::identifier>(e))
		return names.count(id->val) == 0;
	if (is_stmt<jinja::string_literal>(e) || is_stmt<jinja::integer_literal>(e))
		return true;
	if (const auto *m = jinja::cast_stmt<jinja::member_expression>(e))
		return is_constant(m->object, names) && (!m->computed || is_constant(m->property, names));
	if (const auto *u = jinja::cast_stmt<jinja::unary_expression>(e))
		return is_constant(u->argument, names);
	if (const auto *b = jinja::cast_stmt<jinja::binary_expression>(e))
		return is_constant(b->left, names) && is_constant(b->right, names);
	if (const auto *t = jinja::cast_stmt<jinja::test_expression>(e))
		return is_constant(t->operand, names) && is_stmt<jinja::identifier>(t->test);
	return false;
}

/* The items of a loop: a list, or numbers that are not made before their turn. */
struct items {
	std::vector<value> list;
	bool is_range = false;
	int64_t start = 0, step = 1;
	size_t count = 0;
	value at(size_t i) const
	{
		return is_range ? mk_val<jinja::value_int>(start + (int64_t)i * step) : list[i];
	}
};

/* What "loop" is: one object, whose members change. */
struct loop_variable {
	value object = mk_val<jinja::value_object>();
	loop_variable()
	{
		jinja::cast_val<jinja::value_object>(object)->has_builtins = false;
	}
	void set(const items &in, size_t i)
	{
		auto number = [](size_t n) -> value { return mk_val<jinja::value_int>((int64_t)n); };
		put(0, number(i + 1));
		put(1, number(i));
		put(2, number(in.count - i));
		put(3, number(in.count - i - 1));
		put(4, mk_val<jinja::value_bool>(i == 0));
		put(5, mk_val<jinja::value_bool>(i + 1 == in.count));
		put(6, number(in.count));
		put(7, i > 0 ? in.at(i - 1) : mk_val<jinja::value_undefined>("previtem"));
		put(8, i + 1 < in.count ? in.at(i + 1) : mk_val<jinja::value_undefined>("nextitem"));
	}

      private:
	void put(size_t member, const value &v)
	{
		static const char *const names[] = {
			"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem"};
		auto *o = jinja::cast_val<jinja::value_object>(object);
		if (o->val_obj.size() <= member) {
			o->insert(names[member], v);
			return;
		}
		o->val_obj[member].second = v;
		o->unordered.find(o->val_obj[member].first)->second = v;
	}
};

struct for_node : jinja::for_statement {
	bool uses_loop;
	/* When the body is one if: for it and each elif, is its test constant? */
	std::vector<bool> constant;

	for_node(jinja::for_statement &&from, bool uses_loop)
	    : jinja::for_statement(std::move(from)), uses_loop(uses_loop)
	{
		std::set<std::string> names = names_of(loopvar);
		for (const auto *s = only(body); s; s = only(s->alternate))
			constant.push_back(is_constant(s->test, names));
	}
	value execute_impl(context &ctx) const override
	{
		nodes::step();
		nodes::text out;
		context scope(ctx);
		items in = items_of(scope);
		if (!run(scope, in, out))
			execute_all(default_block, ctx, out);
		return out.take();
	}

      private:
	static const jinja::if_statement *only(const jinja::statements &body)
	{
		return body.size() == 1 ? jinja::cast_stmt<jinja::if_statement>(body[0]) : nullptr;
	}
	/* range(...) of whole numbers, when that name is still the engine's. */
	bool range_of(context &scope, items &ret) const
	{
		const auto *call = jinja::cast_stmt<jinja::call_expression>(iterable);
		const auto *named = call ? jinja::cast_stmt<jinja::identifier>(call->callee) : nullptr;
		if (!named || named->val != "range" || call->args.empty() || call->args.size() > 3 ||
			scope.is_get_stats || !scope.get_val("range")->is_undefined())
			return false;
		int64_t number[3] = {0, 0, 1};
		for (size_t i = 0; i < call->args.size(); i++) {
			value v = call->args[i]->execute(scope);
			if (!is_val<jinja::value_int>(v))
				throw std::runtime_error("range() takes whole numbers, not " + v->type());
			number[call->args.size() == 1 ? 1 : i] = v->as_int();
		}
		if (number[2] == 0)
			throw std::runtime_error("range() step argument must not be zero");
		__int128 span = (__int128)number[1] - number[0], step = number[2];
		__int128 count = (span > 0) == (step > 0) && span != 0 ? (span + step + (step > 0 ? -1 : 1)) / step : 0;
		ret.is_range = true;
		ret.start = number[0];
		ret.step = number[2];
		ret.count = (size_t)std::min<__int128>(count, INT64_MAX);
		return true;
	}
	items items_of(context &scope) const
	{
		items ret;
		const auto *select = jinja::cast_stmt<jinja::select_expression>(iterable);
		if (!select && range_of(scope, ret))
			return ret;
		value all = (select ? select->lhs : iterable)->execute(scope);
		bool object = is_val<jinja::value_object>(all);
		mark_used(scope, all, object ? "object_access" : "array_access");
		if (object) {
			for (const auto &pair : all->as_ordered_object())
				ret.list.push_back(is_stmt<jinja::identifier>(loopvar)
							   ? pair.first
							   : mk_val<jinja::value_tuple>(pair));
		} else if (is_val<jinja::value_array>(all)) {
			ret.list = all->as_array();
		} else if (!all->is_undefined()) {
			throw std::runtime_error("Expected iterable or object type in for loop: got " + all->type());
		}
		meter::spend(ret.list.size());
		if (select)
			keep_selected(scope, select->test, ret.list);
		ret.count = ret.list.size();
		return ret;
	}
	void keep_selected(const context &scope, const statement_ptr &test, std::vector<value> &list) const
	{
		context own(scope);
		std::vector<value> kept;
		for (const value &v : list) {
			meter::spend(4);
			put_names(own, loopvar, v);
			if (test->execute(own)->as_bool())
				kept.push_back(v);
		}
		list = std::move(kept);
	}
	/* Was there a turn to its end? */
	bool run(context &scope, const items &in, nodes::text &out) const
	{
		bool whole = false;
		loop_variable loop;
		if (uses_loop)
			scope.set_val("loop", loop.object);
		for (size_t i = 0; i < in.count; i++) {
			meter::spend(8);
			if (uses_loop)
				loop.set(in, i);
			put_names(scope, loopvar, in.at(i));
			try {
				bool same = turn(scope, out);
				whole = true;
				if (same)
					break;
			} catch (const jinja::continue_statement::signal &) {
				continue;
			} catch (const jinja::break_statement::signal &) {
				break;
			}
		}
		return whole;
	}
	/* True: this turn executed nothing but tests that are constant, so that all turns behind it do the same. Templates
	 * that look back for a message have no break: they go on over all messages with "if not found". */
	bool turn(context &scope, nodes::text &out) const
	{
		if (constant.empty()) {
			execute_all(body, scope, out);
			return false;
		}
		bool same = true;
		size_t n = 0;
		for (const auto *s = only(body); s; s = only(s->alternate), n++) {
			same = same && constant[n];
			bool is = s->test->execute(scope)->as_bool();
			const jinja::statements &taken = is ? s->body : s->alternate;
			if (taken.empty())
				return same;
			if (is || !only(taken)) {
				execute_all(taken, scope, out);
				return false;
			}
		}
		return false;
	}
};
} // namespace

statement_ptr nodes::make_loop(jinja::for_statement &&from, bool uses_loop)
{
	auto ret = std::make_unique<for_node>(std::move(from), uses_loop);
	ret->pos = from.pos;
	return ret;
}
