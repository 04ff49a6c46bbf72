/* Log-probabilities as clients read them, of tokens that are bytes. */
#include "frontend/completion.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"

enum { TOKENS_LEN = 8, TOP = 2 };

static struct frontend fe;
static struct model model;
static struct completion c;
static struct choice ch;
static uint32_t tokens[TOKENS_LEN], top_tokens[TOKENS_LEN * TOP];
static float values[TOKENS_LEN], top_values[TOKENS_LEN * TOP];

static int setup(void **state)
{
	(void)state;
	fe = (struct frontend){0};
	model = (struct model){0};
	assert_int_equal(tokenizer_load(&model.loaded.tokenizer, "byte", NULL), 0);
	buf_init(&fe.scratch.out, 1 << 20);
	buf_init(&fe.scratch.piece, 1 << 16);
	buf_init(&fe.scratch.clean, 1 << 16);
	c = (struct completion){.fe = &fe, .scratch = &fe.scratch, .model = &model};
	c.req.kind = API_COMPLETION;
	c.req.logprobs = true;
	ch = (struct choice){.completion = &c};
	ch.in.tokens = tokens;
	ch.in.logprobs = values;
	ch.in.top_tokens = top_tokens;
	ch.in.top_logprobs = top_values;
	detok_init(&ch.told_text, model.loaded.tokenizer, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	detok_done(&ch.told_text);
	buf_done(&fe.scratch.out);
	buf_done(&fe.scratch.piece);
	buf_done(&fe.scratch.clean);
	tokenizer_destroy(model.loaded.tokenizer);
	return 0;
}

/* Token i with its probability, and others as likely as they stand. */
static void put(
	uint32_t i, uint32_t token, float value, uint32_t first, float first_value, uint32_t second, float second_value)
{
	tokens[i] = token;
	values[i] = value;
	top_tokens[i * c.req.top_logprobs] = first;
	top_values[i * c.req.top_logprobs] = first_value;
	if (c.req.top_logprobs < 2)
		return;
	top_tokens[i * TOP + 1] = second;
	top_values[i * TOP + 1] = second_value;
}

static const char *told(uint32_t from, uint32_t to)
{
	buf_reset(&fe.scratch.out);
	respond_logprobs(&c, &ch, from, to);
	assert_false(fe.scratch.out.failed);
	return buf_str(&fe.scratch.out);
}

/* U+1F600 is f0 9f 98 80; one of it, an "a", one again. */
static void parts_of_a_character_stay_apart_and_stand_where_it_begins(void **state)
{
	(void)state;
	c.req.top_logprobs = TOP;
	put(0, 0xf0, -1, 0xf0, -1, 0xf1, -2);
	put(1, 0x9f, -3, 0x98, -0.5f, 0x97, -0.75f);
	put(2, 0x98, -1, 0x98, -1, 'b', -2);
	put(3, 0x80, -1, 0x81, -0.5f, 0x80, -1);
	put(4, 'a', -1, 'a', -1, '\\', -4);
	put(5, 0xc3, -1, 0xc3, -1, 'c', -4);
	put(6, 0xb6, -1, 0xb6, -1, 'd', -4);
	assert_string_equal(told(0, 7),
		"{\"tokens\":[\"bytes:\\\\xf0\",\"bytes:\\\\x9f\",\"bytes:\\\\x98\",\"bytes:\\\\x80\",\"a\","
		"\"bytes:\\\\xc3\",\"bytes:\\\\xb6\"],"
		"\"token_logprobs\":[-1,-3,-1,-1,-1,-1,-1],"
		"\"top_logprobs\":[{\"bytes:\\\\xf0\":-1,\"bytes:\\\\xf1\":-2},"
		"{\"bytes:\\\\x98\":-0.5,\"bytes:\\\\x97\":-0.75,\"bytes:\\\\x9f\":-3},"
		"{\"bytes:\\\\x98\":-1,\"b\":-2},{\"bytes:\\\\x81\":-0.5,\"bytes:\\\\x80\":-1},"
		"{\"a\":-1,\"\\\\\":-4},{\"bytes:\\\\xc3\":-1,\"c\":-4},{\"bytes:\\\\xb6\":-1,\"d\":-4}],"
		"\"text_offset\":[0,0,0,0,1,2,2]}");
}

static void offsets_go_on_from_event_to_event(void **state)
{
	(void)state;
	char all[256] = "";

	tokens[0] = 'x', tokens[1] = 0xf0, tokens[2] = 0x9f, tokens[3] = 0x98, tokens[4] = 0x80, tokens[5] = 'y';
	for (uint32_t i = 0; i < 6; i++)
		strcat(all, strstr(told(i, i + 1), "\"text_offset\""));
	assert_string_equal(all, "\"text_offset\":[0]}\"text_offset\":[1]}\"text_offset\":[1]}\"text_offset\":[1]}"
				 "\"text_offset\":[1]}\"text_offset\":[2]}");
}

static void what_never_becomes_a_character_counts_as_the_text_shows_it(void **state)
{
	(void)state;
	/* Text: U+FFFD for f0, "a", U+FFFD for 80, "b". */
	tokens[0] = 0xf0, tokens[1] = 'a', tokens[2] = 0x80, tokens[3] = 'b';
	assert_non_null(strstr(told(0, 4), "\"text_offset\":[0,0,2,3]"));
}

static void none_of_the_likeliest_is_the_token_itself_alone(void **state)
{
	(void)state;
	tokens[0] = 'a', values[0] = -0.5f, tokens[1] = 0x9f, values[1] = -20000;
	assert_string_equal(told(0, 2), "{\"tokens\":[\"a\",\"bytes:\\\\x9f\"],\"token_logprobs\":[-0.5,-9999],"
					"\"top_logprobs\":[{\"a\":-0.5},{\"bytes:\\\\x9f\":-9999}],"
					"\"text_offset\":[0,1]}");
	/* An end token is no text. */
	tokens[0] = BYTE_EOS;
	assert_string_equal(told(0, 1), "{\"tokens\":[],\"token_logprobs\":[],\"top_logprobs\":[],\"text_offset\":[]}");
	assert_string_equal(told(1, 1), "null");
}

static void tokens_can_be_called_by_their_ids(void **state)
{
	(void)state;
	c.req.top_logprobs = 1;
	c.req.tokens_as_ids = true;
	put(0, 0xf0, -1, 'a', -0.5f, 0, 0);
	assert_non_null(strstr(told(0, 1), "{\"tokens\":[\"token_id:240\"],\"token_logprobs\":[-1],\"top_logprobs\":"
					   "[{\"token_id:97\":-0.5,\"token_id:240\":-1}]"));
	c.req.kind = API_CHAT;
	assert_string_equal(told(0, 1),
		"{\"content\":[{\"token\":\"token_id:240\",\"logprob\":-1,\"bytes\":[240],\"top_logprobs\":[{\"token\":"
		"\"token_id:97\",\"logprob\":-0.5,\"bytes\":[97]}]}],\"refusal\":null}");
}

/* A token of this text, from this one on. */
static uint32_t token_of(const char *text, uint32_t from)
{
	struct buf piece;
	bool found = false;

	buf_init(&piece, 1 << 16);
	for (; !found && from < tokenizer_vocab(model.loaded.tokenizer); from++) {
		buf_reset(&piece);
		tokenizer_piece(model.loaded.tokenizer, from, true, &piece);
		found = !strcmp(buf_str(&piece), text);
	}
	buf_done(&piece);
	assert_true(found);
	return from - 1;
}

static void load_sentencepiece(void)
{
	tokenizer_destroy(model.loaded.tokenizer);
	assert_int_equal(
		tokenizer_load(&model.loaded.tokenizer, llama_data("vocab/ggml-vocab-llama-spm.gguf"), NULL), 0);
	detok_init(&ch.told_text, model.loaded.tokenizer, false);
}

/* A SentencePiece vocabulary has an A twice: as a piece, and as the byte 0x41. */
static void tokens_of_one_text_keep_their_own_values(void **state)
{
	(void)state;
	char want[256];

	load_sentencepiece();
	uint32_t byte = token_of("A", 0), piece = token_of("A", byte + 1);
	c.req.top_logprobs = TOP;
	put(0, byte, -2.5f, piece, -0.5f, byte, -2.5f);
	put(1, piece, -0.5f, piece, -0.5f, byte, -2.5f);
	snprintf(want, sizeof want, "[{\"token_id:%u\":-0.5,\"A\":-2.5},{\"A\":-0.5,\"token_id:%u\":-2.5}]", piece,
		byte);
	if (!strstr(told(0, 2), want))
		fail_msg("%s is not in %s", want, buf_str(&fe.scratch.out));
	assert_non_null(strstr(buf_str(&fe.scratch.out), "{\"tokens\":[\"A\",\"A\"]"));
}

static void the_space_that_a_vocabulary_puts_first_is_not_of_a_chat_s_answer(void **state)
{
	(void)state;
	load_sentencepiece();
	c.req.kind = API_CHAT;
	values[0] = values[1] = -1;
	tokens[0] = tokens[1] = token_of(" Hello", 0);
	assert_string_equal(told(0, 2),
		"{\"content\":[{\"token\":\"Hello\",\"logprob\":-1,\"bytes\":[72,101,108,108,111],\"top_logprobs\":[]},"
		"{\"token\":\" Hello\",\"logprob\":-1,\"bytes\":[32,72,101,108,108,111],\"top_logprobs\":[]}],"
		"\"refusal\":null}");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(parts_of_a_character_stay_apart_and_stand_where_it_begins),
		TEST(offsets_go_on_from_event_to_event),
		TEST(what_never_becomes_a_character_counts_as_the_text_shows_it),
		TEST(none_of_the_likeliest_is_the_token_itself_alone),
		TEST(tokens_can_be_called_by_their_ids),
		TEST(the_space_that_a_vocabulary_puts_first_is_not_of_a_chat_s_answer),
		TEST(tokens_of_one_text_keep_their_own_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
