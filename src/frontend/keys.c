#include "frontend/keys.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/vec.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

_Static_assert(sizeof(((struct api_caller *)0)->digest) == SHA256_DIGEST_LENGTH, "a key is told by its SHA-256");

enum { FILE_BYTES_MAX = 1024 * 1024 };

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

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* A line without the comment and the blanks around the key. */
static size_t key_of(const char **line, size_t len)
{
	const char *at = *line;
	size_t n = 0;

	/* A # inside a key belongs to it. */
	while (n < len && !(at[n] == '#' && (n == 0 || is_blank(at[n - 1]))))
		n++;
	while (n && is_blank(at[n - 1]))
		n--;
	for (; n && is_blank(*at); n--)
		at++;
	*line = at;
	return n;
}

static int add_line(struct api_keys *k, const char *line, size_t len, uint32_t number, struct err *err)
{
	struct api_caller c = {0};

	len = key_of(&line, len);
	if (!len)
		return 0;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] <= ' ' || line[i] == 0x7f)
			return err_set(err, -EINVAL,
				"line %u has a blank or control character inside its key; write one key a line",
				number);
	if (len > strlen(ADMIN) && !memcmp(line, ADMIN, strlen(ADMIN))) {
		c.admin = true;
		line += strlen(ADMIN);
		len -= strlen(ADMIN);
	}
	SHA256((const unsigned char *)line, len, c.digest);
	return vec_push(&k->callers, c) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

int api_keys_parse(struct api_keys **ret, const char *text, size_t len, struct err *err)
{
	CLEANUP(api_keys_destroy_p) struct api_keys *k = calloc(1, sizeof *k);

	if (!k)
		return err_set(err, -ENOMEM, "out of memory");
	/* What some editors put before the text. */
	size_t at = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
	for (uint32_t number = 1; at < len; number++) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		int r = add_line(k, text + at, n, number, err);
		if (r < 0)
			return r;
		at += n + 1;
	}
	if (!k->callers.len)
		return err_set(err, -EINVAL, "it holds no key");
	*ret = TAKE(k);
	return 0;
}

int api_keys_read(struct api_keys **ret, const char *path, struct err *err)
{
	struct buf text;

	buf_init(&text, FILE_BYTES_MAX);
	int r = file_read_text(&text, "API keys file", path, FILE_PLAIN, err);
	if (r == 0 && (r = api_keys_parse(ret, buf_str(&text), text.len, err)) < 0)
		(void)err_wrap(err, "could not use the API keys file \"%s\"", path);
	if (text.data)
		OPENSSL_cleanse(text.data, text.cap);
	buf_done(&text);
	return r;
}

bool api_keys_know(const struct api_keys *k, const char *key, struct api_caller *ret)
{
	struct api_caller c = {0};
	bool found = false;

	if (!key)
		return false;
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

bool api_keys_find(const struct api_keys *k, const char *authorization, struct api_caller *ret)
{
	if (!authorization || strncasecmp(authorization, "Bearer ", 7))
		return false;
	return api_keys_know(k, authorization + 7 + strspn(authorization + 7, " "), ret);
}
