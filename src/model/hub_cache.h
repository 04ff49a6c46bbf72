/* hub_cache.h - where the Hugging Face hub's own cache keeps a model on this machine.
 *
 * The layout is huggingface_hub's: HUB/models--OWNER--NAME/refs/main holds a commit, and snapshots/COMMIT the files (symbolic links).
 * HUB is HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
 * ~/.cache/huggingface/hub (huggingface_hub, constants.py). Reads names only. Any thread that may read the environment. */
#ifndef STATOR_MODEL_HUB_CACHE_H
#define STATOR_MODEL_HUB_CACHE_H

#include <stdbool.h>
#include <stddef.h>

/* Is it "OWNER/NAME" as the hub has names: letters, digits, '-', '_' and '.', nothing that leads elsewhere? */
bool model_is_hub_name(const char *name);
/* Write the folder of "OWNER/NAME" as main has it to ret. False: it is no such name, or there is no config.json of it. */
bool hub_cache_folder(char *ret, size_t cap, const char *name);

#endif
