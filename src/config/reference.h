/* reference.h - docs/reference/config.md, printed from the tables that parse. A test compares the committed file. */
#ifndef STATOR_CONFIG_REFERENCE_H
#define STATOR_CONFIG_REFERENCE_H

#include "base/buf.h"

void config_reference_print(struct buf *out);

#endif
