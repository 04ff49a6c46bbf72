/* model_record.h - "stator debug model-record". */
#ifndef STATOR_CLI_MODEL_RECORD_H
#define STATOR_CLI_MODEL_RECORD_H

#include "cli/command.h"

/* Print what is read of a config.json as a record of data/models.txt. */
enum exit_status model_record_print(const char *path);

#endif
