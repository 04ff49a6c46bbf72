/* context.cpp - one llama.cpp context: room for it checked first, every batch checked before it is computed, because
 * llama.cpp asserts on what it does not expect. */
#include "llama/context.h"
#include "host/limits.h"
#include "llama/edge.hpp"
#include "llama/exact.hpp"

#include "src/llama-memory-hybrid-iswa.h"
#include "src/llama-memory-hybrid.h"
#include "src/llama-memory-recurrent.h"
#include "src/llama-model.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <sched.h>

namespace
{
constexpr uint32_t CELLS_STEP = 256; /* llama.cpp rounds up to this */
constexpr uint32_t BATCH_DEFAULT = 512;
constexpr uint64_t RESERVE_DEFAULT = 256ull << 20;
/* Chosen by ourselves, cells leave room for what comes after them: compute buffers, cuBLAS, CUDA graphs. */
constexpr uint32_t CELLS_LEAST = 2048;
constexpr uint64_t CELLS_FREE_MOST = 1 << 20; /* of those that cost nothing here: 8 MiB of tables in the scheduler */
constexpr uint64_t DEVICE_LATER = 768ull << 20;
constexpr uint64_t DEVICE_CONTEXT = 512ull << 20;

struct kv_type_name {
	enum ll_kv_type type;
	const char *name;
	ggml_type ggml;
};
const kv_type_name kv_types[] = {
	{LL_KV_F16, "f16", GGML_TYPE_F16},
	{LL_KV_F32, "f32", GGML_TYPE_F32},
	{LL_KV_BF16, "bf16", GGML_TYPE_BF16},
	{LL_KV_Q8_0, "q8_0", GGML_TYPE_Q8_0},
	{LL_KV_Q5_1, "q5_1", GGML_TYPE_Q5_1},
	{LL_KV_Q5_0, "q5_0", GGML_TYPE_Q5_0},
	{LL_KV_Q4_1, "q4_1", GGML_TYPE_Q4_1},
	{LL_KV_Q4_0, "q4_0", GGML_TYPE_Q4_0},
};

ggml_type ggml_type_of(enum ll_kv_type type)
{
	return kv_types[type].ggml;
}

} // namespace

struct ll_context {
	struct ll_model *model = nullptr;
	llama_context *handle = nullptr;
	ggml_threadpool *pool = nullptr;
	llama_batch batch = {};
	struct ll_context_facts facts = {};
	uint32_t outputs_max = 0;
	bool twins = false; /* see has_twins */
	std::vector<int32_t> rows; /* of the last decode's runs: index of the row of logits, -1 for none */
	std::vector<int32_t> seq_next; /* scratch of check_runs: next position of each sequence, -1 not looked up */
	std::atomic<bool> abort{false};
	int own_cpu = -1; /* of the thread that decodes; -1: threads are not pinned */
	bool pinned = false; /* pinned_thread had these before */
	pthread_t pinned_thread = {};
	cpu_set_t pinned_before = {};
};

int ll_kv_type_parse(const char *name, enum ll_kv_type *ret)
{
	for (const auto &t : kv_types) {
		if (strcmp(t.name, name) == 0) {
			*ret = t.type;
			return 0;
		}
	}
	return -EINVAL;
}

const char *ll_kv_type_name(enum ll_kv_type type)
{
	return kv_types[type].name;
}

/* --- Parameters ------------------------------------------------------------------------------------------------- */

namespace
{
uint32_t cpus_usable(const struct ll_context_params *in)
{
	struct host_cpus host;
	host_cpus_read(&host, "");
	if (!in->cpus)
		return host.usable;
	cpu_set_t set;
	CPU_ZERO(&set);
	uint32_t count = 0;
	if (sched_getaffinity(0, sizeof set, &set) == 0)
		for (uint32_t i = 0; i < CPU_SETSIZE && i < in->cpus_count; i++)
			count += CPU_ISSET(i, &set) && in->cpus[i];
	return std::min(std::max(count, 1u), host.usable);
}

uint32_t round_up(uint64_t value, uint32_t step)
{
	return (uint32_t)std::min<uint64_t>((value + step - 1) / step * step, UINT32_MAX / step * step);
}

uint32_t cells_default(const struct ll_model *m, const struct ll_context_params &p);
uint32_t seqs_fitting(const struct ll_model *m, const struct ll_context_params &p);

/* With a sliding window llama.cpp gives the cells behind it, where one sequence alone holds them, to whoever looks for room. It
 * does so with full-size caches too, and takes all of that sequence before them along: a prefix kept for reuse would lose its
 * beginning. So every sequence has a twin that holds the same cells. Not where only whole sequences are copied: what lies behind
 * the window of the end is not looked at again. */
bool has_twins(const struct ll_model *m)
{
	return m->handle->hparams.swa_type != LLAMA_SWA_TYPE_NONE && !m->facts.recurrent && !m->facts.hybrid;
}

/* Replace zeros by what they stand for. */
struct ll_context_params resolve(const struct ll_model *m, const struct ll_context_params *in)
{
	struct ll_context_params p = *in;
	p.memory_reserve_bytes = p.memory_reserve_bytes ? p.memory_reserve_bytes : RESERVE_DEFAULT;
	p.seqs_max = std::max(p.seqs_max, 1u);
	if (has_twins(m) && p.seqs_max <= LL_SEQS_MAX)
		p.seqs_max = std::min(p.seqs_max, (uint32_t)LL_SEQS_MAX / 2);
	if (p.seqs_fit)
		p.seqs_max = seqs_fitting(m, p);
	p.cells = p.cells ? round_up(p.cells, CELLS_STEP) : cells_default(m, p);
	p.batch_tokens_max = std::min(p.batch_tokens_max ? p.batch_tokens_max : BATCH_DEFAULT, p.cells);
	p.ubatch_tokens_max = std::min(p.ubatch_tokens_max ? p.ubatch_tokens_max : BATCH_DEFAULT, p.batch_tokens_max);
	p.outputs_max = std::min(p.outputs_max ? p.outputs_max : p.seqs_max, p.batch_tokens_max);
	p.threads = std::min<uint32_t>(p.threads ? p.threads : cpus_usable(in), GGML_MAX_N_THREADS);
	return p;
}

/* llama.cpp reports some of these by an assertion, others by no context and a log line. */
int check_params(const struct ll_model *m, const struct ll_context_params &p, struct err *err)
{
	if (!m->handle || m->facts.layers == 0)
		return err_set(err, -EINVAL, "the model was loaded for its vocabulary only");
	if (!m->facts.decoder || m->facts.encoder)
		return err_set(err, -ENOTSUP, "a model of architecture \"%s\" does not generate text token by token",
			m->facts.file.arch);
	if (p.seqs_max > LL_SEQS_MAX)
		return err_set(err, -EINVAL, "%u sequences wanted, llama.cpp has at most %d", p.seqs_max, LL_SEQS_MAX);
	if (p.type_v != LL_KV_F16 && p.type_v != LL_KV_F32 && p.type_v != LL_KV_BF16 && !p.flash_attention)
		return err_set(err, -EINVAL, "values of KV type %s need flash attention, which is off",
			ll_kv_type_name(p.type_v));
	if (p.cpus_count > GGML_MAX_N_THREADS)
		return err_set(err, -EINVAL, "%u CPUs in the list, %d can be named", p.cpus_count, GGML_MAX_N_THREADS);
	return 0;
}

/* --- Memory ----------------------------------------------------------------------------------------------------- */

/* Which of the two a layer of the model proper has: cells, a recurrent state, both or none, as the filters say that llama.cpp's
 * llama_model::create_memory makes. */
bool has_state(const struct ll_model *m, uint32_t layer)
{
	return m->facts.recurrent || (m->facts.hybrid && m->handle->hparams.is_recr(layer));
}

bool has_cells(const struct ll_model *m, uint32_t layer)
{
	const llama_hparams &h = m->handle->hparams;
	switch (m->handle->arch) {
	case LLM_ARCH_FALCON_H1:
		return true;
	case LLM_ARCH_NEMOTRON_H:
	case LLM_ARCH_NEMOTRON_H_MOE:
		return !h.is_recr(layer) && h.n_ff(layer) == 0;
	default:
		return !has_state(m, layer) && h.has_kv(layer);
	}
}

/* One sequence's state in one layer. llama.cpp keeps it in 32 bits whatever the type of the cells. */
uint64_t state_bytes(const struct ll_model *m, uint32_t layer)
{
	const llama_hparams &h = m->handle->hparams;
	uint64_t ple = h.ple_conv_state() > 0 && h.is_ple(layer) ? h.ple_conv_state() : 0;
	return has_state(m, layer) ? (h.n_embd_r() + h.n_embd_s() + ple) * sizeof(float) : 0;
}

uint64_t cell_bytes(const struct ll_model *m, uint32_t layer, const struct ll_context_params &p)
{
	const llama_hparams &h = m->handle->hparams;
	if (!has_cells(m, layer))
		return 0;
	uint64_t row = ggml_row_size(ggml_type_of(p.type_k), h.n_embd_k_gqa(layer));
	if (!h.is_mla())
		row += ggml_row_size(
			ggml_type_of(p.type_v), p.flash_attention ? h.n_embd_v_gqa(layer) : h.n_embd_v_gqa_max());
	return row;
}

/* Bytes of one layer's cells and recurrent state. Mirrors what llama.cpp's llama_kv_cache and llama_memory_recurrent
 * allocate for a unified cache with full sliding windows. */
uint64_t layer_bytes(const struct ll_model *m, uint32_t layer, const struct ll_context_params &p)
{
	/* Layers that predict further tokens are not computed, and have neither. */
	const llama_hparams &h = m->handle->hparams;
	if (layer >= h.n_layer() && h.n_layer() > 0 && h.router_layer < 0)
		return 0;
	return cell_bytes(m, layer, p) * p.cells + state_bytes(m, layer) * p.seqs_max;
}

/* NULL: the host. */
ggml_backend_dev_t device_of(const struct ll_model *m, uint32_t layer)
{
	ggml_backend_dev_t dev = m->handle->dev_layer((int)layer);
	return dev && ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU ? nullptr : dev;
}

/* Bytes a device must hold; the host's are under nullptr. */
std::map<ggml_backend_dev_t, uint64_t> bytes_by_device(const struct ll_model *m, const struct ll_context_params &p)
{
	std::map<ggml_backend_dev_t, uint64_t> ret;
	for (uint32_t layer = 0; layer < m->handle->hparams.n_layer_all; layer++) {
		ret[device_of(m, layer)] += layer_bytes(m, layer, p);
	}
	return ret;
}

struct host_memory host_memory_now()
{
	struct host_memory m;
	host_memory_read(&m, "");
	/* A host that does not say is believed to have enough. */
	m.available = m.available ? m.available : UINT64_MAX;
	m.total = m.total ? m.total : UINT64_MAX;
	return m;
}

uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Bytes of KV that a device, or the host, has room for when this process may count on its share. The host's weights are
 * mapped, so "available" counts their pages too, and processes share them; a device holds the weights of each. */
uint64_t kv_room(const struct ll_model *m, ggml_backend_dev_t dev, double share, uint64_t reserve)
{
	if (!dev) {
		uint64_t weights = m->facts.weight_bytes, mine = host_memory_now().total;
		mine = (uint64_t)((double)less(mine, weights) * share);
		return less(std::min(less(host_memory_now().available, weights), mine), reserve);
	}
	size_t free_bytes = 0, total_bytes = 0;
	ggml_backend_dev_memory(dev, &free_bytes, &total_bytes);
	uint64_t weights = m->facts.weight_bytes / std::max<size_t>(m->handle->n_devices(), 1);
	uint64_t mine = less((uint64_t)((double)total_bytes * share), weights + DEVICE_CONTEXT);
	return less(std::min<uint64_t>(free_bytes, mine), reserve + DEVICE_LATER);
}

/* States are allocated for every sequence at once. What they leave is for the cells, which models that have both need as well. */
uint32_t seqs_fitting(const struct ll_model *m, const struct ll_context_params &p)
{
	std::map<ggml_backend_dev_t, uint64_t> states;
	uint64_t fits = p.seqs_max;
	for (uint32_t layer = 0; layer < m->handle->hparams.n_layer(); layer++)
		states[device_of(m, layer)] += state_bytes(m, layer);
	for (const auto &[dev, bytes] : states)
		if (bytes > 0)
			fits = std::min(
				fits, kv_room(m, dev, p.memory_share > 0 ? p.memory_share : 1, p.memory_reserve_bytes) /
					      4 / bytes);
	return (uint32_t)std::max<uint64_t>(fits, std::min<uint32_t>(p.seqs_max, LL_SEQS_LEAST));
}

/* The model's own context or, rather than an error, as much of it as fits. Where hardly anything does, the least that is of
 * use: the check that follows then says whether there is room after all. */
uint32_t cells_default(const struct ll_model *m, const struct ll_context_params &p)
{
	uint32_t wanted = round_up(m->facts.ctx_train, CELLS_STEP);
	uint64_t fits = wanted;
	struct ll_context_params one = p, two = p;
	one.cells = CELLS_STEP;
	two.cells = 2 * CELLS_STEP;
	if (m->facts.layers == 0)
		return wanted;
	/* Without attention a cell is a number in a table, and only states bound what is held: a whole context for each sequence. */
	if (m->facts.recurrent)
		return (uint32_t)std::max<uint64_t>(
			wanted, std::min<uint64_t>((uint64_t)wanted * p.seqs_max, CELLS_FREE_MOST));
	auto first = bytes_by_device(m, one), second = bytes_by_device(m, two);
	for (const auto &[dev, bytes] : first) {
		uint64_t step = second[dev] - bytes; /* the rest is state that does not grow */
		uint64_t room = kv_room(m, dev, p.memory_share > 0 ? p.memory_share : 1, p.memory_reserve_bytes);
		if (step > 0)
			fits = std::min(fits, less(room, bytes - step) / step * CELLS_STEP);
	}
	return (uint32_t)std::min<uint64_t>(wanted, std::max<uint64_t>(fits, CELLS_LEAST));
}

double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

/* " and the recurrent states of 64 sequences", where there are any. */
std::string states_words(const struct ll_model *m, const struct ll_context_params &p)
{
	if (!m->facts.recurrent && !m->facts.hybrid)
		return "";
	return " and the recurrent states of " + std::to_string(p.seqs_max) + " sequences";
}

/* A KV cache is touched as it is allocated: too large a one meets the OOM killer, not an error. So ask first. */
int check_memory(const struct ll_model *m, const struct ll_context_params &p, struct err *err)
{
	for (const auto &[dev, bytes] : bytes_by_device(m, p)) {
		size_t free_bytes = 0, total_bytes = 0;
		if (dev)
			ggml_backend_dev_memory(dev, &free_bytes, &total_bytes);
		struct host_memory host = host_memory_now();
		uint64_t available = dev ? free_bytes : host.available;
		if (bytes + p.memory_reserve_bytes <= available)
			continue;
		bool states = m->facts.recurrent || m->facts.hybrid;
		err_set(err, -ENOMEM,
			"no room for the KV cache: %u cells of type %s/%s%s need %.0f MiB and %.0f MiB must stay free, "
			"but %s has %.0f MiB available",
			p.cells, ll_kv_type_name(p.type_k), ll_kv_type_name(p.type_v), states_words(m, p).c_str(),
			mib(bytes), mib(p.memory_reserve_bytes),
			dev                ? ggml_backend_dev_name(dev)
			: host.group.limit ? "the control group of this process"
					   : "this host",
			mib(available));
		if (!dev && host.group.limit)
			err_hint(err, "its limit is %.0f MiB (%s)", mib(host.group.limit), host.group.file);
		return err_hint(err, states ? "fewer sequences or cells, a smaller KV type or more memory help"
					    : "fewer cells, a smaller KV type or more memory help");
	}
	return 0;
}

uint64_t kv_bytes_of(const struct ll_model *m, const struct ll_context_params &p)
{
	uint64_t sum = 0;
	for (uint32_t layer = 0; layer < m->handle->hparams.n_layer_all; layer++)
		sum += layer_bytes(m, layer, p);
	return sum;
}
} // namespace

uint64_t ll_kv_bytes(const struct ll_model *m, const struct ll_context_params *params)
{
	return m->facts.layers > 0 ? kv_bytes_of(m, resolve(m, params)) : 0;
}

/* --- Create ----------------------------------------------------------------------------------------------------- */

namespace
{
bool on_abort_ask(void *user)
{
	return static_cast<ll_context *>(user)->abort.load(std::memory_order_relaxed);
}

llama_context_params context_params_of(const struct ll_context_params &p, ll_context *c)
{
	llama_context_params out = llama_context_default_params();
	out.n_ctx = p.cells;
	out.n_batch = p.batch_tokens_max;
	out.n_ubatch = p.ubatch_tokens_max;
	out.n_seq_max = p.seqs_max * (c->twins ? 2 : 1);
	out.n_outputs_max = std::max(p.outputs_max, out.n_seq_max); /* llama.cpp reserves one for each */
	out.n_threads = out.n_threads_batch = (int32_t)p.threads;
	out.flash_attn_type = p.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
	out.type_k = ggml_type_of(p.type_k);
	out.type_v = ggml_type_of(p.type_v);
	out.kv_unified = true;
	out.swa_full = true;
	out.abort_callback = on_abort_ask;
	out.abort_callback_data = c;
	return out;
}

/* Are there as many compute threads as CPUs for them? Then each gets one. They wait for each other, spinning, at hundreds of
 * places a step, and the kernel, where something else takes a CPU for a moment, may put two of them on one: each place then
 * costs a whole slice of the scheduler until it moves one back. With fewer threads than CPUs the kernel has room; a GPU's
 * threads hardly compute. */
bool fill_cpus(const struct ll_model *m, const struct ll_context_params &p, bool *mask, int *own_cpu)
{
	cpu_set_t set;
	uint32_t count = 0;
	CPU_ZERO(&set);
	if (!m->handle->devices.empty() || p.threads < 2 || sched_getaffinity(0, sizeof set, &set) != 0)
		return false;
	for (uint32_t i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &set) || (p.cpus && (i >= p.cpus_count || !p.cpus[i])))
			continue;
		if (i >= GGML_MAX_N_THREADS)
			return false;
		mask[i] = true;
		*own_cpu = (int)i; /* ggml gives its threads the first ones, and the caller what is left */
		count++;
	}
	return count == p.threads;
}

/* Our own pool: its workers sleep between batches (poll 0), so an idle or busy neighbour is not disturbed. */
ggml_threadpool *make_pool(const struct ll_model *m, const struct ll_context_params &p, int *own_cpu)
{
	ggml_threadpool_params tp = ggml_threadpool_params_default((int)p.threads);
	bool mask[GGML_MAX_N_THREADS] = {};
	cpu_set_t before;
	tp.poll = 0;
	tp.strict_cpu = fill_cpus(m, p, mask, own_cpu);
	if (!tp.strict_cpu)
		*own_cpu = -1;
	for (uint32_t i = 0; i < GGML_MAX_N_THREADS; i++)
		tp.cpumask[i] = tp.strict_cpu ? mask[i] : p.cpus && i < p.cpus_count && p.cpus[i];
	/* ggml binds the calling thread too, which need not be the one that decodes. */
	bool known = sched_getaffinity(0, sizeof before, &before) == 0;
	ggml_threadpool *ret = ggml_threadpool_new(&tp);
	if (known && tp.strict_cpu)
		sched_setaffinity(0, sizeof before, &before);
	return ret;
}

/* What llama.cpp did allocate. */
uint64_t bytes_held(llama_memory_t memory)
{
	uint64_t sum = 0;
	for (const auto &[type, bytes] : memory->memory_breakdown())
		sum += bytes;
	return sum;
}

/* These share the state of a sequence with its copy and part them when one of them computes on. DeepSeek V4's compressed cache
 * is none of them: parts of it lie between two sequences' cells. */
bool keeps_states(llama_memory_t memory)
{
	return dynamic_cast<llama_memory_recurrent *>(memory) || dynamic_cast<llama_memory_hybrid *>(memory) ||
	       dynamic_cast<llama_memory_hybrid_iswa *>(memory);
}

/* llama.cpp's graph of PLaMo 2 writes the states of a batch of several sequences to wrong places (it multiplies the first one's
 * by their number), and beyond the last it aborts. One sequence at a time is computed right. */
uint32_t runs_max(const struct ll_model *m)
{
	return m->handle->arch == LLM_ARCH_PLAMO2 ? 1 : 0;
}

void fill_facts(ll_context *c, const struct ll_context_params &p)
{
	struct ll_context_facts &f = c->facts;
	const llama_hparams &h = c->model->handle->hparams;
	f.cells = llama_n_ctx(c->handle);
	f.batch_tokens_max = llama_n_batch(c->handle);
	f.ubatch_tokens_max = llama_n_ubatch(c->handle);
	f.seqs_max = p.seqs_max;
	f.threads = p.threads;
	f.kv_bytes = bytes_held(llama_get_memory(c->handle));
	f.prefix_copy = !c->model->facts.recurrent && !c->model->facts.hybrid;
	f.runs_max = runs_max(c->model);
	f.whole_copy = f.prefix_copy || keeps_states(llama_get_memory(c->handle));
	for (uint32_t layer = 0; layer < h.n_layer(); layer++)
		f.state_bytes_seq += state_bytes(c->model, layer);
	if (f.prefix_copy) {
		f.state_bytes_token = 12 + (h.n_pos_per_embd() > 1 ? 12 : 0);
		struct ll_context_params one = p;
		one.cells = 1;
		f.state_bytes_token += kv_bytes_of(c->model, one);
	}
	f.cells_alike = exact_cells_alike(c->model, p.flash_attention);
	f.rows_alike = f.cells_alike && exact_rows_alike(c->model);
	snprintf(f.layout, sizeof f.layout, "llama.cpp %s, K %s, V %s, flash attention %s", llama_version(),
		ll_kv_type_name(p.type_k), ll_kv_type_name(p.type_v), p.flash_attention ? "on" : "off");
}

int create(struct ll_context **ret, struct ll_model *m, const struct ll_context_params &p, struct err *err)
{
	auto c = std::unique_ptr<ll_context, void (*)(ll_context *)>(new ll_context, ll_context_destroy);
	c->model = m;
	c->outputs_max = p.outputs_max;
	c->twins = has_twins(m);
	edge::forget_errors();
	c->handle = llama_init_from_model(m->handle, context_params_of(p, c.get()));
	if (!c->handle) {
		std::string cause = edge::last_errors();
		return err_set(err, -EIO, "%s", cause.empty() ? "llama.cpp gave no reason" : cause.c_str());
	}
	/* Encoders and the like: each call would stand alone, and the second token fail. */
	if (!llama_get_memory(c->handle))
		return err_set(err, -ENOTSUP,
			"llama.cpp keeps no memory of earlier tokens for the architecture \"%s\", so it cannot "
			"generate text",
			m->facts.file.arch);
	c->pool = make_pool(m, p, &c->own_cpu);
	if (!c->pool)
		return err_set(err, -EAGAIN, "could not start %u compute threads", p.threads);
	llama_attach_threadpool(c->handle, c->pool, c->pool);
	c->batch = llama_batch_init((int32_t)p.batch_tokens_max, 0, 2);
	if (!c->batch.token || !c->batch.logits)
		return err_set(err, -ENOMEM, "out of memory");
	c->rows.reserve(LL_SEQS_MAX);
	c->seq_next.assign(LL_SEQS_MAX, -1);
	fill_facts(c.get(), p);
	*ret = c.release();
	return 0;
}
} // namespace

int ll_context_create(
	struct ll_context **ret, struct ll_model *m, const struct ll_context_params *params, struct err *err)
{
	return edge::guard(err, [&] {
		struct ll_context_params p = resolve(m, params);
		int code = check_params(m, p, err);
		code = code < 0 ? code : check_memory(m, p, err);
		code = code < 0 ? code : create(ret, m, p, err);
		if (code == 0)
			(*ret)->facts.cells_wanted = params->cells ? p.cells : round_up(m->facts.ctx_train, CELLS_STEP);
		return code;
	});
}

void ll_context_pin(struct ll_context *c)
{
	cpu_set_t set;
	if (c->own_cpu < 0 || c->pinned || sched_getaffinity(0, sizeof c->pinned_before, &c->pinned_before) != 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)c->own_cpu, &set);
	c->pinned = sched_setaffinity(0, sizeof set, &set) == 0;
	c->pinned_thread = pthread_self();
}

void ll_context_destroy(struct ll_context *c)
{
	if (!c)
		return;
	if (c->pinned && pthread_equal(c->pinned_thread, pthread_self()))
		sched_setaffinity(0, sizeof c->pinned_before, &c->pinned_before);
	if (c->handle)
		llama_free(c->handle);
	if (c->pool)
		ggml_threadpool_free(c->pool);
	if (c->batch.token)
		llama_batch_free(c->batch);
	delete c;
}

const struct ll_context_facts *ll_context_facts(const struct ll_context *c)
{
	return &c->facts;
}

/* --- Decode ----------------------------------------------------------------------------------------------------- */

namespace
{
int check_run(struct ll_context *c, const struct ll_run &r, struct err *err)
{
	if (r.seq >= c->facts.seqs_max)
		return err_set(err, -EINVAL, "sequence %u of a batch is not below %u", r.seq, c->facts.seqs_max);
	if (c->seq_next[r.seq] >= 0)
		return err_set(err, -EINVAL, "sequence %u is in a batch twice", r.seq);
	uint32_t held = ll_seq_len(c, r.seq);
	if (r.pos != held)
		return err_set(
			err, -EINVAL, "sequence %u holds %u tokens, a batch continues it at %u", r.seq, held, r.pos);
	if (r.count == 0 || (uint64_t)r.pos + r.count > INT32_MAX)
		return err_set(err, -EINVAL, "a run of %u tokens at position %u is not possible", r.count, r.pos);
	for (uint32_t i = 0; i < r.count; i++)
		if (r.tokens[i] >= c->model->facts.vocab)
			return err_set(err, -EINVAL, "token %u is not in the vocabulary of %u", r.tokens[i],
				c->model->facts.vocab);
	c->seq_next[r.seq] = (int32_t)(r.pos + r.count);
	return 0;
}

int check_runs(struct ll_context *c, const struct ll_run *runs, uint32_t count, struct err *err)
{
	uint64_t tokens = 0, outputs = 0;
	int code = 0;
	uint32_t seen = 0;
	for (; seen < count && code == 0; seen++) {
		code = check_run(c, runs[seen], err);
		tokens += runs[seen].count;
		outputs += runs[seen].want;
	}
	for (uint32_t i = 0; i < seen; i++)
		if (runs[i].seq < LL_SEQS_MAX)
			c->seq_next[runs[i].seq] = -1;
	if (code < 0)
		return code;
	if (c->facts.runs_max && count > c->facts.runs_max)
		return err_set(err, -EINVAL, "a batch of %u sequences; this model's are computed %u at a time", count,
			c->facts.runs_max);
	if (tokens == 0 || tokens > c->facts.batch_tokens_max)
		return err_set(err, -EINVAL, "a batch of %" PRIu64 " tokens, 1 to %u are possible", tokens,
			c->facts.batch_tokens_max);
	if (outputs > c->outputs_max)
		return err_set(err, -EINVAL, "%" PRIu64 " outputs wanted of a batch, at most %u are possible", outputs,
			c->outputs_max);
	return 0;
}

llama_seq_id twin_of(const struct ll_context *c, uint32_t seq)
{
	return (llama_seq_id)(seq + c->facts.seqs_max);
}

void fill_batch(struct ll_context *c, const struct ll_run *runs, uint32_t count)
{
	llama_batch &b = c->batch;
	b.n_tokens = 0;
	c->rows.assign(count, -1);
	for (uint32_t r = 0; r < count; r++) {
		for (uint32_t i = 0; i < runs[r].count; i++) {
			int32_t at = b.n_tokens++;
			b.token[at] = (llama_token)runs[r].tokens[i];
			b.pos[at] = (llama_pos)(runs[r].pos + i);
			b.n_seq_id[at] = c->twins ? 2 : 1;
			b.seq_id[at][0] = (llama_seq_id)runs[r].seq;
			b.seq_id[at][1] = twin_of(c, runs[r].seq);
			b.logits[at] = runs[r].want && i + 1 == runs[r].count;
			if (b.logits[at])
				c->rows[r] = at;
		}
	}
}

/* llama_decode's answers (include/llama.h) as ours. */
int decode_code(int answer, struct err *err)
{
	std::string cause = edge::last_errors();
	const char *words = cause.empty() ? "llama.cpp gave no reason" : cause.c_str();
	switch (answer) {
	case 0:
		return 0;
	case 1:
		return err_set(err, -ENOSPC, "no room in the KV cells for this batch");
	case 2:
		return err_set(err, -ECANCELED, "the computation was stopped");
	case -1:
		return err_set(err, -EINVAL, "llama.cpp refused the batch: %s", words);
	case -2:
		return err_set(err, -ENOMEM, "llama.cpp could not allocate for the batch: %s", words);
	default:
		return err_set(err, -EIO, "llama.cpp could not compute the batch (%d): %s", answer, words);
	}
}
} // namespace

int ll_decode(struct ll_context *c, const struct ll_run *runs, uint32_t count, struct err *err)
{
	return edge::guard(err, [&] {
		int code = check_runs(c, runs, count, err);
		if (code < 0)
			return code;
		fill_batch(c, runs, count);
		edge::forget_errors();
		code = decode_code(llama_decode(c->handle, c->batch), err);
		if (code == 0)
			llama_synchronize(c->handle);
		else
			c->rows.assign(count, -1);
		c->abort.store(false, std::memory_order_relaxed);
		return code;
	});
}

float *ll_logits(struct ll_context *c, uint32_t i)
{
	if (i >= c->rows.size() || c->rows[i] < 0)
		return nullptr;
	float *row = nullptr;
	edge::guard(nullptr, [&] {
		row = llama_get_logits_ith(c->handle, c->rows[i]);
		return 0;
	});
	return row;
}

void ll_context_abort(struct ll_context *c)
{
	c->abort.store(true, std::memory_order_relaxed);
}

/* --- Sequences -------------------------------------------------------------------------------------------------- */

uint32_t ll_seq_len(const struct ll_context *c, uint32_t seq)
{
	if (seq >= c->facts.seqs_max)
		return 0;
	return (uint32_t)(llama_memory_seq_pos_max(llama_get_memory(c->handle), (llama_seq_id)seq) + 1);
}

int ll_seq_copy(struct ll_context *c, uint32_t src, uint32_t dst, uint32_t begin, uint32_t end, struct err *err)
{
	if (src >= c->facts.seqs_max || dst >= c->facts.seqs_max || src == dst)
		return err_set(err, -EINVAL, "cannot copy sequence %u to %u: ids differ and are below %u", src, dst,
			c->facts.seqs_max);
	uint32_t held = ll_seq_len(c, src);
	if (begin > end || end > held)
		return err_set(err, -EINVAL, "cannot copy tokens %u to %u of sequence %u, which holds %u", begin, end,
			src, held);
	bool whole = begin == 0 && end == held;
	if (!c->facts.prefix_copy && !(c->facts.whole_copy && whole))
		return err_set(
			err, -ENOTSUP, "cannot copy a part of a sequence of this model: its state is not only cells");
	if (begin == end)
		return 0;
	return edge::guard(err, [&] {
		/* A state is copied by the word "all", not by positions. */
		llama_pos from = whole ? -1 : (llama_pos)begin, to = whole ? -1 : (llama_pos)end;
		llama_memory_seq_cp(llama_get_memory(c->handle), (llama_seq_id)src, (llama_seq_id)dst, from, to);
		if (c->twins)
			llama_memory_seq_cp(llama_get_memory(c->handle), (llama_seq_id)src, twin_of(c, dst), from, to);
		return 0;
	});
}

int ll_seq_trim(struct ll_context *c, uint32_t seq, uint32_t len, struct err *err)
{
	if (seq >= c->facts.seqs_max)
		return err_set(err, -EINVAL, "cannot trim sequence %u: ids are below %u", seq, c->facts.seqs_max);
	if (len >= ll_seq_len(c, seq))
		return 0;
	return edge::guard(err, [&] {
		bool done = llama_memory_seq_rm(llama_get_memory(c->handle), (llama_seq_id)seq, (llama_pos)len, -1);
		if (c->twins)
			llama_memory_seq_rm(llama_get_memory(c->handle), twin_of(c, seq), (llama_pos)len, -1);
		return done ? 0
			    : err_set(err, -ENOTSUP, "cannot trim a sequence of this model: its state cannot go back");
	});
}

/* --- State ------------------------------------------------------------------------------------------------------ */

size_t ll_state_size(struct ll_context *c, uint32_t seq)
{
	size_t size = 0;
	if (seq < c->facts.seqs_max)
		edge::guard(nullptr, [&] {
			size = llama_state_seq_get_size(c->handle, (llama_seq_id)seq);
			return 0;
		});
	return size;
}

size_t ll_state_get(struct ll_context *c, uint32_t seq, void *ret, size_t cap, struct err *err)
{
	size_t need = ll_state_size(c, seq), written = 0;
	if (need == 0 || need > cap) {
		err_set(err, need ? -ENOBUFS : -EINVAL, "the state of sequence %u has %zu bytes, there is room for %zu",
			seq, need, cap);
		return 0;
	}
	edge::guard(err, [&] {
		edge::forget_errors();
		written = llama_state_seq_get_data(c->handle, static_cast<uint8_t *>(ret), cap, (llama_seq_id)seq);
		if (written != 0)
			return 0;
		return err_set(
			err, -EIO, "could not read the state of sequence %u: %s", seq, edge::last_errors().c_str());
	});
	return written;
}

int ll_state_set(struct ll_context *c, uint32_t seq, const void *data, size_t len, struct err *err)
{
	if (seq >= c->facts.seqs_max || ll_seq_len(c, seq) != 0)
		return err_set(err, -EINVAL, "cannot restore into sequence %u: it must be below %u and empty", seq,
			c->facts.seqs_max);
	return edge::guard(err, [&] {
		edge::forget_errors();
		if (llama_state_seq_set_data(c->handle, static_cast<const uint8_t *>(data), len, (llama_seq_id)seq) !=
			0) {
			if (c->twins)
				llama_memory_seq_cp(
					llama_get_memory(c->handle), (llama_seq_id)seq, twin_of(c, seq), -1, -1);
			return 0;
		}
		llama_memory_seq_rm(llama_get_memory(c->handle), (llama_seq_id)seq, -1, -1);
		std::string cause = edge::last_errors();
		bool full = cause.find("available cells") != std::string::npos;
		return err_set(err, full ? -ENOSPC : -EINVAL, "could not restore a state of %zu bytes: %s", len,
			cause.empty() ? "llama.cpp gave no reason" : cause.c_str());
	});
}
