#include "base/own_stack.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

namespace choir {
namespace {

// Takes at least 1 KiB a call. Volatile, so that no optimizer takes the frames away.
std::size_t depth(std::size_t calls) {
  volatile char frame[1024];
  frame[0] = 1;
  frame[1023] = 1;
  return calls == 0 ? 0 : depth(calls - 1) + static_cast<std::size_t>(frame[calls % 2 * 1023]);
}

TEST(OwnStack, HoldsWhatItWasMadeFor) {
  constexpr std::size_t kCalls = 32U << 10U;  // four times an ordinary stack
  std::size_t reached = 0;
  ASSERT_TRUE(run_on_stack(4 * kCalls * 1024, [&] { reached = depth(kCalls); }));
  EXPECT_EQ(reached, kCalls);
}

TEST(OwnStack, OfNoBytesIsSmallButOne) {
  bool ran = false;
  ASSERT_TRUE(run_on_stack(0, [&] { ran = true; }));
  EXPECT_TRUE(ran);
}

TEST(OwnStack, WhatIsThrownThereIsAnErrorHere) {
  const Status thrown = run_on_stack(0, [] { throw std::bad_alloc(); });
  ASSERT_FALSE(thrown);
  EXPECT_EQ(thrown.error().code, Code::kOutOfMemory);
  EXPECT_FALSE(run_on_stack(0, [] { throw std::runtime_error("a word"); }));
}

TEST(OwnStack, ThatTheSystemDoesNotGiveIsAnError) {
  bool ran = false;
  const Status refused = run_on_stack(std::size_t{1} << 60U, [&] { ran = true; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_NE(refused.error().message.find("1152921504606846976"), std::string::npos);
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace choir
