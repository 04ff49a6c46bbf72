/* bench_text.c MODEL.gguf - text work of a request and of a token, with the vocabulary and template of a real model. */
#include "bench.h"
#include "text/detok.h"
#include "text/stops.h"
#include "text/template.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define QUESTION "What is the answer to the question of life, the universe and everything?"

static void fail(const char *what, const struct err *err)
{
	fprintf(stderr, "bench_text: could not %s: %s\n", what, err->msg);
	exit(1);
}

static void bench_encode(const struct tokenizer *t, uint32_t words)
{
	static const char *const list[] = {
		" time", " people", " answer", " stone", " river", " question", " of", " the"};
	struct buf text;
	struct tokens out = {0};
	struct err err;
	char name[80];
	buf_init(&text, 1 << 20);
	for (uint32_t i = 0; i < words; i++)
		(void)buf_add_str(&text, list[i * 2654435761u >> 29]);
	snprintf(name, sizeof name, "tokenize %u words, a word", words);
	BENCH(name, words, {
		out.len = 0;
		if (tokenizer_encode(t, text.data, text.len, 0, 1 << 20, &out, &err) < 0)
			fail("tokenize", &err);
	});
	free(out.v);
	buf_done(&text);
}

static void bench_detok(const struct tokenizer *t)
{
	struct stop_string strings[] = {{"\nUser:", 6}, {"<|end|>", 7}};
	struct stops *stops;
	struct stop_scan scan;
	struct detok d;
	struct buf piece, out;
	struct err err;
	uint32_t token = 1000;
	if (stops_create(&stops, strings, 2, &err) < 0)
		fail("make stop strings", &err);
	stop_scan_init(&scan, stops);
	detok_init(&d, t, true);
	buf_init(&piece, 1 << 12);
	buf_init(&out, 1 << 12);
	BENCH("detokenize, a token", 1, {
		piece.len = 0;
		detok_push(&d, token, &piece);
		token = 1000 + (token * 31 + 7) % 40000;
	});
	BENCH("detokenize and look for 2 stop strings, a token", 1, {
		piece.len = out.len = 0;
		detok_push(&d, token, &piece);
		stop_scan_push(&scan, piece.data, piece.len, &out, NULL);
		token = 1000 + (token * 31 + 7) % 40000;
	});
	buf_done(&piece);
	buf_done(&out);
	detok_done(&d);
	stops_destroy(stops);
}

static void bench_chat(const struct tokenizer *t, uint32_t turns)
{
	struct ll_message messages[64];
	struct chat_template *c;
	struct tokens out = {0};
	struct err err;
	char name[80], last[64];
	uint64_t n = 0;
	memset(messages, 0, sizeof messages);
	for (uint32_t i = 0; i < turns; i++) {
		messages[i].role = i % 2 ? "assistant" : "user";
		messages[i].content = QUESTION;
		messages[i].content_len = sizeof QUESTION - 1;
	}
	if (chat_template_load(&c, t, NULL, &err) < 0)
		fail("load the chat template", &err);
	snprintf(name, sizeof name, "render and tokenize a chat of %u turns, the last is new", turns);
	BENCH(name, 1, {
		snprintf(last, sizeof last, "question number %llu", (unsigned long long)n++);
		messages[turns - 1].content = last;
		messages[turns - 1].content_len = strlen(last);
		struct chat_request in = {.messages = messages, .message_count = turns, .tokens_max = 1 << 20};
		out.len = 0;
		if (chat_render(c, &in, &out, &err) < 0)
			fail("render", &err);
	});
	free(out.v);
	chat_template_destroy(c);
}

static void *run(void *arg)
{
	struct tokenizer *t;
	struct err err;
	if (tokenizer_load(&t, arg, &err) < 0)
		fail("load the tokenizer", &err);
	printf("text\n");
	bench_encode(t, 30);
	bench_encode(t, 10000);
	bench_detok(t);
	bench_chat(t, 1);
	bench_chat(t, 21);
	tokenizer_destroy(t);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	pthread_attr_t attr;
	if (argc != 2) {
		fprintf(stderr, "usage: bench_text MODEL.gguf\n");
		return 2;
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, TEXT_STACK_BYTES);
	if (pthread_create(&thread, &attr, run, argv[1]) != 0)
		return 1;
	pthread_join(thread, NULL);
	return 0;
}
