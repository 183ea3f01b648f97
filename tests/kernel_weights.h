// Matrices of files, packed, and their products with each table that this CPU runs.
#pragma once

#include <ggml.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/packed.h"
#include "tests/plain_tiles.h"

namespace choir::kernels {

// The tables that this CPU runs.
inline std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> out;
  if (avx2_table() != nullptr) out.push_back(avx2_table());
  if (plain_tiles_table() != nullptr) out.push_back(plain_tiles_table());
  if (active_table() == nullptr || active_table() == avx2_table()) return out;
  out.push_back(active_table());
  if (active_table() == amx_table()) out.push_back(avx512_table());
  return out;
}

inline std::vector<float> random_numbers(std::size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> out(count);
  for (float& x : out) x = normal(random);
  return out;
}

// A matrix of a file, packed.
struct Weights {
  Weights(ggml_type of, std::int64_t rows, std::int64_t columns, std::mt19937& random)
      : type(of), shape{*packed_type(of), columns, rows} {
    const std::vector<float> numbers =
        random_numbers(static_cast<std::size_t>(rows * columns), random);
    file.resize(ggml_row_size(type, columns) * static_cast<std::size_t>(rows));
    ggml_quantize_chunk(type, numbers.data(), file.data(), 0, rows, columns, nullptr);
    packed.resize(shape.bytes() + 64);
    pack();
  }
  void pack() { kernels::pack(shape, file.data(), data()); }
  std::byte* data() {
    return packed.data() + (64 - reinterpret_cast<std::uintptr_t>(packed.data()) % 64);
  }
  std::vector<float> plain_row(std::int64_t row) const {
    std::vector<float> out(static_cast<std::size_t>(shape.columns));
    const std::byte* at =
        file.data() + static_cast<std::size_t>(row) * ggml_row_size(type, shape.columns);
    if (type == GGML_TYPE_F32)
      std::memcpy(out.data(), at, out.size() * sizeof(float));
    else
      ggml_get_type_traits(type)->to_float(at, out.data(), shape.columns);
    return out;
  }

  ggml_type type;
  PackedShape shape;
  std::vector<std::byte> file;
  std::vector<std::byte> packed;
};

inline std::vector<float> product(const KernelTable& table, Weights& weights,
                                  const std::vector<float>& a, std::int64_t rows) {
  const PackedShape& shape = weights.shape;
  const int most = table.rows_max_of(shape.type);
  std::vector<std::byte> prepared(prepared_bytes(shape) * static_cast<std::size_t>(rows));
  for (std::int64_t row = 0; row < rows; ++row)
    table.prepare_row(shape, a.data() + row * shape.columns, place_row(row, rows, most),
                      prepared.data());
  std::vector<float> c(static_cast<std::size_t>(rows * shape.rows), NAN);
  Product p;
  p.shape = shape;
  p.weights = weights.data();
  p.prepared = prepared.data();
  p.rows = rows;
  p.c = c.data();
  p.c_stride = shape.rows;
  table.multiply(p, 0, shape.groups());
  return c;
}

}  // namespace choir::kernels
