/* file_kind.c - see file_kind.h. */
#include "base/file_kind.h"
#include "base/compiler.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define AGAIN ": download it again"
#define UNPACK ": unpack it first"
#define CONVERT ": llama.cpp's convert_hf_to_gguf.py makes a GGUF file of the model's folder"

/* Text that may have blanks in front, in any case of letters. */
static const struct {
	const char *begin, *what;
} texts[] = {
	{"version https://git-lfs", "a pointer of Git LFS: fetch the file itself (git lfs pull)"},
	{"<!doctype", "an HTML page" AGAIN},
	{"<html", "an HTML page" AGAIN},
	{"<head", "an HTML page" AGAIN},
	{"<?xml", "an XML document, as a store's error is" AGAIN},
	{"<error", "an XML document, as a store's error is" AGAIN},
	{"{", "a JSON text, as a server's error or a model's config.json is"},
	{"[", "a JSON text"},
};
static const struct {
	const char *begin;
	size_t len;
	const char *what;
} formats[] = {
#define BEGIN(bytes) bytes, sizeof(bytes) - 1
	{BEGIN("\x1f\x8b"), "packed with gzip" UNPACK},
	{BEGIN("\xfd"
	       "7zXZ"),
		"packed with xz" UNPACK},
	{BEGIN("\x28\xb5\x2f\xfd"), "packed with zstd" UNPACK},
	{BEGIN("BZh"), "packed with bzip2" UNPACK},
	{BEGIN("7z\xbc\xaf"), "a 7-Zip archive" UNPACK},
	{BEGIN("Rar!"), "a RAR archive" UNPACK},
	{BEGIN("\x80\x02"), "a pickle of Python, as older PyTorch files are" CONVERT},
	{BEGIN("\x80\x04"), "a pickle of Python" CONVERT},
	{BEGIN("\x93NUMPY"), "an array of NumPy"},
	{BEGIN("\x89HDF"), "an HDF5 file, as Keras writes"},
	{BEGIN("lmgg"), "of llama.cpp's form before GGUF: get the model as GGUF, or convert it anew"},
	{BEGIN("fmgg"), "of llama.cpp's form before GGUF: get the model as GGUF, or convert it anew"},
	{BEGIN("tjgg"), "of llama.cpp's form before GGUF: get the model as GGUF, or convert it anew"},
	{BEGIN("algg"), "of llama.cpp's form before GGUF: get the model as GGUF, or convert it anew"},
	{BEGIN("\x7f"
	       "ELF"),
		"a program"},
	{BEGIN("#!"), "a script"},
	{BEGIN("\0\0\0\0"), "begun and not written, for it begins with zeros" AGAIN},
#undef BEGIN
};

static const char *find_text(const char *head, size_t len)
{
	size_t at = len >= 3 && !memcmp(head, "\xef\xbb\xbf", 3) ? 3 : 0;

	while (at < len && isspace((unsigned char)head[at]))
		at++;
	for (uint32_t i = 0; i < ARRAY_LEN(texts); i++)
		if (len - at >= strlen(texts[i].begin) &&
			!strncasecmp(head + at, texts[i].begin, strlen(texts[i].begin)))
			return texts[i].what;
	return NULL;
}

/* PyTorch's files are zip archives whose first entry is NAME/data.pkl, stored as it is. */
static const char *find_zip(const char *head, size_t len)
{
	if (len < 4 || memcmp(head, "PK\3\4", 4) != 0)
		return NULL;
	return memmem(head, len, "/data.pkl", 9) ? "a PyTorch file" CONVERT : "a zip archive" UNPACK;
}

/* Eight bytes of a small length, and an object of JSON. */
static bool is_safetensors(const char *head, size_t len)
{
	return len > 9 && !memcmp(head + 4, "\0\0\0\0", 4) && head[8] == '{' &&
	       (head[9] == '"' || isspace((unsigned char)head[9]) || head[9] == '}');
}

static bool is_tar(const char *head, size_t len)
{
	return len > 262 && !memcmp(head + 257, "ustar", 5);
}

static const char *find(const char *head, size_t len)
{
	const char *zip = find_zip(head, len), *text = zip ? NULL : find_text(head, len);

	if (zip || text)
		return zip ? zip : text;
	if (is_safetensors(head, len))
		return "a safetensors file" CONVERT;
	for (uint32_t i = 0; i < ARRAY_LEN(formats); i++)
		if (len >= formats[i].len && !memcmp(head, formats[i].begin, formats[i].len))
			return formats[i].what;
	return is_tar(head, len) ? "a tar archive" UNPACK : NULL;
}

int file_refuse_not_gguf(const char *path, const void *head, size_t len, struct err *err)
{
	const char *what = find(head, len);

	err_set(err, -EINVAL, "\"%s\" is not a GGUF file", path);
	return what ? err_hint(err, "it is %s", what) : -EINVAL;
}

int file_refuse_gguf_version(const char *path, uint32_t version, struct err *err)
{
	err_set(err, -ENOTSUP, "\"%s\" is GGUF version %u, and versions 2 and 3 are read", path, version);
	if (version && !(version & 0xffff))
		return err_hint(err,
			"it is written for machines of the other order of bytes (big-endian): get the little-endian file");
	return version == 1 ? err_hint(err, "it is of 2023: get the model anew, or convert it anew") : -ENOTSUP;
}
