/* diagnose_catalogue.c - YAML to signatures; see diagnose_catalogue.h. */
#include "plan/diagnose_catalogue.h"
#include "base/file.h"
#include "base/vec.h"
#include "config/yaml.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* data/log-signatures.yaml, embedded by mk/embed.mk. */
extern const char data_log_signatures_yaml[];
extern const uint64_t data_log_signatures_yaml_len;

struct catalogue {
	struct arena arena;
	VEC(struct signature) entries;
	VEC(struct catalogue_word) words;
	struct words *automaton;
	/* While reading: conditions by name, and where they stand. */
	VEC(const struct yaml_node *) nodes;
	bool no_memory; /* something that was read is missing for want of it */
};

static const struct telling_word telling_words[] = {
	{"error", 2},
	{"exception", 2},
	{"fatal", 3},
	{"panic", 3},
	{"critical", 3},
	{"abort", 2},
	{"failed", 2},
	{"failure", 2},
	{"cannot ", 1},
	{"could not", 2},
	{"unable to", 2},
	{"killed", 2},
	{"segfault", 3},
	{"core dumped", 3},
	{"assert", 2},
	{"segmentation fault", 3},
	{"terminate called", 3},
	{"what():", 3},
	{"illegal instruction", 3},
	{"trace/breakpoint trap", 3},
	{"sigsegv", 3},
	{"sigbus", 3},
	{"exited with", 2},
	{"exit code", 2},
	{"exit status", 2},
	{"exitcode", 2},
	{"exiting due to", 2},
	{"by signal", 2},
	{"backoff", 2},
	{"imagepull", 2},
	{"nvrm: xid", 3},
	{"died unexpectedly", 3},
	{"timed out", 2},
	{"refused", 2},
	{"denied", 2},
	{"exceeded", 2},
	{"insufficient", 2},
	{"unreachable", 2},
	{"not responding", 2},
	/* klog writes its severity as one letter. */
	{".go:", 1},
	/* So does glog; and its lines, the driver's, and those of loggers that shorten the word, may hold no other of these. */
	{".cc:", WORD_LOOK},
	{".cpp:", WORD_LOOK},
	{".c:", WORD_LOOK},
	{".cu:", WORD_LOOK},
	{"crash", 2},
	{"malformed", 2},
	{"hsa_status_error", 3},
	{"nvrm: ", WORD_LOOK},
	{"blocked for more than", WORD_LOOK},
	{"exited on signal", 2},
	{"exited (", WORD_LOOK},
	{"notready", WORD_LOOK},
	{"warning  ", WORD_LOOK},
	{"nccl warn", WORD_LOOK},
	{"bus error", 3},
	{"zsh: ", WORD_LOOK},
	{"uncaught", 2},
	{"corrupt", 2},
	{"(): invalid", 3},
	{"stack smashing", 3},
	{"pure virtual", 3},
	{"sanitizer: ", 3},
	{"not loaded: ", 2},
	{"command not found", 2},
	{"is not recognized", 2},
	{": not found", WORD_LOOK},
	{"no such file", WORD_LOOK},
	{"due to time limit", 2},
	{"cmake error", 2},
	{"undefined reference", 2},
	{"already allocated", 2},
	{"already in use", 2},
	{"[ftl", WORD_LOOK},
	{"[err", WORD_LOOK},
	{" err ", WORD_LOOK},
	{"[crit", WORD_LOOK},
	{"[alert", WORD_LOOK},
	{"[emerg", WORD_LOOK},
	/* Frames of a debugger. */
	{"std::terminate", WORD_LOOK},
	{"__gi_abort", WORD_LOOK},
	{"__pthread_kill", WORD_LOOK},
	/* How servers say that they serve. */
	{"server is listening on", WORD_SERVING},
	{"application startup complete", WORD_SERVING},
	{"uvicorn running on", WORD_SERVING},
	{"fired up and ready to roll", WORD_SERVING},
	{"started httpservice at", WORD_SERVING},
	{"started grpcinferenceservice at", WORD_SERVING},
	{"ready to serve client requests", WORD_SERVING},
	{"] server is ready", WORD_SERVING},
	/* How engines begin, which takes minutes, and how they say that they are past it. */
	{"llm engine (v", WORD_STARTING},
	{"starting to load model", WORD_STARTING},
	{"loading safetensors checkpoint shards", WORD_STARTING},
	{"load weight begin", WORD_STARTING},
	{"init torch distributed begin", WORD_STARTING},
	{"load_model: loading model", WORD_STARTING},
	{"llama_model_loader: loaded meta data", WORD_STARTING},
	{"llama_context: constructing", WORD_STARTING},
	{"llama_new_context_with_model: n_ctx", WORD_STARTING},
	{"starting llama server", WORD_STARTING},
	{"starting llama-server", WORD_STARTING},
	{"shard-manager: text_generation_launcher: starting shard", WORD_STARTING},
	{"init engine (profile", WORD_STARTED},
	{"graph capturing finished", WORD_STARTED},
	{"maximum concurrency for", WORD_STARTED},
	{"capture cuda graph end", WORD_STARTED},
	{"decode batch", WORD_STARTED},
	{"prefill batch", WORD_STARTED},
	{"avg prompt throughput", WORD_STARTED},
	{"llama runner started", WORD_STARTED},
	{"all slots are idle", WORD_STARTED},
	{"http server is listening", WORD_STARTED},
	{"starting vllm server on", WORD_STARTED},
	{"starting vllm api server", WORD_STARTED},
	{"text_generation_router", WORD_STARTED},
	{"shard ready in", WORD_STARTED},
	{"llama_perf_", WORD_STARTED},
	{"eval time =", WORD_STARTED},
};
static const char traceback_word[] = "traceback (most recent call last)";

/* Values of an entry. */

struct reader {
	struct catalogue *catalogue;
	struct diags *diags;
};

static const char *text_of(const struct yaml_node *entry, const char *key)
{
	const struct yaml_node *node = yaml_find(entry, key);

	return node && node->type == YAML_SCALAR ? node->text : "";
}

/* The place of the value in a list of names; def when it is not given. */
static uint32_t choice_of(
	const struct reader *r, const struct yaml_node *entry, const char *key, const char *const *names, uint32_t def)
{
	const char *text = text_of(entry, key);

	if (!*text)
		return def;
	for (uint32_t i = 0; names[i]; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	diags_add(r->diags, DIAG_ERROR, &yaml_find(entry, key)->pos, "unknown %s \"%s\"", key, text);
	return def;
}

static uint32_t number_of(const struct reader *r, const struct yaml_node *entry, const char *key, uint32_t def)
{
	const char *text = text_of(entry, key);
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!*text)
		return def;
	if (*end || value > 1000)
		diags_add(r->diags, DIAG_ERROR, &yaml_find(entry, key)->pos, "%s \"%s\" is no number from 0 to 1000",
			key, text);
	return (uint32_t)value;
}

/* A list of texts; a single one is a list of one. */
static const char *const *list_of(
	const struct reader *r, const struct yaml_node *entry, const char *key, uint32_t *ret_len)
{
	const struct yaml_node *node = yaml_find(entry, key);
	uint32_t count = !node || node->type == YAML_NULL ? 0 : node->type == YAML_SEQ ? node->count : 1;
	const char **ret = arena_alloc(&r->catalogue->arena, (count + 1) * sizeof *ret);

	*ret_len = 0;
	r->catalogue->no_memory |= !ret;
	if (!ret || count == 0)
		return ret;
	if (node->type == YAML_SCALAR)
		ret[(*ret_len)++] = node->text;
	for (const struct yaml_node *item = node->type == YAML_SEQ ? node->first : NULL; item; item = item->next) {
		if (item->type == YAML_SCALAR)
			ret[(*ret_len)++] = item->text;
		else
			diags_add(r->diags, DIAG_ERROR, &item->pos, "%s is a list of texts", key);
	}
	return ret;
}

static void keys_check(const struct reader *r, const struct yaml_node *entry)
{
	static const char *const known[] = {"id", "engine", "kind", "class", "severity", "rank", "match", "after",
		"unless", "cause", "remedy", "change", "example", "example-graph"};

	for (const struct yaml_node *child = entry->first; child; child = child->next) {
		bool is_known = false;

		for (size_t i = 0; i < ARRAY_LEN(known) && !is_known; i++)
			is_known = strcmp(known[i], child->key) == 0;
		if (!is_known)
			diags_add(r->diags, DIAG_ERROR, &child->key_pos, "unknown key \"%s\" of a log signature",
				child->key);
	}
}

static void patterns_read(const struct reader *r, const struct yaml_node *entry, struct signature *s)
{
	const char *const *list = list_of(r, entry, "match", &s->patterns_len);
	struct err err = {0};

	s->patterns = arena_alloc(&r->catalogue->arena, MAX(s->patterns_len, 1u) * sizeof *s->patterns);
	if (!list || !s->patterns) {
		r->catalogue->no_memory = true;
		s->patterns_len = 0;
		return;
	}
	for (uint32_t i = 0; i < s->patterns_len; i++)
		if (pattern_parse(&s->patterns[i], list[i], &r->catalogue->arena, &err) == -ENOMEM)
			r->catalogue->no_memory = true;
		else if (err.code < 0)
			diags_add(r->diags, DIAG_ERROR, &yaml_find(entry, "match")->pos,
				"cannot read the pattern \"%s\": %s", list[i], err.msg);
	if (s->patterns_len == 0)
		diags_add(r->diags, DIAG_ERROR, &entry->pos, "log signature \"%s\" has no pattern in match", s->id);
}

/* Everything but the conditions, which name other entries. */
static struct signature signature_read(const struct reader *r, const struct yaml_node *entry)
{
	static const char *const kinds[] = {"cause", "consequence", "wrapper", "harmless", "marker", NULL};
	static const char *const classes[] = {"capacity", "configuration", "environment", "crash", NULL};
	static const char *const severities[] = {"fatal", "warning", "info", NULL};
	static const enum finding_severity severity_of[] = {
		FINDING_FATAL, FINDING_FATAL, FINDING_WARNING, FINDING_INFO, FINDING_INFO};
	struct signature s = {.id = text_of(entry, "id"),
		.engine = text_of(entry, "engine"),
		.cause = text_of(entry, "cause"),
		.remedy = text_of(entry, "remedy"),
		.example = text_of(entry, "example"),
		.example_graph = text_of(entry, "example-graph")};

	keys_check(r, entry);
	s.kind = (enum signature_kind)choice_of(r, entry, "kind", kinds, SIGNATURE_CAUSE);
	s.class = (enum finding_class)choice_of(r, entry, "class", classes, FINDING_CRASH);
	s.severity = (enum finding_severity)choice_of(r, entry, "severity", severities, severity_of[s.kind]);
	s.rank = number_of(r, entry, "rank", SIGNATURE_RANK_DEFAULT);
	s.change = list_of(r, entry, "change", &s.change_len);
	patterns_read(r, entry, &s);
	if (!*s.id)
		diags_add(r->diags, DIAG_ERROR, &entry->pos, "a log signature without an id");
	if (!*s.cause && s.kind != SIGNATURE_MARKER)
		diags_add(r->diags, DIAG_ERROR, &entry->pos, "log signature \"%s\" has no cause", s.id);
	if (!*s.remedy && s.kind == SIGNATURE_CAUSE)
		diags_add(r->diags, DIAG_ERROR, &entry->pos, "log signature \"%s\" has no remedy", s.id);
	return s;
}

/* Add it, or put it in the place of one with its id. */
static int signature_add(struct reader *r, const struct yaml_node *entry)
{
	struct catalogue *c = r->catalogue;
	struct signature s = signature_read(r, entry);
	uint32_t at = catalogue_find(c, s.id);

	if (at < c->entries.len) {
		c->entries.v[at] = s;
		c->nodes.v[at] = entry;
		return 0;
	}
	if (c->entries.len == SIGNATURES_MAX) {
		diags_add(r->diags, DIAG_ERROR, &entry->pos, "more than %d log signatures", SIGNATURES_MAX);
		return 0;
	}
	return vec_push(&c->entries, s) < 0 || vec_push(&c->nodes, entry) < 0 ? -ENOMEM : 0;
}

static const uint32_t *condition_read(
	const struct reader *r, const struct yaml_node *entry, const char *key, uint32_t *ret_len)
{
	const char *const *names = list_of(r, entry, key, ret_len);
	uint32_t *ret = arena_alloc(&r->catalogue->arena, MAX(*ret_len, 1u) * sizeof *ret);

	for (uint32_t i = 0; i < *ret_len && ret && names; i++) {
		ret[i] = catalogue_find(r->catalogue, names[i]);
		if (ret[i] == SIGNATURES_MAX)
			diags_add(r->diags, DIAG_ERROR, &yaml_find(entry, key)->pos,
				"%s names \"%s\", which no log signature has as its id", key, names[i]);
	}
	r->catalogue->no_memory |= !ret;
	*ret_len = ret && names ? *ret_len : 0;
	return ret;
}

static int text_read(struct reader *r, const char *name, const char *text, size_t len)
{
	struct yaml_node *root;
	int code = yaml_parse(&root, &r->catalogue->arena, name, text, len, r->diags);

	if (code < 0 || root->type == YAML_NULL)
		return code;
	if (root->type != YAML_SEQ) {
		diags_add(r->diags, DIAG_ERROR, &root->pos,
			"log signatures are a list of entries that begin with \"- id: NAME\"");
		return -EINVAL;
	}
	for (const struct yaml_node *entry = root->first; entry && code == 0; entry = entry->next) {
		if (entry->type == YAML_MAP)
			code = signature_add(r, entry);
		else
			diags_add(
				r->diags, DIAG_ERROR, &entry->pos, "a log signature is a map of id, match, cause, ...");
	}
	return code;
}

/* The automaton. */

static int words_collect(struct catalogue *c)
{
	for (uint32_t i = 0; i < c->entries.len; i++)
		for (uint32_t k = 0; k < c->entries.v[i].patterns_len; k++)
			if (vec_push(&c->words, ((struct catalogue_word){i, &c->entries.v[i].patterns[k], 0})) < 0)
				return -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(telling_words); i++)
		if (vec_push(&c->words, ((struct catalogue_word){SIGNATURES_MAX, NULL, telling_words[i].weight})) < 0)
			return -ENOMEM;
	return vec_push(&c->words, ((struct catalogue_word){SIGNATURES_MAX, NULL, 0}));
}

static int automaton_make(struct catalogue *c, struct err *err)
{
	if (words_collect(c) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	uint32_t first_telling = c->words.len - (uint32_t)ARRAY_LEN(telling_words) - 1;
	CLEANUP(free_p) const char **list = calloc(c->words.len, sizeof *list);
	CLEANUP(free_p) uint32_t *lens = calloc(c->words.len, sizeof *lens);

	if (!list || !lens)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < c->words.len; i++) {
		const struct pattern *p = c->words.v[i].pattern;

		list[i] = p ? p->key : i + 1 < c->words.len ? telling_words[i - first_telling].text : traceback_word;
		lens[i] = p ? p->key_len : (uint32_t)strlen(list[i]);
	}
	return words_create(&c->automaton, list, lens, c->words.len, err);
}

static int finish(struct reader *r, struct err *err)
{
	struct catalogue *c = r->catalogue;

	for (uint32_t i = 0; i < c->entries.len; i++) {
		struct signature *s = &c->entries.v[i];

		s->after = condition_read(r, c->nodes.v[i], "after", &s->after_len);
		s->unless = condition_read(r, c->nodes.v[i], "unless", &s->unless_len);
	}
	if (c->no_memory)
		return err_set(err, -ENOMEM, "out of memory");
	if (r->diags->errors > 0)
		return err_set(err, -EINVAL, "the log signatures have %u mistake%s", r->diags->errors,
			r->diags->errors == 1 ? "" : "s");
	return automaton_make(c, err);
}

/* Text of a user's file, in the arena. */
static int text_of_file(struct catalogue *c, const char *path, char **ret, size_t *ret_len, struct err *err)
{
	struct buf text;

	buf_init(&text, YAML_BYTES_MAX);
	int code = file_read_text(&text, "log signatures", path, FILE_OR_PIPE, err);
	*ret_len = text.len;
	if (code == 0 && !(*ret = arena_alloc(&c->arena, text.len + 1)))
		code = err_set(err, -ENOMEM, "out of memory");
	else if (code == 0)
		memcpy(*ret, buf_str(&text), text.len + 1);
	buf_done(&text);
	return code;
}

static struct catalogue *catalogue_new(void)
{
	struct catalogue *c = calloc(1, sizeof *c);

	if (c)
		arena_init(&c->arena, CATALOGUE_BYTES_MAX);
	return c;
}

static int refuse(int code, struct err *err)
{
	return code == -ENOMEM ? err_set(err, code, "out of memory")
			       : err_set(err, code, "cannot read the log signatures");
}

int catalogue_parse(
	struct catalogue **ret, const char *name, const char *text, size_t len, struct diags *diags, struct err *err)
{
	CLEANUP(catalogue_destroy_p) struct catalogue *c = catalogue_new();
	struct reader r = {c, diags};
	int code;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	if ((code = text_read(&r, name, text, len)) < 0)
		return refuse(code, err);
	if ((code = finish(&r, err)) < 0)
		return code;
	*ret = TAKE(c);
	return 0;
}

int catalogue_create(struct catalogue **ret, const char *file, struct diags *diags, struct err *err)
{
	CLEANUP(catalogue_destroy_p) struct catalogue *c = catalogue_new();
	struct reader r = {c, diags};
	char *text = NULL;
	size_t len = 0;
	int code;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	code = text_read(&r, "log-signatures.yaml", data_log_signatures_yaml, data_log_signatures_yaml_len);
	if (code < 0)
		return refuse(code, err);
	if (file && (code = text_of_file(c, file, &text, &len, err)) < 0)
		return code;
	if (file && (code = text_read(&r, file, text, len)) < 0)
		return refuse(code, err);
	if ((code = finish(&r, err)) < 0)
		return code;
	*ret = TAKE(c);
	return 0;
}

void catalogue_destroy(struct catalogue *c)
{
	if (!c)
		return;
	words_destroy(c->automaton);
	vec_done(&c->entries);
	vec_done(&c->words);
	vec_done(&c->nodes);
	arena_done(&c->arena);
	free(c);
}

uint32_t catalogue_len(const struct catalogue *c)
{
	return c->entries.len;
}

const struct signature *catalogue_at(const struct catalogue *c, uint32_t i)
{
	ASSERT(i < c->entries.len);
	return &c->entries.v[i];
}

uint32_t catalogue_find(const struct catalogue *c, const char *id)
{
	for (uint32_t i = 0; i < c->entries.len; i++)
		if (strcmp(c->entries.v[i].id, id) == 0)
			return i;
	return SIGNATURES_MAX;
}

const struct words *catalogue_words(const struct catalogue *c)
{
	return c->automaton;
}

const struct catalogue_word *catalogue_word_at(const struct catalogue *c, uint32_t word)
{
	ASSERT(word < c->words.len);
	return &c->words.v[word];
}
