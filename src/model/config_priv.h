/* config_priv.h - what the readers of a config.json share: looking up keys, and a model's layers one by one.
 *
 * config_json.c reads the sizes, config_layers.c which layer is of which kind, config_walk.c names each matrix of the layers and adds
 * it up, config_tower.c counts what stands beside the language model, config_quant.c says in how many bits a matrix is stored.
 * Thread: any. Memory: the caller's, of a fixed size. */
#ifndef STATOR_MODEL_CONFIG_PRIV_H
#define STATOR_MODEL_CONFIG_PRIV_H

#include "config/json_parse.h"
#include "model/shape.h"

#include <regex.h>

/* A map of config.json. What is wrong in it is remembered, and told once at the end. */
struct config {
	const json_t *c;
	const char *wrong; /* a key whose value is no whole number */
	const char *uneven; /* a key whose list has unlike numbers, where one number for all layers is read */
};

#define NAMES(...)                                                                                                     \
	(const char *const[])                                                                                          \
	{                                                                                                              \
		__VA_ARGS__, NULL                                                                                      \
	}

/* The first of the names that is there and no null; NULL: none. Borrowed. */
const json_t *config_get(const json_t *c, const char *const *names);
/* The same as a number; a list of equal numbers is that number. missing where there is none. */
uint32_t config_number(struct config *c, const char *const *names, uint32_t missing);
const char *config_text(const json_t *c, const char *const *names, const char *missing);
bool config_flag(const json_t *c, const char *const *names, bool missing);
/* The map about the language model, where config.json nests it; else root. */
const json_t *config_language(const json_t *root);

/* What a family does unless config.json says otherwise: transformers leaves out what equals its default. */
struct family {
	const char *name;
	uint32_t bias, qk_norm, norms;
	uint32_t sliding_period; /* of so many layers one keeps all; 0: none slides, 1: all */
	uint32_t head_dim;
	bool tied, plain_mlp, norm_bias;
};
/* By model_type, or by that of the model it is the text part of. Never NULL; one that is not known has no name. */
const struct family *config_family(const char *type);

enum mixer { /* what a layer looks at other tokens with */
	MIXER_FULL,
	MIXER_SLIDING,
	MIXER_LINEAR, /* a state of fixed size */
	MIXER_MAMBA,
	MIXER_PARALLEL, /* attention and Mamba side by side */
	MIXER_CONV,
	MIXER_CROSS, /* attention to an image, whose KV does not grow with the text */
	MIXER_SHARED, /* attention that reads the KV cache of an earlier layer */
	MIXER_MATRIX, /* attention replaced by one square matrix */
	MIXER_NONE,
};

enum ffn { FFN_DENSE, FFN_EXPERTS, FFN_BOTH, FFN_MATRIX, FFN_NONE };

struct layer {
	uint8_t mixer, ffn;
	bool slides; /* of MIXER_SHARED */
	uint32_t heads, kv, inter; /* 0: as the shape says */
};

struct layers {
	uint32_t len;
	bool mixed; /* not all layers have the same feed-forward, or some have none */
	char odd[96]; /* a part that nothing here counts, "": none */
	struct layer at[MODEL_LAYERS_MAX];
};

/* Fill ret for s->layers layers, and those of s that follow from it (kv_layers, window_layers, dense_layers). */
void config_layers(struct config *c, const struct family *f, struct model_shape *s, struct layers *ret);
/* Say once what is not counted. */
void config_odd(struct layers *l, const char *what);

/* ---- quantization ---- */

enum { QUANT_GROUPS_MAX = 8, QUANT_REGEX_MAX = 128 };

/* How a set of matrices is stored. */
struct quant_group {
	const json_t *targets; /* names and patterns; NULL: all */
	double bits; /* a parameter, with its scales; 16: as it is */
};

/* What config.json says of quantization. All that points into it is borrowed. */
struct quant {
	const json_t *left; /* a list of names and patterns, or a map of them, of what stays in 16 bits */
	const json_t *by_name; /* ModelOpt's mixed precision: each module with its algorithm */
	bool inside; /* a name that stands anywhere counts (AWQ) */
	bool experts_only; /* MXFP4: whatever the list says */
	struct quant_group groups[QUANT_GROUPS_MAX];
	uint32_t groups_len;
	bool mixed; /* not all of the quantized matrices have the same bits */
	struct {
		const char *pattern;
		regex_t compiled;
	} regexes[QUANT_REGEX_MAX];
	uint32_t regexes_len;
	const char *odd; /* what cannot be told, NULL when all can */
};

/* Method, group and block go to f. beside: hf_quant_config.json, or NULL. ret: config_quant_done is needed, also on failure. */
void config_quant(struct quant *ret, const json_t *root, const json_t *beside, struct model_facts *f);
void config_quant_done(struct quant *q);
/* Bits a parameter of "layers.3.mlp.up_proj"; 16: it is not quantized. */
double config_quant_bits(struct quant *q, const char *module);

/* ---- counting ---- */

struct walk {
	struct quant *q; /* NULL: nothing is quantized */
	uint64_t linear; /* parameters in matrices of the layers */
	uint64_t plain; /* of these, in 16 bits */
	double bits; /* of all these together */
	uint64_t other; /* small ones that the shape does not count */
	uint64_t state; /* bytes of a sequence's states */
	uint32_t state_layers; /* layers that have one */
};

void config_walk(struct config *c, const struct model_shape *s, struct layers *l, struct walk *w);
/* Parameters of encoders of images and sound and of what leads from them to the model. ret_odd: those that are not counted. */
uint64_t config_towers(const json_t *root, const struct model_shape *s, const char **ret_odd);

#endif
