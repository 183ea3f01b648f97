// Why a request waits, as readers of events are told.
#include "serve/shown_whys.h"

#include <gtest/gtest.h>

namespace choir::serve {
namespace {

using std::chrono::milliseconds;

Json cells(int free) { return {{"reason", "cells"}, {"free", free}}; }
Instant at(int ms) { return Instant{milliseconds(ms)}; }

TEST(ShownWhys, OtherNumbersAreShownAfterASecond) {
  ShownWhys whys;
  EXPECT_EQ(whys.shown("1", cells(310), at(0)), cells(310));
  EXPECT_EQ(whys.shown("1", cells(250), at(250)), cells(310));
  EXPECT_EQ(whys.shown("2", cells(250), at(250)), cells(250));
  EXPECT_EQ(whys.shown("1", cells(200), at(1000)), cells(200));
  EXPECT_EQ(whys.shown("1", cells(150), at(1250)), cells(200));
}

TEST(ShownWhys, AnotherReasonIsShownAtOnce) {
  ShownWhys whys;
  whys.shown("1", cells(310), at(0));
  const Json other = {{"reason", "class"}};
  EXPECT_EQ(whys.shown("1", other, at(250)), other);
  EXPECT_EQ(whys.shown("1", cells(300), at(500)), cells(300));
}

TEST(ShownWhys, OneThatHasWaitedBeforeIsNew) {
  ShownWhys whys;
  whys.shown("1", cells(310), at(0));
  whys.forget_others();
  EXPECT_EQ(whys.shown("1", cells(300), at(250)), cells(310)) << "it was asked for before that";
  whys.forget_others();
  whys.forget_others();
  EXPECT_EQ(whys.shown("1", cells(290), at(500)), cells(290));
}

}  // namespace
}  // namespace choir::serve
