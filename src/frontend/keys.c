#include "frontend/keys.h"
#include "base/buf.h"
#include "base/vec.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <strings.h>

enum { KEYS_FILE_BYTES_MAX = 1024 * 1024 };

struct digest {
	unsigned char bytes[SHA256_DIGEST_LENGTH];
};
struct api_keys {
	VEC(struct digest) digests;
};

void api_keys_destroy(struct api_keys *k)
{
	if (!k)
		return;
	vec_done(&k->digests);
	free(k);
}
DEFINE_CLEANUP(api_keys_destroy, struct api_keys)

static int add_line(struct api_keys *k, const char *line, size_t len)
{
	struct digest d;

	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
		len--;
	for (; len && (*line == ' ' || *line == '\t'); len--)
		line++;
	if (!len || *line == '#')
		return 0;
	SHA256((const unsigned char *)line, len, d.bytes);
	return vec_push(&k->digests, d);
}

int api_keys_parse(struct api_keys **ret, const char *text, size_t len, struct err *err)
{
	CLEANUP(api_keys_destroy_p) struct api_keys *k = calloc(1, sizeof *k);

	if (!k)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		if (add_line(k, text + at, n) < 0)
			return err_set(err, -ENOMEM, "out of memory");
		at += n + 1;
	}
	if (!k->digests.len)
		return err_set(err, -EINVAL, "it holds no key");
	*ret = TAKE(k);
	return 0;
}

int api_keys_load(struct api_keys **ret, const char *path, struct err *err)
{
	char *text = NULL;
	FILE *f = fopen(path, "re");

	if (!f)
		return err_set_errno(err, -errno, "could not read the API keys: could not open \"%s\"", path);
	text = malloc(KEYS_FILE_BYTES_MAX);
	size_t len = text ? fread(text, 1, KEYS_FILE_BYTES_MAX, f) : 0;
	int r = !text                                    ? err_set(err, -ENOMEM, "out of memory")
		: ferror(f)                              ? err_set_errno(err, -EIO, "could not read \"%s\"", path)
		: !feof(f) && len == KEYS_FILE_BYTES_MAX ? err_set(err, -EFBIG, "\"%s\" is larger than 1 MiB", path)
							 : api_keys_parse(ret, text, len, err);
	if (r == -EINVAL)
		err_wrap(err, "could not use the API keys file \"%s\"", path);
	if (text)
		OPENSSL_cleanse(text, KEYS_FILE_BYTES_MAX);
	free(text);
	fclose(f);
	return r;
}

bool api_keys_allow(const struct api_keys *k, const char *authorization)
{
	struct digest d;
	int found = 0;

	if (!authorization || strncasecmp(authorization, "Bearer ", 7))
		return false;
	const char *key = authorization + 7;
	while (*key == ' ')
		key++;
	SHA256((const unsigned char *)key, strlen(key), d.bytes);
	for (uint32_t i = 0; i < k->digests.len; i++)
		found |= CRYPTO_memcmp(d.bytes, k->digests.v[i].bytes, sizeof d.bytes) == 0;
	return found;
}
