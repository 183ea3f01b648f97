// Sequences that begin the same hold the KV cells of what they have in common together. What they
// share, as Node::cell_sharing() shows it: plain values, for display.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "choir/ids.h"

namespace choir {

enum class CellUse : std::uint8_t {
  kRunning,  // by a request that has not ended
  kKept,     // for a conversation between its requests
  kCached,   // of a request that has ended, for others that begin the same
};
inline constexpr std::array<std::string_view, 3> kCellUseNames = {"running", "kept", "cached"};
constexpr std::string_view to_string(CellUse use) {
  return kCellUseNames.at(static_cast<std::size_t>(use));
}

// A sequence that holds cells.
struct CellHolder {
  CellUse use = CellUse::kRunning;
  RequestId request;        // that runs; else {0}
  std::string tenant;       // of that request; else empty
  std::string reuse_scope;  // inside which its cells are shared; Request says how it is named
  std::int32_t cells = 0;   // one for each token that is computed
  bool operator==(const CellHolder&) const = default;
};

// Tokens with which at least two sequences begin, whose cells are there once.
struct SharedFront {
  std::int32_t cells = 0;            // its length, from the first token on
  std::int32_t saved_cells = 0;      // without sharing so many more; those of a shorter front that
                                     // the same sequences share are counted there
  std::int32_t depth = 0;            // how many shorter shared fronts it begins with
  std::vector<std::size_t> holders;  // indices of the sequences, ascending
  bool operator==(const SharedFront&) const = default;
};

// The cells of an executor between two passes.
struct CellSharing {
  double age_seconds = 0;  // since it was so
  std::vector<CellHolder> holders;
  std::vector<SharedFront> fronts;  // a shorter one comes before those that begin with it
};

}  // namespace choir
