/* form_priv.h - what the readers share. Nobody else includes this. */
#ifndef STATOR_FORMS_FORM_PRIV_H
#define STATOR_FORMS_FORM_PRIV_H

#include "forms/form.h"

/* Environment that a command line sees: the nearest first. */
struct form_env {
	const char *name, *value;
	const struct form_env *next;
	bool exported; /* programs see it, too */
};

/* Append to an array that lies in the arena. 0 or -ENOMEM. */
#define form_push(arena, a, value)                                                                                     \
	__extension__({                                                                                                \
		int r_ = form_grow((arena), (void **)&(a)->v, (a)->len, &(a)->cap, sizeof *(a)->v);                    \
		if (r_ == 0)                                                                                           \
			(a)->v[(a)->len++] = (value);                                                                  \
		r_;                                                                                                    \
	})
int form_grow(struct arena *arena, void **v, uint32_t len, uint32_t *cap, size_t item_bytes);

/* form.c */
/* Add a service to f, with a name of its own. */
int form_add(struct form_set *f, struct form_service *s);
/* Append a flag (or variable). 0 or -ENOMEM. */
int form_arg_add(
	struct form_set *f, struct form_args *args, const char *name, const char *value, const struct config_pos *pos);
/* The value of a flag, the last one given; NULL: not given. */
const struct form_arg *form_arg_find(const struct form_args *args, const char *name);

/* Note something about a flag. 0 or -ENOMEM. */
int form_remark(struct form_set *f, enum form_weight weight, const char *code, const struct config_pos *pos,
	const char *what, const char *remedy);

/* flags.c: words behind a program, by the tables of config/engine_flags.h. The model, flags and remarks go to s and f. 0 or -ENOMEM. */
int form_flags_read(struct form_set *f, struct form_service *s, const struct form_word *words, uint32_t count);
/* One flag that stands as a key of a file, not on a command line ("max-model-len: 8192"). As form_flags_read. */
int form_flag_put(
	struct form_set *f, struct form_service *s, const char *name, const char *value, const struct config_pos *pos);
/* Flags that llama-server takes from its environment. As form_flags_read. */
int form_flags_env(struct form_set *f, struct form_service *s);

/* words.c */
/* Cut a text as a POSIX shell would: quotes, escapes, comments, continued lines; operators (; && || | &) and line ends are
 * words of their own, unquoted ("\n" for a line end). Variables of env are put in, others stay as written. 0 or -ENOMEM. */
int form_words_cut(struct form_words *ret, struct arena *arena, const char *file, const char *text, size_t len,
	const struct config_pos *start, const struct form_env *env);
/* $NAME, ${NAME}, ${NAME:-default} and Kubernetes' $(NAME) by env. NULL: no memory. */
const char *form_expand(struct arena *arena, const char *text, size_t len, const struct form_env *env);

/* command.c */
enum form_command { FORM_COMMAND_NONE, FORM_COMMAND_ENGINE, FORM_COMMAND_FOREIGN };
/* Does a command of these words start an engine? Then fill s (engine, model, role, args; also envs and gpus that the line
 * itself sets). FORM_COMMAND_FOREIGN: an engine that is not planned here, whose name is in *ret_foreign. Negative: -ENOMEM.
 * hint: which engine the words are flags of when they name no program (a container's image does); GRAPH_ENGINE_NONE: none.
 * *ret_program is what started it ("vllm serve"). */
int form_command_read(struct form_set *f, struct form_service *s, const struct form_word *words, uint32_t count,
	enum graph_engine hint, const char **ret_program, const char **ret_foreign);
/* Is this the name of a program that starts an engine, one that is not planned here too? */
bool form_names_program(const char *word, size_t len);
/* The engine of a container image's name: "vllm/vllm-openai:v0.9.1", "lmsysorg/sglang", "ghcr.io/ggml-org/llama.cpp:server". */
enum graph_engine form_engine_of_image(const char *image);
/* What the image of an engine that is not planned here starts; NULL: it is none. */
const char *form_foreign_image(const char *image);
/* Which release an image's tag says, in the arena: of the engine, or (Dynamo's own images) of the wrapper. What it does not say is left. */
void form_image_version(struct form_set *f, struct form_service *s, const char *image);

/* script.c: a text that is commands. 1: read, 0: it has no engine's command, negative as form_read. */
int form_script_read(struct form_set *f, const char *file, const char *text, size_t len, const struct config_pos *start,
	const struct form_env *env, const struct form_service *around, struct err *err);

/* foreign.c: what a text is that no reader knows, in words for an error ("a shell script", "a program in Python"); NULL: it may be YAML. */
const char *form_foreign_text(const char *text, size_t len);
/* A tree of another tool's configuration of engines: "Ray Serve LLM"; NULL: none. */
const char *form_foreign_tree(const struct yaml_node *root);
/* Is a text that begins with FROM a Dockerfile, and not Ollama's? */
bool form_is_dockerfile(const char *text, size_t len);

/* dockerfile.c: as form_script_read. */
int form_dockerfile_read(struct form_set *f, const char *file, const char *text, size_t len, const char **ret_foreign);

/* prose.c */
/* Is this written for people: sentences, or a page with code blocks? */
bool form_is_prose(const char *text, size_t len);
/* The text with blanks for all that is neither a code block's command nor a line that is one; line ends stay, so places do too.
 * NULL: no memory. */
char *form_prose_commands(struct arena *arena, const char *text, size_t len);

/* containers.c: any tree that holds containers. Services are added to f; *ret_foreign names an engine that is not planned. */
int form_containers_read(struct form_set *f, const struct yaml_node *root, const char **ret_foreign, struct err *err);
/* kind.c: what a tree is, for the headline; NULL: none of the forms. */
const char *form_kind_of(struct form_set *f, const struct yaml_node *root);

/* values.c: Helm values of vLLM's production stack; vLLM's --config; Ollama's Modelfile. Each as form_script_read. */
int form_values_read(struct form_set *f, const struct yaml_node *root);
int form_vllm_config_read(struct form_set *f, const struct yaml_node *root);
int form_modelfile_read(struct form_set *f, const char *file, const char *text, size_t len);

#endif
