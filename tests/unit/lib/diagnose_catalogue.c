#include "diagnose_catalogue.h"

struct catalogue *catalogue;

int catalogue_open(void **state)
{
	struct diags diags;
	struct err err = {0};
	(void)state;

	diags_init(&diags);
	int r = catalogue_create(&catalogue, NULL, &diags, &err);
	diags_done(&diags);
	return r;
}

int catalogue_close(void **state)
{
	(void)state;
	catalogue_destroy(catalogue);
	return 0;
}
