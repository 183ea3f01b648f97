// What the tests of pull() share: a models folder of their own and what to look for in it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "choir/catalog.h"
#include "tests/temp_folder.h"

namespace choir {

class PullFolder : public testing::Test {
 protected:
  PullFolder() {
    environment_.set("CHOIR_MODELS", folder_ / "models");
    options_.progress = [this](const PullProgress& p) {
      if (steps_.empty() || steps_.back() != p.step) steps_.push_back(p.step);
    };
  }

  std::string stored(const std::string& name) { return text_of_file(folder_ / ("models/" + name)); }
  // Files in the models folder, and folders of unfinished work.
  std::vector<std::string> left() {
    std::vector<std::string> names;
    for (const char* place : {"models", "models/.partial"}) {
      std::error_code none;
      for (const auto& entry : std::filesystem::directory_iterator(folder_ / place, none)) {
        const std::string name = entry.path().filename().string();
        if (name != ".partial" && !name.ends_with(".lock")) names.push_back(name);
      }
    }
    std::ranges::sort(names);
    return names;
  }

  TempFolder folder_;
  Environment environment_;
  PullOptions options_;
  std::vector<std::string> steps_;  // as they were reported, each once
};

inline void expect_error(const Result<std::string>& got, Code code, const std::string& says) {
  ASSERT_FALSE(got) << *got;
  EXPECT_EQ(got.error().code, code) << got.error().message;
  EXPECT_THAT(got.error().message, testing::HasSubstr(says));
  EXPECT_THAT(got.error().message, testing::Not(testing::HasSubstr("\n")));
}

inline void make_older(const std::string& path) {
  std::filesystem::last_write_time(path,
                                   std::filesystem::last_write_time(path) - std::chrono::hours(1));
}

}  // namespace choir
