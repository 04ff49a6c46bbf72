/* form.c - which form a text is. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum { DOCUMENTS_MAX = 256 };

void form_set_init(struct form_set *f)
{
	*f = (struct form_set){0};
	arena_init(&f->arena, YAML_ARENA_BYTES_MAX);
}

void form_set_done(struct form_set *f)
{
	arena_done(&f->arena);
	*f = (struct form_set){0};
}

int form_add(struct form_set *f, struct form_service *s)
{
	return form_push(&f->arena, &f->services, *s);
}

int form_arg_add(
	struct form_set *f, struct form_args *args, const char *name, const char *value, const struct config_pos *pos)
{
	const struct form_arg a = {name, value, *pos};
	return form_push(&f->arena, args, a);
}

const struct form_arg *form_arg_find(const struct form_args *args, const char *name)
{
	const struct form_arg *ret = NULL;

	for (uint32_t i = 0; i < args->len; i++)
		if (!strcmp(args->v[i].name, name))
			ret = &args->v[i];
	return ret;
}

/* ---- files that are named ---- */

int form_file_add(struct form_set *f, const char *name, const char *text, size_t len)
{
	struct form_file file = {.name = arena_strdup(&f->arena, name),
		.text = arena_strndup(&f->arena, text, len),
		.len = len,
		.written = true};

	return file.name && file.text ? form_push(&f->arena, &f->files, file) : -ENOMEM;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

const struct form_file *form_file_find(struct form_set *f, const char *name)
{
	struct buf text;

	for (uint32_t i = f->files.len; i > 0; i--)
		if (!strcmp(base_of(f->files.v[i - 1].name), base_of(name)))
			return &f->files.v[i - 1];
	/* Only what lies beside it, or below: a file says nothing of the rest of a machine. */
	if (!f->beside || *name == '/' || *name == '~' || strstr(name, "..") || strchr(name, '$'))
		return NULL;
	buf_init(&text, YAML_BYTES_MAX);
	int code = f->beside(f->beside_ctx, name, &text);
	if (code == 0 && !memchr(buf_str(&text), '\0', text.len))
		code = form_file_add(f, name, buf_str(&text), text.len);
	else
		code = -ENOENT;
	buf_done(&text);
	if (code == 0)
		f->files.v[f->files.len - 1].written = false;
	return code == 0 ? &f->files.v[f->files.len - 1] : NULL;
}

/* ---- which form ---- */

static int nothing_to_plan(const struct form_set *f, const char *file, const char *foreign, struct err *err)
{
	static const char *const deciders[] = {"KAITO", "NVIDIA's NIM operator", "llmaz", "AIBrix", "KubeAI", "BentoML",
		"Seldon", "the Ollama operator", "Prem", "Llama Stack", "OME", "vLLM's production stack"};

	if (!foreign && strstr(f->form, "KubeAI"))
		return err_set(err, -EINVAL, "\"%s\" is %s, and none of its models is enabled", file, f->form);
	for (size_t i = 0; foreign && i < ARRAY_LEN(deciders); i++)
		if (!strcmp(foreign, deciders[i])) {
			err_set(err, -ENOTSUP,
				"\"%s\" is %s of %s, which decides itself how its engine is started: that is not planned here",
				file, f->form, foreign);
			return err_hint(err,
				"the engine's own command line can be planned: stator plan -- vllm serve MODEL ...");
		}
	if (foreign)
		return err_set(err, -ENOTSUP,
			"\"%s\" is %s that starts %s, which is not planned here; vLLM, SGLang and llama.cpp are", file,
			f->form, foreign);
	return err_set(err, -EINVAL,
		"\"%s\" is %s, and no container or command in it starts an engine that is planned here (vLLM, SGLang, "
		"llama.cpp)",
		file, f->form);
}

/* A graph in an environment variable, as Dynamo's operator of 2025 passed it on. */
static const struct yaml_node *graph_variable(const struct yaml_node *n)
{
	const struct yaml_node *name = n->type == YAML_MAP ? yaml_find(n, "name") : NULL, *found = NULL;

	if (name && name->type == YAML_SCALAR && !strcmp(name->text, "DYN_DEPLOYMENT_CONFIG"))
		return yaml_find(n, "value");
	if (n->key && !strcmp(n->key, "DYN_DEPLOYMENT_CONFIG") && n->type == YAML_SCALAR)
		return n;
	for (const struct yaml_node *c = n->first; c && !found; c = c->next)
		found = graph_variable(c);
	return found;
}

static int read_graph_variable(struct form_set *f, const struct yaml_node *root, struct diags *diags, struct err *err)
{
	const struct yaml_node *n = graph_variable(root);

	if (!n || n->type != YAML_SCALAR)
		return 0;
	int code = yaml_parse(&f->root, &f->arena, n->pos.file, n->text, strlen(n->text), diags);
	if (code == -EINVAL)
		return err_set(err, code, "the graph in DYN_DEPLOYMENT_CONFIG at line %u cannot be read", n->pos.line);
	return code < 0 ? err_set(err, code, "out of memory") : 1;
}

/* Could it be meant as a graph of ours? A section, or what a section has, perhaps not where it belongs. */
static bool may_be_graph(const struct yaml_node *root)
{
	static const char *const sections[] = {
		"LlamaWorker", "VllmWorker", "SglangWorker", "Frontend", "PrefillWorker"};
	static const char *const ours[] = {
		"ServiceArgs", "engine", "common-configs", "workers", "remote-prefill", "model", "model-path"};

	/* A chart's values may have a "port", too. */
	const struct yaml_node *image = yaml_find(root, "image");
	if (yaml_find(root, "replicaCount") || (image && image->type == YAML_MAP))
		return false;
	for (const struct yaml_node *n = root->first; n; n = n->next) {
		size_t len = strlen(n->key);
		if (graph_section_known(n->key) || (len > 5 && !strcmp(n->key + len - 6, "Worker")) ||
			(len > 7 && !strcmp(n->key + len - 8, "Frontend")))
			return true;
		for (size_t i = 0; i < ARRAY_LEN(sections); i++)
			if (n->type != YAML_MAP && n->type != YAML_SEQ && config_key_find(sections[i], n->key))
				return true;
		for (size_t i = 0; i < ARRAY_LEN(ours) && n->type == YAML_MAP; i++)
			if (yaml_find(n, ours[i]) && yaml_find(n, ours[i])->type != YAML_SEQ)
				return true;
	}
	return root->count == 0 || (root->count == 1 && root->first->type != YAML_MAP); /* too little to tell */
}

/* Objects that stand beside a deployment: they do not name the file. */
static bool is_beside(const char *form)
{
	static const char *const kinds[] = {"Namespace", "Service ", "ConfigMap", "Secret", "PersistentVolume", "Role",
		"Ingress", "HorizontalPodAutoscaler", "HTTPRoute", "Gateway", "InferencePool", "PodMonitor",
		"StorageClass", "NetworkPolicy"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strncmp(form, "a Kubernetes ", 13) && strstr(form + 13, kinds[i]))
			return true;
	return false;
}

/* 1: a form, whose services are in f; 0: none. */
static int read_document(
	struct form_set *f, const struct yaml_node *root, const char **foreign, struct diags *diags, struct err *err)
{
	const char *kind = form_kind_of(f, root);
	int code;

	for (const struct yaml_node *n = root->first; n; n = n->next)
		if (n->key && !strncmp(n->key, "TensorRTLLM", 11))
			return err_set(err, -ENOTSUP,
				"\"%s\" is a graph of Dynamo for TensorRT-LLM (%s), which is not planned here; vLLM, "
				"SGLang and llama.cpp are",
				n->pos.file ? n->pos.file : "the graph", n->key);
	uint32_t before = f->services.len;
	if ((code = form_objects_read(f, root, foreign)) != 0) {
		if (code > 0 && (!f->form || before == 0))
			f->form = kind ? kind : "a configuration of Ray Serve LLM";
		return code < 0 ? err_set(err, code, "out of memory") : 1;
	}
	const char *other = kind ? NULL : form_foreign_tree(root);
	if (other)
		return err_set(err, -ENOTSUP,
			"\"%s\" is a configuration of %s, which is not planned here; the engine's own command line can be",
			root->pos.file, other);
	if (!kind)
		return 0;
	if ((code = read_graph_variable(f, root, diags, err)) != 0) {
		f->form = kind;
		return code;
	}
	if (yaml_find(root, "servingEngineSpec"))
		code = form_values_read(f, root);
	else if (strstr(kind, "--config"))
		code = form_vllm_config_read(f, root);
	else if (form_task_kind(root))
		code = form_task_read(f, root, err);
	else if (strstr(kind, "of a chart"))
		code = form_chart_read(f, root);
	else
		code = form_containers_read(f, root, foreign, err);
	if (code == 0 && f->services.len == before && !*foreign)
		*foreign = form_foreign_object(root);
	if (code < 0)
		return code == -ENOMEM ? err_set(err, code, "out of memory") : code;
	/* Of several documents the one with the engines gives the name. */
	if (!f->form || (f->services.len > before && before == 0) || (!f->services.len && is_beside(f->form)))
		f->form = kind;
	return 1;
}

/* ["vllm", "serve", "m"]: a command as programs pass it on. 1: it is one, 0: none. */
static int read_words(struct form_set *f, const struct yaml_node *root, const char **foreign, struct err *err)
{
	struct form_service s = {.name = "", .replicas = 1};
	struct form_words words = {0};
	const char *program = NULL;
	int code = 0;

	for (const struct yaml_node *n = root->first; n && code == 0; n = n->next) {
		const struct form_word w = {.text = n->text ? n->text : "", .pos = n->pos, .quoted = n->quoted};
		if (n->type != YAML_SCALAR)
			return 0;
		code = form_push(&f->arena, &words, w);
	}
	if (code == 0 && !form_has_program(words.v, MIN(words.len, 8u)))
		return 0;
	if (code == 0)
		code = form_command_read(f, &s, words.v, words.len, GRAPH_ENGINE_NONE, &program, foreign);
	if (code == FORM_COMMAND_FOREIGN)
		return err_set(err, -ENOTSUP,
			"\"%s\" starts %s, which is not planned here; vLLM, SGLang and llama.cpp are", root->pos.file,
			*foreign);
	if (code == FORM_COMMAND_ENGINE)
		code = form_add(f, &s) < 0 ? -ENOMEM : 1;
	if (code > 0)
		f->form = arena_printf(&f->arena, "a command line of %s", program);
	return code < 0 ? err_set(err, code, "out of memory") : code;
}

/* A part of a manifest: containers, objects. A list of flags is no command: what runs them is not in it. */
static int read_list(struct form_set *f, const struct yaml_node *root, const char **foreign, struct err *err)
{
	bool flags = false, maps = false;
	int code = read_words(f, root, foreign, err);

	if (code == 0 && (code = form_values_list_read(f, root)) > 0)
		f->form = "a part of Helm values of vLLM's production stack";
	if (code == 0)
		code = form_containers_read(f, root, foreign, err);
	if (code != 0)
		return code;
	for (const struct yaml_node *n = root->first; n; n = n->next) {
		flags |= n->type == YAML_SCALAR && !strncmp(n->text, "--", 2);
		maps |= n->type == YAML_MAP;
	}
	if (flags && !f->services.len)
		return err_set(err, -EINVAL,
			"\"%s\" is a list of flags, and no image or program in it says which engine they are for",
			root->pos.file);
	if (maps && !f->form)
		f->form = "a list, as a part of a Kubernetes object";
	return maps;
}

/* The next document of a stream: from *at up to a line "---". The bytes before it become blanks, so that places stay right. */
static char *document(struct arena *arena, const char *text, size_t len, size_t *at, size_t *ret_len)
{
	size_t begin = *at, end = len;

	for (const char *p = text + begin; (p = memmem(p, len - (size_t)(p - text), "\n---", 4)); p += 4)
		if (p + 4 == text + len || isspace((unsigned char)p[4])) {
			end = (size_t)(p - text) + 1;
			break;
		}
	*at = end == len ? len : end + 3;
	char *copy = arena_strndup(arena, text, end);
	for (size_t i = 0; copy && i < begin; i++)
		if (copy[i] != '\n')
			copy[i] = ' ';
	*ret_len = end;
	return copy;
}

/* Documents of a stream, one after another. *ret_yaml: all of it is YAML; *ret_strange: one is neither a form nor like a graph. Returns how
 * many are forms, or negative. */
static int read_documents(struct form_set *f, const char *file, const char *text, size_t len, struct diags *diags,
	bool *ret_yaml, bool *ret_strange, const char **foreign, struct err *err)
{
	struct diags quiet;
	size_t at = 0, n;
	int forms = 0, code = 0;

	*ret_yaml = true;
	*ret_strange = false;
	for (uint32_t i = 0; at < len && i < DOCUMENTS_MAX && code >= 0; i++) {
		char *doc = document(&f->arena, text, len, &at, &n);
		struct yaml_node *root = NULL;
		diags_init(&quiet);
		code = doc ? yaml_parse(&root, &f->arena, file, doc, n, &quiet) : -ENOMEM;
		diags_done(&quiet);
		if (code == 0 && root->type == YAML_MAP) {
			code = read_document(f, root, foreign, diags, err);
			*ret_strange |= code == 0 && !may_be_graph(root);
		} else if (code == 0 && root->type == YAML_SEQ)
			code = read_list(f, root, foreign, err);
		else if (code == -EINVAL || (code == 0 && root->type == YAML_SCALAR))
			*ret_yaml = false;
		forms += code == 1;
		code = code == -EINVAL && !root ? 0 : code; /* no YAML: perhaps a script */
	}
	return code < 0 ? code : forms;
}

/* It says so itself; one of its lines may be YAML by chance. */
static bool is_for_a_shell(const char *text, size_t len)
{
	const char *end = memchr(text, '\n', len);
	size_t line = end ? (size_t)(end - text) : len;

	return form_begins_as_command(text, len) || memmem(text, len, "\n#SBATCH ", 9) ||
	       (len > 8 && !memcmp(text, "#SBATCH ", 8)) ||
	       (line > 4 && !memcmp(text, "#!", 2) && !memcmp(text + line - 2, "sh", 2));
}

static int read_yaml(struct form_set *f, const char *file, const char *text, size_t len, struct diags *diags,
	bool *ret_yaml, struct err *err)
{
	const char *foreign = NULL;
	bool strange;
	int forms = read_documents(f, file, text, len, diags, ret_yaml, &strange, &foreign, err);

	if (forms < 0)
		return forms == -ENOMEM ? err_set(err, forms, "out of memory") : forms;
	if (!forms && strange && *ret_yaml && !is_for_a_shell(text, len)) {
		err_set(err, -EINVAL,
			"\"%s\" is YAML, and nothing in it is a service of a graph, a container, or a command that starts an engine that is planned here (vLLM, SGLang, llama.cpp)",
			file);
		return err_hint(
			err, "the engine's own command line can be planned: stator plan -- vllm serve MODEL ...");
	}
	if (forms && !f->services.len && !f->root && !*ret_yaml) { /* what stands before a page, or some of its lines */
		f->form = NULL;
		forms = 0;
	}
	if (!forms || f->root)
		return 0;
	return f->services.len ? form_tree_make(f, file, err) : nothing_to_plan(f, file, foreign, err);
}

int form_part_read(
	struct form_set *f, const char *file, const char *text, size_t len, uint32_t line, const char **ret_foreign)
{
	char *placed = len < YAML_BYTES_MAX && line < YAML_BYTES_MAX ? arena_alloc(&f->arena, len + line) : NULL;
	uint32_t before = f->services.len;
	const char *form = f->form;
	struct diags quiet;
	struct err err;
	bool yaml, strange;

	if (!placed)
		return -ENOMEM;
	memset(placed, '\n', line - 1);
	memcpy(placed + line - 1, text, len);
	/* Settings alone start nothing: they are for whoever names the file. */
	static const char *const keys[] = {
		"apiVersion:", "services:", "servingEngineSpec:", "modelSpec:", "commands:", "\nrun:", "llm_configs:"};
	bool may = false;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		may |= memmem(text, len, keys[i], strlen(keys[i])) != NULL;
	if (!may)
		return 0;
	diags_init(&quiet);
	int code = read_documents(f, file, placed, len + line - 1, &quiet, &yaml, &strange, ret_foreign, &err);
	diags_done(&quiet);
	if (f->services.len == before)
		f->form = form;
	return code == -ENOMEM ? code : f->services.len > before;
}

static bool looks_like_helm_template(const char *text, size_t len)
{
	static const char *const marks[] = {".Values", "{{ include", "{{- ", "toYaml", "nindent"};
	bool mark = false;

	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		mark |= memmem(text, len, marks[i], strlen(marks[i])) != NULL;
	return mark && memmem(text, len, "{{", 2);
}

static bool begins_with_from(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && (isspace((unsigned char)text[i]) || text[i] == '#')) {
		if (text[i] == '#')
			while (i < len && text[i] != '\n')
				i++;
		else
			i++;
	}
	const char *end = memchr(text + i, '\n', len - i);
	size_t line = end ? (size_t)(end - text) - i : len - i;
	return len - i > 5 && !strncasecmp(text + i, "FROM ", 5) &&
	       !memmem(text + i, line, " import ", 8); /* Python's */
}

/* A Modelfile, from that line on. */
static int read_modelfile_part(struct form_set *f, const char *file, const char *text, size_t len, uint32_t line)
{
	char *placed = arena_alloc(&f->arena, len + line);

	if (!placed)
		return -ENOMEM;
	memset(placed, '\n', line - 1);
	memcpy(placed + line - 1, text, len);
	return form_modelfile_read(f, file, placed, len + line - 1);
}

/* The blocks of a page that are no commands: objects, programs, a Modelfile. The first that starts something counts. */

static int read_blocks(struct form_set *f, const char *file, const char *text, size_t len, struct err *err)
{
	const char *foreign = NULL, *form = NULL, *block = NULL;
	uint32_t line = 1, first = 0, before = f->services.len;
	int code = 0;

	for (size_t at = 0, n; at < len && code == 0; at += n + 1, line++) {
		const char *end = memchr(text + at, '\n', len - at);
		n = end ? (size_t)(end - text) - at : len - at;
		size_t blanks = 0;
		while (blanks < n && text[at + blanks] == ' ')
			blanks++;
		if (n < blanks + 3 || (memcmp(text + at + blanks, "```", 3) && memcmp(text + at + blanks, "~~~", 3)))
			continue;
		if (!block) {
			block = text + MIN(at + n + 1, len);
			first = line + 1;
			continue;
		}
		size_t size = (size_t)(text + at - block);
		if (begins_with_from(block, size) && !form_is_dockerfile(block, size)) {
			code = read_modelfile_part(f, file, block, size, first);
			form = "an Ollama Modelfile in a text";
		} else if (form_is_python("", block, size)) {
			code = form_python_part(f, file, block, size, first, NULL);
			form = "a program in Python in a text";
		} else {
			code = form_part_read(f, file, block, size, first, &foreign);
		}
		code = MIN(code, 0);
		if (f->services.len > before)
			break;
		block = NULL;
	}
	if (code < 0)
		return err_set(err, code, "out of memory");
	if (f->services.len == before)
		return 0;
	f->form = form ? form : f->form;
	return 1;
}

static uint32_t first_line(const struct form_set *f)
{
	uint32_t line = UINT32_MAX;

	for (uint32_t i = 0; i < f->services.len; i++) {
		const struct form_service *s = &f->services.v[i];
		uint32_t here = s->model_pos.line ? s->model_pos.line : s->pos.line;
		line = here && here < line ? here : line;
	}
	return line;
}

/* Commands, or a text for people that has some. */
static int read_script(struct form_set *f, const char *file, const char *text, size_t len, struct err *err)
{
	struct form_script script = {.file = file};

	if (!form_is_prose(text, len))
		return form_script_read(f, &script, text, len, err);
	const char *commands = form_prose_commands(&f->arena, text, len);
	if (!commands)
		return err_set(err, -ENOMEM, "out of memory");
	script.several = true;
	/* Whichever comes first: a block that is a form, or a command. A block's own commands are the block's. */
	int code = read_blocks(f, file, text, len, err);
	if (code < 0)
		return code;
	const struct form_set blocks = *f;
	f->services = (struct form_services){0};
	f->remarks = (struct form_remarks){0};
	f->form = NULL;
	int lines = form_script_read(f, &script, commands, len, err);
	if (lines == -ENOMEM)
		return lines;
	if (code > 0 && (lines <= 0 || first_line(&blocks) <= first_line(f))) {
		f->services = blocks.services;
		f->remarks = blocks.remarks;
		f->form = blocks.form;
		return 1;
	}
	code = lines;
	if (code != 0 || looks_like_helm_template(text, len))
		return code;
	err_set(err, -EINVAL,
		"\"%s\" is a text, and none of its code blocks and lines is a command that starts an engine", file);
	return err_hint(err,
		"a graph, a manifest or a command line (vllm serve, sglang.launch_server, llama-server) can be planned");
}

static int read_program(struct form_set *f, const char *file, const char *text, size_t len, struct err *err)
{
	if (!form_is_python(file, text, len))
		return 0;
	int code = form_python_read(f, file, text, len);
	if (code < 0)
		return err_set(err, code, "out of memory");
	if (code > 0) {
		f->form = "a program in Python";
		return code;
	}
	err_set(err, -EINVAL,
		"\"%s\" is a program in Python, and nothing in it that is written out starts an engine that is planned here",
		file);
	return err_hint(err, "the engine's own command line can be planned: stator plan -- vllm serve MODEL ...");
}

/* ARG and comments may stand before FROM. */
static bool has_from(const char *text, size_t len)
{
	const char *from = memmem(text, len, "\nFROM ", 6);

	return begins_with_from(text, len) || (from && (!strncmp(text, "ARG ", 4) || *text == '#'));
}

static int read_dockerfile(struct form_set *f, const char *file, const char *text, size_t len, struct err *err)
{
	const char *foreign = NULL;
	int code = form_dockerfile_read(f, file, text, len, &foreign);

	f->form = "a Dockerfile";
	if (code > 0)
		return form_tree_make(f, file, err);
	return code < 0 ? err_set(err, code, "out of memory") : nothing_to_plan(f, file, foreign, err);
}

/* No reader knows it: what it looks like, when that is no YAML. */
static int say_foreign(const char *file, const char *text, size_t len, struct err *err)
{
	const char *what = form_foreign_text(text, len);

	if (!what)
		return 0;
	err_set(err, -EINVAL,
		"\"%s\" is %s, and no command line in it starts an engine that is planned here (vLLM, SGLang, llama.cpp)",
		file, what);
	return err_hint(err, "the command line itself can be planned: stator plan -- vllm serve MODEL ...");
}

static int say_template(const char *file, struct err *err)
{
	return err_set(err, -EINVAL,
		"\"%s\" is a Helm template; \"helm template\" renders it, and its output can be planned", file);
}

int form_read(struct form_set *f, const char *file, const char *text, size_t len, struct diags *diags, struct err *err)
{
	bool yaml;
	int code = 0;

	if (memchr(text, '\0', len) || len > YAML_BYTES_MAX)
		return 0;
	if (form_is_dockerfile(text, len) && memmem(text, len, "FROM", 4) && has_from(text, len))
		return read_dockerfile(f, file, text, len, err);
	if (form_is_unit(text, len) || form_is_makefile(file, text, len)) {
		bool unit = form_is_unit(text, len);
		f->form = unit ? "a unit of systemd" : "a makefile";
		code = unit ? form_unit_read(f, file, text, len, err) : form_makefile_read(f, file, text, len, err);
		return code > 0 ? form_tree_make(f, file, err) : code < 0 ? code : nothing_to_plan(f, file, NULL, err);
	}
	if (begins_with_from(text, len) && (code = form_modelfile_read(f, file, text, len)) > 0)
		f->form = "an Ollama Modelfile";
	if (code < 0)
		return err_set(err, code, "out of memory");
	if (code == 0) {
		code = read_yaml(f, file, text, len, diags, &yaml, err);
		if (code < 0 || f->form || (yaml && !is_for_a_shell(text, len)))
			return code;
		if (looks_like_helm_template(text, len) && !is_for_a_shell(text, len) &&
			memmem(text, len, "apiVersion:", 11))
			return say_template(file, err);
		code = read_program(f, file, text, len, err);
		if (code == 0)
			code = read_script(f, file, text, len, err);
	}
	if (code > 0)
		return form_tree_make(f, file, err);
	if (code == 0 && looks_like_helm_template(text, len))
		return say_template(file, err);
	return code == 0 ? say_foreign(file, text, len, err) : code;
}

int form_read_words(struct form_set *f, const char *const *words, uint32_t count, struct err *err)
{
	struct form_service s = {.name = "", .replicas = 1};
	const char *program = NULL, *foreign = NULL;
	struct form_words list = {0};
	int code = 0;

	for (uint32_t i = 0; i < count && code == 0; i++) {
		const struct form_word w = {.text = words[i], .pos = {.option = words[i]}};
		code = form_push(&f->arena, &list, w);
	}
	if (code == 0 && form_has_line(list.v, list.len)) {
		const struct form_script script = {.file = "command line", .foreign = &foreign};
		code = form_words_follow(f, &script, list.v, list.len);
		f->form = f->services.len > 1 ? "a command line that starts several engines"
					      : "a command line of a shell";
		if (code > 0)
			return form_tree_make(f, "command line", err);
		code = code == 0 && foreign ? FORM_COMMAND_FOREIGN : code;
	} else if (code == 0) {
		code = form_command_read(f, &s, list.v, list.len, GRAPH_ENGINE_NONE, &program, &foreign);
	}
	if (code < 0)
		return err_set(err, code, "out of memory");
	if (code == FORM_COMMAND_FOREIGN)
		return err_set(err, -ENOTSUP, "%s is not planned here; vLLM, SGLang and llama.cpp are", foreign);
	if (code == FORM_COMMAND_NONE)
		return err_set(err, -EINVAL,
			"\"%s\" starts no engine that is planned here (vllm serve, sglang.launch_server, llama-server)",
			count ? words[0] : "");
	f->form = arena_printf(&f->arena, "a command line of %s", program);
	if (!f->form || form_add(f, &s) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return form_tree_make(f, "command line", err);
}
