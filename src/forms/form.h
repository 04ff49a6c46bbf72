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

#include "config/engine_flags.h"
#include "config/graph.h"
#include "config/yaml.h"

/* A word of a command line. */
struct form_word {
	const char *text;
	struct config_pos pos;
	bool quoted; /* it was in quotes, at least partly: never an operator */
	bool unsure; /* it is there only on a condition that is not known */
	size_t at; /* where it begins in the text that was cut */
	const struct form_words *list; /* of "NAME=(a b)": its elements; NULL: none */
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
	enum engine_program program; /* which parses its flags */
	const char *version, *wrapper; /* release of the engine, and of Dynamo around it; NULL: not said */
	enum graph_role role;
	bool role_said; /* by its flags, and not only by a name or label around it */
	const char *model; /* NULL: not said */
	struct config_pos model_pos;
	uint32_t replicas; /* 1 when not said */
	struct config_pos replicas_pos;
	double gpus; /* of each worker; 0: not said, follows from the flags */
	struct config_pos gpus_pos;
	const char *slice; /* it gets parts of cards and not whole ones: "nvidia.com/mig-1g.10gb"; NULL: whole */
	uint32_t joined; /* commands of further ranks that belong to it */
	bool by_itself; /* its program decides what of the model is on GPUs, by what they have */
	struct form_args args, envs;
};
struct form_services {
	struct form_service *v; /* in the arena */
	uint32_t len, cap;
};

/* What the flags of a service bring that no reader of its tree can see: the engine would refuse one, or its meaning is not in the
 * arithmetic of a plan. */
enum form_weight { FORM_FATAL, FORM_UNCHECKED, FORM_WARNING, FORM_INFO };
#define FORM_UNSET "variable-unset" /* the code of: a value is a variable's that the file does not set */
struct form_remark {
	enum form_weight weight;
	const char *code; /* a constant: "flag-unknown" */
	const char *what, *remedy; /* in the arena; remedy NULL: none */
	struct config_pos pos;
};
struct form_remarks {
	struct form_remark *v; /* in the arena */
	uint32_t len, cap;
};

/* A flag that the engine has, as it was typed and as config/ calls it. */
struct form_seen {
	const char *spelling, *name;
	enum graph_engine engine;
	struct config_pos pos;
};
struct form_seens {
	struct form_seen *v; /* in the arena; at most FORM_SEEN_MAX */
	uint32_t len, cap;
};
enum { FORM_SEEN_MAX = 1024 };

/* A file that another names (--config x.yaml). */
struct form_file {
	const char *name, *text;
	size_t len;
	bool written; /* by the text itself */
};
struct form_files {
	struct form_file *v; /* in the arena */
	uint32_t len, cap;
};

struct form_set {
	struct arena arena;
	const char *versions
		[5]; /* releases by enum graph_engine, of services that do not say theirs; set before reading; borrowed */
	const char *
		form; /* what the file is, for a headline: "a Kubernetes Deployment"; NULL: our graph, or nothing known */
	struct yaml_node *root; /* the graph's tree; NULL when form is */
	struct form_services services; /* what the readers found */
	struct form_remarks remarks;
	struct form_seens seen;
	struct form_files files;
	/* Reads a file that lies beside the one that is read, or NULL: none is looked for. 0: ret has it; negative: there is none. */
	int (*beside)(void *ctx, const char *name, struct buf *ret);
	void *beside_ctx;
	const char *pinned[3]; /* releases that a script installs: of vLLM, SGLang, llama.cpp; NULL: it says none */
};

void form_set_init(struct form_set *f);
void form_set_done(struct form_set *f);

/* What the form is called on a command line: "script" (also one command), "compose", "kubernetes", "kserve", "dynamo", "values",
 * "vllm-config", "modelfile"; "graph" when it is none. */
const char *form_family(const struct form_set *f);
/* The engine of all its services; GRAPH_ENGINE_NONE: none, or several. */
enum graph_engine form_engine(const struct form_set *f);

/* Read a text. 0: f->form says what it is, or is NULL when it is none of the other forms and should be read as a graph.
 * -EINVAL with a sentence: it is one of them and holds nothing that can be planned; -ENOTSUP: it starts an engine that is not
 * planned here; remarks that do not stop it go to diags. -ENOMEM. Borrows file. */
int form_read(struct form_set *f, const char *file, const char *text, size_t len, struct diags *diags, struct err *err);
/* The words of a command line, as a shell gave them ("vllm", "serve", ...). Borrows them. Errors as form_read. */
int form_read_words(struct form_set *f, const char *const *words, uint32_t count, struct err *err);

#endif
