/* write_form.h - a plan's changes in the user's own file, whatever its form: a command line, a script, containers of Compose, Kubernetes or
 * Dynamo, values, vLLM's --config, a Modelfile.
 *
 * Each change is tried where the setting stands, or beside what stands there, and the text is read again: it stays only when the
 * deployment differs by what was meant and by nothing else. So every other byte (comments, order, quotes) is the user's, and a change that
 * the form has no place for is named and not guessed.
 * Thread: any. Memory: a few copies of the text. Cost: the text is read some dozen times a change, at most WRITE_READS_MAX in all. */
#ifndef STATOR_PLAN_WRITE_FORM_H
#define STATOR_PLAN_WRITE_FORM_H

#include "plan/edit.h"
#include "plan/search.h"

enum { WRITE_READS_MAX = 4000 };

struct plan_write {
	const char *file, *text; /* as it was read; borrowed, as all of this */
	size_t len;
	const struct plan_deployment *target; /* what it should become: the same services */
	const struct plan_model *models; /* of the file's services */
	const char *quant_model; /* name of the weights where the quantization changes, or NULL */
	const char *const *versions; /* releases by enum graph_engine, of services that do not say theirs; or NULL */
};

/* Append the text with the changes made. ret_left: those that could not be, with the places they had. 0; -EINVAL when the text is no form
 * that can be read; -ENOMEM. */
int plan_write_form(
	const struct plan_write *w, struct buf *out, struct plan_edits *ret_left, uint32_t *ret_made, struct err *err);

/* A shell script with one command line a worker of the graph: the engine's own program, cards by CUDA_VISIBLE_DEVICES as placement has
 * them, ports from 8000 on. engine: which program ("vllm serve", "sglang.launch_server", "llama-server"). -EINVAL with a sentence when a
 * service runs another engine, is divided into prefill and decode, or spans hosts. */
int plan_write_commands(
	const struct plan *p, enum graph_engine engine, const char *title, struct buf *out, struct err *err);

/* One word as a shell reads it back. */
void plan_shell_word(struct buf *out, const char *word);

#endif
