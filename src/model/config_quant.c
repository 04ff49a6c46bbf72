/* config_quant.c - what config.json (or ModelOpt's hf_quant_config.json beside it) says of quantization: the method, the bits of each
 * set of matrices, and which of them stay in 16 bits.
 *
 * Forms, each from its reader in vLLM 0.33 (model_executor/layers/quantization): fp8.py (modules_to_not_convert, ignored_layers),
 * awq.py (names inside), gptq.py (dynamic: "-:regex"), inc.py (extra_config), compressed_tensors.py (config_groups, ignore: names,
 * class names, "re:regex"), modelopt.py (exclude_modules with wildcards, quantized_layers), mxfp4.py, bitsandbytes.py. */
#include "model/config_priv.h"

#include "base/compiler.h"
#include "base/utf8.h"
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { PATTERN_BYTES_MAX = 512, GROUP_MAX = 65536 };

static bool is(const char *a, const char *b)
{
	return !strcasecmp(a, b);
}

/* ---- names and patterns ---- */

/* Python's regular expressions into POSIX': (?:x) is a group, \d a class, *? as good as *. false: it has more than these. */
static bool translate(const char *from, char *ret, size_t cap)
{
	size_t n = 0;

	for (const char *p = from; *p; p++) {
		const char *put = NULL;
		char one[2] = {*p, '\0'};
		if (p[0] == '(' && p[1] == '?') {
			if (p[2] != ':')
				return false;
			put = "(";
			p += 2;
		} else if (p[0] == '\\' && p[1] == 'd') {
			put = "[0-9]";
			p++;
		} else if (p[0] == '\\' && p[1] == 'w') {
			put = "[A-Za-z0-9_]";
			p++;
		} else if (p[0] == '\\' && p[1] && strchr("bBsSDWAZ", p[1])) {
			return false;
		} else if ((p[0] == '*' || p[0] == '+' || p[0] == '?') && p[1] == '?') {
			put = one;
			p++;
		} else if (p[0] == '\\' && p[1]) {
			if (n + 2 >= cap)
				return false;
			ret[n++] = '\\';
			p++;
			one[0] = *p;
			put = one;
		} else {
			put = one;
		}
		size_t len = strlen(put);
		if (n + len + 1 >= cap)
			return false;
		memcpy(ret + n, put, len);
		n += len;
	}
	ret[n] = '\0';
	return true;
}

static regex_t *compiled(struct quant *q, const char *pattern)
{
	char text[PATTERN_BYTES_MAX], anchored[PATTERN_BYTES_MAX + 8];

	for (uint32_t i = 0; i < q->regexes_len; i++)
		if (q->regexes[i].pattern == pattern)
			return &q->regexes[i].compiled;
	if (q->regexes_len == QUANT_REGEX_MAX || !translate(pattern, text, sizeof text))
		return NULL;
	snprintf(anchored, sizeof anchored, "^(%s)", text);
	regex_t *r = &q->regexes[q->regexes_len].compiled;
	if (regcomp(r, anchored, REG_EXTENDED | REG_NOSUB) != 0)
		return NULL;
	q->regexes[q->regexes_len++].pattern = pattern;
	return r;
}

/* What checkpoints write before "layers.". */
static const char *const prefixes[] = {"model.", "model.language_model.", "language_model.model.", "backbone.", ""};

static bool matches_regex(struct quant *q, const char *pattern, const char *module)
{
	regex_t *r = compiled(q, pattern);
	char name[192];

	if (!r) {
		q->odd = "a pattern of what is not quantized";
		return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		snprintf(name, sizeof name, "%s%s", prefixes[i], module);
		if (regexec(r, name, 0, NULL, 0) == 0)
			return true;
	}
	return false;
}

/* A whole part of a dotted name, or several. */
static bool has_parts(const char *module, const char *parts)
{
	size_t len = strlen(parts);

	for (const char *p = module; len && (p = strstr(p, parts)); p++)
		if ((p == module || p[-1] == '.') && (!p[len] || p[len] == '.'))
			return true;
	return false;
}

static bool matches(struct quant *q, const char *pattern, const char *module)
{
	const char *layers = strstr(pattern, "layers.");
	char name[192];

	if (!strncmp(pattern, "re:", 3))
		return matches_regex(q, pattern + 3, module);
	if (is(pattern, "Linear"))
		return true;
	if (strpbrk(pattern, "*?[")) {
		bool open = strcspn(pattern, "*?[") < (size_t)(layers ? layers - pattern : 0);
		snprintf(name, sizeof name, "model.%s", module);
		if (layers && !open)
			return fnmatch(layers, module, 0) == 0;
		return fnmatch(pattern, name, 0) == 0 || fnmatch(pattern, module, 0) == 0;
	}
	if (q->inside && strstr(module, pattern))
		return true;
	if (!layers)
		return has_parts(module, pattern);
	size_t len = strlen(layers);
	return !strncmp(module, layers, len) && (!module[len] || module[len] == '.');
}

static bool listed(struct quant *q, const json_t *list, const char *module)
{
	const char *key;
	json_t *value;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *pattern = json_string_value(json_array_get(list, i));
		if (pattern && matches(q, pattern, module))
			return true;
	}
	json_object_foreach((json_t *)list, key, value)
	{
		if (!strncmp(key, "-:", 2) && matches_regex(q, key + 2, module)) /* GPTQModel's dynamic */
			return true;
		struct config of = {.c = value}; /* AutoRound's extra_config */
		if (strncmp(key, "+:", 2) != 0 && json_is_object(value) && config_number(&of, NAMES("bits"), 0) >= 16 &&
			matches(q, key, module))
			return true;
	}
	return false;
}

static double bits_of_algorithm(const char *name)
{
	return strstr(name, "NVFP4")                        ? 4.5
	       : strstr(name, "MXFP4")                      ? 4.25
	       : strstr(name, "W4") || strstr(name, "INT4") ? 4.15
							    : 8;
}

/* The module's own entry, or that of what it is a part of ("mlp.experts"). */
static double by_name(const struct quant *q, const char *module)
{
	char name[192];

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		size_t head = strlen(prefixes[i]);
		snprintf(name, sizeof name, "%s%s", prefixes[i], module);
		for (char *dot; (dot = strrchr(name, '.')) && dot > name + head; *dot = '\0') {
			const json_t *of = json_object_get(q->by_name, name);
			if (of)
				return bits_of_algorithm(config_text(of, NAMES("quant_algo"), ""));
		}
	}
	return 16;
}

double config_quant_bits(struct quant *q, const char *module)
{
	if (!q->groups_len && !q->by_name)
		return 16;
	if (q->experts_only && !strstr(module, "experts.0."))
		return 16;
	if (q->by_name)
		return by_name(q, module);
	if (q->left && listed(q, q->left, module))
		return 16;
	for (uint32_t i = 0; i < q->groups_len; i++) /* those with names first */
		if (q->groups[i].targets && listed(q, q->groups[i].targets, module))
			return q->groups[i].bits;
	for (uint32_t i = 0; i < q->groups_len; i++)
		if (!q->groups[i].targets)
			return q->groups[i].bits;
	return 16;
}

void config_quant_done(struct quant *q)
{
	for (uint32_t i = 0; i < q->regexes_len; i++)
		regfree(&q->regexes[i].compiled);
	q->regexes_len = 0;
}

/* ---- methods ---- */

static void name_it(struct model_facts *f, const char *quant)
{
	snprintf(f->quant, sizeof f->quant, "%s", quant);
}

static void all_alike(struct quant *q, double bits)
{
	q->groups[0] = (struct quant_group){.bits = bits};
	q->groups_len = 1;
}

static double grouped(double bits, uint32_t group)
{
	return bits + 20.0 / (group ? group : 128);
}

/* What a group of compressed-tensors says, in the words of facts.h; the bits with their scales. */
static const char *group_of(const json_t *group, struct model_facts *f, double *ret_bits)
{
	struct config w = {.c = json_object_get(group, "weights")};
	uint32_t bits = config_number(&w, NAMES("num_bits"), 0), size = config_number(&w, NAMES("group_size"), 0);
	bool real = is(config_text(w.c, NAMES("type"), "int"), "float");
	const json_t *block = json_array_get(json_object_get(w.c, "block_structure"), 0);

	if (size && size <= GROUP_MAX)
		f->quant_group = size;
	if (json_is_integer(block) && json_integer_value(block) > 0 && json_integer_value(block) <= GROUP_MAX)
		f->quant_block = (uint32_t)json_integer_value(block);
	*ret_bits = bits;
	if (real && bits == 4) {
		*ret_bits = size == 32 ? 4.25 : 4.5;
		return size == 32 ? "mxfp4" : "nvfp4";
	}
	if (real && bits == 8)
		return "fp8";
	if (bits == 4 || bits == 3 || bits == 2)
		*ret_bits = grouped(bits, size);
	return bits == 4 ? "gptq" : bits == 8 ? "int8" : NULL;
}

/* "Linear" names every matrix; a list of names some. */
static const json_t *targets_of(const json_t *group)
{
	const json_t *targets = json_object_get(group, "targets");
	const char *first = json_string_value(json_array_get(targets, 0));

	return json_array_size(targets) == 1 && first && is(first, "Linear") ? NULL : targets;
}

static void read_groups(struct quant *q, const json_t *groups, struct model_facts *f)
{
	const char *name;
	json_t *group;
	double least = 99, bits;

	json_object_foreach((json_t *)groups, name, group)
	{
		struct model_facts of = {.quant_group = 0};
		const char *quant = group_of(group, &of, &bits);
		if (!quant || q->groups_len == QUANT_GROUPS_MAX) {
			q->odd = "a group of quantized matrices";
			continue;
		}
		q->mixed |= q->groups_len && bits != q->groups[0].bits;
		q->groups[q->groups_len++] = (struct quant_group){.targets = targets_of(group), .bits = bits};
		if (bits < least) { /* the kernel that asks for most */
			least = bits;
			name_it(f, quant);
			f->quant_group = of.quant_group;
			f->quant_block = of.quant_block;
		}
	}
	if (!q->groups_len)
		q->odd = q->odd ? q->odd : "how its matrices are quantized";
}

static void read_modelopt(struct quant *q, const json_t *c, struct model_facts *f)
{
	const char *algorithm = config_text(c, NAMES("quant_algo"), "");
	const json_t *layers = json_object_get(c, "quantized_layers");
	const char *name;
	json_t *layer;
	double least = 99;

	if (json_object_size(layers)) {
		q->by_name = layers;
		json_object_foreach((json_t *)layers, name, layer)
		{
			double bits = bits_of_algorithm(config_text(layer, NAMES("quant_algo"), ""));
			q->mixed |= least < 99 && bits != least;
			least = MIN(least, bits);
		}
		name_it(f, least == 4.5 ? "nvfp4" : least == 4.25 ? "mxfp4" : least < 8 ? "awq" : "fp8");
		return;
	}
	if (json_object_size(json_object_get(c, "config_groups")) && !*algorithm) {
		read_groups(q, json_object_get(c, "config_groups"), f);
		return;
	}
	if (strstr(algorithm, "NVFP4"))
		name_it(f, "nvfp4");
	else if (strstr(algorithm, "MXFP8") || strstr(algorithm, "FP8"))
		name_it(f, "fp8");
	else if (strstr(algorithm, "W4") || strstr(algorithm, "INT4"))
		name_it(f, "awq");
	else
		q->odd = "an algorithm of ModelOpt";
	all_alike(q, bits_of_algorithm(algorithm));
	/* no list: newer releases leave it to the model which matrices are meant */
	if (!q->left && strstr(f->architecture, "nemotron_h"))
		q->odd = "which of its matrices are not quantized";
}

/* Integer methods: bits, a group, and what is left out. */
static void read_integers(struct quant *q, const json_t *c, const char *method, struct model_facts *f)
{
	struct config qc = {.c = c};
	uint32_t bits = config_number(&qc, NAMES("bits", "w_bit", "num_bits"), 4);
	const json_t *other = json_object_get(c, "dynamic");
	const char *key;
	json_t *value;

	if (bits == 8)
		name_it(f, "int8");
	else if (bits != 4)
		q->odd = "matrices of fewer than 4 bits";
	else if (is(method, "auto-round") || is(method, "inc"))
		name_it(f, strstr(config_text(c, NAMES("packing_format"), ""), "awq") ? "awq" : "gptq");
	q->inside = is(method, "awq");
	if (!q->left)
		q->left = other ? other : json_object_get(c, "extra_config");
	json_object_foreach((json_t *)q->left, key, value)
	{
		struct config of = {.c = value};
		uint32_t own = json_is_object(value) ? config_number(&of, NAMES("bits"), bits) : bits;
		if (strncmp(key, "-:", 2) != 0 && own < 16 && own != bits)
			q->odd = "matrices of several sizes";
	}
	all_alike(q, bits == 8 ? 8 : grouped(bits, f->quant_group));
}

void config_quant(struct quant *ret, const json_t *root, const json_t *beside, struct model_facts *f)
{
	const json_t *q = config_get(root, NAMES("quantization_config", "compression_config"));
	const char *method;

	memset(ret, 0, sizeof *ret);
	if (!json_is_object(q)) /* Kimi-K2.5 has it beside the sizes it is about */
		q = json_object_get(config_language(root), "quantization_config");
	method = json_is_object(q) ? config_text(q, NAMES("quant_method"), "modelopt") : "none";
	if (!json_is_object(q) && json_is_object(json_object_get(beside, "quantization"))) {
		q = json_object_get(beside, "quantization");
		method = "modelopt";
	}
	if (!json_is_object(q) && json_is_object(json_object_get(root, "quantization"))) {
		ret->odd = "a quantization of MLX";
		name_it(f, "mlx");
		return;
	}
	struct config qc = {.c = q};
	utf8_plain_copy(f->quant, sizeof f->quant, method, strlen(method));
	f->quant_group = config_number(&qc, NAMES("group_size", "q_group_size"), 0);
	if (f->quant_group > GROUP_MAX)
		f->quant_group = 0;
	const json_t *block = json_array_get(json_object_get(q, "weight_block_size"), 0);
	if (json_is_integer(block) && json_integer_value(block) > 0 && json_integer_value(block) <= GROUP_MAX)
		f->quant_block = (uint32_t)json_integer_value(block);
	ret->left = config_get(q, NAMES("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules",
					  "llm_int8_skip_modules"));
	if (is(method, "none"))
		return;
	if (is(method, "compressed-tensors") || !strncmp(method, "modelopt", 8))
		utf8_plain_copy(f->quant_format, sizeof f->quant_format, method, strlen(method));
	if (is(method, "compressed-tensors"))
		read_groups(ret, json_object_get(q, "config_groups"), f);
	else if (!strncmp(method, "modelopt", 8))
		read_modelopt(ret, q, f);
	else if (is(method, "fp8") || is(method, "fbgemm_fp8") || is(method, "deepseek_v4_fp8"))
		name_it(f, "fp8"), all_alike(ret, 8);
	else if (is(method, "awq") || is(method, "gptq") || is(method, "auto-round") || is(method, "inc"))
		read_integers(ret, q, method, f);
	else if (is(method, "mxfp4") || is(method, "gpt_oss_mxfp4"))
		name_it(f, "mxfp4"), ret->experts_only = true, all_alike(ret, 4.25);
	else if (is(method, "bitsandbytes") && config_flag(q, NAMES("load_in_8bit"), false))
		name_it(f, "int8"), all_alike(ret, 8);
	else if (is(method, "bitsandbytes"))
		all_alike(ret, 4.2);
	else
		ret->odd = "its method of quantization";
}
