// Makes foreign CBOR safe to hand to a parser.
#pragma once

#include <cstddef>
#include <string_view>

#include "choir/result.h"

namespace choir {

struct CborLimits {
  std::size_t depth_max = 8;
  std::size_t items_max = 16384;  // values and keys together; a parsed item takes up to 100 bytes
};

// Fails unless `bytes` is exactly one CBOR item whose lengths all lie inside the bytes, without
// tags and indefinite lengths, within the limits. Allocates nothing and does not recurse:
// nlohmann-json does, once for every nested array, map or string chunk, until the stack is gone.
Status check_cbor(std::string_view bytes, const CborLimits& limits);

}  // namespace choir
