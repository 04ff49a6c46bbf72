/* gguf.cpp - look a GGUF file over before llama.cpp does, so that a stranger gets a sentence and not an assertion.
 *
 * Layout (little endian):  "GGUF" | u32 version | u64 tensors | u64 pairs | pairs | tensor infos | padding | data
 *   pair         string key | u32 type | value          string: u64 length | bytes
 *   array value  u32 item type | u64 count | items
 *   tensor info  string name | u32 dims | u64 dim... | u32 type | u64 offset in data
 * Every read is checked against the end of the file. */
#include "base/file.h"
#include "base/file_kind.h"
#include "llama/edge.hpp"
#include "llama/vocab_check.hpp"

#include "src/llama-arch.h"

#include <ggml.h>
#include <xxhash.h>

#include <cinttypes>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace
{
enum : uint32_t { GGUF_U16 = 2, GGUF_I32 = 5, GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_TYPES = 13 };
constexpr uint64_t ALIGNMENT_DEFAULT = 32;
constexpr uint64_t SAMPLES = 64, SAMPLE_BYTES = 4096;
constexpr uint64_t SPLITS_MAX = 999;

/* Bytes of a number of each GGUF type; 0 for string and array. */
const uint8_t number_bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* Read at first; four times as much each time that does not hold the header. The largest known one has some 20 MiB. */
constexpr uint64_t HEAD_BYTES = 4 * 1024 * 1024, HEAD_BYTES_MAX = 256 * 1024 * 1024;

/* A file's beginning, in memory. */
struct file {
	int fd = -1;
	uint64_t bytes = 0; /* of the file */
	std::vector<uint8_t> head;
	file() = default;
	file(const file &) = delete;
	file &operator=(const file &) = delete;
	~file()
	{
		if (fd >= 0)
			close(fd);
	}
	bool whole() const
	{
		return head.size() == bytes || head.size() >= HEAD_BYTES_MAX;
	}
};

/* A place in the file. A read past the end sets cut and gives zeros, so a parser checks once per item. */
struct reader {
	const uint8_t *data;
	uint64_t len, pos = 0;
	bool cut = false;

	const uint8_t *take(uint64_t n)
	{
		if (cut || n > len - pos) {
			cut = true;
			return nullptr;
		}
		pos += n;
		return data + pos - n;
	}
	template <typename T> T number()
	{
		T value = {};
		if (const uint8_t *p = take(sizeof value))
			memcpy(&value, p, sizeof value);
		return value;
	}
	std::string_view text()
	{
		uint64_t n = number<uint64_t>();
		const uint8_t *p = take(n);
		return p ? std::string_view(reinterpret_cast<const char *>(p), n) : std::string_view();
	}
};

/* An array's items in the header. */
struct array {
	uint64_t at = 0, count = 0;
	uint32_t type = 0;
};

struct header {
	std::string tokenizer, pre;
	array tokens, token_types;
	uint64_t tensors = 0, data_begin = 0, data_end = 0, alignment = ALIGNMENT_DEFAULT, splits = 1;
	std::string arch;
	uint64_t vocab_hash = 0, vocab_tokens = 0, eos_token = UINT32_MAX;
};

int open_file(const char *path, file &ret, struct err *err)
{
	ret.fd = file_open_plain(path, &ret.bytes, err);
	if (ret.fd >= 0 && ret.bytes == 0)
		return err_set(err, -EINVAL, "\"%s\" is empty", path);
	return ret.fd < 0 ? ret.fd : 0;
}

int refuse_unread(const char *path, int code, struct err *err)
{
	return err_set_errno(err, code, "could not read \"%s\"", path);
}

int read_more(file &f, const char *path, struct err *err)
{
	size_t have = f.head.size();
	uint64_t want = have ? (uint64_t)have * 4 : HEAD_BYTES;
	f.head.resize((size_t)(want < f.bytes ? want : f.bytes));
	int code = file_read_at(f.fd, have, f.head.data() + have, f.head.size() - have);
	return code < 0 ? refuse_unread(path, code, err) : 0;
}

/* Step over one value. False: a type GGUF does not have, or arrays in arrays too deep. */
bool skip_value(reader &r, uint32_t type, int depth = 0)
{
	if (type == GGUF_STRING) {
		r.text();
		return true;
	}
	if (type != GGUF_ARRAY) {
		if (type >= GGUF_TYPES)
			return false;
		r.take(number_bytes[type]);
		return true;
	}
	uint32_t item = r.number<uint32_t>();
	uint64_t count = r.number<uint64_t>();
	if (item >= GGUF_TYPES || depth > 3)
		return false;
	if (number_bytes[item] != 0) {
		if (count > r.len)
			r.cut = true;
		else
			r.take(count * number_bytes[item]);
		return true;
	}
	for (uint64_t i = 0; i < count && !r.cut; i++)
		if (!skip_value(r, item, depth + 1))
			return false;
	return true;
}

array array_value(const reader &r, uint64_t value)
{
	reader at{r.data, r.len, value};
	array ret;
	ret.type = at.number<uint32_t>();
	ret.count = at.number<uint64_t>();
	ret.at = at.pos;
	return ret;
}

std::string text_value(const reader &r, uint64_t value)
{
	reader at{r.data, r.len, value};
	return std::string(at.text());
}

uint64_t integer_value(const uint8_t *p, uint32_t type)
{
	uint64_t value = 0;
	if (type < GGUF_TYPES && number_bytes[type] > 0)
		memcpy(&value, p, number_bytes[type]);
	return value;
}

int read_pairs(reader &r, uint64_t count, const char *path, header &h, struct err *err)
{
	XXH3_state_t *hash = XXH3_createState();
	if (!hash)
		return err_set(err, -ENOMEM, "out of memory");
	XXH3_64bits_reset(hash);
	int code = 0;
	for (uint64_t i = 0; i < count && !r.cut && code == 0; i++) {
		uint64_t begin = r.pos;
		std::string_view key = r.text();
		uint32_t type = r.number<uint32_t>();
		uint64_t value = r.pos;
		if (!skip_value(r, type))
			code = err_set(err, -EINVAL, "\"%s\" has a metadata value of unknown type %u", path, type);
		if (r.cut || code < 0)
			break;
		if (key.substr(0, 10) == "tokenizer.")
			XXH3_64bits_update(hash, r.data + begin, r.pos - begin);
		if (key == "general.architecture" && type == GGUF_STRING)
			h.arch = text_value(r, value);
		if (key == "tokenizer.ggml.model" && type == GGUF_STRING)
			h.tokenizer = text_value(r, value);
		if (key == "tokenizer.ggml.pre" && type == GGUF_STRING)
			h.pre = text_value(r, value);
		if (key == "tokenizer.ggml.tokens" && type == GGUF_ARRAY)
			h.tokens = array_value(r, value);
		if (key == "tokenizer.ggml.token_type" && type == GGUF_ARRAY)
			h.token_types = array_value(r, value);
		if (key.substr(0, 6) == "split." && key != "split.tensors.count" && type != GGUF_U16)
			code = err_set(
				err, -EINVAL, "\"%s\" has a split.count or split.no that is no 16-bit number", path);
		if (key == "general.alignment")
			h.alignment = integer_value(r.data + value, type);
		if (key == "tokenizer.ggml.tokens" && type == GGUF_ARRAY)
			h.vocab_tokens = integer_value(r.data + value + 4, 10); /* behind the items' type, a u64 */
		if (key == "tokenizer.ggml.eos_token_id")
			h.eos_token = integer_value(r.data + value, type);
		if (key == "split.count")
			h.splits = integer_value(r.data + value, type);
	}
	h.vocab_hash = XXH3_64bits_digest(hash);
	XXH3_freeState(hash);
	return code;
}

/* Bytes of one tensor, or 0 when its type or shape cannot be. */
uint64_t tensor_bytes(uint32_t type, const uint64_t *dims, uint32_t count)
{
	if (type >= GGML_TYPE_COUNT)
		return 0;
	uint64_t block = (uint64_t)ggml_blck_size((ggml_type)type), size = ggml_type_size((ggml_type)type);
	if (block == 0 || size == 0 || dims[0] % block != 0)
		return 0;
	uint64_t bytes = dims[0] / block * size;
	for (uint32_t i = 1; i < count; i++)
		if (__builtin_mul_overflow(bytes, dims[i], &bytes))
			return 0;
	return bytes;
}

int read_tensors(reader &r, const char *path, header &h, struct err *err)
{
	uint64_t end = 0;
	for (uint64_t i = 0; i < h.tensors && !r.cut; i++) {
		std::string name(r.text());
		uint32_t count = r.number<uint32_t>();
		if (!r.cut && (count == 0 || count > GGML_MAX_DIMS))
			return err_set(err, -EINVAL,
				"tensor \"%.64s\" of \"%s\" has %u dimensions, 1 to %d are possible", name.c_str(),
				path, count, GGML_MAX_DIMS);
		uint64_t dims[GGML_MAX_DIMS] = {};
		for (uint32_t d = 0; d < count && !r.cut; d++)
			dims[d] = r.number<uint64_t>();
		uint32_t type = r.number<uint32_t>();
		uint64_t offset = r.number<uint64_t>();
		if (r.cut)
			break;
		uint64_t bytes = tensor_bytes(type, dims, count), tensor_end;
		if (bytes == 0 || __builtin_add_overflow(offset, bytes, &tensor_end))
			return err_set(err, -ENOTSUP,
				"tensor \"%.64s\" of \"%s\" has type %u or a shape this build does not know",
				name.c_str(), path, type);
		end = end > tensor_end ? end : tensor_end;
	}
	h.data_begin = (r.pos + h.alignment - 1) / h.alignment * h.alignment;
	h.data_end = h.data_begin + end;
	return 0;
}

int refuse_cut(const char *path, uint64_t there, uint64_t wanted, struct err *err)
{
	err_set(err, -EINVAL, "\"%s\" is cut short: it has %" PRIu64 " bytes, its tensors need %" PRIu64, path, there,
		wanted);
	return err_hint(err, "download it again");
}

int refuse_header(const char *path, uint64_t there, struct err *err)
{
	err_set(err, -EINVAL, "\"%s\" is cut short: it ends in its header, at byte %" PRIu64, path, there);
	return err_hint(err, "download it again");
}

/* 1: the header goes on behind what is read of the file. */
int parse_header(const file &m, const char *path, header &h, struct err *err)
{
	reader r{m.head.data(), m.head.size()};
	const uint8_t *magic = r.take(4);
	if (!magic || memcmp(magic, "GGUF", 4) != 0)
		return file_refuse_not_gguf(path, m.head.data(), m.head.size(), err);
	if (m.bytes < 8)
		return refuse_header(path, m.bytes, err);
	uint32_t version = r.number<uint32_t>();
	if (version != 2 && version != 3)
		return file_refuse_gguf_version(path, version, err);
	h.tensors = r.number<uint64_t>();
	uint64_t pairs = r.number<uint64_t>();
	int code = read_pairs(r, pairs, path, h, err);
	if (code < 0)
		return code;
	if (r.cut && !m.whole())
		return 1;
	if (h.alignment == 0 || (h.alignment & (h.alignment - 1)) != 0 || h.alignment > 1u << 20)
		return err_set(err, -EINVAL, "\"%s\" wants an alignment of %" PRIu64 " bytes, which is no power of two",
			path, h.alignment);
	code = read_tensors(r, path, h, err);
	if (code < 0)
		return code;
	if (r.cut)
		return m.whole() ? refuse_header(path, m.bytes, err) : 1;
	return h.tensors > 0 && m.bytes < h.data_end ? refuse_cut(path, m.bytes, h.data_end, err) : 0;
}

int read_header(file &f, const char *path, header &ret, struct err *err)
{
	for (;;) {
		header h;
		int code = read_more(f, path, err);
		code = code < 0 ? code : parse_header(f, path, h, err);
		if (code == 0)
			ret = h;
		if (code <= 0)
			return code;
	}
}

/* Equal weights give equal numbers; reading all of many gigabytes at start is what this avoids. */
int fingerprint_of(const file &f, const header &h, const char *path, uint64_t *hash, struct err *err)
{
	uint64_t head = h.data_begin < f.bytes ? h.data_begin : f.bytes;
	uint64_t rest = f.bytes - head, step = rest / SAMPLES;
	bool all = rest <= SAMPLES * SAMPLE_BYTES;
	std::vector<uint8_t> read((size_t)(all ? rest : SAMPLE_BYTES));
	/* The padding behind the header may reach past what was read of the file. */
	uint64_t have = head < f.head.size() ? head : f.head.size();
	*hash = XXH3_64bits_withSeed(f.head.data(), (size_t)have, *hash ^ f.bytes);
	for (uint64_t i = 0; i < (all ? 1 : SAMPLES); i++) {
		int code = file_read_at(f.fd, head + i * step, read.data(), read.size());
		if (code < 0)
			return refuse_unread(path, code, err);
		*hash = XXH3_64bits_withSeed(read.data(), read.size(), *hash);
	}
	return 0;
}

int check_vocab(const file &f, const header &h, const char *path, struct err *err)
{
	reader r{f.head.data(), f.head.size(), h.tokens.at};
	reader types{f.head.data(), f.head.size(), h.token_types.at};
	vocab_check check(h.tokenizer, h.pre);
	int code = check.begin(h.tokens.count, err);
	if (code == 0 && h.tokens.type != GGUF_STRING && h.tokens.count > 0)
		code = err_set(err, -EINVAL, "its tokens are no texts");
	for (uint64_t i = 0; i < h.tokens.count && code == 0; i++) {
		uint32_t type = 0;
		if (i < h.token_types.count && h.token_types.type == GGUF_I32)
			type = types.number<uint32_t>();
		code = check.token(i, r.text(), type, err);
	}
	code = code < 0 ? code : check.end(err);
	return code < 0 ? err_wrap(err, "the vocabulary of \"%s\" cannot be used", path) : 0;
}

bool known_arch(const std::string &arch)
{
	return llm_arch_from_string(arch) != LLM_ARCH_UNKNOWN;
}

/* "m-00001-of-00003.gguf" to the path of part i (from 1). False when the name is not of that form. */
bool split_path(const char *path, uint64_t i, uint64_t count, std::string &ret)
{
	char tail[32];
	snprintf(tail, sizeof tail, "-00001-of-%05" PRIu64 ".gguf", count);
	size_t len = strlen(path), n = strlen(tail);
	if (len < n || strcmp(path + len - n, tail) != 0)
		return false;
	char part[32];
	snprintf(part, sizeof part, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", i, count);
	ret = std::string(path, len - n) + part;
	return true;
}

int check_splits(const char *path, uint64_t count, struct ll_file_facts *facts, struct err *err)
{
	if (count > SPLITS_MAX)
		return err_set(err, -EINVAL, "\"%s\" says it has %" PRIu64 " parts", path, count);
	for (uint64_t i = 2; i <= count; i++) {
		std::string part;
		if (!split_path(path, i, count, part))
			return err_set(err, -EINVAL,
				"\"%s\" is one of %" PRIu64
				" parts; name the first, whose name ends in -00001-of-%05" PRIu64 ".gguf",
				path, count, count);
		file m;
		header h;
		int code = open_file(part.c_str(), m, err);
		code = code < 0 ? code : read_header(m, part.c_str(), h, err);
		code = code < 0 ? code : fingerprint_of(m, h, part.c_str(), &facts->fingerprint, err);
		if (code < 0)
			return code;
		facts->file_bytes += m.bytes;
		facts->tensor_count += h.tensors;
	}
	return 0;
}
} // namespace

static int check(const char *path, bool want_weights, bool want_vocab, struct ll_file_facts *ret, struct err *err)
{
	return edge::guard(err, [&] {
		file m;
		header h;
		int code = open_file(path, m, err);
		code = code < 0 ? code : read_header(m, path, h, err);
		if (code < 0)
			return code;
		if (!known_arch(h.arch)) {
			err_set(err, -ENOTSUP,
				"\"%s\" has the architecture \"%.40s\", which llama.cpp %s does not know", path,
				h.arch.c_str(), llama_version());
			return -ENOTSUP;
		}
		if (want_weights && h.tensors == 0 && h.splits <= 1) /* the first part may hold the metadata alone */
			return err_set(err, -EINVAL, "\"%s\" holds a vocabulary only, no weights", path);
		struct ll_file_facts facts = {};
		edge::copy_text(facts.arch, h.arch.c_str());
		facts.file_bytes = m.bytes;
		facts.header_bytes = h.data_begin < m.bytes ? h.data_begin : m.bytes;
		facts.tensor_count = h.tensors;
		facts.vocab_hash = h.vocab_hash;
		facts.vocab_tokens = h.vocab_tokens < UINT32_MAX ? (uint32_t)h.vocab_tokens : 0;
		facts.eos_token = h.eos_token < h.vocab_tokens ? (uint32_t)h.eos_token : UINT32_MAX;
		code = fingerprint_of(m, h, path, &facts.fingerprint, err);
		if (code == 0 && want_vocab)
			code = check_vocab(m, h, path, err);
		if (code == 0 && h.splits > 1)
			code = check_splits(path, h.splits, &facts, err);
		if (code == 0)
			*ret = facts;
		return code;
	});
}

int ll_file_check(const char *path, bool want_weights, struct ll_file_facts *ret, struct err *err)
{
	return check(path, want_weights, false, ret, err);
}

int edge::check_file(const char *path, bool want_weights, struct ll_file_facts *ret, struct err *err)
{
	return check(path, want_weights, true, ret, err);
}
