#include "config/json_parse.h"
#include "base/limits.h"
#include "base/list.h"

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

const struct json_bounds json_body_bounds = {JSON_DEPTH_MAX, JSON_CONTAINERS_MAX, JSON_VALUES_MAX};

int json_bounds_check(struct json_bounds *left, const struct json_bounds *max, const char *text, size_t len,
	size_t *ret_offset, struct err *err)
{
	uint32_t depth = 0;

	for (size_t i = 0; i < len; i++) {
		*ret_offset = i;
		switch (text[i]) {
		case '"':
			i = skip_string(text, len, i);
			break;
		case '[':
		case '{':
			if (++depth > max->depth)
				return err_set(err, -E2BIG, "nested more than %u levels deep", max->depth);
			if (!left->containers)
				return err_set(err, -E2BIG, "more than %u lists and objects", max->containers);
			left->containers--;
			break;
		case ']':
		case '}':
			depth -= depth > 0;
			break;
		case ',':
			if (!left->values)
				return err_set(err, -E2BIG, "more than %u values", max->values);
			left->values--;
			break;
		}
	}
	return 0;
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

/* Before main, so that no block is without its front. */
__attribute__((constructor)) static void json_alloc_init(void)
{
	json_set_alloc_funcs(block_alloc, block_free);
}

static json_t *load(struct parse *p, const char *text, size_t len, size_t flags, json_error_t *error)
{
	if (setjmp(p->out)) {
		p->no_memory = true;
		return NULL;
	}
	return json_loadb(text, len, flags, error);
}

static void give_up(struct parse *p, json_error_t *error)
{
	list_foreach_safe(it, &p->blocks) free(list_entry(it, struct block, link));
	if (!error)
		return;
	*error = (json_error_t){.text = "out of memory"};
	error->text[sizeof error->text - 1] = (char)json_error_out_of_memory;
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

bool json_is_no_memory(const json_error_t *error)
{
	return json_error_code(error) == json_error_out_of_memory;
}

void json_text_free(char *text)
{
	block_free(text);
}
