#include "kernels/takeover.h"

#include <ggml-cpu.h>

#include <cstddef>

#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows
#include "kernels/attention_op.h"
#include "kernels/fused_ops.h"
#include "kernels/fusion.h"
#include "kernels/graph_hook.h"
#include "kernels/kernel_table.h"
#include "kernels/product_op.h"
#include "kernels/rotation_op.h"
#include "kernels/weights.h"
#include "traits.h"  // the engine's own: its list of extra buffer types

namespace choir::kernels {
namespace {

// One of our operations, as ggml wants it.
template <auto kWorkBytes, auto kCompute>
class Operation final : public ggml::cpu::tensor_traits {
  bool work_size(int threads, const ggml_tensor* op, std::size_t& size) override {
    size = kWorkBytes(threads, op);
    return true;
  }
  bool compute_forward(ggml_compute_params* params, ggml_tensor* op) override {
    kCompute(*params, op);
    return true;
  }
};

std::size_t no_work_bytes(int, const ggml_tensor*) { return 0; }

class Takeover final : public ggml::cpu::extra_buffer_type {
  bool supports_op(ggml_backend_dev_t, const ggml_tensor* op) override {
    if (!is_packed(op->src[0]) || !can_pack(op->src[0])) return false;
    switch (op->op) {
      case GGML_OP_MUL_MAT:
      case GGML_OP_MUL_MAT_ID:
        return op->src[1]->type == GGML_TYPE_F32;
      case GGML_OP_GET_ROWS:
        return op->src[1]->type == GGML_TYPE_I32 && op->type == GGML_TYPE_F32;
      default:
        return false;
    }
  }

  ggml::cpu::tensor_traits* get_tensor_traits(const ggml_tensor* op) override {
    if (is_fused(op)) return &fused_;
    switch (op->op) {
      case GGML_OP_MUL_MAT:
        if (is_packed(op->src[0])) return &product_;
        return covers_rotation(op) ? &rotation_ : nullptr;
      case GGML_OP_MUL_MAT_ID:
        return is_packed(op->src[0]) ? &expert_product_ : nullptr;
      case GGML_OP_GET_ROWS:
        return is_packed(op->src[0]) ? &rows_ : nullptr;
      case GGML_OP_FLASH_ATTN_EXT:
        return covers_attention(op) ? &attention_ : nullptr;
      default:
        return nullptr;
    }
  }

  Operation<product_work_bytes, compute_product> product_;
  Operation<expert_product_work_bytes, compute_expert_product> expert_product_;
  Operation<no_work_bytes, compute_get_rows> rows_;
  Operation<attention_work_bytes, compute_attention> attention_;
  Operation<no_work_bytes, compute_rotation> rotation_;
  Operation<fused_work_bytes, compute_fused> fused_;
};

}  // namespace

void take_over() {
  static const bool done = [] {
    if (active_table() == nullptr) return false;
    auto& types = ggml_backend_cpu_get_extra_buffer_types();
    types.insert(types.begin(), weights_buffer_type());
    fuse_graphs();
    return true;
  }();
  (void)done;
}

void* takeover_context() {
  static auto* const takeover = new Takeover;  // outlives all static objects
  // ggml casts it back to the base.
  return static_cast<ggml::cpu::extra_buffer_type*>(takeover);
}

}  // namespace choir::kernels
