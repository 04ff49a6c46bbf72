/* dockerfile.c - a Dockerfile: the image of its last stage, its environment, and the command line that ENTRYPOINT and CMD make. */
#include "forms/form_priv.h"

#include <string.h>
#include <strings.h>

struct stage {
	const char *image;
	struct form_words entry, command;
	struct form_args envs;
	struct config_pos pos;
};

/* ["a", "b"] as words: brackets and commas fall away (the quotes did already); anything else is a shell's line, word by word. */
static int take_words(struct form_set *f, struct form_words *ret, const struct form_word *words, uint32_t count)
{
	bool list = count && words[0].text[0] == '[';
	int code = 0;

	*ret = (struct form_words){0};
	for (uint32_t i = 0; i < count && code == 0; i++) {
		struct form_word w = words[i];
		size_t len = strlen(w.text);
		if (list && i == 0)
			w.text++, len--;
		/* "a","b" without blanks is one word of the shell */
		for (const char *p = w.text; list && code == 0 && len;) {
			size_t n = strcspn(p, i + 1 == count ? ",]" : ",");
			struct form_word part = w;
			part.text = arena_strndup(&f->arena, p, n);
			code = !part.text ? -ENOMEM : n ? form_push(&f->arena, ret, part) : 0;
			p += n;
			if (!*p || *p == ']')
				break;
			p++;
		}
		if (!list)
			code = form_push(&f->arena, ret, w);
	}
	return code;
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
		*s = (struct stage){.image = i < count ? words[i].text : "", .pos = words[0].pos};
		return 0;
	}
	if (!strcasecmp(words[0].text, "ENV"))
		return take_env(f, s, words + 1, count - 1);
	if (!strcasecmp(words[0].text, "ENTRYPOINT"))
		return take_words(f, &s->entry, words + 1, count - 1);
	return strcasecmp(words[0].text, "CMD") ? 0 : take_words(f, &s->command, words + 1, count - 1);
}

int form_dockerfile_read(struct form_set *f, const char *file, const char *text, size_t len, const char **ret_foreign)
{
	struct stage stage = {.image = ""};
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
	code = form_command_read(
		f, &s, line.v, line.len, *ret_foreign ? GRAPH_ENGINE_NONE : hint, &program, ret_foreign);
	if (code != FORM_COMMAND_ENGINE)
		return MIN(code, 0);
	return form_add(f, &s) < 0 ? -ENOMEM : 1;
}
