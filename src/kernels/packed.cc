#include "kernels/packed.h"

#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/shared_scale.h"
#define GGML_COMMON_DECL_C
#include <ggml-common.h>  // the engine's own: the blocks of its files

namespace choir::kernels {
namespace {

float from_half(std::uint16_t bits) { return ggml_fp16_to_fp32(bits); }

void low_and_high(const std::uint8_t* nibbles, std::uint8_t* quants) {
  for (int i = 0; i < 16; ++i) {
    quants[i] = nibbles[i] & 15;
    quants[i + 16] = nibbles[i] >> 4;
  }
}

void add_fifth_bits(const std::uint8_t* bits, std::uint8_t* quants) {
  std::uint32_t high = 0;
  std::memcpy(&high, bits, sizeof high);
  for (int i = 0; i < kBlockColumns; ++i)
    quants[i] = static_cast<std::uint8_t>(quants[i] | ((high >> i) & 1) << 4);
}

// Q4_0, Q4_1, Q5_0 and Q5_1: nibbles, some with a fifth bit, some with a minimum.
template <class FileBlock>
ScaledBlock read(const FileBlock& from) {
  ScaledBlock out;
  low_and_high(from.qs, out.quants);
  if constexpr (requires { from.qh; }) add_fifth_bits(from.qh, out.quants);
  out.scale = from_half(from.d);
  if constexpr (requires { from.m; }) {
    out.offset = from_half(from.m);
    turn(
        requires { from.qh; } ? 31 : 15, out);
  }
  return out;
}

// The zero point is 128, so -128 with a negative scale, which ggml never writes, is rounded.
ScaledBlock read(const block_q8_0& from) {
  ScaledBlock out;
  out.scale = from_half(from.d);
  const int sign = out.scale < 0.0F ? -1 : 1;
  for (int i = 0; i < kBlockColumns; ++i)
    out.quants[i] = static_cast<std::uint8_t>(std::min(sign * from.qs[i], 127) + 128);
  out.scale = std::abs(out.scale);
  return out;
}

// Eight 6-bit scales and eight 6-bit minima share 12 bytes.
void sub_scale_and_minimum(const std::uint8_t* packed, int index, std::uint8_t* out) {
  if (index < 4) {
    out[0] = packed[index] & 63;
    out[1] = packed[index + 4] & 63;
    return;
  }
  out[0] = static_cast<std::uint8_t>((packed[index + 4] & 15) | (packed[index - 4] >> 6) << 4);
  out[1] = static_cast<std::uint8_t>((packed[index + 4] >> 4) | (packed[index] >> 6) << 4);
}

// Blocks 2n and 2n + 1 are the low and the high nibbles of the same 32 bytes.
template <class Super>
Block read_k(const Super& super, int index) {
  Block out;
  const std::uint8_t* nibbles = super.qs + index / 2 * kBlockColumns;
  for (int i = 0; i < kBlockColumns; ++i)
    out.quants[i] = index % 2 == 0 ? nibbles[i] & 15 : nibbles[i] >> 4;
  out.scale = super.d;
  out.minimum = super.dmin;
  sub_scale_and_minimum(super.scales, index, out.whole);
  return out;
}

Block read(const block_q4_K* row, std::int64_t block) {
  return read_k(row[block / kSuperBlocks], static_cast<int>(block % kSuperBlocks));
}

Block read(const block_q5_K* row, std::int64_t block) {
  const block_q5_K& super = row[block / kSuperBlocks];
  const int index = static_cast<int>(block % kSuperBlocks);
  Block out = read_k(super, index);
  for (int i = 0; i < kBlockColumns; ++i)
    out.quants[i] = static_cast<std::uint8_t>(out.quants[i] | ((super.qh[i] >> index) & 1) << 4);
  return out;
}

Block read(const block_q6_K* row, std::int64_t block) {
  const block_q6_K& super = row[block / kSuperBlocks];
  const int index = static_cast<int>(block % kSuperBlocks);
  const int quarter = index % 4;  // of a half of 128 columns
  const std::uint8_t* low = super.ql + index / 4 * 64 + quarter % 2 * 32;
  const std::uint8_t* high = super.qh + index / 4 * 32;
  Block out;
  for (int i = 0; i < kBlockColumns; ++i) {
    const int nibble = quarter < 2 ? low[i] & 15 : low[i] >> 4;
    out.quants[i] = static_cast<std::uint8_t>(nibble | ((high[i] >> 2 * quarter) & 3) << 4);
  }
  out.scale = super.d;
  for (int half = 0; half < 2; ++half)
    out.whole[half] = static_cast<std::uint8_t>(super.scales[2 * index + half]);
  return out;
}

struct Place {
  std::byte* quants;  // of the block
  std::byte* scales;
  std::byte* supers;
  int row;  // in the group
};

void put(std::byte* at, const void* value, std::size_t bytes) { std::memcpy(at, value, bytes); }

// Vector j, four columns of this row.
std::uint32_t four(const Block& block, int vector) {
  std::uint32_t columns = 0;
  std::memcpy(&columns, block.quants + 4 * vector, sizeof columns);
  return columns;
}

void put_nibbles(const Block& block, const Place& place) {
  for (int pair = 0; pair < 4; ++pair) {
    const std::uint32_t both =
        (four(block, 2 * pair) & 0x0F0F0F0FU) | (four(block, 2 * pair + 1) & 0x0F0F0F0FU) << 4;
    put(place.quants + 64 * pair + 4 * place.row, &both, sizeof both);
  }
}

// Bit j of a byte is the fifth bit of its column in vector j.
void put_fifth_bits(const Block& block, const Place& place) {
  std::uint32_t bits = 0;
  for (int vector = 0; vector < 8; ++vector)
    bits |= ((four(block, vector) >> 4) & 0x01010101U) << vector;
  put(place.quants + 256 + 4 * place.row, &bits, sizeof bits);
}

// Two bits for each of four vectors in a byte.
void put_two_bits(const Block& block, const Place& place) {
  for (int quad = 0; quad < 2; ++quad) {
    std::uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits |= ((four(block, 4 * quad + i) >> 4) & 0x03030303U) << 2 * i;
    put(place.quants + 256 + 64 * quad + 4 * place.row, &bits, sizeof bits);
  }
}

void put_scales(PackedType type, const Block& block, const Place& place) {
  put(place.supers + 2 * place.row, &block.scale, 2);
  put(place.scales + place.row, block.whole, 1);
  if (has_offsets(type)) put(place.scales + 16 + 2 * place.row, &block.offset, 2);
  if (!is_of_k(type)) return;
  put(place.scales + 16 + place.row, block.whole + 1, 1);
  if (type != PackedType::kQ6K) put(place.supers + 32 + 2 * place.row, &block.minimum, 2);
}

void put_quants(PackedType type, const Block& block, const Place& place) {
  if (type == PackedType::kQ80) {
    for (int vector = 0; vector < 8; ++vector)
      put(place.quants + 64 * vector + 4 * place.row, block.quants + 4 * vector, 4);
    return;
  }
  put_nibbles(block, place);
  if (has_fifth_bits(type)) put_fifth_bits(block, place);
  if (type == PackedType::kQ6K) put_two_bits(block, place);
}

Place place_of(const PackedShape& shape, std::byte* packed, std::int64_t row, std::int64_t block) {
  const PackedBytes bytes = packed_bytes(shape.type);
  std::byte* group = packed + static_cast<std::size_t>(row / kGroupRows) * shape.group_bytes();
  return {group + block * bytes.quants, group + shape.scales_offset() + block * bytes.scales,
          group + shape.supers_offset() + block / kSuperBlocks * bytes.supers,
          static_cast<int>(row % kGroupRows)};
}

void put_block(const PackedShape& shape, const Block& block, std::byte* packed, std::int64_t row,
               std::int64_t index) {
  const Place place = place_of(shape, packed, row, index);
  put_quants(shape.type, block, place);
  put_scales(shape.type, block, place);
}

// Of K types.
template <class FileBlock>
void pack_supers(const PackedShape& shape, const std::byte* rows, std::byte* packed) {
  const auto* from = reinterpret_cast<const FileBlock*>(rows);
  for (std::int64_t row = 0; row < shape.rows; ++row, from += shape.supers())
    for (std::int64_t block = 0; block < shape.blocks(); ++block)
      put_block(shape, read(from, block), packed, row, block);
}

// Of types whose blocks have a scale each.
template <class FileBlock>
void pack_blocks(const PackedShape& shape, const std::byte* rows, std::byte* packed) {
  const auto* from = reinterpret_cast<const FileBlock*>(rows);
  for (std::int64_t row = 0; row < shape.rows; ++row)
    for (std::int64_t block = 0; block < shape.blocks(); block += kSuperBlocks) {
      const int count = shape.blocks_of_super(block / kSuperBlocks);
      ScaledBlock scaled[kSuperBlocks];
      Block together[kSuperBlocks];
      for (int i = 0; i < count; ++i) scaled[i] = read(*from++);
      share_scale(shape.type, scaled, count, together);
      for (int i = 0; i < count; ++i) put_block(shape, together[i], packed, row, block + i);
    }
}

template <class Number>
void pack_numbers(const PackedShape& shape, const std::byte* rows, std::byte* packed) {
  const auto* from = reinterpret_cast<const Number*>(rows);
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    auto* group = reinterpret_cast<Number*>(packed + static_cast<std::size_t>(row / kGroupRows) *
                                                         shape.group_bytes());
    for (std::int64_t column = 0; column < shape.columns; ++column)
      group[column * kGroupRows + row % kGroupRows] = from[row * shape.columns + column];
  }
}

// 32 numbers of a row, zero points still in them.
void quants_at(PackedType type, const Place& place, std::uint8_t* quants) {
  const auto at = [&](int offset) {
    std::uint32_t columns = 0;
    std::memcpy(&columns, place.quants + offset + 4 * place.row, sizeof columns);
    return columns;
  };
  for (int vector = 0; vector < 8; ++vector) {
    std::uint32_t columns = 0;
    if (type == PackedType::kQ80) {
      columns = at(64 * vector);
    } else {
      columns = (at(64 * (vector / 2)) >> 4 * (vector % 2)) & 0x0F0F0F0FU;
      if (has_fifth_bits(type)) columns |= ((at(256) >> vector) & 0x01010101U) << 4;
      if (type == PackedType::kQ6K)
        columns |= ((at(256 + 64 * (vector / 4)) >> 2 * (vector % 4)) & 0x03030303U) << 4;
    }
    std::memcpy(quants + 4 * vector, &columns, sizeof columns);
  }
}

float half_at(const std::byte* at) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  return from_half(bits);
}

// The bits of ggml's own unpacking.
void unpack_k(PackedType type, const Place& place, const std::uint8_t* quants, float* values) {
  const int row = place.row;
  const auto whole = [&](int i) { return static_cast<int>(place.scales[16 * i + row]); };
  const float super_scale = half_at(place.supers + 2 * row);
  if (type == PackedType::kQ6K) {
    for (int half = 0; half < 2; ++half) {
      const float scale = super_scale * static_cast<float>(static_cast<std::int8_t>(whole(half)));
      for (int i = 16 * half; i < 16 * half + 16; ++i)
        values[i] = static_cast<float>(quants[i] - zero_point_of(type)) * scale;
    }
    return;
  }
  const float scale = super_scale * static_cast<float>(whole(0));
  const float minimum = half_at(place.supers + 32 + 2 * row) * static_cast<float>(whole(1));
  for (int i = 0; i < kBlockColumns; ++i)
    values[i] = static_cast<float>(quants[i]) * scale - minimum;
}

void unpack_block(PackedType type, const Place& place, float* values) {
  std::uint8_t quants[kBlockColumns];
  quants_at(type, place, quants);
  if (is_of_k(type)) return unpack_k(type, place, quants, values);
  const float part = half_at(place.supers + 2 * place.row) / kScaleParts;
  const auto byte = static_cast<std::uint8_t>(place.scales[place.row]);
  const int scale = has_signed_scales(type) ? static_cast<std::int8_t>(byte) : byte;
  std::int16_t offset = 0;
  if (has_offsets(type)) std::memcpy(&offset, place.scales + 16 + 2 * place.row, sizeof offset);
  for (int i = 0; i < kBlockColumns; ++i)
    values[i] = part * static_cast<float>(scale * (quants[i] - zero_point_of(type)) + offset);
}

}  // namespace

std::optional<PackedType> packed_type(int ggml_type) {
  switch (ggml_type) {
    case GGML_TYPE_Q4_0:
      return PackedType::kQ40;
    case GGML_TYPE_Q4_1:
      return PackedType::kQ41;
    case GGML_TYPE_Q5_0:
      return PackedType::kQ50;
    case GGML_TYPE_Q5_1:
      return PackedType::kQ51;
    case GGML_TYPE_Q8_0:
      return PackedType::kQ80;
    case GGML_TYPE_Q4_K:
      return PackedType::kQ4K;
    case GGML_TYPE_Q5_K:
      return PackedType::kQ5K;
    case GGML_TYPE_Q6_K:
      return PackedType::kQ6K;
    case GGML_TYPE_F16:
      return PackedType::kF16;
    case GGML_TYPE_BF16:
      return PackedType::kBF16;
    case GGML_TYPE_F32:
      return PackedType::kF32;
    default:
      return std::nullopt;
  }
}

void pack(const PackedShape& shape, const std::byte* rows, std::byte* packed) {
  if (shape.rows % kGroupRows != 0)
    std::memset(packed + shape.bytes() - shape.group_bytes(), 0, shape.group_bytes());
  switch (shape.type) {
    case PackedType::kQ40:
      return pack_blocks<block_q4_0>(shape, rows, packed);
    case PackedType::kQ41:
      return pack_blocks<block_q4_1>(shape, rows, packed);
    case PackedType::kQ50:
      return pack_blocks<block_q5_0>(shape, rows, packed);
    case PackedType::kQ51:
      return pack_blocks<block_q5_1>(shape, rows, packed);
    case PackedType::kQ80:
      return pack_blocks<block_q8_0>(shape, rows, packed);
    case PackedType::kQ4K:
      return pack_supers<block_q4_K>(shape, rows, packed);
    case PackedType::kQ5K:
      return pack_supers<block_q5_K>(shape, rows, packed);
    case PackedType::kQ6K:
      return pack_supers<block_q6_K>(shape, rows, packed);
    case PackedType::kF16:
    case PackedType::kBF16:
      return pack_numbers<std::uint16_t>(shape, rows, packed);
    case PackedType::kF32:
      return pack_numbers<float>(shape, rows, packed);
  }
}

void unpack_row(const PackedShape& shape, const std::byte* packed, std::int64_t row,
                float* values) {
  if (!is_floating(shape.type)) {
    for (std::int64_t block = 0; block < shape.blocks(); ++block)
      unpack_block(shape.type, place_of(shape, const_cast<std::byte*>(packed), row, block),
                   values + block * kBlockColumns);
    return;
  }
  const std::byte* group =
      packed + static_cast<std::size_t>(row / kGroupRows) * shape.group_bytes();
  for (std::int64_t column = 0; column < shape.columns; ++column) {
    const std::int64_t index = column * kGroupRows + row % kGroupRows;
    if (shape.type == PackedType::kF32) {
      std::memcpy(values + column, group + 4 * index, 4);
    } else {
      std::uint16_t bits = 0;
      std::memcpy(&bits, group + 2 * index, 2);
      values[column] = shape.type == PackedType::kF16 ? from_half(bits) : ggml_bf16_to_fp32({bits});
    }
  }
}

}  // namespace choir::kernels
