/* vocab_rules.c - what llama.cpp knows of vocabularies beyond what their files say: families by the name of their
 * pre-tokenizer, and tokens by their texts. Source: vendor src/llama-vocab.cpp, llama_vocab::impl::load. */
#include "text/tokenizer.h"
#include "text/vocab_file.h"

#include <string.h>

static const struct vocab_family families[] = {
	{"gpt-2", LL_SPLIT_GPT2, false, false, false},
	{"phi-2", LL_SPLIT_GPT2, false, false, false},
	{"jina-es", LL_SPLIT_GPT2, false, false, false},
	{"jina-de", LL_SPLIT_GPT2, false, false, false},
	{"gigachat", LL_SPLIT_GPT2, false, false, false},
	{"a.x-4.0", LL_SPLIT_GPT2, false, false, false},
	{"mellum", LL_SPLIT_GPT2, false, false, false},
	{"jina-v1-en", LL_SPLIT_GPT2, false, false, false},
	{"roberta-bpe", LL_SPLIT_GPT2, false, false, false},
	{"exaone4", LL_SPLIT_GPT2, false, false, false},
	{"mpt", LL_SPLIT_GPT2, false, false, false},
	{"olmo", LL_SPLIT_GPT2, false, false, false},
	{"jais", LL_SPLIT_GPT2, false, false, false},
	{"trillion", LL_SPLIT_GPT2, false, false, false},
	{"granite-docling", LL_SPLIT_GPT2, false, false, false},
	{"starcoder", LL_SPLIT_DIGITS_GPT2, false, false, false},
	{"refact", LL_SPLIT_DIGITS_GPT2, false, false, false},
	{"command-r", LL_SPLIT_DIGITS_GPT2, false, false, false},
	{"smollm", LL_SPLIT_DIGITS_GPT2, false, false, false},
	{"codeshell", LL_SPLIT_DIGITS_GPT2, false, false, false},
	{"exaone", LL_SPLIT_DIGITS_GPT2, false, false, false},
	{"minerva-7b", LL_SPLIT_DIGITS_GPT2, false, false, false},
	{"mellum2", LL_SPLIT_DIGITS_GPT2, false, false, false},
	{"llama3", LL_SPLIT_LLAMA3, true, true, false},
	{"llama-v3", LL_SPLIT_LLAMA3, true, true, false},
	{"llama-bpe", LL_SPLIT_LLAMA3, true, true, false},
	{"falcon3", LL_SPLIT_LLAMA3, true, true, false},
	{"falcon-h1", LL_SPLIT_LLAMA3, true, true, false},
	{"pixtral", LL_SPLIT_LLAMA3, true, true, false},
	{"midm-2.0", LL_SPLIT_LLAMA3, true, true, false},
	{"lfm2", LL_SPLIT_LLAMA3, true, true, false},
	{"jina-v5-nano", LL_SPLIT_LLAMA3, true, true, false},
	{"dbrx", LL_SPLIT_LLAMA3, false, false, false},
	{"smaug-bpe", LL_SPLIT_LLAMA3, false, false, false},
	{"chatglm-bpe", LL_SPLIT_LLAMA3, false, false, true},
	{"glm4", LL_SPLIT_LLAMA3, true, false, true},
	{"glm5", LL_SPLIT_LLAMA3, true, false, true},
	{"stablelm2", LL_SPLIT_QWEN2, false, false, false},
	{"qwen2", LL_SPLIT_QWEN2, false, false, false},
	{"deepseek-r1-qwen", LL_SPLIT_QWEN2, false, false, false},
	{"kormo", LL_SPLIT_QWEN2, false, false, false},
	{"f2llmv2", LL_SPLIT_QWEN2, false, false, false},
	{"megrez", LL_SPLIT_QWEN2, false, false, false},
	{"hunyuan", LL_SPLIT_QWEN2, false, false, false},
	{"solar-open", LL_SPLIT_QWEN2, false, false, false},
	{"grok-2", LL_SPLIT_QWEN2, false, false, false},
};

const struct vocab_family *vocab_family_find(const char *pre, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (strlen(families[i].pre) == len && memcmp(families[i].pre, pre, len) == 0)
			return &families[i];
	return NULL;
}

/* Roles that a token gets by its text. An answer ends at each EOG token, and at the pad, repository and separator tokens of
 * infilling; of these and of the other three a vocabulary has one each: the one its file names, or the first that the
 * hash table yields. */
enum role { ROLE_EOG, ROLE_USER, ROLE_PRE, ROLE_SUF, ROLE_MID, ROLE_PAD, ROLE_REP, ROLE_SEP, ROLE_NONE };
static const struct {
	const char *text;
	enum role role;
} known[] = {
	{"<|eot_id|>", ROLE_EOG},
	{"<|im_end|>", ROLE_EOG},
	{"<|end|>", ROLE_EOG},
	{"<|return|>", ROLE_EOG},
	{"<|call|>", ROLE_EOG},
	{"<|flush|>", ROLE_EOG},
	{"<|calls|>", ROLE_EOG},
	{"<end_of_turn>", ROLE_EOG},
	{"<|endoftext|>", ROLE_EOG},
	{"</s>", ROLE_EOG},
	{"<|eom_id|>", ROLE_EOG},
	{"<EOT>", ROLE_EOG},
	{"_<EOT>", ROLE_EOG},
	{"[EOT]", ROLE_EOG},
	{"[EOS]", ROLE_EOG},
	{"<|end_of_text|>", ROLE_EOG},
	{"<end_of_utterance>", ROLE_EOG},
	{"<eos>", ROLE_EOG},
	{"<turn|>", ROLE_EOG},
	{"<|tool_response>", ROLE_EOG},
	{"<\xef\xbd\x9c"
	 "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
		ROLE_EOG},
	{"[e~[", ROLE_EOG},
	{"<|channel|>", ROLE_USER},
	{"<|message|>", ROLE_USER},
	{"<|start|>", ROLE_USER},
	{"<|constrain|>", ROLE_USER},
	{"<|fim_prefix|>", ROLE_PRE},
	{"<fim-prefix>", ROLE_PRE},
	{"<fim_prefix>", ROLE_PRE},
	{"<\xef\xbd\x9c"
	 "fim\xe2\x96\x81"
	 "begin\xef\xbd\x9c>",
		ROLE_PRE},
	{"<PRE>", ROLE_PRE},
	{"\xe2\x96\x81<PRE>", ROLE_PRE},
	{"<|code_prefix|>", ROLE_PRE},
	{"<|prefix|>", ROLE_PRE},
	{"<|fim_suffix|>", ROLE_SUF},
	{"<fim-suffix>", ROLE_SUF},
	{"<fim_suffix>", ROLE_SUF},
	{"<\xef\xbd\x9c"
	 "fim\xe2\x96\x81hole\xef\xbd\x9c>",
		ROLE_SUF},
	{"<SUF>", ROLE_SUF},
	{"\xe2\x96\x81<SUF>", ROLE_SUF},
	{"<|code_suffix|>", ROLE_SUF},
	{"<|suffix|>", ROLE_SUF},
	{"<|fim_middle|>", ROLE_MID},
	{"<fim-middle>", ROLE_MID},
	{"<fim_middle>", ROLE_MID},
	{"<\xef\xbd\x9c"
	 "fim\xe2\x96\x81"
	 "end\xef\xbd\x9c>",
		ROLE_MID},
	{"<MID>", ROLE_MID},
	{"\xe2\x96\x81<MID>", ROLE_MID},
	{"<|code_middle|>", ROLE_MID},
	{"<|middle|>", ROLE_MID},
	{"<|fim_pad|>", ROLE_PAD},
	{"<fim-pad>", ROLE_PAD},
	{"<fim_pad>", ROLE_PAD},
	{"<PAD>", ROLE_PAD},
	{"[PAD]", ROLE_PAD},
	{"<|fim_repo|>", ROLE_REP},
	{"<|repo_name|>", ROLE_REP},
	{"<fim-repo>", ROLE_REP},
	{"<REPO>", ROLE_REP},
	{"<reponame>", ROLE_REP},
	{"<|file_sep|>", ROLE_SEP},
	{"<|plamo:eos|>", ROLE_NONE},
};

struct rules {
	struct vocab_file *v;
	uint32_t ids[ARRAY_LEN(known)]; /* of the texts above; TOKEN_NONE: not in this vocabulary */
};

/* Texts begin with one of four bytes, so that a vocabulary is looked through quickly. */
static void find_known(struct rules *r)
{
	memset(r->ids, 0xff, sizeof r->ids);
	for (uint32_t id = 0; id < r->v->count; id++) {
		uint32_t len;
		const char *text = vocab_file_text(r->v, id, &len);
		if (*text != '<' && *text != '[' && *text != '_' && *text != '\xe2')
			continue;
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			if (strlen(known[i].text) == len && memcmp(known[i].text, text, len) == 0)
				r->ids[i] = id;
	}
}

/* The token of an infilling role, made a control token when it is known by its text alone. False: several could be it. */
static bool settle_role(struct rules *r, enum role role, uint32_t named, bool is_eog)
{
	uint8_t *attrs = r->v->attrs;
	uint32_t found = 0, plain = 0, id = named;

	for (size_t i = 0; named == TOKEN_NONE && i < ARRAY_LEN(known); i++)
		if (known[i].role == role && r->ids[i] != TOKEN_NONE) {
			id = r->ids[i];
			found++;
			plain += !(attrs[id] & VOCAB_CONTROL);
		}
	if (found > 1 && (is_eog || plain))
		return false;
	if (found)
		attrs[id] |= VOCAB_CONTROL;
	if (is_eog && id != TOKEN_NONE)
		attrs[id] |= VOCAB_EOG;
	return true;
}

static bool is_eog_text(const struct rules *r, const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(known[i].text, text) == 0)
			return r->ids[i] != TOKEN_NONE && r->v->attrs[r->ids[i]] & VOCAB_EOG;
	return false;
}

/* It ends nothing here. */
static void clear_eog(const struct rules *r, const char *text, uint8_t attr)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(known[i].text, text) == 0)
			r->v->attrs[r->ids[i]] = attr;
}

static void set_eog(const struct vocab_file *v, uint32_t id)
{
	if (id != TOKEN_NONE)
		v->attrs[id] |= VOCAB_EOG;
}

/* Formats in which <|end|> or </s> do not end an answer. */
static void settle_exceptions(const struct rules *r)
{
	bool calls = is_eog_text(r, "<|call|>") || is_eog_text(r, "<|calls|>");

	if (calls && is_eog_text(r, "<|end|>") && (is_eog_text(r, "<|return|>") || is_eog_text(r, "<|flush|>")))
		clear_eog(r, "<|end|>", VOCAB_USER);
	if (is_eog_text(r, "</s>") && (is_eog_text(r, "<|tool_response>") || is_eog_text(r, "<|plamo:eos|>")))
		clear_eog(r, "</s>", VOCAB_NORMAL);
}

bool vocab_rules_apply(struct vocab_file *v, const struct vocab_named *named)
{
	struct rules r = {.v = v};

	find_known(&r);
	if (!settle_role(&r, ROLE_PRE, named->fim_pre, false) || !settle_role(&r, ROLE_SUF, named->fim_suf, false) ||
		!settle_role(&r, ROLE_MID, named->fim_mid, false) || !settle_role(&r, ROLE_PAD, named->fim_pad, true) ||
		!settle_role(&r, ROLE_REP, named->fim_rep, true) || !settle_role(&r, ROLE_SEP, named->fim_sep, true))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (r.ids[i] != TOKEN_NONE && known[i].role == ROLE_EOG)
			v->attrs[r.ids[i]] |= VOCAB_EOG | VOCAB_CONTROL;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (r.ids[i] != TOKEN_NONE && known[i].role == ROLE_USER)
			v->attrs[r.ids[i]] = (uint8_t)(VOCAB_USER | (v->attrs[r.ids[i]] & VOCAB_EOG));
	set_eog(v, v->eos);
	set_eog(v, named->eot);
	set_eog(v, named->eom);
	settle_exceptions(&r);
	return true;
}
