/* hf_folder.c - a Hugging Face folder: config.json, and the headers of its *.safetensors. */
#include "model/safetensors.h"
#include "base/file.h"
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
	bool indexed;
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

/* What a download that was answered with something else leaves, by its first bytes; NULL: nothing that is known. */
static const char *other_content(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t'))
		at++;
	if (len - at >= 5 && (!strncasecmp(text + at, "<html", 5) || !strncasecmp(text + at, "<!doc", 5)))
		return "is an HTML page";
	if (len - at >= 5 && !strncmp(text + at, "<?xml", 5))
		return "is an XML document, as a store's error is";
	if (len >= 8 && !strncmp(text, "version ", 8))
		return "is a pointer of Git LFS";
	return len == 0 ? "is empty" : NULL;
}

static int refuse_content(const char *path, const char *what, const char *wanted, struct err *err)
{
	err_set(err, -EINVAL, "\"%s\" %s, not %s", path, what, wanted);
	return err_hint(err, strstr(what, "LFS") ? "fetch the file itself (git lfs pull)" : "download it again");
}

/* ret_header: bytes before the data. */
static int read_header(
	int fd, struct safetensors_sums *s, uint64_t size, const char *path, uint64_t *ret_header, struct err *err)
{
	uint8_t head[8];
	uint64_t len = 0;

	if (read_exactly(fd, head, sizeof head) < 0)
		return refuse_short(path, err);
	for (uint32_t i = 0; i < 8; i++)
		len |= (uint64_t)head[i] << 8 * i;
	const char *other = other_content((const char *)head, sizeof head);
	if (other)
		return refuse_content(path, other, "weights", err);
	if (len == 0)
		return refuse_content(path, "begins with zeros", "weights", err);
	if (len > SAFETENSORS_HEADER_BYTES_MAX) {
		err_set(err, -EINVAL,
			"\"%s\" is not a safetensors file: its first bytes give its header %llu bytes, and it has %llu",
			path, (unsigned long long)len, (unsigned long long)size);
		return err_hint(err, "download it again");
	}
	if (len > size - 8)
		return refuse_short(path, err);
	*ret_header = 8 + len;
	CLEANUP(free_p) char *json = malloc(len + 1);
	if (!json)
		return err_set(err, -ENOMEM, "out of memory");
	if (read_exactly(fd, json, len) < 0)
		return refuse_short(path, err);
	return safetensors_read_header(s, path, json, len, err);
}

/* A download that broke off has the header and not all of the data. */
static int check_whole(uint64_t size, uint64_t wanted, const char *path, struct err *err)
{
	if (size >= wanted)
		return 0;
	err_set(err, -EINVAL, "\"%s\" is cut short: it has %llu of %llu bytes", path, (unsigned long long)size,
		(unsigned long long)wanted);
	return err_hint(err, "download it again");
}

static int add_file(struct model_facts *f, struct safetensors_sums *s, const char *path, struct err *err)
{
	uint64_t header = 0, size;
	int code, fd = file_open_plain(path, &size, err);

	if (fd == -ENOENT) {
		err_set(err, -EINVAL, "\"%s\" is not there, and the index names it", path);
		return err_hint(err, "download it");
	}
	if (fd < 0)
		return fd;
	s->data_end = 0;
	if (size == 0)
		code = refuse_content(path, "is empty", "weights", err);
	else if (size < 8)
		code = refuse_short(path, err);
	else
		code = read_header(fd, s, size, path, &header, err);
	close(fd);
	if (code == 0)
		code = check_whole(size, header + s->data_end, path, err);
	if (code == 0) {
		f->file_bytes += size;
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

/* "model-00001-of-00004.safetensors": its number and of how many. */
static bool part_of(const char *name, uint32_t *number, uint32_t *of)
{
	const char *dash = strrchr(name, '-');
	int end = 0;

	for (; dash && dash > name + 9; dash = NULL)
		if (sscanf(dash - 9, "-%5u-of-%5u%n", number, of, &end) == 2 &&
			strcmp(dash - 9 + end, ".safetensors") == 0)
			return true;
	return false;
}

/* Without an index the names tell whether a part is missing. */
static int check_parts(const struct folder *d, struct err *err)
{
	uint32_t number, of, parts = 0, there = 0;

	for (uint32_t i = 0; i < d->len; i++)
		if (part_of(d->files[i], &number, &of)) {
			parts = MAX(parts, of);
			there++;
		}
	if (there >= parts)
		return 0;
	err_set(err, -EINVAL, "\"%s\" has %u of %u parts of the weights", d->path, there, parts);
	return err_hint(err, "download the others");
}

/* The files that an index names, each once. */
static int list_index(struct folder *d, const char *path, const char *text, size_t len, struct err *err)
{
	json_error_t why;
	CLEANUP(json_decref_p) json_t *root = json_parse(text, len, 0, &why);
	const char *name;
	json_t *file;

	if (!root && other_content(text, len))
		return refuse_content(path, other_content(text, len), "an index of weights", err);
	if (!root)
		return err_set(err, json_is_no_memory(&why) ? -ENOMEM : -EINVAL, "%s:%d:%d: %s", path, why.line,
			why.column, why.text);
	json_object_foreach(json_object_get(root, "weight_map"), name, file)
	{
		int code = json_is_string(file) ? list(d, json_string_value(file), err) : 0;
		if (code < 0)
			return code;
	}
	return d->len ? 0 : err_set(err, -EINVAL, "\"%s\" names no file with weights", path);
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
	int code = records_read(path, FILE_PLAIN, &text, &len, err);
	if (code == -ENOENT) {
		return list_all(d, err);
	}
	d->indexed = true;
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

static bool has(const char *folder, const char *name)
{
	char path[PATH_BYTES_MAX];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

/* A folder without config.json is another thing than a model, or a model in a form that is not read here. */
static int refuse_folder(const char *folder, struct err *err)
{
	if (has(folder, "params.json"))
		return err_set(
			err, -ENOTSUP, "\"%s\" is in Mistral's own form (params.json), which is not read here", folder);
	if (has(folder, "adapter_config.json")) {
		err_set(err, -EINVAL, "\"%s\" is an adapter (LoRA), not a model", folder);
		return err_hint(err, "name the model it was made for");
	}
	if (has(folder, "model_index.json"))
		return err_set(err, -EINVAL, "\"%s\" is a diffusion pipeline, not a language model", folder);
	err_set(err, -EINVAL, "\"%s\" has no config.json", folder);
	return err_hint(err, "a model's folder, as Hugging Face has it, is wanted");
}

/* Weights that are not read: bytes come from the shapes. */
static void note_unread(struct model_facts *f, const char *folder)
{
	bool torch = has(folder, "pytorch_model.bin") || has(folder, "pytorch_model.bin.index.json");

	if (!*f->unsure)
		snprintf(f->unsure, sizeof f->unsure,
			torch ? "the weights are PyTorch's *.bin, whose sizes are not read"
			      : "the folder has a config.json and no weights: nothing can be loaded from it yet");
}

/* ModelOpt's older releases say how they quantized in a file of its own, and engines read that too. */
static int read_beside(const char *folder, char **ret, size_t *ret_len, struct err *err)
{
	char path[PATH_BYTES_MAX];

	snprintf(path, sizeof path, "%s/hf_quant_config.json", folder);
	int code = records_read(path, FILE_PLAIN, ret, ret_len, err);
	return code == -ENOENT ? 0 : code;
}

static int read_config_at(struct model_facts *f, const char *folder, const char *path, struct err *err)
{
	CLEANUP(free_p) char *text = NULL;
	CLEANUP(free_p) char *beside = NULL;
	size_t len, beside_len = 0;
	struct model_shape s;

	int code = records_read(path, FILE_PLAIN, &text, &len, err);
	if (code == -ENOENT)
		return refuse_folder(folder, err);
	if (code == 0 && other_content(text, len))
		return refuse_content(path, other_content(text, len), "a model's config.json", err);
	if (code == 0)
		code = read_beside(folder, &beside, &beside_len, err);
	return code < 0 ? code : model_shape_from_config_json(f, &s, path, text, len, beside, beside_len, err);
}

static int read_config(struct model_facts *f, const char *folder, struct err *err)
{
	char path[PATH_BYTES_MAX];

	snprintf(path, sizeof path, "%s/config.json", folder);
	return read_config_at(f, folder, path, err);
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

int model_facts_from_config_file(struct model_facts *ret, const char *path, struct err *err)
{
	char folder[PATH_BYTES_MAX];
	const char *slash = strrchr(path, '/');
	struct model_facts f;

	snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	int code = read_config_at(&f, slash == path ? "/" : folder, path, err);
	if (code < 0)
		return code;
	name_of(&f, folder);
	*ret = f;
	return 0;
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
	if (code == 0 && !d->indexed)
		code = check_parts(d, err);
	if (code == 0 && s.tensors)
		settle(&f, &s, path);
	else if (code == 0)
		note_unread(&f, path);
	for (uint32_t i = 0; i < d->len; i++)
		free(d->files[i]);
	if (code < 0)
		return code;
	name_of(&f, path);
	*ret = f;
	return 0;
}
