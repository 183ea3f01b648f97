// What a full disk is said to need depends on whose file it is.
#include "models/disk.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace choir {
namespace {

TEST(Disk, AFullOneOfModelsNamesTheirVariable) {
  EXPECT_EQ(write_error("/m/a.gguf", ENOSPC).message,
            "the disk is full (No space left on device) while writing '/m/a.gguf'; free some "
            "space, or set CHOIR_MODELS to another disk");
}

TEST(Disk, AFullOneOfOthersSaysWhatTheyCanDo) {
  EXPECT_EQ(write_error("/talks/lock", ENOSPC, "keep conversations on another disk").message,
            "the disk is full (No space left on device) while writing '/talks/lock'; free some "
            "space, or keep conversations on another disk");
}

TEST(Disk, WhatIsNotAboutSpaceGivesNoAdvice) {
  EXPECT_EQ(write_error("/talks/lock", EACCES).message,
            "cannot write '/talks/lock': Permission denied");
}

}  // namespace
}  // namespace choir
