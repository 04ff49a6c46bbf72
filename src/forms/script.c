/* script.c - text that is commands: one line pasted from a README, a shell script, what stands behind "sh -c". */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>

static bool ends_command(const struct form_word *w)
{
	static const char *const operators[] = {"\n", ";", "&", "|"};

	for (size_t i = 0; i < ARRAY_LEN(operators) && !w->quoted; i++)
		if (!strcmp(w->text, operators[i]))
			return true;
	return false;
}

static bool is_assignment(const struct form_word *w)
{
	size_t n = 0;

	while (isalnum((unsigned char)w->text[n]) || w->text[n] == '_')
		n++;
	return n && w->text[n] == '=' && !isdigit((unsigned char)w->text[0]);
}

/* A command of assignments only, perhaps behind "export": they hold for what follows. */
static int take_assignments(
	struct form_set *f, const struct form_word *words, uint32_t count, const struct form_env **env)
{
	uint32_t begin = count && (!strcmp(words[0].text, "export") || !strcmp(words[0].text, "local") ||
					  !strcmp(words[0].text, "set"));

	for (uint32_t i = begin; i < count; i++)
		if (!is_assignment(&words[i]))
			return 0;
	for (uint32_t i = begin; i < count; i++) {
		const char *equals = strchr(words[i].text, '=');
		struct form_env *e = arena_alloc(&f->arena, sizeof *e);
		const char *name = arena_strndup(&f->arena, words[i].text, (size_t)(equals - words[i].text));
		if (!e || !name)
			return -ENOMEM;
		*e = (struct form_env){name, equals + 1, *env, begin && !strcmp(words[0].text, "export")};
		*env = e;
	}
	return 0;
}

/* The words of one command after another. */
static int each_command(struct form_set *f, const struct form_words *words,
	int (*fn)(struct form_set *f, const struct form_word *words, uint32_t count, void *ctx), void *ctx)
{
	uint32_t begin = 0;
	int code = 0;

	for (uint32_t i = 0; i <= words->len && code == 0; i++) {
		if (i < words->len && !ends_command(&words->v[i]))
			continue;
		if (i > begin)
			code = fn(f, &words->v[begin], i - begin, ctx);
		begin = i + 1;
	}
	return code;
}

/* "pip install vllm==0.9.1", "uv pip install 'sglang[all]==0.5.2'" */
static void take_pinned(struct form_set *f, const struct form_word *words, uint32_t count)
{
	static const char *const names[] = {"vllm", "sglang"};

	for (uint32_t i = 0; i < count; i++)
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			const char *t = words[i].text, *equals = strstr(t, "==");
			size_t len = strlen(names[k]);
			if (equals && !strncmp(t, names[k], len) && (t[len] == '=' || t[len] == '[') &&
				engine_version_valid(equals + 2))
				f->pinned[k] = arena_strdup(&f->arena, equals + 2);
		}
}

static int on_assignment(struct form_set *f, const struct form_word *words, uint32_t count, void *ctx)
{
	take_pinned(f, words, count);
	return take_assignments(f, words, count, ctx);
}

struct finding_engines {
	const struct form_service *around;
	const struct form_env *own, *given; /* variables: the script's, down to those it was given */
	const char *program, *foreign;
	uint32_t found, depth; /* depth: of shells in shells */
};
enum { DEPTH_MAX = 4 };

/* "echo vllm serve m", "pip install vllm", "pkill -f vllm": a program that speaks of the engine or fetches it. */
static bool only_speaks(const struct form_word *words, uint32_t count)
{
	static const char *const speakers[] = {"echo", "printf", "cat", "grep", "pgrep", "pkill", "killall", "which",
		"type", "man", "alias", "pip", "pip3", "apt", "apt-get", "brew", "git", "curl", "wget"};
	uint32_t i = 0;

	while (i < count && is_assignment(&words[i]))
		i++;
	for (size_t k = 0; i < count && k < ARRAY_LEN(speakers); k++)
		if (!strcmp(words[i].text, speakers[k]))
			return true;
	return false;
}

static int read_command(struct form_set *f, const struct form_word *words, uint32_t count, void *ctx)
{
	struct finding_engines *x = ctx;

	if (only_speaks(words, count))
		return 0;
	struct form_service s = x->around ? *x->around : (struct form_service){.name = "", .replicas = 1};
	int r = form_command_read(f, &s, words, count, GRAPH_ENGINE_NONE, &x->program, &x->foreign);

	if (r != FORM_COMMAND_ENGINE)
		return r < 0 ? r : 0;
	for (const struct form_env *e = x->own; e != x->given && r >= 0; e = e->next) {
		const char *value = e->exported ? form_expand(&f->arena, e->value, strlen(e->value), x->own) : "";
		if (e->exported)
			r = value ? form_arg_add(f, &s.envs, e->name, value, &s.pos) : -ENOMEM;
	}
	x->found++;
	return r < 0 ? r : form_add(f, &s);
}

/* "bash -c 'vllm serve m'", "eval \"$CMD\"": where the commands in one word begin; count: nowhere. */
static uint32_t inner_at(const struct form_word *words, uint32_t count)
{
	static const char *const shells[] = {"bash", "sh", "zsh", "dash", "ash"};

	for (uint32_t i = 0; i + 1 < count; i++) {
		const char *slash = strrchr(words[i].text, '/'), *name = slash ? slash + 1 : words[i].text,
			   *flag = words[i + 1].text;
		if (!strcmp(name, "eval") && words[i + 1].quoted)
			return i + 1;
		for (size_t k = 0; k < ARRAY_LEN(shells) && i + 2 < count; k++)
			if (!strcmp(name, shells[k]) && *flag == '-' && flag[1] != '-' && strchr(flag, 'c'))
				return i + 2;
	}
	return count;
}

/* What stands before a shell (docker run ... IMAGE) holds for each of its commands. */
struct inner {
	struct finding_engines *x;
	const struct form_word *before;
	uint32_t before_count, depth;
};
static int on_words(struct form_set *f, const struct form_word *words, uint32_t count, void *ctx);
static int on_inner(struct form_set *f, const struct form_word *words, uint32_t count, void *ctx)
{
	struct inner *in = ctx;
	struct form_words all = {0};
	int code = 0;

	for (uint32_t i = 0; i < in->before_count && code == 0; i++)
		code = form_push(&f->arena, &all, in->before[i]);
	for (uint32_t i = 0; i < count && code == 0; i++)
		code = form_push(&f->arena, &all, words[i]);
	if (code < 0 || only_speaks(words, count))
		return code;
	in->x->depth = in->depth;
	return on_words(f, all.v, all.len, in->x);
}

static int on_words(struct form_set *f, const struct form_word *words, uint32_t count, void *ctx)
{
	struct finding_engines *x = ctx;
	struct form_words cut = {0};
	uint32_t at = x->depth < DEPTH_MAX && !only_speaks(words, count) ? inner_at(words, count) : count;

	if (at == count)
		return read_command(f, words, count, x);
	struct config_pos pos = words[at].pos;
	pos.column += words[at].quoted;
	int code = form_words_cut(&cut, &f->arena, pos.file, words[at].text, strlen(words[at].text), &pos, x->own);
	struct inner in = {x, words, at, x->depth + 1};
	for (uint32_t i = 0; i < cut.len; i++)
		cut.v[i].pos.option = words[at].pos.option;
	in.before_count = at >= 2 && strcmp(words[at - 1].text, "eval") != 0 ? at - 2 : at - 1;
	if (code == 0)
		code = each_command(f, &cut, on_inner, &in);
	x->depth = in.depth - 1;
	return code;
}

int form_script_read(struct form_set *f, const char *file, const char *text, size_t len, const struct config_pos *start,
	const struct form_env *env, const struct form_service *around, struct err *err)
{
	struct finding_engines x = {.around = around};
	struct form_words words = {0};
	const struct form_env *own = env;

	/* Twice: what is assigned anywhere is known everywhere, as its last value; a script assigns before it uses. */
	int code = form_words_cut(&words, &f->arena, file, text, len, start, env);
	if (code == 0)
		code = each_command(f, &words, on_assignment, &own);
	words = (struct form_words){0};
	if (code == 0)
		code = form_words_cut(&words, &f->arena, file, text, len, start, own);
	x.own = own;
	x.given = env;
	if (code == 0)
		code = each_command(f, &words, on_words, &x);
	if (code < 0)
		return err_set(err, code, "out of memory");
	if (x.foreign && !x.found)
		return err_set(err, -ENOTSUP,
			"\"%s\" starts %s, which is not planned here; vLLM, SGLang and llama.cpp are", file, x.foreign);
	if (x.found > 1 && !f->form)
		f->form = arena_printf(&f->arena, "a script that starts %u engines", x.found);
	else if (x.found && !f->form)
		f->form = arena_printf(&f->arena, "a command line of %s", x.program);
	return x.found > 0;
}
