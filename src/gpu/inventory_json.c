/* inventory_json.c - an inventory as JSON, so that a cluster can be planned from a laptop. One table of members serves
 * both directions; unknown members are skipped, for a newer stator may have written them. */
#include "gpu/inventory.h"

#include "base/compiler.h"
#include "base/json_out.h"
#include "config/json_parse.h"
#include "config/records.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, U32, U64, I32, BOOL };

struct member {
	const char *name;
	enum kind kind;
	uint32_t offset, bytes; /* bytes: of a text */
};

#define M(s, name, kind)                                                                                               \
	{                                                                                                              \
#name, kind, offsetof(struct s, name), sizeof(((struct s *)0)->name)                                   \
	}

static const struct member top[] = {
	M(gpu_inventory, host, TEXT),
	M(gpu_inventory, driver, TEXT),
	M(gpu_inventory, cuda, TEXT),
	M(gpu_inventory, hidden, U32),
	M(gpu_inventory, note, TEXT),
};

static const struct member device[] = {
	M(gpu_device, index, U32),
	M(gpu_device, name, TEXT),
	M(gpu_device, uuid, TEXT),
	M(gpu_device, memory_total, U64),
	M(gpu_device, memory_free, U64),
	M(gpu_device, capability, U32),
	M(gpu_device, mig_slice, BOOL),
	M(gpu_device, numa, I32),
	M(gpu_device, processes, U32),
	M(gpu_device, processes_bytes, U64),
	M(gpu_device, host, U32),
};

static const struct member host[] = {
	M(host_facts, cores, U32),
	M(host_facts, cores_all, U32),
	M(host_facts, cpu, TEXT),
	M(host_facts, avx, BOOL),
	M(host_facts, avx2, BOOL),
	M(host_facts, f16c, BOOL),
	M(host_facts, fma, BOOL),
	M(host_facts, avx512, BOOL),
	M(host_facts, avx512_vnni, BOOL),
	M(host_facts, avx512_bf16, BOOL),
	M(host_facts, amx, BOOL),
	M(host_facts, ram_total, U64),
	M(host_facts, ram_available, U64),
	M(host_facts, ram_cgroup, U64),
	M(host_facts, numa_nodes, U32),
	M(host_facts, memory_mb_s, U32),
	M(host_facts, shm_total, U64),
	M(host_facts, shm_free, U64),
	M(host_facts, disk_free, U64),
	M(host_facts, open_files, U64),
	M(host_facts, locked_memory, U64),
	M(host_facts, processes, U64),
	M(host_facts, container, BOOL),
};

static const char *const link_names[] = {
	[GPU_LINK_NONE] = "none", [GPU_LINK_PCIE] = "pcie", [GPU_LINK_NVLINK] = "nvlink"};

/* --- writing --- */

static void put_value(struct buf *out, const struct member *m, const void *from)
{
	const char *p = (const char *)from + m->offset;

	switch (m->kind) {
	case TEXT:
		json_out_cstr(out, p);
		break;
	case U32:
		json_out_u64(out, *(const uint32_t *)(const void *)p);
		break;
	case U64:
		json_out_u64(out, *(const uint64_t *)(const void *)p);
		break;
	case I32:
		json_out_i64(out, *(const int32_t *)(const void *)p);
		break;
	case BOOL:
		buf_add_str(out, *(const bool *)(const void *)p ? "true" : "false");
	}
}

/* A limit that is none is written as null: 2^64 - 1 does not fit JSON readers. */
static bool unlimited(const struct member *m, const void *from)
{
	return m->kind == U64 && *(const uint64_t *)(const void *)((const char *)from + m->offset) > INT64_MAX;
}

static void put_members(struct buf *out, const char *indent, const struct member *m, uint32_t n, const void *from)
{
	for (uint32_t i = 0; i < n; i++) {
		buf_printf(out, "%s\n%s\"%s\": ", i ? "," : "", indent, m[i].name);
		if (unlimited(&m[i], from))
			buf_add_str(out, "null");
		else
			put_value(out, &m[i], from);
	}
}

static void put_links(const struct gpu_inventory *inv, struct buf *out)
{
	for (uint32_t a = 0; a < inv->count; a++) {
		buf_printf(out, "%s\n    [", a ? "," : "");
		for (uint32_t b = 0; b < inv->count; b++)
			buf_printf(out, "%s\"%s\"", b ? ", " : "", link_names[gpu_inventory_link(inv, a, b)]);
		buf_add_str(out, "]");
	}
}

int gpu_inventory_to_json(const struct gpu_inventory *inv, struct buf *out)
{
	buf_add_str(out, "{");
	put_members(out, "  ", top, ARRAY_LEN(top), inv);
	buf_add_str(out, ",\n  \"devices\": [");
	for (uint32_t i = 0; i < inv->count; i++) {
		buf_printf(out, "%s\n    {", i ? "," : "");
		put_members(out, "      ", device, ARRAY_LEN(device), &inv->devices[i]);
		buf_add_str(out, "\n    }");
	}
	buf_add_str(out, "\n  ],\n  \"links\": [");
	put_links(inv, out);
	buf_add_str(out, "\n  ],\n  \"host_facts\": {");
	put_members(out, "    ", host, ARRAY_LEN(host), &inv->host_facts);
	buf_add_str(out, "\n  }\n}\n");
	return out->failed ? -ENOBUFS : 0;
}

/* --- reading --- */

static int refuse(const char *at, const char *name, const char *want, struct err *err)
{
	return err_set(err, -EINVAL, "%s\"%s\" must be %s", at, name, want);
}

static int get_number(const json_t *v, const struct member *m, char *p, const char *at, struct err *err)
{
	json_int_t least = m->kind == I32 ? INT32_MIN : 0;
	json_int_t most = m->kind == I32 ? INT32_MAX : m->kind == U32 ? UINT32_MAX : INT64_MAX;

	if (!json_is_integer(v) || json_integer_value(v) < least || json_integer_value(v) > most)
		return refuse(at, m->name, "a whole number in its range", err);
	int64_t n = json_integer_value(v);
	if (m->kind == U64)
		memcpy(p, &(uint64_t){(uint64_t)n}, sizeof(uint64_t));
	else
		memcpy(p, &(uint32_t){(uint32_t)n}, sizeof(uint32_t));
	return 0;
}

static int get_member(const json_t *v, const struct member *m, void *ret, const char *at, struct err *err)
{
	char *p = (char *)ret + m->offset;

	if (m->kind == TEXT) {
		if (!json_is_string(v) || json_string_length(v) >= m->bytes ||
			strlen(json_string_value(v)) != json_string_length(v))
			return refuse(at, m->name, "a short text", err);
		memcpy(p, json_string_value(v), json_string_length(v) + 1);
		return 0;
	}
	if (m->kind == BOOL) {
		if (!json_is_boolean(v))
			return refuse(at, m->name, "true or false", err);
		*(bool *)(void *)p = json_is_true(v);
		return 0;
	}
	if (m->kind == U64 && json_is_null(v)) {
		memcpy(p, &(uint64_t){UINT64_MAX}, sizeof(uint64_t));
		return 0;
	}
	return get_number(v, m, p, at, err);
}

static int get_members(
	const json_t *object, const struct member *m, uint32_t n, void *ret, const char *at, struct err *err)
{
	if (!json_is_object(object))
		return err_set(err, -EINVAL, "%san object is wanted", at);
	for (uint32_t i = 0; i < n; i++) {
		const json_t *v = json_object_get(object, m[i].name);
		int code = v ? get_member(v, &m[i], ret, at, err) : 0;
		if (code < 0)
			return code;
	}
	return 0;
}

static int get_device(const json_t *v, struct gpu_device *d, uint32_t i, struct err *err)
{
	char at[32];

	snprintf(at, sizeof at, "device %u: ", i);
	d->numa = -1;
	d->memory_free = UINT64_MAX;
	int code = get_members(v, device, ARRAY_LEN(device), d, at, err);
	if (code < 0)
		return code;
	if (!d->name[0])
		return refuse(at, "name", "given, such as \"Tesla T4\"", err);
	d->spec = d->memory_total ? gpu_spec_match(d->name, d->memory_total) : gpu_spec_find(d->name);
	if (!d->memory_total && d->spec)
		d->memory_total = d->spec->usable_bytes;
	if (!d->memory_total)
		return refuse(at, "memory_total", "given: the card is not in the catalogue", err);
	d->memory_free = MIN(d->memory_free, d->memory_total);
	if (!d->capability && d->spec)
		d->capability = d->spec->capability;
	return 0;
}

static int get_devices(const json_t *root, struct gpu_inventory *inv, struct err *err)
{
	const json_t *all = json_object_get(root, "devices");

	if (all && !json_is_array(all))
		return refuse("", "devices", "an array", err);
	size_t n = json_array_size(all);
	if (n > GPU_DEVICES_MAX)
		return err_set(err, -EINVAL, "%zu devices, at most %d can be read", n, GPU_DEVICES_MAX);
	inv->devices = calloc(n ? n : 1, sizeof *inv->devices);
	inv->links = calloc(n ? n : 1, n ? n : 1);
	if (!inv->devices || !inv->links)
		return err_set(err, -ENOMEM, "out of memory");
	inv->count = (uint32_t)n;
	for (uint32_t i = 0; i < n; i++) {
		int code = get_device(json_array_get(all, i), &inv->devices[i], i, err);
		if (code < 0)
			return code;
	}
	return 0;
}

static int get_link(const json_t *v, uint8_t *ret, struct err *err)
{
	for (uint8_t k = 0; json_is_string(v) && k < ARRAY_LEN(link_names); k++)
		if (!strcmp(json_string_value(v), link_names[k])) {
			*ret = k;
			return 0;
		}
	return err_set(err, -EINVAL, "a link must be \"none\", \"pcie\" or \"nvlink\"");
}

/* Without links: PCIe inside each host. */
static int get_links(const json_t *root, struct gpu_inventory *inv, struct err *err)
{
	const json_t *rows = json_object_get(root, "links");
	int code = 0;

	if (rows && json_array_size(rows) != inv->count)
		return err_set(err, -EINVAL, "\"links\" must have a row for each of %u devices", inv->count);
	for (uint32_t a = 0; a < inv->count; a++) {
		const json_t *row = json_array_get(rows, a);
		if (rows && json_array_size(row) != inv->count)
			return err_set(err, -EINVAL, "row %u of \"links\" must have %u entries", a, inv->count);
		for (uint32_t b = 0; b < inv->count && code == 0; b++) {
			uint8_t *link = &inv->links[(size_t)a * inv->count + b];
			*link = a != b && inv->devices[a].host == inv->devices[b].host ? GPU_LINK_PCIE : GPU_LINK_NONE;
			if (rows)
				code = get_link(json_array_get(row, b), link, err);
		}
	}
	return code;
}

static int read_tree(const json_t *root, struct gpu_inventory *inv, struct err *err)
{
	const json_t *facts = json_object_get(root, "host_facts");
	int code = get_members(root, top, ARRAY_LEN(top), inv, "", err);

	if (code == 0)
		code = get_devices(root, inv, err);
	if (code == 0)
		code = get_links(root, inv, err);
	if (code == 0 && facts)
		code = get_members(facts, host, ARRAY_LEN(host), &inv->host_facts, "host_facts: ", err);
	return code;
}

int gpu_inventory_from_json(struct gpu_inventory *ret, const char *file, const char *text, size_t len, struct err *err)
{
	if (gpu_catalogue_load(err) < 0)
		return -ENOMEM;
	json_error_t why;
	json_t *root = json_parse(text, len, JSON_REJECT_DUPLICATES, &why);
	struct gpu_inventory inv;

	if (!root)
		return err_set(err, json_is_no_memory(&why) ? -ENOMEM : -EINVAL, "%s:%d:%d: %s", file, why.line,
			why.column, why.text);
	/* doctor's whole report has the inventory inside */
	const json_t *part = json_object_get(root, "inventory");
	gpu_inventory_init(&inv);
	inv.given = true;
	int code = read_tree(part ? part : root, &inv, err);
	json_decref(root);
	if (code < 0) {
		gpu_inventory_done(&inv);
		return err_wrap(err, "%s", file);
	}
	*ret = inv;
	return 0;
}

int gpu_inventory_from_file(struct gpu_inventory *ret, const char *path, struct err *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t len = 0;
	int code = records_read(path, FILE_PLAIN, &text, &len, err);

	return code < 0 ? code : gpu_inventory_from_json(ret, path, text, len, err);
}
