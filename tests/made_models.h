// Small files with random weights, as tools/make_test_models.py writes them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/temp_folder.h"

namespace choir {

// The path of one, made when it is first asked for; of a split file its first part. Gone with the
// process.
inline std::string made_model(const std::string& name) {
  static const TempFolder folder;
  const std::string whole = folder / (name + ".gguf");
  const std::string first = folder / (name + "-00001-of-00002.gguf");
  const auto there = [](const std::string& path) { return std::filesystem::exists(path); };
  if (!there(whole) && !there(first)) {
    const char* repository = std::getenv("CHOIR_REPO");
    const std::string command =
        "python3 '" + std::string(repository == nullptr ? "." : repository) +
        "/tools/make_test_models.py' '" + folder.path() + "' " + name + " >/dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }
  return there(whole) ? whole : first;
}

}  // namespace choir
