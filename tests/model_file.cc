#include "model_file.h"

#include <gguf.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>

#include "base/check.h"
#include "engine/llama_handles.h"
#include "real_models.h"

namespace choir {
namespace {

constexpr std::int64_t kEmbedding = 256;  // one block of the K and IQ types
constexpr std::int64_t kInner = 512;
constexpr std::int64_t kKeys = 128;  // 4 of 8 heads
constexpr std::int64_t kVocabulary = 512;
constexpr int kLayers = 2;
constexpr int kExpertsUsed = 2;

using Gguf = std::unique_ptr<gguf_context, FreeWith<gguf_free>>;
using Tensors = std::unique_ptr<ggml_context, FreeWith<ggml_free>>;

class Writer {
 public:
  explicit Writer(const ModelFile& file)
      : file_(file),
        tensors_(ggml_init(
            {.mem_size = std::size_t{64} << 20, .mem_buffer = nullptr, .no_alloc = false})),
        random_(file.seed) {}

  void add_all() {
    matrix("token_embd", kEmbedding, kVocabulary);
    norm("output_norm", kEmbedding);
    if (file_.architecture != "bitnet") {
      matrix("output", kEmbedding, kVocabulary);
      // The engine reads the output's scale only beside this type.
      if (file_.scales && file_.type == GGML_TYPE_NVFP4) constant("output.scale", 1, file_.scale);
    }
    for (int layer = 0; layer < kLayers; ++layer) add_layer("blk." + std::to_string(layer) + ".");
  }

  void write(const std::vector<std::string>& paths) {
    const auto all = static_cast<int>(order_.size());
    const auto parts = static_cast<int>(paths.size());
    for (int part = 0; part < parts; ++part) {
      const Gguf out(gguf_init_empty());
      if (part == 0) describe(*out);
      if (parts > 1) {
        gguf_set_val_u16(out.get(), "split.no", static_cast<std::uint16_t>(part));
        gguf_set_val_u16(out.get(), "split.count", static_cast<std::uint16_t>(parts));
        gguf_set_val_i32(out.get(), "split.tensors.count", all);
      }
      for (int i = all * part / parts; i < all * (part + 1) / parts; ++i)
        gguf_add_tensor(out.get(), order_[static_cast<std::size_t>(i)]);
      const bool written =
          gguf_write_to_file(out.get(), paths[static_cast<std::size_t>(part)].c_str(), false);
      CHOIR_CHECK(written, "a test writes its model");
    }
  }

 private:
  void add_layer(const std::string& layer) {
    norm(layer + "attn_norm", kEmbedding);
    product(layer + "attn_q", kEmbedding, kEmbedding);
    product(layer + "attn_k", kEmbedding, kKeys);
    product(layer + "attn_v", kEmbedding, kKeys);
    product(layer + "attn_output", kEmbedding, kEmbedding);
    norm(layer + "ffn_norm", kEmbedding);
    if (file_.architecture == "bitnet") {
      norm(layer + "attn_sub_norm", kEmbedding);
      norm(layer + "ffn_sub_norm", kInner);
    }
    if (file_.experts == 0) {
      product(layer + "ffn_gate", kEmbedding, kInner);
      product(layer + "ffn_up", kEmbedding, kInner);
      product(layer + "ffn_down", kInner, kEmbedding);
      return;
    }
    numbers(layer + "ffn_gate_inp.weight", GGML_TYPE_F32, {kEmbedding, file_.experts, 1});
    product(layer + "ffn_gate_exps", kEmbedding, kInner, file_.experts);
    product(layer + "ffn_up_exps", kEmbedding, kInner, file_.experts);
    product(layer + "ffn_down_exps", kInner, kEmbedding, file_.experts);
  }

  void matrix(const std::string& name, std::int64_t columns, std::int64_t rows,
              std::int64_t count = 1) {
    numbers(name + ".weight", file_.type, {columns, rows, count});
  }

  void product(const std::string& name, std::int64_t columns, std::int64_t rows,
               std::int64_t count = 1) {
    matrix(name, columns, rows, count);
    if (file_.scales) constant(name + ".scale", count, file_.scale);
  }

  void norm(const std::string& name, std::int64_t columns) {
    constant(name + ".weight", columns, 1.0F);
  }

  void constant(const std::string& name, std::int64_t count, float value) {
    ggml_tensor* tensor = ggml_new_tensor_1d(tensors_.get(), GGML_TYPE_F32, count);
    for (std::int64_t i = 0; i < count; ++i) static_cast<float*>(tensor->data)[i] = value;
    keep(name, tensor);
  }

  void numbers(const std::string& name, ggml_type type, const std::array<std::int64_t, 3>& shape) {
    ggml_tensor* tensor =
        shape[2] == 1 ? ggml_new_tensor_2d(tensors_.get(), type, shape[0], shape[1])
                      : ggml_new_tensor_3d(tensors_.get(), type, shape[0], shape[1], shape[2]);
    std::normal_distribution<float> normal(0.0F, 1.0F / std::sqrt(static_cast<float>(shape[0])));
    std::vector<float> values(static_cast<std::size_t>(ggml_nelements(tensor)));
    for (float& value : values) value = normal(random_);
    ggml_quantize_chunk(type, values.data(), tensor->data, 0, shape[1] * shape[2], shape[0],
                        nullptr);
    keep(name, tensor);
  }

  void keep(const std::string& name, ggml_tensor* tensor) {
    ggml_set_name(tensor, name.c_str());
    order_.push_back(tensor);
  }

  void describe(gguf_context& out) const {
    const Gguf tokenizer(
        gguf_init_from_file(stories().c_str(), {.no_alloc = true, .ctx = nullptr}));
    CHOIR_CHECK(tokenizer != nullptr, "stories260K is in the repository");
    gguf_set_kv(&out, tokenizer.get());
    gguf_set_val_str(&out, "general.architecture", file_.architecture.c_str());
    gguf_set_val_str(&out, "general.name", "random");
    const auto number = [&](const char* key, std::int64_t value) {
      gguf_set_val_u32(&out, (file_.architecture + "." + key).c_str(),
                       static_cast<std::uint32_t>(value));
    };
    number("context_length", 2048);
    number("embedding_length", kEmbedding);
    number("feed_forward_length", kInner);
    number("attention.head_count", 8);
    number("attention.head_count_kv", 4);
    number("block_count", kLayers);
    number("rope.dimension_count", kEmbedding / 8);
    gguf_set_val_f32(&out, (file_.architecture + ".attention.layer_norm_rms_epsilon").c_str(),
                     1e-5F);
    if (file_.experts == 0) return;
    number("expert_count", file_.experts);
    number("expert_used_count", kExpertsUsed);
  }

  const ModelFile& file_;
  Tensors tensors_;
  std::vector<ggml_tensor*> order_;
  std::mt19937 random_;
};

}  // namespace

std::vector<std::string> write_model(const std::string& folder, const std::string& name,
                                     const ModelFile& file) {
  std::vector<std::string> paths;
  for (int part = 1; part <= file.parts; ++part) {
    std::array<char, 32> number{};
    if (file.parts > 1)
      std::snprintf(number.data(), number.size(), "-%05d-of-%05d", part, file.parts);
    paths.push_back(folder + "/" + name + number.data() + ".gguf");
  }
  Writer writer(file);
  writer.add_all();
  writer.write(paths);
  return paths;
}

}  // namespace choir
