// Our operations inside ggml's graphs, random shapes, views and types, against sums in double.
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "kernels/attention_op.h"
#include "kernels/kernel_table.h"
#include "kernels/product_op.h"
#include "kernels/takeover.h"
#include "kernels/weights.h"

namespace choir::kernels {
namespace {

constexpr ggml_type kTypes[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q8_0,
                                GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_F16,
                                GGML_TYPE_BF16, GGML_TYPE_F32};

template <auto kFree>
struct FreeWith {
  template <class T>
  void operator()(T* handle) const {
    kFree(handle);
  }
};
template <class T, auto kFree>
using Handle = std::unique_ptr<T, FreeWith<kFree>>;

std::vector<float> random_numbers(std::int64_t count, std::mt19937& random) {
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& x : out) x = normal(random);
  return out;
}

// Two contexts: weights in our buffer, the rest in plain memory; one graph, some threads.
class Graph {
 public:
  explicit Graph(int threads) : backend_(ggml_backend_cpu_init()) {
    take_over();
    ggml_threadpool_params options = ggml_threadpool_params_default(threads);
    pool_.reset(ggml_threadpool_new(&options));
    ggml_backend_cpu_set_n_threads(backend_.get(), threads);
    ggml_backend_cpu_set_threadpool(backend_.get(), pool_.get());
  }

  ggml_context* weights() { return weights_.get(); }
  ggml_context* rest() { return rest_.get(); }

  // Allocates, calls `fill`, computes up to `result`; its numbers.
  std::vector<float> compute(ggml_tensor* result, const std::function<void()>& fill) {
    ggml_cgraph* graph = ggml_new_graph(rest_.get());
    ggml_build_forward_expand(graph, result);
    if (ggml_get_first_tensor(weights_.get()) != nullptr)
      weight_buffer_.reset(
          ggml_backend_alloc_ctx_tensors_from_buft(weights_.get(), weights_buffer_type()));
    rest_buffer_.reset(ggml_backend_alloc_ctx_tensors(rest_.get(), backend_.get()));
    fill();
    EXPECT_EQ(ggml_backend_graph_compute(backend_.get(), graph), GGML_STATUS_SUCCESS);
    std::vector<float> out(static_cast<std::size_t>(ggml_nelements(result)));
    ggml_backend_tensor_get(result, out.data(), 0, out.size() * sizeof(float));
    return out;
  }

 private:
  static ggml_context* context() {
    return ggml_init({.mem_size = std::size_t{1} << 20, .mem_buffer = nullptr, .no_alloc = true});
  }
  Handle<ggml_context, ggml_free> weights_{context()};
  Handle<ggml_context, ggml_free> rest_{context()};
  Handle<ggml_backend, ggml_backend_free> backend_;
  Handle<ggml_threadpool, ggml_threadpool_free> pool_;
  Handle<ggml_backend_buffer, ggml_backend_buffer_free> weight_buffer_;
  Handle<ggml_backend_buffer, ggml_backend_buffer_free> rest_buffer_;
};

// Random weights as a file has them, and the numbers that they stand for.
struct File {
  File(ggml_type type, std::int64_t columns, std::int64_t rows, std::mt19937& random)
      : bytes(ggml_row_size(type, columns) * static_cast<std::size_t>(rows)),
        numbers(static_cast<std::size_t>(columns * rows)) {
    const std::vector<float> from = random_numbers(columns * rows, random);
    ggml_quantize_chunk(type, from.data(), bytes.data(), 0, rows, columns, nullptr);
    if (type == GGML_TYPE_F32)
      numbers = from;
    else
      ggml_get_type_traits(type)->to_float(bytes.data(), numbers.data(), columns * rows);
  }
  std::vector<std::byte> bytes;
  std::vector<float> numbers;
};

// Products of int8 activations err by their rounding: relative to the length of both vectors.
void expect_near(float got, double truth, double size, bool floating, const std::string& where) {
  EXPECT_NEAR(got, truth, (floating ? 1e-5 : 2e-2) * size + 1e-5) << where;
}

std::int64_t pick(std::mt19937& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

struct Dot {
  double sum = 0;
  double size = 0;
};
Dot dot(const float* a, const float* b, std::int64_t count) {
  Dot out;
  double aa = 0;
  double bb = 0;
  for (std::int64_t k = 0; k < count; ++k) {
    const double x = static_cast<double>(a[k]);
    const double y = static_cast<double>(b[k]);
    out.sum += x * y;
    aa += x * x;
    bb += y * y;
  }
  out.size = std::sqrt(aa * bb);
  return out;
}

class KernelGraph : public testing::Test {
 protected:
  void SetUp() override {
    if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  }
};

TEST_F(KernelGraph, ProductsOfAnyShapeAndView) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const ggml_type type = kTypes[seed % std::size(kTypes)];
    const bool floating = is_floating(*packed_type(type));
    const std::int64_t block = ggml_blck_size(type);
    const std::int64_t columns = block == 1 ? pick(random, 1, 200) : block * pick(random, 1, 3);
    const std::int64_t rows = pick(random, 1, 70);
    const std::int64_t matrices = pick(random, 1, 3);
    const std::int64_t repeat = pick(random, 1, 2);
    const std::int64_t batch = pick(random, 1, 40);
    // 0: whole; 1: some rows from a multiple of 16; 2: rows from anywhere; 3: some columns
    const int view = matrices > 1 ? 0 : static_cast<int>(pick(random, 0, 3));
    const std::string where = "seed " + std::to_string(seed) + ", " + ggml_type_name(type) +
                              ", view " + std::to_string(view);
    Graph graph(static_cast<int>(pick(random, 1, 3)));
    const File file(type, columns, rows * matrices, random);
    ggml_tensor* w = ggml_new_tensor_3d(graph.weights(), type, columns, rows, matrices);
    ggml_tensor* used = w;
    std::int64_t first = 0;
    std::int64_t begin = 0;
    if (view == 1 || view == 2) {
      first = view == 1 ? pick(random, 0, (rows - 1) / 16) * 16 : pick(random, 0, rows - 1);
      used = ggml_view_2d(graph.rest(), w, columns, pick(random, 1, rows - first), w->nb[1],
                          static_cast<std::size_t>(first) * w->nb[1]);
    } else if (view == 3) {
      begin = pick(random, 0, columns / block - 1) * block;
      used = ggml_view_2d(graph.rest(), w, columns - begin, rows, w->nb[1],
                          static_cast<std::size_t>(begin / block) * w->nb[0]);
    }
    ggml_tensor* x =
        ggml_new_tensor_3d(graph.rest(), GGML_TYPE_F32, columns + 3, batch, matrices * repeat);
    ggml_tensor* x_used = ggml_view_3d(graph.rest(), x, columns - begin, batch, matrices * repeat,
                                       x->nb[1], x->nb[2], 0);
    ggml_tensor* y = ggml_mul_mat(graph.rest(), used, x_used);
    const std::vector<float> a = random_numbers(ggml_nelements(x), random);
    const std::vector<float> got = graph.compute(y, [&] {
      ggml_backend_tensor_set(w, file.bytes.data(), 0, file.bytes.size());
      ggml_backend_tensor_set(x, a.data(), 0, a.size() * sizeof(float));
    });
    const std::int64_t outputs = y->ne[0];
    for (std::int64_t m = 0; m < matrices * repeat; ++m)
      for (std::int64_t r = 0; r < batch; ++r)
        for (std::int64_t i = 0; i < outputs; ++i) {
          const float* weight =
              file.numbers.data() + ((m / repeat) * rows + first + i) * columns + begin;
          const Dot truth =
              dot(weight, a.data() + (m * batch + r) * (columns + 3), columns - begin);
          expect_near(got[static_cast<std::size_t>((m * batch + r) * outputs + i)], truth.sum,
                      truth.size, floating, where);
        }
    if (HasFailure()) return;
  }
}

// Few rows are prepared by every thread for itself; floats take most room.
TEST_F(KernelGraph, EveryThreadHasScratchForItsOwnCopyOfFewRows) {
  constexpr std::size_t kThreads = 4;
  Graph graph(kThreads);
  ggml_tensor* w = ggml_new_tensor_2d(graph.weights(), GGML_TYPE_F16, 4096, 16);
  ggml_tensor* x = ggml_new_tensor_2d(graph.rest(), GGML_TYPE_F32, 4096, 2);
  ggml_tensor* y = ggml_mul_mat(graph.rest(), w, x);
  (void)graph.compute(y, [&] {
    const std::vector<char> zeros(ggml_nbytes(w), 0);  // more than x has
    ggml_backend_tensor_set(w, zeros.data(), 0, ggml_nbytes(w));
    ggml_backend_tensor_set(x, zeros.data(), 0, ggml_nbytes(x));
    EXPECT_GE(product_work_bytes(kThreads, y),
              kThreads * 2 * prepared_bytes(packed_weight(w).shape));
  });
}

TEST_F(KernelGraph, EveryTokenGoesThroughItsExperts) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed + 100);
    const ggml_type type = kTypes[seed % std::size(kTypes)];
    const bool floating = is_floating(*packed_type(type));
    const std::int64_t columns = std::max<std::int64_t>(64, ggml_blck_size(type));
    const std::int64_t rows = pick(random, 1, 50);
    const std::int64_t experts = pick(random, 2, 9);
    const std::int64_t used = pick(random, 1, 2);
    const std::int64_t tokens = pick(random, 1, 30);
    const std::int64_t shared = pick(random, 0, 1) == 0 ? 1 : used;  // one row for all, or each
    Graph graph(static_cast<int>(pick(random, 1, 3)));
    const File file(type, columns, rows * experts, random);
    ggml_tensor* w = ggml_new_tensor_3d(graph.weights(), type, columns, rows, experts);
    ggml_tensor* x = ggml_new_tensor_3d(graph.rest(), GGML_TYPE_F32, columns, shared, tokens);
    ggml_tensor* ids = ggml_new_tensor_2d(graph.rest(), GGML_TYPE_I32, used, tokens);
    ggml_tensor* y = ggml_mul_mat_id(graph.rest(), w, x, ids);
    const std::vector<float> a = random_numbers(ggml_nelements(x), random);
    std::vector<std::int32_t> chosen(static_cast<std::size_t>(used * tokens));
    for (std::int32_t& id : chosen) id = static_cast<std::int32_t>(pick(random, 0, experts - 1));
    const std::vector<float> got = graph.compute(y, [&] {
      ggml_backend_tensor_set(w, file.bytes.data(), 0, file.bytes.size());
      ggml_backend_tensor_set(x, a.data(), 0, a.size() * sizeof(float));
      ggml_backend_tensor_set(ids, chosen.data(), 0, chosen.size() * sizeof(std::int32_t));
    });
    for (std::int64_t t = 0; t < tokens; ++t)
      for (std::int64_t s = 0; s < used; ++s)
        for (std::int64_t i = 0; i < rows; ++i) {
          const std::int32_t expert = chosen[static_cast<std::size_t>(t * used + s)];
          const Dot truth = dot(file.numbers.data() + (expert * rows + i) * columns,
                                a.data() + (t * shared + s % shared) * columns, columns);
          expect_near(got[static_cast<std::size_t>((t * used + s) * rows + i)], truth.sum,
                      truth.size, floating, "seed " + std::to_string(seed));
        }
    if (HasFailure()) return;
  }
}

TEST_F(KernelGraph, RowsComeBackAsTheyWere) {
  for (const ggml_type type : kTypes) {
    std::mt19937 random(5);
    Graph graph(2);
    const File file(type, 256, 40, random);
    ggml_tensor* w = ggml_new_tensor_2d(graph.weights(), type, 256, 40);
    ggml_tensor* ids = ggml_new_tensor_1d(graph.rest(), GGML_TYPE_I32, 7);
    ggml_tensor* y = ggml_get_rows(graph.rest(), w, ids);
    const std::vector<std::int32_t> wanted = {0, 39, 16, 15, 3, 3, 31};
    const std::vector<float> got = graph.compute(y, [&] {
      ggml_backend_tensor_set(w, file.bytes.data(), 0, file.bytes.size());
      ggml_backend_tensor_set(ids, wanted.data(), 0, wanted.size() * sizeof(std::int32_t));
    });
    for (std::size_t r = 0; r < wanted.size(); ++r)
      for (std::size_t k = 0; k < 256; ++k)
        ASSERT_EQ(got[r * 256 + k], file.numbers[static_cast<std::size_t>(wanted[r]) * 256 + k])
            << ggml_type_name(type);
  }
}

struct AttentionCase {
  const char* name;
  std::int64_t head_size;
  std::int64_t head_size_v;
  std::int64_t heads;
  std::int64_t kv_heads;
  float soft_cap;
  bool sinks;
};
void PrintTo(const AttentionCase& c, std::ostream* out) { *out << c.name; }

class KernelAttention : public testing::TestWithParam<AttentionCase> {
 protected:
  void SetUp() override {
    if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  }
};

TEST_P(KernelAttention, IsAsNearToTheTruthAsFloatsAre) {
  const AttentionCase& c = GetParam();
  for (unsigned seed = 0; seed < 6; ++seed) {
    std::mt19937 random(seed);
    const std::int64_t cells = seed == 0 ? 1 : pick(random, 2, 300);
    const std::int64_t queries = pick(random, 1, 9);
    Graph graph(static_cast<int>(pick(random, 1, 3)));
    ggml_context* rest = graph.rest();
    ggml_tensor* q = ggml_new_tensor_3d(rest, GGML_TYPE_F32, c.head_size, queries, c.heads);
    ggml_tensor* k = ggml_new_tensor_3d(rest, GGML_TYPE_F16, c.head_size, cells, c.kv_heads);
    ggml_tensor* v = ggml_new_tensor_3d(rest, GGML_TYPE_F16, c.head_size_v, cells, c.kv_heads);
    ggml_tensor* mask = ggml_new_tensor_2d(rest, GGML_TYPE_F16, cells, queries);
    const float scale = 1.0F / std::sqrt(static_cast<float>(c.head_size));
    ggml_tensor* y = ggml_flash_attn_ext(rest, q, k, v, mask, scale, 0.0F, c.soft_cap);
    ggml_tensor* sinks = nullptr;
    if (c.sinks) {
      sinks = ggml_new_tensor_1d(rest, GGML_TYPE_F32, c.heads);
      ggml_flash_attn_ext_add_sinks(y, sinks);
    }
    ASSERT_TRUE(covers_attention(y));
    const std::vector<float> qs = random_numbers(ggml_nelements(q), random);
    const auto halves = [&](ggml_tensor* tensor, std::vector<float>& numbers) {
      std::vector<ggml_fp16_t> out(static_cast<std::size_t>(ggml_nelements(tensor)));
      numbers = random_numbers(ggml_nelements(tensor), random);
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = ggml_fp32_to_fp16(numbers[i]);
        numbers[i] = ggml_fp16_to_fp32(out[i]);
      }
      return out;
    };
    std::vector<float> ks;
    std::vector<float> vs;
    const auto k_halves = halves(k, ks);
    const auto v_halves = halves(v, vs);
    std::vector<bool> seen(static_cast<std::size_t>(cells * queries));
    std::vector<ggml_fp16_t> mask_halves(seen.size());
    for (std::size_t i = 0; i < seen.size(); ++i) {
      seen[i] = pick(random, 0, 2) != 0;
      mask_halves[i] = seen[i] ? 0 : ggml_fp32_to_fp16(-INFINITY);
    }
    const std::vector<float> sink_values = random_numbers(c.heads, random);
    const std::vector<float> got = graph.compute(y, [&] {
      ggml_backend_tensor_set(q, qs.data(), 0, qs.size() * sizeof(float));
      ggml_backend_tensor_set(k, k_halves.data(), 0, k_halves.size() * 2);
      ggml_backend_tensor_set(v, v_halves.data(), 0, v_halves.size() * 2);
      ggml_backend_tensor_set(mask, mask_halves.data(), 0, mask_halves.size() * 2);
      if (c.sinks) ggml_backend_tensor_set(sinks, sink_values.data(), 0, sink_values.size() * 4);
    });
    for (std::int64_t n = 0; n < queries; ++n)
      for (std::int64_t h = 0; h < c.heads; ++h) {
        const std::int64_t kv = h / (c.heads / c.kv_heads);
        std::vector<double> weights(static_cast<std::size_t>(cells), 0.0);
        double top =
            c.sinks ? static_cast<double>(sink_values[static_cast<std::size_t>(h)]) : -1e30;
        std::vector<double> scores(weights.size());
        for (std::int64_t i = 0; i < cells; ++i) {
          const Dot d = dot(qs.data() + (h * queries + n) * c.head_size,
                            ks.data() + (kv * cells + i) * c.head_size, c.head_size);
          double score = d.sum * static_cast<double>(scale);
          if (c.soft_cap != 0.0F)
            score = static_cast<double>(c.soft_cap) *
                    std::tanh(score / static_cast<double>(c.soft_cap));
          scores[static_cast<std::size_t>(i)] = score;
          if (seen[static_cast<std::size_t>(n * cells + i)]) top = std::max(top, score);
        }
        double sum =
            c.sinks ? std::exp(static_cast<double>(sink_values[static_cast<std::size_t>(h)]) - top)
                    : 0.0;
        for (std::size_t i = 0; i < weights.size(); ++i)
          if (seen[static_cast<std::size_t>(n * cells) + i])
            sum += weights[i] = std::exp(scores[i] - top);
        for (std::int64_t z = 0; z < c.head_size_v; ++z) {
          double truth = 0;
          for (std::size_t i = 0; i < weights.size(); ++i)
            truth +=
                weights[i] * static_cast<double>(vs[static_cast<std::size_t>(
                                 (kv * cells + static_cast<std::int64_t>(i)) * c.head_size_v + z)]);
          if (sum > 0) truth /= sum;
          ASSERT_NEAR(got[static_cast<std::size_t>((n * c.heads + h) * c.head_size_v + z)], truth,
                      3e-6 * std::sqrt(static_cast<double>(cells)) + 3e-6)
              << "seed " << seed << ", query " << n << ", head " << h << ", value " << z;
        }
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, KernelAttention,
                         testing::Values(AttentionCase{"SmolLM2", 64, 64, 9, 3, 0.0F, false},
                                         AttentionCase{"Gemma3", 256, 256, 4, 1, 0.0F, false},
                                         AttentionCase{"Gemma2SoftCap", 256, 256, 8, 4, 50.0F,
                                                       false},
                                         AttentionCase{"Llama", 128, 128, 8, 2, 0.0F, false},
                                         AttentionCase{"Phi", 80, 80, 4, 4, 0.0F, false},
                                         AttentionCase{"Heads96", 96, 96, 6, 2, 0.0F, false},
                                         AttentionCase{"Stories", 8, 8, 8, 4, 0.0F, false},
                                         AttentionCase{"Odd72WithSinks", 72, 72, 10, 2, 0.0F, true},
                                         AttentionCase{"WiderKeys", 192, 128, 6, 6, 0.0F, false},
                                         AttentionCase{"SinksAndCap", 64, 64, 8, 1, 30.0F, true}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(KernelAttentionCoverage, LeavesToGgmlWhatItDoesNotKnow) {
  Graph graph(1);
  ggml_context* rest = graph.rest();
  const auto op = [&](ggml_type type, std::int64_t head_size, float max_bias, bool masked) {
    ggml_tensor* q = ggml_new_tensor_3d(rest, GGML_TYPE_F32, head_size, 1, 4);
    ggml_tensor* k = ggml_new_tensor_3d(rest, type, head_size, 32, 4);
    ggml_tensor* v = ggml_new_tensor_3d(rest, type, head_size, 32, 4);
    ggml_tensor* mask = masked ? ggml_new_tensor_2d(rest, GGML_TYPE_F16, 32, 1) : nullptr;
    return ggml_flash_attn_ext(rest, q, k, v, mask, 1.0F, max_bias, 0.0F);
  };
  EXPECT_TRUE(covers_attention(op(GGML_TYPE_F16, 64, 0.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_Q8_0, 64, 0.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_F16, 100, 0.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_F16, 512, 0.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_F16, 64, 8.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_F16, 64, 0.0F, false)));
}

}  // namespace
}  // namespace choir::kernels
