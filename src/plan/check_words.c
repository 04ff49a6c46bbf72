/* check_words.c - what a setting is called where the user wrote it: the keys of our graph mean nothing in a compose file. */
#include "plan/check.h"

#include <string.h>

const char *plan_word(const struct plan *p, const struct plan_service *s, enum plan_key key)
{
	static const struct {
		const char *family, *workers, *gpus;
	} words[] = {
		{"script", "the number of such commands", "the GPUs it sees"},
		{"vllm-config", "the number of vllm processes", "the GPUs it sees"},
		{"modelfile", "the number of Ollama servers", "the GPUs it sees"},
		{"compose", "deploy.replicas", "the count of its devices"},
		{"dynamo", "replicas", "resources.limits.gpu"},
		{"kserve", "minReplicas", "the limit of nvidia.com/gpu"},
		{"kubernetes", "replicas", "the limit of nvidia.com/gpu"},
		{"values", "the replica count", "the number of requested GPUs"},
	};
	const char *family = p->input.form ? form_family(p->input.form) : "graph";

	for (size_t i = 0; i < ARRAY_LEN(words) && (key == PLAN_WORKERS || key == PLAN_GPUS); i++)
		if (!strcmp(words[i].family, family))
			return key == PLAN_WORKERS ? words[i].workers : words[i].gpus;
	return plan_key_name(s->engine, key);
}
