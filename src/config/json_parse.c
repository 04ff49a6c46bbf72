#include "config/json_parse.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/rng.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Bounds ----------------------------------------------------------------------------------------------------- */

/* Skip a string; i is at its opening quote. Returns the closing quote's place, or len. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
	for (i++; i < len && text[i] != '"'; i++)
		i += text[i] == '\\';
	return i;
}

const struct json_bounds json_body_bounds = {
	.depth = JSON_DEPTH_MAX,
	.containers = JSON_CONTAINERS_MAX,
	.values = JSON_VALUES_MAX,
	.numbers = JSON_NUMBERS_MAX,
	.members = JSON_MEMBERS_MAX,
};

/* A walk over JSON text, token by token. Of text that is none it sees at least what a parser accepts before its error. */
enum token { TOKEN_END, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_KEY, TOKEN_STRING, TOKEN_NUMBER, TOKEN_WORD };
struct walk {
	const char *text;
	size_t len, at; /* at: what follows the token */
	size_t from; /* where the token begins */
	uint32_t depth;
	bool after_colon;
	bool is_object[JSON_DEPTH_MAX + 1]; /* at each depth, as far as it is kept */
	uint32_t members[JSON_DEPTH_MAX + 1];
};

static bool in_object(const struct walk *w)
{
	return w->depth <= JSON_DEPTH_MAX && w->is_object[w->depth];
}

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

static size_t skip_number(const struct walk *w, size_t i)
{
	for (; i < w->len; i++) {
		char ch = w->text[i];
		if (!is_digit(ch) && ch != '.' && ch != '-' && ch != '+' && ch != 'e' && ch != 'E')
			break;
	}
	return i;
}

static size_t skip_word(const struct walk *w, size_t i)
{
	while (i < w->len && w->text[i] >= 'a' && w->text[i] <= 'z')
		i++;
	return i;
}

static enum token walk_open(struct walk *w, bool is_object)
{
	w->depth++;
	w->after_colon = false;
	if (w->depth <= JSON_DEPTH_MAX) {
		w->is_object[w->depth] = is_object;
		w->members[w->depth] = 0;
	}
	return TOKEN_OPEN;
}

static enum token walk_string(struct walk *w)
{
	size_t end = skip_string(w->text, w->len, w->at);
	bool is_key = in_object(w) && !w->after_colon;

	w->at = end < w->len ? end + 1 : w->len;
	if (is_key)
		w->members[w->depth]++;
	return is_key ? TOKEN_KEY : TOKEN_STRING;
}

static enum token walk_next(struct walk *w)
{
	for (; w->at < w->len; w->at++) {
		w->from = w->at;
		switch (w->text[w->at]) {
		case '"':
			return walk_string(w);
		case '[':
		case '{':
			w->at++;
			return walk_open(w, w->text[w->from] == '{');
		case ']':
		case '}':
			w->at++;
			w->depth -= w->depth > 0;
			return TOKEN_CLOSE;
		case ':':
			w->after_colon = true;
			break;
		case ',':
			w->after_colon = false;
			break;
		case '-':
		case '0' ... '9':
			w->at = skip_number(w, w->at);
			return TOKEN_NUMBER;
		case 'a' ... 'z':
			w->at = skip_word(w, w->at);
			return TOKEN_WORD;
		}
	}
	return TOKEN_END;
}

static int take(uint32_t *left, uint32_t max, const char *what, struct err *err)
{
	if (!*left)
		return err_set(err, -E2BIG, "more than %u %s", max, what);
	--*left;
	return 0;
}

static int take_token(const struct walk *w, enum token token, struct json_bounds *left, const struct json_bounds *max,
	struct err *err)
{
	switch (token) {
	case TOKEN_OPEN:
		if (w->depth > max->depth)
			return err_set(err, -E2BIG, "nested more than %u levels deep", max->depth);
		return take(&left->containers, max->containers, "lists and objects", err);
	case TOKEN_KEY:
		if (w->members[w->depth] > max->members)
			return err_set(err, -E2BIG, "an object with more than %u members", max->members);
		return 0;
	case TOKEN_NUMBER:
		if (max->numbers && !in_object(w))
			return take(&left->numbers, max->numbers, "numbers in lists", err);
		return take(&left->values, max->values, "values", err);
	case TOKEN_STRING:
	case TOKEN_WORD:
		return take(&left->values, max->values, "values", err);
	default:
		return 0;
	}
}

int json_bounds_check(struct json_bounds *left, const struct json_bounds *max, const char *text, size_t len,
	size_t *ret_offset, struct err *err)
{
	struct walk w = {.text = text, .len = len};
	enum token token;

	ASSERT(max->depth <= JSON_DEPTH_MAX);
	while ((token = walk_next(&w)) != TOKEN_END) {
		*ret_offset = w.from;
		if (take_token(&w, token, left, max, err) < 0)
			return -E2BIG;
	}
	return 0;
}

/* --- What jansson has no room for ------------------------------------------------------------------------------- */

static size_t skip_digits(const char *text, size_t len, size_t i)
{
	while (i < len && is_digit(text[i]))
		i++;
	return i;
}

enum number { NUMBER_INVALID, NUMBER_INTEGER, NUMBER_REAL };

/* By JSON's grammar: -12, 3.5, 1E+9; not 01, 1., .5 */
static enum number number_kind(const char *text, size_t len)
{
	size_t i = *text == '-', from = i;
	enum number kind = NUMBER_INTEGER;

	i = skip_digits(text, len, i);
	if (i == from || (text[from] == '0' && i > from + 1))
		return NUMBER_INVALID;
	if (i < len && text[i] == '.') {
		from = ++i;
		i = skip_digits(text, len, i);
		kind = i > from ? NUMBER_REAL : NUMBER_INVALID;
	}
	if (kind && i < len && (text[i] == 'e' || text[i] == 'E')) {
		i++;
		from = i += i < len && (text[i] == '+' || text[i] == '-');
		i = skip_digits(text, len, i);
		kind = i > from ? NUMBER_REAL : NUMBER_INVALID;
	}
	return i == len ? kind : NUMBER_INVALID;
}

/* In place and without changing the length, so that what follows stays where it is. The two last of 19 digits and more become
 * an exponent: what is left is more exact than a double. */
static void fit_number(char *number, size_t len)
{
	static const char large[] = "9e307"; /* no number beyond a double's range is shorter */
	enum number kind = number_kind(number, len);
	size_t sign = *number == '-';

	if (kind == NUMBER_INVALID)
		return;
	if (isinf(strtod(number, NULL))) {
		memset(number + sign, ' ', len - sign);
		memcpy(number + sign, large, sizeof large - 1);
		return;
	}
	errno = 0;
	strtoll(number, NULL, 10);
	if (kind == NUMBER_INTEGER && errno == ERANGE)
		memcpy(number + len - 2, "e2", 2);
}

static void fit_key(char *key, size_t len)
{
	for (size_t i = 0; i + 6 <= len; i++) {
		if (key[i] != '\\')
			continue;
		if (!memcmp(key + i + 1, "u0000", 5))
			memcpy(key + i + 2, "fffd", 4);
		i++;
	}
}

static void fit(char *text, size_t len)
{
	struct walk w = {.text = text, .len = len};
	enum token token;

	while ((token = walk_next(&w)) != TOKEN_END) {
		if (token == TOKEN_NUMBER)
			fit_number(text + w.from, w.at - w.from);
		else if (token == TOKEN_KEY)
			fit_key(text + w.from, w.at - w.from);
	}
}

bool json_text_u64(const char *text, size_t len, const char *name, uint64_t *ret)
{
	struct walk w = {.text = text, .len = len};
	enum token token;
	size_t name_len = strlen(name);
	bool is_it = false, found = false;

	while ((token = walk_next(&w)) != TOKEN_END) {
		size_t token_len = w.at - w.from;
		if (token == TOKEN_KEY && w.depth == 1) {
			is_it = token_len == name_len + 2 && !memcmp(text + w.from + 1, name, name_len);
			found &= !is_it;
		} else if (is_it && w.depth == 1 && token == TOKEN_NUMBER) {
			errno = 0;
			*ret = strtoull(text + w.from, NULL, 10);
			found = number_kind(text + w.from, token_len) == NUMBER_INTEGER && text[w.from] != '-' &&
				errno != ERANGE;
		}
	}
	return found;
}

/* --- Parse ------------------------------------------------------------------------------------------------------ */

/* In front of each block. While a parse runs, its blocks are in a ring with the parse; afterwards with each other. */
struct block {
	struct list link;
	_Alignas(max_align_t) unsigned char data[];
};

struct parse {
	struct list blocks;
	jmp_buf out;
	bool no_memory;
};
static _Thread_local struct parse *running;

static void *block_alloc(size_t size)
{
	struct block *b = malloc(sizeof *b + size);

	if (!b && running)
		longjmp(running->out, 1);
	if (!b)
		return NULL;
	list_init(&b->link);
	if (running)
		list_add_tail(&running->blocks, &b->link);
	return b->data;
}

static void block_free(void *data)
{
	if (!data)
		return;
	struct block *b = CONTAINER_OF(data, struct block, data);
	list_del(&b->link);
	free(b);
}

/* Before main, so that no block is without its front, and so that the hashes of keys are seeded by a secret whatever jansson
 * was built with: who knows the seed can make all keys of an object collide. */
__attribute__((constructor)) static void json_init(void)
{
	uint64_t seed;

	json_set_alloc_funcs(block_alloc, block_free);
	rng_secret(&seed, sizeof seed);
	json_object_seed((size_t)seed | 1); /* 0 would be "choose one" */
}

static json_t *load(struct parse *p, const char *text, size_t len, size_t flags, json_error_t *error)
{
	if (setjmp(p->out)) {
		p->no_memory = true;
		return NULL;
	}
	return json_loadb(text, len, flags, error);
}

static void no_memory(json_error_t *error)
{
	if (!error)
		return;
	*error = (json_error_t){.text = "out of memory"};
	error->text[sizeof error->text - 1] = (char)json_error_out_of_memory;
}

static void give_up(struct parse *p, json_error_t *error)
{
	list_foreach_safe(it, &p->blocks) free(list_entry(it, struct block, link));
	no_memory(error);
}

json_t *json_parse(const char *text, size_t len, size_t flags, json_error_t *ret_error)
{
	struct parse p = {.no_memory = false};

	ASSERT(!running);
	list_init(&p.blocks);
	running = &p;
	json_t *root = load(&p, text, len, flags, ret_error);
	running = NULL;
	if (p.no_memory)
		give_up(&p, ret_error);
	else
		list_del(&p.blocks);
	return root;
}

json_t *json_parse_wide(const char *text, size_t len, size_t flags, json_error_t *ret_error)
{
	json_t *root = json_parse(text, len, flags, ret_error);

	if (root || (json_error_code(ret_error) != json_error_numeric_overflow &&
			    json_error_code(ret_error) != json_error_null_byte_in_key))
		return root;
	char *fitted = malloc(len + 1);
	if (!fitted) {
		no_memory(ret_error);
		return NULL;
	}
	memcpy(fitted, text, len);
	fitted[len] = '\0';
	fit(fitted, len);
	root = json_parse(fitted, len, flags, ret_error);
	free(fitted);
	return root;
}

bool json_is_no_memory(const json_error_t *error)
{
	return json_error_code(error) == json_error_out_of_memory;
}

void json_text_free(char *text)
{
	block_free(text);
}
