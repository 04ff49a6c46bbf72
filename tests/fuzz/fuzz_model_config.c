/* Any bytes as config.json, and as the JSON of a safetensors header. */
#include "model/facts.h"
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct safetensors_sums s = {0};
	struct model_facts f;
	struct err err;

	err_clear(&err);
	if (model_facts_from_config_json(&f, "fuzz.json", (const char *)data, size, &err) == 0) {
		ASSERT(f.params_linear + f.params_embed <= f.params && f.params_active <= f.params &&
			f.weight_bytes > 0);
		ASSERT(model_weight_bytes_tp(&f, "awq", 4) > 0 &&
			model_kv_bytes(&f, KV_F16, 1000) <= model_kv_bytes_per_token(&f, KV_F16) * 1000);
	} else {
		ASSERT(err.msg[0]);
	}
	if (safetensors_read_header(&s, "fuzz.safetensors", (const char *)data, size, &err) == 0)
		ASSERT(s.tensors > 0 || s.bytes == 0);
	return 0;
}
