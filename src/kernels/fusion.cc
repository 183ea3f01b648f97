#include "kernels/fusion.h"

#include <algorithm>

#include "kernels/graph_facts.h"
#include "kernels/product_op.h"

namespace choir::kernels {
namespace {

// How far behind a norm its readers are looked for; a layer has some 30 nodes.
constexpr int kLookAhead = 48;

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

int GraphPlan::add_ready(const PackedShape& shape, std::int64_t rows, int begin, int end) {
  ready_.push_back(
      {.shape = shape, .rows = rows, .data = nullptr, .slot = static_cast<int>(uses_.size())});
  uses_.push_back({.bytes = prepared_bytes(shape) * static_cast<std::size_t>(rows),
                   .begin = begin,
                   .end = end,
                   .offset = 0});
  return static_cast<int>(ready_.size()) - 1;
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
    // A bias looks like a residual where there is one row, and nothing is fused where there are
    // more.
    if (step.residual == nullptr || step.residual->op == GGML_OP_NONE) return;
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
    const PackedShape& to = ready(fused.glu.to).shape;
    const std::int64_t columns = ready_columns(to.type);
    fused.pieces = std::vector<std::atomic<std::int32_t>>(
        static_cast<std::size_t>((to.columns + columns - 1) / columns));
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
    move(product, first, i);
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

bool GraphPlan::reads_ready(const Fused& fused, const NormStep& step) const {
  const auto is_of_step = [&](int ready) {
    return ready >= 0 && std::find(step.ready.begin(), step.ready.end(), ready) != step.ready.end();
  };
  if (fused.kind == Fused::Kind::kGlu) return is_of_step(fused.glu.from);
  return fused.kind == Fused::Kind::kProducts && is_of_step(fused.products[0].ready);
}

void GraphPlan::find_norms_of_few_rows(const ggml_cgraph& graph) {
  for (int at = 0; at < graph.n_nodes; ++at) {
    const Fused* norm = node(at).fused;
    if (node(at).dropped || norm == nullptr || norm->kind != Fused::Kind::kNorms) continue;
    const NormStep& step = norm->steps[0];
    if (norm->count != 1 || step.out != nullptr || ggml_nrows(step.x) > kRowsPreparedTwice ||
        moved(step.x) != nullptr)
      continue;
    // Up to the last reader, nothing is written where the norm's rows lie.
    int last = at;
    for (int i = at + 1; i < graph.n_nodes && i < at + 2 * kLookAhead; ++i)
      if (node(i).fused != nullptr && reads_ready(*node(i).fused, step)) last = i;
    bool safe = true;
    for (int i = at + 1; i <= last; ++i)
      safe = safe && (node(i).dropped || ggml_op_is_empty(graph.nodes[i]->op) ||
                      apart(graph.nodes[i], step.x));
    if (!safe) continue;
    for (int i = at + 1; i <= last; ++i)
      if (node(i).fused != nullptr && reads_ready(*node(i).fused, step)) {
        node(i).fused->norm_first = true;
        node(i).fused->steps[0] = step;
      }
    node(at).dropped = true;
  }
}

}  // namespace choir::kernels
