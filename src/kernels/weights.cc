#include "kernels/weights.h"

#include <ggml-cpu.h>
#include <sys/mman.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "kernels/takeover.h"

namespace choir::kernels {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

PackedShape shape_of(const ggml_tensor* tensor) {
  PackedShape shape;
  shape.type = *packed_type(tensor->type);
  shape.columns = tensor->ne[0];
  shape.rows = tensor->ne[1];
  return shape;
}

std::size_t alloc_size(ggml_backend_buffer_type_t, const ggml_tensor* tensor) {
  if (!can_pack(tensor)) return ggml_nbytes(tensor);
  return shape_of(tensor).bytes() * static_cast<std::size_t>(tensor->ne[2] * tensor->ne[3]);
}

// Whole pages, huge ones where that is little.
std::size_t mapped_bytes(std::size_t size) {
  const std::size_t page = size >= kHugePage ? kHugePage : std::size_t{4096};
  return (size + page - 1) / page * page;
}

void free_pages(ggml_backend_buffer_t buffer) {
  if (buffer->context != nullptr) munmap(buffer->context, mapped_bytes(buffer->size));
}

// ggml accepts no null base, not even of an empty buffer.
void* base(ggml_backend_buffer_t buffer) {
  alignas(64) static std::byte nothing;
  return buffer->context != nullptr ? buffer->context : &nothing;
}

void set_tensor(ggml_backend_buffer_t, ggml_tensor* tensor, const void* data, std::size_t offset,
                std::size_t bytes) {
  CHOIR_CHECK(offset == 0 && bytes == ggml_nbytes(tensor), "weights are loaded whole");
  const PackedShape shape = shape_of(tensor);
  const auto* from = static_cast<const std::byte*>(data);
  auto* to = static_cast<std::byte*>(tensor->data);
  const std::size_t matrix_bytes = tensor->nb[2];
  for (std::int64_t i = 0; i < tensor->ne[2] * tensor->ne[3]; ++i)
    pack(shape, from + static_cast<std::size_t>(i) * matrix_bytes,
         to + static_cast<std::size_t>(i) * shape.bytes());
}

void clear(ggml_backend_buffer_t buffer, std::uint8_t value) {
  if (buffer->context != nullptr) std::memset(buffer->context, value, buffer->size);
}

ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, std::size_t size) {
  void* pages = nullptr;
  if (size > 0) {
    const std::size_t bytes = mapped_bytes(size);
    pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return nullptr;
    // Weights are read from end to end in every step; fewer pages are fewer misses.
    madvise(pages, bytes, MADV_HUGEPAGE);
  }
  ggml_backend_buffer_i calls = {};
  calls.free_buffer = free_pages;
  calls.get_base = base;
  calls.set_tensor = set_tensor;
  calls.clear = clear;
  return ggml_backend_buffer_init(type, calls, pages, size);
}

}  // namespace

ggml_backend_buffer_type_t weights_buffer_type() {
  static ggml_backend_buffer_type type = [] {
    ggml_backend_buffer_type made = {};
    made.iface.get_name = [](ggml_backend_buffer_type_t) { return "Choir"; };
    made.iface.alloc_buffer = allocate;
    made.iface.get_alignment = [](ggml_backend_buffer_type_t) { return std::size_t{64}; };
    made.iface.get_alloc_size = alloc_size;
    made.device = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0);
    made.context = takeover_context();
    return made;
  }();
  return &type;
}

bool can_pack(const ggml_tensor* tensor) {
  return packed_type(tensor->type).has_value() && ggml_is_contiguous(tensor) &&
         ggml_nelements(tensor) > 0 && !is_read_as_it_lies(tensor) && !is_factor(tensor);
}

bool is_factor(const ggml_tensor* tensor) {
  const std::string_view name = (tensor->view_src == nullptr ? tensor : tensor->view_src)->name;
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view suffix = name.substr(dot + 1);
  return suffix == "scale" || suffix == "input_scale";
}

bool is_read_as_it_lies(const ggml_tensor* tensor) {
  return std::string_view(tensor->name) == "token_types.weight";
}

PackedWeight packed_weight(const ggml_tensor* root) {
  return {shape_of(root), root->ne[2] * root->ne[3], static_cast<const std::byte*>(root->data)};
}

PackedWeight packed_view(const ggml_tensor* tensor) {
  const ggml_tensor* root = tensor->view_src;
  if (root == nullptr) return packed_weight(tensor);
  PackedWeight weight = packed_weight(root);
  if (ggml_are_same_shape(tensor, root) && ggml_are_same_stride(tensor, root)) return weight;
  const std::size_t row_bytes = root->nb[1];
  const auto first = static_cast<std::int64_t>(tensor->view_offs / row_bytes);
  const bool rows = tensor->ne[0] == root->ne[0] && tensor->nb[0] == root->nb[0] &&
                    tensor->nb[1] == row_bytes && tensor->view_offs % row_bytes == 0 &&
                    first % kGroupRows == 0 && tensor->ne[2] * tensor->ne[3] == 1 &&
                    first % root->ne[1] + tensor->ne[1] <= root->ne[1];
  if (!rows) return {};
  weight.data =
      weight.matrix(first / root->ne[1]) +
      static_cast<std::size_t>(first % root->ne[1] / kGroupRows) * weight.shape.group_bytes();
  weight.shape.rows = tensor->ne[1];
  weight.count = 1;
  return weight;
}

void unpack_view_row(const ggml_tensor* tensor, std::int64_t i1, std::int64_t i2, std::int64_t i3,
                     float* values) {
  const ggml_tensor* root = tensor->view_src == nullptr ? tensor : tensor->view_src;
  const PackedWeight weight = packed_weight(root);
  const std::size_t first = (tensor->view_src == nullptr ? 0 : tensor->view_offs) +
                            static_cast<std::size_t>(i1) * tensor->nb[1] +
                            static_cast<std::size_t>(i2) * tensor->nb[2] +
                            static_cast<std::size_t>(i3) * tensor->nb[3];
  const auto in_block = static_cast<std::int64_t>(ggml_blck_size(tensor->type));
  std::vector<float> row(static_cast<std::size_t>(root->ne[0]));
  std::int64_t unpacked = -1;
  for (std::int64_t i = 0; i < tensor->ne[0]; ++i) {
    const std::size_t offset = first + static_cast<std::size_t>(i / in_block) * tensor->nb[0];
    const auto index = static_cast<std::int64_t>(offset / root->nb[1]);
    if (index != unpacked)
      unpack_row(weight.shape, weight.matrix(index / root->ne[1]), index % root->ne[1], row.data());
    unpacked = index;
    values[i] = row[offset % root->nb[1] / root->nb[0] * static_cast<std::size_t>(in_block) +
                    static_cast<std::size_t>(i % in_block)];
  }
}

}  // namespace choir::kernels
