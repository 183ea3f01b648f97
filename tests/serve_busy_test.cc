#include "serve/busy.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace choir::serve {
namespace {

struct Case {
  std::string name;
  std::optional<QueuePlace> newest;
  std::string retry_after;
  std::string retry_after_ms;
  std::optional<std::int64_t> position;
  std::optional<std::int64_t> wait_ms;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::string header(const ApiError& error, std::string_view name) {
  for (const Header& header : error.headers)
    if (header.name == name) return header.value;
  return "";
}
std::optional<std::int64_t> fact(const ApiError& error, std::string_view name) {
  return Error{.message = {}, .facts = error.facts}.fact(name);
}

const Error kFull{Code::kOverloaded, "full", {{"waiting", 4}, {"queue_max", 4}}};

class Busy : public testing::TestWithParam<Case> {};
TEST_P(Busy, Decides) {
  const ApiError error = busy_error(kFull, GetParam().newest);
  EXPECT_EQ(error.status, 429);
  EXPECT_EQ(header(error, "retry-after"), GetParam().retry_after);
  EXPECT_EQ(header(error, "retry-after-ms"), GetParam().retry_after_ms);
  EXPECT_EQ(fact(error, "position"), GetParam().position);
  EXPECT_EQ(fact(error, "estimated_wait_ms"), GetParam().wait_ms);
  EXPECT_EQ(fact(error, "queue_max"), 4);
}

QueuePlace place(std::int32_t ahead, std::optional<double> seconds) { return {ahead, seconds}; }

const Case kCases[] = {
    {"ManyWait", place(9, 13.5), "2", "1500", 11, 13500},
    {"TheNextOneWaits", place(0, 2.5), "1", "1000", 2, 2500},
    {"AllRun", place(0, 0.0), "1", "1000", 1, 0},
    {"NothingIsMeasured", place(3, std::nullopt), "1", "1000", 5, std::nullopt},
    {"FastModel", place(1000, 1.0), "1", "100", 1002, 1000},
    {"SlowModel", place(10, 36000.0), "60", "60000", 12, 36000000},
    {"NobodyIsThereAnyMore", std::nullopt, "1", "1000", std::nullopt, std::nullopt},
};
INSTANTIATE_TEST_SUITE_P(, Busy, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(BusyError, LeavesOtherErrorsAsTheyAre) {
  for (const Error& error : {Error{Code::kDraining, "it ends"}, Error{Code::kOverloaded, "doors"}})
    EXPECT_EQ(busy_error(error, place(9, 13.5)), api_error(error));
}

}  // namespace
}  // namespace choir::serve
