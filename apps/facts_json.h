// The numbers of an error as JSON: {"need_bytes": 5, "free_bytes": 3}.
//
// Pure; any thread. A template, because the programs and the probe print different JSON types.
#pragma once

#include <vector>

#include "choir/result.h"

namespace choir::app {

template <class Json>
Json facts_json(const std::vector<Fact>& facts) {
  Json json = Json::object();
  for (const Fact& fact : facts) json[fact.name] = fact.value;
  return json;
}

}  // namespace choir::app
