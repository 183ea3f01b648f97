// For a test that asserts only a part of what its name says: names the part at the end of the run.
// A test that asserts nothing at all uses GTEST_SKIP() << "why".
#pragma once

#include <cstdio>
#include <string>

namespace choir {

// reason: what is left out, and what would bring it in. tools/skipped.py reads the line.
inline void partly(const std::string& reason) {
  std::printf("[ PARTLY   ] %s\n", reason.c_str());
  std::fflush(stdout);
}

}  // namespace choir
