// Ids are types: a RequestId is never passed where a SeqId is wanted.
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

using RequestId = Id<struct RequestTag>;    // one call of a user; unique in the process
using SeqId = Id<struct SeqTag>;            // one generation
using ExecutorId = Id<struct ExecutorTag>;  // one row of the executor table

using TokenId = std::int32_t;  // an index into a model's vocabulary; llama.cpp's type

}  // namespace choir

template <class Tag>
struct std::hash<choir::Id<Tag>> {
  std::size_t operator()(choir::Id<Tag> id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value);
  }
};
