// YAML from a file, read within limits into a tree that knows its lines.
//
// One document. A key is a text and stands once in its map. Anchors, aliases and tags are refused:
// settings do not need them, and an alias can make a few bytes grow to any size.
//
// Pure: any thread, does not block, throws nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "choir/result.h"

namespace choir::serve {

struct YamlLimits {
  std::size_t bytes_max = 256U << 10U;
  std::size_t depth_max = 16;
  std::size_t values_max = 10'000;
};

struct YamlNode {
  enum class Kind : std::uint8_t { kNull, kText, kList, kMap };
  Kind kind = Kind::kNull;
  int line = 1;                      // from 1; of its key where it has one
  std::string key = {};              // where it is in a map
  std::string text = {};             // of kText, as it is written
  bool quoted = false;               // of kText: in quotes or as a block, so it is no number
  std::vector<YamlNode> items = {};  // of kList and kMap
};

// The document of a text; without one, a map that is empty. kInvalidArgument: the message is
// "LINE: what is wrong".
Result<YamlNode> parse_yaml(std::string_view text, const YamlLimits& limits = {});

}  // namespace choir::serve
