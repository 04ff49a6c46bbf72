/* config_tower.c - encoders of images and sound beside a language model, and what leads from them into it.
 *
 * A transformer of width h has 4 h^2 + 2 h i parameters a layer (3 h i with a gate), and a patch embedding; the projector differs from
 * family to family. Sizes from the modelling files of transformers 5.24. */
#include "model/config_priv.h"

#include "base/compiler.h"
#include <string.h>

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

struct tower {
	struct config c;
	const char *kind;
	uint64_t h, depth, inter, patch, out; /* out: of the language model */
};

static uint64_t blocks(const struct tower *t, uint64_t matrices)
{
	return t->depth * (4 * t->h * t->h + matrices * t->h * t->inter);
}

/* Two matrices over merged patches, once more for each of the layers that are fed in deeper. */
static uint64_t qwen(struct tower *t)
{
	uint64_t merge = config_number(&t->c, NAMES("spatial_merge_size"), 2), merged = t->h * merge * merge;
	uint64_t out = config_number(&t->c, NAMES("out_hidden_size"), (uint32_t)t->out);
	uint64_t mergers = 1 + json_array_size(json_object_get(t->c.c, "deepstack_visual_indexes"));
	uint64_t places = config_number(&t->c, NAMES("num_position_embeddings"), 0);
	bool old = begins(t->kind, "qwen2_vl");

	if (old) { /* embed_dim, mlp_ratio; hidden_size is the language model's */
		t->h = config_number(&t->c, NAMES("embed_dim"), (uint32_t)t->h);
		t->inter = 4 * t->h;
		merged = t->h * merge * merge;
		out = t->out;
	}
	return blocks(t, begins(t->kind, "qwen2_5") ? 3 : 2) + 2 * t->patch * t->h + mergers * merged * (merged + out) +
	       places * t->h;
}

static uint64_t glm(struct tower *t)
{
	uint64_t merge = config_number(&t->c, NAMES("spatial_merge_size"), 2);
	uint64_t out = config_number(&t->c, NAMES("out_hidden_size"), (uint32_t)t->out);
	uint64_t inter = config_number(&t->c, NAMES("intermediate_size"), 0),
		 side = config_number(&t->c, NAMES("image_size"), 336);
	uint64_t cell = config_number(&t->c, NAMES("patch_size"), 14), places = cell ? side / cell * (side / cell) : 0;

	t->inter = out; /* the blocks' feed-forward is as wide as what they lead to */
	return blocks(t, 3) + 2 * t->patch * t->h + merge * merge * t->h * out + out * out + 3 * out * inter +
	       places * t->h;
}

static uint64_t other(struct tower *t)
{
	uint64_t h = t->h, out = t->out;

	if (begins(t->kind, "gemma4"))
		return blocks(t, 3) + t->patch * h + 2 * config_number(&t->c, NAMES("position_embedding_size"), 0) * h +
		       h * out;
	if (begins(t->kind, "mllama")) {
		t->inter = config_number(&t->c, NAMES("intermediate_size"), (uint32_t)(4 * h));
		t->depth += config_number(&t->c, NAMES("num_global_layers"), 0);
		return blocks(t, 2) + t->patch * h +
		       config_number(&t->c, NAMES("vision_output_dim"), (uint32_t)(6 * h)) * out;
	}
	if (begins(t->kind, "pixtral"))
		return blocks(t, 3) + t->patch * h + 4 * h * h + h * out + out * out;
	if (begins(t->kind, "llama4")) {
		t->inter = config_number(&t->c, NAMES("intermediate_size"), 0);
		return blocks(t, 2) + t->patch * h + t->inter * 4096 + 4096 * 4096 + 4096 * out;
	}
	if (begins(t->kind, "intern_vit") || begins(t->kind, "internvl_vision")) /* four patches become one */
		return blocks(t, 2) + t->patch * h + 1025 * h + 4 * h * out + out * out;
	return blocks(t, 2) + t->patch * h + h * out;
}

static uint64_t image(const json_t *c, const char *family, uint64_t out)
{
	struct tower t = {.c = {.c = c}, .out = out};
	uint32_t patch;
	const json_t *side = config_get(c, NAMES("patch_size", "spatial_patch_size"));

	t.kind = config_text(c, NAMES("model_type"), family);
	t.h = config_number(&t.c, NAMES("hidden_size", "embed_dim", "vt_hidden_size", "width"), 0);
	t.depth = config_number(&t.c, NAMES("depth", "num_hidden_layers", "vt_num_hidden_layers", "layers"), 0);
	t.inter = config_number(&t.c, NAMES("intermediate_size", "vt_intermediate_size"), (uint32_t)(4 * t.h));
	patch = json_is_integer(side) ? (uint32_t)json_integer_value(side) : 14;
	t.patch = 3ull * patch * patch;
	if (!t.h || !t.depth || t.h > 65536 || t.depth > 1024 || t.inter > 1 << 20 || patch > 256)
		return 0;
	if (begins(t.kind, "qwen"))
		return qwen(&t);
	return begins(t.kind, "glm4v") || begins(t.kind, "glm46v") || begins(t.kind, "glm_ocr") ? glm(&t) : other(&t);
}

uint64_t config_towers(const json_t *root, const struct model_shape *s, const char **ret_odd)
{
	const char *family = config_text(root, NAMES("model_type"), "");
	const json_t *thinker = json_object_get(root, "thinker_config");
	const json_t *from = json_is_object(thinker) ? thinker : root;
	const json_t *vision = config_get(from, NAMES("vision_config", "vision_tower_config", "visual"));
	const json_t *sound = config_get(from, NAMES("audio_config", "audio_tower_config"));
	uint64_t n = json_is_object(vision) ? image(vision, family, s->hidden) : 0;
	struct config a = {.c = sound};
	uint64_t h = config_number(&a, NAMES("d_model", "hidden_size"), 0);
	uint64_t depth = config_number(&a, NAMES("encoder_layers", "num_hidden_layers"), 0);
	uint64_t inter = config_number(&a, NAMES("encoder_ffn_dim", "intermediate_size"), (uint32_t)(4 * h));

	*ret_odd = json_is_object(vision) && !n ? "its encoder of images" : NULL;
	if (json_is_object(sound) && h && depth && h <= 65536 && depth <= 1024 && inter <= 1 << 20)
		n += depth * (4 * h * h + 2 * h * inter) + 6 * h * h + h * s->hidden;
	else if (json_is_object(sound))
		*ret_odd = "its encoder of sound";
	return n;
}
