#include "config/tables.h"

static const struct config_table *const all[] = {
	&config_table_frontend,
	&config_table_processor,
	&config_table_router,
	&config_table_planner,
	&config_table_llama,
	&config_table_llama_worker,
	&config_table_mock,
	&config_table_mock_worker,
	&config_table_vllm,
	&config_table_vllm_worker,
	&config_table_sglang,
	&config_table_sglang_worker,
	&config_table_service_args,
};

const struct config_table *const *config_tables(uint32_t *ret_len)
{
	*ret_len = ARRAY_LEN(all);
	return all;
}
