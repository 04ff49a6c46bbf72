/* exact.cpp - what a row of logits depends on besides its sequence: asked of the model and of the products of its weights
 * (docs/decisions.md, "A row's sums go by positions"). */
#include "llama/exact.hpp"
#include "llama/edge.hpp"

#include "src/llama-model.h"

#include <ggml-alloc.h>
#include <ggml-cpu.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

namespace
{
constexpr int64_t ROWS_MAX = 64; /* of a weight that are looked at, where a part of it can be */
constexpr uint32_t COLUMNS[] = {2, 3, 5, 8, 17, 64};

struct free_context {
	void operator()(ggml_context *c) const
	{
		ggml_free(c);
	}
};
struct free_buffer {
	void operator()(ggml_backend_buffer *b) const
	{
		ggml_backend_buffer_free(b);
	}
};
struct free_backend {
	void operator()(ggml_backend *b) const
	{
		ggml_backend_free(b);
	}
};

/* weight x columns, by the CPU alone. Empty when it cannot be asked. */
std::vector<float> product(ggml_backend *cpu, ggml_tensor *weight, const float *in, int64_t columns)
{
	std::unique_ptr<ggml_context, free_context> ctx(ggml_init({2u << 20, nullptr, true}));
	if (!ctx)
		return {};
	ggml_tensor *w = weight;
	if (ggml_backend_buffer_is_host(weight->buffer))
		w = ggml_view_2d(ctx.get(), weight, weight->ne[0], std::min(weight->ne[1], ROWS_MAX), weight->nb[1], 0);
	ggml_tensor *x = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, w->ne[0], columns);
	ggml_tensor *y = ggml_mul_mat(ctx.get(), w, x);
	ggml_cgraph *graph = ggml_new_graph(ctx.get());
	ggml_build_forward_expand(graph, y);
	if (!ggml_backend_supports_op(cpu, y))
		return {};
	std::unique_ptr<ggml_backend_buffer, free_buffer> buffer(ggml_backend_alloc_ctx_tensors(ctx.get(), cpu));
	if (!buffer)
		return {};
	ggml_backend_tensor_set(x, in, 0, ggml_nbytes(x));
	if (ggml_backend_graph_compute(cpu, graph) != GGML_STATUS_SUCCESS)
		return {};
	std::vector<float> ret((size_t)ggml_nelements(y));
	ggml_backend_tensor_get(y, ret.data(), 0, ggml_nbytes(y));
	return ret;
}

/* Has each column of a product the same bits in every number of columns? */
bool columns_alike(ggml_backend *cpu, ggml_tensor *weight)
{
	const int64_t width = weight->ne[0], most = COLUMNS[std::size(COLUMNS) - 1];
	std::vector<float> in((size_t)(width * most)), alone;
	uint32_t state = 1;
	for (float &v : in) {
		state = state * 1664525 + 1013904223;
		v = (float)(state >> 8) / (1 << 24) - 0.5f;
	}
	for (int64_t c = 0; c < most; c++) {
		std::vector<float> one = product(cpu, weight, in.data() + c * width, 1);
		if (one.empty())
			return false;
		alone.insert(alone.end(), one.begin(), one.end());
	}
	for (uint32_t n : COLUMNS) {
		std::vector<float> all = product(cpu, weight, in.data(), n);
		if (all.empty() || memcmp(all.data(), alone.data(), all.size() * sizeof(float)) != 0)
			return false;
	}
	return true;
}

/* The smallest weight of each type and kind of memory stands for the others: their kernels are the same. */
std::vector<ggml_tensor *> samples(const llama_model *m)
{
	std::map<std::pair<int, ggml_backend_buffer_type_t>, ggml_tensor *> smallest;
	for (const auto &[name, t] : llama_internal_get_tensor_map(m)) {
		if (ggml_n_dims(t) < 2 || !t->buffer)
			continue;
		ggml_tensor *&s = smallest[{t->type, ggml_backend_buffer_get_type(t->buffer)}];
		s = s && ggml_nbytes(s) <= ggml_nbytes(t) ? s : t;
	}
	std::vector<ggml_tensor *> ret;
	ret.reserve(smallest.size());
	for (const auto &[key, t] : smallest)
		ret.push_back(t);
	return ret;
}
} // namespace

bool exact_cells_alike(const struct ll_model *m, bool flash_attention)
{
	const llama_model *model = m->handle;
	for (uint32_t layer = 0; layer < model->hparams.n_layer(); layer++) {
		ggml_backend_dev_t dev = model->dev_layer((int)layer);
		if (dev && ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_CPU)
			return false;
	}
	return flash_attention;
}

bool exact_rows_alike(const struct ll_model *m)
{
	/* States are scanned in pieces, experts take what rows they get. */
	if (m->facts.recurrent || m->facts.hybrid || m->handle->hparams.n_expert > 0)
		return false;
	std::unique_ptr<ggml_backend, free_backend> cpu(ggml_backend_cpu_init());
	if (!cpu)
		return false;
	ggml_backend_cpu_set_n_threads(cpu.get(), 1);
	for (ggml_tensor *t : samples(m->handle))
		if (!columns_alike(cpu.get(), t))
			return false;
	return true;
}
