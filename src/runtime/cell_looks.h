// What an executor's cells held when somebody last looked. A look is made between two passes, at
// most one a second, and nobody waits for it.
//
// Any thread; no call blocks.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "choir/cells.h"
#include "core/cell_run.h"

namespace choir {

struct CellLook {
  Instant at;
  std::vector<CellHolder> holders;
  std::vector<std::vector<CellRun>> runs;  // of each

  void add(CellHolder holder, std::vector<CellRun> cells) {
    holders.push_back(std::move(holder));
    runs.push_back(std::move(cells));
  }
  // A state of no request that runs, one cell for each of its tokens.
  void add(CellUse use, const std::string& scope, std::size_t tokens, std::vector<CellRun> cells) {
    add({.use = use,
         .request = {},
         .tenant = {},
         .reuse_scope = scope,
         .cells = static_cast<std::int32_t>(tokens)},
        std::move(cells));
  }
};

class CellLooks {
 public:
  static constexpr Nanos kEvery = std::chrono::seconds(1);

  // Null: none was made yet.
  std::shared_ptr<const CellLook> last() const {
    return state_.with([](const State& s) { return s.last; });
  }
  // True: a look is due, and the caller has it made.
  bool ask(Instant now) {
    return state_.with([now](State& s) {
      if (s.asked && now - *s.asked < kEvery) return false;
      s.asked = now;
      return true;
    });
  }
  void made(CellLook look) {
    auto last = std::make_shared<const CellLook>(std::move(look));
    state_.with([&](State& s) { s.last.swap(last); });
  }

 private:
  struct State {
    std::shared_ptr<const CellLook> last;
    std::optional<Instant> asked;
  };
  Guarded<State> state_;
};

}  // namespace choir
