// Blocks of weights between the form of a file and that of packed.h. Of types whose blocks have a
// scale each: how those of a super-block get a common one.
#pragma once

#include <cstdint>

#include "kernels/packed.h"

namespace choir::kernels {

// 32 columns of one row, between the file's form and ours.
struct Block {
  std::uint8_t quants[kBlockColumns];  // with the zero point added: never negative
  std::uint16_t scale = 0;             // half, of the super-block
  std::uint16_t minimum = 0;           // half, of the super-block; K types
  std::uint8_t whole[2] = {0, 0};      // scale; K types: and minimum, or the scales of two halves
  std::int16_t offset = 0;             // of types that have one
};

// A block of a type that has a scale for each: a weight is scale * (number - zero point) + offset.
struct ScaledBlock {
  std::uint8_t quants[kBlockColumns];
  float scale = 0.0F;
  float offset = 0.0F;
};

// The same weights with a scale that is not negative. largest: of the type's numbers.
void turn(int largest, ScaledBlock& block);

// Gives `count` blocks a common scale. What rounding does to a scale is taken back in the middle of
// the numbers by the offset, where there is one.
void share_scale(PackedType type, const ScaledBlock* from, int count, Block* to);

}  // namespace choir::kernels
