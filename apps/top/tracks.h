// What a lane has computed, as a line of characters.
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "top/state.h"

namespace choir::app::top {

inline constexpr std::int64_t kTrackUs = 10'000'000;  // that a track shows

// Columns one after another in which the same model computed most; empty: none did.
struct Stretch {
  std::string model;
  std::string text;  // one character for each column
};

// The last kTrackUs before `now_us` in so many columns. A letter begins what a model computed; the
// height of the block behind it (without `blocks`: '#', '=' and '-') is the part of that time that
// was computed in.
std::vector<Stretch> track_of(const Lane& lane, std::int64_t now_us, std::size_t columns,
                              const std::map<std::string, char>& letters, bool blocks);

}  // namespace choir::app::top
