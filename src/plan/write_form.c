/* write_form.c - patches of a file in its own form; see write_form.h. Where a value stands is guessed in several ways, nearest first, and
 * each guess is proved by reading the text again. */
#include "plan/write_form.h"

#include "config/engine_flags.h"
#include "config/suggest.h"
#include "forms/form.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { PLACES_MAX = 96 };

/* The text as it is now, and what it reads as. */
struct state {
	char *text;
	size_t len;
	struct form_set form;
	struct graph *graph;
	struct plan_deployment d;
	bool planned;
};

struct writer {
	const struct plan_write *w;
	struct state now;
	struct plan_edits *edits; /* what is left to do from now */
	const char *renamed[PLAN_EDITS_MAX]; /* services whose model becomes quant_model: the target's names */
	uint32_t renamed_len;
	uint32_t reads;
	bool no_memory;
};

/* ---- reading ---- */

static void state_done(struct state *s)
{
	if (s->planned)
		plan_deployment_done(&s->d);
	graph_destroy(s->graph);
	form_set_done(&s->form);
	free(s->text);
	*s = (struct state){0};
}

/* Takes text. 0, -EINVAL: it cannot be read any more, or is no form; -ENOMEM. */
static int state_read(struct state *ret, const struct plan_write *w, char *text, size_t len)
{
	const struct graph_options options = {.planned = true};
	struct diags diags;
	struct err err;

	*ret = (struct state){.text = text, .len = len};
	form_set_init(&ret->form);
	if (w->versions)
		memcpy(ret->form.versions, w->versions, sizeof ret->form.versions);
	diags_init(&diags);
	int r = form_read(&ret->form, w->file, text, len, &diags, &err);
	if (r == 0 && !ret->form.root)
		r = -EINVAL;
	if (r == 0)
		r = graph_of_tree(&ret->graph, w->file, ret->form.root, &options, &diags, &err);
	if (r == 0 && ret->graph->len != w->target->graph->len)
		r = -EINVAL;
	if (r == 0) {
		r = plan_deployment_init(&ret->d, ret->graph, w->models);
		ret->planned = r == 0;
	}
	if (r == 0)
		plan_take_given(&ret->d, &ret->form);
	if (r == 0 && ret->d.len != w->target->len)
		r = -EINVAL;
	diags_done(&diags);
	if (r < 0)
		state_done(ret);
	return r;
}

/* ---- what changed ---- */

static const char *arg_of(const struct graph_service *s, const char *name)
{
	for (uint32_t i = 0; i < s->args_len; i++)
		if (!strcmp(s->args[i].name, name))
			return s->args[i].value;
	return NULL;
}

static bool args_same(const struct plan_service *a, const struct plan_service *b)
{
	for (uint32_t i = 0; i < a->graph->args_len; i++) {
		const struct graph_arg *x = &a->graph->args[i];
		const char *y = arg_of(b->graph, x->name);
		if (!plan_key_read(a->engine, x->name) && (!y || strcmp(x->value, y)))
			return false;
	}
	return true;
}

/* A variable may hold the value that changed, and nothing else may. */
static bool envs_same(const struct graph_service *a, const struct graph_service *b)
{
	if (a->envs_len != b->envs_len)
		return false;
	for (uint32_t i = 0; i < a->envs_len; i++)
		if (strcmp(a->envs[i].name, b->envs[i].name) || (!strcmp(a->envs[i].name, "CUDA_VISIBLE_DEVICES") &&
									strcmp(a->envs[i].value, b->envs[i].value)))
			return false;
	return true;
}

/* Between two changes of parallel sizes a worker takes as many cards as they make together by then. */
static bool follows_from_flags(const struct plan_service *s)
{
	return s->engine != GRAPH_ENGINE_LLAMA && s->gpus == s->tp * s->pp * s->dp;
}

/* Every setting is what it was, or what it should become. */
static bool settings_meant(const struct writer *w, const struct plan_service *was, const struct plan_service *is,
	const struct plan_service *target)
{
	char a[PLAN_VALUE_BYTES], b[PLAN_VALUE_BYTES], c[PLAN_VALUE_BYTES];

	for (enum plan_key key = 0; key < PLAN_KEYS; key++) {
		plan_edit_value(a, was, key);
		plan_edit_value(b, is, key);
		plan_edit_value(c, target, key);
		if (strcmp(a, b) && strcmp(b, c) && !(key == PLAN_GPUS && follows_from_flags(is)))
			return false;
	}
	if (!strcmp(was->graph->model, is->graph->model))
		return true;
	for (uint32_t i = 0; i < w->renamed_len; i++)
		if (!strcmp(w->renamed[i], is->name))
			return !strcmp(is->graph->model, w->w->quant_model);
	return false;
}

static bool is_meant(const struct writer *w, const struct state *next)
{
	for (uint32_t i = 0; i < next->d.len; i++) {
		const struct plan_service *was = &w->now.d.services[i], *is = &next->d.services[i];
		if (was->engine != is->engine || was->role != is->role || strcmp(was->name, is->name) ||
			!settings_meant(w, was, is, &w->w->target->services[i]) || !args_same(was, is) ||
			!args_same(is, was) || !envs_same(was->graph, is->graph))
			return false;
	}
	/* What it asks for that no graph shows: a flag that is misread now, a word too many. */
	return next->form.remarks.len <= w->now.form.remarks.len;
}

static bool has_edit(const struct plan_edits *edits, const struct plan_edit *e)
{
	for (uint32_t i = 0; i < edits->len; i++)
		if (!strcmp(edits->items[i].service, e->service) && !strcmp(edits->items[i].key, e->key))
			return true;
	return false;
}

/* A service's name as the target has it: that of a state ends with the state. */
static const char *lasting_name(const struct writer *w, const char *name)
{
	for (uint32_t i = 0; i < w->w->target->len; i++)
		if (!strcmp(w->w->target->services[i].name, name))
			return w->w->target->services[i].name;
	return "";
}

/* What is left to do from a state. Another model goes with another quantization, which a file may get first. */
static void edits_left(const struct writer *w, const struct plan_deployment *d, struct plan_edits *ret)
{
	uint32_t len = 0;

	plan_edits(ret, d, w->w->target, NULL);
	for (uint32_t i = 0; i < ret->len; i++) {
		if (!strcmp(ret->items[i].key, "model"))
			continue;
		ret->items[len] = ret->items[i];
		ret->items[len].service = lasting_name(w, ret->items[i].service);
		len++;
	}
	ret->len = len;
	for (uint32_t i = 0; i < w->renamed_len; i++)
		for (uint32_t k = 0; k < d->len && ret->len < PLAN_EDITS_MAX; k++) {
			const struct plan_service *s = &d->services[k];
			if (strcmp(s->name, w->renamed[i]) || !strcmp(s->graph->model, w->w->quant_model))
				continue;
			struct plan_edit *e = &ret->items[ret->len++];
			*e = (struct plan_edit){.service = w->renamed[i], .key = "model", .pos = s->pos[PLAN_MODEL]};
			snprintf(e->before, sizeof e->before, "%s", s->graph->model);
			snprintf(e->after, sizeof e->after, "%s", w->w->quant_model);
		}
}

/* ---- one try ---- */

struct splice {
	size_t at, end;
	const char *text;
};

static char *spliced(const struct state *s, const struct splice *splices, size_t count, size_t *ret_len)
{
	size_t done = 0;
	struct buf out;

	buf_init(&out, 2 * YAML_BYTES_MAX);
	for (size_t i = 0; i < count; i++) {
		buf_add(&out, s->text + done, splices[i].at - done);
		buf_add_str(&out, splices[i].text);
		done = splices[i].end;
	}
	buf_add(&out, s->text + done, s->len - done);
	char *ret = out.failed ? NULL : strndup(buf_str(&out), out.len);
	*ret_len = out.len;
	buf_done(&out);
	return ret;
}

/* Take the change when it does e, and nothing that was not meant. Splices are in order and apart. */
static bool try_splices(struct writer *w, const struct plan_edit *e, const struct splice *splices, size_t count)
{
	struct state next;
	size_t len;

	if (w->no_memory || w->reads >= WRITE_READS_MAX)
		return false;
	w->reads++;
	char *text = spliced(&w->now, splices, count, &len);
	struct plan_edits *left = text ? malloc(sizeof *left) : NULL;
	if (!text || !left) {
		free(text);
		w->no_memory = true;
		return false;
	}
	int r = state_read(&next, w->w, text, len);
	bool good = false;
	if (r == 0) {
		edits_left(w, &next.d, left);
		good = !has_edit(left, e) && is_meant(w, &next);
	}
	w->no_memory = r == -ENOMEM;
	if (good) {
		state_done(&w->now);
		w->now = next;
		free(w->edits);
		w->edits = left;
	} else {
		if (r == 0)
			state_done(&next);
		free(left);
	}
	return good;
}

static bool try_at(struct writer *w, const struct plan_edit *e, size_t at, size_t end, const char *text)
{
	return try_splices(w, e, &(struct splice){at, end, text}, 1);
}

/* ---- places ---- */

static size_t offset_of(const struct state *s, const struct config_pos *pos)
{
	size_t at = 0;

	for (uint32_t line = 1; line < pos->line && at < s->len; at++)
		line += s->text[at] == '\n';
	for (uint32_t column = 1; column < pos->column && at < s->len && s->text[at] != '\n'; column++)
		for (at++; at < s->len && ((unsigned char)s->text[at] & 0xc0) == 0x80;)
			at++;
	return at;
}

static size_t line_begin(const struct state *s, size_t at)
{
	while (at > 0 && s->text[at - 1] != '\n')
		at--;
	return at;
}

static size_t line_end(const struct state *s, size_t at)
{
	const char *n = memchr(s->text + at, '\n', s->len - at);
	return n ? (size_t)(n - s->text) : s->len;
}

/* How the text ends its lines; and where the one of a place ends without that. */
static const char *line_break(const struct state *s)
{
	const char *n = memchr(s->text, '\n', s->len);
	return n && n > s->text && n[-1] == '\r' ? "\r\n" : "\n";
}

static size_t line_stop(const struct state *s, size_t at)
{
	size_t stop = line_end(s, at);
	return stop > at && s->text[stop - 1] == '\r' ? stop - 1 : stop;
}

static bool ends_value(char c)
{
	return !c || isspace((unsigned char)c) || strchr(",]}\"'\\;|&)", c);
}

/* Behind the value that begins at at. */
static size_t value_end(const struct state *s, size_t at)
{
	char quote = s->text[at];

	if (quote == '\'' || quote == '"') {
		for (at++; at < s->len && s->text[at] != quote; at++)
			if (quote == '"' && s->text[at] == '\\')
				at++;
		return MIN(at + 1, s->len);
	}
	if (quote == '$' && at + 1 < s->len && strchr("{(", s->text[at + 1])) {
		while (at < s->len && !strchr("})\n", s->text[at]))
			at++;
		return MIN(at + 1, s->len);
	}
	while (at < s->len && !ends_value(s->text[at]))
		at++;
	return at;
}

static size_t word_end(const struct state *s, size_t at)
{
	while (at < s->len && (isalnum((unsigned char)s->text[at]) || strchr("-_.", s->text[at])))
		at++;
	return at;
}

/* The value behind a flag's word: "--x 4", "--x=4", ["--x", "4"], or in the next line of a list. Without its quotes. */
static bool value_behind(const struct state *s, size_t flag, size_t *ret_at, size_t *ret_end)
{
	size_t at = word_end(s, flag);

	while (at < s->len && strchr(" \t\r\n=\\,\"'", s->text[at]))
		at++;
	if (at + 1 < s->len && s->text[at] == '-' && s->text[at + 1] == ' ')
		for (at += 2; at < s->len && strchr(" \t\"'", s->text[at]);)
			at++;
	if (at >= s->len || ends_value(s->text[at]))
		return false;
	*ret_at = at;
	*ret_end = value_end(s, at);
	return *ret_end > at;
}

static bool is_apart(const struct state *s, size_t at, size_t end)
{
	char before = at ? s->text[at - 1] : ' ', after = end < s->len ? s->text[end] : ' ';
	bool name = s->text[at] == '-';

	return !isalnum((unsigned char)before) && before != '_' && before != '.' && (!name || before != '-') &&
	       !isalnum((unsigned char)after) && after != '_' && after != '.' && (!name || after != '-') &&
	       !(after == '-' && name);
}

struct places {
	size_t at[PLACES_MAX];
	uint32_t len;
};

static void add_place(struct places *p, size_t at)
{
	for (uint32_t i = 0; i < p->len; i++)
		if (p->at[i] == at)
			return;
	if (p->len < PLACES_MAX)
		p->at[p->len++] = at;
}

static void find_all(const struct state *s, const char *text, struct places *ret)
{
	size_t len = strlen(text);

	for (const char *p = s->text; len && (p = memmem(p, s->len - (size_t)(p - s->text), text, len)); p += len)
		if (is_apart(s, (size_t)(p - s->text), (size_t)(p - s->text) + len))
			add_place(ret, (size_t)(p - s->text));
}

/* Nearest to from first: what stands behind it, then what stands before. */
static void sort_places(struct places *p, size_t from)
{
	for (uint32_t i = 1; i < p->len; i++)
		for (uint32_t k = i; k > 0; k--) {
			size_t a = p->at[k - 1], b = p->at[k];
			size_t da = a >= from ? a - from : (from - a) + (1u << 30),
			       db = b >= from ? b - from : (from - b) + (1u << 30);
			if (da <= db)
				break;
			p->at[k - 1] = b;
			p->at[k] = a;
		}
}

/* ---- flags ---- */

static enum engine_program program_of(const struct writer *w, uint32_t service)
{
	const struct plan_service *s = &w->now.d.services[service];

	if (w->now.form.services.len == w->now.d.len)
		return w->now.form.services.v[service].program;
	return s->engine == GRAPH_ENGINE_VLLM     ? ENGINE_VLLM_SERVE
	       : s->engine == GRAPH_ENGINE_SGLANG ? ENGINE_SGLANG_SERVER
						  : ENGINE_LLAMA_SERVER;
}

/* "context-length" of a LlamaWorker is "--ctx-size" of llama-server. */
static bool flag_of(const struct writer *w, uint32_t service, const char *key, struct engine_flag *ret)
{
	static const struct {
		const char *key, *flag;
	} llama[] = {{"context-length", "ctx-size"}, {"max-seqs", "parallel"}, {"kv-type", "cache-type-k"}};
	char spelling[ENGINE_FLAG_BYTES];

	if (w->now.d.services[service].engine == GRAPH_ENGINE_LLAMA)
		for (size_t i = 0; i < ARRAY_LEN(llama); i++)
			if (!strcmp(llama[i].key, key))
				key = llama[i].flag;
	snprintf(spelling, sizeof spelling, "--%s", key);
	const char *version = w->now.form.services.len == w->now.d.len ? w->now.form.services.v[service].version : NULL;
	enum engine_program program = program_of(w, service);
	if (engine_flag_find(ret, program, spelling, version, NULL) == ENGINE_FLAG_KNOWN)
		return true;
	if (program != ENGINE_LLAMA_CPP_PYTHON)
		return false;
	for (char *p = spelling + 2; *p; p++) /* its flags have underscores */
		*p = *p == '-' ? '_' : *p;
	return engine_flag_find(ret, program, !strcmp(key, "ctx-size") ? "--n_ctx" : spelling, version, NULL) ==
	       ENGINE_FLAG_KNOWN;
}

struct spelled {
	const struct state *s;
	const char *name;
	struct places *places;
};

static bool find_spelled(const struct engine_flag *flag, void *ctx)
{
	struct spelled *x = ctx;
	char other[ENGINE_FLAG_BYTES];

	if (strcmp(flag->name, x->name) || flag->negative)
		return true;
	find_all(x->s, flag->spelling, x->places);
	snprintf(other, sizeof other, "%s", flag->spelling);
	for (char *p = other + (strncmp(other, "--", 2) ? strlen(other) : 2); *p; p++)
		*p = *p == '-' ? '_' : *p;
	find_all(x->s, other, x->places);
	return true;
}

/* Wherever a flag may stand by any of its spellings. */
static void find_flag(const struct state *s, const char *name, const char *key, struct places *ret)
{
	struct spelled x = {s, name, ret};
	char typed[ENGINE_FLAG_BYTES];

	engine_flags_each(find_spelled, &x);
	snprintf(typed, sizeof typed, "--%s", key); /* an abbreviation is in no table */
	find_all(s, typed, ret);
}

/* ---- replacing ---- */

/* A value at that place, quotes kept; a variable only when `open`. */
static bool replace_value(struct writer *w, const struct plan_edit *e, size_t at, bool open, const char *text)
{
	size_t end = value_end(&w->now, at);
	char quote = w->now.text[at];

	if (quote == '"' || quote == '\'') {
		at++;
		end -= end > at && w->now.text[end - 1] == quote;
	}
	if (at >= end || (w->now.text[at] == '-' && !isdigit((unsigned char)w->now.text[at + 1])) ||
		(memchr(w->now.text + at, '$', end - at) && !open))
		return false;
	return try_at(w, e, at, end, text);
}

static bool replace_flag(struct writer *w, const struct plan_edit *e, uint32_t service, size_t from, bool open)
{
	struct places places = {0};
	struct engine_flag flag;
	size_t at, end;

	if (!flag_of(w, service, e->key, &flag))
		return false;
	find_flag(&w->now, flag.name, e->key, &places);
	sort_places(&places, from);
	for (uint32_t i = 0; i < places.len; i++)
		if (value_behind(&w->now, places.at[i], &at, &end) && replace_value(w, e, at, open, e->after))
			return true;
	return false;
}

/* Wherever the old value stands by itself: a variable's definition, an environment's value. */
static bool replace_text(struct writer *w, const struct plan_edit *e, size_t from)
{
	struct places places = {0};

	if (!*e->before)
		return false;
	find_all(&w->now, e->before, &places);
	sort_places(&places, from);
	for (uint32_t i = 0; i < places.len; i++)
		if (try_at(w, e, places.at[i], places.at[i] + strlen(e->before), e->after))
			return true;
	return false;
}

static bool replace(struct writer *w, const struct plan_edit *e, uint32_t service)
{
	size_t from = e->pos.line ? offset_of(&w->now, &e->pos) : 0;

	if (e->pos.line && from < w->now.len && replace_value(w, e, from, false, e->after))
		return true;
	return replace_flag(w, e, service, from, false) || replace_text(w, e, from) ||
	       replace_flag(w, e, service, from, true);
}

/* Lists of devices are cut: ['0', '1', '2', '3'] and "device=0,1,2,3". */
static bool shorten_devices(struct writer *w, const struct plan_edit *e, size_t from)
{
	unsigned long keep = strtoul(e->after, NULL, 10), n = 0;
	const char *device =
		from < w->now.len ? memmem(w->now.text + from, MIN(w->now.len - from, 200u), "device=", 7) : NULL;
	size_t at = device ? (size_t)(device - w->now.text) + 7 : from + 1;

	if (!keep || from >= w->now.len || (!device && w->now.text[from] != '['))
		return false;
	for (size_t end = at; end < w->now.len && !strchr("]\n", w->now.text[end]); end++) {
		n += w->now.text[end] == ',';
		if (n == keep) {
			size_t stop = end;
			while (stop < w->now.len && !strchr(device ? "\"' \n" : "]\n", w->now.text[stop]))
				stop++;
			return try_at(w, e, end, stop, "");
		}
	}
	return false;
}

/* Limits and requests of a container must agree; pods of a group each have their part. */
static bool replace_gpus(struct writer *w, const struct plan_edit *e)
{
	size_t from = e->pos.line ? offset_of(&w->now, &e->pos) : w->now.len;
	unsigned long before = strtoul(e->before, NULL, 10), after = strtoul(e->after, NULL, 10);

	if (from >= w->now.len)
		return false;
	size_t at = from + (w->now.text[from] == '"' || w->now.text[from] == '\''), end = at;
	if (w->now.text[from] == '-' && value_behind(&w->now, from, &at, &end)) /* docker run --gpus 4 */
		return shorten_devices(w, e, from) || try_at(w, e, at, end, e->after);
	while (end < w->now.len && isdigit((unsigned char)w->now.text[end]))
		end++;
	unsigned long here = end > at ? strtoul(w->now.text + at, NULL, 10) : 0,
		      parts = here ? MAX(before / here, 1ul) : 1;
	char text[PLAN_VALUE_BYTES];
	if (!here || after % parts)
		return shorten_devices(w, e, from);
	snprintf(text, sizeof text, "%lu", after / parts);
	/* The same resource, and the same number, a few lines up or down. */
	size_t key_end = at, key;
	while (key_end > 0 && strchr(" \t:\"'", w->now.text[key_end - 1]))
		key_end--;
	for (key = key_end;
		key > 0 && !isspace((unsigned char)w->now.text[key - 1]) && !strchr("{,\"'", w->now.text[key - 1]);)
		key--;
	char name[PLAN_VALUE_BYTES];
	snprintf(name, sizeof name, "%.*s", (int)MIN(key_end - key, sizeof name - 1), w->now.text + key);
	struct places places = {0};
	find_all(&w->now, name, &places);
	for (uint32_t i = 0; i < places.len; i++) {
		size_t other = places.at[i] + strlen(name);
		size_t apart = other > at ? other - at : at - other;
		while (other < w->now.len && strchr(" \t:\"'", w->now.text[other]))
			other++;
		size_t stop = other;
		while (stop < w->now.len && isdigit((unsigned char)w->now.text[stop]))
			stop++;
		if (other == at || apart > 600 || stop == other || strtoul(w->now.text + other, NULL, 10) != here)
			continue;
		const struct splice first = {MIN(at, other), at < other ? end : stop, text},
				    second = {MAX(at, other), at < other ? stop : end, text};
		if (try_splices(w, e, (const struct splice[]){first, second}, 2))
			return true;
	}
	return try_at(w, e, at, end, text);
}

/* ---- inserting ---- */

/* A flag and its value, where they stand: at is the flag's word, end the end of its value. */
struct anchor {
	size_t at, end, closed; /* closed: behind the value's own quote */
	size_t begin, first; /* of its line, and what is not blank there */
	char quote; /* in front of the flag */
	bool joined; /* --x=4 */
};

/* "- --x" and "- 4" as lines of their own, as their neighbours are. */
static bool insert_item(struct writer *w, const struct plan_edit *e, const char *flag, const struct anchor *a)
{
	const struct state *s = &w->now;
	const char *br = line_break(s), *q = a->quote ? "\"" : "";
	int indent = (int)(a->first - a->begin);
	char text[4 * PLAN_VALUE_BYTES];

	if (s->text[a->first] != '-' || s->text[a->first + 1] != ' ')
		return false;
	if (a->joined)
		snprintf(text, sizeof text, "%s%*s- %s%s=%s%s", br, indent, "", q, flag, e->after, q);
	else
		snprintf(text, sizeof text, "%s%*s- %s%s%s%s%*s- \"%s\"", br, indent, "", q, flag, q, br, indent, "",
			e->after);
	return try_at(w, e, line_stop(s, a->end), line_stop(s, a->end), text);
}

/* ["--x", "4"]: two more of its items. */
static bool insert_in_list(struct writer *w, const struct plan_edit *e, const char *flag, const struct anchor *a)
{
	const struct state *s = &w->now;
	char text[4 * PLAN_VALUE_BYTES], q = a->quote;
	size_t before = a->at;

	while (before > 0 && strchr(" \t\r\n", s->text[before - 1]))
		before--;
	if (!q && (!before || !strchr("[,", s->text[before - 1])))
		return false;
	if (q && a->joined)
		snprintf(text, sizeof text, ", %c%s=%s%c", q, flag, e->after, q);
	else if (q)
		snprintf(text, sizeof text, ", %c%s%c, %c%s%c", q, flag, q, q, e->after, q);
	else
		snprintf(text, sizeof text, ", %s, \"%s\"", flag, e->after);
	return try_at(w, e, a->closed, a->closed, text);
}

/* A line of its own where flags have such ("\\" at their ends), else the same line. */
static bool insert_in_line(struct writer *w, const struct plan_edit *e, const char *flag, const struct anchor *a)
{
	const struct state *s = &w->now;
	size_t stop = line_stop(s, a->end), above = a->begin > 1 ? line_stop(s, a->begin - 1) : 0;
	bool continued = stop > 0 && s->text[stop - 1] == '\\', follows = above > 0 && s->text[above - 1] == '\\';
	char text[4 * PLAN_VALUE_BYTES];

	if (s->text[a->first] == '-' && (continued || follows)) {
		snprintf(text, sizeof text, " \\%s%.*s%s %s", line_break(s), (int)(a->first - a->begin),
			s->text + a->begin, flag, e->after);
		if (try_at(w, e, a->closed, a->closed, text))
			return true;
	}
	snprintf(text, sizeof text, " %s%s%s", flag, a->joined ? "=" : " ", e->after);
	return try_at(w, e, a->closed, a->closed, text);
}

static bool insert_beside(
	struct writer *w, const struct plan_edit *e, const char *flag, size_t at, size_t value, size_t end)
{
	const struct state *s = &w->now;
	struct anchor a = {.at = at, .end = end, .closed = end, .begin = line_begin(s, at)};

	if (end < s->len && strchr("\"'", s->text[end]) && value && s->text[value - 1] == s->text[end])
		a.closed++;
	for (a.first = a.begin; a.first < s->len && strchr(" \t", s->text[a.first]);)
		a.first++;
	a.quote = at > 0 && strchr("\"'", s->text[at - 1]) ? s->text[at - 1] : '\0';
	a.joined = memchr(s->text + at, '=', end - at) != NULL;
	return insert_item(w, e, flag, &a) || insert_in_list(w, e, flag, &a) || insert_in_line(w, e, flag, &a);
}

/* Beside any flag of the service, the last one first; beside the model; behind the program. */
static bool insert_flag(struct writer *w, const struct plan_edit *e, uint32_t service, const char *flag)
{
	const struct graph_service *g = w->now.d.services[service].graph;
	size_t at, end;

	for (uint32_t i = g->args_len + g->settings.len; i > 0; i--) {
		struct places places = {0};
		struct engine_flag known;
		const char *name = i > g->settings.len ? g->args[i - g->settings.len - 1].name
						       : g->settings.items[i - 1].key->name;
		if (i <= g->settings.len && !g->settings.items[i - 1].value.set)
			continue;
		if (!flag_of(w, service, name, &known))
			continue;
		const struct config_pos *pos = i > g->settings.len ? &g->args[i - g->settings.len - 1].pos
								   : &g->settings.items[i - 1].value.pos;
		find_flag(&w->now, known.name, name, &places);
		sort_places(&places, pos->line ? offset_of(&w->now, pos) : 0);
		for (uint32_t k = 0; k < MIN(places.len, 12u); k++) {
			if (known.values == '0') {
				at = 0;
				end = word_end(&w->now, places.at[k]);
			} else if (!value_behind(&w->now, places.at[k], &at, &end)) {
				continue;
			}
			if (insert_beside(w, e, flag, places.at[k], at, end))
				return true;
		}
	}
	struct places places = {0};
	find_all(&w->now, g->model, &places);
	sort_places(&places, offset_of(&w->now, &g->pos));
	for (uint32_t k = 0; k < MIN(places.len, 12u); k++)
		if (insert_beside(w, e, flag, places.at[k], places.at[k], places.at[k] + strlen(g->model)))
			return true;
	return false;
}

static const char *camel(char *ret, size_t cap, const char *key)
{
	size_t n = 0;

	for (; *key && n + 1 < cap; key++) {
		bool up = *key == '-' && key[1];
		key += up;
		ret[n++] = up ? (char)toupper((unsigned char)*key) : *key;
	}
	ret[n] = '\0';
	return ret;
}

/* "key: value" as a line of its own, indented as the line above or below a place. */
static bool insert_line(struct writer *w, const struct plan_edit *e, size_t place, const char *text)
{
	const struct state *s = &w->now;
	size_t begin = line_begin(s, place), first = begin;
	char line[4 * PLAN_VALUE_BYTES];

	while (first < s->len && s->text[first] == ' ')
		first++;
	snprintf(line, sizeof line, "%*s%s%s", (int)(first - begin), "", text, line_break(s));
	return try_at(w, e, begin, begin, line);
}

/* Keys of a file that holds flags as a map: vLLM's --config, the production stack's vllmConfig. */
static bool insert_key(struct writer *w, const struct plan_edit *e, uint32_t service)
{
	const struct graph_service *g = w->now.d.services[service].graph;
	char name[PLAN_VALUE_BYTES], text[3 * PLAN_VALUE_BYTES];

	for (uint32_t i = g->args_len; i > 0; i--) {
		if (!g->args[i - 1].pos.line)
			continue;
		size_t at = offset_of(&w->now, &g->args[i - 1].pos);
		snprintf(text, sizeof text, "%s: %s", e->key, e->after);
		if (insert_line(w, e, at, text))
			return true;
		snprintf(text, sizeof text, "%s: %s", camel(name, sizeof name, e->key), e->after);
		if (insert_line(w, e, at, text))
			return true;
	}
	return false;
}

/* The key of a line and its indentation; a list's hyphen counts as such. */
static size_t key_of(const struct state *s, size_t begin, size_t *ret_len)
{
	size_t at = begin;

	while (at < s->len && (s->text[at] == ' ' || (s->text[at] == '-' && s->text[at + 1] == ' ')))
		at++;
	size_t end = at;
	while (end < s->len && !strchr(" :\n", s->text[end]))
		end++;
	*ret_len = end < s->len && s->text[end] == ':' ? end - at : 0;
	return at - begin;
}

/* Kinds of Kubernetes whose own spec says how many pods there are. */
static bool has_replicas(const struct state *s, size_t kind)
{
	static const char *const kinds[] = {
		"Deployment", "StatefulSet", "ReplicaSet", "LeaderWorkerSet", "LLMInferenceService"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strncmp(s->text + kind, kinds[i], strlen(kinds[i])) &&
			isspace((unsigned char)s->text[kind + strlen(kinds[i])]))
			return true;
	return false;
}

/* "replicas: 2" as the first member of the map that has it in that form: the object's spec, Dynamo's service, Compose's deploy. */
static bool insert_replicas(struct writer *w, const struct plan_edit *e, size_t from)
{
	const char *family = form_family(&w->now.form);
	bool compose = !strcmp(family, "compose"), dynamo = !strcmp(family, "dynamo");
	const struct state *s = &w->now;
	struct places lines = {0};
	char text[PLAN_VALUE_BYTES + 16];
	size_t kind_indent = 0, len;
	bool counted = false;

	for (size_t at = 0; at < s->len; at = line_end(s, at) + 1) {
		size_t indent = key_of(s, at, &len), key = at + indent, stop = line_end(s, at);
		if (len == 4 && !memcmp(s->text + key, "kind", 4) && key + 6 < s->len) {
			counted = has_replicas(s, key + 6);
			kind_indent = indent;
		}
		size_t colon = line_stop(s, at);
		bool opens = colon > at && s->text[colon - 1] == ':' && stop + 1 < s->len;
		bool mine = compose ? len == 6 && !memcmp(s->text + key, "deploy", 6)
			    : dynamo
				    ? len == strlen(e->service) && !memcmp(s->text + key, e->service, len)
				    : counted && len == 4 && !memcmp(s->text + key, "spec", 4) && indent == kind_indent;
		if (opens && mine)
			add_place(&lines, stop + 1);
	}
	sort_places(&lines, from);
	snprintf(text, sizeof text, "replicas: %s", e->after);
	for (uint32_t i = 0; i < lines.len; i++)
		if (insert_line(w, e, lines.at[i], text))
			return true;
	return false;
}

static bool insert_parameter(struct writer *w, const struct plan_edit *e)
{
	char text[PLAN_VALUE_BYTES + 32];
	const char *name = !strcmp(e->key, "context-length") ? "num_ctx" : NULL;

	if (!name || !strstr(w->now.form.form, "Modelfile"))
		return false;
	snprintf(text, sizeof text, "%sPARAMETER %s %s\n",
		w->now.len && w->now.text[w->now.len - 1] != '\n' ? "\n" : "", name, e->after);
	return try_at(w, e, w->now.len, w->now.len, text);
}

static bool insert(struct writer *w, const struct plan_edit *e, uint32_t service)
{
	struct engine_flag flag;

	if (insert_parameter(w, e))
		return true;
	if (!flag_of(w, service, e->key, &flag))
		return false;
	/* llama.cpp keeps keys and values in types of their own; ours is one for both. */
	if (!strcmp(e->key, "kv-type")) {
		char both[ENGINE_FLAG_BYTES + PLAN_VALUE_BYTES];
		snprintf(both, sizeof both, "--cache-type-v %s --cache-type-k", e->after);
		return insert_flag(w, e, service, both);
	}
	return insert_flag(w, e, service, flag.spelling) || insert_key(w, e, service);
}

/* ---- all of them ---- */

static uint32_t service_of(const struct writer *w, const char *name)
{
	for (uint32_t i = 0; i < w->now.d.len; i++)
		if (!strcmp(w->now.d.services[i].name, name))
			return i;
	return UINT32_MAX;
}

static bool make_one(struct writer *w, const struct plan_edit *e)
{
	uint32_t i = service_of(w, e->service);

	if (i == UINT32_MAX)
		return false;
	const struct graph_service *g = w->now.d.services[i].graph;
	if (!strcmp(e->key, "ServiceArgs.workers")) {
		size_t at = g->workers_set && g->workers_pos.line ? offset_of(&w->now, &g->workers_pos) : w->now.len;
		bool digit =
			at < w->now.len && (isdigit((unsigned char)w->now.text[at]) || strchr("\"'", w->now.text[at]));
		return (digit && replace_value(w, e, at, false, e->after)) ||
		       replace_text(w, e, MIN(at, w->now.len - 1)) ||
		       insert_replicas(w, e, offset_of(&w->now, &g->pos));
	}
	if (!strcmp(e->key, "ServiceArgs.resources.gpu"))
		return replace_gpus(w, e) || replace_text(w, e, e->pos.line ? offset_of(&w->now, &e->pos) : 0);
	if (replace(w, e, i))
		return true;
	return !e->pos.line && insert(w, e, i);
}

/* Cards follow from other flags where nothing around them says how many; more of them must be there first. */
static const struct plan_edit *next_edit(const struct writer *w, const struct plan_edits *given_up)
{
	const struct plan_edit *last = NULL;

	for (uint32_t i = 0; i < w->edits->len; i++) {
		const struct plan_edit *e = &w->edits->items[i];
		if (has_edit(given_up, e))
			continue;
		if (strcmp(e->key, "ServiceArgs.resources.gpu") || strtod(e->after, NULL) > strtod(e->before, NULL))
			return e;
		last = e;
	}
	return last;
}

int plan_write_form(
	const struct plan_write *w, struct buf *out, struct plan_edits *ret_left, uint32_t *ret_made, struct err *err)
{
	struct writer x = {.w = w, .edits = malloc(sizeof *x.edits)};
	char *copy = strndup(w->text, w->len);
	const struct plan_edit *e;
	uint32_t before = 0;

	ret_left->len = 0;
	if (!copy || !x.edits) {
		free(copy);
		free(x.edits);
		return err_set(err, -ENOMEM, "out of memory");
	}
	int r = state_read(&x.now, w, copy, w->len);
	if (r < 0) {
		free(x.edits);
		return r == -ENOMEM ? err_set(err, r, "out of memory")
				    : err_set(err, r, "\"%s\" cannot be written in its own form", w->file);
	}
	for (uint32_t i = 0; i < x.now.d.len && i < PLAN_EDITS_MAX && w->quant_model; i++)
		if (x.now.d.services[i].quant != w->target->services[i].quant)
			x.renamed[x.renamed_len++] = w->target->services[i].name;
	edits_left(&x, &x.now.d, x.edits);
	before = x.edits->len;
	while (!x.no_memory && (e = next_edit(&x, ret_left))) {
		const struct plan_edit wanted = *e; /* it is gone with what it was made from */
		if (!make_one(&x, &wanted) && ret_left->len < PLAN_EDITS_MAX)
			ret_left->items[ret_left->len++] = wanted;
	}
	/* What another change has made true by now is not left. */
	uint32_t len = 0;
	for (uint32_t i = 0; i < ret_left->len; i++)
		if (has_edit(x.edits, &ret_left->items[i]))
			ret_left->items[len++] = ret_left->items[i];
	ret_left->len = len;
	for (uint32_t i = 0; i < len; i++)
		ret_left->items[i].pos = (struct config_pos){0}; /* of a state that ends here */
	*ret_made = before - MIN(before, len);
	if (!x.no_memory)
		buf_add(out, x.now.text, x.now.len);
	r = x.no_memory || out->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
	state_done(&x.now);
	free(x.edits);
	return r;
}
