/* facts.h - what decides whether a model fits and how fast it is: shapes, parameters, bytes. From a GGUF file, a Hugging
 * Face folder, or by name from data/models.txt. Headers and tables are read, never weights.
 *
 * Thread: reading from any thread; add catalogue files before threads start. Memory: a struct without pointers that
 * anybody owns; while a file is read, at most MODEL_HEADER_BYTES_MAX of a header. */
#ifndef STATOR_MODEL_FACTS_H
#define STATOR_MODEL_FACTS_H

#include "config/diag.h"
#include <stdbool.h>
#include <stdint.h>

struct refusal; /* model/refusal.h */

enum { MODEL_LAYERS_MAX = 1024 }; /* more are refused */
#define MODEL_NO_FILE "does not say which file" /* in unsure, of a repository of GGUF files */

enum model_from { MODEL_FROM_CATALOGUE, MODEL_FROM_GGUF, MODEL_FROM_HF };

struct model_facts {
	char name[128]; /* "DeepSeek-R1-Distill-Qwen-14B": the catalogue's, general.name, or the folder's */
	char architecture[64]; /* "qwen2", "llama", "deepseek_v3": config.json's model_type, or GGUF's architecture */
	char class_name[64]; /* the first of config.json's "architectures": "Qwen2ForCausalLM"; "": not said */
	uint32_t layers, hidden, heads, kv_heads, head_dim, vocab;
	uint32_t head_dim_v; /* of values, where it differs from the keys'; else equal head_dim */
	uint32_t intermediate; /* of the dense feed-forward; of an MoE without dense layers 0 */
	uint32_t context_max; /* positions of config.json or context_length; 0: not said */
	uint64_t params, params_active; /* active: those a token passes; equal params of dense models */
	uint64_t params_embed; /* token embedding (input) matrix; rows are looked up, not multiplied */
	uint64_t params_linear; /* those in matrices that 4-bit and 8-bit methods quantize */
	uint64_t params_unquantized; /* of these, what the files of this model leave in 16 bits all the same */
	uint32_t experts, experts_used, expert_intermediate; /* 0: no MoE */
	uint32_t shared_intermediate; /* of the shared experts together; 0: none, or not known */
	uint64_t params_expert; /* of params_linear, those of the routed experts; 0: none, or not counted (GGUF) */
	uint32_t dense_layers; /* leading layers of an MoE that are dense */
	uint32_t mla_rank, mla_rope_dim; /* MLA: KV is rank + rope dim a token a layer, once; 0: no MLA */
	uint32_t indexer_dim; /* sparse attention over MLA: a layer caches so many more numbers a token, in 8 bits */
	uint32_t
		kv_layers; /* layers with a KV cache that grows with the context; sliding ones included. Equal layers but
	                       for hybrids, whose other layers keep a state of fixed size */
	uint32_t state_layers; /* layers with a recurrent state; 0: none */
	uint64_t
		state_bytes; /* of one sequence: the recurrent states of all layers, as llama.cpp keeps them; 0: none, or not known
	                         (GGUF files and some records of the catalogue say it) */
	uint32_t sliding_window, sliding_layers; /* layers that keep only that many tokens; 0: none */
	uint32_t full_kv_heads, full_head_dim,
		full_head_dim_v; /* of the other layers, where those differ from kv_heads and head_dim; else 0 */
	bool tied_embeddings;
	bool qkv_bias;
	char dtype[16]; /* of the files: "bfloat16", "float16", "float32" */
	char quant[16]; /* of the files: "none", "awq", "gptq", "fp8", "mxfp4", or GGUF's: "q4_k_m" */
	uint32_t
		quant_block; /* fp8 in square blocks of so many (weight_block_size); 0: a scale a tensor, channel or not said */
	uint32_t quant_group; /* awq, gptq; 0: not said or per channel */
	char quant_format
		[24]; /* how the files call it, where that is another name: "compressed-tensors", "modelopt"; else "" */
	uint64_t weight_bytes; /* exact from files; from the catalogue: of quant, else of dtype */
	uint64_t
		weight_bytes_input; /* of these, the input embedding where it is a tensor of its own: llama.cpp leaves it in
	                                host memory, and reads one row a token */
	bool weight_mixed; /* sets of matrices have unlike bits: weight_bytes is their sum, and quant is that of the smallest */
	bool weight_exact; /* weight_bytes is the files' tensor tables added up */
	uint64_t file_bytes; /* of the files on disk; 0 from the catalogue */
	uint32_t files;
	char unsure[160]; /* what of all this is a guess, as a sentence; "": nothing */
	bool variant; /* figures are those of the model that another's quantized file was made of: its context may be its own */
	bool chat_template; /* a GGUF file that has one */
	const struct refusal *refusal; /* why a GGUF file cannot generate text, constant; NULL: it can, or is none */
	enum model_from from;
	char source[256]; /* where the figures are from, in words */
};

/* From a .gguf file; of a split one name the first part, the others are found. Refuses with the cause: missing, not GGUF,
 * cut short in its header, a shape that cannot be. A file whose data is cut short is read (weight_bytes is what should
 * be there). */
int model_facts_from_gguf(struct model_facts *ret, const char *path, struct err *err);
/* From a folder with config.json and *.safetensors (or its index). Without weight files: weight_exact is false and the
 * bytes are computed from the shapes. */
int model_facts_from_hf_folder(struct model_facts *ret, const char *path, struct err *err);
/* From config.json's text alone; bytes computed from the shapes. file is the name to say in errors. */
int model_facts_from_config_json(
	struct model_facts *ret, const char *file, const char *json, size_t len, struct err *err);
/* From a config.json alone, whose weights are not here: bytes computed from the shapes. */
int model_facts_from_config_file(struct model_facts *ret, const char *path, struct err *err);
/* By name from the catalogue: "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "R1-Distill-Qwen-14B", "qwen2.5-7b",
 * "Qwen2.5-7B-Instruct-AWQ": an owner, suffixes such as -Instruct, -Chat and -it, and the family's prefix may be absent;
 * a suffix that names a quantization (-AWQ, -GPTQ-Int4, -FP8, -GGUF Q4_K_M as "name:Q4_K_M") sets quant. -ENOENT with
 * did-you-mean. */
int model_facts_by_name(struct model_facts *ret, const char *name, struct err *err);
/* What the user wrote: an existing .gguf file, an existing folder, else a name; one that is not in the catalogue is looked for in
 * the hub's cache of this machine. */
int model_facts_find(struct model_facts *ret, const char *text, struct err *err);
/* The same of a model that is described and need not be here: also a config.json, and a folder that has nothing else. */
int model_facts_given(struct model_facts *ret, const char *text, struct err *err);
/* The i-th of the catalogue; false past the end. */
bool model_facts_at(struct model_facts *ret, uint32_t i);
/* The user's models, of data/models.txt's form. Every mistake goes to diags; sound entries are added all the same. */
int model_catalogue_add_file(const char *path, struct diags *diags, struct err *err);
int model_catalogue_add(const char *file, const char *text, size_t len, struct diags *diags);

enum kv_dtype { KV_F16, KV_F32, KV_FP8, KV_Q8_0, KV_Q5_1, KV_Q5_0, KV_Q4_1, KV_Q4_0, KV_DTYPES }; /* bf16 is KV_F16 */
/* "f16", "float16", "bfloat16", "auto" -> KV_F16, "fp8", "fp8_e4m3", "q8_0"...; KV_DTYPES when it is none. */
enum kv_dtype kv_dtype_parse(const char *text);
const char *kv_dtype_name(enum kv_dtype t);
/* KV bytes one more token costs in all layers, as long as the context is inside every sliding window. Exact. Block types
 * (q8_0...) round a row up to whole blocks of 32, as llama.cpp requires. */
uint64_t model_kv_bytes_per_token(const struct model_facts *m, enum kv_dtype type);
/* The same on one GPU of tp: KV heads are divided, at least one each (replicated beyond); MLA is not divided. */
uint64_t model_kv_bytes_per_token_tp(const struct model_facts *m, enum kv_dtype type, uint32_t tp);
/* KV bytes of one sequence of so many tokens: sliding layers keep at most their window. */
uint64_t model_kv_bytes(const struct model_facts *m, enum kv_dtype type, uint64_t tokens);
uint64_t model_kv_bytes_tp(const struct model_facts *m, enum kv_dtype type, uint64_t tokens, uint32_t tp);

/* Weights as another dtype or quantization would have them: "float16", "bfloat16", "float32", "fp8", "int8", "awq",
 * "gptq" (4 bit; group m->quant_group or 128), "mxfp4", "nvfp4", "q4_k_m", "q8_0"... or NULL: as they are. 0: a name it
 * does not know (model_quant_known tells). Exact for dtypes; see docs/design/prediction.md. */
uint64_t model_weight_bytes(const struct model_facts *m, const char *quant);
bool model_quant_known(const char *quant);
/* Of these, the input embedding where it is a tensor of its own, which llama.cpp leaves in RAM; 0: it is the output matrix, too. */
uint64_t model_embedding_bytes(const struct model_facts *m, const char *quant);
/* Of these, the output matrix; of tied embeddings that one matrix. A guess where the name of the quantization is not known. */
uint64_t model_output_bytes(const struct model_facts *m, const char *quant);
/* Bytes of these as vLLM loads them on one GPU of tp: with what every GPU holds whole (norms, biases, replicated KV projections),
 * and with the padding of MXFP4 experts. */
uint64_t model_weight_bytes_tp(const struct model_facts *m, const char *quant, uint32_t tp);
/* The same where the routed experts are spread whole over experts_over GPUs (expert parallelism: those of data parallelism too),
 * and the rest is divided among tp. */
uint64_t model_weight_bytes_ep(const struct model_facts *m, const char *quant, uint32_t tp, uint32_t experts_over);
/* Tensor-parallel sizes that vLLM takes: heads divide, KV heads divide or are divided, intermediate sizes divide. */
bool model_tp_valid(const struct model_facts *m, uint32_t tp);
/* Why not: "40 heads do not divide by 3"; ret "" when valid. Returns ret. */
const char *model_tp_reason(const struct model_facts *m, uint32_t tp, char *ret, size_t cap);

#endif
