/* model_record.c - what the planner reads of a config.json, as a line for data/models.txt; scripts/model-records asks for it. */
#include "cli/model_record.h"

#include "base/compiler.h"
#include "base/file.h"
#include "cli/print.h"
#include "config/records.h"
#include "model/shape.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 4096, OUT_BYTES_MAX = 65536 };

/* NAME_config.json has NAME_hf_quant_config.json beside it. */
static int read_beside(const char *path, char **ret, size_t *ret_len, struct err *err)
{
	char beside[PATH_BYTES_MAX];
	size_t n = strlen(path), tail = strlen("config.json");

	if (n < tail || n + 16 > sizeof beside || strcmp(path + n - tail, "config.json") != 0)
		return 0;
	snprintf(beside, sizeof beside, "%.*shf_quant_config.json", (int)(n - tail), path);
	int code = records_read(beside, FILE_PLAIN, ret, ret_len, err);
	return code == -ENOENT ? 0 : code;
}

enum exit_status model_record_print(const char *path)
{
	CLEANUP(free_p) char *text = NULL;
	CLEANUP(free_p) char *beside = NULL;
	size_t len, beside_len = 0;
	struct err err = {0};
	struct model_shape s;
	struct model_facts f;
	struct buf out;

	int code = records_read(path, FILE_OR_PIPE, &text, &len, &err);
	if (code == 0)
		code = read_beside(path, &beside, &beside_len, &err);
	if (code == 0)
		code = model_shape_from_config_json(&f, &s, path, text, len, beside, beside_len, &err);
	if (code < 0) {
		command_complain("debug", "%s", err.msg);
		return EXIT_FAILED;
	}
	buf_init(&out, OUT_BYTES_MAX);
	model_shape_record(&out, &s, &f);
	buf_printf(&out, "\n# weights=%llu\n", (unsigned long long)f.weight_bytes);
	if (*f.unsure)
		buf_printf(&out, "# unsure: %s\n", f.unsure);
	enum exit_status status = command_print("debug", &out);
	buf_done(&out);
	return status;
}
