#include "kernels/kv_order.h"

#include <immintrin.h>
#include <llama.h>

#include <algorithm>
#include <cstring>

#include "llama-context.h"  // the engine's own: its memory
#include "llama-kv-cache-iswa.h"
#include "llama-kv-cache.h"

namespace choir::kernels {
namespace {

constexpr short kHidden = static_cast<short>(0xFC00);  // minus infinity as a half

}  // namespace

// The cells that a row of the mask leaves visible, in ascending order of index.
void KvOrder::list_visible(const std::uint16_t* row, std::int32_t count) {
  list_.clear();
  std::int32_t cell = 0;
  for (; cell + 32 <= count; cell += 32) {
    const auto hidden = [&](int at) {
      return _mm256_cmpeq_epi16(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + cell + at)),
          _mm256_set1_epi16(kHidden));
    };
    const __m256i packed =
        _mm256_permute4x64_epi64(_mm256_packs_epi16(hidden(0), hidden(16)), 0xD8);
    for (auto seen = ~static_cast<std::uint32_t>(_mm256_movemask_epi8(packed)); seen != 0;
         seen &= seen - 1)
      list_.push_back(cell + __builtin_ctz(seen));
  }
  for (; cell < count; ++cell)
    if (static_cast<short>(row[cell]) != kHidden) list_.push_back(cell);
}

void KvOrder::sort_by_position() {
  const llama_kv_cells& positions = cache_->get_cells(0);
  const auto before = [&](std::int32_t a, std::int32_t b) {
    const llama_pos at_a = positions.pos_get(static_cast<std::uint32_t>(a));
    const llama_pos at_b = positions.pos_get(static_cast<std::uint32_t>(b));
    return at_a != at_b ? at_a < at_b : a < b;
  };
  if (!std::is_sorted(list_.begin(), list_.end(), before))
    std::sort(list_.begin(), list_.end(), before);
}

void KvOrder::prepare(const ggml_tensor& mask, std::int64_t queries) {
  pool_.clear();
  ranges_.clear();
  const auto count = static_cast<std::size_t>(mask.ne[0]);
  const std::uint16_t* last = nullptr;
  for (std::int64_t query = 0; query < queries; ++query) {
    const auto* row = reinterpret_cast<const std::uint16_t*>(
        static_cast<const char*>(mask.data) + static_cast<std::size_t>(query) * mask.nb[1]);
    // A model that is not causal: every token sees all.
    if (last != nullptr && std::memcmp(row, last, count * sizeof *row) == 0) {
      ranges_.push_back(ranges_.back());
    } else {
      list_visible(row, static_cast<std::int32_t>(count));
      if (cache_ != nullptr) sort_by_position();
      add();
    }
    last = row;
  }
}

// A prompt's next token sees what the one before it saw and itself, perhaps less the oldest.
void KvOrder::add() {
  Range range{pool_.size(), list_.size()};
  if (!ranges_.empty() && !list_.empty()) {
    const Range last = ranges_.back();
    const std::size_t kept = list_.size() - 1;
    if (last.end() == pool_.size() && kept <= last.count &&
        std::equal(list_.begin(), list_.begin() + static_cast<std::ptrdiff_t>(kept),
                   pool_.end() - static_cast<std::ptrdiff_t>(kept))) {
      range.begin = pool_.size() - kept;
      pool_.push_back(list_.back());
      ranges_.push_back(range);
      return;
    }
  }
  pool_.insert(pool_.end(), list_.begin(), list_.end());
  ranges_.push_back(range);
}

std::span<const std::int32_t> KvOrder::cells(std::int64_t query) const {
  const Range range = ranges_[static_cast<std::size_t>(query)];
  return {pool_.data() + range.begin, range.count};
}

int KvOrder::together(std::int64_t query, int most) const {
  const auto first = static_cast<std::size_t>(query);
  if (ranges_[first].count == 0) return 1;
  int count = 1;
  for (; count < most && first + static_cast<std::size_t>(count) < ranges_.size(); ++count) {
    const Range last = ranges_[first + static_cast<std::size_t>(count) - 1];
    const Range next = ranges_[first + static_cast<std::size_t>(count)];
    const bool goes_on = next.begin >= last.begin && next.begin < last.end();
    if (!goes_on || next.count == 0 || next.end() < last.end()) break;
  }
  return count;
}

KvOrders::KvOrders(llama_context& context) {
  llama_memory_t memory = llama_get_memory(&context);
  if (const auto* both = dynamic_cast<const llama_kv_cache_iswa*>(memory)) {
    attach(*both->get_base());
    attach(*both->get_swa());
  } else if (const auto* one = dynamic_cast<const llama_kv_cache*>(memory)) {
    attach(*one);
  }
}

void KvOrders::attach(const llama_kv_cache& cache) {
  orders_.push_back(std::make_unique<KvOrder>(&cache));
  bool first = true;
  for (const std::uint32_t layer : cache.get_layer_ids()) {
    layers_.push_back(std::make_unique<KvLayer>(KvLayer{orders_.back().get(), first}));
    cache.get_k_storage(static_cast<std::int32_t>(layer))->extra = layers_.back().get();
    first = false;
  }
}

}  // namespace choir::kernels
