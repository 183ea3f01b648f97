#include "serve/shown_whys.h"

#include <utility>

namespace choir::serve {

const Json& ShownWhys::shown(const std::string& id, Json why, Instant now) {
  const auto found = all_.find(id);
  if (found == all_.end()) return all_.emplace(id, One{std::move(why), now}).first->second.why;
  One& one = found->second;
  one.asked = true;
  if (one.why["reason"] != why["reason"] || now - one.since >= kStands) one = {std::move(why), now};
  return one.why;
}

void ShownWhys::forget_others() {
  std::erase_if(all_, [](const auto& one) { return !one.second.asked; });
  for (auto& [id, one] : all_) one.asked = false;
}

}  // namespace choir::serve
