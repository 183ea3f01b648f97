// Slows down who tries keys: so many wrong ones a second from one address are answered as wrong,
// more get 429. A right key always passes, so that a client behind the same proxy as a wrong one is
// not shut out.
//
// A token bucket for each address, in a table of bounded size. A value without clock or lock.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "choir/units.h"

namespace choir::serve {

struct WrongKeyRules {
  double per_second = 10;            // and as many at once
  std::size_t addresses_max = 4096;  // some hundred bytes each
};

class WrongKeys {
 public:
  explicit WrongKeys(const WrongKeyRules& rules = {}) : rules_(rules) {}

  // A wrong key came from the address. False: too many came from there. Where the table is full,
  // the address from which nothing has come for longest is forgotten.
  bool may_fail(std::string_view address, Instant now);

  std::size_t addresses() const { return rows_.size(); }

 private:
  struct Row {
    double left = 0;  // wrong keys that it may still send
    Instant at;       // when that was so
  };
  double left_now(const Row& row, Instant now) const;
  void make_room(Instant now);

  WrongKeyRules rules_;
  std::map<std::string, Row, std::less<>> rows_;
};

// What counts as one address: an address of IPv4, or the first 64 bits of one of IPv6, which one
// client has for itself. Other texts stay as they are. Pure.
std::string network_of(const std::string& address);

}  // namespace choir::serve
