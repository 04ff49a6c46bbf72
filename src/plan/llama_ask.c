/* llama_ask.c - flags of llama-server to what they mean; see llama_ask.h. */
#include "plan/llama_ask.h"
#include "model/gguf_mix.h"
#include "model/memory.h"
#include "plan/llama_split.h"
#include "plan/plan.h"

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

enum {
	MARGIN_MIB = 1024, /* common/common.h, fit_params_target */
	OLLAMA_MARGIN_MIB = 512,
	OLD_CONTEXT = 4096, /* of llama-server when -c was not said, and of Ollama */
	PYTHON_CONTEXT = 2048,
	PATTERN_BYTES = 512,
	SLOTS_UNIFIED = 4,
};

uint32_t plan_llama_newest(void)
{
	char oldest[ENGINE_VERSION_BYTES], newest[ENGINE_VERSION_BYTES];

	engine_versions("llama", oldest, newest);
	return (uint32_t)strtoul(newest, NULL, 10);
}

/* ---- flags of a form ---- */

static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
			return false;
	return *a == *b;
}

/* The value of a flag by its name in the tables, the last one given; NULL: not given. */
static const char *said(const struct form_service *f, const char *name)
{
	for (uint32_t i = f->args.len; i-- > 0;)
		if (same_name(f->args.v[i].name, name))
			return f->args.v[i].value ? f->args.v[i].value : "";
	return NULL;
}

static bool is_no(const char *v)
{
	return !strcasecmp(v, "false") || !strcmp(v, "0") || !strcasecmp(v, "off") || !strcasecmp(v, "no");
}

/* A switch that older releases have as "no-x" alone, and newer ones as two spellings of x. */
static bool is_on(const struct form_service *f, const char *name, const char *negative, bool def)
{
	const char *v = said(f, name), *n = negative ? said(f, negative) : NULL;

	return n && !is_no(n) ? false : v ? !is_no(v) : def;
}

static uint64_t number(const struct form_service *f, const char *name, uint64_t def)
{
	const char *v = said(f, name);
	char *end;
	unsigned long long n = v ? strtoull(v, &end, 10) : 0;

	return v && end != v && *v != '-' ? n : def;
}

/* "3,2", "3/2", and a list of Python's as it was put together: ["3", "2"]. */
static void take_shares(struct plan_llama *l, const char *text)
{
	for (const char *p = text ? text : ""; *p && l->shares_len < LLAMA_CARDS_MAX;) {
		char *end;
		float n = strtof(p, &end);
		if (end == p) {
			p++;
			continue;
		}
		l->shares[l->shares_len++] = n > 0 ? n : 0;
		p = end;
	}
}

/* Types of ggml by name, and by number as llama-cpp-python takes them. */
static enum kv_dtype kv_of(const char *text)
{
	static const struct {
		const char *text;
		enum kv_dtype type;
	} others[] = {{"0", KV_F32}, {"1", KV_F16}, {"2", KV_Q4_0}, {"3", KV_Q4_1}, {"6", KV_Q5_0}, {"7", KV_Q5_1},
		{"8", KV_Q8_0}, {"30", KV_F16}, {"iq4_nl", KV_Q4_0}, {"20", KV_Q4_0}};
	enum kv_dtype t = text ? kv_dtype_parse(text) : KV_F16;

	for (size_t i = 0; text && i < ARRAY_LEN(others); i++)
		if (!strcasecmp(others[i].text, text))
			return others[i].type;
	return t == KV_DTYPES || t == KV_FP8 ? KV_F16 : t;
}

/* ---- tensors by name ---- */

/* std::regex's own grammar into POSIX's: digits, groups without a number, stingy repeats. False: it has what POSIX has not. */
static bool translated(char ret[PATTERN_BYTES], const char *from, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		const char *put = NULL;
		if (from[i] == '\\' && i + 1 < len) {
			char c = from[i + 1];
			put = c == 'd' ? "[0-9]" : c == 'w' ? "[A-Za-z0-9_]" : c == 's' ? "[ \t]" : NULL;
			if (!put && isalnum((unsigned char)c))
				return false;
			i += put != NULL;
		} else if (from[i] == '(' && i + 1 < len && from[i + 1] == '?') {
			if (i + 2 >= len || from[i + 2] != ':')
				return false;
			put = "(";
			i += 2;
		} else if (from[i] == '?' && i && strchr("*+?}", from[i - 1])) {
			continue;
		}
		size_t size = put ? strlen(put) : 1;
		if (n + size + 2 >= PATTERN_BYTES)
			return false;
		memcpy(ret + n, put ? put : from + i, size);
		n += size;
		if (!put && from[i] == '\\' && i + 1 < len)
			ret[n++] = from[++i];
	}
	ret[n] = '\0';
	return true;
}

static const char *const part_names[8] = {
	"attn_q", "ffn_up", "ffn_gate", "ffn_down", "ffn_up_exps", "ffn_gate_exps", "ffn_down_exps", "ffn_up_shexp"};

/* The parts of each layer that a pattern finds and no earlier one has: into RAM, or claimed for a card. */
static bool place(struct plan_llama *l, uint8_t *claimed, uint32_t layers, const char *pattern, size_t len, bool host)
{
	char posix[PATTERN_BYTES], name[64];
	regex_t re;

	if (!translated(posix, pattern, len) || regcomp(&re, posix, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	for (uint32_t i = 0; i < layers; i++)
		for (int k = 0; k < 8; k++) {
			snprintf(name, sizeof name, "blk.%u.%s.weight", i, part_names[k]);
			if (claimed[i] >> k & 1 || regexec(&re, name, 0, NULL, 0) != 0)
				continue;
			claimed[i] |= (uint8_t)(1u << k);
			l->host[i] |= (uint8_t)(host ? 1u << k : 0);
		}
	regfree(&re);
	return true;
}

/* "PATTERN=CPU,PATTERN=CUDA1" */
static void place_each(struct plan_llama *l, uint8_t *claimed, uint32_t layers, const char *text)
{
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, ",");
		const char *equals = memchr(p, '=', len);
		if (equals) {
			bool host = !strncasecmp(equals + 1, "CPU", 3) || !strncasecmp(equals + 1, "CUDA_Host", 9);
			l->by_hand |= !place(l, claimed, layers, p, (size_t)(equals - p), host) || !host;
		}
		p += len + (p[len] == ',');
	}
}

static void place_tensors(struct plan_llama *l, const struct form_service *f, const struct model_facts *m)
{
	static const char experts[] = "\\.ffn_(up|down|gate|gate_up)_(ch)?exps";
	uint32_t layers = m ? MIN(m->layers, (uint32_t)LLAMA_LAYERS_MAX) : 0;
	uint8_t claimed[LLAMA_LAYERS_MAX] = {0};

	for (uint32_t i = 0; i < f->args.len; i++) {
		const char *name = f->args.v[i].name, *v = f->args.v[i].value ? f->args.v[i].value : "";
		if (same_name(name, "override-tensor")) {
			place_each(l, claimed, layers, v);
		} else if (same_name(name, "cpu-moe") && !is_no(v)) {
			(void)place(l, claimed, layers, experts, strlen(experts), true);
		} else if (same_name(name, "n-cpu-moe")) {
			uint32_t most = MIN((uint32_t)strtoul(v, NULL, 10), layers);
			(void)place(l, claimed, most, experts, strlen(experts), true);
		}
	}
	for (uint32_t i = 0; i < layers; i++)
		l->experts_on_host |= (l->host[i] & LLAMA_EXPERTS) != 0;
}

/* ---- the settings ---- */

static bool is_python(const struct form_service *f)
{
	return f->program == ENGINE_LLAMA_CPP_PYTHON;
}

static void take_layers(struct plan_llama *l, const struct form_service *f)
{
	const char *word = said(f, "gpu-layers-said"), *v = word ? word : said(f, "gpu-layers");
	bool chosen = v && *v && strcasecmp(v, "auto") != 0 && (strcmp(v, "-1") != 0 || is_python(f) || l->ollama);

	l->layers_said = chosen;
	if (chosen)
		l->layers = !strcasecmp(v, "all") || *v == '-' ? UINT32_MAX : (uint32_t)strtoul(v, NULL, 10);
	else
		l->layers = l->ollama || (!is_python(f) && (l->build >= LLAMA_BUILD_ALL_LAYERS)) ? UINT32_MAX : 0;
}

static void take_mode(struct plan_llama *l, const struct form_service *f)
{
	static const struct {
		const char *text;
		enum plan_llama_mode mode;
	} modes[] = {{"none", PLAN_LLAMA_ONE}, {"0", PLAN_LLAMA_ONE}, {"layer", PLAN_LLAMA_LAYERS},
		{"1", PLAN_LLAMA_LAYERS}, {"row", PLAN_LLAMA_ROWS}, {"2", PLAN_LLAMA_ROWS},
		{"tensor", PLAN_LLAMA_TENSORS}, {"3", PLAN_LLAMA_TENSORS}};
	const char *v = said(f, "split-mode");

	for (size_t i = 0; v && i < ARRAY_LEN(modes); i++)
		if (!strcasecmp(modes[i].text, v))
			l->mode = modes[i].mode;
	l->main = (uint32_t)number(f, "main-gpu", 0);
	take_shares(l, said(f, "tensor-split"));
}

static void take_draft(struct plan_llama *l, const struct form_service *f)
{
	const char *name = said(f, "spec-draft-hf"), *path = said(f, "spec-draft-model");
	const char *type = said(f, "spec-type");
	struct model_facts m;
	struct err err;

	if (!name && path)
		name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	l->draft.given = name && *name;
	if (type && strstr(type, "mtp"))
		l->draft.given = true; /* layers of the model's own files, or a file beside it */
	l->draft.context = number(f, "spec-draft-ctx-size", 0);
	if (!name || !*name || model_facts_by_name(&m, name, &err) < 0)
		return;
	l->draft.known = true;
	l->draft.weights = model_weight_bytes(&m, NULL);
	l->draft.kv_token = model_kv_bytes_per_token(&m, KV_F16);
	l->draft.compute = llama_compute_bytes(&m, 0, 4096);
}

/* The image projector: said, or brought along by -hf where the repository has one. */
static bool has_projector(const struct plan_llama *l, const struct form_service *f, bool images)
{
	const char *said_file = said(f, "mmproj"), *url = said(f, "mmproj-url"), *v = said(f, "mmproj-offload"),
		   *none = said(f, "no-mmproj-offload");

	if ((v && is_no(v)) || (none && !is_no(none)))
		return false; /* in RAM */
	if ((said_file && *said_file) || (url && *url))
		return true;
	return images && said(f, "hf-repo") && l->build >= LLAMA_BUILD_PROJECTOR &&
	       is_on(f, "mmproj-auto", "no-mmproj", true);
}

static void take_memory(struct plan_llama *l, const struct form_service *f, const struct model_facts *m)
{
	const char *fa = said(f, "flash-attn"), *hold = said(f, "load-mode");

	l->flash = l->build >= LLAMA_BUILD_ALL_LAYERS && !is_python(f) ? !fa || !is_no(fa) : fa && !is_no(fa);
	l->kv_on_host = !is_on(f, "kv-offload", "no-kv-offload", true) || !is_on(f, "offload-kqv", NULL, true);
	l->windows_whole = is_on(f, "swa-full", NULL, false);
	l->held_in_ram = is_on(f, "mlock", NULL, false) || !is_on(f, "mmap", "no-mmap", true) ||
			 (hold && (!strcasecmp(hold, "none") || strstr(hold, "mlock")));
	l->keys = kv_of(is_python(f) ? said(f, "type-k") : said(f, "cache-type-k"));
	l->values = kv_of(is_python(f) ? said(f, "type-v") : said(f, "cache-type-v"));
	l->projector = has_projector(l, f, m && model_takes_images(m));
	l->adapters = said(f, "lora") || said(f, "lora-scaled") || said(f, "control-vector");
	l->remote = said(f, "rpc") != NULL;
}

static void take_slots(struct plan_llama *l, const struct form_service *f)
{
	uint64_t n = number(f, "max-seqs", 0);
	bool split = n > 0;

	l->slots_said = split;
	l->slots = n                                                                ? (uint32_t)MIN(n, 256u)
		   : l->build >= LLAMA_BUILD_UNIFIED && !is_python(f) && !l->ollama ? SLOTS_UNIFIED
										    : 1;
	l->unified = is_on(f, "kv-unified", NULL, !split);
}

static void take_fit(struct plan_llama *l, const struct form_service *f)
{
	const char *fit = said(f, "fit");

	l->fit = l->ollama ? !l->layers_said : !is_python(f) && l->build >= LLAMA_BUILD_FIT && !(fit && is_no(fit));
	l->margin = (l->ollama ? OLLAMA_MARGIN_MIB : number(f, "fit-target", MARGIN_MIB)) << 20;
	l->fits_layers = l->fit && !l->layers_said && !l->shares_len && !said(f, "override-tensor") &&
			 !said(f, "cpu-moe") && !said(f, "n-cpu-moe") && l->mode != PLAN_LLAMA_ROWS &&
			 l->mode != PLAN_LLAMA_TENSORS;
	if (l->mode == PLAN_LLAMA_TENSORS)
		l->fit = false;
}

static void take_context(struct plan_service *s, const struct form_service *f)
{
	const char *v = said(f, "context-length");
	bool left_open = !v || !*v;

	if (left_open && (is_python(f) || s->llama.ollama || s->llama.build < LLAMA_BUILD_FIT))
		s->context = is_python(f) ? PYTHON_CONTEXT : OLD_CONTEXT;
	else
		s->llama.context_open = left_open;
	if (s->context == 0 && s->model->facts)
		s->context = s->model->facts->context_max;
	s->seqs = MAX(s->llama.slots, 1u);
}

/* ---- cards ---- */

/* "CUDA0,CUDA1": places among those that are visible. False: no list of them. */
static bool devices_said(const struct form_service *f, uint32_t *ret, uint32_t *ret_len)
{
	const char *v = said(f, "device");

	*ret_len = 0;
	if (!v || !*v)
		return false;
	for (const char *p = v; *p && *ret_len < LLAMA_CARDS_MAX;) {
		size_t len = strcspn(p, ","), digits = len;
		while (digits && isdigit((unsigned char)p[digits - 1]))
			digits--;
		if (digits < len)
			ret[(*ret_len)++] = (uint32_t)strtoul(p + digits, NULL, 10);
		p += len + (p[len] == ',');
	}
	return true;
}

/* Which of the visible cards the worker computes on, by their places. Returns how many. */
static uint32_t choose(uint32_t *ret, const struct plan_llama *l, const struct form_service *f, uint32_t visible)
{
	uint32_t n = 0;

	if (!devices_said(f, ret, &n))
		for (n = 0; n < visible && n < LLAMA_CARDS_MAX; n++)
			ret[n] = n;
	if (l->mode == PLAN_LLAMA_ONE && n > 1) {
		ret[0] = ret[MIN(l->main, n - 1)];
		n = 1;
	}
	return l->layers == 0 ? 0 : n;
}

static const char *visible_of(const struct plan_service *s)
{
	for (uint32_t i = 0; i < s->graph->envs_len; i++)
		if (!strcmp(s->graph->envs[i].name, "CUDA_VISIBLE_DEVICES"))
			return s->graph->envs[i].value ? s->graph->envs[i].value : "";
	return NULL;
}

/* Ollama keeps a model on one card when it has room there. */
static bool one_is_enough(const struct plan_service *s, const struct gpu_device *card)
{
	struct plan_llama_layout r;

	if (!s->model->facts)
		return false;
	plan_llama_divide(&r, s, &card, 1, 0);
	return !r.moved;
}

/* The cards of the first machine that the worker sees: devices of the inventory. */
static uint32_t visible_cards(uint32_t *ret, const struct plan_service *s, const struct gpu_inventory *inv)
{
	uint32_t n = 0;

	for (uint32_t k = 0; k < s->pinned_len && n < LLAMA_CARDS_MAX; k++)
		ret[n++] = s->pinned[k];
	for (uint32_t i = 0; !s->pinned_len && i < inv->count && n < LLAMA_CARDS_MAX; i++)
		if (inv->devices[i].host == inv->devices[0].host)
			ret[n++] = inv->devices[i].index;
	return n;
}

static void take_cards(struct plan_service *s, const struct form_service *f, const struct gpu_inventory *inv)
{
	struct plan_llama *l = &s->llama;
	const char *shown = visible_of(s);
	uint32_t there[LLAMA_CARDS_MAX], chosen[LLAMA_CARDS_MAX], n;
	bool given = f->gpus > 0 && !f->by_itself;

	if ((shown && (!*shown || *shown == '-')) || (!inv->count && !given)) {
		s->gpus = 0;
		s->pinned_len = 0;
		s->pinned_odd = false;
		return;
	}
	uint32_t visible = visible_cards(there, s, inv);
	if (given) /* the container's own part of the machine: any cards */
		visible = MAX((uint32_t)f->gpus, 1u);
	n = choose(chosen, l, f, visible);
	if (s->pinned_odd || given || !inv->count) {
		s->gpus = n;
		if (!n)
			s->pinned_len = 0;
		return;
	}
	bool user = s->pinned_len > 0;
	for (uint32_t i = 0; i < inv->count && l->ollama && l->fit && !user; i++)
		if (one_is_enough(s, &inv->devices[i])) {
			s->gpus = 1;
			return;
		}
	s->pinned_len = s->gpus = n;
	for (uint32_t i = 0; i < n; i++)
		s->pinned[i] = chosen[i] < visible ? there[chosen[i]] : chosen[i];
	l->all = !user;
	if (!user)
		s->pinned_pos = s->pos[PLAN_GPUS];
}

static uint32_t build_of(const struct form_service *f, const struct plan_input *input)
{
	const struct plan_environment *e = input->environment;
	const char *v = f->version;

	if (!v && e && e->known && e->versions[GRAPH_ENGINE_LLAMA])
		v = e->versions[GRAPH_ENGINE_LLAMA];
	v = v && *v == 'b' ? v + 1 : v;
	uint32_t n = v && !strchr(v, '.') ? (uint32_t)strtoul(v, NULL, 10) : 0;
	return n ? n : plan_llama_newest();
}

static void read_service(struct plan_service *s, const struct form_service *f, const struct plan_input *input)
{
	struct plan_llama *l = &s->llama;

	*l = (struct plan_llama){.server = true,
		.ollama = f->program != ENGINE_LLAMA_SERVER && f->program != ENGINE_LLAMA_CPP_PYTHON,
		.build = build_of(f, input)};
	take_layers(l, f);
	take_mode(l, f);
	take_memory(l, f, s->model->facts);
	take_slots(l, f);
	take_fit(l, f);
	take_draft(l, f);
	place_tensors(l, f, s->model->facts);
	take_context(s, f);
	take_cards(s, f, input->inventory);
}

void plan_llama_read(struct plan_deployment *d, const struct plan_input *input)
{
	for (uint32_t i = 0; i < d->len; i++) {
		const struct form_service *f = plan_form_service(d, input->form, i);
		if (f && d->services[i].engine == GRAPH_ENGINE_LLAMA)
			read_service(&d->services[i], f, input);
	}
}
