#include "cli/catalogues.h"
#include "gpu/catalogue.h"
#include "model/facts.h"

#include <stdio.h>

static int add(const char *path, int (*read)(const char *path, struct diags *diags, struct err *err), struct err *err)
{
	struct diags diags;
	struct buf said;

	if (!path)
		return 0;
	diags_init(&diags);
	buf_init(&said, 2 * DIAG_BYTES_MAX);
	int r = read(path, &diags, err);
	diags_print(&diags, DIAG_NOTICE, &said);
	fputs(buf_str(&said), stderr);
	if (r < 0 && diags.errors)
		err_set(err, r, "%s has %u mistake%s", path, diags.errors, diags.errors == 1 ? "" : "s");
	buf_done(&said);
	diags_done(&diags);
	return r;
}

int catalogues_add(const struct flags *flags, struct err *err)
{
	int r = add(flags_str(flags, "gpu-catalogue"), gpu_catalogue_add_file, err);

	return r < 0 ? r : add(flags_str(flags, "model-catalogue"), model_catalogue_add_file, err);
}
