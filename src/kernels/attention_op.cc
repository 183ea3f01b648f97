#include "kernels/attention_op.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows
#include "kernels/kernel_table.h"
#include "kernels/kv_order.h"

namespace choir::kernels {
namespace {

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
  std::int64_t per_kv_head() const { return (heads + together - 1) / together; }
  std::int64_t per_query() const { return kv_heads * per_kv_head(); }
};

Parts parts_of(const ggml_tensor* op, int threads) {
  Parts parts;
  parts.kv_heads = op->src[1]->ne[2];
  parts.heads = op->src[0]->ne[2] / parts.kv_heads;
  parts.together = std::min<std::int64_t>(parts.heads, kHeadsTogether);
  // Few queries: smaller parts, so that every thread has some.
  if (parts.kv_heads * op->src[0]->ne[1] < 2 * threads) parts.together = 1;
  return parts;
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

  // This thread's share: a run of parts whose cost, counted in cells, is its share of all.
  void compute(const KvOrder* order) {
    const std::int64_t queries = op_->src[0]->ne[1];
    std::int64_t total = 0;
    for (std::int64_t query = 0; query < queries; ++query) total += cost(order, query);
    total *= parts_.per_query();
    const std::int64_t begin = total * params_.ith / params_.nth;
    const std::int64_t end = total * (params_.ith + 1) / params_.nth;
    std::int64_t at = 0;
    for (std::int64_t query = 0; query < queries; ++query) {
      const std::int64_t each = cost(order, query);
      for (std::int64_t part = 0; part < parts_.per_query(); ++part, at += each)
        if (at >= begin && at < end) compute_part(cells_of(order, query), query, part);
    }
  }

 private:
  // One more than the cells: a query that sees none costs something, and has a place in the run.
  std::int64_t cost(const KvOrder* order, std::int64_t query) const {
    return order == nullptr ? op_->src[1]->ne[1] + 1
                            : static_cast<std::int64_t>(order->cells(query).size()) + 1;
  }

  std::span<const std::int32_t> cells_of(const KvOrder* order, std::int64_t query) {
    if (order != nullptr) return order->cells(query);
    if (seen_query_ != query) KvOrder::visible(*op_->src[3], query, seen_);
    seen_query_ = query;
    return seen_;
  }

  void compute_part(std::span<const std::int32_t> cells, std::int64_t query_index,
                    std::int64_t part) {
    const ggml_tensor* q = op_->src[0];
    const ggml_tensor* k = op_->src[1];
    const ggml_tensor* v = op_->src[2];
    const std::int64_t kv_head = part / parts_.per_kv_head();
    const std::int64_t first = part % parts_.per_kv_head() * parts_.together;
    const std::int64_t head = kv_head * parts_.heads + first;

    AttentionQuery query;
    query.heads = static_cast<int>(std::min(parts_.together, parts_.heads - first));
    query.q = reinterpret_cast<const float*>(static_cast<const char*>(q->data) +
                                             static_cast<std::size_t>(query_index) * q->nb[1] +
                                             static_cast<std::size_t>(head) * q->nb[2]);
    query.q_stride = q->nb[2] / sizeof(float);
    query.out = reinterpret_cast<float*>(static_cast<char*>(op_->data) +
                                         static_cast<std::size_t>(head) * op_->nb[1] +
                                         static_cast<std::size_t>(query_index) * op_->nb[2]);
    query.out_stride = op_->nb[1] / sizeof(float);
    if (op_->src[4] != nullptr) query.sinks = static_cast<const float*>(op_->src[4]->data) + head;
    query.scale = set_.scale;
    query.soft_cap = set_.soft_cap;
    query.cells = cells.data();
    query.cell_count = static_cast<std::int64_t>(cells.size());
    if (cells.empty()) {
      for (int h = 0; h < query.heads; ++h)
        std::memset(query.out + static_cast<std::size_t>(h) * query.out_stride, 0,
                    static_cast<std::size_t>(v->ne[0]) * sizeof(float));
      return;
    }
    AttentionKv kv;
    kv.head_size = static_cast<int>(k->ne[0]);
    kv.head_size_v = static_cast<int>(v->ne[0]);
    kv.k = static_cast<const std::byte*>(k->data) + static_cast<std::size_t>(kv_head) * k->nb[2];
    kv.v = static_cast<const std::byte*>(v->data) + static_cast<std::size_t>(kv_head) * v->nb[2];
    kv.k_stride = k->nb[1];
    kv.v_stride = v->nb[1];
    active_table()->attend(kv, query, scratch_);
  }

  const ggml_compute_params& params_;
  ggml_tensor* op_;
  Parameters set_;
  Parts parts_;
  float* scratch_ = nullptr;
  std::vector<std::int32_t> seen_;
  std::int64_t seen_query_ = -1;
};

}  // namespace

bool covers_attention(const ggml_tensor* op) {
  const ggml_tensor* q = op->src[0];
  const ggml_tensor* k = op->src[1];
  const ggml_tensor* v = op->src[2];
  const ggml_tensor* mask = op->src[3];
  const auto head_size = [](std::int64_t size) { return size % 8 == 0 && size <= kHeadSizeMax; };
  return q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 &&
         mask != nullptr && mask->type == GGML_TYPE_F16 && mask->ne[2] == 1 &&
         head_size(k->ne[0]) && head_size(v->ne[0]) && q->ne[3] == 1 && k->ne[3] == 1 &&
         q->ne[2] % k->ne[2] == 0 && k->ne[2] == v->ne[2] && q->nb[0] == sizeof(float) &&
         k->nb[0] == 2 && v->nb[0] == 2 && op->nb[0] == sizeof(float) &&
         parameters(op).max_bias == 0.0F;
}

std::size_t attention_work_bytes(int threads, const ggml_tensor* op) {
  const auto floats = static_cast<std::size_t>(attention_scratch(op->src[1]->ne[1]));
  return static_cast<std::size_t>(threads) * (floats * sizeof(float) + 64);
}

void compute_attention(const ggml_compute_params& params, ggml_tensor* op) {
  const KvLayer* layer = layer_of(op);
  KvOrder* order = layer == nullptr ? nullptr : layer->order;
  if (layer != nullptr && layer->first) {
    if (params.ith == 0) order->prepare(*op->src[3], op->src[0]->ne[1]);
    ggml_barrier(params.threadpool);
  }
  Attention(params, op).compute(order);
}

}  // namespace choir::kernels
