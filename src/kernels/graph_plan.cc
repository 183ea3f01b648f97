#include <algorithm>

#include "base/check.h"
#include "kernels/fusion.h"

namespace choir::kernels {
namespace {

constexpr std::size_t kLine = 64;

std::size_t lines(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

}  // namespace

std::byte* PlanMemory::at_least(std::size_t bytes) {
  if (bytes_.size() < bytes + kLine) bytes_.resize(bytes + kLine);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(bytes_.data()) % kLine;
  return bytes_.data() + (past == 0 ? 0 : kLine - past);
}

int GraphPlan::next(const ggml_cgraph& graph, int at) const {
  for (++at; at < graph.n_nodes; ++at)
    if (!ggml_op_is_empty(graph.nodes[at]->op) && !nodes_[static_cast<std::size_t>(at)].dropped)
      break;
  return at;
}

Fused& GraphPlan::fuse(int at, Fused::Kind kind) {
  if (pool_used_ == pool_.size()) pool_.push_back(std::make_unique<Fused>());
  Fused& fused = *pool_[pool_used_++];
  fused.kind = kind;
  fused.count = 0;
  fused.norm_first = false;
  fused.pieces.clear();
  fused.plan = this;
  node(at).fused = &fused;
  return fused;
}

void GraphPlan::move(ggml_tensor* tensor, int begin, int end) {
  moved_.push_back({.tensor = tensor, .begin = begin, .end = end, .slot = uses_.size()});
  uses_.push_back({.bytes = ggml_nbytes(tensor), .begin = begin, .end = end, .offset = 0});
}

const GraphPlan::Moved* GraphPlan::moved(const ggml_tensor* tensor) const {
  const ggml_tensor* root = tensor->view_src != nullptr ? tensor->view_src : tensor;
  const auto found = std::lower_bound(
      moved_.begin(), moved_.end(), root,
      [](const Moved& a, const ggml_tensor* b) { return std::less<>()(a.tensor, b); });
  return found != moved_.end() && found->tensor == root ? &*found : nullptr;
}

void GraphPlan::sort_moved(const ggml_cgraph& graph) {
  if (moved_.empty()) return;
  std::sort(moved_.begin(), moved_.end(),
            [](const Moved& a, const Moved& b) { return std::less<>()(a.tensor, b.tensor); });
  // Until when a moved product is read, also through views.
  for (int at = 0; at < graph.n_nodes; ++at)
    for (const ggml_tensor* source : graph.nodes[at]->src) {
      if (source == nullptr) continue;
      const Moved* found = moved(source);
      if (found != nullptr) uses_[found->slot].end = std::max(uses_[found->slot].end, at);
    }
}

void GraphPlan::lend_memory(const ggml_cgraph& graph) {
  // First fit, in the order in which they begin.
  order_.resize(uses_.size());
  for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = i;
  std::sort(order_.begin(), order_.end(),
            [&](std::size_t a, std::size_t b) { return uses_[a].begin < uses_[b].begin; });
  std::size_t most = 0;
  alive_.clear();
  for (const std::size_t i : order_) {
    Use& use = uses_[i];
    std::erase_if(alive_, [&](std::size_t j) { return uses_[j].end < use.begin; });
    std::sort(alive_.begin(), alive_.end(),
              [&](std::size_t a, std::size_t b) { return uses_[a].offset < uses_[b].offset; });
    std::size_t at = 0;
    for (const std::size_t j : alive_) {
      if (at + lines(use.bytes) <= uses_[j].offset) break;
      at = std::max(at, uses_[j].offset + lines(uses_[j].bytes));
    }
    use.offset = at;
    alive_.push_back(i);
    most = std::max(most, at + lines(use.bytes));
  }
  memory_needed_ = most;
  base_ = memory_.at_least(most);
  for (ReadyRows& ready : ready_)
    ready.data = base_ + uses_[static_cast<std::size_t>(ready.slot)].offset;
  places_.clear();
  for (const Moved& moved : moved_)
    places_.push_back({moved.tensor, base_ + uses_[moved.slot].offset});
  for (int at = 0; at < graph.n_nodes && !moved_.empty(); ++at) {
    ggml_tensor* view = graph.nodes[at];
    if (view->view_src == nullptr) continue;
    const Moved* found = moved(view);
    if (found != nullptr)
      places_.push_back({view, base_ + uses_[found->slot].offset + view->view_offs});
  }
  for (const Place& place : places_) place.tensor->data = place.data;
}

void GraphPlan::make(const ggml_cgraph& graph) {
  nodes_.assign(static_cast<std::size_t>(graph.n_nodes), {});
  ready_.clear();
  uses_.clear();
  moved_.clear();
  angles_used_ = 0;
  pool_used_ = 0;
  find_norms(graph);
  find_glus(graph);
  find_products(graph);
  sort_moved(graph);
  find_norms_of_few_rows(graph);
  lend_memory(graph);
  find_heads(graph);
  kept_.clear();
  standing_.clear();
  for (int at = 0; at < graph.n_nodes; ++at) {
    if (node(at).dropped) continue;
    if (node(at).fused != nullptr) standing_.push_back({graph.nodes[at], node(at).fused});
    kept_.push_back(graph.nodes[at]);
  }
  const Fused* then = nullptr;
  for (auto standing = standing_.rbegin(); standing != standing_.rend(); ++standing) {
    Fused& fused = *standing->fused;
    fused.then = then;
    if (fused.kind == Fused::Kind::kProducts || fused.kind == Fused::Kind::kGlu) then = &fused;
  }
}

ggml_cgraph GraphPlan::apply(const ggml_cgraph& graph) {
  CHOIR_CHECK(!applied_, "one graph at a time");
  applied_ = true;
  if (stands_for(graph) && memory_.at_least(memory_needed_) == base_) {
    // Another lane may have computed it since, with memory of its own.
    for (const Place& place : places_) place.tensor->data = place.data;
  } else {
    make(graph);
    made_for_ = graph.uid;
  }
  for (const Standing& standing : standing_) {
    standing.fused->taken.store(0, std::memory_order_relaxed);
    for (auto& pieces : standing.fused->pieces) pieces.store(0, std::memory_order_relaxed);
    standing.node->extra = standing.fused;
  }
  ggml_cgraph fused = graph;
  fused.nodes = kept_.data();
  fused.n_nodes = static_cast<int>(kept_.size());
  return fused;
}

void GraphPlan::clear() {
  for (const Standing& standing : standing_) standing.node->extra = nullptr;
  applied_ = false;
}

GraphPlan& GraphPlans::plan_for(const ggml_cgraph& graph) {
  for (const auto& plan : plans_)
    if (plan->stands_for(graph)) return *plan;
  if (plans_.size() < kPlans) {
    plans_.push_back(std::make_unique<GraphPlan>(memory_));
    return *plans_.back();
  }
  oldest_ = (oldest_ + 1) % kPlans;
  return *plans_[oldest_];
}

}  // namespace choir::kernels
