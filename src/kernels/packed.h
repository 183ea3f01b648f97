// Weights as our products read them: 16 output rows side by side, so that one vector load brings
// the same columns of 16 rows, and each row's sum has a lane of its own.
//
// A matrix [rows x columns] is ceil(rows / 16) groups. A group of a quantized type holds, for each
// block of 32 columns, the numbers of its 16 rows as unsigned bytes or parts of bytes, then all
// scales of the blocks, then those of the super-blocks of 256 columns, of which the last one of a
// row may be shorter. Four neighbouring columns of a row lie together, as the VNNI instruction
// wants them: column 4j + i of row r is byte 4r + i of vector j. A group of a floating type is
// [columns][16]. Rows beyond the last are zero.
//
// The scale of a block is a whole number of parts of its super-block's scale, so that the sum of
// 128 or 256 columns is a whole number, too. In files of K types it is so already. In those of the
// other types each block has a scale of its own, which is rounded when it is packed: to the nearest
// of 127 parts of the largest one of 256 columns, of Q8_0 of 255. A weight then is
//   part * (whole scale * (number - zero point) + whole offset),
// where only types with a minimum have an offset. Scales of Q4_0, Q5_0 and Q6_K have signs.
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
// Half a super-block, which has a scale of its own in activations that types without scales of
// super-blocks read.
inline constexpr int kPartBlocks = kSuperBlocks / 2;
inline constexpr int kPartColumns = kPartBlocks * kBlockColumns;

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
      return {256, 16, 32};
    case PackedType::kQ41:
      return {256, 48, 32};
    case PackedType::kQ50:
      return {320, 16, 32};
    case PackedType::kQ51:
      return {320, 48, 32};
    case PackedType::kQ80:
      return {512, 16, 32};
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
// Types whose files have the scales of super-blocks.
[[gnu::always_inline]] constexpr bool is_of_k(PackedType type) {
  return type == PackedType::kQ4K || type == PackedType::kQ5K || type == PackedType::kQ6K;
}
// Of the other quantized types, those whose blocks have a minimum of their own.
[[gnu::always_inline]] constexpr bool has_offsets(PackedType type) {
  return type == PackedType::kQ41 || type == PackedType::kQ51;
}
[[gnu::always_inline]] constexpr bool has_signed_scales(PackedType type) {
  return type == PackedType::kQ40 || type == PackedType::kQ50 || type == PackedType::kQ6K;
}
// Number at which a weight is zero, of types without offsets.
[[gnu::always_inline]] constexpr int zero_point_of(PackedType type) {
  switch (type) {
    case PackedType::kQ40:
      return 8;
    case PackedType::kQ50:
      return 16;
    case PackedType::kQ6K:
      return 32;
    case PackedType::kQ80:
      return 128;
    default:
      return 0;
  }
}
constexpr bool is_floating(PackedType type) { return type >= PackedType::kF16; }

// Parts of a super-block's scale that a whole scale counts, but in K types: so few that a half
// holds the scale, whatever halves the file has.
inline constexpr float kScaleParts = 32.0F;

// One matrix. `columns` is a whole number of the type's blocks.
struct PackedShape {
  PackedType type = PackedType::kF32;
  std::int64_t columns = 0;
  std::int64_t rows = 0;

  constexpr std::int64_t groups() const { return (rows + kGroupRows - 1) / kGroupRows; }
  constexpr std::int64_t blocks() const { return columns / kBlockColumns; }
  constexpr std::int64_t supers() const { return (blocks() + kSuperBlocks - 1) / kSuperBlocks; }
  constexpr int blocks_of_super(std::int64_t super) const {
    const std::int64_t left = blocks() - super * kSuperBlocks;
    return left < kSuperBlocks ? static_cast<int>(left) : kSuperBlocks;
  }
  constexpr std::size_t scales_offset() const {
    return static_cast<std::size_t>(blocks() * packed_bytes(type).quants);
  }
  constexpr std::size_t supers_offset() const {
    return scales_offset() + static_cast<std::size_t>(blocks() * packed_bytes(type).scales);
  }
  // Whole cache lines, so that a vector load never touches two.
  constexpr std::size_t group_bytes() const {
    const std::size_t bytes =
        is_floating(type)
            ? static_cast<std::size_t>(columns * packed_bytes(type).quants)
            : supers_offset() + static_cast<std::size_t>(supers() * packed_bytes(type).supers);
    return (bytes + 63) / 64 * 64;
  }
  constexpr std::size_t bytes() const { return static_cast<std::size_t>(groups()) * group_bytes(); }
};

// The packed type of a ggml type, if we have one.
std::optional<PackedType> packed_type(int ggml_type);

// `rows`: the matrix as the file has it, row by row. `packed`: shape.bytes() bytes.
void pack(const PackedShape& shape, const std::byte* rows, std::byte* packed);

// One row back as numbers: of K types and floating ones the bits of ggml's own unpacking, of the
// others what is computed with. values: [columns].
void unpack_row(const PackedShape& shape, const std::byte* packed, std::int64_t row, float* values);

}  // namespace choir::kernels
