#include "model/name_quant.h"
#include "model/shape.h"
#include "model/gguf_mix.h"

#include "base/embed.h"
#include "base/compiler.h"
#include "config/records.h"
#include "config/suggest.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

EMBED_FILE(data_models, "data/models.txt");

enum { CATALOGUE_MAX = 4096, KEY_BYTES_MAX = 128 };

struct entry {
	const char *name, *hf, *arch, *class_name, *dtype, *quant, *format, *source;
	uint64_t params, weights;
	uint32_t group, block;
	uint32_t mlp, norm; /* words */
	struct model_shape shape;
};

static struct entry entries[CATALOGUE_MAX];
static struct record_rows catalogue = {.rows = entries,
	.row_bytes = sizeof *entries,
	.max = CATALOGUE_MAX,
	.what = "models",
	.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const bias_words[] = {"none", "qkv", "all", NULL};
static const char *const qk_words[] = {"none", "head", "full", NULL};
static const char *const mlp_words[] = {"gated", "plain", NULL};
static const char *const norm_words[] = {"rms", "layer", NULL};

#define FIELD(key, kind, member, required)                                                                             \
	{                                                                                                              \
		key, kind, offsetof(struct entry, member), required, NULL, NULL                                        \
	}
#define SHAPE(key, required) FIELD(#key, RECORD_U32, shape.key, required)
#define WORD(key, member, words)                                                                                       \
	{                                                                                                              \
		key, RECORD_WORD, offsetof(struct entry, member), false, words, NULL                                   \
	}
static const struct record_field fields[] = {
	FIELD("hf", RECORD_TEXT, hf, false),
	FIELD("arch", RECORD_TEXT, arch, true),
	FIELD("class", RECORD_TEXT, class_name, false),
	FIELD("dtype", RECORD_TEXT, dtype, false),
	FIELD("quant", RECORD_TEXT, quant, false),
	FIELD("format", RECORD_TEXT, format, false),
	FIELD("source", RECORD_TEXT, source, true),
	FIELD("params", RECORD_U64, params, true),
	FIELD("weights", RECORD_U64, weights, false),
	FIELD("other", RECORD_U64, shape.other, false),
	FIELD("other_linear", RECORD_U64, shape.other_linear, false),
	FIELD("unquantized", RECORD_U64, shape.unquantized, false),
	FIELD("state", RECORD_U64, shape.state, false),
	SHAPE(kv_layers, false),
	SHAPE(state_layers, false),
	SHAPE(indexer, false),
	FIELD("group", RECORD_U32, group, false),
	FIELD("block", RECORD_U32, block, false),
	FIELD("tied", RECORD_BOOL, shape.tied, false),
	SHAPE(layers, true),
	SHAPE(hidden, true),
	SHAPE(heads, true),
	SHAPE(kv, true),
	SHAPE(head_dim, true),
	SHAPE(inter, false),
	SHAPE(vocab, true),
	SHAPE(context, true),
	SHAPE(experts, false),
	SHAPE(used, false),
	SHAPE(expert_inter, false),
	SHAPE(expert_hidden, false),
	SHAPE(shared_inter, false),
	SHAPE(dense_layers, false),
	SHAPE(mla_rank, false),
	SHAPE(mla_rope, false),
	SHAPE(mla_q, false),
	SHAPE(mla_nope, false),
	SHAPE(mla_v, false),
	SHAPE(v_dim, false),
	SHAPE(window, false),
	SHAPE(window_layers, false),
	SHAPE(global_kv, false),
	SHAPE(global_head_dim, false),
	SHAPE(norms, false),
	WORD("bias", shape.bias, bias_words),
	WORD("qk_norm", shape.qk_norm, qk_words),
	WORD("mlp", mlp, mlp_words),
	WORD("norm", norm, norm_words),
};

static struct entry *exact(const char *name)
{
	for (uint32_t i = 0; i < catalogue.len; i++)
		if (!strcasecmp(entries[i].name, name))
			return &entries[i];
	return NULL;
}

/* One per cent between published and computed: past it the shapes, or the count, are another model's. */
static bool sound(const struct entry *e, const struct record *r, struct diags *d)
{
	char why[128];

	if (*model_shape_wrong(&e->shape, why, sizeof why)) {
		diags_add(d, DIAG_ERROR, &r->pos, "\"%s\": %s", r->name, why);
		return false;
	}
	uint64_t computed = model_shape_params(&e->shape);
	uint64_t apart = computed > e->params ? computed - e->params : e->params - computed;
	if (apart > e->params / 100) {
		diags_add(d, DIAG_ERROR, &r->pos, "\"%s\": the shapes make %llu parameters, params says %llu", r->name,
			(unsigned long long)computed, (unsigned long long)e->params);
		return false;
	}
	if (!model_quant_known(e->dtype) || !model_quant_known(e->quant)) {
		diags_add(d, DIAG_ERROR, &r->pos, "\"%s\": unknown dtype \"%s\" or quant \"%s\"", r->name, e->dtype,
			e->quant);
		return false;
	}
	return true;
}

static int add(void *ctx, const struct record *r)
{
	struct diags *d = ctx;
	struct entry e = {.name = r->name,
		.hf = "",
		.arch = "",
		.class_name = "",
		.dtype = "bfloat16",
		.quant = "none",
		.format = "",
		.source = "",
		.block = MODEL_FP8_BLOCK};

	if (!record_fill(r, fields, ARRAY_LEN(fields), &e, d))
		return 0;
	e.shape.plain_mlp = e.mlp == 1;
	e.shape.norm_bias = e.norm == 1;
	if (!sound(&e, r, d))
		return 0;
	record_rows_put(&catalogue, exact(r->name), &e, r, d);
	return 0;
}

static int load(void)
{
	return record_rows_load(&catalogue, "data/models.txt", data_models_text, data_models_len, add);
}

int model_catalogue_add(const char *file, const char *text, size_t len, struct diags *diags)
{
	int code = load();

	return code < 0 ? code : records_parse(file, text, len, &catalogue.arena, diags, add, diags);
}

int model_catalogue_add_file(const char *path, struct diags *diags, struct err *err)
{
	return records_add_file(path, diags, model_catalogue_add, err);
}

static void facts_of(const struct entry *e, struct model_facts *ret)
{
	*ret = (struct model_facts){.from = MODEL_FROM_CATALOGUE};
	snprintf(ret->name, sizeof ret->name, "%s", e->name);
	snprintf(ret->architecture, sizeof ret->architecture, "%s", e->arch);
	snprintf(ret->class_name, sizeof ret->class_name, "%s", e->class_name);
	snprintf(ret->dtype, sizeof ret->dtype, "%s", e->dtype);
	snprintf(ret->quant, sizeof ret->quant, "%s", e->quant);
	snprintf(ret->quant_format, sizeof ret->quant_format, "%s", e->format);
	/* Those that come in fp8 as they are (DeepSeek-V3, Kimi-K2, MiniMax-M2) say weight_block_size [128, 128]. */
	ret->quant_block = !strcmp(e->quant, "fp8") ? e->block : 0;
	ret->quant_group = e->group;
	snprintf(ret->source, sizeof ret->source, "catalogue: %s", e->source);
	if (strstr(e->source, "from memory"))
		snprintf(ret->unsure, sizeof ret->unsure,
			"what the catalogue says of \"%.63s\" is in part from memory, not from its config.json",
			e->name);
	model_shape_facts(&e->shape, ret);
	model_facts_fill_bytes(ret);
	ret->weight_mixed = e->weights > 0;
	if (e->weights)
		ret->weight_bytes = e->weights;
}

bool model_facts_at(struct model_facts *ret, uint32_t i)
{
	(void)load();
	if (i >= catalogue.len)
		return false;
	facts_of(&entries[i], ret);
	return true;
}

/* A name's last part in lower case without marks: "Qwen/Qwen2.5-7B-Instruct" -> "qwen257binstruct". */
static size_t letters(const char *name, size_t len, char ret[KEY_BYTES_MAX])
{
	size_t n = 0;

	for (size_t i = len; i > 0; i--)
		if (name[i - 1] == '/') {
			name += i;
			len -= i;
			break;
		}
	for (size_t i = 0; i < len && n < KEY_BYTES_MAX - 1; i++)
		if (isalnum((unsigned char)name[i]) || name[i] == '+')
			ret[n++] = (char)tolower((unsigned char)name[i]);
	ret[n] = '\0';
	return n;
}

/* Of such letters, how many remain without what says how the model was tuned: "qwen257binstruct" -> "qwen257b". */
static size_t untuned(const char *s, size_t n)
{
	static const char *const tails[] = {"instruct", "chat", "hf", "it", "pt", "base", "bf16"};

	for (bool cut = true; cut;) {
		cut = false;
		for (uint32_t t = 0; t < ARRAY_LEN(tails); t++) {
			size_t tail = strlen(tails[t]);
			if (n > tail + 2 && !memcmp(s + n - tail, tails[t], tail)) {
				n -= tail;
				cut = true;
			}
		}
	}
	return n;
}

/* What is looked for: as written, and its letters with and without the tuning. */
struct wanted {
	const char *name;
	char all[KEY_BYTES_MAX];
	size_t len, key; /* of all; of these without the tuning */
};

/* Are the letters in front those of the owner ("deepseek-ai/DeepSeek-R1-...")? Other words in front make another model:
 * "Llama-8B" is not "DeepSeek-R1-Distill-Llama-8B". */
static bool is_owner(const char *name, size_t len, const char *front, size_t front_len)
{
	const char *slash = memchr(name, '/', len);
	char owner[KEY_BYTES_MAX];

	return slash && letters(name, (size_t)(slash - name), owner) >= front_len && !memcmp(owner, front, front_len);
}

/* How well a name fits: 4 as written, 3 without owner and marks (another maker's copy of that variant), 2 without the tuning too,
 * 1 when only the owner's word in front is missing. */
static uint32_t fit(const char *name, size_t len, const struct wanted *w)
{
	char other[KEY_BYTES_MAX];

	if (strlen(w->name) == len && !strncasecmp(name, w->name, len))
		return 4;
	size_t all = letters(name, len, other);
	if (all == w->len && !memcmp(other, w->all, all))
		return 3;
	size_t key = untuned(other, all);
	if (key == w->key && !memcmp(other, w->all, key))
		return 2;
	bool tail = w->key >= 5 && key > w->key && !memcmp(other + key - w->key, w->all, w->key);
	return tail && is_owner(name, len, other, key - w->key) ? 1 : 0;
}

static const struct entry *best(const char *name)
{
	const struct entry *ret = NULL;
	uint32_t most = 0;
	struct wanted w = {.name = name};

	w.len = letters(name, strlen(name), w.all);
	w.key = untuned(w.all, w.len);
	for (uint32_t i = 0; w.key && i < catalogue.len; i++) {
		const struct entry *e = &entries[i];
		uint32_t f = fit(e->name, strlen(e->name), &w);
		for (const char *p = e->hf; *p;) {
			size_t len = strcspn(p, "|");
			f = MAX(f, fit(p, len, &w));
			p += len + (p[len] == '|');
		}
		if (f > most) {
			most = f;
			ret = e;
		}
	}
	return ret;
}

/* "name:Q4_K_M", "name-AWQ": cut what names a quantization off name, and return it; NULL: none. */
static const char *cut_quant(char *name, char quant[16], const char **ret_format)
{
	char *colon = strrchr(name, ':');

	if (colon && model_quant_known(colon + 1) && strlen(colon + 1) < 16) {
		for (uint32_t i = 0; i <= strlen(colon + 1); i++)
			quant[i] = (char)tolower((unsigned char)colon[1 + i]);
		*colon = '\0';
		cut_quant(name, (char[16]){0}, ret_format);
		return quant;
	}
	struct name_quant said;
	size_t len = model_name_quant(&said, name);
	if (!name[len])
		return NULL;
	bool gguf = !strcasecmp(name + strlen(name) - 4, "gguf");
	name[len] = '\0';
	*ret_format = said.quant ? said.format : NULL;
	char *dash = strrchr(name, '-');
	if (gguf && dash && gguf_mix_known(dash + 1) && strlen(dash + 1) < 16) { /* "Qwen2.5-Coder-3B-Q8_0-GGUF" */
		for (uint32_t k = 0; k <= strlen(dash + 1); k++)
			quant[k] = (char)tolower((unsigned char)dash[1 + k]);
		*dash = '\0';
		return quant;
	}
	return said.quant;
}

static int refuse(const char *name, struct err *err)
{
	struct suggest s;
	const char *slash = strrchr(name, '/');

	suggest_init(&s, slash ? slash + 1 : name);
	for (uint32_t i = 0; i < catalogue.len; i++)
		suggest_offer(&s, entries[i].name);
	err_set(err, -ENOENT, "model \"%s\" is not in the catalogue, and is no file or folder here", name);
	return suggest_best(&s) ? err_hint(err, "did you mean \"%s\"?", suggest_best(&s))
				: err_hint(err, "name its folder or .gguf file, or describe it in a file of models");
}

/* Whose own -FP8 files have blocks of 128; those of others have a scale a channel or tensor. */
static bool has_blocks(const char *name)
{
	static const char *const owners[] = {
		"Qwen/", "zai-org/", "deepseek-ai/", "MiniMaxAI/", "moonshotai/", "stepfun-ai/"};

	for (uint32_t i = 0; i < ARRAY_LEN(owners); i++)
		if (!strncasecmp(name, owners[i], strlen(owners[i])))
			return true;
	size_t n = strlen(name);
	return n > 10 && !strcasecmp(name + n - 10, "-fp8-block");
}

/* Makers of 4 bit integers leave attention and states of hybrids in 16 bits, all or in part. Qwen's own do all ("dynamic" in the
 * config.json of Qwen3.5-*-GPTQ-Int4: attn, shared_expert, mtp, visual), which gives their files' 73.5 and 219.6 GiB. */
static void hybrid_integers(struct model_facts *f, const char *name)
{
	uint64_t moe = f->experts ? f->layers - f->dense_layers : 0;
	uint64_t kept = f->experts ? f->params_expert : (f->layers - moe) * 3 * f->hidden * f->intermediate;

	if (!strncasecmp(name, "Qwen/", 5))
		f->params_unquantized = f->params_linear - MIN(kept, f->params_linear);
	else if (!*f->unsure)
		snprintf(f->unsure, sizeof f->unsure,
			"which layers \"%.70s\" leaves in 16 bits is not known here: it is counted as if none were",
			name);
}

/* A file of its own that has no record: its name says how it is quantized. AWQ, GPTQ, FP8 and INT8 are made of all matrices of the
 * layers; what four-bit floats leave in 16 bits differs from maker to maker. */
static void other_file(struct model_facts *f, const char *name, const char *quant, const char *format)
{
	f->params_unquantized = f->quant_group = 0;
	f->weight_mixed = false;
	snprintf(f->quant, sizeof f->quant, "%s", quant);
	snprintf(f->quant_format, sizeof f->quant_format, "%s",
		!strncasecmp(name, "nvidia/", 7) && !*format ? "modelopt"
		: format                                     ? format
							     : "");
	/* z.ai's FP8 files up to GLM-4.7 have a scale a channel, and are of compressed-tensors. */
	bool channels = !strncasecmp(name, "zai-org/GLM-4", 13);
	f->quant_block = !strcmp(quant, "fp8") && has_blocks(name) && !channels ? MODEL_FP8_BLOCK : 0;
	if (channels && !strcmp(quant, "fp8"))
		snprintf(f->quant_format, sizeof f->quant_format, "compressed-tensors");
	if (f->state_layers && (!strcmp(quant, "gptq") || !strcmp(quant, "awq")))
		hybrid_integers(f, name);
	if (strstr(quant, "fp4") && strcmp(quant, "mxfp4_moe") != 0 && !*f->unsure)
		snprintf(f->unsure, sizeof f->unsure,
			"which layers \"%.70s\" leaves in 16 bits is not known here: it is counted as if none were",
			name);
	model_facts_fill_bytes(f);
}

/* "owner/gpt-oss-20b-GGUF:MXFP4": its repository is one of GGUF files. */
static bool is_gguf_name(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon && colon - name > 5 && !strncasecmp(colon - 5, "-gguf", 5);
}

/* Has the name an owner, and another than the model's? */
static bool is_others(const struct entry *e, const char *name)
{
	const char *slash = strchr(name, '/');

	return slash && strncasecmp(e->hf, name, (size_t)(slash - name + 1)) != 0;
}

int model_facts_by_name(struct model_facts *ret, const char *name, struct err *err)
{
	char rest[KEY_BYTES_MAX], quant[16];

	if (load() < 0)
		return err_set(err, -ENOMEM, "could not read the catalogue of models: out of memory");
	if (strlen(name) >= sizeof rest)
		return err_set(err, -ENOENT, "a model's name has at most %d bytes", KEY_BYTES_MAX - 1);
	const struct entry *e = best(name);
	snprintf(rest, sizeof rest, "%s", name);
	bool gguf = strlen(rest) > 5 && !strcasecmp(rest + strlen(rest) - 5, "-gguf");
	const char *format = "";
	const char *q = e ? NULL : cut_quant(rest, quant, &format);
	bool open = gguf && !q && !e;
	if (open && (e = best(rest)) != NULL) /* what llama-server takes of a repository when no file is said */
		q = !strcmp(e->quant, "mxfp4") ? "mxfp4_moe" : "q4_k_m";
	else if (q && !strcasecmp(q, "mxfp4") && is_gguf_name(name))
		q = "mxfp4_moe";
	if (!e)
		e = best(rest);
	const char *mark = strchr(strrchr(rest, '/') ? strrchr(rest, '/') : rest, '_');
	if (!e && mark) /* "bartowski/Qwen_Qwen3-32B": the owner of what was quantized */
		e = best(mark + 1);
	if (!e)
		return refuse(name, err);
	facts_of(e, ret);
	if (q)
		other_file(ret, name, q, format);
	ret->variant = is_others(e, name);
	if (open) {
		snprintf(ret->unsure, sizeof ret->unsure,
			"the name ends in -GGUF and " MODEL_NO_FILE
			": its weights are counted as %s (write NAME:Q4_K_M)",
			ret->quant);
	} else if (!q && format == NULL && !gguf) { /* "-4bit" of MLX or others */
		snprintf(ret->unsure, sizeof ret->unsure,
			"the name does not say how \"%.70s\" is quantized: it is counted in 4 bits, as the smallest",
			name);
		ret->weight_bytes = model_weight_bytes(ret, "gptq");
		ret->weight_mixed = ret->variant = true;
	}
	return 0;
}
