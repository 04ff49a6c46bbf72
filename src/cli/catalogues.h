/* catalogues.h - the user's own cards and models, beside those built in: flags that plan and sim share.
 * Thread: main's, before others start. */
#ifndef STATOR_CLI_CATALOGUES_H
#define STATOR_CLI_CATALOGUES_H

#include "config/flags.h"

#define CATALOGUE_FLAGS                                                                                                \
	{.key = {.name = "gpu-catalogue",                                                                              \
		 .type = CONFIG_STRING,                                                                                \
		 .help = "more cards, in a file of the form of data/gpus.txt"},                                        \
		.arg = "FILE"},                                                                                        \
	{                                                                                                              \
		.key = {.name = "model-catalogue",                                                                     \
			.type = CONFIG_STRING,                                                                         \
			.help = "more models, in a file of the form of data/models.txt"},                              \
		.arg = "FILE"                                                                                          \
	}

/* Read what the flags name. Every mistake of a file is said on standard error. 0, or negative: then err names the file. */
int catalogues_add(const struct flags *flags, struct err *err);

#endif
