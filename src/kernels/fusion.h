// Finds runs of operations in a graph that are computed as one, with fewer passes over memory and
// fewer barriers: a norm whose rows only products read becomes rows ready for products; products of
// the same rows are one; a gated unit goes straight into rows ready for the next product; a
// residual is added where the product is stored.
//
// ggml computes what is left, node by node; a node that stands for a run carries its Fused in
// `extra` while the graph is computed (fused_ops.h computes it). Nothing that another operation
// reads is left out: a run's inner results have no other use, and what a run writes overlaps
// nothing that it reads, but for the same place.
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

// Heads of all tokens on their way from a product to attention: a norm of each head, rope, a
// factor; then floats, or halves in the cells of a cache. Each of the three may be missing.
struct HeadStep {
  const ggml_tensor* x = nullptr;  // [size][heads][tokens]
  int size = 0;
  int heads = 0;
  const ggml_tensor* weight = nullptr;  // of the norm
  float epsilon = 0.0F;
  bool turned = false;
  float scale = 1.0F;
  ggml_tensor* out = nullptr;        // floats as in x; or
  ggml_tensor* cells = nullptr;      // halves: a row of all heads for each token
  const ggml_tensor* ids = nullptr;  // which rows
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
  static constexpr int kHeads = 3;

  enum class Kind : std::uint8_t { kNorms, kProducts, kGlu, kHeads };
  Kind kind = Kind::kNorms;
  int count = 0;  // of steps, products or heads
  // Products and units of few rows: every thread makes the rows ready itself, with steps[0].
  bool norm_first = false;
  std::array<NormStep, kSteps> steps;
  std::array<FusedProduct, kProducts> products;
  FusedGlu glu;
  std::array<HeadStep, kHeads> heads;
  int angles = -1;            // of the plan; -1: no head is turned
  bool makes_angles = false;  // the first that needs them
  const class GraphPlan* plan = nullptr;
  const Fused* then = nullptr;                 // the next one that reads weights
  mutable std::atomic<std::int64_t> taken{0};  // shares, but for the first of each thread
  // Of each unit of columns of a gated unit, those that are united.
  mutable std::vector<std::atomic<std::int32_t>> pieces;
};

// Whether a node of a graph that is being computed stands for a run. Only leaves carry anything
// else in `extra`.
inline bool is_fused(const ggml_tensor* node) {
  return node->extra != nullptr && node->op != GGML_OP_NONE;
}
inline const Fused& fused_of(const ggml_tensor* node) {
  return *static_cast<const Fused*>(node->extra);
}

// What rope turns the heads of each token by: [tokens][2 * dims], see HeadRow.
struct Angles {
  const ggml_tensor* rope = nullptr;  // whose parameters they are
  int dims = 0;
  bool neighbours = false;  // a number is turned with the one beside it; else with that half a
                            // head away
  std::int64_t tokens = 0;
  std::vector<float> values;
  std::size_t floats() const { return 2 * static_cast<std::size_t>(dims); }
};

// A lane's memory for inner results, lent to one graph after the other.
class PlanMemory {
 public:
  // On a cache line. What was given before is gone where this is elsewhere.
  std::byte* at_least(std::size_t bytes);

 private:
  std::vector<std::byte> bytes_;
};

// What is computed in the place of one graph.
class GraphPlan {
 public:
  explicit GraphPlan(PlanMemory& memory) : memory_(memory) {}

  // The graph to compute instead of `graph`, until cleared. Nothing is looked for again in a graph
  // that this plan was made for; ggml gives a graph that it has split, and laid out in memory, a
  // number that no other has.
  ggml_cgraph apply(const ggml_cgraph& graph);
  // The nodes of the last graph stand for themselves again.
  void clear();
  bool stands_for(const ggml_cgraph& graph) const {
    return graph.uid != 0 && graph.uid == made_for_;
  }

  const ReadyRows& ready(int index) const { return ready_[static_cast<std::size_t>(index)]; }
  Angles& angles(int index) const { return *angles_[static_cast<std::size_t>(index)]; }

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
  struct Moved {  // a product that is computed earlier than its memory is free for it
    ggml_tensor* tensor = nullptr;
    int begin = 0;
    int end = 0;
    std::size_t slot = 0;
  };
  struct Place {
    ggml_tensor* tensor = nullptr;
    std::byte* data = nullptr;
  };
  struct HeadRun {  // a step that begins at a node, and the last node that is part of it
    HeadStep step;
    const ggml_tensor* rope = nullptr;
    std::int64_t tokens = 0;
    int end = 0;
    bool whole() const { return step.out != nullptr || step.cells != nullptr; }
  };
  struct Standing {
    ggml_tensor* node = nullptr;
    Fused* fused = nullptr;
  };

  void make(const ggml_cgraph& graph);

  void find_norms(const ggml_cgraph& graph);
  void find_norm(const ggml_cgraph& graph, int at);
  // Ready rows for each product that reads `mul_at`; how many do. step.out, if others do too.
  int make_ready(const ggml_cgraph& graph, int at, int mul_at, NormStep& step);
  // Norms directly before `at` whose rows `step` goes on with, or null.
  Fused* norms_before(const ggml_cgraph& graph, int at, const NormStep& step);
  void find_glus(const ggml_cgraph& graph);
  void find_products(const ggml_cgraph& graph);
  void merge_products(const ggml_cgraph& graph, int first);
  // Norms that are computed by every thread of what reads their rows.
  void find_norms_of_few_rows(const ggml_cgraph& graph);
  bool reads_ready(const Fused& fused, const NormStep& step) const;
  // After memory is lent: where heads lie is part of the question.
  void find_heads(const ggml_cgraph& graph);
  HeadRun head_run(const ggml_cgraph& graph, int at) const;
  int angles_of(const ggml_tensor* rope, std::int64_t tokens, bool& made);

  void move(ggml_tensor* tensor, int begin, int end);
  const Moved* moved(const ggml_tensor* tensor) const;  // the tensor or what it views, or null
  void sort_moved(const ggml_cgraph& graph);
  void lend_memory(const ggml_cgraph& graph);

  Node& node(int at) { return nodes_[static_cast<std::size_t>(at)]; }
  // Next node behind `at` that computes something and still stands; the number of nodes if none.
  int next(const ggml_cgraph& graph, int at) const;
  int add_ready(const PackedShape& shape, std::int64_t rows, int begin, int end);
  Fused& fuse(int at, Fused::Kind kind);

  PlanMemory& memory_;
  std::vector<Node> nodes_;
  std::vector<ReadyRows> ready_;
  std::vector<Use> uses_;
  std::vector<Moved> moved_;
  std::vector<std::unique_ptr<Angles>> angles_;
  std::size_t angles_used_ = 0;
  std::vector<std::unique_ptr<Fused>> pool_;
  std::size_t pool_used_ = 0;
  std::vector<std::size_t> order_;
  std::vector<std::size_t> alive_;
  // The answer.
  bool applied_ = false;
  std::uint64_t made_for_ = 0;
  std::size_t memory_needed_ = 0;
  std::byte* base_ = nullptr;
  std::vector<Place> places_;
  std::vector<Standing> standing_;
  std::vector<ggml_tensor*> kept_;
};

// The plans of a lane. It computes the same few graphs again and again, one for each model and
// size of batch.
class GraphPlans {
 public:
  GraphPlan& plan_for(const ggml_cgraph& graph);

 private:
  static constexpr std::size_t kPlans = 8;
  PlanMemory memory_;
  std::vector<std::unique_ptr<GraphPlan>> plans_;
  std::size_t oldest_ = 0;
};

}  // namespace choir::kernels
