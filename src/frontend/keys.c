#include "frontend/keys.h"
#include "base/buf.h"
#include "base/vec.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <strings.h>

enum { KEYS_FILE_BYTES_MAX = 1024 * 1024 };

_Static_assert(sizeof(((struct api_caller *)0)->digest) == SHA256_DIGEST_LENGTH, "a key is told by its SHA-256");

struct api_keys {
	VEC(struct api_caller) callers;
};

void api_keys_destroy(struct api_keys *k)
{
	if (!k)
		return;
	vec_done(&k->callers);
	free(k);
}
DEFINE_CLEANUP(api_keys_destroy, struct api_keys)

#define ADMIN "admin:"

static int add_line(struct api_keys *k, const char *line, size_t len)
{
	struct api_caller c = {0};

	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
		len--;
	for (; len && (*line == ' ' || *line == '\t'); len--)
		line++;
	if (!len || *line == '#')
		return 0;
	if (len > strlen(ADMIN) && !memcmp(line, ADMIN, strlen(ADMIN))) {
		c.admin = true;
		line += strlen(ADMIN);
		len -= strlen(ADMIN);
	}
	SHA256((const unsigned char *)line, len, c.digest);
	return vec_push(&k->callers, c);
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
	if (!k->callers.len)
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

bool api_keys_find(const struct api_keys *k, const char *authorization, struct api_caller *ret)
{
	struct api_caller c = {0};
	bool found = false;

	if (!authorization || strncasecmp(authorization, "Bearer ", 7))
		return false;
	const char *key = authorization + 7;
	while (*key == ' ')
		key++;
	SHA256((const unsigned char *)key, strlen(key), c.digest);
	for (uint32_t i = 0; i < k->callers.len; i++) {
		bool same = CRYPTO_memcmp(c.digest, k->callers.v[i].digest, sizeof c.digest) == 0;
		found |= same;
		c.admin |= same & k->callers.v[i].admin;
	}
	if (found && ret)
		*ret = c;
	return found;
}
