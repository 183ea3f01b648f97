// What the engine's memory of an executor can do with a part of a sequence. It is one of several
// kinds, and each is asked; llama.cpp itself answers wrong or aborts where a kind cannot do what it
// is told.
#pragma once

#include <llama.h>

#include <cstdint>
#include <vector>

#include "core/kv_state.h"

class llama_kv_cache;
class llama_memory_recurrent;

namespace choir {

class LlamaMemory {
 public:
  // The memory of `context`, which outlives this; an encoder has none.
  explicit LlamaMemory(const llama_context& context);

  // Which fronts of a sequence can be cut off or copied.
  Fronts fronts() const { return fronts_; }
  // Whether a pass that failed or was stopped half way can be undone, for the sequences in it and
  // for the others: cells can be freed, a state that has moved on cannot move back.
  bool can_undo() const { return fronts_ == Fronts::kAny; }

  // Tokens that all parts of the memory have of `slot`.
  std::int32_t tokens(llama_seq_id slot) const;
  // Whether every part has all of the first `tokens` of `slot` that the next token needs, and
  // nothing after them.
  bool has_exactly(llama_seq_id slot, std::int32_t tokens) const;
  // Keeps the first `tokens` of `slot`, or says that it cannot; then it has changed nothing or left
  // less. 0 frees all and always can.
  bool keep(llama_seq_id slot, std::int32_t tokens);
  // `to`, which holds nothing, gets the first `tokens` of `from`; false where it cannot.
  bool copy(llama_seq_id from, llama_seq_id to, std::int32_t tokens);

 private:
  void add_parts(llama_memory_t memory);

  llama_memory_t memory_;
  Fronts fronts_ = Fronts::kNone;
  std::vector<const llama_kv_cache*> whole_;    // caches with a cell for every token
  std::vector<const llama_kv_cache*> windows_;  // with cells for the last `window_` ones at least
  std::int32_t window_ = 0;
  const llama_memory_recurrent* state_ = nullptr;
};

}  // namespace choir
