// Fused graphs (src/kernels/fusion.h) beside the same graphs node by node: random layers like those
// of models, in memory that ggml's allocator gives to one node after the other.
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "kernel_graph.h"
#include "kernels/fusion.h"
#include "kernels/graph_hook.h"
#include "kernels/kernel_table.h"
#include "kernels/takeover.h"
#include "kernels/weights.h"

namespace choir::kernels {
namespace {

constexpr ggml_type kTypes[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q8_0, GGML_TYPE_Q4_K,
                                GGML_TYPE_Q6_K, GGML_TYPE_F16,  GGML_TYPE_F32};

using Context = Handle<ggml_context, ggml_free>;
using Buffer = Handle<ggml_backend_buffer, ggml_backend_buffer_free>;

Context new_context() {
  return Context(
      ggml_init({.mem_size = std::size_t{8} << 20, .mem_buffer = nullptr, .no_alloc = true}));
}

// A model of a few layers, and graphs over it.
class Layers {
 public:
  Layers(int threads, unsigned seed)
      : random_(seed), weights_(new_context()), plain_(new_context()) {
    take_over();
    backend_.reset(
        ggml_backend_dev_init(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU), nullptr));
    ggml_threadpool_params options = ggml_threadpool_params_default(threads);
    pool_.reset(ggml_threadpool_new(&options));
    ggml_backend_cpu_set_n_threads(backend_.get(), threads);
    ggml_backend_cpu_set_threadpool(backend_.get(), pool_.get());
  }
  ~Layers() { set_fusing(true); }
  Layers(const Layers&) = delete;
  Layers& operator=(const Layers&) = delete;

  bool chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  ggml_type any_type() { return kTypes[random_() % std::size(kTypes)]; }

  // x: rows of `hidden`. The same layers every time, because the choices come first.
  ggml_tensor* build(ggml_context* context, ggml_tensor* x, std::vector<ggml_tensor*>& watched) {
    for (Layer& layer : layers_) {
      ggml_tensor* normed = norm(context, x, layer.attention_norm);
      ggml_tensor* q = ggml_mul_mat(context, layer.q, normed);
      if (layer.q_bias != nullptr) q = ggml_add(context, q, layer.q_bias);
      if (layer.watch_q) watched.push_back(q);
      ggml_tensor* q_heads = ggml_reshape_3d(context, q, 32, q->ne[0] / 32, q->ne[1]);
      q_heads = ggml_scale(context, q_heads, 0.5F);  // in the place of rope
      ggml_tensor* v = ggml_mul_mat(context, layer.v, normed);
      ggml_tensor* k = ggml_mul_mat(context, layer.k, normed);
      ggml_tensor* k_heads = ggml_reshape_3d(context, k, 32, k->ne[0] / 32, k->ne[1]);
      k_heads = layer.in_place ? ggml_scale_inplace(context, k_heads, 0.7F)
                               : ggml_scale(context, k_heads, 0.7F);
      ggml_tensor* mixed =
          ggml_add(context, ggml_reshape_2d(context, q_heads, q->ne[0], q->ne[1]),
                   ggml_mul(context, v, ggml_reshape_2d(context, k_heads, k->ne[0], k->ne[1])));
      if (layer.extra_reader) mixed = ggml_add(context, mixed, normed);
      ggml_tensor* out = ggml_mul_mat(context, layer.o, mixed);
      if (layer.post_norm != nullptr) out = norm(context, out, layer.post_norm);
      x = ggml_add(context, out, x);

      ggml_tensor* ffn = norm(context, x, layer.ffn_norm);
      ggml_tensor* gate = ggml_mul_mat(context, layer.gate, ffn);
      ggml_tensor* up = ggml_mul_mat(context, layer.up, ffn);
      ggml_tensor* hidden = layer.plain_unit ? ggml_mul(context, ggml_relu(context, gate), up)
                            : layer.gelu     ? ggml_geglu_split(context, gate, up)
                                             : ggml_swiglu_split(context, gate, up);
      ggml_tensor* down = ggml_mul_mat(context, layer.down, hidden);
      if (layer.watch_hidden) watched.push_back(hidden);
      if (layer.post_norm != nullptr) down = norm(context, down, layer.post_norm);
      x = ggml_add(context, x, down);
      if (layer.late_reader) x = ggml_add(context, x, v);
      if (layer.watch_x) watched.push_back(x);
    }
    return norm(context, x, layers_.front().ffn_norm);
  }

  void add_layer(std::int64_t hidden, std::int64_t wide) {
    Layer layer;
    const ggml_type type = any_type();
    const auto another = [&] { return chance(30) ? any_type() : type; };
    layer.attention_norm = plain(hidden);
    layer.ffn_norm = plain(hidden);
    if (chance(40)) layer.post_norm = plain(hidden);
    layer.q = weight(another(), hidden, hidden);
    layer.k = weight(another(), hidden, hidden);
    layer.v = weight(another(), hidden, hidden);
    layer.o = weight(another(), hidden, hidden);
    layer.gate = weight(type, hidden, wide);
    layer.up = weight(another(), hidden, wide);
    layer.down = weight(another(), wide, hidden);
    if (chance(30)) layer.q_bias = plain(hidden);
    layer.in_place = chance(30);
    layer.extra_reader = chance(30);
    layer.late_reader = chance(40);
    layer.plain_unit = chance(15);
    layer.gelu = chance(50);
    layer.watch_q = chance(20);
    layer.watch_hidden = chance(20);
    layer.watch_x = chance(20);
    layers_.push_back(layer);
  }

  void fill() {
    packed_.reset(ggml_backend_alloc_ctx_tensors_from_buft(weights_.get(), weights_buffer_type()));
    numbers_.reset(ggml_backend_alloc_ctx_tensors(plain_.get(), backend_.get()));
    for (ggml_tensor* w = ggml_get_first_tensor(weights_.get()); w != nullptr;
         w = ggml_get_next_tensor(weights_.get(), w)) {
      const std::vector<float> values = random_numbers(ggml_nelements(w), 1.0F / 16);
      std::vector<std::byte> bytes(ggml_nbytes(w));
      ggml_quantize_chunk(w->type, values.data(), bytes.data(), 0, w->ne[1], w->ne[0], nullptr);
      ggml_backend_tensor_set(w, bytes.data(), 0, bytes.size());
    }
    for (ggml_tensor* t = ggml_get_first_tensor(plain_.get()); t != nullptr;
         t = ggml_get_next_tensor(plain_.get(), t)) {
      const std::vector<float> values = random_numbers(ggml_nelements(t), 1.0F);
      ggml_backend_tensor_set(t, values.data(), 0, values.size() * sizeof(float));
    }
  }

  // The watched tensors and the result, of `times` computations of one graph; the last counts.
  std::vector<std::vector<float>> compute(const std::vector<float>& input, std::int64_t hidden,
                                          bool fused, int times) {
    set_fusing(fused);
    const Context context = new_context();
    const auto rows = static_cast<std::int64_t>(input.size()) / hidden;
    ggml_tensor* x = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, hidden, rows);
    ggml_set_input(x);
    std::vector<ggml_tensor*> watched;
    ggml_tensor* first = ggml_scale(context.get(), x, 1.0F);  // its memory is given to others
    watched.push_back(build(context.get(), first, watched));
    ggml_cgraph* graph = ggml_new_graph(context.get());
    for (ggml_tensor* t : watched) ggml_set_output(t);
    // The result is last in the list and first in what is asked for: others are its way there.
    ggml_build_forward_expand(graph, watched.back());
    for (ggml_tensor* t : watched) ggml_build_forward_expand(graph, t);
    Handle<ggml_gallocr, ggml_gallocr_free> memory(
        ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend_.get())));
    EXPECT_TRUE(ggml_gallocr_alloc_graph(memory.get(), graph));
    graph->uid = ggml_graph_next_uid();  // so that the plan of the first time is found again
    for (int i = 0; i < times; ++i) {
      ggml_backend_tensor_set(x, input.data(), 0, input.size() * sizeof(float));
      EXPECT_EQ(ggml_backend_graph_compute(backend_.get(), graph), GGML_STATUS_SUCCESS);
    }
    std::vector<std::vector<float>> out;
    for (const ggml_tensor* t : watched) {
      out.emplace_back(static_cast<std::size_t>(ggml_nelements(t)));
      ggml_backend_tensor_get(t, out.back().data(), 0, ggml_nbytes(t));
    }
    return out;
  }

  std::vector<float> random_numbers(std::int64_t count, float scale) {
    std::normal_distribution<float> normal(0.0F, scale);
    std::vector<float> out(static_cast<std::size_t>(count));
    for (float& value : out) value = normal(random_);
    return out;
  }

 private:
  struct Layer {
    ggml_tensor* attention_norm = nullptr;
    ggml_tensor* ffn_norm = nullptr;
    ggml_tensor* post_norm = nullptr;
    ggml_tensor* q = nullptr;
    ggml_tensor* q_bias = nullptr;
    ggml_tensor* k = nullptr;
    ggml_tensor* v = nullptr;
    ggml_tensor* o = nullptr;
    ggml_tensor* gate = nullptr;
    ggml_tensor* up = nullptr;
    ggml_tensor* down = nullptr;
    bool in_place = false;
    bool extra_reader = false;
    bool late_reader = false;
    bool plain_unit = false;
    bool gelu = false;
    bool watch_q = false;
    bool watch_hidden = false;
    bool watch_x = false;
  };

  static ggml_tensor* norm(ggml_context* context, ggml_tensor* x, ggml_tensor* weight) {
    return ggml_mul(context, ggml_rms_norm(context, x, 1e-5F), weight);
  }
  ggml_tensor* weight(ggml_type type, std::int64_t columns, std::int64_t rows) {
    return ggml_new_tensor_2d(weights_.get(), type, columns, rows);
  }
  ggml_tensor* plain(std::int64_t count) {
    return ggml_new_tensor_1d(plain_.get(), GGML_TYPE_F32, count);
  }

  std::mt19937 random_;
  Context weights_;
  Context plain_;
  Handle<ggml_threadpool, ggml_threadpool_free> pool_;
  Handle<ggml_backend, ggml_backend_free> backend_;
  Buffer packed_;
  Buffer numbers_;
  std::vector<Layer> layers_;
};

// How far b is from a, of a's own size.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * static_cast<double>(a[i] - b[i]);
    size += static_cast<double>(a[i]) * a[i];
  }
  return std::sqrt(error / (size + 1e-30));
}

TEST(KernelFusion, GivesWhatNodeByNodeGives) {
  if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  for (unsigned seed = 1; seed <= 30; ++seed) {
    Layers layers(1 + static_cast<int>(seed % 3), seed);
    const std::int64_t hidden = 256;
    const int count = 1 + static_cast<int>(seed % 3);
    for (int i = 0; i < count; ++i) layers.add_layer(hidden, seed % 2 == 0 ? 512 : 768);
    layers.fill();
    const std::int64_t rows = std::vector<std::int64_t>{1, 2, 3, 16, 17, 40, 65, 300}[seed % 8];
    const std::vector<float> input = layers.random_numbers(rows * hidden, 1.0F);
    const auto plain = layers.compute(input, hidden, false, 1);
    const auto fused = layers.compute(input, hidden, true, 2);
    ASSERT_EQ(plain.size(), fused.size());
    // A norm that differs in its last bit can move an activation to the next of 127 steps, and ggml
    // takes its gated units from a table of halves.
    for (std::size_t i = 0; i < plain.size(); ++i)
      EXPECT_LT(difference(plain[i], fused[i]), 0.04)
          << "seed " << seed << ", tensor " << i << " of " << plain.size();
  }
}

TEST(KernelFusion, ARowDoesNotDependOnItsNeighbours) {
  if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  for (unsigned seed = 1; seed <= 12; ++seed) {
    Layers layers(1 + static_cast<int>(seed % 2), seed);
    const std::int64_t hidden = 256;
    layers.add_layer(hidden, 512);
    layers.add_layer(hidden, 512);
    layers.fill();
    const std::vector<float> input = layers.random_numbers(37 * hidden, 1.0F);
    const auto all = layers.compute(input, hidden, true, 1);
    for (const std::int64_t row : {0, 15, 36}) {
      const std::vector<float> one(input.begin() + row * hidden,
                                   input.begin() + (row + 1) * hidden);
      const auto alone = layers.compute(one, hidden, true, 1);
      for (std::size_t i = 0; i < all.size(); ++i) {
        const auto columns = static_cast<std::int64_t>(alone[i].size());
        EXPECT_EQ(std::vector<float>(all[i].begin() + row * columns,
                                     all[i].begin() + (row + 1) * columns),
                  alone[i])
            << "seed " << seed << ", row " << row;
      }
    }
  }
}

// A layer whose every part can be fused, of `rows` rows. Nothing of it is computed.
struct Fusible {
  explicit Fusible(std::int64_t rows) {
    take_over();
    ggml_context* c = context.get();
    ggml_tensor* x = ggml_new_tensor_2d(c, GGML_TYPE_F32, 64, rows);
    ggml_tensor* norm_weight = ggml_new_tensor_1d(c, GGML_TYPE_F32, 64);
    std::vector<ggml_tensor*> w;
    for (int i = 0; i < 2; ++i)
      w.push_back(ggml_new_tensor_2d(packed.get(), GGML_TYPE_Q8_0, 64, 96));
    w.push_back(ggml_new_tensor_2d(packed.get(), GGML_TYPE_Q8_0, 96, 64));
    weights.reset(ggml_backend_alloc_ctx_tensors_from_buft(packed.get(), weights_buffer_type()));
    ggml_tensor* normed = ggml_mul(c, ggml_rms_norm(c, x, 1e-5F), norm_weight);
    ggml_tensor* hidden =
        ggml_swiglu_split(c, ggml_mul_mat(c, w[0], normed), ggml_mul_mat(c, w[1], normed));
    out = ggml_add(c, ggml_mul_mat(c, w[2], hidden), x);
    graph = ggml_new_graph(c);
    ggml_build_forward_expand(graph, out);
    graph->uid = ggml_graph_next_uid();
    // Where nothing has memory yet everything seems to lie in one place.
    std::uintptr_t at = 0;
    const auto next = [&] { return reinterpret_cast<void*>(at += std::uintptr_t{1} << 20); };
    for (int i = 0; i < graph->n_nodes; ++i) graph->nodes[i]->data = next();
    x->data = next();
  }
  Context context = new_context();
  Context packed = new_context();
  Buffer weights;
  ggml_tensor* out = nullptr;
  ggml_cgraph* graph = nullptr;
};

// What an added operation, or one that is no longer recognised, changes.
TEST(KernelFusion, LeavesFewNodes) {
  if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  const Fusible many(4);
  ASSERT_EQ(many.graph->n_nodes, 7);
  PlanMemory memory;
  GraphPlan plan(memory);
  const ggml_cgraph fused = plan.apply(*many.graph);
  ASSERT_EQ(fused.n_nodes, 3);
  EXPECT_EQ(fused.nodes[0]->op, GGML_OP_RMS_NORM);
  EXPECT_EQ(fused.nodes[1]->op, GGML_OP_GLU);
  EXPECT_EQ(fused.nodes[2]->op, GGML_OP_ADD);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(is_fused(fused.nodes[i]));
  plan.clear();
  EXPECT_FALSE(is_fused(many.out));
}

TEST(KernelFusion, EveryThreadNormsFewRowsItself) {
  if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  const Fusible few(2);
  PlanMemory memory;
  GraphPlan plan(memory);
  const ggml_cgraph fused = plan.apply(*few.graph);
  ASSERT_EQ(fused.n_nodes, 2);
  EXPECT_EQ(fused.nodes[0]->op, GGML_OP_GLU);
  EXPECT_TRUE(fused_of(fused.nodes[0]).norm_first);
  plan.clear();
}

TEST(KernelFusion, FindsThePlanOfAGraphAgain) {
  if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  const Fusible small(3);
  const Fusible large(3000);
  GraphPlans plans;
  GraphPlan& first = plans.plan_for(*small.graph);
  first.apply(*small.graph);
  const Fused* fused = &fused_of(small.out);
  first.clear();
  GraphPlan& second = plans.plan_for(*large.graph);
  ASSERT_NE(&first, &second);
  second.apply(*large.graph);
  second.clear();
  ASSERT_EQ(&plans.plan_for(*small.graph), &first);
  first.apply(*small.graph);
  EXPECT_EQ(&fused_of(small.out), fused);
  // Their memory is the same and has grown since: the first plan does not go on with the old one.
  EXPECT_EQ(first.ready(0).data, second.ready(0).data);
  first.clear();
}

}  // namespace
}  // namespace choir::kernels
