/* llama_data.c - ask the scripts. */
#include "cmocka_all.h"
#include "llama_data.h"

#include "base/limits.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last line a command prints. */
static void ask(const char *command, char *ret, size_t cap)
{
	FILE *f = popen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(ret, (int)cap, f));
	assert_int_equal(pclose(f), 0);
	ret[strcspn(ret, "\n")] = '\0';
}

const char *llama_data(const char *file)
{
	static char dir[4096], path[8192];
	if (!dir[0])
		ask("scripts/llama dir", dir, sizeof dir);
	snprintf(path, sizeof path, "%s/%s", dir, file);
	return path;
}

const char *demo_model(void)
{
	static char path[4096];
	if (!path[0])
		ask("scripts/model", path, sizeof path);
	return path;
}

char *file_text(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("could not open %s", path);
	fseek(f, 0, SEEK_END);
	long len = ftell(f);
	rewind(f);
	char *text = malloc((size_t)len + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)len, f), len);
	fclose(f);
	text[len] = '\0';
	if (ret_len)
		*ret_len = (size_t)len;
	return text;
}

struct call {
	void (*fn)(void *arg);
	void *arg;
};

static void *run(void *p)
{
	struct call *call = p;
	call->fn(call->arg);
	return NULL;
}

void on_text_stack(void (*fn)(void *arg), void *arg)
{
	struct call call = {fn, arg};
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	assert_int_equal(pthread_attr_setstacksize(&attr, TEXT_STACK_BYTES), 0);
	assert_int_equal(pthread_create(&thread, &attr, run, &call), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
}
