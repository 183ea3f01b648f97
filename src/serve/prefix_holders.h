// Which replica computed the prompts that began in some way: a table of the last kMost marks.
//
// Any thread; no call blocks.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/guarded.h"
#include "serve/replica_choice.h"

namespace choir::serve {

class PrefixHolders {
 public:
  static constexpr std::size_t kMost = 4096;  // chats that go on; some 0.5 MB

  std::optional<PrefixHolder> find(std::size_t mark) const;
  // From now on `holder` has it. Beyond kMost the one that was noted longest ago is dropped.
  void note(std::size_t mark, PrefixHolder holder);

 private:
  using Rows = std::list<std::pair<std::size_t, PrefixHolder>>;  // newest first
  struct Table {
    Rows rows;
    std::unordered_map<std::size_t, Rows::iterator> by_mark;
  };
  Guarded<Table> table_;
};

}  // namespace choir::serve
