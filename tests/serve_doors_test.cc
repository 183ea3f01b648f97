#include "serve/doors.h"

#include <gtest/gtest.h>

#include <latch>
#include <string>

namespace choir::serve {
namespace {

TEST(Doors, RefuseWhatComesWhileTooMuchWaits) {
  std::latch opened(1);
  int posted = 0;
  int posted_slow = 0;
  Error full;
  {
    const auto doors = *Doors::create();
    const auto fill = [&](Door door, int& count) {
      for (;; ++count) {
        const Status took = doors->post_to(door, [&] { opened.wait(); });
        if (took) continue;
        full = took.error();
        return;
      }
    };
    fill(Door::kQuick, posted);
    EXPECT_EQ(full.code, Code::kOverloaded);
    EXPECT_NE(full.message.find("4096"), std::string::npos) << full.message;
    fill(Door::kFiles, posted_slow);
    opened.count_down();
  }
  // Besides those that wait, each thread may hold one.
  EXPECT_GE(posted, 4096);
  EXPECT_LE(posted, 4096 + 2);
  EXPECT_GE(posted_slow, 1024);
  EXPECT_LE(posted_slow, 1024 + 1);
}

}  // namespace
}  // namespace choir::serve
