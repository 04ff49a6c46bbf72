/* Any messages, tool calls and keyword arguments with any of llama.cpp's chat templates, or a template of the input's own: refused
 * with a code and a sentence, or a text within its bound. Input: which template (255: its own), then texts with NULs
 * between them: content, fields of a message, keyword arguments, tools, role, template. */
#include "base/limits.h"
#include "llama/template.h"
#include "llama_files.h"

#include <glob.h>
#include <stdlib.h>

enum { TEMPLATES = 128, TEXTS = 6, TEXT_MAX = 1 << 20, CPU_MS_MAX = 500 };

static struct ll_template *templates[TEMPLATES];
static uint32_t templates_len;

static struct ll_template *read_template(const char *path)
{
	static char source[LL_TEMPLATE_BYTES_MAX];
	struct ll_template *t = NULL;
	FILE *f = fopen(path, "re");
	size_t len = f ? fread(source, 1, sizeof source, f) : 0;

	if (f)
		fclose(f);
	return len && ll_template_create(&t, source, len, NULL) == 0 ? t : NULL;
}

static void read_templates(void)
{
	char folder[2048], pattern[2100];
	glob_t found;

	llama_folder(folder, sizeof folder);
	snprintf(pattern, sizeof pattern, "%s/templates/*.jinja", folder);
	ASSERT(glob(pattern, 0, NULL, &found) == 0);
	for (size_t i = 0; i < found.gl_pathc && templates_len < TEMPLATES; i++) {
		templates[templates_len] = read_template(found.gl_pathv[i]);
		templates_len += templates[templates_len] != NULL;
	}
	globfree(&found);
	ASSERT(templates_len > 60);
}

static void render(const struct ll_template *t, char *const *texts)
{
	struct ll_message turns[] = {
		{.role = "system", .content = texts[0], .content_len = strlen(texts[0])},
		{.role = texts[4][0] ? texts[4] : "user", .content = texts[0], .content_len = strlen(texts[0])},
		{.role = "assistant", .extra_json = texts[1][0] ? texts[1] : NULL},
		{.role = "tool", .content = "x", .content_len = 1},
		{.role = "user", .content = texts[0], .content_len = strlen(texts[0])},
	};
	struct ll_render in = {.messages = turns,
		.message_count = ARRAY_LEN(turns),
		.bos = "<s>",
		.eos = "</s>",
		.add_generation_prompt = true,
		.date = "26 Jul 2024",
		.kwargs_json = texts[2][0] ? texts[2] : NULL,
		.tools_json = texts[3][0] ? texts[3] : NULL,
		.bytes_max = TEXT_MAX,
		.cpu_ms_max = CPU_MS_MAX};
	struct ll_parts parts = {0};
	struct err err = {0};
	size_t bytes = 0;
	int code = ll_template_render(t, &in, &parts, &err);

	ASSERT(code == 0 || (err.code == code && err.msg[0]));
	for (uint32_t i = 0; i < parts.len; i++)
		bytes += parts.v[i].len;
	ASSERT(bytes <= TEXT_MAX);
	ll_parts_done(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ll_template *own = NULL;
	char *texts[TEXTS], *all = len > 1 ? calloc(1, len + TEXTS) : NULL, *next = all;

	if (!templates_len)
		read_templates();
	if (!all)
		return 0;
	memcpy(all, data + 1, len - 1);
	for (int i = 0; i < TEXTS; i++) {
		texts[i] = next;
		next += strlen(next) + (next + strlen(next) < all + len);
	}
	if (data[0] != 255)
		render(templates[data[0] % templates_len], texts);
	else if (ll_template_create(&own, texts[5], strlen(texts[5]), NULL) == 0)
		render(own, texts);
	ll_template_destroy(own);
	free(all);
	return 0;
}
