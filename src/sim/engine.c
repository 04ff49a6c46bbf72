#include "sim/engine.h"

int sim_engine_create(struct sim_engine **ret, const struct sim_engine_config *config, struct err *err)
{
	ASSERT(config->blocks && config->block_size && config->speed > 0);
	return config->model->kind == SIM_MODEL_SCHED ? sim_sched_create(ret, config, err)
						      : sim_blocks_create(ret, config, err);
}
