/* shell.c - a script is followed command by command; see shell.h. The text is cut as it is followed, so that each command sees the variables
 * that were set before it, and a loop's or function's body is cut again each time. */
#include "forms/shell.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum {
	STEPS_MAX = 20000, /* commands that are looked at, those that are passed over too */
	NESTED_MAX = 48, /* of lists of commands in each other, calls of functions too */
	TURNS_MAX = 64, /* of a loop */
};

/* What ends a list of commands. */
enum end {
	END_TEXT,
	END_THEN,
	END_ELSE,
	END_ELIF,
	END_FI,
	END_DO,
	END_DONE,
	END_ESAC,
	END_CASE,
	END_BRACE,
	END_BRACKET
};

struct function {
	const char *name;
	size_t at; /* of its body */
	struct config_pos pos;
	bool called, active; /* active: it is being followed; a call of itself is not */
	struct function *next;
};

struct form_shell {
	struct form_set *f;
	const struct form_shell_ops *ops;
	void *ctx;
	struct form_cut cut;
	const struct form_env *env, *given;
	struct function *functions;
	const struct form_words *args; /* "$@"; NULL: not known */
	/* The command that was cut last: words from at on are not yet taken, and then op. */
	struct form_words words;
	uint32_t at;
	enum form_op op;
	struct form_words pipeline; /* of the commands since the last that was no pipe */
	enum form_truth last; /* what the last command gave */
	uint32_t steps, depth, conditions; /* conditions: how many are around */
	bool ended; /* "exit": nothing of the rest is run */
	bool page_said; /* that a page has several commands */
	bool sequential; /* something in this loop waits for what runs, or ends it */
	/* A service that perhaps ended the script ("exec"): what comes later is instead of it. */
	uint32_t perhaps_begin, perhaps_len;
	uint32_t first; /* services when the text began */
	uint32_t branch; /* services when the condition that is not known began */
	int code;
};

size_t form_assigned_len(const char *text)
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]) || text[n] == '_')
		n++;
	if (!n || isdigit((unsigned char)*text))
		return 0;
	return text[n] == '=' || (text[n] == '+' && text[n + 1] == '=') ? n : 0;
}

/* ---- variables ---- */

static void set_env(
	struct form_shell *s, const char *name, const char *value, const struct form_words *list, bool exported)
{
	struct form_env *e = arena_alloc(&s->f->arena, sizeof *e);

	if (!e || !name) {
		s->code = -ENOMEM;
		return;
	}
	*e = (struct form_env){.name = name, .value = value, .list = list, .next = s->env, .exported = exported};
	s->env = s->cut.env = e;
}

static struct form_words *joined(
	struct form_shell *s, const struct form_words *old, const struct form_words *more, bool unsure)
{
	struct form_words *ret = arena_alloc(&s->f->arena, sizeof *ret);

	for (uint32_t i = 0; ret && old && i < old->len && s->code == 0; i++)
		s->code = form_push(&s->f->arena, ret, old->v[i]);
	for (uint32_t i = 0; ret && i < more->len && s->code == 0; i++) {
		struct form_word w = more->v[i];
		w.unsure |= unsure;
		s->code = form_push(&s->f->arena, ret, w);
	}
	if (!ret)
		s->code = -ENOMEM;
	return ret;
}

static bool begins_with(const char *text, const char *head)
{
	return *head && !strncmp(text, head, strlen(head));
}

/* CMD="$CMD --x" that perhaps runs: the words that it adds are perhaps there. */
static void set_longer(
	struct form_shell *s, const char *name, const struct form_env *old, const char *value, bool exported)
{
	const char *tail = value + strlen(old->value);
	struct form_words head = {0}, more = {0}, *list;

	if (s->code == 0 && !old->split)
		s->code = form_words_cut(
			&head, &s->f->arena, s->cut.pos.file, old->value, strlen(old->value), &s->cut.pos, s->env);
	if (s->code == 0)
		s->code = form_words_cut(&more, &s->f->arena, s->cut.pos.file, tail, strlen(tail), &s->cut.pos, s->env);
	list = s->code == 0 ? joined(s, old->split ? old->list : &head, &more, true) : NULL;
	set_env(s, name, value, list, exported);
	if (s->code == 0)
		((struct form_env *)s->env)->split = true;
}

static void assign(struct form_shell *s, const struct form_word *w, enum form_truth live, bool exported)
{
	size_t n = form_assigned_len(w->text);
	bool adds = w->text[n] == '+', perhaps = live == FORM_PERHAPS;
	const char *name = arena_strndup(&s->f->arena, w->text, n), *value = w->text + n + 1 + adds;
	const struct form_env *old = form_env_find(s->env, w->text, n);

	exported |= old && old->exported;
	if (w->list) {
		set_env(s, name, NULL, joined(s, adds && old ? old->list : NULL, w->list, perhaps && old), exported);
		return;
	}
	if (adds && old && old->value)
		value = arena_printf(&s->f->arena, "%s%s", old->value, value);
	if (perhaps && old && old->value && value && begins_with(value, old->value)) {
		set_longer(s, name, old, value, exported);
		return;
	}
	bool known = !perhaps || !old || (old->value && value && !strcmp(old->value, value));
	s->code = value ? s->code : -ENOMEM;
	set_env(s, name, known ? value : NULL, NULL, exported);
}

/* "$1", "$@", "$#" of a function's call; NULL: they are not known. */
static void set_args(struct form_shell *s, const struct form_words *args)
{
	char count[16];

	for (uint32_t i = 9; i > 0 && s->code == 0; i--)
		set_env(s, arena_printf(&s->f->arena, "%u", i), args && i <= args->len ? args->v[i - 1].text : NULL,
			NULL, false);
	snprintf(count, sizeof count, "%u", args ? args->len : 0);
	set_env(s, "#", args ? arena_strdup(&s->f->arena, count) : NULL, NULL, false);
	set_env(s, "@", NULL, args, false);
	set_env(s, "*", NULL, args, false);
	s->args = args;
}

static const struct form_words *rest_of(struct form_shell *s, const struct form_word *words, uint32_t count)
{
	const struct form_words some = {.v = (struct form_word *)words, .len = count};

	return joined(s, NULL, &some, false);
}

int form_args_env(struct form_set *f, const struct form_word *words, uint32_t count, const struct form_env **env)
{
	struct form_shell *s = arena_alloc(&f->arena, sizeof *s);

	if (!s)
		return -ENOMEM;
	*s = (struct form_shell){.f = f, .env = *env};
	if (!count)
		return 0;
	set_env(s, "0", words[0].text, NULL, false);
	set_args(s, rest_of(s, words + 1, count - 1));
	if (s->code == 0)
		*env = s->env;
	return s->code;
}

/* ---- what is next ---- */

static enum end exec_list(struct form_shell *s, enum form_truth live);

static const struct form_word *word_now(const struct form_shell *s)
{
	return s->at < s->words.len ? &s->words.v[s->at] : NULL;
}

/* Cut the next command when the last is taken. False: there is none. */
static bool more(struct form_shell *s)
{
	if (s->at < s->words.len || s->op)
		return true;
	if (s->code < 0 || s->steps++ > STEPS_MAX)
		return false;
	s->words = (struct form_words){0};
	s->at = 0;
	s->code = form_cut_command(&s->cut, &s->words, &s->op);
	return s->code == 0 && (s->words.len || s->op != FORM_OP_END);
}

static bool is_word(const struct form_word *w, const char *text)
{
	return w && !w->quoted && !strcmp(w->text, text);
}

static bool is_end(const struct form_word *w, enum end *ret)
{
	static const struct {
		const char *text;
		enum end end;
	} ends[] = {{"then", END_THEN}, {"else", END_ELSE}, {"elif", END_ELIF}, {"fi", END_FI}, {"do", END_DO},
		{"done", END_DONE}, {"esac", END_ESAC}, {"}", END_BRACE}};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (is_word(w, ends[i].text)) {
			*ret = ends[i].end;
			return true;
		}
	return false;
}

/* ---- one of several ---- */

static bool counts(const struct form_service *s, const char *name)
{
	const char *section = s->engine == GRAPH_ENGINE_VLLM     ? "VllmWorker"
			      : s->engine == GRAPH_ENGINE_SGLANG ? "SglangWorker"
								 : "LlamaWorker";

	return strcmp(name, "port") && strcmp(name, "host") && config_key_find(section, name);
}

static bool has_args(const struct form_service *a, const struct form_service *b)
{
	for (uint32_t i = 0; i < a->args.len; i++) {
		const struct form_arg *x = &a->args.v[i], *y = form_arg_find(&b->args, x->name);
		if (counts(a, x->name) && (!y || strcmp(x->value ? x->value : "", y->value ? y->value : "")))
			return false;
	}
	return true;
}

static bool are_alike(const struct form_service *a, const struct form_service *b)
{
	return a->engine == b->engine && a->role == b->role && a->gpus == b->gpus && a->replicas == b->replicas &&
	       !strcmp(a->model ? a->model : "", b->model ? b->model : "") && has_args(a, b) && has_args(b, a);
}

static const char page[] =
	"the page has several commands; the plan is that of the first, not of this one and those behind it";

/* The services from begin on are instead of len others from first on: those stay, and it is said when these differ. */
static void instead(
	struct form_shell *s, uint32_t first, uint32_t len, uint32_t begin, uint32_t remarks, const char *why)
{
	struct form_services *all = &s->f->services;
	bool alike = all->len - begin == len;

	if (all->len == begin || !len || begin < first + len)
		return;
	for (uint32_t i = 0; i < len && alike; i++)
		alike = are_alike(&all->v[first + i], &all->v[begin + i]);
	const struct config_pos pos = all->v[begin].pos;
	all->len = begin;
	s->f->remarks.len = MIN(s->f->remarks.len, remarks);
	bool said = why == page && s->page_said;
	s->page_said |= why == page && !alike;
	if (!alike && !said && s->code == 0)
		s->code = form_remark(s->f, FORM_UNCHECKED, "script-choice", &pos, why,
			"plan each command by itself: stator plan -- COMMAND");
}

#define CHOICE "which command starts is decided when the script runs; the plan is that of the first, not of this one"
#define TURN "the loop starts its commands one after another; the plan is that of the first turn alone"

static const char *value_of(const struct form_args *args, const char *name)
{
	const struct form_arg *a = form_arg_find(args, name);

	return a && a->value ? a->value : "";
}

/* May two commands of a page be meant to run at once? They divide the work, the GPUs, or the ports. */
static bool run_beside(const struct form_service *a, const struct form_service *b)
{
	static const char *const ranks[] = {"node-rank", "data-parallel-start-rank", "data-parallel-rank", "headless",
		"nnodes", "disaggregation-mode"};
	const char *cards = value_of(&a->envs, "CUDA_VISIBLE_DEVICES"),
		   *others = value_of(&b->envs, "CUDA_VISIBLE_DEVICES");
	const char *port = value_of(&a->args, "port"), *other = value_of(&b->args, "port");

	if (a->role != b->role || a->engine != b->engine ||
		strcmp(value_of(&a->args, "kv-transfer-config"), value_of(&b->args, "kv-transfer-config")))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(ranks); i++)
		if (form_arg_find(&a->args, ranks[i]) || form_arg_find(&b->args, ranks[i]))
			return true;
	return (*cards && *others && strcmp(cards, others)) || (*port && *other && strcmp(port, other));
}

/* The commands of a page are examples: one that is of the same kind as an earlier one is instead of it. */
static void choose_on_page(struct form_shell *s, uint32_t begin, uint32_t remarks)
{
	for (uint32_t i = s->first; i < begin; i++)
		if (s->f->services.len > begin && !run_beside(&s->f->services.v[i], &s->f->services.v[begin])) {
			instead(s, i, 1, begin, remarks, page);
			return;
		}
}

/* A part that runs instead of what first to len are, when live is PERHAPS. */
struct choice {
	uint32_t first, len;
};

static enum end exec_branch(struct form_shell *s, enum form_truth live, struct choice *c)
{
	uint32_t begin = s->f->services.len, remarks = s->f->remarks.len, outer = s->branch;

	s->branch = live == FORM_PERHAPS ? begin : outer;
	enum end end = exec_list(s, live);
	s->branch = outer;
	if (c->len)
		instead(s, c->first, c->len, begin, remarks, CHOICE);
	else if (s->f->services.len > begin)
		*c = (struct choice){begin, s->f->services.len - begin};
	return end;
}

/* ---- compound commands ---- */

static enum form_truth both(enum form_truth a, enum form_truth b)
{
	return a == FORM_NO || b == FORM_NO ? FORM_NO : a == FORM_YES ? b : a;
}

static void exec_if(struct form_shell *s, enum form_truth live)
{
	enum form_truth open = live; /* what is left for further branches */
	struct choice c = {0};
	enum end end;

	do {
		s->conditions++;
		s->last = FORM_PERHAPS;
		end = exec_list(s, open);
		s->conditions--;
		enum form_truth t = s->last;
		if (end != END_THEN)
			return;
		end = exec_branch(s, both(open, t), &c);
		open = t == FORM_YES ? FORM_NO : t == FORM_PERHAPS && open ? FORM_PERHAPS : open;
	} while (end == END_ELIF);
	if (end == END_ELSE)
		exec_branch(s, open, &c);
	s->last = FORM_YES;
}

static void exec_while(struct form_shell *s, enum form_truth live)
{
	s->conditions++;
	enum end end = exec_list(s, FORM_NO);
	s->conditions--;
	if (end == END_DO)
		exec_list(s, live);
	s->last = FORM_YES;
}

/* {0..3}, {a,b} and $(seq 0 3), into ret. */
static void add_values(struct form_shell *s, struct form_words *ret, const struct form_word *w)
{
	long from = 0, to = -1, step = 1;
	char more_[8];
	struct form_word one = *w;

	if (!w->quoted && sscanf(w->text, "{%ld..%ld%1[}]", &from, &to, more_) == 3)
		;
	else if (sscanf(w->text, "$(seq %ld %ld %ld%1[)]", &from, &step, &to, more_) == 4)
		;
	else if (sscanf(w->text, "$(seq %ld %ld%1[)]", &from, &to, more_) == 3)
		step = 1;
	else if (sscanf(w->text, "$(seq %ld%1[)]", &to, more_) == 2)
		from = 1;
	else {
		s->code = form_push(&s->f->arena, ret, one);
		return;
	}
	for (long n = from; step > 0 && n <= to && ret->len < TURNS_MAX && s->code == 0; n += step) {
		one.text = arena_printf(&s->f->arena, "%ld", n);
		s->code = one.text ? form_push(&s->f->arena, ret, one) : -ENOMEM;
	}
}

/* "((i = 0; i < 4; i++))", behind its first bracket: the values of i. The text is left behind it. */
static const char *count_turns(struct form_shell *s, struct form_words *ret)
{
	struct form_cut *c = &s->cut;
	const char *begin = c->text + c->at + 1, *end = memmem(begin, c->len - c->at - 1, "))", 2), *name = NULL;
	const char *first = end ? memchr(begin, ';', (size_t)(end - begin)) : NULL,
		   *second = first ? memchr(first + 1, ';', (size_t)(end - first) - 1) : NULL,
		   *equals = first ? memchr(begin, '=', (size_t)(first - begin)) : NULL;
	int64_t i, goes;

	if (!end)
		return NULL;
	for (size_t n = (size_t)(end + 2 - (c->text + c->at)); n; n--, c->at++)
		c->pos.column++, c->pos.line += c->text[c->at] == '\n';
	if (!second || !equals)
		return NULL;
	while (begin < equals && isspace((unsigned char)*begin))
		begin++;
	size_t len = form_name_len(begin, (size_t)(equals - begin));
	name = arena_strndup(&s->f->arena, begin, len);
	bool known = name && form_arith(equals + 1, (size_t)(first - equals) - 1, s->env, &i) &&
		     memmem(second, (size_t)(end - second), "++", 2);
	for (; known && ret->len < TURNS_MAX && s->code == 0; i++) {
		const char *text = arena_printf(&s->f->arena, "%lld", (long long)i);
		struct form_env e = {.name = name, .value = text, .next = s->env};
		const struct form_word w = {.text = text, .pos = c->pos};
		if (!text || !form_arith(first + 1, (size_t)(second - first) - 1, &e, &goes) || !goes)
			break;
		s->code = form_push(&s->f->arena, ret, w);
	}
	return name;
}

/* Where a body begins, to be cut again. */
struct mark {
	size_t at;
	struct config_pos pos;
};

static struct mark mark_now(const struct form_shell *s)
{
	const struct form_word *w = word_now(s);

	return w && w->at < s->cut.len ? (struct mark){w->at, w->pos} : (struct mark){s->cut.at, s->cut.pos};
}

static void go_to(struct form_shell *s, const struct mark *m)
{
	s->cut.at = m->at;
	s->cut.pos = m->pos;
	s->cut.skip_to = 0;
	s->words = (struct form_words){0};
	s->at = 0;
	s->op = FORM_OP_NONE;
}

static void exec_turns(struct form_shell *s, enum form_truth live, const char *name, const struct form_words *values)
{
	const struct mark body = mark_now(s);
	uint32_t first = s->f->services.len, len = 0, turns = MAX(values->len, 1u);
	bool outer = s->sequential, alone = false;

	for (uint32_t i = 0; i < turns && i < TURNS_MAX && s->code == 0; i++) {
		uint32_t begin = s->f->services.len, remarks = s->f->remarks.len;
		go_to(s, &body); /* the first turn, too: its words were cut before the variable was set */
		/* A value that is not known leaves the variable unset, so that its name is said. */
		if (live)
			set_env(s, name, i < values->len && !strchr(values->v[i].text, '$') ? values->v[i].text : NULL,
				NULL, false);
		s->sequential = false;
		exec_list(s, i < values->len || !i ? live : FORM_NO);
		alone |= s->sequential;
		if (i && alone)
			instead(s, first, len, begin, remarks, TURN);
		else if (!i)
			len = s->f->services.len - first;
		if (!live)
			break;
	}
	s->sequential = outer;
	s->last = FORM_YES;
}

static void exec_for(struct form_shell *s, enum form_truth live)
{
	struct form_words values = {0};
	const struct form_word *w = word_now(s);
	const char *name = w ? w->text : NULL;

	if (!w && s->op == FORM_OP_OPEN && s->cut.at < s->cut.len && s->cut.text[s->cut.at] == '(') {
		s->op = FORM_OP_NONE;
		name = count_turns(s, &values);
	} else if (w) {
		s->at++;
		if (is_word(word_now(s), "in"))
			for (s->at++; word_now(s) && s->code == 0; s->at++)
				add_values(s, &values, word_now(s));
	}
	/* Up to "do". */
	while (more(s) && !is_word(word_now(s), "do") && !word_now(s) && s->op != FORM_OP_END)
		s->op = FORM_OP_NONE;
	if (!is_word(word_now(s), "do"))
		return;
	s->at++;
	exec_turns(s, live, name ? name : "?", &values);
}

/* The patterns of a case's branch up to ")". False: "esac". */
static bool case_patterns(struct form_shell *s, const struct form_word *subject, enum form_truth *ret)
{
	*ret = FORM_NO;
	while (more(s)) {
		const struct form_word *w = word_now(s);
		if (is_word(w, "esac")) {
			s->at++;
			return false;
		}
		if (w) {
			bool open = strchr(subject->text, '$') || strchr(w->text, '$');
			if (open && strcmp(w->text, subject->text))
				*ret = *ret == FORM_YES ? FORM_YES : FORM_PERHAPS;
			else if (w->quoted && !strchr(w->text, '*') ? !strcmp(w->text, subject->text)
								    : !fnmatch(w->text, subject->text, 0))
				*ret = FORM_YES;
			s->at++;
			continue;
		}
		enum form_op op = s->op;
		s->op = FORM_OP_NONE;
		if (op == FORM_OP_CLOSE)
			return true;
		if (op == FORM_OP_END)
			return false;
	}
	return false;
}

static void exec_case(struct form_shell *s, enum form_truth live)
{
	const struct form_word *subject = word_now(s);
	enum form_truth open = live, t;
	struct choice c = {0};

	if (!subject)
		return;
	s->at++;
	while (more(s) && !is_word(word_now(s), "in") && !word_now(s) && s->op != FORM_OP_END)
		s->op = FORM_OP_NONE;
	if (is_word(word_now(s), "in"))
		s->at++;
	while (case_patterns(s, subject, &t)) {
		enum end end = exec_branch(s, both(open, t), &c);
		open = t == FORM_YES ? FORM_NO : t == FORM_PERHAPS && open ? FORM_PERHAPS : open;
		if (end != END_CASE)
			break;
	}
	s->last = FORM_YES;
}

/* ---- functions ---- */

static struct function *function_find(struct form_shell *s, const struct form_word *w)
{
	struct function *x = w->quoted ? NULL : s->functions;

	while (x && strcmp(x->name, w->text))
		x = x->next;
	return x;
}

/* Behind "name()" or "function name": its body is kept, and passed over. */
static void define(struct form_shell *s, const char *name)
{
	struct function *x = arena_alloc(&s->f->arena, sizeof *x);

	while (more(s) && !word_now(s) && s->op != FORM_OP_END && s->op != FORM_OP_OPEN)
		s->op = FORM_OP_NONE;
	bool brace = is_word(word_now(s), "{");
	if (!x || (!brace && s->op != FORM_OP_OPEN)) {
		s->code = x ? s->code : -ENOMEM;
		return;
	}
	if (brace)
		s->at++;
	else
		s->op = FORM_OP_NONE;
	const struct mark body = mark_now(s);
	*x = (struct function){.name = name, .at = body.at, .pos = body.pos, .next = s->functions};
	s->functions = x;
	exec_list(s, FORM_NO);
}

static void call(struct form_shell *s, struct function *x, const struct form_words *args, enum form_truth live)
{
	const struct mark back = {s->cut.at, s->cut.pos}, body = {x->at, x->pos};
	const struct form_words *outer = s->args, words = s->words;
	const size_t skip = s->cut.skip_to;
	const uint32_t at = s->at;
	const enum form_op op = s->op;
	bool ended = s->ended;

	x->called = x->active = true;
	set_args(s, args);
	go_to(s, &body);
	exec_list(s, live);
	go_to(s, &back);
	set_args(s, outer);
	s->cut.skip_to = skip;
	s->words = words;
	s->at = at;
	s->op = op;
	s->ended |= ended;
	x->active = false;
}

/* ---- simple commands ---- */

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

/* Builtins that set variables. True: it was one. */
static bool exec_setting(struct form_shell *s, const struct form_word *w, uint32_t count, enum form_truth live)
{
	static const char *const declares[] = {"export", "local", "declare", "typeset", "readonly", NULL};

	if (is_one_of(w->text, declares)) {
		bool exports = !strcmp(w->text, "export");
		for (uint32_t i = 1; i < count; i++) {
			exports |= !strcmp(w[i].text, "-x");
			const struct form_env *e = form_env_find(s->env, w[i].text, strlen(w[i].text));
			if (form_assigned_len(w[i].text))
				assign(s, &w[i], live, exports);
			else if (e && exports)
				set_env(s, e->name, e->value, e->list, true);
		}
	} else if (!strcmp(w->text, "unset") || !strcmp(w->text, "read") || !strcmp(w->text, "mapfile") ||
		   !strcmp(w->text, "readarray")) {
		for (uint32_t i = 1; i < count; i++)
			if (w[i].text[0] != '-')
				set_env(s, w[i].text, NULL, NULL, false);
	} else if (!strcmp(w->text, "shift") && s->args) {
		unsigned long n = count > 1 ? strtoul(w[1].text, NULL, 10) : 1;
		n = MIN(n, (unsigned long)s->args->len);
		set_args(s, rest_of(s, n ? s->args->v + n : s->args->v, s->args->len - (uint32_t)n));
	} else if (!strcmp(w->text, "set") && count > 1 && (!strcmp(w[1].text, "--") || w[1].text[0] != '-')) {
		bool all = true;
		for (uint32_t i = 1; i < count; i++) /* csh's "set X=y" */
			all &= form_assigned_len(w[i].text) > 0;
		for (uint32_t i = 1; i < count && all; i++)
			assign(s, &w[i], live, false);
		if (!all && !strcmp(w[1].text, "--"))
			set_args(s, rest_of(s, w + 2, count - 2));
	} else {
		return !strcmp(w->text, "set") || !strcmp(w->text, "shift");
	}
	return true;
}

/* What a command gives that is no condition: it is taken to do its work, unless it is one that looks at the machine. */
static enum form_truth gives(const struct form_shell *s, const char *name)
{
	static const char *const looks[] = {"command", "which", "type", "hash", "grep", "pgrep", "curl", "wget",
		"nvidia-smi", "nc", "mountpoint", "id", "ping", "ss", "lsof", "read", "diff", "cmp", NULL};

	if (!strcmp(name, "true") || !strcmp(name, ":"))
		return FORM_YES;
	if (!strcmp(name, "false"))
		return FORM_NO;
	return s->conditions || is_one_of(name, looks) ? FORM_PERHAPS : FORM_YES;
}

/* "exit", "exec x": nothing behind it runs, for sure or perhaps. */
static void note_end(struct form_shell *s, enum form_truth live, uint32_t before)
{
	if (s->ops->goes_on || s->conditions)
		return;
	if (live == FORM_YES) {
		s->ended = true;
	} else if (s->f->services.len > before && !s->perhaps_len) {
		s->perhaps_begin = before;
		s->perhaps_len = s->f->services.len - before;
	}
}

static void run(struct form_shell *s, const struct form_word *w, uint32_t count, enum form_truth live)
{
	static const char *const waits[] = {"wait", "kill", "pkill", "killall", NULL};
	const struct form_run how = {s->env, s->given, live, s->op == FORM_OP_AMP};
	uint32_t before = s->f->services.len, remarks = s->f->remarks.len;

	s->sequential |= is_one_of(w->text, waits);
	for (uint32_t i = 1; i < count && i < 4 && !strcmp(w->text, "docker"); i++)
		s->sequential |= !strcmp(w[i].text, "stop") || !strcmp(w[i].text, "kill");
	s->code = s->ops->command(s->f, w, count, &how, s->ctx);
	if (s->f->services.len == before || s->code < 0)
		return;
	bool detached = how.background;
	for (uint32_t i = 0; i < count; i++)
		detached |= !strcmp(w[i].text, "-d") || !strcmp(w[i].text, "--detach") || !strcmp(w[i].text, "-dm") ||
			    !strcmp(w[i].text, "sbatch") || !strcmp(w[i].text, "send-keys");
	s->sequential |= !detached;
	if (s->ops->goes_on)
		choose_on_page(s, before, remarks);
	if (s->perhaps_len && before >= s->perhaps_begin + s->perhaps_len)
		instead(s, s->perhaps_begin, s->perhaps_len, before, remarks, CHOICE);
}

static void end_documents(struct form_shell *s, enum form_truth live)
{
	const struct form_run how = {s->env, s->given, live, s->op == FORM_OP_AMP};
	struct form_documents *d = &s->cut.documents;

	for (uint32_t i = 0; i < d->len && live && s->code == 0 && s->ops->document; i++) {
		const char *text = s->cut.text + d->v[i].at;
		size_t len = d->v[i].end - d->v[i].at;
		if (!d->v[i].literal)
			text = form_expand(&s->f->arena, text, len, s->env);
		uint32_t line = d->v[i].pos.line + 1;
		if (i && d->v[i].at > d->v[0].at)
			for (const char *p = s->cut.text + d->v[0].at; p < s->cut.text + d->v[i].at; p++)
				line += *p == '\n';
		s->code = text ? s->ops->document(s->f, s->pipeline.v, s->pipeline.len, text,
					 d->v[i].literal ? len : strlen(text), line, &how, s->ctx)
			       : -ENOMEM;
	}
	*d = (struct form_documents){0};
}

/* The words of a condition: a variable that nothing in the text sets is empty, as the default of ${X:-y} has it, too. One that was set to
 * what is not known stays. */
static const struct form_words *settle(struct form_shell *s, const struct form_word *words, uint32_t count)
{
	const struct form_words some = {.v = (struct form_word *)words, .len = count};
	struct form_words *ret = joined(s, NULL, &some, false);

	for (uint32_t i = 0; ret && i < ret->len; i++) {
		const char *t = ret->v[i].text;
		bool brace = t[0] == '$' && t[1] == '{';
		size_t n = t[0] == '$' ? form_name_len(t + 1 + brace, strlen(t + 1 + brace)) : 0;
		if (!n || !(isalpha((unsigned char)t[1 + brace]) || t[1 + brace] == '_') ||
			t[1 + brace + n] != (brace ? '}' : '\0'))
			continue;
		const struct form_env *e = s->env;
		while (e && (strlen(e->name) != n || memcmp(e->name, t + 1 + brace, n) != 0))
			e = e->next;
		if (!e)
			ret->v[i].text = "";
	}
	return ret;
}

/* "2>/dev/null" */
static bool is_redirection(const struct form_word *w)
{
	const char *t = w->text + strspn(w->text, "0123456789&");

	return !w->quoted && (*t == '>' || *t == '<') && strcmp(w->text, ">") && strcmp(w->text, "<");
}

static void exec_simple(struct form_shell *s, enum form_truth live)
{
	const struct form_word *all = word_now(s), *w = all;
	uint32_t count = s->words.len - s->at, before = s->f->services.len;

	s->at = s->words.len;
	for (uint32_t i = 0; i < count && s->code == 0; i++)
		s->code = form_push(&s->f->arena, &s->pipeline, all[i]);
	while (count && form_assigned_len(w->text) && !(w->quoted && *w->text == '"'))
		w++, count--;
	s->last = FORM_YES;
	if (!live)
		return;
	if (!count) {
		for (const struct form_word *a = all; a < w && s->code == 0; a++)
			assign(s, a, live, false);
		return;
	}
	struct function *x = function_find(s, w);
	if (!strcmp(w->text, "[") || !strcmp(w->text, "[[") || !strcmp(w->text, "test")) {
		while (count > 2 && is_redirection(&w[count - 1]))
			count--;
		const struct form_words *settled = settle(s, w, count);
		s->last = settled && s->code == 0 ? form_shell_test(settled->v, settled->len) : FORM_PERHAPS;
	} else if (x && x->active) {
		s->last = FORM_PERHAPS;
	} else if (x && s->depth < NESTED_MAX) {
		const struct form_words *args = rest_of(s, w + 1, count - 1);
		if (s->code == 0)
			call(s, x, args, live);
		s->last = s->conditions ? FORM_PERHAPS : FORM_YES;
	} else if (!exec_setting(s, w, count, live)) {
		run(s, all, count + (uint32_t)(w - all), live);
		s->last = gives(s, w->text);
		if (!strcmp(w->text, "exit") || !strcmp(w->text, "return"))
			note_end(s, live, s->branch);
		else if (!strcmp(w->text, "exec") && s->f->services.len > before)
			note_end(s, live, before);
	}
}

/* "((N > 1))", behind its first bracket. */
static enum form_truth exec_arith(struct form_shell *s)
{
	struct form_cut *c = &s->cut;
	const char *begin = c->text + c->at + 1, *end = memmem(begin, c->len - c->at - 1, "))", 2);
	int64_t value;

	if (!end)
		return FORM_PERHAPS;
	bool known = form_arith(begin, (size_t)(end - begin), s->env, &value);
	for (const char *stop = end + 2; c->text + c->at < stop; c->at++)
		c->pos.column++, c->pos.line += c->text[c->at] == '\n';
	return !known ? FORM_PERHAPS : value ? FORM_YES : FORM_NO;
}

/* ---- lists ---- */

/* Keywords that begin a compound command. True: it was one, and is done. */
static bool exec_compound(struct form_shell *s, enum form_truth live)
{
	static const struct {
		const char *word;
		void (*fn)(struct form_shell *s, enum form_truth live);
	} compounds[] = {{"if", exec_if}, {"while", exec_while}, {"until", exec_while}, {"for", exec_for},
		{"select", exec_for}, {"case", exec_case}};
	const struct form_word *w = word_now(s);

	for (size_t i = 0; i < ARRAY_LEN(compounds); i++)
		if (is_word(w, compounds[i].word)) {
			s->at++;
			compounds[i].fn(s, live);
			return true;
		}
	if (is_word(w, "{")) {
		s->at++;
		exec_list(s, live);
		return true;
	}
	if (is_word(w, "function") && s->at + 1 < s->words.len) {
		const char *name = s->words.v[s->at + 1].text;
		s->at = s->words.len;
		if (s->op == FORM_OP_OPEN) { /* "function name()" */
			s->op = FORM_OP_NONE;
			if (more(s) && !word_now(s) && s->op == FORM_OP_CLOSE)
				s->op = FORM_OP_NONE;
		} else if (s->words.len && is_word(&s->words.v[s->words.len - 1], "{")) {
			s->at = s->words.len - 1;
		}
		define(s, name);
		return true;
	}
	if (!w->quoted && s->at + 1 == s->words.len && s->op == FORM_OP_OPEN && !form_assigned_len(w->text)) {
		size_t at = s->cut.at;
		while (at < s->cut.len && s->cut.text[at] == ' ')
			at++;
		if (at < s->cut.len && s->cut.text[at] == ')') {
			s->at++;
			s->op = FORM_OP_NONE;
			if (more(s) && !word_now(s) && s->op == FORM_OP_CLOSE)
				s->op = FORM_OP_NONE;
			define(s, w->text);
			return true;
		}
	}
	return false;
}

/* An operator, with no words before it. True: the list ends with it. */
static bool exec_op(struct form_shell *s, enum form_truth live, enum form_op *link, enum end *ret)
{
	enum form_op op = s->op;

	s->op = FORM_OP_NONE;
	if (op == FORM_OP_AND || op == FORM_OP_OR || op == FORM_OP_PIPE) {
		*link = op;
		return false;
	}
	if (op == FORM_OP_OPEN && s->cut.at < s->cut.len && s->cut.text[s->cut.at] == '(') {
		s->last = exec_arith(s);
		return false;
	}
	if (op == FORM_OP_OPEN) {
		exec_list(s, live);
		return false;
	}
	*link = FORM_OP_NONE;
	*ret = op == FORM_OP_CLOSE ? END_BRACKET : op == FORM_OP_DSEMI ? END_CASE : END_TEXT;
	return op == FORM_OP_CLOSE || op == FORM_OP_DSEMI || op == FORM_OP_END;
}

static enum form_truth linked(enum form_op link, enum form_truth before, enum form_truth live)
{
	if (link == FORM_OP_AND)
		return both(live, before);
	if (link == FORM_OP_OR)
		return both(live, before == FORM_YES ? FORM_NO : before == FORM_NO ? FORM_YES : FORM_PERHAPS);
	return live;
}

static enum form_truth result(enum form_op link, enum form_truth before, enum form_truth now)
{
	if (link == FORM_OP_AND)
		return both(before, now);
	if (link != FORM_OP_OR)
		return now;
	return before == FORM_YES || now == FORM_YES ? FORM_YES : before == FORM_PERHAPS ? before : now;
}

static enum end exec_list(struct form_shell *s, enum form_truth live)
{
	enum form_op link = FORM_OP_NONE;
	enum end end = END_TEXT;

	if (s->depth >= NESTED_MAX) {
		s->steps = STEPS_MAX + 1; /* no script is like that */
		return END_TEXT;
	}
	s->depth++;
	while (more(s) && s->code == 0) {
		const struct form_word *w = word_now(s);
		if (!w && exec_op(s, live, &link, &end))
			break;
		if (!w)
			continue;
		if (is_end(w, &end)) {
			s->at++;
			break;
		}
		if (is_word(w, "!")) {
			s->at++;
			s->last = FORM_PERHAPS;
			continue;
		}
		if (is_word(w, "time") || is_word(w, "coproc")) {
			s->at++;
			continue;
		}
		enum form_truth before = s->last, now = s->ended ? FORM_NO : linked(link, before, live);
		if (!exec_compound(s, now))
			exec_simple(s, now);
		s->last = linked(link, before, FORM_YES) == FORM_NO ? before : result(link, before, s->last);
		if (s->op != FORM_OP_PIPE && !word_now(s)) {
			end_documents(s, now);
			s->pipeline = (struct form_words){0};
		}
		link = FORM_OP_NONE;
		end = END_TEXT;
	}
	s->depth--;
	return end;
}

/* What was never called may be called by somebody who reads the script in. */
static void exec_uncalled(struct form_shell *s)
{
	const struct mark end = {s->cut.len, s->cut.pos};

	for (struct function *x = s->functions; x && s->code == 0; x = x->next)
		if (!x->called) {
			go_to(s, &end);
			s->ended = false;
			call(s, x, NULL, FORM_YES);
		}
}

int form_shell_run(struct form_set *f, const char *file, const char *text, size_t len, const struct config_pos *start,
	const struct form_env *env, const struct form_shell_ops *ops, void *ctx)
{
	struct form_shell *s = arena_alloc(&f->arena, sizeof *s);
	uint32_t before = f->services.len;

	if (!s)
		return -ENOMEM;
	const struct form_env *args = form_env_find(env, "@", 1);
	*s = (struct form_shell){.f = f,
		.ops = ops,
		.ctx = ctx,
		.env = env,
		.given = env,
		.last = FORM_YES,
		.args = args ? args->list : NULL};
	s->first = before;
	form_cut_init(&s->cut, &f->arena, file, text, len, start, env);
	while (more(s) && s->code == 0)
		exec_list(s, FORM_YES); /* what closes nothing ends nothing */
	if (f->services.len == before && s->code == 0)
		exec_uncalled(s);
	form_cut_done(&s->cut);
	return s->code;
}
