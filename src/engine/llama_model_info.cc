#include "engine/llama_model_info.h"

#include <llama.h>

#include <array>
#include <filesystem>
#include <system_error>

#include "llama-model.h"  // the engine's own: which layers slide, and how wide K and V are

namespace choir {
namespace {

std::string meta(const llama_model& model, const char* key) {
  std::array<char, 1024> value{};
  const std::int32_t size = llama_model_meta_val_str(&model, key, value.data(), value.size());
  return size > 0 ? std::string(value.data()) : std::string();
}

// "llama 135M Q4_1" is the engine's description; the quantization is what follows the size.
std::string quantization(const llama_model& model) {
  std::array<char, 256> text{};
  llama_model_desc(&model, text.data(), text.size());
  const std::string description(text.data());
  const std::size_t first = description.find(' ');
  const std::size_t second = first == std::string::npos ? first : description.find(' ', first + 1);
  return second == std::string::npos ? description : description.substr(second + 1);
}

std::uint64_t kv_bytes_per_token(const llama_model& model) {
  constexpr std::uint64_t kHalfFloat = 2;  // we keep K and V as F16
  std::uint64_t bytes = 0;
  const auto& hparams = model.hparams;
  for (std::uint32_t layer = 0; layer < static_cast<std::uint32_t>(llama_model_n_layer(&model));
       ++layer)
    if (!hparams.is_swa(layer))
      bytes += kHalfFloat * (hparams.n_embd_k_gqa(layer) + hparams.n_embd_v_gqa(layer));
  return bytes;
}

}  // namespace

ModelInfo read_model_info(const llama_model& model, const std::string& path) {
  ModelInfo info;
  info.path = path;
  info.name = meta(model, "general.name");
  if (info.name.empty()) info.name = std::filesystem::path(path).stem().string();
  info.architecture = meta(model, "general.architecture");
  info.quantization = quantization(model);
  info.license = meta(model, "general.license");
  std::error_code ignored;
  info.file_bytes = std::filesystem::file_size(path, ignored);
  info.weight_bytes = llama_model_size(&model);
  info.parameters = llama_model_n_params(&model);
  info.layers = llama_model_n_layer(&model);
  info.embedding_size = llama_model_n_embd(&model);
  info.heads = llama_model_n_head(&model);
  info.kv_heads = llama_model_n_head_kv(&model);
  info.vocab_tokens = llama_vocab_n_tokens(llama_model_get_vocab(&model));
  info.context_tokens_trained = llama_model_n_ctx_train(&model);
  info.sliding_window_tokens = llama_model_n_swa(&model);
  info.kv_bytes_per_token = kv_bytes_per_token(model);
  // Diffusion models and encoder-decoders are neither: they need loops of their own.
  info.generates = llama_model_has_decoder(&model) && !llama_model_has_encoder(&model) &&
                   !llama_model_is_diffusion(&model) && model.hparams.causal_attn;
  return info;
}

}  // namespace choir
