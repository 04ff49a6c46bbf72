/* model.cpp - load a model, tell its facts. */
#include "llama/edge.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

namespace
{
struct progress {
	const struct ll_model_params *params;
	bool stopped = false;
};

bool on_progress(float done, void *user)
{
	auto *p = static_cast<progress *>(user);
	if (p->params->progress && !p->params->progress(p->params->progress_ctx, done))
		p->stopped = true;
	return !p->stopped;
}

llama_model_params params_of(const struct ll_model_params *in, progress *watch)
{
	llama_model_params p = llama_model_default_params();
	p.vocab_only = in->vocab_only;
	p.load_mode = in->no_mmap ? LLAMA_LOAD_MODE_NONE : LLAMA_LOAD_MODE_MMAP;
	p.check_tensors = in->check_tensors;
	p.n_gpu_layers = in->gpu_layers;
	p.progress_callback = on_progress;
	p.progress_callback_user_data = watch;
	return p;
}

const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

void fill_facts(ll_model *m, const char *path)
{
	struct ll_model_facts &f = m->facts;
	llama_model *h = m->handle;
	if (llama_model_meta_val_str(h, "general.name", f.name, sizeof f.name) <= 0)
		edge::copy_text(f.name, base_name(path));
	llama_model_desc(h, f.desc, sizeof f.desc);
	f.weight_bytes = llama_model_size(h);
	f.params = llama_model_n_params(h);
	f.ctx_train = (uint32_t)llama_model_n_ctx_train(h);
	f.layers = (uint32_t)llama_model_n_layer(h);
	f.embd = (uint32_t)llama_model_n_embd(h);
	f.heads = f.layers > 0 ? (uint32_t)llama_model_n_head(h) : 0;
	f.heads_kv = f.layers > 0 ? (uint32_t)llama_model_n_head_kv(h) : 0;
	f.vocab = (uint32_t)llama_vocab_n_tokens(m->vocab.handle);
	f.swa = (uint32_t)std::max(llama_model_n_swa(h), 0);
	f.recurrent = llama_model_is_recurrent(h);
	f.hybrid = llama_model_is_hybrid(h);
	f.encoder = llama_model_has_encoder(h);
	f.decoder = llama_model_has_decoder(h) && !llama_model_is_diffusion(h);
}

/* The list llama.cpp keeps to itself. */
void fill_specials(ll_vocab &v)
{
	constexpr int SPECIAL = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN;
	auto count = (uint32_t)llama_vocab_n_tokens(v.handle);
	std::vector<uint32_t> lens(count);
	for (uint32_t id = 0; id < count; id++)
		if (llama_vocab_get_attr(v.handle, (llama_token)id) & SPECIAL) {
			v.specials.push_back(id);
			lens[id] = (uint32_t)strlen(llama_vocab_get_text(v.handle, (llama_token)id));
		}
	ll_specials_sort(v.specials.data(), (uint32_t)v.specials.size(), lens.data());
}
} // namespace

int ll_model_load(struct ll_model **ret, const char *path, const struct ll_model_params *params, struct err *err)
{
	int code = edge::guard(err, [&] {
		edge::init();
		auto m = std::unique_ptr<ll_model, void (*)(ll_model *)>(new ll_model, ll_model_destroy);
		int bad = edge::check_file(path, !params->vocab_only, &m->facts.file, err);
		if (bad < 0)
			return bad;
		progress watch{params};
		edge::forget_errors();
		m->handle = llama_model_load_from_file(path, params_of(params, &watch));
		if (watch.stopped)
			return err_set(err, -ECANCELED, "the load was stopped");
		if (!m->handle) {
			std::string cause = edge::last_errors();
			return err_set(err, -EIO, "%s", cause.empty() ? "llama.cpp gave no reason" : cause.c_str());
		}
		m->vocab.handle = llama_model_get_vocab(m->handle);
		fill_specials(m->vocab);
		fill_facts(m.get(), path);
		*ret = m.release();
		return 0;
	});
	return code < 0 ? err_wrap(err, "could not load model \"%s\"", base_name(path)) : 0;
}

void ll_model_destroy(struct ll_model *m)
{
	if (m && m->handle)
		llama_model_free(m->handle);
	delete m;
}

const struct ll_model_facts *ll_model_facts(const struct ll_model *m)
{
	return &m->facts;
}

const struct ll_vocab *ll_model_vocab(const struct ll_model *m)
{
	return &m->vocab;
}

const char *ll_model_template(const struct ll_model *m)
{
	return llama_model_chat_template(m->handle, nullptr);
}

int ll_model_meta(const struct ll_model *m, const char *key, char *ret, size_t cap)
{
	return llama_model_meta_val_str(m->handle, key, ret, cap) < 0 ? -ENOENT : 0;
}

uint32_t ll_devices(struct ll_device *ret, uint32_t cap)
{
	uint32_t found = 0;
	edge::guard(nullptr, [&] {
		edge::init();
		for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
			ggml_backend_dev_t dev = ggml_backend_dev_get(i);
			auto type = ggml_backend_dev_type(dev);
			if (type != GGML_BACKEND_DEVICE_TYPE_GPU && type != GGML_BACKEND_DEVICE_TYPE_IGPU)
				continue;
			if (found < cap) {
				size_t free_bytes = 0, total_bytes = 0;
				ggml_backend_dev_memory(dev, &free_bytes, &total_bytes);
				ret[found] = {};
				edge::copy_text(ret[found].name, ggml_backend_dev_name(dev));
				edge::copy_text(ret[found].description, ggml_backend_dev_description(dev));
				ret[found].free_bytes = free_bytes;
				ret[found].total_bytes = total_bytes;
			}
			found++;
		}
		return 0;
	});
	return found;
}
