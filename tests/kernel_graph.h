// What tests of our operations share: a graph of ggml's, random numbers, sums in double.
#pragma once

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "kernels/takeover.h"
#include "kernels/weights.h"

namespace choir::kernels {

template <auto kFree>
struct FreeWith {
  template <class T>
  void operator()(T* handle) const {
    kFree(handle);
  }
};
template <class T, auto kFree>
using Handle = std::unique_ptr<T, FreeWith<kFree>>;

inline std::vector<float> random_numbers(std::int64_t count, std::mt19937& random) {
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

inline std::int64_t pick(std::mt19937& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

struct Dot {
  double sum = 0;
  double size = 0;
};
inline Dot dot(const float* a, const float* b, std::int64_t count) {
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

}  // namespace choir::kernels
