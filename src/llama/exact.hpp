/* exact.hpp - what a row of logits depends on besides its sequence. Thread: any. May throw. */
#ifndef STATOR_LLAMA_EXACT_HPP
#define STATOR_LLAMA_EXACT_HPP

#include "llama/model.h"

/* Attention goes by positions: on CPUs, with flash attention. Where the cells of a sequence lie then changes no bit. */
bool exact_cells_alike(const struct ll_model *m, bool flash_attention);
/* Products of the model's weights give a row the same bits among few rows and many. Tries it with a part of one weight of each
 * type: milliseconds, a fifth of a second where a whole weight must be taken. */
bool exact_rows_alike(const struct ll_model *m);

#endif
