#include "engine/llama_model_info.h"

#include <llama.h>

#include <array>
#include <filesystem>
#include <map>
#include <system_error>

#include "base/split_name.h"
#include "choir/text.h"
#include "kernels/kernel_table.h"
#include "kernels/weights.h"
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

std::uint64_t kv_bytes_per_token(const llama_model& model, ggml_type type) {
  std::uint64_t bytes = 0;
  const auto& hparams = model.hparams;
  for (std::uint32_t layer = 0; layer < static_cast<std::uint32_t>(llama_model_n_layer(&model));
       ++layer)
    if (!hparams.is_swa(layer))
      bytes += ggml_row_size(type, hparams.n_embd_k_gqa(layer)) +
               ggml_row_size(type, hparams.n_embd_v_gqa(layer));
  return bytes;
}

// The first head size that is no multiple of a block of Q8_0, or 0.
std::uint32_t head_beside_blocks(const llama_model& model) {
  const auto block = static_cast<std::uint32_t>(ggml_blck_size(GGML_TYPE_Q8_0));
  for (std::uint32_t layer = 0; layer < static_cast<std::uint32_t>(llama_model_n_layer(&model));
       ++layer)
    for (const std::uint32_t size :
         {model.hparams.n_embd_head_k(layer), model.hparams.n_embd_head_v(layer)})
      if (size % block != 0) return size;
  return 0;
}

// What a graph of this model computes without our kernels.
std::string not_covered(const llama_model& model) {
  if (kernels::active_table() == nullptr) return "everything: our kernels are off";
  std::map<std::string, std::uint64_t> types;
  for (const auto& [name, tensor] : llama_internal_get_tensor_map(&model))
    if (ggml_n_dims(tensor) > 1 && !kernels::is_packed(tensor) &&
        !kernels::is_read_as_it_lies(tensor))  // adding a row is the same whatever runs beside it
      types[std::string(ggml_type_name(tensor->type)) + " weights"] += ggml_nbytes(tensor);
  std::string out;
  const auto add = [&](const std::string& what) { out += (out.empty() ? "" : ", ") + what; };
  for (const auto& [type, bytes] : types) add(type + " (" + bytes_text(bytes) + ")");
  if (llama_model_is_recurrent(&model) || llama_model_is_hybrid(&model)) add("recurrent layers");
  const auto& hparams = model.hparams;
  const auto head = [](std::uint32_t size) {
    return size % 8 == 0 && size <= kernels::kHeadSizeMax;
  };
  for (std::uint32_t layer = 0; layer < static_cast<std::uint32_t>(llama_model_n_layer(&model));
       ++layer)
    if (!head(hparams.n_embd_head_k(layer)) || !head(hparams.n_embd_head_v(layer))) {
      add("attention with heads of " + std::to_string(hparams.n_embd_head_k(layer)));
      break;
    }
  if (hparams.use_alibi) add("attention with ALiBi");
  // The engine switches flash attention off for it, in llama_init_from_model.
  if (model.arch == LLM_ARCH_GROK) add("attention in steps of its own");
  return out;
}

// Diffusion models and encoder-decoders need loops of their own. The engine's graph of CogVLM has
// logits of every token, of which it hands out the first ones: answers to another text.
std::string not_run(const llama_model& model, const std::string& architecture) {
  if (llama_model_is_diffusion(&model)) return "a diffusion model (" + architecture + ")";
  if (llama_model_has_encoder(&model) && llama_model_has_decoder(&model))
    return "an encoder with a decoder (" + architecture + ")";
  if (architecture == "cogvlm")
    return "a model for which the engine gives the logits of other tokens than it was asked for (" +
           architecture + ")";
  // The engine's kernel for these takes 64 numbers at a time, also behind the end of a head.
  constexpr std::uint32_t kWkvStep = 64;
  const std::uint32_t head = model.hparams.wkv_head_size;
  if ((model.arch == LLM_ARCH_RWKV7 || model.arch == LLM_ARCH_ARWKV7) && head % kWkvStep != 0)
    return "a model with heads of " + std::to_string(head) +
           " numbers, where the engine computes " + std::to_string(kWkvStep) + " at a time (" +
           architecture + ")";
  return {};
}

}  // namespace

Status check_runs(const ModelInfo& info) {
  if (info.not_run.empty()) return {};
  return fail(Code::kInvalidArgument, "'" + info.name + "' is " + info.not_run +
                                          ": Choir runs models that generate text token by token, "
                                          "and encoders that embed");
}

ModelInfo read_model_info(const llama_model& model, const std::string& path) {
  ModelInfo info;
  info.path = path;
  info.name = meta(model, "general.name");
  if (info.name.empty()) info.name = std::filesystem::path(path).stem().string();
  info.architecture = meta(model, "general.architecture");
  info.quantization = quantization(model);
  info.license = meta(model, "general.license");
  std::error_code ignored;
  for (const std::string& part : model_parts(path)) {
    const std::uintmax_t bytes = std::filesystem::file_size(part, ignored);
    if (!ignored) info.file_bytes += bytes;
  }
  info.weight_bytes = llama_model_size(&model);
  info.parameters = llama_model_n_params(&model);
  info.vocab_tokens = llama_vocab_n_tokens(llama_model_get_vocab(&model));
  info.layers = llama_model_n_layer(&model);
  if (info.layers == 0) return info;  // a vocabulary alone: no shape to ask for
  info.embedding_size = llama_model_n_embd(&model);
  info.heads = llama_model_n_head(&model);
  info.kv_heads = llama_model_n_head_kv(&model);
  info.context_tokens_trained = llama_model_n_ctx_train(&model);
  info.sliding_window_tokens = llama_model_n_swa(&model);
  info.kv_bytes_per_token = kv_bytes_per_token(model, GGML_TYPE_F16);
  if (head_beside_blocks(model) == 0)
    info.kv_bytes_per_token_q8_0 = kv_bytes_per_token(model, GGML_TYPE_Q8_0);
  info.not_run = not_run(model, info.architecture);
  info.generates = llama_model_has_decoder(&model) && !llama_model_has_encoder(&model) &&
                   !llama_model_is_diffusion(&model) && model.hparams.causal_attn;
  info.not_covered = not_covered(model);
  return info;
}

Status check_kv_type(const llama_model& model, const ModelInfo& info, KvType type) {
  if (type == KvType::kF16 || !info.generates) return {};
  const std::uint32_t size = head_beside_blocks(model);
  if (size == 0) return {};
  return fail(Code::kInvalidArgument, "kv_type is q8_0, which keeps blocks of 32, and '" +
                                          info.name + "' has heads of " + std::to_string(size) +
                                          "; take f16");
}

}  // namespace choir
