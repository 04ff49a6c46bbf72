#include "engine/timing.h"
#include "base/rng.h"

uint64_t timing_model_us(const struct timing_model *m, const struct engine_batch *batch, uint64_t step)
{
	double us = m->base_us;

	for (uint32_t i = 0; i < batch->items_count; i++) {
		const struct engine_item *it = &batch->items[i];
		us += it->count == 1 ? m->decode_seq_us : it->count * m->prefill_token_us;
		us += m->context_token_us * it->count * (it->pos + (it->count - 1) / 2.0);
	}
	if (m->jitter > 0)
		us *= 1 + m->jitter * (2 * rng_keyed_unit(m->seed, step) - 1);
	if (m->speedup > 0)
		us /= m->speedup;
	return us > 0 ? (uint64_t)us : 0;
}
