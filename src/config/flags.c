#include "config/flags.h"

#include "base/vec.h"
#include "config/suggest.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

typedef VEC(const char *) strings;

struct flags {
	const struct flags_command *cmd;
	struct config_value *values; /* one a flag */
	strings args, overrides, *lists; /* lists: one a flag, for those that may come several times */
	bool help;
	struct arena arena;
};

/* Where in argv we are. */
struct cursor {
	int argc, i;
	char *const *argv;
};

static int find(const struct flags_command *cmd, const char *name)
{
	for (size_t i = 0; i < cmd->count; i++)
		if (config_name_equal(cmd->flags[i].key.name, name))
			return (int)i;
	return -1;
}

static int find_letter(const struct flags_command *cmd, char letter)
{
	for (size_t i = 0; i < cmd->count; i++)
		if (cmd->flags[i].letter == letter)
			return (int)i;
	return -1;
}

static int unknown_flag(const struct flags_command *cmd, const char *name, struct err *err)
{
	struct suggest s;

	suggest_init(&s, name);
	for (size_t i = 0; i < cmd->count; i++)
		suggest_offer(&s, cmd->flags[i].key.name);
	suggest_offer(&s, "help");
	err_set(err, -EINVAL, "unknown flag \"--%.100s\"", name);
	if (suggest_best(&s))
		return err_hint(err, "did you mean \"--%s\"?", suggest_best(&s));
	return -EINVAL;
}

static int set_value(struct flags *f, int at, const char *text, struct err *err)
{
	const struct flag *flag = &f->cmd->flags[at];
	struct config_value v = {0};

	if (flag->key.type == CONFIG_LIST) {
		if (vec_push(&f->lists[at], text) < 0)
			return err_set(err, -ENOMEM, "out of memory");
		f->values[at].set = true;
		return 0;
	}
	int r = config_value_parse(&v, &flag->key, text, &f->arena, err);
	if (r < 0)
		return err_wrap(err, "--%s", flag->key.name);
	v.set = true;
	f->values[at] = v;
	return 0;
}

/* The word after a flag that wants one. "-" alone and negative numbers are values, other dashes are flags. */
static const char *next_value(struct cursor *c)
{
	if (c->i + 1 >= c->argc)
		return NULL;
	const char *next = c->argv[c->i + 1];
	if (next[0] == '-' && next[1] && !isdigit((unsigned char)next[1]) && next[1] != '.')
		return NULL;
	c->i++;
	return next;
}

static int missing_value(const struct flag *flag, struct err *err)
{
	char accepts[512];

	return err_set(err, -EINVAL, "--%s needs a value: %s", flag->key.name,
		config_key_accepts(&flag->key, accepts, sizeof accepts));
}

/* A flag that may stand alone takes the next word only when it is one of its choices, or nearly. */
static bool is_bare(const struct flag *flag, const struct cursor *c)
{
	const char *next = c->i + 1 < c->argc ? c->argv[c->i + 1] : NULL;
	char choice[SUGGEST_BYTES_MAX + 1];

	for (const char *p = flag->bare && next ? flag->key.choices : ""; *p;) {
		size_t len = strcspn(p, "|");
		snprintf(choice, sizeof choice, "%.*s", (int)len, p);
		if (suggest_distance(next, choice, 2) <= MIN(2, len / 3))
			return false;
		p += len + (p[len] == '|');
	}
	return flag->bare != NULL;
}

static int take(struct flags *f, int at, const char *value, struct cursor *c, struct err *err)
{
	const struct flag *flag = &f->cmd->flags[at];

	if (!value && flag->key.type == CONFIG_BOOL)
		value = "true";
	if (!value && is_bare(flag, c))
		value = flag->bare;
	if (!value)
		value = next_value(c);
	return value ? set_value(f, at, value, err) : missing_value(flag, err);
}

static bool is_override(const struct flags_command *cmd, const char *word)
{
	size_t len = strcspn(word, "=");
	const char *dot = memchr(word, '.', len);

	return cmd->overrides && dot && dot > word + 2;
}

static int take_override(struct flags *f, struct cursor *c, struct err *err)
{
	const char *word = c->argv[c->i];

	if (!strchr(word, '=')) {
		const char *value = next_value(c);
		if (!value)
			return err_set(err, -EINVAL, "\"%.200s\" needs a value: %.200s=VALUE", word, word);
		word = arena_printf(&f->arena, "%s=%s", word, value);
		if (!word)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return vec_push(&f->overrides, word) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int take_negated(struct flags *f, const char *name, struct err *err)
{
	int at = strncmp(name, "no-", 3) && strncmp(name, "no_", 3) ? -1 : find(f->cmd, name + 3);

	if (at < 0)
		return unknown_flag(f->cmd, name, err);
	if (f->cmd->flags[at].key.type != CONFIG_BOOL)
		return err_set(err, -EINVAL, "--%s takes a value, so there is no --%s", name + 3, name);
	return set_value(f, at, "false", err);
}

static int take_long(struct flags *f, struct cursor *c, struct err *err)
{
	const char *word = c->argv[c->i] + 2, *equals = strchr(word, '=');
	char *name = arena_strndup(&f->arena, word, strcspn(word, "="));

	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	if (is_override(f->cmd, c->argv[c->i]))
		return take_override(f, c, err);
	int at = find(f->cmd, name);
	if (at >= 0)
		return take(f, at, equals ? equals + 1 : NULL, c, err);
	if (!strcmp(name, "help")) {
		f->help = true;
		return 0;
	}
	if (equals)
		return unknown_flag(f->cmd, name, err);
	return take_negated(f, name, err);
}

/* -p 80, -p80, and letters of truth values together: -vq. */
static int take_short(struct flags *f, struct cursor *c, struct err *err)
{
	const char *p = c->argv[c->i] + 1;
	int r = 0;

	for (; *p && r == 0; p++) {
		int at = find_letter(f->cmd, *p);
		if (at < 0 && *p == 'h') {
			f->help = true;
			continue;
		}
		if (at < 0)
			return err_set(err, -EINVAL, "unknown flag \"-%c\"", *p);
		bool truth = f->cmd->flags[at].key.type == CONFIG_BOOL;
		r = take(f, at, truth || !p[1] ? NULL : p + 1, c, err);
		if (!truth)
			break;
	}
	return r;
}

static int take_arg(struct flags *f, const char *arg, struct err *err)
{
	if (f->args.len < f->cmd->args_max)
		return vec_push(&f->args, arg) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
	err_set(err, -EINVAL, "unexpected argument \"%.200s\"", arg);
	if (f->cmd->args_max == 0)
		return err_hint(err, "\"%s\" takes flags only", f->cmd->name);
	return err_hint(err, "\"%s\" takes %s", f->cmd->name, f->cmd->args);
}

static int parse_words(struct flags *f, struct cursor *c, struct err *err)
{
	bool flags_over = false;
	int first = 0;

	for (; c->i < c->argc; c->i++) {
		const char *word = c->argv[c->i];
		struct err *here = first ? NULL : err; /* the first mistake is told; --help may still follow */
		int r = 0;
		if (flags_over || word[0] != '-' || !word[1])
			r = take_arg(f, word, here);
		else if (!strcmp(word, "--"))
			flags_over = true;
		else
			r = word[1] == '-' ? take_long(f, c, here) : take_short(f, c, here);
		if (r == 0 || first)
			continue;
		first = r == -ENOMEM ? r : -EINVAL;
		if (err)
			err->code = first;
	}
	if (f->help && first == -EINVAL) {
		err_clear(err);
		return 0;
	}
	return first;
}

static int set_defaults(struct flags *f, struct err *err)
{
	for (size_t i = 0; i < f->cmd->count; i++) {
		const struct config_key *key = &f->cmd->flags[i].key;
		if (!key->def)
			continue;
		int r = config_value_parse(&f->values[i], key, key->def, &f->arena, err);
		ASSERT(r == 0 || r == -ENOMEM); /* a default its own flag refuses is our mistake */
		if (r < 0)
			return r;
	}
	return 0;
}

int flags_parse(struct flags **ret, const struct flags_command *cmd, int argc, char *const argv[], struct err *err)
{
	struct flags *f = calloc(1, sizeof *f);
	struct cursor c = {.argc = argc, .argv = argv};

	if (!f)
		return err_set(err, -ENOMEM, "out of memory");
	f->cmd = cmd;
	arena_init(&f->arena, FLAGS_BYTES_MAX);
	f->values = arena_alloc(&f->arena, (cmd->count + 1) * sizeof *f->values);
	f->lists = arena_alloc(&f->arena, (cmd->count + 1) * sizeof *f->lists);
	if (!f->values || !f->lists) {
		flags_destroy(f);
		return err_set(err, -ENOMEM, "out of memory");
	}
	int r = set_defaults(f, err);
	if (r == 0)
		r = parse_words(f, &c, err);
	if (r < 0) {
		flags_destroy(f);
		return r;
	}
	*ret = f;
	return 0;
}

void flags_destroy(struct flags *f)
{
	if (!f)
		return;
	for (size_t i = 0; f->lists && i < f->cmd->count; i++)
		vec_done(&f->lists[i]);
	vec_done(&f->args);
	vec_done(&f->overrides);
	arena_done(&f->arena);
	free(f);
}

bool flags_help_wanted(const struct flags *f)
{
	return f->help;
}

static int index_of(const struct flags *f, const char *name)
{
	int at = find(f->cmd, name);

	ASSERT(at >= 0);
	return at;
}

static const struct config_value *typed(const struct flags *f, const char *name, enum config_type type)
{
	int at = index_of(f, name);

	ASSERT(f->cmd->flags[at].key.type == type);
	return &f->values[at];
}

bool flags_is_set(const struct flags *f, const char *name)
{
	return f->values[index_of(f, name)].set;
}

bool flags_bool(const struct flags *f, const char *name)
{
	return typed(f, name, CONFIG_BOOL)->b;
}

int64_t flags_int(const struct flags *f, const char *name)
{
	return typed(f, name, CONFIG_INT)->i;
}

uint64_t flags_uint(const struct flags *f, const char *name)
{
	return typed(f, name, CONFIG_UINT)->u;
}

double flags_float(const struct flags *f, const char *name)
{
	return typed(f, name, CONFIG_FLOAT)->f;
}

uint64_t flags_duration_us(const struct flags *f, const char *name)
{
	return typed(f, name, CONFIG_DURATION)->u;
}

uint64_t flags_bytes(const struct flags *f, const char *name)
{
	return typed(f, name, CONFIG_BYTES)->u;
}

const char *flags_str(const struct flags *f, const char *name)
{
	int at = index_of(f, name);
	enum config_type type = f->cmd->flags[at].key.type;

	ASSERT(type == CONFIG_STRING || type == CONFIG_ENUM || type == CONFIG_JSON);
	return f->values[at].text;
}

static const char *const *list_of(const strings *list, uint32_t *ret_len)
{
	static const char *const none[] = {NULL};

	*ret_len = list->len;
	return list->v ? list->v : none;
}

const char *const *flags_list(const struct flags *f, const char *name, uint32_t *ret_len)
{
	int at = index_of(f, name);

	ASSERT(f->cmd->flags[at].key.type == CONFIG_LIST);
	return list_of(&f->lists[at], ret_len);
}

const char *const *flags_args(const struct flags *f, uint32_t *ret_len)
{
	return list_of(&f->args, ret_len);
}

const char *const *flags_overrides(const struct flags *f, uint32_t *ret_len)
{
	return list_of(&f->overrides, ret_len);
}

const struct flags_command *flags_command_find(
	const struct flags_command *const *cmds, size_t count, const char *name, struct err *err)
{
	struct suggest s;

	suggest_init(&s, name);
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(cmds[i]->name, name))
			return cmds[i];
		suggest_offer(&s, cmds[i]->name);
	}
	err_set(err, -EINVAL, "unknown command \"%.100s\"", name);
	if (suggest_best(&s))
		err_hint(err, "did you mean \"%s\"?", suggest_best(&s));
	return NULL;
}
