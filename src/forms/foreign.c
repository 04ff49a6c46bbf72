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

/* NAME=value and nothing else. */
static bool is_variable(struct line l)
{
	size_t n = 0;

	while (n < l.len && (isupper((unsigned char)l.at[n]) || isdigit((unsigned char)l.at[n]) || l.at[n] == '_'))
		n++;
	return n && n < l.len && l.at[n] == '=' && !isdigit((unsigned char)*l.at);
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
	static const char *const words[] = {"import", "from", "def", "class", "async", "with", "return", "raise",
		"yield", "assert", "elif", "except", "try:", "pass", NULL};

	return is_one_of(l, words) || begins(l, "if __name__") || begins(l, "\"\"\"") || begins(l, "self.") ||
	       *l.at == '@' || begins(l, "async def");
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

/* Its first line that says something: "import x", "from x import y". */
static bool begins_with_import(const char *text, size_t len)
{
	const char *at = text, *end = text + len;

	while (at < end) {
		struct line l = next(&at, end);
		if (l.len && *l.at != '#')
			return begins(l, "import ") || (begins(l, "from ") && memmem(l.at, l.len, " import", 7));
	}
	return false;
}

bool form_is_python(const char *file, const char *text, size_t len)
{
	size_t n = strlen(file);

	if ((n > 3 && !strcmp(file + n - 3, ".py")) || begins_with_import(text, len))
		return true;
	const char *what = memmem(text, len, "\n```", 4) ? NULL : form_foreign_text(text, len);
	return what && !strcmp(what, "a program in Python");
}

const char *form_foreign_text(const char *text, size_t len)
{
	static const char *const writers[] = {"cat", "tee", "sudo", "kubectl", "bash", "ssh", NULL};
	const char *at = text, *end = text + len;
	uint32_t shell = 0, python = 0, yaml = 0, all = 0, variables = 0;

	if (len > 2 && !memcmp(text, "#!", 2)) {
		struct line l = next(&at, end);
		return memmem(l.at, l.len, "python", 6) ? "a program in Python" : "a script";
	}
	if (form_is_unit(text, len))
		return "a unit of systemd";
	while (at < end) {
		struct line l = next(&at, end);
		if (begins(l, "#SBATCH") || begins(l, "#PBS"))
			return "a script";
		if (is_one_of(l, writers) && memmem(l.at, l.len, "<<", 2))
			return "a script";
		if (!all && begins(l, "job \"") && l.at[l.len - 1] == '{')
			return "a job of Nomad";
		if (begins(l, "resource \"") && l.at[l.len - 1] == '{')
			return "a configuration of Terraform";
		if (begins(l, "instance_group") && memmem(text, len, "KIND_", 5))
			return "a model configuration of Triton Inference Server";
		if (begins(l, "#include"))
			return "a program in C";
		if (!l.len || *l.at == '#')
			continue;
		all++;
		yaml += is_yamls(l);
		python += is_pythons(l);
		shell += is_shells(l);
		variables += is_variable(l);
	}
	if (all && variables == all)
		return "a file of variables (.env)";
	if (python && python >= yaml && python * 2 > shell && python * 8 >= all)
		return "a program in Python";
	return shell && shell > yaml && shell * 3 >= all ? "a script" : NULL;
}

static const struct yaml_node *map_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = map && map->type == YAML_MAP ? yaml_find(map, key) : NULL;
	return n && n->type == YAML_MAP ? n : NULL;
}

static const char *text_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = map && map->type == YAML_MAP ? yaml_find(map, key) : NULL;
	return n && n->type == YAML_SCALAR ? n->text : NULL;
}

/* Does a member of this map have such a key? */
static bool members_have(const struct yaml_node *map, const char *key)
{
	for (const struct yaml_node *n = map ? map->first : NULL; n; n = n->next)
		if (n->type == YAML_MAP && yaml_find(n, key))
			return true;
	return false;
}

static bool is_ray_llm(const struct yaml_node *root)
{
	static const char *const keys[] = {"engine_kwargs", "llm_engine", "llm_configs", "model_loading_config",
		"deployment_config", "serve_config"};
	const struct yaml_node *apps = yaml_find(root, "applications");
	uint32_t found = 0;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		found += yaml_find(root, keys[i]) != NULL;
	if (found >= 2 || yaml_find(root, "engine_kwargs") || yaml_find(root, "llm_configs"))
		return true;
	for (const struct yaml_node *n = apps && apps->type == YAML_SEQ ? apps->first : NULL; n; n = n->next)
		if (n->type == YAML_MAP && yaml_find(n, "import_path"))
			return true;
	return false;
}

static bool has_all(const struct yaml_node *root, const char *const *keys)
{
	for (; *keys; keys++)
		if (!yaml_find(root, *keys))
			return false;
	return true;
}

const char *form_foreign_tree(const struct yaml_node *root)
{
	static const struct {
		const char *keys[4], *name;
	} trees[] = {{{"backend", "context_size", NULL}, "LocalAI"}, {{"backend", "parameters", NULL}, "LocalAI"},
		{{"config_file", "name", NULL}, "LocalAI"}, {{"model_list", NULL}, "LiteLLM (a proxy before engines)"},
		{{"jobs", "on", NULL}, "GitHub Actions"}, {{"stages", "image", NULL}, "GitLab CI"},
		{{"max_batch_size", "instance_group", NULL}, "Triton Inference Server"},
		{{"backend", "instance_group", NULL}, "Triton Inference Server"},
		{{"model", "network", "logging", NULL}, "TabbyAPI"},
		{{"model", "network", "sampling", NULL}, "TabbyAPI"}, {{"kv_cache_config", NULL}, "TensorRT-LLM"},
		{{"build_config", NULL}, "TensorRT-LLM"}, {{"cuda_graph_config", NULL}, "TensorRT-LLM"},
		{{"service", "include", "python", NULL}, "BentoML"}, {{"service", "docker", "python", NULL}, "BentoML"},
		{{"$schema", "endpoint_name", NULL}, "Azure Machine Learning"},
		{{"base_model", "datasets", NULL}, "Axolotl (it trains)"}, {{"scenario", NULL}, "llm-d-benchmark"},
		{{"cells", "nbformat", NULL}, "Jupyter (a notebook)"},
		{{"model_id", "model_source", NULL}, "Ray Serve LLM"}};
	const struct yaml_node *models = map_in(root, "models"), *image = map_in(root, "image"),
			       *model = map_in(root, "model");
	const char *repository = text_in(image, "repository");

	const struct yaml_node *resources = map_in(root, "resources");
	if (is_ray_llm(root))
		return "Ray Serve LLM";
	if (resources && yaml_find(resources, "gpus_per_node") && yaml_find(root, "backend"))
		return "srt-slurm";
	if (yaml_find(root, "model") && yaml_find(root, "meta") && yaml_find(root, "variants"))
		return "vLLM's recipes";
	if (models && members_have(models, "cmd"))
		return "llama-swap (which starts one model at a time)";
	if ((repository && strstr(repository, "/nim/")) ||
		(model && (yaml_find(model, "ngcAPISecret") || yaml_find(model, "ngcAPIKey"))))
		return "NVIDIA NIM";
	for (size_t i = 0; i < ARRAY_LEN(trees); i++)
		if (has_all(root, trees[i].keys))
			return trees[i].name;
	return NULL;
}

const char *form_foreign_object(const struct yaml_node *root)
{
	static const struct {
		const char *group, *kind, *name; /* kind NULL: any of the group */
	} objects[] = {{"kaito.sh/", NULL, "KAITO"}, {"apps.nvidia.com/", NULL, "NVIDIA's NIM operator"},
		{"inference.llmaz.io/", "Playground", "llmaz"}, {"llmaz.io/", "OpenModel", "llmaz"},
		{"model.aibrix.ai/", NULL, "AIBrix"}, {"autoscaling.aibrix.ai/", NULL, "AIBrix"},
		{"kubeai.org/", NULL, "KubeAI"}, {"serving.yatai.ai/", NULL, "BentoML"},
		{"resources.yatai.ai/", NULL, "BentoML"}, {"machinelearning.seldon.io/", NULL, "Seldon"},
		{"mlops.seldon.io/", NULL, "Seldon"}, {"ollama.ayaka.io/", NULL, "the Ollama operator"},
		{"core.premlabs.io/", NULL, "Prem"}, {"llamastack.io/", NULL, "Llama Stack"}, {"ome.io/", NULL, "OME"},
		{"production-stack.vllm.ai/", NULL, "vLLM's production stack"}};
	const char *kind = text_in(root, "kind"), *version = text_in(root, "apiVersion");

	for (size_t i = 0; kind && version && i < ARRAY_LEN(objects); i++)
		if (!strncmp(version, objects[i].group, strlen(objects[i].group)) &&
			(!objects[i].kind || !strcmp(objects[i].kind, kind)))
			return objects[i].name;
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
