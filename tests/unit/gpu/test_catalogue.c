#include "../lib/cmocka_all.h"
#include "gpu/catalogue.h"

#include <stdio.h>
#include <string.h>

/* What is built in is read again with its mistakes told. */
static void the_built_in_file_has_no_mistakes(void **state)
{
	struct diags d;
	struct err err;

	(void)state;
	diags_init(&d);
	int code = gpu_catalogue_add_file("data/gpus.txt", &d, &err);
	for (uint32_t i = 0; i < d.len; i++)
		print_error("%s: %s\n", d.items[i].pos, d.items[i].text);
	assert_int_equal(code, 0);
	diags_done(&d);
}

static void every_card_is_whole_and_found_by_each_of_its_names(void **state)
{
	uint32_t n = 0;
	char name[128];

	(void)state;
	for (const struct gpu_spec *s; (s = gpu_spec_at(n)); n++) {
		assert_ptr_equal(gpu_spec_find(s->name), s);
		for (const char *p = s->nvml; *p; p += strcspn(p, "|"), p += *p == '|') {
			snprintf(name, sizeof name, "%.*s", (int)strcspn(p, "|"), p);
			if (gpu_spec_match(name, s->memory_bytes) != s)
				fail_msg("\"%s\" finds %s, not %s", name, gpu_spec_find(name)->name, s->name);
		}
		for (const char *p = s->alias; *p; p += strcspn(p, "|"), p += *p == '|') {
			snprintf(name, sizeof name, "%.*s", (int)strcspn(p, "|"), p);
			if (gpu_spec_find(name) != s)
				fail_msg("\"%s\" does not find %s", name, s->name);
		}
		assert_true(s->source[0] && s->watts > 0);
		assert_true(s->usable_bytes <= s->memory_bytes && s->usable_bytes * 100 >= s->memory_bytes * 92);
		assert_true(s->memory_gb_s > 50 && s->memory_gb_s < 10000);
		assert_int_equal(s->capability > 0, !strcmp(s->vendor, "NVIDIA"));
		if (!gpu_spec_is_cuda(s))
			continue;
		assert_true(s->capability >= 37 && s->pcie_gb_s > 0 && (s->nvml[0] || s->unified));
		/* What a generation has: bfloat16 from 8.0, FP8 from 8.9, FP4 from 10.0, and no card is half of that. */
		assert_int_equal(s->tflops_bf16 > 0, s->capability >= 80);
		assert_int_equal(s->tflops_fp8 > 0, s->capability >= 89);
		assert_true(s->tflops_fp4 == 0 || s->capability >= 100);
	}
	assert_true(n >= 40);
	assert_null(gpu_spec_at(n));
}

static void names_as_people_and_drivers_write_them(void **state)
{
	static const char *const pairs[][2] = {{"Tesla T4", "T4"}, {"NVIDIA T4", "T4"}, {"t4", "T4"},
		{"A100-SXM4-80GB", "A100-80GB"}, {"NVIDIA A100-SXM4-80GB MIG 3g.40gb", "A100-80GB"},
		{"a100 80gb", "A100-80GB"}, {"GeForce RTX 3090", "RTX-3090"}, {"rtx3090", "RTX-3090"},
		{"NVIDIA L40S", "L40S"}, {"NVIDIA L40", "L40"}, {"NVIDIA L4", "L4"}, {"NVIDIA H100 80GB HBM3", "H100"},
		{"NVIDIA H100 PCIe", "H100-PCIE"}, {"NVIDIA H100 NVL", "H100-NVL"},
		{"Quadro RTX 5000", "Quadro-RTX-5000"}, {"NVIDIA RTX 5000 Ada Generation", "RTX-5000-Ada"},
		{"NVIDIA RTX A6000", "RTX-A6000"}};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(pairs); i++) {
		const struct gpu_spec *s = gpu_spec_find(pairs[i][0]);
		if (!s || strcmp(s->name, pairs[i][1]) != 0)
			fail_msg("\"%s\" finds %s, not %s", pairs[i][0], s ? s->name : "none", pairs[i][1]);
	}
	/* A size behind a name is the card's, or it is another card. */
	assert_string_equal(gpu_spec_find("L40S-48GB")->name, "L40S");
	assert_string_equal(gpu_spec_find("rtx 3080 10gb")->name, "RTX-3080");
	assert_string_equal(gpu_spec_find("RTX 3080 12GB")->name, "RTX-3080-12GB");
	assert_string_equal(gpu_spec_find("B200-180GB")->name, "B200");
	assert_string_equal(gpu_spec_find("H100-NVL-94GB")->name, "H100-NVL");
	assert_null(gpu_spec_find("L4-48GB"));
	/* Numbers alone are GeForce cards; a workstation's or a size's last letter may be missing. */
	assert_string_equal(gpu_spec_find("4090")->name, "RTX-4090");
	assert_string_equal(gpu_spec_find("5060 ti 16GB")->name, "RTX-5060-Ti-16GB");
	assert_string_equal(gpu_spec_find("1080ti")->name, "GTX-1080-Ti");
	assert_string_equal(gpu_spec_find("A5000")->name, "RTX-A5000");
	assert_string_equal(gpu_spec_find("V100 32G")->name, "V100-32GB");
	assert_string_equal(gpu_spec_find("RTX PRO 6000 Blackwell Max-Q")->name, "RTX-PRO-6000-Max-Q");
	assert_null(gpu_spec_find("6000"));
	assert_null(gpu_spec_find("4000"));
	assert_null(gpu_spec_find("4090-48G 2"));
	assert_null(gpu_spec_find("H100-40GB"));
	assert_string_equal(gpu_spec_find("AMD Instinct MI300X")->vendor, "AMD");
	assert_false(gpu_spec_is_cuda(gpu_spec_find("mi325x")));
	assert_true(gpu_spec_find("Jetson-Thor")->unified);
	char like[256];
	assert_string_equal(gpu_spec_beginning("A100-8", like, sizeof like), "A100-80GB");
	assert_non_null(strstr(gpu_spec_beginning("A100", like, sizeof like), "A100-40GB, A100-PCIE-40GB, A100-80GB"));
	assert_null(strstr(like, "P100"));
	assert_string_equal(gpu_spec_beginning("Z", like, sizeof like), "");
	assert_null(gpu_spec_find("NVIDIA X9000"));
	assert_null(gpu_spec_find(""));
	assert_null(gpu_spec_find(NULL));
	assert_null(gpu_spec_find("nvidia"));
	assert_string_equal(gpu_spec_suggest("A100-80G"), "A100-80GB");
	assert_null(gpu_spec_suggest("a completely different thing"));
}

/* The figures that the planner's examples are about. */
static void the_t4_is_as_its_sheet_says(void **state)
{
	const struct gpu_spec *s = gpu_spec_find("T4");

	(void)state;
	assert_int_equal(s->capability, 75);
	assert_int_equal(s->memory_bytes >> 20, 15360);
	assert_int_equal(s->usable_bytes >> 20, 14913);
	assert_true(s->memory_gb_s == 320 && s->tflops_fp16 == 65 && s->tflops_bf16 == 0 && s->nvlink_gb_s == 0);
	assert_string_equal(gpu_generation(75), "Turing");
	assert_string_equal(gpu_generation(89), "Ada");
	assert_string_equal(gpu_generation(0), "unknown");
}

static int add(struct diags *d, const char *text)
{
	diags_init(d);
	return gpu_catalogue_add("mine.txt", text, strlen(text), d);
}

static void the_user_s_cards_are_added_and_replace(void **state)
{
	struct diags d;

	(void)state;
	assert_int_equal(add(&d, "X1 capability=8.0 memory=10GiB bandwidth=500 fp32=20 source=me\n"), 0);
	diags_done(&d);
	assert_int_equal(gpu_spec_find("x1")->usable_bytes / 1000000, 10415);
	assert_int_equal(add(&d, "X1 capability=8.0 memory=12GiB usable=11GiB bandwidth=500 fp32=20 source=me\n"), 0);
	diags_done(&d);
	assert_int_equal(gpu_spec_find("X1")->usable_bytes, 11ull << 30);
}

static void wrong_cards_are_told_and_left_out(void **state)
{
	struct diags d;

	(void)state;
	assert_int_equal(add(&d, "Y1 capability=8.0 memory=10GiB usable=11GiB bandwidth=500 fp32=20 source=me\n"
				 "Y2 capability=8.0 memory=10GiB bandwidth=0 fp32=20 source=me\n"
				 "Y3 capability=8.0 memory=10GiB bandwith=5 fp32=20 source=me\n"
				 "Y4 capability=8.0 memory=10GiB bandwidth=5 fp32=20 source=me\n"),
		-EINVAL);
	assert_int_equal(d.errors, 4); /* Y3: unknown, and missing */
	assert_string_equal(d.items[0].pos, "mine.txt:1:1");
	diags_done(&d);
	assert_null(gpu_spec_find("Y1"));
	assert_null(gpu_spec_find("Y3"));
	assert_non_null(gpu_spec_find("Y4"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_built_in_file_has_no_mistakes),
		cmocka_unit_test(every_card_is_whole_and_found_by_each_of_its_names),
		cmocka_unit_test(names_as_people_and_drivers_write_them),
		cmocka_unit_test(the_t4_is_as_its_sheet_says),
		cmocka_unit_test(the_user_s_cards_are_added_and_replace),
		cmocka_unit_test(wrong_cards_are_told_and_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
