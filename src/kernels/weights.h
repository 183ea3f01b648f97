// The buffer type in which a model's weights lie packed, for ggml's CPU backend.
//
// ggml asks it at load which weights it takes and hands it their bytes once; afterwards every
// operation on them is ours (takeover.cc).
#pragma once

#include <ggml-backend.h>
#include <ggml.h>

#include <cstdint>

#include "ggml-backend-impl.h"  // the engine's own: what a buffer is
#include "kernels/packed.h"

namespace choir::kernels {

// The one buffer type of this process; its context is what ggml asks about operations. Never freed,
// like ggml's own.
ggml_backend_buffer_type_t weights_buffer_type();

inline bool is_packed(const ggml_tensor* tensor) {
  return tensor != nullptr && tensor->buffer != nullptr &&
         tensor->buffer->buft == weights_buffer_type();
}

// Whether this weight can be packed.
bool can_pack(const ggml_tensor* tensor);

// A table of which the engine adds a row through a view, with no operation that we are asked about:
// the token types of an encoder. Packed, its bytes would be read as if they were not.
bool is_read_as_it_lies(const ggml_tensor* tensor);

// Numbers with which the engine multiplies what a product gives: "blk.0.attn_q.scale", of one
// number or one for each expert. The engine asks for a place for them with the product's operation,
// which they are no operand of.
bool is_factor(const ggml_tensor* tensor);

// The packed matrices of a weight: [count] of `shape`, one after the other.
struct PackedWeight {
  PackedShape shape;
  std::int64_t count = 0;
  const std::byte* data = nullptr;

  const std::byte* matrix(std::int64_t index) const {
    return data + static_cast<std::size_t>(index) * shape.bytes();
  }
};
PackedWeight packed_weight(const ggml_tensor* root);

// As packed_weight, of a view too where it is whole groups of whole rows; count is 0 where it is
// not.
PackedWeight packed_view(const ggml_tensor* tensor);

// Row (i1, i2, i3) of any view of a packed weight. Slow. values: [ne0].
void unpack_view_row(const ggml_tensor* tensor, std::int64_t i1, std::int64_t i2, std::int64_t i3,
                     float* values);

}  // namespace choir::kernels
