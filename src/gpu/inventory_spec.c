/* inventory_spec.c - "2xT4,1xL4;4xA100-80GB:20GiB": counts, cards, sizes, hosts; "2xg5.12xlarge": machines. */
#include "gpu/instances.h"
#include "gpu/inventory.h"

#include "base/compiler.h"
#include "config/units.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PART_BYTES_MAX = 128 };

/* "4x", "4 x ", "" (one): the count, and where the name begins. */
static uint64_t count_of(const char *part, const char **ret_name)
{
	char *end;
	unsigned long long n = strtoull(part, &end, 10);

	*ret_name = part;
	if (end == part || !isdigit((unsigned char)part[0]))
		return 1;
	while (isspace((unsigned char)*end))
		end++;
	if (*end == 'x' || *end == 'X' || *end == '*')
		end++;
	else if (*end || gpu_spec_find(part))
		return 1; /* a name that begins with a digit, or is a number ("4090") */
	while (isspace((unsigned char)*end))
		end++;
	*ret_name = end;
	return n;
}

/* "A100-80GB MIG 3g.40gb", "H100-mig-1g.10gb", as nvidia-smi and Kubernetes write a slice: cut it off, and return what it has at the
 * least, 95 % of its name (NVIDIA's user guide: 4,864 MiB of 1g.5gb to 40,192 of 3g.40gb); 0: there is none. */
static uint64_t mig_of(char *name)
{
	char *mig = strcasestr(name, "mig"), *end;

	if (!mig || mig == name || isalnum((unsigned char)mig[-1]) || !mig[3] || isalnum((unsigned char)mig[3]))
		return 0;
	unsigned long parts = strtoul(mig + 4, &end, 10);
	if (parts == 0 || tolower((unsigned char)end[0]) != 'g' || end[1] != '.')
		return 0;
	unsigned long gib = strtoul(end + 2, &end, 10);
	if (gib == 0 || gib > 1024 || strncasecmp(end, "gb", 2) != 0)
		return 0;
	do
		*mig-- = '\0';
	while (mig > name && (isspace((unsigned char)*mig) || *mig == '-' || *mig == '/'));
	return (uint64_t)gib * 1024 * 95 / 100 << 20;
}

/* The name up to ':', then the slice's memory; or that of a MIG profile behind it. */
static int slice_of(char *name, uint64_t *ret_bytes, const char *part, struct err *err)
{
	char *colon = strchr(name, ':');

	*ret_bytes = 0;
	if (!colon) {
		*ret_bytes = mig_of(name);
		return 0;
	}
	*colon = '\0';
	if (units_parse_bytes(colon + 1, ret_bytes) < 0 || *ret_bytes < 1 << 20)
		return err_set(err, -EINVAL, "\"%s\": \"%s\" is no memory size such as 20GiB", part, colon + 1);
	return 0;
}

static int append(struct gpu_inventory *inv, const struct gpu_device *d, uint64_t n, struct err *err)
{
	if (n > GPU_DEVICES_MAX - inv->count)
		return err_set(err, -EINVAL, "at most %d GPUs can be given", GPU_DEVICES_MAX);
	struct gpu_device *all = realloc(inv->devices, (inv->count + n + 1) * sizeof *all);
	if (!all)
		return err_set(err, -ENOMEM, "out of memory");
	inv->devices = all;
	uint32_t index = inv->count && all[inv->count - 1].host == d->host ? all[inv->count - 1].index + 1 : 0;
	for (uint64_t i = 0; i < n; i++) {
		all[inv->count] = *d;
		all[inv->count++].index = index++;
	}
	return 0;
}

static int refuse_card(const char *name, const char *part, struct err *err)
{
	char like[256];
	const char *near;

	if (strchr(gpu_spec_beginning(name, like, sizeof like), ',')) {
		err_set(err, -EINVAL, "\"%s\": there are several GPUs \"%s\"", part, name);
		return err_hint(err, "write which: %s", like);
	}
	err_set(err, -EINVAL, "\"%s\": unknown GPU \"%s\"", part, name);
	near = *like ? like : gpu_spec_suggest(name);
	near = near ? near : gpu_instance_suggest(name);
	return near ? err_hint(err, "did you mean \"%s\"?", near)
		    : err_hint(
			      err, "write COUNTxNAME, such as 4xT4; --gpu-catalogue FILE describes a card of your own");
}

static int add_part(struct gpu_inventory *inv, char *part, uint32_t host, struct err *err)
{
	const char *rest;
	char name[PART_BYTES_MAX];
	uint64_t slice, n = count_of(part, &rest);

	snprintf(name, sizeof name, "%s", rest);
	if (n == 0 && !*name) /* "0": a host without GPUs */
		return 0;
	int code = slice_of(name, &slice, part, err);
	if (code < 0)
		return code;
	const struct gpu_spec *spec = gpu_spec_find(name);
	if (!spec)
		return refuse_card(name, part, err);
	if (slice > spec->memory_bytes)
		return err_set(err, -EINVAL, "\"%s\": a %s has %llu MiB", part, spec->name,
			(unsigned long long)(spec->memory_bytes >> 20));
	struct gpu_device d = {.spec = spec, .capability = spec->capability, .numa = -1, .host = host};
	const char *shown = *spec->nvml ? spec->nvml : spec->name;

	snprintf(d.name, sizeof d.name, "%.*s", (int)strcspn(shown, "|"), shown);
	d.mig_slice = slice > 0;
	d.memory_total = d.memory_free = slice ? MIN(slice, spec->usable_bytes) : spec->usable_bytes;
	return append(inv, &d, n, err);
}

static char *trim(char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	for (size_t n = strlen(s); n && isspace((unsigned char)s[n - 1]); n--)
		s[n - 1] = '\0';
	return s;
}

/* "2x8xH100": so many hosts of the same. Sets text to what one of them has. */
static uint32_t hosts_of(char **text)
{
	char *end;
	unsigned long hosts = strtoul(*text, &end, 10);
	const char *second = end + 1;

	if (end == *text || *end != 'x' || hosts == 0 || hosts > GPU_DEVICES_MAX || !isdigit((unsigned char)*second))
		return 1;
	if (strtoul(second, &end, 10) == 0 || *end != 'x')
		return 1;
	*text += second - *text;
	return (uint32_t)hosts;
}

/* "2xg5.12xlarge": each of them is a host with what it has. 1: it is no machine's name. */
static int add_machines(struct gpu_inventory *inv, const char *text, uint32_t *host, struct err *err)
{
	const char *name, *gpus;
	uint64_t n = count_of(text, &name);

	if (!*name || !(gpus = gpu_instance_find(name)))
		return 1;
	if (n > GPU_DEVICES_MAX)
		return err_set(err, -EINVAL, "at most %d GPUs can be given", GPU_DEVICES_MAX);
	for (uint64_t i = 0; i < n; i++) {
		*host += i > 0;
		char part[PART_BYTES_MAX];
		snprintf(part, sizeof part, "%s", gpus);
		int code = add_part(inv, part, *host, err);
		if (code < 0)
			return code;
	}
	return 0;
}

static int add_parts(struct gpu_inventory *inv, const char *spec, struct err *err)
{
	uint32_t host = 0;

	for (const char *p = spec;; p++) {
		char part[PART_BYTES_MAX];
		size_t len = strcspn(p, ",;");
		if (len >= sizeof part)
			return err_set(err, -EINVAL, "\"%.40s...\" is no list of GPUs", p);
		snprintf(part, sizeof part, "%.*s", (int)len, p);
		char *text = trim(part);
		if (!*text)
			return err_set(
				err, -EINVAL, "\"%s\" has an empty part; write COUNTxNAME, such as 2xT4,1xL4", spec);
		int machines = add_machines(inv, text, &host, err);
		if (machines < 0)
			return machines;
		uint32_t hosts = machines ? hosts_of(&text) : 0;
		for (uint32_t i = 0; i < hosts; i++) {
			char one[PART_BYTES_MAX];
			snprintf(one, sizeof one, "%s", text);
			int code = add_part(inv, one, host + i, err);
			if (code < 0)
				return code;
		}
		host += hosts ? hosts - 1 : 0;
		p += len;
		host += *p == ';';
		if (!*p)
			return 0;
	}
}

/* NVLink where both cards of a host have it; slices have none. */
static int make_links(struct gpu_inventory *inv, struct err *err)
{
	inv->links = calloc(inv->count ? inv->count : 1, inv->count ? inv->count : 1);
	if (!inv->links)
		return err_set(err, -ENOMEM, "out of memory");
	/* Cards of a host stand in a row: a cluster's are not compared with each other. */
	for (uint32_t a = 0, first = 0; a < inv->count; a++) {
		const struct gpu_device *x = &inv->devices[a];
		if (x->host != inv->devices[first].host)
			first = a;
		for (uint32_t b = first; b < inv->count && inv->devices[b].host == x->host; b++) {
			const struct gpu_device *y = &inv->devices[b];
			if (a == b)
				continue;
			bool nvlink = x->spec->nvlink_gb_s > 0 && y->spec == x->spec && !x->mig_slice && !y->mig_slice;
			inv->links[(size_t)a * inv->count + b] = nvlink ? GPU_LINK_NVLINK : GPU_LINK_PCIE;
		}
	}
	return 0;
}

int gpu_inventory_from_spec(struct gpu_inventory *ret, const char *spec, struct err *err)
{
	struct gpu_inventory inv;

	gpu_inventory_init(&inv);
	inv.given = true;
	int code = gpu_catalogue_load(err);
	code = code < 0 ? code : add_parts(&inv, spec, err);
	if (code == 0)
		code = make_links(&inv, err);
	if (code < 0) {
		gpu_inventory_done(&inv);
		return err_wrap(err, "could not read the list of GPUs");
	}
	if (!inv.count)
		snprintf(inv.note, sizeof inv.note, "the list says there is no GPU");
	*ret = inv;
	return 0;
}
