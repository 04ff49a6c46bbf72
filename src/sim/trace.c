#include "sim/trace.h"
#include "base/file.h"
#include "base/map.h"
#include "base/rng.h"
#include "sim/trace_priv.h"

#include <stdio.h>
#include <sys/stat.h>

void trace_done(struct trace *t)
{
	free(t->rows);
	free(t->hashes);
	*t = (struct trace){0};
}

static int cmp_rows(const void *a, const void *b)
{
	const struct trace_row *x = a, *y = b;

	if (x->at_us != y->at_us)
		return x->at_us < y->at_us ? -1 : 1;
	return x->id < y->id ? -1 : 1;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return line[i] == '#';
	return true;
}

/* The form is that of the first line with something in it. */
static int line_read(struct trace_reader *r, const char *line, size_t len, struct err *err)
{
	if (!r->form)
		r->form = line[strspn(line, " \t")] == '{' ? TRACE_FORM_MOONCAKE : TRACE_FORM_PLAIN;
	return r->form == TRACE_FORM_MOONCAKE ? trace_line_mooncake(r, line, len, err)
					      : trace_line_plain(r, line, len, err);
}

static int lines_read(struct trace_reader *r, const char *text, size_t len, struct err *err)
{
	for (size_t at = 0; text && at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t line_len = end ? (size_t)(end - text) - at : len - at;

		r->line++;
		if (!is_blank(text + at, line_len) && line_read(r, text + at, line_len, err) < 0) {
			char cause[ERR_MSG_BYTES_MAX];
			snprintf(cause, sizeof cause, "%s", err ? err->msg : "");
			return err_set(err, err ? err->code : -EINVAL, "%s:%u: %s", r->name, r->line, cause);
		}
		at += line_len + 1;
	}
	if (!r->rows.len)
		return err_set(err, -EINVAL, "%s: there is no request in it", r->name);
	return 0;
}

static int fail_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

int trace_row_add(struct trace_reader *r, const struct trace_row *row, struct err *err)
{
	struct trace_row copy = *row;

	copy.id = r->rows.len;
	copy.hashes_count = r->hashes.len - copy.hashes;
	return vec_push(&r->rows, copy) < 0 ? fail_memory(err) : 0;
}

int trace_hash_add(struct trace_reader *r, uint64_t hash, struct err *err)
{
	return vec_push(&r->hashes, hash) < 0 ? fail_memory(err) : 0;
}

static void take(struct trace *ret, struct trace_reader *r, uint32_t block_size)
{
	ASSERT(r->rows.v);
	qsort(r->rows.v, r->rows.len, sizeof *r->rows.v, cmp_rows);
	*ret = (struct trace){.rows = r->rows.v,
		.len = r->rows.len,
		.hashes = r->hashes.v,
		.hashes_len = r->hashes.len,
		.block_size = block_size};
	for (uint32_t i = 0; i < ret->len; i++)
		ret->prompt_tokens += ret->rows[i].prompt_tokens;
	/* Times count from the first arrival. */
	uint64_t first_us = ret->rows[0].at_us;
	for (uint32_t i = 0; i < ret->len; i++)
		ret->rows[i].at_us -= first_us;
}

int trace_parse(struct trace *ret, const char *name, const char *text, size_t len, uint32_t block_size, struct err *err)
{
	struct err own;
	struct trace_reader r = {.name = name, .block_size = block_size};

	ASSERT(block_size);
	int code = lines_read(&r, text, len, err ? err : &own);
	if (code == 0)
		take(ret, &r, block_size);
	trace_sessions_done(&r);
	if (code < 0) {
		vec_done(&r.rows);
		vec_done(&r.hashes);
	}
	return code;
}

int trace_read(struct trace *ret, const char *path, uint32_t block_size, struct err *err)
{
	struct buf text;

	buf_init(&text, TRACE_BYTES_MAX);
	int code = file_read_text(&text, "trace", path, FILE_OR_PIPE, err);
	if (code == 0)
		code = trace_parse(ret, path, buf_str(&text), text.len, block_size, err);
	buf_done(&text);
	return code;
}

void trace_jitter(struct trace *t, uint32_t jitter_ms, uint64_t seed)
{
	for (uint32_t i = 0; i < t->len; i++)
		t->rows[i].at_us += (uint64_t)(rng_keyed_unit(seed, t->rows[i].id) * jitter_ms) * 1000;
	qsort(t->rows, t->len, sizeof *t->rows, cmp_rows);
}

void trace_speed_up(struct trace *t, double speed)
{
	ASSERT(speed > 0);
	for (uint32_t i = 0; i < t->len; i++)
		t->rows[i].at_us = (uint64_t)((double)t->rows[i].at_us / speed + 0.5);
}

void trace_cut(struct trace *t, uint32_t requests_max)
{
	t->len = MIN(t->len, requests_max);
	t->prompt_tokens = 0;
	for (uint32_t i = 0; i < t->len; i++)
		t->prompt_tokens += t->rows[i].prompt_tokens;
}

/* Ids are numbers in the order of first appearance, as in the traces that came with this form. */
static int row_print(const struct trace *t, const struct trace_row *row, struct map *ids, struct buf *out)
{
	uint32_t ids_count = (row->prompt_tokens + TRACE_ID_TOKENS - 1) / TRACE_ID_TOKENS;

	buf_printf(out, "{\"timestamp\": %llu, \"input_length\": %u, \"output_length\": %u, \"hash_ids\": [",
		(unsigned long long)(row->at_us / 1000), row->prompt_tokens, row->answer_tokens);
	for (uint32_t i = 0; i < ids_count; i++) {
		/* A partial last block has no identity of its own here: nobody shares it. */
		uint64_t hash = i < row->hashes_count ? t->hashes[row->hashes + i]
						      : trace_mix(TRACE_MIX_PARTIAL, row->id),
			 id;
		if (!map_get(ids, hash, &id)) {
			id = ids->len;
			if (map_put(ids, hash, id) < 0)
				return -ENOMEM;
		}
		buf_printf(out, "%s%llu", i ? ", " : "", (unsigned long long)id);
	}
	buf_add_str(out, "]}\n");
	return 0;
}

int trace_print(const struct trace *t, struct buf *out, struct err *err)
{
	struct map ids = {0};
	int code = 0;

	if (t->block_size != TRACE_ID_TOKENS)
		return err_set(err, -EINVAL, "cannot write a trace with blocks of %u tokens: its ids stand for %u",
			t->block_size, TRACE_ID_TOKENS);
	for (uint32_t i = 0; i < t->len && code == 0; i++)
		code = row_print(t, &t->rows[i], &ids, out);
	map_done(&ids);
	return code < 0 || out->failed ? fail_memory(err) : 0;
}

double trace_reuse_max(const struct trace *t)
{
	struct map seen = {0};
	uint64_t reused = 0;

	for (uint32_t i = 0; i < t->len; i++) {
		const struct trace_row *row = &t->rows[i];
		for (uint32_t k = 0; k < row->hashes_count; k++) {
			uint64_t hash = t->hashes[row->hashes + k];
			if (map_get(&seen, hash, NULL))
				reused += t->block_size;
			else if (map_put(&seen, hash, 1) < 0)
				break;
		}
	}
	map_done(&seen);
	return t->prompt_tokens ? (double)reused / (double)t->prompt_tokens : 0;
}
