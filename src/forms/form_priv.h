/* form_priv.h - what the readers share. Nobody else includes this. */
#ifndef STATOR_FORMS_FORM_PRIV_H
#define STATOR_FORMS_FORM_PRIV_H

#include "forms/form.h"

/* Environment that a command line sees: the nearest first. */
struct form_env {
	const char *name, *value; /* value NULL: an array, or not set any more */
	const struct form_words *list; /* of an array */
	bool split; /* list are the words of value, some of them perhaps not there */
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

/* envs.c: what a service's environment means to its plan. 0 or -ENOMEM. */
int form_envs_check(struct form_set *f, const struct form_service *s);

/* tree.c */
/* Cards that its flags make one worker of an external engine compute on. */
double form_flags_gpus(const struct form_service *s);
/* The services as a graph's tree, in f->root. 0 or -ENOMEM. */
int form_tree_make(struct form_set *f, const char *file, struct err *err);

/* flags.c: words behind a program, by the tables of config/engine_flags.h. The model, flags and remarks go to s and f. 0 or -ENOMEM. */
int form_flags_read(struct form_set *f, struct form_service *s, const struct form_word *words, uint32_t count);
/* One flag that stands as a key of a file, not on a command line ("max-model-len: 8192"). As form_flags_read. */
int form_flag_put(
	struct form_set *f, struct form_service *s, const char *name, const char *value, const struct config_pos *pos);
/* Flags that llama-server takes from its environment. As form_flags_read. */
int form_flags_env(struct form_set *f, struct form_service *s);

/* words.c */
/* What ends a command of a shell. */
enum form_op {
	FORM_OP_NONE,
	FORM_OP_LINE,
	FORM_OP_SEMI,
	FORM_OP_DSEMI, /* ";;" */
	FORM_OP_AMP,
	FORM_OP_AND,
	FORM_OP_OR,
	FORM_OP_PIPE,
	FORM_OP_OPEN, /* "(" */
	FORM_OP_CLOSE,
	FORM_OP_END /* of the text */
};
/* A here-document: from at to end in the text. */
struct form_document {
	size_t at, end;
	bool literal; /* its word was in quotes: variables stay as written */
	struct config_pos pos; /* of "<<" */
};
struct form_documents {
	struct form_document *v; /* in the arena */
	uint32_t len, cap;
};
/* A text that is cut command by command: env may change between two. */
struct form_cut {
	struct arena *arena;
	const struct form_env *env;
	const char *text;
	size_t len, at;
	struct config_pos pos; /* of at */
	struct form_words *ret;
	struct form_documents documents; /* of the commands since the caller cleared it */
	struct buf word;
	struct config_pos word_pos;
	size_t word_at;
	bool in_word, quoted, unsure;
	bool shell, in_array, in_test; /* shell: brackets, arrays and here-documents mean something */
	size_t skip_to; /* where the documents of this line end; 0: it has none */
	enum form_op op;
	int code;
};
void form_cut_init(struct form_cut *c, struct arena *arena, const char *file, const char *text, size_t len,
	const struct config_pos *start, const struct form_env *env);
void form_cut_done(struct form_cut *c);
/* One character, or what it begins. */
void form_cut_one(struct form_cut *c);
/* The words up to the next operator. 0 or -ENOMEM. */
int form_cut_command(struct form_cut *c, struct form_words *ret, enum form_op *ret_op);
/* Cut a text as a POSIX shell would: quotes, escapes, comments, continued lines; operators (; && || | &) and line ends are
 * words of their own, unquoted ("\n" for a line end). Variables of env are put in, others stay as written. 0 or -ENOMEM. */
int form_words_cut(struct form_words *ret, struct arena *arena, const char *file, const char *text, size_t len,
	const struct config_pos *start, const struct form_env *env);

/* expand.c */
/* The nearest of that name; NULL: it is not set. */
const struct form_env *form_env_find(const struct form_env *env, const char *name, size_t len);
/* How long the name of a variable at s is: "NAME", "1", "@"; 0: there is none. */
size_t form_name_len(const char *s, size_t len);
/* What a shell counts in $((...)). false: something in it is not known. */
bool form_arith(const char *text, size_t len, const struct form_env *env, int64_t *ret);
/* Append the value of a variable at s, which begins with "$", or the text as it stands. Returns how many bytes it takes. */
size_t form_variable_put(struct buf *out, const char *s, size_t len, const struct form_env *env);
/* $NAME, ${NAME}, ${NAME:-default} and its kin, $((1 + 2)) and Kubernetes' $(NAME) by env. NULL: no memory. */
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
/* Is one among these words? */
bool form_has_program(const struct form_word *words, uint32_t count);
/* The same of a module behind "python3 -m". */
bool form_names_module(const char *word);
/* The engine of a container image's name: "vllm/vllm-openai:v0.9.1", "lmsysorg/sglang", "ghcr.io/ggml-org/llama.cpp:server". */
enum graph_engine form_engine_of_image(const char *image);
/* What the image of an engine that is not planned here starts; NULL: it is none. */
const char *form_foreign_image(const char *image);
/* Which release an image's tag says, in the arena: of the engine, or (Dynamo's own images) of the wrapper. What it does not say is left. */
void form_image_version(struct form_set *f, struct form_service *s, const char *image);

/* script.c: a text that is commands. */
struct form_script {
	const char *file;
	const struct config_pos *start; /* NULL: of the file */
	const struct form_env *env;
	const struct form_service *around; /* what stands around the commands, or NULL */
	bool several; /* it is several scripts, one behind the other */
	const char **foreign; /* names an engine that is not planned, or NULL: only the error does */
};
/* 1: read, 0: it has no engine's command, negative as form_read. */
int form_script_read(
	struct form_set *f, const struct form_script *script, const char *text, size_t len, struct err *err);

/* Is one of the words a line of commands ("bash -c '...'")? */
bool form_has_line(const struct form_word *words, uint32_t count);
/* A command that is given as words, which may hold such a line. 1: it starts engines, 0: none; -ENOMEM. */
int form_words_follow(
	struct form_set *f, const struct form_script *script, const struct form_word *words, uint32_t count);

/* form.c */
/* Another form inside a text, from that line on: an object of Kubernetes in a here-document. 1: it is one, whose services are in f; 0: none;
 * -ENOMEM. */
int form_part_read(
	struct form_set *f, const char *file, const char *text, size_t len, uint32_t line, const char **ret_foreign);
/* A file that the text itself writes: found by form_file_find. 0 or -ENOMEM. */
int form_file_add(struct form_set *f, const char *name, const char *text, size_t len);
/* A file that is named: what the text wrote, or what lies beside it; NULL: neither. */
const struct form_file *form_file_find(struct form_set *f, const char *name);

/* python.c: calls that make an engine, and lists that are command lines. 1: it has some; 0; -ENOMEM. */
int form_python_read(struct form_set *f, const char *file, const char *text, size_t len);
/* The same of a part from that line on. 0 or -ENOMEM. */
int form_python_part(struct form_set *f, const char *file, const char *text, size_t len, uint32_t line,
	const struct form_service *around);

/* objects.c: objects that name a model and an engine. 1: it has some, 0: it is none, or they are of an engine that is not planned;
 * -ENOMEM. */
int form_objects_read(struct form_set *f, const struct yaml_node *root, const char **ret_foreign);

/* tasks.c: tasks of SkyPilot and dstack. NULL: it is none. */
const char *form_task_kind(const struct yaml_node *root);
/* As form_script_read. */
int form_task_read(struct form_set *f, const struct yaml_node *root, struct err *err);

/* units.c: units of systemd, makefiles. As form_script_read. */
bool form_is_unit(const char *text, size_t len);
int form_unit_read(struct form_set *f, const char *file, const char *text, size_t len, struct err *err);
bool form_is_makefile(const char *file, const char *text, size_t len);
int form_makefile_read(struct form_set *f, const char *file, const char *text, size_t len, struct err *err);

/* foreign.c: what a text is that no reader knows, in words for an error ("a shell script", "a program in Python"); NULL: it may be YAML. */
const char *form_foreign_text(const char *text, size_t len);
/* Is it a program in Python, by its name or its lines? */
bool form_is_python(const char *file, const char *text, size_t len);
/* A tree of another tool's configuration, by its name: "LocalAI"; NULL: none. */
const char *form_foreign_tree(const struct yaml_node *root);
/* An object of another project that decides by itself how an engine is started: "KAITO"; NULL: none. */
const char *form_foreign_object(const struct yaml_node *root);
/* Is a text that begins with FROM a Dockerfile, and not Ollama's? */
bool form_is_dockerfile(const char *text, size_t len);

/* dockerfile.c: as form_script_read. */
int form_dockerfile_read(struct form_set *f, const char *file, const char *text, size_t len, const char **ret_foreign);

/* prose.c */
/* Is this written for people: sentences, or a page with code blocks? */
bool form_is_prose(const char *text, size_t len);
/* Is its first line a command? One with JSON in it ('{"a": 1}') is YAML by chance. */
bool form_begins_as_command(const char *text, size_t len);
/* The text with blanks for all that is neither a code block's command nor a line that is one; line ends stay, so places do too.
 * NULL: no memory. */
char *form_prose_commands(struct arena *arena, const char *text, size_t len);

/* containers.c: any tree that holds containers. Services are added to f; *ret_foreign names an engine that is not planned. */
int form_containers_read(struct form_set *f, const struct yaml_node *root, const char **ret_foreign, struct err *err);
/* kind.c: what a tree is, for the headline; NULL: none of the forms. */
const char *form_kind_of(struct form_set *f, const struct yaml_node *root);

/* values.c: Helm values of vLLM's production stack; vLLM's --config; Ollama's Modelfile. Each as form_script_read. */
int form_values_read(struct form_set *f, const struct yaml_node *root);
/* The same of its list modelSpec alone. */
int form_values_list_read(struct form_set *f, const struct yaml_node *list);
/* objects.c: values of any chart that has an image of an engine and a model. Is it such? */
bool form_is_chart(const struct yaml_node *root);
int form_chart_read(struct form_set *f, const struct yaml_node *root);
int form_vllm_config_read(struct form_set *f, const struct yaml_node *root);
/* A name of Ollama's library, in s->model, as the file it stands for. 0 or -ENOMEM. */
int form_library_file(struct form_set *f, struct form_service *s);
int form_modelfile_read(struct form_set *f, const char *file, const char *text, size_t len);

#endif
