#include "tests/golden.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace choir {
namespace {

std::string path_of(std::string_view name) {
  const char* repo = std::getenv("CHOIR_REPO");
  return std::string(repo != nullptr ? repo : ".") + "/tests/golden/" + std::string(name);
}

}  // namespace

void expect_golden(std::string_view name, const std::string& text) {
  const std::string path = path_of(name);
  const char* update = std::getenv("CHOIR_UPDATE_GOLDEN");
  if (update != nullptr && std::string_view(update) == "1") {
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  std::ifstream file(path, std::ios::binary);
  ASSERT_TRUE(file.good())
      << path << " is missing; CHOIR_UPDATE_GOLDEN=1 writes it (from the repository's root)";
  std::ostringstream wanted;
  wanted << file.rdbuf();
  EXPECT_EQ(text, wanted.str()) << "CHOIR_UPDATE_GOLDEN=1 makes this the new " << path;
}

}  // namespace choir
