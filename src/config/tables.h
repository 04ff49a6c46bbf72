/* tables.h - the key tables config/ itself brings: the sections of a graph file. Constant; any thread. */
#ifndef STATOR_CONFIG_TABLES_H
#define STATOR_CONFIG_TABLES_H

#include "config/keys.h"

/* All built-in tables, in the order the reference prints them; one section's tables are neighbours. */
const struct config_table *const *config_tables(uint32_t *ret_len);

/* Shared by the workers of all engines. */
enum { CONFIG_KEYS_WORKER = 10 };
extern const struct config_key config_keys_worker[CONFIG_KEYS_WORKER];

extern const struct config_table config_table_frontend, config_table_processor, config_table_router,
	config_table_planner, config_table_service_args, config_table_llama, config_table_llama_worker,
	config_table_mock, config_table_mock_worker, config_table_vllm, config_table_vllm_worker, config_table_sglang,
	config_table_sglang_worker;

#endif
