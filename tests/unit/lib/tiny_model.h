/* tiny_model.h - tiny models of an architecture with random weights (tests/tiny_model.py), made when asked for. */
#ifndef STATOR_TESTS_TINY_MODEL_H
#define STATOR_TESTS_TINY_MODEL_H

#include <stddef.h>

/* Make the model and return its path, which the caller unlinks. Half a second. */
const char *tiny_model(const char *kind, char *ret, size_t cap);

#endif
