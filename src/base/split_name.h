// The names of a model that is split over several files: "x-00001-of-00003.gguf" and so on. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace choir {

struct SplitName {
  std::string prefix;  // with the folder, up to the dash before the number
  int part = 0;        // 1 .. parts
  int parts = 0;       // at least 2
  bool operator==(const SplitName&) const = default;
};

// Nothing for a name that is not a part's.
std::optional<SplitName> split_name(std::string_view path);

// Of part 1 .. parts.
std::string part_path(const SplitName& name, int part);

// All files of the model whose first one, or only one, is `path`.
std::vector<std::string> model_parts(const std::string& path);

}  // namespace choir
