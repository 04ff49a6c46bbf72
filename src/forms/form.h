/* form.h - deployments in the forms people have them, read into our graph's tree: a command line, a script, container
 * files of Kubernetes and Compose, Helm values, Dynamo's custom resources, vLLM's --config, an Ollama Modelfile.
 *
 *   form_set_init -> form_read or form_read_words -> (ret.root: graph_of_tree) -> form_set_done, after the graph is gone
 *
 * A reader finds services (form_service: an engine, its flags as given, how many, on which GPUs, with which environment);
 * one writer makes the tree, so that forms differ only in where things stand. Places stay those of the user's file.
 * What decides is structure, not a list of files: any map that holds a command line or a container image of an engine is a
 * service, and what stands around it (replicas, resources, names, roles, environment) belongs to it.
 *
 * Thread: one owner a set. Memory: one arena, bounded by YAML_ARENA_BYTES_MAX. */
#ifndef STATOR_FORMS_FORM_H
#define STATOR_FORMS_FORM_H

#include "config/graph.h"
#include "config/yaml.h"

/* A word of a command line. */
struct form_word {
	const char *text;
	struct config_pos pos;
	bool quoted; /* it was in quotes, at least partly: never an operator */
};
struct form_words {
	struct form_word *v; /* in the arena */
	uint32_t len, cap;
};

/* A flag of an engine, without its hyphens; value NULL: none was given. */
struct form_arg {
	const char *name, *value;
	struct config_pos pos;
};
struct form_args {
	struct form_arg *v; /* in the arena */
	uint32_t len, cap;
};

struct form_service {
	const char *name; /* "" when nothing names it */
	struct config_pos pos;
	enum graph_engine engine;
	enum graph_role role;
	const char *model; /* NULL: not said */
	struct config_pos model_pos;
	uint32_t replicas; /* 1 when not said */
	struct config_pos replicas_pos;
	double gpus; /* of each worker; 0: not said, follows from the flags */
	struct config_pos gpus_pos;
	struct form_args args, envs;
};
struct form_services {
	struct form_service *v; /* in the arena */
	uint32_t len, cap;
};

struct form_set {
	struct arena arena;
	const char *
		form; /* what the file is, for a headline: "a Kubernetes Deployment"; NULL: our graph, or nothing known */
	struct yaml_node *root; /* the graph's tree; NULL when form is */
	uint64_t versions[5]; /* of each enum graph_engine, as images say (gpu/versions.h); 0: none does, or they differ */
	bool versions_differ[5];
	struct form_services services; /* what the readers found */
};

void form_set_init(struct form_set *f);
void form_set_done(struct form_set *f);

/* Read a text. 0: f->form says what it is, or is NULL when it is none of the other forms and should be read as a graph.
 * -EINVAL with a sentence: it is one of them and holds nothing that can be planned; -ENOTSUP: it starts an engine that is not
 * planned here; remarks that do not stop it go to diags. -ENOMEM. Borrows file. */
int form_read(struct form_set *f, const char *file, const char *text, size_t len, struct diags *diags, struct err *err);
/* The words of a command line, as a shell gave them ("vllm", "serve", ...). Borrows them. Errors as form_read. */
int form_read_words(struct form_set *f, const char *const *words, uint32_t count, struct err *err);

#endif
