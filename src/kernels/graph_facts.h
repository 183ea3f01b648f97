// What is asked of a graph's tensors before operations are fused: which operations read them, where
// they lie.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>

#include <ggml.h>

#include "ggml-impl.h"  // the engine's own: what a graph is

namespace choir::kernels {

inline int use_count(const ggml_cgraph& graph, const ggml_tensor* tensor) {
  const std::size_t at = ggml_hash_find(&graph.visited_hash_set, tensor);
  return ggml_bitset_get(graph.visited_hash_set.used, at) ? graph.use_counts[at] : 0;
}

inline bool is_output(const ggml_tensor* tensor) {
  return (tensor->flags & GGML_TENSOR_FLAG_OUTPUT) != 0;
}

// Only the run itself reads it.
inline bool is_inner(const ggml_cgraph& graph, const ggml_tensor* tensor) {
  return use_count(graph, tensor) == 1 && !is_output(tensor);
}

inline bool is_plain_rows(const ggml_tensor* tensor) {
  return tensor->type == GGML_TYPE_F32 && ggml_is_contiguous(tensor);
}

inline bool reads(const ggml_tensor* node, const ggml_tensor* tensor) {
  return std::find(std::begin(node->src), std::end(node->src), tensor) != std::end(node->src);
}

// Written while the other is read: either not the same memory at all, or place for place.
inline bool apart_or_same(const ggml_tensor* a, const ggml_tensor* b) {
  const auto* x = static_cast<const std::byte*>(a->data);
  const auto* y = static_cast<const std::byte*>(b->data);
  return x == y || x + ggml_nbytes(a) <= y || y + ggml_nbytes(b) <= x;
}

inline bool apart(const ggml_tensor* a, const ggml_tensor* b) {
  return a->data != b->data && apart_or_same(a, b);
}

}  // namespace choir::kernels
