// Finds runs of operations in a graph that are computed as one, with fewer passes over memory and
// fewer barriers: a norm whose rows only products read becomes rows ready for products; products of
// the same rows are one; a gated unit goes straight into rows ready for the next product; a
// residual is added where the product is stored.
//
// ggml computes what is left, node by node; a node that stands for a run carries its Fused in
// `extra` while the graph is computed (fused_ops.h computes it). Nothing that somebody else reads
// is left out: a run's inner results have no other use, and what a run writes overlaps nothing that
// it reads, but for the same place.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <ggml.h>

#include "ggml-impl.h"  // the engine's own: what a graph is
#include "kernels/kernel_table.h"
#include "kernels/weights.h"

namespace choir::kernels {

// Rows of activations as products of `shape.type` with `shape.columns` columns read them.
struct ReadyRows {
  PackedShape shape;
  std::int64_t rows = 0;
  std::byte* data = nullptr;
  int slot = -1;  // of the plan's memory
};

// x / rms(x) * weight [+ residual], row by row.
struct NormStep {
  const ggml_tensor* x = nullptr;
  const ggml_tensor* weight = nullptr;
  float epsilon = 0.0F;
  const ggml_tensor* residual = nullptr;
  ggml_tensor* out = nullptr;  // null: only the ready rows are wanted
  std::array<int, 3> ready = {-1, -1, -1};
};

struct FusedProduct {
  PackedWeight weight;
  int ready = -1;                  // of the plan; -1: rows of `x`, to be made ready
  const ggml_tensor* x = nullptr;  // rows of activations
  ggml_tensor* out = nullptr;
  const ggml_tensor* residual = nullptr;  // added to the product, or null
};

struct FusedGlu {
  PackedWeight gate;
  PackedWeight up;
  GluKind kind = GluKind::kSilu;
  int from = -1;  // ready rows that are read
  int to = -1;    // and written
};

struct Fused {
  static constexpr int kSteps = 3;
  static constexpr int kProducts = 4;

  enum class Kind : std::uint8_t { kNorms, kProducts, kGlu };
  Kind kind = Kind::kNorms;
  int count = 0;  // of steps or products
  std::array<NormStep, kSteps> steps;
  std::array<FusedProduct, kProducts> products;
  FusedGlu glu;
  const class GraphPlan* plan = nullptr;
  mutable std::atomic<std::int64_t> next{0};  // share that the next free thread takes
};

// Whether a node of a graph that is being computed stands for a run. Only leaves carry anything
// else in `extra`.
inline bool is_fused(const ggml_tensor* node) {
  return node->extra != nullptr && node->op != GGML_OP_NONE;
}
inline const Fused& fused_of(const ggml_tensor* node) {
  return *static_cast<const Fused*>(node->extra);
}

// One graph at a time. Keeps its memory from graph to graph.
class GraphPlan {
 public:
  // The graph to compute instead of `graph`, while this is neither applied again nor cleared.
  ggml_cgraph apply(const ggml_cgraph& graph);
  // The nodes of the last graph stand for themselves again.
  void clear();

  const ReadyRows& ready(int index) const { return ready_[static_cast<std::size_t>(index)]; }

 private:
  struct Node {
    bool dropped = false;
    int ready = -1;  // of a product: its rows
    Fused* fused = nullptr;
  };
  // Memory of the plan, lent to one use after the other.
  struct Use {
    std::size_t bytes = 0;
    int begin = 0;
    int end = 0;
    std::size_t offset = 0;
  };

  void find_norms(const ggml_cgraph& graph);
  void find_norm(const ggml_cgraph& graph, int at);
  // Ready rows for each product that reads `mul_at`; how many do. step.out, if others do too.
  int make_ready(const ggml_cgraph& graph, int at, int mul_at, NormStep& step);
  // Norms directly before `at` whose rows `step` goes on with, or null.
  Fused* norms_before(const ggml_cgraph& graph, int at, const NormStep& step);
  void find_glus(const ggml_cgraph& graph);
  void find_products(const ggml_cgraph& graph);
  void lend_memory(const ggml_cgraph& graph);

  Node& node(int at) { return nodes_[static_cast<std::size_t>(at)]; }
  // Next node behind `at` that computes something and still stands; the number of nodes if none.
  int next(const ggml_cgraph& graph, int at) const;
  int add_ready(const PackedShape& shape, std::int64_t rows, int begin, int end);
  Fused& fuse(int at, Fused::Kind kind);
  void merge_products(const ggml_cgraph& graph, int first);

  struct Moved {  // a product that is computed earlier than its memory is free for it
    ggml_tensor* tensor = nullptr;
    int begin = 0;
    int end = 0;
    std::size_t slot = 0;
  };

  std::vector<Node> nodes_;
  std::vector<ReadyRows> ready_;
  std::vector<Use> uses_;
  std::vector<Moved> moved_;
  std::vector<std::unique_ptr<Fused>> pool_;
  std::size_t pool_used_ = 0;
  std::vector<ggml_tensor*> kept_;
  std::vector<std::byte> memory_;
};

}  // namespace choir::kernels
