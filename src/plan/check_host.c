/* check_host.c - the machine around the cards: cores, RAM, shared memory, limits, disk, ports, programs, files. */
#include "plan/check.h"

#include <stdio.h>
#include <string.h>

static const uint64_t MIB = 1024 * 1024;

enum { OPEN_FILES_LEAST = 4096, SHM_LEAST_MIB = 128, SHM_GOOD_MIB = 1024 };

static const struct host_facts *host(const struct plan *p)
{
	return &p->input.inventory->host_facts;
}

static bool is_external(const struct plan_service *s)
{
	return s->engine == GRAPH_ENGINE_VLLM || s->engine == GRAPH_ENGINE_SGLANG;
}

/* RAM of llama workers on the CPU. */

struct ram {
	uint64_t weights, workers; /* bytes of distinct files; bytes of all workers */
	const struct plan_service *largest;
	uint64_t largest_bytes;
};

static bool is_first_of_file(const struct plan *p, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++) {
		const struct plan_service *s = &p->deployment.services[k];
		if (s->engine == GRAPH_ENGINE_LLAMA && !plan_on_gpu(s) && s->workers &&
			!strcmp(s->graph->model, p->deployment.services[i].graph->model))
			return false;
	}
	return true;
}

static void ram_add(const struct plan *p, struct ram *ram, uint32_t i)
{
	const struct plan_service *s = &p->deployment.services[i];
	struct plan_host_need n;

	if (s->engine != GRAPH_ENGINE_LLAMA || plan_on_gpu(s) || !s->workers)
		return;
	plan_host_need(&n, s);
	uint64_t all = (n.kv + n.rest) * s->workers;
	ram->weights += is_first_of_file(p, i) ? n.weights : 0;
	ram->workers += all;
	if (n.known && (!ram->largest || all > ram->largest_bytes)) {
		ram->largest = s;
		ram->largest_bytes = all;
	}
}

/* The largest context, in steps of 256, with which the largest service would fit. */
static uint64_t context_that_fits(const struct plan_service *s, uint64_t room)
{
	struct plan_service other = *s;
	struct plan_host_need n;
	uint64_t low = 0, high = s->context / 256;

	while (low < high) {
		other.context = ((low + high + 1) / 2) * 256;
		plan_host_need(&n, &other);
		if ((n.kv + n.rest) * s->workers <= room)
			low = other.context / 256;
		else
			high = other.context / 256 - 1;
	}
	return low * 256;
}

static void ram_table(struct plan *p, const struct ram *ram, uint64_t there)
{
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		struct plan_host_need n;
		if (s->engine != GRAPH_ENGINE_LLAMA || plan_on_gpu(s) || !s->workers)
			continue;
		plan_host_need(&n, s);
		if (is_first_of_file(p, i))
			findings_arithmetic(&p->findings, "%-28s %10s   mapped once, shared by its workers", "weights",
				PLAN_BYTES(n.weights));
		findings_arithmetic(&p->findings, "%-28s %10s   %u worker%s x (%s KV of %llu tokens + %s)", s->name,
			PLAN_BYTES((n.kv + n.rest) * s->workers), s->workers, plan_s(s->workers), PLAN_BYTES(n.kv),
			(unsigned long long)s->context, PLAN_BYTES(n.rest));
	}
	findings_arithmetic(&p->findings, "%-28s %10s   > %s", "together", PLAN_BYTES(ram->weights + ram->workers),
		PLAN_BYTES(there));
}

/* Workers that were not told a context share what is left; said once for the largest of them. */
static bool ram_yields(struct plan *p, const struct ram *ram, uint64_t need)
{
	uint64_t there = host(p)->ram_available ? MIN(host(p)->ram_available, host(p)->ram_total) : host(p)->ram_total;
	const struct plan_service *s = ram->largest;

	if (!plan_context_yields(s) || need <= there)
		return false;
	uint64_t others = need - ram->largest_bytes;
	uint64_t context = there > others ? context_that_fits(s, there - others) : 0;
	if (context < PLAN_CONTEXT_LEAST)
		return false;
	plan_context_reduced(p, s, context);
	return true;
}

static void check_ram(struct plan *p)
{
	struct ram ram = {0};
	uint64_t there = host(p)->ram_total;

	for (uint32_t i = 0; i < p->deployment.len; i++)
		ram_add(p, &ram, i);
	uint64_t need = ram.weights + ram.workers;
	if (!there || !ram.largest || ram_yields(p, &ram, need))
		return;
	if (need > there) {
		uint64_t others = need - ram.largest_bytes;
		uint64_t fits = there > others ? context_that_fits(ram.largest, there - others) : 0;
		findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "ram", &ram.largest->pos[PLAN_CONTEXT],
			"the llama workers need %s of RAM, and the host has %s", PLAN_BYTES(need), PLAN_BYTES(there));
		ram_table(p, &ram, there);
		if (fits)
			findings_remedy(&p->findings,
				"context-length: %llu is the largest that fits; or kv-type: q8_0; "
				"or fewer workers",
				(unsigned long long)fits);
		else
			findings_remedy(&p->findings, "a smaller model or quantization, or fewer workers");
	} else if (host(p)->ram_available && need > host(p)->ram_available) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "ram-busy",
			&ram.largest->pos[PLAN_CONTEXT],
			"the llama workers need %s of RAM, and %s of %s are available now", PLAN_BYTES(need),
			PLAN_BYTES(host(p)->ram_available), PLAN_BYTES(there));
		findings_remedy(&p->findings, "stop what else runs, or a shorter context-length");
	}
}

static void check_cores(struct plan *p)
{
	uint64_t threads = 0, workers = 0;
	const struct plan_service *last = NULL;

	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		if (s->engine != GRAPH_ENGINE_LLAMA || plan_on_gpu(s) || !s->workers)
			continue;
		workers += s->workers;
		threads += (uint64_t)s->threads * s->workers;
		last = s->threads || !last ? s : last;
	}
	if (!host(p)->cores || !last)
		return;
	if (threads > host(p)->cores) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "threads", &last->pos[PLAN_THREADS],
			"the llama workers compute on %llu threads, and there %s %u core%s: they wait for each other",
			(unsigned long long)threads, plural(host(p)->cores, "is", "are"), host(p)->cores,
			plan_s(host(p)->cores));
		findings_remedy(&p->findings, "leave threads out: the cores are divided among the workers");
	} else if (workers > host(p)->cores) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "cores", &last->pos[PLAN_WORKERS],
			"%llu llama workers share %u core%s", (unsigned long long)workers, host(p)->cores,
			plan_s(host(p)->cores));
		findings_remedy(
			&p->findings, "at most one worker a core: one worker with more sequences does the same");
	}
	if (host(p)->numa_nodes > 1 && workers < host(p)->numa_nodes)
		findings_add(&p->findings, FINDING_INFO, FINDING_CAPACITY, "numa", &last->pos[PLAN_WORKERS],
			"the host has %u NUMA nodes: a worker for each of them would read from memory of its own",
			host(p)->numa_nodes);
}

/* NCCL and vLLM's own broadcast of work go through /dev/shm. */
static void check_shm(struct plan *p)
{
	const struct plan_service *s = NULL;

	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *x = &p->deployment.services[i];
		s = !s && is_external(x) && x->workers && (uint64_t)x->tp * x->pp > 1 ? x : s;
	}
	if (!s || !host(p)->shm_total || host(p)->shm_free >= SHM_GOOD_MIB * MIB)
		return;
	bool fatal = host(p)->shm_free < SHM_LEAST_MIB * MIB;
	findings_add(&p->findings, fatal ? FINDING_FATAL : FINDING_WARNING, FINDING_ENVIRONMENT, "shm",
		&s->pos[PLAN_TP], "/dev/shm has %s free, and cards that work together exchange through it",
		PLAN_BYTES(host(p)->shm_free));
	findings_arithmetic(&p->findings, "%s < %s", PLAN_BYTES(host(p)->shm_free),
		PLAN_BYTES((fatal ? SHM_LEAST_MIB : SHM_GOOD_MIB) * MIB));
	findings_remedy(
		&p->findings, "docker run --shm-size=10g or --ipc=host; Kubernetes: an emptyDir of medium Memory");
}

static void check_limits(struct plan *p)
{
	if (!host(p)->open_files || host(p)->open_files >= OPEN_FILES_LEAST)
		return;
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		if (!is_external(&p->deployment.services[i]) || !p->deployment.services[i].workers)
			continue;
		findings_add(&p->findings, FINDING_WARNING, FINDING_ENVIRONMENT, "open-files", NULL,
			"a process may open %llu files; engines under load need some thousand",
			(unsigned long long)host(p)->open_files);
		findings_remedy(&p->findings, "ulimit -n 65536");
		return;
	}
}

/* Files: a name is fetched from a hub, and must have room on the disk. */
static void check_files(struct plan *p)
{
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		const struct model_facts *m = s->model->facts;
		if (!s->workers || s->engine == GRAPH_ENGINE_MOCK)
			continue;
		if (s->model->refused) {
			findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "model-refused",
				&s->pos[PLAN_MODEL], "%s: %s", s->name, s->model->why);
		} else if (s->model->damaged) {
			findings_add(&p->findings, FINDING_FATAL, FINDING_ENVIRONMENT, "model-damaged",
				&s->pos[PLAN_MODEL], "%s: the engine cannot load the model: %s", s->name,
				s->model->why);
		} else if (s->model->missing) {
			findings_add(&p->findings, FINDING_FATAL, FINDING_ENVIRONMENT, "model-missing",
				&s->pos[PLAN_MODEL], "%s: %s", s->name, s->model->why);
			findings_remedy(&p->findings, s->engine == GRAPH_ENGINE_LLAMA
							      ? "model: the path of a GGUF file, or demo"
							      : "model: a folder that is there, or a name to fetch");
		} else if (m && m->from == MODEL_FROM_CATALOGUE && host(p)->disk_free &&
			   host(p)->disk_free < m->weight_bytes && p->input.environment &&
			   p->input.environment->known && is_external(s)) {
			findings_add(&p->findings, FINDING_WARNING, FINDING_ENVIRONMENT, "disk", &s->pos[PLAN_MODEL],
				"%s: the weights are %s, and the disk has %s free", s->name,
				PLAN_BYTES(m->weight_bytes), PLAN_BYTES(host(p)->disk_free));
			findings_remedy(&p->findings, "room on the disk, or HF_HOME on another one");
		}
	}
}

static void check_programs(struct plan *p)
{
	const struct plan_environment *e = p->input.environment;

	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		if (!is_external(s) || !s->workers || e->versions[s->engine])
			continue;
		findings_add(&p->findings, FINDING_WARNING, FINDING_ENVIRONMENT, "engine-missing", &s->graph->pos,
			"%s is not found on this machine (PATH, and python3's packages)", graph_engine_name(s->engine));
		findings_remedy(
			&p->findings, s->engine == GRAPH_ENGINE_VLLM ? "pip install vllm" : "pip install sglang");
	}
}

static void check_ports(struct plan *p)
{
	const struct plan_environment *e = p->input.environment;
	const struct config_section *front = &graph_find(p->deployment.graph, GRAPH_FRONTEND)->settings;
	const struct config_item *port = config_section_find(front, "port");

	for (uint32_t i = 0; i < e->ports_used_len; i++) {
		bool ours = port && port->value.u == e->ports_used[i];
		findings_add(&p->findings, FINDING_FATAL, FINDING_ENVIRONMENT, "port-used",
			ours && port->value.set ? &port->value.pos : NULL, "port %u is in use by another program",
			e->ports_used[i]);
		findings_remedy(&p->findings, "stop it, or another one: Frontend.port");
	}
}

void plan_check_host(struct plan *p)
{
	check_ram(p);
	check_cores(p);
	check_shm(p);
	check_limits(p);
	check_files(p);
	if (!p->input.environment || !p->input.environment->known)
		return;
	check_programs(p);
	check_ports(p);
}
