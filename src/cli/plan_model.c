/* plan_model.c - see plan_model.h. */
#include "cli/plan_model.h"
#include "base/json_out.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool ends_in(const char *word, const char *end)
{
	size_t len = strlen(word), n = strlen(end);

	return len > n && !strcasecmp(word + len - n, end);
}

/* "deploy.yaml", "run.sh": a file that should be there. */
static bool has_file_end(const char *word)
{
	static const char *const ends[] = {
		".yaml", ".yml", ".json", ".sh", ".txt", ".toml", ".conf", ".cfg", ".service", ".gguf", ".tpl"};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (ends_in(word, ends[i]))
			return true;
	return false;
}

bool plan_model_is(const char *word)
{
	const char *slash = strchr(word, '/');
	struct model_facts facts;
	struct err err = {0};
	struct stat st;

	if (!strcmp(word, "-"))
		return false;
	if (stat(word, &st) == 0)
		return S_ISDIR(st.st_mode) || (ends_in(word, ".json") && model_facts_given(&facts, word, &err) == 0);
	if (has_file_end(word) || *word == '.' || *word == '/' || *word == '~')
		return false;
	return model_facts_by_name(&facts, word, &err) == 0 || (slash && slash[1] && !strchr(slash + 1, '/'));
}

uint32_t plan_model_hosts(const struct gpu_inventory *inventory, uint32_t *ret_gpus)
{
	uint32_t hosts = 0, least = UINT32_MAX;

	for (uint32_t i = 0; i < inventory->count;) {
		uint32_t host = inventory->devices[i].host, n = 0;
		while (i < inventory->count && inventory->devices[i].host == host) {
			n++;
			i++;
		}
		hosts++;
		least = MIN(least, n);
	}
	*ret_gpus = hosts ? least : 0;
	return hosts;
}

static void graph_print(struct buf *ret, const char *model, uint32_t tp, uint32_t pp, uint64_t context)
{
	buf_add_str(ret, "VllmWorker:\n  model: ");
	json_out_cstr(ret, model);
	buf_printf(ret, "\n  tensor-parallel-size: %u\n", tp);
	if (pp > 1)
		buf_printf(ret, "  pipeline-parallel-size: %u\n  distributed-executor-backend: ray\n", pp);
	if (context)
		buf_printf(ret, "  max-model-len: %llu\n", (unsigned long long)context);
	buf_printf(ret, "  ServiceArgs:\n    workers: 1\n    resources:\n      gpu: %u\n", tp * pp);
}

/* Of so many GPUs, the most that the model can be divided over. */
static uint32_t widest(const char *model, uint32_t gpus)
{
	struct model_facts facts;
	struct err err = {0};

	if (model_facts_given(&facts, model, &err) < 0)
		return MAX(gpus, 1u);
	for (uint32_t tp = gpus; tp > 1; tp--)
		if (model_tp_valid(&facts, tp))
			return tp;
	return 1;
}

int plan_model_graph(struct buf *ret, const char *model, const struct gpu_inventory *inventory, struct err *err)
{
	uint32_t gpus;

	plan_model_hosts(inventory, &gpus);
	graph_print(ret, model, widest(model, gpus), 1, 0);
	return ret->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}

int plan_model_graph_hosts(struct buf *ret, const char *model, const struct gpu_inventory *inventory, uint32_t hosts,
	uint64_t context, struct err *err)
{
	uint32_t gpus;

	plan_model_hosts(inventory, &gpus);
	graph_print(ret, model, widest(model, gpus), hosts, context);
	return ret->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}
