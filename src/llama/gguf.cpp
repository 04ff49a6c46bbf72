/* gguf.cpp - look a GGUF file over before llama.cpp does, so that a stranger gets a sentence and not an assertion.
 *
 * Layout (little endian):  "GGUF" | u32 version | u64 tensors | u64 pairs | pairs | tensor infos | padding | data
 *   pair         string key | u32 type | value          string: u64 length | bytes
 *   array value  u32 item type | u64 count | items
 *   tensor info  string name | u32 dims | u64 dim... | u32 type | u64 offset in data
 * Every read is checked against the end of the file. */
#include "base/file.h"
#include "llama/edge.hpp"

#include "src/llama-arch.h"

#include <ggml.h>
#include <xxhash.h>

#include <cinttypes>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace
{
enum : uint32_t { GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_TYPES = 13 };
constexpr uint64_t ALIGNMENT_DEFAULT = 32;
constexpr uint64_t SAMPLES = 64, SAMPLE_BYTES = 4096;
constexpr uint64_t SPLITS_MAX = 999;

/* Bytes of a number of each GGUF type; 0 for string and array. */
const uint8_t number_bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct mapped {
	const uint8_t *data = nullptr;
	uint64_t len = 0;
	mapped() = default;
	mapped(const mapped &) = delete;
	mapped &operator=(const mapped &) = delete;
	~mapped()
	{
		if (data)
			munmap(const_cast<uint8_t *>(data), len);
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

struct header {
	uint64_t tensors = 0, data_begin = 0, data_end = 0, alignment = ALIGNMENT_DEFAULT, splits = 1;
	std::string arch;
	uint64_t vocab_hash = 0, vocab_tokens = 0, eos_token = UINT32_MAX;
};

int open_mapped(const char *path, mapped &ret, struct err *err)
{
	uint64_t bytes = 0;
	int code = 0, fd = file_open_plain(path, &bytes, err);
	if (fd < 0)
		return fd;
	if (bytes == 0) {
		code = err_set(err, -EINVAL, "\"%s\" is empty", path);
	} else {
		void *p = mmap(nullptr, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
		if (p == MAP_FAILED)
			code = err_set_errno(err, -errno, "could not map \"%s\"", path);
		else {
			ret.data = static_cast<const uint8_t *>(p);
			ret.len = bytes;
		}
	}
	close(fd);
	return code;
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
			h.arch.assign(reinterpret_cast<const char *>(r.data + value + 8), r.pos - value - 8);
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

int read_header(const mapped &m, const char *path, header &h, struct err *err)
{
	reader r{m.data, m.len};
	const uint8_t *magic = r.take(4);
	if (!magic || memcmp(magic, "GGUF", 4) != 0) {
		err_set(err, -EINVAL, "\"%s\" is not a GGUF file", path);
		return m.len > 4 && memcmp(m.data, "PK\3\4", 4) == 0 ? err_hint(err, "it is a zip archive") : -EINVAL;
	}
	if (m.len < 8)
		return refuse_header(path, m.len, err);
	uint32_t version = r.number<uint32_t>();
	if (version != 2 && version != 3)
		return err_set(err, -ENOTSUP, "\"%s\" is GGUF version %u, this build reads 2 and 3", path, version);
	h.tensors = r.number<uint64_t>();
	uint64_t pairs = r.number<uint64_t>();
	int code = read_pairs(r, pairs, path, h, err);
	if (code < 0)
		return code;
	if (h.alignment == 0 || (h.alignment & (h.alignment - 1)) != 0 || h.alignment > 1u << 20)
		return err_set(err, -EINVAL, "\"%s\" wants an alignment of %" PRIu64 " bytes, which is no power of two",
			path, h.alignment);
	code = read_tensors(r, path, h, err);
	if (code < 0)
		return code;
	if (r.cut)
		return refuse_header(path, m.len, err);
	return h.tensors > 0 && m.len < h.data_end ? refuse_cut(path, m.len, h.data_end, err) : 0;
}

/* Equal weights give equal numbers; reading all of many gigabytes at start is what this avoids. */
uint64_t fingerprint_of(const mapped &m, const header &h, uint64_t seed)
{
	uint64_t head = h.data_begin < m.len ? h.data_begin : m.len;
	uint64_t hash = XXH3_64bits_withSeed(m.data, head, seed ^ m.len);
	uint64_t rest = m.len - head, step = rest / SAMPLES;
	if (rest <= SAMPLES * SAMPLE_BYTES)
		return XXH3_64bits_withSeed(m.data + head, rest, hash);
	for (uint64_t i = 0; i < SAMPLES; i++)
		hash = XXH3_64bits_withSeed(m.data + head + i * step, SAMPLE_BYTES, hash);
	return hash;
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
		mapped m;
		header h;
		int code = open_mapped(part.c_str(), m, err);
		code = code < 0 ? code : read_header(m, part.c_str(), h, err);
		if (code < 0)
			return code;
		facts->file_bytes += m.len;
		facts->tensor_count += h.tensors;
		facts->fingerprint = fingerprint_of(m, h, facts->fingerprint);
	}
	return 0;
}
} // namespace

int ll_file_check(const char *path, bool want_weights, struct ll_file_facts *ret, struct err *err)
{
	return edge::guard(err, [&] {
		mapped m;
		header h;
		int code = open_mapped(path, m, err);
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
		facts.file_bytes = m.len;
		facts.tensor_count = h.tensors;
		facts.vocab_hash = h.vocab_hash;
		facts.vocab_tokens = h.vocab_tokens < UINT32_MAX ? (uint32_t)h.vocab_tokens : 0;
		facts.eos_token = h.eos_token < h.vocab_tokens ? (uint32_t)h.eos_token : UINT32_MAX;
		facts.fingerprint = fingerprint_of(m, h, 0);
		if (h.splits > 1)
			code = check_splits(path, h.splits, &facts, err);
		if (code == 0)
			*ret = facts;
		return code;
	});
}
