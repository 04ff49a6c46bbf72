/* flags.c - the flags of an engine's command line, read as the engine's own parser would: which take a value, how many, which are
 * abbreviations or older spellings, and what that release refuses. All of it is in config/engine_flags.h; here is how Python's argparse,
 * vLLM's FlexibleArgumentParser (vllm/utils/argparse_utils.py) and llama.cpp's parser (common/arg.cpp) walk over the words. */
#include "forms/form_priv.h"

#include "config/engine_effects.h"
#include "config/suggest.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

enum { DOTTED_MAX = 64 };
#define CONTEXT_LEAST "1024" /* of a server that takes what fits: less is of no use to anybody */

/* "--kv-transfer-config.kv_role both": parts of a JSON value, put together at the end. */
struct dotted {
	const char *flag, *path, *value;
	struct config_pos pos;
};

struct line {
	struct form_set *f;
	struct form_service *s;
	const struct form_word *words;
	uint32_t count, at;
	bool flags_ended; /* behind "--" */
	bool positional; /* the model stood alone */
	bool unsure; /* the flag that is read stands there only on a condition that is not known */
	const char *first; /* of the list taken last */
	struct dotted dotted[DOTTED_MAX];
	uint32_t dotted_len;
};

/* ---- words ---- */

static const char *section_of(enum graph_engine e)
{
	return e == GRAPH_ENGINE_VLLM ? "VllmWorker" : e == GRAPH_ENGINE_SGLANG ? "SglangWorker" : "LlamaWorker";
}

static bool is_vllm(const struct line *l)
{
	return l->s->engine == GRAPH_ENGINE_VLLM;
}

static bool is_number(const char *t)
{
	char *end;

	if (*t != '-' || (!isdigit((unsigned char)t[1]) && t[1] != '.'))
		return false;
	(void)strtod(t, &end);
	return !*end;
}

/* "-1" is a value, "-tp" and "--x" are flags; so is nothing with a blank in it. */
static bool is_flag(const struct form_word *w)
{
	return w->text[0] == '-' && w->text[1] && !is_number(w->text) && !(w->quoted && strchr(w->text, ' '));
}

/* A variable that nobody has set: what it stands for is not known. */
static bool is_open(const char *text)
{
	return strchr(text, '$') != NULL || strstr(text, "{{") != NULL;
}

/* The first variable in a text whose value nobody knows: "$TP" of "$TP", "$(nproc)", "{{ .Values.tp }}"; NULL: there is none; "": no memory. A price
 * ("$5 a day") looks like an argument of a script; a text in JSON is left to its reader. */
static const char *open_part(struct arena *arena, const char *text, bool json)
{
	const char *p = strstr(text, "{{"), *end;

	if (*text == '{' && text[1] != '{' && !json)
		return NULL;
	if (json)
		p = NULL; /* "{{" is in its nature */
	for (const char *d = text; (d = strchr(d, '$')) && (!p || d < p); d++)
		if (isalnum((unsigned char)d[1]) || (d[1] && strchr("_{(@*#`", d[1]))) {
			p = d;
			break;
		}
	if (!p)
		return NULL;
	if (*p == '{')
		end = strstr(p, "}}") ? strstr(p, "}}") + 2 : p + strlen(p);
	else if (p[1] == '{')
		end = p + strcspn(p, "}") + 1;
	else if (p[1] == '(')
		end = strrchr(p, ')') ? strrchr(p, ')') + 1 : p + strlen(p);
	else if (*++p == '`')
		end = p + 1 + strcspn(p + 1, "`") + 1;
	else {
		bool named = isalpha((unsigned char)*p) || *p == '_';
		for (end = p + 1; named && (isalnum((unsigned char)*end) || *end == '_');)
			end++;
		p--;
	}
	const char *part = arena_strndup(arena, p, MIN((size_t)(end - p), strlen(p)));
	return part ? part : "";
}

/* "$@": what a script is called with, which is nothing unless somebody says so. */
static bool is_arguments(const char *text)
{
	static const char *const all[] = {"$@", "$*", "${@}", "${*}", "${@:1}", "${@:2}"};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!strcmp(text, all[i]))
			return true;
	return false;
}

/* "2>", ">>log", "<": the shell's, not the engine's. */
static bool is_redirection(const struct form_word *w)
{
	const char *t = w->text;

	t += strspn(t, "0123456789");
	return !w->quoted && (*t == '>' || *t == '<');
}

/* ---- remarks ---- */

int form_remark(struct form_set *f, enum form_weight weight, const char *code, const struct config_pos *pos,
	const char *what, const char *remedy)
{
	const struct form_remark r = {weight, code, what, remedy, *pos};

	return what ? form_push(&f->arena, &f->remarks, r) : -ENOMEM;
}

/* "vLLM 0.9.1", "vLLM" */
static const char *release_text(struct line *l, const char *table)
{
	const char *v = !strncmp(table, "dynamo.", 7) ? l->s->wrapper : l->s->version;

	return arena_printf(&l->f->arena, "%s%s%s", engine_table_product(table), v ? " " : "", v ? v : "");
}

static const char *main_table(const struct line *l)
{
	static const char *const tables[] = {"vllm", "dynamo.vllm", "sglang", "dynamo.sglang", "llama", "llama_cpp"};
	return tables[l->s->program];
}

static const char *engine_table(const struct line *l)
{
	const char *t = main_table(l);
	return !strncmp(t, "dynamo.", 7) ? t + 7 : t;
}

/* Which releases have it, as words: "0.6.0 to 0.10.2", "0.12.0 and newer". */
static const char *span_text(struct line *l, const struct engine_flag *flag)
{
	const char *of = engine_table_product(flag->table);
	char first[ENGINE_VERSION_BYTES];

	engine_flag_oldest(first, flag);
	if (!*flag->last)
		return arena_printf(&l->f->arena, "%s %s and newer", of, flag->first);
	return strcmp(first, flag->last) ? arena_printf(&l->f->arena, "%s %s to %s", of, first, flag->last)
					 : arena_printf(&l->f->arena, "%s %s", of, first);
}

static int say_unknown(struct line *l, const char *spelling, const struct config_pos *pos)
{
	char near[ENGINE_FLAG_BYTES], oldest[ENGINE_VERSION_BYTES], newest[ENGINE_VERSION_BYTES];
	const char *table = engine_table(l), *best = engine_flag_suggest(near, l->s->program, spelling, l->s->version);
	struct arena *arena = &l->f->arena;
	struct engine_flag flag;

	/* A release that was looked at is certain of it, and so is a misspelling. */
	bool certain = best || engine_version_known(table, l->s->version);
	engine_versions(table, oldest, newest);
	if (l->s->program == ENGINE_DYNAMO_VLLM &&
		engine_flag_find_in(&flag, "vllm.server", spelling, NULL) != ENGINE_FLAG_UNKNOWN)
		return form_remark(l->f, FORM_FATAL, "flag-unknown", pos,
			arena_printf(arena,
				"%s is a flag of vllm serve's own HTTP server, which dynamo.vllm does not have",
				spelling),
			"leave it out: Dynamo's frontend serves HTTP");
	const char *what = engine_version_known(table, l->s->version)
				   ? arena_printf(arena, "%s has no flag %s, and ends with an error at the start",
					     release_text(l, table), spelling)
				   : arena_printf(arena, "no release of %s from %s to %s has a flag %s%s",
					     engine_table_product(table), oldest, newest, spelling,
					     best ? ", and they end with an error at the start" : "");
	return form_remark(l->f, certain ? FORM_FATAL : FORM_UNCHECKED, "flag-unknown", pos, what,
		best ? arena_printf(arena, "did you mean %s?", best) : NULL);
}

/* A llama-server whose build nobody named is the newest. */
static int say_gone_newest(
	struct line *l, const struct engine_flag *flag, const char *spelling, const struct config_pos *pos)
{
	char oldest[ENGINE_VERSION_BYTES], newest[ENGINE_VERSION_BYTES];
	struct arena *arena = &l->f->arena;

	engine_versions(flag->table, oldest, newest);
	return form_remark(l->f, FORM_FATAL, "flag-removed", pos,
		arena_printf(arena, "%s was removed: %s have it, and the newest (%s) ends with an error at the start",
			spelling, span_text(l, flag), newest),
		arena_printf(arena,
			"leave it out, or pin such a release (and say which: --engine-version llama.cpp=b%s)",
			*flag->last ? flag->last : flag->first));
}

static int say_gone(struct line *l, const struct engine_flag *flag, const char *spelling, const struct config_pos *pos)
{
	const char *v = !strncmp(flag->table, "dynamo.", 7) ? l->s->wrapper : l->s->version;
	struct arena *arena = &l->f->arena;
	bool known = engine_version_known(flag->table, v);
	const char *what;

	if (!v && l->s->program == ENGINE_LLAMA_SERVER)
		return say_gone_newest(l, flag, spelling, pos);
	if (known)
		what = arena_printf(arena, "%s has no flag %s; %s", release_text(l, flag->table), spelling,
			arena_printf(arena,
				*flag->last && engine_version_compare(v, flag->last) > 0 ? "it was removed after %s %s"
											 : "it came with %s %s",
				engine_table_product(flag->table),
				*flag->last && engine_version_compare(v, flag->last) > 0 ? flag->last : flag->first));
	else
		what = arena_printf(arena, "%s was removed: %s have it, newer releases end with an error at the start",
			spelling, span_text(l, flag));
	return form_remark(l->f, known ? FORM_FATAL : FORM_WARNING, "flag-removed", pos, what,
		known ? "leave it out, or use a release that has it"
		      : "leave it out, or pin such a release (and say which with --engine-version)");
}

static int say_state(struct line *l, const struct engine_flag *flag, const char *spelling, const struct config_pos *pos)
{
	const char *v = !strncmp(flag->table, "dynamo.", 7) ? l->s->wrapper : l->s->version;
	struct arena *arena = &l->f->arena;

	if (flag->refused)
		return form_remark(l->f, v || l->s->program == ENGINE_LLAMA_SERVER ? FORM_FATAL : FORM_WARNING,
			"flag-removed", pos,
			arena_printf(arena, "%s ends with an error at the start when it sees %s", span_text(l, flag),
				spelling),
			"leave it out");
	if (flag->deprecated)
		return form_remark(l->f, FORM_INFO, "flag-deprecated", pos,
			arena_printf(arena, "%s is deprecated in %s", spelling, span_text(l, flag)), NULL);
	return 0;
}

static int say_value(struct line *l, const char *what, const struct config_pos *pos, const char *remedy)
{
	return form_remark(l->f, FORM_FATAL, "flag-value", pos, what, remedy);
}

/* ---- values ---- */

/* vLLM takes "32k" (thousands) and "32K" (times 1,024) for whole numbers (human_readable_int of vllm/engine/arg_utils.py). */
static const char *whole_number(struct arena *arena, const char *text)
{
	static const char suffixes[] = "kmgtKMGT";
	char *end;
	double n = strtod(text, &end);
	const char *s = *end ? strchr(suffixes, *end) : NULL;

	if (end == text || !s || end[1] || n < 0 || n > 1e6)
		return text;
	for (int power = (int)((s - suffixes) % 4); power >= 0; power--)
		n *= s - suffixes < 4 ? 1000 : 1024;
	return arena_printf(arena, "%.0f", floor(n));
}

/* A value that is a variable's which the file does not set: the flag is left out, and the plan is told. */
static int say_unset(struct line *l, const char *name, const char *variable, const struct config_pos *pos)
{
	const struct form_seen *seen = l->f->seen.len ? &l->f->seen.v[l->f->seen.len - 1] : NULL;
	bool command = *variable == '`' || (variable[1] == '(' && strpbrk(variable, " \t")),
	     typed = seen && !strcmp(seen->name, name);
	const char *flag = typed ? seen->spelling : arena_printf(&l->f->arena, "--%s", name);

	return form_remark(l->f, FORM_UNCHECKED, FORM_UNSET, pos,
		command ? arena_printf(
				  &l->f->arena, "what %.128s prints is not known here, so %s is not", variable, flag)
			: arena_printf(&l->f->arena, "%.128s is not set here, so %s is not known", variable, flag),
		"set it in the same file, or write the value out");
}

/* Without the mark that ends a sentence, or a clause, of which the word is the last: no name of a model ends so. */
static const char *without_mark(struct arena *arena, const char *text)
{
	size_t len = strlen(text), n = len;

	while (n > 1 && strchr(",;:!?.", text[n - 1]) && !strchr("/.", text[n - 2]))
		n--;
	return n == len ? text : arena_strndup(arena, text, n);
}

static bool is_truth(const char *s)
{
	static const char *const words[] = {"true", "false", "1", "0", "yes", "no", "on", "off"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcasecmp(s, words[i]))
			return true;
	return false;
}

static bool is_no(const char *s)
{
	return !strcasecmp(s, "false") || !strcmp(s, "0") || !strcasecmp(s, "no") || !strcasecmp(s, "off");
}

/* As Python's int() and float() read it. */
static bool is_of_kind(enum engine_flag_kind kind, const char *text)
{
	char copy[64];
	size_t n = 0;
	char *end;

	if (kind != ENGINE_FLAG_INT && kind != ENGINE_FLAG_SIZE && kind != ENGINE_FLAG_FLOAT)
		return true;
	for (const char *p = text; *p && n + 1 < sizeof copy; p++)
		if (*p != '_')
			copy[n++] = *p;
	copy[n] = '\0';
	if (kind == ENGINE_FLAG_FLOAT)
		(void)strtod(copy, &end);
	else
		(void)strtoll(copy, &end, 10);
	if (kind == ENGINE_FLAG_SIZE &&
		(!strcasecmp(text, "auto") || (*end && strtod(copy, &end) >= 0 && strchr("kmgtKMGT", *end) && !end[1])))
		return n > 0;
	return n > 0 && !*end && end != copy;
}

static int check_value(struct line *l, const struct engine_flag *flag, const char *spelling, const char *value,
	const struct config_pos *pos)
{
	/* Checked by rules of their own, with better words. */
	static const char *const elsewhere[] = {"quantization", "dtype", "block-size"};
	struct arena *arena = &l->f->arena;
	bool no_choice = flag->choices && !engine_flag_takes(flag, value);

	if (!*value || is_open(value) || !strcasecmp(value, "none"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
		if (!strcmp(flag->name, elsewhere[i]))
			return 0;
	if (no_choice && !l->s->version && engine_flag_ever_takes(flag, value))
		return 0;
	if (no_choice)
		return say_value(l,
			arena_printf(arena, "%s has no choice \"%.64s\" of %s", release_text(l, flag->table), value,
				spelling),
			pos, arena_printf(arena, "one of %.*s", (int)MIN(flag->choices_len, 400u), flag->choices));
	if (!is_of_kind(flag->kind, value))
		return say_value(l,
			arena_printf(arena, "%s takes %s, and \"%.64s\" is none", spelling,
				flag->kind == ENGINE_FLAG_FLOAT ? "a number" : "a whole number", value),
			pos, NULL);
	return 0;
}

/* ---- what the tables of config/ call a flag ---- */

static const char *config_name(const struct line *l, const char *typed, const char *name)
{
	/* llama-server's names of what a LlamaWorker has, too. */
	static const struct {
		const char *flag, *key;
	} ours[] = {{"ctx-size", "context-length"}, {"n-ctx", "context-length"}, {"parallel", "max-seqs"},
		{"cache-type-k", "kv-type"}, {"n-gpu-layers", "gpu-layers"}, {"alias", "served-model-name"}};

	const struct config_key *key = config_key_find(section_of(l->s->engine), typed);
	if (l->s->engine != GRAPH_ENGINE_LLAMA)
		return key ? key->name : name;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (config_name_equal(ours[i].flag, name))
			return ours[i].key;
	return name;
}

/* SGLang's --model is --model-path by another name (server_args.py, from 0.4.8.post1). */
static bool names_model(const struct form_service *s, const char *name)
{
	return !strcmp(name, "model") || (s->engine == GRAPH_ENGINE_SGLANG && !strcmp(name, "model-path"));
}

static int put(
	struct line *l, const char *name, const char *value, enum engine_flag_kind kind, const struct config_pos *pos)
{
	struct form_service *s = l->s;
	const struct config_key *key = config_key_find(section_of(s->engine), name);
	bool json = kind == ENGINE_FLAG_JSON;
	const char *variable = value && is_open(value) ? open_part(&l->f->arena, value, json) : NULL;
	if (variable && !*variable)
		return -ENOMEM;

	if (variable && !names_model(s, name)) {
		const char *kept = arena_strdup(&l->f->arena, name);
		int said = kept ? say_unset(l, kept, variable, pos) : -ENOMEM;
		return said; /* and the engine's own value is taken */
	}
	if (value && (kind == ENGINE_FLAG_SIZE || (key && key->type == CONFIG_UINT && s->engine == GRAPH_ENGINE_VLLM)))
		value = whole_number(&l->f->arena, value);
	/* llama-server picks these itself below 1 (common/arg.cpp): left out, ours does, too. */
	bool picks = s->engine == GRAPH_ENGINE_LLAMA && value && strtol(value, NULL, 10) < 0 &&
		     (!strcmp(name, "threads") || !strcmp(name, "max-seqs") || !strcmp(name, "context-length"));
	if (picks && is_number(value))
		return 0;
	if (s->engine == GRAPH_ENGINE_LLAMA && !strcmp(name, "gpu-layers") && value &&
		(!strcasecmp(value, "all") || !strcasecmp(value, "auto"))) {
		int said = form_arg_add(l->f, &s->args, "gpu-layers-said", value, pos); /* "-1" is both */
		if (said < 0)
			return said;
		value = "-1";
	}
	if (s->engine == GRAPH_ENGINE_VLLM && !strcmp(name, "max-model-len") && value &&
		(!strcasecmp(value, "auto") || !strcmp(value, "-1"))) {
		int said = form_remark(l->f, FORM_INFO, "context-auto", pos,
			arena_printf(&l->f->arena,
				"--max-model-len %s takes the longest context that fits; the plan looks for %s tokens",
				value, CONTEXT_LEAST),
			NULL);
		if (said < 0)
			return said;
		value = CONTEXT_LEAST;
	}
	name = arena_strdup(&l->f->arena, name); /* a look-up's is the caller's */
	if (!value || !name)
		return -ENOMEM;
	if (names_model(s, name)) {
		s->model = without_mark(&l->f->arena, value);
		s->model_pos = *pos;
		return s->model ? 0 : -ENOMEM;
	}
	return form_arg_add(l->f, &s->args, name, value, pos);
}

/* A flag that is perhaps not there, and which the plan takes as being there. */
static int say_unsure(struct line *l, const char *spelling, const char *name, const struct config_pos *pos)
{
	static const char *const harmless[] = {"api-key", "port", "host", "chat-template", "tool-call-parser",
		"enable-auto-tool-choice", "reasoning-parser", "trust-remote-code", "served-model-name",
		"disable-log-requests", "disable-log-stats", "seed", "max-logprobs", "download-dir", "tokenizer",
		"tokenizer-mode", "revision", "load-format"};

	if (!l->unsure || (!config_key_find(section_of(l->s->engine), name) &&
				  !engine_effect_unmodelled(l->s->engine, name, "1")))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (!strcmp(name, harmless[i]))
			return 0;
	return form_remark(l->f, FORM_UNCHECKED, "flag-unsure", pos,
		arena_printf(&l->f->arena,
			"whether %s is there is decided when the script runs; the plan takes it as being there",
			spelling),
		"plan each command by itself: stator plan -- COMMAND");
}

/* What the flag means to a plan, when that is not in its arithmetic. */
static int say_effect(struct line *l, const struct engine_flag *flag, const char *spelling, const char *value,
	const struct config_pos *pos)
{
	const char *why = engine_effect_unmodelled(l->s->engine, flag->name, value);

	if (!why || flag->negative)
		return 0;
	if (is_vllm(l) && !strcmp(flag->name, "config") && form_file_find(l->f, value))
		return 0; /* it is read */
	return form_remark(l->f, FORM_UNCHECKED, "flag-effect", pos,
		arena_printf(&l->f->arena, "%s %s, which is not in the arithmetic of this plan", spelling, why), NULL);
}

/* ---- the walk ---- */

static const struct form_word *next_value(struct line *l)
{
	const struct form_word *w = l->at < l->count ? &l->words[l->at] : NULL;

	if (!w || is_flag(w) || is_redirection(w))
		return NULL;
	l->at++;
	return w;
}

/* All values that follow, as JSON (which a list of a graph is, too); one alone stays as it is. NULL: none, or no memory. */
static const char *take_list(struct line *l)
{
	const struct form_word *first = next_value(l), *w = first;
	struct buf out;

	l->first = first ? first->text : NULL;
	if (!first || l->at == l->count || is_flag(&l->words[l->at]) || is_redirection(&l->words[l->at]))
		return first ? first->text : NULL;
	buf_init(&out, YAML_BYTES_MAX);
	for (; w; w = next_value(l)) {
		buf_add_str(&out, w == first ? "[\"" : "\", \"");
		for (const char *p = w->text; *p; p++) {
			if (*p == '"' || *p == '\\')
				buf_add_byte(&out, '\\');
			buf_add_byte(&out, (uint8_t)*p);
		}
	}
	buf_add_str(&out, "\"]");
	const char *ret = out.failed ? NULL : arena_strdup(&l->f->arena, buf_str(&out));
	buf_done(&out);
	return ret;
}

static int say_missing(
	struct line *l, const struct engine_flag *flag, const char *spelling, const struct config_pos *pos)
{
	bool before = !l->s->version && engine_flag_ever_values(flag, "0?"); /* older releases have it without */

	if (before && l->s->program == ENGINE_LLAMA_SERVER)
		return form_remark(l->f, FORM_WARNING, "flag-value", pos,
			arena_printf(&l->f->arena,
				"%s needs a value since llama.cpp %s; older releases take it without", spelling,
				flag->first),
			flag->choices ? arena_printf(&l->f->arena, "one of %.*s", (int)MIN(flag->choices_len, 400u),
						flag->choices)
				      : NULL);
	if (before)
		return 0;
	return say_value(l, arena_printf(&l->f->arena, "%s needs a value", spelling), pos, NULL);
}

/* The value of a flag: behind "=", or the words that follow, as many as it takes; "true" where there is none. */
static int take_value(struct line *l, const struct engine_flag *flag, const char *spelling, const char *after,
	const struct config_pos *pos, const char **ret)
{
	const struct form_word *w;
	int code = 0;

	*ret = after;
	switch (flag->values) {
	case '0':
		w = l->at < l->count ? &l->words[l->at] : NULL;
		if (!after && w && is_truth(w->text) && !l->s->version && engine_flag_ever_values(flag, "?1"))
			after = next_value(l)->text; /* older releases take it */
		else if (after && (l->s->version || !engine_flag_ever_values(flag, "?1")))
			code = say_value(l, arena_printf(&l->f->arena, "%s takes no value", spelling), pos,
				"leave the value out");
		*ret = (after && is_no(after)) != flag->negative ? "false" : "true";
		return code;
	case '+':
	case '*':
		*ret = after ? after : take_list(l);
		break;
	case '2':
		*ret = take_list(l);
		break;
	case '?':
		w = after ? NULL : next_value(l);
		*ret = after ? after : w ? w->text : "true";
		break;
	default:
		w = after ? NULL : next_value(l);
		*ret = after ? after : w ? w->text : NULL;
	}
	if (!*ret && flag->values != '*')
		code = say_missing(l, flag, spelling, pos);
	if (!*ret) {
		*ret = "true";
		return code;
	}
	return code < 0 || *ret[0] == '[' ? code : check_value(l, flag, spelling, *ret, pos);
}

/* A flag that nobody knows takes what follows it, if that is no flag. */
static int read_unknown(struct line *l, const char *spelling, const char *after, const struct config_pos *pos)
{
	const struct form_word *w = after ? NULL : next_value(l);
	char *name = arena_strdup(&l->f->arena, spelling + strspn(spelling, "-"));

	for (char *p = name; p && *p; p++)
		*p = *p == '_' ? '-' : *p;
	return name && *name ? put(l, name,
				       after ? after
				       : w   ? w->text
					     : "true",
				       ENGINE_FLAG_STR, pos)
	       : name        ? 0
			     : -ENOMEM;
}

static int put_dotted(
	struct line *l, const char *flag, const char *path, const char *after, const struct config_pos *pos)
{
	const struct form_word *w = after ? NULL : next_value(l);

	if (l->dotted_len == DOTTED_MAX)
		return form_remark(
			l->f, FORM_UNCHECKED, "flag-value", pos, "there are more flags with dots than are read", NULL);
	l->dotted[l->dotted_len++] = (struct dotted){arena_strdup(&l->f->arena, flag), path,
		after ? after
		: w   ? w->text
		      : "true",
		*pos};
	return l->dotted[l->dotted_len - 1].flag ? 0 : -ENOMEM;
}

static int note_seen(struct line *l, const char *spelling, const char *name, const struct config_pos *pos)
{
	const struct form_seen seen = {spelling, arena_strdup(&l->f->arena, name), l->s->engine, *pos};

	if (l->f->seen.len >= FORM_SEEN_MAX)
		return 0;
	return seen.name ? form_push(&l->f->arena, &l->f->seen, seen) : -ENOMEM;
}

/* One that the tables have, its value not yet taken. refused: its release does not have it, or ends with a message. */
static int read_known(struct line *l, const struct engine_flag *flag, const char *spelling, const char *after,
	const struct config_pos *pos, bool refused)
{
	const char *value = "", *typed = spelling + strspn(spelling, "-");
	uint32_t remarks = l->f->remarks.len;
	int code = take_value(l, flag, spelling, after, pos, &value);

	if (refused)
		l->f->remarks.len = remarks; /* why is said already */
	const struct config_key *key = config_key_find(section_of(l->s->engine), config_name(l, typed, flag->name));
	if (code == 0 && !after && (flag->values == '+' || flag->values == '*') && key && key->type == CONFIG_STRING &&
		l->first)
		value = l->first; /* a worker has one; the others are further names */
	if (code == 0)
		code = say_effect(l, flag, spelling, value, pos);
	if (code == 0)
		code = say_unsure(l, spelling, config_name(l, typed, flag->name), pos);
	if (code == 0)
		code = note_seen(l, spelling, config_name(l, typed, flag->name), pos);
	return code < 0 ? code : put(l, config_name(l, typed, flag->name), value, flag->kind, pos);
}

/* vLLM: "-O3", "-O.level=3"; "-O" was the compilation config up to 0.11, and is the optimization level since. Others: "-qawq". */
static const char *attached(struct line *l, char *spelling, const char *text)
{
	struct engine_flag flag;

	if (text[0] != '-' || text[1] == '-' || !text[1] || !text[2] || l->s->engine == GRAPH_ENGINE_LLAMA)
		return NULL;
	snprintf(spelling, ENGINE_FLAG_BYTES, "%.2s", text);
	if (is_vllm(l) && text[1] == 'O') {
		if (engine_flag_find(&flag, l->s->program, "-O", l->s->version, l->s->wrapper) != ENGINE_FLAG_KNOWN)
			snprintf(spelling, ENGINE_FLAG_BYTES, "--optimization-level");
		return text + 2 + (text[2] == '=');
	}
	return engine_flag_find(&flag, l->s->program, spelling, l->s->version, l->s->wrapper) == ENGINE_FLAG_KNOWN &&
			       flag.values != '0'
		       ? text + 2 + (text[2] == '=')
		       : NULL;
}

/* One flag; l->at is behind its word. */
static int read_flag(struct line *l, const struct form_word *w)
{
	const char *equals = strchr(w->text, '='), *after = equals ? equals + 1 : NULL, *dot;
	size_t len = equals ? (size_t)(equals - w->text) : strlen(w->text);
	char *spelling = arena_strndup(&l->f->arena, w->text, len), name[ENGINE_FLAG_BYTES];
	enum engine_flag_state state;
	struct engine_flag flag;

	if (!spelling)
		return -ENOMEM;
	if (is_open(spelling))
		return form_remark(l->f, FORM_UNCHECKED, "variable-unknown", &w->pos,
			arena_printf(&l->f->arena, "what \"%.64s\" stands for is not known, and it may hold any flag",
				w->text),
			"set it in the same file, or write the flags out");
	if (is_vllm(l) && (dot = strchr(spelling, '.')) && dot > spelling + 2) {
		snprintf(name, sizeof name, "%.*s", (int)(dot - spelling), spelling);
		if (engine_flag_find(&flag, l->s->program, name, l->s->version, l->s->wrapper) == ENGINE_FLAG_KNOWN)
			return put_dotted(l, flag.name, dot + 1, after, &w->pos);
	}
	state = engine_flag_find(&flag, l->s->program, spelling, l->s->version, l->s->wrapper);
	if (state == ENGINE_FLAG_UNKNOWN || (state == ENGINE_FLAG_GONE && !strcmp(spelling, "-O"))) {
		const char *value = attached(l, name, strcmp(spelling, "-O") ? w->text : "-O=");
		state = value ? engine_flag_find(&flag, l->s->program, name, l->s->version, l->s->wrapper) : state;
		after = value ? (*value ? value : after) : after;
	}
	if (state == ENGINE_FLAG_KNOWN) {
		int said = say_state(l, &flag, spelling, &w->pos);
		return said < 0 ? said : read_known(l, &flag, spelling, after, &w->pos, flag.refused);
	}
	int code = state == ENGINE_FLAG_GONE ? say_gone(l, &flag, spelling, &w->pos)
		   : state == ENGINE_FLAG_UNKNOWN
			   ? say_unknown(l, spelling, &w->pos)
			   : form_remark(l->f, FORM_FATAL, "flag-unknown", &w->pos,
				     arena_printf(&l->f->arena, "%s abbreviates several flags of %s", spelling,
					     release_text(l, engine_table(l))),
				     "write it out");
	if (code < 0)
		return code;
	return state == ENGINE_FLAG_GONE ? read_known(l, &flag, spelling, after, &w->pos, true)
					 : read_unknown(l, spelling, after, &w->pos);
}

/* A word that is no flag and no flag's value: the model, where the program takes it so. */
static int read_alone(struct line *l, const struct form_word *w)
{
	if (is_redirection(w)) {
		const char *t = w->text + strspn(w->text, "0123456789");
		l->at += !t[strspn(t, "<>&")] && l->at < l->count; /* "> log": and the file */
		return 0;
	}
	if (is_arguments(w->text) && l->s->model)
		return form_remark(l->f, FORM_INFO, "script-arguments", &w->pos,
			"what the script is called with stands in this line, too; the plan is that without", NULL);
	if (!l->s->model || (is_vllm(l) && !l->positional && l->s->program == ENGINE_VLLM_SERVE && !is_open(w->text))) {
		l->positional = true;
		l->s->model = without_mark(&l->f->arena, w->text); /* "vllm serve MODEL" */
		l->s->model_pos = w->pos;
		return l->s->model ? 0 : -ENOMEM;
	}
	if (is_open(w->text))
		return form_remark(l->f, FORM_UNCHECKED, "variable-unknown", &w->pos,
			arena_printf(&l->f->arena, "what \"%.64s\" stands for is not known, and it may hold any flag",
				w->text),
			"set it in the same file, or write the flags out");
	if (!*w->text || !strcmp(w->text, "\\") || !strcmp(w->text, "...") || !strcmp(w->text, "fi") ||
		!strcmp(w->text, "done") || strchr("(){}", *w->text))
		return 0;
	return say_value(l,
		arena_printf(&l->f->arena, "\"%.64s\" belongs to no flag, and %s ends with an error at the start",
			w->text, engine_table_product(engine_table(l))),
		&w->pos, NULL);
}

/* ---- flags with dots ---- */

static struct yaml_node *child_of(
	struct line *l, struct yaml_node *map, const char *key, size_t len, const struct config_pos *pos)
{
	char *name = arena_strndup(&l->f->arena, key, len);
	struct yaml_node *n = name ? yaml_find(map, name) : NULL;

	if (n || !name)
		return n;
	n = yaml_node_create(&l->f->arena, YAML_MAP, pos);
	if (n) {
		n->key = name;
		yaml_append(map, n);
	}
	return n;
}

/* "a.b=c" into {"a": {"b": "c"}} */
static int put_path(struct line *l, struct yaml_node *map, const struct dotted *d)
{
	const char *path = d->path;

	for (size_t len; (len = strcspn(path, ".")), path[len]; path += len + 1)
		if (!(map = child_of(l, map, path, len, &d->pos)) || map->type != YAML_MAP)
			return map ? 0 : -ENOMEM;
	size_t len = strlen(path);
	bool list = len && path[len - 1] == '+';
	struct yaml_node *leaf = child_of(l, map, path, len - list, &d->pos);
	if (!leaf)
		return -ENOMEM;
	if (leaf->type == YAML_MAP && !leaf->first)
		leaf->type = YAML_SCALAR;
	leaf->text = d->value;
	leaf->quoted = is_of_kind(ENGINE_FLAG_FLOAT, d->value) ? false : !is_truth(d->value);
	return 0;
}

/* All parts of one flag as its JSON value; a plain value of the same flag is replaced, as vLLM does. */
static int end_dotted(struct line *l)
{
	int code = 0;

	for (uint32_t i = 0; i < l->dotted_len && code == 0; i++) {
		struct yaml_node *root = yaml_node_create(&l->f->arena, YAML_MAP, &l->dotted[i].pos);
		bool done = false;
		for (uint32_t k = 0; k < i; k++)
			done |= !strcmp(l->dotted[k].flag, l->dotted[i].flag);
		if (done)
			continue;
		code = root ? 0 : -ENOMEM;
		for (uint32_t k = i; k < l->dotted_len && code == 0; k++)
			if (!strcmp(l->dotted[k].flag, l->dotted[i].flag))
				code = put_path(l, root, &l->dotted[k]);
		struct buf json;
		buf_init(&json, YAML_BYTES_MAX);
		if (code == 0)
			yaml_print_json(root, &json);
		const char *text = code < 0 || json.failed ? NULL : arena_strdup(&l->f->arena, buf_str(&json));
		struct engine_flag flag = {.kind = ENGINE_FLAG_JSON};
		snprintf(flag.name, sizeof flag.name, "%s", l->dotted[i].flag);
		code = code < 0 || !text ? -ENOMEM
					 : put(l, l->dotted[i].flag, text, ENGINE_FLAG_JSON, &l->dotted[i].pos);
		if (code == 0)
			code = say_effect(
				l, &flag, arena_printf(&l->f->arena, "--%s", flag.name), text, &l->dotted[i].pos);
		buf_done(&json);
	}
	return code;
}

/* A LlamaWorker keeps keys and values alike, in one of two types: what they are not is the larger one there. A plan of the server reads
 * what was said (plan/llama_ask.h). */
static int end_llama(struct form_set *f, struct form_service *s)
{
	const struct form_arg *k = form_arg_find(&s->args, "kv-type"), *v = form_arg_find(&s->args, "cache-type-v"),
			      *repo = form_arg_find(&s->args, "hf-repo");
	bool eight = k && !strcmp(k->value, "q8_0"), both = eight && v && !strcmp(v->value, "q8_0");

	if (!s->model && repo) {
		s->model = repo->value;
		s->model_pos = repo->pos;
	}
	if (!k)
		return 0;
	const struct config_pos pos = k->pos;
	int code = form_arg_add(f, &s->args, "cache-type-k", k->value, &pos);
	return code < 0 || both || !strcmp(k->value, "f16") ? code : form_arg_add(f, &s->args, "kv-type", "f16", &pos);
}

/* vLLM's --config names a file that is at hand: its settings stand behind those of the command line. */
static int end_config(struct form_set *f, struct form_service *s)
{
	const struct form_arg *config = form_arg_find(&s->args, "config");
	const struct form_file *file =
		config && config->value && s->engine == GRAPH_ENGINE_VLLM ? form_file_find(f, config->value) : NULL;
	struct yaml_node *root = NULL;
	struct diags quiet;
	struct buf json;

	if (!file)
		return 0;
	const struct config_pos pos = config->pos;
	diags_init(&quiet);
	int code = yaml_parse(&root, &f->arena, file->name, file->text, file->len, &quiet);
	diags_done(&quiet);
	if (code < 0 || root->type != YAML_MAP)
		return code == -ENOMEM ? code
				       : form_remark(f, FORM_UNCHECKED, "flag-effect", &pos,
						 "--config names a file that is no map of settings", NULL);
	for (const struct yaml_node *n = root->first; n && code == 0; n = n->next) {
		const char *value = n->text;
		struct engine_flag flag;
		char *spelling = arena_printf(&f->arena, "--%s", n->key);
		for (char *p = spelling; p && *p; p++)
			*p = *p == '_' ? '-' : *p;
		if (!spelling)
			return -ENOMEM;
		if (!strcmp(spelling, "--model") || !strcmp(spelling, "--model-tag")) {
			s->model = s->model ? s->model : n->text;
			continue;
		}
		bool known =
			engine_flag_find(&flag, s->program, spelling, s->version, s->wrapper) != ENGINE_FLAG_UNKNOWN;
		if (n->type == YAML_NULL || (known && form_arg_find(&s->args, flag.name)) ||
			form_arg_find(&s->args, spelling + 2))
			continue;
		if (n->type == YAML_MAP || n->type == YAML_SEQ) {
			buf_init(&json, YAML_BYTES_MAX);
			yaml_print_json(n, &json);
			value = json.failed ? NULL : arena_strdup(&f->arena, buf_str(&json));
			buf_done(&json);
		}
		code = value ? form_flag_put(f, s, spelling + 2, value, &pos) : -ENOMEM;
	}
	return code;
}

int form_flags_read(struct form_set *f, struct form_service *s, const struct form_word *words, uint32_t count)
{
	struct line *l = arena_alloc(&f->arena, sizeof *l);
	int code = l ? 0 : -ENOMEM;

	if (code < 0)
		return code;
	*l = (struct line){.f = f, .s = s, .words = words, .count = count};
	if (!s->version)
		s->version = f->versions[s->engine];
	while (l->at < l->count && code == 0) {
		const struct form_word *w = &words[l->at++];
		l->unsure = w->unsure;
		if (!l->flags_ended && !strcmp(w->text, "--") && s->engine != GRAPH_ENGINE_LLAMA)
			l->flags_ended = true;
		else if (!l->flags_ended && is_flag(w))
			code = read_flag(l, w);
		else
			code = read_alone(l, w);
	}
	if (code == 0)
		code = end_dotted(l);
	if (code == 0)
		code = end_config(f, s);
	return code < 0 || s->engine != GRAPH_ENGINE_LLAMA ? code : end_llama(f, s);
}

int form_flag_put(
	struct form_set *f, struct form_service *s, const char *name, const char *value, const struct config_pos *pos)
{
	const char *spelling = arena_printf(&f->arena, "--%s", name);
	struct line *l = arena_alloc(&f->arena, sizeof *l);
	struct engine_flag flag;
	int code;

	if (!spelling || !l)
		return -ENOMEM;
	*l = (struct line){.f = f, .s = s};
	if (!s->version)
		s->version = f->versions[s->engine];
	enum engine_flag_state state = engine_flag_find(&flag, s->program, spelling, s->version, s->wrapper);
	if (state == ENGINE_FLAG_UNKNOWN || state == ENGINE_FLAG_AMBIGUOUS) {
		code = say_unknown(l, spelling, pos);
		return code < 0 ? code : read_unknown(l, spelling, value, pos);
	}
	code = state == ENGINE_FLAG_GONE ? say_gone(l, &flag, spelling, pos) : say_state(l, &flag, spelling, pos);
	if (code == 0 && flag.values == '0' && flag.negative)
		value = is_no(value) ? "true" : "false";
	else if (code == 0 && flag.values != '0' && *value != '[' && *value != '{')
		code = check_value(l, &flag, spelling, value, pos);
	if (code == 0)
		code = say_effect(l, &flag, spelling, value, pos);
	if (code == 0)
		code = note_seen(l, name, config_name(l, spelling + 2, flag.name), pos);
	return code < 0 ? code : put(l, config_name(l, spelling + 2, flag.name), value, flag.kind, pos);
}

int form_flags_env(struct form_set *f, struct form_service *s)
{
	struct engine_flag flag;
	int code = 0;

	for (uint32_t i = 0; i < s->envs.len && code == 0 && s->engine == GRAPH_ENGINE_LLAMA; i++) {
		const struct form_arg *e = &s->envs.v[i];
		struct line l = {.f = f, .s = s};
		if (strncmp(e->name, "LLAMA_ARG_", 10) || !e->value)
			continue;
		if (engine_flag_find_in(&flag, "llama", e->name, s->version) == ENGINE_FLAG_UNKNOWN)
			continue;
		const char *name = config_name(&l, flag.name, flag.name);
		/* The command line wins. */
		if (form_arg_find(&s->args, name) || (!strcmp(name, "model") && s->model))
			continue;
		const char *value =
			flag.values == '0' ? (is_no(e->value) != flag.negative ? "false" : "true") : e->value;
		code = say_effect(&l, &flag, e->name, value, &e->pos);
		if (code == 0)
			code = put(&l, name, value, flag.kind, &e->pos);
	}
	return code;
}
