/* name.h - what to call a model when people read it. Pure. */
#ifndef STATOR_MODEL_NAME_H
#define STATOR_MODEL_NAME_H

#include <stddef.h>

/* "SmolLM2 135M Instruct" of "/m/SmolLM2-135M-Instruct.Q4_1.gguf". Converters write general.name from folders and fine-tuning
 * steps ("Smollm2 135M 8k Lc100K Mix1 Ep2"), while files are named by people: so the file's name counts, without quantization
 * and part, where it holds the model's base name (general.basename) or there is no name at all; else general.name.
 * name and basename may be "". What may not be shown becomes '?'. Returns ret. */
const char *model_shown_name(char *ret, size_t cap, const char *path, const char *name, const char *basename);

#endif
