// Which cells of a KV cache each query sees, in the order of their positions.
//
// Cells lie where there was room: once a neighbour has left or a window has wrapped, their order is
// not that of positions, and sums taken in it would depend on the neighbours.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

class llama_kv_cache;
struct llama_context;

namespace choir::kernels {

class KvOrder {
 public:
  // Null: a cache without positions, whose cells are in the order of their index.
  explicit KvOrder(const llama_kv_cache* cache) : cache_(cache) {}

  // For all queries of a graph. One thread; the others read afterwards.
  void prepare(const ggml_tensor& mask, std::int64_t queries);
  std::span<const std::int32_t> cells(std::int64_t query) const;
  // How many queries from `query` on, `most` at most, see parts of one run of cells whose begins
  // and ends ascend: the tokens of a prompt. Then the lists of all lie in the one from the begin of
  // the first to the end of the last.
  int together(std::int64_t query, int most) const;

 private:
  void list_visible(const std::uint16_t* row, std::int32_t count);
  void sort_by_position();
  void add();

  struct Range {
    std::size_t begin = 0;
    std::size_t count = 0;
    std::size_t end() const { return begin + count; }
  };
  const llama_kv_cache* cache_;
  std::vector<std::int32_t> pool_;  // lists one after the other; neighbours share where they can
  std::vector<Range> ranges_;       // of queries
  std::vector<std::int32_t> list_;  // of the query that is added
};

// What a cache's K tensor carries in `extra`, so that attention finds its order.
struct KvLayer {
  KvOrder* order = nullptr;
  bool first = false;  // of the layers of a graph: it prepares
};

// The orders of a context's caches, known to its tensors as long as this lives. It must outlive the
// context's last computation and be made before its first.
class KvOrders {
 public:
  explicit KvOrders(llama_context& context);
  KvOrders(const KvOrders&) = delete;
  KvOrders& operator=(const KvOrders&) = delete;

 private:
  void attach(const llama_kv_cache& cache);

  std::vector<std::unique_ptr<KvOrder>> orders_;
  std::vector<std::unique_ptr<KvLayer>> layers_;
};

}  // namespace choir::kernels
