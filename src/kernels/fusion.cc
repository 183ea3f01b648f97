#include "kernels/fusion.h"

#include <algorithm>

#include "base/check.h"

namespace choir::kernels {
namespace {

// How far behind a norm its readers are looked for; a layer has some 30 nodes.
constexpr int kLookAhead = 48;
constexpr std::size_t kLine = 64;

std::size_t lines(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

int use_count(const ggml_cgraph& graph, const ggml_tensor* tensor) {
  const std::size_t at = ggml_hash_find(&graph.visited_hash_set, tensor);
  return ggml_bitset_get(graph.visited_hash_set.used, at) ? graph.use_counts[at] : 0;
}

bool is_output(const ggml_tensor* tensor) { return (tensor->flags & GGML_TENSOR_FLAG_OUTPUT) != 0; }

// Only the run itself reads it.
bool is_inner(const ggml_cgraph& graph, const ggml_tensor* tensor) {
  return use_count(graph, tensor) == 1 && !is_output(tensor);
}

bool is_plain_rows(const ggml_tensor* tensor) {
  return tensor->type == GGML_TYPE_F32 && ggml_is_contiguous(tensor);
}

bool reads(const ggml_tensor* node, const ggml_tensor* tensor) {
  return std::find(std::begin(node->src), std::end(node->src), tensor) != std::end(node->src);
}

// Written while the other is read: either not the same memory at all, or place for place.
bool apart_or_same(const ggml_tensor* a, const ggml_tensor* b) {
  const auto* x = static_cast<const std::byte*>(a->data);
  const auto* y = static_cast<const std::byte*>(b->data);
  return x == y || x + ggml_nbytes(a) <= y || y + ggml_nbytes(b) <= x;
}

bool apart(const ggml_tensor* a, const ggml_tensor* b) {
  return a->data != b->data && apart_or_same(a, b);
}

// One matrix of packed weights times rows.
bool is_product(const ggml_tensor* node) {
  if (node->op != GGML_OP_MUL_MAT || !is_packed(node->src[0])) return false;
  const ggml_tensor* x = node->src[1];
  return is_plain_rows(x) && ggml_is_contiguous(node) && x->ne[2] == 1 && x->ne[3] == 1 &&
         packed_view(node->src[0]).count == 1;
}

// The other operand of `node`, an ADD of `tensor` and rows of the same shape; or null.
const ggml_tensor* added_to(const ggml_tensor* node, const ggml_tensor* tensor) {
  if (node->op != GGML_OP_ADD || node->src[0] == node->src[1]) return nullptr;
  if (node->src[0] != tensor && node->src[1] != tensor) return nullptr;
  const ggml_tensor* other = node->src[0] == tensor ? node->src[1] : node->src[0];
  const bool alike = ggml_are_same_shape(node, tensor) && ggml_are_same_shape(other, tensor) &&
                     is_plain_rows(node) && is_plain_rows(other) && apart_or_same(node, other);
  return alike ? other : nullptr;
}

// `mul` gives the rows of `norm` a weight for each column.
bool is_weighted(const ggml_tensor* mul, const ggml_tensor* norm) {
  if (mul->op != GGML_OP_MUL || !reads(mul, norm) || mul->src[0] == mul->src[1]) return false;
  const ggml_tensor* weight = mul->src[0] == norm ? mul->src[1] : mul->src[0];
  const std::int64_t columns = norm->ne[0];
  return weight->type == GGML_TYPE_F32 && weight->ne[0] == columns && ggml_nrows(weight) == 1 &&
         columns % kBlockColumns == 0 && is_plain_rows(norm->src[0]) && is_plain_rows(mul) &&
         ggml_are_same_shape(mul, norm->src[0]);
}

// What `step` writes is no row that `other` still reads.
bool writes_beside(const NormStep& step, const NormStep& other) {
  return step.out == nullptr ||
         (apart_or_same(step.out, other.x) &&
          (other.residual == nullptr || apart_or_same(step.out, other.residual)));
}

}  // namespace

int GraphPlan::next(const ggml_cgraph& graph, int at) const {
  for (++at; at < graph.n_nodes; ++at)
    if (!ggml_op_is_empty(graph.nodes[at]->op) && !nodes_[static_cast<std::size_t>(at)].dropped)
      break;
  return at;
}

int GraphPlan::add_ready(const PackedShape& shape, std::int64_t rows, int begin, int end) {
  ready_.push_back(
      {.shape = shape, .rows = rows, .data = nullptr, .slot = static_cast<int>(uses_.size())});
  uses_.push_back({.bytes = lines(prepared_bytes(shape) * static_cast<std::size_t>(rows)),
                   .begin = begin,
                   .end = end,
                   .offset = 0});
  return static_cast<int>(ready_.size()) - 1;
}

Fused& GraphPlan::fuse(int at, Fused::Kind kind) {
  if (pool_used_ == pool_.size()) pool_.push_back(std::make_unique<Fused>());
  Fused& fused = *pool_[pool_used_++];
  fused.kind = kind;
  fused.count = 0;
  fused.plan = this;
  fused.next.store(0, std::memory_order_relaxed);
  node(at).fused = &fused;
  return fused;
}

int GraphPlan::make_ready(const ggml_cgraph& graph, int at, int mul_at, NormStep& step) {
  const ggml_tensor* mul = graph.nodes[mul_at];
  const int uses = use_count(graph, mul);
  int found = 0;
  int products = 0;
  std::size_t kinds = 0;
  for (int i = mul_at + 1; i < graph.n_nodes && i < mul_at + kLookAhead && found < uses; ++i) {
    const ggml_tensor* reader = graph.nodes[i];
    found += static_cast<int>(std::count(std::begin(reader->src), std::end(reader->src), mul));
    if (!is_product(reader) || reader->src[1] != mul) continue;
    const PackedShape shape = packed_view(reader->src[0]).shape;
    auto* const end = step.ready.begin() + kinds;
    auto* const mine = std::find_if(step.ready.begin(), end, [&](int index) {
      return same_rows(ready(index).shape.type, shape.type);
    });
    if (mine == step.ready.end()) continue;
    if (mine == end) step.ready[kinds++] = add_ready(shape, ggml_nrows(mul), at, i);
    node(i).ready = *mine;
    uses_[static_cast<std::size_t>(ready(*mine).slot)].end = i;
    ++products;
  }
  if (products < uses || is_output(mul)) step.out = graph.nodes[mul_at];
  return products;
}

Fused* GraphPlan::norms_before(const ggml_cgraph& graph, int at, const NormStep& step) {
  for (--at; at >= 0; --at) {
    if (ggml_op_is_empty(graph.nodes[at]->op) || node(at).dropped) continue;
    Fused* before = node(at).fused;
    const bool goes_on = before != nullptr && before->kind == Fused::Kind::kNorms &&
                         before->count < Fused::kSteps &&
                         before->steps[static_cast<std::size_t>(before->count) - 1].out == step.x;
    return goes_on ? before : nullptr;
  }
  return nullptr;
}

void GraphPlan::find_norm(const ggml_cgraph& graph, int at) {
  const ggml_tensor* norm = graph.nodes[at];
  const int mul_at = next(graph, at);
  if (mul_at >= graph.n_nodes || !is_inner(graph, norm)) return;
  ggml_tensor* mul = graph.nodes[mul_at];
  if (!is_weighted(mul, norm)) return;
  NormStep step;
  step.x = norm->src[0];
  step.weight = mul->src[0] == norm ? mul->src[1] : mul->src[0];
  step.epsilon = ggml_get_op_params_f32(norm, 0);

  const auto ready_before = static_cast<int>(ready_.size());
  int end = mul_at;  // the last node that is part of the step
  if (make_ready(graph, at, mul_at, step) == 0) {
    end = next(graph, mul_at);
    if (end >= graph.n_nodes || !is_inner(graph, mul)) return;
    step.residual = added_to(graph.nodes[end], mul);
    if (step.residual == nullptr) return;
    step.out = graph.nodes[end];
  }

  // Rows that a step before has just made go on to this one without a barrier.
  Fused* before = norms_before(graph, at, step);
  bool safe = writes_beside(step, step);
  for (int i = 0; before != nullptr && i < before->count; ++i) {
    const NormStep& other = before->steps[static_cast<std::size_t>(i)];
    safe = safe && writes_beside(step, other) &&
           (step.out == nullptr || other.out == nullptr || apart(step.out, other.out));
  }
  if (!safe) {
    for (int i = mul_at + 1; i < graph.n_nodes && i < mul_at + kLookAhead; ++i)
      if (node(i).ready >= ready_before) node(i).ready = -1;
    return;
  }
  node(mul_at).dropped = true;
  node(end).dropped = true;
  if (before != nullptr)
    node(at).dropped = true;
  else
    before = &fuse(at, Fused::Kind::kNorms);
  before->steps[static_cast<std::size_t>(before->count++)] = step;
}

void GraphPlan::find_norms(const ggml_cgraph& graph) {
  for (int at = 0; at < graph.n_nodes; ++at)
    if (graph.nodes[at]->op == GGML_OP_RMS_NORM) find_norm(graph, at);
}

void GraphPlan::find_glus(const ggml_cgraph& graph) {
  for (int at = 0; at < graph.n_nodes; ++at) {
    const ggml_tensor* glu = graph.nodes[at];
    if (glu->op != GGML_OP_GLU || glu->src[1] == nullptr || !is_inner(graph, glu)) continue;
    const int kind = ggml_get_op_params_i32(glu, 0);
    if (kind != GGML_GLU_OP_SWIGLU && kind != GGML_GLU_OP_GEGLU) continue;
    int gate = -1;
    int up = -1;
    for (int i = at - 1; i >= 0 && i > at - kLookAhead; --i) {
      if (graph.nodes[i] == glu->src[0]) gate = i;
      if (graph.nodes[i] == glu->src[1]) up = i;
    }
    if (gate < 0 || up < 0 || gate == up || node(gate).ready < 0 ||
        node(gate).ready != node(up).ready || !is_inner(graph, glu->src[0]) ||
        !is_inner(graph, glu->src[1]))
      continue;
    const PackedWeight gates = packed_view(glu->src[0]->src[0]);
    const PackedWeight ups = packed_view(glu->src[1]->src[0]);
    if (gates.shape.type != ups.shape.type || gates.shape.rows != ups.shape.rows ||
        gates.shape.rows % kBlockColumns != 0)
      continue;
    int down = at + 1;
    while (down < graph.n_nodes && down < at + kLookAhead && !reads(graph.nodes[down], glu)) ++down;
    if (down >= graph.n_nodes || !is_product(graph.nodes[down]) || graph.nodes[down]->src[1] != glu)
      continue;
    Fused& fused = fuse(at, Fused::Kind::kGlu);
    fused.glu.gate = gates;
    fused.glu.up = ups;
    fused.glu.kind = kind == GGML_GLU_OP_SWIGLU ? GluKind::kSilu : GluKind::kGelu;
    fused.glu.from = node(gate).ready;
    fused.glu.to =
        add_ready(packed_view(graph.nodes[down]->src[0]).shape, ggml_nrows(glu), at, down);
    uses_[static_cast<std::size_t>(ready(fused.glu.from).slot)].end =
        std::max(uses_[static_cast<std::size_t>(ready(fused.glu.from).slot)].end, at);
    node(down).ready = fused.glu.to;
    node(gate).dropped = node(up).dropped = true;
  }
}

// Products of the same ready rows, computed where the first one stands.
void GraphPlan::merge_products(const ggml_cgraph& graph, int first) {
  Fused& fused = *node(first).fused;
  const int ready = node(first).ready;
  for (int i = first + 1;
       i < graph.n_nodes && i < first + kLookAhead && fused.count < Fused::kProducts; ++i) {
    if (node(i).dropped || node(i).ready != ready || node(i).fused != nullptr) continue;
    ggml_tensor* product = graph.nodes[i];
    if (is_output(product)) continue;
    const int after = next(graph, i);
    if (after < graph.n_nodes && is_inner(graph, product) &&
        added_to(graph.nodes[after], product) != nullptr)
      continue;  // has a run of its own
    fused.products[static_cast<std::size_t>(fused.count++)] = {
        .weight = packed_view(product->src[0]),
        .ready = ready,
        .x = product->src[1],
        .out = product,
        .residual = nullptr};
    node(i).dropped = true;
    moved_.push_back({.tensor = product, .begin = first, .end = i, .slot = 0});
  }
}

void GraphPlan::find_products(const ggml_cgraph& graph) {
  for (int at = 0; at < graph.n_nodes; ++at) {
    ggml_tensor* product = graph.nodes[at];
    if (node(at).dropped || node(at).fused != nullptr || !is_product(product)) continue;
    FusedProduct one = {.weight = packed_view(product->src[0]),
                        .ready = node(at).ready,
                        .x = product->src[1],
                        .out = product,
                        .residual = nullptr};
    const int after = next(graph, at);
    if (after < graph.n_nodes && node(after).fused == nullptr && is_inner(graph, product)) {
      ggml_tensor* add = graph.nodes[after];
      const ggml_tensor* residual = added_to(add, product);
      // Rows that are not ready yet are read while others already write.
      if (residual != nullptr && (one.ready >= 0 || apart(add, one.x))) {
        one.residual = residual;
        one.out = add;
        node(at).dropped = true;
        if (one.ready >= 0) {
          Use& use = uses_[static_cast<std::size_t>(ready(one.ready).slot)];
          use.end = std::max(use.end, after);
        }
        Fused& fused = fuse(after, Fused::Kind::kProducts);
        fused.products[0] = one;
        fused.count = 1;
        continue;
      }
    }
    if (one.ready < 0) continue;
    Fused& fused = fuse(at, Fused::Kind::kProducts);
    fused.products[0] = one;
    fused.count = 1;
    merge_products(graph, at);
  }
}

void GraphPlan::lend_memory(const ggml_cgraph& graph) {
  // Until when a moved product is read, also through views.
  if (!moved_.empty())
    for (int at = 0; at < graph.n_nodes; ++at)
      for (const ggml_tensor* source : graph.nodes[at]->src) {
        if (source == nullptr) continue;
        const ggml_tensor* root = source->view_src != nullptr ? source->view_src : source;
        for (Moved& moved : moved_)
          if (moved.tensor == root) moved.end = std::max(moved.end, at);
      }
  for (Moved& moved : moved_) {
    moved.slot = uses_.size();
    uses_.push_back({.bytes = lines(ggml_nbytes(moved.tensor)),
                     .begin = moved.begin,
                     .end = moved.end,
                     .offset = 0});
  }
  // First fit, in the order in which they begin.
  std::vector<std::size_t> order(uses_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return uses_[a].begin < uses_[b].begin; });
  std::size_t most = 0;
  std::vector<std::size_t> alive;
  for (const std::size_t i : order) {
    Use& use = uses_[i];
    std::erase_if(alive, [&](std::size_t j) { return uses_[j].end < use.begin; });
    std::sort(alive.begin(), alive.end(),
              [&](std::size_t a, std::size_t b) { return uses_[a].offset < uses_[b].offset; });
    std::size_t at = 0;
    for (const std::size_t j : alive) {
      if (at + use.bytes <= uses_[j].offset) break;
      at = std::max(at, uses_[j].offset + uses_[j].bytes);
    }
    use.offset = at;
    alive.push_back(i);
    most = std::max(most, at + use.bytes);
  }
  if (memory_.size() < most + kLine) memory_.resize(most + kLine);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(memory_.data()) % kLine;
  std::byte* base = memory_.data() + (past == 0 ? 0 : kLine - past);
  for (ReadyRows& ready : ready_)
    ready.data = base + uses_[static_cast<std::size_t>(ready.slot)].offset;
  for (const Moved& moved : moved_) moved.tensor->data = base + uses_[moved.slot].offset;
  if (moved_.empty()) return;
  for (int at = 0; at < graph.n_nodes; ++at) {
    ggml_tensor* view = graph.nodes[at];
    if (view->view_src == nullptr) continue;
    for (const Moved& moved : moved_)
      if (moved.tensor == view->view_src)
        view->data = static_cast<std::byte*>(moved.tensor->data) + view->view_offs;
  }
}

ggml_cgraph GraphPlan::apply(const ggml_cgraph& graph) {
  CHOIR_CHECK(kept_.empty(), "one graph at a time");
  nodes_.assign(static_cast<std::size_t>(graph.n_nodes), {});
  ready_.clear();
  uses_.clear();
  moved_.clear();
  find_norms(graph);
  find_glus(graph);
  find_products(graph);
  lend_memory(graph);
  for (int at = 0; at < graph.n_nodes; ++at) {
    if (node(at).dropped) continue;
    if (node(at).fused != nullptr) graph.nodes[at]->extra = node(at).fused;
    kept_.push_back(graph.nodes[at]);
  }
  ggml_cgraph fused = graph;
  fused.nodes = kept_.data();
  fused.n_nodes = static_cast<int>(kept_.size());
  return fused;
}

void GraphPlan::clear() {
  for (std::size_t i = 0; i < kept_.size(); ++i)
    if (is_fused(kept_[i])) kept_[i]->extra = nullptr;
  kept_.clear();
  pool_used_ = 0;
}

}  // namespace choir::kernels
