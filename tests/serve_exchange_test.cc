#include "serve/exchange.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace choir::serve {
namespace {

constexpr std::string_view kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr std::string_view kSpan = "1111222233334444";

struct Trace {
  std::string name;
  std::string traceparent;
  std::string child;
};
void PrintTo(const Trace& t, std::ostream* out) { *out << t.name; }

std::string parent(std::string_view version, std::string_view trace, std::string_view span,
                   std::string_view flags) {
  return std::string(version).append("-").append(trace).append("-").append(span).append("-").append(
      flags);
}
std::string ours(std::string_view flags) { return parent("00", kTrace, kSpan, flags); }

class ChildOf : public testing::TestWithParam<Trace> {};
TEST_P(ChildOf, Decides) { EXPECT_EQ(child_of(GetParam().traceparent, kSpan), GetParam().child); }

constexpr std::string_view kTheirs = "00f067aa0ba902b7";
const Trace kTraces[] = {
    {"Sampled", parent("00", kTrace, kTheirs, "01"), ours("01")},
    {"NotSampled", parent("00", kTrace, kTheirs, "00"), ours("00")},
    {"OfALaterVersion", parent("cc", kTrace, kTheirs, "01"), ours("01")},
    {"OfALaterVersionWithMore", parent("cc", kTrace, kTheirs, "01-what"), ours("01")},
    {"WithMore", parent("00", kTrace, kTheirs, "01-what"), ""},
    {"OfALaterVersionWithMoreThatIsNotApart", parent("cc", kTrace, kTheirs, "01what"), ""},
    {"OfNoVersion", parent("ff", kTrace, kTheirs, "01"), ""},
    {"InCapitals", parent("00", "4BF92F3577B34DA6A3CE929D0E0E4736", kTheirs, "01"), ""},
    {"WithoutTrace", parent("00", std::string(32, '0'), kTheirs, "01"), ""},
    {"WithoutSpan", parent("00", kTrace, std::string(16, '0'), "01"), ""},
    {"TooShort", parent("00", kTrace, "00f067aa0ba902b", "01"), ""},
    {"WithOtherSeparators", "00_" + parent("00", kTrace, kTheirs, "01").substr(3), ""},
    {"Empty", "", ""},
    {"Nonsense", std::string(55, '-'), ""},
};
INSTANTIATE_TEST_SUITE_P(, ChildOf, testing::ValuesIn(kTraces),
                         [](const auto& row) { return row.param.name; });

struct Id {
  std::string name;
  std::string id;
  bool taken;
};
void PrintTo(const Id& i, std::ostream* out) { *out << i.name; }

class RequestIdOf : public testing::TestWithParam<Id> {};
TEST_P(RequestIdOf, Decides) {
  const Exchange exchange = exchange_of({.headers = {{"x-request-id", GetParam().id}}}, "1.2.3.4");
  EXPECT_EQ(exchange.id == GetParam().id, GetParam().taken);
  if (!GetParam().taken) {
    EXPECT_EQ(exchange.id.size(), 32U);
    EXPECT_EQ(exchange.id.find_first_not_of("0123456789abcdef"), std::string::npos) << exchange.id;
  }
}

const Id kIds[] = {
    {"OfTheClient", "req-17:~a", true},
    {"OfOneCharacter", "a", true},
    {"AsLongAsMayBe", std::string(128, 'x'), true},
    {"TooLong", std::string(129, 'x'), false},
    {"WithABlank", "a b", false},
    {"WithATab", "a\tb", false},
    {"OutsideOfAscii", "\xc3\xa4", false},
    {"Empty", "", false},
};
INSTANTIATE_TEST_SUITE_P(, RequestIdOf, testing::ValuesIn(kIds),
                         [](const auto& row) { return row.param.name; });

TEST(Exchange, HasAnIdOfItsOwn) {
  EXPECT_NE(exchange_of({}, "").id, exchange_of({}, "").id);
  EXPECT_EQ(exchange_of({}, "").address, "unix");
}

TEST(Exchange, IsNamedInItsReply) {
  ReplyHead head;
  Exchange exchange{.id = "a"};
  name_exchange(head, exchange);
  EXPECT_EQ(head.headers, (std::vector<Header>{{"x-request-id", "a"}}));
  exchange.traceparent = ours("01");
  name_exchange(head, exchange);
  EXPECT_EQ(head.headers.back(), (Header{"traceparent", ours("01")}));
}

TEST(Exchange, IsASpanOfItsOwnInTheClientsTrace) {
  const std::string theirs = parent("00", kTrace, kTheirs, "01");
  const Exchange exchange = exchange_of({.headers = {{"traceparent", theirs}}}, "");
  EXPECT_EQ(exchange.traceparent.substr(0, 36), theirs.substr(0, 36));
  EXPECT_NE(exchange.traceparent, theirs);
  EXPECT_EQ(child_of(exchange.traceparent, kSpan), ours("01")) << exchange.traceparent;
}

TEST(WorkFacts, OfSeveralAnswersAreAdded) {
  WorkFacts facts{.model = "small"};
  add_usage(facts, {.prompt_tokens = 10, .output_tokens = 5, .first_token_seconds = 0.5});
  add_usage(
      facts,
      {.prompt_tokens = 10, .output_tokens = 7, .reused_tokens = 9, .first_token_seconds = 0.25});
  add_usage(facts, {});
  EXPECT_EQ(facts, (WorkFacts{"small", 20, 12, 9, 0.25}));
}

}  // namespace
}  // namespace choir::serve
