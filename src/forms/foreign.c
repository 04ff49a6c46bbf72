/* foreign.c - what is none of the forms: scripts and programs that start nothing, other tools' configurations. By structure, so that they
 * are told what they are and not what YAML would say of them. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct line {
	const char *at;
	size_t len; /* without blanks around */
};

static struct line next(const char **text, const char *end)
{
	const char *stop = memchr(*text, '\n', (size_t)(end - *text));
	struct line ret = {*text, (size_t)((stop ? stop : end) - *text)};

	*text = stop ? stop + 1 : end;
	while (ret.len && isspace((unsigned char)*ret.at))
		ret.at++, ret.len--;
	while (ret.len && isspace((unsigned char)ret.at[ret.len - 1]))
		ret.len--;
	return ret;
}

static bool begins(struct line l, const char *word)
{
	size_t n = strlen(word);
	return l.len >= n && !memcmp(l.at, word, n);
}

/* Is the line's first word one of these? */
static bool is_one_of(struct line l, const char *const *words)
{
	for (; *words; words++) {
		size_t n = strlen(*words);
		if (begins(l, *words) && (l.len == n || strchr(" \t;(", l.at[n])))
			return true;
	}
	return false;
}

/* NAME=value, "name() {" */
static bool is_assigned_or_defined(struct line l)
{
	size_t n = 0;

	if (begins(l, "export "))
		return true;
	while (n < l.len && (isalnum((unsigned char)l.at[n]) || l.at[n] == '_'))
		n++;
	return n && n < l.len && !isdigit((unsigned char)*l.at) &&
	       (l.at[n] == '=' || (l.len > n + 2 && !memcmp(l.at + n, "()", 2)));
}

/* What only a shell reads. */
static bool is_shells(struct line l)
{
	static const char *const words[] = {"export", "source", "function", "eval", "exec", "sudo", "cd", "echo", "set",
		"if", "fi", "then", "for", "while", "do", "done", "case", "esac", "docker", "podman", "srun", "module",
		"conda", "pip", "python", "python3", "ray", "mkdir", "sleep", "kubectl", "helm", "nohup", "bash", "sh",
		"curl", "wget", "git", "read", "local", "trap", "wait", "apptainer", "singularity", "torchrun",
		"accelerate", "mpirun", "deepspeed", NULL};

	if (!l.len || *l.at == '#')
		return false;
	return is_one_of(l, words) || is_assigned_or_defined(l) || l.at[l.len - 1] == '\\' || begins(l, "--") ||
	       *l.at == '$' || *l.at == '}' || begins(l, "./");
}

static bool is_pythons(struct line l)
{
	static const char *const words[] = {"import", "from", "def", "class", "async", "with", "return", NULL};

	return is_one_of(l, words) || (begins(l, "if __name__"));
}

/* "key: value", "key:", "- item" */
static bool is_yamls(struct line l)
{
	size_t n = 0;

	if (begins(l, "- "))
		return true;
	while (n < l.len && (isalnum((unsigned char)l.at[n]) || strchr("_-./\"'", l.at[n])))
		n++;
	return n && n < l.len && l.at[n] == ':' && (n + 1 == l.len || isspace((unsigned char)l.at[n + 1]));
}

const char *form_foreign_text(const char *text, size_t len)
{
	const char *at = text, *end = text + len;
	uint32_t shell = 0, python = 0, yaml = 0, all = 0;

	if (len > 2 && !memcmp(text, "#!", 2)) {
		struct line l = next(&at, end);
		return memmem(l.at, l.len, "python", 6) ? "a program in Python" : "a script";
	}
	while (at < end) {
		struct line l = next(&at, end);
		if (begins(l, "#SBATCH") || begins(l, "#PBS"))
			return "a script";
		if (begins(l, "#include"))
			return "a program in C";
		if (!l.len || *l.at == '#')
			continue;
		all++;
		yaml += is_yamls(l);
		python += is_pythons(l);
		shell += is_shells(l);
	}
	if (python && python >= yaml && python * 2 > shell && python * 8 >= all)
		return "a program in Python";
	return shell && shell > yaml && shell * 3 >= all ? "a script" : NULL;
}

const char *form_foreign_tree(const struct yaml_node *root)
{
	static const char *const keys[] = {"engine_kwargs", "llm_engine", "llm_configs", "model_loading_config",
		"deployment_config", "serve_config"};
	const struct yaml_node *apps = yaml_find(root, "applications");
	uint32_t found = 0;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		found += yaml_find(root, keys[i]) != NULL;
	if (found >= 2 || yaml_find(root, "engine_kwargs") || yaml_find(root, "llm_configs"))
		return "Ray Serve LLM";
	for (const struct yaml_node *n = apps && apps->type == YAML_SEQ ? apps->first : NULL; n; n = n->next)
		if (n->type == YAML_MAP && yaml_find(n, "import_path"))
			return "Ray Serve LLM";
	return NULL;
}

bool form_is_dockerfile(const char *text, size_t len)
{
	static const char *const words[] = {"RUN", "COPY", "ADD", "CMD", "ENTRYPOINT", "ENV", "ARG", "EXPOSE",
		"WORKDIR", "USER", "VOLUME", "LABEL", "HEALTHCHECK", "SHELL", "STOPSIGNAL", "ONBUILD"};
	static const char *const ollama[] = {"PARAMETER", "TEMPLATE", "SYSTEM", "ADAPTER", "MESSAGE", "LICENSE"};
	const char *at = text, *end = text + len;

	while (at < end) {
		struct line l = next(&at, end);
		for (size_t i = 0; i < ARRAY_LEN(ollama); i++)
			if (l.len > strlen(ollama[i]) && !strncasecmp(l.at, ollama[i], strlen(ollama[i])) &&
				isspace((unsigned char)l.at[strlen(ollama[i])]))
				return false;
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (l.len > strlen(words[i]) && !strncasecmp(l.at, words[i], strlen(words[i])) &&
				isspace((unsigned char)l.at[strlen(words[i])]))
				return true;
	}
	return false;
}
