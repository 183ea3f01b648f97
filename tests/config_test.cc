// What an executor may be called.
#include "choir/config.h"

#include <gtest/gtest.h>

#include <string>

namespace choir {
namespace {

struct Case {
  const char* name;
  std::string executor;
  const char* why;  // "": it may
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class ExecutorName : public testing::TestWithParam<Case> {};

TEST_P(ExecutorName, IsOneThatCanBeShown) {
  ExecutorConfig config;
  config.name = GetParam().executor;
  config.path = "model.gguf";
  const Status valid = validate(config);
  EXPECT_EQ(valid ? "" : valid.error().message, GetParam().why);
}

using namespace std::string_literals;
constexpr const char* kNothing = "";

const Case kCases[] = {
    {"Plain", "tutor #2", kNothing},
    {"OtherScripts", "учитель 教師 🎓", kNothing},
    {"Backslash", "a\\n", kNothing},
    {"Empty", "", "name is empty: requests name the executor by it"},
    {"Long", std::string(257, 'a'), "name has 257 bytes, at most 256"},
    {"LongestOfControls", std::string(256, '\x01').replace(9, 247, 247, 'a'),
     "name is '\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01aaaaaaaaaaaaaaaaaaaaa...': a name has "
     "no "
     "control characters, line breaks or marks of writing direction"},
    {"NotUtf8", "\xff", "name is not valid UTF-8"},
    {"Nul", "a\0b"s,
     "name is 'a\\x00b': a name has no control characters, line breaks or marks of writing "
     "direction"},
    {"Line", "a\nb",
     "name is 'a\\nb': a name has no control characters, line breaks or marks of writing "
     "direction"},
    {"Escape", "\x1b[2J",
     "name is '\\x1b[2J': a name has no control characters, line breaks or marks of writing "
     "direction"},
    {"Overridden", "a\u202e",
     "name is 'a\\u202e': a name has no control characters, line breaks or marks of writing "
     "direction"},
};
INSTANTIATE_TEST_SUITE_P(, ExecutorName, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir
