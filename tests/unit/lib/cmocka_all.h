/* cmocka_all.h - cmocka wants four headers in front of its own. */
#ifndef STATOR_TESTS_CMOCKA_ALL_H
#define STATOR_TESTS_CMOCKA_ALL_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#endif
