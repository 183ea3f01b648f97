#include "kernels/shared_scale.h"

#include <ggml.h>

#include <algorithm>
#include <cmath>

namespace choir::kernels {
namespace {

float from_half(std::uint16_t bits) { return ggml_fp16_to_fp32(bits); }

// The smallest half that is not less; infinity and NaN stay.
std::uint16_t half_above(float x) {
  std::uint16_t bits = ggml_fp32_to_fp16(x);
  while (from_half(bits) < x) ++bits;
  return bits;
}

// What whole numbers may be: the largest scale and, where blocks have offsets, the largest weight;
// and the largest number of a block. 128 weights of Q4_1 times 127 are less than 2^24, which a
// float holds exactly (supers.inc); those of the others have 16 bits (digits.inc).
struct Wholes {
  float scale;
  float weight;
  float numbers;
};
constexpr Wholes wholes_of(PackedType type) {
  switch (type) {
    case PackedType::kQ41:
      return {127, 1010, 15};
    case PackedType::kQ51:
      return {255, 32000, 31};
    case PackedType::kQ80:
      return {255, 0, 0};
    default:
      return {127, 0, 0};
  }
}

float largest(float most, float x) {
  x = std::abs(x);
  return x <= most || most != most ? most : x;  // NaN stays
}

long whole_of(float x, float part) {
  return part > 0.0F && std::isfinite(x) && std::isfinite(part) ? std::lround(x / part) : 0;
}

}  // namespace

void turn(int largest, ScaledBlock& block) {
  if (!(block.scale < 0.0F)) return;
  for (std::uint8_t& quant : block.quants) quant = static_cast<std::uint8_t>(largest - quant);
  block.offset += static_cast<float>(largest) * block.scale;
  block.scale = -block.scale;
}

void share_scale(PackedType type, const ScaledBlock* from, int count, Block* to) {
  const Wholes most = wholes_of(type);
  float part = 0.0F;
  for (int i = 0; i < count; ++i) {
    part = largest(part, from[i].scale / most.scale);
    if (!has_offsets(type)) continue;
    part = largest(part, from[i].offset / most.weight);
    part = largest(part, (from[i].scale * most.numbers + from[i].offset) / most.weight);
  }
  const std::uint16_t bits = half_above(part * kScaleParts);
  part = from_half(bits) / kScaleParts;
  for (int i = 0; i < count; ++i) {
    std::copy_n(from[i].quants, kBlockColumns, to[i].quants);
    to[i].scale = bits;
    const long scale = whole_of(from[i].scale, part);
    to[i].whole[0] = static_cast<std::uint8_t>(scale);
    const float rounded = from[i].scale - part * static_cast<float>(scale);
    if (has_offsets(type))
      to[i].offset =
          static_cast<std::int16_t>(whole_of(from[i].offset + rounded * most.numbers / 2, part));
  }
}

}  // namespace choir::kernels
