/* template_nodes.cpp - the nodes of a template, each inside one of ours that spends from the render's budget.
 *
 * Most add the spending only (counted). Some do what the engine's do in another way, with the same result, because the
 * engine's cost too much: it copies its tables of functions at each look-up, the scope at each item of a loop, and all text
 * at each level of blocks. Conversations of some hundred messages took seconds with templates that look back over them. */
#include "llama/template.hpp"

#include <cstring>
#include <set>

using jinja::context;
using jinja::is_stmt;
using jinja::is_val;
using jinja::mk_val;
using jinja::statement;
using jinja::statement_ptr;
using jinja::value;

using nodes::execute_all;
using nodes::mark_used;
using nodes::put_names;
using nodes::step;

namespace
{
template <typename T> struct counted : T {
	explicit counted(T &&from) : T(std::move(from))
	{
	}
	value execute_impl(context &ctx) const override
	{
		step();
		value ret = T::execute_impl(ctx);
		meter::spend_value(ret);
		return ret;
	}
};

/* --- Names and members --- */

struct name_node : jinja::identifier {
	explicit name_node(jinja::identifier &&from) : jinja::identifier(std::move(from))
	{
	}
	value execute_impl(context &ctx) const override
	{
		step();
		value ret = ctx.get_val(val);
		if (!ret->is_undefined()) {
			mark_used(ctx, ret, "");
			meter::spend_value(ret);
			return ret;
		}
		value function = nodes::free_function(val);
		return function ? function : mk_val<jinja::value_undefined>(val);
	}
};

/* NULL: none. */
value function_of(context &ctx, const std::string &name, value &input)
{
	mark_used(ctx, input, name);
	return nodes::bound_function(name, input);
}

value filtered(context &ctx, const statement_ptr &filter, value input)
{
	static const std::set<std::string> of_text = {
		"capitalize", "lower", "replace", "strip", "title", "upper", "wordcount"};
	static const std::map<std::string, std::string> other_names = {
		{"count", "length"}, {"d", "default"}, {"e", "escape"}, {"trim", "strip"}};
	const auto *call = jinja::cast_stmt<jinja::call_expression>(filter);
	const auto *named = jinja::cast_stmt<jinja::identifier>(call ? call->callee : filter);
	if (!named)
		throw std::runtime_error("a filter is not a name");
	auto other = other_names.find(named->val);
	const std::string &name = other == other_names.end() ? named->val : other->second;
	if (!call && !input->is_undefined() && !is_val<jinja::value_string>(input) && of_text.count(name) > 0) {
		meter::spend_deep(input);
		input = mk_val<jinja::value_string>(input->as_string());
	}
	jinja::func_args args(ctx);
	for (size_t i = 0; call && i < call->args.size(); i++)
		args.push_back(call->args[i]->execute(ctx));
	value function = function_of(ctx, name, input);
	if (!function)
		throw std::runtime_error("Unknown (built-in) filter '" + name + "' for type " + input->type());
	return function->invoke(args);
}

struct filter_node : jinja::filter_expression {
	explicit filter_node(jinja::filter_expression &&from) : jinja::filter_expression(std::move(from))
	{
	}
	value execute_impl(context &ctx) const override
	{
		step();
		return filtered(ctx, filter, operand->execute(ctx));
	}
};

struct member_node : jinja::member_expression {
	explicit member_node(jinja::member_expression &&from) : jinja::member_expression(std::move(from))
	{
	}

	value execute_impl(context &ctx) const override
	{
		step();
		value holder = object->execute(ctx);
		if (const auto *s = computed ? jinja::cast_stmt<jinja::slice_expression>(property) : nullptr)
			return slice(ctx, holder, *s);
		value key = computed ? property->execute(ctx) : name();
		if (!computed && is_val<jinja::value_string>(key)) { /* a function comes before a member of that name */
			value function = function_of(ctx, key->as_string().str(), holder);
			if (function)
				return function;
		}
		if (!key->is_undefined() && !key->is_hashable())
			throw std::runtime_error("Type: " + key->type() + " is not allowed as object key");
		value ret = key->is_undefined() ? nullptr : look_up(ctx, holder, key);
		if (!ret)
			ret = mk_val<jinja::value_undefined>("object_property");
		note(ctx, holder, key, ret);
		meter::spend_value(ret);
		return ret;
	}

      private:
	value name() const
	{
		if (const auto *number = jinja::cast_stmt<jinja::integer_literal>(property))
			return mk_val<jinja::value_int>(number->val);
		const auto *id = jinja::cast_stmt<jinja::identifier>(property);
		if (!id)
			throw std::runtime_error("Static member property must be an identifier");
		return mk_val<jinja::value_string>(id->val);
	}
	value slice(context &ctx, value &holder, const jinja::slice_expression &s) const
	{
		int64_t size = is_val<jinja::value_array>(holder)    ? (int64_t)holder->as_array().size()
			       : is_val<jinja::value_string>(holder) ? (int64_t)holder->val_str.length()
								     : 0;
		value step = s.step_expr ? s.step_expr->execute(ctx) : mk_val<jinja::value_int>(1);
		bool back = step->as_int() < 0;
		jinja::func_args args(ctx);
		args.push_back(
			s.start_expr ? s.start_expr->execute(ctx) : mk_val<jinja::value_int>(back ? size - 1 : 0));
		args.push_back(s.stop_expr ? s.stop_expr->execute(ctx) : mk_val<jinja::value_int>(back ? -1 : size));
		args.push_back(step);
		value function = function_of(ctx, "slice", holder);
		if (!function)
			throw std::runtime_error("Unknown (built-in) filter 'slice' for type " + holder->type());
		return function->invoke(args);
	}
	/* NULL: undefined. */
	value look_up(context &ctx, value &holder, const value &key) const
	{
		bool number = is_val<jinja::value_int>(key) || is_val<jinja::value_bool>(key);
		value none;
		if (holder->is_undefined())
			return nullptr;
		if (is_val<jinja::value_object>(holder)) {
			value found = holder->at(key, none);
			return found && !found->is_undefined() ? found
							       : function_of(ctx, key->as_string().str(), holder);
		}
		if (number && is_val<jinja::value_array>(holder)) {
			const auto &items = holder->as_array();
			int64_t at = key->as_int() + (key->as_int() < 0 ? (int64_t)items.size() : 0);
			return at >= 0 && at < (int64_t)items.size() ? items[(size_t)at] : nullptr;
		}
		if (number && is_val<jinja::value_string>(holder)) {
			std::string text = holder->as_string().str();
			int64_t at = key->as_int();
			return at >= 0 && at < (int64_t)text.size()
				       ? mk_val<jinja::value_string>(std::string(1, text[(size_t)at]))
				       : nullptr;
		}
		if (is_val<jinja::value_string>(key))
			return function_of(ctx, key->as_string().str(), holder);
		if (is_val<jinja::value_array>(holder) || is_val<jinja::value_string>(holder))
			return nullptr;
		throw std::runtime_error("Cannot access property with non-string: got " + key->type());
	}
	/* For the analysis of what a template uses. */
	void note(const context &ctx, value &holder, value &key, value &ret) const
	{
		if (!ctx.is_get_stats)
			return;
		mark_used(ctx, ret, "");
		mark_used(ctx, key, "");
		bool item = is_val<jinja::value_int>(key) || is_val<jinja::value_bool>(key);
		mark_used(ctx, holder, item && !is_val<jinja::value_object>(holder) ? "array_access" : "object_access");
	}
};

/* --- Expressions --- */

struct binary_node : jinja::binary_expression {
	explicit binary_node(jinja::binary_expression &&from) : jinja::binary_expression(std::move(from))
	{
	}
	value execute_impl(context &ctx) const override
	{
		step();
		value ret = op.value == "*" ? product(left->execute(ctx), right->execute(ctx))
					    : jinja::binary_expression::execute_impl(ctx);
		meter::spend_value(ret);
		return ret;
	}

      private:
	static bool is_number(const value &v)
	{
		return is_val<jinja::value_int>(v) || is_val<jinja::value_float>(v);
	}
	/* Of numbers, or a text so many times: how much that is, is known before. */
	static value product(const value &a, const value &b)
	{
		if (is_number(a) && is_number(b)) {
			double ret = a->as_float() * b->as_float();
			if (is_val<jinja::value_int>(a) && is_val<jinja::value_int>(b))
				return mk_val<jinja::value_int>((int64_t)ret);
			return mk_val<jinja::value_float>(ret);
		}
		const value &text = is_val<jinja::value_string>(a) ? a : b,
			    &times = is_val<jinja::value_string>(a) ? b : a;
		if (!is_val<jinja::value_string>(text) || !is_val<jinja::value_int>(times))
			throw std::runtime_error("cannot multiply " + a->type() + " and " + b->type());
		auto ret = mk_val<jinja::value_string>();
		int64_t count = std::max<int64_t>(times->as_int(), 0);
		uint64_t bytes = text->val_str.length() + text->val_str.parts.size();
		meter::spend_bytes(
			bytes && (uint64_t)count > UINT64_MAX / bytes ? UINT64_MAX : bytes * (uint64_t)count);
		for (int64_t i = 0; bytes && i < count; i++)
			ret->val_str.append(text->val_str);
		return ret;
	}
};

struct test_node : jinja::test_expression {
	explicit test_node(jinja::test_expression &&from) : jinja::test_expression(std::move(from))
	{
	}
	value execute_impl(context &ctx) const override
	{
		step();
		const auto *call = jinja::cast_stmt<jinja::call_expression>(test);
		const auto *named = call ? jinja::cast_stmt<jinja::identifier>(call->callee) : nullptr;
		if (!named || named->val != "divisibleby" || call->args.size() != 1)
			return jinja::test_expression::execute_impl(ctx);
		value input = operand->execute(ctx), by = call->args[0]->execute(ctx);
		if (!is_val<jinja::value_int>(input) || !is_val<jinja::value_int>(by) || by->as_int() == 0)
			throw std::runtime_error("divisibleby takes whole numbers and not 0");
		bool is = by->as_int() == -1 || input->as_int() % by->as_int() == 0;
		return mk_val<jinja::value_bool>(is != negate);
	}
};

/* Lists, tuples and objects that are written out: their items were there before. */
template <typename T> struct literal_node : counted<T> {
	explicit literal_node(T &&from) : counted<T>(std::move(from))
	{
	}
	value execute_impl(context &ctx) const override
	{
		value ret = counted<T>::execute_impl(ctx);
		for (const value &item : ret->val_arr)
			meter::check_part(item);
		for (const auto &pair : ret->val_obj)
			meter::check_part(pair.second);
		return ret;
	}
};

/* --- Statements --- */

struct set_node : jinja::set_statement {
	explicit set_node(jinja::set_statement &&from) : jinja::set_statement(std::move(from))
	{
	}
	value execute_impl(context &ctx) const override
	{
		step();
		const auto *member = jinja::cast_stmt<jinja::member_expression>(assignee);
		value v = val ? val->execute(ctx) : text_of_body(ctx);
		if (!member) {
			put_names(ctx, assignee, v);
			return mk_val<jinja::value_undefined>();
		}
		const auto *name = jinja::cast_stmt<jinja::identifier>(member->property);
		if (member->computed || !name)
			throw std::runtime_error("Cannot assign to computed member");
		value holder = member->object->execute(ctx);
		if (!is_val<jinja::value_object>(holder))
			throw std::runtime_error("Cannot assign to member of non-object");
		meter::check_put(holder, v);
		jinja::cast_val<jinja::value_object>(holder)->insert(name->val, v);
		return mk_val<jinja::value_undefined>();
	}

      private:
	value text_of_body(context &ctx) const
	{
		nodes::text out;
		execute_all(body, ctx, out);
		return out.take();
	}
};

struct if_node : jinja::if_statement {
	explicit if_node(jinja::if_statement &&from) : jinja::if_statement(std::move(from))
	{
	}
	value execute_impl(context &ctx) const override
	{
		step();
		nodes::text out;
		execute_all(test->execute(ctx)->as_bool() ? body : alternate, ctx, out);
		return out.take();
	}
};

/* --- Wrapping --- */

struct wrapper {
	bool loop_seen = false; /* by what was wrapped last: "loop", or a call that may look at it */

	void all(jinja::statements &list)
	{
		for (auto &s : list)
			one(s);
	}
	template <typename T> void names(T &pairs)
	{
		for (auto &pair : pairs) {
			one(pair.first);
			one(pair.second);
		}
	}
	template <typename N, typename T> static void put(statement_ptr &p, T *node)
	{
		auto made = std::make_unique<N>(std::move(*node));
		made->pos = node->pos;
		p = std::move(made);
	}
	void one(statement_ptr &p);
	void loop(statement_ptr &p, jinja::for_statement *s);
	bool statement(statement_ptr &p);
	bool expression(statement_ptr &p);
	bool literal(statement_ptr &p);
};

void wrapper::loop(statement_ptr &p, jinja::for_statement *s)
{
	bool outside = loop_seen;
	one(s->iterable);
	all(s->default_block);
	bool before = loop_seen;
	loop_seen = false;
	all(s->body);
	p = nodes::make_loop(std::move(*s), loop_seen);
	loop_seen = loop_seen || before || outside;
}

bool wrapper::statement(statement_ptr &p)
{
	if (auto *f = jinja::cast_stmt<jinja::for_statement>(p)) {
		loop(p, f);
	} else if (auto *i = jinja::cast_stmt<jinja::if_statement>(p)) {
		one(i->test);
		all(i->body);
		all(i->alternate);
		put<if_node>(p, i);
	} else if (auto *s = jinja::cast_stmt<jinja::set_statement>(p)) {
		one(s->val);
		all(s->body);
		if (auto *member = jinja::cast_stmt<jinja::member_expression>(s->assignee))
			one(member->object);
		put<set_node>(p, s);
	} else if (auto *m = jinja::cast_stmt<jinja::macro_statement>(p)) {
		all(m->body);
		for (auto &arg : m->args)
			if (auto *k = jinja::cast_stmt<jinja::keyword_argument_expression>(arg))
				one(k->val);
		put<counted<jinja::macro_statement>>(p, m);
	} else if (auto *c = jinja::cast_stmt<jinja::call_statement>(p)) {
		loop_seen = true;
		if (auto *call = jinja::cast_stmt<jinja::call_expression>(c->call)) {
			one(call->callee);
			all(call->args);
		}
		all(c->body);
		put<counted<jinja::call_statement>>(p, c);
	} else if (auto *t = jinja::cast_stmt<jinja::filter_statement>(p)) {
		all(t->body);
		if (auto *call = jinja::cast_stmt<jinja::call_expression>(t->filter))
			all(call->args);
		put<counted<jinja::filter_statement>>(p, t);
	} else {
		return false;
	}
	return true;
}

bool wrapper::literal(statement_ptr &p)
{
	if (auto *s = jinja::cast_stmt<jinja::string_literal>(p)) {
		put<counted<jinja::string_literal>>(p, s);
	} else if (auto *a = jinja::cast_stmt<jinja::array_literal>(p)) {
		all(a->val);
		put<literal_node<jinja::array_literal>>(p, a);
	} else if (auto *t = jinja::cast_stmt<jinja::tuple_literal>(p)) {
		all(t->val);
		put<literal_node<jinja::tuple_literal>>(p, t);
	} else if (auto *o = jinja::cast_stmt<jinja::object_literal>(p)) {
		names(o->val);
		put<literal_node<jinja::object_literal>>(p, o);
	} else {
		return false;
	}
	return true;
}

bool wrapper::expression(statement_ptr &p)
{
	if (auto *id = jinja::cast_stmt<jinja::identifier>(p)) {
		loop_seen = loop_seen || id->val == "loop";
		put<name_node>(p, id);
	} else if (auto *m = jinja::cast_stmt<jinja::member_expression>(p)) {
		one(m->object);
		if (m->computed)
			one(m->property);
		put<member_node>(p, m);
	} else if (auto *c = jinja::cast_stmt<jinja::call_expression>(p)) {
		/* A macro sees the variables of who calls it. */
		auto *id = jinja::cast_stmt<jinja::identifier>(c->callee);
		loop_seen = loop_seen || (id && jinja::global_builtins().count(id->val) == 0);
		one(c->callee);
		all(c->args);
		put<counted<jinja::call_expression>>(p, c);
	} else if (auto *f = jinja::cast_stmt<jinja::filter_expression>(p)) {
		one(f->operand);
		if (auto *call = jinja::cast_stmt<jinja::call_expression>(f->filter))
			all(call->args);
		put<filter_node>(p, f);
	} else if (auto *b = jinja::cast_stmt<jinja::binary_expression>(p)) {
		one(b->left);
		one(b->right);
		put<binary_node>(p, b);
	} else if (auto *u = jinja::cast_stmt<jinja::unary_expression>(p)) {
		one(u->argument);
		put<counted<jinja::unary_expression>>(p, u);
	} else if (auto *t = jinja::cast_stmt<jinja::test_expression>(p)) {
		one(t->operand);
		if (auto *call = jinja::cast_stmt<jinja::call_expression>(t->test))
			all(call->args);
		put<test_node>(p, t);
	} else if (auto *n = jinja::cast_stmt<jinja::ternary_expression>(p)) {
		one(n->condition);
		one(n->true_expr);
		one(n->false_expr);
		put<counted<jinja::ternary_expression>>(p, n);
	} else if (auto *s = jinja::cast_stmt<jinja::select_expression>(p)) {
		one(s->lhs);
		one(s->test);
		put<counted<jinja::select_expression>>(p, s);
	} else if (auto *k = jinja::cast_stmt<jinja::keyword_argument_expression>(p)) {
		one(k->val);
		put<counted<jinja::keyword_argument_expression>>(p, k);
	} else if (auto *l = jinja::cast_stmt<jinja::slice_expression>(p)) {
		one(l->start_expr);
		one(l->stop_expr);
		one(l->step_expr);
	} else {
		return false;
	}
	return true;
}

/* What is none of these executes nothing that takes time. */
void wrapper::one(statement_ptr &p)
{
	if (!p || statement(p) || literal(p))
		return;
	expression(p);
}
} // namespace

void nodes::step()
{
	meter::spend(1);
	meter::check_stack();
}

void nodes::mark_used(const context &ctx, value &v, const std::string &op)
{
	if (!ctx.is_get_stats)
		return;
	jinja::value_t::stats_t::mark_used(v);
	if (!op.empty())
		v->stats.ops.insert(op);
}

void nodes::put_names(context &ctx, const statement_ptr &names, const value &v)
{
	if (const auto *id = jinja::cast_stmt<jinja::identifier>(names)) {
		ctx.set_val(id->val, v);
		return;
	}
	const auto *tuple = jinja::cast_stmt<jinja::tuple_literal>(names);
	if (!tuple)
		throw std::runtime_error("Invalid variable(s): " + names->type());
	if (!is_val<jinja::value_array>(v))
		throw std::runtime_error("Cannot unpack non-iterable type: " + v->type());
	const auto &items = v->as_array();
	if (items.size() != tuple->val.size())
		throw std::runtime_error(
			std::string("Too ") + (tuple->val.size() > items.size() ? "few" : "many") + " items to unpack");
	for (size_t i = 0; i < items.size(); i++) {
		const auto *id = jinja::cast_stmt<jinja::identifier>(tuple->val[i]);
		if (!id)
			throw std::runtime_error("Cannot unpack non-identifier type: " + tuple->val[i]->type());
		ctx.set_val(id->val, items[i]);
	}
}

void nodes::execute_all(const jinja::statements &body, context &ctx, text &out)
{
	for (const auto &s : body)
		out.add(s->execute(ctx));
}

void nodes::wrap(jinja::program &program)
{
	wrapper w;
	w.all(program.body);
}

void nodes::text::add(const value &v)
{
	meter::check_stack();
	if (is_val<jinja::value_array>(v)) {
		meter::spend_deep(v);
		for (const value &item : std::vector<value>(v->as_array()))
			add(item);
		return;
	}
	bool prints = is_val<jinja::value_string>(v) || is_val<jinja::value_int>(v) || is_val<jinja::value_float>(v) ||
		      is_val<jinja::value_bool>(v);
	if (!prints)
		return;
	const jinja::string s = is_val<jinja::value_string>(v) ? v->val_str : v->as_string();
	for (const auto &part : s.parts) {
		bytes += part.val.size();
		if (part.val.empty())
			continue;
		if (!made.parts.empty() && made.parts.back().is_input == part.is_input)
			made.parts.back().val += part.val;
		else
			made.parts.push_back(part);
	}
	meter::spend_bytes(bytes);
}
