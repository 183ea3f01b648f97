// Heads on their way from products to attention: norm, rope and the rows of the KV cache.
#include <algorithm>
#include <cstring>
#include <optional>

#include "kernels/fusion.h"
#include "kernels/graph_facts.h"

namespace choir::kernels {
namespace {

constexpr int kLanes = 16;

bool is_heads(const ggml_tensor* x) {
  return x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && x->nb[1] % sizeof(float) == 0 &&
         x->nb[2] % sizeof(float) == 0 && x->ne[0] % kLanes == 0 && x->ne[0] <= kHeadSizeMax &&
         x->ne[3] == 1;
}

struct Rope {
  int dims = 0;
  int mode = 0;
  int first_dim = 0;
};
Rope rope_of(const ggml_tensor* node) {
  return {ggml_get_op_params_i32(node, 1), ggml_get_op_params_i32(node, 2),
          ggml_get_op_params_i32(node, 15)};
}

bool is_rope(const ggml_tensor* node) {
  if (node->op != GGML_OP_ROPE || !is_heads(node->src[0]) || !is_heads(node)) return false;
  const Rope rope = rope_of(node);
  if (rope.first_dim != 0 || rope.dims > node->ne[0]) return false;
  if (rope.mode == GGML_ROPE_TYPE_NORMAL) return rope.dims % kLanes == 0;
  return rope.mode == GGML_ROPE_TYPE_NEOX && rope.dims % (2 * kLanes) == 0;
}

// Rows of floats that become rows of halves, one for each token.
bool is_store(const ggml_tensor* node) {
  if (node->op != GGML_OP_SET_ROWS || node->type != GGML_TYPE_F16) return false;
  const ggml_tensor* x = node->src[0];
  const ggml_tensor* ids = node->src[1];
  return x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && x->nb[1] % sizeof(float) == 0 &&
         x->ne[0] % kLanes == 0 && x->ne[2] == 1 && x->ne[3] == 1 && ids->type == GGML_TYPE_I64 &&
         ids->nb[0] == sizeof(std::int64_t) && node->nb[0] == sizeof(ggml_fp16_t);
}

// `x` is all heads of `heads`, a token to a row.
bool is_rows_of(const ggml_tensor* x, const ggml_tensor* heads) {
  return x->view_src == heads && x->view_offs == 0 && x->ne[0] == heads->ne[0] * heads->ne[1] &&
         x->ne[1] == heads->ne[2] && ggml_nelements(x) == ggml_nelements(heads) &&
         x->nb[1] == heads->nb[2] && ggml_is_contiguous(heads);
}

// A weight for each column of a head.
const ggml_tensor* weight_of(const ggml_tensor* mul, const ggml_tensor* norm) {
  if (mul->op != GGML_OP_MUL || !reads(mul, norm) || mul->src[0] == mul->src[1]) return nullptr;
  const ggml_tensor* weight = mul->src[0] == norm ? mul->src[1] : mul->src[0];
  const bool alike = weight->type == GGML_TYPE_F32 && weight->nb[0] == sizeof(float) &&
                     weight->ne[0] == norm->ne[0] && ggml_nrows(weight) == 1 &&
                     ggml_are_same_shape(mul, norm);
  return alike ? weight : nullptr;
}

// Both ropes turn by the same angles.
bool same_angles(const ggml_tensor* a, const ggml_tensor* b) {
  return a->src[1] == b->src[1] && a->src[2] == b->src[2] &&
         std::memcmp(a->op_params, b->op_params, sizeof a->op_params) == 0;
}

// What `step` writes is nothing that `other` reads or writes.
bool writes_apart(const HeadStep& step, const HeadStep& other) {
  const ggml_tensor* written = step.out != nullptr ? step.out : step.cells;
  const ggml_tensor* others = other.out != nullptr ? other.out : other.cells;
  return apart(written, other.x) && apart(written, others) &&
         (other.ids == nullptr || apart(written, other.ids));
}

bool writes_its_own(const HeadStep& step) {
  const ggml_tensor* written = step.out != nullptr ? step.out : step.cells;
  const bool in_place = written->data == step.x->data && written->nb[1] == step.x->nb[1] &&
                        written->nb[2] == step.x->nb[2];
  return in_place || apart(written, step.x);
}

}  // namespace

int GraphPlan::angles_of(const ggml_tensor* rope, std::int64_t tokens, bool& made) {
  for (std::size_t i = 0; i < angles_used_; ++i)
    if (same_angles(angles_[i]->rope, rope) && angles_[i]->tokens == tokens)
      return static_cast<int>(i);
  if (angles_used_ == angles_.size()) angles_.push_back(std::make_unique<Angles>());
  Angles& angles = *angles_[angles_used_];
  const Rope parameters = rope_of(rope);
  angles.rope = rope;
  angles.dims = parameters.dims;
  angles.neighbours = parameters.mode == GGML_ROPE_TYPE_NORMAL;
  angles.tokens = tokens;
  angles.values.resize(angles.floats() * static_cast<std::size_t>(tokens));
  made = true;
  return static_cast<int>(angles_used_++);
}

GraphPlan::HeadRun GraphPlan::head_run(const ggml_cgraph& graph, int at) const {
  HeadRun run;
  run.end = at;
  const ggml_tensor* node = graph.nodes[at];
  HeadStep& step = run.step;
  step.x = node->src[0];
  // Goes on to the next node where it is the only one that reads this one.
  const auto goes_on = [&] {
    const int after = next(graph, run.end);
    if (after == graph.n_nodes || !is_inner(graph, graph.nodes[run.end])) return false;
    return nodes_[static_cast<std::size_t>(after)].fused == nullptr;
  };
  const auto step_on = [&] { node = graph.nodes[run.end = next(graph, run.end)]; };

  if (is_store(node)) {
    step.size = static_cast<int>(step.x->ne[0]);
    step.heads = 1;
    step.cells = graph.nodes[at];
    step.ids = node->src[1];
    run.tokens = step.x->ne[1];
    return run;
  }
  if (node->op == GGML_OP_RMS_NORM) {
    step.epsilon = ggml_get_op_params_f32(node, 0);
    if (!is_heads(step.x) || !goes_on()) return run;
    const ggml_tensor* norm = node;
    step_on();
    step.weight = weight_of(node, norm);
    if (step.weight == nullptr || !goes_on()) return run;
    const ggml_tensor* mul = node;
    step_on();
    if (node->src[0] != mul) return run;
  }
  if (!is_rope(node)) return run;
  run.rope = node;
  step.turned = true;
  step.size = static_cast<int>(step.x->ne[0]);
  step.heads = static_cast<int>(step.x->ne[1]);
  run.tokens = step.x->ne[2];
  step.out = graph.nodes[run.end];
  if (goes_on()) {
    const ggml_tensor* scale = graph.nodes[next(graph, run.end)];
    if (scale->op == GGML_OP_SCALE && scale->src[0] == node && is_heads(scale) &&
        ggml_get_op_params_f32(scale, 1) == 0.0F) {
      step_on();
      step.scale = ggml_get_op_params_f32(node, 0);
      step.out = graph.nodes[run.end];
    }
  }
  if (goes_on()) {
    ggml_tensor* store = graph.nodes[next(graph, run.end)];
    if (is_store(store) && is_rows_of(store->src[0], node) && is_inner(graph, store->src[0])) {
      step_on();
      step.out = nullptr;
      step.cells = store;
      step.ids = store->src[1];
    }
  }
  return run;
}

void GraphPlan::find_heads(const ggml_cgraph& graph) {
  for (int at = 0; at < graph.n_nodes; ++at) {
    if (node(at).dropped || node(at).fused != nullptr) continue;
    Fused* fused = nullptr;
    const ggml_tensor* rope = nullptr;
    std::int64_t tokens = 0;
    for (int i = at; i < graph.n_nodes && node(i).fused == nullptr;) {
      const HeadRun run = head_run(graph, i);
      const HeadStep& step = run.step;
      if (!run.whole() || (rope != nullptr && run.rope != nullptr && !same_angles(rope, run.rope)))
        break;
      bool safe = writes_its_own(step) && (step.ids == nullptr || apart(step.cells, step.ids));
      if (fused != nullptr) {
        safe = safe && run.tokens == tokens && fused->count < Fused::kHeads;
        for (int j = 0; j < fused->count; ++j) {
          const HeadStep& other = fused->heads[static_cast<std::size_t>(j)];
          safe = safe && writes_apart(step, other) && writes_apart(other, step);
        }
      }
      if (!safe) break;
      tokens = run.tokens;
      if (rope == nullptr) rope = run.rope;
      const int after = next(graph, run.end);
      for (int j = i; j <= run.end; ++j)
        if (!ggml_op_is_empty(graph.nodes[j]->op)) node(j).dropped = true;
      if (fused == nullptr) {
        fused = &fuse(at, Fused::Kind::kHeads);
        node(at).dropped = false;
      }
      fused->heads[static_cast<std::size_t>(fused->count++)] = step;
      i = after;
    }
    if (fused == nullptr) continue;
    fused->makes_angles = false;
    fused->angles = rope == nullptr ? -1 : angles_of(rope, tokens, fused->makes_angles);
  }
}

}  // namespace choir::kernels
