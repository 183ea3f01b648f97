#include "core/cbor.h"

#include <array>
#include <cstdint>
#include <string>

#include "base/check.h"

namespace choir {
namespace {

enum Major : std::uint8_t { kUnsigned, kNegative, kBytes, kText, kArray, kMap, kTag, kSimple };

// The beginning of an item: its type and the number behind it (a value, or a count).
struct Head {
  std::uint8_t major = 0;
  std::uint64_t number = 0;
  std::size_t bytes = 0;  // of the head itself; 0: malformed
};

Head read_head(std::string_view bytes) {
  if (bytes.empty()) return {};
  const auto first = static_cast<std::uint8_t>(bytes[0]);
  Head head{.major = static_cast<std::uint8_t>(first >> 5U), .number = first & 31U, .bytes = 1};
  if (head.number < 24) return head;
  if (head.number > 27) return {};  // reserved, or of indefinite length
  head.bytes += std::size_t{1} << (head.number - 24);
  if (bytes.size() < head.bytes) return {};
  head.number = 0;
  for (std::size_t i = 1; i < head.bytes; ++i)
    head.number = head.number << 8U | static_cast<std::uint8_t>(bytes[i]);
  return head;
}

Status bad(std::size_t at, const char* what) {
  return fail(Code::kInvalidArgument, "CBOR at byte " + std::to_string(at) + ": " + what);
}

}  // namespace

Status check_cbor(std::string_view bytes, const CborLimits& limits) {
  std::array<std::uint64_t, 32> missing{1};  // items still to come, per level
  CHOIR_CHECK(limits.depth_max < missing.size(), "levels fit");
  std::size_t depth = 0;
  std::size_t items = 0;
  std::size_t at = 0;
  for (;;) {
    while (depth > 0 && missing.at(depth) == 0) --depth;
    if (missing.at(depth) == 0) break;
    --missing.at(depth);
    if (++items > limits.items_max) return bad(at, "too many items");

    const Head head = read_head(bytes.substr(at));
    if (head.bytes == 0 || head.major == kTag) return bad(at, "cut off, or a form not used here");
    at += head.bytes;
    const std::size_t left = bytes.size() - at;
    if (head.major == kBytes || head.major == kText) {
      if (head.number > left) return bad(at, "longer than what is there");
      at += static_cast<std::size_t>(head.number);
    } else if (head.major == kArray || head.major == kMap) {
      if (head.number > left) return bad(at, "longer than what is there");  // an item takes a byte
      if (depth == limits.depth_max) return bad(at, "nested too deep");
      missing.at(++depth) = head.number * (head.major == kMap ? 2 : 1);
    }
  }
  if (at != bytes.size()) return bad(at, "followed by more bytes");
  return {};
}

}  // namespace choir
