// core/cbor: what passes can be given to the parser, which recurses and allocates as it is told.
#include "core/cbor.h"

#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz.h"

namespace {

std::size_t depth_of(const nlohmann::json& json) {
  std::size_t deepest = 0;
  if (json.is_structured())
    for (const auto& item : json) deepest = std::max(deepest, depth_of(item));
  return deepest + (json.is_structured() ? 1 : 0);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = choir::fuzz::text_of(data, size);
  const choir::CborLimits limits{.depth_max = 4, .items_max = 256};
  if (!choir::check_cbor(bytes, limits)) return 0;
  const auto json = nlohmann::json::from_cbor(bytes, /*strict=*/true, /*allow_exceptions=*/false);
  if (json.is_discarded()) return 0;
  choir::fuzz::expect(depth_of(json) <= limits.depth_max, "nested no deeper than allowed");
  return 0;
}
