/* kind.c - what a YAML tree is, by its shape. */
#include "forms/form_priv.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const struct yaml_node *root, const char *key)
{
	const struct yaml_node *n = yaml_find(root, key);
	return n && n->type == YAML_SCALAR ? n->text : NULL;
}

static bool has(const struct yaml_node *root, const char *key)
{
	return yaml_find(root, key) != NULL;
}

static bool is_graph(const struct yaml_node *root)
{
	for (const struct yaml_node *n = root->first; n; n = n->next)
		if (graph_section_known(n->key) || (n->type == YAML_MAP && yaml_find(n, "engine")))
			return true;
	return false;
}

/* vllm serve --config FILE: a flat map of the command line's flags. */
static bool is_vllm_config(const struct yaml_node *root)
{
	uint32_t known = 0;

	for (const struct yaml_node *n = root->first; n; n = n->next)
		known += config_key_find("VllmWorker", n->key) && strcmp(n->key, "engine") != 0;
	return (has(root, "model") && known >= 2) || (known >= 2 && known * 2 >= root->count);
}

const char *form_kind_of(struct form_set *f, const struct yaml_node *root)
{
	const char *kind = text_of(root, "kind"), *version = text_of(root, "apiVersion");

	if (root->type != YAML_MAP)
		return NULL;
	if (kind && version && !strncmp(version, "nvidia.com/", 11))
		return arena_printf(&f->arena, "a %.64s (%.64s)", kind, version);
	if (kind && version)
		return arena_printf(&f->arena, "a Kubernetes %.64s (%.64s)", kind, version);
	if (is_graph(root))
		return NULL;
	if (has(root, "servingEngineSpec"))
		return "Helm values of vLLM's production stack";
	if (has(root, "modelArtifacts") && (has(root, "decode") || has(root, "prefill")))
		return "Helm values of llm-d";
	if (form_task_kind(root))
		return form_task_kind(root);
	if (form_foreign_tree(root) && !has(root, "services") && !has(root, "containers"))
		return NULL;
	if (has(root, "services"))
		return "a docker-compose file";
	if (has(root, "containers") || has(root, "spec") || has(root, "template"))
		return "a part of a Kubernetes object";
	if (yaml_find(root, "catalog") && yaml_find(root, "catalog")->type == YAML_MAP)
		return "Helm values of KubeAI";
	if (form_is_chart(root))
		return "Helm values of a chart that starts an engine";
	if (is_vllm_config(root))
		return "a configuration file of vLLM (--config)";
	const struct yaml_node *args = yaml_find(root, "args"), *image = yaml_find(root, "image");
	if (has(root, "command") || (args && args->type != YAML_MAP) || (image && image->type == YAML_SCALAR))
		return "a container";
	return NULL;
}

const char *form_family(const struct form_set *f)
{
	static const struct {
		const char *part, *family;
	} families[] = {{"(serving.kserve.io", "kserve"}, {"a DynamoGraphDeployment", "dynamo"},
		{"(nvidia.com/", "dynamo"}, {"docker-compose", "compose"}, {"Helm values", "values"},
		{"--config", "vllm-config"}, {"Modelfile", "modelfile"}, {"a Dockerfile", "script"},
		{"of SkyPilot", "script"}, {"of dstack", "script"}, {"of systemd", "script"}, {"a makefile", "script"},
		{"in Python", "script"}, {"a script", "script"}, {"a command line of", "script"}};

	if (!f->form)
		return "graph";
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (strstr(f->form, families[i].part))
			return families[i].family;
	return "kubernetes";
}

enum graph_engine form_engine(const struct form_set *f)
{
	for (uint32_t i = 1; i < f->services.len; i++)
		if (f->services.v[i].engine != f->services.v[0].engine)
			return GRAPH_ENGINE_NONE;
	return f->services.len ? f->services.v[0].engine : GRAPH_ENGINE_NONE;
}
