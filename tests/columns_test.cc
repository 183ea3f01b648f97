#include "apps/columns.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace choir::app {
namespace {

struct WidthCase {
  std::string name, text;
  std::size_t want;
};
void PrintTo(const WidthCase& c, std::ostream* out) { *out << c.name; }

class Columns : public testing::TestWithParam<WidthCase> {};

TEST_P(Columns, AreThoseOfATerminal) { EXPECT_EQ(columns_of(GetParam().text), GetParam().want); }

const WidthCase kWidths[] = {
    {"Nothing", "", 0},
    {"Letters", "a choir", 7},
    {"LettersOfTwoBytes", "äöü", 3},
    {"ALetterAndItsMark", "e\u0301x", 2},
    {"Chinese", "模型", 4},
    {"Korean", "합창", 4},
    {"KoreanInParts", "\u1112\u1161\u11B8", 2},
    {"WideLatin", "\uFF21", 2},
    {"Emoji", "🚀", 2},
    {"AFamilyThatIsJoined", "👩\u200D👩\u200D👧", 2},
    {"ASkinColour", "👍🏽", 2},
    {"AFlag", "🇩🇪", 2},
    {"AHeartInColour", "\u2764\uFE0F", 2},
    {"AHeartAsText", "\u2764", 1},
    {"ASpaceWithoutWidth", "a\u200Bb", 2},
    {"ByteThatIsNoUtf8", "a\xFFz", 3},
    {"Mixed", "模型-7B 🚀", 10},
};
INSTANTIATE_TEST_SUITE_P(, Columns, testing::ValuesIn(kWidths),
                         [](const auto& c) { return c.param.name; });

struct LineCase {
  std::string name, text;
  std::size_t columns_max;
  std::string want;
};
void PrintTo(const LineCase& c, std::ostream* out) { *out << c.name; }

class LineOfColumns : public testing::TestWithParam<LineCase> {};

TEST_P(LineOfColumns, Fits) {
  const std::string line = line_of_columns(GetParam().text, GetParam().columns_max);
  EXPECT_EQ(line, GetParam().want);
  EXPECT_LE(columns_of(line), GetParam().columns_max);
}

std::string marks(int count) {
  std::string marks;
  for (int i = 0; i < count; ++i) marks += "\u0301";
  return marks;
}

const LineCase kLines[] = {
    {"ShortTextAsItIs", "a choir", 10, "a choir"},
    {"ExactlyTheRoomAsItIs", "0123456789", 10, "0123456789"},
    {"OneTooManyEndsInDots", "0123456789a", 10, "0123456..."},
    {"WideOnesThatFit", "模型模型模", 10, "模型模型模"},
    {"WideOnesAreCutByColumns", "模型模型模型", 10, "模型模..."},
    {"AWideOneIsNotHalved", "a模型模型模型", 10, "a模型模..."},
    {"AFamilyIsNotTornApart", "👩\u200D👩\u200D👧👩\u200D👩\u200D👧👩\u200D👩\u200D👧", 5,
     "👩\u200D👩\u200D👧..."},
    {"MarksTakeNoRoom", "e\u0301e\u0301e\u0301e\u0301", 4, "e\u0301e\u0301e\u0301e\u0301"},
    {"WhatMovesTheCursorIsEscaped", "\x1b[2J", 10, "\\x1b[2J"},
    {"MarksWithoutEndAreCut", "e" + marks(100), 4, "e" + marks(28) + "..."},
};
INSTANTIATE_TEST_SUITE_P(, LineOfColumns, testing::ValuesIn(kLines),
                         [](const auto& c) { return c.param.name; });

TEST(Padded, FillsColumnsAndNotBytes) {
  EXPECT_EQ(padded("模型", 6), "模型  ");
  EXPECT_EQ(padded("äö", 4), "äö  ");
  EXPECT_EQ(padded("longer", 4), "longer");
}

}  // namespace
}  // namespace choir::app
