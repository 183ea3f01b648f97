// Owners for the llama.cpp handles. Only engine/llama_* may include this file or llama.h.
//
// Order of death: context before model. LlamaEngine declares the model first, so C++ destroys the
// context first; nothing here needs to remember it.
#pragma once

#include <llama.h>

#include <cstdint>
#include <memory>

namespace choir {

// A unique_ptr that ends in a C function; sizeof is one pointer.
template <auto kFree>
struct FreeWith {
  template <class T>
  void operator()(T* handle) const noexcept {
    kFree(handle);
  }
};

using LlamaModelHandle = std::unique_ptr<llama_model, FreeWith<llama_model_free>>;
using LlamaContextHandle = std::unique_ptr<llama_context, FreeWith<llama_free>>;
static_assert(sizeof(LlamaModelHandle) == sizeof(void*));

// llama_batch is a struct of owning pointers, so it gets a class instead. One thread at a time.
class LlamaBatch {
 public:
  // Room for `tokens_max` rows, each in one sequence. Needs tokens_max > 0.
  explicit LlamaBatch(std::int32_t tokens_max)
      : batch_(llama_batch_init(tokens_max, /*embd=*/0, /*n_seq_max=*/1)) {}
  ~LlamaBatch() { llama_batch_free(batch_); }
  LlamaBatch(const LlamaBatch&) = delete;
  LlamaBatch& operator=(const LlamaBatch&) = delete;

  void clear() { batch_.n_tokens = 0; }
  void add(llama_token token, llama_pos position, llama_seq_id slot, bool output) {
    const auto row = static_cast<std::size_t>(batch_.n_tokens++);
    batch_.token[row] = token;
    batch_.pos[row] = position;
    batch_.n_seq_id[row] = 1;
    batch_.seq_id[row][0] = slot;
    batch_.logits[row] = output ? 1 : 0;
  }
  std::int32_t size() const { return batch_.n_tokens; }
  const llama_batch& get() const { return batch_; }

 private:
  llama_batch batch_;
};

}  // namespace choir
