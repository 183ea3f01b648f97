#include "serve/wrong_keys.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

namespace choir::serve {

double WrongKeys::left_now(const Row& row, Instant now) const {
  return std::min(rules_.per_second, row.left + to_seconds(now - row.at) * rules_.per_second);
}

void WrongKeys::make_room(Instant now) {
  std::erase_if(rows_, [&](const auto& entry) {
    return left_now(entry.second, now) >= rules_.per_second;  // as one that is not in the table
  });
  if (rows_.size() < rules_.addresses_max) return;
  rows_.erase(
      std::ranges::min_element(rows_, {}, [](const auto& entry) { return entry.second.at; }));
}

bool WrongKeys::may_fail(std::string_view address, Instant now) {
  auto found = rows_.find(address);
  if (found == rows_.end()) {
    if (rows_.size() >= rules_.addresses_max) make_room(now);
    found = rows_.emplace(std::string(address), Row{rules_.per_second, now}).first;
  }
  Row& row = found->second;
  row = {left_now(row, now), now};
  if (row.left < 1) return false;
  row.left -= 1;
  return true;
}

std::string network_of(const std::string& address) {
  constexpr std::size_t kNetworkBytes = 8;
  in6_addr bytes{};
  if (inet_pton(AF_INET6, address.c_str(), &bytes) != 1) return address;
  std::fill(bytes.s6_addr + kNetworkBytes, bytes.s6_addr + sizeof bytes.s6_addr, std::uint8_t{0});
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, &bytes, text, sizeof text) != nullptr ? text : address;
}

}  // namespace choir::serve
