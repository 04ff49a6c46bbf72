/* The name of a model tells its size, never more than it has. */
#include "model/facts.h"
#include "model/name_size.h"

#include "../lib/cmocka_all.h"
#include "base/compiler.h"
#include <string.h>

static void sizes_are_read_where_names_tell_them(void **state)
{
	static const struct {
		const char *name;
		double billions; /* 0: none */
		uint32_t bits;
	} cases[] = {
		{"Acme/Sparrow-70B-Instruct", 70, 0},
		{"acme/sparrow2.5-0.5b-it", 0.5, 0},
		{"sparrow-1_8b-chat", 1.8, 0},
		{"Sparrow-30B-A3B-FP8", 30, 8},
		{"Sparrow-A13B-Instruct", 13, 0},
		{"sparrow-E4B-it", 4, 0},
		{"Sparrow-14B-Instruct-1M", 14, 0},
		{"TinySparrow-1.1B-step-3T", 1.1, 0},
		{"Sparrow-1T", 1000, 0},
		{"Sparrow-350M", 0.35, 0},
		{"Sparrow-8x7B-v0.1", 44.8, 0},
		{"Sparrow-72B-AWQ", 72, 4},
		{"Sparrow-72B-GPTQ-Int8", 72, 8},
		{"Sparrow-72B-GPTQ-Int4", 72, 4},
		{"Sparrow-7B-BF16", 7, 16},
		{"Sparrow-7B-AQLM-2bit", 7, 2},
		{"Sparrow-70B-quantized.w8a8", 70, 0},
		{"Sparrow-70B-Big-from-Sparrow-7B", 7, 0},
		{"/data/70B-disk/sparrow-3b", 3, 0},
		{"Sparrow-Large-2411", 0, 0},
		{"sparrow-4bit", 0, 0},
		{"sparrow-mini-128k", 0, 0},
		{"EAGLE3-Sparrow-70B", 0, 0},
		{"sparrow-70b-lora", 0, 0},
		{"Sparrow-0B", 0, 0},
		{"", 0, 0},
		{"a/", 0, 0},
		{"7", 0, 0},
		{"8x", 0, 0},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-7B", 7, 0},
	};
	struct name_size size;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool told = name_size_read(&size, cases[i].name);
		if (told != (cases[i].billions > 0) ||
			(told && (uint64_t)(cases[i].billions * 1e6 + 0.5) != (size.params + 500) / 1000) ||
			(told && size.bits != cases[i].bits))
			fail_msg("\"%s\": %llu parameters, %u bits", cases[i].name, (unsigned long long)size.params,
				size.bits);
	}
}

/* A sentence that says "cannot" stands on it: of every model whose weights are known, the name claims no more. */
static void no_known_model_is_smaller_than_its_name_says(void **state)
{
	struct model_facts m;
	struct name_size size;
	uint32_t told = 0;
	(void)state;

	for (uint32_t i = 0; model_facts_at(&m, i); i++) {
		if (!name_size_read(&size, m.name))
			continue;
		told++;
		if (size.least > m.weight_bytes)
			fail_msg("%s: at least %llu bytes by its name, and it has %llu", m.name,
				(unsigned long long)size.least, (unsigned long long)m.weight_bytes);
	}
	assert_true(told > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read_where_names_tell_them),
		cmocka_unit_test(no_known_model_is_smaller_than_its_name_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
