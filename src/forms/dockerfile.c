/* dockerfile.c - a Dockerfile: the image of its last stage, its environment, and the command line that ENTRYPOINT and CMD make. */
#include "forms/form_priv.h"

#include <string.h>
#include <strings.h>

struct stage {
	const char *text; /* of the file */
	size_t len;
	const char *image;
	struct form_words entry, command;
	struct form_args envs;
	struct config_pos pos;
};

/* The rest of the instruction at from, with what goes on behind a backslash. */
static size_t operands_end(const char *text, size_t len, size_t from)
{
	for (; from < len; from++) {
		size_t last = from - (from > 0 && text[from - 1] == '\r');
		if (text[from] == '\n' && (!last || text[last - 1] != '\\'))
			break;
	}
	return from;
}

/* ["a", "b"] is JSON, on the line it stands on; anything else is a shell's line, word by word. */
static int take_words(struct form_set *f, struct form_words *ret, const struct stage *s, const struct form_word *words,
	uint32_t count)
{
	size_t from = count ? words[0].at : s->len, end = operands_end(s->text, s->len, from);
	struct yaml_node *root = NULL;
	struct diags quiet;
	struct buf placed;
	int code = 0;

	*ret = (struct form_words){0};
	if (!count || s->text[from] != '[') {
		for (uint32_t i = 0; i < count && code == 0; i++)
			code = form_push(&f->arena, ret, words[i]);
		return code;
	}
	buf_init(&placed, YAML_BYTES_MAX);
	for (uint32_t i = 1; i < words[0].pos.line; i++)
		buf_add_byte(&placed, '\n');
	for (uint32_t i = 1; i < words[0].pos.column; i++)
		buf_add_byte(&placed, ' ');
	for (size_t i = from; i < end; i++) {
		bool goes_on = s->text[i] == '\\' && i + 1 < end && strchr("\r\n", s->text[i + 1]);
		buf_add_byte(&placed, goes_on ? ' ' : (uint8_t)s->text[i]);
	}
	diags_init(&quiet);
	code = placed.failed ? -ENOMEM
			     : yaml_parse(&root, &f->arena, words[0].pos.file, buf_str(&placed), placed.len, &quiet);
	diags_done(&quiet);
	buf_done(&placed);
	for (const struct yaml_node *n = code == 0 && root->type == YAML_SEQ ? root->first : NULL; n && code == 0;
		n = n->next) {
		const struct form_word w = {.text = n->text ? n->text : "", .pos = n->pos, .quoted = true};
		code = form_push(&f->arena, ret, w);
	}
	return code == -EINVAL ? 0 : code;
}

static int take_env(struct form_set *f, struct stage *s, const struct form_word *words, uint32_t count)
{
	int code = 0;

	if (count == 2 && !strchr(words[0].text, '='))
		return form_arg_add(f, &s->envs, words[0].text, words[1].text, &words[0].pos);
	for (uint32_t i = 0; i < count && code == 0; i++) {
		const char *equals = strchr(words[i].text, '=');
		const char *name =
			equals ? arena_strndup(&f->arena, words[i].text, (size_t)(equals - words[i].text)) : "";
		code = !name ? -ENOMEM : *name ? form_arg_add(f, &s->envs, name, equals + 1, &words[i].pos) : 0;
	}
	return code;
}

/* One instruction, its operands behind it. */
static int take(struct form_set *f, struct stage *s, const struct form_word *words, uint32_t count)
{
	if (!strcasecmp(words[0].text, "FROM")) {
		uint32_t i = 1;
		while (i < count && !strncmp(words[i].text, "--", 2))
			i++;
		*s = (struct stage){
			.text = s->text, .len = s->len, .image = i < count ? words[i].text : "", .pos = words[0].pos};
		return 0;
	}
	if (!strcasecmp(words[0].text, "ENV"))
		return take_env(f, s, words + 1, count - 1);
	if (!strcasecmp(words[0].text, "ENTRYPOINT"))
		return take_words(f, &s->entry, s, words + 1, count - 1);
	return strcasecmp(words[0].text, "CMD") ? 0 : take_words(f, &s->command, s, words + 1, count - 1);
}

int form_dockerfile_read(struct form_set *f, const char *file, const char *text, size_t len, const char **ret_foreign)
{
	struct stage stage = {.text = text, .len = len, .image = ""};
	struct form_words words = {0};
	const char *program = NULL;
	int code = form_words_cut(&words, &f->arena, file, text, len, NULL, NULL);

	for (uint32_t begin = 0, i = 0; i <= words.len && code == 0; i++) {
		if (i < words.len && (words.v[i].quoted || strcmp(words.v[i].text, "\n") != 0))
			continue;
		if (i > begin)
			code = take(f, &stage, &words.v[begin], i - begin);
		begin = i + 1;
	}
	struct form_words line = stage.entry;
	for (uint32_t i = 0; i < stage.command.len && code == 0; i++)
		code = form_push(&f->arena, &line, stage.command.v[i]);
	if (code < 0 || !line.len)
		return code;
	struct form_service s = {.name = "", .pos = stage.pos, .replicas = 1, .envs = stage.envs};
	enum graph_engine hint = form_engine_of_image(stage.image);
	*ret_foreign = form_foreign_image(stage.image);
	s.engine = hint;
	if (hint && !*ret_foreign)
		form_image_version(f, &s, stage.image);
	if (form_has_line(line.v, line.len)) {
		const struct form_script script = {.file = file, .around = &s, .foreign = ret_foreign};
		return form_words_follow(f, &script, line.v, line.len);
	}
	/* Another entry point starts what it likes. */
	if (*ret_foreign || (stage.entry.len && *stage.entry.v[0].text != '-'))
		hint = GRAPH_ENGINE_NONE;
	code = form_command_read(f, &s, line.v, line.len, hint, &program, ret_foreign);
	if (code != FORM_COMMAND_ENGINE)
		return MIN(code, 0);
	return form_add(f, &s) < 0 ? -ENOMEM : 1;
}
