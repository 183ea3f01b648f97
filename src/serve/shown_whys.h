// Why each request waits, as readers of events are told: another reason at once, other numbers of
// the same reason at most once a second. Cells that are free change with each pass, and nobody
// reads that fast; without this all rows that wait would be told at each look.
//
// One thread at a time.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "choir/units.h"
#include "serve/json_in.h"

namespace choir::serve {

class ShownWhys {
 public:
  static constexpr Nanos kStands = std::chrono::seconds(1);
  // What a request shows that waits because of `why`, which has a "reason".
  const Json& shown(const std::string& id, Json why, Instant now);
  // Forgets those that shown() was not called for since the last call.
  void forget_others();

 private:
  struct One {
    Json why;
    Instant since;
    bool asked = true;
  };
  std::map<std::string, One> all_;  // by id
};

}  // namespace choir::serve
