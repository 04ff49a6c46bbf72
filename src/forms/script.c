/* script.c - text that is commands: one line pasted from a README, a shell script, what stands behind "sh -c", and what a script writes down
 * for others to run. */
#include "forms/shell.h"

#include <ctype.h>
#include <string.h>

enum { DEPTH_MAX = 4 }; /* of shells in shells */

struct finding_engines {
	const struct form_service *around;
	const char *file, *program, *foreign;
	uint32_t found, depth;
	bool several;
};

static const char *base_of(const char *word)
{
	const char *slash = strrchr(word, '/');
	return slash ? slash + 1 : word;
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
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

/* "echo vllm serve m", "pip install vllm", "pkill -f vllm": a program that speaks of the engine or fetches it. */
static bool only_speaks(const struct form_word *words, uint32_t count)
{
	static const char *const speakers[] = {"echo", "printf", "cat", "grep", "egrep", "pgrep", "pkill", "killall",
		"which", "type", "man", "alias", "pip", "pip3", "apt", "apt-get", "brew", "git", "curl", "wget", "tee",
		"log", "info", "warn", "error", "die", "awk", "sed", "ps", "chmod", "ls", "cp", "mv", "rm", "mkdir",
		"cd", "trap", "logger", NULL};
	uint32_t i = 0;

	while (i < count && form_assigned_len(words[i].text))
		i++;
	return i < count && is_one_of(words[i].text, speakers);
}

/* "podman run IMAGE ls -l /usr/bin/llama-server": the program is what another looks at. */
static bool is_looked_at(const struct form_word *words, uint32_t count)
{
	static const char *const lookers[] = {"ls", "which", "file", "stat", "ldd", "rm", "cp", "mv", "chmod", "chown",
		"test", "grep", "pgrep", "pkill", "killall", "install", "echo", "cat", "strings", "ln", "du", "find",
		"dpkg", "rpm", NULL};

	for (uint32_t i = 0; i + 1 < count && !form_has_program(words + i, 1); i++)
		if (!words[i].quoted && is_one_of(base_of(words[i].text), lookers) &&
			(!i || words[i - 1].text[0] != '-'))
			return true;
	return false;
}

static int add_exported(struct form_set *f, struct form_service *s, const struct form_run *run)
{
	int code = 0;

	for (const struct form_env *e = run->env; e != run->given && code == 0; e = e->next) {
		if (!e->exported || !e->value || form_env_find(run->env, e->name, strlen(e->name)) != e)
			continue;
		const char *value = form_expand(&f->arena, e->value, strlen(e->value), run->env);
		code = value ? form_arg_add(f, &s->envs, e->name, value, &s->pos) : -ENOMEM;
	}
	return code;
}

/* A line of flags behind an engine's command whose last line did not go on: a shell takes it for a command. */
static int check_lost(struct form_set *f, const struct form_word *w, const struct finding_engines *x)
{
	if (w->quoted || strncmp(w->text, "--", 2) || !isalpha((unsigned char)w->text[2]) || !f->services.len ||
		x->several)
		return 0;
	return form_remark(f, FORM_WARNING, "flag-lost", &w->pos,
		arena_printf(&f->arena,
			"%.64s begins a command of its own, which the engine does not get: the line before it does not go on",
			w->text),
		"end that line with a backslash, with nothing behind it and no comment between");
}

static int read_command(struct form_set *f, const struct form_word *words, uint32_t count, const struct form_run *run,
	struct finding_engines *x)
{
	struct form_service s = x->around ? *x->around : (struct form_service){.name = "", .replicas = 1};

	if (only_speaks(words, count) || is_looked_at(words, count))
		return 0;
	int r = form_command_read(f, &s, words, count, GRAPH_ENGINE_NONE, &x->program, &x->foreign);
	if (r != FORM_COMMAND_ENGINE)
		return MIN(r, 0);
	x->found++;
	return add_exported(f, &s, run) < 0 ? -ENOMEM : form_add(f, &s);
}

/* ---- commands in commands ---- */

/* What runs a line that is given as one word: "ssh host 'vllm serve m'". */
static bool carries_line(const struct form_word *words, uint32_t count)
{
	static const char *const carriers[] = {"ssh", "tmux", "screen", "su", "runuser", "pdsh", "pssh", "parallel-ssh",
		"clush", "srun", "mpirun", "docker", "podman", "nerdctl", "kubectl", "oc", "sbatch", "gcloud", "nohup",
		"setsid", "watch", "parallel", "wsl", "wsl.exe", "script", "flock", "sg", "enroot", "singularity",
		"apptainer", "heredoc", NULL};

	for (uint32_t i = 0; i < count && i < 6; i++)
		if (is_one_of(base_of(words[i].text), carriers))
			return true;
	return false;
}

/* Does a program of an engine begin a command in this line? */
static bool names_program(const char *line)
{
	for (const char *p = line; *p;) {
		size_t n = strcspn(p, " \t\n;&|/'\"");
		if (form_names_program(p, n) || (n > 4 && !strncmp(p, "vllm.entrypoints", MIN(n, (size_t)16))) ||
			(n > 6 && !strncmp(p, "sglang.launch_server", n)))
			return true;
		p += n + (p[n] != '\0');
	}
	return false;
}

/* "bash -c 'vllm serve m'", "eval \"$CMD\"", "sbatch --wrap='...'": which word is a line of commands; count: none. *ret_text is where it
 * begins. */
static uint32_t inner_at(const struct form_word *words, uint32_t count, const char **ret_text)
{
	static const char *const shells[] = {"bash", "sh", "zsh", "dash", "ash", NULL};
	bool carried = carries_line(words, count);

	for (uint32_t i = 0; i + 1 < count; i++) {
		const char *name = base_of(words[i].text), *flag = words[i + 1].text;
		*ret_text = flag;
		if (!strcmp(name, "eval") && words[i + 1].quoted)
			return i + 1;
		if (i + 2 < count && is_one_of(name, shells) && *flag == '-' && flag[1] != '-' && strchr(flag, 'c')) {
			*ret_text = words[i + 2].text;
			return i + 2;
		}
		/* "docker run --entrypoint bash IMAGE -c '...'": the shell stands elsewhere. */
		bool given = i + 2 < count && flag[0] == '-' && !strcmp(flag + 1, "c") && carried &&
			     strchr(words[i + 2].text, ' ');
		if (given) {
			*ret_text = words[i + 2].text;
			return i + 2;
		}
		const char *wrap = !strncmp(flag, "--wrap=", 7)       ? flag + 7
				   : !strncmp(flag, "--command=", 10) ? flag + 10
								      : flag;
		if (carried && words[i + 1].quoted && strpbrk(wrap, " \n") && *wrap != '-' && *wrap != '{' &&
			names_program(wrap)) {
			*ret_text = wrap;
			return i + 1;
		}
	}
	return count;
}

static int follow(struct form_set *f, const char *text, size_t len, const struct config_pos *pos,
	const struct form_env *env, const struct form_shell_ops *ops, void *ctx)
{
	return form_shell_run(f, pos->file, text, len, pos, env, ops, ctx);
}

/* What stands before a shell (docker run ... IMAGE) holds for each of its commands. */
struct inner {
	struct finding_engines *x;
	const struct form_word *before;
	uint32_t before_count;
	const char *option; /* of a command line's word: it has no place of its own */
};
static int on_command(
	struct form_set *f, const struct form_word *words, uint32_t count, const struct form_run *run, void *ctx);
static int on_document(struct form_set *f, const struct form_word *words, uint32_t count, const char *text, size_t len,
	uint32_t line, const struct form_run *run, void *ctx);

static int on_inner(
	struct form_set *f, const struct form_word *words, uint32_t count, const struct form_run *run, void *ctx)
{
	struct inner *in = ctx;
	struct form_words all = {0};
	int code = 0;

	const char *text;

	/* The shell runs instead of what the image starts: its other commands are no engine's. */
	if (only_speaks(words, count) || (!form_has_program(words, count) && inner_at(words, count, &text) == count)) {
		take_pinned(f, words, count);
		return 0;
	}
	for (uint32_t i = 0; i < in->before_count && code == 0; i++)
		code = form_push(&f->arena, &all, in->before[i]);
	for (uint32_t i = 0; i < count && code == 0; i++) {
		struct form_word w = words[i];
		w.pos.option = in->option ? in->option : w.pos.option;
		code = form_push(&f->arena, &all, w);
	}
	return code < 0 ? code : on_command(f, all.v, all.len, run, in->x);
}

static int on_inner_document(struct form_set *f, const struct form_word *words, uint32_t count, const char *text,
	size_t len, uint32_t line, const struct form_run *run, void *ctx)
{
	struct inner *in = ctx;

	return on_document(f, words, count, text, len, line, run, in->x);
}

static int on_command(
	struct form_set *f, const struct form_word *words, uint32_t count, const struct form_run *run, void *ctx)
{
	struct finding_engines *x = ctx;
	const char *text = "";

	take_pinned(f, words, count);
	if (check_lost(f, words, x) < 0)
		return -ENOMEM;
	uint32_t at = x->depth < DEPTH_MAX && !only_speaks(words, count) ? inner_at(words, count, &text) : count;
	if (at == count)
		return read_command(f, words, count, run, x);
	const struct form_shell_ops ops = {.command = on_inner, .document = on_inner_document, .goes_on = x->several};
	struct inner in = {.x = x, .before = words, .option = words[at].pos.option};
	struct config_pos pos = words[at].pos;
	pos.column += words[at].quoted;
	bool shell = at >= 2 && words[at - 1].text[0] == '-' && strcmp(words[at - 1].text, "eval") != 0;
	in.before_count = shell ? at - 2 : at > 0 ? at - 1 : 0;
	if (at >= 2 && !strcmp(words[at - 1].text, "-c") && carries_line(words, count))
		in.before_count = at - 1; /* the word before is the image */
	const struct form_env *env = run->env;
	int code = form_args_env(f, words + at + 1, count - at - 1, &env);
	x->depth++;
	if (code == 0)
		code = follow(f, text, strlen(text), &pos, env, &ops, &in);
	x->depth--;
	return code;
}

int form_words_follow(
	struct form_set *f, const struct form_script *script, const struct form_word *words, uint32_t count)
{
	struct finding_engines x = {.around = script->around, .file = script->file, .several = script->several};
	const struct form_run run = {.env = script->env, .given = script->env, .live = FORM_YES};
	uint32_t before = f->services.len;
	int code = on_command(f, words, count, &run, &x);

	if (x.foreign && script->foreign)
		*script->foreign = x.foreign;
	return code < 0 ? code : f->services.len > before;
}

bool form_has_line(const struct form_word *words, uint32_t count)
{
	const char *text;

	return inner_at(words, count, &text) < count;
}

/* ---- here-documents ---- */

/* "> file", ">file", "tee file"; NULL: none. */
static const char *written_to(const struct form_word *words, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const char *t = words[i].text;
		if (!words[i].quoted && *t == '>' && t[strspn(t, ">|")])
			return t + strspn(t, ">|");
		if (!words[i].quoted && *t == '>' && i + 1 < count)
			return words[i + 1].text;
		if (!strcmp(base_of(t), "tee"))
			for (uint32_t k = i + 1; k < count; k++)
				if (words[k].text[0] != '-')
					return words[k].text;
	}
	return NULL;
}

static bool has_word(const struct form_word *words, uint32_t count, const char *const *wanted)
{
	for (uint32_t i = 0; i < count; i++)
		if (is_one_of(base_of(words[i].text), wanted))
			return true;
	return false;
}

static bool ends_with(const char *s, const char *tail)
{
	size_t a = strlen(s), b = strlen(tail);
	return a >= b && !strcmp(s + a - b, tail);
}

/* A shell's commands that are written down or handed on, on the same lines. */
static int document_commands(struct form_set *f, const char *text, size_t len, uint32_t line,
	const struct form_run *run, struct finding_engines *x)
{
	const struct config_pos pos = {.file = x->file, .line = line, .column = 1};
	const struct form_shell_ops ops = {.command = on_command, .document = on_document, .goes_on = x->several};

	if (x->depth >= DEPTH_MAX)
		return 0;
	x->depth++;
	int code = follow(f, text, len, &pos, run->env, &ops, x);
	x->depth--;
	return code;
}

static int on_document(struct form_set *f, const struct form_word *words, uint32_t count, const char *text, size_t len,
	uint32_t line, const struct form_run *run, void *ctx)
{
	static const char *const shells[] = {"bash", "sh", "zsh", "ssh", "sbatch", "srun", "su", "qsub", "bsub", NULL},
				 *const cluster[] = {"kubectl", "oc", "k3s", "microk8s", NULL},
				 *const pythons[] = {"python", "python3", NULL}, *const speaks[] = {"cat", "tee", NULL};
	struct finding_engines *x = ctx;
	const char *to = written_to(words, count);
	uint32_t before = f->services.len;
	int code = 0;

	if (to && (code = form_file_add(f, to, text, len)) < 0)
		return code;
	if (to && (ends_with(to, ".md") || ends_with(to, ".txt") || ends_with(to, ".json")))
		return 0;
	if (has_word(words, count, pythons) || (to && ends_with(to, ".py")))
		return form_python_part(f, x->file, text, len, line, x->around);
	bool shell = has_word(words, count, shells) && !to;
	if (shell)
		return document_commands(f, text, len, line, run, x);
	if (!to && !has_word(words, count, cluster))
		return 0; /* a message */
	if (!has_word(words, count, speaks) && !has_word(words, count, cluster))
		return 0;
	if ((code = form_part_read(f, x->file, text, len, line, &x->foreign)) != 0) {
		x->found += f->services.len - before;
		return MIN(code, 0);
	}
	return names_program(text) ? document_commands(f, text, len, line, run, x) : 0;
}

/* ---- the whole text ---- */

/* A job's own words of what it gets: they are variables of its commands. */
static int add_job(struct form_set *f, const char *text, size_t len, const struct form_env **env)
{
	static const struct {
		const char *option, *names[3];
	} options[] = {{"nodes", {"SLURM_NNODES", "SLURM_JOB_NUM_NODES", NULL}},
		{"N", {"SLURM_NNODES", "SLURM_JOB_NUM_NODES", NULL}},
		{"gpus-per-node", {"SLURM_GPUS_PER_NODE", "SLURM_GPUS_ON_NODE", NULL}},
		{"gres", {"SLURM_GPUS_PER_NODE", "SLURM_GPUS_ON_NODE", NULL}},
		{"cpus-per-task", {"SLURM_CPUS_PER_TASK", NULL, NULL}}};
	const char *end = text + len;

	for (const char *p = text; (p = memmem(p, (size_t)(end - p), "#SBATCH", 7));) {
		p += 7;
		while (p < end && strchr(" \t-", *p))
			p++;
		size_t n = 0;
		while (p + n < end && (isalnum((unsigned char)p[n]) || p[n] == '-'))
			n++;
		const char *value = p + n;
		while (value < end && strchr("= \t", *value))
			value++;
		const char *stop = value;
		while (stop < end && !isspace((unsigned char)*stop) && *stop != '#')
			stop++;
		const char *colon = memrchr(value, ':', (size_t)(stop - value)); /* "gpu:a100:4" */
		value = colon ? colon + 1 : value;
		for (size_t i = 0; i < ARRAY_LEN(options); i++)
			for (size_t k = 0; strlen(options[i].option) == n && !memcmp(options[i].option, p, n) &&
					   options[i].names[k];
				k++) {
				struct form_env *e = arena_alloc(&f->arena, sizeof *e);
				const char *number = arena_strndup(&f->arena, value, (size_t)(stop - value));
				if (!e || !number)
					return -ENOMEM;
				if (!*number || strspn(number, "0123456789") != strlen(number))
					continue;
				*e = (struct form_env){.name = options[i].names[k], .value = number, .next = *env};
				*env = e;
			}
	}
	return 0;
}

int form_script_read(
	struct form_set *f, const struct form_script *script, const char *text, size_t len, struct err *err)
{
	const struct form_shell_ops ops = {.command = on_command, .document = on_document, .goes_on = script->several};
	struct finding_engines x = {.around = script->around, .file = script->file, .several = script->several};
	const struct form_env *env = script->env;
	uint32_t before = f->services.len;
	int code = add_job(f, text, len, &env);

	if (code == 0)
		code = form_shell_run(f, script->file, text, len, script->start, env, &ops, &x);
	if (code < 0)
		return err_set(err, code, "out of memory");
	if (x.foreign && script->foreign)
		*script->foreign = x.foreign;
	if (x.foreign && f->services.len == before)
		return err_set(err, -ENOTSUP,
			"\"%s\" starts %s, which is not planned here; vLLM, SGLang and llama.cpp are", script->file,
			x.foreign);
	uint32_t found = f->services.len - before;
	if (found > 1 && !f->form)
		f->form = arena_printf(&f->arena, "a script that starts %u engines", found);
	else if (found && !f->form)
		f->form = arena_printf(&f->arena, "a command line of %s", x.program);
	return found > 0;
}
