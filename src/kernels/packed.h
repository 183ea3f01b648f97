// Weights as our products read them: 16 output rows side by side, so that one vector load brings
// the same columns of 16 rows, and each row's sum has a lane of its own.
//
// A matrix [rows x columns] is ceil(rows / 16) groups. A group of a quantized type holds, for each
// block of 32 columns, the numbers of its 16 rows as unsigned bytes or parts of bytes, then all
// scales of the blocks, then those of the super-blocks of 256 columns (K types). Four neighbouring
// columns of a row lie together, as the VNNI instruction wants them: column 4j + i of row r is byte
// 4r + i of vector j. A group of a floating type is [columns][16]. Rows beyond the last are zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace choir::kernels {

enum class PackedType : std::uint8_t {
  kQ40,
  kQ41,
  kQ50,
  kQ51,
  kQ80,
  kQ4K,
  kQ5K,
  kQ6K,
  kF16,
  kBF16,
  kF32,
};
inline constexpr int kPackedTypes = 11;
inline constexpr int kGroupRows = 16;
inline constexpr int kBlockColumns = 32;
inline constexpr int kSuperBlocks = 8;  // blocks of a super-block
inline constexpr int kSuperColumns = kSuperBlocks * kBlockColumns;

// Bytes of 16 rows.
struct PackedBytes {
  int quants = 0;  // of a block; of a column where the type is floating
  int scales = 0;  // of a block
  int supers = 0;  // of a super-block
};
// Always inline: a copy that a file of an instruction set left behind could be linked into the code
// for all others.
[[gnu::always_inline]] constexpr PackedBytes packed_bytes(PackedType type) {
  switch (type) {
    case PackedType::kQ40:
      return {256, 32, 0};
    case PackedType::kQ41:
      return {256, 64, 0};
    case PackedType::kQ50:
      return {320, 32, 0};
    case PackedType::kQ51:
      return {320, 64, 0};
    case PackedType::kQ80:
      return {512, 32, 0};
    case PackedType::kQ4K:
      return {256, 32, 64};
    case PackedType::kQ5K:
      return {320, 32, 64};
    case PackedType::kQ6K:
      return {384, 32, 32};
    case PackedType::kF16:
    case PackedType::kBF16:
      return {32, 0, 0};
    case PackedType::kF32:
      return {64, 0, 0};
  }
  return {};
}
// Five bits of a number: four with a neighbour's, and one behind all of those.
[[gnu::always_inline]] constexpr bool has_fifth_bits(PackedType type) {
  return type == PackedType::kQ50 || type == PackedType::kQ51 || type == PackedType::kQ5K;
}
constexpr bool is_floating(PackedType type) { return type >= PackedType::kF16; }

// One matrix. `columns` is a whole number of the type's blocks.
struct PackedShape {
  PackedType type = PackedType::kF32;
  std::int64_t columns = 0;
  std::int64_t rows = 0;

  constexpr std::int64_t groups() const { return (rows + kGroupRows - 1) / kGroupRows; }
  constexpr std::int64_t blocks() const { return columns / kBlockColumns; }
  constexpr std::size_t scales_offset() const {
    return static_cast<std::size_t>(blocks() * packed_bytes(type).quants);
  }
  constexpr std::size_t supers_offset() const {
    return scales_offset() + static_cast<std::size_t>(blocks() * packed_bytes(type).scales);
  }
  // Whole cache lines, so that a vector load never touches two.
  constexpr std::size_t group_bytes() const {
    const std::size_t bytes =
        is_floating(type) ? static_cast<std::size_t>(columns * packed_bytes(type).quants)
                          : supers_offset() + static_cast<std::size_t>(blocks() / kSuperBlocks *
                                                                       packed_bytes(type).supers);
    return (bytes + 63) / 64 * 64;
  }
  constexpr std::size_t bytes() const { return static_cast<std::size_t>(groups()) * group_bytes(); }
};

// The packed type of a ggml type, if we have one.
std::optional<PackedType> packed_type(int ggml_type);

// `rows`: the matrix as the file has it, row by row. `packed`: shape.bytes() bytes.
void pack(const PackedShape& shape, const std::byte* rows, std::byte* packed);

// One row back as numbers, the same bits as ggml's own unpacking gives. values: [columns].
void unpack_row(const PackedShape& shape, const std::byte* packed, std::int64_t row, float* values);

}  // namespace choir::kernels
