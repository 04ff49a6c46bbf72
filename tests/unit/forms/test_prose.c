/* Commands in texts for people: by code blocks and lines of their own, not by a name in a sentence. */
#include "forms/form_priv.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"

/* What a text starts: "VllmWorker MODEL LINE" for each engine, or what form_read says against it. */
static void check(const char *text, const char *wanted)
{
	struct form_set f;
	struct diags diags;
	struct err err = {0};
	struct buf got;

	form_set_init(&f);
	diags_init(&diags);
	buf_init(&got, 4096);
	int code = form_read(&f, "file", text, strlen(text), &diags, &err);
	if (code < 0)
		buf_add_str(&got, err.msg);
	for (const struct yaml_node *s = code == 0 && f.root ? f.root->first : NULL; s; s = s->next) {
		const struct yaml_node *model = yaml_find(s, "model");
		buf_printf(&got, "%s%s %s %u", got.len ? ", " : "", s->key, model ? model->text : "?",
			model ? model->pos.line : 0);
	}
	if (*wanted == '*' ? !strstr(buf_str(&got), wanted + 1) : strcmp(buf_str(&got), wanted) != 0)
		fail_msg("of\n%s\nis read: %s\nwanted: %s", text, buf_str(&got), wanted);
	buf_done(&got);
	diags_done(&diags);
	form_set_done(&f);
}

static const char none[] = "*is a text, and none of its code blocks and lines is a command";

static void a_name_in_a_sentence_starts_nothing(void **state)
{
	static const char *const texts[] = {
		"Call llama-server -m demo, and look at what it says.\n",
		"We tried vllm serve org/model last week, and it's slow.\n",
		"vllm serve is a program that starts a server for models.\n",
		"you can use python3 -m sglang.launch_server --model-path org/model for that, too.\n",
		"It isn't hard: `vllm serve org/model --max-model-len 100` does it.\n",
		"Note\n====\n\nThe model's weights don't fit when vllm serve org/model runs on them.\n\nThat's why.\n",
		"* Use llama-server -m x.gguf when there is no GPU at all.\n",
		"Nous lançons vllm serve org/modèle sur deux cartes, et cela ne démarre pas.\n",
		"# Serving\n\n```python\nprint(\"vllm serve org/model\")\n```\n",
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		check(texts[i], none);
}

static void a_line_that_is_a_command_counts_in_a_text(void **state)
{
	(void)state;
	check("Hello, we can't start this:\n\n    vllm serve org/model --max-model-len 100\n\nWhat's wrong with it?\n",
		"VllmWorker org/model 3");
	check("Dear all, this is how it's run here every day.\n$ sudo nohup vllm serve org/model \\\n  --dtype half &\n"
	      "It isn't clear to me why it fails at once.\n",
		"VllmWorker org/model 2");
	check("There are two of them on this host, I'd say:\n- llama-server -m a.gguf -c 100\n2. HF_HOME=/x vllm serve org/b\n",
		"LlamaWorker a.gguf 2, VllmWorker org/b 3");
	check("This is started with a value over lines, isn't it?\n\nvllm serve org/model --hf-overrides '{\n\"a\": 1}'\n",
		"VllmWorker org/model 3");
}

static void code_blocks_are_commands(void **state)
{
	(void)state;
	check("# How\n\nDon't panic.\n\n```bash\nexport M=org/model\n```\n\nIt's then:\n\n~~~\nvllm serve $M\n~~~\nThat's all.\n",
		"VllmWorker org/model 12");
	check("```\n$ nvidia-smi\ncan't open it\nuser@host:~/m$ vllm serve org/model\nINFO it's up and running on port 8000\n```\n",
		"VllmWorker org/model 4");
	/* a block that shows what a server says, and one that is not closed */
	check("```\nvllm serve org/wrong is what we'd never do on this machine.\n```\n```\nvllm serve org/model\n",
		"VllmWorker org/model 5");
}

static void scripts_are_read_whole(void **state)
{
	(void)state;
	/* comments, here-documents and words of shells are no sentences; an unknown wrapper carries what follows */
	check("# Starts the server on all the cards of this host.\n./with-cards 2 vllm serve org/model\n",
		"VllmWorker org/model 2");
	check("#!/bin/sh\ncat <<END\nThis is what we start here, by and by.\nEND\nwrapped vllm serve org/model\n",
		"VllmWorker org/model 5");
	check("echo vllm serve org/no\npip install vllm serve\nvllm serve org/yes\n", "VllmWorker org/yes 3");
}

static void the_mark_behind_a_word_is_not_of_it(void **state)
{
	(void)state;
	check("vllm serve org/model.\n", "VllmWorker org/model 1");
	check("vllm serve org/model, or so\n", "VllmWorker org/model 1");
	check("llama-server -m a.gguf;\n", "LlamaWorker a.gguf 1");
	check("llama-server -m a.gguf, -c 100\n", "LlamaWorker a.gguf 1");
	check("vllm serve ./models/.\n", "VllmWorker ./models/. 1");
	check("vllm serve ..\n", "VllmWorker .. 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_in_a_sentence_starts_nothing),
		cmocka_unit_test(a_line_that_is_a_command_counts_in_a_text),
		cmocka_unit_test(code_blocks_are_commands),
		cmocka_unit_test(scripts_are_read_whole),
		cmocka_unit_test(the_mark_behind_a_word_is_not_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
