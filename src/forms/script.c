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
	uint32_t found;
};

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

static int on_command(struct form_set *f, const struct form_word *words, uint32_t count, void *ctx)
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
		code = each_command(f, &words, on_command, &x);
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
