#include "engine/llama_memory.h"

#include <algorithm>

// The engine's own: the kinds of memory.
#include "llama-kv-cache-dsa-iswa.h"
#include "llama-kv-cache-dsa.h"
#include "llama-kv-cache-iswa.h"
#include "llama-kv-cache-msa.h"
#include "llama-kv-cache.h"
#include "llama-memory-hybrid-idx.h"
#include "llama-memory-hybrid-iswa.h"
#include "llama-memory-hybrid.h"
#include "llama-memory-recurrent.h"

namespace choir {

LlamaMemory::LlamaMemory(const llama_context& context)
    : memory_(llama_get_memory(&context)), window_(llama_model_n_swa(llama_get_model(&context))) {
  add_parts(memory_);
}

// Kinds that are not named here give nothing to others: so a kind that an update of the engine
// brings costs time until it is looked at, and no answer. Among them is llama_kv_cache_dsv4, whose
// streams copy whole sequences only, and later, from cells that may be gone by then; and
// llama_memory_hybrid_idx, whose index pools cells into blocks by the sequences that have them, so
// that a shared front would be pooled otherwise than an own one.
void LlamaMemory::add_parts(llama_memory_t memory) {
  const auto* hybrid = dynamic_cast<const llama_memory_hybrid*>(memory);
  if (memory == nullptr || dynamic_cast<const llama_memory_hybrid_idx*>(memory) != nullptr) return;
  fronts_ = Fronts::kAny;
  if (const auto* one = dynamic_cast<const llama_kv_cache*>(memory)) {
    whole_ = {one};
  } else if (const auto* both = dynamic_cast<const llama_kv_cache_iswa*>(memory)) {
    whole_ = {both->get_base()};
    windows_ = {both->get_swa()};
  } else if (const auto* msa = dynamic_cast<const llama_kv_cache_msa*>(memory)) {
    whole_ = {msa->get_base(), msa->get_idx()};
  } else if (const auto* dsa = dynamic_cast<const llama_kv_cache_dsa*>(memory)) {
    whole_ = {dsa->get_mla(), dsa->get_lid()};
  } else if (const auto* dsa_iswa = dynamic_cast<const llama_kv_cache_dsa_iswa*>(memory)) {
    whole_ = {dsa_iswa->get_dsa()->get_mla(), dsa_iswa->get_dsa()->get_lid()};
    windows_ = {dsa_iswa->get_swa()};
  } else if (const auto* state = dynamic_cast<const llama_memory_recurrent*>(memory)) {
    fronts_ = Fronts::kWhole;
    state_ = state;
  } else if (hybrid != nullptr) {
    fronts_ = Fronts::kWhole;
    whole_ = {hybrid->get_mem_attn()};
    state_ = hybrid->get_mem_recr();
  } else if (const auto* sliding = dynamic_cast<const llama_memory_hybrid_iswa*>(memory)) {
    fronts_ = Fronts::kWhole;
    whole_ = {sliding->get_mem_attn()->get_base()};
    windows_ = {sliding->get_mem_attn()->get_swa()};
    state_ = sliding->get_mem_recr();
  } else {
    fronts_ = Fronts::kNone;
  }
}

std::int32_t LlamaMemory::tokens(llama_seq_id slot) const {
  return llama_memory_seq_pos_max(memory_, slot) + 1;
}

bool LlamaMemory::has_exactly(llama_seq_id slot, std::int32_t tokens) const {
  if (tokens <= 0) return false;
  const auto ends = [&](const auto* part) { return part->seq_pos_max(slot) + 1 == tokens; };
  const auto from_first = [&](const llama_kv_cache* cache) {
    return ends(cache) && cache->seq_pos_min(slot) == 0;
  };
  // The next token sees the last `window_` positions, its own among them. A cache has no holes.
  const auto from_window = [&](const llama_kv_cache* cache) {
    return ends(cache) && cache->seq_pos_min(slot) <= std::max(0, tokens - window_ + 1);
  };
  return std::ranges::all_of(whole_, from_first) && std::ranges::all_of(windows_, from_window) &&
         (state_ == nullptr || ends(state_));
}

bool LlamaMemory::keep(llama_seq_id slot, std::int32_t tokens) {
  if (tokens <= 0) return llama_memory_seq_rm(memory_, slot, -1, -1);
  if (tokens == this->tokens(slot)) return true;
  return fronts_ == Fronts::kAny && llama_memory_seq_rm(memory_, slot, tokens, -1) &&
         has_exactly(slot, tokens);
}

bool LlamaMemory::copy(llama_seq_id from, llama_seq_id to, std::int32_t tokens) {
  const bool allowed =
      fronts_ == Fronts::kAny || (fronts_ == Fronts::kWhole && has_exactly(from, tokens));
  if (!allowed || tokens <= 0) return false;
  llama_memory_seq_cp(memory_, from, to, 0, tokens);
  return has_exactly(to, tokens);
}

}  // namespace choir
