// Ids are types, so a RequestId cannot be passed where a SeqId is expected. Plain values; any
// thread.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace choir {

template <class Tag>
struct Id {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(Id, Id) = default;
};

using RequestId = Id<struct RequestTag>;    // one submitted request; unique in the process
using SeqId = Id<struct SeqTag>;            // one generation (sequence)
using ExecutorId = Id<struct ExecutorTag>;  // one executor of a node

using TokenId = std::int32_t;  // an index into a model's vocabulary; llama.cpp's type

}  // namespace choir

template <class Tag>
struct std::hash<choir::Id<Tag>> {
  std::size_t operator()(choir::Id<Tag> id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value);
  }
};
