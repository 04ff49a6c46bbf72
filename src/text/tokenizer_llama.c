/* tokenizer_llama.c - the vocabulary of a GGUF file, by llama.cpp. */
#include "base/limits.h"
#include "llama/model.h"
#include "text/spm.h"
#include "text/tokenizer_impl.h"

#include <string.h>

/* Byte-pair and other vocabularies cut a run where they like, so a cut of ours changes at most the tokens beside it. A
 * sentencepiece vocabulary puts a space in front of every text it is given, which at a cut would add a character that
 * is not there. So a text that continues is given behind GUARD, a character that no token joins with its neighbours,
 * and the guard's own tokens are taken off again. */
static const char GUARD[] = "\x01";
enum { GUARD_TOKENS_MAX = 8 };

struct llama_tokenizer {
	struct tokenizer base;
	struct ll_model *model;
	const struct ll_vocab *vocab;
	uint32_t guard[GUARD_TOKENS_MAX]; /* its tokens, to be taken off */
	uint32_t guard_len;
	struct spm *spm; /* of a sentencepiece vocabulary */
	struct specials user_defined; /* likewise */
};

static const struct llama_tokenizer *of(const struct tokenizer *t)
{
	return (const struct llama_tokenizer *)(const void *)t;
}

/* Where a vocabulary has no unknown token llama.cpp puts -1. */
static void keep_tokens(const struct llama_tokenizer *l, struct tokens *ret, uint32_t count)
{
	const uint32_t *v = ret->v + ret->len;

	for (uint32_t i = 0; i < count; i++)
		if (v[i] < l->base.vocab)
			ret->v[ret->len++] = v[i];
}

/* Append, making room for as many tokens as llama.cpp says there are. */
static int tokenize(const struct llama_tokenizer *l, const char *text, size_t len, struct tokens *ret, struct err *err)
{
	uint32_t guess = (uint32_t)(len / 3 + 16);
	for (;;) {
		if (vec_reserve(ret, guess) < 0)
			return err_set(err, -ENOMEM, "out of memory");
		int32_t n = ll_tokenize(l->vocab, text, len, false, false, ret->v + ret->len, guess, err);
		if (n == INT32_MIN)
			return err ? err->code : -EIO;
		if (n >= 0) {
			keep_tokens(l, ret, (uint32_t)n);
			return 0;
		}
		guess = (uint32_t)-n;
	}
}

static int encode_behind_guard(
	const struct llama_tokenizer *l, const char *text, size_t len, struct tokens *ret, struct err *err)
{
	size_t guard = sizeof GUARD - 1;
	char *joined = malloc(guard + len);
	if (!joined)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(joined, GUARD, guard);
	memcpy(joined + guard, text, len);
	uint32_t before = ret->len;
	int code = tokenize(l, joined, guard + len, ret, err);
	free(joined);
	if (code < 0)
		return code;
	uint32_t got = ret->len - before;
	if (got >= l->guard_len && memcmp(ret->v + before, l->guard, l->guard_len * sizeof *l->guard) == 0) {
		memmove(ret->v + before, ret->v + before + l->guard_len, (got - l->guard_len) * sizeof *ret->v);
		ret->len -= l->guard_len;
		return 0;
	}
	ret->len = before; /* the guard did join: better a space too many than text lost */
	return tokenize(l, text, len, ret, err);
}

static int encode(const struct tokenizer *t, const struct encode_job *job, struct tokens *ret, struct err *err)
{
	const struct llama_tokenizer *l = of(t);
	return job->continues && t->adds_space ? encode_behind_guard(l, job->text, job->len, ret, err)
					       : tokenize(l, job->text, job->len, ret, err);
}

/* A sentencepiece vocabulary is encoded by text/spm.h. User-defined tokens are found first, and the text behind each begins
 * like the whole text does. */
static int encode_spm(const struct tokenizer *t, const struct encode_job *job, struct tokens *ret, struct err *err)
{
	const struct llama_tokenizer *l = of(t);
	struct text_segments parts = {0};
	bool first = !job->continues;
	int code = segments_cut(&l->user_defined, job->text, job->len, NULL, &parts);

	for (uint32_t i = 0; i < parts.len && code == 0 && ret->len <= job->tokens_max; i++) {
		const struct text_segment *s = &parts.v[i];
		code = s->text ? spm_encode(l->spm, s->text, s->len, first && ll_vocab_adds_space(l->vocab),
					 job->tokens_max, job->budget, ret)
			       : vec_push(ret, s->id);
		first = !s->text;
	}
	vec_done(&parts);
	return code < 0 ? encode_ended(code, err) : 0;
}

static bool can_cut_spm(const struct tokenizer *t, const char *text, size_t len, size_t at)
{
	return spm_can_cut(of(t)->spm, text, len, at);
}

static int piece(const struct tokenizer *t, uint32_t id, bool special, struct buf *ret)
{
	for (uint32_t room = 64;;) {
		int code = buf_reserve(ret, room);
		if (code < 0)
			return code;
		int32_t n = ll_piece(of(t)->vocab, id, special, ret->data + ret->len, room);
		if (n >= 0) {
			ret->len += (size_t)n;
			ret->data[ret->len] = '\0';
			return 0;
		}
		room = (uint32_t)-n;
	}
}

static bool is_eog(const struct tokenizer *t, uint32_t id)
{
	return ll_vocab_is_eog(of(t)->vocab, id);
}

static bool is_control(const struct tokenizer *t, uint32_t id)
{
	return ll_vocab_is_control(of(t)->vocab, id);
}

static void destroy(struct tokenizer *t)
{
	struct llama_tokenizer *l = (struct llama_tokenizer *)(void *)t;
	spm_destroy(l->spm);
	specials_done(&l->user_defined);
	ll_model_destroy(l->model);
	free(l);
}

static const struct tokenizer_ops llama_ops = {
	.encode = encode,
	.piece = piece,
	.is_eog = is_eog,
	.is_control = is_control,
	.destroy = destroy,
	.run_max = TEXT_RUN_MAX,
	.newline_run_max = TEXT_RUN_MAX,
	.part_bytes = TEXT_PART_BYTES_LLAMA,
	.part_bytes_max = TEXT_PART_BYTES_LLAMA_MAX,
};
static const struct tokenizer_ops spm_ops = {
	.encode = encode_spm,
	.piece = piece,
	.is_eog = is_eog,
	.is_control = is_control,
	.destroy = destroy,
	.run_max = SIZE_MAX, /* spm.h bounds what it joins */
	.newline_run_max = SIZE_MAX,
	.part_bytes = TEXT_PART_BYTES,
	.can_cut = can_cut_spm,
};

static int add_controls(struct llama_tokenizer *l)
{
	uint32_t count = ll_vocab_specials(l->vocab, NULL, 0);
	struct ll_special *list = calloc(count + 1, sizeof *list);
	int code = list ? 0 : -ENOMEM;
	if (list)
		ll_vocab_specials(l->vocab, list, count);
	for (uint32_t i = 0; i < count && code == 0; i++) {
		struct special s = {list[i].id, (uint32_t)list[i].len, list[i].strip_left, list[i].strip_right};
		note_special_text(&l->base, list[i].text, list[i].len);
		struct specials *to = list[i].control ? &l->base.controls : &l->user_defined;
		code = specials_add(to, &s, list[i].text);
	}
	free(list);
	return code;
}

/* Learn whether this vocabulary puts a space in front, and what the guard's tokens are. */
static int probe_space(struct llama_tokenizer *l, struct err *err)
{
	CLEANUP(free_p) uint32_t *first = NULL;
	struct tokens plain = {0};
	int code = tokenize(l, GUARD, sizeof GUARD - 1, &plain, err);
	first = plain.v;
	if (code < 0)
		return code;
	l->guard_len = MIN(plain.len, GUARD_TOKENS_MAX);
	if (l->guard_len)
		memcpy(l->guard, plain.v, l->guard_len * sizeof *l->guard);
	struct buf text;
	buf_init(&text, 4096);
	for (uint32_t i = 0; i < plain.len && code == 0; i++)
		code = piece(&l->base, plain.v[i], false, &text);
	l->base.adds_space = code == 0 && text.len > 0 && text.data[0] == ' ';
	buf_done(&text);
	return code < 0 ? err_set(err, code, "out of memory") : 0;
}

static int begin_spm(struct llama_tokenizer *l, struct err *err)
{
	if (spm_create(&l->spm, l->vocab) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	l->base.ops = &spm_ops;
	l->base.adds_space = ll_vocab_adds_space(l->vocab);
	return 0;
}

static void fill(struct llama_tokenizer *l)
{
	struct tokenizer *t = &l->base;
	l->vocab = ll_model_vocab(l->model);
	t->cuts_at_lines = ll_vocab_splits_words(l->vocab);
	t->hash = ll_model_facts(l->model)->file.vocab_hash;
	t->vocab = ll_vocab_size(l->vocab);
	t->bos = ll_vocab_bos(l->vocab);
	t->eos = ll_vocab_eos(l->vocab);
	t->add_bos = ll_vocab_add_bos(l->vocab);
	t->add_eos = ll_vocab_add_eos(l->vocab);
	t->template = ll_model_template(l->model);
}

int tokenizer_llama_create(struct tokenizer **ret, const char *path, struct err *err)
{
	struct llama_tokenizer *l = calloc(1, sizeof *l);
	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	l->base.ops = &llama_ops;
	struct ll_model_params params = {.vocab_only = true};
	int code = ll_model_load(&l->model, path, &params, err);
	if (code == 0) {
		fill(l);
		code = ll_vocab_kind(l->vocab) == LL_VOCAB_NONE
			       ? err_set(err, -EINVAL, "\"%s\" has no vocabulary", path)
			       : 0;
	}
	if (code == 0 && add_controls(l) < 0)
		code = err_set(err, -ENOMEM, "out of memory");
	if (code == 0 && ll_vocab_kind(l->vocab) == LL_VOCAB_SPM)
		code = begin_spm(l, err);
	else if (code == 0)
		code = probe_space(l, err);
	if (code < 0) {
		tokenizer_destroy(&l->base);
		return code;
	}
	*ret = &l->base;
	return 0;
}
