/* record.c - a shape as a record of data/models.txt; see shape.h. */
#include "model/shape.h"

#include "base/compiler.h"
#include <stdio.h>
#include <string.h>

static const char *const bias_words[] = {NULL, "qkv", "all"};
static const char *const qk_words[] = {NULL, "head", "full"};

static void number(struct buf *b, const char *key, uint64_t n)
{
	if (n)
		buf_printf(b, " %s=%llu", key, (unsigned long long)n);
}

static void word(struct buf *b, const char *key, const char *text)
{
	if (text && *text)
		buf_printf(b, " %s=%s", key, text);
}

void model_shape_record(struct buf *b, const struct model_shape *s, const struct model_facts *f)
{
	buf_printf(b, "arch=%s", f->architecture);
	number(b, "layers", s->layers);
	number(b, "hidden", s->hidden);
	number(b, "heads", s->heads);
	number(b, "kv", s->kv);
	number(b, "head_dim", s->mla_rank ? s->mla_nope + s->mla_rope : s->head_dim);
	number(b, "v_dim", s->v_dim);
	number(b, "inter", s->experts && !s->dense_layers ? 0 : s->inter);
	number(b, "experts", s->experts);
	number(b, "used", s->used);
	number(b, "expert_inter", s->expert_inter);
	number(b, "expert_hidden", s->expert_hidden);
	number(b, "shared_inter", s->shared_inter);
	number(b, "dense_layers", s->dense_layers);
	number(b, "mla_rank", s->mla_rank);
	number(b, "mla_rope", s->mla_rope);
	number(b, "mla_q", s->mla_q);
	number(b, "mla_nope", s->mla_nope);
	number(b, "mla_v", s->mla_v);
	number(b, "vocab", s->vocab);
	number(b, "context", s->context);
	number(b, "window", s->window);
	number(b, "window_layers", s->window_layers);
	number(b, "global_kv", s->global_kv);
	number(b, "global_head_dim", s->global_head_dim);
	number(b, "kv_layers", s->kv_layers);
	number(b, "state_layers", s->state_layers);
	number(b, "state", s->state);
	word(b, "tied", s->tied ? "yes" : NULL);
	word(b, "bias", bias_words[s->bias]);
	word(b, "qk_norm", qk_words[s->qk_norm]);
	number(b, "norms", s->norms == 2 ? 0 : s->norms);
	word(b, "mlp", s->plain_mlp ? "plain" : NULL);
	word(b, "norm", s->norm_bias ? "layer" : NULL);
	number(b, "other", s->other);
	number(b, "other_linear", s->other_linear);
	number(b, "unquantized", f->weight_mixed ? 0 : s->unquantized);
	number(b, "params", f->params);
	number(b, "weights", f->weight_mixed ? f->weight_bytes : 0);
	word(b, "dtype", strcmp(f->dtype, "bfloat16") ? f->dtype : NULL);
	word(b, "quant", strcmp(f->quant, "none") ? f->quant : NULL);
	if (!strcmp(f->quant, "fp8") && f->quant_block != MODEL_FP8_BLOCK)
		buf_printf(b, " block=%u", f->quant_block);
	number(b, "group", strcmp(f->quant, "fp8") ? f->quant_group : 0);
	number(b, "indexer", s->indexer);
	word(b, "class", f->class_name);
	word(b, "format", f->quant_format);
}
