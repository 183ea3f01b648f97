// Which turns of the lanes the readers of the events have been told of. One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "choir/node.h"

namespace choir::serve {

class TurnsSeen {
 public:
  // The data of a frame with the turns since the last call, of those that are not older than
  // `most`; empty: there are none, or it is the first call. Where nobody has called for a while, a
  // reader that comes back has missed some of them. `from_us` of a frame: the time since which it
  // tells all turns, but those that a lane counts as missing; that of the frame before, where
  // nothing was left out.
  std::string fresh(const Node& node, Nanos most);
  // The same with the turns of so long ago that fresh() has told of: for a new reader, which gets
  // what comes after them from the next fresh().
  std::string last(const Node& node, Nanos ago) const;
  // Whether fresh() was called.
  bool seen() const { return !next_.empty(); }

 private:
  std::vector<std::uint64_t> next_;  // of each lane
  Instant told_until_;               // the time of the last frame
};

}  // namespace choir::serve
