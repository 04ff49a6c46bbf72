/* template_filters.cpp - the engine's functions, looked up without copying its tables, and bounded.
 *
 * All spend by the size of what they are given and what they make. Some are made anew, with the same results: those that
 * take time with the square of a text (split, replace), memory by a number (range, indent), that fail on what a client can
 * send (sort with values of several kinds), or keep to one thread (strftime_now). */
#include "llama/template.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>

using jinja::func_args;
using jinja::func_handler;
using jinja::is_val;
using jinja::mk_val;
using jinja::value;

namespace
{
constexpr int64_t RANGE_MAX = 1 << 20; /* numbers of a list; loops over range() make none */
constexpr int64_t INDENT_MAX = 256;

using plain = value (*)(const func_handler &engines, const func_args &args);

std::string text_of(const value &v)
{
	return v->as_string().str();
}

void spend_args(const func_args &args)
{
	for (const value &v : args.get_args())
		meter::spend_value(v);
}

value as_it_is(const func_handler &engines, const func_args &args)
{
	return engines(args);
}

/* Recurses over what it is given. */
value walks(const func_handler &engines, const func_args &args)
{
	for (const value &v : args.get_args())
		meter::spend_deep(v);
	return engines(args);
}

/* The number that arg n or the keyword name holds is at most INDENT_MAX. Returns it, 0: none. */
int64_t indent_of(const func_args &args, const char *name, size_t n)
{
	value width = args.get_kwarg_or_pos(name, n);
	int64_t ret = is_val<jinja::value_int>(width) ? width->as_int() : 0;
	if (ret > INDENT_MAX || ret < 0)
		throw std::runtime_error("an indentation of " + std::to_string(ret) + " blanks");
	return ret;
}

value tojson(const func_handler &engines, const func_args &args)
{
	int64_t indent = indent_of(args, "indent", 2);
	for (const value &v : args.get_args())
		meter::spend_deep(v, (uint32_t)indent);
	return engines(args);
}

value indent(const func_handler &engines, const func_args &args)
{
	value input = args.get_pos(0), width = args.get_kwarg_or_pos("width", 1);
	uint64_t bytes = (uint64_t)indent_of(args, "width", 1) + 4 +
			 (is_val<jinja::value_string>(width) ? text_of(width).size() : 0);
	std::string text = is_val<jinja::value_string>(input) ? text_of(input) : "";
	meter::spend_bytes(text.size() + (uint64_t)std::count(text.begin(), text.end(), '\n') * bytes);
	return engines(args);
}

value join(const func_handler &engines, const func_args &args)
{
	value input = args.get_pos(0), delim = args.get_kwarg_or_pos("d", 1);
	meter::spend_deep(input);
	if (is_val<jinja::value_string>(delim))
		meter::spend_bytes((uint64_t)input->val_arr.size() * delim->as_string().length());
	return engines(args);
}

value format(const func_handler &engines, const func_args &args)
{
	value input = args.get_pos(0);
	uint64_t bytes = 0;
	for (const value &v : args.get_args()) {
		meter::spend_deep(v);
		bytes += is_val<jinja::value_string>(v) ? v->as_string().length() : 0;
	}
	if (is_val<jinja::value_string>(input)) /* each argument is used once */
		meter::spend_bytes(bytes);
	return engines(args);
}

/* A test by a remainder takes every number but those that the processor does not divide by. */
void check_divisor(const value &v)
{
	if (is_val<jinja::value_int>(v) && (v->as_int() == 0 || v->as_int() == -1))
		throw std::runtime_error("divisibleby " + std::to_string(v->as_int()));
}

value select(const func_handler &engines, const func_args &args)
{
	const auto &given = args.get_args();
	for (size_t i = 1; i + 1 < given.size(); i++)
		if (is_val<jinja::value_string>(given[i]) && text_of(given[i]) == "divisibleby")
			check_divisor(given[i + 1]);
	return engines(args);
}

/* --- Made anew --- */

/* Pieces between delimiters; all but the last (rsplit: the first) lose the mark of the caller's text, as in the engine: veils
 * keep them apart. */
value split_text(const func_args &args, bool from_right)
{
	args.ensure_count(1, 3);
	value input = args.get_pos(0);
	std::string str = text_of(input), delim = args.count() > 1 ? text_of(args.get_pos(1)) : " ";
	if (delim.empty())
		throw jinja::raised_exception("empty separator");
	int64_t left = args.count() > 2 ? args.get_pos(2)->as_int() : -1;
	std::vector<value> pieces;
	size_t begin = 0, end = str.size();
	while (left-- != 0) {
		size_t at = from_right ? (end < delim.size() ? std::string::npos : str.rfind(delim, end - delim.size()))
				       : str.find(delim, begin);
		if (at == std::string::npos)
			break;
		meter::spend(4);
		size_t from = from_right ? at + delim.size() : begin, to = from_right ? end : at;
		pieces.push_back(mk_val<jinja::value_string>(str.substr(from, to - from)));
		begin = from_right ? 0 : at + delim.size();
		end = from_right ? at : end;
	}
	auto rest = mk_val<jinja::value_string>(str.substr(begin, end - begin));
	rest->val_str.mark_input_based_on(input->val_str);
	pieces.push_back(rest);
	if (from_right)
		std::reverse(pieces.begin(), pieces.end());
	return mk_val<jinja::value_array>(std::move(pieces));
}

value split(const func_handler &engines, const func_args &args)
{
	return is_val<jinja::value_string>(args.get_pos(0)) ? split_text(args, false) : engines(args);
}

value rsplit(const func_handler &engines, const func_args &args)
{
	return is_val<jinja::value_string>(args.get_pos(0)) ? split_text(args, true) : engines(args);
}

std::string replaced(const std::string &str, const std::string &what, const std::string &with)
{
	uint64_t bytes = str.size();
	if (what.empty()) {
		meter::spend_bytes(bytes + (bytes + 1) * with.size());
	} else {
		for (size_t at = 0; (at = str.find(what, at)) != std::string::npos; at += what.size())
			bytes += with.size(); /* what goes is not taken off: a bound */
		meter::spend_bytes(bytes);
	}
	std::string ret;
	size_t done = 0;
	for (size_t at = 0; !what.empty() && (at = str.find(what, done)) != std::string::npos; done = at + what.size())
		ret.append(str, done, at - done).append(with);
	for (size_t i = 0; what.empty() && i < str.size(); i++, done++)
		ret.append(with).push_back(str[i]);
	return ret.append(what.empty() ? with : str.substr(done));
}

value replace(const func_handler &engines, const func_args &args)
{
	value input = args.get_pos(0);
	if (!is_val<jinja::value_string>(input) || args.count() != 3)
		return engines(args);
	args.ensure_vals<jinja::value_string, jinja::value_string, jinja::value_string>();
	std::string what = text_of(args.get_pos(1)), with = text_of(args.get_pos(2)), str = text_of(input);
	auto ret = mk_val<jinja::value_string>(what == with ? str : replaced(str, what, with));
	ret->val_str.mark_input_based_on(input->val_str);
	return ret;
}

/* A member by name, an item by number, also one in letters. */
value attribute_of(const value &v, const value &attribute, value &none)
{
	if (is_val<jinja::value_object>(v) && is_val<jinja::value_string>(attribute))
		return v->at(attribute, none);
	if (!is_val<jinja::value_array>(v))
		return none;
	if (is_val<jinja::value_int>(attribute))
		return v->at(attribute->as_int(), none);
	std::string digits = is_val<jinja::value_string>(attribute) ? text_of(attribute) : "";
	bool number =
		!digits.empty() && digits.size() < 10 && digits.find_first_not_of("0123456789") == std::string::npos;
	return number ? v->at((int64_t)std::stol(digits), none) : none;
}

bool comes_before(const value &a, const value &b, bool reverse)
{
	meter::spend_value(a);
	return jinja::value_compare(a, b, reverse ? jinja::value_compare_op::gt : jinja::value_compare_op::lt);
}

/* By merging, which no comparison can lead astray; the engine's sort may leave its memory for values of several kinds. */
value sort(const func_handler &engines, const func_args &args)
{
	value input = args.get_pos(0), attribute = args.get_kwarg_or_pos("attribute", 3);
	if (!is_val<jinja::value_array>(input))
		return engines(args);
	bool reverse = args.get_kwarg_or_pos("reverse", 1)->as_bool();
	value none = mk_val<jinja::value_undefined>();
	std::vector<value> items = input->as_array();
	std::stable_sort(items.begin(), items.end(), [&](const value &a, const value &b) {
		bool whole = attribute->is_undefined();
		return comes_before(whole ? a : attribute_of(a, attribute, none),
			whole ? b : attribute_of(b, attribute, none), reverse);
	});
	if (is_val<jinja::value_tuple>(input))
		return mk_val<jinja::value_tuple>(std::move(items));
	return mk_val<jinja::value_array>(std::move(items));
}

value dictsort(const func_handler &engines, const func_args &args)
{
	value input = args.get_pos(0), by = args.get_kwarg_or_pos("by", 2);
	if (!is_val<jinja::value_object>(input))
		return engines(args);
	bool reverse = args.get_kwarg_or_pos("reverse", 3)->as_bool();
	bool by_value = is_val<jinja::value_string>(by) && text_of(by) == "value";
	auto ret = mk_val<jinja::value_object>(input);
	std::stable_sort(ret->val_obj.begin(), ret->val_obj.end(), [&](const auto &a, const auto &b) {
		return by_value ? comes_before(a.second, b.second, reverse) : comes_before(a.first, b.first, reverse);
	});
	return ret;
}

value append(const func_handler &engines, const func_args &args)
{
	if (args.count() == 2)
		meter::check_put(args.get_pos(0), args.get_pos(1));
	return engines(args);
}

/* namespace() and dict(). */
value object_of(const func_handler &engines, const func_args &args)
{
	for (const value &v : args.get_args()) {
		const auto *named = jinja::cast_val<jinja::value_kwarg>(v);
		meter::check_part(named ? named->val : v);
	}
	return engines(args);
}

value range(const func_handler &engines, const func_args &args)
{
	int64_t number[3] = {0, 0, 1};
	for (size_t i = 0; i < args.count() && i < 3; i++) {
		if (!is_val<jinja::value_int>(args.get_pos(i)))
			return engines(args); /* says what is wrong */
		number[args.count() == 1 ? 1 : i] = args.get_pos(i)->as_int();
	}
	if (number[2] == 0)
		return engines(args);
	__int128 length = ((__int128)number[1] - number[0] + number[2] + (number[2] > 0 ? -1 : 1)) / number[2];
	if (length > RANGE_MAX)
		throw std::runtime_error("range() has more than 1048576 numbers");
	std::vector<value> numbers;
	for (int64_t i = 0; i < (int64_t)length; i++) {
		meter::spend(4);
		numbers.push_back(mk_val<jinja::value_int>(number[0] + i * number[2]));
	}
	return mk_val<jinja::value_array>(std::move(numbers));
}

value strftime_now(const func_handler &engines, const func_args &args)
{
	struct tm now = {};
	char text[100];
	if (args.count() != 1 || !is_val<jinja::value_string>(args.get_pos(0)))
		return engines(args);
	localtime_r(&args.ctx.current_time, &now);
	if (strftime(text, sizeof text, text_of(args.get_pos(0)).c_str(), &now) == 0)
		throw jinja::raised_exception("strftime_now: failed to format time");
	return mk_val<jinja::value_string>(std::string(text));
}

/* --- Look-up --- */

const struct {
	const char *name;
	plain fn;
} table[] = {
	{"tojson", tojson},
	{"string", walks},
	{"safe", walks},
	{"indent", indent},
	{"join", join},
	{"format", format},
	{"split", split},
	{"rsplit", rsplit},
	{"replace", replace},
	{"sort", sort},
	{"dictsort", dictsort},
	{"append", append},
	{"select", select},
	{"reject", select},
	{"selectattr", select},
	{"rejectattr", select},
	{"namespace", object_of},
	{"dict", object_of},
	{"range", range},
	{"strftime_now", strftime_now},
};

plain own_of(const std::string &name)
{
	for (const auto &entry : table)
		if (name == entry.name)
			return entry.fn;
	return as_it_is;
}

func_handler wrapped(const std::string &name, const func_handler *engines)
{
	plain fn = own_of(name);
	return [fn, engines](const func_args &args) {
		spend_args(args);
		value ret = fn(*engines, args);
		meter::spend_value(ret);
		return ret;
	};
}
} // namespace

value nodes::bound_function(const std::string &name, const value &input)
{
	const auto &all = input->get_builtins();
	auto it = all.find(name);
	return it == all.end() ? nullptr : mk_val<jinja::value_func>(name, wrapped(name, &it->second), input);
}

value nodes::free_function(const std::string &name)
{
	const auto &all = jinja::global_builtins();
	auto it = all.find(name);
	return it == all.end() ? nullptr : mk_val<jinja::value_func>(name, wrapped(name, &it->second));
}
