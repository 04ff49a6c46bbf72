/* form.c - which form a text is, and the services that were found as a graph's tree. */
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

/* ---- the tree ---- */

struct writer {
	struct form_set *f;
	bool failed;
};

static struct yaml_node *put(
	struct writer *w, struct yaml_node *map, const char *key, enum yaml_type type, const struct config_pos *pos)
{
	struct yaml_node *n = key ? yaml_node_create(&w->f->arena, type, pos) : NULL;

	if (!n) {
		w->failed = true;
		return map;
	}
	n->key = key;
	yaml_append(map, n);
	return n;
}

static void put_text(
	struct writer *w, struct yaml_node *map, const char *key, const char *text, const struct config_pos *pos)
{
	struct yaml_node *n = put(w, map, key, YAML_SCALAR, pos);

	if (n != map)
		n->text = text ? text : "";
	if (n != map)
		n->quoted = true;
}

static uint32_t number_of(const struct form_service *s, const char *const *names)
{
	for (; *names; names++) {
		const struct form_arg *a = form_arg_find(&s->args, *names);
		unsigned long n = a && a->value ? strtoul(a->value, NULL, 10) : 0;
		if (n > 0 && n <= 4096)
			return (uint32_t)n;
	}
	return 1;
}

/* Cards that its flags make one worker of an external engine compute on. */
static double flags_gpus(const struct form_service *s)
{
	static const char *const tp[] = {"tensor-parallel-size", "tp-size", "tp", NULL};
	static const char *const pp[] = {"pipeline-parallel-size", "pp-size", NULL};
	static const char *const vllm_dp[] = {"data-parallel-size", NULL}, *const sglang_dp[] = {"dp-size", "dp", NULL};
	const struct form_arg *inside = form_arg_find(&s->args, "enable-dp-attention");
	bool divides = s->engine == GRAPH_ENGINE_SGLANG && inside && inside->value && strcmp(inside->value, "false");

	return (double)number_of(s, tp) * number_of(s, pp) *
	       (divides ? 1 : number_of(s, s->engine == GRAPH_ENGINE_SGLANG ? sglang_dp : vllm_dp));
}

/* What it is given is fewer than that: then it ends at its start, and the plan is that of the cards its flags take. */
static int check_given(struct form_set *f, const struct form_service *s)
{
	double flags = flags_gpus(s);

	if (s->engine == GRAPH_ENGINE_LLAMA || s->gpus <= 0 || s->gpus >= flags)
		return 0;
	return form_remark(f, FORM_FATAL, "gpus-few", s->gpus_pos.line ? &s->gpus_pos : &s->pos,
		arena_printf(&f->arena, "%s%seach worker computes on %g GPUs at once by its flags, and is given %g",
			s->name, *s->name ? ": " : "", flags, s->gpus),
		arena_printf(&f->arena, "give it %g, or lower its parallel sizes, if the model still fits", flags));
}

/* GPUs that its flags need, when nothing around it says how many it gets. */
static double gpus_of(const struct form_service *s)
{
	const struct form_arg *layers = form_arg_find(&s->args, "gpu-layers"),
			      *split = form_arg_find(&s->args, "tensor-split");

	if (s->engine == GRAPH_ENGINE_LLAMA) {
		double n = s->gpus > 0 ? s->gpus : layers && layers->value && strcmp(layers->value, "0") ? 1 : 0;
		uint32_t cards = split && split->value ? 1 : 0;
		for (const char *p = split ? split->value : NULL; p && *p; p++)
			cards += *p == ',';
		return cards > n ? cards : n;
	}
	double flags = flags_gpus(s);
	return s->gpus > flags ? s->gpus : flags;
}

static bool same_model(const struct form_service *a, const struct form_service *b)
{
	return a->engine == b->engine && a->model && b->model && !strcmp(a->model, b->model);
}

static bool is_fed(const struct form_set *f, const struct form_service *s)
{
	for (uint32_t i = 0; i < f->services.len; i++)
		if (f->services.v[i].role == GRAPH_ROLE_PREFILL && same_model(&f->services.v[i], s))
			return true;
	return false;
}

/* Flags of the wrapper, or of a server we replace: they are no settings of a worker. */
static bool is_dropped(const struct form_service *s, const char *name)
{
	static const char *const ours[] = {"context-length", "gpu-layers", "max-seqs", "threads", "kv-type",
		"served-model-name", "batch-size", "ubatch-size", "chat-template-file"};
	static const char *const server[] = {"host", "port", "api-key", "config", "headless"};
	/* Not the engine's, and said already: in a graph they would be keys of the service. */
	static const char *const keys[] = {"env", "envs", "workers", "resources", "engine", "role", "service-args",
		"common-configs", "gpus", "gpu"};
	char spelling[ENGINE_FLAG_BYTES];
	struct engine_flag flag;

	if (s->engine == GRAPH_ENGINE_LLAMA) { /* what a LlamaWorker has, too, and means the same */
		for (size_t i = 0; i < ARRAY_LEN(ours); i++)
			if (!strcmp(name, ours[i]))
				return false;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(server); i++)
		if (!strcmp(name, server[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!strcmp(name, keys[i]))
			return true;
	snprintf(spelling, sizeof spelling, "--%s", name);
	const char *engine = s->engine == GRAPH_ENGINE_VLLM ? "vllm" : "sglang";
	const char *wrapper = s->engine == GRAPH_ENGINE_VLLM ? "dynamo.vllm" : "dynamo.sglang";
	return engine_flag_find_in(&flag, wrapper, spelling, NULL) != ENGINE_FLAG_UNKNOWN &&
	       engine_flag_find_in(&flag, engine, spelling, NULL) == ENGINE_FLAG_UNKNOWN &&
	       !config_key_find(s->engine == GRAPH_ENGINE_VLLM ? "VllmWorker" : "SglangWorker", name);
}

static void put_flags(struct writer *w, struct yaml_node *map, const struct form_service *s)
{
	for (uint32_t i = 0; i < s->args.len; i++) {
		const struct form_arg *a = &s->args.v[i];
		if (is_dropped(s, a->name) || form_arg_find(&s->args, a->name) != a)
			continue; /* of a flag given twice the last counts */
		/* llama-server counts cells in all as we do; its "-1" and "all" layers are "every layer". */
		put_text(w, map, a->name, a->value, &a->pos);
	}
}

static void put_service_args(struct writer *w, struct yaml_node *map, const struct form_service *s)
{
	struct yaml_node *args = put(w, map, "ServiceArgs", YAML_MAP, &s->pos);
	double gpus = gpus_of(s);

	put_text(w, args, "workers", arena_printf(&w->f->arena, "%u", s->replicas),
		s->replicas_pos.line ? &s->replicas_pos : &s->pos);
	if (gpus > 0) {
		struct yaml_node *resources = put(w, args, "resources", YAML_MAP, &s->pos);
		put_text(w, resources, "gpu", arena_printf(&w->f->arena, "%g", gpus),
			s->gpus_pos.line ? &s->gpus_pos : &s->pos);
	}
	if (!s->envs.len)
		return;
	struct yaml_node *envs = put(w, args, "envs", YAML_MAP, &s->pos);
	for (uint32_t i = 0; i < s->envs.len; i++) {
		const struct form_arg *e = &s->envs.v[i];
		bool again = false;
		for (uint32_t k = 0; k < i; k++)
			again |= !strcmp(s->envs.v[k].name, e->name);
		if (!again && *e->name && !strchr(e->name, '='))
			put_text(w, envs, e->name, e->value, &e->pos);
	}
}

/* A name that no section has and no service before it: "vllm-disagg", "llama3-2". */
static const char *name_of(struct writer *w, const struct yaml_node *root, const struct form_service *s)
{
	static const char *const usual[] = {[GRAPH_ENGINE_LLAMA] = "LlamaWorker",
		[GRAPH_ENGINE_VLLM] = "VllmWorker",
		[GRAPH_ENGINE_SGLANG] = "SglangWorker"};
	const char *base = *s->name                                                          ? s->name
			   : s->role == GRAPH_ROLE_PREFILL && s->engine == GRAPH_ENGINE_VLLM ? "PrefillWorker"
											     : usual[s->engine];
	char *name = arena_strdup(&w->f->arena, base);

	for (char *p = name; p && *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_", *p))
			*p = '-'; /* dots part the names of overrides */
	for (uint32_t n = 2; name && yaml_find(root, name); n++)
		name = arena_printf(&w->f->arena, "%s-%u", base, n);
	return name;
}

static const char *engine_text(enum graph_engine e)
{
	return graph_engine_name(e);
}

/* ---- one deployment from several machines' commands ---- */

static const struct form_arg *rank_of(const struct form_service *s)
{
	static const char *const names[] = {"node-rank", "data-parallel-start-rank", "data-parallel-rank", "headless"};
	const struct form_arg *a = NULL;

	for (size_t i = 0; i < ARRAY_LEN(names) && !a; i++)
		a = form_arg_find(&s->args, names[i]);
	return a;
}

static bool is_follower(const struct form_service *s)
{
	const struct form_arg *a = rank_of(s);
	char *end;

	if (!a || !a->value)
		return false;
	if (!strcmp(a->name, "headless"))
		return strcmp(a->value, "false") != 0;
	return strtoul(a->value, &end, 10) > 0 && !*end;
}

/* How many machines' commands make one worker; 0: it does not say. */
static uint32_t nodes_of(const struct form_service *s)
{
	static const char *const names[] = {"nnodes", "data-parallel-size", NULL};

	return number_of(s, names);
}

/* Commands of the ranks behind the first are no deployments of their own: what they are given counts for the first's. */
static void join_ranks(struct form_set *f)
{
	struct form_services *all = &f->services;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < all->len; i++) {
		const struct form_service s = all->v[i];
		struct form_service *leader = NULL;
		for (uint32_t k = 0; k < all->len && is_follower(&s) && !leader; k++) {
			struct form_service *l = &all->v[k];
			bool there = k < kept || k > i; /* what lies between was moved or joined */
			if (there && !is_follower(l) && same_model(l, &s) && l->role == s.role && nodes_of(l) > 1 &&
				flags_gpus(l) == flags_gpus(&s) && l->joined + 1 < nodes_of(l))
				leader = l;
		}
		if (leader) {
			leader->joined++;
			leader->gpus += leader->gpus > 0 ? s.gpus : 0;
			continue;
		}
		all->v[kept++] = s;
	}
	all->len = kept;
}

static int make_tree(struct form_set *f, const char *file, struct err *err)
{
	const struct config_pos start = {.file = file, .line = 1, .column = 1};
	struct writer w = {.f = f};

	join_ranks(f);
	f->root = yaml_node_create(&f->arena, YAML_MAP, &start);
	for (uint32_t i = 0; f->root && i < f->services.len && !w.failed; i++) {
		const struct form_service *s = &f->services.v[i];
		struct yaml_node *map = put(&w, f->root, name_of(&w, f->root, s), YAML_MAP, &s->pos);
		map->pos = map->key_pos = s->pos;
		w.failed |= check_given(f, s) < 0;
		put_text(&w, map, "engine", engine_text(s->engine), &s->pos);
		if (s->role != GRAPH_ROLE_BOTH)
			put_text(&w, map, "role", graph_role_name(s->role), &s->pos);
		if (s->model)
			put_text(&w, map, s->engine == GRAPH_ENGINE_SGLANG ? "model-path" : "model", s->model,
				&s->model_pos);
		if (s->version && s->engine != GRAPH_ENGINE_LLAMA)
			put_text(&w, map, "engine-version", s->version, &s->pos);
		put_flags(&w, map, s);
		if (s->role != GRAPH_ROLE_PREFILL && is_fed(f, s) && !form_arg_find(&s->args, "remote-prefill"))
			put_text(&w, map, "remote-prefill", "true", &s->pos);
		put_service_args(&w, map, s);
	}
	if (!f->root || w.failed) {
		f->root = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* ---- which form ---- */

static int nothing_to_plan(const struct form_set *f, const char *file, const char *foreign, struct err *err)
{
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
	const char *other = kind ? NULL : form_foreign_tree(root);
	if (other)
		return err_set(err, -ENOTSUP,
			"\"%s\" is a configuration of %s, which is not planned here; the engine's own command line can be",
			root->pos.file, other);
	if (!kind)
		return 0;
	uint32_t before = f->services.len;
	if ((code = read_graph_variable(f, root, diags, err)) != 0) {
		f->form = kind;
		return code;
	}
	if (yaml_find(root, "servingEngineSpec"))
		code = form_values_read(f, root);
	else if (strstr(kind, "--config"))
		code = form_vllm_config_read(f, root);
	else
		code = form_containers_read(f, root, foreign, err);
	if (code < 0)
		return code == -ENOMEM ? err_set(err, code, "out of memory") : code;
	/* Of several documents the one with the engines gives the name. */
	if (!f->form || (f->services.len > before && before == 0))
		f->form = kind;
	return 1;
}

/* A part of a manifest: containers, objects. A list of words is no command: what runs them is not in it. */
static int read_list(struct form_set *f, const struct yaml_node *root, const char **foreign, struct err *err)
{
	bool flags = false, maps = false;
	int code = form_containers_read(f, root, foreign, err);

	if (code < 0)
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

static int read_yaml(struct form_set *f, const char *file, const char *text, size_t len, struct diags *diags,
	bool *ret_yaml, struct err *err)
{
	const char *foreign = NULL;
	struct diags quiet;
	size_t at = 0, n;
	int forms = 0, code = 0;

	*ret_yaml = true;
	for (uint32_t i = 0; at < len && i < DOCUMENTS_MAX && code >= 0; i++) {
		char *doc = document(&f->arena, text, len, &at, &n);
		struct yaml_node *root = NULL;
		diags_init(&quiet);
		code = doc ? yaml_parse(&root, &f->arena, file, doc, n, &quiet) : -ENOMEM;
		diags_done(&quiet);
		if (code == 0 && root->type == YAML_MAP)
			code = read_document(f, root, &foreign, diags, err);
		else if (code == 0 && root->type == YAML_SEQ)
			code = read_list(f, root, &foreign, err);
		else if (code == -EINVAL || (code == 0 && root->type == YAML_SCALAR))
			*ret_yaml = false;
		forms += code == 1;
		code = code == -EINVAL && !root ? 0 : code; /* no YAML: perhaps a script */
	}
	if (code < 0)
		return code == -ENOMEM ? err_set(err, code, "out of memory") : code;
	if (!forms || f->root)
		return 0;
	return f->services.len ? make_tree(f, file, err) : nothing_to_plan(f, file, foreign, err);
}

static bool looks_like_helm_template(const char *text, size_t len)
{
	return memmem(text, len, "{{", 2) && memmem(text, len, ".Values", 7);
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

/* Commands, or a text for people that has some. */
static int read_script(struct form_set *f, const char *file, const char *text, size_t len, struct err *err)
{
	if (!form_is_prose(text, len))
		return form_script_read(f, file, text, len, NULL, NULL, NULL, err);
	const char *commands = form_prose_commands(&f->arena, text, len);
	if (!commands)
		return err_set(err, -ENOMEM, "out of memory");
	int code = form_script_read(f, file, commands, len, NULL, NULL, NULL, err);
	if (code != 0 || looks_like_helm_template(text, len))
		return code;
	err_set(err, -EINVAL,
		"\"%s\" is a text, and none of its code blocks and lines is a command that starts an engine", file);
	return err_hint(err,
		"a graph, a manifest or a command line (vllm serve, sglang.launch_server, llama-server) can be planned");
}

/* It says so itself; one of its lines may be YAML by chance. */
static bool is_for_a_shell(const char *text, size_t len)
{
	const char *end = memchr(text, '\n', len);
	size_t line = end ? (size_t)(end - text) : len;

	return memmem(text, len, "\n#SBATCH ", 9) || (len > 8 && !memcmp(text, "#SBATCH ", 8)) ||
	       (line > 4 && !memcmp(text, "#!", 2) && !memcmp(text + line - 2, "sh", 2));
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
		return make_tree(f, file, err);
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

int form_read(struct form_set *f, const char *file, const char *text, size_t len, struct diags *diags, struct err *err)
{
	bool yaml;
	int code = 0;

	if (memchr(text, '\0', len) || len > YAML_BYTES_MAX)
		return 0;
	if (form_is_dockerfile(text, len) && memmem(text, len, "FROM", 4) && has_from(text, len))
		return read_dockerfile(f, file, text, len, err);
	if (begins_with_from(text, len) && (code = form_modelfile_read(f, file, text, len)) > 0)
		f->form = "an Ollama Modelfile";
	if (code < 0)
		return err_set(err, code, "out of memory");
	if (code == 0) {
		code = read_yaml(f, file, text, len, diags, &yaml, err);
		if (code < 0 || f->form || (yaml && !is_for_a_shell(text, len)))
			return code;
		code = read_script(f, file, text, len, err);
	}
	if (code > 0)
		return make_tree(f, file, err);
	if (code == 0 && looks_like_helm_template(text, len))
		return err_set(err, -EINVAL,
			"\"%s\" is a Helm template; \"helm template\" renders it, and its output can be planned", file);
	return code == 0 ? say_foreign(file, text, len, err) : code;
}

int form_read_words(struct form_set *f, const char *const *words, uint32_t count, struct err *err)
{
	struct form_service s = {.name = "", .replicas = 1};
	const char *program = NULL, *foreign = NULL;
	struct form_words list = {0};
	int code = 0;

	for (uint32_t i = 0; i < count && code == 0; i++) {
		const struct form_word w = {words[i], {.option = words[i]}, false};
		code = form_push(&f->arena, &list, w);
	}
	if (code == 0)
		code = form_command_read(f, &s, list.v, list.len, GRAPH_ENGINE_NONE, &program, &foreign);
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
	return make_tree(f, "command line", err);
}
