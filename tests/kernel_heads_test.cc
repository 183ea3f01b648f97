// Heads on their way to attention, as one run and node by node: the same bits where there is no
// norm. Rope of both kinds with all its parameters, factors, rows of a cache.
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernel_graph.h"
#include "kernels/fusion.h"
#include "kernels/graph_hook.h"
#include "kernels/kernel_table.h"
#include "kernels/takeover.h"

namespace choir::kernels {
namespace {

using Context = Handle<ggml_context, ggml_free>;
using Buffer = Handle<ggml_backend_buffer, ggml_backend_buffer_free>;

constexpr std::int64_t kCells = 101;

struct HeadCase {
  const char* name;
  std::int64_t size;
  std::int64_t heads;
  std::int64_t kv_heads;
  int dims;
  int mode = GGML_ROPE_TYPE_NORMAL;
  bool factors = false;
  bool yarn = false;
  bool norms = false;
  bool scaled = false;
  bool one_product = false;  // q, k and v are views of rows of one
  bool watch_k = false;      // somebody else reads k as floats
};
void PrintTo(const HeadCase& c, std::ostream* out) { *out << c.name; }

struct Outputs {
  std::vector<float> q;
  std::vector<float> k;
  std::vector<ggml_fp16_t> k_cells;
  std::vector<ggml_fp16_t> v_cells;
  int nodes = 0;  // that compute something when runs are fused
};

class KernelHeads : public testing::TestWithParam<HeadCase> {
 protected:
  void SetUp() override {
    if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
    take_over();
  }
  void TearDown() override { set_fusing(true); }
};

ggml_tensor* normed(ggml_context* c, ggml_tensor* x, ggml_tensor* weight) {
  return ggml_mul(c, ggml_rms_norm(c, x, 1e-6F), weight);
}

// One graph, computed twice, with a number by which its plan is found again.
Outputs compute(const HeadCase& c, std::int64_t tokens, int threads, bool fused) {
  set_fusing(fused);
  std::mt19937 random(static_cast<unsigned>(tokens));
  const Handle<ggml_backend, ggml_backend_free> backend(
      ggml_backend_dev_init(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU), nullptr));
  ggml_threadpool_params options = ggml_threadpool_params_default(threads);
  const Handle<ggml_threadpool, ggml_threadpool_free> pool(ggml_threadpool_new(&options));
  ggml_backend_cpu_set_n_threads(backend.get(), threads);
  ggml_backend_cpu_set_threadpool(backend.get(), pool.get());
  const ggml_init_params memory = {
      .mem_size = std::size_t{1} << 20, .mem_buffer = nullptr, .no_alloc = true};
  const Context fixed(ggml_init(memory));
  const Context context(ggml_init(memory));
  ggml_context* g = context.get();

  const std::int64_t q_wide = c.size * c.heads;
  const std::int64_t kv_wide = c.size * c.kv_heads;
  const std::int64_t all = q_wide + 2 * kv_wide;
  const auto numbers = [&](std::int64_t count) {
    return ggml_new_tensor_1d(fixed.get(), GGML_TYPE_F32, count);
  };
  ggml_tensor* q_weight = numbers(c.size);
  ggml_tensor* k_weight = numbers(c.size);
  ggml_tensor* factors = numbers(c.dims / 2);
  ggml_tensor* inputs = numbers(all * tokens);
  ggml_tensor* positions = ggml_new_tensor_1d(fixed.get(), GGML_TYPE_I32, tokens);
  ggml_tensor* ids = ggml_new_tensor_1d(fixed.get(), GGML_TYPE_I64, tokens);
  ggml_tensor* k_cache = ggml_new_tensor_2d(fixed.get(), GGML_TYPE_F16, kv_wide, kCells);
  ggml_tensor* v_cache = ggml_new_tensor_2d(fixed.get(), GGML_TYPE_F16, kv_wide, kCells);
  const Buffer fixed_buffer(ggml_backend_alloc_ctx_tensors(fixed.get(), backend.get()));
  ggml_backend_buffer_clear(fixed_buffer.get(), 0);
  for (ggml_tensor* t : {q_weight, k_weight, inputs, factors}) {
    std::vector<float> values = random_numbers(ggml_nelements(t), random);
    if (t == factors)
      for (float& x : values) x = 1.0F + x * x;
    ggml_backend_tensor_set(t, values.data(), 0, ggml_nbytes(t));
  }
  for (std::int64_t t = 0; t < tokens; ++t) {
    const auto position = static_cast<std::int32_t>(pick(random, 0, 4000));
    const std::int64_t cell = (17 * t + 5) % kCells;
    ggml_backend_tensor_set(positions, &position, static_cast<std::size_t>(t) * 4, 4);
    ggml_backend_tensor_set(ids, &cell, static_cast<std::size_t>(t) * 8, 8);
  }

  // What products would have left: three matrices, or views of one.
  const auto heads_of = [&](std::int64_t first, std::int64_t heads) {
    const std::int64_t wide = heads * c.size;
    const std::int64_t stride = c.one_product ? all : wide;
    const std::int64_t offset = c.one_product ? first : first * tokens;
    ggml_tensor* view =
        ggml_view_3d(g, inputs, c.size, heads, tokens, static_cast<std::size_t>(c.size) * 4,
                     static_cast<std::size_t>(stride) * 4, static_cast<std::size_t>(offset) * 4);
    return c.one_product ? view : ggml_scale(g, view, 1.0F);  // in memory that is given to others
  };
  const auto turned = [&](ggml_tensor* x, ggml_tensor* weight) {
    if (c.norms) x = normed(g, x, weight);
    return ggml_rope_ext(g, x, positions, c.factors ? factors : nullptr, c.dims, c.mode, 2048,
                         10000.0F, c.yarn ? 0.25F : 1.0F, c.yarn ? 1.0F : 0.0F,
                         c.yarn ? 0.9F : 1.0F, 32.0F, 1.0F);
  };
  ggml_cgraph* graph = ggml_new_graph(g);
  ggml_tensor* q = turned(heads_of(0, c.heads), q_weight);
  ggml_tensor* k = heads_of(q_wide, c.kv_heads);
  ggml_tensor* v = heads_of(q_wide + kv_wide, c.kv_heads);
  if (c.scaled) q = ggml_scale(g, q, 0.3F);
  ggml_set_output(q);
  for (ggml_tensor* t : {v, k, q}) ggml_build_forward_expand(graph, t);
  k = turned(k, k_weight);
  if (c.watch_k) ggml_set_output(k);
  const auto store = [&](ggml_tensor* x, ggml_tensor* cache) {
    ggml_tensor* rows = ggml_view_2d(g, x, kv_wide, tokens, x->nb[2], 0);
    ggml_build_forward_expand(graph, ggml_set_rows(g, cache, rows, ids));
  };
  store(k, k_cache);
  store(v, v_cache);
  const Handle<ggml_gallocr, ggml_gallocr_free> allocator(
      ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend.get())));
  EXPECT_TRUE(ggml_gallocr_alloc_graph(allocator.get(), graph));

  graph->uid = ggml_graph_next_uid();
  Outputs out;
  PlanMemory lent;
  GraphPlan plan(lent);
  const ggml_cgraph left = plan.apply(*graph);
  for (int i = 0; i < left.n_nodes; ++i) out.nodes += ggml_op_is_empty(left.nodes[i]->op) ? 0 : 1;
  plan.clear();
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(ggml_backend_graph_compute(backend.get(), graph), GGML_STATUS_SUCCESS);
  const auto get = [](const ggml_tensor* t, auto& values) {
    values.resize(static_cast<std::size_t>(ggml_nelements(t)));
    ggml_backend_tensor_get(t, values.data(), 0, ggml_nbytes(t));
  };
  get(q, out.q);
  if (c.watch_k) get(k, out.k);
  get(k_cache, out.k_cells);
  get(v_cache, out.v_cells);
  return out;
}

template <class Number>
bool same_bits(const std::vector<Number>& a, const std::vector<Number>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Number)) == 0);
}

// A norm's sum has an order of its own, and halves round to steps of 2^-11.
void expect_near(const Outputs& got, const Outputs& want, const std::string& when) {
  for (std::size_t i = 0; i < want.q.size(); ++i)
    ASSERT_NEAR(got.q[i], want.q[i], 1e-5F * (1.0F + std::abs(want.q[i]))) << when;
  for (std::size_t i = 0; i < want.k_cells.size(); ++i) {
    const float k = ggml_fp16_to_fp32(want.k_cells[i]);
    ASSERT_NEAR(ggml_fp16_to_fp32(got.k_cells[i]), k, 1.1e-3F * (0.01F + std::abs(k))) << when;
  }
}

TEST_P(KernelHeads, AreThoseOfNodeByNode) {
  const HeadCase& c = GetParam();
  for (const std::int64_t tokens : {1, 2, 5, 33})
    for (const int threads : {1, 2, 3}) {
      const std::string when =
          std::to_string(tokens) + " tokens, " + std::to_string(threads) + " threads";
      const Outputs want = compute(c, tokens, 1, false);
      const Outputs got = compute(c, tokens, threads, true);
      if (c.norms) {
        expect_near(got, want, when);
      } else {
        ASSERT_TRUE(same_bits(got.q, want.q)) << when;
        ASSERT_TRUE(same_bits(got.k, want.k)) << when;
        ASSERT_TRUE(same_bits(got.k_cells, want.k_cells)) << when;
      }
      ASSERT_TRUE(same_bits(got.v_cells, want.v_cells)) << when;
    }
}

TEST_P(KernelHeads, HaveTheSameBitsOnAnyThreadsAndAmongOthers) {
  const HeadCase& c = GetParam();
  const Outputs want = compute(c, 33, 1, true);
  for (const int threads : {2, 3}) {
    const Outputs got = compute(c, 33, threads, true);
    EXPECT_TRUE(same_bits(got.q, want.q) && same_bits(got.k_cells, want.k_cells));
  }
}

// Beside them only what makes q, k and v.
TEST_P(KernelHeads, AreOneNode) {
  const HeadCase& c = GetParam();
  EXPECT_EQ(compute(c, 4, 1, true).nodes, 1 + (c.one_product ? 0 : 3) + (c.watch_k ? 1 : 0));
}

constexpr int kNeox = GGML_ROPE_TYPE_NEOX;
INSTANTIATE_TEST_SUITE_P(
    Shapes, KernelHeads,
    testing::Values(
        HeadCase{.name = "SmolLM2", .size = 64, .heads = 9, .kv_heads = 3, .dims = 64},
        HeadCase{.name = "Llama3Factors",
                 .size = 128,
                 .heads = 4,
                 .kv_heads = 2,
                 .dims = 128,
                 .factors = true},
        HeadCase{.name = "Gemma3",
                 .size = 256,
                 .heads = 4,
                 .kv_heads = 1,
                 .dims = 256,
                 .mode = kNeox,
                 .norms = true,
                 .scaled = true},
        HeadCase{.name = "PartOfAHead",
                 .size = 96,
                 .heads = 3,
                 .kv_heads = 3,
                 .dims = 32,
                 .mode = kNeox},
        HeadCase{
            .name = "PartOfAHeadNeighbours", .size = 80, .heads = 3, .kv_heads = 1, .dims = 48},
        HeadCase{.name = "Yarn",
                 .size = 64,
                 .heads = 4,
                 .kv_heads = 2,
                 .dims = 64,
                 .mode = kNeox,
                 .yarn = true,
                 .scaled = true},
        HeadCase{.name = "ViewsOfOneProduct",
                 .size = 64,
                 .heads = 4,
                 .kv_heads = 4,
                 .dims = 64,
                 .one_product = true},
        HeadCase{.name = "SomebodyElseReadsK",
                 .size = 64,
                 .heads = 4,
                 .kv_heads = 2,
                 .dims = 64,
                 .watch_k = true}),
    [](const auto& test) { return std::string(test.param.name); });

// An allocator may give the memory of one step's input to the output of another.
TEST(KernelHeadsInMemory, AreApartOrNotOneNode) {
  if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  take_over();
  const Context context(
      ggml_init({.mem_size = std::size_t{1} << 20, .mem_buffer = nullptr, .no_alloc = true}));
  ggml_context* c = context.get();
  ggml_tensor* positions = ggml_new_tensor_1d(c, GGML_TYPE_I32, 4);
  ggml_cgraph* graph = ggml_new_graph(c);
  std::vector<ggml_tensor*> x;
  std::vector<ggml_tensor*> out;
  for (int i = 0; i < 2; ++i) {
    x.push_back(ggml_new_tensor_3d(c, GGML_TYPE_F32, 64, 3, 4));
    out.push_back(ggml_rope(c, x.back(), positions, 64, GGML_ROPE_TYPE_NEOX));
    ggml_build_forward_expand(graph, out.back());
  }
  const auto nodes_where = [&](int first_out, int second_out) {
    std::vector<std::byte> memory(std::size_t{4} << 20);
    const auto place = [&](int at) { return memory.data() + (static_cast<std::size_t>(at) << 20); };
    x[0]->data = place(0);
    x[1]->data = place(1);
    out[0]->data = place(first_out);
    out[1]->data = place(second_out);
    PlanMemory lent;
    GraphPlan plan(lent);
    const int nodes = plan.apply(*graph).n_nodes;
    plan.clear();
    return nodes;
  };
  EXPECT_EQ(nodes_where(2, 3), 1);
  EXPECT_EQ(nodes_where(0, 1), 1);  // in place
  EXPECT_EQ(nodes_where(2, 0), 2);  // the second takes the first one's input
  EXPECT_EQ(nodes_where(1, 3), 2);  // the first takes the second one's
  EXPECT_EQ(nodes_where(2, 2), 2);
}

}  // namespace
}  // namespace choir::kernels
