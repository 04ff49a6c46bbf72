/* Any file as a vocabulary, of the kinds that llama.cpp reads: refused, or used; it ends no process. */
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void use(const struct tokenizer *t)
{
	static const char text[] = "ab  abc the.\n\n<|x|> </s> [CLS] \xf0\x9f\x98\x80 \xff";
	struct tokens got = {0};
	struct buf piece;
	int code = tokenizer_encode(t, text, sizeof text - 1, TOKENIZE_BOS_EOS | TOKENIZE_SPECIAL, 1000, &got, NULL);

	buf_init(&piece, 1 << 22);
	for (uint32_t i = 0; code == 0 && i < got.len; i++) {
		ASSERT(got.v[i] < tokenizer_vocab(t));
		code = tokenizer_piece(t, got.v[i], true, &piece);
	}
	buf_done(&piece);
	vec_done(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tokenizer *t = NULL;
	struct err err = {0};
	char path[64];
	int fd = memfd_create("vocabulary", MFD_CLOEXEC);

	ASSERT(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (tokenizer_load(&t, path, &err) == 0)
		use(t);
	else
		ASSERT(err.code < 0 && err.msg[0]);
	tokenizer_destroy(t);
	close(fd);
	return 0;
}
