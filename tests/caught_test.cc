#include "base/caught.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <type_traits>

namespace choir {
namespace {

TEST(Caught, GivesWhatTheWorkGives) {
  EXPECT_EQ(caught([]() -> Result<int> { return 7; }), 7);
  EXPECT_EQ(caught([]() -> Status { return fail(Code::kNotFound, "gone"); }).error().code,
            Code::kNotFound);
}

TEST(Caught, OfWorkThatGivesNothingIsAStatus) {
  int done = 0;
  const auto well = caught([&] { ++done; });
  static_assert(std::is_same_v<decltype(well), const Status>);
  EXPECT_TRUE(well);
  EXPECT_EQ(done, 1);
}

TEST(Caught, WhatIsThrownIsTheError) {
  EXPECT_EQ(caught([] { throw std::bad_alloc(); }).error().code, Code::kOutOfMemory);
  const auto thrown = caught([]() -> Result<int> { throw std::runtime_error("broken"); });
  EXPECT_EQ(thrown.error().code, Code::kEngineFailed);
  EXPECT_NE(thrown.error().message.find("broken"), std::string::npos);
}

}  // namespace
}  // namespace choir
