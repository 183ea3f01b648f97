#include "kernels/attention_op.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows
#include "kernels/kernel_table.h"
#include "kernels/kv_order.h"
#include "kernels/shares.h"

namespace choir::kernels {
namespace {

// The smallest share of an attention that a thread takes, in cells of a part of the heads: some 5
// us. Where threads have few shares each, each takes one equal part.
constexpr std::int64_t kShareCells = 400;
constexpr std::int64_t kSharesEach = 4;

struct Parameters {
  float scale = 1.0F;
  float max_bias = 0.0F;
  float soft_cap = 0.0F;
};

Parameters parameters(const ggml_tensor* op) {
  Parameters out;
  const auto* values = reinterpret_cast<const float*>(op->op_params);
  out.scale = values[0];
  out.max_bias = values[1];
  out.soft_cap = values[2];
  return out;
}

const KvLayer* layer_of(const ggml_tensor* op) {
  const ggml_tensor* root = op->src[1]->view_src;
  return root == nullptr ? nullptr : static_cast<const KvLayer*>(root->extra);
}

// Heads that share a KV head, in parts of at most kHeadsTogether.
struct Parts {
  std::int64_t kv_heads = 0;
  std::int64_t heads = 0;  // to a KV head
  std::int64_t together = 0;
  bool few = false;  // queries: then every thread gets one head after the other
  std::int64_t per_kv_head() const { return (heads + together - 1) / together; }
  std::int64_t per_query() const { return kv_heads * per_kv_head(); }
};

Parts parts_of(const ggml_tensor* op, int threads) {
  Parts parts;
  parts.kv_heads = op->src[1]->ne[2];
  parts.heads = op->src[0]->ne[2] / parts.kv_heads;
  parts.together = std::min<std::int64_t>(parts.heads, kHeadsTogether);
  parts.few = parts.kv_heads * op->src[0]->ne[1] < 2 * threads;
  if (parts.few) parts.together = 1;  // smaller parts, so that every thread has some
  return parts;
}

// How cells of this type are read, if they are.
std::optional<AttentionKv::Cells> cells_of(ggml_type type) {
  if (type == GGML_TYPE_F16) return AttentionKv::Cells::kHalf;
  if (type == GGML_TYPE_Q8_0) return AttentionKv::Cells::kQ80;
  return std::nullopt;
}

class Attention {
 public:
  Attention(const ggml_compute_params& params, ggml_tensor* op)
      : params_(params), op_(op), set_(parameters(op)), parts_(parts_of(op, params.nth)) {
    const std::size_t bytes = attention_work_bytes(1, op);
    auto* base =
        static_cast<std::byte*>(params.wdata) + bytes * static_cast<std::size_t>(params.ith);
    const std::size_t past = reinterpret_cast<std::uintptr_t>(base) % 64;
    scratch_ = reinterpret_cast<float*>(base + (past == 0 ? 0 : 64 - past));
  }

  // Rows are shared out in runs whose costs are counted in cells. Queries that follow each other in
  // one sequence are taken together, a part of their heads at a time.
  void compute(const KvOrder& order) {
    const Cost cost = cost_of(order);
    const std::int64_t least = std::max(kShareCells, cost.tile);
    if (params_.nth == 1 || parts_.few || cost.all < kSharesEach * least * params_.nth)
      return compute_run(order, cost.all * params_.ith / params_.nth,
                         cost.all * (params_.ith + 1) / params_.nth);
    meet(params_);
    take_shares(
        Shares(cost.all, least, params_.nth), params_.ith, [&] { return take_of_pool(params_); },
        [&](Shares::Part part, Shares::Part) { compute_run(order, part.begin, part.end); });
  }

 private:
  // Of all queries with all their heads; of the tile with the most, with one part of its heads.
  struct Cost {
    std::int64_t all = 0;
    std::int64_t tile = 0;
  };
  Cost cost_of(const KvOrder& order) const {
    Cost cost;
    for_tiles(order, [&](std::int64_t, int, std::int64_t of_part) {
      cost.all += of_part * parts_.per_query();
      cost.tile = std::max(cost.tile, of_part);
      return true;
    });
    return cost;
  }

  // Calls work(query, queries, cost of one part) for each tile, until it says that it has enough.
  template <class Work>
  void for_tiles(const KvOrder& order, const Work& work) const {
    const std::int64_t queries = op_->src[0]->ne[1];
    int tile = 1;
    for (std::int64_t query = 0; query < queries; query += tile) {
      // Each query of a tile sees one cell that the one before it does not.
      const auto cells = static_cast<std::int64_t>(order.cells(query).size()) + kRowsTogether;
      tile = order.together(query, tile_queries(static_cast<int>(parts_.together), cells));
      std::int64_t of_part = 0;
      for (int i = 0; i < tile; ++i) of_part += cost(order, query + i);
      if (!work(query, tile, of_part)) return;
    }
  }

  // What costs [begin, end) of all.
  void compute_run(const KvOrder& order, std::int64_t begin, std::int64_t end) {
    std::int64_t at = 0;
    for_tiles(order, [&](std::int64_t query, int tile, std::int64_t of_part) {
      if (at + of_part * parts_.per_query() <= begin) {
        at += of_part * parts_.per_query();
        return true;
      }
      for (std::int64_t part = 0, count = 1; part < parts_.per_query(); part += count, count = 1) {
        std::int64_t first = query + tile;  // of the tile's queries, those of this run
        std::int64_t last = query;
        for (std::int64_t i = query; i < query + tile; at += cost(order, i), ++i)
          if (at >= begin && at < end) {
            first = std::min(first, i);
            last = i + 1;
          }
        if (first == query + tile) continue;
        // One head at a time for a good split; those of one KV head that fell to this thread read
        // its cells once.
        for (; tile == 1 && at < end && goes_on(part, count); ++count) at += cost(order, query);
        compute_part(order, first, static_cast<int>(last - first), part, static_cast<int>(count));
      }
      return at < end;
    });
  }

  // Whether part + count is another single head of the same KV head as `part`.
  bool goes_on(std::int64_t part, std::int64_t count) const {
    return parts_.together == 1 && count < kHeadsTogether &&
           (part + count) / parts_.heads == part / parts_.heads;
  }

  // One more than the cells: a query that sees none costs something, and has a place in the run.
  static std::int64_t cost(const KvOrder& order, std::int64_t query) {
    return static_cast<std::int64_t>(order.cells(query).size()) + 1;
  }

  // `parts` of them, from `part` on, which share a KV head.
  void compute_part(const KvOrder& order, std::int64_t query, int queries, std::int64_t part,
                    int parts) {
    const ggml_tensor* q = op_->src[0];
    const ggml_tensor* k = op_->src[1];
    const ggml_tensor* v = op_->src[2];
    const std::int64_t kv_head = part / parts_.per_kv_head();
    const std::int64_t first = part % parts_.per_kv_head() * parts_.together;
    const std::int64_t head = kv_head * parts_.heads + first;

    AttentionTile& tile = tile_;
    tile.queries = queries;
    tile.heads = static_cast<int>(std::min(parts * parts_.together, parts_.heads - first));
    tile.q = reinterpret_cast<const float*>(static_cast<const char*>(q->data) +
                                            static_cast<std::size_t>(query) * q->nb[1] +
                                            static_cast<std::size_t>(head) * q->nb[2]);
    tile.q_stride = q->nb[2] / sizeof(float);
    tile.q_next = q->nb[1] / sizeof(float);
    tile.out = reinterpret_cast<float*>(static_cast<char*>(op_->data) +
                                        static_cast<std::size_t>(head) * op_->nb[1] +
                                        static_cast<std::size_t>(query) * op_->nb[2]);
    tile.out_stride = op_->nb[1] / sizeof(float);
    tile.out_next = op_->nb[2] / sizeof(float);
    if (op_->src[4] != nullptr) tile.sinks = static_cast<const float*>(op_->src[4]->data) + head;
    tile.scale = set_.scale;
    tile.soft_cap = set_.soft_cap;
    tile.cells = order.cells(query).data();
    for (int i = 0; i < queries; ++i) {
      const std::span<const std::int32_t> cells = order.cells(query + i);
      const auto begin = static_cast<std::int32_t>(cells.data() - tile.cells);
      tile.ranges[i] = {begin, begin + static_cast<std::int32_t>(cells.size())};
    }
    if (tile.ranges[0].end == 0) {  // it sees nothing, and is alone
      for (int h = 0; h < tile.heads; ++h)
        std::memset(tile.out + static_cast<std::size_t>(h) * tile.out_stride, 0,
                    static_cast<std::size_t>(v->ne[0]) * sizeof(float));
      return;
    }
    AttentionKv kv;
    kv.cells = *cells_of(k->type);
    kv.head_size = static_cast<int>(k->ne[0]);
    kv.head_size_v = static_cast<int>(v->ne[0]);
    kv.k = keys(kv_head);
    kv.v = static_cast<const std::byte*>(v->data) + static_cast<std::size_t>(kv_head) * v->nb[2];
    kv.k_stride = k->nb[1];
    kv.v_stride = v->nb[1];
    announce(order, query, part + parts - 1);
    active_table()->attend(kv, tile, scratch_);
  }

  // The keys that are needed next: those of the next KV head, or of the next query.
  void announce(const KvOrder& order, std::int64_t query, std::int64_t part) {
    const std::int64_t kv_head = part / parts_.per_kv_head();
    const std::int64_t next_head = (part + 1) % parts_.per_query() / parts_.per_kv_head();
    const std::int64_t next_query = part + 1 < parts_.per_query() ? query : query + tile_.queries;
    tile_.next_count = 0;
    if (next_query == op_->src[0]->ne[1]) return;
    if (next_query == query && next_head == kv_head) return;  // the same keys
    const std::span<const std::int32_t> cells = order.cells(next_query);
    tile_.next_k = keys(next_head);
    tile_.next_cells = cells.data();
    tile_.next_count = static_cast<std::int64_t>(cells.size());
  }

  const std::byte* keys(std::int64_t kv_head) const {
    const ggml_tensor* k = op_->src[1];
    return static_cast<const std::byte*>(k->data) + static_cast<std::size_t>(kv_head) * k->nb[2];
  }

  const ggml_compute_params& params_;
  ggml_tensor* op_;
  Parameters set_;
  Parts parts_;
  float* scratch_ = nullptr;
  AttentionTile tile_;
};

}  // namespace

bool covers_attention(const ggml_tensor* op) {
  const ggml_tensor* q = op->src[0];
  const ggml_tensor* k = op->src[1];
  const ggml_tensor* v = op->src[2];
  const ggml_tensor* mask = op->src[3];
  const std::int64_t whole = std::max<std::int64_t>(8, ggml_blck_size(k->type));
  const auto head_size = [&](std::int64_t size) {
    return size % whole == 0 && size <= kHeadSizeMax;
  };
  return q->type == GGML_TYPE_F32 && cells_of(k->type).has_value() && v->type == k->type &&
         mask != nullptr && mask->type == GGML_TYPE_F16 && mask->ne[2] == 1 &&
         head_size(k->ne[0]) && head_size(v->ne[0]) && q->ne[3] == 1 && k->ne[3] == 1 &&
         q->ne[2] % k->ne[2] == 0 && k->ne[2] == v->ne[2] && q->nb[0] == sizeof(float) &&
         k->nb[0] == ggml_type_size(k->type) && v->nb[0] == k->nb[0] &&
         op->nb[0] == sizeof(float) && parameters(op).max_bias == 0.0F;
}

std::size_t attention_work_bytes(int threads, const ggml_tensor* op) {
  const auto floats = static_cast<std::size_t>(attention_scratch(op->src[1]->ne[1]));
  return static_cast<std::size_t>(threads) * (floats * sizeof(float) + 64);
}

void compute_attention(const ggml_compute_params& params, ggml_tensor* op) {
  const std::int64_t queries = op->src[0]->ne[1];
  const KvLayer* layer = layer_of(op);
  if (layer == nullptr) {  // no cache: each thread lists all cells for itself
    KvOrder order(nullptr);
    order.prepare(*op->src[3], queries);
    Attention(params, op).compute(order);
    return;
  }
  if (layer->first) {
    if (params.ith == 0) layer->order->prepare(*op->src[3], queries);
    ggml_barrier(params.threadpool);
  }
  Attention(params, op).compute(*layer->order);
}

}  // namespace choir::kernels
