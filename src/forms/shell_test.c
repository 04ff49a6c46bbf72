/* shell_test.c - conditions of a shell: strings, numbers and what is known of variables; files are not looked at. */
#include "forms/shell.h"

#include <fnmatch.h>
#include <string.h>

struct test {
	const struct form_word *v;
	uint32_t len, at;
	bool patterns; /* "[[": the right side of "==" is one unless it is quoted */
};

static bool is_open(const char *text)
{
	return strchr(text, '$') != NULL || strchr(text, '`') != NULL;
}

static enum form_truth truth_of(bool b)
{
	return b ? FORM_YES : FORM_NO;
}

static enum form_truth negated(enum form_truth t)
{
	return t == FORM_PERHAPS ? t : t == FORM_YES ? FORM_NO : FORM_YES;
}

static bool is_word(const struct test *t, uint32_t ahead, const char *text)
{
	return t->at + ahead < t->len && !strcmp(t->v[t->at + ahead].text, text);
}

static bool is_binary(const struct test *t, uint32_t ahead)
{
	static const char *const ops[] = {
		"=", "==", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "=~", "-nt", "-ot", "-ef"};

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (is_word(t, ahead, ops[i]))
			return true;
	return false;
}

static enum form_truth numbers(const char *a, const char *op, const char *b)
{
	int64_t x, y;

	if (!form_arith(a, strlen(a), NULL, &x) || !form_arith(b, strlen(b), NULL, &y))
		return FORM_PERHAPS;
	switch (op[1] == 'n' ? 'n' : op[1] == 'e' ? 'e' : op[2] == 't' ? op[1] : op[1] == 'l' ? 'L' : 'G') {
	case 'n':
		return truth_of(x != y);
	case 'e':
		return truth_of(x == y);
	case 'l':
		return truth_of(x < y);
	case 'L':
		return truth_of(x <= y);
	case 'g':
		return truth_of(x > y);
	default:
		return truth_of(x >= y);
	}
}

static enum form_truth binary(struct test *t)
{
	const struct form_word *a = &t->v[t->at], *b = &t->v[t->at + 2];
	const char *op = t->v[t->at + 1].text;

	t->at += 3;
	if (is_open(a->text) || is_open(b->text) || !strcmp(op, "=~"))
		return FORM_PERHAPS;
	if (*op == '-')
		return strcmp(op, "-nt") && strcmp(op, "-ot") && strcmp(op, "-ef") ? numbers(a->text, op, b->text)
										   : FORM_PERHAPS;
	/* "*\"7B\"*" is one, too: only its middle is in quotes. */
	bool same = t->patterns && (!b->quoted || strchr(b->text, '*')) ? !fnmatch(b->text, a->text, 0)
									: !strcmp(a->text, b->text);
	return *op == '=' ? truth_of(same) : *op == '!' ? truth_of(!same) : FORM_PERHAPS;
}

static enum form_truth one(struct test *t)
{
	if (is_word(t, 0, "!") && t->at + 1 < t->len) {
		t->at++;
		return negated(one(t));
	}
	if (t->at + 2 < t->len && is_binary(t, 1))
		return binary(t);
	if (t->at + 1 < t->len && (is_word(t, 0, "-z") || is_word(t, 0, "-n"))) {
		bool empty = is_word(t, 0, "-z");
		const char *text = t->v[t->at + 1].text;
		t->at += 2;
		return is_open(text) ? FORM_PERHAPS : truth_of(!*text == empty);
	}
	const char *text = t->v[t->at].text;
	if (!strcmp(text, "-z") || !strcmp(text, "-n")) { /* of an empty variable that is in no quotes */
		t->at++;
		return truth_of(text[1] == 'z');
	}
	if (text[0] == '-' && text[1] && !text[2] && t->at + 1 < t->len) { /* of files, and of what is set */
		t->at += 2;
		return FORM_PERHAPS;
	}
	t->at++;
	return is_open(text) ? FORM_PERHAPS : truth_of(*text);
}

enum form_truth form_shell_test(const struct form_word *words, uint32_t count)
{
	struct test t = {.v = words + 1, .patterns = !strcmp(words[0].text, "[[")};
	bool brackets = *words[0].text == '[';

	t.len = count - 1 - (brackets && count > 1);
	if (!t.len)
		return FORM_NO;
	enum form_truth all = one(&t);
	while (t.at < t.len) {
		bool both = is_word(&t, 0, "&&") || is_word(&t, 0, "-a"),
		     either = is_word(&t, 0, "||") || is_word(&t, 0, "-o");
		if ((!both && !either) || t.at + 1 == t.len)
			return FORM_PERHAPS;
		t.at++;
		enum form_truth next = one(&t);
		if (both)
			all = all == FORM_NO || next == FORM_NO ? FORM_NO : all == FORM_YES ? next : all;
		else
			all = all == FORM_YES || next == FORM_YES ? FORM_YES : all == FORM_NO ? next : all;
	}
	return all;
}
