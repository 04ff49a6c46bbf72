/* gather.c - looking things up for the planner; see gather.h. */
#include "cli/gather.h"
#include "base/file.h"
#include "cli/demo.h"
#include "llama/model.h"
#include "model/refusal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GATHER_BYTES_MAX = 16 * 1024 * 1024 };

void gather_init(struct gather *g)
{
	*g = (struct gather){0};
	arena_init(&g->arena, GATHER_BYTES_MAX);
	gpu_inventory_init(&g->inventory);
}

void gather_done(struct gather *g)
{
	gpu_inventory_done(&g->inventory);
	arena_done(&g->arena);
}

/* Lines of a log that are YAML by chance are neither a graph without a mistake nor a known form; a script is left aside, for a log
 * may show the line that started it. A pipe is left to who reads it. */
bool gather_is_deployment(const char *file)
{
	struct yaml_node *root = NULL;
	struct graph *graph = NULL;
	struct form_set forms;
	struct diags diags;
	struct arena arena;
	struct buf text;

	buf_init(&text, YAML_BYTES_MAX);
	arena_init(&arena, YAML_ARENA_BYTES_MAX);
	form_set_init(&forms);
	diags_init(&diags);
	bool yes = file_read_text(&text, "graph", file, FILE_PLAIN, NULL) == 0 &&
		   yaml_parse(&root, &arena, file, buf_str(&text), text.len, &diags) == 0 && root->type == YAML_MAP;
	if (yes)
		yes = (form_read(&forms, file, buf_str(&text), text.len, &diags, NULL) == 0 && forms.form) ||
		      graph_parse(&graph, file, buf_str(&text), text.len, NULL, &diags, NULL) == 0;
	graph_destroy(graph);
	diags_done(&diags);
	form_set_done(&forms);
	arena_done(&arena);
	buf_done(&text);
	return yes;
}

int gather_graph(struct form_set *forms, const char *file, struct graph **ret, struct diags *diags, struct err *err)
{
	const struct graph_options options = {.planned = true};
	struct buf text;

	buf_init(&text, YAML_BYTES_MAX);
	int r = file_read_text(&text, "graph", file, FILE_OR_PIPE, err);
	if (r == 0 && (r = form_read(forms, file, buf_str(&text), text.len, diags, err)) == 0)
		r = forms->form ? graph_of_tree(ret, file, forms->root, &options, diags, err)
				: graph_parse(ret, file, buf_str(&text), text.len, &options, diags, err);
	buf_done(&text);
	return r;
}

/* Models. */

/* A path rather than the name of a model in a hub: "/m/x", "./x", "x.gguf". */
static bool looks_like_path(const char *text)
{
	size_t len = strlen(text);

	return *text == '/' || *text == '.' || *text == '~' || (len > 5 && !strcasecmp(text + len - 5, ".gguf"));
}

/* "Qwen3-8B-Q4_K_M", "Qwen_Qwen3-32B-Q6_K_L" (with its owner), "gpt-oss-120b-mxfp4-00001-of-00003" (a part). */
static bool named_by_file(char *name, struct model_facts *ret)
{
	struct err none = {0};
	size_t len = strlen(name);
	char text[256 + sizeof ":mxfp4_moe"]; /* a name of named_by_path, and what its weights are */

	if (len > 15 && !strncmp(name + len - 9, "-of-", 4) && name[len - 15] == '-')
		name[len - 15] = '\0';
	for (char *c = name; *c; c++) {
		if ((*c != '-' && *c != '.') || strlen(c + 1) < 2 || !model_quant_known(c + 1))
			continue;
		*c = '\0';
		/* The experts of gpt-oss alone are in four-bit floats, in files of GGUF too. */
		snprintf(text, sizeof text, "%s:%s", name, strcasecmp(c + 1, "mxfp4") ? c + 1 : "mxfp4_moe");
		const char *behind = strchr(text, '_');
		return model_facts_by_name(ret, text, &none) == 0 ||
		       (behind && behind < strchr(text, ':') && model_facts_by_name(ret, behind + 1, &none) == 0);
	}
	return false; /* it does not say what its weights are */
}

/* What a path on another machine says of the model: "models--OWNER--NAME" of a hub's cache, else the last part, where a GGUF file
 * names its quantization behind the model's ("Qwen3-8B-Q4_K_M.gguf"). False: it says nothing that is known. */
static bool named_by_path(const char *path, struct model_facts *ret)
{
	const char *hub = strstr(path, "models--"), *end = path + strlen(path);
	char name[256];
	struct err none = {0};

	while (end > path && end[-1] == '/')
		end--;
	if (hub && (hub == path || hub[-1] == '/')) {
		hub += strlen("models--");
		snprintf(name, sizeof name, "%.*s", (int)MIN(strcspn(hub, "/"), sizeof name - 1), hub);
		char *owner = strstr(name, "--");
		if (!owner)
			return false;
		*owner = '/';
		memmove(owner + 1, owner + 2, strlen(owner + 2) + 1);
		return model_facts_by_name(ret, name, &none) == 0;
	}
	const char *last = end;
	while (last > path && last[-1] != '/')
		last--;
	snprintf(name, sizeof name, "%.*s", (int)MIN((size_t)(end - last), sizeof name - 1), last);
	size_t len = strlen(name);
	if (len > 5 && !strcasecmp(name + len - 5, ".gguf")) {
		name[len - 5] = '\0';
		return named_by_file(name, ret);
	}
	return *name && model_facts_by_name(ret, name, &none) == 0;
}

/* Would the engine load it? An architecture that this build does not know may be one of the build that runs elsewhere. */
static bool loads(const struct gather *g, const struct graph_service *s, const char *path, struct err *why)
{
	struct ll_file_facts facts;

	if (!g->whole_files || s->engine != GRAPH_ENGINE_LLAMA)
		return true;
	int r = ll_file_check(path, true, &facts, why);
	return r == 0 || (r == -ENOTSUP && g->elsewhere);
}

static int model_of(
	struct gather *g, const struct graph_service *s, const char *given, struct plan_model *ret, struct err *err)
{
	const char *text = given ? given : s->model;
	struct model_facts *facts = arena_alloc(&g->arena, sizeof *facts);
	struct err cause = {0};

	if (!facts)
		return err_set(err, -ENOMEM, "out of memory");
	*ret = (struct plan_model){.why = ""};
	if (s->engine == GRAPH_ENGINE_LLAMA && !strcmp(text, "demo"))
		text = demo_model_path(&g->arena);
	if (!text || !*text) {
		ret->why = "the graph names no model";
		return 0;
	}
	if (!given && (strchr(text, '$') || strstr(text, "{{"))) {
		ret->why = arena_printf(
			&g->arena, "it names the model \"%.200s\", and the variable in that is not set here", text);
		return ret->why ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	if (s->engine == GRAPH_ENGINE_LLAMA && refusal_check(text, &cause) < 0) {
		ret->refused = true;
	} else if ((given || g->described ? model_facts_given : model_facts_find)(facts, text, &cause) == 0) {
		ret->damaged = facts->from == MODEL_FROM_GGUF && !loads(g, s, text, &cause);
		if (!ret->damaged) {
			ret->facts = facts;
			return 0;
		}
		ret->why = arena_strdup(&g->arena, cause.msg);
		return ret->why ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	if (given)
		return err_set(err, -EINVAL, "%s", cause.msg);
	bool there = access(text, F_OK) == 0;
	ret->missing = looks_like_path(text) && !there && !g->elsewhere;
	if (g->elsewhere && !there && looks_like_path(text)) {
		ret->refused = false;
		if (named_by_path(text, facts)) {
			ret->facts = facts;
			return 0;
		}
		ret->why = arena_printf(&g->arena,
			"\"%s\" is not on this machine, and its name is that of no model in the catalogue", text);
		return ret->why ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	struct stat st;
	ret->damaged =
		there && !ret->refused &&
		(cause.code == -EINVAL || (cause.code == -ENOTSUP && stat(text, &st) == 0 && !S_ISDIR(st.st_mode)));
	ret->why = arena_strdup(&g->arena, cause.msg);
	return ret->why ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int gather_models(struct gather *g, const struct graph *graph, const char *given, struct err *err)
{
	g->models = arena_alloc(&g->arena, (graph->len + 1) * sizeof *g->models);
	if (!g->models)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < graph->len; i++) {
		const struct graph_service *s = &graph->services[i];
		int r = 0;
		g->models[i] = (struct plan_model){.why = ""};
		if (s->kind == GRAPH_WORKER && s->engine != GRAPH_ENGINE_MOCK && s->engine != GRAPH_ENGINE_NONE)
			r = model_of(g, s, given, &g->models[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* GPUs. */

bool gather_needs_gpus(const struct graph *graph)
{
	for (uint32_t i = 0; i < graph->len; i++) {
		const struct graph_service *s = &graph->services[i];
		bool external = s->engine == GRAPH_ENGINE_VLLM || s->engine == GRAPH_ENGINE_SGLANG;
		if (s->kind == GRAPH_WORKER && (external || (s->gpus > 0 && s->engine == GRAPH_ENGINE_LLAMA)))
			return true;
	}
	return false;
}

int gather_inventory(struct gather *g, const struct graph *graph, const char *list, const char *file, struct err *err)
{
	if (list)
		return gpu_inventory_from_spec(&g->inventory, list, err);
	if (file)
		return gpu_inventory_from_file(&g->inventory, file, err);
	if (gather_needs_gpus(graph))
		return gpu_inventory_from_nvml(&g->inventory, NULL, getenv("CUDA_VISIBLE_DEVICES"), err);
	host_facts_read(&g->inventory.host_facts);
	return 0;
}

/* The machine. */

static bool port_is_used(const char *address, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	bool used = bind(fd, (struct sockaddr *)&a, sizeof a) < 0 && errno == EADDRINUSE;
	close(fd);
	return used;
}

/* In a folder of PATH. */
static bool on_path(const char *program)
{
	const char *path = getenv("PATH");
	char file[4096];

	for (const char *p = path ? path : ""; *p;) {
		size_t len = strcspn(p, ":");
		snprintf(file, sizeof file, "%.*s/%s", (int)len, p, program);
		if (access(file, X_OK) == 0)
			return true;
		p += len + (p[len] == ':');
	}
	return false;
}

void gather_environment(struct gather *g, const struct graph *graph)
{
	const struct config_section *front = &graph_find(graph, GRAPH_FRONTEND)->settings;
	uint16_t port = (uint16_t)config_uint(front, "port");
	struct plan_environment *e = &g->environment;

	e->known = true;
	e->versions[GRAPH_ENGINE_LLAMA] = e->versions[GRAPH_ENGINE_MOCK] = STATOR_VERSION;
	e->versions[GRAPH_ENGINE_VLLM] = on_path("vllm") ? "" : NULL;
	e->versions[GRAPH_ENGINE_SGLANG] = on_path("sglang") ? "" : NULL;
	if (port && !config_bool(front, "reuse-port") && port_is_used(config_str(front, "host"), port))
		e->ports_used[e->ports_used_len++] = port;
}
