/* doctor_versions.c - what the installed versions say: see doctor.h. The rules of CUDA and cards are those of the wheels: CUDA 13
 * compiles for 7.5 and newer only, cards of 10.0 and newer need 12.8; a program's CUDA must not be of a newer major than the
 * driver's. */
#include "plan/doctor.h"

#include <stdio.h>
#include <string.h>

static const struct doctor_package *package_at(const struct doctor_facts *f, const char *name, const char *where)
{
	for (uint32_t i = 0; i < f->packages_len; i++)
		if (!strcmp(f->packages[i].name, name) && !strcmp(f->packages[i].where, where))
			return &f->packages[i];
	return NULL;
}

/* "2.8.0+cu128" meets "2.8.0" and "2.8.*". */
static bool meets(const char *version, const char *wanted)
{
	size_t len = strlen(wanted), own = strcspn(version, "+");

	if (len > 1 && !strcmp(wanted + len - 2, ".*"))
		return own >= len - 2 && !strncmp(version, wanted, len - 2) &&
		       (own == len - 2 || version[len - 2] == '.');
	if (strchr(wanted, '+'))
		return !strcmp(version, wanted);
	return own == len && !strncmp(version, wanted, len);
}

static bool is_pinned(const struct doctor_facts *f, const struct doctor_pin *pin, const char *version)
{
	/* Several lines may name one package, for different machines: one of them is enough. */
	for (uint32_t i = 0; i < f->pins_len; i++) {
		const struct doctor_pin *p = &f->pins[i];
		if (!strcmp(p->owner, pin->owner) && !strcmp(p->where, pin->where) && !strcmp(p->name, pin->name) &&
			meets(version, p->version))
			return true;
	}
	return false;
}

static void pins(const struct doctor_facts *f, struct findings *ret)
{
	for (uint32_t i = 0; i < f->pins_len; i++) {
		const struct doctor_pin *p = &f->pins[i];
		const struct doctor_package *owner = package_at(f, p->owner, p->where),
					    *there = package_at(f, p->name, p->where);

		if (!owner || !there || is_pinned(f, p, there->version))
			continue;
		if (!findings_add(ret, FINDING_WARNING, FINDING_ENVIRONMENT, "package-pin", NULL,
			    "%s %s in %s was made with %s %s, and %s is installed", p->owner, owner->version, p->where,
			    p->name, p->version, there->version))
			continue;
		findings_remedy(ret,
			"%s/bin/pip install %s==%s (another %s may lack what it calls: undefined symbol, ImportError)",
			p->where, p->name, p->version, p->name);
	}
}

/* "12.8.90" -> 128, "13.0" -> 130, torch's "2.8.0+cu128" -> 128; 0: it does not say, or is not there. */
static uint32_t cuda_of(const struct doctor_package *p)
{
	const char *tail = p ? strstr(p->version, "+cu") : NULL;
	unsigned major = 0, minor = 0;

	if (!p)
		return 0;
	if (!strcmp(p->name, "torch"))
		return tail && tail[3] >= '0' && tail[3] <= '9' ? (uint32_t)strtoul(tail + 3, NULL, 10) : 0;
	if (!strcmp(p->name, "cuda-runtime") && sscanf(p->version, "%u.%u", &major, &minor) == 2)
		return major * 10 + minor;
	return 0;
}

static void driver(const struct doctor_facts *f, const struct doctor_package *p, uint32_t cuda, struct findings *ret)
{
	unsigned major = 0, minor = 0;

	if (sscanf(f->inventory.cuda, "%u.%u", &major, &minor) != 2 || cuda / 10 <= major)
		return;
	findings_add(ret, FINDING_WARNING, FINDING_ENVIRONMENT, "driver-cuda", NULL,
		"%s %s in %s needs CUDA %u, and the driver %s runs up to %u.%u: engines there will say that it is too "
		"old",
		p->name, p->version, p->where, cuda / 10, f->inventory.driver[0] ? f->inventory.driver : "here", major,
		minor);
	findings_remedy(ret, "a newer driver, or packages for CUDA %u", major);
}

static void cards(const struct doctor_facts *f, const struct doctor_package *p, uint32_t cuda, struct findings *ret)
{
	for (uint32_t i = 0; i < f->inventory.count; i++) {
		const struct gpu_device *d = &f->inventory.devices[i];
		bool dropped = cuda >= 130 && d->capability && d->capability < 75,
		     unknown = cuda < 128 && d->capability >= 100;

		if (!dropped && !unknown)
			continue;
		findings_add(ret, FINDING_WARNING, FINDING_ENVIRONMENT,
			dropped ? "cuda-dropped-card" : "cuda-before-card", NULL,
			dropped ? "GPU %u (%s) has capability %u.%u, and CUDA %u.%u of %s %s in %s has no code for "
				  "less than 7.5"
				: "GPU %u (%s) has capability %u.%u, and CUDA %u.%u of %s %s in %s is older than that: "
				  "12.8 at least",
			d->index, d->name, d->capability / 10, d->capability % 10, cuda / 10, cuda % 10, p->name,
			p->version, p->where);
		findings_remedy(ret,
			dropped ? "packages for CUDA 12 (no kernel image is available, they say otherwise)"
				: "packages for CUDA 12.8 or newer (no kernel image is available, they say otherwise)");
	}
}

void doctor_versions(const struct doctor_facts *f, struct findings *ret)
{
	pins(f, ret);
	for (uint32_t i = 0; i < f->packages_len; i++) {
		const struct doctor_package *p = &f->packages[i];
		uint32_t cuda = cuda_of(p);

		/* torch says it more exactly than the runtime beside it. */
		if (!cuda || (!strcmp(p->name, "cuda-runtime") && cuda_of(package_at(f, "torch", p->where))))
			continue;
		driver(f, p, cuda, ret);
		cards(f, p, cuda, ret);
	}
}
