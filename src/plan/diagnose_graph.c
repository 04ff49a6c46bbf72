/* diagnose_graph.c - signatures and lines of a graph; see diagnose_graph.h. */
#include "plan/diagnose_graph.h"
#include "base/file.h"
#include "base/vec.h"
#include "config/yaml.h"
#include "forms/form.h"
#include "model/facts.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SENTENCE_BYTES_MAX = 512 };

struct diagnose_graph {
	struct arena arena;
	struct form_set form; /* of a file that is no graph of ours: its tree is the graph's */
	const char *file;
	const struct yaml_node *root;
	uint32_t devices;
};

/* Loading. */

/* A command line, a container file, a resource of Kubernetes: its flags stand in its own lines. What is none of them, or starts
 * nothing that is known, is read as YAML. Only memory running out is an error. */
static int form_of(struct diagnose_graph *g, const char *text, size_t len, struct err *err)
{
	struct diags quiet;
	struct err why = {0};

	diags_init(&quiet);
	int r = form_read(&g->form, g->file, text, len, &quiet, &why);
	diags_done(&quiet);
	if (r == -ENOMEM)
		return err_set(err, r, "out of memory");
	g->root = r == 0 && g->form.form ? g->form.root : NULL;
	return 0;
}

int diagnose_graph_parse(struct diagnose_graph **ret, const char *name, const char *text, size_t len, uint32_t devices,
	struct diags *diags, struct err *err)
{
	CLEANUP(diagnose_graph_destroy_p) struct diagnose_graph *g = calloc(1, sizeof *g);
	struct yaml_node *root;

	if (!g)
		return err_set(err, -ENOMEM, "out of memory");
	arena_init(&g->arena, YAML_ARENA_BYTES_MAX);
	g->devices = devices;
	form_set_init(&g->form);
	g->file = arena_strdup(&g->arena, name);
	if (!g->file)
		return err_set(err, -ENOMEM, "out of memory");
	if (form_of(g, text, len, err) < 0)
		return -ENOMEM;
	if (!g->root) {
		int r = yaml_parse(&root, &g->arena, g->file, text, len, diags);
		if (r < 0)
			return err_set(err, r,
				r == -ENOMEM ? "out of memory"
					     : "\"%s\" is neither a graph nor another form of a deployment",
				name);
		yaml_check_duplicates(root, diags);
		g->root = root;
	}
	*ret = TAKE(g);
	return 0;
}

int diagnose_graph_load(
	struct diagnose_graph **ret, const char *file, uint32_t devices, struct diags *diags, struct err *err)
{
	struct buf text;

	buf_init(&text, YAML_BYTES_MAX);
	int code = file_read_text(&text, "graph", file, FILE_OR_PIPE, err);
	if (code == 0)
		code = diagnose_graph_parse(ret, file, buf_str(&text), text.len, devices, diags, err);
	buf_done(&text);
	return code;
}

void diagnose_graph_destroy(struct diagnose_graph *g)
{
	if (!g)
		return;
	form_set_done(&g->form);
	arena_done(&g->arena);
	free(g);
}

uint32_t diagnose_devices_parse(const char *text)
{
	uint64_t sum = 0;

	while (*text) {
		char *end;
		unsigned long n = strtoul(text, &end, 10);

		if (end == text || n == 0 || n > 100000 || (*end && *end != 'x' && *end != 'X' && *end != ','))
			return 0;
		sum += n;
		text = end + strcspn(end, ",");
		text += *text == ',';
	}
	return sum <= 1000000 ? (uint32_t)sum : 0;
}

/* Services. */

static const struct yaml_node *map_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *node = map ? yaml_find(map, key) : NULL;

	return node && node->type == YAML_MAP ? node : NULL;
}

static const struct yaml_node *scalar_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *node = map ? yaml_find(map, key) : NULL;

	return node && node->type == YAML_SCALAR ? node : NULL;
}

static uint32_t number_in(const struct yaml_node *map, const char *key, uint32_t def)
{
	const struct yaml_node *node = scalar_in(map, key);
	char *end;

	if (!node)
		return def;
	unsigned long n = strtoul(node->text, &end, 10);
	return *end || n > 1000000 ? def : (uint32_t)n;
}

/* A service that runs an engine: by its name, or because it says so. */
static bool is_worker(const struct yaml_node *service)
{
	size_t len = service->key ? strlen(service->key) : 0;

	if (service->type != YAML_MAP)
		return false;
	return (len >= 6 && strcmp(service->key + len - 6, "Worker") == 0) || scalar_in(service, "engine");
}

static uint32_t gpus_of(const struct yaml_node *service, uint32_t *ret_workers, uint32_t *ret_each)
{
	const struct yaml_node *args = map_in(service, "ServiceArgs");

	*ret_workers = number_in(args, "workers", 1);
	*ret_each = number_in(map_in(args, "resources"), "gpu", 0);
	return *ret_workers * *ret_each;
}

static const struct yaml_node *first_service(const struct diagnose_graph *g)
{
	return g->root && g->root->type == YAML_MAP ? g->root->first : NULL;
}

static uint32_t gpus_asked(const struct diagnose_graph *g)
{
	uint32_t sum = 0, workers, each;

	for (const struct yaml_node *s = first_service(g); s; s = s->next)
		if (s->type == YAML_MAP && !s->shadowed)
			sum += gpus_of(s, &workers, &each);
	return sum;
}

/* Telling. */

static bool changes_gpus(const struct signature *s)
{
	for (uint32_t i = 0; i < s->change_len; i++)
		if (strcmp(s->change[i], "gpus") == 0)
			return true;
	return false;
}

bool diagnose_graph_cause(const struct diagnose_graph *g, const struct signature *s, char *ret, size_t cap)
{
	if (!g || !changes_gpus(s) || g->devices == 0 || gpus_asked(g) <= g->devices)
		return false;
	snprintf(ret, cap,
		"asked for GPU index %u of %u: more workers x GPUs than devices (the graph asks for %u GPUs, and there "
		"%s %u, "
		"numbered from 0)",
		g->devices, g->devices, gpus_asked(g), g->devices == 1 ? "is" : "are", g->devices);
	return true;
}

/* The line to show for the GPUs of a service: its resources.gpu. */
static void gpus_tell(const struct diagnose_graph *g, struct findings *ret)
{
	uint32_t asked = gpus_asked(g), workers, each, services = 0;

	for (const struct yaml_node *s = first_service(g); s; s = s->next) {
		const struct yaml_node *args = s->type == YAML_MAP ? map_in(s, "ServiceArgs") : NULL;
		const struct yaml_node *gpu = scalar_in(map_in(args, "resources"), "gpu"),
				       *count = scalar_in(args, "workers");

		if (s->type != YAML_MAP || gpus_of(s, &workers, &each) == 0)
			continue;
		services++;
		findings_arithmetic(ret, "%s:%u: %s asks for %u worker%s x %u GPU%s = %u", g->file,
			count ? count->key_pos.line : gpu->key_pos.line, s->key, workers, workers == 1 ? "" : "s", each,
			each == 1 ? "" : "s", workers * each);
		findings_remedy(ret, "%s:%u: change %s (%u x %u GPUs)", g->file,
			count ? count->key_pos.line : gpu->key_pos.line, s->key, workers, each);
	}
	if (services == 0)
		findings_arithmetic(ret, "%s: no service asks for GPUs (ServiceArgs.resources.gpu)", g->file);
	else if (g->devices == 0)
		findings_arithmetic(ret, "together %u GPUs, indices 0 to %u", asked, asked - 1);
	else
		findings_arithmetic(
			ret, "together %u GPUs %s %u there are", asked, asked > g->devices ? ">" : "<=", g->devices);
}

/* The value a service has for a key: its own, or Common's. */
static const struct yaml_node *value_of(
	const struct diagnose_graph *g, const struct yaml_node *service, const char *key)
{
	const struct yaml_node *own = yaml_find(service, key);
	const struct yaml_node *common = g->root ? map_in(g->root, "Common") : NULL;

	return own ? own : common ? yaml_find(common, key) : NULL;
}

/* Is this a setting of which the remedy is an upper bound? */
static bool is_bound_above(const char *key)
{
	static const char *const keys[] = {"max-model-len", "context-length", "max-num-seqs", "max-num-batched-tokens",
		"max-running-requests", "chunked-prefill-size", "tensor-parallel-size"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

/* "8192", "32k": 0: no number. */
static double number_text(const char *text)
{
	char *end;
	double n = strtod(text, &end);

	return end == text ? 0 : *end == 'k' || *end == 'K' ? n * 1000 : n;
}

/* The longest context of the service's model; 0: not known. */
static uint64_t context_max(const struct diagnose_graph *g, const struct yaml_node *service)
{
	const struct yaml_node *model = value_of(g, service, "model");
	struct model_facts facts;
	struct err err = {0};

	if (!model)
		model = value_of(g, service, "model-path");
	return model && model->type == YAML_SCALAR && model_facts_find(&facts, model->text, &err) == 0
		       ? facts.context_max
		       : 0;
}

/* What to make of a value. The log may be of a run with other settings: then the file already obeys, and to "make it" more
 * would undo that. A context beyond the model's own would only be refused for another reason. */
static void value_tell(const struct diagnose_graph *g, const struct yaml_node *service, const struct yaml_node *value,
	const char *key, const char *to, struct findings *ret)
{
	const char *flag = g->form.root ? "--" : "", *text = value->type == YAML_SCALAR ? value->text : "set";
	double now = number_text(text), wanted = number_text(to);
	bool context = !strcmp(key, "max-model-len") || !strcmp(key, "context-length");
	uint64_t most = context && wanted > 0 ? context_max(g, service) : 0;

	if (now > 0 && wanted > 0 && is_bound_above(key) && now <= wanted)
		findings_remedy(ret, "%s:%u: %s%s is %s, and so much is there: the log is of a run with another value",
			g->file, value->key_pos.line, flag, key, text);
	else if (most > 0 && wanted > (double)most)
		findings_remedy(ret, "%s:%u: %s%s is %s; make it %llu, for which the model was made", g->file,
			value->key_pos.line, flag, key, text, (unsigned long long)most);
	else
		findings_remedy(ret, "%s:%u: %s%s is %s%s%s", g->file, value->key_pos.line, flag, key, text,
			*to ? "; make it " : "", to);
}

static void change_tell(const struct diagnose_graph *g, const char *key, const char *to, struct findings *ret)
{
	const struct yaml_node *said = NULL, *first = NULL;

	for (const struct yaml_node *s = first_service(g); s; s = s->next) {
		if (!is_worker(s) &&
			!(strcmp(key, "port") == 0 && s->type == YAML_MAP && strcmp(s->key, "Frontend") == 0))
			continue;
		const struct yaml_node *value = value_of(g, s, key);

		first = first ? first : s;
		if (!value || value == said)
			continue;
		said = value; /* Common's is told once */
		value_tell(g, s, value, key, to, ret);
	}
	/* What is not there can be added, when we know what. */
	uint64_t most = first && *to && is_bound_above(key) && strstr(key, "len") ? context_max(g, first) : 0;
	char capped[32];
	if (most > 0 && number_text(to) > (double)most) {
		snprintf(capped, sizeof capped, "%llu", (unsigned long long)most);
		to = capped;
	}
	if (!said && first && *to && g->form.root)
		findings_remedy(ret, "%s:%u: add --%s %s", g->file, first->key_pos.line, key, to);
	else if (!said && first && *to)
		findings_remedy(ret, "%s:%u: add \"%s: %s\" to %s", g->file, first->key_pos.line, key, to, first->key);
}

bool diagnose_graph_has_workers(const struct diagnose_graph *g)
{
	for (const struct yaml_node *s = first_service(g); s; s = s->next)
		if (is_worker(s))
			return true;
	return false;
}

void diagnose_graph_tell(const struct diagnose_graph *g, const struct signature *s, const struct captures *captures,
	struct findings *ret)
{
	for (uint32_t i = 0; g && i < s->change_len; i++) {
		char key[128], to[SENTENCE_BYTES_MAX];
		const char *equals = strchr(s->change[i], '=');
		size_t len = equals ? (size_t)(equals - s->change[i]) : strlen(s->change[i]);

		if (strcmp(s->change[i], "gpus") == 0) {
			gpus_tell(g, ret);
			continue;
		}
		snprintf(key, sizeof key, "%.*s", (int)len, s->change[i]);
		captures_fill(captures, equals ? equals + 1 : "", to, sizeof to);
		change_tell(g, key, strchr(to, '?') ? "" : to, ret);
	}
}
