/* diagnose_catalogue.h - the built-in log signatures, opened once for a program of tests: set-up and tear-down of cmocka. */
#ifndef STATOR_TESTS_DIAGNOSE_CATALOGUE_H
#define STATOR_TESTS_DIAGNOSE_CATALOGUE_H

#include "plan/diagnose.h"

extern struct catalogue *catalogue; /* between the two */

int catalogue_open(void **state);
int catalogue_close(void **state);

#endif
