// Products of packed weights: how much of the machine's peak they reach, beside ggml's own.
//
// Each core multiplies its half of the same weights again and again; the peak is measured in the
// same way in the same run, with nothing but the instruction that multiplies.
//
//   ./dev bench kernels
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "base/check.h"
#include "base/machine.h"
#include "bench/report/report.h"
#include "bench/report/together.h"
#include "kernels/kernel_table.h"
#include "kernels/takeover.h"

namespace choir::bench {
namespace {

using kernels::KernelTable;
using kernels::PackedShape;

constexpr int kRuns = 5;

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

constexpr long kPeakRounds = 4'000'000;

// Enough that none waits for itself: two instructions a cycle, each of which takes five.
constexpr int kPeakChains = 16;

// Written out, because a compiler sees that the sums are equal and that nobody reads them.
__attribute__((target("avx512f,avx512vnni"))) void peak_avx512(int) {
  for (long i = 0; i < kPeakRounds; ++i)
    asm volatile(
        "vpdpbusd %%zmm30, %%zmm31, %%zmm0\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm1\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm2\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm3\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm4\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm5\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm6\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm7\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm8\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm9\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm10\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm11\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm12\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm13\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm14\n\t"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm15" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
              "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

// Three instructions make 32 products without VNNI.
void peak_avx2(int) {
  __m256i sum = _mm256_setzero_si256();
  for (long i = 0; i < kPeakRounds; ++i)
    for (int chain = 0; chain < kPeakChains; ++chain) {
      __m256i x = _mm256_set1_epi8(3);
      asm volatile("" : "+x"(x));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, _mm256_set1_epi8(2)),
                                                    _mm256_set1_epi16(1)));
    }
  asm volatile("" : "+x"(sum));
}

// Billions of int8 products a second with what `table` uses.
double peak(const KernelTable& table, int threads) {
  if (std::string(table.name) == "avx512")
    return kPeakRounds * kPeakChains * 64.0 * threads / best_of(threads, kRuns, peak_avx512) / 1e9;
  return kPeakRounds * kPeakChains * 32.0 * threads / best_of(threads, kRuns, peak_avx2) / 1e9;
}

struct Case {
  ggml_type type;
  std::int64_t columns;
  std::int64_t rows;
};

std::vector<float> random_numbers(std::size_t count) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> out(count);
  for (float& x : out) x = normal(random);
  return out;
}

std::vector<std::byte> file_of(const Case& c) {
  const std::vector<float> numbers = random_numbers(static_cast<std::size_t>(c.columns * c.rows));
  std::vector<std::byte> file(ggml_row_size(c.type, c.columns) * static_cast<std::size_t>(c.rows));
  ggml_quantize_chunk(c.type, numbers.data(), file.data(), 0, c.rows, c.columns, nullptr);
  return file;
}

long rounds_for(const Case& c, std::int64_t batch) {
  return static_cast<long>(2e9 / static_cast<double>(c.columns * c.rows * batch)) + 1;
}

double ours(const KernelTable& table, const Case& c, std::int64_t batch, int threads) {
  const PackedShape shape{*kernels::packed_type(c.type), c.columns, c.rows};
  const std::vector<std::byte> file = file_of(c);
  std::unique_ptr<std::byte, decltype(&std::free)> packed(
      static_cast<std::byte*>(std::aligned_alloc(64, shape.bytes())), std::free);
  kernels::pack(shape, file.data(), packed.get());
  const std::vector<float> a = random_numbers(static_cast<std::size_t>(batch * c.columns));
  std::vector<std::byte> prepared(kernels::prepared_bytes(shape) * static_cast<std::size_t>(batch));
  const int most = table.rows_max_of(shape.type);
  for (std::int64_t row = 0; row < batch; ++row)
    table.prepare_row(shape, a.data() + row * c.columns, kernels::place_row(row, batch, most),
                      prepared.data());
  std::vector<float> out(static_cast<std::size_t>(batch * c.rows));
  kernels::Product product;
  product.shape = shape;
  product.weights = packed.get();
  product.prepared = prepared.data();
  product.rows = batch;
  product.c = out.data();
  product.c_stride = c.rows;
  const long rounds = rounds_for(c, batch);
  const std::int64_t groups = shape.groups();
  const double best = best_of(threads, kRuns, [&](int thread) {
    const std::int64_t begin = groups * thread / threads;
    const std::int64_t end = groups * (thread + 1) / threads;
    for (long i = 0; i < rounds; ++i) table.multiply(product, begin, end);
  });
  return static_cast<double>(c.columns * c.rows * batch * rounds) / best / 1e9;
}

double ggmls(const Case& c, std::int64_t batch, int threads) {
  ggml_context* context =
      ggml_init({.mem_size = std::size_t{1} << 20, .mem_buffer = nullptr, .no_alloc = true});
  ggml_tensor* w = ggml_new_tensor_2d(context, c.type, c.columns, c.rows);
  ggml_tensor* x = ggml_new_tensor_2d(context, GGML_TYPE_F32, c.columns, batch);
  ggml_tensor* y = ggml_mul_mat(context, w, x);
  ggml_cgraph* graph = ggml_new_graph(context);
  ggml_build_forward_expand(graph, y);
  ggml_backend_t backend = ggml_backend_cpu_init();
  ggml_backend_cpu_set_n_threads(backend, threads);
  ggml_threadpool_params options = ggml_threadpool_params_default(threads);
  ggml_threadpool* pool = ggml_threadpool_new(&options);
  ggml_backend_cpu_set_threadpool(backend, pool);
  ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors(context, backend);
  const std::vector<std::byte> file = file_of(c);
  const std::vector<float> a = random_numbers(static_cast<std::size_t>(batch * c.columns));
  ggml_backend_tensor_set(w, file.data(), 0, file.size());
  ggml_backend_tensor_set(x, a.data(), 0, a.size() * sizeof(float));
  const long rounds = rounds_for(c, batch) / 4 + 1;
  double best = 1e9;
  for (int run = 0; run < 3; ++run)
    best = std::min(best, seconds([&] {
                      for (long i = 0; i < rounds; ++i) ggml_backend_graph_compute(backend, graph);
                    }));
  ggml_backend_buffer_free(buffer);
  ggml_backend_free(backend);
  ggml_threadpool_free(pool);
  ggml_free(context);
  return static_cast<double>(c.columns * c.rows * batch * rounds) / best / 1e9;
}

std::optional<double> goal_of(ggml_type type, std::int64_t batch) {
  if (batch < 32) return std::nullopt;
  switch (type) {
    case GGML_TYPE_F16:
    case GGML_TYPE_BF16:
    case GGML_TYPE_F32:
      return std::nullopt;  // no product of int8
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_Q5_K:
    case GGML_TYPE_Q6_K:
      return 0.45;
    default:
      return 0.55;
  }
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir::bench;
  const Arguments arguments =
      parse(argc, argv, "Products of packed weights beside the machine's peak and ggml's");
  const choir::kernels::KernelTable* table = choir::kernels::active_table();
  CHOIR_CHECK(table != nullptr, "our kernels are on (CHOIR_KERNELS) and this CPU has one");
  const int threads = choir::read_machine().cores;
  const double top = peak(*table, threads);
  std::vector<Row> rows;
  const auto add = [&](const Case& c, std::int64_t batch) {
    const std::string name = std::string(ggml_type_name(c.type)) + " " + std::to_string(c.columns) +
                             " x " + std::to_string(c.rows) + ", batch " + std::to_string(batch);
    const double value = ours(*table, c, batch, threads);
    rows.push_back({.name = name,
                    .unit = "GMAC/s",
                    .choir = value,
                    .peer = top,
                    .peer_name = "peak",
                    .goal = goal_of(c.type, batch)});
    rows.push_back({.name = name,
                    .unit = "GMAC/s",
                    .choir = value,
                    .peer = ggmls(c, batch, threads),
                    .peer_name = "ggml",
                    .goal = std::nullopt});
  };
  for (const std::int64_t batch : {1, 8, 32, 64, 256}) {
    add({GGML_TYPE_Q4_1, 576, 1536}, batch);
    add({GGML_TYPE_Q4_1, 1536, 576}, batch);
    add({GGML_TYPE_Q8_0, 576, 49152}, batch);
    add({GGML_TYPE_Q8_0, 640, 262144}, batch);
  }
  for (const ggml_type type : {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                               GGML_TYPE_Q8_0, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_F32})
    add({type, 640, 2048}, 32);
  for (const ggml_type type : {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                               GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K})
    add({type, 2048, 2048}, 32);
  return finish("kernels", rows, arguments);
}
