/* gguf_file.c - a GGUF file on disk: its header read, its parts found. */
#include "model/gguf.h"

#include "base/compiler.h"
#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SPLITS_MAX = 999, PATH_BYTES_MAX = 4096 };

/* Read at first; four times as much each time that does not hold the header. The largest known one has some 20 MiB. */
enum { HEAD_BYTES = 4 * 1024 * 1024, HEAD_BYTES_MAX = 256 * 1024 * 1024 };

static int read_head(
	struct model_facts *f, struct gguf_sums *s, int fd, uint64_t bytes, const char *path, struct err *err)
{
	const struct model_facts facts = *f;
	const struct gguf_sums sums = *s;
	CLEANUP(free_p) uint8_t *data = NULL;
	size_t have = 0, want;
	int code;

	do {
		want = (size_t)MIN(bytes, have ? (uint64_t)have * 4 : (uint64_t)HEAD_BYTES);
		uint8_t *more = realloc(data, want);
		if (!more)
			return err_set(err, -ENOMEM, "out of memory");
		data = more;
		code = file_read_at(fd, have, data + have, want - have);
		if (code < 0)
			return err_set_errno(err, code, "could not read \"%s\"", path);
		have = want;
		*f = facts;
		*s = sums;
		code = gguf_read_header(f, s, path, data, have, err);
	} while (s->cut && have < MIN(bytes, (uint64_t)HEAD_BYTES_MAX));
	return code;
}

/* One file or part. */
static int read_part(struct model_facts *f, struct gguf_sums *s, const char *path, struct err *err)
{
	uint64_t bytes;
	int fd = file_open_plain(path, &bytes, err);

	if (fd < 0)
		return fd;
	int code = bytes ? read_head(f, s, fd, bytes, path, err) : err_set(err, -EINVAL, "\"%s\" is empty", path);
	close(fd);
	f->file_bytes += bytes;
	f->files++;
	return code;
}

const struct refusal *gguf_refusal(struct model_facts *facts, const char *path)
{
	struct gguf_sums s = {0};

	read_part(facts, &s, path, NULL);
	return s.refusal;
}

/* "m-00001-of-00003.gguf" and the parts behind it. */
static int read_parts(struct model_facts *f, struct gguf_sums *s, const char *path, uint64_t count, struct err *err)
{
	char tail[32], part[PATH_BYTES_MAX];
	size_t len = strlen(path);
	int code = 0;

	snprintf(tail, sizeof tail, "-00001-of-%05u.gguf", (unsigned int)MIN(count, (uint64_t)SPLITS_MAX));
	size_t cut = strlen(tail);
	if (count > SPLITS_MAX || len < cut || len >= sizeof part || strcmp(path + len - cut, tail) != 0)
		return err_set(err, -EINVAL, "\"%s\" is one of several parts; name the first, whose name ends in %s",
			path, tail);
	for (uint64_t i = 2; i <= count && code == 0; i++) {
		snprintf(part, sizeof part, "%.*s-%05u-of-%05u.gguf", (int)(len - cut), path, (unsigned int)i,
			(unsigned int)count);
		code = read_part(f, s, part, err);
	}
	return code;
}

static void name_of(struct model_facts *f, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!f->name[0])
		snprintf(f->name, sizeof f->name, "%s", slash ? slash + 1 : path);
}

int model_facts_from_gguf(struct model_facts *ret, const char *path, struct err *err)
{
	struct model_facts f = {.from = MODEL_FROM_GGUF};
	struct gguf_sums s = {0};
	int code = read_part(&f, &s, path, err);
	const struct refusal *refusal = s.refusal;

	if (code == 0 && s.splits > 1)
		code = read_parts(&f, &s, path, s.splits, err);
	if (code < 0)
		return code;
	name_of(&f, path);
	f.params = s.params;
	f.params_active = f.experts ? s.params - s.expert + s.expert / f.experts * f.experts_used : s.params;
	f.params_embed = s.embed;
	f.params_linear = s.linear;
	f.qkv_bias = s.qkv_bias;
	f.tied_embeddings = s.output == 0;
	f.weight_bytes = s.bytes;
	f.weight_bytes_input = s.output ? s.embed_bytes : 0;
	f.weight_exact = true;
	f.refusal = refusal;
	snprintf(f.source, sizeof f.source, "the tensor table of %.200s", path);
	*ret = f;
	return 0;
}
