// What a full disk is said to need depends on whose file it is.
#include "base/disk.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace choir {
namespace {

TEST(Disk, AFullOneSaysWhatTheOwnerOfTheFileCanDo) {
  EXPECT_EQ(write_error("/talks/lock", ENOSPC, "keep conversations on another disk").message,
            "the disk is full (No space left on device) while writing '/talks/lock'; free some "
            "space, or keep conversations on another disk");
}

TEST(Disk, WhatIsNotAboutSpaceGivesNoAdvice) {
  EXPECT_EQ(write_error("/talks/lock", EACCES, "keep conversations on another disk").message,
            "cannot write '/talks/lock': Permission denied");
}

}  // namespace
}  // namespace choir
