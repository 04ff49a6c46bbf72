/* hf_folder.c - a Hugging Face folder: config.json, and the headers of its *.safetensors. */
#include "model/safetensors.h"
#include "model/shape.h"

#include "base/compiler.h"
#include "config/json_parse.h"
#include "config/records.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096, FILES_MAX = 4096 };

struct folder {
	const char *path;
	char *files[FILES_MAX];
	uint32_t len;
};

DEFINE_CLEANUP(json_decref, json_t)

static int read_exactly(int fd, void *ret, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)ret + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		done += (size_t)n;
	}
	return 0;
}

static int refuse_short(const char *path, struct err *err)
{
	err_set(err, -EINVAL, "\"%s\" is cut short: it ends in its header", path);
	return err_hint(err, "download it again");
}

static int read_header(int fd, struct safetensors_sums *s, uint64_t size, const char *path, struct err *err)
{
	uint8_t head[8];
	uint64_t len = 0;

	if (read_exactly(fd, head, sizeof head) < 0)
		return refuse_short(path, err);
	for (uint32_t i = 0; i < 8; i++)
		len |= (uint64_t)head[i] << 8 * i;
	if (len > SAFETENSORS_HEADER_BYTES_MAX && memcmp(head, "version ", 8) == 0) {
		err_set(err, -EINVAL, "\"%s\" is a pointer of Git LFS, not weights", path);
		return err_hint(err, "fetch the file itself (git lfs pull)");
	}
	if (len > SAFETENSORS_HEADER_BYTES_MAX)
		return err_set(err, -EINVAL, "\"%s\" is not a safetensors file", path);
	if (len > size - 8)
		return refuse_short(path, err);
	CLEANUP(free_p) char *json = malloc(len + 1);
	if (!json)
		return err_set(err, -ENOMEM, "out of memory");
	if (read_exactly(fd, json, len) < 0)
		return refuse_short(path, err);
	return safetensors_read_header(s, path, json, len, err);
}

static int add_file(struct model_facts *f, struct safetensors_sums *s, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_set_errno(err, -errno, "could not open \"%s\"", path);
	int code = fstat(fd, &st) < 0 ? err_set_errno(err, -errno, "could not read \"%s\"", path)
		   : st.st_size < 8   ? refuse_short(path, err)
				      : read_header(fd, s, (uint64_t)st.st_size, path, err);
	close(fd);
	if (code == 0) {
		f->file_bytes += (uint64_t)st.st_size;
		f->files++;
	}
	return code;
}

static bool listed(const struct folder *d, const char *name)
{
	for (uint32_t i = 0; i < d->len; i++)
		if (!strcmp(d->files[i], name))
			return true;
	return false;
}

static int list(struct folder *d, const char *name, struct err *err)
{
	if (listed(d, name))
		return 0;
	if (strchr(name, '/') || d->len == FILES_MAX)
		return err_set(
			err, -EINVAL, "the index of \"%s\" names a file that cannot be: \"%.64s\"", d->path, name);
	d->files[d->len] = strdup(name);
	return d->files[d->len++] ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* The files that an index names, each once. */
static int list_index(struct folder *d, const char *path, const char *text, size_t len, struct err *err)
{
	json_error_t why;
	CLEANUP(json_decref_p) json_t *root = json_parse(text, len, 0, &why);
	const char *name;
	json_t *file;

	if (!root)
		return err_set(err, json_is_no_memory(&why) ? -ENOMEM : -EINVAL, "%s:%d:%d: %s", path, why.line,
			why.column, why.text);
	json_object_foreach(json_object_get(root, "weight_map"), name, file)
	{
		int code = json_is_string(file) ? list(d, json_string_value(file), err) : 0;
		if (code < 0)
			return code;
	}
	return 0;
}

/* Without an index: every *.safetensors, but not Mistral's second copy of all. */
static int list_all(struct folder *d, struct err *err)
{
	DIR *dir = opendir(d->path);
	int code = 0;

	if (!dir)
		return err_set_errno(err, -errno, "could not open \"%s\"", d->path);
	for (struct dirent *e; code == 0 && (e = readdir(dir));) {
		size_t n = strlen(e->d_name);
		if (n > 12 && !strcmp(e->d_name + n - 12, ".safetensors") &&
			strncmp(e->d_name, "consolidated", 12) != 0)
			code = list(d, e->d_name, err);
	}
	closedir(dir);
	return code;
}

static int find_files(struct folder *d, struct err *err)
{
	char path[PATH_BYTES_MAX];
	CLEANUP(free_p) char *text = NULL;
	size_t len;

	snprintf(path, sizeof path, "%s/model.safetensors.index.json", d->path);
	int code = records_read(path, &text, &len, err);
	if (code == -ENOENT)
		return list_all(d, err);
	return code < 0 ? code : list_index(d, path, text, len, err);
}

static int read_files(struct model_facts *f, struct safetensors_sums *s, const struct folder *d, struct err *err)
{
	char path[PATH_BYTES_MAX];
	int code = 0;

	for (uint32_t i = 0; i < d->len && code == 0; i++) {
		snprintf(path, sizeof path, "%s/%s", d->path, d->files[i]);
		code = add_file(f, s, path, err);
	}
	return code;
}

static const char *long_dtype(const char *dtype)
{
	return !strcmp(dtype, "BF16")  ? "bfloat16"
	       : !strcmp(dtype, "F16") ? "float16"
	       : !strcmp(dtype, "F32") ? "float32"
				       : NULL;
}

/* What the files say outranks what follows from the shapes. */
static void settle(struct model_facts *f, const struct safetensors_sums *s, const char *path)
{
	bool plain = !strcmp(f->quant, "none");

	f->weight_bytes = s->bytes;
	f->weight_bytes_input = s->lm_head ? s->embed_bytes : 0;
	f->weight_exact = true;
	if (plain && long_dtype(s->dtype))
		snprintf(f->dtype, sizeof f->dtype, "%s", long_dtype(s->dtype));
	if (plain) { /* packed weights hide their count */
		f->params_active = f->experts ? f->params_active : s->params;
		f->params = s->params;
		f->params_active = MIN(f->params_active, f->params);
	}
	snprintf(
		f->source, sizeof f->source, "config.json and the tensor tables of %u files in %.160s", f->files, path);
}

static int read_config(struct model_facts *f, const char *folder, struct err *err)
{
	char path[PATH_BYTES_MAX];
	CLEANUP(free_p) char *text = NULL;
	size_t len;

	snprintf(path, sizeof path, "%s/config.json", folder);
	int code = records_read(path, &text, &len, err);
	if (code == -ENOENT) {
		err_set(err, code, "\"%s\" has no config.json", folder);
		return err_hint(err, "a model's folder, as Hugging Face has it, is wanted");
	}
	return code < 0 ? code : model_facts_from_config_json(f, path, text, len, err);
}

static void name_of(struct model_facts *f, const char *folder)
{
	size_t len = strlen(folder), begin;

	while (len > 1 && folder[len - 1] == '/')
		len--;
	for (begin = len; begin && folder[begin - 1] != '/'; begin--)
		;
	snprintf(f->name, sizeof f->name, "%.*s", (int)MIN(len - begin, sizeof f->name - 1), folder + begin);
}

int model_facts_from_hf_folder(struct model_facts *ret, const char *path, struct err *err)
{
	CLEANUP(free_p) struct folder *d = calloc(1, sizeof *d);
	struct safetensors_sums s = {0};
	struct model_facts f;

	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	d->path = path;
	int code = read_config(&f, path, err);
	if (code == 0)
		code = find_files(d, err);
	if (code == 0)
		code = read_files(&f, &s, d, err);
	if (code == 0 && s.tensors)
		settle(&f, &s, path);
	for (uint32_t i = 0; i < d->len; i++)
		free(d->files[i]);
	if (code < 0)
		return code;
	name_of(&f, path);
	*ret = f;
	return 0;
}
