/* tokenizer_bpe.c - byte-pair vocabularies of GGUF files, read and encoded by ourselves. llama.cpp's own reader, which needs
 * some 70 ms and 17 MB for 49,152 tokens, is asked only for the first text that text/bpe.h does not take. */
#include "base/limits.h"
#include "base/file.h"
#include "llama/model.h"
#include "text/bpe.h"
#include "text/tokenizer_impl.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

struct control_text {
	uint32_t id, begin, end; /* in texts */
};

struct bpe_tokenizer {
	struct tokenizer base;
	char *path, *template;
	struct bpe *bpe;
	VEC(struct control_text) controls; /* by id */
	struct buf texts;
	const struct vocab_file *loading; /* while it is created */
	pthread_mutex_t lock; /* guards whole */
	struct tokenizer *whole; /* llama.cpp's; NULL: nobody needed it yet */
};

static struct bpe_tokenizer *of(const struct tokenizer *t)
{
	return (struct bpe_tokenizer *)(uintptr_t)t;
}

/* --- what llama.cpp does for us --- */

static int load_whole(struct bpe_tokenizer *b, struct err *err)
{
	struct tokenizer *t;
	int code = tokenizer_llama_create(&t, b->path, err);

	if (code < 0)
		return code;
	if (t->hash != b->base.hash) {
		tokenizer_destroy(t);
		return err_set(err, -ESTALE, "\"%s\" is another file than when the model was loaded", b->path);
	}
	b->whole = t;
	return 0;
}

static int whole_of(struct bpe_tokenizer *b, const struct tokenizer **ret, struct err *err)
{
	pthread_mutex_lock(&b->lock);
	int code = b->whole ? 0 : load_whole(b, err);
	*ret = b->whole;
	pthread_mutex_unlock(&b->lock);
	return code;
}

/* --- ops --- */

static int encode(const struct tokenizer *t, const struct encode_job *job, struct tokens *ret, struct err *err)
{
	const struct tokenizer *whole;
	int code = bpe_encode(of(t)->bpe, job->text, job->len, job->tokens_max, job->budget, ret);

	if (code != 0)
		return code < 0 ? encode_ended(code, err) : 0;
	code = whole_of(of(t), &whole, err);
	return code < 0 ? code
			: tokenizer_encode_plain(whole, job->text, job->len, job->tokens_max, job->budget, ret, err);
}

static int compare_ids(const void *key, const void *item)
{
	uint32_t id = *(const uint32_t *)key, at = ((const struct control_text *)item)->id;

	return id < at ? -1 : id > at;
}

/* Once loaded only control tokens have a text that the token table does not know. */
static int piece(const struct tokenizer *t, uint32_t id, bool special, struct buf *ret)
{
	const struct bpe_tokenizer *b = of(t);

	if (b->loading)
		return vocab_file_piece(b->loading, id, special, ret);
	const struct control_text *c = special && b->controls.len ? bsearch(&id, b->controls.v, b->controls.len,
									    sizeof *b->controls.v, compare_ids)
								  : NULL;
	return c ? buf_add(ret, b->texts.data + c->begin, c->end - c->begin) : 0;
}

static bool is_eog(const struct tokenizer *t, uint32_t id)
{
	return of(t)->loading->attrs[id] & VOCAB_EOG;
}

static bool is_control(const struct tokenizer *t, uint32_t id)
{
	return of(t)->loading->attrs[id] & VOCAB_CONTROL;
}

static void destroy(struct tokenizer *t)
{
	struct bpe_tokenizer *b = of(t);

	tokenizer_destroy(b->whole);
	bpe_destroy(b->bpe);
	vec_done(&b->controls);
	buf_done(&b->texts);
	pthread_mutex_destroy(&b->lock);
	free(b->path);
	free(b->template);
	free(b);
}

static const struct tokenizer_ops ops = {
	.encode = encode,
	.part_bytes = TEXT_PART_BYTES,
	.piece = piece,
	.is_eog = is_eog,
	.is_control = is_control,
	.destroy = destroy,
	.run_max = TEXT_RUN_MAX,
	.newline_run_max = TEXT_RUN_MAX,
};

/* --- create --- */

static int add_controls(struct bpe_tokenizer *b, const struct vocab_file *v)
{
	for (uint32_t i = 0; i < v->specials_count; i++) {
		struct special s = {.id = v->specials[i]};
		const char *text = vocab_file_text(v, s.id, &s.len);
		note_special_text(&b->base, text, s.len);
		if (v->attrs[s.id] & (VOCAB_CONTROL | VOCAB_UNKNOWN) && specials_add(&b->base.controls, &s, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int keep_texts(struct bpe_tokenizer *b, const struct vocab_file *v)
{
	for (uint32_t id = 0; id < v->count; id++) {
		uint32_t len, begin = (uint32_t)b->texts.len;
		if (!(v->attrs[id] & (VOCAB_CONTROL | VOCAB_UNKNOWN)))
			continue;
		const char *text = vocab_file_text(v, id, &len);
		if (buf_add(&b->texts, text, len) < 0 ||
			vec_push(&b->controls, ((struct control_text){id, begin, begin + len})) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void fill(struct bpe_tokenizer *b, const struct vocab_file *v, uint64_t hash)
{
	struct tokenizer *t = &b->base;

	t->hash = hash;
	t->vocab = v->count;
	t->bos = v->bos;
	t->eos = v->eos;
	t->add_bos = v->add_bos;
	t->add_eos = v->add_eos;
}

/* Everything of the vocabulary that is used later; the file is not. */
static int make_tables(struct bpe_tokenizer *b, const struct vocab_file *v, const char *path, struct err *err)
{
	b->path = strdup(path);
	if (v->template.data)
		b->template = strndup(v->template.data, v->template.len);
	b->base.template = b->template;
	if (!b->path || (v->template.data && !b->template) || add_controls(b, v) < 0 || keep_texts(b, v) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	b->loading = v;
	int code = token_table_build(&b->base.table, &b->base, err);
	b->loading = NULL;
	if (code == 0 && bpe_create(&b->bpe, v, &b->base.table) < 0)
		code = err_set(err, -ENOMEM, "out of memory");
	return code;
}

static int create(struct tokenizer **ret, const struct vocab_file *v, uint64_t hash, const char *path, struct err *err)
{
	struct bpe_tokenizer *b = calloc(1, sizeof *b);

	if (!b)
		return err_set(err, -ENOMEM, "out of memory");
	b->base.ops = &ops;
	b->base.cuts_at_lines = true; /* all four splitters that text/presplit.h knows are of words */
	pthread_mutex_init(&b->lock, NULL);
	buf_init(&b->texts, UINT32_MAX);
	fill(b, v, hash);
	int code = make_tables(b, v, path, err);
	if (code == 0 && b->bpe)
		*ret = &b->base;
	else
		tokenizer_destroy(&b->base);
	return code;
}

/* The header alone, into memory: what a mapping shows of a file that is cut meanwhile is a signal. */
static int read_header(const char *path, size_t len, uint8_t **ret, struct err *err)
{
	uint64_t bytes;
	int fd = file_open_plain(path, &bytes, err);

	if (fd < 0)
		return fd;
	uint8_t *data = malloc(len + 1);
	int code = data ? file_read_at(fd, 0, data, len) : -ENOMEM;
	close(fd);
	if (code == 0)
		*ret = data;
	else
		free(data);
	return code == -ENOMEM ? err_set(err, code, "out of memory")
	       : code < 0      ? err_set_errno(err, code, "could not read \"%s\"", path)
			       : 0;
}

static int read_file(struct tokenizer **ret, const struct ll_file_facts *facts, const char *path, struct err *err)
{
	struct vocab_file v;
	CLEANUP(free_p) uint8_t *data = NULL;
	int code = read_header(path, facts->header_bytes, &data, err);

	if (code < 0)
		return code;
	code = vocab_file_read(&v, data, facts->header_bytes);
	if (code < 0)
		err_set(err, code, "out of memory");
	if (code == 1) {
		code = create(ret, &v, facts->vocab_hash, path, err);
		vocab_file_done(&v);
	}
	return code;
}

int tokenizer_bpe_create(struct tokenizer **ret, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	struct ll_file_facts facts;
	int code = ll_file_check(path, false, &facts, err);

	if (code == 0)
		code = read_file(ret, &facts, path, err);
	return code < 0 ? err_wrap(err, "could not load model \"%s\"", slash ? slash + 1 : path) : 0;
}
